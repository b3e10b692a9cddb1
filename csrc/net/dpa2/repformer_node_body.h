/* The nodes' phase of a layer: everything that reads other nodes' features, and all updates of g1. In the
 * sums over a centre's pairs j, w_j is the switch (1 without smooth), g_j the pair's and x_j the neighbour's
 * features:
 *
 *     moment1_dc = norm sum_j w_j h_jd x_jc           drrd; with g_jc: moment2, grrg
 *     product_ab = sum_d moment_da moment_db / 3      a < axis
 *     conv_c     = norm' sum_j w_j (g W)_jc x_jc      or of (x W) and g, where it is no update of its own */
#include "base/real.h"

/* Rooms of a node phase; rows are padded. */
struct REAL(repformer_node_scratch) {
    real *neighbour_rows;        /* pairs of a centre x g1: the neighbours' features */
    real *product_rows;          /* as neighbour_rows */
    real *rows[2];               /* centres of a chunk x g1 */
    real *common, *d_common;     /* centres of a chunk x common_width */
    real *heads, *d_heads;       /* centres of a chunk x heads x g1 */
    real *conv, *d_conv;         /* pairs of a chunk x g1 or g2: the map of the convolution */
    real *direction;             /* 3 x n, or n x 4: norm w h */
    real *d_moment, *transposed; /* 3 x g1, g1 x lanes */
    real *d_direction;           /* n x lanes */
    real *head_rows;             /* 2 heads x g1 */
    real *weights[3];            /* n x 2 heads, or transposed */
    real *pair_row;              /* n + 1 x g2 */
    double *x, *ratio;           /* n */
    struct dgnn_capacity_softmax *capacity;
};

static int64_t REAL(repformer_node_width)(const struct REAL(dgnn_repformer) * block,
                                          const struct REAL(dgnn_repformer_layer) * layer)
{
    return layer->s.conv_out ? block->ng1p : block->ng2p;
}

static int64_t REAL(repformer_heads_pad)(const struct REAL(dgnn_repformer_layer) * layer)
{
    return dgnn_table_pad(layer->s.node_heads, REAL_LANES);
}

static void REAL(repformer_node_layout)(const struct REAL(dgnn_repformer) * block,
                                        const struct REAL(dgnn_repformer_layer) * layer, int64_t ncentre,
                                        int64_t npair, struct dgnn_arena *arena,
                                        struct REAL(dgnn_repformer_node_kept) * kept)
{
    *kept = (struct REAL(dgnn_repformer_node_kept)){0};
    kept->common_slope = dgnn_arena_take(arena, ncentre * block->ng1p, sizeof(real));
    kept->self_slope = dgnn_arena_take(arena, layer->s.self_out ? ncentre * block->ng1p : 0, sizeof(real));
    kept->moment1 = dgnn_arena_take(arena, layer->s.has_drrd ? 3 * ncentre * block->ng1p : 0, sizeof(real));
    kept->moment2 = dgnn_arena_take(arena, layer->s.has_grrg ? 3 * ncentre * block->ng2p : 0, sizeof(real));
    if (layer->s.has_attn) {
        int64_t heads = REAL(repformer_heads_pad)(layer);
        kept->form = dgnn_arena_take(arena, ncentre * layer->node_form.w.ncol, sizeof(real));
        kept->logit = dgnn_arena_take(arena, npair * heads, sizeof(real));
        kept->weight = dgnn_arena_take(arena, npair * heads, sizeof(real));
    }
}

