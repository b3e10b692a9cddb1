/* F_i += g, F_j -= g, virial -= g (x) d, with d = x_j - x_i an edge's vector and g = dE/dd its gradient.
 *
 * Rows of the virial are components of g, columns those of d. It is sum_i F_i (x) r_i over atoms and images,
 * as in deepmd-kit; stress = -virial / volume. All sums are in float64 and in a fixed order. */
#ifndef DGNN_GEOM_GRADIENT_H
#define DGNN_GEOM_GRADIENT_H

#include "geom/graph.h"

/* edge_gradient: nedge x 3, dE/dvector. forces: nrow x 3, set; nrow is the graph's nnode, or the number of
 * images where graph->image is given (centre i is then image i). Ghost rows get what is their owners'. */
void dgnn_gradient_forces(const struct dgnn_graph *graph, const double *edge_gradient, int64_t nrow,
                          double *forces);

/* Writes the 9 numbers of this rank's edges into virial. */
void dgnn_gradient_virial(const struct dgnn_graph *graph, const double *edge_gradient, double virial[9]);

/* atom_virial: nrow x 9, set; each edge's part belongs to the neighbour's row (its image's where given):
 * exact where energies depend on their own edges alone. */
void dgnn_gradient_atom_virial(const struct dgnn_graph *graph, const double *edge_gradient, int64_t nrow,
                               double *atom_virial);

/* What messages add to it: an edge with the moment M, of its centre i and the neighbour j, adds M to i and
 * takes it from j. edge_moment: 3 x nedge x 3, M's columns (the displacement's components) one after another.
 */
void dgnn_gradient_add_moments(const struct dgnn_graph *graph, const double *edge_moment,
                               double *atom_virial);

#endif
