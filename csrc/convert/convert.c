#include "convert/convert.h"

#include "convert/elements.h"
#include "convert/fittings.h"
#include "convert/heads.h"
#include "convert/pair_tables.h"
#include "convert/spin_settings.h"
#include "io/writer.h"

#include <stdio.h>
#include <string.h>

/* How a model of one descriptor and one fitting begins; the rest is the same. */
static const char convert_plain[] = "{'@class': 'Model', 'type': 'standard'";
static const char convert_native[] =
    "{'@class': 'Model', 'type': 'native_spin', 'backbone_type': 'standard', "
    "'spin': {'use_spin': $native_spin$, 'virtual_scale': null}";

static const char convert_standard[] =
    ", '@version': 2, 'type_map': $type_map$, "
    "'atom_exclude_types': $atom_exclude$, 'pair_exclude_types': $pair_exclude$, 'rcond': null, "
    "'preset_out_bias': null, '@variables': {'out_bias': ^out_bias^, 'out_std': ^out_std^}, 'descriptor': ";

static const char convert_linear[] =
    "{'@class': 'Model', 'type': 'linear', '@version': 3, 'type_map': $type_map$, "
    "'atom_exclude_types': $atom_exclude$, 'pair_exclude_types': $pair_exclude$, 'rcond': null, "
    "'preset_out_bias': null, '@variables': {'out_bias': ^out_bias^, 'out_std': ^out_std^}, "
    "'weights': ?weights='mean'?, 'models': [";

/* What weighs the two is made of distances. */
static const char convert_zbl[] =
    "{'@class': 'Model', 'type': 'zbl', '@version': 2, 'type_map': $type_map$, "
    "'atom_exclude_types': $atom_exclude$, 'pair_exclude_types': $pair_exclude$, 'rcond': null, "
    "'preset_out_bias': null, '@variables': {'out_bias': ^out_bias^, 'out_std': ^out_std^}, 'weights': "
    "'mean', "
    "'sw_rmin': ?sw_rmin?, 'sw_rmax': ?sw_rmax?, 'smin_alpha': $smin_alpha$, 'models': [";

/* ------------------------------------------------------------------ what a checkpoint is */

struct convert_source {
    struct dgnn_checkpoint *checkpoint;
    struct dgnn_pickled states; /* a flat dict, or a TorchScript module */
    struct dgnn_tree *settings; /* model_params, or model_def_script; owned */
};

static int convert_not_ours(struct dgnn_checkpoint *checkpoint, const char *what, struct dgnn_error *error)
{
    return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                           "%s: a file of torch's, but no model of deepmd-kit's: %s", checkpoint->name, what);
}

static int convert_parse(struct convert_source *source, const char *what, const char *json, int64_t length,
                         struct dgnn_error *error)
{
    char name[256];
    snprintf(name, sizeof(name), "%.200s: %s", source->checkpoint->name, what);
    return dgnn_tree_parse(name, json, (size_t)length, NULL, &source->settings, error);
}

/* {"model": states} or the states themselves; their "_extra_state" has the settings. */
static int convert_find_state(struct convert_source *source, struct dgnn_error *error)
{
    struct dgnn_pickled root = dgnn_pickle_root(source->checkpoint->pickle);
    struct dgnn_pickled model = dgnn_pickled_member(root, "model");
    source->states = dgnn_pickled_kind(model) == DGNN_PICKLE_DICT ? model : root;
    struct dgnn_pickled extra = dgnn_pickled_member(source->states, "_extra_state");
    struct dgnn_pickled params = dgnn_pickled_member(extra, "model_params");
    if (dgnn_pickled_kind(params) != DGNN_PICKLE_DICT) {
        return convert_not_ours(source->checkpoint, "_extra_state.model_params is missing", error);
    }
    struct dgnn_text text = {0};
    int status = dgnn_pickled_json(params, "model_params", &text, error);
    status = status ? status : convert_parse(source, "model_params", text.data, text.length, error);
    dgnn_text_free(&text);
    return status;
}

