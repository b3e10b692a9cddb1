#include "base/real.h"

struct REAL(se_a) {
    struct se_a_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_embedding) embedding;
    real *empty; /* ntypes (centre) x ntypes (slot) x 4 x stride: what one empty slot adds to gr */
    struct dgnn_moment_shape shape;
    int64_t stride; /* of the embedding's rows */
};

/* What an evaluation writes. */
struct REAL(se_a_workspace) {
    const struct REAL(se_a) * d;
    struct dgnn_edge_batches rows;
    real *row;     /* nrow padded x 4: each chunk's rows as 4 x its own length */
    real *g;       /* nrow x stride, or one chunk's for each thread */
    real *tangent; /* as g */
    real *gr;      /* nowned x 4 x stride */
    int64_t scratch_bytes;
    int64_t nowned;
    int32_t keep; /* are g and tangent kept from forward to backward? */
    struct dgnn_buffer kept, scratch;
};

/* What backward needs of a chunk. */
struct REAL(se_a_store) {
    int64_t begin, nrow;
    real *row;     /* 4 x nrow */
    real *g;       /* nrow x stride */
    real *tangent; /* nrow x stride, or NULL: not wanted */
};

/* Scratch memory of a thread. */
struct REAL(se_a_scratch) {
    real *embedding;   /* dgnn_embedding_scratch */
    real *g, *tangent; /* rows x stride, where they are not kept */
    real *d_gr;        /* centres of a chunk x 4 x stride */
    real *moment;      /* dgnn_moment_scratch */
    real *d_row;       /* rows x 4 */
};

/* ---------------------------------------------------------------- loading */

/* One empty slot of the section of a type, of centres of another. */
static void REAL(se_a_empty_slot)(const struct REAL(se_a) * d, int32_t centre, int32_t slot, real *scratch,
                                  real *empty)
{
    const struct se_a_settings *s = d->settings;
    double row[4];
    dgnn_environment_empty_row(&s->environment, centre, slot, row);
    scratch[0] = (real)row[0];
    struct REAL(dgnn_embedding_rows) rows = {.nrow = 1,
                                             .x = scratch,
                                             .x_stride = 1,
                                             .y = scratch + REAL_LANES,
                                             .stride = d->stride,
                                             .scratch = scratch + REAL_LANES + d->stride};
    REAL(dgnn_embedding_forward)(&REAL(dgnn_reference_ops), &d->embedding, se_a_network(s, centre, slot),
                                 &rows);
    for (int64_t c = 0; c < 4 * d->stride; c++) {
        empty[c] = (real)row[c / d->stride] * rows.y[c % d->stride];
    }
}

static int REAL(se_a_load_empty)(struct REAL(se_a) * d, struct dgnn_error *error)
{
    int64_t n = d->settings->ntypes,
            each = REAL_LANES + d->stride + REAL(dgnn_embedding_scratch)(&d->embedding);
    real *scratch = dgnn_alloc(each, sizeof(real));
    d->empty = dgnn_alloc(n * n, 4 * sizeof(real) * (size_t)d->stride);
    if (!scratch || !d->empty) {
        dgnn_alloc_free(scratch);
        return dgnn_status_no_memory(error, "empty slots", n * n * 4 * d->stride * (int64_t)sizeof(real));
    }
    for (int32_t centre = 0; centre < n; centre++) {
        for (int32_t slot = 0; slot < n; slot++) {
            REAL(se_a_empty_slot)(d, centre, slot, scratch, d->empty + (centre * n + slot) * 4 * d->stride);
        }
    }
    dgnn_alloc_free(scratch);
    return DGNN_OK;
}

/* deepmd-kit clears the networks of excluded pairs when it writes a model; they act on empty slots only. */
static void REAL(se_a_clear_excluded)(struct REAL(se_a) * d)
{
    const struct se_a_settings *s = d->settings;
    for (int64_t p = 0; p < (int64_t)s->ntypes * s->ntypes && !s->params.type_one_side; p++) {
        if (s->group[p] < 0) {
            REAL(dgnn_embedding_clear)(&d->embedding, se_a_network(s, p / s->ntypes, p % s->ntypes));
        }
    }
}

