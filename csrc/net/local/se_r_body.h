#include "base/real.h"

struct REAL(se_r) {
    struct se_r_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_embedding) embedding;
    real *empty;    /* ntypes (centre) x ntypes (slot) x stride: the embedding of an empty slot */
    real *excluded; /* ntypes (slot) x stride: of a slot of an excluded pair */
    int64_t width;  /* of the embedding */
    int64_t stride;
};

/* What an evaluation writes. */
struct REAL(se_r_workspace) {
    const struct REAL(se_r) * d;
    struct dgnn_edge_batches rows;
    real *tangent; /* nrow x stride: of the embeddings, by s */
    int64_t scratch_bytes;
    int32_t keep; /* is tangent kept from forward to backward? */
    struct dgnn_buffer kept, scratch;
};

/* Scratch memory of a thread. */
struct REAL(se_r_scratch) {
    real *s;         /* rows */
    real *embedding; /* dgnn_embedding_scratch */
    real *g;         /* rows x stride */
    real *tangent;   /* rows x stride, where it is not kept */
};

/* ---------------------------------------------------------------- loading */

static void REAL(se_r_slot)(const struct REAL(se_r) * d, int32_t type, double s, real *scratch, real *g)
{
    scratch[0] = (real)s;
    struct REAL(dgnn_embedding_rows)
        row = {.nrow = 1, .x = scratch, .x_stride = 1, .y = g, .stride = d->stride, .scratch = scratch + 1};
    REAL(dgnn_embedding_forward)(&REAL(dgnn_reference_ops), &d->embedding, type, &row);
}

static int REAL(se_r_load_slots)(struct REAL(se_r) * d, struct dgnn_error *error)
{
    int32_t n = d->settings->ntypes;
    real *scratch = dgnn_alloc(1 + REAL(dgnn_embedding_scratch)(&d->embedding), sizeof(real));
    d->empty = dgnn_alloc((int64_t)n * n, sizeof(real) * (size_t)d->stride);
    d->excluded = dgnn_alloc(n, sizeof(real) * (size_t)d->stride);
    if (!scratch || !d->empty || !d->excluded) {
        dgnn_alloc_free(scratch);
        return dgnn_status_no_memory(error, "empty slots",
                                     (int64_t)n * n * d->stride * (int64_t)sizeof(real));
    }
    for (int32_t slot = 0; slot < n; slot++) {
        REAL(se_r_slot)(d, slot, 0, scratch, d->excluded + slot * d->stride);
        for (int32_t centre = 0; centre < n; centre++) {
            double s;
            dgnn_environment_empty_row(&d->settings->environment, centre, slot, &s);
            REAL(se_r_slot)(d, slot, s, scratch, d->empty + (centre * n + slot) * d->stride);
        }
    }
    dgnn_alloc_free(scratch);
    return DGNN_OK;
}

static int REAL(se_r_load_networks)(struct REAL(se_r) * d, struct dgnn_error *error)
{
    struct se_r_settings *s = d->settings;
    const struct dgnn_embedding_shape shape = {.ndim = 1, .ntypes = s->ntypes, .nin = 1};
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings, &shape, &d->embedding, error));
    DGNN_TRY(REAL(dgnn_embedding_same)(&d->embedding, s->params.embeddings.parent, "neuron", error));
    DGNN_TRY(REAL(dgnn_embedding_load_tables)(&s->compression, 0, NULL, &d->embedding, error));
    d->width = d->embedding.nout;
    d->stride = dgnn_table_pad(d->width, REAL_LANES);
    s->parameters = d->embedding.parameters;
    s->dim_out = d->width;
    return REAL(se_r_load_slots)(d, error);
}

static void REAL(se_r_free)(void *weights)
{
    struct REAL(se_r) *d = weights;
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        dgnn_alloc_free(d->empty);
        dgnn_alloc_free(d->excluded);
        dgnn_alloc_free(d);
    }
}

