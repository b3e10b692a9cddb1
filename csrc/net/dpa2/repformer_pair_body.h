/* The pairs' own phase of a layer: linear2, attention among the pairs of a centre, and the update of vectors.
 * It reads nothing of other nodes, so it runs while their rows are under way.
 *
 * For the pairs j, k of one centre, with L = g M g' the logits (M the form of a head), G_jk = h_j . h_k and s
 * the switch: x = (L G + c) s_j s_k - c (G only with the gate; without smooth x = L G), S = softmax_k(x), B =
 * S s_j s_k G / sqrt(3); the attention gives sum_k B_jk z_k, z the values, and the vectors sum_k B_jk h_k. */
#include "base/real.h"

/* The centres that a thread works on, and its rooms. */
struct REAL(repformer_chunk) {
    struct REAL(dgnn_repformer_workspace) * w;
    const struct REAL(dgnn_repformer_layer) * layer;
    int64_t index;             /* of the layer */
    int64_t begin, end;        /* centres */
    int64_t pair, npair;       /* first pair, pairs */
    struct dgnn_arena scratch; /* what is left of the thread's block */
};

/* Rooms of a pair phase. n is the most pairs of a centre, squares are n x (n padded). */
struct REAL(repformer_pair_scratch) {
    real *transposed;  /* g2 x n: the pairs' features, transposed */
    double *x, *ratio; /* n */
    struct dgnn_capacity_softmax *capacity;
    real *gate, *factor, *square[4], *d_gate, *d_factor, *d_switch;
    real *rows[3]; /* pairs of a chunk x g2 */
    real *d_heads; /* pairs of a chunk x heads */
};

static int64_t REAL(repformer_heads_width)(const struct REAL(repformer_chunk) * c)
{
    return c->layer->pair_heads.w.ncol;
}

static struct REAL(dgnn_matrix) REAL(repformer_view)(real *data, int64_t nrow, int64_t ncol, int64_t stride)
{
    return (struct REAL(dgnn_matrix)){.nrow = nrow, .ncol = ncol, .stride = stride, .data = data};
}

static void REAL(repformer_pair_layout)(const struct REAL(dgnn_repformer_layer) * layer, int64_t ng2p,
                                        int64_t npair, int64_t square, struct dgnn_arena *arena,
                                        struct REAL(dgnn_repformer_pair_kept) * kept)
{
    int attention = layer->s.has_pair_attn || layer->s.has_vector;
    *kept = (struct REAL(dgnn_repformer_pair_kept)){0};
    if (!layer->s.has_pair) {
        return;
    }
    kept->slope = dgnn_arena_take(arena, npair * ng2p, sizeof(real));
    if (attention) {
        kept->heads = dgnn_arena_take(arena, npair * layer->pair_heads.w.ncol, sizeof(real));
        kept->logit = dgnn_arena_take(arena, square * layer->s.pair_heads, sizeof(real));
        kept->weight = dgnn_arena_take(arena, square * layer->s.pair_heads, sizeof(real));
    }
    if (layer->s.has_pair_attn) {
        kept->normed = dgnn_arena_take(arena, npair * ng2p, sizeof(real));
        kept->spread = dgnn_arena_take(arena, npair, sizeof(real));
    }
}

/* Room for the slots of a centre with n keys. */
static struct dgnn_capacity_softmax *REAL(repformer_capacity_scratch)(int64_t n, struct dgnn_arena *arena)
{
    struct dgnn_capacity_softmax *capacity = dgnn_arena_take(arena, 1, sizeof(*capacity));
    double *theta = dgnn_arena_take(arena, n, sizeof(double)),
           *d_theta = dgnn_arena_take(arena, n, sizeof(double));
    int64_t *order = dgnn_arena_take(arena, n, sizeof(int64_t));
    if (capacity) {
        *capacity = (struct dgnn_capacity_softmax){.theta = theta, .d_theta = d_theta, .order = order};
    }
    return capacity;
}

/* The slots of a centre that has more keys than them, in graph semantics; else NULL. */
static const struct dgnn_capacity_softmax *REAL(repformer_over_capacity)(
    const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n, double shift,
    struct dgnn_capacity_softmax *capacity)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    if (w->dense || !block->context.smooth || n <= block->nsel) {
        return NULL;
    }
    capacity->n = n;
    capacity->w = w->sw + pair;
    capacity->capacity = (double)block->nsel;
    capacity->shift = shift;
    dgnn_capacity_softmax_occupy(capacity);
    return capacity;
}

