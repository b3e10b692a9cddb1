/* The energy fitting net (deepmd/dpmodel/fitting/general_fitting.py, ener_fitting.py): from descriptor, frame
 * and atomic parameters to the energy of each atom, and the gradient back to the descriptor. */
#ifndef DGNN_NET_FITTING_H
#define DGNN_NET_FITTING_H

#include "net/parts/descriptor.h"

struct dgnn_fitting;

struct dgnn_fitting_properties {
    int64_t dim_descriptor;
    int64_t dim_fparam, dim_aparam;
    const double *default_fparam; /* dim_fparam, or NULL */
    int64_t parameters;
    int64_t dim_last_layer; /* of the last hidden layer; 0: there is none, or types' networks differ */
};

/* value: an object of class Fitting. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int dgnn_fitting_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      struct dgnn_fitting **fitting, struct dgnn_error *error);
void dgnn_fitting_free(struct dgnn_fitting *fitting); /* NULL is allowed */
void dgnn_fitting_properties(const struct dgnn_fitting *fitting, struct dgnn_fitting_properties *properties);

struct dgnn_fitting_input {
    int64_t n;
    const int32_t *type;      /* n, in [0, ntypes) */
    const double *descriptor; /* n x dim_descriptor */
    const double *fparam;     /* dim_fparam; NULL: the default */
    const double *aparam;     /* n x dim_aparam */
    double *last_layer;       /* n x dim_last_layer, written; or NULL */
};

/* What an evaluation writes. The fitting net outlives its workspaces. Errors: MEMORY. */
struct dgnn_fitting_workspace;
int dgnn_fitting_workspace_create(const struct dgnn_fitting *fitting,
                                  struct dgnn_fitting_workspace **workspace, struct dgnn_error *error);
void dgnn_fitting_workspace_free(struct dgnn_fitting_workspace *workspace); /* NULL is allowed */

/* The memory of evaluate, whatever the number of atoms. Errors: MEMORY. */
int dgnn_fitting_prepare(struct dgnn_fitting_workspace *workspace, struct dgnn_error *error);

/* After prepare, by one of the threads, on its own part of the atoms: as evaluate. */
void dgnn_fitting_evaluate_part(struct dgnn_fitting_workspace *workspace,
                                const struct dgnn_fitting_input *input, int32_t thread, double *energy,
                                double *gradient);

/* After prepare. energy: n. gradient: n x dim_descriptor, or NULL; may be the descriptor's own place. */
void dgnn_fitting_evaluate(struct dgnn_fitting_workspace *workspace, const struct dgnn_fitting_input *input,
                           double *energy, double *gradient);

#endif
