/* Forward and backward of the RepFlow layers, around the blocks of ops: what is done per node, the exchanges, the
 * geometry of edges and its gradient.
 *
 * Dead branches are not computed: without sequential_update the last layer's edge and angle updates and the last
 * but one's angle update never reach the nodes. Layer 0 needs no exchange, since its nodes depend on types alone,
 * and for the same reason no gradient of nodes. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "net/dpa3.h"

/* Switch and its slope at r (deepmd/dpmodel/utils/env_mat.py: compute_smooth_weight, compute_exp_sw). */
static double repflow_switch(double r, double start, double cutoff, int exponential, double *slope)
{
    if (exponential) {
        double x = exp(20.0 / start * ((r < cutoff ? r : cutoff) - start)), value = exp(-x);
        *slope = r < cutoff ? -20.0 / start * x * value : 0.0;
        return value;
    }
    double u = (r - start) / (cutoff - start);
    *slope = 0.0;
    if (u <= 0) {
        return 1.0;
    }
    if (u >= 1) {
        return 0.0;
    }
    *slope = -30.0 * u * u * (u - 1) * (u - 1) / (cutoff - start);
    return u * u * u * (-6.0 * u * u + 15.0 * u - 10.0) + 1.0;
}

/* Bounds of contiguous parts of about equal cost. cost: n + 1 running sums. */
static void repflow_partition(const int64_t *first, const int64_t *angle_first, int64_t n, int threads,
                              int64_t *bound)
{
    /* An angle costs about a quarter of an edge at the usual widths, a node about ten edges. */
    double total = (double)first[n] + 0.25 * (double)angle_first[n] + 10.0 * (double)n;
    int64_t i = 0;
    for (int t = 0; t < threads; t++) {
        bound[t] = i;
        double goal = total * (t + 1) / threads;
        while (i < n && (double)first[i] + 0.25 * (double)angle_first[i] + 10.0 * (double)i < goal) {
            i++;
        }
    }
    bound[threads - 1] = threads == 1 ? 0 : bound[threads - 1];
    bound[threads] = n;
}

/* ---------------------------------------------------------------- counting */

struct repflow_counts {
    double nowned, nedge, nangle_edge, nangle, nsecond;
};

/* Multiplications, each with an addition, of a layer's products forward. */
struct repflow_products {
    double node, edge, angle;
};

/* Of the split form: what depends on one node, edge or angle of a row is multiplied once for each of these. first: layer
 * 0 as it is computed, where the inputs of angles, and of affine edges, are one number each. */
static struct repflow_products repflow_layer_products(const struct dgnn_dpa3_settings *s,
                                                      const struct repflow_counts *c, int with_edge, int with_angle,
                                                      int first)
{
    const struct dgnn_dpa3_widths *w = &s->widths;
    double n = w->n, e = w->e, a = w->a, m = w->m, axis = w->axis;
    double from_angle = s->has_angles ? with_edge * e + with_angle * a : 0;
    double edge_input = first && w->affine ? 1 : e, angle_input = first ? 1 : a;
    double second = s->has_angles * with_edge * e;
    return (struct repflow_products){
        .node = c->nowned * (n * n + axis * (n + e) * n + 2 * n * (m + e) + 3 * axis * (n + e) +
                             w->node_part * from_angle),
        .edge = c->nedge * (edge_input * (m + with_edge * e) + 3 * (n + e)),
        .angle = (2 * c->nangle_edge * w->edge_part + c->nangle * angle_input) * from_angle +
                 second * (c->nangle + c->nsecond * e),
    };
}

/* Fills in what a call multiplies, at two operations each; backward does each product of forward once, but those of
 * layer 0's nodes, which depend on types alone. */
static void repflow_count_products(const struct dgnn_dpa3_settings *s, const struct repflow_counts *c,
                                   int want_gradient, struct dgnn_profile *profile)
{
    int64_t nlayer = s->repflow.nlayers;
    int sequential = s->widths.sequential, angle_forward, angle_backward, passes = want_gradient ? 2 : 1;
    angle_forward = sequential ? DGNN_PHASE_EDGE_FORWARD : DGNN_PHASE_ANGLE_FORWARD;
    angle_backward = sequential ? DGNN_PHASE_EDGE_BACKWARD : DGNN_PHASE_ANGLE_BACKWARD;
    for (int64_t l = 0; l < nlayer; l++) {
        struct repflow_products all = repflow_layer_products(s, c, 1, 1, 0);
        struct repflow_products needed =
            repflow_layer_products(s, c, sequential || l + 1 < nlayer, sequential || l + 2 < nlayer, l == 0);
        profile->split_flop += 2 * passes * (all.node + all.edge + all.angle);
        profile->flop[DGNN_PHASE_NODE_FORWARD] += 2 * needed.node;
        profile->flop[DGNN_PHASE_EDGE_FORWARD] += 2 * needed.edge;
        profile->flop[angle_forward] += 2 * needed.angle;
        if (want_gradient) {
            double n = s->widths.n, e = s->widths.e;
            double node = l ? needed.node : c->nowned * s->widths.axis * (n + e) * (n + 3);
            profile->flop[DGNN_PHASE_NODE_BACKWARD] += 2 * node;
            profile->flop[DGNN_PHASE_EDGE_BACKWARD] += 2 * needed.edge;
            profile->flop[angle_backward] += 2 * needed.angle;
        }
    }
    profile->nangle_edge += (int64_t)c->nangle_edge;
    profile->nangle += (int64_t)c->nangle;
}

#define DGNN_REAL_BITS 32
#include "net/repflow.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/repflow.inc"
