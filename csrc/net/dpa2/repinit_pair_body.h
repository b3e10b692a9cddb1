/* The pair block: gr = sum_j (row_j) (g_j) / nsel, 4 x ng, and the output D[c][k] = sum_a gr[a][c] gr[a][k],
 * k < axis. g is the network's value for (s, types), s the row's first number; with strip g (1 + t w), t the
 * types' factor and w the switch (1 without smooth). */
#include "base/real.h"

struct REAL(repinit_pair_scratch) {
    real *x;                         /* n + 1 x inputs */
    real *network;                   /* the network's own */
    real *transposed;                /* 4 x n + 1 */
    real *moment;                    /* dgnn_moment_scratch */
    real *value, *slope, *by_switch; /* n + 1 x ngp, where nothing is kept */
    real *d_moment;                  /* 4 x ngp */
    real *d_row;                     /* n x 4 */
    real *d_switch;                  /* n */
};

static struct dgnn_moment_shape REAL(repinit_shape)(const struct REAL(dgnn_repinit) * block)
{
    return (struct dgnn_moment_shape){.n = block->ng, .axis = block->context.axis, .stride = block->ngp};
}

static void REAL(repinit_pair_scratch)(const struct REAL(dgnn_repinit_workspace) * w,
                                       struct dgnn_arena *arena, struct REAL(repinit_pair_scratch) * scratch)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t n = w->list.row_max + 1, np = dgnn_table_pad(n, REAL_LANES), ngp = block->ngp;
    int64_t nin = block->embedding.network[0].nin;
    scratch->x = dgnn_arena_take(arena, n * nin, sizeof(real));
    scratch->network = dgnn_arena_take(arena, REAL(dgnn_embedding_scratch)(&block->embedding), sizeof(real));
    struct dgnn_moment_shape shape = REAL(repinit_shape)(block);
    scratch->transposed = dgnn_arena_take(arena, 4 * np, sizeof(real));
    scratch->moment = dgnn_arena_take(arena, REAL(dgnn_moment_scratch)(&shape), sizeof(real));
    scratch->value = dgnn_arena_take(arena, n * ngp, sizeof(real));
    scratch->slope = dgnn_arena_take(arena, n * ngp, sizeof(real));
    scratch->by_switch = dgnn_arena_take(arena, n * ngp, sizeof(real));
    scratch->d_moment = dgnn_arena_take(arena, 4 * ngp, sizeof(real));
    scratch->d_row = dgnn_arena_take(arena, n, 4 * sizeof(real));
    scratch->d_switch = dgnn_arena_take(arena, n, sizeof(real));
}

static void REAL(repinit_pair_layout)(struct REAL(dgnn_repinit_workspace) * w, struct dgnn_arena *arena)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    /* Every centre may have one further row, that of its empty slots. */
    int64_t kept = block->context.keep ? (list->npair + list->ncentre) * block->ngp : 0;
    w->row = dgnn_arena_take(arena, list->npair * 4, sizeof(real));
    w->sw = dgnn_arena_take(arena, list->npair, sizeof(real));
    w->moment = dgnn_arena_take(arena, list->ncentre * 4 * block->ngp, sizeof(real));
    w->value = dgnn_arena_take(arena, kept, sizeof(real));
    w->slope = dgnn_arena_take(arena, kept, sizeof(real));
    w->nvalue = kept;
    w->nspare = block->context.strip ? kept : 0;
    w->by_switch = dgnn_arena_take(arena, w->nspare, sizeof(real));
}

int REAL(dgnn_repinit_prepare_pair)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                    struct dgnn_error *error)
{
    struct REAL(repinit_pair_scratch) scratch;
    struct dgnn_arena arena = {0};
    DGNN_TRY(REAL(repinit_build)(w, graph, error));
    REAL(repinit_pair_scratch)(w, &arena, &scratch);
    return REAL(repinit_reserve)(w, REAL(repinit_pair_layout), arena.used, error);
}

