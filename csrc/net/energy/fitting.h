/* Fittings (deepmd/dpmodel/fitting/general_fitting.py): from descriptor, frame and atomic parameters to the
 * answer of each atom, and the gradient back to the descriptor. What they answer is their kind's matter
 * (net/energy/fitting_kinds.h). */
#ifndef DGNN_NET_FITTING_H
#define DGNN_NET_FITTING_H

#include "net/parts/descriptor.h"

struct dgnn_fitting;

struct dgnn_fitting_properties {
    int64_t dim_descriptor;
    int64_t dim_fparam, dim_aparam;
    const double *default_fparam; /* dim_fparam, or NULL */
    int64_t parameters;
    int32_t output;         /* enum dgnn_output */
    int32_t nseed;          /* numbers of the whole that can be differentiated, the first ones */
    int32_t is_mean;        /* is the whole the mean over atoms, not their sum? */
    int64_t width;          /* numbers of an atom's answer, and of the whole's */
    int64_t dim_rotation;   /* rows of the descriptor's rotation matrix that it takes; 0: none */
    const char *name;       /* what a property's var_name says; else the kind's own */
    int64_t dim_last_layer; /* of the last hidden layer; 0: there is none, or types' networks differ */
};

/* value: an object of class Fitting. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int dgnn_fitting_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      struct dgnn_fitting **fitting, struct dgnn_error *error);
void dgnn_fitting_free(struct dgnn_fitting *fitting); /* NULL is allowed */
void dgnn_fitting_properties(const struct dgnn_fitting *fitting, struct dgnn_fitting_properties *properties);

/* Does a fitting's object name a kind that takes the rotation matrix? */
int dgnn_fitting_takes_rotation(const struct dgnn_value *value);

struct dgnn_fitting_input {
    int64_t n;
    const int32_t *type;      /* n, in [0, ntypes) */
    const double *descriptor; /* n x dim_descriptor */
    const double *rotation;   /* n x dim_rotation x 3, or NULL where that is 0 */
    const double *fparam;     /* dim_fparam; NULL: the default */
    const double *aparam;     /* n x dim_aparam */
    double *last_layer;       /* n x dim_last_layer, written; or NULL */
    const double *weight;     /* n: factors of the atoms' answers in what is differentiated; NULL: 1 */
    int32_t seed;             /* which number of the whole is differentiated, below nseed */
};

/* What an evaluation fills. The gradients may be in the place of what they are gradients by. */
struct dgnn_fitting_answer {
    double *output;            /* n x width, without the model's statistics */
    double *gradient;          /* n x dim_descriptor, or NULL */
    double *rotation_gradient; /* n x dim_rotation x 3; with gradient, where dim_rotation is not 0 */
};

/* An answer (width) of an atom of this type becomes one with the model's statistics (ntypes x width each). */
void dgnn_fitting_finish(const struct dgnn_fitting *fitting, int32_t type, const double *bias,
                         const double *spread, double *answer);

/* What an evaluation writes. The fitting net outlives its workspaces. Errors: MEMORY. */
struct dgnn_fitting_workspace;
int dgnn_fitting_workspace_create(const struct dgnn_fitting *fitting,
                                  struct dgnn_fitting_workspace **workspace, struct dgnn_error *error);
void dgnn_fitting_workspace_free(struct dgnn_fitting_workspace *workspace); /* NULL is allowed */

/* The memory of evaluate, whatever the number of atoms. Errors: MEMORY. */
int dgnn_fitting_prepare(struct dgnn_fitting_workspace *workspace, struct dgnn_error *error);

/* After prepare, by one of the threads, on its own part of the atoms: as evaluate. */
void dgnn_fitting_evaluate_part(struct dgnn_fitting_workspace *workspace,
                                const struct dgnn_fitting_input *input, int32_t thread,
                                const struct dgnn_fitting_answer *answer);

/* After prepare. */
void dgnn_fitting_evaluate(struct dgnn_fitting_workspace *workspace, const struct dgnn_fitting_input *input,
                           const struct dgnn_fitting_answer *answer);

#endif
