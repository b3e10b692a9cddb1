#include "net/dpa3/dpa3.h"

#include <string.h>

#include "net/parts/environment.h"
#include "net/parts/typeembed.h"

/* Rows of the charge and spin tables (deepmd/dpmodel/descriptor/dpa3.py): charges -100 to 99, spins 0 to 99.
 */
enum { DPA3_NCHARGE = 200, DPA3_NSPIN = 100 };

static const struct dgnn_param repflow_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_repflow_params
#include "net/params/params_rows.h"
#include "net/params/repflow.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repflow_layer_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_repflow_layer_params
#include "net/params/params_rows.h"
#include "net/params/objects/repflow_layer.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param dpa3_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_dpa3_params
#include "net/params/params_rows.h"
#include "net/params/dpa3.def"
#include "net/params/params_end.h"
};

enum {
    REPFLOW_LAYER_NPARAM = sizeof(repflow_layer_params) / sizeof(repflow_layer_params[0]),
    REPFLOW_NPARAM = sizeof(repflow_params) / sizeof(repflow_params[0]),
    DPA3_NPARAM = sizeof(dpa3_params) / sizeof(dpa3_params[0])
};

struct dpa3 {
    struct dgnn_staged staged;
    struct dgnn_dpa3_settings settings;
};

/* ---------------------------------------------------------------- settings */

static int dpa3_check_widths(const struct dgnn_repflow_params *p, const struct dgnn_value *where,
                             struct dgnn_error *error)
{
    const int64_t limit = 1 << 16;
    if (p->n_dim < 1 || p->e_dim < 1 || p->a_dim < 1 || p->n_dim > limit || p->e_dim > limit ||
        p->a_dim > limit) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "n_dim, e_dim and a_dim must be in [1, 65536]");
    }
    if (p->nlayers < 1 || p->nlayers > 1024) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "nlayers must be in [1, 1024]");
    }
    if (p->n_multi_edge_message < 1 || p->n_multi_edge_message > 64) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "n_multi_edge_message must be in [1, 64]");
    }
    if (p->axis_neuron < 1 || p->axis_neuron > p->e_dim || p->axis_neuron > p->n_dim) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "axis_neuron must be in [1, min(n_dim, e_dim)]");
    }
    if (p->a_compress_rate < 0 || p->a_compress_e_rate < 1 ||
        (p->a_compress_rate && (p->a_dim * p->a_compress_e_rate) % (2 * p->a_compress_rate))) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "a_dim * a_compress_e_rate must be a multiple of 2 * a_compress_rate");
    }
    if (p->a_compress_rate && p->a_compress_use_split &&
        (p->a_dim / p->a_compress_rate > p->n_dim ||
         p->a_dim / (2 * p->a_compress_rate) * p->a_compress_e_rate > p->e_dim)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "the compressed widths are larger than n_dim or e_dim");
    }
    return DGNN_OK;
}

static int dpa3_check_cutoffs(const struct dgnn_repflow_params *p, const struct dgnn_value *where,
                              struct dgnn_error *error)
{
    const int64_t limit = 1 << 24;
    if (!(p->e_rcut > 0 && p->e_rcut_smth > 0 && p->e_rcut_smth < p->e_rcut && p->e_rcut < 1e3)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "0 < e_rcut_smth < e_rcut < 1000 does not hold");
    }
    if (!(p->a_rcut > 0 && p->a_rcut_smth > 0 && p->a_rcut_smth < p->a_rcut && p->a_rcut <= p->e_rcut)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "0 < a_rcut_smth < a_rcut <= e_rcut does not hold");
    }
    if (p->e_sel < 1 || p->a_sel < 1 || p->a_sel > p->e_sel || p->e_sel > limit) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "1 <= a_sel <= e_sel does not hold");
    }
    if (!(p->sel_reduce_factor > 0)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "sel_reduce_factor must be positive");
    }
    return DGNN_OK;
}

