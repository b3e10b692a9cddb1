/* The edge block of a RepFlow layer, forward (ops/blocks_types.h): included once for each element type.
 *
 * A block has one centre. Each thread has one column of (m | e) at a time and KERNEL_EDGES edges in registers; weights
 * and edge features pass through shared memory in tiles of KERNEL_DEPTH rows. The message of a column is summed by its
 * thread, edge after edge, so that results repeat bit for bit. */
#include "base/real.h"

#include "activation_body.h"

/* A block's structs, flat, to be passed by value. */
struct REAL(kernel_edge) {
    struct dgnn_activation activation;
    int64_t n, e, m, centre_stride, other_stride, node_stride, weight_stride;
    int32_t with_node, with_edge;
    real keep_edge, message_scale, moment_scale;
    const int64_t *first;
    const int32_t *neighbour, *angle_count;
    const real *edge_switch, *direction, *centre, *neighbour_part, *node, *state, *weight, *weight_self,
        *without_angle_term;
    real *pre, *next, *message, *moment;
};

struct REAL(kernel_edge_lane) {
    real sum[KERNEL_EDGES];
    real message;
};

static inline struct REAL(kernel_edge) REAL(kernel_edge_flat)(const struct REAL(dgnn_edge_block) * b)
{
    struct REAL(kernel_edge) k;
    k.activation = b->layer->activation;
    k.n = b->layer->n;
    k.e = b->layer->e;
    k.m = b->layer->m;
    k.centre_stride = b->centre_stride;
    k.neighbour_part_stride = b->neighbour_part_stride;
    k.node_stride = b->node_stride;
    k.weight_stride = b->layer->edge.stride;
    k.with_node = b->with_node;
    k.with_edge = b->with_edge;
    k.without_angle_term = b->without_angle_term;
    k.angle_count = b->edges->angle_count;
    k.keep_edge = b->layer->keep_edge;
    k.message_scale = b->edges->message_scale;
    k.moment_scale = b->edges->moment_scale;
    k.first = b->edges->first;
    k.neighbour = b->edges->neighbour;
    k.edge_switch = b->edges->edge_switch;
    k.direction = b->edges->direction;
    k.centre = b->centre;
    k.neighbour_part = b->neighbour_part;
    k.node = b->node;
    k.state = b->state;
    k.weight = b->layer->edge.data;
    k.weight_self = b->layer->weight_edge_self;
    k.pre = b->pre;
    k.next = b->next;
    k.message = b->message;
    k.moment = b->moment;
    return k;
}

/* The tile's part of weights and of the edges' features, by all threads together. */
KERNEL_FUNCTION void REAL(kernel_edge_load)(const struct REAL(kernel_edge) * b, int64_t edge, int nrow, int64_t row,
                                            int depth, int64_t column, int ncolumn, int thread, real *weight,
                                            real *state)
{
    for (int t = thread; t < depth * ncolumn; t += KERNEL_THREADS) {
        int k = t / ncolumn, c = t % ncolumn;
        weight[k * KERNEL_THREADS + c] = b->weight[(row + k) * b->weight_stride + column + c];
    }
    for (int t = thread; t < nrow * depth; t += KERNEL_THREADS) {
        state[t / depth * KERNEL_DEPTH + t % depth] = b->state[(edge + t / depth) * b->e + row + t % depth];
    }
}

KERNEL_FUNCTION void REAL(kernel_edge_start)(const struct REAL(kernel_edge) * b, int64_t i, int64_t edge, int nrow,
                                             int64_t c, struct REAL(kernel_edge_lane) * lane)
{
    real common = b->centre[i * b->centre_stride + c];
    for (int r = 0; r < nrow; r++) {
        lane->sum[r] = common + b->neighbour_part[b->neighbour[edge + r] * b->neighbour_part_stride + c];
    }
}

KERNEL_FUNCTION void REAL(kernel_edge_multiply)(int nrow, int depth, int thread, const real *weight, const real *state,
                                                struct REAL(kernel_edge_lane) * lane)
{
    for (int k = 0; k < depth; k++) {
        real w = weight[k * KERNEL_THREADS + thread];
        for (int r = 0; r < nrow; r++) {
            lane->sum[r] += state[r * KERNEL_DEPTH + k] * w;
        }
    }
}