static void REAL(repformer_pair_scratch)(const struct REAL(dgnn_repformer_workspace) * w, int64_t heads_width,
                                         struct dgnn_arena *arena,
                                         struct REAL(repformer_pair_scratch) * scratch)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t n = w->list.row_max, np = dgnn_table_pad(n, REAL_LANES), pairs = w->list.chunk_max;
    real **squares[] = {&scratch->gate,      &scratch->factor,    &scratch->square[0],
                        &scratch->square[1], &scratch->square[2], &scratch->square[3],
                        &scratch->d_gate,    &scratch->d_factor,  &scratch->d_switch};
    scratch->transposed = dgnn_arena_take(arena, block->ng2p * np, sizeof(real));
    scratch->x = dgnn_arena_take(arena, n, sizeof(double));
    scratch->ratio = dgnn_arena_take(arena, n, sizeof(double));
    scratch->capacity = REAL(repformer_capacity_scratch)(n, arena);
    for (size_t k = 0; k < sizeof(squares) / sizeof(squares[0]); k++) {
        *squares[k] = dgnn_arena_take(arena, n * np, sizeof(real));
    }
    for (int k = 0; k < 3; k++) {
        scratch->rows[k] = dgnn_arena_take(arena, pairs * block->ng2p, sizeof(real));
    }
    scratch->d_heads = dgnn_arena_take(arena, pairs * heads_width, sizeof(real));
}

/* The chunk's part of what is kept, or a room for it in the chunk's scratch. */
static struct REAL(dgnn_repformer_pair_kept) REAL(repformer_pair_kept)(struct REAL(repformer_chunk) * c)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    struct REAL(dgnn_repformer_pair_kept) kept = w->pair_kept[c->index];
    int64_t chunk = c->begin / DGNN_PAIR_LIST_CHUNK, square = w->list.square_first[chunk];
    if (!block->context.keep) {
        REAL(repformer_pair_layout)(c->layer, block->ng2p, w->list.chunk_max, w->list.square_max, &c->scratch,
                                    &kept);
        return kept;
    }
    kept.slope += c->pair * block->ng2p;
    if (kept.heads) {
        kept.heads += c->pair * REAL(repformer_heads_width)(c);
        kept.logit += square * c->layer->s.pair_heads;
        kept.weight += square * c->layer->s.pair_heads;
    }
    if (kept.normed) {
        kept.normed += c->pair * block->ng2p;
        kept.spread += c->pair;
    }
    return kept;
}

/* to[c][r] = from[r][c] for nrow rows and ncol columns. */
static void REAL(repformer_transpose)(int64_t nrow, int64_t ncol, const real *from, int64_t from_stride,
                                      real *to, int64_t to_stride)
{
    for (int64_t c = 0; c < ncol; c++) {
        real *row = to + c * to_stride;
        for (int64_t r = 0; r < nrow; r++) {
            row[r] = from[r * from_stride + c];
        }
        for (int64_t r = nrow; r < to_stride; r++) {
            row[r] = 0;
        }
    }
}

/* ---------------------------------------------------------------- softmax */

/* What the softmax of a row needs beside its logits. */
struct REAL(repformer_softmax_row) {
    const struct dgnn_ops_f64 *ops;
    const struct dgnn_capacity_softmax *capacity; /* NULL, or those of a centre with more keys than slots */
    double nempty; /* slots that hold no key and count in the denominator with exp(-shift) each; 0: do not
                    * count
                    */
    double shift;
};

/* The row of a centre with n keys from pair on. */
static struct REAL(repformer_softmax_row)
    REAL(repformer_softmax_row)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n, double shift,
                                struct dgnn_capacity_softmax *capacity)
{
    const struct REAL(dgnn_repformer) *block = c->w->block;
    return (struct REAL(repformer_softmax_row)){
        .ops = dgnn_select_ops_f64(block->ops->cpu),
        .capacity = REAL(repformer_over_capacity)(c, pair, n, shift, capacity),
        .nempty = block->context.smooth ? (double)(block->nsel - n) : 0,
        .shift = shift};
}

/* Logits x of n keys into weights. In float64, since the logits of smooth attention are of the size of their
 * shift. x is overwritten. */