static int dpa3_check_modes(struct dgnn_dpa3_settings *s, const struct dgnn_value *where,
                            struct dgnn_error *error)
{
    static const char *const styles[] = {"res_avg", "res_incr", "res_residual"};
    const struct dgnn_repflow_params *p = &s->repflow;
    int found = 0;
    for (int style = 0; style < 3; style++) {
        if (p->update_style && !strcmp(p->update_style, styles[style])) {
            s->style = (enum dgnn_dpa3_style)style;
            found = 1;
        }
    }
    if (!found) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "update_style must be res_avg, res_incr or res_residual");
    }
    if (p->use_dynamic_sel && !p->smooth_edge_update) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where, "use_dynamic_sel needs smooth_edge_update");
    }
    if (p->sequential_update && (s->style != DGNN_DPA3_RESIDUAL || !p->update_angle)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, where,
                                 "sequential_update needs update_angle and update_style res_residual");
    }
    return DGNN_OK;
}

static int dpa3_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              struct dgnn_dpa3_settings *s, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_params_load(value, dpa3_params, DPA3_NPARAM, &s->own, error));
    DGNN_TRY(dgnn_params_load(&s->own.repflow_args, repflow_params, REPFLOW_NPARAM, &s->repflow, error));
    DGNN_TRY(dpa3_check_widths(&s->repflow, &s->own.repflow_args, error));
    DGNN_TRY(dpa3_check_cutoffs(&s->repflow, &s->own.repflow_args, error));
    DGNN_TRY(dpa3_check_modes(s, &s->own.repflow_args, error));
    if (s->own.ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "ntypes is not the length of the model's type_map");
    }
    if (!(s->own.env_protection >= 0)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "env_protection is negative");
    }
    DGNN_TRY(dgnn_params_activation(s->own.activation_function, value, &s->activation, error));
    dgnn_activation_as_descriptor(&s->activation);
    DGNN_TRY(dgnn_params_precision(s->own.precision, value, &s->dtype, error));
    if (context->dtype != DGNN_DTYPE_ARCHIVE) {
        s->dtype = context->dtype;
    }
    s->wants_rotation = context->wants_rotation;
    s->memory = context->memory;
    s->threads = context->threads;
    s->cpu = context->cpu;
    s->device = context->device;
    s->ntypes = context->ntypes;
    s->sel[0] = s->repflow.e_sel;
    s->node_width = s->repflow.n_dim;
    s->edge_width = s->repflow.e_dim;
    s->angle_sel = s->repflow.a_sel;
    s->angle = (struct dgnn_angle_limit){.count = s->repflow.a_sel, .cutoff = s->repflow.a_rcut};
    s->has_angles = s->repflow.update_angle;
    s->is_sequential = s->repflow.sequential_update;
    int32_t any;
    return dgnn_params_pairs(&s->own.exclude_types, s->ntypes, &s->excluded, &any, error);
}

int dgnn_dpa3_layer(const struct dgnn_value *value, const struct dgnn_dpa3_settings *s,
                    struct dgnn_repflow_layer_params *layer, struct dgnn_error *error)
{
    const struct dgnn_params_filled own = {repflow_layer_params, REPFLOW_LAYER_NPARAM, layer};
    const struct dgnn_params_filled block = {repflow_params, REPFLOW_NPARAM, &s->repflow};
    const struct dgnn_params_filled descriptor = {dpa3_params, DPA3_NPARAM, &s->own};
    int64_t sel;
    DGNN_TRY(dgnn_params_load(value, repflow_layer_params, REPFLOW_LAYER_NPARAM, layer, error));
    DGNN_TRY(dgnn_params_agree(value, &own, &block, NULL, error));
    DGNN_TRY(dgnn_params_agree(value, &own, &descriptor, NULL, error));
    DGNN_TRY(dgnn_environment_sel(&layer->e_sel, 1, &sel, error));
    return sel == s->repflow.e_sel
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &layer->e_sel, "contradicts e_sel of the block");
}

/* ---------------------------------------------------------------- statistics and embeddings */

