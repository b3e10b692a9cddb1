/* gr = sum_j row_j g_j / nnei, 4 x n for each centre, and D = gr^T gr_<, where gr_< is the first axis columns
 * of gr. These are the moments of an environment and the descriptor made of them (se_e2_a, dpa1). The rows of
 * gr are padded to whole lines of 64 bytes. */
#ifndef DGNN_NET_MOMENT_H
#define DGNN_NET_MOMENT_H

#include "ops/table.h"

struct dgnn_moment_shape {
    int64_t n, axis, stride; /* columns of gr; columns of D; n rounded up to whole lines */
};

#define DGNN_REAL_BITS 32
#include "net/parts/moment_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/moment_types.h"
#undef DGNN_REAL_BITS

#endif
