/* A 128-bit digest for "the same model?", not against forgery: a multiply-rotate hash after XXH64's scheme
 * (Y. Collet, xxHash), with two finishes. The same bytes give the same digest, however they are cut into
 * pieces. */
#ifndef DGNN_BASE_DIGEST_H
#define DGNN_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct dgnn_digest {
    uint64_t lane[4];
    uint64_t nbytes;
    unsigned char rest[32]; /* nbytes % 32 bytes that wait for their stripe */
};

void dgnn_digest_begin(struct dgnn_digest *digest);
void dgnn_digest_add(struct dgnn_digest *digest, const void *data, size_t nbytes);
/* Leaves *digest as it is: more may be added. */
void dgnn_digest_end(const struct dgnn_digest *digest, uint64_t out[2]);

#endif
