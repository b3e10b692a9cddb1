#include "convert/fittings.h"

#include <stdio.h>
#include <string.h>

/* What every fitting but DPA4's has, between its own members; net_width is wide as the last layer gives it.
 */
#define FITTINGS_BEGIN(version, name)                                                                        \
    "{'@class': 'Fitting', '@version': " version ", 'var_name': " name ", 'ntypes': $ntypes$, "              \
    "'dim_descrpt': $dim_descrpt$, 'neuron': $neuron$, 'resnet_dt': $resnet_dt$, "                           \
    "'numb_fparam': $numb_fparam$, 'numb_aparam': $numb_aparam$, 'dim_case_embd': $dim_case_embd$, "         \
    "'default_fparam': ?default_fparam=null?, 'rcond': null, 'activation_function': $activation$, "          \
    "'precision': $precision$, 'mixed_types': $mixed_types$, 'exclude_types': [], 'nets': "                  \
    "#filter_layers.networks|nets._module_networks|nets._networks;fitting_network;$ndim#, "                  \
    "'@variables': {'bias_atom_e': ^bias_atom_e^, 'case_embd': &case_embd&, 'fparam_avg': &fparam_avg&, "    \
    "'fparam_inv_std': &fparam_inv_std&, 'aparam_avg': &aparam_avg&, 'aparam_inv_std': &aparam_inv_std&"
#define FITTINGS_END                                                                                         \
    "}, 'type_map': $type_map$, 'tot_ener_zero': false, 'trainable': [$trainable$], 'layer_name': null, "    \
    "'use_aparam_as_mask': $mask$, 'spin': null, 'type': "

static const char fittings_energy[] =
    FITTINGS_BEGIN("4", "'energy'") FITTINGS_END "'ener', 'dim_out': 1, 'atom_ener': null}";

static const char fittings_dipole[] = FITTINGS_BEGIN("4", "'dipole'") FITTINGS_END
    "'dipole', 'embedding_width': $net_width$, 'r_differentiable': true, 'c_differentiable': true}";

static const char fittings_polar[] = FITTINGS_BEGIN(
    "5", "'polar'") ", 'scale': $scale$, 'constant_matrix': $constant$" FITTINGS_END
                    "'polar', 'embedding_width': $embedding_width$, 'fit_diag': ?fit_diag=true?, "
                    "'shift_diag': ?shift_diag=true?}";

static const char fittings_dos[] =
    FITTINGS_BEGIN("4", "'dos'") FITTINGS_END "'dos', 'dim_out': $net_width$, 'atom_ener': null}";

static const char fittings_property[] = FITTINGS_BEGIN("6", "?property_name='property'?") FITTINGS_END
    "'property', 'dim_out': $net_width$, 'atom_ener': null, 'task_dim': $net_width$, "
    "'intensive': ?intensive=false?, 'distinguish_types': ?distinguish_types=true?}";

static const struct fittings_kind {
    const char *name, *template; /* NULL: DPA4's */
} fittings_kinds[] = {{"ener", fittings_energy}, {"dipole", fittings_dipole},     {"polar", fittings_polar},
                      {"dos", fittings_dos},     {"property", fittings_property}, {"sezm_ener", NULL},
                      {"dpa4_ener", NULL}};

/* DPA4's gated network, of pt_expt: its layers are written one after another. */
static const char fittings_gated[] =
    "{'@class': 'Fitting', '@version': 4, 'var_name': 'energy', 'ntypes': $ntypes$, 'dim_descrpt': "
    "$dim_descrpt$, "
    "'numb_fparam': $numb_fparam$, 'numb_aparam': $numb_aparam$, 'dim_case_embd': $dim_case_embd$, "
    "'default_fparam': ?default_fparam=null?, 'precision': $precision$, 'mixed_types': true, "
    "'exclude_types': [], "
    "'@variables': {'bias_atom_e': ^bias_atom_e^, 'case_embd': &case_embd&, 'fparam_avg': &fparam_avg&, "
    "'fparam_inv_std': &fparam_inv_std&, 'aparam_avg': &aparam_avg&, 'aparam_inv_std': &aparam_inv_std&}, "
    "'type_map': $type_map$, 'use_aparam_as_mask': $mask$, 'type': 'sezm_ener', 'dim_out': 1, "
    "'nets': {'@class': 'NetworkCollection', '@version': 1, 'ndim': 0, 'ntypes': $ntypes$, "
    "'network_type': 'sezm_fitting_network', 'networks': [{'@class': 'GLUFittingNet', '@version': 1, "
    "'in_dim': $width$, 'out_dim': 1, 'neuron': [$hidden$], 'activation_function': "
    "?activation_function='silu'?, "
    "'bias_out': ?bias_out=false?, '@variables': {";

