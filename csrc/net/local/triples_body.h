#include "base/real.h"

void REAL(dgnn_triples_layout)(struct dgnn_arena *arena, const struct REAL(dgnn_embedding) * embedding,
                               int64_t nrow, int64_t nsection, struct REAL(dgnn_triples_scratch) * scratch)
{
    const int64_t block = DGNN_TRIPLES_BLOCK;
    size_t line = sizeof(real) * (size_t)dgnn_table_pad(embedding->nout, REAL_LANES);
    scratch->u = dgnn_arena_take(arena, nrow, 3 * sizeof(double));
    scratch->weight = dgnn_arena_take(arena, nrow, sizeof(double));
    scratch->edge_switch = dgnn_arena_take(arena, nrow, sizeof(double));
    scratch->d_u = dgnn_arena_take(arena, nrow, 3 * sizeof(double));
    scratch->d_switch = dgnn_arena_take(arena, nrow, sizeof(double));
    scratch->edge = dgnn_arena_take(arena, nrow, sizeof(int64_t));
    scratch->section = dgnn_arena_take(arena, nsection + 1, sizeof(int64_t));
    scratch->pair = dgnn_arena_take(arena, block, 2 * sizeof(int64_t));
    scratch->input = dgnn_arena_take(arena, block, sizeof(real) * (size_t)embedding->width_max);
    scratch->g = dgnn_arena_take(arena, block, line);
    scratch->tangent = dgnn_arena_take(arena, block, line);
    scratch->embedding = dgnn_arena_take(arena, REAL(dgnn_embedding_scratch)(embedding), sizeof(real));
}

void REAL(dgnn_triples_places)(const struct REAL(dgnn_triples_scratch) * s, int32_t rows, int32_t d_rows,
                               int64_t nrow, struct dgnn_places *to)
{
    const struct dgnn_place_rows all = {nrow, 0};
    dgnn_backend_list(to, rows, -1, s->u, all, 3 * sizeof(double));
    dgnn_backend_list(to, rows, -1, s->weight, all, sizeof(double));
    dgnn_backend_list(to, rows, -1, s->edge_switch, all, sizeof(double));
    dgnn_backend_list(to, d_rows, -1, s->d_u, all, 3 * sizeof(double));
    dgnn_backend_list(to, d_rows, -1, s->d_switch, all, sizeof(double));
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, s->pair, (struct dgnn_place_rows){DGNN_TRIPLES_BLOCK, 0},
                      2 * sizeof(int64_t));
}

static double REAL(triples_product)(const struct REAL(dgnn_triples_scratch) * s, int64_t a, int64_t b)
{
    return s->u[3 * a] * s->u[3 * b] + s->u[3 * a + 1] * s->u[3 * b + 1] + s->u[3 * a + 2] * s->u[3 * b + 2];
}

/* The embeddings of n pairs. */
static void REAL(triples_embed)(const struct REAL(dgnn_triples) * t, int64_t n)
{
    const struct REAL(dgnn_triples_scratch) *s = t->scratch;
    int64_t nin = t->embedding->network[t->network].nin;
    struct REAL(dgnn_embedding_rows) rows = {.nrow = n,
                                             .x = s->input,
                                             .x_stride = nin,
                                             .y = s->g,
                                             .tangent = t->output ? NULL : s->tangent,
                                             .stride = dgnn_table_pad(t->embedding->nout, REAL_LANES),
                                             .scratch = s->embedding};
    for (int64_t p = 0; p < n; p++) {
        s->input[p * nin] = (real)REAL(triples_product)(s, s->pair[2 * p], s->pair[2 * p + 1]);
        for (int64_t c = 1; c < nin; c++) {
            s->input[p * nin + c] = t->tail[c - 1];
        }
    }
    REAL(dgnn_embedding_forward)(t->ops, t->embedding, t->network, &rows);
}

/* scale w_a w_b, twice for two rows of one section. */
static double REAL(triples_weight)(const struct REAL(dgnn_triples) * t, int64_t a, int64_t b)
{
    int both = t->section[0] == t->section[1] && a != b;
    return (both ? 2 : 1) * t->scale * t->scratch->weight[a] * t->scratch->weight[b];
}

