#include "base/real.h"

struct REAL(dgnn_attention) {
    int64_t nlayer;
    int64_t parameters;
    int32_t smooth; /* 1: a layer is smooth */
    struct REAL(dgnn_attention_layer) * layer;
};

/* Loads an object of class NeighborGatedAttention, whose settings must agree with shape. Errors: FORMAT,
 * UNSUPPORTED, MEMORY. */
int REAL(dgnn_attention_load)(const struct dgnn_value *value, const struct dgnn_attention_shape *shape,
                              struct REAL(dgnn_attention) * attention, struct dgnn_error *error);
void REAL(dgnn_attention_free)(struct REAL(dgnn_attention) * attention); /* a zeroed struct is allowed */

/* Applies the residuals and norms of all layers to x, width numbers, in place. That is what an edge without a
 * neighbour becomes, since it attends to nothing. */
void REAL(dgnn_attention_empty)(const struct REAL(dgnn_attention) * attention, real *x);
