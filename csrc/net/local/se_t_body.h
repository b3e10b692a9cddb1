#include "base/real.h"

struct REAL(se_t) {
    struct se_t_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_embedding) embedding;
};

/* What an evaluation writes. */
struct REAL(se_t_workspace) {
    const struct REAL(se_t) * d;
    struct dgnn_edge_batches rows; /* a chunk is a centre, a group a type */
    int64_t scratch_bytes;
    struct dgnn_buffer scratch;
};

/* ---------------------------------------------------------------- loading */

/* deepmd-kit keeps no network for (t, t') with t > t', and clears those of excluded pairs when it writes a
 * model. */
static int REAL(se_t_load_networks)(struct REAL(se_t) * d, struct dgnn_error *error)
{
    struct se_t_settings *s = d->settings;
    int64_t n = s->ntypes;
    uint8_t *needed = dgnn_alloc(n * n, 1);
    if (!needed) {
        return dgnn_status_no_memory(error, "networks", n * n);
    }
    for (int64_t p = 0; p < n * n; p++) {
        needed[p] = p % n <= p / n;
    }
    const struct dgnn_embedding_shape shape = {.ndim = 2, .ntypes = n, .nin = 1, .needed = needed};
    int status = REAL(dgnn_embedding_load)(&s->params.embeddings, &shape, &d->embedding, error);
    status =
        status ? status : REAL(dgnn_embedding_load_tables)(&s->compression, 1, needed, &d->embedding, error);
    dgnn_alloc_free(needed);
    DGNN_TRY(status);
    DGNN_TRY(REAL(dgnn_embedding_same)(&d->embedding, s->params.embeddings.parent, "neuron", error));
    for (int64_t p = 0; p < n * n; p++) {
        if (s->group[p] < 0 && p / n <= p % n) {
            REAL(dgnn_embedding_clear)(&d->embedding, p / n + (p % n) * n);
        }
    }
    s->parameters = d->embedding.parameters;
    s->dim_out = d->embedding.nout;
    return DGNN_OK;
}

static void REAL(se_t_free)(void *weights)
{
    struct REAL(se_t) *d = weights;
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        dgnn_alloc_free(d);
    }
}

static void REAL(se_t_workspace_free)(void *of)
{
    struct REAL(se_t_workspace) *w = of;
    if (w) {
        dgnn_edge_batches_free(&w->rows);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

#include "net/local/local_body.h"

/* ---------------------------------------------------------------- memory */

static struct REAL(dgnn_triples_scratch)
    REAL(se_t_scratch)(const struct REAL(se_t_workspace) * w, struct dgnn_arena *arena)
{
    const struct REAL(se_t) *d = w->d;
    struct REAL(dgnn_triples_scratch) scratch;
    REAL(dgnn_triples_layout)(arena, &d->embedding, w->rows.row_max + d->settings->ntypes,
                              d->settings->ntypes, &scratch);
    return scratch;
}

static struct REAL(dgnn_triples_scratch)
    REAL(se_t_scratch_of_thread)(const struct REAL(se_t_workspace) * w, int32_t thread)
{
    struct dgnn_arena arena = REAL(se_t_thread_arena)(w, thread);
    return REAL(se_t_scratch)(w, &arena);
}

static int REAL(se_t_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                              struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(se_t_workspace) *w = of;
    const struct REAL(se_t) *d = w->d;
    const struct se_t_settings *s = d->settings;
    struct dgnn_edge_batches_rule rule = {
        .ntypes = s->ntypes, .ngroup = s->ntypes, .target = 1, .group = s->group};
    struct dgnn_arena arena = {0};
    (void)profile;
    DGNN_TRY(dgnn_edge_batches_make(&w->rows, evaluation->graph, &rule, error));
    REAL(se_t_scratch)(w, &arena);
    w->scratch_bytes = arena.used;
    return dgnn_buffer_reserve_each(&w->scratch, w->scratch_bytes, s->threads, "scratch of threads", error);
}

static void REAL(se_t_places)(void *of, int64_t c, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(se_t_workspace) *w = of;
    const struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, thread);
    (void)c;
    REAL(dgnn_triples_places)(&scratch, SE_T_AT_ROWS, SE_T_AT_D_ROWS,
                              w->rows.row_max + w->d->settings->ntypes, to);
}

/* ---------------------------------------------------------------- forward and backward */

/* One row for all empty slots of a type. Returns the number of rows so far. */
static int64_t REAL(se_t_empty_row)(const struct REAL(se_t) * d, const struct dgnn_graph *graph, int64_t i,
                                    int32_t t, struct REAL(dgnn_triples_scratch) * scratch, int64_t n)
{
    int64_t vacant = d->settings->sel[t];
    double row[4];
    for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
        vacant -= graph->type[graph->neighbour[e]] == t;
    }
    if (vacant <= 0 || !d->settings->has_mean) {
        return n;
    }
    dgnn_environment_empty_row(&d->settings->environment, graph->type[i], t, row);
    memcpy(scratch->u + 3 * n, row + 1, 3 * sizeof(double));
    scratch->weight[n] = (double)vacant;
    scratch->edge[n] = -1;
    return n + 1;
}

