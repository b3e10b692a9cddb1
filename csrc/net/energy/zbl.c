#include "net/energy/zbl.h"

#include <math.h>

int dgnn_zbl_check(const struct dgnn_zbl *z, const struct dgnn_value *where, struct dgnn_error *error)
{
    return isfinite(z->rmin) && isfinite(z->rmax) && z->rmax > z->rmin && isfinite(z->alpha) && z->alpha > 0
               ? DGNN_OK
               : dgnn_value_refuse(
                     error, DGNN_ERROR_FORMAT, where,
                     "sw_rmin %g, sw_rmax %g, smin_alpha %g; expected sw_rmax above sw_rmin, and a "
                     "positive smin_alpha",
                     z->rmin, z->rmax, z->alpha);
}

/* The soft minimum of a centre, and the sum of its e_j; 0 and 0 where that is nothing. */
static double zbl_minimum(const struct dgnn_zbl *z, const struct dgnn_graph *g, int64_t i, double *sum)
{
    double numerator = 0;
    *sum = 0;
    for (int64_t e = g->first[i]; e < g->first[i + 1]; e++) {
        double near = exp(-g->distance[e] / z->alpha);
        numerator += g->distance[e] * near;
        *sum += near;
    }
    return *sum > 0 ? numerator / *sum : 0;
}

/* c, and dc/ds. Of s = 0 deepmd-kit makes 0. */
static double zbl_switch(const struct dgnn_zbl *z, double s, double *slope)
{
    double x = (s - z->rmin) / (z->rmax - z->rmin);
    *slope = 0;
    if (s == 0 || s >= z->rmax) {
        return 0;
    }
    if (s < z->rmin) {
        return 1;
    }
    *slope = -30 * x * x * (1 - x) * (1 - x) / (z->rmax - z->rmin);
    return -6 * x * x * x * x * x + 15 * x * x * x * x - 10 * x * x * x + 1;
}

void dgnn_zbl_weights(const struct dgnn_zbl *z, const struct dgnn_graph *g, double *weight)
{
    double sum, slope;
    for (int64_t i = 0; i < g->nowned; i++) {
        weight[i] = zbl_switch(z, zbl_minimum(z, g, i, &sum), &slope);
    }
}

/* ds/dr_j = e_j / sum (1 + (s - r_j) / alpha). */
void dgnn_zbl_backward(const struct dgnn_zbl *z, const struct dgnn_graph *g, const double *factor,
                       double *edge_gradient)
{
    for (int64_t i = 0; i < g->nowned; i++) {
        double sum, slope, s = zbl_minimum(z, g, i, &sum);
        zbl_switch(z, s, &slope);
        for (int64_t e = g->first[i]; e < g->first[i + 1] && slope != 0; e++) {
            double r = g->distance[e];
            double by_r = exp(-r / z->alpha) / sum * (1 + (s - r) / z->alpha);
            for (int c = 0; c < 3; c++) {
                edge_gradient[3 * e + c] += factor[i] * slope * by_r * g->vector[3 * e + c] / r;
            }
        }
    }
}