/* The settings as text, an attribute of the module or of a spin model's backbone. */
static int convert_find_module(struct convert_source *source, struct dgnn_error *error)
{
    struct dgnn_pickled root = dgnn_pickle_root(source->checkpoint->pickle);
    struct dgnn_pickled backbone = dgnn_pickled_member(root, "backbone_model");
    struct dgnn_pickled script = dgnn_pickled_member(root, "model_def_script");
    int64_t length = 0;
    if (dgnn_pickled_kind(backbone) == DGNN_PICKLE_OBJECT) {
        script = dgnn_pickled_member(backbone, "model_def_script");
    }
    if (dgnn_pickled_kind(root) != DGNN_PICKLE_OBJECT || dgnn_pickled_kind(script) != DGNN_PICKLE_STRING) {
        return convert_not_ours(source->checkpoint, "the module has no model_def_script", error);
    }
    const char *json = dgnn_pickled_string(script, &length);
    source->states = root;
    return length ? convert_parse(source, "model_def_script", json, length, error)
                  : convert_not_ours(source->checkpoint, "model_def_script is empty", error);
}

static int convert_find(struct convert_source *source, struct dgnn_error *error)
{
    struct dgnn_pickled root = dgnn_pickle_root(source->checkpoint->pickle);
    return dgnn_pickled_kind(root) == DGNN_PICKLE_OBJECT ? convert_find_module(source, error)
                                                         : convert_find_state(source, error);
}

/* ------------------------------------------------------------------ models */

/* Did the pt_expt backend write it? Its fittings keep their networks under another name. */
static int convert_is_expt(const struct dgnn_states *state)
{
    for (int64_t i = 0; i < state->nentry; i++) {
        if (strstr(state->entries[i].name, "fitting_net.nets.")) {
            return 1;
        }
    }
    return 0;
}

/* One descriptor and fitting; scope->prefix as "atomic_model.". facts->graph: the model's. */
static int convert_emit_standard(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                                 const char *beginning, struct dgnn_descriptors_facts *facts)
{
    struct dgnn_value descriptor = dgnn_value_member(scope->params, "descriptor");
    char prefix[DGNN_EMIT_NAME_MAX];
    struct dgnn_emit_scope inner = *scope;
    snprintf(prefix, sizeof(prefix), "%sdescriptor.", scope->prefix);
    inner.prefix = prefix;
    inner.params = &descriptor;
    DGNN_TRY(dgnn_emit_template(emit, scope, beginning));
    DGNN_TRY(dgnn_emit_template(emit, scope, convert_standard));
    DGNN_TRY(dgnn_descriptors_emit(emit, &inner, facts));
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"fitting\": "));
    DGNN_TRY(dgnn_fittings_emit(emit, scope, facts));
    facts->graph = facts->graph && dgnn_fittings_is_energy(scope); /* deepmd-kit's graphs are energies' */
    return dgnn_text_add(&emit->text, emit->error, "}");
}

static int convert_define_types(struct dgnn_emit *emit, struct dgnn_emit_settings *s, const char *type_map)
{
    struct dgnn_value list = dgnn_value_member(s->scope.params, "type_map");
    char ntypes[32];
    int64_t count = dgnn_value_count(&list);
    if (type_map && dgnn_value_kind(&list) == DGNN_VALUE_ABSENT) {
        return DGNN_OK; /* the sum's own */
    }
    snprintf(ntypes, sizeof(ntypes), "%lld", (long long)count);
    DGNN_TRY(dgnn_emit_define(emit, s, "type_map", "?type_map?"));
    return dgnn_emit_define(emit, s, "ntypes", ntypes);
}

