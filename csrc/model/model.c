/* Loading and describing a model. */
#include "model/model.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/sized.h"
#include "base/text.h"
#include "convert/convert.h"
#include "convert/elements.h"
#include "convert/heads.h"
#include "model/metadata.h"
#include "model/pool.h"
#include "model/spin_model.h"
#include "net/params/params.h"

#define MODEL_DEFAULT_SKIN 0.5
#define MODEL_MOST_SKIN    100.0 /* Angstrom */
#define MODEL_MOST_THREADS 1024

struct model_file_params {
#include "net/params/params_fields.h"
#include "net/params/objects/file.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param model_file_rows[] = {
#define DGNN_PARAM_STRUCT struct model_file_params
#include "net/params/params_rows.h"
#include "net/params/objects/file.def"
#include "net/params/params_end.h"
};

/* ---------------------------------------------------------------- loading */

/* Of one that is a number: its name, and what it may be. */
struct model_option {
    const char *name;
    double value, least, most;
};

/* Callers of before have shorter options. */
static int32_t model_radial(const struct dgnn_load_options *o)
{
    return o && o->size >= offsetof(struct dgnn_load_options, radial) + sizeof(o->radial) ? o->radial
                                                                                          : DGNN_RADIAL_EXACT;
}

static int32_t model_compressed(const struct dgnn_load_options *o)
{
    return o && o->size >= offsetof(struct dgnn_load_options, compressed) + sizeof(o->compressed)
               ? o->compressed
               : DGNN_COMPRESSED_TABLE;
}

static int model_check_options(const struct dgnn_load_options *o, struct dgnn_error *error)
{
    const struct model_option options[] = {
        {"dtype", o->dtype, DGNN_DTYPE_ARCHIVE, DGNN_DTYPE_FLOAT64},
        {"memory", o->memory, DGNN_MEMORY_FAST, DGNN_MEMORY_SMALL},
        {"semantics", o->semantics, DGNN_SEMANTICS_ARCHIVE, DGNN_SEMANTICS_GRAPH},
        {"threads", o->threads, 0, MODEL_MOST_THREADS},
        {"skin", o->skin, -INFINITY, MODEL_MOST_SKIN},
        {"radial", model_radial(o), DGNN_RADIAL_EXACT, DGNN_RADIAL_TABLE},
        {"compressed", model_compressed(o), DGNN_COMPRESSED_TABLE, DGNN_COMPRESSED_COMPARE},
    };
    for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
        const struct model_option *option = &options[k];
        if (!(option->value >= option->least && option->value <= option->most)) { /* also true for NaN */
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "%s: found %g; expected %g to %g", option->name,
                                   option->value, option->least < 0 ? 0.0 : option->least, option->most);
        }
    }
    return DGNN_OK;
}

/* "auto" takes a device where there is one that dgnn can use. */
static int model_open_device(struct dgnn_model *m, const char *text, struct dgnn_error *error)
{
    int32_t ordinal;
    struct dgnn_error none;
    DGNN_TRY(dgnn_device_parse(text, &m->device_kind, &ordinal, error));
    if (m->device_kind == DGNN_DEVICE_CPU) {
        return DGNN_OK;
    }
    int is_auto = m->device_kind == DGNN_DEVICE_AUTO;
    int status = dgnn_device_open(ordinal, &m->device, is_auto ? &none : error);
    return is_auto && status == DGNN_ERROR_UNSUPPORTED ? DGNN_OK : status;
}

static void model_close_device(struct dgnn_model *m)
{
    dgnn_cuda_device_close(m->device);
    m->device = NULL;
}

static int model_set_options(struct dgnn_model *m, const struct dgnn_load_options *o,
                             struct dgnn_error *error)
{
    DGNN_TRY(dgnn_cpu_best(&m->cpu, error));
    m->skin = o->skin >= 0 ? o->skin : MODEL_DEFAULT_SKIN;
    m->memory = o->memory;
    m->threads = o->threads > 0 ? o->threads : dgnn_cpu_threads();
    DGNN_TRY(model_check_options(o, error));
    m->radial = model_radial(o);
    m->compressed = model_compressed(o);
    return model_open_device(m, o->device, error);
}

