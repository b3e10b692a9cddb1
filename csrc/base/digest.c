#include "base/digest.h"

#include <string.h>

/* XXH64's primes. */
static const uint64_t digest_prime[5] = {0x9e3779b185ebca87u, 0xc2b2ae3d27d4eb4fu, 0x165667b19e3779f9u,
                                         0x85ebca77c2b2ae63u, 0x27d4eb2f165667c5u};

static inline uint64_t digest_rotate(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

static inline uint64_t digest_round(uint64_t lane, uint64_t word)
{
    return digest_rotate(lane + word * digest_prime[1], 31) * digest_prime[0];
}

static void digest_stripe(struct dgnn_digest *digest, const unsigned char *data)
{
    for (int i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, data + 8 * i, sizeof(word));
        digest->lane[i] = digest_round(digest->lane[i], word);
    }
}

void dgnn_digest_begin(struct dgnn_digest *digest)
{
    *digest = (struct dgnn_digest){
        .lane = {digest_prime[0] + digest_prime[1], digest_prime[1], 0, 0 - digest_prime[0]}};
}

void dgnn_digest_add(struct dgnn_digest *digest, const void *data, size_t nbytes)
{
    const unsigned char *bytes = data;
    size_t held = digest->nbytes % 32;
    digest->nbytes += nbytes;
    if (held + nbytes >= 32 && held > 0) {
        memcpy(digest->rest + held, bytes, 32 - held);
        digest_stripe(digest, digest->rest);
        bytes += 32 - held;
        nbytes -= 32 - held;
        held = 0;
    }
    for (; nbytes >= 32; bytes += 32, nbytes -= 32) {
        digest_stripe(digest, bytes);
    }
    if (nbytes > 0) {
        memcpy(digest->rest + held, bytes, nbytes);
    }
}

static uint64_t digest_finish(const struct dgnn_digest *digest, uint64_t seed, int turn)
{
    uint64_t hash = seed + digest->nbytes;
    unsigned char rest[32] = {0};
    memcpy(rest, digest->rest, digest->nbytes % 32);
    for (int i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, rest + 8 * i, sizeof(word));
        hash = (hash ^ digest_round(0, digest->lane[(i + turn) % 4])) * digest_prime[0] + digest_prime[3];
        hash = digest_rotate(hash ^ digest_round(0, word), 27) * digest_prime[0] + digest_prime[3];
    }
    hash = (hash ^ hash >> 33) * digest_prime[1];
    hash = (hash ^ hash >> 29) * digest_prime[2];
    return hash ^ hash >> 32;
}

void dgnn_digest_end(const struct dgnn_digest *digest, uint64_t out[2])
{
    out[0] = digest_finish(digest, digest_prime[4], 0);
    out[1] = digest_finish(digest, digest_prime[2], 2);
}
