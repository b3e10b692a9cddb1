/* How much a pair table counts beside a net, from the distances of an atom's neighbours
 * (deepmd/dpmodel/atomic_model/linear_atomic_model.py: DPZBLLinearEnergyAtomicModel):
 *
 *     E_i = (1 - c) E_net + c E_table,   s = sum_j r_j e_j / sum_j e_j,  e_j = exp(-r_j / alpha),
 *     x = (s - rmin) / (rmax - rmin),    c = 1 below 0, 0 from 1 on, else 1 - 10 x^3 + 15 x^4 - 6 x^5
 *
 * and 0 where the sums are nothing: no neighbours, or all so far that their e_j vanish. */
#ifndef DGNN_NET_ZBL_H
#define DGNN_NET_ZBL_H

#include "net/parts/descriptor.h"

struct dgnn_zbl {
    double rmin, rmax, alpha;
    int32_t part; /* of the sum's parts, the one whose list has the neighbours */
};

/* rmax > rmin, alpha > 0, all finite? FORMAT, naming where. */
int dgnn_zbl_check(const struct dgnn_zbl *zbl, const struct dgnn_value *where, struct dgnn_error *error);

/* weight: nowned, c of each centre. */
void dgnn_zbl_weights(const struct dgnn_zbl *zbl, const struct dgnn_graph *graph, double *weight);
/* edge_gradient (nedge x 3) gets sum_i factor_i dc_i/dvector added. factor: nowned. */
void dgnn_zbl_backward(const struct dgnn_zbl *zbl, const struct dgnn_graph *graph, const double *factor,
                       double *edge_gradient);

#endif