/* Activation; then column c < m is the node message's, the others are the edges' own. */
KERNEL_FUNCTION void REAL(kernel_edge_finish)(const struct REAL(kernel_edge) * b, int64_t i, int64_t edge, int nrow,
                                              int64_t c, struct REAL(kernel_edge_lane) * lane)
{
    real slope;
    for (int r = 0; r < nrow; r++) {
        real value = REAL(kernel_activate)(&b->activation, lane->sum[r], &slope);
        if (b->pre) {
            b->pre[(edge + r) * (b->m + b->e) + c] = lane->sum[r];
        }
        if (c < b->m) {
            lane->message += b->edge_switch[edge + r] * b->message_scale * value;
        } else {
            int64_t own = (edge + r) * b->e + c - b->m;
            real next = b->keep_edge * b->state[own] + b->weight_self[c - b->m] * value;
            int without_angle = b->without_angle_term && edge + r >= b->first[i] + b->angle_count[i];
            b->next[own] = without_angle ? next + b->without_angle_term[c - b->m] : next;
        }
    }
}

/* Moments of the centre: three rows of (e | n), a column for each thread. */
KERNEL_FUNCTION void REAL(kernel_edge_moment)(const struct REAL(kernel_edge) * b, int64_t i, int thread)
{
    int64_t width = b->e + b->n;
    for (int64_t c = thread; c < width; c += KERNEL_THREADS) {
        real sum[3] = {0, 0, 0};
        for (int64_t j = b->first[i]; j < b->first[i + 1]; j++) {
            real x = c < b->e ? b->state[j * b->e + c] : b->node[b->neighbour[j] * b->node_stride + c - b->e];
            for (int d = 0; d < 3; d++) {
                sum[d] += b->edge_switch[j] * b->direction[3 * j + d] * b->moment_scale * x;
            }
        }
        for (int d = 0; d < 3; d++) {
            b->moment[(3 * i + d) * width + c] = sum[d];
        }
    }
}

KERNEL_FUNCTION void REAL(kernel_edge_centre)(const struct REAL(kernel_edge) * b, int64_t i, real *weight, real *state)
{
    KERNEL_OWN(struct REAL(kernel_edge_lane), lane);
    int64_t begin = b->with_node ? 0 : b->m, end = b->with_edge ? b->m + b->e : b->m;
    for (int64_t column = begin; column < end; column += KERNEL_THREADS) {
        int ncolumn = (int)(end - column < KERNEL_THREADS ? end - column : KERNEL_THREADS);
        KERNEL_EACH(thread) {
            if (thread < ncolumn) {
                KERNEL_MINE(lane)->message = 0;
            }
        }
        for (int64_t edge = b->first[i]; edge < b->first[i + 1]; edge += KERNEL_EDGES) {
            int64_t left = b->first[i + 1] - edge;
            int nrow = (int)(left < KERNEL_EDGES ? left : KERNEL_EDGES);
            KERNEL_EACH(thread) {
                if (thread < ncolumn) {
                    REAL(kernel_edge_start)(b, i, edge, nrow, column + thread, KERNEL_MINE(lane));
                }
            }
            for (int64_t row = 0; row < b->e; row += KERNEL_DEPTH) {
                int depth = (int)(b->e - row < KERNEL_DEPTH ? b->e - row : KERNEL_DEPTH);
                KERNEL_EACH(thread) {
                    REAL(kernel_edge_load)(b, edge, nrow, row, depth, column, ncolumn, thread, weight, state);
                }
                KERNEL_EACH(thread) {
                    if (thread < ncolumn) {
                        REAL(kernel_edge_multiply)(nrow, depth, thread, weight, state, KERNEL_MINE(lane));
                    }
                }
            }
            KERNEL_EACH(thread) {
                if (thread < ncolumn) {
                    REAL(kernel_edge_finish)(b, i, edge, nrow, column + thread, KERNEL_MINE(lane));
                }
            }
        }
        KERNEL_EACH(thread) {
            if (thread < ncolumn && column + thread < b->m) {
                b->message[i * b->m + column + thread] = KERNEL_MINE(lane)->message;
            }
        }
    }
    KERNEL_EACH(thread) {
        if (b->with_node) {
            REAL(kernel_edge_moment)(b, i, thread);
        }
    }
}
