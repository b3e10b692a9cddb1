/* Loading and describing a model. */
#include "model/model.h"

#include <string.h>

#include "base/parallel.h"
#include "base/text.h"
#include "model/metadata.h"
#include "model/spinmodel.h"
#include "net/params/params.h"

#define MODEL_DEFAULT_SKIN 0.5

/* ---------------------------------------------------------------- loading */

static int model_set_options(struct dgnn_model *m, const struct dgnn_load_options *o, struct dgnn_error *error)
{
    const char *device = o ? o->device : NULL;
    dgnn_parallel_watch_forks();
    DGNN_TRY(dgnn_cpu_best(&m->cpu, error));
    m->skin = o && o->skin >= 0 ? o->skin : MODEL_DEFAULT_SKIN;
    m->memory = o ? o->memory : DGNN_MEMORY_FAST;
    m->threads = o && o->threads > 0 ? o->threads : dgnn_cpu_threads();
    m->radial = o && o->size >= offsetof(struct dgnn_load_options, radial) + sizeof(o->radial) ? o->radial
                                                                                              : DGNN_RADIAL_EXACT;
    if (m->radial != DGNN_RADIAL_EXACT && m->radial != DGNN_RADIAL_TABLE) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "load options: radial %d; expected 0 (exact) or 1 (table)",
                               m->radial);
    }
    if (o && (!(m->skin < 100) || o->memory < 0 || o->memory > DGNN_MEMORY_SMALL || o->dtype < 0 ||
              o->dtype > DGNN_DTYPE_FLOAT64 || o->semantics < 0 || o->semantics > DGNN_SEMANTICS_GRAPH ||
              o->threads < 0 || o->threads > 1024)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "load options: dtype %d, memory %d, semantics %d, threads %d, skin %g: one is out of range",
                               o->dtype, o->memory, o->semantics, o->threads, o->skin);
    }
    if (device && strcmp(device, "cpu")) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "device '%s': no backend for it is built into this dgnn; built in: cpu", device);
    }
    return DGNN_OK;
}

/* The object whose parts are evaluated for nodes: the model itself, or a spin model's backbone, which has a type for
 * each kind of virtual atom too. */
static int model_load_types(struct dgnn_model *m, const struct dgnn_value *model, const struct dgnn_value *network,
                            struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(network, "type_map");
    double *scale;
    DGNN_TRY(dgnn_params_type_map(&list, &m->node_types, &m->type_map, error));
    m->ntypes = m->node_types;
    if (dgnn_spinmodel_is(model)) {
        DGNN_TRY(dgnn_spinmodel_load(model, m->node_types, &scale, error));
        m->ntypes = m->node_types / 2;
        m->is_spin = m->has_virtual = 1;
        m->spin = (struct dgnn_magnetic_scheme){.ntypes = m->ntypes, .scale = scale};
    } else if (dgnn_spinmodel_is_native(model)) {
        DGNN_TRY(dgnn_spinmodel_check_native(model, m->ntypes, error));
        scale = dgnn_alloc_zeroed(m->ntypes, sizeof(*scale));
        if (!scale) {
            return dgnn_status_no_memory(error, "scales of spins", m->ntypes * 8);
        }
        m->is_spin = 1;
        m->spin = (struct dgnn_magnetic_scheme){.is_native = 1, .ntypes = m->ntypes, .scale = scale};
    }
    return DGNN_OK;
}

static int model_set_semantics(struct dgnn_model *m, int32_t wanted, int32_t archived, struct dgnn_error *error)
{
    m->dense = (wanted == DGNN_SEMANTICS_ARCHIVE ? archived : wanted) != DGNN_SEMANTICS_GRAPH;
    m->semantics_from = wanted != DGNN_SEMANTICS_ARCHIVE ? "load option"
                        : m->archive.metadata          ? "lower_input_kind of the archive"
                                                       : "default: the archive has no metadata";
    if (!m->dense && (m->has_virtual || !m->properties.descriptor.has_graph_form)) {
        return dgnn_status_set(error, wanted == DGNN_SEMANTICS_GRAPH ? DGNN_ERROR_INPUT : DGNN_ERROR_UNSUPPORTED,
                               "semantics 'graph': descriptor '%s'%s has the dense form only",
                               m->properties.descriptor_type, m->has_virtual ? " with virtual atoms" : "");
    }
    return DGNN_OK;
}

static int model_describe(struct dgnn_model *m, struct dgnn_error *error);

static int model_load_archive(struct dgnn_model *m, const struct dgnn_load_options *options, struct dgnn_error *error)
{
    struct dgnn_value root = dgnn_tree_root(m->archive.model);
    struct dgnn_value model = dgnn_value_member(&root, "model");
    DGNN_TRY(dgnn_value_object(&model, error));
    struct dgnn_value network = dgnn_spinmodel_is(&model) ? dgnn_value_member(&model, "backbone_model") : model;
    DGNN_TRY(model_load_types(m, &model, &network, error));
    struct dgnn_load_context context = {.dtype = options ? options->dtype : DGNN_DTYPE_ARCHIVE,
                                        .memory = m->memory,
                                        .ntypes = m->node_types,
                                        .type_map = m->type_map,
                                        .threads = m->threads,
                                        .cpu = m->cpu,
                                        .radial = m->radial};
    DGNN_TRY(dgnn_linear_load(&network, &context, &m->linear, error));
    dgnn_linear_properties(m->linear, &m->properties);
    int32_t archived = DGNN_SEMANTICS_DENSE;
    struct dgnn_metadata_facts facts = {.ntypes = m->ntypes,
                                        .type_map = m->type_map,
                                        .is_spin = m->is_spin,
                                        .node_types = m->node_types,
                                        .network = &network,
                                        .properties = &m->properties};
    DGNN_TRY(dgnn_metadata_check(m->archive.metadata, &facts, &archived, error));
    DGNN_TRY(model_set_semantics(m, options ? options->semantics : DGNN_SEMANTICS_ARCHIVE, archived, error));
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

int dgnn_model_load(const char *path, const struct dgnn_load_options *options, struct dgnn_model **model,
                    struct dgnn_error *error)
{
    struct dgnn_archive archive = {0};
    if (!path || !model) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_load: path and model must not be NULL");
    }
    DGNN_TRY(dgnn_archive_read(path, &archive, error));
    return model_load(&archive, options, model, error);
}

