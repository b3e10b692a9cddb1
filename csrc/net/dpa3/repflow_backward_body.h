#include "base/real.h"

/* Backward of net/dpa3/repflow_body.h, which comes before it. */

/* From the gradient of N' to those of self, symmetric, moments and messages; d_node becomes keep x d_node. */
static void REAL(repflow_d_node)(struct REAL(repflow_work) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(dgnn_repflow_weights) *layer = &f->layer[l];
    const struct dgnn_activation *act = &f->settings->activation;
    int64_t n = f->n, width = f->axis * (f->e + n), centre = layer->centre.ncol;
    const struct dgnn_gram_shape shape = {f->axis, f->e, n};
    real *gram = w->gram + thread * REAL(REPFLOW_ROWS) * width;
    for (int64_t i = begin; i < end; i++) {
        real *d = w->d_node + i * n, *d_centre = w->d_centre + i * centre, *d_message = w->message + i * f->m;
        real *d_symmetric = w->layer[l].symmetric + i * n; /* its value is not needed after this */
        f->ops->activate(act, n, w->layer[l].centre + i * centre, gram, d_centre);
        f->ops->activate(act, n, d_symmetric, gram, gram + n);
        for (int64_t c = 0; c < n; c++) {
            d_centre[c] *= layer->weight_self[c] * d[c];
            d_symmetric[c] = gram[n + c] * layer->weight_symmetric[c] * d[c];
            for (int64_t h = 0; h < f->heads; h++) {
                d_message[h * n + c] = layer->weight_message[h * n + c] * d[c];
            }
            d[c] *= layer->keep_node;
        }
    }
    for (int64_t i = begin; i < end; i += REAL(REPFLOW_ROWS)) {
        int64_t rows = end - i < REAL(REPFLOW_ROWS) ? end - i : REAL(REPFLOW_ROWS);
        f->ops->product(rows, w->layer[l].symmetric + i * n, n, &layer->symmetric_transposed, NULL, gram,
                        width, 0);
        int64_t place = i * 3 * (f->e + n);
        f->ops->gram_backward(&shape, rows, w->layer[l].moment + place, gram, w->d_moment + place);
    }
}

/* This thread's accumulators of gradients to neighbours: m + e columns, then n. */
static void REAL(repflow_accumulators)(struct REAL(repflow_work) * w, int64_t l, int thread,
                                       struct REAL(dgnn_edge_block) * block)
{
    int64_t wide = w->f->m + w->f->e, size = w->nnode * (wide + w->f->n);
    if (l > 0) {
        block->d_other = w->d_other + thread * size;
        block->d_node = block->d_other + w->nnode * wide;
        block->d_centre = w->d_edge_centre;
    }
}

static void REAL(repflow_clear_accumulators)(struct REAL(repflow_work) * w, int64_t l, int64_t begin,
                                             int64_t end, int thread)
{
    int64_t size = w->nnode * (w->f->m + w->f->e + w->f->n);
    (void)l;
    (void)begin;
    (void)end;
    memset(w->d_other + thread * size, 0, sizeof(real) * (size_t)size);
}

static void REAL(repflow_edges_backward)(struct REAL(repflow_work) * w, int64_t l, int64_t begin, int64_t end,
                                         int thread)
{
    struct REAL(dgnn_edge_block) block = REAL(repflow_edge_block)(w, l);
    REAL(repflow_accumulators)(w, l, thread, &block);
    block.with_node = 1;
    block.with_edge = REAL(repflow_reach)(w, l, begin)->with_edge;
    block.d_next = w->d_edge[1];
    block.d_state = w->d_edge[0];
    block.d_state_given = !REAL(repflow_reach)(w, l, begin)->with_angle_edge ? DGNN_EDGES_NONE
                          : w->edges.smooth                                  ? DGNN_EDGES_IN_ANGLES
                                                                             : DGNN_EDGES_ALL;
    w->f->ops->edge_backward(&block, begin, end, w->scratch + thread * w->scratch_size);
}

static void REAL(repflow_angles_backward)(struct REAL(repflow_work) * w, int64_t l, int64_t begin,
                                          int64_t end, int thread)
{
    struct REAL(dgnn_angle_block) block = REAL(repflow_angle_block)(w, l);
    block.with_edge = REAL(repflow_reach)(w, l, begin)->with_angle_edge;
    block.with_angle = REAL(repflow_reach)(w, l, begin)->with_angle;
    block.d_angle_given = block.with_angle;
    block.d_next_edge = w->d_edge[1];
    block.d_edge_state = w->d_edge[0];
    block.d_centre = l > 0 ? w->d_centre + w->f->n + w->f->m + w->f->e : NULL;
    block.d_centre_stride = w->f->layer[l].centre.ncol;
    if (block.with_edge) {
        w->f->ops->angle_backward(&block, begin, end, w->scratch + thread * w->scratch_size);
    }
}