/* A file of several models: which they are, and what to do. */
static int model_has_heads(const struct dgnn_value *heads, struct dgnn_error *error)
{
    struct dgnn_text names = {0};
    int64_t count = dgnn_value_count(heads), shown = count < 8 ? count : 8;
    int status = DGNN_OK;
    for (int64_t k = 0; !status && k < shown; k++) {
        struct dgnn_value head = dgnn_value_item(heads, k);
        status = dgnn_text_add(&names, error, "%s%.64s", k ? ", " : "", head.name);
    }
    if (!status) {
        status = dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, heads,
                                   "a multi-task file with %lld models (%s%s), of which one is to be frozen: "
                                   "'dp --pt-expt freeze --head NAME -o model.pt2'",
                                   (long long)count, names.data ? names.data : "none",
                                   shown < count ? ", ..." : "");
    }
    dgnn_text_free(&names);
    return status;
}

/* The object whose parts are evaluated for nodes: the model itself, or a spin model's backbone, which has a
 * type for each kind of virtual atom too. */
static int model_load_types(struct dgnn_model *m, const struct dgnn_value *model,
                            const struct dgnn_value *network, struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(network, "type_map");
    struct dgnn_value heads = dgnn_value_member(network, "model_dict");
    double *scale;
    if (dgnn_value_kind(&heads) == DGNN_VALUE_OBJECT && dgnn_value_kind(&list) == DGNN_VALUE_ABSENT) {
        return model_has_heads(&heads, error);
    }
    DGNN_TRY(dgnn_params_type_map(&list, &m->node_types, &m->type_map, error));
    m->ntypes = m->node_types;
    if (dgnn_spin_model_is(model)) {
        DGNN_TRY(dgnn_spin_model_load(model, m->node_types, &scale, error));
        m->ntypes = m->node_types / 2;
        m->is_spin = m->has_virtual = 1;
        m->spin = (struct dgnn_spin_scheme){.ntypes = m->ntypes, .scale = scale};
    } else if (dgnn_spin_model_is_native(model)) {
        DGNN_TRY(dgnn_spin_model_check_native(model, m->ntypes, error));
        scale = dgnn_alloc_zeroed(m->ntypes, sizeof(*scale));
        if (!scale) {
            return dgnn_status_no_memory(error, "scales of spins", m->ntypes * 8);
        }
        m->is_spin = 1;
        m->spin = (struct dgnn_spin_scheme){.is_native = 1, .ntypes = m->ntypes, .scale = scale};
    }
    return DGNN_OK;
}

static int model_set_semantics(struct dgnn_model *m, int32_t wanted, int32_t archived,
                               struct dgnn_error *error)
{
    m->dense = (wanted == DGNN_SEMANTICS_ARCHIVE ? archived : wanted) != DGNN_SEMANTICS_GRAPH;
    m->semantics_from = wanted != DGNN_SEMANTICS_ARCHIVE ? "load option"
                        : m->archive.metadata            ? "lower_input_kind of the archive"
                                                         : "default: the archive has no metadata";
    if (!m->dense && (m->has_virtual || !m->properties.descriptor.has_graph_form)) {
        return dgnn_status_set(error,
                               wanted == DGNN_SEMANTICS_GRAPH ? DGNN_ERROR_INPUT : DGNN_ERROR_UNSUPPORTED,
                               "semantics 'graph': descriptor '%s'%s has the dense form only",
                               m->properties.descriptor_type, m->has_virtual ? " with virtual atoms" : "");
    }
    return DGNN_OK;
}

static int model_describe(struct dgnn_model *m, struct dgnn_error *error);

/* The parts, on the device that was asked for; with "auto" on the CPU where a part does not run on devices.
 */
static int model_load_sum(struct dgnn_model *m, const struct dgnn_value *network,
                          struct dgnn_load_context *context, struct dgnn_error *error)
{
    context->device = m->device;
    int status = dgnn_model_sum_load(network, context, &m->sum, error);
    if (status == DGNN_ERROR_UNSUPPORTED && m->device && m->device_kind == DGNN_DEVICE_AUTO) {
        model_close_device(m);
        context->device = NULL;
        status = dgnn_model_sum_load(network, context, &m->sum, error);
    }
    return status;
}

