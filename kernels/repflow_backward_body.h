#include "base/real.h"

/* DPA3, backward, of one side (csrc/net/parts/descriptor.h); repflow_forward_body.h comes before it. Where
 * several edges or angles give to one number, its item adds them in their order, so that results repeat bit
 * for bit. */

/* ---------------------------------------------------------------- nodes */

REPFLOW(d_output)
{
    int64_t i = t / k.n, c = t % k.n;
    int is_given = k.is_first && i < k.nowned && c < k.width;
    k.d_node[t] = is_given ? (real)k.output_gradient[i * k.output_width + c] : (real)0;
}
REPFLOW_KERNEL(d_output)

/* From the gradient of N' to those of self, symmetric and messages; d_node becomes keep x d_node. */
REPFLOW(d_node)
{
    int64_t i = t / k.n, c = t % k.n;
    real d = k.d_node[t], slope;
    REAL(kernel_activate)(k.activation, k.centre[i * k.centre_width + c], &slope);
    k.d_centre[i * k.centre_width + c] = slope * (k.weight_self[c] * d);
    REAL(kernel_activate)(k.activation, k.symmetric[t], &slope);
    k.d_symmetric[t] = slope * k.weight_symmetric[c] * d;
    for (int64_t h = 0; h < k.heads; h++) {
        k.d_message[i * k.m + h * k.n + c] = k.weight_message[h * k.n + c] * d;
    }
    k.d_node[t] = k.keep_node * d;
}
REPFLOW_KERNEL(d_node)

REPFLOW(d_moment)
{
    int64_t width = k.e + k.n, row = t / width, i = row / 3, c = t % width;
    int64_t start = c < k.e ? 0 : k.e, end = c < k.e ? k.e : width, own = c - start;
    const real *moment = k.moment + row * width, *d_gram = k.d_gram + i * k.axis * width;
    real sum = 0;
    for (int64_t q = 0; q < k.axis; q++) {
        sum += d_gram[REAL(repflow_gram_place)(k, q, c)] / 3 * moment[start + q];
    }
    for (int64_t b = start; b < end && own < k.axis; b++) {
        sum += d_gram[REAL(repflow_gram_place)(k, own, b)] / 3 * moment[b];
    }
    k.d_moment[t] = sum;
}
REPFLOW_KERNEL(d_moment)

/* d_node += the rows that came back. */
REPFLOW(d_rows)
{
    k.d_node[t] += k.d_node_rows[t / k.n * k.rows_stride + t % k.n];
}
REPFLOW_KERNEL(d_rows)

/* ---------------------------------------------------------------- edges */

REPFLOW(d_edge_pre)
{
    int64_t j, c = REAL(repflow_edge_column)(k, t, &j), place = j * (k.m + k.e) + c;
    real slope, d;
    REAL(kernel_activate)(k.activation, k.edge_pre[place], &slope);
    if (c < k.m) {
        d = k.d_message[k.edge_centre[j] * k.m + c] * k.message_scale * k.edge_switch[j];
    } else {
        d = k.d_next_edge[j * k.e + c - k.m] * k.weight_edge_self[c - k.m];
    }
    k.d_edge_pre[place] = d * slope;
}
REPFLOW_KERNEL(d_edge_pre)

/* An edge's switch and direction, from the message and the moments. */
REPFLOW(d_edge_scalars)
{
    int64_t i = k.edge_centre[t], width = k.e + k.n;
    const real *node = k.node + k.neighbour[t] * k.n;
    double of_switch = 0;
    for (int64_t c = 0; c < k.m; c++) {
        real slope, value = REAL(kernel_activate)(k.activation, k.edge_pre[t * (k.m + k.e) + c], &slope);
        of_switch += (double)(k.d_message[i * k.m + c] * k.message_scale) * (double)value;
    }
    for (int d = 0; d < 3; d++) {
        const real *d_moment = k.d_moment + (3 * i + d) * width;
        double sum = 0;
        for (int64_t c = 0; c < k.e; c++) {
            sum += (double)(d_moment[c] * k.edge_state[t * k.e + c]);
        }
        for (int64_t c = 0; c < k.n; c++) {
            sum += (double)(d_moment[k.e + c] * node[c]);
        }
        sum *= (double)k.moment_scale;
        of_switch += sum * (double)k.direction[3 * t + d];
        k.d_direction[3 * t + d] += sum * (double)k.edge_switch[t];
    }
    k.d_edge_switch[t] += of_switch;
}
REPFLOW_KERNEL(d_edge_scalars)