static void REAL(repformer_softmax)(const struct REAL(repformer_softmax_row) * row, int64_t n, double *x,
                                    real *weight)
{
    double most = row->nempty > 0 ? -row->shift : x[0], sum = 0, absent = 0;
    if (row->capacity) {
        dgnn_capacity_softmax_weights(row->capacity, x, x);
        for (int64_t k = 0; k < n; k++) {
            weight[k] = (real)x[k];
        }
        return;
    }
    for (int64_t k = 0; k < n; k++) {
        most = x[k] > most ? x[k] : most;
    }
    row->ops->exponential(n, x, most, x);
    for (int64_t k = 0; k < n; k++) {
        sum += x[k];
    }
    if (row->nempty > 0) {
        row->ops->exponential(1, &(double){-row->shift}, most, &absent);
    }
    sum = 1 / (sum + row->nempty * absent);
    for (int64_t k = 0; k < n; k++) {
        weight[k] = (real)(x[k] * sum);
    }
}

/* ---------------------------------------------------------------- forward */

/* gate = h h' and factor = s s' gate / sqrt(3) for the n pairs of a centre. */
static void REAL(repformer_pair_gate)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                      const struct REAL(repformer_pair_scratch) * scratch)
{
    const real *h = c->w->h2[c->index] + pair * 4;
    const double *s = c->w->sw + pair;
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    real third = (real)(1 / sqrt(3.0));
    for (int64_t j = 0; j < n; j++) {
        real *gate = scratch->gate + j * np, *factor = scratch->factor + j * np;
        for (int64_t k = 0; k < n; k++) {
            gate[k] = h[4 * j] * h[4 * k] + h[4 * j + 1] * h[4 * k + 1] + h[4 * j + 2] * h[4 * k + 2];
            factor[k] = gate[k] * third;
        }
        for (int64_t k = 0; k < n && c->w->block->context.smooth; k++) {
            factor[k] *= (real)(s[j] * s[k]);
        }
        for (int64_t k = n; k < np; k++) {
            gate[k] = factor[k] = 0;
        }
    }
}

/* Logits as the softmax sees them, of one pair. */
static void REAL(repformer_pair_logits)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t j,
                                        int64_t n, const real *logit, const real *gate, double *x)
{
    const double *s = c->w->sw + pair;
    double shift = c->layer->s.pair_shift;
    for (int64_t k = 0; k < n; k++) {
        x[k] = (double)(c->layer->s.has_gate ? logit[k] * gate[k] : logit[k]);
    }
    for (int64_t k = 0; k < n && c->w->block->context.smooth; k++) {
        x[k] = (x[k] + shift) * (s[j] * s[k]) - shift;
    }
}

/* Vectors of a centre's pairs: out_j += factor sum_k mixed_jk h_k, mixed the heads' weighted sum of B. */
static void REAL(repformer_pair_vectors)(int64_t n, const real *mixed, const real *h, real factor, real *out)
{
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    for (int64_t j = 0; j < n; j++) {
        real sum[3] = {0, 0, 0};
        for (int64_t k = 0; k < n; k++) {
            for (int d = 0; d < 3; d++) {
                sum[d] += mixed[j * np + k] * h[4 * k + d];
            }
        }
        for (int d = 0; d < 3; d++) {
            out[4 * j + d] += factor * sum[d];
        }
    }
}

/* Attention of one centre: kept logits and weights, out (n x g2) with its bias, and the vectors' update.
 * square: the centre's place in the kept squares. */
