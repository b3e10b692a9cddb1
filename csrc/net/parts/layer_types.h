#include "base/real.h"

/* Allocates nrow x ncol zeros, whose rows are padded to REAL_LANES. The caller frees it with
 * dgnn_layer_matrix_free. Errors: MEMORY. */
int REAL(dgnn_layer_matrix)(int64_t nrow, int64_t ncol, struct REAL(dgnn_matrix) * matrix,
                            struct dgnn_error *error);
int REAL(dgnn_layer_matrix_transposed)(const struct REAL(dgnn_matrix) * from,
                                       struct REAL(dgnn_matrix) * matrix, struct dgnn_error *error);
void REAL(dgnn_layer_matrix_free)(struct REAL(dgnn_matrix) * matrix);

/* All numbers of a tensor, in this type. */
void REAL(dgnn_layer_convert)(const struct dgnn_tensor *tensor, real *out);

/* From float64, where loaders fold and place, to this type. Pads are columns of the matrix and of its
 * transpose, so that products work on whole lines. The caller frees both, also after a failure. Errors:
 * MEMORY. */
int REAL(dgnn_layer_cast)(const struct dgnn_matrix_f64 *from, struct REAL(dgnn_matrix) * matrix,
                          struct REAL(dgnn_matrix) * transposed, struct dgnn_error *error);
/* The same of n numbers; *out is padded with zeros. */
int REAL(dgnn_layer_cast_row)(const double *from, int64_t n, real **out, struct dgnn_error *error);

struct REAL(dgnn_layer) {
    struct REAL(dgnn_matrix) w;            /* nin x nout */
    struct REAL(dgnn_matrix) w_transposed; /* nout x nin */
    real *bias;                            /* nout, padded with zeros, or NULL */
    real *idt;                             /* as bias */
    struct dgnn_activation activation;
    int32_t resnet;   /* 1: the archive says that the input is added where the widths allow it */
    int32_t residual; /* copies of x that are added: 0, 1 where nin == nout, or 2 side by side where nout == 2
                         nin */
};

/* Loads an object of class Layer. Its widths must be nin and nout; -1 allows any width. Errors: FORMAT,
 * UNSUPPORTED, MEMORY. */
int REAL(dgnn_layer_load)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                          struct REAL(dgnn_layer) * layer, struct dgnn_error *error);
/* The same for a layer that is a product and perhaps a bias; with more it is refused. */
int REAL(dgnn_layer_load_affine)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                 struct REAL(dgnn_layer) * layer, struct dgnn_error *error);
void REAL(dgnn_layer_free)(struct REAL(dgnn_layer) * layer); /* a zeroed layer is allowed */
int64_t REAL(dgnn_layer_parameters)(const struct REAL(dgnn_layer) * layer);

/* Rows that go through a layer; those of an array are its stride apart. */
struct REAL(dgnn_layer_rows) {
    int64_t nrow;
    const real *x;
    int64_t x_stride; /* x: nin; of dx, too */
    real *y;          /* nout; forward writes it */
    const real *dy;   /* as y; backward reads it, and not y */
    int64_t y_stride;
    real *slope;   /* nrow x nout, contiguous: what backward reads of forward; NULL: not wanted */
    real *scratch; /* of backward: nrow x nout */
    real *dx;      /* backward writes it, or adds to it */
    int32_t accumulate;
};
void REAL(dgnn_layer_forward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_layer) * layer,
                              const struct REAL(dgnn_layer_rows) * rows);
void REAL(dgnn_layer_backward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_layer) * layer,
                               const struct REAL(dgnn_layer_rows) * rows);

struct REAL(dgnn_network) {
    int64_t nlayer;
    struct REAL(dgnn_layer) * layer;
    int64_t nin, nout;
    int64_t width_max;  /* of any layer's input or output */
    int64_t width_kept; /* reals of a row that forward keeps for backward */
};

/* Loads an object with a list "layers" (EmbeddingNetwork, FittingNetwork). nin and nout are as for a layer.
 */
int REAL(dgnn_network_load)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                            struct REAL(dgnn_network) * network, struct dgnn_error *error);
void REAL(dgnn_network_free)(struct REAL(dgnn_network) * network);
/* Refuses an owner (the network itself, a descriptor, a fitting net) whose list neuron or whose
 * "activation_function" contradicts the first nhidden layers. An absent member is no contradiction. */
int REAL(dgnn_network_same)(const struct REAL(dgnn_network) * network, int64_t nhidden,
                            const struct dgnn_value *owner, const char *neuron, struct dgnn_error *error);
int64_t REAL(dgnn_network_parameters)(const struct REAL(dgnn_network) * network);

/* Rows that go through a network. All but x are contiguous. */
struct REAL(dgnn_network_rows) {
    int64_t nrow;
    const real *x; /* nrow x nin, x_stride apart */
    int64_t x_stride;
    real *y;        /* nrow x nout; forward writes it */
    const real *dy; /* as y; backward reads it */
    real *dx;       /* nrow x nin; backward writes it */
    real *kept;     /* nrow x width_kept: what backward reads of forward */
    real *scratch;  /* 2 x nrow x width_max in forward, 3 x that in backward */
};
void REAL(dgnn_network_forward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_network) * network,
                                const struct REAL(dgnn_network_rows) * rows);
void REAL(dgnn_network_backward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_network) * network,
                                 const struct REAL(dgnn_network_rows) * rows);
/* After forward with this scratch, until that is used again: what went into the last layer, rows of width
 * dgnn_network_hidden_width; 0: there is no hidden layer. */
const real *REAL(dgnn_network_hidden)(const struct REAL(dgnn_network) * network, int64_t nrow,
                                      const real *scratch);
int64_t REAL(dgnn_network_hidden_width)(const struct REAL(dgnn_network) * network);
