/* The kinds of fittings: what each makes of its network's numbers (deepmd/dpmodel/fitting/{ener,dipole,
 * polarizability,dos,property}_fitting.py and the atomic models of these names). With y the network's numbers
 * and the bias of type t, R the descriptor's rotation matrix, b and s the model's out_bias and out_std:
 *
 *     ener        y + b
 *     dipole      y R
 *     polar       c R^T diag(y) R, or c R^T (Y + Y^T) R / 2 of y as a matrix (fit_diag false), c = scale[t];
 *                 with shift_diag plus c (constant_matrix[t] + mean of b's diagonal) I
 *     dos         y + b
 *     property    y s + b, of type 0 for all unless distinguish_types
 *
 * Atoms that the model excludes have zeros. The whole is the sum over atoms; of an intensive property it is
 * the mean over those that are not excluded. */
#ifndef DGNN_NET_FITTING_KINDS_H
#define DGNN_NET_FITTING_KINDS_H

#include "net/params/params.h"
#include "net/parts/descriptor.h"

/* Rows of every kind's table, by name; those that a kind lacks stay 0. */
struct dgnn_fitting_params {
#include "net/params/params_fields.h"
#include "net/params/fitting.def"
#include "net/params/params_end.h"
    const char *var_name;
    int64_t dim_out, embedding_width, task_dim;
    int32_t fit_diag, shift_diag, intensive, distinguish_types;
};

/* What a kind knows beside the network. */
struct dgnn_fitting_own {
    const struct dgnn_fitting_kind *kind;
    struct dgnn_fitting_params params;
    int32_t ntypes;
    int64_t net_width;        /* numbers that the network gives */
    int64_t width;            /* of an atom's answer */
    int64_t dim_rotation;     /* rows of R; 0: R is not used */
    double *scale, *constant; /* ntypes, or NULL */
};

struct dgnn_fitting_kind {
    const char *type; /* as in "type" of the tree; aliases are further rows of the list of kinds */
    const struct dgnn_param *rows;
    size_t nrow;
    int32_t output;         /* enum dgnn_output */
    int32_t nseed;          /* numbers of the whole that can be differentiated, the first ones */
    int32_t is_gated;       /* does the network have gates (net/energy/glu.h)? */
    int32_t takes_rotation; /* does answer read the descriptor's rotation? */

    /* After the table's rows: widths, and what else is in the tree. Errors: FORMAT, MEMORY. */
    int (*load)(const struct dgnn_value *value, struct dgnn_fitting_own *own, struct dgnn_error *error);
    /* answer (width) of one atom, from y (net_width) and rotation (dim_rotation x 3). */
    void (*answer)(const struct dgnn_fitting_own *own, int32_t type, const double *y, const double *rotation,
                   double *answer);
    /* Where nseed > 1: the derivatives of number seed by y and by rotation; written. */
    void (*derive)(const struct dgnn_fitting_own *own, const double *y, const double *rotation, int32_t seed,
                   double *d_y, double *d_rotation);
    /* What the model's statistics make of an answer. bias, spread: ntypes x width. NULL: nothing. */
    void (*finish)(const struct dgnn_fitting_own *own, int32_t type, const double *bias, const double *spread,
                   double *answer);
};

/* By the "type" member; UNSUPPORTED with the known names for others. */
int dgnn_fitting_kind_find(const struct dgnn_value *value, const struct dgnn_fitting_kind **kind,
                           struct dgnn_error *error);

/* Frees what load made. */
void dgnn_fitting_own_free(struct dgnn_fitting_own *own);

/* n numbers of "@variables", as double; *out is allocated (dgnn_alloc_free). With n 0 there must be none. */
int dgnn_fitting_load_row(const struct dgnn_value *value, const char *name, int64_t n, double **out,
                          struct dgnn_error *error);

#endif
