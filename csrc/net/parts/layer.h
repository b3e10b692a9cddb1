/* Affine layers and networks of them, as deepmd-kit writes them (deepmd/dpmodel/utils/network.py, NativeLayer):
 * y = residual(x) + idt * activation(x w + b). */
#ifndef DGNN_NET_LAYER_H
#define DGNN_NET_LAYER_H

#include "io/tree.h"
#include "ops/table.h"

#define DGNN_REAL_BITS 32
#include "net/parts/layer_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/layer_types.h"
#undef DGNN_REAL_BITS

#endif
