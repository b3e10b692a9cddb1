/* The two blocks of DPA2 and what joins them: packed weights, and the CPU's filling of the stages. */
#include "base/real.h"

struct REAL(dgnn_dpa2) {
    struct dgnn_dpa2_settings *settings; /* the descriptor's */
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dgnn_repinit) pair, three;
    struct REAL(dgnn_repformer) repformer;
    struct REAL(dgnn_matrix) shape, shape_transposed; /* first features to g1, columns padded; no data: the
                                                     identity */
    real *type_row; /* ntypes x g1 padded: what types add to the first features, or NULL */
    int64_t first_width, first_stride;
};

/* What an evaluation writes. */
struct REAL(dgnn_dpa2_workspace) {
    const struct REAL(dgnn_dpa2) * d;
    struct REAL(dgnn_repinit_workspace) pair, three;
    struct REAL(dgnn_repformer_workspace) repformer;
    int64_t nowned;
    struct dgnn_buffer first; /* nowned x first_stride: first features, then their gradient */
};

/* What the driver and others ask of the weights. */
static int REAL(dpa2_load_switches)(const struct REAL(dgnn_dpa2) * d, struct dgnn_error *error)
{
    struct dgnn_dpa2_settings *s = d->settings;
    s->pair_parameters = d->pair.parameters;
    s->three_parameters = d->three.parameters;
    s->parameters = d->pair.parameters + d->three.parameters + d->repformer.parameters;
    s->has_empty = d->pair.has_empty || d->three.has_empty;
    s->layer = dgnn_alloc(s->shape.nlayer, sizeof(*s->layer));
    if (!s->layer) {
        return dgnn_status_no_memory(error, "layers", s->shape.nlayer * (int64_t)sizeof(*s->layer));
    }
    for (int64_t l = 0; l < s->shape.nlayer; l++) {
        s->layer[l] = d->repformer.layer[l].s;
    }
    return DGNN_OK;
}

static int REAL(dpa2_load_blocks)(const struct dgnn_dpa2_settings *s, struct REAL(dgnn_dpa2) * d,
                                  struct dgnn_error *error)
{
    struct dgnn_repinit_context pair = dpa2_pair_context(s), three = pair;
    struct dgnn_repformer_context context = {.protection = s->own.env_protection,
                                             .wants_rotation = s->wants_rotation,
                                             .smooth = s->own.smooth,
                                             .ntypes = s->ntypes,
                                             .threads = s->threads,
                                             .keep = s->keep,
                                             .cpu = s->cpu,
                                             .excluded = s->excluded};
    pair.compression = &d->settings->compression;
    three.neuron = "three_body_neuron";
    three.cutoff = s->repinit.three_body_rcut;
    three.switch_start = s->repinit.three_body_rcut_smth;
    three.nsel = s->repinit.three_body_sel;
    DGNN_TRY(REAL(dgnn_repinit_load_pair)(&s->own.repinit_variable, &pair, &d->pair, error));
    DGNN_TRY(
        s->repinit.use_three_body
            ? REAL(dgnn_repinit_load_three)(&s->own.repinit_three_body_variable, &three, &d->three, error)
            : dgnn_params_unused(&s->own.repinit_three_body_variable, "use_three_body is false", error));
    d->first_width = d->pair.dim_out + d->three.dim_out;
    d->first_stride = dgnn_table_pad(d->first_width, REAL_LANES);
    DGNN_TRY(
        REAL(dgnn_repformer_load)(&s->shape, &s->own.repformers_variable, &context, &d->repformer, error));
    return REAL(dpa2_load_switches)(d, error);
}

static int REAL(dpa2_load_shape)(const struct dgnn_dpa2_settings *s, struct REAL(dgnn_dpa2) * d,
                                 struct dgnn_error *error)
{
    struct dgnn_layer_f64 product;
    if (d->first_width == d->repformer.ng1) {
        return dpa2_check_identity(&s->own.g1_shape_tranform, error);
    }
    int status = dpa2_load_product(&s->own.g1_shape_tranform, d->first_width, d->settings, &product, error);
    status = status ? status : REAL(dgnn_layer_cast)(&product.w, &d->shape, &d->shape_transposed, error);
    dgnn_layer_free_f64(&product);
    return status;
}

static int REAL(dpa2_load_types)(const struct dgnn_dpa2_settings *s, struct REAL(dgnn_dpa2) * d,
                                 struct dgnn_error *error)
{
    int64_t ng1p = d->repformer.ng1p;
    double *rows = NULL;
    if (!s->own.add_tebd_to_repinit_out) {
        return dgnn_params_unused(&s->own.tebd_transform, "add_tebd_to_repinit_out is false", error);
    }
    int status = dpa2_load_type_rows(d->settings, ng1p, &rows, error);
    status = status ? status : REAL(dgnn_layer_cast_row)(rows, s->ntypes * ng1p, &d->type_row, error);
    dgnn_alloc_free(rows);
    return status;
}

