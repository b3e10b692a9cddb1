#include "base/real.h"

struct REAL(se_t_tebd) {
    struct se_t_tebd_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_embedding) embedding;
    real *types;    /* of pairs of types, each with the NULL type: (ntypes + 1)^2 x 2 tebd_dim */
    real *factor;   /* in strip: (ntypes + 1)^2 x stride, the second network's; else NULL */
    int64_t stride; /* of the embedding */
};

/* What an evaluation writes. */
struct REAL(se_t_tebd_workspace) {
    const struct REAL(se_t_tebd) * d;
    struct dgnn_edge_batches rows; /* a chunk is a centre, a group a type */
    int64_t scratch_bytes;
    struct dgnn_buffer scratch;
};

/* ---------------------------------------------------------------- loading */

static int REAL(se_t_tebd_load_types)(struct REAL(se_t_tebd) * d, struct dgnn_error *error)
{
    const struct se_t_tebd_settings *s = d->settings;
    int64_t n = s->ntypes + 1, width = s->params.tebd_dim;
    d->types = dgnn_alloc(n * n, 2 * sizeof(real) * (size_t)width);
    if (!d->types) {
        return dgnn_status_no_memory(error, "type embeddings", n * n * 2 * width * (int64_t)sizeof(real));
    }
    for (int64_t pair = 0; pair < n * n; pair++) {
        for (int64_t c = 0; c < width; c++) {
            d->types[pair * 2 * width + c] = (real)s->table[pair / n * width + c];
            d->types[(pair * 2 + 1) * width + c] = (real)s->table[pair % n * width + c];
        }
    }
    return DGNN_OK;
}

/* The second network on all pairs of types. */
static int REAL(se_t_tebd_fill_factor)(struct REAL(se_t_tebd) * d, const struct REAL(dgnn_embedding) * strip,
                                       struct dgnn_error *error)
{
    int64_t n = (int64_t)(d->settings->ntypes + 1) * (d->settings->ntypes + 1);
    real *scratch = dgnn_alloc(REAL(dgnn_embedding_scratch)(strip), sizeof(real));
    d->factor = dgnn_alloc(n, sizeof(real) * (size_t)d->stride);
    if (!scratch || !d->factor) {
        dgnn_alloc_free(scratch);
        return dgnn_status_no_memory(error, "type embeddings", n * d->stride * (int64_t)sizeof(real));
    }
    struct REAL(dgnn_embedding_rows) rows = {.nrow = n,
                                             .x = d->types,
                                             .x_stride = 2 * d->settings->params.tebd_dim,
                                             .y = d->factor,
                                             .stride = d->stride,
                                             .scratch = scratch};
    REAL(dgnn_embedding_forward)(&REAL(dgnn_reference_ops), strip, 0, &rows);
    dgnn_alloc_free(scratch);
    return DGNN_OK;
}

static int REAL(se_t_tebd_load_factor)(struct REAL(se_t_tebd) * d, struct dgnn_error *error)
{
    struct se_t_tebd_settings *s = d->settings;
    struct REAL(dgnn_embedding) strip;
    const struct dgnn_embedding_shape shape = {.ntypes = s->ntypes, .nin = 2 * s->params.tebd_dim};
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings_strip, &shape, &strip, error));
    int status = strip.nout == d->embedding.nout
                     ? REAL(se_t_tebd_fill_factor)(d, &strip, error)
                     : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &s->params.embeddings_strip,
                                         "width %lld, expected %lld", (long long)strip.nout,
                                         (long long)d->embedding.nout);
    status =
        status ? status : REAL(dgnn_embedding_same)(&strip, s->params.embeddings.parent, "neuron", error);
    struct REAL(dgnn_embedding_factors)
        factors = {.ntypes = s->ntypes + 1, .width = strip.nout, .stride = d->stride, .rows = d->factor};
    status = status ? status : REAL(dgnn_embedding_load_factors)(&s->compression, &factors, error);
    s->parameters += strip.parameters;
    REAL(dgnn_embedding_free)(&strip);
    return status;
}

static int REAL(se_t_tebd_load_networks)(struct REAL(se_t_tebd) * d, struct dgnn_error *error)
{
    struct se_t_tebd_settings *s = d->settings;
    const struct dgnn_embedding_shape shape = {.ntypes = s->ntypes,
                                               .nin = 1 + (s->strip ? 0 : 2 * s->params.tebd_dim)};
    DGNN_TRY(REAL(dgnn_embedding_load)(&s->params.embeddings, &shape, &d->embedding, error));
    DGNN_TRY(REAL(dgnn_embedding_same)(&d->embedding, s->params.embeddings.parent, "neuron", error));
    DGNN_TRY(REAL(dgnn_embedding_load_tables)(&s->compression, 1, NULL, &d->embedding, error));
    d->stride = dgnn_table_pad(d->embedding.nout, REAL_LANES);
    s->parameters = d->embedding.parameters;
    s->dim_out = d->embedding.nout + (s->params.concat_output_tebd ? s->params.tebd_dim : 0);
    DGNN_TRY(REAL(se_t_tebd_load_types)(d, error));
    return s->strip ? REAL(se_t_tebd_load_factor)(d, error)
                    : dgnn_params_unused(&s->params.embeddings_strip, "tebd_input_mode is not strip", error);
}