static void REAL(repinit_pair_input)(const struct REAL(dgnn_repinit) * block, real s, int32_t other,
                                     int32_t centre, real *x)
{
    size_t width = (size_t)block->context.tebd_width;
    *x++ = s;
    if (block->context.strip) {
        return;
    }
    memcpy(x, block->tebd + other * block->context.tebd_width, sizeof(real) * width);
    if (!block->context.one_side) {
        memcpy(x + width, block->tebd + centre * block->context.tebd_width, sizeof(real) * width);
    }
}

/* value and slope (by s) of g, from those of the network; by_switch: the derivative by the switch. Pads are
 * zeros. */
static void REAL(repinit_pair_strip)(const struct REAL(dgnn_repinit) * block, const real *factor, real w,
                                     real *value, real *slope, real *by_switch)
{
    for (int64_t c = 0; c < block->ngp; c++) {
        real f = 1 + factor[c] * (block->context.smooth ? w : 1);
        by_switch[c] = block->context.smooth ? value[c] * factor[c] : 0;
        value[c] *= f;
        slope[c] *= f;
    }
}

/* Rooms point to what is kept, if anything is. */
static void REAL(repinit_pair_place)(const struct REAL(dgnn_repinit_workspace) * w, int64_t i,
                                     struct REAL(repinit_pair_scratch) * scratch)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t at = (w->list.first[i] + i) * block->ngp;
    if (block->context.keep) {
        scratch->value = w->value + at;
        scratch->slope = w->slope + at;
        scratch->by_switch = w->by_switch + (block->context.strip ? at : 0);
    }
}

/* g of a centre's pairs, and after them of its empty slots, if empty. */
static void REAL(repinit_pair_embed)(const struct REAL(dgnn_repinit_workspace) * w,
                                     const struct dgnn_graph *graph, int64_t i, const real *empty,
                                     const struct REAL(repinit_pair_scratch) * scratch)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, ngp = block->ngp;
    int64_t total = n + (empty != NULL), nin = block->embedding.network[0].nin;
    int32_t centre = graph->type[i], ntypes = block->context.ntypes + 1;
    struct REAL(dgnn_embedding_rows) rows = {.nrow = total,
                                             .x = scratch->x,
                                             .x_stride = nin,
                                             .y = scratch->value,
                                             .tangent = scratch->slope,
                                             .stride = ngp,
                                             .scratch = scratch->network};
    for (int64_t j = 0; j < total; j++) {
        int32_t other = j < n ? graph->type[w->list.neighbour[first + j]] : w->first_type;
        REAL(repinit_pair_input)(block, j < n ? w->row[4 * (first + j)] : empty[0], other, centre,
                                 scratch->x + j * nin);
    }
    REAL(dgnn_embedding_forward)(block->ops, &block->embedding, 0, &rows);
    for (int64_t j = 0; j < total && block->context.strip; j++) {
        int32_t other = j < n ? graph->type[w->list.neighbour[first + j]] : w->first_type;
        REAL(repinit_pair_strip)(block, block->type_factor + (centre * ntypes + other) * ngp,
                                 j < n ? w->sw[first + j] : 0, scratch->value + j * ngp,
                                 scratch->slope + j * ngp, scratch->by_switch + j * ngp);
    }
}

static void REAL(repinit_pair_forward)(const struct REAL(repinit_job) * job, int64_t i,
                                       struct dgnn_arena arena)
{
    struct REAL(dgnn_repinit_workspace) *w = job->w;
    const struct REAL(dgnn_repinit) *block = w->block;
    struct REAL(repinit_pair_scratch) scratch;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, ngp = block->ngp;
    real empty[4], *moment = w->moment + i * 4 * ngp, *out = job->output + i * job->stride;
    REAL(repinit_pair_scratch)(w, &arena, &scratch);
    REAL(repinit_pair_place)(w, i, &scratch);
    REAL(repinit_rows)(w, job->graph, i);
    int64_t nempty = REAL(repinit_empty)(w, job->graph, i, empty), total = n + (nempty > 0);
    REAL(repinit_pair_embed)(w, job->graph, i, nempty ? empty : NULL, &scratch);
    for (int64_t j = 0; j < total; j++) {
        for (int a = 0; a < 4; a++) {
            real r = j < n ? w->row[4 * (first + j) + a] : (real)nempty * empty[a];
            scratch.transposed[a * total + j] = r / (real)block->context.nsel;
        }
    }
    struct REAL(dgnn_matrix) values = {.nrow = total, .ncol = ngp, .stride = ngp, .data = scratch.value};
    block->ops->product(4, scratch.transposed, total, &values, NULL, moment, ngp, 0);
    for (int64_t c = 0; c < block->ng; c++) {
        for (int64_t k = 0; k < block->context.axis; k++) {
            out[c * block->context.axis + k] = moment[c] * moment[k] + moment[ngp + c] * moment[ngp + k] +
                                               moment[2 * ngp + c] * moment[2 * ngp + k] +
                                               moment[3 * ngp + c] * moment[3 * ngp + k];
        }
    }
}