static int convert_emit_part(struct dgnn_emit *emit, const struct dgnn_emit_scope *outer,
                             const struct dgnn_value *params, const char *prefix,
                             struct dgnn_descriptors_facts *facts)
{
    struct dgnn_emit_settings s = {.scope = *outer};
    s.scope.params = params;
    s.scope.prefix = prefix;
    int status = convert_define_types(emit, &s, dgnn_emit_variable(outer, "type_map"));
    status = status ? status : dgnn_emit_define(emit, &s, "atom_exclude", "[]");
    status = status ? status : dgnn_emit_define(emit, &s, "pair_exclude", "[]");
    status = status ? status : convert_emit_standard(emit, &s.scope, convert_plain, facts);
    dgnn_emit_undefine(&s);
    return status;
}

/* A table in a sum: in pt_expt its types are the sum's, whatever the settings say. */
static int convert_emit_table(struct dgnn_emit *emit, const struct dgnn_emit_scope *outer,
                              const struct dgnn_value *params, const char *prefix)
{
    struct dgnn_value type = dgnn_value_member(params, "type");
    struct dgnn_emit_settings s = {.scope = *outer};
    const char *name = "none";
    char path[512], sel[32];
    int64_t most;
    if (dgnn_value_kind(&type) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&type, &name, emit->error));
    }
    if (strcmp(name, "pairtab")) {
        return dgnn_status_set(
            emit->error, DGNN_ERROR_UNSUPPORTED,
            "%s: a model of type '%.60s' without a descriptor in a sum; supported: pairtab",
            dgnn_value_path(params, path, sizeof(path)), name);
    }
    s.scope.params = params;
    s.scope.prefix = prefix;
    int status = convert_is_expt(emit->state) ? DGNN_OK : convert_define_types(emit, &s, "");
    status = status ? status : dgnn_emit_define(emit, &s, "rcut", "?rcut?");
    status = status ? status : dgnn_emit_define(emit, &s, "sel", "?sel?");
    if (!status) {
        most = dgnn_descriptors_sum(dgnn_emit_variable(&s.scope, "sel"));
        snprintf(sel, sizeof(sel), "%lld", (long long)most);
        status = dgnn_pair_tables_emit(emit, &s.scope, "$rcut$", sel);
    }
    dgnn_emit_undefine(&s);
    return status;
}

static int convert_emit_linear(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, int32_t *graph)
{
    struct dgnn_value models = dgnn_value_member(scope->params, "models");
    int64_t count;
    char prefix[DGNN_EMIT_NAME_MAX];
    DGNN_TRY(dgnn_value_list(&models, &count, emit->error));
    DGNN_TRY(dgnn_emit_template(emit, scope, convert_linear));
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(&models, k);
        struct dgnn_value descriptor = dgnn_value_member(&item, "descriptor");
        struct dgnn_descriptors_facts facts = {0}; /* of a table: deepmd-kit has no graph with one */
        snprintf(prefix, sizeof(prefix), "%smodels.%lld.", scope->prefix, (long long)k);
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        DGNN_TRY(dgnn_value_kind(&descriptor) == DGNN_VALUE_ABSENT
                     ? convert_emit_table(emit, scope, &item, prefix)
                     : convert_emit_part(emit, scope, &item, prefix, &facts));
        *graph = *graph && facts.graph;
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

/* A net and a table that reaches as far and has as many neighbours. deepmd-kit's pt backend does not read
 * smin_alpha: its models have the default, whatever the settings say. */
static int convert_emit_zbl(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int expt)
{
    struct dgnn_descriptors_facts facts;
    char net[DGNN_EMIT_NAME_MAX], table[DGNN_EMIT_NAME_MAX], sel[32];
    struct dgnn_emit_scope inner = s->scope;
    struct dgnn_text rcut = {0};
    snprintf(net, sizeof(net), "%smodels.0.", s->scope.prefix);
    snprintf(table, sizeof(table), "%smodels.1.", s->scope.prefix);
    inner.prefix = table;
    DGNN_TRY(dgnn_emit_define(emit, s, "smin_alpha", expt ? "?smin_alpha=0.1?" : "0.1"));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, convert_zbl));
    DGNN_TRY(convert_emit_part(emit, &s->scope, s->scope.params, net, &facts));
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", "));
    snprintf(sel, sizeof(sel), "%lld", (long long)facts.sel);
    int status = dgnn_text_add_number(&rcut, facts.rcut, emit->error);
    status = status ? status : dgnn_pair_tables_emit(emit, &inner, rcut.data, sel);
    dgnn_text_free(&rcut);
    return status ? status : dgnn_text_add(&emit->text, emit->error, "]}");
}

