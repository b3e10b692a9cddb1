/* The model: the only place where io, system, geom, comm and net meet. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/text.h"
#include "geom/gradient.h"
#include "geom/graphbuild.h"
#include "io/archive.h"
#include "model/metadata.h"
#include "net/atomic.h"
#include "system/serial.h"

#define MODEL_DEFAULT_SKIN 0.5

struct dgnn_model {
    atomic_int busy;
    struct dgnn_archive archive; /* values of the loaded parts point into it */
    int32_t ntypes;
    const char **type_map;
    struct dgnn_atomic *atomic;
    struct dgnn_atomic_properties properties;
    int32_t dense;
    int32_t memory;
    int32_t threads;
    enum dgnn_cpu cpu;
    double skin;
    char *description;

    struct dgnn_serial serial;
    struct dgnn_nlist list;
    struct dgnn_graph_builder builder;
    struct dgnn_buffer energy, forces, atom_virial, edge_gradient;
};

/* ---------------------------------------------------------------- loading */

static int model_set_options(struct dgnn_model *m, const struct dgnn_load_options *o, struct dgnn_error *error)
{
    const char *device = o ? o->device : NULL;
    DGNN_TRY(dgnn_cpu_best(&m->cpu, error));
    m->skin = o && o->skin >= 0 ? o->skin : MODEL_DEFAULT_SKIN;
    m->memory = o ? o->memory : DGNN_MEMORY_FAST;
    m->threads = o && o->threads > 0 ? o->threads : dgnn_cpu_threads();
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

static int model_load_type_map(struct dgnn_model *m, const struct dgnn_value *model, struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(model, "type_map");
    int64_t count;
    char path[256];
    DGNN_TRY(dgnn_value_list(&list, &count, error));
    if (count < 1 || count > 4096) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %lld types; expected 1 to 4096",
                               dgnn_value_path(&list, path, sizeof(path)), (long long)count);
    }
    m->type_map = dgnn_alloc_zeroed(count, sizeof(*m->type_map));
    if (!m->type_map) {
        return dgnn_status_no_memory(error, "the type map", count * 8);
    }
    m->ntypes = (int32_t)count;
    for (int64_t t = 0; t < count; t++) {
        struct dgnn_value item = dgnn_value_item(&list, t);
        DGNN_TRY(dgnn_value_string(&item, &m->type_map[t], error));
        for (int64_t s = 0; s < t; s++) {
            if (!strcmp(m->type_map[s], m->type_map[t])) {
                return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: type '%s' is there twice",
                                       dgnn_value_path(&item, path, sizeof(path)), m->type_map[t]);
            }
        }
    }
    return DGNN_OK;
}

/* Only standard models so far; others are named. */
static int model_check_type(const struct dgnn_value *model, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(model, "type");
    const char *type;
    char path[256];
    DGNN_TRY(dgnn_value_string(&member, &type, error));
    if (strcmp(type, "standard")) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED, "%s: models of type '%s' are not supported",
                               dgnn_value_path(&member, path, sizeof(path)), type);
    }
    return DGNN_OK;
}

static int model_set_semantics(struct dgnn_model *m, int32_t wanted, int32_t archived, struct dgnn_error *error)
{
    m->dense = (wanted == DGNN_SEMANTICS_ARCHIVE ? archived : wanted) != DGNN_SEMANTICS_GRAPH;
    if (!m->dense && !m->properties.descriptor.has_graph_form) {
        return dgnn_status_set(error, wanted == DGNN_SEMANTICS_GRAPH ? DGNN_ERROR_INPUT : DGNN_ERROR_UNSUPPORTED,
                               "semantics 'graph': descriptor '%s' has the dense form only",
                               m->properties.descriptor_type);
    }
    return DGNN_OK;
}

static int model_describe(struct dgnn_model *m, struct dgnn_error *error);

