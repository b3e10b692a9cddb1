/* The nodes' phase of a layer, backward (repformer_node_body.h). */
#include "base/real.h"

/* What pairs from one on hold for their neighbours, of the side that backward is at. */
static real *REAL(repformer_d_neighbour)(const struct REAL(dgnn_repformer_workspace) * w, int64_t pair)
{
    return w->d->neighbour + (pair - w->d->first_pair) * w->block->ng1p;
}

/* d (axis x width) of the products into d_moment (3 x width, stride apart, written). */
static void REAL(repformer_products_backward)(const real *moment, const real *d, int64_t axis, int64_t width,
                                              int64_t stride, real *d_moment)
{
    real third = (real)(1.0 / 3);
    memset(d_moment, 0, sizeof(real) * (size_t)(3 * stride));
    for (int64_t a = 0; a < axis; a++) {
        for (int x = 0; x < 3; x++) {
            const real *m = moment + x * stride;
            real *out = d_moment + x * stride, first = m[a] * third, sum = 0;
            for (int64_t b = 0; b < width; b++) {
                out[b] += first * d[a * width + b];
                sum += d[a * width + b] * m[b];
            }
            out[a] += sum * third;
        }
    }
}

/* Rows of a moment's sum, and their gradient. */
struct REAL(repformer_moment_rows) {
    const real *row;
    int64_t width, stride;
    real *d_row;
    int accumulate; /* 0: d_row is written */
};

/* From d_moment of sum_j direction_jd row_jc: d_row (+)= direction d_moment, d_direction += row d_moment'. */
static void REAL(repformer_moment_backward)(const struct REAL(repformer_chunk) * c, int64_t n,
                                            const struct REAL(repformer_node_scratch) * scratch,
                                            const struct REAL(repformer_moment_rows) * rows)
{
    int64_t width = rows->width, stride = rows->stride;
    const struct REAL(dgnn_ops) *ops = c->w->block->ops;
    struct REAL(dgnn_matrix) d_moment = REAL(repformer_view)(scratch->d_moment, 3, stride, stride);
    struct REAL(dgnn_matrix) transposed =
        REAL(repformer_view)(scratch->transposed, width, REAL_LANES, REAL_LANES);
    ops->product(n, scratch->direction, 4, &d_moment, NULL, rows->d_row, stride, rows->accumulate);
    REAL(repformer_transpose)(3, width, scratch->d_moment, stride, scratch->transposed, REAL_LANES);
    ops->product(n, rows->row, stride, &transposed, NULL, scratch->d_direction, REAL_LANES, 1);
}

/* What direction_jd = norm w_j h_jd gives to h and w. */
static void REAL(repformer_direction_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                               int64_t n, const real *d_direction)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const real *h = w->h2[c->index] + 4 * pair;
    real norm = REAL(repformer_moment_norm)(c, n);
    for (int64_t j = 0; j < n; j++) {
        real sw = REAL(repformer_switch)(w, pair + j), sum = 0;
        for (int d = 0; d < 3; d++) {
            real t = norm * d_direction[j * REAL_LANES + d];
            w->d->h2[0][4 * (pair + j) + d] += t * sw;
            sum += t * h[4 * j + d];
        }
        w->d->sw[pair + j] += block->context.smooth ? (double)sum : 0;
    }
}

/* The rows a and b that conv_sum multiplies, and their gradients: d_a is written, d_b is added to. */
struct REAL(repformer_conv_rows) {
    const real *a, *b;
    real *d_a, *d_b;
};

static void REAL(repformer_conv_backward)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                          const real *d, const struct REAL(repformer_conv_rows) * rows)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t width = REAL(repformer_node_width)(block, c->layer);
    real norm = REAL(repformer_conv_norm)(c, n);
    for (int64_t j = 0; j < n; j++) {
        real sw = norm * REAL(repformer_switch)(w, pair + j), sum = 0;
        for (int64_t k = 0; k < width; k++) {
            int64_t at = j * width + k;
            real da = d[k] * rows->b[at];
            sum += da * rows->a[at];
            rows->d_a[at] = sw * da;
            rows->d_b[at] += sw * d[k] * rows->a[at];
        }
        w->d->sw[pair + j] += block->context.smooth ? (double)(norm * sum) : 0;
    }
}

/* The softmax, the switch and their sums, backward, for one node: d_mix (n x heads, gradient of weight times
 * switch) into that of the logits. In float64, as forward. */
