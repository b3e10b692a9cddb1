/* Smooth attention in graph semantics where a centre has more keys than slots. Each key k of switch w_k
 * occupies theta_k of the capacity, and the denominator of the softmax over logits x, with e = exp(x) and P =
 * exp(-shift), is
 *
 *     sum_k theta_k e_k + (1 - theta_k)(e_k - P) chi_k  +  max(0, capacity - sum_k theta_k) P,
 *
 * chi_k = (e_k / P)^(1 / theta_k) where e_k < P, else 1. theta_k = min(1, t (2 - t)) with t = min(1, u w_k),
 * and the level u such that the thetas add up to the capacity
 * (deepmd/dpmodel/utils/neighbor_graph/segment.py). Where all logits are at least -shift this is sum_k e_k +
 * (capacity - n) P, whatever theta; only the rest needs this file. */
#ifndef DGNN_NET_SLOTS_H
#define DGNN_NET_SLOTS_H

#include <stdint.h>

/* One centre. theta, d_theta, order: n each, the caller's. */
struct dgnn_slots {
    int64_t n;
    const double *w;
    double capacity;
    double shift;
    double level;  /* u; 0: all keys have a slot */
    int64_t whole; /* keys that occupy one whole slot, those first in order */
    double *theta;
    double *d_theta;
    int64_t *order; /* keys by falling w */
};

/* Fills level, whole, theta and order; clears d_theta. */
void dgnn_slots_occupy(struct dgnn_slots *slots);

/* Softmax of n logits; weight may be x. */
void dgnn_slots_softmax(const struct dgnn_slots *slots, const double *x, double *weight);

/* ratio_k = d ln(denominator) / dx_k; d_theta -= along times the same by theta_k. The gradient of the logits
 * is d_weight_k weight_k - along ratio_k, along = sum_k d_weight_k weight_k. */
void dgnn_slots_backward(const struct dgnn_slots *slots, const double *x, double along, double *ratio);

/* After all rows of the centre: adds to d_w what d_theta gives. */
void dgnn_slots_finish(const struct dgnn_slots *slots, double *d_w);

#endif