/* Before what comes through the products is added. */
REPFLOW(d_edge_state)
{
    int64_t j = t / k.e, c = t % k.e, i = k.edge_centre[j], width = k.e + k.n;
    real sum = k.edge_given ? k.d_edge_state[t] : (real)0;
    if (k.with_edge) {
        sum += k.keep_edge * k.d_next_edge[t];
    }
    for (int d = 0; d < 3 && k.with_node; d++) {
        real factor = k.edge_switch[j] * k.direction[3 * j + d] * k.moment_scale;
        sum += factor * k.d_moment[(3 * i + d) * width + c];
    }
    k.d_edge_state[t] = sum;
}
REPFLOW_KERNEL(d_edge_state)

/* A centre's columns of (m | e). */
REPFLOW(d_centre_edges)
{
    int64_t i, c = REAL(repflow_edge_column)(k, t, &i);
    real sum = 0;
    for (int64_t j = k.first[i]; j < k.first[i + 1]; j++) {
        sum += k.d_edge_pre[j * (k.m + k.e) + c];
    }
    k.d_centre[i * k.centre_width + k.n + c] = sum;
}
REPFLOW_KERNEL(d_centre_edges)

/* What a node gets from the edges to it: columns of (m | e). A moment's side gets the gradient times the
 * displacement, too. */
REPFLOW(d_neighbour_part)
{
    int64_t row, wide = k.m + k.e, c = REAL(repflow_edge_column)(k, t, &row);
    real sum = 0;
    for (int64_t q = k.reverse_first[row]; q < k.reverse_first[row + 1]; q++) {
        int64_t j = k.reverse_edge[q];
        sum += k.d_edge_pre[j * wide + c];
        if (!k.is_first) {
            sum += k.displacement[3 * j + k.column] * k.first_d_edge_pre[j * wide + c];
        }
    }
    k.d_neighbour_part[row * wide + c] = sum;
}
REPFLOW_KERNEL(d_neighbour_part)

/* ... and of its own row, through the moments. */
REPFLOW(d_node_part)
{
    int64_t row = t / k.n, c = t % k.n, width = k.e + k.n;
    real sum = 0;
    for (int64_t q = k.reverse_first[row]; q < k.reverse_first[row + 1]; q++) {
        int64_t j = k.reverse_edge[q], place = 3 * (int64_t)k.edge_centre[j] * width + k.e + c;
        for (int d = 0; d < 3; d++) {
            real factor = k.edge_switch[j] * k.direction[3 * j + d] * k.moment_scale;
            real value = k.d_moment[place + d * width];
            if (!k.is_first) {
                value += k.displacement[3 * j + k.column] * k.first_d_moment[place + d * width];
            }
            sum += factor * value;
        }
    }
    k.d_node_rows[row * k.rows_stride + c] = sum;
}
REPFLOW_KERNEL(d_node_part)

/* ---------------------------------------------------------------- angles */

REPFLOW(d_angle_linear2)
{
    int64_t c = t % k.e, edge = REAL(repflow_linear2_edge)(k, t / k.e);
    real slope;
    REAL(kernel_activate)(k.activation, k.angle_linear2_pre[t], &slope);
    k.d_angle_linear2[t] = k.d_next_edge[edge * k.e + c] * k.weight_edge_angle[c] * slope;
}
REPFLOW_KERNEL(d_angle_linear2)