static void REAL(se_r_workspace_free)(void *of)
{
    struct REAL(se_r_workspace) *w = of;
    if (w) {
        dgnn_edge_batches_free(&w->rows);
        dgnn_buffer_free(&w->kept);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

#include "net/local/local_body.h"

/* ---------------------------------------------------------------- memory */

static void REAL(se_r_scratch_layout)(struct dgnn_arena *arena, const struct REAL(se_r_workspace) * w,
                                      struct REAL(se_r_scratch) * scratch)
{
    const struct REAL(se_r) *d = w->d;
    int64_t nrow = w->rows.row_max;
    size_t line = sizeof(real) * (size_t)d->stride;
    scratch->s = dgnn_arena_take(arena, nrow, sizeof(real));
    scratch->embedding = dgnn_arena_take(arena, REAL(dgnn_embedding_scratch)(&d->embedding), sizeof(real));
    scratch->g = dgnn_arena_take(arena, nrow, line);
    scratch->tangent = dgnn_arena_take(arena, w->keep ? 0 : nrow, line);
}

static struct REAL(se_r_scratch)
    REAL(se_r_scratch_of_thread)(const struct REAL(se_r_workspace) * w, int32_t thread)
{
    struct REAL(se_r_scratch) scratch;
    struct dgnn_arena arena = REAL(se_r_thread_arena)(w, thread);
    REAL(se_r_scratch_layout)(&arena, w, &scratch);
    return scratch;
}

static int REAL(se_r_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                              struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(se_r_workspace) *w = of;
    const struct REAL(se_r) *d = w->d;
    const struct se_r_settings *s = d->settings;
    struct dgnn_edge_batches_rule rule = {
        .ntypes = s->ntypes, .ngroup = s->ntypes, .target = SE_R_CHUNK_ROWS, .group = s->group};
    struct dgnn_arena arena = {0};
    struct REAL(se_r_scratch) scratch;
    (void)profile;
    DGNN_TRY(dgnn_edge_batches_make(&w->rows, evaluation->graph, &rule, error));
    w->keep = evaluation->want_gradient && s->memory == DGNN_MEMORY_FAST;
    dgnn_arena_take(&arena, w->keep ? w->rows.nrow : 0, sizeof(real) * (size_t)d->stride);
    DGNN_TRY(dgnn_buffer_reserve(&w->kept, arena.used, "intermediate results", error));
    w->tangent = w->kept.data;
    arena = (struct dgnn_arena){0};
    REAL(se_r_scratch_layout)(&arena, w, &scratch);
    w->scratch_bytes = arena.used;
    return dgnn_buffer_reserve_each(&w->scratch, w->scratch_bytes, s->threads, "scratch of threads", error);
}

/* Where a chunk's tangents are. */
static real *REAL(se_r_tangent)(const struct REAL(se_r_workspace) * w, int64_t c,
                                const struct REAL(se_r_scratch) * scratch)
{
    return w->keep ? w->tangent + w->rows.group[c * w->rows.ngroup] * w->d->stride : scratch->tangent;
}

static void REAL(se_r_places)(void *of, int64_t c, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(se_r_workspace) *w = of;
    const struct REAL(se_r_scratch) scratch = REAL(se_r_scratch_of_thread)(w, thread);
    int64_t begin = w->rows.group[c * w->rows.ngroup], end = w->rows.group[(c + 1) * w->rows.ngroup];
    int64_t size = sizeof(real), line = w->d->stride * size;
    const struct dgnn_place_rows rows = {end - begin, end - begin};
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, scratch.s, rows, size);
    dgnn_backend_list(to, SE_R_AT_G, -1, scratch.g, rows, line);
    dgnn_backend_list(to, SE_R_AT_SLOPES, -1, REAL(se_r_tangent)(w, c, &scratch), rows, line);
    dgnn_backend_list_others(to, w->keep ? w->tangent : NULL, w->rows.nrow * line, begin * line, end * line);
}

/* ---------------------------------------------------------------- forward */

/* s, embeddings and, with tangent, their derivatives for the rows of a chunk. */
static void REAL(se_r_embed)(const struct REAL(se_r_workspace) * w, const struct dgnn_graph *graph, int64_t c,
                             const struct REAL(se_r_scratch) * scratch, real *tangent)
{
    const struct REAL(se_r) *d = w->d;
    int64_t begin = w->rows.group[c * w->rows.ngroup];
    for (int64_t r = begin; r < w->rows.group[(c + 1) * w->rows.ngroup]; r++) {
        int64_t e = w->rows.edge[r];
        double s;
        const struct dgnn_environment_edge edge =
            dgnn_environment_edge(graph, w->rows.centre[r], graph->type[graph->neighbour[e]], e);
        dgnn_environment_row(&d->settings->environment, &edge, &s);
        scratch->s[r - begin] = (real)s;
    }
    for (int64_t n = 0; n < w->rows.ngroup; n++) {
        int64_t first = w->rows.group[c * w->rows.ngroup + n] - begin;
        struct REAL(dgnn_embedding_rows)
            rows = {.nrow = w->rows.group[c * w->rows.ngroup + n + 1] - begin - first,
                    .x = scratch->s + first,
                    .x_stride = 1,
                    .y = scratch->g + first * d->stride,
                    .stride = d->stride,
                    .scratch = scratch->embedding};
        rows.tangent = tangent ? tangent + first * d->stride : NULL;
        if (rows.nrow) {
            REAL(dgnn_embedding_forward)(d->ops, &d->embedding, n, &rows);
        }
    }
}

/* The slots of a centre that are no rows. */
static void REAL(se_r_other_slots)(const struct REAL(se_r) * d, const struct dgnn_graph *graph, int64_t i,
                                   double *output)
{
    const struct se_r_settings *s = d->settings;
    int32_t n = s->ntypes, centre = graph->type[i];
    memset(output, 0, sizeof(double) * (size_t)d->width);
    for (int32_t t = 0; t < n; t++) {
        const real *empty = d->empty + (centre * n + t) * d->stride, *excluded = d->excluded + t * d->stride;
        int64_t count = 0;
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            count += graph->type[graph->neighbour[e]] == t;
        }
        double vacant = (double)(s->sel[t] - count),
               barred = s->group[centre * n + t] < 0 ? (double)count : 0;
        for (int64_t c = 0; c < d->width; c++) {
            output[c] += vacant * (double)empty[c] + barred * (double)excluded[c];
        }
    }
}