static int REAL(se_a_load_networks)(struct REAL(se_a) * d, struct dgnn_error *error)
{
    struct se_a_settings *s = d->settings;
    const struct dgnn_embedding_shape shape = {
        .ndim = s->params.type_one_side ? 1 : 2, .ntypes = s->ntypes, .nin = 1};
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings, &shape, &d->embedding, error));
    DGNN_TRY(REAL(dgnn_embedding_same)(&d->embedding, s->params.embeddings.parent, "neuron", error));
    DGNN_TRY(REAL(dgnn_embedding_load_tables)(&s->compression, 0, NULL, &d->embedding, error));
    int64_t width = d->embedding.nout;
    d->stride = dgnn_table_pad(width, REAL_LANES);
    d->shape = (struct dgnn_moment_shape){.n = width, .axis = s->params.axis_neuron, .stride = d->stride};
    if (s->params.axis_neuron < 1 || s->params.axis_neuron > width) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, s->params.embeddings.parent,
                                 "axis_neuron is %lld, expected 1 to %lld", (long long)s->params.axis_neuron,
                                 (long long)width);
    }
    s->parameters = d->embedding.parameters;
    s->dim_out = width * s->params.axis_neuron;
    s->dim_rotation = width;
    REAL(se_a_clear_excluded)(d);
    return REAL(se_a_load_empty)(d, error);
}

static void REAL(se_a_free)(void *weights)
{
    struct REAL(se_a) *d = weights;
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        dgnn_alloc_free(d->empty);
        dgnn_alloc_free(d);
    }
}