static void REAL(repformer_node_scratch)(const struct REAL(dgnn_repformer_workspace) * w,
                                         const struct REAL(dgnn_repformer_layer) * layer,
                                         struct dgnn_arena *arena,
                                         struct REAL(repformer_node_scratch) * scratch)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t n = w->list.row_max, np = dgnn_table_pad(n, REAL_LANES), ng1p = block->ng1p;
    int64_t heads = REAL(repformer_heads_pad)(layer), chunk = DGNN_PAIR_LIST_CHUNK;
    scratch->neighbour_rows = dgnn_arena_take(arena, n * ng1p, sizeof(real));
    scratch->product_rows = dgnn_arena_take(arena, n * ng1p, sizeof(real));
    for (int k = 0; k < 2; k++) {
        scratch->rows[k] = dgnn_arena_take(arena, chunk * ng1p, sizeof(real));
    }
    scratch->common = dgnn_arena_take(arena, chunk * layer->common.transposed.stride, sizeof(real));
    scratch->d_common = dgnn_arena_take(arena, chunk * layer->common.transposed.stride, sizeof(real));
    scratch->heads = dgnn_arena_take(arena, chunk * layer->node_form.w.ncol, sizeof(real));
    scratch->d_heads = dgnn_arena_take(arena, chunk * layer->node_form.w.ncol, sizeof(real));
    scratch->conv =
        dgnn_arena_take(arena, w->list.chunk_max * REAL(repformer_node_width)(block, layer), sizeof(real));
    scratch->d_conv =
        dgnn_arena_take(arena, w->list.chunk_max * REAL(repformer_node_width)(block, layer), sizeof(real));
    scratch->direction = dgnn_arena_take(arena, 4 * np, sizeof(real));
    scratch->d_moment = dgnn_arena_take(arena, 3 * (ng1p + block->ng2p), sizeof(real));
    scratch->transposed = dgnn_arena_take(
        arena, (ng1p + block->ng2p) * (heads > REAL_LANES ? heads : REAL_LANES), sizeof(real));
    scratch->d_direction = dgnn_arena_take(arena, n * REAL_LANES, sizeof(real));
    scratch->head_rows = dgnn_arena_take(arena, 2 * heads * ng1p, sizeof(real));
    for (int k = 0; k < 3; k++) {
        scratch->weights[k] = dgnn_arena_take(arena, 2 * heads * np, sizeof(real));
    }
    scratch->x = dgnn_arena_take(arena, n, sizeof(double));
    scratch->ratio = dgnn_arena_take(arena, n, sizeof(double));
    scratch->capacity = REAL(repformer_capacity_scratch)(n, arena);
    scratch->pair_row = dgnn_arena_take(arena, (n + 1) * block->ng2p, sizeof(real));
}

static struct REAL(dgnn_repformer_node_kept) REAL(repformer_node_kept)(struct REAL(repformer_chunk) * c)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_layer) *layer = c->layer;
    struct REAL(dgnn_repformer_node_kept) kept = w->node_kept[c->index];
    if (!block->context.keep) {
        REAL(repformer_node_layout)(block, layer, DGNN_PAIR_LIST_CHUNK, w->list.chunk_max, &c->scratch,
                                    &kept);
        return kept;
    }
    kept.common_slope += c->begin * block->ng1p;
    kept.self_slope += layer->s.self_out ? c->begin * block->ng1p : 0;
    kept.moment1 += layer->s.has_drrd ? 3 * c->begin * block->ng1p : 0;
    kept.moment2 += layer->s.has_grrg ? 3 * c->begin * block->ng2p : 0;
    if (layer->s.has_attn) {
        kept.form += c->begin * layer->node_form.w.ncol;
        kept.logit += c->pair * REAL(repformer_heads_pad)(layer);
        kept.weight += c->pair * REAL(repformer_heads_pad)(layer);
    }
    return kept;
}

static int REAL(repformer_sees_nodes)(const struct REAL(dgnn_repformer_layer) * layer)
{
    return dgnn_repformer_sees_nodes(&layer->s);
}

/* The factors before the sums over a centre with n pairs: of moments, and of the convolution. */
static real REAL(repformer_moment_norm)(const struct REAL(repformer_chunk) * c, int64_t n)
{
    double nslot = (double)(c->w->block->context.smooth ? c->w->block->nsel : n);
    double size = c->layer->s.root ? sqrt(nslot) : nslot;
    return (real)(1 / (c->w->block->context.smooth ? size : repformer_epsilon + size));
}

static real REAL(repformer_conv_norm)(const struct REAL(repformer_chunk) * c, int64_t n)
{
    return (real)(1 /
                  (c->w->block->context.smooth ? (double)c->w->block->nsel : repformer_epsilon + (double)n));
}

/* ---------------------------------------------------------------- forward */

