#include "base/real.h"

/* The product on tensor cores. A block does 64 rows and 64 columns, each of its warps 16 rows; depth and columns are
 * multiples of 8. Float32 is the sum of three products of TF32, high x low, low x high and high x high, which is as
 * exact as float32's own. A number's sum has the same order in every launch. */

/* A warp's 16 rows and 64 columns: c[n] has columns 8 n to 8 n + 7. */
#if DGNN_REAL_BITS == 32
enum { TENSOR_TILES = 8, TENSOR_SIDE = 64, TENSOR_WARP_ROWS = 16 };

KERNEL_FUNCTION void tensor_step_f32(const struct dgnn_kernel_product_f32 &k, const float *const *rows, int64_t d,
                                     int64_t column, int g, int t, float (*c)[4])
{
    float high[4], low[4];
    for (int q = 0; q < 4; q++) {
        float x = rows[q % 2] ? rows[q % 2][d + t + q / 2 * 4] : 0.0f;
        high[q] = tensor_tf32(x);
        low[q] = tensor_tf32(x - high[q]);
    }
KERNEL_UNROLL
    for (int n = 0; n < TENSOR_TILES; n++) {
        if (column + 8 * n < k.ncol) {
            const float *w = k.weights + (d + t) * k.weight_stride + column + 8 * n + g;
            float x[2] = {w[0], w[4 * k.weight_stride]};
            float up[2] = {tensor_tf32(x[0]), tensor_tf32(x[1])};
            float down[2] = {tensor_tf32(x[0] - up[0]), tensor_tf32(x[1] - up[1])};
            tensor_multiply(c[n], high, down);
            tensor_multiply(c[n], low, up);
            tensor_multiply(c[n], high, up);
        }
    }
}
#else
KERNEL_FUNCTION void tensor_step_f64(const struct dgnn_kernel_product_f64 &k, const double *const *rows, int64_t d,
                                     int64_t column, int g, int t, double (*c)[4])
{
    for (int half = 0; half < 8; half += 4) {
        double a[2];
        for (int q = 0; q < 2; q++) {
            a[q] = rows[q] ? rows[q][d + half + t] : 0.0;
        }
KERNEL_UNROLL
        for (int n = 0; n < TENSOR_TILES; n++) {
            if (column + 8 * n < k.ncol) {
                double b = k.weights[(d + half + t) * k.weight_stride + column + 8 * n + g];
                tensor_multiply(c[n], a[0], b);
                tensor_multiply(c[n] + 2, a[1], b);
            }
        }
    }
}
#endif

/* Row r of the product, columns from and from + 1. */
KERNEL_FUNCTION void REAL(tensor_store)(const struct REAL(dgnn_kernel_product) & k, int64_t r, int64_t from,
                                        const real *c)
{
    real *out = k.out + (k.out_index ? k.out_index[r] : r) * k.out_stride + from;
    for (int q = 0; q < 2; q++) {
        out[q] = c[q] + (k.accumulate ? out[q] : k.bias ? k.bias[from + q] : (real)0);
    }
}

KERNEL_FUNCTION void REAL(tensor_tile)(const struct REAL(dgnn_kernel_product) & k, int64_t row, int64_t column,
                                       int lane)
{
    int g = lane / 4, t = lane % 4;
    const real *rows[2] = {0, 0}; /* of rows g and g + 8 */
    real c[TENSOR_TILES][4];
KERNEL_UNROLL
    for (int n = 0; n < TENSOR_TILES; n++) {
        c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
    }
    for (int q = 0; q < 2; q++) {
        int64_t r = row + g + 8 * q;
        if (r < k.nrow) {
            rows[q] = k.rows + (k.row_index ? k.row_index[r] : r) * k.row_stride;
        }
    }
    for (int64_t d = 0; d < k.depth; d += 8) {
        REAL(tensor_step)(k, rows, d, column, g, t, c);
    }
KERNEL_UNROLL
    for (int n = 0; n < TENSOR_TILES; n++) {
        int64_t from = column + 8 * n + 2 * t;
        if (from < k.ncol && rows[0]) {
            REAL(tensor_store)(k, row + g, from, c[n]);
        }
        if (from < k.ncol && rows[1]) {
            REAL(tensor_store)(k, row + g + 8, from, c[n] + 2);
        }
    }
}

KERNEL(REAL(product_tensor), struct REAL(dgnn_kernel_product))
{
    int64_t across = (k.ncol + TENSOR_SIDE - 1) / TENSOR_SIDE, down = (k.nrow + TENSOR_SIDE - 1) / TENSOR_SIDE;
    for (int64_t tile = blockIdx.x; tile < across * down; tile += gridDim.x) {
        REAL(tensor_tile)
        (k, tile / across * TENSOR_SIDE + threadIdx.x / 32 * TENSOR_WARP_ROWS, tile % across * TENSOR_SIDE,
         threadIdx.x % 32);
    }
}