static int model_load_archive(struct dgnn_model *m, const struct dgnn_load_options *options, struct dgnn_error *error)
{
    struct dgnn_value root = dgnn_tree_root(m->archive.model);
    struct dgnn_value model = dgnn_value_member(&root, "model");
    DGNN_TRY(dgnn_value_object(&model, error));
    DGNN_TRY(model_check_type(&model, error));
    DGNN_TRY(model_load_type_map(m, &model, error));
    struct dgnn_load_context context = {.dtype = options ? options->dtype : DGNN_DTYPE_ARCHIVE,
                                        .memory = m->memory,
                                        .ntypes = m->ntypes,
                                        .type_map = m->type_map,
                                        .threads = m->threads,
                                        .cpu = m->cpu};
    DGNN_TRY(dgnn_atomic_load(&model, &context, &m->atomic, error));
    dgnn_atomic_properties(m->atomic, &m->properties);
    int32_t archived = DGNN_SEMANTICS_DENSE;
    struct dgnn_metadata_facts facts = {.ntypes = m->ntypes, .type_map = m->type_map, .properties = &m->properties};
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

int dgnn_model_load_tree(const char *name, const char *json, size_t json_length, const struct dgnn_array *arrays,
                         size_t narrays, const struct dgnn_load_options *options, struct dgnn_model **model,
                         struct dgnn_error *error)
{
    struct dgnn_archive archive = {.format = "tree"};
    DGNN_TRY(dgnn_tree_parse(name, json, json_length, arrays, narrays, &archive.model, error));
    return model_load(&archive, options, model, error);
}

void dgnn_model_free(struct dgnn_model *m)
{
    if (!m) {
        return;
    }
    dgnn_atomic_free(m->atomic);
    dgnn_alloc_free(m->type_map);
    dgnn_alloc_free(m->description);
    dgnn_serial_free(&m->serial);
    dgnn_nlist_free(&m->list);
    dgnn_graph_builder_free(&m->builder);
    struct dgnn_buffer *all[] = {&m->energy, &m->forces, &m->atom_virial, &m->edge_gradient};
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
                         "\"has_comm_artifact\": %s, \"nested_comm_artifact\": %s}, ",
                         m->archive.format, m->archive.metadata ? "true" : "false",
                         m->archive.has_compiled ? "true" : "false",
                         dgnn_metadata_flag(m->archive.metadata, "has_comm_artifact") ? "true" : "false",
                         m->archive.has_nested ? "true" : "false");
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

static int model_describe_facts(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    const char *yes = "true", *no = "false";
    DGNN_TRY(dgnn_text_add(t, error, "\"cutoff\": %.17g, \"dtype\": \"%s\", \"semantics\": \"%s\", ", d->cutoff,
                           model_dtype_name(d->dtype), m->dense ? "dense" : "graph"));
    DGNN_TRY(dgnn_text_add(t, error, "\"has_message_passing\": %s, \"has_message_passing_across_ranks\": %s, ",
                           d->has_message_passing ? yes : no, d->has_message_passing_across_ranks ? yes : no));
    DGNN_TRY(dgnn_text_add(t, error, "\"is_spin\": false, \"dim_fparam\": %lld, \"dim_aparam\": %lld, ",
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
    return dgnn_text_add(t, error, ", \"notes\": [%s]}", first);
}

static int model_describe_all(const struct dgnn_model *m, struct dgnn_text *t, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(t, error, "{"));
    DGNN_TRY(model_describe_types(m, t, error));
    DGNN_TRY(model_describe_facts(m, t, error));
    DGNN_TRY(model_describe_archive(m, t, error));
    DGNN_TRY(dgnn_atomic_describe(m->atomic, t, error));
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

/* ---------------------------------------------------------------- computing */

static int model_check_parameters(const struct dgnn_model *m, const struct dgnn_system *s, struct dgnn_error *error)
{
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    if (s->natoms < 0 || s->natoms > INT32_MAX || (s->natoms > 0 && (!s->coords || !s->types))) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "natoms: %lld with coords %s and types %s",
                               (long long)s->natoms, s->coords ? "given" : "NULL", s->types ? "given" : "NULL");
    }
    if (s->spins) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "spins: this model has no spins");
    }
    if (s->fparam ? s->nfparam != f->dim_fparam : f->dim_fparam && !f->default_fparam) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "fparam: found %lld numbers; this model takes %lld%s",
                               (long long)(s->fparam ? s->nfparam : 0), (long long)f->dim_fparam,
                               f->default_fparam ? ", or none for its default" : "");
    }
    if (s->aparam ? s->naparam != f->dim_aparam : f->dim_aparam && s->natoms) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "aparam: found %lld numbers per atom; this model takes %lld",
                               (long long)(s->aparam ? s->naparam : 0), (long long)f->dim_aparam);
    }
    if (s->charge_spin ? !d->dim_charge_spin : d->dim_charge_spin && !d->default_charge_spin) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "charge_spin: %s",
                               s->charge_spin ? "this model takes none" : "this model needs charge and spin");
    }
    return DGNN_OK;
}