static int model_load_archive(struct dgnn_model *m, const struct dgnn_load_options *options,
                              struct dgnn_error *error)
{
    struct dgnn_value root = dgnn_tree_root(m->archive.model);
    struct model_file_params file;
    DGNN_TRY(dgnn_params_load(&root, model_file_rows, sizeof(model_file_rows) / sizeof(model_file_rows[0]),
                              &file, error));
    struct dgnn_value model = file.model;
    DGNN_TRY(dgnn_value_object(&model, error));
    struct dgnn_value network =
        dgnn_spin_model_is(&model) ? dgnn_value_member(&model, "backbone_model") : model;
    DGNN_TRY(model_load_types(m, &model, &network, error));
    struct dgnn_load_context context = {.dtype = options->dtype,
                                        .memory = m->memory,
                                        .ntypes = m->node_types,
                                        .type_map = m->type_map,
                                        .threads = m->threads,
                                        .cpu = m->cpu,
                                        .radial = m->radial,
                                        .compressed = m->compressed};
    DGNN_TRY(model_load_sum(m, &network, &context, error));
    dgnn_model_sum_properties(m->sum, &m->properties);
    if (m->is_spin && m->properties.fitting.output != DGNN_OUTPUT_ENERGY) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "%s: a spin model of type '%s'; dgnn, as deepmd-kit, evaluates energies with spins",
            m->archive.format, dgnn_output_name(m->properties.fitting.output));
    }
    int32_t archived = DGNN_SEMANTICS_DENSE;
    struct dgnn_metadata_facts facts = {.ntypes = m->ntypes,
                                        .type_map = m->type_map,
                                        .is_spin = m->is_spin,
                                        .node_types = m->node_types,
                                        .network = &network,
                                        .properties = &m->properties};
    DGNN_TRY(dgnn_metadata_check(m->archive.metadata, &facts, &archived, error));
    DGNN_TRY(model_set_semantics(m, options->semantics, archived, error));
    if (m->device) {
        snprintf(m->device_text, sizeof(m->device_text), "cuda:%d", dgnn_cuda_device_ordinal(m->device));
    } else {
        snprintf(m->device_text, sizeof(m->device_text), "cpu");
    }
    DGNN_TRY(dgnn_pool_create(m, &m->pool, error));
    return model_describe(m, error);
}

static int model_load(struct dgnn_archive *archive, const struct dgnn_load_options *options,
                      struct dgnn_model **model, struct dgnn_error *error)
{
    struct dgnn_model *m = dgnn_alloc_zeroed(1, sizeof(*m));
    if (!m) {
        dgnn_archive_free(archive);
        return dgnn_status_no_memory(error, "a model", sizeof(*m));
    }
    m->archive = *archive;
    int status = model_set_options(m, options, error);
    status = status ? status : model_load_archive(m, options, error);
    if (status) {
        dgnn_model_free(m);
        return status;
    }
    *model = m;
    return DGNN_OK;
}

/* own: the caller's options as far as they go, and the defaults. */
static int model_take_options(const struct dgnn_load_options *theirs, struct dgnn_load_options *own,
                              struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"load options", sizeof(size_t), sizeof(*own)};
    *own = (struct dgnn_load_options){.size = sizeof(*own), .skin = -1};
    return theirs ? dgnn_sized_read(&kind, theirs, own, error) : DGNN_OK;
}

int dgnn_model_load(const char *path, const struct dgnn_load_options *options, struct dgnn_model **model,
                    struct dgnn_error *error)
{
    struct dgnn_archive archive = {0};
    struct dgnn_load_options own;
    if (!path || !model) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_load: path and model must not be NULL");
    }
    DGNN_TRY(model_take_options(options, &own, error));
    DGNN_TRY(dgnn_convert_open(path, own.head, &archive, error));
    return model_load(&archive, &own, model, error);
}

int dgnn_model_load_memory(const char *name, const void *data, size_t length,
                           const struct dgnn_load_options *options, struct dgnn_model **model,
                           struct dgnn_error *error)
{
    struct dgnn_archive archive = {0};
    struct dgnn_archive_bytes bytes = {.name = name, .data = data, .length = length};
    struct dgnn_load_options own;
    DGNN_TRY(model_take_options(options, &own, error));
    DGNN_TRY(dgnn_convert_open_memory(&bytes, own.head, &archive, error));
    return model_load(&archive, &own, model, error);
}

int dgnn_model_load_tree(const char *name, const char *json, size_t json_length,
                         const struct dgnn_array *arrays, size_t narrays,
                         const struct dgnn_load_options *options, struct dgnn_model **model,
                         struct dgnn_error *error)
{
    struct dgnn_archive archive = {.format = "tree"};
    struct dgnn_load_options own;
    DGNN_TRY(model_take_options(options, &own, error));
    if (own.head) {
        return dgnn_heads_none(name, own.head, error);
    }
    DGNN_TRY(dgnn_tree_parse(name, json, json_length, &(struct dgnn_tree_arrays){arrays, narrays},
                             &archive.model, error));
    dgnn_archive_set_digest(&archive);
    return model_load(&archive, &own, model, error);
}

static int model_take_heads(int status, struct dgnn_text *text, char **json)
{
    *json = status ? NULL : text->data;
    return status;
}