static void REAL(se_a_workspace_free)(void *of)
{
    struct REAL(se_a_workspace) *w = of;
    if (w) {
        dgnn_edge_batches_free(&w->rows);
        dgnn_buffer_free(&w->kept);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

#include "net/local/local_body.h"

/* ---------------------------------------------------------------- memory */

static void REAL(se_a_kept_layout)(struct dgnn_arena *arena, struct REAL(se_a_workspace) * w, int64_t nowned)
{
    const struct REAL(se_a) *d = w->d;
    size_t line = sizeof(real) * (size_t)d->stride;
    w->row = dgnn_arena_take(arena, w->rows.nrow, 4 * sizeof(real));
    w->gr = dgnn_arena_take(arena, nowned, 4 * line);
    w->g = dgnn_arena_take(arena, w->keep ? w->rows.nrow : 0, line);
    w->tangent = dgnn_arena_take(arena, w->keep ? w->rows.nrow : 0, line);
}

static void REAL(se_a_scratch_layout)(struct dgnn_arena *arena, const struct REAL(se_a_workspace) * w,
                                      struct REAL(se_a_scratch) * scratch)
{
    const struct REAL(se_a) *d = w->d;
    int64_t nrow = w->rows.row_max;
    size_t line = sizeof(real) * (size_t)d->stride;
    scratch->embedding = dgnn_arena_take(arena, REAL(dgnn_embedding_scratch)(&d->embedding), sizeof(real));
    scratch->g = dgnn_arena_take(arena, w->keep ? 0 : nrow, line);
    scratch->tangent = dgnn_arena_take(arena, w->keep ? 0 : nrow, line);
    scratch->d_gr = dgnn_arena_take(arena, w->rows.centre_max, 4 * line);
    scratch->moment = dgnn_arena_take(arena, REAL(dgnn_moment_scratch)(&d->shape), sizeof(real));
    scratch->d_row = dgnn_arena_take(arena, nrow, 4 * sizeof(real));
}

static struct REAL(se_a_scratch)
    REAL(se_a_scratch_of_thread)(const struct REAL(se_a_workspace) * w, int32_t thread)
{
    struct REAL(se_a_scratch) scratch;
    struct dgnn_arena arena = REAL(se_a_thread_arena)(w, thread);
    REAL(se_a_scratch_layout)(&arena, w, &scratch);
    return scratch;
}

static int REAL(se_a_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                              struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(se_a_workspace) *w = of;
    const struct REAL(se_a) *d = w->d;
    const struct se_a_settings *s = d->settings;
    struct dgnn_edge_batches_rule rule = {
        .ntypes = s->ntypes, .ngroup = s->ngroup, .target = SE_A_CHUNK_ROWS, .group = s->group};
    struct dgnn_arena arena = {0};
    struct REAL(se_a_scratch) scratch;
    (void)profile;
    DGNN_TRY(dgnn_edge_batches_make(&w->rows, evaluation->graph, &rule, error));
    w->keep = evaluation->want_gradient && s->memory == DGNN_MEMORY_FAST;
    w->nowned = evaluation->graph->nowned;
    REAL(se_a_kept_layout)(&arena, w, w->nowned);
    DGNN_TRY(dgnn_buffer_reserve(&w->kept, arena.used, "intermediate results", error));
    arena = (struct dgnn_arena){.base = w->kept.data};
    REAL(se_a_kept_layout)(&arena, w, w->nowned);
    arena = (struct dgnn_arena){0};
    REAL(se_a_scratch_layout)(&arena, w, &scratch);
    w->scratch_bytes = arena.used;
    return dgnn_buffer_reserve_each(&w->scratch, w->scratch_bytes, s->threads, "scratch of threads", error);
}

static struct REAL(se_a_store) REAL(se_a_store_of_chunk)(const struct REAL(se_a_workspace) * w, int64_t c,
                                                         const struct REAL(se_a_scratch) * scratch)
{
    const struct REAL(se_a) *d = w->d;
    int64_t begin = w->rows.group[c * w->rows.ngroup], end = w->rows.group[(c + 1) * w->rows.ngroup];
    return (struct REAL(se_a_store)){.begin = begin,
                                     .nrow = end - begin,
                                     .row = w->row + 4 * begin,
                                     .g = w->keep ? w->g + begin * d->stride : scratch->g,
                                     .tangent = w->keep ? w->tangent + begin * d->stride : scratch->tangent};
}

static void REAL(se_a_places)(void *of, int64_t c, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(se_a_workspace) *w = of;
    const struct REAL(se_a_scratch) scratch = REAL(se_a_scratch_of_thread)(w, thread);
    const struct REAL(se_a_store) store = REAL(se_a_store_of_chunk)(w, c, &scratch);
    int64_t size = sizeof(real), line = w->d->stride * size, begin = store.begin, end = begin + store.nrow;
    int64_t first = w->rows.chunk[c], last = w->rows.chunk[c + 1], kept = w->keep ? w->rows.nrow : 0;
    const struct dgnn_place_rows rows = {store.nrow, store.nrow}, centres = {last - first, last - first};
    dgnn_backend_list(to, SE_A_AT_ROWS, -1, store.row, rows, 4 * size);
    dgnn_backend_list(to, SE_A_AT_G, -1, store.g, rows, line);
    dgnn_backend_list(to, SE_A_AT_G, -1, store.tangent, rows, line);
    dgnn_backend_list(to, SE_A_AT_MOMENT, -1, w->gr + first * 4 * w->d->stride, centres, 4 * line);
    dgnn_backend_list(to, SE_A_AT_D_MOMENT, -1, scratch.d_gr, centres, 4 * line);
    dgnn_backend_list_others(to, w->row, w->rows.nrow * 4 * size, begin * 4 * size, end * 4 * size);
    dgnn_backend_list_others(to, w->gr, w->nowned * 4 * line, first * 4 * line, last * 4 * line);
    dgnn_backend_list_others(to, kept ? w->g : NULL, kept * line, begin * line, end * line);
    dgnn_backend_list_others(to, kept ? w->tangent : NULL, kept * line, begin * line, end * line);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, scratch.moment,
                      (struct dgnn_place_rows){REAL(dgnn_moment_scratch)(&w->d->shape), 0}, size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, scratch.d_row, rows, 4 * size);
}

/* ---------------------------------------------------------------- forward */

static void REAL(se_a_geometry)(const struct REAL(se_a_workspace) * w, const struct dgnn_graph *graph,
                                const struct REAL(se_a_store) * store)
{
    const struct REAL(se_a) *d = w->d;
    for (int64_t r = 0; r < store->nrow; r++) {
        int64_t e = w->rows.edge[store->begin + r];
        double row[4];
        const struct dgnn_environment_edge edge = dgnn_environment_edge(
            graph, w->rows.centre[store->begin + r], graph->type[graph->neighbour[e]], e);
        dgnn_environment_row(&d->settings->environment, &edge, row);
        for (int a = 0; a < 4; a++) {
            store->row[a * store->nrow + r] = (real)row[a];
        }
    }
}

/* Each network on its rows of the chunk. */
static void REAL(se_a_embed)(const struct REAL(se_a_workspace) * w, int64_t c,
                             const struct REAL(se_a_store) * store, const struct REAL(se_a_scratch) * scratch)
{
    const struct REAL(se_a) *d = w->d;
    for (int64_t n = 0; n < w->rows.ngroup; n++) {
        int64_t first = w->rows.group[c * w->rows.ngroup + n] - store->begin;
        int64_t count = w->rows.group[c * w->rows.ngroup + n + 1] - store->begin - first;
        struct REAL(dgnn_embedding_rows) rows = {.nrow = count,
                                                 .x = store->row + first,
                                                 .x_stride = 1,
                                                 .y = store->g + first * d->stride,
                                                 .stride = d->stride,
                                                 .scratch = scratch->embedding};
        rows.tangent = store->tangent ? store->tangent + first * d->stride : NULL;
        if (count) {
            REAL(dgnn_embedding_forward)(d->ops, &d->embedding, n, &rows);
        }
    }
}

/* gr of a centre begins with its empty slots. */
static void REAL(se_a_begin_moment)(const struct REAL(se_a) * d, const struct dgnn_graph *graph, int64_t i,
                                    real *gr)
{
    const struct se_a_settings *s = d->settings;
    for (int64_t c = 0; c < 4 * d->stride; c++) {
        gr[c] = 0;
    }
    for (int64_t t = 0; t < s->ntypes && s->has_mean; t++) {
        const real *empty = d->empty + (graph->type[i] * s->ntypes + t) * 4 * d->stride;
        int64_t vacant = s->sel[t];
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            vacant -= graph->type[graph->neighbour[e]] == t;
        }
        for (int64_t c = 0; c < 4 * d->stride && vacant > 0; c++) {
            gr[c] += (real)vacant * empty[c];
        }
    }
}

