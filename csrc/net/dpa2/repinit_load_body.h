/* Weights, lists and rows of both blocks. */
#include "base/real.h"

/* ---------------------------------------------------------------- weights */

/* Inputs of the type network for types a and b: both embeddings (the first of first), or one. */
static void REAL(repinit_type_input)(const struct REAL(dgnn_repinit) * block, int32_t first, int32_t second,
                                     int both, real *x)
{
    int64_t width = block->context.tebd_width;
    memcpy(x, block->tebd + first * width, sizeof(real) * (size_t)width);
    if (both) {
        memcpy(x + width, block->tebd + second * width, sizeof(real) * (size_t)width);
    }
}

/* type_factor of all pairs of types. order: 0 where the network sees (second, first): the pair block's. */
static int REAL(repinit_fill_factor)(struct REAL(dgnn_repinit) * block,
                                     const struct REAL(dgnn_embedding) * strip, int order, int both,
                                     struct dgnn_error *error)
{
    int32_t n = block->context.ntypes + 1;
    int64_t nin = (both ? 2 : 1) * block->context.tebd_width, each = REAL(dgnn_embedding_scratch)(strip);
    real *scratch = dgnn_alloc(nin + each, sizeof(real));
    block->type_factor = dgnn_alloc_zeroed(n * n, sizeof(real) * (size_t)block->ngp);
    if (!scratch || !block->type_factor) {
        dgnn_alloc_free(scratch);
        return dgnn_status_no_memory(error, "factors of types", n * n * block->ngp * (int64_t)sizeof(real));
    }
    for (int32_t a = 0; a < n; a++) {
        for (int32_t b = 0; b < n; b++) {
            struct REAL(dgnn_embedding_rows) rows = {.nrow = 1,
                                                     .x = scratch,
                                                     .x_stride = nin,
                                                     .y = block->type_factor + (a * n + b) * block->ngp,
                                                     .stride = block->ngp,
                                                     .scratch = scratch + nin};
            REAL(repinit_type_input)(block, order ? a : b, order ? b : a, both, scratch);
            REAL(dgnn_embedding_forward)(block->ops, strip, 0, &rows);
        }
    }
    dgnn_alloc_free(scratch);
    return DGNN_OK;
}

static int REAL(repinit_load_strip)(const struct dgnn_value *variable, int order, int both,
                                    struct REAL(dgnn_repinit) * block, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(variable, "embeddings_strip");
    const struct dgnn_repinit_context *context = &block->context;
    struct REAL(dgnn_embedding) strip;
    const struct dgnn_embedding_shape shape = {.ntypes = context->ntypes,
                                               .nin = (both ? 2 : 1) * context->tebd_width};
    DGNN_TRY(REAL(dgnn_embedding_load)(&member, &shape, &strip, error));
    int status = DGNN_OK;
    if (strip.nout != block->ng) {
        status = dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &member, "%lld outputs, expected %lld",
                                   (long long)strip.nout, (long long)block->ng);
    } else {
        status = REAL(repinit_fill_factor)(block, &strip, order, both, error);
    }
    status = status ? status : REAL(dgnn_embedding_same)(&strip, context->args, context->neuron, error);
    struct REAL(dgnn_embedding_factors) factors = {.ntypes = context->ntypes + 1,
                                                   .one_side = !both,
                                                   .width = block->ng,
                                                   .stride = block->ngp,
                                                   .rows = block->type_factor};
    if (!status && !order) { /* the pair block's: no other is compressed */
        status = REAL(dgnn_embedding_load_factors)(context->compression, &factors, error);
    }
    block->parameters += strip.parameters;
    REAL(dgnn_embedding_free)(&strip);
    return status;
}

static int REAL(repinit_load_network)(const struct dgnn_value *variable, int both,
                                      struct REAL(dgnn_repinit) * block, struct dgnn_error *error)
{
    const struct dgnn_repinit_context *context = &block->context;
    struct dgnn_value embeddings = dgnn_value_member(variable, "embeddings");
    const struct dgnn_embedding_shape shape = {
        .ntypes = context->ntypes, .nin = 1 + (context->strip ? 0 : (both ? 2 : 1) * context->tebd_width)};
    DGNN_TRY(repinit_load_statistics(variable, context, &block->environment, error));
    DGNN_TRY(REAL(dgnn_embedding_load)(&embeddings, &shape, &block->embedding, error));
    DGNN_TRY(REAL(dgnn_embedding_same)(&block->embedding, context->args, context->neuron, error));
    block->ng = block->embedding.nout;
    block->ngp = dgnn_table_pad(block->ng, REAL_LANES);
    block->parameters = block->embedding.parameters;
    return REAL(dgnn_layer_cast_row)(context->tebd, (context->ntypes + 1) * context->tebd_width, &block->tebd,
                                     error);
}

