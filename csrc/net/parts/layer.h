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

/* Loads an affine layer in float64, rounded to dtype (DGNN_DTYPE_FLOAT32 or _FLOAT64), the network's type. It
 * has no transpose, which is made of what the loader places. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int dgnn_layer_load_plain(const struct dgnn_value *value, int64_t nin, int64_t nout, int32_t dtype,
                          struct dgnn_layer_f64 *layer, struct dgnn_error *error);

/* An object of class LayerNorm. The caller frees scale and shift, also after a failure to load it. Errors:
 * FORMAT, UNSUPPORTED, MEMORY. */
struct dgnn_layer_norm {
    double epsilon;
    int32_t has_weights;   /* 1: the archive has both; deepmd-kit applies them only then */
    double *scale, *shift; /* n each; without has_weights ones and zeros */
};
int dgnn_layer_norm_load(const struct dgnn_value *value, int64_t n, struct dgnn_layer_norm *norm,
                         struct dgnn_error *error);

/* Finds the list of ntypes^ndim networks in an object of class NetworkCollection. type is "embedding_network"
 * or "fitting_network". *networks lives as long as value. Errors: FORMAT, UNSUPPORTED. */
int dgnn_layer_collection(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, const char *type,
                          struct dgnn_value *networks, struct dgnn_error *error);

#endif
