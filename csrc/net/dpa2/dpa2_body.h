/* The two blocks of DPA2 and what joins them. */
#include "base/real.h"

static struct dgnn_repinit_context REAL(dpa2_pair_context)(const struct dgnn_dpa2_settings *s)
{
    return (struct dgnn_repinit_context){
        .cutoff = s->repinit.rcut,
        .args = &s->own.repinit_args,
        .neuron = "neuron",
        .switch_start = s->repinit.rcut_smth,
        .protection = s->own.env_protection,
        .nsel = s->repinit.nsel,
        .axis = s->repinit.axis_neuron,
        .tebd_width = s->repinit.tebd_dim,
        .tebd = s->tebd,
        .strip = s->strip,
        .one_side = s->repinit.type_one_side,
        .smooth = s->own.smooth,
        .ntypes = s->ntypes,
        .threads = s->threads,
        .keep = s->keep,
        .cpu = s->cpu,
        .excluded = s->excluded,
    };
}

static int REAL(dpa2_load_blocks)(const struct dgnn_dpa2_settings *s, struct REAL(dgnn_dpa2) * d,
                                  struct dgnn_error *error)
{
    struct dgnn_repinit_context pair = REAL(dpa2_pair_context)(s), three = pair;
    struct dgnn_repformer_context context = {.protection = s->own.env_protection,
                                             .smooth = s->own.smooth,
                                             .ntypes = s->ntypes,
                                             .threads = s->threads,
                                             .keep = s->keep,
                                             .cpu = s->cpu,
                                             .excluded = s->excluded};
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
    d->parameters += d->pair.parameters + d->three.parameters;
    DGNN_TRY(
        REAL(dgnn_repformer_load)(&s->shape, &s->own.repformers_variable, &context, &d->repformer, error));
    d->parameters += d->repformer.parameters;
    return DGNN_OK;
}

/* A product without bias, with padded columns. */
static int REAL(dpa2_load_product)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                   int64_t *parameters, struct REAL(dgnn_matrix) * w,
                                   struct dgnn_error *error)
{
    struct REAL(dgnn_layer) layer;
    char path[256];
    DGNN_TRY(REAL(dgnn_layer_load)(value, nin, nout, &layer, error));
    int plain =
        layer.activation.kind == DGNN_ACTIVATION_LINEAR && !layer.idt && !layer.residual && !layer.bias;
    int status = plain ? REAL(dgnn_layer_matrix)(nin, dgnn_table_pad(nout, REAL_LANES), w, error)
                       : dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                         "%s: is more than a product, which deepmd-kit never makes it",
                                         dgnn_value_path(value, path, sizeof(path)));
    for (int64_t r = 0; r < nin && !status; r++) {
        memcpy(w->data + r * w->stride, layer.w.data + r * layer.w.stride, sizeof(real) * (size_t)nout);
    }
    *parameters += REAL(dgnn_layer_parameters)(&layer);
    REAL(dgnn_layer_free)(&layer);
    return status;
}