static int model_check_finite(const char *name, const double *values, int64_t count, struct dgnn_error *error)
{
    for (int64_t i = 0; values && i < count; i++) {
        if (!isfinite(values[i])) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "%s: element %lld is %g; expected a finite number", name,
                                   (long long)i, values[i]);
        }
    }
    return DGNN_OK;
}

static int model_check_system(const struct dgnn_model *m, const struct dgnn_system *s, struct dgnn_error *error)
{
    DGNN_TRY(model_check_parameters(m, s, error));
    DGNN_TRY(model_check_finite("fparam", s->fparam, s->nfparam, error));
    DGNN_TRY(model_check_finite("aparam", s->aparam, s->aparam ? s->natoms * s->naparam : 0, error));
    return model_check_finite("charge_spin", s->charge_spin, 2, error);
}

static int model_build_graph(struct dgnn_model *m, const struct dgnn_nodes *nodes, struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    struct dgnn_nlist_input list = {
        .ncentre = nodes->nowned,
        .nrow = nodes->nnode,
        .positions = nodes->positions,
        .ids = nodes->ids,
        .label = nodes->labels,
        .may_overlap = nodes->may_overlap,
        .cell = &nodes->cell,
        .cutoff = d->cutoff,
        .skin = m->skin,
        .may_reuse = nodes->may_reuse,
        .threads = m->threads,
    };
    struct dgnn_graph_input input = {
        .list = &m->list, .nnode = nodes->nnode, .type = nodes->types, .first_type = nodes->first_type};
    struct dgnn_graph_rules rules = {
        .dense = m->dense,
        .mixed_types = d->mixed_types,
        .ntypes = m->ntypes,
        .nsel = d->nsel,
        .sel = d->sel,
        .pair_exclude = m->properties.pair_exclude,
    };
    DGNN_TRY(dgnn_nlist_update(&m->list, &list, error));
    return dgnn_graph_build(&m->builder, &input, &rules, error);
}

static int model_reserve(struct dgnn_model *m, const struct dgnn_nodes *nodes, int want_atom_virial,
                         struct dgnn_error *error)
{
    int64_t size = sizeof(double), nedge = dgnn_graph_nedge(&m->builder.graph);
    DGNN_TRY(dgnn_buffer_reserve(&m->energy, nodes->nowned * size, "energies", error));
    DGNN_TRY(dgnn_buffer_reserve(&m->forces, 3 * nodes->nnode * size, "forces", error));
    DGNN_TRY(dgnn_buffer_reserve(&m->atom_virial, want_atom_virial ? 9 * nodes->nnode * size : 0, "atomic virials",
                                 error));
    return dgnn_buffer_reserve(&m->edge_gradient, 3 * nedge * size, "gradients of edges", error);
}

