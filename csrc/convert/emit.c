#include "convert/emit.h"

#include "io/writer.h"

#include <stdio.h>
#include <string.h>

enum { EMIT_ARGUMENT_MAX = 256 };

void dgnn_emit_free(struct dgnn_emit *emit)
{
    dgnn_text_free(&emit->text);
    dgnn_buffer_free(&emit->arrays);
    emit->narrays = 0;
}

const char *dgnn_emit_variable(const struct dgnn_emit_scope *scope, const char *name)
{
    for (const struct dgnn_emit_variable *v = scope->variables; v; v = v->next) {
        if (!strcmp(v->name, name)) {
            return v->text;
        }
    }
    return NULL;
}

int dgnn_emit_name(const struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *names,
                   char *name, struct dgnn_error *error)
{
    while (names) {
        const char *bar = strchr(names, '|');
        int length = bar ? (int)(bar - names) : (int)strlen(names);
        if (snprintf(name, DGNN_EMIT_NAME_MAX, "%s%.*s", scope->prefix, length, names) >=
            DGNN_EMIT_NAME_MAX - 32) {
            return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: a name of more than 480 characters",
                                   emit->state->checkpoint->name);
        }
        names = dgnn_states_has(emit->state, name) || !bar ? NULL : bar + 1;
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ tensors */

/* is_row: with the shape of one row, as it is contiguous. */
static int emit_tensor_shaped(struct dgnn_emit *emit, const char *name, int is_row)
{
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_states_tensor(emit->state, name, &tensor, emit->error));
    int64_t size = sizeof(struct dgnn_array);
    if ((emit->narrays + 1) * size > emit->arrays.capacity) {
        DGNN_TRY(dgnn_buffer_extend(&emit->arrays, (2 * emit->narrays + 64) * size, emit->narrays * size,
                                    "the arrays of a model", emit->error));
    }
    struct dgnn_array *array = (struct dgnn_array *)emit->arrays.data + emit->narrays;
    *array = (struct dgnn_array){.dtype = tensor.dtype, .ndim = tensor.ndim, .data = tensor.data};
    memcpy(array->shape, tensor.shape, sizeof(array->shape));
    if (is_row) {
        array->ndim = 1;
        array->shape[0] = dgnn_tensor_size(&tensor);
    }
    return dgnn_text_add(&emit->text, emit->error,
                         "{\"@class\": \"np.ndarray\", \"@is_variable\": true, \"@index\": %lld}",
                         (long long)emit->narrays++);
}

static int emit_tensor(struct dgnn_emit *emit, const char *name)
{
    return emit_tensor_shaped(emit, name, 0);
}

/* A tensor of the layer at name, by either dialect's suffix; null where there is none and it need not be. */
static int emit_part(struct dgnn_emit *emit, const char *name, const char *suffix, const char *other,
                     int needed)
{
    char full[DGNN_EMIT_NAME_MAX + 64];
    snprintf(full, sizeof(full), "%s.%s", name, suffix);
    if (!dgnn_states_find(emit->state, full)) {
        snprintf(full, sizeof(full), "%s.%s", name, other);
        if (!needed && !dgnn_states_find(emit->state, full)) {
            return dgnn_text_add(&emit->text, emit->error, "null");
        }
    }
    return emit_tensor(emit, full);
}

static int emit_has_part(const struct dgnn_emit *emit, const char *name, const char *suffix,
                         const char *other)
{
    char full[2][DGNN_EMIT_NAME_MAX + 64];
    snprintf(full[0], sizeof(full[0]), "%s.%s", name, suffix);
    snprintf(full[1], sizeof(full[1]), "%s.%s", name, other);
    return dgnn_states_find(emit->state, full[0]) || dgnn_states_find(emit->state, full[1]);
}

static int emit_tensors(struct dgnn_emit *emit, const char *name)
{
    char element[DGNN_EMIT_NAME_MAX + 32];
    for (int k = 0;; k++) {
        snprintf(element, sizeof(element), "%s.%d", name, k);
        if (!dgnn_states_find(emit->state, element)) {
            return DGNN_OK;
        }
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        DGNN_TRY(emit_tensor(emit, element));
    }
}

/* ------------------------------------------------------------------ layers and networks */

