#include "base/real.h"

/* DPA3, forward: what is between the products. The formulas are those of csrc/net/dpa3/repflow_body.h and
 * of the reference in csrc/ops/reference_body.h; an item is a number, an edge or an angle. */

#define REPFLOW(name)                                                                                        \
    KERNEL_FUNCTION void KERNEL_JOIN(REAL(repflow_##name),                                                   \
                                     _item)(const struct REAL(dgnn_kernel_repflow) & k, int64_t t)
/* A launch does the items from k.begin on, as angles are done in chunks. */
#define REPFLOW_KERNEL(name)                                                                                 \
    KERNEL_FUNCTION void KERNEL_JOIN(REAL(repflow_##name),                                                   \
                                     _from_item)(const struct REAL(dgnn_kernel_repflow) & k, int64_t t)      \
    {                                                                                                        \
        KERNEL_JOIN(REAL(repflow_##name), _item)(k, k.begin + t);                                            \
    }                                                                                                        \
    KERNEL_ITEMS_BY(REAL(repflow_##name), KERNEL_JOIN(REAL(repflow_##name), _from_item),                     \
                    struct REAL(dgnn_kernel_repflow))

/* ---------------------------------------------------------------- geometry */

#if DGNN_REAL_BITS == 32 /* of both types */
KERNEL_FUNCTION double repflow_switch(double r, double start, double cutoff, int exponential, double *slope)
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
#endif

/* At one place (a virtual atom of a spin of zero) there is no direction: a vector of zeros over the smallest
 * number is zeros, as on the CPU (csrc/geom/pairvector.c). */
KERNEL_FUNCTION double REAL(repflow_length)(const double *d)
{
    double squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    return squared > 0 ? sqrt(squared) : 2.2250738585072014e-308;
}

/* An edge: s(r)/r and s(r) d/r^2, less the average, over the deviation. */
REPFLOW(geometry)
{
    const double *d = k.vector + 3 * t;
    const double *average = k.statistics + 8 * k.type[k.edge_centre[t]], *deviation = average + 4;
    double distance = REAL(repflow_length)(d), away = distance + k.protection, slope;
    double sw = repflow_switch(distance, k.edge_start, k.edge_cutoff, k.is_exponential, &slope);
    double along = sw / (away * away), inverse = 1 / (distance + 1e-6);
    k.edge_switch[t] = (real)sw;
    k.edge_input[t] = (real)(k.starts_from_distance ? distance : (sw / away - average[0]) / deviation[0]);
    k.angle_switch[t] =
        (real)repflow_switch(distance, k.angle_start, k.angle_cutoff, k.is_exponential, &slope);
    for (int c = 0; c < 3; c++) {
        k.direction[3 * t + c] = (real)((d[c] * along - average[1 + c]) / deviation[1 + c]);
        k.unit[3 * t + c] = d[c] * inverse;
    }
}
REPFLOW_KERNEL(geometry)

/* The place of an angle: its centre, and its edges j and k among those of the centre that form angles. */
struct REAL(repflow_angle) {
    int64_t i, j, k, count;
};

KERNEL_FUNCTION struct REAL(repflow_angle)
    REAL(repflow_angle_of)(const struct REAL(dgnn_kernel_repflow) & k, int64_t angle)
{
    struct REAL(repflow_angle) at;
    int64_t pair = k.angle_pair[angle];
    at.i = k.edge_centre[k.pair_edge[pair]];
    at.count = k.pair_first[at.i + 1] - k.pair_first[at.i];
    at.j = pair - k.pair_first[at.i];
    at.k = angle - k.angle_first[at.i] - at.j * at.count;
    return at;
}

/* A pair: the angles of which it is the first edge. */
REPFLOW(angle_index)
{
    int64_t i = k.edge_centre[k.pair_edge[t]], count = k.pair_first[i + 1] - k.pair_first[i];
    int64_t angle = k.angle_first[i] + (t - k.pair_first[i]) * count;
    for (int64_t q = 0; q < count; q++) {
        k.angle_pair[angle + q] = (int32_t)t;
    }
}
REPFLOW_KERNEL(angle_index)

/* Layer 0's angle features: the cosine times a row. */
REPFLOW(first_angles)
{
    struct REAL(repflow_angle) at = REAL(repflow_angle_of)(k, t / k.a);
    const double *x = k.unit + 3 * (k.first[at.i] + at.j), *y = k.unit + 3 * (k.first[at.i] + at.k);
    real cosine = (real)((x[0] * y[0] + x[1] * y[1] + x[2] * y[2]) * k.cosine_scale);
    k.angle_state[t] = cosine * k.angle_weight[t % k.a];
}
REPFLOW_KERNEL(first_angles)

REPFLOW(first_nodes)
{
    int64_t c = t % k.n;
    real value = 0, slope;
    if (c < k.width) {
        value = REAL(kernel_activate)(k.activation, (real)k.type_row[k.type[t / k.n] * k.width + c], &slope);
    }
    k.node[t] = value;
}
REPFLOW_KERNEL(first_nodes)

/* edge_width columns are activated on the CPU, all here: what is in the padding meets weights that are 0. */
REPFLOW(first_edges)
{
    int64_t c = t % k.e;
    real slope, value = k.edge_input[t / k.e] * k.edge_weight[c] + k.edge_bias[c];
    k.edge_state[t] = k.starts_from_distance ? value : REAL(kernel_activate)(k.activation, value, &slope);
}
REPFLOW_KERNEL(first_edges)

/* ---------------------------------------------------------------- edges */

/* Columns [c0, c1) of (m | e). */
KERNEL_FUNCTION int64_t REAL(repflow_edge_column)(const struct REAL(dgnn_kernel_repflow) & k, int64_t t,
                                                  int64_t *row)
{
    int64_t c0 = k.with_node ? 0 : k.m, c1 = k.with_edge ? k.m + k.e : k.m;
    *row = t / (c1 - c0);
    return c0 + t % (c1 - c0);
}

/* Before the edge's own part is added: the centre's and the neighbour's. */
REPFLOW(edge_start)
{
    int64_t j, c = REAL(repflow_edge_column)(k, t, &j);
    k.edge_pre[j * (k.m + k.e) + c] = k.centre[k.edge_centre[j] * k.centre_width + k.n + c] +
                                      k.neighbour_part[k.neighbour[j] * (k.m + k.e) + c];
}
REPFLOW_KERNEL(edge_start)

REPFLOW(edge_message)
{
    int64_t i = t / k.m, c = t % k.m;
    real sum = 0, slope;
    for (int64_t j = k.first[i]; j < k.first[i + 1]; j++) {
        sum += k.edge_switch[j] * k.message_scale *
               REAL(kernel_activate)(k.activation, k.edge_pre[j * (k.m + k.e) + c], &slope);
    }
    k.message[t] = sum;
}
REPFLOW_KERNEL(edge_message)

REPFLOW(edge_moment)
{
    int64_t width = k.e + k.n, i = t / width, c = t % width;
    real sum[3] = {0, 0, 0};
    for (int64_t j = k.first[i]; j < k.first[i + 1]; j++) {
        real x = c < k.e ? k.edge_state[j * k.e + c] : k.node[k.neighbour[j] * k.n + c - k.e];
        for (int d = 0; d < 3; d++) {
            sum[d] += k.edge_switch[j] * k.direction[3 * j + d] * k.moment_scale * x;
        }
    }
    for (int d = 0; d < 3; d++) {
        k.moment[(3 * i + d) * width + c] = sum[d];
    }
}
REPFLOW_KERNEL(edge_moment)

/* Does the edge form angles? */
KERNEL_FUNCTION int REAL(repflow_is_pair)(const struct REAL(dgnn_kernel_repflow) & k, int64_t edge)
{
    int64_t i = k.edge_centre[edge];
    return edge - k.first[i] < k.pair_first[i + 1] - k.pair_first[i];
}

/* What it gets for the angles' message if it forms none. */
KERNEL_FUNCTION real REAL(repflow_without_angle)(const struct REAL(dgnn_kernel_repflow) & k,
                                                 int64_t edge, int64_t c)
{
    return k.without_angle_term && !REAL(repflow_is_pair)(k, edge) ? k.without_angle_term[c] : (real)0;
}

REPFLOW(edge_update)
{
    int64_t j = t / k.e, c = t % k.e;
    real slope,
        value = REAL(kernel_activate)(k.activation, k.edge_pre[j * (k.m + k.e) + k.m + c], &slope);
    real next = k.keep_edge * k.edge_state[t] + k.weight_edge_self[c] * value;
    k.next_edge[t] = next + REAL(repflow_without_angle)(k, j, c);
}
REPFLOW_KERNEL(edge_update)

/* Sequential: what edges that form no angle get for the angles' message. */
REPFLOW(edge_last)
{
    real value = k.edge_state[t];
    k.next_edge[t] = value + REAL(repflow_without_angle)(k, t / k.e, t % k.e);
}
REPFLOW_KERNEL(edge_last)

/* ---------------------------------------------------------------- angles */

/* Columns [c0, c1) of (e | a). */
KERNEL_FUNCTION int64_t REAL(repflow_angle_column)(const struct REAL(dgnn_kernel_repflow) & k, int64_t t,
                                                   int64_t *row)
{
    int64_t c0 = k.with_edge ? 0 : k.e, c1 = k.with_angle ? k.e + k.a : k.e;
    *row = t / (c1 - c0);
    return c0 + t % (c1 - c0);
}

/* Before the angle's own part is added: the centre's and the two edges'. */
REPFLOW(angle_start)
{
    int64_t angle, wide = k.e + k.a, c = REAL(repflow_angle_column)(k, t, &angle);
    struct REAL(repflow_angle) at = REAL(repflow_angle_of)(k, angle);
    const real *pair = k.pair_rows + k.pair_first[at.i] * 2 * wide;
    k.angle_pre[(angle - k.angle_base) * wide + c] = k.centre[at.i * k.centre_width + k.n + k.m + k.e + c] +
                                    pair[at.j * 2 * wide + c] + pair[(at.k * 2 + 1) * wide + c];
}
REPFLOW_KERNEL(angle_start)

/* The edge of a row that goes through the second linear. */
KERNEL_FUNCTION int64_t REAL(repflow_linear2_edge)(const struct REAL(dgnn_kernel_repflow) & k, int64_t row)
{
    return k.smooth ? k.pair_edge[row] : row;
}

REPFLOW(angle_reduce)
{
    int64_t c = t % k.e, edge = REAL(repflow_linear2_edge)(k, t / k.e), i = k.edge_centre[edge];
    int64_t j = edge - k.first[i], count = k.pair_first[i + 1] - k.pair_first[i], wide = k.e + k.a;
    if (j >= count) {
        k.reduced[t] = k.edge_state[edge * k.e + c];
        return;
    }
    const real *pre = k.angle_pre + (k.angle_first[i] - k.angle_base + j * count) * wide + c;
    real sum = 0, slope;
    for (int64_t q = 0; q < count; q++) {
        sum += k.angle_switch[edge] * k.angle_switch[k.first[i] + q] * k.angle_scale *
               REAL(kernel_activate)(k.activation, pre[q * wide], &slope);
    }
    k.reduced[t] = sum;
}
REPFLOW_KERNEL(angle_reduce)

REPFLOW(angle_to_edge)
{
    int64_t c = t % k.e;
    real slope, value = REAL(kernel_activate)(k.activation, k.angle_linear2_pre[t], &slope);
    k.next_edge[REAL(repflow_linear2_edge)(k, t / k.e) * k.e + c] += k.weight_edge_angle[c] * value;
}
REPFLOW_KERNEL(angle_to_edge)

REPFLOW(angle_update)
{
    int64_t c = t % k.a;
    real slope, pre = k.angle_pre[(t / k.a - k.angle_base) * (k.e + k.a) + k.e + c];
    real value = REAL(kernel_activate)(k.activation, pre, &slope);
    k.next_angle[t] = k.keep_angle * k.angle_state[t] + k.weight_angle[c] * value;
}
REPFLOW_KERNEL(angle_update)

/* ---------------------------------------------------------------- nodes */

/* Place of G[q][c] in a row: axis x e of the edges' part, then axis x n of the nodes'. */
KERNEL_FUNCTION int64_t REAL(repflow_gram_place)(const struct REAL(dgnn_kernel_repflow) & k, int64_t q,
                                                 int64_t c)
{
    return c < k.e ? q * k.e + c : k.axis * k.e + q * k.n + c - k.e;
}

/* G[q][c] = sum_d H[d][q] H[d][c] / 3 within each part. */
REPFLOW(gram)
{
    int64_t width = k.e + k.n, i = t / (k.axis * width), q = t / width % k.axis, c = t % width;
    const real *h = k.moment + 3 * i * width + c, *hq = k.moment + 3 * i * width + (c < k.e ? q : k.e + q);
    real sum = (hq[0] * h[0] + hq[width] * h[width] + hq[2 * width] * h[2 * width]) / 3;
    k.gram[i * k.axis * width + REAL(repflow_gram_place)(k, q, c)] = sum;
}
REPFLOW_KERNEL(gram)

/* N' = keep N + w_self act(self) + w_sym act(symmetric) + sum over heads w_h M_h. */
REPFLOW(node_update)
{
    int64_t i = t / k.n, c = t % k.n;
    real slope, self = REAL(kernel_activate)(k.activation, k.centre[i * k.centre_width + c], &slope);
    real symmetric = REAL(kernel_activate)(k.activation, k.symmetric[t], &slope);
    real sum = k.keep_node * k.node[t] + k.weight_self[c] * self + k.weight_symmetric[c] * symmetric;
    for (int64_t h = 0; h < k.heads; h++) {
        sum += k.weight_message[h * k.n + c] * k.message[i * k.m + h * k.n + c];
    }
    k.next_node[t] = sum;
}
REPFLOW_KERNEL(node_update)

REPFLOW(output)
{
    int64_t i = t / k.output_width, c = t % k.output_width;
    double own = c < k.width && i < k.nwith_energy ? (double)k.node[i * k.n + c] : 0.0;
    k.output[t] = c < k.width ? own : k.type_row[k.type[i] * k.width + c - k.width];
}
REPFLOW_KERNEL(output)
