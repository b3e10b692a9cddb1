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
    struct dgnn_edgerows rows;
    real *tangent; /* nrow x stride: of the embeddings, by s */
    int64_t scratch_bytes;
    int32_t keep; /* is tangent kept from forward to backward? */
    struct dgnn_buffer kept, scratch;
};

/* Room of a thread. */
struct REAL(se_r_scratch) {
    real *s;       /* rows */
    real *room;    /* dgnn_embedding_room */
    real *g;       /* rows x stride */
    real *tangent; /* rows x stride, where it is not kept */
};

/* ---------------------------------------------------------------- loading */

static void REAL(se_r_slot)(const struct REAL(se_r) * d, int32_t type, double s, real *work, real *g)
{
    work[0] = (real)s;
    struct REAL(dgnn_embedding_rows)
        row = {.nrow = 1, .x = work, .x_stride = 1, .y = g, .stride = d->stride, .room = work + 1};
    REAL(dgnn_embedding_forward)(&REAL(dgnn_reference_ops), &d->embedding.network[type], &row);
}

static int REAL(se_r_load_slots)(struct REAL(se_r) * d, struct dgnn_error *error)
{
    int32_t n = d->settings->ntypes;
    real *work = dgnn_alloc(1 + REAL(dgnn_embedding_room)(&d->embedding), sizeof(real));
    d->empty = dgnn_alloc((int64_t)n * n, sizeof(real) * (size_t)d->stride);
    d->excluded = dgnn_alloc(n, sizeof(real) * (size_t)d->stride);
    if (!work || !d->empty || !d->excluded) {
        dgnn_alloc_free(work);
        return dgnn_status_no_memory(error, "empty slots",
                                     (int64_t)n * n * d->stride * (int64_t)sizeof(real));
    }
    for (int32_t slot = 0; slot < n; slot++) {
        REAL(se_r_slot)(d, slot, 0, work, d->excluded + slot * d->stride);
        for (int32_t centre = 0; centre < n; centre++) {
            double s;
            dgnn_environment_empty_row(&d->settings->environment, centre, slot, &s);
            REAL(se_r_slot)(d, slot, s, work, d->empty + (centre * n + slot) * d->stride);
        }
    }
    dgnn_alloc_free(work);
    return DGNN_OK;
}

static int REAL(se_r_load_networks)(struct REAL(se_r) * d, struct dgnn_error *error)
{
    struct se_r_settings *s = d->settings;
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings, 1, s->ntypes, 1, NULL, &d->embedding, error));
    DGNN_TRY(REAL(dgnn_embedding_same)(&d->embedding, s->params.embeddings.parent, "neuron", error));
    d->width = d->embedding.nout;
    d->stride = dgnn_table_pad(d->width, REAL_LANES);
    s->parameters = d->embedding.parameters;
    s->dim_out = d->width;
    return REAL(se_r_load_slots)(d, error);
}

static void REAL(se_r_free)(struct REAL(se_r) * d)
{
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        dgnn_alloc_free(d->empty);
        dgnn_alloc_free(d->excluded);
        dgnn_alloc_free(d);
    }
}

