#include "base/real.h"

/* Backward of net/dpa3/repflow_body.h, which comes before it. */

/* Of one node, from the gradient of N' to those of self, symmetric and messages; d_node becomes keep x
 * d_node. work: 3 n. d_symmetric of the gradient takes the place of symmetric itself, so it comes last. */
static void REAL(repflow_d_node_row)(struct REAL(repflow_state) * w, int64_t l, int64_t i, real *work,
                                     real *const *d_symmetric)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(dgnn_repflow_weights) *layer = &f->layer[l];
    const struct dgnn_activation *act = &f->settings->activation;
    int64_t n = f->n, centre = layer->centre.ncol;
    const real *slope = work + n, *slope_symmetric = work + 2 * n;
    f->ops->activate(act, n, w->layer[l].centre + i * centre, work, work + n);
    f->ops->activate(act, n, w->layer[l].symmetric + i * n, work, work + 2 * n);
    for (int32_t k = w->sides - 1; k >= 0; k--) {
        const struct REAL(repflow_side) *side = &w->side[k];
        real *d = side->d_node + i * n, *d_centre = side->d_centre + i * centre;
        real *d_message = side->d_message + i * f->m;
        for (int64_t c = 0; c < n; c++) {
            d_centre[c] = slope[c] * (layer->weight_self[c] * d[c]);
            d_symmetric[k][c] = slope_symmetric[c] * layer->weight_symmetric[c] * d[c];
            for (int64_t h = 0; h < f->heads; h++) {
                d_message[h * n + c] = layer->weight_message[h * n + c] * d[c];
            }
            d[c] *= layer->keep_node;
        }
    }
}

/* The same of some nodes, and on to the moments. */
static void REAL(repflow_d_node)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t n = f->n, width = f->axis * (f->e + n);
    const struct dgnn_gram_shape shape = {f->axis, f->e, n};
    real *gram = w->gram + thread * REAL(REPFLOW_ROWS) * width, *d_symmetric[DGNN_SIDES];
    for (int64_t i = begin; i < end; i += REAL(REPFLOW_ROWS)) {
        int64_t rows = end - i < REAL(REPFLOW_ROWS) ? end - i : REAL(REPFLOW_ROWS);
        for (int64_t r = 0; r < rows; r++) {
            d_symmetric[0] = w->layer[l].symmetric + (i + r) * n;
            for (int32_t k = 1; k < w->sides; k++) {
                d_symmetric[k] = w->side[k].d_symmetric + (thread * REAL(REPFLOW_ROWS) + r) * n;
            }
            REAL(repflow_d_node_row)(w, l, i + r, gram, d_symmetric);
        }
        for (int32_t k = 0; k < w->sides; k++) {
            const real *from =
                k ? w->side[k].d_symmetric + thread * REAL(REPFLOW_ROWS) * n : w->layer[l].symmetric + i * n;
            int64_t place = i * 3 * (f->e + n);
            f->ops->product(rows, from, n, &f->layer[l].symmetric_transposed, NULL, gram, width, 0);
            f->ops->gram_backward(&shape, rows, w->layer[l].moment + place, gram,
                                  w->side[k].d_moment + place);
        }
    }
}

/* A block of edges for each side, with this thread's accumulators of gradients to neighbours: m + e columns,
 * then n. */
static void REAL(repflow_edge_sides)(struct REAL(repflow_state) * w, int64_t l, int thread,
                                     struct REAL(dgnn_edge_block) * blocks)
{
    int64_t wide = w->f->m + w->f->e, size = w->nnode * (wide + w->f->n);
    for (int32_t k = 0; k < w->sides; k++) {
        const struct REAL(repflow_side) *side = &w->side[k];
        struct REAL(dgnn_edge_block) *block = &blocks[k];
        *block = REAL(repflow_edge_block)(w, l);
        block->edges = &side->edges;
        block->d_first = side->d_edge_input;
        block->d_message = side->d_message;
        block->d_moment = side->d_moment;
        block->d_next = side->d_edge[1];
        block->d_state = side->d_edge[0];
        if (l > 0) {
            block->d_neighbour_part = side->d_neighbour_part + thread * size;
            block->d_node = block->d_neighbour_part + w->nnode * wide;
            block->d_centre = side->d_edge_centre;
        }
    }
}

