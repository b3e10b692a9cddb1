/* The pair block: gr = sum_j (row_j) (g_j) / nsel, 4 x ng, and the output D[c][k] = sum_a gr[a][c] gr[a][k],
 * k < axis. g is the network's value for (s, types), s the row's first number; with strip g (1 + t w), t the
 * types' factor and w the switch (1 without smooth). */
#include "base/real.h"

struct REAL(repinit_pair_rooms) {
    real *x;                     /* n + 1 x inputs */
    real *network;               /* the network's own */
    real *turned;                /* 4 x n + 1 */
    real *moment;                /* dgnn_moment_room */
    real *value, *slope, *spare; /* n + 1 x ngp, where nothing is kept */
    real *d_moment;              /* 4 x ngp */
    real *d_row;                 /* n x 4 */
    real *d_switch;              /* n */
};

static struct dgnn_moment_shape REAL(repinit_shape)(const struct REAL(dgnn_repinit) * block)
{
    return (struct dgnn_moment_shape){.n = block->ng, .axis = block->context.axis, .stride = block->ngp};
}

static void REAL(repinit_pair_rooms)(const struct REAL(dgnn_repinit_workspace) * w, struct dgnn_arena *arena,
                                     struct REAL(repinit_pair_rooms) * rooms)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t n = w->list.row_max + 1, np = dgnn_table_pad(n, REAL_LANES), ngp = block->ngp;
    int64_t nin = block->embedding.network[0].nin;
    rooms->x = dgnn_arena_take(arena, n * nin, sizeof(real));
    rooms->network = dgnn_arena_take(arena, REAL(dgnn_embedding_room)(&block->embedding), sizeof(real));
    struct dgnn_moment_shape shape = REAL(repinit_shape)(block);
    rooms->turned = dgnn_arena_take(arena, 4 * np, sizeof(real));
    rooms->moment = dgnn_arena_take(arena, REAL(dgnn_moment_room)(&shape), sizeof(real));
    rooms->value = dgnn_arena_take(arena, n * ngp, sizeof(real));
    rooms->slope = dgnn_arena_take(arena, n * ngp, sizeof(real));
    rooms->spare = dgnn_arena_take(arena, n * ngp, sizeof(real));
    rooms->d_moment = dgnn_arena_take(arena, 4 * ngp, sizeof(real));
    rooms->d_row = dgnn_arena_take(arena, n, 4 * sizeof(real));
    rooms->d_switch = dgnn_arena_take(arena, n, sizeof(real));
}

static void REAL(repinit_pair_layout)(struct REAL(dgnn_repinit_workspace) * w, struct dgnn_arena *arena)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    const struct dgnn_sublist *list = &w->list;
    /* Every centre may have one further row, that of its empty slots. */
    int64_t kept = block->context.keep ? (list->npair + list->ncentre) * block->ngp : 0;
    w->row = dgnn_arena_take(arena, list->npair * 4, sizeof(real));
    w->sw = dgnn_arena_take(arena, list->npair, sizeof(real));
    w->moment = dgnn_arena_take(arena, list->ncentre * 4 * block->ngp, sizeof(real));
    w->value = dgnn_arena_take(arena, kept, sizeof(real));
    w->slope = dgnn_arena_take(arena, kept, sizeof(real));
    w->nvalue = kept;
    w->nspare = block->context.strip ? kept : 0;
    w->spare = dgnn_arena_take(arena, w->nspare, sizeof(real));
}

int REAL(dgnn_repinit_prepare_pair)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                    struct dgnn_error *error)
{
    struct REAL(repinit_pair_rooms) rooms;
    struct dgnn_arena arena = {0};
    DGNN_TRY(REAL(repinit_build)(w, graph, error));
    REAL(repinit_pair_rooms)(w, &arena, &rooms);
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

/* value and slope (by s) of g, from those of the network; spare: the derivative by the switch. Pads are
 * zeros. */
static void REAL(repinit_pair_strip)(const struct REAL(dgnn_repinit) * block, const real *factor, real w,
                                     real *value, real *slope, real *spare)
{
    for (int64_t c = 0; c < block->ngp; c++) {
        real f = 1 + factor[c] * (block->context.smooth ? w : 1);
        spare[c] = block->context.smooth ? value[c] * factor[c] : 0;
        value[c] *= f;
        slope[c] *= f;
    }
}

/* Rooms point to what is kept, if anything is. */
static void REAL(repinit_pair_place)(const struct REAL(dgnn_repinit_workspace) * w, int64_t i,
                                     struct REAL(repinit_pair_rooms) * rooms)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t at = (w->list.first[i] + i) * block->ngp;
    if (block->context.keep) {
        rooms->value = w->value + at;
        rooms->slope = w->slope + at;
        rooms->spare = w->spare + (block->context.strip ? at : 0);
    }
}

/* g of a centre's pairs, and after them of its empty slots, if empty. */
static void REAL(repinit_pair_embed)(const struct REAL(dgnn_repinit_workspace) * w,
                                     const struct dgnn_graph *graph, int64_t i, const real *empty,
                                     const struct REAL(repinit_pair_rooms) * rooms)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, ngp = block->ngp;
    int64_t total = n + (empty != NULL), nin = block->embedding.network[0].nin;
    int32_t centre = graph->type[i], ntypes = block->context.ntypes + 1;
    struct REAL(dgnn_embedding_rows) rows = {.nrow = total,
                                             .x = rooms->x,
                                             .x_stride = nin,
                                             .y = rooms->value,
                                             .tangent = rooms->slope,
                                             .stride = ngp,
                                             .room = rooms->network};
    for (int64_t j = 0; j < total; j++) {
        int32_t other = j < n ? graph->type[w->list.neighbour[first + j]] : w->first_type;
        REAL(repinit_pair_input)(block, j < n ? w->row[4 * (first + j)] : empty[0], other, centre,
                                 rooms->x + j * nin);
    }
    REAL(dgnn_embedding_forward)(block->ops, &block->embedding.network[0], &rows);
    for (int64_t j = 0; j < total && block->context.strip; j++) {
        int32_t other = j < n ? graph->type[w->list.neighbour[first + j]] : w->first_type;
        REAL(repinit_pair_strip)(block, block->type_factor + (centre * ntypes + other) * ngp,
                                 j < n ? w->sw[first + j] : 0, rooms->value + j * ngp, rooms->slope + j * ngp,
                                 rooms->spare + j * ngp);
    }
}