static int64_t fittings_integer(const struct dgnn_emit_scope *scope, const char *name)
{
    long long value = 0;
    const char *text = dgnn_emit_variable(scope, name);
    return text && sscanf(text, "%lld", &value) == 1 ? value : 0;
}

/* How wide the first network's input is: what remains beside parameters is the descriptor. */
static int fittings_define_dim(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    char names[DGNN_EMIT_NAME_MAX], name[DGNN_EMIT_NAME_MAX + 32], text[32];
    DGNN_TRY(dgnn_emit_name(emit, &s->scope, "filter_layers.networks|nets._module_networks|nets._networks",
                            names, emit->error));
    snprintf(name, sizeof(name), "%s.0.layers.0", names);
    int64_t width = dgnn_emit_width(emit, name, 0) - fittings_integer(&s->scope, "numb_fparam") -
                    fittings_integer(&s->scope, "dim_case_embd");
    if (strcmp(dgnn_emit_variable(&s->scope, "mask"), "true")) {
        width -= fittings_integer(&s->scope, "numb_aparam");
    }
    snprintf(text, sizeof(text), "%lld", (long long)width);
    return dgnn_emit_define(emit, s, "dim_descrpt", text);
}

/* The width of the networks' answer; of a polarisability's whole matrix, also the root of it. */
static int fittings_define_width(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    char names[DGNN_EMIT_NAME_MAX], name[DGNN_EMIT_NAME_MAX + 32], text[32];
    int64_t width = -1, next, root = 1;
    struct dgnn_value member = dgnn_value_member(s->scope.params, "fit_diag");
    int diagonal = 1;
    DGNN_TRY(dgnn_emit_name(emit, &s->scope, "filter_layers.networks|nets._module_networks|nets._networks",
                            names, emit->error));
    for (int64_t l = 0; l < 1024; l++) {
        snprintf(name, sizeof(name), "%s.0.layers.%lld", names, (long long)l);
        next = dgnn_emit_width(emit, name, 1);
        if (next < 0) {
            break;
        }
        width = next;
    }
    snprintf(text, sizeof(text), "%lld", (long long)width);
    DGNN_TRY(dgnn_emit_define(emit, s, "net_width", text));
    if (dgnn_value_kind(&member) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_bool(&member, &diagonal, emit->error));
    }
    while (root * root < width) {
        root++;
    }
    snprintf(text, sizeof(text), "%lld", (long long)(diagonal ? width : root));
    return dgnn_emit_define(emit, s, "embedding_width", text);
}

/* A variable that is an array: the tensor of this name where the file has it, else these numbers. */
static int fittings_define_array(struct dgnn_emit *emit, struct dgnn_emit_settings *s, const char *name,
                                 const char *numbers)
{
    char tensor[DGNN_EMIT_NAME_MAX], template[64];
    struct dgnn_text text = {0};
    DGNN_TRY(dgnn_emit_name(emit, &s->scope, name, tensor, emit->error));
    snprintf(template, sizeof(template), "^%s^", name);
    int status = dgnn_text_add(&text, emit->error,
                               "{'@class': 'np.ndarray', 'dtype': 'float64', 'value': [%s]}", numbers);
    const char *key = strcmp(name, "constant_matrix") ? name : "constant";
    status =
        status ? status
               : dgnn_emit_define(emit, s, key, dgnn_states_find(emit->state, tensor) ? template : text.data);
    dgnn_text_free(&text);
    return status;
}

