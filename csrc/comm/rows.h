/* Moving rows of numbers between places that are named by index lists. A list may be NULL: rows 0, 1, 2, ...
 * of its base. Ranges that are read and written don't overlap. */
#ifndef DGNN_COMM_ROWS_H
#define DGNN_COMM_ROWS_H

#include <stdint.h>

struct dgnn_rows_shape {
    int64_t width;     /* numbers in a row */
    int32_t item_size; /* 4: float, 8: double */
};

static inline int64_t dgnn_rows_bytes(const struct dgnn_rows_shape *shape)
{
    return shape->width * shape->item_size;
}

/* Row to_row[k] of to becomes row from_row[k] of from, for k < n. Bits are copied, whatever they mean. */
void dgnn_rows_copy(void *to, const int32_t *to_row, const void *from, const int32_t *from_row, int64_t n,
                    int64_t row_bytes);

/* The same, added in the order of k: a row that is named several times gets several terms. */
void dgnn_rows_add(void *to, const int32_t *to_row, const void *from, const int32_t *from_row, int64_t n,
                   const struct dgnn_rows_shape *shape);

#endif
