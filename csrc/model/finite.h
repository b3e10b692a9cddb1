/* Is an answer finite? A model that overflowed must not look like one that answered. */
#ifndef DGNN_MODEL_FINITE_H
#define DGNN_MODEL_FINITE_H

#include "system/results.h"

/* A total energy, in eV. Errors: INPUT. */
int dgnn_finite_total(double energy, struct dgnn_error *error);
/* The answers, forces and magnetic forces of this rank's atoms; their labels name them. Errors: INPUT. */
int dgnn_finite_result(const struct dgnn_node_result *result, const struct dgnn_nodes *atoms,
                       struct dgnn_error *error);

#endif
