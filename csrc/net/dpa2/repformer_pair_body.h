/* The pairs' own phase of a layer: linear2, attention among the pairs of a centre, and the update of vectors.
 * It reads nothing of other nodes, so it runs while their rows are under way.
 *
 * For the pairs j, k of one centre, with L = g M g' the logits (M the form of a head), G_jk = h_j . h_k and s
 * the switch: x = (L G + c) s_j s_k - c (G only with the gate; without smooth x = L G), S = softmax_k(x), B =
 * S s_j s_k G / sqrt(3); the attention gives sum_k B_jk z_k, z the values, and the vectors sum_k B_jk h_k. */
#include "base/real.h"

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

/* Logits of pair j as the softmax sees them, into scratch->x. */
static void REAL(repformer_pair_logits)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t j,
                                        int64_t n, const real *logit,
                                        const struct REAL(repformer_pair_scratch) * scratch)
{
    const double *s = c->w->sw + pair;
    const real *gate = scratch->gate + j * dgnn_table_pad(n, REAL_LANES);
    double *x = scratch->x;
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

/* Attention of one centre: kept logits and weights, rows[1] (n x g2) with its bias, and the vectors' update.
 * square: the centre's place in the kept squares. */
static void REAL(repformer_pair_attend)(const struct REAL(repformer_chunk) * c, int64_t pair, int64_t n,
                                        const struct REAL(dgnn_repformer_pair_kept) * kept, int64_t square,
                                        const struct REAL(repformer_pair_scratch) * scratch)
{
    const struct REAL(dgnn_repformer_workspace) *w = c->w;
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_repformer_switches *s = &c->layer->s;
    int64_t np = dgnn_table_pad(n, REAL_LANES), ng2p = block->ng2p, width = REAL(repformer_heads_width)(c);
    real *heads = kept->heads + (pair - c->pair) * width, *mixed = scratch->square[1];
    real *out = scratch->rows[1] + (pair - c->pair) * ng2p;
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
            REAL(repformer_pair_logits)(c, pair, j, n, logit + j * np, scratch);
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
    if (s->has_vector && !c->again) {
        REAL(repformer_pair_vectors)(n, mixed, w->h2[c->index] + 4 * pair, c->layer->h2.factor[0],
                                     w->h2[c->index + 1] + 4 * pair);
    }
}

/* Normalises rows of x into normed (padding: zeros) and adds factor . (normed . scale + shift) to out. */
static void REAL(repformer_norm_forward)(const struct REAL(repformer_chunk) * c, const real *x,
                                         const struct REAL(dgnn_repformer_pair_kept) * kept,
                                         const real *factor, real *out)
{
    int64_t n = c->w->block->ng2, stride = c->w->block->ng2p, after = c->again ? 0 : n;
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
        }
        for (int64_t k = 0; k < after; k++) {
            out[p * stride + k] += factor[k] * (normed[k] * layer->norm_scale[k] + layer->norm_shift[k]);
        }
        for (int64_t k = n; k < stride; k++) {
            normed[k] = 0;
        }
    }
}

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
    for (int64_t p = 0; p < c->npair && !c->again; p++) {
        for (int64_t k = 0; k < ng2p; k++) {
            int64_t at = p * ng2p + k;
            out[at] = layer->g2.start * old[at] + layer->g2.factor[k] * update[at];
        }
    }
    if (!layer->s.has_pair_attn && !layer->s.has_vector) {
        return;
    }
    if (layer->s.has_vector && !c->again) {
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
            REAL(repformer_pair_attend)(c, pair, n, kept, square, scratch);
            square += n * dgnn_table_pad(n, REAL_LANES);
        }
    }
    if (layer->s.has_pair_attn) {
        REAL(repformer_norm_forward)(c, attended, kept, layer->g2.factor + last * layer->g2.width, out);
    }
}