static int REAL(repinit_load_pair)(const struct dgnn_value *variable, struct REAL(dgnn_repinit) * block,
                                   struct dgnn_error *error)
{
    int both = !block->context.one_side;
    struct dgnn_compression *compression = block->context.compression;
    struct dgnn_value compress = dgnn_value_member(variable, "compress");
    DGNN_TRY(REAL(repinit_load_network)(variable, both, block, error));
    DGNN_TRY(dgnn_compression_load(&compress, DGNN_COMPRESSION_TYPES, block->context.compressed, compression,
                                   error));
    DGNN_TRY(dgnn_compression_needs(compression, block->context.strip, "tebd_input_mode is not strip",
                                    &compress, error));
    DGNN_TRY(REAL(dgnn_embedding_load_tables)(compression, 0, NULL, &block->embedding, error));
    DGNN_TRY(repinit_check_axis(variable, block->context.axis, block->ng, error));
    block->dim_out = block->ng * block->context.axis;
    block->has_empty = repinit_has_mean(&block->environment, 0);
    return block->context.strip ? REAL(repinit_load_strip)(variable, 0, both, block, error) : DGNN_OK;
}

/* The three-body network's first layer without its first input: bias and, with concat, both embeddings. */
static int REAL(repinit_load_start)(struct REAL(dgnn_repinit) * block, struct dgnn_error *error)
{
    const struct REAL(dgnn_layer) *layer = &block->embedding.network[0].layer[0];
    int32_t n = block->context.ntypes + 1;
    int64_t width = layer->w.ncol;
    block->start = dgnn_alloc(n * n, sizeof(real) * (size_t)width);
    if (!block->start) {
        return dgnn_status_no_memory(error, "weights", n * n * width * (int64_t)sizeof(real));
    }
    for (int64_t pair = 0; pair < n * n; pair++) {
        for (int64_t c = 0; c < width; c++) {
            double sum = layer->bias ? (double)layer->bias[c] : 0;
            for (int64_t k = 1; k < layer->w.nrow; k++) {
                int64_t at = k - 1 < block->context.tebd_width
                                 ? pair / n * block->context.tebd_width + k - 1
                                 : pair % n * block->context.tebd_width + k - 1 - block->context.tebd_width;
                sum += (double)block->tebd[at] * (double)layer->w.data[k * layer->w.stride + c];
            }
            block->start[pair * width + c] = (real)sum;
        }
    }
    return DGNN_OK;
}

static int REAL(repinit_load_three)(const struct dgnn_value *variable, struct REAL(dgnn_repinit) * block,
                                    struct dgnn_error *error)
{
    struct dgnn_value compress = dgnn_value_member(variable, "compress");
    DGNN_TRY(REAL(repinit_load_network)(variable, 1, block, error));
    DGNN_TRY(dgnn_params_unused(&compress, "the three-body block is not compressed", error));
    block->dim_out = block->ng;
    block->has_empty = repinit_has_mean(&block->environment, 1);
    DGNN_TRY(REAL(repinit_load_start)(block, error));
    return block->context.strip ? REAL(repinit_load_strip)(variable, 1, 1, block, error) : DGNN_OK;
}

static int REAL(repinit_load)(const struct dgnn_value *variable, const struct dgnn_repinit_context *context,
                              int (*load)(const struct dgnn_value *, struct REAL(dgnn_repinit) *,
                                          struct dgnn_error *),
                              struct REAL(dgnn_repinit) * block, struct dgnn_error *error)
{
    *block = (struct REAL(dgnn_repinit)){.ops = REAL(dgnn_select_ops)(context->cpu), .context = *context};
    int status = load(variable, block, error);
    block->context.tebd = NULL;
    block->context.args = NULL;
    block->context.compression = NULL;
    if (status) {
        REAL(dgnn_repinit_free)(block);
    }
    return status;
}

int REAL(dgnn_repinit_load_pair)(const struct dgnn_value *variable,
                                 const struct dgnn_repinit_context *context,
                                 struct REAL(dgnn_repinit) * block, struct dgnn_error *error)
{
    return REAL(repinit_load)(variable, context, REAL(repinit_load_pair), block, error);
}

int REAL(dgnn_repinit_load_three)(const struct dgnn_value *variable,
                                  const struct dgnn_repinit_context *context,
                                  struct REAL(dgnn_repinit) * block, struct dgnn_error *error)
{
    return REAL(repinit_load)(variable, context, REAL(repinit_load_three), block, error);
}

void REAL(dgnn_repinit_free)(struct REAL(dgnn_repinit) * block)
{
    dgnn_environment_free(&block->environment);
    REAL(dgnn_embedding_free)(&block->embedding);
    dgnn_alloc_free(block->tebd);
    dgnn_alloc_free(block->type_factor);
    dgnn_alloc_free(block->start);
    *block = (struct REAL(dgnn_repinit)){0};
}

void REAL(dgnn_repinit_workspace_free)(struct REAL(dgnn_repinit_workspace) * w)
{
    dgnn_pair_list_free(&w->list);
    dgnn_buffer_free(&w->buffer);
    dgnn_buffer_free(&w->scratch);
}

/* ---------------------------------------------------------------- lists and rows */

