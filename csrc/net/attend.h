/* Loads NeighborGatedAttention (deepmd/dpmodel/descriptor/dpa1.py); ops/attention.inc has the mathematics. */
#ifndef DGNN_NET_ATTEND_H
#define DGNN_NET_ATTEND_H

#include "net/layer.h"

#define DGNN_REAL_BITS 32
#include "net/attend_types.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/attend_types.inc"
#undef DGNN_REAL_BITS

#endif