static void REAL(repformer_gather)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                   real *neighbour_rows)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    for (int64_t j = 0; j < n; j++) {
        memcpy(neighbour_rows + j * block->ng1p, w->g1[c->index] + w->list.neighbour[pair + j] * block->ng1p,
               sizeof(real) * (size_t)block->ng1p);
    }
}

/* w of a pair. */
static real REAL(repformer_switch)(const struct REAL(dgnn_repformer_workspace) * w, int64_t pair)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    return block->context.smooth ? (real)w->sw[pair] : 1;
}

/* Rows d of norm w_j h_jd, or with transposed rows j. */
static void REAL(repformer_direction)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                      int transposed, real *out)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const real *h = w->h2[c->index] + 4 * pair;
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    real norm = REAL(repformer_moment_norm)(c, n);
    for (int64_t j = 0; j < n; j++) {
        for (int d = 0; d < 3; d++) {
            out[transposed ? 4 * j + d : d * np + j] =
                norm * REAL(repformer_switch)(w, pair + j) * h[4 * j + d];
        }
    }
}

static void REAL(repformer_products)(const real *moment, int64_t axis, int64_t width, int64_t stride,
                                     real *out)
{
    const real *m[3] = {moment, moment + stride, moment + 2 * stride};
    real third = (real)(1.0 / 3);
    for (int64_t a = 0; a < axis; a++) {
        real f[3] = {m[0][a] * third, m[1][a] * third, m[2][a] * third};
        for (int64_t b = 0; b < width; b++) {
            out[a * width + b] = f[0] * m[0][b] + f[1] * m[1][b] + f[2] * m[2][b];
        }
    }
}

/* The map of the pairs' features, of all pairs of the chunk. It is wide, so backward makes it anew. */
static void REAL(repformer_conv_map)(const struct REAL(repformer_chunk) * c,
                                     const struct REAL(repformer_node_scratch) * scratch)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    block->ops->product(c->npair, w->g2[c->index] + c->pair * block->ng2p, block->ng2p, &c->layer->conv.w,
                        NULL, scratch->conv, block->ng1p, 0);
}

/* sum_j norm w_j a_jc b_jc. */
static void REAL(repformer_conv_sum)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                     const real *a, const real *b, real *out)
{
    int64_t width = REAL(repformer_node_width)(c->w->block, c->layer);
    real norm = REAL(repformer_conv_norm)(c, n);
    for (int64_t j = 0; j < n; j++) {
        real sw = norm * REAL(repformer_switch)(c->w, pair + j);
        for (int64_t k = 0; k < width; k++) {
            out[k] += sw * a[j * width + k] * b[j * width + k];
        }
    }
}

static void REAL(repformer_node_logits)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                        const real *logit, int64_t h, double *x)
{
    const double *s = c->w->sw + pair;
    int64_t heads = REAL(repformer_heads_pad)(c->layer);
    double shift = c->layer->s.node_shift;
    for (int64_t j = 0; j < n; j++) {
        x[j] = (double)logit[j * heads + h];
        x[j] = c->w->block->context.smooth ? (x[j] + shift) * s[j] - shift : x[j];
    }
}

/* A node's attention: the heads' sums of neighbours' features (heads x g1). neighbour_rows: the neighbours.
 */
static void REAL(repformer_node_attend)(const struct REAL(repformer_chunk) * c, int64_t i,
                                        const real *neighbour_rows,
                                        const struct REAL(dgnn_repformer_node_kept) * kept,
                                        const struct REAL(repformer_node_scratch) * scratch, real *out)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, np = dgnn_table_pad(n, REAL_LANES);
    int64_t heads = REAL(repformer_heads_pad)(c->layer), ng1p = block->ng1p;
    const real *form = kept->form + (i - c->begin) * c->layer->node_form.w.ncol;
    real *logit = kept->logit + (pair - c->pair) * heads, *weight = kept->weight + (pair - c->pair) * heads;
    real *mix = scratch->weights[0];
    struct REAL(dgnn_matrix) keys = REAL(repformer_view)(scratch->transposed, block->ng1, heads, heads);
    struct REAL(dgnn_matrix) values = REAL(repformer_view)((real *)neighbour_rows, n, ng1p, ng1p);
    struct REAL(repformer_softmax_row) row =
        REAL(repformer_softmax_row)(c, pair, n, c->layer->s.node_shift, scratch->capacity);
    REAL(repformer_transpose)(c->layer->s.node_heads, block->ng1, form, ng1p, scratch->transposed, heads);
    block->ops->product(n, neighbour_rows, ng1p, &keys, NULL, logit, heads, 0);
    for (int64_t h = 0; h < c->layer->s.node_heads; h++) {
        REAL(repformer_node_logits)(c, pair, n, logit, h, scratch->x);
        REAL(repformer_softmax)(&row, n, scratch->x, mix + h * np);
        for (int64_t j = 0; j < n; j++) {
            weight[j * heads + h] = mix[h * np + j];
            mix[h * np + j] *= REAL(repformer_switch)(w, pair + j);
        }
    }
    block->ops->product(c->layer->s.node_heads, mix, np, &values, NULL, out, ng1p, 0);
}