int dgnn_heads(const char *path, char **json, struct dgnn_error *error)
{
    struct dgnn_text text = {0};
    if (!path || !json) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_heads: path and json must not be NULL");
    }
    return model_take_heads(dgnn_convert_heads(path, &text, error), &text, json);
}

int dgnn_heads_memory(const char *name, const void *data, size_t length, char **json,
                      struct dgnn_error *error)
{
    struct dgnn_text text = {0};
    struct dgnn_archive_bytes bytes = {.name = name, .data = data, .length = length};
    if (!name || !json) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_heads_memory: name and json must not be NULL");
    }
    return model_take_heads(dgnn_convert_heads_memory(&bytes, &text, error), &text, json);
}

void dgnn_heads_free(char *json)
{
    dgnn_alloc_free(json);
}

void dgnn_model_free(struct dgnn_model *m)
{
    if (!m) {
        return;
    }
    dgnn_pool_free(m->pool);
    dgnn_model_sum_free(m->sum);
    model_close_device(m);
    dgnn_alloc_free((void *)m->spin.scale);
    dgnn_alloc_free(m->type_map);
    dgnn_alloc_free(m->description);
    dgnn_archive_free(&m->archive);
    dgnn_alloc_free(m);
}

/* ---------------------------------------------------------------- describing */

static const char *model_dtype_name(int32_t dtype)
{
    return dtype == DGNN_DTYPE_FLOAT32 ? "float32" : "float64";
}

static int model_describe_archive(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    return dgnn_text_add(
        t, error,
        "\"archive\": {\"format\": \"%s\", \"has_metadata\": %s, \"has_compiled_members\": %s, "
        "\"has_comm_artifact\": %s, \"nested_comm_artifact\": %s, \"digest\": \"%016llx%016llx\"}, ",
        m->archive.format, m->archive.metadata ? "true" : "false", m->archive.has_compiled ? "true" : "false",
        dgnn_metadata_flag(m->archive.metadata, "has_comm_artifact") ? "true" : "false",
        m->archive.has_nested ? "true" : "false", (unsigned long long)m->archive.digest[0],
        (unsigned long long)m->archive.digest[1]);
}

static int model_describe_types(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(t, error, "\"type_map\": ["));
    for (int32_t i = 0; i < m->ntypes; i++) {
        DGNN_TRY(dgnn_text_add(t, error, i ? ", " : ""));
        DGNN_TRY(dgnn_text_add_quoted(t, m->type_map[i], error));
    }
    return dgnn_text_add(t, error, "], ");
}

/* Null in a model without virtual atoms. */
static int model_describe_spin(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    if (!m->has_virtual) {
        return dgnn_text_add(t, error, "\"is_spin\": %s, \"virtual_scale\": null, ",
                             m->is_spin ? "true" : "false");
    }
    DGNN_TRY(dgnn_text_add(t, error, "\"is_spin\": true, \"virtual_scale\": ["));
    for (int32_t k = 0; k < m->ntypes; k++) {
        DGNN_TRY(dgnn_text_add(t, error, "%s%.17g", k ? ", " : "", m->spin.scale[k]));
    }
    return dgnn_text_add(t, error, "], ");
}

static int model_describe_output(const struct dgnn_fitting_properties *f, struct dgnn_text *t,
                                 struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(t, error, "\"output\": \"%s\", \"output_name\": ", dgnn_output_name(f->output)));
    DGNN_TRY(dgnn_text_add_quoted(t, f->name, error));
    return dgnn_text_add(t, error, ", \"output_width\": %lld, \"output_is_mean\": %s, ", (long long)f->width,
                         f->is_mean ? "true" : "false");
}

/* "cpu" or "cuda:N", with the device's own name. */
static int model_describe_device(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(t, error, "\"device\": \"%s\", \"device_name\": ", m->device_text));
    if (!m->device) {
        return dgnn_text_add(t, error, "null, ");
    }
    DGNN_TRY(dgnn_text_add_quoted(t, dgnn_cuda_device_name(m->device), error));
    return dgnn_text_add(t, error, ", ");
}

