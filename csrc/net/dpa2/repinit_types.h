#include "base/real.h"

/* The pair block or the three-body block. */
struct REAL(dgnn_repinit) {
    const struct REAL(dgnn_ops) * ops;
    struct dgnn_repinit_context context;
    struct dgnn_environment environment;
    struct REAL(dgnn_embedding) embedding; /* a collection of one network */
    real *tebd;                            /* (ntypes + 1) x tebd_width */
    real *type_factor; /* strip: (ntypes + 1)^2 x ngp, of (centre, neighbour) or of two neighbours; else NULL
                        */
    real *start; /* the three-body network's first layer without its first input: (ntypes + 1)^2 x width */
    int64_t ng, ngp; /* outputs of the network, and padded */
    int64_t dim_out;
    int64_t parameters;
    int32_t has_empty; /* 1: an empty slot may add something */
};

/* The memory that an evaluation writes. */
struct REAL(dgnn_repinit_workspace) {
    const struct REAL(dgnn_repinit) * block;
    struct dgnn_pair_list list;
    int32_t first_type; /* row of tebd */
    int32_t dense;
    struct dgnn_buffer buffer, scratch;
    int64_t scratch_size;
    real *row;              /* pair x 4 */
    real *sw;               /* pair */
    real *moment;           /* centre x 4 x ngp, of the pair block */
    real *value;            /* the network's outputs: pair x ngp, or ng x square for each centre */
    real *slope;            /* as value */
    real *by_switch;        /* derivative by the switch, as value, with strip */
    int64_t *place;         /* centre: where its part of value begins, in the three-body block */
    int64_t nvalue, nspare; /* numbers in value, and in by_switch */
};

/* Loads a block; variable has its weights. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int REAL(dgnn_repinit_load_pair)(const struct dgnn_value *variable,
                                 const struct dgnn_repinit_context *context,
                                 struct REAL(dgnn_repinit) * block, struct dgnn_error *error);
int REAL(dgnn_repinit_load_three)(const struct dgnn_value *variable,
                                  const struct dgnn_repinit_context *context,
                                  struct REAL(dgnn_repinit) * block, struct dgnn_error *error);
void REAL(dgnn_repinit_free)(struct REAL(dgnn_repinit) * block); /* a zeroed struct is allowed */
void REAL(dgnn_repinit_workspace_free)(struct REAL(dgnn_repinit_workspace) *
                                       workspace); /* a zeroed struct is allowed */

/* Makes the list of pairs for a graph, and reserves rows and scratch memory. Errors: MEMORY. */
int REAL(dgnn_repinit_prepare_pair)(struct REAL(dgnn_repinit_workspace) * workspace,
                                    const struct dgnn_graph *graph, struct dgnn_error *error);
int REAL(dgnn_repinit_prepare_three)(struct REAL(dgnn_repinit_workspace) * workspace,
                                     const struct dgnn_graph *graph, struct dgnn_error *error);

/* What backward finds of forward, in a buffer of the driver's. */
void REAL(dgnn_repinit_places)(const struct REAL(dgnn_repinit_workspace) * workspace, int32_t buffer,
                               struct dgnn_places *to);

/* Writes output, rows of dim_out, stride apart. */
void REAL(dgnn_repinit_forward_pair)(struct REAL(dgnn_repinit_workspace) * workspace,
                                     const struct dgnn_graph *graph, real *output, int64_t stride);
void REAL(dgnn_repinit_forward_three)(struct REAL(dgnn_repinit_workspace) * workspace,
                                      const struct dgnn_graph *graph, real *output, int64_t stride);
/* Adds to edge_gradient, nedge x 3. */
void REAL(dgnn_repinit_backward_pair)(struct REAL(dgnn_repinit_workspace) * workspace,
                                      const struct dgnn_graph *graph, const real *d_output, int64_t stride,
                                      double *edge_gradient);
void REAL(dgnn_repinit_backward_three)(struct REAL(dgnn_repinit_workspace) * workspace,
                                       const struct dgnn_graph *graph, const real *d_output, int64_t stride,
                                       double *edge_gradient);
