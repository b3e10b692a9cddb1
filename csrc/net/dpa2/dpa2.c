#include "net/dpa2/dpa2.h"

#include <string.h>

#include "base/parallel.h"
#include "net/parts/typeembed.h"

static const struct dgnn_param dpa2_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_dpa2_params
#include "net/params/params_rows.h"
#include "net/params/dpa2.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param dpa2_repinit_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_repinit_params
#include "net/params/params_rows.h"
#include "net/params/repinit.def"
#include "net/params/params_end.h"
};

enum {
    DPA2_NPARAM = sizeof(dpa2_params) / sizeof(dpa2_params[0]),
    DPA2_NREPINIT = sizeof(dpa2_repinit_params) / sizeof(dpa2_repinit_params[0])
};

/* What stands where the first features are as wide as a node's. */
static const struct dgnn_param dpa2_identity[] = {
#include "net/params/params_rows.h"
#include "net/params/objects/identity.def"
#include "net/params/params_end.h"
};

static struct dgnn_repinit_context dpa2_pair_context(const struct dgnn_dpa2_settings *s)
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
        .compressed = s->compressed,
    };
}

static int dpa2_check_identity(const struct dgnn_value *value, struct dgnn_error *error)
{
    return dgnn_value_kind(value) > DGNN_VALUE_NULL ? dgnn_params_load(value, dpa2_identity, 1, NULL, error)
                                                    : DGNN_OK;
}

/* A product without bias that makes a node's features, in float64. */
static int dpa2_load_product(const struct dgnn_value *value, int64_t nin, struct dgnn_dpa2_settings *s,
                             struct dgnn_layer_f64 *layer, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_layer_load_plain(value, nin, s->shape.ng1, s->dtype, layer, error));
    s->parameters += dgnn_layer_parameters_f64(layer);
    if (!layer->bias) {
        return DGNN_OK;
    }
    dgnn_layer_free_f64(layer);
    return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                             "has a bias, which deepmd-kit never gives it");
}

/* What types add to the first features: ntypes x ng1p. */
static int dpa2_load_type_rows(struct dgnn_dpa2_settings *s, int64_t ng1p, double **rows,
                               struct dgnn_error *error)
{
    int64_t width = s->repinit.tebd_dim;
    struct dgnn_layer_f64 product;
    DGNN_TRY(dpa2_load_product(&s->own.tebd_transform, width, s, &product, error));
    *rows = dgnn_alloc_zeroed(s->ntypes * ng1p, sizeof(double));
    for (int64_t at = 0; *rows && at < s->ntypes * ng1p; at++) {
        for (int64_t k = 0; k < width && at % ng1p < s->shape.ng1; k++) {
            (*rows)[at] += s->tebd[at / ng1p * width + k] * product.w.data[k * product.w.stride + at % ng1p];
        }
    }
    dgnn_layer_free_f64(&product);
    return *rows ? DGNN_OK
                 : dgnn_status_no_memory(error, "weights", s->ntypes * ng1p * (int64_t)sizeof(double));
}

#define DGNN_REAL_BITS 32
#include "net/dpa2/dpa2_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/dpa2_body.h"
#undef DGNN_REAL_BITS

struct dpa2 {
    struct dgnn_staged staged;
    struct dgnn_dpa2_settings settings;
};

/* ---------------------------------------------------------------- settings */

static int dpa2_check_repinit(struct dgnn_dpa2_settings *s, const struct dgnn_value *where,
                              struct dgnn_error *error)
{
    const struct dgnn_repinit_params *p = &s->repinit;
    const int64_t limit = 1 << 24;
    if (p->nsel < 1 || p->nsel > limit || p->three_body_sel < 1 || p->three_body_sel > limit) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "nsel and three_body_sel must be in [1, 16777216]");
    }
    if (p->tebd_dim < 1 || p->tebd_dim > 1 << 16) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "tebd_dim must be in [1, 65536]");
    }
    if (!p->tebd_input_mode ||
        (strcmp(p->tebd_input_mode, "concat") && strcmp(p->tebd_input_mode, "strip"))) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "tebd_input_mode must be concat or strip");
    }
    s->strip = !strcmp(p->tebd_input_mode, "strip");
    return DGNN_OK;
}

