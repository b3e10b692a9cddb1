/* The pairs' own phase of a layer, backward (repformer_pair_body.h). */
#include "base/real.h"

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
            REAL(repformer_pair_logits)(c, pair, j, n, l, scratch);
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