static void REAL(repformer_pair_attend)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                        const struct REAL(dgnn_repformer_pair_kept) * kept, int64_t square,
                                        const struct REAL(repformer_pair_scratch) * scratch, real *out)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_repformer_switches *s = &c->layer->s;
    int64_t np = dgnn_table_pad(n, REAL_LANES), ng2p = block->ng2p, width = REAL(repformer_heads_width)(c);
    real *heads = kept->heads + (pair - c->pair) * width, *mixed = scratch->square[1];
    struct REAL(repformer_softmax_row) row =
        REAL(repformer_softmax_row)(c, pair, n, s->pair_shift, scratch->capacity);
    struct REAL(dgnn_matrix) keys = REAL(repformer_view)(scratch->transposed, block->ng2, n, np);
    REAL(repformer_transpose)(n, block->ng2, w->g2[c->index] + pair * ng2p, ng2p, scratch->transposed, np);
    REAL(repformer_pair_gate)(c, pair, n, scratch);
    memset(mixed, 0, sizeof(real) * (size_t)(n * np));
    for (int64_t h = 0; h < s->pair_heads; h++) {
        real *logit = kept->logit + square * s->pair_heads + h * n * np;
        real *weight = kept->weight + square * s->pair_heads + h * n * np, *b = scratch->square[0];
        block->ops->product(n, heads + h * ng2p, width, &keys, NULL, logit, np, 0);
        for (int64_t j = 0; j < n; j++) {
            REAL(repformer_pair_logits)(c, pair, j, n, logit + j * np, scratch->gate + j * np, scratch->x);
            REAL(repformer_softmax)(&row, n, scratch->x, weight + j * np);
            for (int64_t k = 0; k < n; k++) {
                b[j * np + k] = weight[j * np + k] * scratch->factor[j * np + k];
            }
        }
        if (s->has_pair_attn) {
            struct REAL(dgnn_matrix) values =
                REAL(repformer_view)(heads + (s->pair_heads + h) * ng2p, n, ng2p, width);
            block->ops->product(n, b, np, &values, c->layer->pair_attn_bias, out, ng2p, h > 0);
        }
        for (int64_t k = 0; k < n * np && s->has_vector; k++) {
            mixed[k] += c->layer->vector_weight[h] * b[k];
        }
    }
    if (s->has_vector) {
        REAL(repformer_pair_vectors)(n, mixed, w->h2[c->index] + 4 * pair, c->layer->h2.factor[0],
                                     w->h2[c->index + 1] + 4 * pair);
    }
}

/* Normalises rows of x into normed (padding: zeros) and adds factor . (normed . scale + shift) to out. */
static void REAL(repformer_norm_forward)(const struct REAL(repformer_chunk) * c, const real *x,
                                         const struct REAL(dgnn_repformer_pair_kept) * kept,
                                         const real *factor, real *out)
{
    int64_t n = c->w->block->ng2, stride = c->w->block->ng2p;
    const struct REAL(dgnn_repformer_layer) *layer = c->layer;
    for (int64_t p = 0; p < c->npair; p++) {
        const real *row = x + p * stride;
        real mean = 0, square = 0, *normed = kept->normed + p * stride;
        for (int64_t k = 0; k < n; k++) {
            mean += row[k];
        }
        mean /= (real)n;
        for (int64_t k = 0; k < n; k++) {
            square += (row[k] - mean) * (row[k] - mean);
        }
        real spread = 1 / (real)sqrt((double)square / (double)n + layer->norm_epsilon);
        kept->spread[p] = spread;
        for (int64_t k = 0; k < n; k++) {
            normed[k] = (row[k] - mean) * spread;
            out[p * stride + k] += factor[k] * (normed[k] * layer->norm_scale[k] + layer->norm_shift[k]);
        }
        for (int64_t k = n; k < stride; k++) {
            normed[k] = 0;
        }
    }
}

/* new = start old + factor . update for n rows. */
static void REAL(repformer_start)(int64_t n, int64_t width, real start, const real *factor, const real *old,
                                  const real *update, real *out)
{
    for (int64_t r = 0; r < n; r++) {
        for (int64_t k = 0; k < width; k++) {
            out[r * width + k] = start * old[r * width + k] + factor[k] * update[r * width + k];
        }
    }
}

