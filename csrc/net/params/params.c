#include "net/params/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The row of a member, or of a variable. */
/* Of variables that are numbered ("0.matrix", "layers.1.bias") the table has the first word. */
static int params_same_name(const struct dgnn_param *param, const char *name)
{
    size_t length = param->kind == DGNN_PARAM_VARIABLE ? strcspn(name, ".") : strlen(name);
    return strlen(param->name) == length && !strncmp(param->name, name, length);
}

static const struct dgnn_param *params_find(const struct dgnn_param *params, size_t nparam, const char *name,
                                            int variable)
{
    for (size_t p = 0; p < nparam; p++) {
        if (params[p].kind != DGNN_PARAM_CLASS && (params[p].kind == DGNN_PARAM_VARIABLE) == variable &&
            params_same_name(&params[p], name)) {
            return &params[p];
        }
    }
    return NULL;
}

static int params_unknown(const struct dgnn_value *member, struct dgnn_error *error)
{
    return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, member,
                             "dgnn does not know this option, so it does not evaluate a model that has it");
}

/* "@class" and "@version", for an object whose table has a class. */
static int params_check_class(const struct dgnn_value *object, const struct dgnn_param *row,
                              struct dgnn_error *error)
{
    struct dgnn_value class = dgnn_value_member(object, "@class"),
                      version = dgnn_value_member(object, "@version");
    int64_t number = row->required, lowest = (int64_t)row->number, highest = (int64_t)row->offset;
    const char *name = row->name;
    if (dgnn_value_kind(&class) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&class, &name, error));
    }
    if (strcmp(name, row->name)) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &class, "found '%s', expected '%s'", name,
                                 row->name);
    }
    if (dgnn_value_kind(&version) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_int(&version, &number, error));
    }
    if (number < lowest || number > highest) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, object,
                                 "version %lld; dgnn reads %lld to %lld", (long long)number,
                                 (long long)lowest, (long long)highest);
    }
    return DGNN_OK;
}

static const struct dgnn_param *params_first(const struct dgnn_param *params, size_t nparam,
                                             enum dgnn_param_kind kind)
{
    for (size_t p = 0; p < nparam; p++) {
        if (params[p].kind == kind) {
            return &params[p];
        }
    }
    return NULL;
}

static int params_check_variables(const struct dgnn_value *variables, const struct dgnn_param *params,
                                  size_t nparam, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_value_object(variables, error));
    for (int64_t m = 0; m < dgnn_value_count(variables); m++) {
        struct dgnn_value member = dgnn_value_item(variables, m);
        if (!params_find(params, nparam, member.name, 1)) {
            return params_unknown(&member, error);
        }
    }
    return DGNN_OK;
}

static int params_check_names(const struct dgnn_value *object, const struct dgnn_param *params, size_t nparam,
                              struct dgnn_error *error)
{
    const struct dgnn_param *class = params_first(params, nparam, DGNN_PARAM_CLASS);
    const struct dgnn_param *variable = params_first(params, nparam, DGNN_PARAM_VARIABLE);
    if (class) {
        DGNN_TRY(params_check_class(object, class, error));
    }
    for (int64_t m = 0; m < dgnn_value_count(object); m++) {
        struct dgnn_value member = dgnn_value_item(object, m);
        if (variable && !strcmp(member.name, "@variables")) {
            DGNN_TRY(params_check_variables(&member, params, nparam, error));
        } else if (!(class && (!strcmp(member.name, "@class") || !strcmp(member.name, "@version"))) &&
                   !params_find(params, nparam, member.name, 0)) {
            return params_unknown(&member, error);
        }
    }
    return DGNN_OK;
}

static int params_missing(const struct dgnn_value *object, const char *name, struct dgnn_error *error)
{
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, object, "member '%s' is missing", name);
}