static int convert_emit_spin(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int expt)
{
    struct dgnn_descriptors_facts facts;
    struct dgnn_emit_scope backbone;
    DGNN_TRY(dgnn_spin_settings_define(emit, s, expt));
    backbone = s->scope;
    backbone.prefix = "backbone_model.atomic_model.";
    DGNN_TRY(dgnn_emit_template(emit, &s->scope,
                                "{'type': 'spin_ener', 'spin': {'use_spin': $use_spin$, "
                                "'virtual_scale': $virtual_scale$}, 'backbone_model': "));
    DGNN_TRY(convert_emit_standard(emit, &backbone, convert_plain, &facts));
    return dgnn_text_add(&emit->text, emit->error, "}");
}

/* A model that is neither a sum nor one of virtual atoms. */
static int convert_emit_alone(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                              const char *beginning, int32_t *graph)
{
    struct dgnn_descriptors_facts facts;
    DGNN_TRY(convert_emit_standard(emit, scope, beginning, &facts));
    *graph = *graph && facts.graph;
    return DGNN_OK;
}

/* Spins that are inputs of the descriptor: no virtual atoms, so that all else is as without spins. */
static int convert_emit_native(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int32_t *graph)
{
    DGNN_TRY(dgnn_spin_settings_define_native(emit, s));
    DGNN_TRY(dgnn_emit_define(emit, s, "atom_exclude", "?atom_exclude_types=[]?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "pair_exclude", "?pair_exclude_types=[]?"));
    return convert_emit_alone(emit, &s->scope, convert_native, graph);
}

static int convert_has(const struct dgnn_value *params, const char *name)
{
    struct dgnn_value member = dgnn_value_member(params, name);
    enum dgnn_value_kind kind = dgnn_value_kind(&member);
    return kind != DGNN_VALUE_ABSENT && kind != DGNN_VALUE_NULL;
}

/* type: the model's, or absent. "scheme" counts in pt_expt only: in pt, whose models of these families all
 * have virtual atoms, nothing reads it. */
static int convert_emit_spins(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                              const struct dgnn_value *type, int expt, int32_t *graph)
{
    struct dgnn_value spin = dgnn_value_member(s->scope.params, "spin");
    struct dgnn_value scheme = dgnn_value_member(&spin, "scheme");
    const char *name = "standard", *how = "deepspin";
    char path[512];
    if (dgnn_value_kind(type) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(type, &name, emit->error));
    }
    if (dgnn_value_kind(&scheme) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&scheme, &how, emit->error));
    }
    if (strcmp(name, "standard")) {
        return dgnn_status_set(emit->error, DGNN_ERROR_UNSUPPORTED,
                               "%s: '%s' is not supported in a model with spins; supported: standard",
                               dgnn_value_path(type, path, sizeof(path)), name);
    }
    if (expt && !strcmp(how, "native")) {
        return convert_emit_native(emit, s, graph);
    }
    *graph = 0;
    return convert_emit_spin(emit, s, expt);
}

