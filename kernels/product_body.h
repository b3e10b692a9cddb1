#include "base/real.h"

/* The product of rows and weights (csrc/cuda/kernel_arguments_types.h), plain: an item for each number. */
KERNEL_FUNCTION void KERNEL_JOIN(REAL(product), _item)(const struct REAL(dgnn_kernel_product) & k, int64_t t)
{
    int64_t r = t / k.ncol, c = t % k.ncol;
    const real *row = k.rows + (k.row_index ? k.row_index[r] : r) * k.row_stride;
    real *out = k.out + (k.out_index ? k.out_index[r] : r) * k.out_stride + c;
    real sum = 0;
    for (int64_t d = 0; d < k.depth; d++) {
        sum += row[d] * k.weights[d * k.weight_stride + c];
    }
    *out = sum + (k.accumulate ? *out : k.bias ? k.bias[c] : (real)0);
}

KERNEL_ITEMS(REAL(product), struct REAL(dgnn_kernel_product))