/* Of edges, before what comes through the products is added: what they hold, and of those that form no angle
 * what went through the second linear. */
REPFLOW(d_angle_edges)
{
    int64_t j = t / k.e;
    real sum = k.edge_given ? k.d_edge_state[t] : (real)0;
    if (k.with_edge && !k.smooth && !REAL(repflow_is_pair)(k, j)) {
        sum += k.d_reduced[t]; /* rows of the second linear are all edges here */
    }
    k.d_edge_state[t] = sum;
}
REPFLOW_KERNEL(d_angle_edges)

REPFLOW(d_angle_pre)
{
    int64_t angle, wide = k.e + k.a, c = REAL(repflow_angle_column)(k, t, &angle);
    struct REAL(repflow_angle) at = REAL(repflow_angle_of)(k, angle);
    real slope, d;
    int64_t place = (angle - k.angle_base) * wide + c;
    REAL(kernel_activate)(k.activation, k.angle_pre[place], &slope);
    if (c < k.e) {
        const real *sw = k.angle_switch + k.first[at.i];
        d = k.d_reduced[(k.angle_linear2_first[at.i] + at.j) * k.e + c] * sw[at.j] * sw[at.k] * k.angle_scale;
    } else {
        d = k.angle_given ? k.d_angle[angle * k.a + c - k.e] * k.weight_angle[c - k.e] : (real)0;
    }
    k.d_angle_pre[place] = d * slope;
}
REPFLOW_KERNEL(d_angle_pre)

/* An angle: what its two switches get, but for the other of them. */
REPFLOW(d_angle_value)
{
    struct REAL(repflow_angle) at = REAL(repflow_angle_of)(k, t);
    const real *d_reduced = k.d_reduced + (k.angle_linear2_first[at.i] + at.j) * k.e;
    const real *pre = k.angle_pre + (t - k.angle_base) * (k.e + k.a);
    double sum = 0;
    for (int64_t c = 0; c < k.e; c++) {
        real slope, value = REAL(kernel_activate)(k.activation, pre[c], &slope);
        sum += (double)d_reduced[c] * (double)value;
    }
    k.angle_value[t] = sum * (double)k.angle_scale;
}
REPFLOW_KERNEL(d_angle_value)

/* A pair, as the first and as the second edge of its angles. */
REPFLOW(d_angle_switch)
{
    int64_t edge = k.pair_edge[t], i = k.edge_centre[edge], j = t - k.pair_first[i];
    int64_t count = k.pair_first[i + 1] - k.pair_first[i];
    const double *value = k.angle_value + k.angle_first[i];
    double sum = 0;
    for (int64_t q = 0; q < count; q++) {
        sum += (value[j * count + q] + value[q * count + j]) * (double)k.angle_switch[k.first[i] + q];
    }
    k.d_angle_switch[edge] += sum;
}
REPFLOW_KERNEL(d_angle_switch)

/* Before what comes through the product is added. */
REPFLOW(d_angle_state)
{
    real keep = k.with_angle ? k.keep_angle : (real)1;
    k.d_angle[t] = k.angle_given ? keep * k.d_angle[t] : (real)0;
}
REPFLOW_KERNEL(d_angle_state)

/* In layer 0 the gradient of the angle features goes on to the cosine ... */
REPFLOW(d_cosine)
{
    double sum = 0;
    for (int64_t c = 0; c < k.a; c++) {
        sum += (double)(k.d_angle[t * k.a + c] * k.angle_weight[c]);
    }
    k.angle_value[t] = sum * k.cosine_scale;
}
REPFLOW_KERNEL(d_cosine)

