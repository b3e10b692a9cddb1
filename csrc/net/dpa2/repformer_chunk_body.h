/* A thread's centres in a phase of a layer, and what the attentions of nodes and of pairs share: views,
 * transposes and the softmax over slots. */
#include "base/real.h"

/* The centres that a thread works on, and its rooms. */
struct REAL(repformer_chunk) {
    struct REAL(dgnn_repformer_workspace) * w;
    const struct REAL(dgnn_repformer_layer) * layer;
    int64_t index;             /* of the layer */
    int64_t begin, end;        /* centres */
    int64_t pair, npair;       /* first pair, pairs */
    struct dgnn_arena scratch; /* what is left of the thread's block */
    int again; /* forward once more, for backward: it makes what is kept, and nothing after the layer */
};

static struct REAL(dgnn_matrix) REAL(repformer_view)(real *data, int64_t nrow, int64_t ncol, int64_t stride)
{
    return (struct REAL(dgnn_matrix)){.nrow = nrow, .ncol = ncol, .stride = stride, .data = data};
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
