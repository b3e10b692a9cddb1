/* From the gradient of each edge's vector to forces and virials; all in float64 and in a fixed order.
 *
 * With d = x_j - x_i and g = dE/dd: F_i += g, F_j -= g, virial -= g (x) d (row: component of g, column: of
 * d). That is sum_i F_i (x) r_i over atoms and images, deepmd-kit's virial; stress = -virial/volume. */
#ifndef DGNN_GEOM_GRADIENT_H
#define DGNN_GEOM_GRADIENT_H

#include "geom/graph.h"

/* edge_gradient: nedge x 3, dE/dvector. forces: nrow x 3, set; nrow is the graph's nnode, or the number of
 * images where graph->image is given (centre i is then image i). Ghost rows get what is their owners'. */
void dgnn_gradient_forces(const struct dgnn_graph *graph, const double *edge_gradient, int64_t nrow,
                          double *forces);

/* virial: 9, set: this rank's edges. */
void dgnn_gradient_virial(const struct dgnn_graph *graph, const double *edge_gradient, double virial[9]);

/* atom_virial: nrow x 9, set; each edge's part belongs to the neighbour's row (its image's where given). */
void dgnn_gradient_atom_virial(const struct dgnn_graph *graph, const double *edge_gradient, int64_t nrow,
                               double *atom_virial);

#endif
