#include "base/real.h"

struct REAL(dgnn_embedding) {
    int64_t nnetwork; /* ntypes to the power ndim; that of types (a, b) is a + ntypes b */
    int64_t nout;
    int64_t width_max; /* of any layer's input or output */
    int64_t parameters;
    struct REAL(dgnn_network) * network;
};

/* value: an object of class NetworkCollection with ndim dimensions of ntypes, networks of nin inputs and one
 * common width. Each network must be there, except where needed (nnetwork flags, or NULL: all) is 0. */
int REAL(dgnn_embedding_load)(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, int64_t nin,
                              const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                              struct dgnn_error *error);
void REAL(dgnn_embedding_free)(struct REAL(dgnn_embedding) * embedding); /* a zeroed one is allowed */

/* Refuses an owner whose list neuron or whose "activation_function" contradicts the networks. */
int REAL(dgnn_embedding_same)(const struct REAL(dgnn_embedding) * embedding, const struct dgnn_value *owner,
                              const char *neuron, struct dgnn_error *error);

/* Makes all weights of network n zeros. */
void REAL(dgnn_embedding_clear)(struct REAL(dgnn_embedding) * embedding, int64_t n);

/* Reals of room that forward needs, for any number of rows. */
int64_t REAL(dgnn_embedding_room)(const struct REAL(dgnn_embedding) * embedding);

/* y: nrow x nout, rows padded with zeros to stride, which is nout in whole lines. tangent: dy/dx0 in the same
 * form, or NULL: not wanted. room: dgnn_embedding_room reals. */
struct REAL(dgnn_embedding_rows) {
    int64_t nrow;
    const real *x;
    int64_t x_stride;
    real *y, *tangent;
    int64_t stride;
    real *room;
};
void REAL(dgnn_embedding_forward)(const struct REAL(dgnn_ops) * ops,
                                  const struct REAL(dgnn_network) * network,
                                  const struct REAL(dgnn_embedding_rows) * rows);