static int model_evaluate(struct dgnn_model *m, const struct dgnn_nodes *nodes, const struct dgnn_system *system,
                          struct dgnn_node_result *out, struct dgnn_error *error)
{
    const struct dgnn_graph *graph = &m->builder.graph;
    struct dgnn_evaluation evaluation = {.graph = graph,
                                         .exchange = nodes->exchange,
                                         .charge_spin = system->charge_spin,
                                         .edge_gradient = m->edge_gradient.data,
                                         .want_gradient = 1};
    struct dgnn_atomic_input input = {.fparam = system->fparam, .aparam = nodes->aparam};
    memset(evaluation.edge_gradient, 0, sizeof(double) * (size_t)(3 * dgnn_graph_nedge(graph)));
    DGNN_TRY(dgnn_atomic_evaluate(m->atomic, &evaluation, &input, out->energy, error));
    dgnn_gradient_forces(graph, evaluation.edge_gradient, nodes->nnode, out->forces);
    dgnn_gradient_virial(graph, evaluation.edge_gradient, out->virial);
    if (out->atom_virial) {
        dgnn_gradient_atom_virial(graph, evaluation.edge_gradient, nodes->nnode, out->atom_virial);
    }
    return DGNN_OK;
}

/* A model that overflowed must not look like one that answered. */
static int model_check_result(const struct dgnn_node_result *r, const struct dgnn_nodes *nodes,
                              struct dgnn_error *error)
{
    for (int64_t i = 0; i < nodes->nowned; i++) {
        const double *f = r->forces + 3 * i;
        if (!isfinite(r->energy[i]) || !isfinite(f[0]) || !isfinite(f[1]) || !isfinite(f[2])) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "coords: energy or force of atom %lld is not finite; atoms far too close together?",
                                   (long long)nodes->labels[i]);
        }
    }
    return DGNN_OK;
}

static int model_compute_serial(struct dgnn_model *m, const struct dgnn_system *system, struct dgnn_result *result,
                                struct dgnn_error *error)
{
    struct dgnn_nodes *nodes = &m->serial.nodes;
    DGNN_TRY(model_check_system(m, system, error));
    DGNN_TRY(dgnn_serial_update(&m->serial, system, m->ntypes, m->properties.fitting.dim_aparam, error));
    DGNN_TRY(model_build_graph(m, nodes, error));
    DGNN_TRY(model_reserve(m, nodes, result->atom_virial != NULL, error));
    struct dgnn_node_result out = {.energy = m->energy.data,
                                   .forces = m->forces.data,
                                   .atom_virial = result->atom_virial ? m->atom_virial.data : NULL};
    DGNN_TRY(model_evaluate(m, nodes, system, &out, error));
    DGNN_TRY(model_check_result(&out, nodes, error));
    dgnn_serial_return(&m->serial, &out, result);
    result->nedges = dgnn_graph_nedge(&m->builder.graph);
    result->ntruncated = m->builder.ntruncated;
    result->nghosts = nodes->nnode - nodes->nowned;
    result->list_reused = m->list.reused;
    return DGNN_OK;
}

int dgnn_model_compute(struct dgnn_model *model, const struct dgnn_system *system, struct dgnn_comm *comm,
                       struct dgnn_result *result, struct dgnn_error *error)
{
    if (!model || !system || !result) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_compute: an argument is NULL");
    }
    if (comm) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED, "comm: not built in");
    }
    if (atomic_exchange(&model->busy, 1)) {
        return dgnn_status_set(error, DGNN_ERROR_BUSY, "the model is computing in another thread");
    }
    int status = model_compute_serial(model, system, result, error);
    atomic_store(&model->busy, 0);
    return status;
}

int dgnn_model_compute_ghosted(struct dgnn_model *model, const struct dgnn_ghosted *system, struct dgnn_comm *comm,
                               struct dgnn_result *result, struct dgnn_error *error)
{
    (void)model, (void)system, (void)comm, (void)result;
    return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED, "compute_ghosted: not built in");
}
