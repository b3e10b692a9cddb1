#include "base/real.h"

/* A matrix and its transpose, with columns padded to whole vectors. */
struct REAL(dgnn_repformer_map) {
    struct REAL(dgnn_matrix) w, transposed;
};

/* new row = start * old row + sum_k factor_k * update_k, element by element. */
struct REAL(dgnn_repformer_update) {
    real start;
    int64_t n;     /* updates */
    int64_t width; /* padded */
    real *factor;  /* n x width, zeros in the padding */
};

struct REAL(dgnn_repformer_layer) {
    struct dgnn_repformer_switches s;
    int64_t common_width;                               /* inputs of the common update */
    struct REAL(dgnn_repformer_map) common, self, pair; /* linear1, g1_self_mlp, linear2 */
    real *common_bias, *self_bias, *pair_bias;
    struct REAL(dgnn_repformer_map) conv;       /* g2 -> g1 where conv_out, else g1 -> g2 */
    struct REAL(dgnn_repformer_map) product;    /* g1 -> g2 */
    struct REAL(dgnn_repformer_map) pair_heads; /* g2 -> each head's form of the logits, then its values */
    real *pair_attn_bias;
    real *norm_scale, *norm_shift;
    double norm_epsilon;
    real *vector_weight;                        /* pair_heads */
    struct REAL(dgnn_repformer_map) node_form;  /* g1 -> heads x g1: the form of the logits */
    struct REAL(dgnn_repformer_map) node_value; /* heads x g1 -> g1 */
    real *node_attn_bias;
    struct REAL(dgnn_repformer_update) g1, g2, h2;
    int64_t parameters;
};

/* Intermediates of the pairs' own phase, for a range of centres. */
struct REAL(dgnn_repformer_pair_kept) {
    real *slope;  /* pair x g2: of linear2 */
    real *heads;  /* pair x heads: what pair_heads gives */
    real *normed; /* pair x g2: normalised, before scale and shift */
    real *spread; /* pair: 1 / standard deviation */
    real *logit;  /* for each centre heads x n x n: before gate and switch */
    real *weight; /* as logit: after the softmax */
};

/* Intermediates of the nodes' phase, for a range of centres. */
struct REAL(dgnn_repformer_node_kept) {
    real *self_slope, *common_slope; /* centre x g1 */
    real *moment1;                   /* centre x 3 x g1 */
    real *moment2;                   /* centre x 3 x g2 */
    real *form;                      /* centre x heads x g1 */
    real *logit, *weight;            /* pair x heads */
};

struct REAL(dgnn_repformer) {
    const struct REAL(dgnn_ops) * ops;
    struct dgnn_repformer_context context;
    struct dgnn_environment environment;
    struct dgnn_activation activation;
    int64_t nlayer, nsel;
    int64_t ng1, ng2, ng1p, ng2p; /* ng1p, ng2p: padded */
    int32_t direct;
    struct REAL(dgnn_layer) embedding; /* 1 -> g2 */
    struct REAL(dgnn_repformer_layer) * layer;
    int64_t parameters;
};

/* One side of backward (net/parts/descriptor.h): of what a layer began with, and of what it made. */
struct REAL(dgnn_repformer_side) {
    real *g1[2];     /* nnode x ng1p */
    real *g2[2];     /* pair x ng2p */
    real *h2[2];     /* pair x 4 */
    real *neighbour; /* pair x ng1p: what a pair holds for its neighbour's g1; of a moment, the pairs of a
                        group of chunks, and first_pair is their first one */
    int64_t first_pair, npair; /* room for so many */
    real *received; /* nnode x ng1p, of a moment: what pairs hold for each node, summed group by group */
    double *sw;     /* pair */
};

/* The memory that an evaluation writes. */
struct REAL(dgnn_repformer_workspace) {
    const struct REAL(dgnn_repformer) * block;
    struct dgnn_pair_list list;
    int32_t dense;
    int64_t nchunk_with_energy; /* how many chunks, the first ones, have nodes whose output is used */
    struct dgnn_buffer buffer, scratch;
    int64_t scratch_size;  /* bytes of one thread */
    double *sw;            /* pair; in float64, because smooth attention multiplies it by its large shift */
    real **g1;             /* nlayer + 1 of nnode x ng1p */
    real **g2;             /* nlayer + 1 of pair x ng2p; an entry may repeat the one before */
    real **h2;             /* nlayer + 1 of pair x 4; an entry may repeat the one before */
    real *start_slope;     /* centre x ng1p: of the activation before the first layer */
    real *embedding_slope; /* pair x ng2p */
    struct REAL(dgnn_repformer_pair_kept) * pair_kept; /* nlayer; NULL members unless kept */
    struct REAL(dgnn_repformer_node_kept) * node_kept; /* nlayer */
    int32_t sides, has_rows;
    real *displacement; /* pair x 3, with moments: from the centre's atom to the neighbour's */
    int64_t *summed;    /* nnode, with moments: how many of list.reverse are in received already */
    int64_t group;      /* with moments: chunks whose pairs are summed at a time */
    /* nnode x sides x ng1p: what goes back over ranks, of all sides, with more than one. Two that take turns
     * as sides' g1 do: the rows of the layer above may still be under way. */
    real *d_rows[2];
    struct REAL(dgnn_repformer_side) side[DGNN_SIDES];
    struct REAL(dgnn_repformer_side) * d; /* the side that backward is at */
};

/* Loads the block; variable has its weights. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int REAL(dgnn_repformer_load)(const struct dgnn_repformer_shape *shape, const struct dgnn_value *variable,
                              const struct dgnn_repformer_context *context,
                              struct REAL(dgnn_repformer) * block, struct dgnn_error *error);
void REAL(dgnn_repformer_free)(struct REAL(dgnn_repformer) * block); /* a zeroed struct is allowed */

/* Creates a workspace, which the block must outlive. The caller frees it, also after a failure. Errors:
 * MEMORY. */
int REAL(dgnn_repformer_workspace_create)(const struct REAL(dgnn_repformer) * block,
                                          struct REAL(dgnn_repformer_workspace) * workspace,
                                          struct dgnn_error *error);
void REAL(dgnn_repformer_workspace_free)(struct REAL(dgnn_repformer_workspace) *
                                         workspace); /* a zeroed struct is allowed */

/* Makes the list of pairs for a graph, and reserves scratch memory. Errors: MEMORY. */
int REAL(dgnn_repformer_prepare)(struct REAL(dgnn_repformer_workspace) * workspace,
                                 const struct dgnn_evaluation *evaluation, struct dgnn_error *error);
struct dgnn_rows REAL(dgnn_repformer_rows)(const struct REAL(dgnn_repformer_workspace) * workspace,
                                           int32_t buffer, int64_t layer);
void REAL(dgnn_repformer_places)(const struct REAL(dgnn_repformer_workspace) * workspace,
                                 struct dgnn_places *to);

/* Stages of the driver (dpa2_driver.c). first_nodes: the activation of g1[0], whose nowned rows are there;
 * output: g1[nlayer] has zeros where nothing is used; d_output: after the owned rows of the gradient's g1[1]
 * are there, which d_first_pairs leaves as the gradient by what first_nodes found. */
typedef void REAL(dgnn_repformer_stage)(struct REAL(dgnn_repformer_workspace) *,
                                        const struct dgnn_stage_call *);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_first_nodes);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_first_pairs);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_pairs);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_nodes);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_output);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_d_output);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_d_nodes);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_d_neighbours);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_d_pairs);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_d_next);
REAL(dgnn_repformer_stage) REAL(dgnn_repformer_d_first_pairs);