void REAL(dgnn_repinit_forward_pair)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                     real *output, int64_t stride)
{
    struct REAL(repinit_job) job = {
        .w = w, .centre = REAL(repinit_pair_forward), .graph = graph, .output = output, .stride = stride};
    REAL(repinit_run)(&job);
}

/* d_moment, divided by nsel. */
static void REAL(repinit_moment_backward)(const struct REAL(dgnn_repinit) * block, const real *moment,
                                          const real *d, const struct REAL(repinit_pair_scratch) * scratch)
{
    struct dgnn_moment_shape shape = REAL(repinit_shape)(block);
    int64_t pad = dgnn_table_pad(shape.axis, REAL_LANES);
    real norm = 1 / (real)block->context.nsel;
    for (int64_t c = 0; c < shape.n; c++) {
        for (int64_t k = 0; k < shape.axis; k++) {
            scratch->moment[c * pad + k] = d[c * shape.axis + k] * norm;
        }
    }
    REAL(dgnn_moment_backward)(block->ops, &shape, moment, scratch->d_moment, scratch->moment);
}

static void REAL(repinit_pair_backward)(const struct REAL(repinit_job) * job, int64_t i,
                                        struct dgnn_arena arena)
{
    struct REAL(dgnn_repinit_workspace) *w = job->w;
    const struct REAL(dgnn_repinit) *block = w->block;
    const struct dgnn_graph *graph = job->graph;
    struct REAL(repinit_pair_scratch) scratch;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, ngp = block->ngp;
    REAL(repinit_pair_scratch)(w, &arena, &scratch);
    REAL(repinit_pair_place)(w, i, &scratch);
    if (!block->context.keep) {
        REAL(repinit_pair_embed)(w, graph, i, NULL, &scratch);
    }
    REAL(repinit_moment_backward)(block, w->moment + i * 4 * ngp, job->d_output + i * job->stride, &scratch);
    struct REAL(dgnn_moment) rows = {.nrow = n,
                                     .row = w->row + 4 * first,
                                     .row_step = 4,
                                     .row_stride = 1,
                                     .d_gr = scratch.d_moment,
                                     .stride = ngp,
                                     .g = scratch.value,
                                     .tangent = scratch.slope,
                                     .by_switch = block->context.strip ? scratch.by_switch : NULL,
                                     .d_row = scratch.d_row,
                                     .d_switch = scratch.d_switch};
    memset(scratch.d_switch, 0, sizeof(real) * (size_t)n);
    block->ops->moment_backward(&rows);
    for (int64_t j = 0; j < n; j++) {
        double d_row[4];
        int64_t e = w->list.edge[first + j];
        if (REAL(repinit_excludes)(w, graph, i, first + j)) {
            continue;
        }
        for (int a = 0; a < 4; a++) {
            d_row[a] = (double)scratch.d_row[4 * j + a];
        }
        const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
        dgnn_environment_backward(&block->environment, &edge, d_row, (double)scratch.d_switch[j],
                                  job->edge_gradient + 3 * e);
    }
}

void REAL(dgnn_repinit_backward_pair)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                      const real *d_output, int64_t stride, double *edge_gradient)
{
    struct REAL(repinit_job) job = {.w = w,
                                    .centre = REAL(repinit_pair_backward),
                                    .graph = graph,
                                    .d_output = d_output,
                                    .stride = stride,
                                    .edge_gradient = edge_gradient};
    REAL(repinit_run)(&job);
}
