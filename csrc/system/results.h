/* Rows of results that travel together: an atom's forces, magnetic forces and virial, in one message. */
#ifndef DGNN_SYSTEM_RESULTS_H
#define DGNN_SYSTEM_RESULTS_H

#include "system/nodes.h"

/* Where the parts of a row begin; a part that is not there has no place. */
struct dgnn_results_shape {
    int64_t forces, forces_mag, atom_virial, output_forces; /* -1: not there */
    int64_t width;                                          /* numbers in a row: 0 to 15 */
};

/* The widest row of any model. */
enum { DGNN_RESULTS_WIDEST = 15 };

/* Of energies; of another answer has_spins and has_atom_virial do not matter. */
struct dgnn_results_shape dgnn_results_shape(const struct dgnn_node_form *form, int has_spins,
                                             int has_atom_virial);

/* This rank's sums of an answer that is no energy: its width numbers, then ncounted and the virial. */
int64_t dgnn_results_ntotal(const struct dgnn_node_form *form);
void dgnn_results_total(const struct dgnn_node_result *result, int64_t nowned, double *total);
/* The caller's from the sums over all ranks. */
void dgnn_results_set_total(const struct dgnn_node_form *form, const double *total, struct dgnn_result *to);

/* Row i of result into out, as its shape says. */
void dgnn_results_take(const struct dgnn_node_result *result, const struct dgnn_results_shape *shape,
                       int64_t i, double *out);

/* Where features of that kind go; NULL: nowhere. */
static inline double *dgnn_results_features(const struct dgnn_result *result, int kind)
{
    return kind == DGNN_FEATURES_DESCRIPTOR ? result->descriptor : result->last_layer;
}

/* Zeros, after a failure on this rank alone: what the other ranks still get from it. */
void dgnn_results_clear(const struct dgnn_nodes *nodes, struct dgnn_node_result *result);

/* From n rows into result. */
void dgnn_results_put(const double *rows, const struct dgnn_results_shape *shape, int64_t n,
                      struct dgnn_node_result *result);

#endif