/* g2 after the layer += factor . ((w x_i . x_j) W). */
static void REAL(repformer_node_product)(const struct REAL(repformer_chunk) * c, int64_t i,
                                         const real *neighbour_rows,
                                         const struct REAL(repformer_node_scratch) * scratch)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_update) *update = &c->layer->g2;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, ng1p = block->ng1p;
    const real *own = w->g1[c->index] + i * ng1p;
    real *out = w->g2[c->index + 1] + pair * block->ng2p;
    for (int64_t j = 0; j < n; j++) {
        real sw = REAL(repformer_switch)(w, pair + j);
        for (int64_t k = 0; k < ng1p; k++) {
            scratch->product_rows[j * ng1p + k] = sw * own[k] * neighbour_rows[j * ng1p + k];
        }
    }
    block->ops->product(n, scratch->product_rows, ng1p, &c->layer->product.w, NULL, scratch->pair_row,
                        block->ng2p, 0);
    for (int64_t j = 0; j < n; j++) {
        for (int64_t k = 0; k < block->ng2p; k++) {
            out[j * block->ng2p + k] +=
                update->factor[update->width + k] * scratch->pair_row[j * block->ng2p + k];
        }
    }
}

/* A centre's sums over its pairs: inputs of the common update, the convolution (to rows[1]), the attention's
 * heads, and the product for g2. */