static void REAL(se_t_tebd_free)(void *weights)
{
    struct REAL(se_t_tebd) *d = weights;
    if (d) {
        REAL(dgnn_embedding_free)(&d->embedding);
        dgnn_alloc_free(d->types);
        dgnn_alloc_free(d->factor);
        dgnn_alloc_free(d);
    }
}

static void REAL(se_t_tebd_workspace_free)(void *of)
{
    struct REAL(se_t_tebd_workspace) *w = of;
    if (w) {
        dgnn_edge_batches_free(&w->rows);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

#include "net/local/local_body.h"

/* ---------------------------------------------------------------- memory */

static struct REAL(dgnn_triples_scratch)
    REAL(se_t_tebd_scratch)(const struct REAL(se_t_tebd_workspace) * w, struct dgnn_arena *arena)
{
    const struct REAL(se_t_tebd) *d = w->d;
    struct REAL(dgnn_triples_scratch) scratch;
    REAL(dgnn_triples_layout)(arena, &d->embedding, w->rows.row_max + 1, d->settings->ntypes + 1, &scratch);
    return scratch;
}

static struct REAL(dgnn_triples_scratch)
    REAL(se_t_tebd_scratch_of_thread)(const struct REAL(se_t_tebd_workspace) * w, int32_t thread)
{
    struct dgnn_arena arena = REAL(se_t_tebd_thread_arena)(w, thread);
    return REAL(se_t_tebd_scratch)(w, &arena);
}

static int REAL(se_t_tebd_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                                   struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(se_t_tebd_workspace) *w = of;
    const struct REAL(se_t_tebd) *d = w->d;
    const struct se_t_tebd_settings *s = d->settings;
    struct dgnn_edge_batches_rule rule = {
        .ntypes = s->ntypes, .ngroup = s->ntypes, .target = 1, .group = s->group};
    struct dgnn_arena arena = {0};
    (void)profile;
    DGNN_TRY(dgnn_edge_batches_make(&w->rows, evaluation->graph, &rule, error));
    REAL(se_t_tebd_scratch)(w, &arena);
    w->scratch_bytes = arena.used;
    return dgnn_buffer_reserve_each(&w->scratch, w->scratch_bytes, s->threads, "scratch of threads", error);
}

static void REAL(se_t_tebd_places)(void *of, int64_t c, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(se_t_tebd_workspace) *w = of;
    const struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_tebd_scratch_of_thread)(w, thread);
    (void)c;
    REAL(dgnn_triples_places)(&scratch, SE_T_TEBD_AT_ROWS, SE_T_TEBD_AT_D_ROWS, w->rows.row_max + 1, to);
}

/* ---------------------------------------------------------------- forward and backward */

/* Rows of centre i: type by type, then one for all empty slots. */
static void REAL(se_t_tebd_rows)(const struct REAL(se_t_tebd_workspace) * w, const struct dgnn_graph *graph,
                                 int64_t i, struct REAL(dgnn_triples_scratch) * scratch)
{
    const struct REAL(se_t_tebd) *d = w->d;
    const struct se_t_tebd_settings *s = d->settings;
    int64_t vacant = s->sel[0] - (graph->first[i + 1] - graph->first[i]), n = 0;
    double row[4];
    for (int32_t t = 0; t < s->ntypes; t++) {
        const int64_t *group = w->rows.group + i * w->rows.ngroup + t;
        scratch->section[t] = n;
        for (int64_t r = group[0]; r < group[1]; r++, n++) {
            int64_t e = w->rows.edge[r];
            const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
            scratch->edge_switch[n] = dgnn_environment_row(&s->environment, &edge, row);
            memcpy(scratch->u + 3 * n, row + 1, 3 * sizeof(double));
            scratch->weight[n] = 1;
            scratch->edge[n] = e;
        }
    }
    scratch->section[s->ntypes] = n;
    if (vacant > 0 && s->has_mean) {
        dgnn_environment_empty_row(&s->environment, graph->type[i], 0, row);
        memcpy(scratch->u + 3 * n, row + 1, 3 * sizeof(double));
        scratch->edge_switch[n] = 0;
        scratch->weight[n] = (double)vacant;
        scratch->edge[n++] = -1;
    }
    scratch->section[s->ntypes + 1] = n;
}

/* Forward with output, backward with d_output. */
static void REAL(se_t_tebd_triples)(const struct REAL(se_t_tebd) * d, const struct dgnn_graph *graph,
                                    struct REAL(dgnn_triples_scratch) * scratch, double *output,
                                    const double *d_output)
{
    const struct se_t_tebd_settings *s = d->settings;
    int64_t ntypes = s->ntypes, absent = graph->first_type < 0 ? ntypes : graph->first_type;
    for (int64_t t = 0; t <= ntypes; t++) {
        for (int64_t u = 0; u <= ntypes; u++) {
            int64_t pair = (t < ntypes ? t : absent) * (ntypes + 1) + (u < ntypes ? u : absent);
            struct REAL(dgnn_triples) triples = {.ops = d->ops,
                                                 .embedding = &d->embedding,
                                                 .tail = d->types + pair * 2 * s->params.tebd_dim,
                                                 .factor = d->factor ? d->factor + pair * d->stride : NULL,
                                                 .smooth = d->factor && s->params.smooth,
                                                 .section = {t, u},
                                                 .scale = 1 / ((double)s->sel[0] * (double)s->sel[0]),
                                                 .output = output,
                                                 .d_output = d_output,
                                                 .scratch = scratch};
            REAL(dgnn_triples_sum)(&triples);
        }
    }
}

static void REAL(se_t_tebd_d_edges)(const struct REAL(se_t_tebd) * d,
                                    const struct dgnn_evaluation *evaluation, int64_t i,
                                    const struct REAL(dgnn_triples_scratch) * scratch, int64_t n)
{
    const struct dgnn_graph *graph = evaluation->graph;
    for (int64_t r = 0; r < n; r++) {
        int64_t e = scratch->edge[r];
        if (e >= 0) {
            double d_row[4] = {0, scratch->d_u[3 * r], scratch->d_u[3 * r + 1], scratch->d_u[3 * r + 2]};
            const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
            dgnn_environment_backward(&d->settings->environment, &edge, d_row, scratch->d_switch[r],
                                      evaluation->edge_gradient + 3 * e);
        }
    }
}

/* ---------------------------------------------------------------- stages: a chunk is a centre */

static void REAL(se_t_tebd_stage_rows)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_tebd_workspace) *w = of;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_tebd_scratch_of_thread)(w, call->thread);
    REAL(se_t_tebd_rows)(w, call->evaluation->graph, call->chunk, &scratch);
}