/* The inner lists are parts of the outer one; deepmd-kit makes no model where cutoffs and slots order
 * differently. */
static int dpa2_check_lists(const struct dgnn_dpa2_settings *s, const struct dgnn_value *where,
                            struct dgnn_error *error)
{
    const struct dgnn_repinit_params *p = &s->repinit;
    const struct dgnn_repformer_shape *q = &s->shape;
    if (!(p->rcut > q->cutoff && p->nsel > q->slots)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "rcut and nsel of repinit_args must be larger than those of repformer_args");
    }
    if (p->use_three_body && ((p->three_body_rcut > p->rcut && p->three_body_sel < p->nsel) ||
                              (p->three_body_rcut < p->rcut && p->three_body_sel > p->nsel) ||
                              (p->three_body_rcut > q->cutoff && p->three_body_sel < q->slots) ||
                              (p->three_body_rcut < q->cutoff && p->three_body_sel > q->slots))) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "cutoffs and numbers of slots of the blocks are not in the same order");
    }
    return DGNN_OK;
}

/* Versions 1 and 2 have no such arguments, whatever a tree says: the layers say it, and older ones have none
 * of them. */
static int dpa2_old_version(const struct dgnn_value *value, struct dgnn_repformer_params *args,
                            struct dgnn_error *error)
{
    const struct {
        const char *name;
        int32_t *setting;
    } later[] = {{"use_sqrt_nnei", &args->use_sqrt_nnei},
                 {"g1_out_conv", &args->g1_out_conv},
                 {"g1_out_mlp", &args->g1_out_mlp}};
    struct dgnn_value version = dgnn_value_member(value, "@version");
    struct dgnn_value variable = dgnn_value_member(value, "repformers_variable");
    struct dgnn_value layers = dgnn_value_member(&variable, "repformer_layers");
    int64_t number;
    DGNN_TRY(dgnn_value_int(&version, &number, error));
    for (size_t k = 0; number < 3 && k < sizeof(later) / sizeof(later[0]); k++) {
        struct dgnn_value first = dgnn_value_item(&layers, 0),
                          member = dgnn_value_member(&first, later[k].name);
        int flag = 0;
        if (dgnn_value_kind(&member) != DGNN_VALUE_ABSENT) {
            DGNN_TRY(dgnn_value_bool(&member, &flag, error));
        }
        *later[k].setting = flag;
    }
    return DGNN_OK;
}

static int dpa2_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              struct dgnn_dpa2_settings *s, struct dgnn_error *error)
{
    int32_t any;
    DGNN_TRY(dgnn_params_load(value, dpa2_params, DPA2_NPARAM, &s->own, error));
    DGNN_TRY(dgnn_params_load(&s->own.repinit_args, dpa2_repinit_params, DPA2_NREPINIT, &s->repinit, error));
    DGNN_TRY(dgnn_repformer_params_load(&s->own.repformer_args, &s->repformer, &s->shape, error));
    DGNN_TRY(dpa2_old_version(value, &s->repformer, error));
    DGNN_TRY(dpa2_check_repinit(s, &s->own.repinit_args, error));
    DGNN_TRY(dpa2_check_lists(s, value, error));
    if (s->own.ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "ntypes is not the length of the model's type_map");
    }
    DGNN_TRY(dgnn_params_precision(s->own.precision, value, &s->dtype, error));
    s->dtype = context->dtype == DGNN_DTYPE_ARCHIVE ? s->dtype : context->dtype;
    s->keep = context->memory == DGNN_MEMORY_FAST;
    s->wants_rotation = context->wants_rotation;
    s->compressed = context->compressed;
    s->threads = context->threads;
    s->cpu = context->cpu;
    s->ntypes = context->ntypes;
    DGNN_TRY(dgnn_params_pairs(&s->own.exclude_types, s->ntypes, &s->excluded, &any, error));
    if (!any) {
        dgnn_alloc_free(s->excluded);
        s->excluded = NULL;
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- the kind */

static void dpa2_free(struct dgnn_descriptor *descriptor)
{
    struct dpa2 *d = (struct dpa2 *)descriptor;
    dgnn_backend_free(&d->staged);
    dgnn_alloc_free(d->settings.layer);
    dgnn_alloc_free(d->settings.excluded);
    dgnn_alloc_free(d->settings.tebd);
    dgnn_alloc_free(d);
}

static int dpa2_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                          struct dpa2 *d, struct dgnn_error *error)
{
    struct dgnn_dpa2_settings *s = &d->settings;
    DGNN_TRY(dpa2_load_settings(value, context, s, error));
    DGNN_TRY(dgnn_typeembed_same(&s->own.type_embedding, s->own.use_econf_tebd, error));
    DGNN_TRY(dgnn_typeembed_load_f64(&s->own.type_embedding, s->ntypes, context->type_map,
                                     s->repinit.tebd_dim, &s->tebd, error));
    return dgnn_backend_load(&d->staged,
                             s->dtype == DGNN_DTYPE_FLOAT32 ? &dgnn_dpa2_cpu_f32 : &dgnn_dpa2_cpu_f64, error);
}