/* Of each type, what a polarisability is scaled by: in pt one number or a list of them in the settings. */
static int fittings_define_scale(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    struct dgnn_value scale = dgnn_value_member(s->scope.params, "scale");
    int64_t ntypes = fittings_integer(&s->scope, "ntypes"), count = ntypes;
    struct dgnn_text factors = {0}, zeros = {0};
    int status = DGNN_OK, is_list = dgnn_value_kind(&scale) == DGNN_VALUE_LIST;
    double factor = 1;
    char path[512];
    if (is_list) {
        DGNN_TRY(dgnn_value_list(&scale, &count, emit->error));
    } else if (dgnn_value_kind(&scale) > DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_double(&scale, &factor, emit->error));
    }
    if (count != ntypes) {
        return dgnn_status_set(
            emit->error, DGNN_ERROR_FORMAT, "%s: %lld numbers; expected %lld, one for each type",
            dgnn_value_path(&scale, path, sizeof(path)), (long long)count, (long long)ntypes);
    }
    for (int64_t t = 0; t < ntypes && !status; t++) {
        struct dgnn_value item = dgnn_value_item(&scale, t);
        status = is_list ? dgnn_value_double(&item, &factor, emit->error) : DGNN_OK;
        status = status ? status : dgnn_text_add(&factors, emit->error, "%s%.17g", t ? ", " : "", factor);
        status = status ? status : dgnn_text_add(&zeros, emit->error, t ? ", 0.0" : "0.0");
    }
    status = status ? status : fittings_define_array(emit, s, "scale", factors.data);
    status = status ? status : fittings_define_array(emit, s, "constant_matrix", zeros.data);
    dgnn_text_free(&factors);
    dgnn_text_free(&zeros);
    return status;
}

/* One for each layer. */
static int fittings_define_trainable(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    char text[512] = "true";
    size_t used = 4;
    const char *neuron = dgnn_emit_variable(&s->scope, "neuron");
    int count = strspn(neuron, "[ ") < strcspn(neuron, "]");
    for (const char *c = neuron; *c; c++) {
        count += *c == ',';
    }
    for (int k = 0; k < count && used + 8 < sizeof(text); k++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, ", true");
    }
    return dgnn_emit_define(emit, s, "trainable", text);
}

/* mixed: one network for all types, unless there is a second one. */
static int fittings_define(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int mixed, int gated)
{
    static const char *const rows[][2] = {{"neuron", "?neuron=[128, 128, 128]?"},
                                          {"resnet_dt", "?resnet_dt=true?"},
                                          {"activation", "?activation_function='tanh'?"},
                                          {"numb_fparam", "?numb_fparam=0?"},
                                          {"numb_aparam", "?numb_aparam=0?"},
                                          {"dim_case_embd", "?dim_case_embd=0?"},
                                          {"mask", "?use_aparam_as_mask=false?"},
                                          {"precision", "?precision='float64'?"}};
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        DGNN_TRY(dgnn_emit_define(emit, s, rows[k][0], rows[k][1]));
    }
    DGNN_TRY(dgnn_emit_define(emit, s, "precision",
                              dgnn_emit_precision(dgnn_emit_variable(&s->scope, "precision"))));
    char names[DGNN_EMIT_NAME_MAX], second[DGNN_EMIT_NAME_MAX + 8];
    DGNN_TRY(dgnn_emit_name(emit, &s->scope, "filter_layers.networks|nets._module_networks|nets._networks",
                            names, emit->error));
    snprintf(second, sizeof(second), "%s.1", names);
    mixed = mixed && !dgnn_states_has(emit->state, second);
    DGNN_TRY(dgnn_emit_define(emit, s, "mixed_types", mixed ? "true" : "false"));
    DGNN_TRY(dgnn_emit_define(emit, s, "ndim", mixed ? "0" : "1"));
    DGNN_TRY(fittings_define_trainable(emit, s));
    return gated ? DGNN_OK : fittings_define_dim(emit, s);
}