/* Is a value what the JSON literal says? Literals: null, true, false, [], a number, a "string". */
static int params_is_literal(const struct dgnn_value *value, const char *json)
{
    const char *string;
    double number;
    char *end;
    int flag;
    switch (dgnn_value_kind(value)) {
    case DGNN_VALUE_ABSENT:
        return 1;
    case DGNN_VALUE_NULL:
        return !strcmp(json, "null");
    case DGNN_VALUE_BOOL:
        return !dgnn_value_bool(value, &flag, NULL) && !strcmp(json, flag ? "true" : "false");
    case DGNN_VALUE_LIST:
        return dgnn_value_count(value) == 0 && !strcmp(json, "[]");
    case DGNN_VALUE_NUMBER:
        return !dgnn_value_double(value, &number, NULL) && number == strtod(json, &end) && end != json;
    case DGNN_VALUE_STRING:
        return !dgnn_value_string(value, &string, NULL) && json[0] == '"' &&
               !strncmp(json + 1, string, strlen(string)) && !strcmp(json + 1 + strlen(string), "\"");
    default:
        return 0;
    }
}

static int params_check_only(const struct dgnn_value *member, const struct dgnn_param *param,
                             struct dgnn_error *error)
{
    if (params_is_literal(member, param->text)) {
        return DGNN_OK;
    }
    return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, member,
                             "dgnn evaluates only models where this is %s (%s)", param->text, param->meaning);
}

static int params_load_string(const struct dgnn_value *object, const struct dgnn_value *member,
                              const struct dgnn_param *param, const char **out, struct dgnn_error *error)
{
    enum dgnn_value_kind kind = dgnn_value_kind(member);
    if (kind == DGNN_VALUE_ABSENT || kind == DGNN_VALUE_NULL) {
        *out = param->text;
        return param->text || kind == DGNN_VALUE_NULL ? DGNN_OK : params_missing(object, param->name, error);
    }
    return dgnn_value_string(member, out, error);
}

static int params_load_number(const struct dgnn_value *object, const struct dgnn_value *member,
                              const struct dgnn_param *param, void *place, struct dgnn_error *error)
{
    int absent = dgnn_value_kind(member) == DGNN_VALUE_ABSENT;
    if (absent && param->number == (double)DGNN_REQUIRED) {
        return params_missing(object, param->name, error);
    }
    if (param->kind == DGNN_PARAM_INT) {
        *(int64_t *)place = (int64_t)param->number;
        return absent ? DGNN_OK : dgnn_value_int(member, place, error);
    }
    if (param->kind == DGNN_PARAM_DOUBLE) {
        *(double *)place = param->number;
        return absent ? DGNN_OK : dgnn_value_double(member, place, error);
    }
    *(int32_t *)place = param->number != 0;
    return absent ? DGNN_OK : dgnn_value_bool(member, place, error);
}

int dgnn_params_load(const struct dgnn_value *object, const struct dgnn_param *params, size_t nparam,
                     void *out, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_value_object(object, error));
    DGNN_TRY(params_check_names(object, params, nparam, error));
    for (size_t p = 0; p < nparam; p++) {
        struct dgnn_value member = dgnn_value_member(object, params[p].name);
        void *place = out ? (char *)out + params[p].offset : NULL;
        switch (params[p].kind) {
        case DGNN_PARAM_IGNORED:
        case DGNN_PARAM_CLASS:
        case DGNN_PARAM_VARIABLE:
            break;
        case DGNN_PARAM_ONLY:
            DGNN_TRY(params_check_only(&member, &params[p], error));
            break;
        case DGNN_PARAM_STRING:
            DGNN_TRY(params_load_string(object, &member, &params[p], place, error));
            break;
        case DGNN_PARAM_VALUE:
        case DGNN_PARAM_SAME:
            if (params[p].required && dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
                return params_missing(object, params[p].name, error);
            }
            *(struct dgnn_value *)place = member;
            break;
        default:
            DGNN_TRY(params_load_number(object, &member, &params[p], place, error));
        }
    }
    return DGNN_OK;
}

