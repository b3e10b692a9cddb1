#include "base/real.h"

struct REAL(dgnn_embedding) {
    int64_t nnetwork; /* ntypes^ndim; the network of types (a, b) is number a + ntypes b */
    int64_t nout;
    int64_t width_max; /* the largest of all layers' inputs and outputs */
    int64_t parameters;
    struct REAL(dgnn_network) * network;
};

/* Loads an object of class NetworkCollection with ndim dimensions of ntypes, whose networks have nin inputs
 * and the same width. All networks must be there for which needed (nnetwork flags; NULL: all) is not 0. */
int REAL(dgnn_embedding_load)(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, int64_t nin,
                              const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                              struct dgnn_error *error);
void REAL(dgnn_embedding_free)(struct REAL(dgnn_embedding) * embedding); /* a zeroed struct is allowed */

/* Refuses an owner whose list neuron or whose "activation_function" contradicts the networks (FORMAT). */
int REAL(dgnn_embedding_same)(const struct REAL(dgnn_embedding) * embedding, const struct dgnn_value *owner,
                              const char *neuron, struct dgnn_error *error);

/* Sets all weights of network n to zero. */
void REAL(dgnn_embedding_clear)(struct REAL(dgnn_embedding) * embedding, int64_t n);

/* Returns the reals of scratch memory that forward needs, for any number of rows. */
int64_t REAL(dgnn_embedding_scratch)(const struct REAL(dgnn_embedding) * embedding);

/* Computes y, nrow x nout, whose rows are padded with zeros to stride: nout rounded up to whole lines of 64
 * bytes. tangent is dy/dx0 in the same form; NULL: not wanted. scratch is dgnn_embedding_scratch reals. */
struct REAL(dgnn_embedding_rows) {
    int64_t nrow;
    const real *x;
    int64_t x_stride;
    real *y, *tangent;
    int64_t stride;
    real *scratch;
};
void REAL(dgnn_embedding_forward)(const struct REAL(dgnn_ops) * ops,
                                  const struct REAL(dgnn_network) * network,
                                  const struct REAL(dgnn_embedding_rows) * rows);