/* Where nothing is kept, backward calls it again; the rows after the layer are not needed any more then. */
static void REAL(repformer_pair_forward)(struct REAL(repformer_chunk) * c,
                                         const struct REAL(dgnn_repformer_pair_kept) * kept,
                                         const struct REAL(repformer_pair_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_layer) *layer = c->layer;
    int64_t ng2p = block->ng2p, square = 0, last = layer->g2.n - 1;
    real *old = w->g2[c->index] + c->pair * ng2p, *out = w->g2[c->index + 1] + c->pair * ng2p;
    real *update = scratch->rows[0], *attended = scratch->rows[1];
    block->ops->product(c->npair, old, ng2p, &layer->pair.w, layer->pair_bias, update, ng2p, 0);
    block->ops->activate(&block->activation, c->npair * ng2p, update, update, kept->slope);
    REAL(repformer_start)(c->npair, ng2p, layer->g2.start, layer->g2.factor, old, update, out);
    if (!layer->s.has_pair_attn && !layer->s.has_vector) {
        return;
    }
    if (layer->s.has_vector) {
        real *from = w->h2[c->index] + 4 * c->pair, *to = w->h2[c->index + 1] + 4 * c->pair;
        for (int64_t k = 0; k < 4 * c->npair; k++) {
            to[k] = layer->h2.start * from[k];
        }
    }
    block->ops->product(c->npair, old, ng2p, &layer->pair_heads.w, NULL, kept->heads,
                        REAL(repformer_heads_width)(c), 0);
    for (int64_t i = c->begin; i < c->end; i++) {
        int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair;
        if (n > 0) {
            REAL(repformer_pair_attend)(c, pair, n, kept, square, scratch,
                                        attended + (pair - c->pair) * ng2p);
            square += n * dgnn_table_pad(n, REAL_LANES);
        }
    }
    if (layer->s.has_pair_attn) {
        REAL(repformer_norm_forward)(c, attended, kept, layer->g2.factor + last * layer->g2.width, out);
    }
}

/* ---------------------------------------------------------------- backward */

/* d (n x g2, gradient of the layer norm's value) into that of its argument. */
static void REAL(repformer_norm_backward)(const struct REAL(repformer_chunk) * c,
                                          const struct REAL(dgnn_repformer_pair_kept) * kept, real *d)
{
    int64_t n = c->w->block->ng2, stride = c->w->block->ng2p;
    for (int64_t p = 0; p < c->npair; p++) {
        const real *normed = kept->normed + p * stride;
        real mean = 0, along = 0, *row = d + p * stride;
        for (int64_t k = 0; k < n; k++) {
            row[k] *= c->layer->norm_scale[k];
            mean += row[k];
            along += row[k] * normed[k];
        }
        mean /= (real)n;
        along /= (real)n;
        for (int64_t k = 0; k < n; k++) {
            row[k] = kept->spread[p] * (row[k] - mean - normed[k] * along);
        }
    }
}

/* From the gradient of a head's B (square[0]) to those of its logits (there too), the factor, the gate and
 * the switches' products. */
static void REAL(repformer_pair_logits_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                                 int64_t n,
                                                 const struct REAL(dgnn_repformer_pair_kept) * head,
                                                 const struct dgnn_capacity_softmax *capacity,
                                                 const struct REAL(repformer_pair_scratch) * scratch)
{
    const double *s = c->w->sw + pair;
    real shift = (real)c->layer->s.pair_shift;
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    for (int64_t j = 0; j < n; j++) {
        const real *gate = scratch->gate + j * np, *factor = scratch->factor + j * np;
        const real *l = head->logit + j * np, *w = head->weight + j * np;
        real *d = scratch->square[0] + j * np, *d_factor = scratch->d_factor + j * np, along = 0;
        for (int64_t k = 0; k < n; k++) {
            d_factor[k] += d[k] * w[k];
            d[k] *= factor[k] * w[k];
            along += d[k];
        }
        if (capacity) {
            REAL(repformer_pair_logits)(c, pair, j, n, l, gate, scratch->x);
            dgnn_capacity_softmax_backward(capacity, scratch->x, (double)along, scratch->ratio);
        }
        for (int64_t k = 0; k < n; k++) {
            d[k] -= (capacity ? (real)scratch->ratio[k] : w[k]) * along;
        }
        for (int64_t k = 0; k < n && c->w->block->context.smooth; k++) {
            scratch->d_switch[j * np + k] += d[k] * ((c->layer->s.has_gate ? l[k] * gate[k] : l[k]) + shift);
            d[k] *= (real)(s[j] * s[k]);
        }
        for (int64_t k = 0; k < n && c->layer->s.has_gate; k++) {
            scratch->d_gate[j * np + k] += d[k] * l[k];
            d[k] *= gate[k];
        }
    }
}

