/* A digest of 128 bits, by which ranks compare their models. It is no protection against forgery. It is a
 * multiply-rotate hash after XXH64 (Y. Collet, xxHash), finished in two ways. It does not depend on how the
 * bytes are cut into pieces. */
#ifndef DGNN_BASE_DIGEST_H
#define DGNN_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct dgnn_digest {
    uint64_t lane[4];
    uint64_t nbytes;
    unsigned char rest[32]; /* the last nbytes % 32 bytes, which wait until a stripe is full */
};

void dgnn_digest_begin(struct dgnn_digest *digest);
void dgnn_digest_add(struct dgnn_digest *digest, const void *data, size_t nbytes);
/* Writes the digest of all bytes so far. More bytes may be added afterwards. */
void dgnn_digest_end(const struct dgnn_digest *digest, uint64_t out[2]);

#endif