int dgnn_params_describe(const struct dgnn_param *params, size_t nparam, const void *from,
                         struct dgnn_text *text, struct dgnn_error *error)
{
    const char *separator = "";
    for (size_t p = 0; p < nparam; p++) {
        const void *place = (const char *)from + params[p].offset;
        const char *string = params[p].kind == DGNN_PARAM_STRING ? *(const char *const *)place : NULL;
        if (params[p].kind > DGNN_PARAM_STRING || (params[p].kind == DGNN_PARAM_STRING && !string)) {
            continue;
        }
        DGNN_TRY(dgnn_text_add(text, error, "%s\"%s\": ", separator, params[p].name));
        if (params[p].kind == DGNN_PARAM_INT) {
            DGNN_TRY(dgnn_text_add(text, error, "%lld", (long long)*(const int64_t *)place));
        } else if (params[p].kind == DGNN_PARAM_DOUBLE) {
            DGNN_TRY(dgnn_text_add(text, error, "%.17g", *(const double *)place));
        } else if (params[p].kind == DGNN_PARAM_BOOL) {
            DGNN_TRY(dgnn_text_add(text, error, "%s", *(const int32_t *)place ? "true" : "false"));
        } else {
            DGNN_TRY(dgnn_text_add_quoted(text, string, error));
        }
        separator = ", ";
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- what is said twice */

static int params_contradicts(const struct dgnn_value *member, const char *what, const char *expected,
                              struct dgnn_error *error)
{
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, member, "contradicts %s, by which it is %s", what,
                             expected);
}

static int params_absent(const struct dgnn_value *member)
{
    return dgnn_value_kind(member) == DGNN_VALUE_ABSENT;
}

int dgnn_params_same_int(const struct dgnn_value *member, int64_t expected, const char *what,
                         struct dgnn_error *error)
{
    int64_t found = expected;
    char text[32];
    if (!params_absent(member)) {
        DGNN_TRY(dgnn_value_int(member, &found, error));
    }
    snprintf(text, sizeof(text), "%lld", (long long)expected);
    return found == expected ? DGNN_OK : params_contradicts(member, what, text, error);
}

int dgnn_params_same_double(const struct dgnn_value *member, double expected, const char *what,
                            struct dgnn_error *error)
{
    double found = expected;
    char text[32];
    if (!params_absent(member)) {
        DGNN_TRY(dgnn_value_double(member, &found, error));
    }
    snprintf(text, sizeof(text), "%.17g", expected);
    return found == expected ? DGNN_OK : params_contradicts(member, what, text, error);
}

int dgnn_params_same_bool(const struct dgnn_value *member, int32_t expected, const char *what,
                          struct dgnn_error *error)
{
    int found = expected;
    if (!params_absent(member)) {
        DGNN_TRY(dgnn_value_bool(member, &found, error));
    }
    return !found == !expected ? DGNN_OK
                               : params_contradicts(member, what, expected ? "true" : "false", error);
}

int dgnn_params_same_string(const struct dgnn_value *member, const char *expected, const char *what,
                            struct dgnn_error *error)
{
    const char *found = expected;
    if (!params_absent(member)) {
        DGNN_TRY(dgnn_value_string(member, &found, error));
    }
    return !strcmp(found, expected) ? DGNN_OK : params_contradicts(member, what, expected, error);
}

int dgnn_params_same_count(const struct dgnn_value *member, int64_t expected, const char *what,
                           struct dgnn_error *error)
{
    int64_t found;
    char text[64];
    DGNN_TRY(dgnn_value_list(member, &found, error));
    snprintf(text, sizeof(text), "a list of %lld", (long long)expected);
    return found == expected ? DGNN_OK : params_contradicts(member, what, text, error);
}

int dgnn_params_same_activation(const struct dgnn_value *member, const struct dgnn_activation *expected,
                                const char *what, struct dgnn_error *error)
{
    enum dgnn_value_kind kind = dgnn_value_kind(member);
    struct dgnn_activation found;
    const char *name = NULL;
    if (kind == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    if (kind != DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_string(member, &name, error));
    }
    DGNN_TRY(dgnn_params_activation(name, member, &found, error));
    int same = found.kind == expected->kind && found.threshold == expected->threshold &&
               found.offset == expected->offset && found.slope == expected->slope;
    return same ? DGNN_OK : params_contradicts(member, what, "another one", error);
}

int dgnn_params_unused(const struct dgnn_value *member, const char *why, struct dgnn_error *error)
{
    if (params_absent(member) || dgnn_value_kind(member) == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, member, "is there, but %s", why);
}

static int params_alike(const struct dgnn_param *param, const void *own, const void *other)
{
    const char *const *a = own, *const *b = other;
    switch (param->kind) {
    case DGNN_PARAM_INT:
        return *(const int64_t *)own == *(const int64_t *)other;
    case DGNN_PARAM_DOUBLE:
        return *(const double *)own == *(const double *)other;
    case DGNN_PARAM_BOOL:
        return *(const int32_t *)own == *(const int32_t *)other;
    case DGNN_PARAM_STRING:
        return *a && *b ? !strcmp(*a, *b) : *a == *b;
    default:
        return 1;
    }
}

int dgnn_params_agree(const struct dgnn_value *object, const struct dgnn_params_filled *own,
                      const struct dgnn_params_filled *other, const char *const *but,
                      struct dgnn_error *error)
{
    for (size_t p = 0; p < own->nparam; p++) {
        const struct dgnn_param *param = &own->params[p],
                                *row = params_find(other->params, other->nparam, param->name, 0);
        int differs = row && row->kind == param->kind &&
                      !params_alike(param, (const char *)own->from + param->offset,
                                    (const char *)other->from + row->offset);
        for (const char *const *name = but; differs && name && *name; name++) {
            differs = strcmp(*name, param->name) != 0;
        }
        if (differs) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, object, "its %s contradicts that of the block",
                                     param->name);
        }
    }
    return DGNN_OK;
}