static double REAL(triples_smooth)(const struct REAL(dgnn_triples) * t, int64_t a, int64_t b)
{
    return t->smooth ? t->scratch->edge_switch[a] * t->scratch->edge_switch[b] : 1;
}

static void REAL(triples_forward)(const struct REAL(dgnn_triples) * t, int64_t n)
{
    const struct REAL(dgnn_triples_scratch) *s = t->scratch;
    int64_t width = t->embedding->nout, stride = dgnn_table_pad(width, REAL_LANES);
    for (int64_t p = 0; p < n; p++) {
        int64_t a = s->pair[2 * p], b = s->pair[2 * p + 1];
        double factor = REAL(triples_weight)(t, a, b) * REAL(triples_product)(s, a, b);
        double smooth = factor * REAL(triples_smooth)(t, a, b);
        const real *g = s->g + p * stride;
        for (int64_t c = 0; c < width; c++) {
            t->output[c] += factor * (double)g[c];
        }
        for (int64_t c = 0; c < width && t->factor; c++) {
            t->output[c] += smooth * (double)(g[c] * t->factor[c]);
        }
    }
}

/* Into d_u and d_switch of both rows. */
static void REAL(triples_spread)(const struct REAL(dgnn_triples) * t, int64_t a, int64_t b, double d_x,
                                 double d_smooth)
{
    struct REAL(dgnn_triples_scratch) *s = t->scratch;
    for (int k = 0; k < 3; k++) {
        s->d_u[3 * a + k] += d_x * s->u[3 * b + k];
        s->d_u[3 * b + k] += d_x * s->u[3 * a + k];
    }
    if (t->smooth) {
        s->d_switch[a] += d_smooth * s->edge_switch[b];
        s->d_switch[b] += d_smooth * s->edge_switch[a];
    }
}

static void REAL(triples_backward)(const struct REAL(dgnn_triples) * t, int64_t n)
{
    struct REAL(dgnn_triples_scratch) *s = t->scratch;
    int64_t width = t->embedding->nout, stride = dgnn_table_pad(width, REAL_LANES);
    for (int64_t p = 0; p < n; p++) {
        int64_t a = s->pair[2 * p], b = s->pair[2 * p + 1];
        double x = REAL(triples_product)(s, a, b), smooth = REAL(triples_smooth)(t, a, b);
        double weight = REAL(triples_weight)(t, a, b), d_x = 0, d_smooth = 0;
        const real *g = s->g + p * stride, *tangent = s->tangent + p * stride;
        for (int64_t c = 0; c < width && !t->factor; c++) {
            d_x += t->d_output[c] * ((double)g[c] + x * (double)tangent[c]);
        }
        for (int64_t c = 0; c < width && t->factor; c++) {
            double second = (double)t->factor[c];
            d_x += t->d_output[c] * ((double)g[c] + x * (double)tangent[c]) * (1 + second * smooth);
            d_smooth += t->d_output[c] * x * (double)g[c] * second;
        }
        REAL(triples_spread)(t, a, b, weight * d_x, weight * d_smooth);
    }
}

static void REAL(triples_block)(const struct REAL(dgnn_triples) * t, int64_t n)
{
    REAL(triples_embed)(t, n);
    if (t->output) {
        REAL(triples_forward)(t, n);
    } else {
        REAL(triples_backward)(t, n);
    }
}

void REAL(dgnn_triples_sum)(const struct REAL(dgnn_triples) * t)
{
    const int64_t *begin = t->scratch->section;
    int same = t->section[0] == t->section[1];
    int64_t n = 0;
    for (int64_t a = begin[t->section[0]]; a < begin[t->section[0] + 1]; a++) {
        for (int64_t b = same ? a : begin[t->section[1]]; b < begin[t->section[1] + 1]; b++) {
            t->scratch->pair[2 * n] = a;
            t->scratch->pair[2 * n + 1] = b;
            if (++n == DGNN_TRIPLES_BLOCK) {
                REAL(triples_block)(t, n);
                n = 0;
            }
        }
    }
    if (n) {
        REAL(triples_block)(t, n);
    }
}