static int convert_emit_kind(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int expt, int32_t *graph)
{
    struct dgnn_value type = dgnn_value_member(s->scope.params, "type");
    const char *name = "standard";
    char path[512];
    if (dgnn_value_kind(&type) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&type, &name, emit->error));
    }
    int has_table = convert_has(s->scope.params, "use_srtab"),
        has_spin = convert_has(s->scope.params, "spin");
    if (has_table && (has_spin || strcmp(name, "standard"))) {
        return dgnn_status_set(emit->error, DGNN_ERROR_UNSUPPORTED,
                               "%s: use_srtab: a pair table %s; supported: in a model of type standard",
                               dgnn_value_path(s->scope.params, path, sizeof(path)),
                               has_spin ? "beside spins" : "of a model of another type");
    }
    DGNN_TRY(convert_define_types(emit, s, NULL));
    if (has_spin) {
        return convert_emit_spins(emit, s, &type, expt, graph);
    }
    DGNN_TRY(dgnn_emit_define(emit, s, "atom_exclude", "?atom_exclude_types=[]?"));
    DGNN_TRY(dgnn_emit_define(emit, s, "pair_exclude", "?pair_exclude_types=[]?"));
    if (!strcmp(name, "linear_ener")) {
        return convert_emit_linear(emit, &s->scope, graph);
    }
    if (has_table) {
        *graph = 0;
        return convert_emit_zbl(emit, s, expt);
    }
    if (!strcmp(name, "standard")) {
        return convert_emit_alone(emit, &s->scope, convert_plain, graph);
    }
    return dgnn_status_set(emit->error, DGNN_ERROR_UNSUPPORTED,
                           "%s: '%s' is not supported; supported: standard, "
                           "linear_ener",
                           dgnn_value_path(&type, path, sizeof(path)), name);
}

/* {"model": ..., "model_def_script": ...}, as a .pt2 has it. */
static int convert_emit(struct dgnn_emit *emit, const struct dgnn_value *params, int32_t *graph)
{
    struct dgnn_emit_settings s = {.scope = {.params = params, .prefix = "atomic_model."}};
    int expt = convert_is_expt(emit->state);
    int64_t narrays = 0;
    *graph = expt;
    int status = dgnn_text_add(&emit->text, emit->error, "{\"model\": ");
    status = status ? status : convert_emit_kind(emit, &s, expt, graph);
    dgnn_emit_undefine(&s);
    status = status ? status : dgnn_text_add(&emit->text, emit->error, ", \"model_def_script\": ");
    status = status ? status : dgnn_writer_json(params, &emit->text, NULL, &narrays, emit->error);
    return status ? status : dgnn_text_add(&emit->text, emit->error, "}");
}

static int convert_state(const struct convert_source *source, const struct dgnn_value *params,
                         struct dgnn_states *state, struct dgnn_archive *archive, struct dgnn_error *error)
{
    static const char graph_metadata[] = "{\"lower_input_kind\": \"graph\"}";
    struct dgnn_emit emit = {.state = state, .error = error};
    int32_t graph = 0;
    int status = convert_emit(&emit, params, &graph);
    status = status ? status : dgnn_states_check_used(state, error);
    status = status ? status
                    : dgnn_tree_parse(source->checkpoint->name, emit.text.data, (size_t)emit.text.length,
                                      &(struct dgnn_tree_arrays){emit.arrays.data, (size_t)emit.narrays},
                                      &archive->model, error);
    if (!status && graph) {
        status = dgnn_tree_parse("metadata", graph_metadata, strlen(graph_metadata), NULL, &archive->metadata,
                                 error);
    }
    dgnn_emit_free(&emit);
    return status;
}

/* ------------------------------------------------------------------ opening */

struct convert_request {
    const char *head;
    struct dgnn_text *heads; /* NULL: a model is wanted */
    int32_t asked;           /* was it a file of torch's? */
};

/* "model.NAME." */
static int convert_prefix(const char *name, char *prefix, size_t size, struct dgnn_error *error)
{
    return snprintf(prefix, size, "model.%s.", name ? name : "Default") < (int)size
               ? DGNN_OK
               : dgnn_status_set(error, DGNN_ERROR_FORMAT, "a head's name of more than 200 characters");
}

