#include "base/real.h"

struct REAL(dgnn_dpa2) {
    const struct dgnn_dpa2_settings *settings; /* the descriptor's */
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_repinit) pair, three;
    struct REAL(dgnn_repformer) repformer;
    struct REAL(dgnn_matrix) shape, shape_turned; /* first features to g1, columns padded; no data: the
                                                     identity */
    real *type_row; /* ntypes x g1 padded: what types add to the first features, or NULL */
    int64_t first_width, first_stride;
    int64_t parameters;
};

/* What an evaluation writes. */
struct REAL(dgnn_dpa2_workspace) {
    const struct REAL(dgnn_dpa2) * d;
    struct REAL(dgnn_repinit_workspace) pair, three;
    struct REAL(dgnn_repformer_workspace) repformer;
    struct dgnn_buffer first; /* nowned x first_stride: first features, then their gradient */
};

int REAL(dgnn_dpa2_load)(const struct dgnn_dpa2_settings *settings, struct REAL(dgnn_dpa2) * d,
                         struct dgnn_error *error);
void REAL(dgnn_dpa2_free)(struct REAL(dgnn_dpa2) * d); /* a zeroed one is allowed */
/* On failure too the workspace is freed. Errors: MEMORY. */
int REAL(dgnn_dpa2_workspace_create)(const struct REAL(dgnn_dpa2) * d,
                                     struct REAL(dgnn_dpa2_workspace) * workspace, struct dgnn_error *error);
void REAL(dgnn_dpa2_workspace_free)(struct REAL(dgnn_dpa2_workspace) *
                                    workspace); /* a zeroed one is allowed */
int REAL(dgnn_dpa2_prepare)(struct REAL(dgnn_dpa2_workspace) * workspace,
                            const struct dgnn_evaluation *evaluation, struct dgnn_error *error);
int REAL(dgnn_dpa2_forward)(struct REAL(dgnn_dpa2_workspace) * workspace,
                            const struct dgnn_evaluation *evaluation, double *output,
                            struct dgnn_error *error);
int REAL(dgnn_dpa2_backward)(struct REAL(dgnn_dpa2_workspace) * workspace,
                             const struct dgnn_evaluation *evaluation, const double *output_gradient,
                             struct dgnn_error *error);