static void REAL(se_t_tebd_stage_triples)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_tebd_workspace) *w = of;
    const struct REAL(se_t_tebd) *d = w->d;
    const struct se_t_tebd_settings *s = d->settings;
    const struct dgnn_graph *graph = call->evaluation->graph;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_tebd_scratch_of_thread)(w, call->thread);
    double *tail = call->output + d->embedding.nout;
    memset(call->output, 0, sizeof(double) * (size_t)s->dim_out);
    REAL(se_t_tebd_triples)(d, graph, &scratch, call->output, NULL);
    for (int64_t c = 0; c < s->params.tebd_dim && s->params.concat_output_tebd; c++) {
        tail[c] = s->table[graph->type[call->chunk] * s->params.tebd_dim + c];
    }
}

static void REAL(se_t_tebd_stage_d_triples)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_tebd_workspace) *w = of;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_tebd_scratch_of_thread)(w, call->thread);
    int64_t n = scratch.section[w->d->settings->ntypes + 1];
    memset(scratch.d_u, 0, 3 * sizeof(double) * (size_t)n);
    memset(scratch.d_switch, 0, sizeof(double) * (size_t)n);
    REAL(se_t_tebd_triples)(w->d, call->evaluation->graph, &scratch, NULL, call->output_gradient);
}

static void REAL(se_t_tebd_stage_d_edges)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(se_t_tebd_workspace) *w = of;
    struct REAL(dgnn_triples_scratch) scratch = REAL(se_t_tebd_scratch_of_thread)(w, call->thread);
    REAL(se_t_tebd_d_edges)(w->d, call->evaluation, call->chunk, &scratch,
                            scratch.section[w->d->settings->ntypes + 1]);
}

static const struct dgnn_backend REAL(se_t_tebd_cpu) = {
    .name = "cpu",
    .load = REAL(se_t_tebd_load),
    .free = REAL(se_t_tebd_free),
    .workspace_create = REAL(se_t_tebd_workspace_create),
    .workspace_free = REAL(se_t_tebd_workspace_free),
    .reserve = REAL(se_t_tebd_reserve),
    .chunks = REAL(se_t_tebd_chunks),
    .places = REAL(se_t_tebd_places),
    .stage = {[SE_T_TEBD_ROWS] = REAL(se_t_tebd_stage_rows),
              [SE_T_TEBD_TRIPLES] = REAL(se_t_tebd_stage_triples),
              [SE_T_TEBD_D_TRIPLES] = REAL(se_t_tebd_stage_d_triples),
              [SE_T_TEBD_D_EDGES] = REAL(se_t_tebd_stage_d_edges)},
};