/* activation is JSON. */
static int emit_layer(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *name,
                      const char *activation, const char *resnet)
{
    const char *yes = "true", *no = "false";
    DGNN_TRY(dgnn_text_add(
        &emit->text, emit->error,
        "{\"@class\": \"Layer\", \"@version\": 2, \"bias\": %s, \"use_timestep\": %s, "
        "\"activation_function\": %s, \"resnet\": %s, \"precision\": %s, \"trainable\": true, "
        "\"@variables\": {\"w\": ",
        emit_has_part(emit, name, "bias", "b") ? yes : no, emit_has_part(emit, name, "idt", "idt") ? yes : no,
        activation, resnet, dgnn_emit_variable(scope, "precision")));
    DGNN_TRY(emit_part(emit, name, "matrix", "w", 1));
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"b\": "));
    DGNN_TRY(emit_part(emit, name, "bias", "b", 0));
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"idt\": "));
    DGNN_TRY(emit_part(emit, name, "idt", "idt", 0));
    return dgnn_text_add(&emit->text, emit->error, "}}");
}

int64_t dgnn_emit_width(const struct dgnn_emit *emit, const char *layer, int axis)
{
    char full[DGNN_EMIT_NAME_MAX + 64];
    snprintf(full, sizeof(full), "%s.matrix", layer);
    struct dgnn_states_entry *entry = dgnn_states_find(emit->state, full);
    if (!entry) {
        snprintf(full, sizeof(full), "%s.w", layer);
        entry = dgnn_states_find(emit->state, full);
    }
    struct dgnn_pickle_tensor tensor = {0};
    if (entry) {
        dgnn_pickled_tensor(entry->value, &tensor);
    }
    return tensor.ndim == 2 ? tensor.shape[axis] : -1;
}

static int emit_count(const struct dgnn_emit *emit, const char *name, const char *below)
{
    char element[DGNN_EMIT_NAME_MAX + 32];
    int count = 0;
    do {
        snprintf(element, sizeof(element), "%s.%d%s", name, count++, below);
    } while (dgnn_states_has(emit->state, element));
    return count - 1;
}

int dgnn_emit_network(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                      const struct dgnn_emit_network *network)
{
    char layers[DGNN_EMIT_NAME_MAX + 16], first[DGNN_EMIT_NAME_MAX + 32], layer[DGNN_EMIT_NAME_MAX + 32];
    int fitting = !strcmp(network->type, "fitting_network");
    const char *activation = dgnn_emit_variable(scope, "activation");
    snprintf(layers, sizeof(layers), "%s.layers", network->name);
    int count = emit_count(emit, layers, "");
    snprintf(first, sizeof(first), "%s.0", layers);
    snprintf(layer, sizeof(layer), "%s.%d", layers, count > 0 ? count - 1 : 0);
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error,
                           "{\"@class\": \"%s\", \"@version\": %d, \"in_dim\": %lld, ",
                           fitting ? "FittingNetwork" : "EmbeddingNetwork", fitting ? 1 : 2,
                           (long long)dgnn_emit_width(emit, first, 0)));
    if (fitting) {
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, "\"out_dim\": %lld, \"bias_out\": %s, ",
                               (long long)dgnn_emit_width(emit, layer, 1),
                               emit_has_part(emit, layer, "bias", "b") ? "true" : "false"));
    } else {
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, "\"bias\": %s, ",
                               emit_has_part(emit, first, "bias", "b") ? "true" : "false"));
    }
    DGNN_TRY(dgnn_text_add(&emit->text, emit->error,
                           "\"neuron\": %s, \"activation_function\": %s, \"resnet_dt\": %s, "
                           "\"precision\": %s, \"layers\": [",
                           dgnn_emit_variable(scope, "neuron"), activation,
                           dgnn_emit_variable(scope, "resnet_dt"), dgnn_emit_variable(scope, "precision")));
    for (int k = 0; k < count; k++) {
        int last = fitting && k == count - 1;
        snprintf(layer, sizeof(layer), "%s.%d", layers, k);
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        DGNN_TRY(emit_layer(emit, scope, layer, last ? "\"none\"" : activation, last ? "false" : "true"));
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

static int emit_collection(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *name,
                           const char *type, const char *ndim)
{
    long long ntypes = 0, count = 1;
    char element[DGNN_EMIT_NAME_MAX + 32];
    sscanf(dgnn_emit_variable(scope, "ntypes"), "%lld", &ntypes);
    for (int d = 0; d < ndim[0] - '0'; d++) {
        count *= ntypes;
    }
    DGNN_TRY(
        dgnn_text_add(&emit->text, emit->error,
                      "{\"@class\": \"NetworkCollection\", \"@version\": 1, \"ndim\": %s, \"ntypes\": %lld, "
                      "\"network_type\": \"%s\", \"networks\": [",
                      ndim, ntypes, type));
    for (long long k = 0; k < count; k++) {
        snprintf(element, sizeof(element), "%s.%lld", name, k);
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, k ? ", " : ""));
        if (!dgnn_states_has(emit->state, element) && ndim[0] != '0') {
            DGNN_TRY(dgnn_text_add(&emit->text, emit->error, "null"));
            continue;
        }
        struct dgnn_emit_network network = {.name = element, .type = type};
        DGNN_TRY(dgnn_emit_network(emit, scope, &network));
    }
    return dgnn_text_add(&emit->text, emit->error, "]}");
}