/* Rows of centre i's neighbours of one type. */
static int64_t REAL(se_t_type_rows)(const struct REAL(se_t_workspace) * w, const struct dgnn_graph *graph,
                                    int64_t i, int32_t t, struct REAL(dgnn_triples_scratch) * scratch,
                                    int64_t n)
{
    const struct REAL(se_t) *d = w->d;
    const int64_t *group = w->rows.group + i * w->rows.ngroup + t;
    for (int64_t r = group[0]; r < group[1]; r++, n++) {
        int64_t e = w->rows.edge[r];
        double row[4];
        const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, t, e);
        dgnn_environment_row(&d->settings->environment, &edge, row);
        memcpy(scratch->u + 3 * n, row + 1, 3 * sizeof(double));
        scratch->weight[n] = 1;
        scratch->edge[n] = e;
    }
    return REAL(se_t_empty_row)(d, graph, i, t, scratch, n);
}

/* Forward with output, backward with d_output. */
static void REAL(se_t_triples)(const struct REAL(se_t) * d, struct REAL(dgnn_triples_scratch) * scratch,
                               double *output, const double *d_output)
{
    const struct se_t_settings *s = d->settings;
    for (int32_t t = 0; t < s->ntypes; t++) {
        for (int32_t u = t; u < s->ntypes; u++) {
            struct REAL(dgnn_triples) triples = {.ops = d->ops,
                                                 .embedding = &d->embedding,
                                                 .network = t + (int64_t)u * s->ntypes,
                                                 .section = {t, u},
                                                 .scale = 1 / ((double)s->sel[t] * (double)s->sel[u]),
                                                 .output = output,
                                                 .d_output = d_output,
                                                 .scratch = scratch};
            REAL(dgnn_triples_sum)(&triples);
        }
    }
}

static void REAL(se_t_d_edges)(const struct REAL(se_t) * d, const struct dgnn_evaluation *evaluation,
                               int64_t i, const struct REAL(dgnn_triples_scratch) * scratch, int64_t n)
{
    const struct dgnn_graph *graph = evaluation->graph;
    for (int64_t r = 0; r < n; r++) {
        int64_t e = scratch->edge[r];
        if (e >= 0) {
            double d_row[4] = {0, scratch->d_u[3 * r], scratch->d_u[3 * r + 1], scratch->d_u[3 * r + 2]};
            const struct dgnn_environment_edge edge =
                dgnn_environment_edge(graph, i, graph->type[graph->neighbour[e]], e);
            dgnn_environment_backward(&d->settings->environment, &edge, d_row, 0,
                                      evaluation->edge_gradient + 3 * e);
        }
    }
}

/* ---------------------------------------------------------------- stages: a chunk is a centre */

static void REAL(se_t_stage_rows)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_workspace) *w = of;
    int32_t ntypes = w->d->settings->ntypes;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, call->thread);
    int64_t n = 0;
    for (int32_t t = 0; t < ntypes; t++) {
        scratch.section[t] = n;
        n = REAL(se_t_type_rows)(w, call->evaluation->graph, call->chunk, t, &scratch, n);
    }
    scratch.section[ntypes] = n;
}

static void REAL(se_t_stage_triples)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_workspace) *w = of;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, call->thread);
    memset(call->output, 0, sizeof(double) * (size_t)w->d->settings->dim_out);
    REAL(se_t_triples)(w->d, &scratch, call->output, NULL);
}

static void REAL(se_t_stage_d_triples)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_workspace) *w = of;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, call->thread);
    memset(scratch.d_u, 0, 3 * sizeof(double) * (size_t)scratch.section[w->d->settings->ntypes]);
    REAL(se_t_triples)(w->d, &scratch, NULL, call->output_gradient);
}

static void REAL(se_t_stage_d_edges)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_workspace) *w = of;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, call->thread);
    REAL(se_t_d_edges)(w->d, call->evaluation, call->chunk, &scratch,
                       scratch.section[w->d->settings->ntypes]);
}

static const struct dgnn_backend REAL(se_t_cpu) = {
    .name = "cpu",
    .load = REAL(se_t_load),
    .free = REAL(se_t_free),
    .workspace_create = REAL(se_t_workspace_create),
    .workspace_free = REAL(se_t_workspace_free),
    .reserve = REAL(se_t_reserve),
    .chunks = REAL(se_t_chunks),
    .places = REAL(se_t_places),
    .stage = {[SE_T_ROWS] = REAL(se_t_stage_rows),
              [SE_T_TRIPLES] = REAL(se_t_stage_triples),
              [SE_T_D_TRIPLES] = REAL(se_t_stage_d_triples),
              [SE_T_D_EDGES] = REAL(se_t_stage_d_edges)},
};
