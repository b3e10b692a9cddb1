/* A table of pair energies as a part of a sum (deepmd/dpmodel/atomic_model/pairtab_atomic_model.py):
 *
 *     E_i = 1/2 sum over j with r < rcut of the spline of (t_i, t_j),
 *     u = (r - rmin) / hh, k = int(u) held to 0 .. nspline - 1, u -= int(u), ((a3 u + a2) u + a1) u + a0
 *
 * int cuts towards zero; it is zero from rmin + nspline hh on, and not smoothed at rcut. In float64. */
#ifndef DGNN_NET_PAIRTAB_H
#define DGNN_NET_PAIRTAB_H

#include "net/parts/descriptor.h"

struct dgnn_pairtab;

/* value: an object of class Model and type pairtab. Errors: FORMAT, UNSUPPORTED, MEMORY. */
int dgnn_pairtab_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      struct dgnn_pairtab **table, struct dgnn_error *error);
void dgnn_pairtab_free(struct dgnn_pairtab *table); /* NULL is allowed */

/* As of a descriptor: what the sum must know of it. */
void dgnn_pairtab_properties(const struct dgnn_pairtab *table, struct dgnn_descriptor_properties *properties);
int dgnn_pairtab_describe(const struct dgnn_pairtab *table, struct dgnn_text *text, struct dgnn_error *error);

struct dgnn_pairtab_input {
    const struct dgnn_graph *graph;
    const uint8_t *dropped; /* ntypes, 1: atoms of this type have no energy */
    const double *weight;   /* nowned: factors of the atoms' energies in the gradient; NULL: 1 */
};

/* energy: nowned, or NULL. edge_gradient: nedge x 3, gets the gradient of their weighted sum added; or NULL.
 */
void dgnn_pairtab_evaluate(const struct dgnn_pairtab *table, const struct dgnn_pairtab_input *input,
                           double *energy, double *edge_gradient);

#endif
