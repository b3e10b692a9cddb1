/* Rows of results that travel together: an atom's forces, magnetic forces and virial, in one message. */
#ifndef DGNN_SYSTEM_RESULTS_H
#define DGNN_SYSTEM_RESULTS_H

#include "system/nodes.h"

/* Where the parts of a row begin; a part that is not there has no place. */
struct dgnn_results_shape {
    int64_t forces_mag, atom_virial; /* -1: not there; forces are at 0 */
    int64_t width;                   /* numbers in a row: 3 to 15 */
};

struct dgnn_results_shape dgnn_results_shape(int has_spins, int has_atom_virial);

/* Row i of result into out, as its shape says. */
void dgnn_results_take(const struct dgnn_node_result *result, const struct dgnn_results_shape *shape,
                       int64_t i, double *out);

/* Where features of that kind go; NULL: nowhere. */
static inline double *dgnn_results_features(const struct dgnn_result *result, int kind)
{
    return kind == DGNN_FEATURES_DESCRIPTOR ? result->descriptor : result->last_layer;
}

/* From n rows into result. */
void dgnn_results_put(const double *rows, const struct dgnn_results_shape *shape, int64_t n,
                      struct dgnn_node_result *result);

#endif