/* ---------------------------------------------------------------- stages: forward */

static void REAL(se_a_stage_geometry)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_a_workspace) *w = of;
    struct REAL(se_a_scratch) scratch = REAL(se_a_scratch_of_thread)(w, call->thread);
    struct REAL(se_a_store) store = REAL(se_a_store_of_chunk)(w, call->chunk, &scratch);
    REAL(se_a_geometry)(w, call->evaluation->graph, &store);
}

/* The tangents where they are kept, or backward is next. */
static void REAL(se_a_stage_embed)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_a_workspace) *w = of;
    struct REAL(se_a_scratch) scratch = REAL(se_a_scratch_of_thread)(w, call->thread);
    struct REAL(se_a_store) store = REAL(se_a_store_of_chunk)(w, call->chunk, &scratch);
    store.tangent = w->keep || call->again ? store.tangent : NULL;
    REAL(se_a_embed)(w, call->chunk, &store, &scratch);
}

static void REAL(se_a_stage_moment)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_a_workspace) *w = of;
    const struct REAL(se_a) *d = w->d;
    struct REAL(se_a_scratch) scratch = REAL(se_a_scratch_of_thread)(w, call->thread);
    struct REAL(se_a_store) store = REAL(se_a_store_of_chunk)(w, call->chunk, &scratch);
    const struct dgnn_graph *graph = call->evaluation->graph;
    int64_t end = store.begin + store.nrow, begin = w->rows.chunk[call->chunk];
    for (int64_t i = begin; i < w->rows.chunk[call->chunk + 1]; i++) {
        REAL(se_a_begin_moment)(d, graph, i, w->gr + i * 4 * d->stride);
    }
    for (int64_t r = store.begin; r < end;) {
        int64_t next = dgnn_edge_batches_run(&w->rows, r, end), first = r - store.begin;
        const struct REAL(dgnn_moment) rows = {.nrow = next - r,
                                               .row = store.row + first,
                                               .row_stride = store.nrow,
                                               .stride = d->stride,
                                               .g = store.g + first * d->stride};
        REAL(dgnn_moment_add)(d->ops, &rows, w->gr + w->rows.centre[r] * 4 * d->stride);
        r = next;
    }
    for (int64_t i = begin; i < w->rows.chunk[call->chunk + 1]; i++) {
        real *gr = w->gr + i * 4 * d->stride;
        for (int64_t k = 0; k < 4 * d->stride; k++) {
            gr[k] *= (real)(1.0 / (double)d->settings->nnei);
        }
        REAL(dgnn_moment_output)(&d->shape, gr, call->output + (i - begin) * d->settings->dim_out);
        if (call->evaluation->rotation) {
            REAL(dgnn_moment_rotation)(&d->shape, gr, call->evaluation->rotation + i * 3 * d->shape.n);
        }
    }
}