/* ... and the unit vectors. */
REPFLOW(d_unit)
{
    int64_t edge = k.pair_edge[t], i = k.edge_centre[edge], j = t - k.pair_first[i];
    int64_t count = k.pair_first[i + 1] - k.pair_first[i];
    const double *value = k.angle_value + k.angle_first[i], *unit = k.unit + 3 * k.first[i];
    double sum[3] = {0, 0, 0};
    for (int64_t q = 0; q < count; q++) {
        for (int d = 0; d < 3; d++) {
            sum[d] += (value[j * count + q] + value[q * count + j]) * unit[3 * q + d];
        }
    }
    for (int d = 0; d < 3; d++) {
        k.d_unit[3 * edge + d] += sum[d];
    }
}
REPFLOW_KERNEL(d_unit)

/* A pair's row, as the first edge of its angles and as the second; columns that are not worked on are 0. */
REPFLOW(d_pair)
{
    int64_t wide = k.e + k.a, pair = t / (2 * wide), is_second = t / wide % 2, c = t % wide;
    int64_t i = k.edge_centre[k.pair_edge[pair]], j = pair - k.pair_first[i];
    int64_t count = k.pair_first[i + 1] - k.pair_first[i];
    const real *d = k.d_angle_pre + (k.angle_first[i] - k.angle_base) * wide + c;
    real sum = 0;
    if (c < k.e ? k.with_edge : k.with_angle) {
        for (int64_t q = 0; q < count; q++) {
            sum += d[(is_second ? q * count + j : j * count + q) * wide];
        }
    }
    k.d_pair[t] = sum;
}
REPFLOW_KERNEL(d_pair)

/* A centre's columns of (e | a). */
REPFLOW(d_centre_angles)
{
    int64_t i, wide = k.e + k.a, c = REAL(repflow_angle_column)(k, t, &i);
    real sum = 0;
    for (int64_t pair = k.pair_first[i]; pair < k.pair_first[i + 1]; pair++) {
        sum += k.d_pair[pair * 2 * wide + c];
    }
    k.d_centre[i * k.centre_width + k.n + k.m + k.e + c] = sum;
}
REPFLOW_KERNEL(d_centre_angles)

/* ---------------------------------------------------------------- geometry */

REPFLOW(d_first_edges)
{
    double sum = 0;
    for (int64_t c = 0; c < k.e; c++) {
        real slope = 1;
        if (!k.starts_from_distance) {
            REAL(kernel_activate)(k.activation, k.edge_input[t] * k.edge_weight[c] + k.edge_bias[c], &slope);
        }
        sum += (double)(k.d_edge_state[t * k.e + c] * slope * k.edge_weight[c]);
    }
    k.d_edge_input[t] += sum;
}
REPFLOW_KERNEL(d_first_edges)

/* Gradients of the edge's scalars and vectors to its vector d. */
REPFLOW(d_geometry)
{
    const double *d = k.vector + 3 * t, *deviation = k.statistics + 8 * k.type[k.edge_centre[t]] + 4;
    double distance = REAL(repflow_length)(d), p = distance + k.protection, u = distance + 1e-6;
    double slope, angle_slope;
    double sw = repflow_switch(distance, k.edge_start, k.edge_cutoff, k.is_exponential, &slope);
    repflow_switch(distance, k.angle_start, k.angle_cutoff, k.is_exponential, &angle_slope);
    double radial = k.d_edge_switch[t] * slope + k.d_angle_switch[t] * angle_slope, along = 0, along_unit = 0;
    radial += k.d_edge_input[t] *
              (k.starts_from_distance ? 1.0 : (slope / p - sw / (p * p)) / deviation[0]);
    for (int c = 0; c < 3; c++) {
        along += k.d_direction[3 * t + c] / deviation[1 + c] * d[c];
        along_unit += k.d_unit[3 * t + c] * d[c];
    }
    radial += along * (slope / (p * p) - 2 * sw / (p * p * p)) - along_unit / (u * u);
    for (int c = 0; c < 3; c++) {
        k.edge_gradient[3 * t + c] = radial * d[c] / distance +
                                        k.d_direction[3 * t + c] / deviation[1 + c] * sw / (p * p) +
                                        k.d_unit[3 * t + c] / u;
    }
}
REPFLOW_KERNEL(d_geometry)
