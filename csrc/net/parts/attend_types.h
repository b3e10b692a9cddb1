#include "base/real.h"

struct REAL(dgnn_attend) {
    int64_t nlayer;
    int64_t parameters;
    int32_t smooth; /* is any layer? */
    struct REAL(dgnn_attention_layer) * layer;
};

/* value: an object of class NeighborGatedAttention that says what shape does. */
int REAL(dgnn_attend_load)(const struct dgnn_value *value, const struct dgnn_attend_shape *shape,
                           struct REAL(dgnn_attend) * attention, struct dgnn_error *error);
void REAL(dgnn_attend_free)(struct REAL(dgnn_attend) * attention); /* a zeroed one is allowed */

/* What each edge that has no neighbour, and so attends to nothing, becomes: x (width, in place) through the
 * residuals and norms of all layers. */
void REAL(dgnn_attend_empty)(const struct REAL(dgnn_attend) * attention, real *x);