static int convert_model(const struct convert_source *source, const char *head, struct dgnn_archive *archive,
                         struct dgnn_error *error)
{
    struct dgnn_value settings = dgnn_tree_root(source->settings);
    struct dgnn_heads_choice choice;
    struct dgnn_states state;
    char prefix[220] = "";
    DGNN_TRY(dgnn_heads_choose(&settings, head, &choice, error));
    if (dgnn_pickled_kind(source->states) == DGNN_PICKLE_DICT) {
        DGNN_TRY(convert_prefix(choice.name, prefix, sizeof(prefix), error));
    }
    DGNN_TRY(dgnn_states_read(source->checkpoint, source->states, prefix, &state, error));
    int status = convert_state(source, &choice.params, &state, archive, error);
    dgnn_states_free(&state);
    return status;
}

/* The symbols of a type map, whose strings belong to the settings. */
static int convert_symbols(const struct dgnn_value *list, const char ***symbols, int64_t *count,
                           struct dgnn_error *error)
{
    DGNN_TRY(dgnn_value_list(list, count, error));
    *symbols = dgnn_alloc(*count, sizeof(**symbols));
    if (!*symbols) {
        return dgnn_status_no_memory(error, "a type map", *count * (int64_t)sizeof(**symbols));
    }
    for (int64_t k = 0; k < *count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        int status = dgnn_value_string(&item, &(*symbols)[k], error);
        if (status) {
            dgnn_alloc_free(*symbols);
            return status;
        }
    }
    return DGNN_OK;
}

/* The elements of one head; its out_bias is all that is read of it. */
static int convert_elements(const struct convert_source *source, const struct dgnn_value *params,
                            struct dgnn_text *text, struct dgnn_error *error)
{
    static const char *const names[] = {"atomic_model.out_bias", "backbone_model.atomic_model.out_bias"};
    struct dgnn_value list = dgnn_value_member(params, "type_map");
    struct dgnn_elements_source elements = {.info = dgnn_value_member(params, "info")};
    const char **symbols;
    struct dgnn_tensor bias;
    char prefix[220], full[300];
    DGNN_TRY(convert_prefix(params->name, prefix, sizeof(prefix), error));
    for (size_t k = 0; k < 2 && !elements.out_bias; k++) {
        snprintf(full, sizeof(full), "%s%s", prefix, names[k]);
        struct dgnn_pickled value = dgnn_pickled_member(source->states, full);
        if (dgnn_pickled_kind(value) == DGNN_PICKLE_TENSOR) {
            DGNN_TRY(dgnn_checkpoint_tensor(source->checkpoint, value, full, &bias, error));
            elements.out_bias = &bias;
        }
    }
    DGNN_TRY(convert_symbols(&list, &symbols, &elements.ntypes, error));
    elements.type_map = symbols;
    int status = dgnn_elements_json(&elements, text, error);
    dgnn_alloc_free(symbols);
    return status;
}

/* alias: NULL for the head itself. */
static int convert_list_head(const struct convert_source *source, const struct dgnn_value *params,
                             const char *alias, struct dgnn_text *text, struct dgnn_error *error)
{
    struct dgnn_value type_map = dgnn_value_member(params, "type_map");
    int64_t narrays = 0;
    DGNN_TRY(dgnn_text_add(text, error, text->length > 1 ? ", " : ""));
    DGNN_TRY(dgnn_text_add_quoted(text, alias ? alias : params->name, error));
    DGNN_TRY(dgnn_text_add(text, error, ": {\"type_map\": "));
    DGNN_TRY(dgnn_writer_json(&type_map, text, NULL, &narrays, error));
    DGNN_TRY(dgnn_text_add(text, error, ", \"elements\": "));
    DGNN_TRY(convert_elements(source, params, text, error));
    DGNN_TRY(dgnn_text_add(text, error, ", \"alias_of\": "));
    DGNN_TRY(alias ? dgnn_text_add_quoted(text, params->name, error) : dgnn_text_add(text, error, "null"));
    return dgnn_text_add(text, error, "}");
}

