/* Forward and backward of the RepFlow layers, around the blocks of ops: what is done per node, the exchanges, the
 * geometry of edges and its gradient.
 *
 * Dead branches are not computed: without sequential_update the last layer's edge and angle updates and the last
 * but one's angle update never reach the nodes. Nodes without an energy (a spin model's virtual ones) need one layer
 * less: their last features are nobody's. Layer 0 needs no exchange, since its nodes depend on types alone,
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

#define DGNN_REAL_BITS 32
#include "net/repflow.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/repflow.inc"