static int REAL(dpa2_load_all)(const struct dgnn_dpa2_settings *settings, struct REAL(dgnn_dpa2) * d,
                               struct dgnn_error *error)
{
    DGNN_TRY(REAL(dpa2_load_blocks)(settings, d, error));
    DGNN_TRY(REAL(dpa2_load_shape)(settings, d, error));
    return REAL(dpa2_load_types)(settings, d, error);
}

static void REAL(dpa2_cpu_free)(void *weights)
{
    struct REAL(dgnn_dpa2) *d = weights;
    if (d) {
        REAL(dgnn_repinit_free)(&d->pair);
        REAL(dgnn_repinit_free)(&d->three);
        REAL(dgnn_repformer_free)(&d->repformer);
        REAL(dgnn_layer_matrix_free)(&d->shape);
        REAL(dgnn_layer_matrix_free)(&d->shape_transposed);
        dgnn_alloc_free(d->type_row);
        dgnn_alloc_free(d);
    }
}

static int REAL(dpa2_cpu_load)(void *settings, void **weights, struct dgnn_error *error)
{
    struct dgnn_dpa2_settings *s = settings;
    struct REAL(dgnn_dpa2) *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "weights", sizeof(*d));
    }
    d->settings = s;
    d->ops = REAL(dgnn_select_ops)(s->cpu);
    int status = REAL(dpa2_load_all)(s, d, error);
    if (status) {
        REAL(dpa2_cpu_free)(d);
        return status;
    }
    *weights = d;
    return DGNN_OK;
}

/* ---------------------------------------------------------------- evaluation */

/* g1 before the activation, of the nodes [begin, end), from the first features. */
static void REAL(dpa2_shape)(const struct REAL(dgnn_dpa2_workspace) * w, const struct dgnn_graph *graph,
                             int64_t begin, int64_t end, real *g1)
{
    const struct REAL(dgnn_dpa2) *d = w->d;
    int64_t ng1p = d->repformer.ng1p;
    const real *first = (const real *)w->first.data + begin * d->first_stride;
    if (d->shape.data) {
        d->ops->product(end - begin, first, d->first_stride, &d->shape, NULL, g1 + begin * ng1p, ng1p, 0);
    } else {
        memcpy(g1 + begin * ng1p, first, sizeof(real) * (size_t)((end - begin) * ng1p));
    }
    for (int64_t i = begin; i < end && d->type_row; i++) {
        for (int64_t k = 0; k < ng1p; k++) {
            g1[i * ng1p + k] += d->type_row[graph->type[i] * ng1p + k];
        }
    }
}

/* One side: the gradient of the first features, in their own place. */
static void REAL(dpa2_shape_backward)(const struct REAL(dgnn_dpa2_workspace) * w, int64_t begin, int64_t end,
                                      int32_t side)
{
    const struct REAL(dgnn_dpa2) *d = w->d;
    int64_t ng1p = d->repformer.ng1p;
    const real *d_g1 = w->repformer.side[side].g1[1];
    real *first = (real *)w->first.data + begin * d->first_stride;
    if (d->shape.data) {
        d->ops->product(end - begin, d_g1 + begin * ng1p, ng1p, &d->shape_transposed, NULL, first,
                        d->first_stride, 0);
    } else {
        memcpy(first, d_g1 + begin * ng1p, sizeof(real) * (size_t)((end - begin) * ng1p));
    }
}

static void REAL(dpa2_output)(const struct REAL(dgnn_dpa2) * d, const struct dgnn_graph *graph,
                              const real *g1, double *output)
{
    const struct dgnn_dpa2_settings *s = d->settings;
    int64_t ng1 = d->repformer.ng1, ng1p = d->repformer.ng1p, width = s->repinit.tebd_dim;
    for (int64_t i = 0; i < graph->nowned; i++) {
        for (int64_t k = 0; k < ng1; k++) {
            *output++ = (double)g1[i * ng1p + k];
        }
        for (int64_t k = 0; k < width && s->own.concat_output_tebd; k++) {
            *output++ = (double)(real)s->tebd[graph->type[i] * width + k];
        }
    }
}

enum { REAL(dpa2_part) = 64 }; /* nodes of a product */

struct REAL(dpa2_region) {
    const struct REAL(dgnn_dpa2_workspace) * w;
    const struct dgnn_graph *graph;
    real *g1;
    int32_t side;
};

static void REAL(dpa2_shape_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(dpa2_region) *region = of;
    (void)thread;
    REAL(dpa2_shape)(region->w, region->graph, part * REAL(dpa2_part),
                     dgnn_parallel_end(region->graph->nowned, part, REAL(dpa2_part)), region->g1);
}