static void REAL(repflow_sequence_backward)(struct REAL(repflow_work) * w, int64_t l, int64_t begin,
                                            int64_t end, int thread)
{
    const struct REAL(repflow_kept) *kept = &w->layer[l];
    const struct REAL(dgnn_ops) *ops = w->f->ops;
    void *scratch = w->scratch + thread * w->scratch_size;
    int64_t e = w->f->e, from = w->first[begin] * e, count = (w->first[end] - w->first[begin]) * e;
    real *newest = w->d_edge[1], *older = w->d_edge[0];
    struct REAL(dgnn_edge_block) edge = REAL(repflow_edge_block)(w, l);
    struct REAL(dgnn_angle_block) angle = REAL(repflow_angle_block)(w, l);
    REAL(repflow_accumulators)(w, l, thread, &edge);
    const real *first_input = edge.first_input;
    edge.with_node = 1;
    edge.state = kept->edge_last;
    edge.first_input = NULL;
    edge.d_state = newest;
    edge.d_state_given = DGNN_EDGES_ALL;
    ops->edge_backward(&edge, begin, end, scratch);
    memcpy(older + from, newest + from, sizeof(real) * (size_t)count);
    angle.d_centre = l > 0 ? w->d_centre + w->f->n + w->f->m + e : NULL;
    angle.d_centre_stride = w->f->layer[l].centre.ncol;
    angle.edge_state = kept->edge_middle;
    angle.with_edge = 1;
    angle.first_weight = NULL;
    angle.state = kept->angle_next;
    angle.d_next_edge = newest;
    angle.d_edge_state = older;
    angle.d_edge_given = 1;
    angle.d_angle_given = l + 1 < w->f->nlayer;
    ops->angle_backward(&angle, begin, end, scratch);
    angle.with_edge = 0;
    angle.with_angle = 1;
    angle.first_weight = l == 0 ? w->f->angle_weight : NULL;
    angle.state = kept->angle;
    angle.d_angle_given = 1;
    ops->angle_backward(&angle, begin, end, scratch);
    memcpy(newest + from, older + from, sizeof(real) * (size_t)count);
    edge.with_node = 0;
    edge.with_edge = 1;
    edge.state = kept->edge;
    edge.first_input = first_input;
    edge.d_next = newest;
    edge.d_state = older;
    edge.d_state_given = DGNN_EDGES_NONE;
    ops->edge_backward(&edge, begin, end, scratch);
}

/* d_node_rows = what neighbours' rows get: d_other W^T plus the moments' part, summed over threads in order.
 */
static void REAL(repflow_d_other)(struct REAL(repflow_work) * w, int64_t l, int64_t begin, int64_t end,
                                  int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t wide = f->m + f->e, n = f->n, size = w->nnode * (wide + n);
    (void)thread;
    for (int t = 1; t < w->threads; t++) {
        for (int64_t c = begin * wide; c < end * wide; c++) {
            w->d_other[c] += w->d_other[t * size + c];
        }
        for (int64_t c = w->nnode * wide + begin * n; c < w->nnode * wide + end * n; c++) {
            w->d_other[c] += w->d_other[t * size + c];
        }
    }
    memcpy(w->d_node_rows + begin * n, w->d_other + w->nnode * wide + begin * n,
           sizeof(real) * (size_t)((end - begin) * n));
    struct REAL(dgnn_matrix) used = f->layer[l].other_transposed;
    used.nrow = REAL(repflow_other_used)(w, l);
    f->ops->product(end - begin, w->d_other + begin * wide, wide, &used, NULL, w->d_node_rows + begin * n, n,
                    1);
}

/* d_node += the rows that came back. */
static void REAL(repflow_d_rows)(struct REAL(repflow_work) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread)
{
    int64_t n = w->f->n, last = end < w->nowned ? end : w->nowned;
    (void)l;
    (void)thread;
    for (int64_t c = begin * n; c < last * n; c++) {
        w->d_node[c] += w->d_node_rows[c];
    }
}

/* d_node += (self | edges | angles) W_centre^T. */
static void REAL(repflow_d_centre)(struct REAL(repflow_work) * w, int64_t l, int64_t begin, int64_t end,
                                   int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t n = f->n, wide = f->m + f->e, centre = f->layer[l].centre.ncol;
    int64_t edges = REAL(repflow_reach)(w, l, begin)->with_edge ? wide : f->m;
    struct REAL(dgnn_matrix) used = f->layer[l].centre_transposed;
    used.nrow = REAL(repflow_centre_used)(w, l, begin);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        memcpy(w->d_centre + i * centre + n, w->d_edge_centre + i * wide, sizeof(real) * (size_t)edges);
    }
    f->ops->product(end - begin, w->d_centre + begin * centre, centre, &used, NULL, w->d_node + begin * n, n,
                    1);
}
