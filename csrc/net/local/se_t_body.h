#include "base/real.h"

struct REAL(se_t) {
    struct se_t_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_embedding) embedding;
};

/* What an evaluation writes. */
struct REAL(se_t_workspace) {
    const struct REAL(se_t) * d;
    struct dgnn_edgerows rows; /* a chunk is a centre, a group a type */
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
    int status =
        REAL(dgnn_embedding_load)(&s->params.embeddings, 2, s->ntypes, 1, needed, &d->embedding, error);
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

static void REAL(se_t_free)(struct REAL(se_t) * d)
{
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        dgnn_alloc_free(d);
    }
}

static void REAL(se_t_workspace_free)(struct REAL(se_t_workspace) * w)
{
    if (w) {
        dgnn_edgerows_free(&w->rows);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

static int REAL(se_t_workspace_create)(const struct REAL(se_t) * d, struct REAL(se_t_workspace) * *out,
                                       struct dgnn_error *error)
{
    struct REAL(se_t_workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->d = d;
    *out = w;
    return DGNN_OK;
}

static int REAL(se_t_load)(struct se_t_settings *settings, struct REAL(se_t) * *out, struct dgnn_error *error)
{
    struct REAL(se_t) *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->settings = settings;
    d->ops = REAL(dgnn_select_ops)(settings->cpu);
    int status = REAL(se_t_load_networks)(d, error);
    if (status) {
        REAL(se_t_free)(d);
        return status;
    }
    *out = d;
    return DGNN_OK;
}

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
    struct dgnn_arena arena = {.base = (char *)w->scratch.data + w->scratch_bytes * thread};
    return REAL(se_t_scratch)(w, &arena);
}

static int REAL(se_t_reserve)(struct REAL(se_t_workspace) * w, const struct dgnn_graph *graph,
                              struct dgnn_error *error)
{
    const struct REAL(se_t) *d = w->d;
    const struct se_t_settings *s = d->settings;
    struct dgnn_edgerows_rule rule = {
        .ntypes = s->ntypes, .ngroup = s->ntypes, .target = 1, .group = s->group};
    struct dgnn_arena arena = {0};
    int64_t total;
    DGNN_TRY(dgnn_edgerows_make(&w->rows, graph, &rule, error));
    REAL(se_t_scratch)(w, &arena);
    w->scratch_bytes = arena.used;
    if (!dgnn_alloc_checked(w->scratch_bytes, s->threads, 0, &total)) {
        total = INT64_MAX;
    }
    return dgnn_buffer_reserve(&w->scratch, total, "room of threads", error);
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
        dgnn_environment_row(&d->settings->environment, graph->type[i], t, graph->vector + 3 * e,
                             graph->distance[e], row);
        memcpy(scratch->u + 3 * n, row + 1, 3 * sizeof(double));
        scratch->weight[n] = 1;
        scratch->edge[n] = e;
    }
    return REAL(se_t_empty_row)(d, graph, i, t, scratch, n);
}

/* Forward with output, backward with d_output. Returns the number of rows. */
static int64_t REAL(se_t_centre)(const struct REAL(se_t_workspace) * w, const struct dgnn_graph *graph,
                                 int64_t i, struct REAL(dgnn_triples_scratch) * scratch, double *output,
                                 const double *d_output)
{
    const struct REAL(se_t) *d = w->d;
    const struct se_t_settings *s = d->settings;
    int64_t n = 0;
    for (int32_t t = 0; t < s->ntypes; t++) {
        scratch->section[t] = n;
        n = REAL(se_t_type_rows)(w, graph, i, t, scratch, n);
    }
    scratch->section[s->ntypes] = n;
    memset(scratch->d_u, 0, 3 * sizeof(double) * (size_t)n);
    for (int32_t t = 0; t < s->ntypes; t++) {
        for (int32_t u = t; u < s->ntypes; u++) {
            struct REAL(dgnn_triples) triples = {.ops = d->ops,
                                                 .network = &d->embedding.network[t + (int64_t)u * s->ntypes],
                                                 .section = {t, u},
                                                 .scale = 1 / ((double)s->sel[t] * (double)s->sel[u]),
                                                 .output = output,
                                                 .d_output = d_output,
                                                 .scratch = scratch};
            REAL(dgnn_triples_sum)(&triples);
        }
    }
    return n;
}

static void REAL(se_t_forward_part)(void *of, int64_t i, int32_t thread)
{
    const struct dgnn_local_region *region = of;
    struct REAL(se_t_workspace) *w = region->workspace;
    const struct dgnn_evaluation *evaluation = region->evaluation;
    int64_t width = w->d->settings->dim_out;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, thread);
    memset(region->output + i * width, 0, sizeof(double) * (size_t)width);
    REAL(se_t_centre)(w, evaluation->graph, i, &scratch, region->output + i * width, NULL);
}

static int REAL(se_t_forward)(struct REAL(se_t_workspace) * w, const struct dgnn_evaluation *evaluation,
                              double *output, struct dgnn_error *error)
{
    const struct REAL(se_t) *d = w->d;
    DGNN_TRY(REAL(se_t_reserve)(w, evaluation->graph, error));
    struct dgnn_local_region region = {.workspace = w, .evaluation = evaluation, .output = output};
    dgnn_parallel_run(d->settings->threads, evaluation->graph->nowned, REAL(se_t_forward_part), &region);
    return DGNN_OK;
}

static void REAL(se_t_d_edges)(const struct REAL(se_t) * d, const struct dgnn_evaluation *evaluation,
                               int64_t i, const struct REAL(dgnn_triples_scratch) * scratch, int64_t n)
{
    const struct dgnn_graph *graph = evaluation->graph;
    for (int64_t r = 0; r < n; r++) {
        int64_t e = scratch->edge[r];
        if (e >= 0) {
            double d_row[4] = {0, scratch->d_u[3 * r], scratch->d_u[3 * r + 1], scratch->d_u[3 * r + 2]};
            dgnn_environment_backward(&d->settings->environment, graph->type[i],
                                      graph->type[graph->neighbour[e]], graph->vector + 3 * e,
                                      graph->distance[e], d_row, 0, evaluation->edge_gradient + 3 * e);
        }
    }
}

static void REAL(se_t_backward_part)(void *of, int64_t i, int32_t thread)
{
    const struct dgnn_local_region *region = of;
    struct REAL(se_t_workspace) *w = region->workspace;
    const struct dgnn_evaluation *evaluation = region->evaluation;
    const struct REAL(se_t) *d = w->d;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_scratch_of_thread)(w, thread);
    int64_t n = REAL(se_t_centre)(w, evaluation->graph, i, &scratch, NULL,
                                  region->d_output + i * d->settings->dim_out);
    REAL(se_t_d_edges)(d, evaluation, i, &scratch, n);
}

static void REAL(se_t_backward)(struct REAL(se_t_workspace) * w, const struct dgnn_evaluation *evaluation,
                                const double *d_output)
{
    const struct REAL(se_t) *d = w->d;
    struct dgnn_local_region region = {.workspace = w, .evaluation = evaluation, .d_output = d_output};
    dgnn_parallel_run(d->settings->threads, evaluation->graph->nowned, REAL(se_t_backward_part), &region);
}
