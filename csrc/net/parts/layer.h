/* Affine layers and networks of them, as deepmd-kit writes them (deepmd/dpmodel/utils/network.py,
 * NativeLayer): y = residual(x) + idt * activation(x w + b). */
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

/* An object of class LayerNorm: its arrays, of n numbers each, in the tree. */
struct dgnn_layer_norm {
    double epsilon;
    int32_t has_weights; /* deepmd-kit applies factors and shifts only where both are there */
    struct dgnn_tensor weight, bias;
};
int dgnn_layer_norm_load(const struct dgnn_value *value, int64_t n, struct dgnn_layer_norm *norm,
                         struct dgnn_error *error);

/* The list of networks of an object of class NetworkCollection, of ntypes to the power ndim. type:
 * "embedding_network" or "fitting_network". networks lives as long as value. Errors: FORMAT, UNSUPPORTED. */
int dgnn_layer_collection(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, const char *type,
                          struct dgnn_value *networks, struct dgnn_error *error);

#endif