/* ------------------------------------------------------------------ marks */

/* Runs between quotes are added whole: a tree has some ten thousand characters of templates. */
static int emit_text_quoted(struct dgnn_emit *emit, const char *text, int64_t length)
{
    const char *end = text + length;
    while (text < end) {
        const char *quote = memchr(text, '\'', (size_t)(end - text)), *stop = quote ? quote : end;
        DGNN_TRY(
            dgnn_text_add(&emit->text, emit->error, "%.*s%s", (int)(stop - text), text, quote ? "\"" : ""));
        text = stop + (quote != NULL);
    }
    return DGNN_OK;
}

enum { EMIT_DEPTH = 8 };

/* The settings at a dotted path, which is cut in place; the last is in chain[depth returned]. */
static int emit_follow(const struct dgnn_emit_scope *scope, char *path, struct dgnn_value chain[EMIT_DEPTH])
{
    int depth = 0;
    chain[0] = *scope->params;
    for (char *part = path, *dot; part && depth < EMIT_DEPTH - 1; part = dot, depth++) {
        dot = strchr(part, '.');
        if (dot) {
            *dot++ = 0;
        }
        chain[depth + 1] = dgnn_value_member(&chain[depth], part);
    }
    return depth;
}

/* argument: "path=default" or "path". */
static int emit_setting(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, char *argument)
{
    char *fallback = strchr(argument, '='), path[512];
    struct dgnn_value chain[EMIT_DEPTH];
    int64_t narrays = 0;
    if (fallback) {
        *fallback++ = 0;
    }
    int depth = emit_follow(scope, argument, chain);
    if (dgnn_value_kind(&chain[depth]) != DGNN_VALUE_ABSENT) {
        return dgnn_writer_json(&chain[depth], &emit->text, NULL, &narrays, emit->error);
    }
    return fallback ? emit_text_quoted(emit, fallback, (int64_t)strlen(fallback))
                    : dgnn_status_set(emit->error, DGNN_ERROR_FORMAT, "%s: missing",
                                      dgnn_value_path(&chain[depth], path, sizeof(path)));
}

/* The parts of "a;b;c" in place. */
static void emit_split(char *argument, char *part[3])
{
    part[0] = argument;
    for (int k = 1; k < 3; k++) {
        part[k] = part[k - 1] ? strchr(part[k - 1], ';') : NULL;
        if (part[k]) {
            *part[k]++ = 0;
        }
    }
}

static int emit_layer_mark(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, char *argument,
                           int optional)
{
    char *part[3], name[DGNN_EMIT_NAME_MAX], activation[64];
    char *key = optional ? argument : NULL, *names = optional ? strchr(argument, '=') : argument;
    if (optional) {
        *names++ = 0;
    }
    emit_split(names, part);
    DGNN_TRY(dgnn_emit_name(emit, scope, part[0], name, emit->error));
    snprintf(activation, sizeof(activation), "\"%s\"", part[1]);
    const char *act = part[1][0] == '$' ? dgnn_emit_variable(scope, part[1] + 1) : activation;
    if (optional && !dgnn_states_has(emit->state, name)) {
        return DGNN_OK;
    }
    if (optional) {
        DGNN_TRY(dgnn_text_add(&emit->text, emit->error, ", \"%s\": ", key));
    }
    return emit_layer(emit, scope, name, act, part[2]);
}

static int emit_mark(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, char mark, char *argument)
{
    char name[DGNN_EMIT_NAME_MAX], *part[3];
    const char *text;
    switch (mark) {
    case '$':
        text = dgnn_emit_variable(scope, argument);
        return dgnn_text_add(&emit->text, emit->error, "%s", text ? text : "null");
    case '?':
        return emit_setting(emit, scope, argument);
    case '%':
    case '~':
        return emit_layer_mark(emit, scope, argument, mark == '~');
    case '#':
        emit_split(argument, part);
        DGNN_TRY(dgnn_emit_name(emit, scope, part[0], name, emit->error));
        text = part[2][0] == '$' ? dgnn_emit_variable(scope, part[2] + 1) : part[2];
        return emit_collection(emit, scope, name, part[1], text);
    default:
        DGNN_TRY(dgnn_emit_name(emit, scope, argument, name, emit->error));
        if (mark == '&' && !dgnn_states_find(emit->state, name)) {
            return dgnn_text_add(&emit->text, emit->error, "null");
        }
        return mark == '*' ? emit_tensors(emit, name) : emit_tensor_shaped(emit, name, mark == '!');
    }
}

