/* Smooth attention in graph semantics, for a centre that has more keys than slots (capacity). Key k with
 * switch w_k occupies theta_k of the capacity. With e = exp(x) of the logits x and P = exp(-shift), the
 * softmax's denominator is
 *
 *     sum_k theta_k e_k + (1 - theta_k) (e_k - P) chi_k  +  max(0, capacity - sum_k theta_k) P,
 *
 * where chi_k = (e_k / P)^(1 / theta_k) if e_k < P, otherwise 1, and theta_k = min(1, t (2 - t)) with t =
 * min(1, u w_k). The level u is such that the thetas add up to the capacity
 * (deepmd/dpmodel/utils/neighbor_graph/segment.py). Where all logits are at least -shift, the denominator is
 * sum_k e_k + (capacity - n) P, which needs no theta. */
#ifndef DGNN_NET_CAPACITY_SOFTMAX_H
#define DGNN_NET_CAPACITY_SOFTMAX_H

#include <stdint.h>

/* The keys of one centre. The caller owns theta, d_theta and order, n entries each. */
struct dgnn_capacity_softmax {
    int64_t n;
    const double *w;
    double capacity;
    double shift;
    double level;  /* u; 0: each key has a slot of its own */
    int64_t whole; /* how many keys, the first in order, occupy a whole slot */
    double *theta;
    double *d_theta;
    int64_t *order; /* keys in the order of decreasing w */
};

/* Fills level, whole, theta and order, and clears d_theta. */
void dgnn_capacity_softmax_occupy(struct dgnn_capacity_softmax *softmax);

/* weight_k = e_k / denominator of n logits x; weight may be x. */
void dgnn_capacity_softmax_weights(const struct dgnn_capacity_softmax *softmax, const double *x,
                                   double *weight);

/* ratio_k = d ln(denominator) / dx_k, and d_theta_k -= along d ln(denominator) / dtheta_k. The gradient by
 * logit k is d_weight_k weight_k - along ratio_k, with along = sum_k d_weight_k weight_k. */
void dgnn_capacity_softmax_backward(const struct dgnn_capacity_softmax *softmax, const double *x,
                                    double along, double *ratio);

/* Adds the gradient by w to d_w, after all rows of the centre. */
void dgnn_capacity_softmax_finish(const struct dgnn_capacity_softmax *softmax, double *d_w);

#endif
