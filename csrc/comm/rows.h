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

/* When NULL atoms go; new_row[i]: row i's new index, or -1. The rows of a list that are left, renumbered
 * (kept has room for n), and how many of the rows [from, to) are left: both return that number. */
int64_t dgnn_rows_keep(const int32_t *row, int64_t n, const int32_t *new_row, int32_t *kept);
int64_t dgnn_rows_count_kept(const int32_t *new_row, int64_t from, int64_t to);

#endif