static int REAL(repinit_build)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                               struct dgnn_error *error)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    struct dgnn_pair_list_rule rule = {.cutoff = block->context.cutoff,
                                       .nsel = block->context.nsel,
                                       .ntypes = block->context.ntypes,
                                       .lanes = REAL_LANES};
    w->first_type = repinit_type(graph->first_type, block->context.ntypes);
    w->dense = graph->dense;
    return dgnn_pair_list_build(graph, &rule, &w->list, error);
}

static int REAL(repinit_reserve)(struct REAL(dgnn_repinit_workspace) * w,
                                 void (*layout)(struct REAL(dgnn_repinit_workspace) *, struct dgnn_arena *),
                                 int64_t scratch_size, struct dgnn_error *error)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    struct dgnn_arena arena = {0};
    layout(w, &arena);
    DGNN_TRY(dgnn_buffer_reserve(&w->buffer, arena.used, "first features of DPA2", error));
    arena = (struct dgnn_arena){.base = w->buffer.data};
    layout(w, &arena);
    w->scratch_size = scratch_size;
    return dgnn_buffer_reserve_each(&w->scratch, scratch_size, block->context.threads,
                                    "scratch of DPA2's first features", error);
}

void REAL(dgnn_repinit_places)(const struct REAL(dgnn_repinit_workspace) * w, int32_t buffer,
                               struct dgnn_places *to)
{
    int64_t npair = w->list.npair, size = sizeof(real), nvalue = w->nvalue, nspare = w->nspare;
    struct dgnn_place_rows pairs = {npair, npair}, centres = {w->list.ncentre, w->list.ncentre};
    dgnn_backend_list(to, buffer, -1, w->row, pairs, 4 * size);
    dgnn_backend_list(to, buffer, -1, w->sw, pairs, size);
    dgnn_backend_list(to, buffer, -1, w->moment, centres, 4 * w->block->ngp * size);
    dgnn_backend_list(to, buffer, -1, w->value, (struct dgnn_place_rows){nvalue, nvalue}, size);
    dgnn_backend_list(to, buffer, -1, w->slope, (struct dgnn_place_rows){nvalue, nvalue}, size);
    dgnn_backend_list(to, buffer, -1, w->by_switch, (struct dgnn_place_rows){nspare, nspare}, size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, w->scratch.data,
                      (struct dgnn_place_rows){w->block->context.threads, 0}, w->scratch_size);
}

static int REAL(repinit_excludes)(const struct REAL(dgnn_repinit_workspace) * w,
                                  const struct dgnn_graph *graph, int64_t i, int64_t pair)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    const uint8_t *excluded = block->context.excluded;
    return excluded &&
           excluded[graph->type[i] * block->context.ntypes + graph->type[w->list.neighbour[pair]]];
}

/* Rows and switches of a centre's pairs. */
static void REAL(repinit_rows)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                               int64_t i)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    for (int64_t pair = w->list.first[i]; pair < w->list.first[i + 1]; pair++) {
        int64_t e = w->list.edge[pair];
        int excluded = REAL(repinit_excludes)(w, graph, i, pair);
        double row[4];
        const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
        double sw = dgnn_environment_row(&block->environment, &edge, row);
        w->sw[pair] = excluded ? 0 : (real)sw;
        for (int d = 0; d < 4; d++) {
            w->row[4 * pair + d] = excluded ? 0 : (real)row[d];
        }
    }
}

/* Slots without a neighbour that count, and their row. */
static int64_t REAL(repinit_empty)(const struct REAL(dgnn_repinit_workspace) * w,
                                   const struct dgnn_graph *graph, int64_t i, real *row)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    double empty[4];
    int64_t n = block->context.nsel - (w->list.first[i + 1] - w->list.first[i]);
    if (!w->dense || !block->has_empty || n <= 0) {
        return 0;
    }
    dgnn_environment_empty_row(&block->environment, graph->type[i], 0, empty);
    for (int d = 0; d < 4; d++) {
        row[d] = (real)empty[d];
    }
    return n;
}

/* Runs a centre's work over all centres. */
struct REAL(repinit_job) {
    struct REAL(dgnn_repinit_workspace) * w;
    const struct dgnn_graph *graph;
    real *output;
    const real *d_output;
    int64_t stride;
    double *edge_gradient;
    void (*centre)(const struct REAL(repinit_job) *, int64_t, struct dgnn_arena);
};

enum { REAL(REPINIT_PART) = 4 }; /* centres that a thread does at a time */

static void REAL(repinit_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repinit_job) *job = of;
    const struct REAL(dgnn_repinit_workspace) *w = job->w;
    char *own = (char *)w->scratch.data + w->scratch_size * thread;
    int64_t end = dgnn_parallel_end(w->list.ncentre, part, REAL(REPINIT_PART));
    for (int64_t i = part * REAL(REPINIT_PART); i < end; i++) {
        job->centre(job, i, (struct dgnn_arena){.base = own});
    }
}

static void REAL(repinit_run)(struct REAL(repinit_job) * job)
{
    dgnn_parallel_run(job->w->block->context.threads,
                      dgnn_parallel_parts(job->w->list.ncentre, REAL(REPINIT_PART)), REAL(repinit_part), job);
}
