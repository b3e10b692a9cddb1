/* A nested list of numbers, as text, into one rectangular array. */
#ifndef DGNN_IO_NESTED_H
#define DGNN_IO_NESTED_H

#include "base/alloc.h"
#include "base/tensor.h"

/* Where it went wrong. */
struct dgnn_nested_fault {
    const char *at;
    const char *what;
};

/* The first byte after a nested list that begins at text with '[', or NULL where something else than numbers,
 * booleans, brackets, commas and white space is in it. A cheap look: dgnn_nested_parse is the check. */
const char *dgnn_nested_end(const char *text, const char *end);

/* The element type of a NumPy name, or 0. */
int32_t dgnn_nested_dtype(const char *name, size_t length);

/* All of [text, end), strictly. The data is one block of dgnn_alloc. Errors: FORMAT (fault is set; error is
 * not), MEMORY. */
int dgnn_nested_parse(const char *text, const char *end, int32_t dtype, struct dgnn_tensor *tensor,
                      struct dgnn_nested_fault *fault, struct dgnn_error *error);

#endif