static void REAL(dpa2_shape_backward_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(dpa2_region) *region = of;
    (void)thread;
    REAL(dpa2_shape_backward)(region->w, part * REAL(dpa2_part),
                              dgnn_parallel_end(region->graph->nowned, part, REAL(dpa2_part)), region->side);
}

/* ---------------------------------------------------------------- workspace */

static void REAL(dpa2_cpu_workspace_free)(void *of)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    if (w) {
        REAL(dgnn_repinit_workspace_free)(&w->pair);
        REAL(dgnn_repinit_workspace_free)(&w->three);
        REAL(dgnn_repformer_workspace_free)(&w->repformer);
        dgnn_buffer_free(&w->first);
        dgnn_alloc_free(w);
    }
}

static int REAL(dpa2_cpu_workspace_create)(const void *weights, void **workspace, struct dgnn_error *error)
{
    const struct REAL(dgnn_dpa2) *d = weights;
    struct REAL(dgnn_dpa2_workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    *w = (struct REAL(dgnn_dpa2_workspace)){
        .d = d, .pair = {.block = &d->pair}, .three = {.block = &d->three}};
    int status = REAL(dgnn_repformer_workspace_create)(&d->repformer, &w->repformer, error);
    if (status) {
        REAL(dpa2_cpu_workspace_free)(w);
        return status;
    }
    *workspace = w;
    return DGNN_OK;
}

static int REAL(dpa2_cpu_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                                  struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    const struct REAL(dgnn_dpa2) *d = w->d;
    const struct dgnn_graph *graph = evaluation->graph;
    int64_t size;
    (void)profile;
    if (!dgnn_alloc_checked(graph->nowned, d->first_stride * (int64_t)sizeof(real), 0, &size)) {
        size = INT64_MAX;
    }
    w->nowned = graph->nowned;
    DGNN_TRY(dgnn_buffer_reserve(&w->first, size, "first features of DPA2", error));
    DGNN_TRY(REAL(dgnn_repinit_prepare_pair)(&w->pair, graph, error));
    if (d->three.dim_out) {
        DGNN_TRY(REAL(dgnn_repinit_prepare_three)(&w->three, graph, error));
    }
    return REAL(dgnn_repformer_prepare)(&w->repformer, evaluation, error);
}

static struct dgnn_rows REAL(dpa2_cpu_rows)(void *of, int32_t buffer, int64_t l)
{
    return REAL(dgnn_repformer_rows)(&((struct REAL(dgnn_dpa2_workspace) *)of)->repformer, buffer, l);
}

static void REAL(dpa2_cpu_places)(void *of, int64_t chunk, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(dgnn_dpa2_workspace) *w = of;
    (void)chunk;
    (void)thread;
    dgnn_backend_list(to, DGNN_DPA2_AT_FIRST, -1, w->first.data,
                      (struct dgnn_place_rows){w->nowned, w->nowned},
                      w->d->first_stride * (int64_t)sizeof(real));
    REAL(dgnn_repinit_places)(&w->pair, DGNN_DPA2_AT_PAIR_KEPT, to);
    if (w->d->three.dim_out) {
        REAL(dgnn_repinit_places)(&w->three, DGNN_DPA2_AT_THREE_KEPT, to);
    }
    REAL(dgnn_repformer_places)(&w->repformer, to);
}

/* ---------------------------------------------------------------- stages */

static void REAL(dpa2_cpu_pair)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    REAL(dgnn_repinit_forward_pair)(&w->pair, call->evaluation->graph, w->first.data, w->d->first_stride);
}

static void REAL(dpa2_cpu_three)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    real *first = w->first.data;
    REAL(dgnn_repinit_forward_three)(&w->three, call->evaluation->graph, first + w->d->pair.dim_out,
                                     w->d->first_stride);
}

static void REAL(dpa2_cpu_shape)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    const struct dgnn_graph *graph = call->evaluation->graph;
    struct REAL(dpa2_region) region = {.w = w, .graph = graph, .g1 = w->repformer.g1[0]};
    dgnn_parallel_run(w->d->settings->threads, dgnn_parallel_parts(graph->nowned, REAL(dpa2_part)),
                      REAL(dpa2_shape_part), &region);
    REAL(dgnn_repformer_first_nodes)(&w->repformer, call);
}

static void REAL(dpa2_cpu_output)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    REAL(dgnn_repformer_output)(&w->repformer, call);
    REAL(dpa2_output)(w->d, call->evaluation->graph, w->repformer.g1[call->layer], call->output);
}

