/* struct dgnn_ops_f32 and struct dgnn_ops_f64. */
#ifndef DGNN_OPS_TABLE_H
#define DGNN_OPS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/dpa4c.h"
#include "ops/ops.h"

/* Columns or rows of features, rounded up to whole 64-byte lines. */
static inline int64_t dgnn_table_pad(int64_t width, int64_t lanes)
{
    return (width + lanes - 1) / lanes * lanes;
}

/* Of a centre's edges, the first ones, that hold a gradient already. */
enum dgnn_edges_given { DGNN_EDGES_NONE = 0, DGNN_EDGES_IN_ANGLES, DGNN_EDGES_ALL };

struct dgnn_gram_shape {
    int64_t axis, e, n;
};

#define DGNN_REAL_BITS 32
#include "ops/table_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/table_types.h"
#undef DGNN_REAL_BITS

#endif