static void REAL(repformer_node_logits_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                                 int64_t n, const real *logit, const real *weight,
                                                 const struct REAL(repformer_node_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t heads = REAL(repformer_heads_pad)(c->layer);
    double shift = c->layer->s.node_shift;
    int smooth = block->context.smooth;
    real *d_mix = scratch->weights[0];
    const struct dgnn_capacity_softmax *capacity =
        REAL(repformer_over_capacity)(c, pair, n, shift, scratch->capacity);
    for (int64_t h = 0; h < c->layer->s.node_heads; h++) {
        double along = 0;
        for (int64_t j = 0; j < n; j++) {
            double share = (double)weight[j * heads + h], s = smooth ? w->sw[pair + j] : 1;
            along += (double)d_mix[j * heads + h] * s * share;
        }
        if (capacity) {
            REAL(repformer_node_logits)(c, pair, n, logit, h, scratch->x);
            dgnn_capacity_softmax_backward(capacity, scratch->x, along, scratch->ratio);
        }
        for (int64_t j = 0; j < n; j++) {
            real *d = d_mix + j * heads + h;
            double share = (double)weight[j * heads + h], s = smooth ? w->sw[pair + j] : 1;
            double d_logit = share * (double)*d * s - (capacity ? scratch->ratio[j] : share) * along;
            double d_s = (double)*d * share + d_logit * ((double)logit[j * heads + h] + shift);
            w->d->sw[pair + j] += smooth ? d_s : 0;
            *d = (real)(d_logit * s);
        }
    }
    if (capacity) {
        dgnn_capacity_softmax_finish(capacity, w->d->sw + pair);
    }
}

/* d: gradient of the heads' sums (heads x g1). Adds to its neighbours' rows; writes d_form (heads x g1). */
static void REAL(repformer_node_attend_backward)(const struct REAL(repformer_chunk) * c, int64_t i, real *d,
                                                 const struct REAL(dgnn_repformer_node_kept) * kept,
                                                 const struct REAL(repformer_node_scratch) * scratch,
                                                 real *d_form)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, np = dgnn_table_pad(n, REAL_LANES);
    int64_t nhead = c->layer->s.node_heads, heads = REAL(repformer_heads_pad)(c->layer), ng1p = block->ng1p;
    const real *form = kept->form + (i - c->begin) * c->layer->node_form.w.ncol;
    const real *logit = kept->logit + (pair - c->pair) * heads,
               *weight = kept->weight + (pair - c->pair) * heads;
    real *d_mix = scratch->weights[0], *transposed = scratch->weights[1], *both = scratch->weights[2];
    struct REAL(dgnn_matrix) d_values = REAL(repformer_view)(scratch->transposed, block->ng1, heads, heads);
    struct REAL(dgnn_matrix) neighbour_rows = REAL(repformer_view)(scratch->neighbour_rows, n, ng1p, ng1p);
    struct REAL(dgnn_matrix) rows = REAL(repformer_view)(scratch->head_rows, 2 * nhead, ng1p, ng1p);
    REAL(repformer_transpose)(nhead, block->ng1, d, ng1p, scratch->transposed, heads);
    block->ops->product(n, scratch->neighbour_rows, ng1p, &d_values, NULL, d_mix, heads, 0);
    REAL(repformer_node_logits_backward)(c, pair, n, logit, weight, scratch);
    REAL(repformer_transpose)(n, nhead, d_mix, heads, transposed, np);
    block->ops->product(nhead, transposed, np, &neighbour_rows, NULL, d_form, ng1p, 0);
    memcpy(scratch->head_rows, form, sizeof(real) * (size_t)(nhead * ng1p));
    memcpy(scratch->head_rows + nhead * ng1p, d, sizeof(real) * (size_t)(nhead * ng1p));
    for (int64_t j = 0; j < n; j++) {
        real sw = REAL(repformer_switch)(w, pair + j);
        for (int64_t h = 0; h < nhead; h++) {
            both[2 * nhead * j + h] = d_mix[j * heads + h];
            both[2 * nhead * j + nhead + h] = weight[j * heads + h] * sw;
        }
    }
    block->ops->product(n, both, 2 * nhead, &rows, NULL, REAL(repformer_d_neighbour)(w, pair), ng1p, 1);
}

static void REAL(repformer_node_product_backward)(const struct REAL(repformer_chunk) * c, int64_t i,
                                                  const struct REAL(repformer_node_scratch) * scratch,
                                                  real *d_neighbour_rows)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_update) *update = &c->layer->g2;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, ng1p = block->ng1p, ng2p = block->ng2p;
    const real *own = w->g1[c->index] + i * ng1p, *d_new = w->d->g2[1] + pair * ng2p;
    real *d_own = w->d->g1[0] + i * ng1p;
    for (int64_t j = 0; j < n; j++) {
        for (int64_t k = 0; k < ng2p; k++) {
            scratch->pair_row[j * ng2p + k] = update->factor[update->width + k] * d_new[j * ng2p + k];
        }
    }
    block->ops->product(n, scratch->pair_row, ng2p, &c->layer->product.transposed, NULL,
                        scratch->product_rows, ng1p, 0);
    for (int64_t j = 0; j < n; j++) {
        const real *neighbour_rows = scratch->neighbour_rows + j * ng1p,
                   *d = scratch->product_rows + j * ng1p;
        real sw = REAL(repformer_switch)(w, pair + j), sum = 0;
        for (int64_t k = 0; k < ng1p; k++) {
            sum += d[k] * own[k] * neighbour_rows[k];
            d_neighbour_rows[j * ng1p + k] += sw * d[k] * own[k];
            d_own[k] += sw * d[k] * neighbour_rows[k];
        }
        w->d->sw[pair + j] += block->context.smooth ? (double)sum : 0;
    }
}

