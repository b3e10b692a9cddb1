#include "base/real.h"

/* All of one layer's weights: what the blocks of ops need, and what is done per node. */
struct REAL(dgnn_repflow_weights) {
    struct REAL(dgnn_repflow_layer) block;
    struct REAL(dgnn_matrix) centre; /* n x (n | m | e | e | a): self, edge blocks' centre part, angle blocks'
                                      */
    struct REAL(dgnn_matrix) centre_transposed;
    struct REAL(dgnn_matrix) neighbour_part; /* n x (m | e) */
    struct REAL(dgnn_matrix) neighbour_part_transposed;
    struct REAL(dgnn_matrix) symmetric; /* axis x (e | n), then n */
    struct REAL(dgnn_matrix) symmetric_transposed;
    real *rows;               /* owner of the bias and residual rows below and in block */
    real *without_angle_term; /* owner of block's */
    const real *centre_bias;
    const real *symmetric_bias;
    const real *weight_self, *weight_symmetric; /* n */
    const real *weight_message;                 /* m */
    real keep_node;
};

struct REAL(dgnn_repflow) {
    const struct dgnn_dpa3_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    int64_t n, e, a, m, heads, axis; /* widths, padded */
    int64_t angle_node,
        angle_edge; /* features of a node and of an edge that go into angles, after compression */
    int64_t nlayer;
    struct REAL(dgnn_repflow_weights) * layer;
    real *rows;                  /* owner of the three below */
    const real *edge_weight;     /* e */
    const real *edge_bias;       /* e */
    const real *angle_weight;    /* a */
    struct REAL(dgnn_layer) mix; /* of charge and spin */
};

int REAL(dgnn_repflow_load)(struct dgnn_dpa3_settings *settings, struct REAL(dgnn_repflow) * *repflow,
                            struct dgnn_error *error);
void REAL(dgnn_repflow_free)(struct REAL(dgnn_repflow) * repflow); /* NULL is allowed */

/* rows: (ntypes + 1) x n_dim, written: the type embedding and, where the model has it, one vector of the
 * system's charge and spin (NULL: the model's own). scratch: 3 n_dim. Errors: INPUT. */
int REAL(dgnn_repflow_type_rows)(const struct REAL(dgnn_repflow) * repflow, const double *charge_spin,
                                 real *scratch, double *rows, struct dgnn_error *error);
