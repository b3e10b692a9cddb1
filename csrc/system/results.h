/* Rows of results: an atom's forces, magnetic forces and virial travel in one message. */
#ifndef DGNN_SYSTEM_RESULTS_H
#define DGNN_SYSTEM_RESULTS_H

#include "system/nodes.h"

/* Where the parts of a row begin. */
struct dgnn_results_shape {
    int64_t forces, forces_mag, atom_virial, output_forces; /* -1: not there */
    int64_t width;                                          /* numbers in a row: 0 to 15 */
};

/* Of energies; of another answer has_spins and has_atom_virial do not matter. */
struct dgnn_results_shape dgnn_results_shape(const struct dgnn_node_form *form, int has_spins,
                                             int has_atom_virial);

/* This rank's sums of an answer that is no energy: its width numbers, then ncounted and the virial. */
int64_t dgnn_results_ntotal(const struct dgnn_node_form *form);
void dgnn_results_total(const struct dgnn_node_result *result, int64_t nowned, double *total);
/* The caller's from the sums over all ranks. */
void dgnn_results_set_total(const struct dgnn_node_form *form, const double *total, struct dgnn_result *to);

/* Copies row i of result into out, in the order that shape says. */
void dgnn_results_pack(const struct dgnn_node_result *result, const struct dgnn_results_shape *shape,
                       int64_t i, double *out);

/* Where features of that kind go; NULL: nowhere. */
static inline double *dgnn_results_features(const struct dgnn_result *result, int kind)
{
    return kind == DGNN_FEATURES_DESCRIPTOR ? result->descriptor : result->last_layer;
}

/* Zeros, after a failure on this rank alone: what the other ranks still get from it. */
void dgnn_results_clear(const struct dgnn_nodes *nodes, struct dgnn_node_result *result);

/* Copies n rows into result. */
void dgnn_results_unpack(const double *rows, const struct dgnn_results_shape *shape, int64_t n,
                         struct dgnn_node_result *result);

#endif