static void REAL(repflow_angle_sides)(struct REAL(repflow_state) * w, int64_t l,
                                      struct REAL(dgnn_angle_block) * blocks)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    for (int32_t k = 0; k < w->sides; k++) {
        const struct REAL(repflow_side) *side = &w->side[k];
        blocks[k] = REAL(repflow_angle_block)(w, l);
        blocks[k].edges = &side->edges;
        blocks[k].d_next_edge = side->d_edge[1];
        blocks[k].d_edge_state = side->d_edge[0];
        blocks[k].d_angle = side->d_angle;
        blocks[k].d_centre = l > 0 ? side->d_centre + f->n + f->m + f->e : NULL;
        blocks[k].d_centre_stride = f->layer[l].centre.ncol;
    }
}

static void REAL(repflow_clear_accumulators)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                             int64_t end, int thread)
{
    int64_t size = w->nnode * (w->f->m + w->f->e + w->f->n);
    (void)l;
    (void)begin;
    (void)end;
    for (int32_t k = 0; k < w->sides; k++) {
        memset(w->side[k].d_neighbour_part + thread * size, 0, sizeof(real) * (size_t)size);
    }
}

static void REAL(repflow_edges_backward)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                         int64_t end, int thread)
{
    struct REAL(dgnn_edge_block) blocks[DGNN_SIDES];
    const struct dgnn_repflow_updates *updates = REAL(repflow_updates)(w, l, begin);
    REAL(repflow_edge_sides)(w, l, thread, blocks);
    for (int32_t k = 0; k < w->sides; k++) {
        blocks[k].with_node = 1;
        blocks[k].with_edge = updates->with_edge;
        blocks[k].d_state_given = !updates->with_angle_edge ? DGNN_EDGES_NONE
                                  : w->edges.smooth         ? DGNN_EDGES_IN_ANGLES
                                                            : DGNN_EDGES_ALL;
    }
    w->f->ops->edge_backward(blocks, begin, end, w->scratch + thread * w->scratch_size);
}

static void REAL(repflow_angles_backward)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                          int64_t end, int thread)
{
    struct REAL(dgnn_angle_block) blocks[DGNN_SIDES];
    const struct dgnn_repflow_updates *updates = REAL(repflow_updates)(w, l, begin);
    REAL(repflow_angle_sides)(w, l, blocks);
    for (int32_t k = 0; k < w->sides; k++) {
        blocks[k].with_edge = updates->with_angle_edge;
        blocks[k].with_angle = updates->with_angle;
        blocks[k].d_angle_given = updates->with_angle;
    }
    if (updates->with_angle_edge) {
        w->f->ops->angle_backward(blocks, begin, end, w->scratch + thread * w->scratch_size);
    }
}

/* Copies the gradients of the edges [from, from + count). */
static void REAL(repflow_copy_edges)(const struct REAL(repflow_state) * w, int to, int64_t from,
                                     int64_t count)
{
    for (int32_t k = 0; k < w->sides; k++) {
        memcpy(w->side[k].d_edge[to] + from * w->f->e, w->side[k].d_edge[1 - to] + from * w->f->e,
               sizeof(real) * (size_t)(count * w->f->e));
    }
}

/* Of the sequence's last step, nodes from the newest edges: its own gradient of these is added to theirs. */
static void REAL(repflow_sequence_nodes)(struct REAL(repflow_state) * w, int64_t l,
                                         struct REAL(dgnn_edge_block) * blocks)
{
    for (int32_t k = 0; k < w->sides; k++) {
        blocks[k].with_node = 1;
        blocks[k].with_edge = 0;
        blocks[k].state = w->layer[l].edge_last;
        blocks[k].first_input = NULL;
        blocks[k].d_state = w->side[k].d_edge[1];
        blocks[k].d_state_given = DGNN_EDGES_ALL;
    }
}

/* Of the angles' two steps, the second: their message to edges. */
static void REAL(repflow_sequence_message)(struct REAL(repflow_state) * w, int64_t l,
                                           struct REAL(dgnn_angle_block) * blocks)
{
    for (int32_t k = 0; k < w->sides; k++) {
        blocks[k].edge_state = w->layer[l].edge_middle;
        blocks[k].with_edge = 1;
        blocks[k].first_weight = NULL;
        blocks[k].state = w->layer[l].angle_next;
        blocks[k].d_edge_given = 1;
        blocks[k].d_angle_given = l + 1 < w->f->nlayer;
    }
}