static int dpa2_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    struct dpa2 *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->staged = (struct dgnn_staged){.base = {&dgnn_dpa2},
                                     .driver = &dgnn_dpa2_driver,
                                     .settings = &d->settings,
                                     .threads = context->threads};
    int status = dpa2_load_into(value, context, d, error);
    if (status) {
        dpa2_free((struct dgnn_descriptor *)d);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)d;
    return DGNN_OK;
}

static void dpa2_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct dgnn_dpa2_settings *s = &((const struct dpa2 *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->repinit.rcut,
        .mixed_types = 1,
        .nsel = 1,
        .sel = &s->repinit.nsel,
        .dim_out = s->shape.ng1 + (s->own.concat_output_tebd ? s->repinit.tebd_dim : 0),
        .dim_rotation = s->shape.ng2,
        .parameters = s->parameters,
        .dtype = s->dtype,
        .has_message_passing = 1,
        .has_message_passing_across_ranks = 1,
        .has_graph_form = (!s->compression.is_there || s->compression.evaluated == DGNN_COMPRESSED_NET) &&
                          !s->repinit.use_three_body && s->repinit.set_davg_zero && s->shape.centred,
        .uses_first_type = s->has_empty && (!s->strip || !s->own.smooth),
    };
}

/* Networks of the first block's pairs, and of pairs of its three-body block's; then layers of nodes, of
 * pairs, and of attention between two pairs of a centre. */
static double dpa2_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct dgnn_dpa2_settings *s = &((const struct dpa2 *)descriptor)->settings;
    double pair = (double)s->pair_parameters, triple = (double)s->three_parameters;
    double node = (double)s->shape.ng1, edge = (double)s->shape.ng2, layers = (double)s->shape.nlayer;
    double nwithin = (double)dgnn_descriptor_within(n, distance, s->repinit.three_body_rcut);
    double inner = (double)dgnn_descriptor_within(n, distance, s->shape.cutoff);
    double two = s->repformer.update_g2_has_attn ? 8 * edge : 0;
    return 4 * (pair * (double)n + 0.5 * triple * nwithin * nwithin +
                layers * (4 * node * node + inner * (node * (edge + 8) + edge * edge) + inner * inner * two));
}

static int dpa2_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    const struct dgnn_dpa2_settings *s = &((const struct dpa2 *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(dpa2_params, DPA2_NPARAM, &s->own, text, error));
    DGNN_TRY(dgnn_text_add(text, error, ", \"repinit\": {"));
    DGNN_TRY(dgnn_params_describe(dpa2_repinit_params, DPA2_NREPINIT, &s->repinit, text, error));
    DGNN_TRY(dgnn_compression_describe(&s->compression, text, error));
    DGNN_TRY(dgnn_text_add(text, error, "}, \"repformer\": {"));
    DGNN_TRY(dgnn_repformer_params_describe(&s->repformer, text, error));
    return dgnn_text_add(text, error, "}");
}

const struct dgnn_descriptor_kind dgnn_dpa2 = {
    .type = "dpa2",
    .load = dpa2_load,
    .free = dpa2_free,
    .properties = dpa2_properties,
    .describe = dpa2_describe,
    .cost = dpa2_cost,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
};
