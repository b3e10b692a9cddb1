/* Embedding networks, whose first input depends on the positions and whose others do not: forward together
 * with the derivative by the first input, which costs what a backward pass would and keeps less. And
 * collections of them, one for each type or pair of types (deepmd/dpmodel/utils/network.py,
 * NetworkCollection). */
#ifndef DGNN_NET_EMBEDDING_H
#define DGNN_NET_EMBEDDING_H

#include "net/parts/layer.h"

#define DGNN_REAL_BITS 32
#include "net/parts/embedding_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/embedding_types.h"
#undef DGNN_REAL_BITS

#endif
