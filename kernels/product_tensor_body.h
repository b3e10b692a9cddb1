#include "base/real.h"

/* The product on tensor cores. A block does 64 rows and 64 columns, each of its warps 16 rows; depth and
 * columns are multiples of 8. Float32 is the sum of three products of TF32, high x low, low x high and high x
 * high, which is as exact as float32's own. A number's sum has the same order in every launch. */

#if DGNN_REAL_BITS == 32
enum { TENSOR_TILES = 8, TENSOR_SIDE = 64, TENSOR_WARP_ROWS = 16 };
#endif

/* A lane's part of a warp's 16 rows and 64 columns. */
struct REAL(tensor_lane) {
    int g, t;
    int64_t column;         /* the first one */
    const real *row[2];     /* rows g and g + 8; NULL: beyond the last one */
    real c[TENSOR_TILES][4]; /* c[n]: of columns 8 n to 8 n + 7 */
};

/* Adds what 8 numbers of each row give, from d on. */
#if DGNN_REAL_BITS == 32
KERNEL_FUNCTION void tensor_step_f32(const struct dgnn_kernel_product_f32 &k, int64_t d,
                                     struct tensor_lane_f32 &lane)
{
    float high[4], low[4];
    for (int q = 0; q < 4; q++) {
        float x = lane.row[q % 2] ? lane.row[q % 2][d + lane.t + q / 2 * 4] : 0.0f;
        high[q] = tensor_tf32(x);
        low[q] = tensor_tf32(x - high[q]);
    }
    KERNEL_UNROLL
    for (int n = 0; n < TENSOR_TILES; n++) {
        if (lane.column + 8 * n < k.ncol) {
            const float *w = k.weights + (d + lane.t) * k.weight_stride + lane.column + 8 * n + lane.g;
            float x[2] = {w[0], w[4 * k.weight_stride]};
            float up[2] = {tensor_tf32(x[0]), tensor_tf32(x[1])};
            float down[2] = {tensor_tf32(x[0] - up[0]), tensor_tf32(x[1] - up[1])};
            tensor_multiply(lane.c[n], high, down);
            tensor_multiply(lane.c[n], low, up);
            tensor_multiply(lane.c[n], high, up);
        }
    }
}
#else
KERNEL_FUNCTION void tensor_step_f64(const struct dgnn_kernel_product_f64 &k, int64_t d,
                                     struct tensor_lane_f64 &lane)
{
    for (int half = 0; half < 8; half += 4) {
        double a[2];
        for (int q = 0; q < 2; q++) {
            a[q] = lane.row[q] ? lane.row[q][d + half + lane.t] : 0.0;
        }
        KERNEL_UNROLL
        for (int n = 0; n < TENSOR_TILES; n++) {
            if (lane.column + 8 * n < k.ncol) {
                double b = k.weights[(d + half + lane.t) * k.weight_stride + lane.column + 8 * n + lane.g];
                tensor_multiply(lane.c[n], a[0], b);
                tensor_multiply(lane.c[n] + 2, a[1], b);
            }
        }
    }
}
#endif

/* Two numbers next to each other of row r. */
KERNEL_FUNCTION void REAL(tensor_store)(const struct REAL(dgnn_kernel_product) & k, int64_t r, int64_t from,
                                        const real *c)
{
    real *out = k.out + (k.out_index ? k.out_index[r] : r) * k.out_stride + from;
    for (int q = 0; q < 2; q++) {
        out[q] = c[q] + (k.accumulate ? out[q] : k.bias ? k.bias[from + q] : (real)0);
    }
}

KERNEL_FUNCTION void REAL(tensor_tile)(const struct REAL(dgnn_kernel_product) & k, int64_t row,
                                       int64_t column)
{
    struct REAL(tensor_lane) lane;
    lane.g = threadIdx.x % 32 / 4;
    lane.t = threadIdx.x % 4;
    lane.column = column;
    KERNEL_UNROLL
    for (int n = 0; n < TENSOR_TILES; n++) {
        lane.c[n][0] = lane.c[n][1] = lane.c[n][2] = lane.c[n][3] = 0;
    }
    for (int q = 0; q < 2; q++) {
        int64_t r = row + lane.g + 8 * q;
        lane.row[q] = r < k.nrow ? k.rows + (k.row_index ? k.row_index[r] : r) * k.row_stride : 0;
    }
    for (int64_t d = 0; d < k.depth; d += 8) {
        REAL(tensor_step)(k, d, lane);
    }
    KERNEL_UNROLL
    for (int n = 0; n < TENSOR_TILES; n++) {
        int64_t from = column + 8 * n + 2 * lane.t;
        if (from < k.ncol && lane.row[0]) {
            REAL(tensor_store)(k, row + lane.g, from, lane.c[n]);
        }
        if (from < k.ncol && lane.row[1]) {
            REAL(tensor_store)(k, row + lane.g + 8, from, lane.c[n] + 2);
        }
    }
}

KERNEL(REAL(product_tensor), struct REAL(dgnn_kernel_product))
{
    int64_t across = (k.ncol + TENSOR_SIDE - 1) / TENSOR_SIDE;
    int64_t down = (k.nrow + TENSOR_SIDE - 1) / TENSOR_SIDE;
    for (int64_t tile = blockIdx.x; tile < across * down; tile += gridDim.x) {
        int64_t row = tile / across * TENSOR_SIDE + threadIdx.x / 32 * TENSOR_WARP_ROWS;
        REAL(tensor_tile)(k, row, tile % across * TENSOR_SIDE);
    }
}