int dgnn_model_load_memory(const char *name, const void *data, size_t length,
                           const struct dgnn_load_options *options, struct dgnn_model **model,
                           struct dgnn_error *error)
{
    struct dgnn_archive archive = {0};
    DGNN_TRY(dgnn_archive_read_memory(name, data, length, &archive, error));
    return model_load(&archive, options, model, error);
}

int dgnn_model_load_tree(const char *name, const char *json, size_t json_length, const struct dgnn_array *arrays,
                         size_t narrays, const struct dgnn_load_options *options, struct dgnn_model **model,
                         struct dgnn_error *error)
{
    struct dgnn_archive archive = {.format = "tree"};
    DGNN_TRY(dgnn_tree_parse(name, json, json_length, arrays, narrays, &archive.model, error));
    dgnn_archive_set_digest(&archive);
    return model_load(&archive, options, model, error);
}

void dgnn_model_free(struct dgnn_model *m)
{
    if (!m) {
        return;
    }
    dgnn_linear_free(m->linear);
    dgnn_alloc_free((void *)m->spin.scale);
    dgnn_alloc_free(m->type_map);
    dgnn_alloc_free(m->description);
    dgnn_serial_free(&m->serial);
    dgnn_magnetic_free(&m->magnetic);
    dgnn_domain_free(&m->domain);
    dgnn_ghosted_free(&m->ghosted);
    dgnn_nlist_free(&m->list);
    dgnn_graph_builder_free(&m->builder);
    dgnn_order_free(&m->order);
    struct dgnn_buffer *all[] = {&m->energy,      &m->forces,        &m->forces_mag,
                                 &m->atom_virial, &m->edge_gradient, &m->ordered_rows,
                                 &m->spin_gradient};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        dgnn_buffer_free(all[i]);
    }
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
    return dgnn_text_add(t, error,
                         "\"archive\": {\"format\": \"%s\", \"has_metadata\": %s, \"has_compiled_members\": %s, "
                         "\"has_comm_artifact\": %s, \"nested_comm_artifact\": %s, \"digest\": \"%016llx%016llx\"}, ",
                         m->archive.format, m->archive.metadata ? "true" : "false",
                         m->archive.has_compiled ? "true" : "false",
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
        return dgnn_text_add(t, error, "\"is_spin\": %s, \"virtual_scale\": null, ", m->is_spin ? "true" : "false");
    }
    DGNN_TRY(dgnn_text_add(t, error, "\"is_spin\": true, \"virtual_scale\": ["));
    for (int32_t k = 0; k < m->ntypes; k++) {
        DGNN_TRY(dgnn_text_add(t, error, "%s%.17g", k ? ", " : "", m->spin.scale[k]));
    }
    return dgnn_text_add(t, error, "], ");
}

static int model_describe_facts(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    const char *yes = "true", *no = "false";
    DGNN_TRY(dgnn_text_add(t, error, "\"cutoff\": %.17g, \"dtype\": \"%s\", \"semantics\": \"%s\", "
                           "\"semantics_from\": \"%s\", \"has_graph_form\": %s, ",
                           d->cutoff, model_dtype_name(d->dtype), m->dense ? "dense" : "graph", m->semantics_from,
                           d->has_graph_form && !m->has_virtual ? yes : no));
    DGNN_TRY(dgnn_text_add(t, error, "\"has_message_passing\": %s, \"has_message_passing_across_ranks\": %s, ",
                           d->has_message_passing ? yes : no, d->has_message_passing_across_ranks ? yes : no));
    DGNN_TRY(model_describe_spin(m, t, error));
    DGNN_TRY(dgnn_text_add(t, error, "\"dim_fparam\": %lld, \"dim_aparam\": %lld, ",
                           (long long)f->dim_fparam, (long long)f->dim_aparam));
    DGNN_TRY(dgnn_text_add(t, error, "\"dim_charge_spin\": %d, \"has_default_fparam\": %s, "
                           "\"has_default_charge_spin\": %s, ",
                           d->dim_charge_spin, f->default_fparam ? yes : no, d->default_charge_spin ? yes : no));
    DGNN_TRY(dgnn_text_add(t, error, "\"sel\": ["));
    for (int32_t k = 0; k < d->nsel; k++) {
        DGNN_TRY(dgnn_text_add(t, error, "%s%lld", k ? ", " : "", (long long)d->sel[k]));
    }
    return dgnn_text_add(t, error, "], \"parameters\": %lld, \"instruction_set\": \"%s\", \"threads\": %d, "
                         "\"memory\": \"%s\", \"skin\": %g, ",
                         (long long)(d->parameters + f->parameters), dgnn_cpu_name(m->cpu), m->threads,
                         m->memory == DGNN_MEMORY_FAST ? "fast" : "small", m->skin);
}

static int model_describe_notes(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    const char *first = m->properties.descriptor.uses_first_type && m->dense
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
    DGNN_TRY(model_describe_facts(m, t, error));
    DGNN_TRY(model_describe_archive(m, t, error));
    DGNN_TRY(dgnn_linear_describe(m->linear, t, error));
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