static void REAL(repinit_pair_forward)(const struct REAL(repinit_work) * work, int64_t i,
                                       struct dgnn_arena scratch)
{
    struct REAL(dgnn_repinit_workspace) *w = work->w;
    const struct REAL(dgnn_repinit) *block = w->block;
    struct REAL(repinit_pair_rooms) rooms;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, ngp = block->ngp;
    real empty[4], *moment = w->moment + i * 4 * ngp, *out = work->output + i * work->stride;
    REAL(repinit_pair_rooms)(w, &scratch, &rooms);
    REAL(repinit_pair_place)(w, i, &rooms);
    REAL(repinit_rows)(w, work->graph, i);
    int64_t nempty = REAL(repinit_empty)(w, work->graph, i, empty), total = n + (nempty > 0);
    REAL(repinit_pair_embed)(w, work->graph, i, nempty ? empty : NULL, &rooms);
    for (int64_t j = 0; j < total; j++) {
        for (int a = 0; a < 4; a++) {
            real r = j < n ? w->row[4 * (first + j) + a] : (real)nempty * empty[a];
            rooms.turned[a * total + j] = r / (real)block->context.nsel;
        }
    }
    struct REAL(dgnn_matrix) values = {.nrow = total, .ncol = ngp, .stride = ngp, .data = rooms.value};
    block->ops->product(4, rooms.turned, total, &values, NULL, moment, ngp, 0);
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
    struct REAL(repinit_work) work = {
        .w = w, .centre = REAL(repinit_pair_forward), .graph = graph, .output = output, .stride = stride};
    REAL(repinit_run)(&work);
}

/* d_moment, divided by nsel. */
static void REAL(repinit_moment_backward)(const struct REAL(dgnn_repinit) * block, const real *moment,
                                          const real *d, const struct REAL(repinit_pair_rooms) * rooms)
{
    struct dgnn_moment_shape shape = REAL(repinit_shape)(block);
    int64_t pad = dgnn_table_pad(shape.axis, REAL_LANES);
    real norm = 1 / (real)block->context.nsel;
    for (int64_t c = 0; c < shape.n; c++) {
        for (int64_t k = 0; k < shape.axis; k++) {
            rooms->moment[c * pad + k] = d[c * shape.axis + k] * norm;
        }
    }
    REAL(dgnn_moment_backward_of)(block->ops, &shape, moment, rooms->d_moment, rooms->moment);
}

static void REAL(repinit_pair_backward)(const struct REAL(repinit_work) * work, int64_t i,
                                        struct dgnn_arena scratch)
{
    struct REAL(dgnn_repinit_workspace) *w = work->w;
    const struct REAL(dgnn_repinit) *block = w->block;
    const struct dgnn_graph *graph = work->graph;
    struct REAL(repinit_pair_rooms) rooms;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first, ngp = block->ngp;
    REAL(repinit_pair_rooms)(w, &scratch, &rooms);
    REAL(repinit_pair_place)(w, i, &rooms);
    if (!block->context.keep) {
        REAL(repinit_pair_embed)(w, graph, i, NULL, &rooms);
    }
    REAL(repinit_moment_backward)(block, w->moment + i * 4 * ngp, work->d_output + i * work->stride, &rooms);
    struct REAL(dgnn_moment) rows = {.nrow = n,
                                     .row = w->row + 4 * first,
                                     .row_step = 4,
                                     .row_stride = 1,
                                     .d_gr = rooms.d_moment,
                                     .stride = ngp,
                                     .g = rooms.value,
                                     .tangent = rooms.slope,
                                     .by_switch = block->context.strip ? rooms.spare : NULL,
                                     .d_row = rooms.d_row,
                                     .d_switch = rooms.d_switch};
    memset(rooms.d_switch, 0, sizeof(real) * (size_t)n);
    block->ops->moment_backward(&rows);
    for (int64_t j = 0; j < n; j++) {
        double d_row[4];
        int64_t e = w->list.edge[first + j];
        if (REAL(repinit_excludes)(w, graph, i, first + j)) {
            continue;
        }
        for (int a = 0; a < 4; a++) {
            d_row[a] = (double)rooms.d_row[4 * j + a];
        }
        dgnn_environment_backward(&block->environment, graph->type[i], 0, graph->vector + 3 * e,
                                  graph->distance[e], d_row, (double)rooms.d_switch[j],
                                  work->edge_gradient + 3 * e);
    }
}

void REAL(dgnn_repinit_backward_pair)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                      const real *d_output, int64_t stride, double *edge_gradient)
{
    struct REAL(repinit_work) work = {.w = w,
                                      .centre = REAL(repinit_pair_backward),
                                      .graph = graph,
                                      .d_output = d_output,
                                      .stride = stride,
                                      .edge_gradient = edge_gradient};
    REAL(repinit_run)(&work);
}