static void REAL(repflow_sequence_backward)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                            int64_t end, int thread)
{
    const struct REAL(dgnn_ops) *ops = w->f->ops;
    void *scratch = w->scratch + thread * w->scratch_size;
    int64_t from = w->first[begin], count = w->first[end] - from;
    struct REAL(dgnn_edge_block) edges[DGNN_SIDES];
    struct REAL(dgnn_angle_block) angles[DGNN_SIDES];
    REAL(repflow_edge_sides)(w, l, thread, edges);
    REAL(repflow_sequence_nodes)(w, l, edges);
    ops->edge_backward(edges, begin, end, scratch);
    REAL(repflow_copy_edges)(w, 0, from, count);
    REAL(repflow_angle_sides)(w, l, angles);
    REAL(repflow_sequence_message)(w, l, angles);
    ops->angle_backward(angles, begin, end, scratch);
    for (int32_t k = 0; k < w->sides; k++) {
        angles[k].with_edge = 0;
        angles[k].with_angle = 1;
        angles[k].first_weight = l == 0 ? w->f->angle_weight : NULL;
        angles[k].state = w->layer[l].angle;
        angles[k].d_angle_given = 1;
    }
    ops->angle_backward(angles, begin, end, scratch);
    REAL(repflow_copy_edges)(w, 1, from, count);
    REAL(repflow_edge_sides)(w, l, thread, edges);
    for (int32_t k = 0; k < w->sides; k++) {
        edges[k].with_edge = 1;
        edges[k].d_state_given = DGNN_EDGES_NONE;
    }
    ops->edge_backward(edges, begin, end, scratch);
}

/* d_node_rows = what neighbours' rows get: d_other W^T plus the moments' part, summed over threads in order.
 */
static void REAL(repflow_d_other_side)(const struct REAL(repflow_state) * w, int64_t l,
                                       const struct REAL(repflow_side) * side, int64_t begin, int64_t end)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t wide = f->m + f->e, n = f->n, size = w->nnode * (wide + n), stride = w->rows_stride;
    for (int t = 1; t < w->threads; t++) {
        for (int64_t c = begin * wide; c < end * wide; c++) {
            side->d_neighbour_part[c] += side->d_neighbour_part[t * size + c];
        }
        for (int64_t c = w->nnode * wide + begin * n; c < w->nnode * wide + end * n; c++) {
            side->d_neighbour_part[c] += side->d_neighbour_part[t * size + c];
        }
    }
    for (int64_t i = begin; i < end; i++) {
        memcpy(side->d_node_rows + i * stride, side->d_neighbour_part + w->nnode * wide + i * n,
               sizeof(real) * (size_t)n);
    }
    struct REAL(dgnn_matrix) used = f->layer[l].neighbour_part_transposed;
    used.nrow = REAL(repflow_neighbour_part_used)(w, l);
    f->ops->product(end - begin, side->d_neighbour_part + begin * wide, wide, &used, NULL,
                    side->d_node_rows + begin * stride, stride, 1);
}

static void REAL(repflow_d_neighbour_part)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                           int64_t end, int thread)
{
    (void)thread;
    for (int32_t k = 0; k < w->sides; k++) {
        REAL(repflow_d_other_side)(w, l, &w->side[k], begin, end);
    }
}

/* d_node += the rows that came back. */
static void REAL(repflow_d_rows)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread)
{
    int64_t n = w->f->n, last = end < w->nowned ? end : w->nowned;
    (void)l;
    (void)thread;
    for (int32_t k = 0; k < w->sides; k++) {
        const struct REAL(repflow_side) *side = &w->side[k];
        for (int64_t i = begin; i < last; i++) {
            for (int64_t c = 0; c < n; c++) {
                side->d_node[i * n + c] += side->d_node_rows[i * w->rows_stride + c];
            }
        }
    }
}

/* d_node += (self | edges | angles) W_centre^T. */
static void REAL(repflow_d_centre)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                   int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t n = f->n, wide = f->m + f->e, centre = f->layer[l].centre.ncol;
    int64_t edges = REAL(repflow_updates)(w, l, begin)->with_edge ? wide : f->m;
    struct REAL(dgnn_matrix) used = f->layer[l].centre_transposed;
    used.nrow = REAL(repflow_centre_used)(w, l, begin);
    (void)thread;
    for (int32_t k = 0; k < w->sides; k++) {
        const struct REAL(repflow_side) *side = &w->side[k];
        for (int64_t i = begin; i < end; i++) {
            memcpy(side->d_centre + i * centre + n, side->d_edge_centre + i * wide,
                   sizeof(real) * (size_t)edges);
        }
        f->ops->product(end - begin, side->d_centre + begin * centre, centre, &used, NULL,
                        side->d_node + begin * n, n, 1);
    }
}