/* ---------------------------------------------------------------- backward */

/* The gradient of the rows of one network and one centre. */
static void REAL(se_a_run_backward)(const struct REAL(se_a_workspace) * w, const struct dgnn_stage_call *call,
                                    const struct REAL(se_a_store) * store,
                                    const struct REAL(se_a_scratch) * scratch, int64_t begin, int64_t end)
{
    const struct REAL(se_a) *d = w->d;
    const struct dgnn_graph *graph = call->evaluation->graph;
    int64_t first = begin - store->begin, centre = w->rows.centre[begin] - w->rows.chunk[call->chunk];
    struct REAL(dgnn_moment) moment = {.nrow = end - begin,
                                       .row = store->row + first,
                                       .row_step = 1,
                                       .row_stride = store->nrow,
                                       .d_gr = scratch->d_gr + centre * 4 * d->stride,
                                       .stride = d->stride,
                                       .g = store->g + first * d->stride,
                                       .tangent = store->tangent + first * d->stride,
                                       .d_row = scratch->d_row};
    d->ops->moment_backward(&moment);
    for (int64_t r = 0; r < moment.nrow; r++) {
        int64_t e = w->rows.edge[begin + r];
        double d_row[4];
        for (int a = 0; a < 4; a++) {
            d_row[a] = (double)scratch->d_row[4 * r + a];
        }
        const struct dgnn_environment_edge edge =
            dgnn_environment_edge(graph, w->rows.centre[begin + r], graph->type[graph->neighbour[e]], e);
        dgnn_environment_backward(&d->settings->environment, &edge, d_row, 0,
                                  call->evaluation->edge_gradient + 3 * e);
    }
}

static void REAL(se_a_stage_d_moment)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_a_workspace) *w = of;
    const struct REAL(se_a) *d = w->d;
    struct REAL(se_a_scratch) scratch = REAL(se_a_scratch_of_thread)(w, call->thread);
    int64_t size = 4 * d->stride, begin = w->rows.chunk[call->chunk];
    for (int64_t i = begin; i < w->rows.chunk[call->chunk + 1]; i++) {
        REAL(dgnn_moment_set_gradient)(&d->shape, call->output_gradient + (i - begin) * d->settings->dim_out,
                                       1.0 / (double)d->settings->nnei, scratch.moment);
        REAL(dgnn_moment_backward)(d->ops, &d->shape, w->gr + i * size, scratch.d_gr + (i - begin) * size,
                                   scratch.moment);
        if (call->evaluation->rotation) {
            REAL(dgnn_moment_rotation_backward)(
                &d->shape, call->evaluation->rotation_gradient + i * 3 * d->shape.n,
                1.0 / (double)d->settings->nnei, scratch.d_gr + (i - begin) * size);
        }
    }
}

static void REAL(se_a_stage_d_edges)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_a_workspace) *w = of;
    struct REAL(se_a_scratch) scratch = REAL(se_a_scratch_of_thread)(w, call->thread);
    struct REAL(se_a_store) store = REAL(se_a_store_of_chunk)(w, call->chunk, &scratch);
    int64_t end = store.begin + store.nrow;
    for (int64_t r = store.begin; r < end;) {
        int64_t next = dgnn_edge_batches_run(&w->rows, r, end);
        REAL(se_a_run_backward)(w, call, &store, &scratch, r, next);
        r = next;
    }
}

static const struct dgnn_backend REAL(se_a_cpu) = {
    .name = "cpu",
    .load = REAL(se_a_load),
    .free = REAL(se_a_free),
    .keeps = 1,
    .workspace_create = REAL(se_a_workspace_create),
    .workspace_free = REAL(se_a_workspace_free),
    .reserve = REAL(se_a_reserve),
    .chunks = REAL(se_a_chunks),
    .places = REAL(se_a_places),
    .stage = {[SE_A_GEOMETRY] = REAL(se_a_stage_geometry),
              [SE_A_EMBED] = REAL(se_a_stage_embed),
              [SE_A_MOMENT] = REAL(se_a_stage_moment),
              [SE_A_D_MOMENT] = REAL(se_a_stage_d_moment),
              [SE_A_D_EDGES] = REAL(se_a_stage_d_edges)},
};
