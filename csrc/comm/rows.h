/* Moves rows of numbers between places that index lists name. A list that is NULL stands for 0, 1, 2, ... .
 * Rows that are read and rows that are written must not overlap. */
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

/* Copies row from_row[k] of from into row to_row[k] of to, for k < n, as bytes. */
void dgnn_rows_copy(void *to, const int32_t *to_row, const void *from, const int32_t *from_row, int64_t n,
                    int64_t row_bytes);

/* Adds the rows instead, in the order of k. A row that to_row names several times gets several terms. */
void dgnn_rows_add(void *to, const int32_t *to_row, const void *from, const int32_t *from_row, int64_t n,
                   const struct dgnn_rows_shape *shape);

/* For the time when NULL atoms are dropped; new_row[i] is row i's new index, or -1. The first writes the new
 * indices of a list's rows that are left into kept, which has space for n. The second counts the rows of
 * [from, to) that are left. Both return how many are left. */
int64_t dgnn_rows_keep(const int32_t *row, int64_t n, const int32_t *new_row, int32_t *kept);
int64_t dgnn_rows_count_kept(const int32_t *new_row, int64_t from, int64_t to);

#endif
