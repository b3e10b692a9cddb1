/* Moments of an environment: gr = sum_j (row_j) (g_j) / nnei, 4 x n for each centre, and the descriptor made
 * of them, D = gr^T gr_<, where _< takes the first axis columns (se_e2_a, dpa1). A moment's rows are padded
 * to whole lines. */
#ifndef DGNN_NET_MOMENT_H
#define DGNN_NET_MOMENT_H

#include "ops/table.h"

struct dgnn_moment_shape {
    int64_t n, axis, stride; /* of gr's columns; of D's; columns of gr in whole lines */
};

#define DGNN_REAL_BITS 32
#include "net/parts/moment_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/moment_types.h"
#undef DGNN_REAL_BITS

#endif