/* One row of statistics per type, from ntypes x nnei x 4: deepmd-kit writes the same row in every slot. */
static int dpa3_load_statistic(const struct dgnn_dpa3_settings *s, const char *name, double **out,
                               struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(&s->own.repflow_variable, "@variables");
    struct dgnn_value member = dgnn_value_member(&variables, name);
    struct dgnn_tensor tensor;
    const int64_t shape[3] = {s->ntypes, s->repflow.e_sel, 4};
    DGNN_TRY(dgnn_value_tensor_shaped(&member, 3, shape, &tensor, error));
    int64_t size = dgnn_tensor_size(&tensor), row = s->repflow.e_sel * 4;
    double *all = dgnn_alloc(size, sizeof(double));
    *out = dgnn_alloc(4 * s->ntypes, sizeof(double));
    if (!all || !*out) {
        dgnn_alloc_free(all);
        return dgnn_status_no_memory(error, "statistics", size * 8);
    }
    dgnn_tensor_to_double(&tensor, all);
    int same = 1;
    for (int64_t t = 0; t < s->ntypes; t++) {
        memcpy(*out + 4 * t, all + t * row, 4 * sizeof(double));
        for (int64_t i = 4; i < row; i++) {
            same &= all[t * row + i] == all[t * row + i % 4];
        }
    }
    dgnn_alloc_free(all);
    return same ? DGNN_OK
                : dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &member,
                                    "statistics that differ between neighbour slots are not supported");
}

static int dpa3_load_statistics(struct dgnn_dpa3_settings *s, struct dgnn_error *error)
{
    DGNN_TRY(dpa3_load_statistic(s, "davg", &s->average, error));
    DGNN_TRY(dpa3_load_statistic(s, "dstd", &s->deviation, error));
    for (int64_t i = 0; i < 4 * s->ntypes; i++) {
        if (!(s->deviation[i] > 0)) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &s->own.repflow_variable,
                                     "a standard deviation (dstd) is not positive");
        }
    }
    return DGNN_OK;
}

static int dpa3_load_charge_spin(struct dgnn_dpa3_settings *s, struct dgnn_error *error)
{
    struct dgnn_value preset = s->own.default_chg_spin;
    int64_t count = 0, width = s->repflow.n_dim;
    if (!s->own.add_chg_spin_ebd) {
        DGNN_TRY(dgnn_params_unused(&s->own.chg_embedding, "add_chg_spin_ebd is false", error));
        DGNN_TRY(dgnn_params_unused(&s->own.spin_embedding, "add_chg_spin_ebd is false", error));
        DGNN_TRY(dgnn_params_unused(&s->own.mix_cs_mlp, "add_chg_spin_ebd is false", error));
        return dgnn_params_unused(&s->own.default_chg_spin, "add_chg_spin_ebd is false", error);
    }
    DGNN_TRY(
        dgnn_typeembed_load_f64(&s->own.chg_embedding, DPA3_NCHARGE, NULL, width, &s->charge_table, error));
    DGNN_TRY(dgnn_typeembed_load_f64(&s->own.spin_embedding, DPA3_NSPIN, NULL, width, &s->spin_table, error));
    if (dgnn_value_kind(&preset) == DGNN_VALUE_ABSENT || dgnn_value_kind(&preset) == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(&preset, &count, error));
    if (count != 2) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &preset, "expected two numbers, charge and spin");
    }
    for (int64_t i = 0; i < 2; i++) {
        struct dgnn_value item = dgnn_value_item(&preset, i);
        DGNN_TRY(dgnn_value_double(&item, &s->default_charge_spin[i], error));
    }
    s->has_default_charge_spin = 1;
    return DGNN_OK;
}

/* ---------------------------------------------------------------- the kind */

static void dpa3_free(struct dgnn_descriptor *descriptor)
{
    struct dpa3 *d = (struct dpa3 *)descriptor;
    dgnn_backend_free(&d->staged);
    dgnn_alloc_free(d->settings.excluded);
    dgnn_alloc_free(d->settings.average);
    dgnn_alloc_free(d->settings.deviation);
    dgnn_alloc_free(d->settings.type_table);
    dgnn_alloc_free(d->settings.charge_table);
    dgnn_alloc_free(d->settings.spin_table);
    dgnn_alloc_free(d);
}

