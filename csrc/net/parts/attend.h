/* Loads NeighborGatedAttention (deepmd/dpmodel/descriptor/dpa1.py); ops/attention_types.h has the
 * mathematics. */
#ifndef DGNN_NET_ATTEND_H
#define DGNN_NET_ATTEND_H

#include "net/parts/layer.h"

/* What the descriptor says of its attention. */
struct dgnn_attend_shape {
    int64_t width; /* of the rows */
    int64_t slots, nlayer, hidden;
    int32_t angular;
};

#define DGNN_REAL_BITS 32
#include "net/parts/attend_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/attend_types.h"
#undef DGNN_REAL_BITS

#endif
