#include "comm/rows.h"

#include <string.h>

static inline int64_t rows_at(const int32_t *row, int64_t k)
{
    return row ? row[k] : k;
}

void dgnn_rows_copy(void *to, const int32_t *to_row, const void *from, const int32_t *from_row, int64_t n,
                    int64_t row_bytes)
{
    char *out = to;
    const char *in = from;
    for (int64_t k = 0; k < n; k++) {
        memcpy(out + rows_at(to_row, k) * row_bytes, in + rows_at(from_row, k) * row_bytes,
               (size_t)row_bytes);
    }
}

static void rows_add_float(float *restrict to, const float *restrict from, int64_t width)
{
    for (int64_t c = 0; c < width; c++) {
        to[c] += from[c];
    }
}

static void rows_add_double(double *restrict to, const double *restrict from, int64_t width)
{
    for (int64_t c = 0; c < width; c++) {
        to[c] += from[c];
    }
}

void dgnn_rows_add(void *to, const int32_t *to_row, const void *from, const int32_t *from_row, int64_t n,
                   const struct dgnn_rows_shape *shape)
{
    int64_t width = shape->width;
    for (int64_t k = 0; k < n; k++) {
        int64_t target = rows_at(to_row, k) * width;
        int64_t source = rows_at(from_row, k) * width;
        if (shape->item_size == (int32_t)sizeof(float)) {
            rows_add_float((float *)to + target, (const float *)from + source, width);
        } else {
            rows_add_double((double *)to + target, (const double *)from + source, width);
        }
    }
}

int64_t dgnn_rows_keep(const int32_t *row, int64_t n, const int32_t *new_row, int32_t *kept)
{
    int64_t nkept = 0;
    for (int64_t k = 0; k < n; k++) {
        if (new_row[row[k]] >= 0) {
            kept[nkept++] = new_row[row[k]];
        }
    }
    return nkept;
}

int64_t dgnn_rows_count_kept(const int32_t *new_row, int64_t from, int64_t to)
{
    int64_t nkept = 0;
    for (int64_t i = from; i < to; i++) {
        nkept += new_row[i] >= 0;
    }
    return nkept;
}