static void REAL(dpa2_cpu_d_output)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    const struct REAL(dgnn_dpa2) *d = w->d;
    int64_t ng1 = d->repformer.ng1, ng1p = d->repformer.ng1p;
    int64_t width = ng1 + (d->settings->own.concat_output_tebd ? d->settings->repinit.tebd_dim : 0);
    real *d_last = w->repformer.side[0].g1[1];
    for (int64_t i = 0; i < call->evaluation->graph->nowned; i++) {
        for (int64_t k = 0; k < ng1p; k++) {
            d_last[i * ng1p + k] = k < ng1 ? (real)call->output_gradient[i * width + k] : 0;
        }
    }
    REAL(dgnn_repformer_d_output)(&w->repformer, call);
}

/* Stages that are the repformer's own. */
#define DPA2_CPU_REPFORMER(name)                                                                             \
    static void REAL(dpa2_cpu_##name)(void *of, const struct dgnn_stage_call *call)                          \
    {                                                                                                        \
        REAL(dgnn_repformer_##name)(&((struct REAL(dgnn_dpa2_workspace) *)of)->repformer, call);             \
    }

DPA2_CPU_REPFORMER(first_pairs)
DPA2_CPU_REPFORMER(pairs)
DPA2_CPU_REPFORMER(nodes)
DPA2_CPU_REPFORMER(d_nodes)
DPA2_CPU_REPFORMER(d_neighbours)
DPA2_CPU_REPFORMER(d_pairs)
DPA2_CPU_REPFORMER(d_next)
DPA2_CPU_REPFORMER(d_first_pairs)

#undef DPA2_CPU_REPFORMER

static void REAL(dpa2_cpu_d_shape)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    const struct dgnn_graph *graph = call->evaluation->graph;
    struct REAL(dpa2_region) region = {.w = w, .graph = graph, .side = call->side};
    dgnn_parallel_run(w->d->settings->threads, dgnn_parallel_parts(graph->nowned, REAL(dpa2_part)),
                      REAL(dpa2_shape_backward_part), &region);
}

static double *REAL(dpa2_edge_gradient)(const struct dgnn_stage_call *call)
{
    return call->evaluation->edge_gradient + 3 * call->side * dgnn_graph_nedge(call->evaluation->graph);
}

static void REAL(dpa2_cpu_d_pair)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    REAL(dgnn_repinit_backward_pair)(&w->pair, call->evaluation->graph, w->first.data, w->d->first_stride,
                                     REAL(dpa2_edge_gradient)(call));
}

static void REAL(dpa2_cpu_d_three)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_dpa2_workspace) *w = of;
    const real *first = w->first.data;
    REAL(dgnn_repinit_backward_three)(&w->three, call->evaluation->graph, first + w->d->pair.dim_out,
                                      w->d->first_stride, REAL(dpa2_edge_gradient)(call));
}

const struct dgnn_backend REAL(dgnn_dpa2_cpu) = {
    .name = "cpu",
    .load = REAL(dpa2_cpu_load),
    .free = REAL(dpa2_cpu_free),
    .workspace_create = REAL(dpa2_cpu_workspace_create),
    .workspace_free = REAL(dpa2_cpu_workspace_free),
    .reserve = REAL(dpa2_cpu_reserve),
    .rows = REAL(dpa2_cpu_rows),
    .places = REAL(dpa2_cpu_places),
    .stage = {[DGNN_DPA2_PAIR] = REAL(dpa2_cpu_pair),
              [DGNN_DPA2_THREE] = REAL(dpa2_cpu_three),
              [DGNN_DPA2_SHAPE] = REAL(dpa2_cpu_shape),
              [DGNN_DPA2_FIRST_PAIRS] = REAL(dpa2_cpu_first_pairs),
              [DGNN_DPA2_PAIRS] = REAL(dpa2_cpu_pairs),
              [DGNN_DPA2_NODES] = REAL(dpa2_cpu_nodes),
              [DGNN_DPA2_OUTPUT] = REAL(dpa2_cpu_output),
              [DGNN_DPA2_D_OUTPUT] = REAL(dpa2_cpu_d_output),
              [DGNN_DPA2_D_NODES] = REAL(dpa2_cpu_d_nodes),
              [DGNN_DPA2_D_NEIGHBOURS] = REAL(dpa2_cpu_d_neighbours),
              [DGNN_DPA2_D_PAIRS] = REAL(dpa2_cpu_d_pairs),
              [DGNN_DPA2_D_NEXT] = REAL(dpa2_cpu_d_next),
              [DGNN_DPA2_D_FIRST_PAIRS] = REAL(dpa2_cpu_d_first_pairs),
              [DGNN_DPA2_D_SHAPE] = REAL(dpa2_cpu_d_shape),
              [DGNN_DPA2_D_PAIR] = REAL(dpa2_cpu_d_pair),
              [DGNN_DPA2_D_THREE] = REAL(dpa2_cpu_d_three)},
};