int dgnn_emit_template(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *template)
{
    while (*template) {
        size_t plain = strcspn(template, "$?^&*%~#!");
        DGNN_TRY(emit_text_quoted(emit, template, (int64_t)plain));
        template += plain;
        if (*template) {
            char argument[EMIT_ARGUMENT_MAX];
            const char *end = strchr(template + 1, *template);
            snprintf(argument, sizeof(argument), "%.*s", (int)(end - template - 1), template + 1);
            DGNN_TRY(emit_mark(emit, scope, *template, argument));
            template = end + 1;
        }
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ settings */

/* Takes over text. */
static int emit_define_text(struct dgnn_emit *emit, struct dgnn_emit_settings *settings, const char *name,
                            struct dgnn_text *text)
{
    if (settings->count == DGNN_EMIT_VARIABLES) {
        dgnn_text_free(text);
        return dgnn_status_set(emit->error, DGNN_ERROR_INTERNAL, "more than %d variables in a table",
                               DGNN_EMIT_VARIABLES);
    }
    int32_t k = settings->count++;
    settings->texts[k] = *text;
    settings->variables[k] = (struct dgnn_emit_variable){name, text->data, settings->scope.variables};
    settings->scope.variables = &settings->variables[k];
    return DGNN_OK;
}

int dgnn_emit_define(struct dgnn_emit *emit, struct dgnn_emit_settings *settings, const char *name,
                     const char *template)
{
    struct dgnn_text before = emit->text;
    emit->text = (struct dgnn_text){0};
    int status = dgnn_text_add(&emit->text, emit->error, "%s", "");
    status = status ? status : dgnn_emit_template(emit, &settings->scope, template);
    struct dgnn_text text = emit->text;
    emit->text = before;
    if (status) {
        dgnn_text_free(&text);
        return status;
    }
    return emit_define_text(emit, settings, name, &text);
}

static int emit_double(const struct dgnn_value *list, const char *suffix, struct dgnn_text *text,
                       struct dgnn_error *error)
{
    int64_t count, narrays = 0;
    DGNN_TRY(dgnn_value_list(list, &count, error));
    DGNN_TRY(dgnn_text_add(text, error, "["));
    for (int64_t k = 0; k < 2 * count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k % count);
        DGNN_TRY(dgnn_text_add(text, error, k ? ", " : ""));
        DGNN_TRY(dgnn_writer_json(&item, text, NULL, &narrays, error));
        if (k >= count && suffix[0] && dgnn_value_kind(&item) == DGNN_VALUE_STRING) {
            text->length--; /* before the closing quote */
            DGNN_TRY(dgnn_text_add(text, error, "%s\"", suffix));
        }
    }
    return dgnn_text_add(text, error, "]");
}

int dgnn_emit_define_doubled(struct dgnn_emit *emit, struct dgnn_emit_settings *settings, const char *name,
                             const char *path, const char *suffix)
{
    char copy[EMIT_ARGUMENT_MAX];
    struct dgnn_value chain[EMIT_DEPTH];
    struct dgnn_text text = {0};
    snprintf(copy, sizeof(copy), "%s", path);
    int depth = emit_follow(&settings->scope, copy, chain);
    int status = emit_double(&chain[depth], suffix, &text, emit->error);
    if (status) {
        dgnn_text_free(&text);
        return status;
    }
    return emit_define_text(emit, settings, name, &text);
}

void dgnn_emit_undefine(struct dgnn_emit_settings *settings)
{
    while (settings->count > 0) {
        dgnn_text_free(&settings->texts[--settings->count]);
    }
}

const char *dgnn_emit_precision(const char *json)
{
    static const char *const names[][2] = {
        {"\"default\"", "'float64'"}, {"\"double\"", "'float64'"},  {"\"float64\"", "'float64'"},
        {"\"single\"", "'float32'"},  {"\"float\"", "'float32'"},   {"\"float32\"", "'float32'"},
        {"\"half\"", "'float16'"},    {"\"float16\"", "'float16'"}, {"\"bfloat16\"", "'bfloat16'"}};
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        if (!strcmp(json, names[k][0])) {
            return names[k][1];
        }
    }
    return "'unknown'";
}