static int convert_list(const struct convert_source *source, struct dgnn_text *text, struct dgnn_error *error)
{
    struct dgnn_value settings = dgnn_tree_root(source->settings);
    struct dgnn_value dict = dgnn_value_member(&settings, "model_dict");
    DGNN_TRY(dgnn_text_add(text, error, "{"));
    for (int64_t k = 0; k < dgnn_value_count(&dict); k++) {
        struct dgnn_value item = dgnn_value_item(&dict, k);
        struct dgnn_value aliases = dgnn_value_member(&item, "model_branch_alias");
        DGNN_TRY(convert_list_head(source, &item, NULL, text, error));
        for (int64_t j = 0; j < dgnn_value_count(&aliases); j++) {
            struct dgnn_value alias = dgnn_value_item(&aliases, j);
            const char *name;
            DGNN_TRY(dgnn_value_string(&alias, &name, error));
            DGNN_TRY(convert_list_head(source, &item, name, text, error));
        }
    }
    return dgnn_text_add(text, error, "}");
}

static int convert_checkpoint(void *context, struct dgnn_checkpoint *checkpoint, struct dgnn_archive *archive,
                              struct dgnn_error *error)
{
    struct convert_request *request = context;
    struct convert_source source = {.checkpoint = checkpoint};
    request->asked = 1;
    int status = convert_find(&source, error);
    if (!status) {
        status = request->heads ? convert_list(&source, request->heads, error)
                                : convert_model(&source, request->head, archive, error);
    }
    dgnn_tree_free(source.settings);
    return status;
}

/* path or bytes, whichever is there. */
static int convert_open(const char *path, const struct dgnn_archive_bytes *bytes,
                        struct convert_request *request, struct dgnn_archive *archive,
                        struct dgnn_error *error)
{
    struct dgnn_archive_converter converter = {.convert = convert_checkpoint, .context = request};
    DGNN_TRY(path ? dgnn_archive_convert(path, &converter, archive, error)
                  : dgnn_archive_convert_memory(bytes, &converter, archive, error));
    if (request->head && !request->asked) {
        dgnn_archive_free(archive);
        return dgnn_heads_none(path ? path : bytes->name, request->head, error);
    }
    return DGNN_OK;
}

int dgnn_convert_open(const char *path, const char *head, struct dgnn_archive *archive,
                      struct dgnn_error *error)
{
    struct convert_request request = {.head = head};
    return convert_open(path, NULL, &request, archive, error);
}

int dgnn_convert_open_memory(const struct dgnn_archive_bytes *bytes, const char *head,
                             struct dgnn_archive *archive, struct dgnn_error *error)
{
    struct convert_request request = {.head = head};
    return convert_open(NULL, bytes, &request, archive, error);
}

static int convert_heads(const char *path, const struct dgnn_archive_bytes *bytes, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    struct convert_request request = {.heads = text};
    struct dgnn_archive archive = {0};
    int status = convert_open(path, bytes, &request, &archive, error);
    if (!status && !request.asked) {
        status = dgnn_text_add(text, error, "{}");
    }
    dgnn_archive_free(&archive);
    if (status) {
        dgnn_text_free(text);
    }
    return status;
}

int dgnn_convert_heads(const char *path, struct dgnn_text *text, struct dgnn_error *error)
{
    return convert_heads(path, NULL, text, error);
}

int dgnn_convert_heads_memory(const struct dgnn_archive_bytes *bytes, struct dgnn_text *text,
                              struct dgnn_error *error)
{
    return convert_heads(NULL, bytes, text, error);
}