static int REAL(dpa2_load_shape)(const struct dgnn_dpa2_settings *s, struct REAL(dgnn_dpa2) * d,
                                 struct dgnn_error *error)
{
    struct REAL(dgnn_matrix) *turned = &d->shape_turned;
    if (d->first_width == d->repformer.ng1) {
        return dgnn_value_kind(&s->own.g1_shape_tranform) > DGNN_VALUE_NULL
                   ? dgnn_params_load(&s->own.g1_shape_tranform, dpa2_identity, 1, NULL, error)
                   : DGNN_OK;
    }
    DGNN_TRY(REAL(dpa2_load_product)(&s->own.g1_shape_tranform, d->first_width, d->repformer.ng1,
                                     &d->parameters, &d->shape, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(d->repformer.ng1, d->first_stride, turned, error));
    for (int64_t r = 0; r < turned->nrow; r++) {
        for (int64_t c = 0; c < d->first_width; c++) {
            turned->data[r * turned->stride + c] = d->shape.data[c * d->shape.stride + r];
        }
    }
    return DGNN_OK;
}

static int REAL(dpa2_load_types)(const struct dgnn_dpa2_settings *s, struct REAL(dgnn_dpa2) * d,
                                 struct dgnn_error *error)
{
    struct REAL(dgnn_matrix) w = {0};
    int64_t width = s->repinit.tebd_dim, ng1p = d->repformer.ng1p;
    int status = DGNN_OK;
    if (!s->own.add_tebd_to_repinit_out) {
        return dgnn_params_unused(&s->own.tebd_transform, "add_tebd_to_repinit_out is false", error);
    }
    DGNN_TRY(
        REAL(dpa2_load_product)(&s->own.tebd_transform, width, d->repformer.ng1, &d->parameters, &w, error));
    d->type_row = dgnn_alloc_zeroed(s->ntypes * ng1p, sizeof(real));
    if (!d->type_row) {
        status = dgnn_status_no_memory(error, "weights", s->ntypes * ng1p * (int64_t)sizeof(real));
    }
    for (int64_t at = 0; at < s->ntypes * ng1p && !status; at++) {
        double sum = 0;
        for (int64_t k = 0; k < width; k++) {
            sum += s->tebd[at / ng1p * width + k] * (double)w.data[k * w.stride + at % ng1p];
        }
        d->type_row[at] = (real)sum;
    }
    REAL(dgnn_layer_matrix_free)(&w);
    return status;
}

static int REAL(dpa2_load_all)(const struct dgnn_dpa2_settings *settings, struct REAL(dgnn_dpa2) * d,
                               struct dgnn_error *error)
{
    DGNN_TRY(REAL(dpa2_load_blocks)(settings, d, error));
    DGNN_TRY(REAL(dpa2_load_shape)(settings, d, error));
    return REAL(dpa2_load_types)(settings, d, error);
}

int REAL(dgnn_dpa2_load)(const struct dgnn_dpa2_settings *settings, struct REAL(dgnn_dpa2) * d,
                         struct dgnn_error *error)
{
    *d = (struct REAL(dgnn_dpa2)){.settings = settings, .ops = REAL(dgnn_select_ops)(settings->cpu)};
    int status = REAL(dpa2_load_all)(settings, d, error);
    if (status) {
        REAL(dgnn_dpa2_free)(d);
    }
    return status;
}

void REAL(dgnn_dpa2_free)(struct REAL(dgnn_dpa2) * d)
{
    REAL(dgnn_repinit_free)(&d->pair);
    REAL(dgnn_repinit_free)(&d->three);
    REAL(dgnn_repformer_free)(&d->repformer);
    REAL(dgnn_layer_matrix_free)(&d->shape);
    REAL(dgnn_layer_matrix_free)(&d->shape_turned);
    dgnn_alloc_free(d->type_row);
    *d = (struct REAL(dgnn_dpa2)){0};
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

static void REAL(dpa2_shape_backward)(const struct REAL(dgnn_dpa2_workspace) * w, int64_t begin, int64_t end,
                                      const real *d_g1)
{
    const struct REAL(dgnn_dpa2) *d = w->d;
    int64_t ng1p = d->repformer.ng1p;
    real *first = (real *)w->first.data + begin * d->first_stride;
    if (d->shape.data) {
        d->ops->product(end - begin, d_g1 + begin * ng1p, ng1p, &d->shape_turned, NULL, first,
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
    const real *d_g1;
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
                              dgnn_parallel_end(region->graph->nowned, part, REAL(dpa2_part)), region->d_g1);
}

int REAL(dgnn_dpa2_workspace_create)(const struct REAL(dgnn_dpa2) * d, struct REAL(dgnn_dpa2_workspace) * w,
                                     struct dgnn_error *error)
{
    *w = (struct REAL(dgnn_dpa2_workspace)){
        .d = d, .pair = {.block = &d->pair}, .three = {.block = &d->three}};
    return REAL(dgnn_repformer_workspace_create)(&d->repformer, &w->repformer, error);
}

void REAL(dgnn_dpa2_workspace_free)(struct REAL(dgnn_dpa2_workspace) * w)
{
    REAL(dgnn_repinit_workspace_free)(&w->pair);
    REAL(dgnn_repinit_workspace_free)(&w->three);
    REAL(dgnn_repformer_workspace_free)(&w->repformer);
    dgnn_buffer_free(&w->first);
}

int REAL(dgnn_dpa2_prepare)(struct REAL(dgnn_dpa2_workspace) * w, const struct dgnn_evaluation *evaluation,
                            struct dgnn_error *error)
{
    const struct REAL(dgnn_dpa2) *d = w->d;
    const struct dgnn_graph *graph = evaluation->graph;
    int64_t size;
    if (!dgnn_alloc_checked(graph->nowned, d->first_stride * (int64_t)sizeof(real), 0, &size)) {
        size = INT64_MAX;
    }
    DGNN_TRY(dgnn_buffer_reserve(&w->first, size, "first features of DPA2", error));
    DGNN_TRY(REAL(dgnn_repinit_prepare_pair)(&w->pair, graph, error));
    if (d->three.dim_out) {
        DGNN_TRY(REAL(dgnn_repinit_prepare_three)(&w->three, graph, error));
    }
    return REAL(dgnn_repformer_prepare)(&w->repformer, evaluation, error);
}

int REAL(dgnn_dpa2_forward)(struct REAL(dgnn_dpa2_workspace) * w, const struct dgnn_evaluation *evaluation,
                            double *output, struct dgnn_error *error)
{
    const struct REAL(dgnn_dpa2) *d = w->d;
    const struct dgnn_graph *graph = evaluation->graph;
    real *g1 = REAL(dgnn_repformer_input)(&w->repformer), *first = w->first.data;
    const real *g1_last;
    REAL(dgnn_repinit_forward_pair)(&w->pair, graph, first, d->first_stride);
    if (d->three.dim_out) {
        REAL(dgnn_repinit_forward_three)(&w->three, graph, first + d->pair.dim_out, d->first_stride);
    }
    struct REAL(dpa2_region) region = {.w = w, .graph = graph, .g1 = g1};
    dgnn_parallel_run(d->settings->threads, dgnn_parallel_parts(graph->nowned, REAL(dpa2_part)),
                      REAL(dpa2_shape_part), &region);
    DGNN_TRY(REAL(dgnn_repformer_forward)(&w->repformer, evaluation, &g1_last, error));
    REAL(dpa2_output)(d, graph, g1_last, output);
    return DGNN_OK;
}

int REAL(dgnn_dpa2_backward)(struct REAL(dgnn_dpa2_workspace) * w, const struct dgnn_evaluation *evaluation,
                             const double *output_gradient, struct dgnn_error *error)
{
    const struct REAL(dgnn_dpa2) *d = w->d;
    const struct dgnn_graph *graph = evaluation->graph;
    int64_t n = graph->nowned, ng1 = d->repformer.ng1, ng1p = d->repformer.ng1p;
    int64_t width = ng1 + (d->settings->own.concat_output_tebd ? d->settings->repinit.tebd_dim : 0);
    real *d_last = REAL(dgnn_repformer_gradient)(&w->repformer);
    const real *d_g1[DGNN_SIDES];
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < ng1p; k++) {
            d_last[i * ng1p + k] = k < ng1 ? (real)output_gradient[i * width + k] : 0;
        }
    }
    DGNN_TRY(REAL(dgnn_repformer_backward)(&w->repformer, evaluation, d_g1, error));
    for (int32_t side = 0; side < dgnn_evaluation_sides(evaluation); side++) { /* through one place, in turn */
        double *gradient = evaluation->edge_gradient + 3 * side * dgnn_graph_nedge(graph);
        struct REAL(dpa2_region) region = {.w = w, .graph = graph, .d_g1 = d_g1[side]};
        dgnn_parallel_run(d->settings->threads, dgnn_parallel_parts(n, REAL(dpa2_part)),
                          REAL(dpa2_shape_backward_part), &region);
        real *first = w->first.data;
        REAL(dgnn_repinit_backward_pair)(&w->pair, graph, first, d->first_stride, gradient);
        if (d->three.dim_out) {
            REAL(dgnn_repinit_backward_three)(&w->three, graph, first + d->pair.dim_out, d->first_stride,
                                              gradient);
        }
    }
    return DGNN_OK;
}