int dgnn_params_row(const struct dgnn_value *member, int64_t n, struct dgnn_tensor *tensor,
                    struct dgnn_error *error)
{
    int longer = 0;
    DGNN_TRY(dgnn_value_tensor(member, tensor, error));
    for (int d = 0; d < tensor->ndim; d++) {
        longer += tensor->shape[d] != 1;
    }
    if (tensor->ndim > 1 && longer <= 1 && dgnn_tensor_size(tensor) == n) {
        tensor->shape[0] = n;
        tensor->ndim = 1;
        return DGNN_OK;
    }
    return dgnn_value_tensor_shaped(member, 1, &n, tensor, error);
}

/* ---------------------------------------------------------------- lists and names */

static int params_pair_type(const struct dgnn_value *pair, int64_t index, int32_t ntypes, int64_t *type,
                            struct dgnn_error *error)
{
    struct dgnn_value item = dgnn_value_item(pair, index);
    DGNN_TRY(dgnn_value_int(&item, type, error));
    if (*type < 0 || *type >= ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &item, "type %lld is not in [0, %d)",
                                 (long long)*type, ntypes);
    }
    return DGNN_OK;
}

static int params_fill_pairs(const struct dgnn_value *list, int64_t count, int32_t ntypes, uint8_t *table,
                             struct dgnn_error *error)
{
    for (int64_t p = 0; p < count; p++) {
        struct dgnn_value pair = dgnn_value_item(list, p);
        int64_t length, a, b;
        DGNN_TRY(dgnn_value_list(&pair, &length, error));
        if (length != 2) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &pair,
                                     "expected a pair of types, found %lld values", (long long)length);
        }
        DGNN_TRY(params_pair_type(&pair, 0, ntypes, &a, error));
        DGNN_TRY(params_pair_type(&pair, 1, ntypes, &b, error));
        table[a * ntypes + b] = table[b * ntypes + a] = 1;
    }
    return DGNN_OK;
}

