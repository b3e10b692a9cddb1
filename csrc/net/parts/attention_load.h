/* Loads the weights of NeighborGatedAttention (deepmd/dpmodel/descriptor/dpa1.py). The mathematics is in
 * ops/attention_types.h. */
#ifndef DGNN_NET_ATTENTION_LOAD_H
#define DGNN_NET_ATTENTION_LOAD_H

#include "net/parts/layer.h"

/* What the descriptor's settings say of its attention. */
struct dgnn_attention_shape {
    int64_t width; /* numbers in a row */
    int64_t slots, nlayer, hidden;
    int32_t angular;
};

#define DGNN_REAL_BITS 32
#include "net/parts/attention_load_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/attention_load_types.h"
#undef DGNN_REAL_BITS

#endif