/* The convolution of a centre. d_conv: what the common update's inputs give it, where it is one of them. */
static void REAL(repformer_node_conv_backward)(const struct REAL(repformer_chunk) * c, int64_t i,
                                               const struct REAL(repformer_node_scratch) * scratch,
                                               const real *d_conv)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, first = pair - c->pair;
    int64_t ng1p = block->ng1p, ng2p = block->ng2p;
    real *d_neighbour_rows = REAL(repformer_d_neighbour)(w, pair);
    if (c->layer->s.conv_out) {
        struct REAL(repformer_conv_rows) rows = {scratch->conv + first * ng1p, scratch->neighbour_rows,
                                                 scratch->d_conv + first * ng1p, d_neighbour_rows};
        REAL(repformer_conv_backward)(c, pair, n, scratch->rows[1] + (i - c->begin) * ng1p, &rows);
        return;
    }
    real *d_padded = scratch->d_moment; /* its padding must be zeros, which d_common's is not */
    struct REAL(repformer_conv_rows) rows = {scratch->conv + first * ng2p, w->g2[c->index] + pair * ng2p,
                                             scratch->d_conv + first * ng2p, w->d->g2[0] + pair * ng2p};
    block->ops->product(n, scratch->neighbour_rows, ng1p, &c->layer->conv.w, NULL,
                        scratch->conv + first * ng2p, ng2p, 0);
    memset(d_padded, 0, sizeof(real) * (size_t)ng2p);
    memcpy(d_padded, d_conv, sizeof(real) * (size_t)block->ng2);
    REAL(repformer_conv_backward)(c, pair, n, d_padded, &rows);
    block->ops->product(n, rows.d_a, ng2p, &c->layer->conv.transposed, NULL, d_neighbour_rows, ng1p, 1);
}