/* What factor = s s' gate / sqrt(3), gate = h h' and the logits' s s' give to h and s of a centre's pairs. */
static void REAL(repformer_pair_gate_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                               int64_t n, const struct REAL(repformer_pair_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const real *h = w->h2[c->index] + 4 * pair;
    const double *s = w->sw + pair;
    real *d_h = w->d->h2[0] + 4 * pair, third = (real)(1 / sqrt(3.0));
    double *d_s = w->d->sw + pair;
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    for (int64_t j = 0; j < n; j++) {
        real sum[3] = {0, 0, 0};
        double sum_s = 0;
        for (int64_t k = 0; k < n; k++) {
            int64_t at = j * np + k, transposed = k * np + j;
            real d_factor = (scratch->d_factor[at] + scratch->d_factor[transposed]) * third;
            real d_gate = scratch->d_gate[at] + scratch->d_gate[transposed];
            d_gate += block->context.smooth ? d_factor * (real)(s[j] * s[k]) : d_factor;
            for (int d = 0; d < 3; d++) {
                sum[d] += d_gate * h[4 * k + d];
            }
            sum_s += (double)(scratch->d_switch[at] + scratch->d_switch[transposed] +
                              d_factor * scratch->gate[at]) *
                     s[k];
        }
        for (int d = 0; d < 3; d++) {
            d_h[4 * j + d] += sum[d];
        }
        d_s[j] += block->context.smooth ? sum_s : 0;
    }
}

/* The vectors' update, backward: what it gives to h, and, in along_jk = d_out_j . h_k, to every head's B. */
static void REAL(repformer_pair_vectors_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                                  int64_t n, const real *mixed, real *along)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const real *h = w->h2[c->index] + 4 * pair, *d_out = w->d->h2[1] + 4 * pair;
    real *d_h = w->d->h2[0] + 4 * pair, factor = c->layer->h2.factor[0];
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    for (int64_t j = 0; j < n; j++) {
        for (int64_t k = 0; k < n; k++) {
            along[j * np + k] = 0;
            for (int d = 0; d < 3; d++) {
                along[j * np + k] += factor * d_out[4 * j + d] * h[4 * k + d];
                d_h[4 * k + d] += mixed[j * np + k] * factor * d_out[4 * j + d];
            }
        }
    }
}