static void REAL(repformer_node_centre)(const struct REAL(repformer_chunk) * c, int64_t i,
                                        const struct REAL(dgnn_repformer_node_kept) * kept,
                                        const struct REAL(repformer_node_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_repformer_switches *s = &c->layer->s;
    int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair, np = dgnn_table_pad(n, REAL_LANES);
    int64_t ng1p = block->ng1p, ng2p = block->ng2p, row = i - c->begin, first = pair - c->pair;
    real *common = scratch->common + row * c->layer->common.transposed.stride,
         *g2 = w->g2[c->index] + pair * ng2p;
    struct REAL(dgnn_matrix) neighbour_rows = REAL(repformer_view)(scratch->neighbour_rows, n, ng1p, ng1p);
    struct REAL(dgnn_matrix) pairs = REAL(repformer_view)(g2, n, ng2p, ng2p);
    if (REAL(repformer_sees_nodes)(c->layer)) {
        REAL(repformer_gather)(c, pair, n, scratch->neighbour_rows);
    }
    REAL(repformer_direction)(c, pair, n, 0, scratch->direction);
    if (!s->self_out) {
        memcpy(common, w->g1[c->index] + i * ng1p, sizeof(real) * (size_t)block->ng1);
        common += block->ng1;
    }
    if (s->has_conv && s->conv_out) {
        REAL(repformer_conv_sum)(c, pair, n, scratch->conv + first * ng1p, scratch->neighbour_rows,
                                 scratch->rows[1] + row * ng1p);
    } else if (s->has_conv) {
        real *of_node = scratch->conv + first * ng2p, *sum = scratch->pair_row;
        memset(sum, 0, sizeof(real) * (size_t)ng2p);
        block->ops->product(n, scratch->neighbour_rows, ng1p, &c->layer->conv.w, NULL, of_node, ng2p, 0);
        REAL(repformer_conv_sum)(c, pair, n, of_node, g2, sum);
        memcpy(common, sum, sizeof(real) * (size_t)block->ng2);
        common += block->ng2;
    }
    if (s->has_grrg) {
        real *moment = kept->moment2 + 3 * row * ng2p;
        block->ops->product(3, scratch->direction, np, &pairs, NULL, moment, ng2p, 0);
        REAL(repformer_products)(moment, s->axis, block->ng2, ng2p, common);
        common += s->axis * block->ng2;
    }
    if (s->has_drrd) {
        real *moment = kept->moment1 + 3 * row * ng1p;
        block->ops->product(3, scratch->direction, np, &neighbour_rows, NULL, moment, ng1p, 0);
        REAL(repformer_products)(moment, s->axis, block->ng1, ng1p, common);
    }
    if (s->has_attn) {
        real *heads = scratch->heads + row * c->layer->node_form.w.ncol;
        if (n > 0) {
            REAL(repformer_node_attend)(c, i, scratch->neighbour_rows, kept, scratch, heads);
        } else {
            memset(heads, 0, sizeof(real) * (size_t)c->layer->node_form.w.ncol);
        }
    }
    if (s->has_product && !c->again) {
        REAL(repformer_node_product)(c, i, scratch->neighbour_rows, scratch);
    }
}

/* Rows of g1 after the layer += factor . update. */
static void REAL(repformer_add_rows)(const struct REAL(repformer_chunk) * c, const real *factor,
                                     const real *update)
{
    int64_t width = c->w->block->ng1p;
    real *out = c->w->g1[c->index + 1] + c->begin * width;
    for (int64_t r = 0; r < c->end - c->begin && !c->again; r++) {
        for (int64_t k = 0; k < width; k++) {
            out[r * width + k] += factor[k] * update[r * width + k];
        }
    }
}

static void REAL(repformer_node_forward)(struct REAL(repformer_chunk) * c,
                                         const struct REAL(dgnn_repformer_node_kept) * kept,
                                         const struct REAL(repformer_node_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_layer) *layer = c->layer;
    const struct dgnn_repformer_switches *s = &layer->s;
    const struct REAL(dgnn_ops) *ops = block->ops;
    int64_t n = c->end - c->begin, ng1p = block->ng1p, after = c->again ? 0 : n;
    const real *old = w->g1[c->index] + c->begin * ng1p, *factor = layer->g1.factor;
    real *out = w->g1[c->index + 1] + c->begin * ng1p, *update = scratch->rows[0];
    if (s->has_attn) {
        ops->product(n, old, ng1p, &layer->node_form.w, NULL, kept->form, layer->node_form.w.ncol, 0);
    }
    if (s->has_conv && s->conv_out) {
        REAL(repformer_conv_map)(c, scratch);
        memset(scratch->rows[1], 0, sizeof(real) * (size_t)(n * ng1p));
    }
    for (int64_t i = c->begin; i < c->end; i++) {
        REAL(repformer_node_centre)(c, i, kept, scratch);
    }
    for (int64_t k = 0; k < after * ng1p; k++) {
        out[k] = layer->g1.start * old[k];
    }
    if (s->self_out) {
        ops->product(n, old, ng1p, &layer->self.w, layer->self_bias, update, ng1p, 0);
        ops->activate(&block->activation, n * ng1p, update, update, kept->self_slope);
        REAL(repformer_add_rows)(c, factor, update);
        factor += layer->g1.width;
    }
    if (s->has_conv && s->conv_out) {
        REAL(repformer_add_rows)(c, factor, scratch->rows[1]);
        factor += layer->g1.width;
    }
    ops->product(n, scratch->common, layer->common.transposed.stride, &layer->common.w, layer->common_bias,
                 update, ng1p, 0);
    ops->activate(&block->activation, n * ng1p, update, update, kept->common_slope);
    REAL(repformer_add_rows)(c, factor, update);
    factor += layer->g1.width;
    if (s->has_attn && !c->again) {
        ops->product(n, scratch->heads, layer->node_form.w.ncol, &layer->node_value.w, layer->node_attn_bias,
                     update, ng1p, 0);
        REAL(repformer_add_rows)(c, factor, update);
    }
}
