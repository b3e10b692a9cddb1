/* Embedding networks. Their first input depends on the positions, and their other inputs do not. So forward
 * also computes the derivative by the first input: that costs as much as a backward pass, and less must be
 * kept. A collection has a network for each type or pair of types (deepmd/dpmodel/utils/network.py,
 * NetworkCollection). */
#ifndef DGNN_NET_EMBEDDING_H
#define DGNN_NET_EMBEDDING_H

#include "net/parts/compression.h"
#include "net/parts/layer.h"

/* A collection: a network for each of ndim dimensions of ntypes, all with nin inputs. */
struct dgnn_embedding_shape {
    int64_t ndim, ntypes, nin;
    const uint8_t *needed; /* ntypes^ndim: 0 where a network may be absent; NULL: none may */
};

#define DGNN_REAL_BITS 32
#include "net/parts/embedding_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/embedding_types.h"
#undef DGNN_REAL_BITS

#endif