/* Widths of the gated network, from its weights: a setting of 0 is worked out by deepmd-kit. */
static int fittings_define_gated(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int *count)
{
    char name[DGNN_EMIT_NAME_MAX + 64], hidden[512] = "", text[32];
    size_t used = 0;
    int64_t width, first = 0;
    for (*count = 0; used + 24 < sizeof(hidden); ++*count) {
        snprintf(name, sizeof(name), "%snets._module_networks.0.hidden_layers.%d", s->scope.prefix, *count);
        width = dgnn_emit_width(emit, name, 1);
        if (width < 0) {
            break;
        }
        first = *count ? first : dgnn_emit_width(emit, name, 0);
        used += (size_t)snprintf(hidden + used, sizeof(hidden) - used, "%s%lld", used ? ", " : "",
                                 (long long)(width / 2));
    }
    snprintf(text, sizeof(text), "%lld", (long long)first);
    DGNN_TRY(dgnn_emit_define(emit, s, "hidden", hidden));
    DGNN_TRY(dgnn_emit_define(emit, s, "width", text));
    first -= fittings_integer(&s->scope, "numb_fparam") + fittings_integer(&s->scope, "dim_case_embd") +
             fittings_integer(&s->scope, "numb_aparam");
    snprintf(text, sizeof(text), "%lld", (long long)first);
    return dgnn_emit_define(emit, s, "dim_descrpt", text);
}

static int fittings_emit_gated(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    char layer[256];
    int count;
    DGNN_TRY(fittings_define_gated(emit, s, &count));
    DGNN_TRY(dgnn_emit_template(emit, &s->scope, fittings_gated));
    for (int k = 0; k < count; k++) {
        snprintf(layer, sizeof(layer),
                 "'hidden_layers.%d.linear.matrix': ^nets._module_networks.0.hidden_layers.%d.w^, "
                 "'hidden_layers.%d.linear.bias': ^nets._module_networks.0.hidden_layers.%d.b^, ",
                 k, k, k, k);
        DGNN_TRY(dgnn_emit_template(emit, &s->scope, layer));
    }
    DGNN_TRY(dgnn_emit_template(emit, &s->scope,
                                "'output_layer.matrix': ^nets._module_networks.0.output_layer.w^"));
    snprintf(layer, sizeof(layer), "%snets._module_networks.0.output_layer.b", s->scope.prefix);
    if (dgnn_states_find(emit->state, layer)) {
        DGNN_TRY(dgnn_emit_template(emit, &s->scope,
                                    ", 'output_layer.bias': ^nets._module_networks.0.output_layer.b^"));
    }
    return dgnn_text_add(&emit->text, emit->error, "}}]}}");
}

int dgnn_fittings_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                       const struct dgnn_descriptors_facts *facts)
{
    struct dgnn_value params = dgnn_value_member(scope->params, "fitting_net");
    struct dgnn_value type = dgnn_value_member(&params, "type");
    const char *name = "ener";
    char path[512], prefix[DGNN_EMIT_NAME_MAX];
    if (dgnn_value_kind(&type) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&type, &name, emit->error));
    }
    const struct fittings_kind *kind = NULL;
    for (size_t k = 0; k < sizeof(fittings_kinds) / sizeof(fittings_kinds[0]); k++) {
        kind = strcmp(fittings_kinds[k].name, name) ? kind : &fittings_kinds[k];
    }
    if (!kind) {
        return dgnn_status_set(
            emit->error, DGNN_ERROR_UNSUPPORTED,
            "%s: '%s' is not supported; supported: ener, dipole, polar, dos, property, sezm_ener",
            dgnn_value_path(&type, path, sizeof(path)), name);
    }
    int gated = !kind->template;
    snprintf(prefix, sizeof(prefix), "%sfitting_net.", scope->prefix);
    struct dgnn_emit_settings settings = {.scope = *scope};
    settings.scope.params = &params;
    settings.scope.prefix = prefix;
    int status = fittings_define(emit, &settings, facts->mixed_types, gated);
    if (!status && !gated) {
        status = fittings_define_width(emit, &settings);
        status = status || strcmp(name, "polar") ? status : fittings_define_scale(emit, &settings);
    }
    status = status  ? status
             : gated ? fittings_emit_gated(emit, &settings)
                     : dgnn_emit_template(emit, &settings.scope, kind->template);
    dgnn_emit_undefine(&settings);
    return status;
}

int dgnn_fittings_is_energy(const struct dgnn_emit_scope *scope)
{
    struct dgnn_value params = dgnn_value_member(scope->params, "fitting_net");
    struct dgnn_value type = dgnn_value_member(&params, "type");
    const char *name = "ener";
    return dgnn_value_kind(&type) == DGNN_VALUE_ABSENT ||
           (!dgnn_value_string(&type, &name, NULL) && strstr(name, "ener") != NULL);
}