/* ---------------------------------------------------------------- stages */

/* The tangents where they are kept, or backward is next. */
static void REAL(se_r_stage_embed)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_r_workspace) *w = of;
    struct REAL(se_r_scratch) scratch = REAL(se_r_scratch_of_thread)(w, call->thread);
    REAL(se_r_embed)(w, call->evaluation->graph, call->chunk, &scratch,
                     w->keep || call->again ? REAL(se_r_tangent)(w, call->chunk, &scratch) : NULL);
}

static void REAL(se_r_stage_sum)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_r_workspace) *w = of;
    const struct REAL(se_r) *d = w->d;
    struct REAL(se_r_scratch) scratch = REAL(se_r_scratch_of_thread)(w, call->thread);
    int64_t c = call->chunk, begin = w->rows.group[c * w->rows.ngroup], first = w->rows.chunk[c];
    int64_t n = w->rows.chunk[c + 1] - first;
    double scale = 0.2 / (double)d->settings->nnei;
    for (int64_t i = 0; i < n; i++) {
        REAL(se_r_other_slots)(d, call->evaluation->graph, first + i, call->output + i * d->width);
    }
    for (int64_t r = begin; r < w->rows.group[(c + 1) * w->rows.ngroup]; r++) {
        double *out = call->output + (w->rows.centre[r] - first) * d->width;
        for (int64_t k = 0; k < d->width; k++) {
            out[k] += (double)scratch.g[(r - begin) * d->stride + k];
        }
    }
    for (int64_t k = 0; k < n * d->width; k++) {
        call->output[k] *= scale;
    }
}

static void REAL(se_r_stage_d_edges)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_r_workspace) *w = of;
    const struct REAL(se_r) *d = w->d;
    const struct dgnn_graph *graph = call->evaluation->graph;
    struct REAL(se_r_scratch) scratch = REAL(se_r_scratch_of_thread)(w, call->thread);
    const real *tangent = REAL(se_r_tangent)(w, call->chunk, &scratch);
    int64_t c = call->chunk, begin = w->rows.group[c * w->rows.ngroup], first = w->rows.chunk[c];
    for (int64_t r = begin; r < w->rows.group[(c + 1) * w->rows.ngroup]; r++) {
        const double *d_out = call->output_gradient + (w->rows.centre[r] - first) * d->width;
        int64_t e = w->rows.edge[r];
        double d_s = 0;
        for (int64_t k = 0; k < d->width; k++) {
            d_s += d_out[k] * (double)tangent[(r - begin) * d->stride + k];
        }
        d_s *= 0.2 / (double)d->settings->nnei;
        const struct dgnn_environment_edge edge =
            dgnn_environment_edge(graph, w->rows.centre[r], graph->type[graph->neighbour[e]], e);
        dgnn_environment_backward(&d->settings->environment, &edge, &d_s, 0,
                                  call->evaluation->edge_gradient + 3 * e);
    }
}

static const struct dgnn_backend REAL(se_r_cpu) = {
    .name = "cpu",
    .load = REAL(se_r_load),
    .free = REAL(se_r_free),
    .keeps = 1,
    .workspace_create = REAL(se_r_workspace_create),
    .workspace_free = REAL(se_r_workspace_free),
    .reserve = REAL(se_r_reserve),
    .chunks = REAL(se_r_chunks),
    .places = REAL(se_r_places),
    .stage = {[SE_R_EMBED] = REAL(se_r_stage_embed),
              [SE_R_SUM] = REAL(se_r_stage_sum),
              [SE_R_D_EDGES] = REAL(se_r_stage_d_edges)},
};