int dgnn_params_pairs(const struct dgnn_value *list, int32_t ntypes, uint8_t **table, int32_t *any,
                      struct dgnn_error *error)
{
    enum dgnn_value_kind kind = dgnn_value_kind(list);
    int64_t count = 0;
    if (kind != DGNN_VALUE_ABSENT && kind != DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_list(list, &count, error));
    }
    uint8_t *pairs = dgnn_alloc_zeroed((int64_t)ntypes * ntypes, 1);
    if (!pairs) {
        return dgnn_status_no_memory(error, "a table of excluded pairs", (int64_t)ntypes * ntypes);
    }
    int status = params_fill_pairs(list, count, ntypes, pairs, error);
    if (status) {
        dgnn_alloc_free(pairs);
        return status;
    }
    *table = pairs;
    *any = count > 0;
    return DGNN_OK;
}

int dgnn_params_types(const struct dgnn_value *list, int32_t ntypes, uint8_t **flags,
                      struct dgnn_error *error)
{
    int64_t count = 0, type;
    *flags = dgnn_alloc_zeroed(ntypes, 1);
    if (!*flags) {
        return dgnn_status_no_memory(error, "excluded types", ntypes);
    }
    if (dgnn_value_kind(list) != DGNN_VALUE_ABSENT && dgnn_value_kind(list) != DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_list(list, &count, error));
    }
    for (int64_t i = 0; i < count; i++) {
        struct dgnn_value item = dgnn_value_item(list, i);
        DGNN_TRY(dgnn_value_int(&item, &type, error));
        if (type < 0 || type >= ntypes) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &item, "not a type of the model");
        }
        (*flags)[type] = 1;
    }
    return DGNN_OK;
}

static int params_fill_names(const struct dgnn_value *list, int64_t count, const char **names,
                             struct dgnn_error *error)
{
    for (int64_t t = 0; t < count; t++) {
        struct dgnn_value item = dgnn_value_item(list, t);
        DGNN_TRY(dgnn_value_string(&item, &names[t], error));
        for (int64_t s = 0; s < t; s++) {
            if (!strcmp(names[s], names[t])) {
                return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &item, "type '%s' is there twice",
                                         names[t]);
            }
        }
    }
    return DGNN_OK;
}

int dgnn_params_type_map(const struct dgnn_value *list, int32_t *ntypes, const char ***names,
                         struct dgnn_error *error)
{
    int64_t count;
    DGNN_TRY(dgnn_value_list(list, &count, error));
    if (count < 1 || count > 4096) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, list, "%lld types; expected 1 to 4096",
                                 (long long)count);
    }
    const char **found = dgnn_alloc_zeroed(count, sizeof(*found));
    if (!found) {
        return dgnn_status_no_memory(error, "the type map", count * 8);
    }
    int status = params_fill_names(list, count, found, error);
    if (status) {
        dgnn_alloc_free(found);
        return status;
    }
    *names = found;
    *ntypes = (int32_t)count;
    return DGNN_OK;
}

int dgnn_params_precision(const char *name, const struct dgnn_value *where, int32_t *dtype,
                          struct dgnn_error *error)
{
    static const struct {
        const char *name;
        int32_t dtype;
    } known[] = {{"float64", DGNN_DTYPE_FLOAT64},
                 {"default", DGNN_DTYPE_FLOAT64},
                 {"double", DGNN_DTYPE_FLOAT64},
                 {"float32", DGNN_DTYPE_FLOAT32},
                 {"single", DGNN_DTYPE_FLOAT32}};
    for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
        if (name && !strcasecmp(name, known[k].name)) {
            *dtype = known[k].dtype;
            return DGNN_OK;
        }
    }
    return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, where,
                             "precision '%s' is not supported; dgnn evaluates float32 and float64 models",
                             name ? name : "null");
}

int dgnn_params_activation(const char *name, const struct dgnn_value *where,
                           struct dgnn_activation *activation, struct dgnn_error *error)
{
    struct dgnn_error own;
    int status = dgnn_activation_parse(name ? name : "none", activation, &own);
    return status ? dgnn_value_refuse(error, status, where, "%s", own.message) : DGNN_OK;
}