static void REAL(se_r_workspace_free)(struct REAL(se_r_workspace) * w)
{
    if (w) {
        dgnn_edgerows_free(&w->rows);
        dgnn_buffer_free(&w->kept);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

static int REAL(se_r_workspace_create)(const struct REAL(se_r) * d, struct REAL(se_r_workspace) * *out,
                                       struct dgnn_error *error)
{
    struct REAL(se_r_workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->d = d;
    *out = w;
    return DGNN_OK;
}

static int REAL(se_r_load)(struct se_r_settings *settings, struct REAL(se_r) * *out, struct dgnn_error *error)
{
    struct REAL(se_r) *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->settings = settings;
    d->ops = REAL(dgnn_select_ops)(settings->cpu);
    int status = REAL(se_r_load_networks)(d, error);
    if (status) {
        REAL(se_r_free)(d);
        return status;
    }
    *out = d;
    return DGNN_OK;
}

/* ---------------------------------------------------------------- memory */

static void REAL(se_r_scratch_layout)(struct dgnn_arena *arena, const struct REAL(se_r_workspace) * w,
                                      struct REAL(se_r_scratch) * scratch)
{
    const struct REAL(se_r) *d = w->d;
    int64_t nrow = w->rows.row_max;
    size_t line = sizeof(real) * (size_t)d->stride;
    scratch->s = dgnn_arena_take(arena, nrow, sizeof(real));
    scratch->room = dgnn_arena_take(arena, REAL(dgnn_embedding_room)(&d->embedding), sizeof(real));
    scratch->g = dgnn_arena_take(arena, nrow, line);
    scratch->tangent = dgnn_arena_take(arena, w->keep ? 0 : nrow, line);
}

static struct REAL(se_r_scratch)
    REAL(se_r_scratch_of_thread)(const struct REAL(se_r_workspace) * w, int32_t thread)
{
    struct REAL(se_r_scratch) scratch;
    struct dgnn_arena arena = {.base = (char *)w->scratch.data + w->scratch_bytes * thread};
    REAL(se_r_scratch_layout)(&arena, w, &scratch);
    return scratch;
}

static int REAL(se_r_reserve)(struct REAL(se_r_workspace) * w, const struct dgnn_evaluation *evaluation,
                              struct dgnn_error *error)
{
    const struct REAL(se_r) *d = w->d;
    struct dgnn_arena arena = {0};
    struct REAL(se_r_scratch) scratch;
    int64_t total;
    w->keep = evaluation->want_gradient && d->settings->memory == DGNN_MEMORY_FAST;
    dgnn_arena_take(&arena, w->keep ? w->rows.nrow : 0, sizeof(real) * (size_t)d->stride);
    DGNN_TRY(dgnn_buffer_reserve(&w->kept, arena.used, "intermediate results", error));
    w->tangent = w->kept.data;
    arena = (struct dgnn_arena){0};
    REAL(se_r_scratch_layout)(&arena, w, &scratch);
    w->scratch_bytes = arena.used;
    if (!dgnn_alloc_checked(w->scratch_bytes, d->settings->threads, 0, &total)) {
        total = INT64_MAX;
    }
    return dgnn_buffer_reserve(&w->scratch, total, "room of threads", error);
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
        dgnn_environment_row(&d->settings->environment, graph->type[w->rows.centre[r]],
                             graph->type[graph->neighbour[e]], graph->vector + 3 * e, graph->distance[e], &s);
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
                    .room = scratch->room};
        rows.tangent = tangent ? tangent + first * d->stride : NULL;
        if (rows.nrow) {
            REAL(dgnn_embedding_forward)(d->ops, &d->embedding.network[n], &rows);
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

static void REAL(se_r_chunk_forward)(const struct REAL(se_r_workspace) * w, const struct dgnn_graph *graph,
                                     int64_t c, const struct REAL(se_r_scratch) * scratch, double *output)
{
    const struct REAL(se_r) *d = w->d;
    int64_t begin = w->rows.group[c * w->rows.ngroup];
    double scale = 0.2 / (double)d->settings->nnei;
    REAL(se_r_embed)(w, graph, c, scratch, w->keep ? w->tangent + begin * d->stride : NULL);
    for (int64_t i = w->rows.chunk[c]; i < w->rows.chunk[c + 1]; i++) {
        REAL(se_r_other_slots)(d, graph, i, output + i * d->width);
    }
    for (int64_t r = begin; r < w->rows.group[(c + 1) * w->rows.ngroup]; r++) {
        double *out = output + w->rows.centre[r] * d->width;
        for (int64_t k = 0; k < d->width; k++) {
            out[k] += (double)scratch->g[(r - begin) * d->stride + k];
        }
    }
    for (int64_t k = w->rows.chunk[c] * d->width; k < w->rows.chunk[c + 1] * d->width; k++) {
        output[k] *= scale;
    }
}

static void REAL(se_r_forward_part)(void *of, int64_t c, int32_t thread)
{
    const struct dgnn_local_region *region = of;
    struct REAL(se_r_workspace) *w = region->workspace;
    const struct dgnn_evaluation *evaluation = region->evaluation;
    struct REAL(se_r_scratch) scratch = REAL(se_r_scratch_of_thread)(w, thread);
    REAL(se_r_chunk_forward)(w, evaluation->graph, c, &scratch, region->output);
}

static int REAL(se_r_forward)(struct REAL(se_r_workspace) * w, const struct dgnn_evaluation *evaluation,
                              double *output, struct dgnn_error *error)
{
    const struct REAL(se_r) *d = w->d;
    const struct se_r_settings *s = d->settings;
    struct dgnn_edgerows_rule rule = {
        .ntypes = s->ntypes, .ngroup = s->ntypes, .target = SE_R_CHUNK_ROWS, .group = s->group};
    DGNN_TRY(dgnn_edgerows_make(&w->rows, evaluation->graph, &rule, error));
    DGNN_TRY(REAL(se_r_reserve)(w, evaluation, error));
    struct dgnn_local_region region = {.workspace = w, .evaluation = evaluation, .output = output};
    dgnn_parallel_run(s->threads, w->rows.nchunk, REAL(se_r_forward_part), &region);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- backward */

static void REAL(se_r_chunk_backward)(const struct REAL(se_r_workspace) * w,
                                      const struct dgnn_evaluation *evaluation, int64_t c,
                                      const struct REAL(se_r_scratch) * scratch, const double *d_output)
{
    const struct REAL(se_r) *d = w->d;
    const struct dgnn_graph *graph = evaluation->graph;
    int64_t begin = w->rows.group[c * w->rows.ngroup];
    const real *tangent = w->keep ? w->tangent + begin * d->stride : scratch->tangent;
    if (!w->keep) {
        REAL(se_r_embed)(w, graph, c, scratch, scratch->tangent);
    }
    for (int64_t r = begin; r < w->rows.group[(c + 1) * w->rows.ngroup]; r++) {
        const double *d_out = d_output + w->rows.centre[r] * d->width;
        int64_t e = w->rows.edge[r];
        double d_s = 0;
        for (int64_t k = 0; k < d->width; k++) {
            d_s += d_out[k] * (double)tangent[(r - begin) * d->stride + k];
        }
        d_s *= 0.2 / (double)d->settings->nnei;
        dgnn_environment_backward(&d->settings->environment, graph->type[w->rows.centre[r]],
                                  graph->type[graph->neighbour[e]], graph->vector + 3 * e, graph->distance[e],
                                  &d_s, 0, evaluation->edge_gradient + 3 * e);
    }
}

static void REAL(se_r_backward_part)(void *of, int64_t c, int32_t thread)
{
    const struct dgnn_local_region *region = of;
    struct REAL(se_r_workspace) *w = region->workspace;
    const struct dgnn_evaluation *evaluation = region->evaluation;
    struct REAL(se_r_scratch) scratch = REAL(se_r_scratch_of_thread)(w, thread);
    REAL(se_r_chunk_backward)(w, evaluation, c, &scratch, region->d_output);
}

static void REAL(se_r_backward)(struct REAL(se_r_workspace) * w, const struct dgnn_evaluation *evaluation,
                                const double *d_output)
{
    const struct REAL(se_r) *d = w->d;
    struct dgnn_local_region region = {.workspace = w, .evaluation = evaluation, .d_output = d_output};
    dgnn_parallel_run(d->settings->threads, w->rows.nchunk, REAL(se_r_backward_part), &region);
}