static const struct dgnn_backend *dpa3_backend(const struct dgnn_dpa3_settings *s)
{
    if (s->dtype == DGNN_DTYPE_FLOAT32) {
        return s->device ? &dgnn_repflow_cuda_f32 : &dgnn_repflow_cpu_f32;
    }
    return s->device ? &dgnn_repflow_cuda_f64 : &dgnn_repflow_cpu_f64;
}

static int dpa3_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                          struct dpa3 *d, struct dgnn_error *error)
{
    struct dgnn_dpa3_settings *s = &d->settings;
    DGNN_TRY(dpa3_load_settings(value, context, s, error));
    DGNN_TRY(dpa3_load_statistics(s, error));
    DGNN_TRY(
        dgnn_environment_same(&s->own.repflow_variable, s->repflow.e_rcut, s->repflow.e_rcut_smth, error));
    DGNN_TRY(dgnn_typeembed_same(&s->own.type_embedding, s->own.use_econf_tebd, error));
    DGNN_TRY(dgnn_typeembed_load_f64(&s->own.type_embedding, s->ntypes, context->type_map, s->repflow.n_dim,
                                     &s->type_table, error));
    DGNN_TRY(dpa3_load_charge_spin(s, error));
    return dgnn_backend_load(&d->staged, dpa3_backend(s), error);
}

static int dpa3_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    struct dpa3 *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->staged = (struct dgnn_staged){.base = {&dgnn_dpa3},
                                     .driver = &dgnn_driver_repflow,
                                     .settings = &d->settings,
                                     .threads = context->threads};
    int status = dpa3_load_into(value, context, d, error);
    if (status) {
        dpa3_free((struct dgnn_descriptor *)d);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)d;
    return DGNN_OK;
}

static void dpa3_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct dgnn_dpa3_settings *s = &((const struct dpa3 *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->repflow.e_rcut,
        .mixed_types = 1,
        .nsel = 1,
        .sel = s->sel,
        .nangle = s->repflow.update_angle ? 1 : 0,
        .angle = &s->angle,
        .dim_out = s->repflow.n_dim * (s->own.concat_output_tebd ? 2 : 1),
        .dim_rotation = s->edge_width,
        .parameters = s->parameters,
        .dtype = s->dtype,
        .dim_charge_spin = s->own.add_chg_spin_ebd ? 2 : 0,
        .default_charge_spin = s->has_default_charge_spin ? s->default_charge_spin : NULL,
        .has_message_passing = 1,
        .sums_rows = s->device != NULL,
        .has_message_passing_across_ranks = !s->own.use_loc_mapping,
    };
}

static int dpa3_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *s = &((const struct dpa3 *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(dpa3_params, DPA3_NPARAM, &s->own, text, error));
    DGNN_TRY(dgnn_text_add(text, error, ", \"repflow\": {"));
    DGNN_TRY(dgnn_params_describe(repflow_params, REPFLOW_NPARAM, &s->repflow, text, error));
    return dgnn_text_add(text, error, "}");
}

static double dpa3_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct dpa3 *d = (const struct dpa3 *)descriptor;
    const struct dgnn_dpa3_settings *s = &d->settings;
    int64_t nangle_edge =
        s->has_angles ? dgnn_descriptor_within(n < s->angle_sel ? n : s->angle_sel, distance, s->angle.cutoff)
                      : 0;
    return d->staged.backend->cost(d->staged.weights, n, nangle_edge);
}

const struct dgnn_descriptor_kind dgnn_dpa3 = {
    .type = "dpa3",
    .load = dpa3_load,
    .free = dpa3_free,
    .properties = dpa3_properties,
    .describe = dpa3_describe,
    .cost = dpa3_cost,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
    .runs_on_device = 1,
};
