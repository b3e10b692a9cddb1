#include "base/real.h"

/* A network's table of a compressed model. */
struct REAL(dgnn_embedding_table) {
    struct dgnn_pieces pieces;
    real *coefficients; /* pieces x 6 x stride, stride being nout in whole lines; NULL: there is none */
};

struct REAL(dgnn_embedding) {
    int64_t nnetwork; /* ntypes^ndim; the network of types (a, b) is number a + ntypes b */
    int64_t nout;
    int64_t width_max; /* the largest of all layers' inputs and outputs */
    int64_t parameters;
    struct REAL(dgnn_network) * network;
    struct REAL(dgnn_embedding_table) * table; /* nnetwork, evaluated in their place; NULL: networks are */
};

/* Loads an object of class NetworkCollection of this shape, whose networks have the same width. */
int REAL(dgnn_embedding_load)(const struct dgnn_value *value, const struct dgnn_embedding_shape *shape,
                              struct REAL(dgnn_embedding) * embedding, struct dgnn_error *error);
void REAL(dgnn_embedding_free)(struct REAL(dgnn_embedding) * embedding); /* a zeroed struct is allowed */

/* Adds the tables of a compressed model, one for each network, with its own checks. Whether they are
 * evaluated is compression's. symmetric: the networks' input is a product of vectors. needed: as in a shape.
 * Counts rows and differences in compression. Errors: FORMAT, MEMORY. */
int REAL(dgnn_embedding_load_tables)(struct dgnn_compression *compression, int32_t symmetric,
                                     const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                                     struct dgnn_error *error);

/* A compressed model's outputs of the network of types in place of those in rows: for all types, or all pairs
 * (first, second), nrow x width, stride apart. one_side: the archive has them for the second type of a pair
 * only, and rows are pairs all the same. Where networks are evaluated, rows stay. Errors: FORMAT, MEMORY. */
struct REAL(dgnn_embedding_factors) {
    int64_t ntypes; /* with that of no type */
    int32_t one_side;
    int64_t width, stride;
    real *rows; /* ntypes x ntypes x stride */
};
int REAL(dgnn_embedding_load_factors)(struct dgnn_compression *compression,
                                      const struct REAL(dgnn_embedding_factors) * factors,
                                      struct dgnn_error *error);

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
/* Network n, or its table. */
void REAL(dgnn_embedding_forward)(const struct REAL(dgnn_ops) * ops,
                                  const struct REAL(dgnn_embedding) * embedding, int64_t n,
                                  const struct REAL(dgnn_embedding_rows) * rows);
