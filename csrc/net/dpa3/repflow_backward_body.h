#include "base/real.h"

/* Backward of net/dpa3/repflow_body.h, which comes before it. */

/* Of one node, from the gradient of N' to those of self, symmetric and messages; d_node becomes keep x
 * d_node. work: 3 n. d_symmetric of the gradient may take the place of symmetric itself, so it comes last. */
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

/* Where the gradient of symmetric is, of row r of those from node i on. */
static real *REAL(repflow_d_symmetric)(const struct REAL(repflow_state) * w, int64_t l, int32_t side,
                                       int64_t i, int64_t r, int thread)
{
    real *apart = w->side[side].d_symmetric;
    return apart ? apart + (thread * REAL(REPFLOW_ROWS) + r) * w->f->n
                 : w->layer[l].symmetric + (i + r) * w->f->n;
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
            for (int32_t k = 0; k < w->sides; k++) {
                d_symmetric[k] = REAL(repflow_d_symmetric)(w, l, k, i, r, thread);
            }
            REAL(repflow_d_node_row)(w, l, i + r, gram, d_symmetric);
        }
        for (int32_t k = 0; k < w->sides; k++) {
            const real *from = REAL(repflow_d_symmetric)(w, l, k, i, 0, thread);
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

/* An angle block of one centre alone, which its own tables number from 0. */
struct REAL(repflow_single) {
    int64_t angle_first[2];
    struct REAL(dgnn_repflow_edges) edges;
};

static void REAL(repflow_single_out)(int64_t i, struct REAL(dgnn_angle_block) * block,
                                     struct REAL(repflow_single) * single)
{
    struct REAL(dgnn_repflow_edges) *edges = &single->edges;
    *edges = *block->edges;
    int64_t from = edges->angle_first[i], a = block->layer->a;
    single->angle_first[0] = 0;
    single->angle_first[1] = edges->angle_first[i + 1] - from;
    edges->ncentre = 1;
    edges->first += i;
    edges->angle_count += i;
    edges->angle_linear2_first += i;
    edges->cosine += from;
    edges->angle_first = single->angle_first;
    block->edges = edges;
    block->centre += i * block->centre_stride;
    block->state = block->state ? block->state + from * a : NULL;
    block->next = block->next ? block->next + from * a : NULL;
    block->d_angle = block->d_angle ? block->d_angle + from * a : NULL;
    block->d_centre = block->d_centre ? block->d_centre + i * block->d_centre_stride : NULL;
}

/* Makes the features of a centre again with which layer l begins: edges in their place, angles in angle. As
 * forward did, so they are the same bits. */
static void REAL(repflow_make_again)(struct REAL(repflow_state) * w, int64_t l, int64_t i, int thread,
                                     real *angle)
{
    const struct REAL(dgnn_ops) *ops = w->f->ops;
    void *scratch = w->scratch + thread * w->scratch_size;
    if (l == 0) {
        REAL(repflow_first_edges)(w, 0, i, i + 1, thread);
        return;
    }
    const struct dgnn_repflow_updates *updates = REAL(repflow_updates)(w, l - 1, i);
    struct REAL(dgnn_edge_block) edge_block = REAL(repflow_edge_block)(w, l - 1);
    edge_block.with_edge = 1;
    edge_block.next = w->layer[l].edge;
    edge_block.without_angle_term = REAL(repflow_without_angle_term)(w, updates->with_angle_edge, l - 1);
    ops->edge_forward(&edge_block, i, i + 1, scratch);
    struct REAL(dgnn_angle_block) angle_block = REAL(repflow_angle_block)(w, l - 1);
    struct REAL(repflow_single) single;
    angle_block.with_edge = updates->with_angle_edge;
    angle_block.with_angle = updates->with_angle;
    angle_block.next_edge = w->layer[l].edge;
    angle_block.next = NULL;
    REAL(repflow_single_out)(i, &angle_block, &single);
    angle_block.next = angle;
    ops->angle_forward(&angle_block, 0, 1, scratch);
}

/* Where the layer did not keep its features. Each centre's angles stay in the cache between the two. */
static void REAL(repflow_angles_backward_again)(struct REAL(repflow_state) * w, int64_t l, int64_t i,
                                                int thread, const struct REAL(dgnn_angle_block) * blocks)
{
    int64_t most = w->edges.angle_count_max * w->edges.angle_count_max * w->f->a;
    real *angle = w->angle_between + thread * most;
    struct REAL(dgnn_angle_block) single[DGNN_SIDES];
    struct REAL(repflow_single) tables[DGNN_SIDES];
    REAL(repflow_make_again)(w, l, i, thread, angle);
    for (int32_t k = 0; k < w->sides; k++) {
        single[k] = blocks[k];
        single[k].state = single[k].next = NULL;
        REAL(repflow_single_out)(i, &single[k], &tables[k]);
        single[k].state = angle;
    }
    w->f->ops->angle_backward(single, 0, 1, w->scratch + thread * w->scratch_size);
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
    for (int64_t i = begin; i < end && updates->with_angle_edge && !REAL(repflow_keeps)(w, l); i++) {
        REAL(repflow_angles_backward_again)(w, l, i, thread, blocks);
    }
    if (updates->with_angle_edge && REAL(repflow_keeps)(w, l)) {
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