static int model_describe_facts(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    const char *yes = "true", *no = "false";
    DGNN_TRY(dgnn_text_add(t, error,
                           "\"cutoff\": %.17g, \"dtype\": \"%s\", \"semantics\": \"%s\", "
                           "\"semantics_from\": \"%s\", \"has_graph_form\": %s, ",
                           d->cutoff, model_dtype_name(d->dtype), m->dense ? "dense" : "graph",
                           m->semantics_from, d->has_graph_form && !m->has_virtual ? yes : no));
    DGNN_TRY(
        dgnn_text_add(t, error, "\"has_message_passing\": %s, \"has_message_passing_across_ranks\": %s, ",
                      d->has_message_passing ? yes : no, d->has_message_passing_across_ranks ? yes : no));
    DGNN_TRY(model_describe_spin(m, t, error));
    DGNN_TRY(model_describe_device(m, t, error));
    DGNN_TRY(model_describe_output(f, t, error));
    DGNN_TRY(dgnn_text_add(t, error, "\"dim_fparam\": %lld, \"dim_aparam\": %lld, ", (long long)f->dim_fparam,
                           (long long)f->dim_aparam));
    DGNN_TRY(dgnn_text_add(t, error, "\"dim_descriptor\": %lld, \"dim_last_layer\": %lld, ",
                           (long long)m->properties.descriptor.dim_out, (long long)f->dim_last_layer));
    DGNN_TRY(dgnn_text_add(t, error,
                           "\"dim_charge_spin\": %d, \"has_default_fparam\": %s, "
                           "\"has_default_charge_spin\": %s, ",
                           d->dim_charge_spin, f->default_fparam ? yes : no,
                           d->default_charge_spin ? yes : no));
    DGNN_TRY(dgnn_text_add(t, error, "\"sel\": ["));
    for (int32_t k = 0; k < d->nsel; k++) {
        DGNN_TRY(dgnn_text_add(t, error, "%s%lld", k ? ", " : "", (long long)d->sel[k]));
    }
    return dgnn_text_add(t, error,
                         "], \"parameters\": %lld, \"instruction_set\": \"%s\", \"threads\": %d, "
                         "\"memory\": \"%s\", \"skin\": %g, ",
                         (long long)(d->parameters + f->parameters), dgnn_cpu_name(m->cpu), m->threads,
                         m->memory == DGNN_MEMORY_FAST ? "fast" : "small", m->skin);
}

/* Symbols that the model saw in training; NULL where the archive does not say. */
static int model_describe_elements(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    struct dgnn_value root = dgnn_tree_root(m->archive.model);
    struct dgnn_value script = dgnn_value_member(&root, "model_def_script");
    struct dgnn_value model = dgnn_value_member(&root, "model");
    struct dgnn_value backbone = dgnn_value_member(&model, "backbone_model");
    struct dgnn_value *network = m->has_virtual ? &backbone : &model;
    struct dgnn_value variables = dgnn_value_member(network, "@variables");
    struct dgnn_value out_bias = dgnn_value_member(&variables, "out_bias");
    struct dgnn_elements_source source = {
        .info = dgnn_value_member(&script, "info"), .type_map = m->type_map, .ntypes = m->ntypes};
    struct dgnn_tensor bias;
    if (dgnn_value_kind(&out_bias) == DGNN_VALUE_TENSOR) {
        DGNN_TRY(dgnn_value_tensor(&out_bias, &bias, error));
        source.out_bias = &bias;
    }
    DGNN_TRY(dgnn_text_add(t, error, "\"elements\": "));
    DGNN_TRY(dgnn_elements_json(&source, t, error));
    return dgnn_text_add(t, error, ", ");
}

static int model_describe_notes(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    const char *first =
        m->properties.descriptor.uses_first_type && m->dense
            ? "\"Empty neighbour slots carry the type of the frame's first atom, as in deepmd-kit: the "
              "energy depends on which atom comes first.\""
            : "";
    DGNN_TRY(dgnn_text_add(t, error, ", \"notes\": [%s", first));
    if (m->properties.descriptor.note) {
        DGNN_TRY(dgnn_text_add(t, error, "%s", first[0] ? ", " : ""));
        DGNN_TRY(dgnn_text_add_quoted(t, m->properties.descriptor.note, error));
    }
    return dgnn_text_add(t, error, "]}");
}

static int model_describe_all(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(t, error, "{"));
    DGNN_TRY(model_describe_types(m, t, error));
    DGNN_TRY(model_describe_elements(m, t, error));
    DGNN_TRY(model_describe_facts(m, t, error));
    DGNN_TRY(model_describe_archive(m, t, error));
    DGNN_TRY(dgnn_model_sum_describe(m->sum, t, error));
    return model_describe_notes(m, t, error);
}

static int model_describe(struct dgnn_model *m, struct dgnn_error *error)
{
    struct dgnn_text text = {0};
    int status = model_describe_all(m, &text, error);
    if (status) {
        dgnn_text_free(&text);
        return status;
    }
    m->description = text.data;
    return DGNN_OK;
}

const char *dgnn_model_describe(const struct dgnn_model *model)
{
    return model->description;
}
