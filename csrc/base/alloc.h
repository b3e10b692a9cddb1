/* All heap blocks of the core come from here. They are aligned to 64 bytes and counted, and tests make them
 * fail. */
#ifndef DGNN_BASE_ALLOC_H
#define DGNN_BASE_ALLOC_H

#include "base/status.h"

/* Returns a block of count * size bytes, whose contents are not set; NULL when memory runs out or the size
 * overflows. 0 bytes give a valid block. */
void *dgnn_alloc(int64_t count, size_t size);
void *dgnn_alloc_zeroed(int64_t count, size_t size);
void dgnn_alloc_free(void *block);
char *dgnn_alloc_string(const char *text); /* returns a copy, or NULL when memory runs out */

/* *out = a * b + c. Returns 0 on overflow, or when an input is negative, otherwise 1. */
int dgnn_alloc_checked(int64_t a, int64_t b, int64_t c, int64_t *out);

/* Allocations of this process so far, and how many of them are not freed. The shared library exports these
 * three functions for the tests of its hosts, such as the Python module; they are not part of dgnn.h. */
DGNN_API int64_t dgnn_alloc_count(void);
DGNN_API int64_t dgnn_alloc_live(void);

/* Makes the nth allocation from now fail (1: the next one), and with persistent all after it; nth = 0 ends
 * this. */
DGNN_API void dgnn_alloc_fail_at(int64_t nth, int persistent);

/* A block that only grows. The caller zeroes it before its first use. */
struct dgnn_buffer {
    void *data;
    int64_t capacity;  /* bytes */
    int64_t needed;    /* bytes: the most that was asked for */
    int32_t is_mapped; /* 1: a map of its own, of dgnn_buffer_lay_out */
};

/* The bytes that the buffers of this thread's calls need, without those that it freed. */
DGNN_API int64_t dgnn_buffer_needed(void);

/* While on is 1, large buffers of this thread's calls are addresses that take no memory until they are
 * written to. So a system may be laid out that is larger than the machine's memory. The caller frees these
 * buffers before anybody writes all of them. */
void dgnn_buffer_lay_out(int32_t on);

/* Makes the block at least nbytes long. Its contents are lost when it grows. On failure the old block is
 * kept. what names it in messages. Errors: MEMORY. */
int dgnn_buffer_reserve(struct dgnn_buffer *buffer, int64_t nbytes, const char *what,
                        struct dgnn_error *error);
/* As dgnn_buffer_reserve, of count parts of nbytes each. */
int dgnn_buffer_reserve_each(struct dgnn_buffer *buffer, int64_t nbytes, int64_t count, const char *what,
                             struct dgnn_error *error);
/* As dgnn_buffer_reserve, but the first nkeep bytes keep their contents. */
int dgnn_buffer_extend(struct dgnn_buffer *buffer, int64_t nbytes, int64_t nkeep, const char *what,
                       struct dgnn_error *error);
void dgnn_buffer_free(struct dgnn_buffer *buffer);

#endif