/* One head of one centre. square[0] holds what the vectors' update gives to B (or zeros). */
static void REAL(repformer_pair_head_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                               int64_t n, int64_t h,
                                               const struct REAL(dgnn_repformer_pair_kept) * kept,
                                               const struct dgnn_capacity_softmax *capacity,
                                               const struct REAL(repformer_pair_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_repformer_switches *s = &c->layer->s;
    int64_t np = dgnn_table_pad(n, REAL_LANES), ng2p = block->ng2p, width = REAL(repformer_heads_width)(c);
    real *heads = kept->heads + (pair - c->pair) * width,
         *d_heads = scratch->d_heads + (pair - c->pair) * width;
    real *d_out = scratch->rows[1] + (pair - c->pair) * ng2p, *d_b = scratch->square[0],
         *transposed = scratch->square[2];
    real *g = w->g2[c->index] + pair * ng2p;
    struct REAL(dgnn_matrix) rows = REAL(repformer_view)(g, n, ng2p, ng2p);
    struct REAL(dgnn_matrix) form = REAL(repformer_view)(heads + h * ng2p, n, ng2p, width);
    if (s->has_pair_attn) {
        real *value = heads + (s->pair_heads + h) * ng2p;
        struct REAL(dgnn_matrix) values = REAL(repformer_view)(scratch->transposed, block->ng2, n, np);
        struct REAL(dgnn_matrix) d_rows = REAL(repformer_view)(d_out, n, ng2p, ng2p);
        REAL(repformer_transpose)(n, block->ng2, value, width, scratch->transposed, np);
        block->ops->product(n, d_out, ng2p, &values, NULL, d_b, np, 1);
        for (int64_t k = 0; k < n * np; k++) {
            scratch->square[1][k] = kept->weight[k] * scratch->factor[k];
        }
        REAL(repformer_transpose)(n, n, scratch->square[1], np, transposed, np);
        block->ops->product(n, transposed, np, &d_rows, NULL, d_heads + (s->pair_heads + h) * ng2p, width, 0);
    }
    REAL(repformer_pair_logits_backward)(c, pair, n, kept, capacity, scratch);
    block->ops->product(n, d_b, np, &rows, NULL, d_heads + h * ng2p, width, 0);
    REAL(repformer_transpose)(n, n, d_b, np, transposed, np);
    block->ops->product(n, transposed, np, &form, NULL, w->d->g2[0] + pair * ng2p, ng2p, 1);
}

static void REAL(repformer_pair_attend_backward)(const struct REAL(repformer_chunk) * c, int64_t pair,
                                                 int64_t n,
                                                 const struct REAL(dgnn_repformer_pair_kept) * kept,
                                                 int64_t square,
                                                 const struct REAL(repformer_pair_scratch) * scratch)
{
    const struct dgnn_repformer_switches *s = &c->layer->s;
    int64_t np = dgnn_table_pad(n, REAL_LANES);
    size_t size = sizeof(real) * (size_t)(n * np);
    real *along = scratch->square[3], *mixed = scratch->square[0];
    struct REAL(dgnn_repformer_pair_kept) head = *kept;
    const struct dgnn_capacity_softmax *capacity =
        REAL(repformer_over_capacity)(c, pair, n, s->pair_shift, scratch->capacity);
    head.logit += square * s->pair_heads;
    head.weight += square * s->pair_heads;
    REAL(repformer_pair_gate)(c, pair, n, scratch);
    memset(scratch->d_gate, 0, size);
    memset(scratch->d_factor, 0, size);
    memset(scratch->d_switch, 0, size);
    memset(along, 0, size);
    if (s->has_vector) {
        memset(mixed, 0, size);
        for (int64_t h = 0; h < s->pair_heads; h++) {
            for (int64_t k = 0; k < n * np; k++) {
                mixed[k] += c->layer->vector_weight[h] * head.weight[h * n * np + k] * scratch->factor[k];
            }
        }
        REAL(repformer_pair_vectors_backward)(c, pair, n, mixed, along);
    }
    for (int64_t h = 0; h < s->pair_heads; h++) {
        for (int64_t k = 0; k < n * np; k++) {
            scratch->square[0][k] = s->has_vector ? c->layer->vector_weight[h] * along[k] : 0;
        }
        REAL(repformer_pair_head_backward)(c, pair, n, h, &head, capacity, scratch);
        head.logit += n * np;
        head.weight += n * np;
    }
    REAL(repformer_pair_gate_backward)(c, pair, n, scratch);
    if (capacity) {
        dgnn_capacity_softmax_finish(capacity, c->w->d->sw + pair);
    }
}

/* Adds to d_g2[0] and d_h2[0] what d_g2[1] and d_h2[1], the gradients after the layer, give through this
 * phase. */
static void REAL(repformer_pair_backward)(struct REAL(repformer_chunk) * c,
                                          const struct REAL(dgnn_repformer_pair_kept) * kept,
                                          const struct REAL(repformer_pair_scratch) * scratch)
{
    struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_layer) *layer = c->layer;
    int64_t ng2p = block->ng2p, square = 0;
    const real *d_new = w->d->g2[1] + c->pair * ng2p;
    const real *last = layer->g2.factor + (layer->g2.n - 1) * layer->g2.width;
    real *d_old = w->d->g2[0] + c->pair * ng2p;
    for (int64_t p = 0; p < c->npair; p++) {
        for (int64_t k = 0; k < ng2p; k++) {
            int64_t at = p * ng2p + k;
            d_old[at] += layer->g2.start * d_new[at];
            scratch->rows[0][at] = layer->g2.factor[k] * d_new[at] * kept->slope[at];
            scratch->rows[1][at] = last[k] * d_new[at];
        }
    }
    block->ops->product(c->npair, scratch->rows[0], ng2p, &layer->pair.transposed, NULL, d_old, ng2p, 1);
    for (int64_t k = 4 * c->pair; k < 4 * (c->pair + c->npair); k++) {
        w->d->h2[0][k] += layer->h2.start * w->d->h2[1][k];
    }
    if (!layer->s.has_pair_attn && !layer->s.has_vector) {
        return;
    }
    if (layer->s.has_pair_attn) {
        REAL(repformer_norm_backward)(c, kept, scratch->rows[1]);
    }
    for (int64_t i = c->begin; i < c->end; i++) {
        int64_t pair = w->list.first[i], n = w->list.first[i + 1] - pair;
        if (n > 0) {
            REAL(repformer_pair_attend_backward)(c, pair, n, kept, square, scratch);
            square += n * dgnn_table_pad(n, REAL_LANES);
        }
    }
    block->ops->product(c->npair, scratch->d_heads, REAL(repformer_heads_width)(c),
                        &layer->pair_heads.transposed, NULL, d_old, ng2p, 1);
}
