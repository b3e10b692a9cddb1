#include "base/real.h"

void REAL(dgnn_moment_output)(const struct dgnn_moment_shape *shape, const real *gr, double *output)
{
    const int64_t stride = shape->stride, axis = shape->axis;
    for (int64_t c = 0; c < shape->n; c++) {
        for (int64_t k = 0; k < axis; k++) {
            output[c * axis + k] =
                (double)(gr[c] * gr[k] + gr[stride + c] * gr[stride + k] +
                         gr[2 * stride + c] * gr[2 * stride + k] + gr[3 * stride + c] * gr[3 * stride + k]);
        }
    }
}

void REAL(dgnn_moment_rotation)(const struct dgnn_moment_shape *shape, const real *gr, double *rotation)
{
    for (int64_t c = 0; c < shape->n; c++) {
        for (int k = 0; k < 3; k++) {
            rotation[3 * c + k] = (double)gr[(k + 1) * shape->stride + c];
        }
    }
}

void REAL(dgnn_moment_rotation_backward)(const struct dgnn_moment_shape *shape, const double *d_rotation,
                                         double scale, real *d_gr)
{
    for (int64_t c = 0; c < shape->n; c++) {
        for (int k = 0; k < 3; k++) {
            d_gr[(k + 1) * shape->stride + c] += (real)(d_rotation[3 * c + k] * scale);
        }
    }
}

int64_t REAL(dgnn_moment_scratch)(const struct dgnn_moment_shape *shape)
{
    return shape->n * dgnn_table_pad(shape->axis, REAL_LANES) + (shape->n + shape->axis) * REAL_LANES;
}

/* d_gr[a][c] = sum_k d[c][k] gr[a][k] + [c < axis] sum_k d[k][c] gr[a][k], with d the output's gradient. */
void REAL(dgnn_moment_backward)(const struct REAL(dgnn_ops) * ops, const struct dgnn_moment_shape *shape,
                                const real *gr, real *d_gr, real *scratch)
{
    const int64_t n = shape->n, axis = shape->axis, stride = shape->stride,
                  pad = dgnn_table_pad(axis, REAL_LANES);
    real *first = scratch + n * pad, *transposed = first + axis * REAL_LANES;
    struct REAL(dgnn_matrix) d = {.nrow = n, .ncol = axis, .stride = pad, .data = scratch};
    struct REAL(dgnn_matrix)
        columns = {.nrow = axis, .ncol = REAL_LANES, .stride = REAL_LANES, .data = first};
    memset(first, 0, sizeof(real) * (size_t)(axis * REAL_LANES));
    for (int64_t k = 0; k < axis; k++) {
        for (int a = 0; a < 4; a++) {
            first[k * REAL_LANES + a] = gr[a * stride + k];
        }
    }
    memset(d_gr, 0, 4 * sizeof(real) * (size_t)stride);
    ops->product(4, gr, stride, &d, NULL, d_gr, stride, 0);
    ops->product(n, scratch, pad, &columns, NULL, transposed, REAL_LANES, 0);
    for (int a = 0; a < 4; a++) {
        for (int64_t c = 0; c < n; c++) {
            d_gr[a * stride + c] += transposed[c * REAL_LANES + a];
        }
    }
}

void REAL(dgnn_moment_set_gradient)(const struct dgnn_moment_shape *shape, const double *d_output,
                                    double scale, real *scratch)
{
    const int64_t pad = dgnn_table_pad(shape->axis, REAL_LANES);
    for (int64_t c = 0; c < shape->n; c++) {
        for (int64_t k = 0; k < shape->axis; k++) {
            scratch[c * pad + k] = (real)(d_output[c * shape->axis + k] * scale);
        }
    }
}

void REAL(dgnn_moment_add)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_moment) * moment,
                           real *gr)
{
    /* The matrix is only read; the table's type has no const. */
    struct REAL(dgnn_matrix) w = {.nrow = moment->nrow,
                                  .ncol = moment->stride,
                                  .stride = moment->stride,
                                  .data = (real *)(uintptr_t)moment->g};
    ops->product(4, moment->row, moment->row_stride, &w, NULL, gr, moment->stride, 1);
}