/* From the gradients of a centre's sums: d_common, the common update's inputs; rows[1], the convolution. */
static void REAL(repformer_node_centre_backward)(const struct REAL(repformer_chunk) * c, int64_t i,
                                                 const struct REAL(dgnn_repformer_node_kept) * kept,
                                                 const struct REAL(repformer_node_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_repformer_switches *s = &c->layer->s;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, row = i - c->begin;
    int64_t ng1p = block->ng1p, ng2p = block->ng2p, heads_width = c->layer->node_form.w.ncol;
    const real *d_common = scratch->d_common + row * c->layer->common.transposed.stride;
    real *g2 = w->g2[c->index] + pair * ng2p, *d_g2 = w->d->g2[0] + pair * ng2p;
    real *d_neighbour_rows = REAL(repformer_d_neighbour)(w, pair);
    real *d_own = w->d->g1[0] + i * ng1p;
    const real *d_conv = NULL;
    if (REAL(repformer_sees_nodes)(c->layer)) {
        REAL(repformer_gather)(c, pair, n, scratch->neighbour_rows);
    }
    REAL(repformer_direction)(c, pair, n, 1, scratch->direction);
    memset(scratch->d_direction, 0, sizeof(real) * (size_t)(n * REAL_LANES));
    if (!s->self_out) {
        for (int64_t k = 0; k < block->ng1; k++) {
            d_own[k] += d_common[k];
        }
        d_common += block->ng1;
    }
    if (s->has_conv && !s->conv_out) {
        d_conv = d_common;
        d_common += block->ng2;
    }
    if (s->has_grrg) {
        REAL(repformer_products_backward)(kept->moment2 + 3 * row * ng2p, d_common, s->axis, block->ng2, ng2p,
                                          scratch->d_moment);
        REAL(repformer_moment_backward)(c, n, scratch,
                                        &(struct REAL(repformer_moment_rows)){g2, block->ng2, ng2p, d_g2, 1});
        d_common += s->axis * block->ng2;
    }
    if (s->has_drrd) {
        REAL(repformer_products_backward)(kept->moment1 + 3 * row * ng1p, d_common, s->axis, block->ng1, ng1p,
                                          scratch->d_moment);
        struct REAL(repformer_moment_rows)
            rows = {scratch->neighbour_rows, block->ng1, ng1p, d_neighbour_rows, 0};
        REAL(repformer_moment_backward)(c, n, scratch, &rows);
    } else if (REAL(repformer_sees_nodes)(c->layer)) {
        memset(d_neighbour_rows, 0, sizeof(real) * (size_t)(n * ng1p));
    }
    REAL(repformer_direction_backward)(c, pair, n, scratch->d_direction);
    if (s->has_conv) {
        REAL(repformer_node_conv_backward)(c, i, scratch, d_conv);
    }
    if (s->has_attn && n > 0) {
        REAL(repformer_node_attend_backward)(c, i, scratch->heads + row * heads_width, kept, scratch,
                                             scratch->d_heads + row * heads_width);
    } else if (s->has_attn) {
        memset(scratch->d_heads + row * heads_width, 0, sizeof(real) * (size_t)heads_width);
    }
    if (s->has_product) {
        REAL(repformer_node_product_backward)(c, i, scratch, d_neighbour_rows);
    }
}

static void REAL(repformer_scale_rows)(int64_t n, int64_t width, const real *factor, const real *d,
                                       const real *slope, real *out)
{
    for (int64_t r = 0; r < n; r++) {
        for (int64_t k = 0; k < width; k++) {
            int64_t at = r * width + k;
            out[at] = factor[k] * d[at] * (slope ? slope[at] : 1);
        }
    }
}

/* Zeros, or the gradient as it is where the pair phase does not pass it on. */
static void REAL(repformer_pass)(int zero, int64_t n, const real *from, real *to)
{
    if (zero) {
        memset(to, 0, sizeof(real) * (size_t)n);
    } else {
        memcpy(to, from, sizeof(real) * (size_t)n);
    }
}

/* Writes d_g1[0] of the chunk's own nodes and d_neighbour of its pairs, and starts d_g2[0] and d_h2[0]: what
 * d_g1[1] gives them, and d_g2[1] through the product, or where the layer leaves pairs as they are. Adds to
 * d_sw. */
static void REAL(repformer_node_backward)(struct REAL(repformer_chunk) * c,
                                          const struct REAL(dgnn_repformer_node_kept) * kept,
                                          const struct REAL(repformer_node_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_layer) *layer = c->layer;
    const struct dgnn_repformer_switches *s = &layer->s;
    const struct REAL(dgnn_ops) *ops = block->ops;
    int64_t n = c->end - c->begin, ng1p = block->ng1p;
    const real *d_new = w->d->g1[1] + c->begin * ng1p, *factor = layer->g1.factor;
    real *d_old = w->d->g1[0] + c->begin * ng1p, *d = scratch->rows[0];
    REAL(repformer_pass)(s->has_pair, c->npair * block->ng2p, w->d->g2[1] + c->pair * block->ng2p,
                         w->d->g2[0] + c->pair * block->ng2p);
    REAL(repformer_pass)(s->has_pair, 4 * c->npair, w->d->h2[1] + 4 * c->pair, w->d->h2[0] + 4 * c->pair);
    for (int64_t k = 0; k < n * ng1p; k++) {
        d_old[k] = layer->g1.start * d_new[k];
    }
    if (s->self_out) {
        REAL(repformer_scale_rows)(n, ng1p, factor, d_new, kept->self_slope, d);
        ops->product(n, d, ng1p, &layer->self.transposed, NULL, d_old, ng1p, 1);
        factor += layer->g1.width;
    }
    if (s->has_conv && s->conv_out) {
        REAL(repformer_scale_rows)(n, ng1p, factor, d_new, NULL, scratch->rows[1]);
        factor += layer->g1.width;
    }
    REAL(repformer_scale_rows)(n, ng1p, factor, d_new, kept->common_slope, d);
    ops->product(n, d, ng1p, &layer->common.transposed, NULL, scratch->d_common,
                 layer->common.transposed.stride, 0);
    factor += layer->g1.width;
    if (s->has_attn) {
        REAL(repformer_scale_rows)(n, ng1p, factor, d_new, NULL, d);
        ops->product(n, d, ng1p, &layer->node_value.transposed, NULL, scratch->heads, layer->node_form.w.ncol,
                     0);
    }
    if (s->has_conv && s->conv_out) {
        REAL(repformer_conv_map)(c, scratch);
    }
    for (int64_t i = c->begin; i < c->end; i++) {
        REAL(repformer_node_centre_backward)(c, i, kept, scratch);
    }
    if (s->has_conv && s->conv_out) {
        ops->product(c->npair, scratch->d_conv, ng1p, &layer->conv.transposed, NULL,
                     w->d->g2[0] + c->pair * block->ng2p, block->ng2p, 1);
    }
    if (s->has_attn) {
        ops->product(n, scratch->d_heads, layer->node_form.w.ncol, &layer->node_form.transposed, NULL, d_old,
                     ng1p, 1);
    }
}
