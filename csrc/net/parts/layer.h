/* y = residual(x) + idt * activation(x w + b): affine layers and networks of them
 * (deepmd/dpmodel/utils/network.py, NativeLayer). */
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

/* An object of class LayerNorm. Its arrays, of n numbers each, belong to the tree. */
struct dgnn_layer_norm {
    double epsilon;
    int32_t has_weights; /* 1: weight and bias are there; deepmd-kit applies them only where both are */
    struct dgnn_tensor weight, bias;
};
int dgnn_layer_norm_load(const struct dgnn_value *value, int64_t n, struct dgnn_layer_norm *norm,
                         struct dgnn_error *error);

/* Finds the list of ntypes^ndim networks in an object of class NetworkCollection. type is "embedding_network"
 * or "fitting_network". *networks lives as long as value. Errors: FORMAT, UNSUPPORTED. */
int dgnn_layer_collection(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, const char *type,
                          struct dgnn_value *networks, struct dgnn_error *error);

#endif
