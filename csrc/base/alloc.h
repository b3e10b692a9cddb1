/* Every heap block of the core comes from here: aligned to 64 bytes, counted, and made to fail by tests. */
#ifndef DGNN_BASE_ALLOC_H
#define DGNN_BASE_ALLOC_H

#include "base/status.h"

/* NULL when out of memory or when count * size overflows. Contents are not set. 0 bytes give a valid block.
 */
void *dgnn_alloc(int64_t count, size_t size);
void *dgnn_alloc_zeroed(int64_t count, size_t size);
void dgnn_alloc_free(void *block);
char *dgnn_alloc_string(const char *text); /* a copy, or NULL */

/* a * b + c in *out; false on overflow or when an input is negative. */
int dgnn_alloc_checked(int64_t a, int64_t b, int64_t c, int64_t *out);

/* Allocations so far in this process, and how many of them are not freed. These three leave the shared
 * library for the tests of its hosts, the Python module among them; they are no part of dgnn.h. */
DGNN_API int64_t dgnn_alloc_count(void);
DGNN_API int64_t dgnn_alloc_live(void);

/* Makes the nth allocation from now fail (1: the next), and with persistent all that follow; 0: none. */
DGNN_API void dgnn_alloc_fail_at(int64_t nth, int persistent);

/* A block that only grows. Zero it before its first use. */
struct dgnn_buffer {
    void *data;
    int64_t capacity; /* bytes */
};

/* At least nbytes; contents are lost when it grows. On failure the old block is kept. */
int dgnn_buffer_reserve(struct dgnn_buffer *buffer, int64_t nbytes, const char *what,
                        struct dgnn_error *error);
/* As above, and the first nkeep bytes survive. */
int dgnn_buffer_extend(struct dgnn_buffer *buffer, int64_t nbytes, int64_t nkeep, const char *what,
                       struct dgnn_error *error);
void dgnn_buffer_free(struct dgnn_buffer *buffer);

#endif
