/* The CPU's stages of the RepFlow layers (stages.h), around the blocks of ops: what is done per node, the
 * geometry of edges and its gradient.
 *
 * Dead branches are not computed (driver.c). Nodes without an energy (a spin model's virtual ones, and the
 * last ones where atom_exclude_types drops them) need one layer less: their last features are nobody's. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "base/stop.h"
#include "net/dpa3/dpa3.h"

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

/* ---------------------------------------------------------------- counting */

/* Of one set of centres. */
struct repflow_counts {
    double nowned, nedge, nangle_edge, nangle, nangle_linear2;
    int64_t ahead; /* layers that they need less than the others */
};

/* As multiplied: padded. node_part, edge_part: what of a node and an edge goes into angles. */
struct repflow_widths {
    double n, e, a, m, axis, node_part, edge_part;
};

/* Multiplications, each with an addition, of a layer's products forward. */
struct repflow_products {
    double node, edge, angle;
};

/* Of the split form: what depends on one node, edge or angle of a row is multiplied once for each of these.
 * edge_input, angle_input: widths of what comes in, 1 in layer 0 as it is computed. */
static struct repflow_products repflow_layer_products(const struct repflow_widths *w,
                                                      const struct repflow_counts *c, int with_edge,
                                                      int with_angle, double edge_input, double angle_input)
{
    double has_angles = w->a > 0, angle_outputs = has_angles * (with_edge * w->e + with_angle * w->a);
    double angle_linear2 = has_angles * with_edge * w->e, both = w->n + w->e;
    return (struct repflow_products){
        .node = c->nowned * (w->n * w->n + w->axis * both * (w->n + 3) +
                             2 * w->n * (w->m + with_edge * w->e) + w->node_part * angle_outputs),
        .edge = c->nedge * (edge_input * (w->m + with_edge * w->e) + 3 * both),
        .angle = (2 * c->nangle_edge * w->edge_part + c->nangle * angle_input) * angle_outputs +
                 angle_linear2 * (c->nangle + c->nangle_linear2 * w->e),
    };
}

int dgnn_repflow_starts_from_numbers(const struct dgnn_dpa3_settings *s, int64_t l)
{
    return l == 0 && s->repflow.edge_init_use_dist;
}

/* Adds what one set of centres needs. sides: of backward, 0 without it. */
static void repflow_count_products(const struct dgnn_dpa3_settings *s, const struct repflow_widths *w,
                                   int64_t nlayer, const struct repflow_counts *c, int sides,
                                   struct dgnn_profile *profile)
{
    int64_t ahead = c->ahead;
    int passes = 1 + sides;
    struct repflow_products all = repflow_layer_products(w, c, 1, 1, w->e, w->a);
    profile->split_flop += 2 * passes * (double)nlayer * (all.node + all.edge + all.angle);
    for (int64_t l = 0; l < nlayer - ahead; l++) {
        int64_t left = nlayer - ahead - l + (s->wants_rotation ? 1 : 0); /* of edges */
        struct repflow_products needed =
            repflow_layer_products(w, c, s->is_sequential || left > 1, s->is_sequential || left > 2,
                                   dgnn_repflow_starts_from_numbers(s, l) ? 1 : w->e, l == 0 ? 1 : w->a);
        profile->flop[DGNN_PHASE_NODE_FORWARD] += 2 * needed.node;
        profile->flop[DGNN_PHASE_EDGE_FORWARD] += 2 * needed.edge;
        profile->flop[s->is_sequential ? DGNN_PHASE_EDGE_FORWARD : DGNN_PHASE_ANGLE_FORWARD] +=
            2 * needed.angle;
        if (sides) {
            double node = l ? needed.node : c->nowned * w->axis * (w->n + w->e) * (w->n + 3);
            profile->flop[DGNN_PHASE_NODE_BACKWARD] += 2 * sides * node;
            profile->flop[DGNN_PHASE_EDGE_BACKWARD] += 2 * sides * needed.edge;
            profile->flop[s->is_sequential ? DGNN_PHASE_EDGE_BACKWARD : DGNN_PHASE_ANGLE_BACKWARD] +=
                2 * sides * needed.angle;
        }
    }
    profile->nangle_edge += (int64_t)c->nangle_edge;
    profile->nangle += (int64_t)c->nangle;
}

/* The time that each of these takes, as products of nodes and edges: those of angles, which are narrow and
 * end in more activations, take 1.2 times as long (docs/performance.md). */
struct repflow_costs {
    double node, edge, angle_edge, angle;
};

static double repflow_cost(const struct dgnn_dpa3_settings *s, const struct repflow_widths *w, int64_t nlayer,
                           const struct repflow_counts *counts)
{
    struct dgnn_profile counted = {0};
    double cost = 0;
    repflow_count_products(s, w, nlayer, counts, 1, &counted);
    for (int phase = 0; phase < DGNN_PHASE_COUNT; phase++) {
        int of_angles = phase == DGNN_PHASE_ANGLE_FORWARD || phase == DGNN_PHASE_ANGLE_BACKWARD;
        cost += counted.flop[phase] * (of_angles ? 1.2 : 1);
    }
    return cost;
}

#define DGNN_REAL_BITS 32
#include "net/dpa3/repflow_memory_body.h"
#include "net/dpa3/repflow_layout_body.h"
#include "net/dpa3/repflow_body.h"
#include "net/dpa3/repflow_backward_body.h"
#include "net/dpa3/repflow_cpu_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa3/repflow_memory_body.h"
#include "net/dpa3/repflow_layout_body.h"
#include "net/dpa3/repflow_body.h"
#include "net/dpa3/repflow_backward_body.h"
#include "net/dpa3/repflow_cpu_body.h"
