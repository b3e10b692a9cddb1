#include "io/tree.h"

#include "base/alloc.h"
#include "io/json.h"
#include "base/limits.h"
#include "io/scan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dgnn_tree {
    char *name;
    struct dgnn_json *json;
    struct dgnn_tensor *given; /* copies of the arrays given, data owned */
    int64_t ngiven;
    struct dgnn_scan_array *arrays; /* of the text */
    int64_t narrays;
};

/* ------------------------------------------------------------------ arrays given */

static int64_t tree_first_bad(const struct dgnn_tensor *tensor, int64_t size)
{
    for (int64_t i = 0; i < size; i++) {
        if ((tensor->dtype == 'd' && !isfinite(((const double *)tensor->data)[i])) ||
            (tensor->dtype == 'f' && !isfinite(((const float *)tensor->data)[i])) ||
            (tensor->dtype == '?' && ((const unsigned char *)tensor->data)[i] > 1)) {
            return i;
        }
    }
    return -1;
}

static int tree_copy_array(struct dgnn_tree *tree, const struct dgnn_array *array, size_t index,
                           struct dgnn_error *error)
{
    struct dgnn_tensor tensor = {.dtype = array->dtype, .ndim = array->ndim};
    int64_t item = dgnn_tensor_item_size(array->dtype);
    int64_t nbytes;
    if (item == 0 || array->ndim < 0 || array->ndim > DGNN_TENSOR_MAX_NDIM) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: array %zu: type %d with %d dimensions is unknown", tree->name, index,
                               (int)array->dtype, (int)array->ndim);
    }
    memcpy(tensor.shape, array->shape, (size_t)array->ndim * sizeof(tensor.shape[0]));
    int64_t size = dgnn_tensor_size(&tensor);
    if (size < 0 || size > DGNN_LIMIT_ELEMENTS || (size > 0 && !array->data)) {
        return dgnn_status_set(
            error, DGNN_ERROR_FORMAT,
            "%s: array %zu: its shape is negative, or has more than 2^31 elements, or its data is "
            "missing",
            tree->name, index);
    }
    if (!dgnn_alloc_checked(size, item, 0, &nbytes) || !(tensor.data = dgnn_alloc(nbytes, 1))) {
        return dgnn_status_no_memory(error, "an array", size * item);
    }
    if (nbytes > 0) {
        memcpy((void *)tensor.data, array->data, (size_t)nbytes);
    }
    tree->given[tree->ngiven++] = tensor;
    int64_t bad = tree_first_bad(&tensor, size);
    if (bad >= 0) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: array %zu: element %lld is %s", tree->name,
                               index, (long long)bad, tensor.dtype == '?' ? "neither 0 nor 1" : "not finite");
    }
    return DGNN_OK;
}

static int tree_copy_arrays(struct dgnn_tree *tree, const struct dgnn_array *arrays, size_t narrays,
                            struct dgnn_error *error)
{
    if (narrays == 0) {
        return DGNN_OK;
    }
    if (narrays > DGNN_LIMIT_VALUES) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %zu arrays; at most %lld are read", tree->name,
                               narrays, (long long)DGNN_LIMIT_VALUES);
    }
    tree->given = dgnn_alloc((int64_t)narrays, sizeof(*tree->given));
    if (!tree->given) {
        return dgnn_status_no_memory(error, "a list of arrays", (int64_t)(narrays * sizeof(*tree->given)));
    }
    for (size_t i = 0; i < narrays; i++) {
        DGNN_TRY(tree_copy_array(tree, &arrays[i], i, error));
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ from placeholders to values */

struct tree_builder {
    struct dgnn_tree *tree;
    const struct dgnn_scan *scan;
    struct dgnn_error *error;
};

static int tree_fail_status(struct tree_builder *builder, const struct dgnn_value *value, int status,
                            const char *what)
{
    char path[512];
    return dgnn_status_set(builder->error, status, "%s: %s", dgnn_value_path(value, path, sizeof(path)),
                           what);
}

static int tree_fail(struct tree_builder *builder, const struct dgnn_value *value, const char *what)
{
    return tree_fail_status(builder, value, DGNN_ERROR_FORMAT, what);
}

static int tree_compare_keys(const void *a, const void *b)
{
    return strcmp(dgnn_json_key(*(void *const *)a), dgnn_json_key(*(void *const *)b));
}

static int tree_check_keys(struct tree_builder *builder, const struct dgnn_value *object)
{
    int64_t count = dgnn_json_count(object->node);
    if (count < 2) {
        return DGNN_OK;
    }
    void **sorted = dgnn_alloc(count, sizeof(*sorted));
    int status = DGNN_OK;
    if (!sorted) {
        return dgnn_status_no_memory(builder->error, "a list of names", count * (int64_t)sizeof(*sorted));
    }
    memcpy(sorted, dgnn_json_items(object->node), (size_t)count * sizeof(*sorted));
    qsort(sorted, (size_t)count, sizeof(*sorted), tree_compare_keys);
    for (int64_t i = 1; i < count && !status; i++) {
        if (!tree_compare_keys(&sorted[i - 1], &sorted[i])) {
            struct dgnn_value twice = {
                .tree = object->tree, .node = sorted[i], .parent = object, .name = dgnn_json_key(sorted[i])};
            status = tree_fail(builder, &twice, "the same name twice in an object");
        }
    }
    dgnn_alloc_free(sorted);
    return status;
}

static const struct dgnn_scan_placeholder *tree_placeholder(struct tree_builder *builder, const void *node)
{
    static const struct dgnn_scan_placeholder missing = {.array = -1};
    double number = dgnn_json_number(node);
    return number >= 0 && number < (double)builder->scan->nplaceholder
               ? &builder->scan->placeholders[(int64_t)number]
               : &missing;
}

/* The array that this object stands for, or -1. */
static int32_t tree_object_array(struct tree_builder *builder, const void *object)
{
    for (void *child = dgnn_json_first(object); child; child = dgnn_json_next(child)) {
        if (dgnn_json_kind(child) == DGNN_VALUE_NUMBER && tree_placeholder(builder, child)->array >= 0) {
            return tree_placeholder(builder, child)->array;
        }
    }
    return -1;
}

/* An array is these members and no others. "@is_variable" says that it was trained; "@version" has always
 * been 1. */
static int tree_check_array(struct tree_builder *builder, const struct dgnn_value *value)
{
    static const char *const known[] = {"@class", "@is_variable", "@version", "@index", "dtype", "value"};
    for (void *child = dgnn_json_first(value->node); child; child = dgnn_json_next(child)) {
        const char *name = dgnn_json_key(child);
        struct dgnn_value member = {.tree = value->tree, .node = child, .parent = value, .name = name};
        int found = 0;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
            found |= !strcmp(known[k], name);
        }
        if (!found) {
            return tree_fail_status(builder, &member, DGNN_ERROR_UNSUPPORTED,
                                    "dgnn knows no such member of an array");
        }
        if (!strcmp(name, "@version") &&
            (dgnn_json_kind(child) != DGNN_VALUE_NUMBER || tree_placeholder(builder, child)->number != 1)) {
            return tree_fail_status(builder, &member, DGNN_ERROR_UNSUPPORTED,
                                    "dgnn reads version 1 of arrays");
        }
    }
    return DGNN_OK;
}

static int tree_resolve(struct tree_builder *builder, const struct dgnn_value *value);

static int tree_resolve_object(struct tree_builder *builder, const struct dgnn_value *value, int *is_array)
{
    const void *type = dgnn_json_member(value->node, "@class");
    DGNN_TRY(tree_check_keys(builder, value));
    int32_t array = tree_object_array(builder, value->node);
    *is_array = array >= 0;
    if (*is_array) {
        DGNN_TRY(tree_check_array(builder, value));
        dgnn_json_set_tensor((void *)value->node, array);
    } else if (type && dgnn_json_kind(type) == DGNN_VALUE_STRING &&
               !strcmp(dgnn_json_string(type), "np.ndarray")) {
        return tree_fail(builder, value, "an array whose names are written with escapes");
    }
    return DGNN_OK;
}

/* Recursion is bounded: the scan refused what is deeper than DGNN_LIMIT_DEPTH. */
static int tree_resolve(struct tree_builder *builder, const struct dgnn_value *value)
{
    enum dgnn_value_kind kind = dgnn_json_kind(value->node);
    int is_array = 0;
    if (kind == DGNN_VALUE_NUMBER) {
        dgnn_json_set_number((void *)value->node, tree_placeholder(builder, value->node)->number);
    }
    if (kind != DGNN_VALUE_LIST && kind != DGNN_VALUE_OBJECT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_json_index(builder->tree->json, (void *)value->node, builder->error));
    if (kind == DGNN_VALUE_OBJECT) {
        DGNN_TRY(tree_resolve_object(builder, value, &is_array));
    }
    int64_t count = is_array ? 0 : dgnn_value_count(value);
    for (int64_t i = 0; i < count; i++) {
        struct dgnn_value item = dgnn_value_item(value, i);
        DGNN_TRY(tree_resolve(builder, &item));
    }
    return DGNN_OK;
}

static int tree_build(struct dgnn_tree *tree, const char *json, size_t length, struct dgnn_error *error)
{
    struct dgnn_scan scan;
    struct dgnn_scan_input input = {.name = tree->name,
                                    .text = json,
                                    .length = (int64_t)length,
                                    .given = tree->given,
                                    .ngiven = tree->ngiven};
    struct tree_builder builder = {.tree = tree, .scan = &scan, .error = error};
    DGNN_TRY(dgnn_scan_text(&input, &scan, error));
    int status = dgnn_json_parse(tree->name, scan.text, (size_t)scan.length, &tree->json, error);
    if (!status) {
        struct dgnn_value root = dgnn_tree_root(tree);
        status = tree_resolve(&builder, &root);
    }
    tree->arrays = scan.arrays;
    tree->narrays = scan.narrays;
    scan.arrays = NULL;
    scan.narrays = 0;
    dgnn_scan_free(&scan);
    return status;
}

int dgnn_tree_parse(const char *name, const char *json, size_t length, const struct dgnn_tree_arrays *arrays,
                    struct dgnn_tree **tree, struct dgnn_error *error)
{
    struct dgnn_tree *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (!made || !(made->name = dgnn_alloc_string(name))) {
        dgnn_tree_free(made);
        return dgnn_status_no_memory(error, "a model's tree", (int64_t)sizeof(*made));
    }
    int status = arrays ? tree_copy_arrays(made, arrays->array, arrays->n, error) : DGNN_OK;
    status = status ? status : tree_build(made, json, length, error);
    if (status) {
        dgnn_tree_free(made);
        return status;
    }
    *tree = made;
    return DGNN_OK;
}

void dgnn_tree_free(struct dgnn_tree *tree)
{
    if (!tree) {
        return;
    }
    for (int64_t i = 0; i < tree->narrays; i++) {
        if (tree->arrays[i].owned) {
            dgnn_alloc_free((void *)tree->arrays[i].tensor.data);
        }
    }
    for (int64_t i = 0; i < tree->ngiven; i++) {
        dgnn_alloc_free((void *)tree->given[i].data);
    }
    dgnn_alloc_free(tree->arrays);
    dgnn_alloc_free(tree->given);
    dgnn_json_free(tree->json);
    dgnn_alloc_free(tree->name);
    dgnn_alloc_free(tree);
}

struct dgnn_value dgnn_tree_root(const struct dgnn_tree *tree)
{
    return (struct dgnn_value){.tree = tree, .node = dgnn_json_root(tree->json)};
}

/* ------------------------------------------------------------------ values */

enum dgnn_value_kind dgnn_value_kind(const struct dgnn_value *value)
{
    return dgnn_json_kind(value->node);
}

const char *dgnn_value_kind_name(enum dgnn_value_kind kind)
{
    static const char *const names[] = {"nothing",  "null",   "a boolean", "a number",
                                        "a string", "a list", "an object", "an array"};
    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "nothing";
}

/* Writes the path without the tree's name; returns the characters used. */
static size_t value_path_add(const struct dgnn_value *value, char *buffer, size_t length)
{
    if (!value->parent) {
        return 0;
    }
    size_t used = value_path_add(value->parent, buffer, length);
    int more = value->name ? snprintf(buffer + used, length - used, "%s%s", used > 0 ? "." : "", value->name)
                           : snprintf(buffer + used, length - used, "[%lld]", (long long)value->index);
    used += more > 0 ? (size_t)more : 0;
    return used < length ? used : length - 1;
}

const char *dgnn_value_path(const struct dgnn_value *value, char *buffer, size_t length)
{
    int used = snprintf(buffer, length, "%s", value->tree->name);
    size_t place = used > 0 && (size_t)used < length ? (size_t)used : length - 1;
    if (value->parent && length - place > 2) {
        memcpy(buffer + place, ": ", 3);
        value_path_add(value, buffer + place + 2, length - place - 2);
    }
    return buffer;
}

int dgnn_value_refuse(struct dgnn_error *error, int status, const struct dgnn_value *value,
                      const char *format, ...)
{
    char path[256], message[DGNN_MESSAGE_LENGTH];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    return dgnn_status_set(error, status, "%s: %s", dgnn_value_path(value, path, sizeof(path)), message);
}

struct dgnn_value dgnn_value_member(const struct dgnn_value *value, const char *name)
{
    struct dgnn_value member = {.tree = value->tree, .parent = value, .name = name};
    if (dgnn_value_kind(value) == DGNN_VALUE_OBJECT) {
        member.node = dgnn_json_member(value->node, name);
    }
    return member;
}

int64_t dgnn_value_count(const struct dgnn_value *value)
{
    enum dgnn_value_kind kind = dgnn_value_kind(value);
    return kind == DGNN_VALUE_LIST || kind == DGNN_VALUE_OBJECT ? dgnn_json_count(value->node) : 0;
}

struct dgnn_value dgnn_value_item(const struct dgnn_value *value, int64_t index)
{
    struct dgnn_value item = {.tree = value->tree, .parent = value, .index = index};
    if (index >= 0 && index < dgnn_value_count(value)) {
        item.node = dgnn_json_items(value->node)[index];
        item.name = dgnn_value_kind(value) == DGNN_VALUE_OBJECT ? dgnn_json_key(item.node) : NULL;
    }
    return item;
}

/* ------------------------------------------------------------------ getters */

static int value_mismatch(const struct dgnn_value *value, const char *expected, struct dgnn_error *error)
{
    char path[512];
    dgnn_value_path(value, path, sizeof(path));
    if (dgnn_value_kind(value) == DGNN_VALUE_ABSENT) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: missing; expected %s", path, expected);
    }
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: expected %s, found %s", path, expected,
                           dgnn_value_kind_name(dgnn_value_kind(value)));
}

int dgnn_value_int(const struct dgnn_value *value, int64_t *out, struct dgnn_error *error)
{
    if (dgnn_value_kind(value) != DGNN_VALUE_NUMBER) {
        return value_mismatch(value, "an integer", error);
    }
    double number = dgnn_json_number(value->node);
    if (number != floor(number) || fabs(number) > 9007199254740992.0) {
        char path[512];
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: expected an integer up to 2^53, found %.17g",
                               dgnn_value_path(value, path, sizeof(path)), number);
    }
    *out = (int64_t)number;
    return DGNN_OK;
}

int dgnn_value_double(const struct dgnn_value *value, double *out, struct dgnn_error *error)
{
    if (dgnn_value_kind(value) != DGNN_VALUE_NUMBER) {
        return value_mismatch(value, "a number", error);
    }
    *out = dgnn_json_number(value->node);
    return DGNN_OK;
}

int dgnn_value_bool(const struct dgnn_value *value, int *out, struct dgnn_error *error)
{
    if (dgnn_value_kind(value) != DGNN_VALUE_BOOL) {
        return value_mismatch(value, "a boolean", error);
    }
    *out = dgnn_json_true(value->node);
    return DGNN_OK;
}

int dgnn_value_string(const struct dgnn_value *value, const char **out, struct dgnn_error *error)
{
    if (dgnn_value_kind(value) != DGNN_VALUE_STRING) {
        return value_mismatch(value, "a string", error);
    }
    *out = dgnn_json_string(value->node);
    return DGNN_OK;
}

int dgnn_value_object(const struct dgnn_value *value, struct dgnn_error *error)
{
    return dgnn_value_kind(value) == DGNN_VALUE_OBJECT ? DGNN_OK : value_mismatch(value, "an object", error);
}

int dgnn_value_list(const struct dgnn_value *value, int64_t *count, struct dgnn_error *error)
{
    if (dgnn_value_kind(value) != DGNN_VALUE_LIST) {
        return value_mismatch(value, "a list", error);
    }
    *count = dgnn_value_count(value);
    return DGNN_OK;
}

int dgnn_value_tensor(const struct dgnn_value *value, struct dgnn_tensor *out, struct dgnn_error *error)
{
    if (dgnn_value_kind(value) != DGNN_VALUE_TENSOR) {
        return value_mismatch(value, "an array", error);
    }
    *out = value->tree->arrays[dgnn_json_tensor(value->node)].tensor;
    return DGNN_OK;
}

/* "(2, any, 3)" */
static const char *value_shape_text(int ndim, const int64_t *shape, char *buffer, size_t length)
{
    size_t used = (size_t)snprintf(buffer, length, "(");
    for (int d = 0; d < ndim && used < length; d++) {
        const char *separator = d + 1 < ndim ? ", " : "";
        int more = shape[d] < 0
                       ? snprintf(buffer + used, length - used, "any%s", separator)
                       : snprintf(buffer + used, length - used, "%lld%s", (long long)shape[d], separator);
        used += more > 0 ? (size_t)more : 0;
    }
    if (used < length) {
        snprintf(buffer + used, length - used, ")");
    }
    return buffer;
}

static int value_shape_fits(const struct dgnn_tensor *tensor, int ndim, const int64_t *shape)
{
    int fits = tensor->ndim == ndim;
    for (int d = 0; d < ndim && fits; d++) {
        fits = shape[d] < 0 || shape[d] == tensor->shape[d];
    }
    return fits;
}

int dgnn_value_tensor_shaped(const struct dgnn_value *value, int ndim, const int64_t *shape,
                             struct dgnn_tensor *out, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_value_tensor(value, out, error));
    if (ndim > 1 && shape[0] <= 0 && out->ndim == 1 && out->shape[0] == 0) {
        out->ndim = ndim;
        for (int d = 1; d < ndim; d++) {
            out->shape[d] = shape[d] < 0 ? 0 : shape[d];
        }
    }
    if (!value_shape_fits(out, ndim, shape)) {
        char path[400], expected[200], found[200];
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: expected an array of shape %s, found %s",
                               dgnn_value_path(value, path, sizeof(path)),
                               value_shape_text(ndim, shape, expected, sizeof(expected)),
                               value_shape_text(out->ndim, out->shape, found, sizeof(found)));
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ digest */

static void value_digest_tensor(const struct dgnn_value *value, struct dgnn_digest *digest)
{
    struct dgnn_tensor tensor;
    dgnn_value_tensor(value, &tensor, NULL);
    int32_t head[2] = {tensor.dtype, tensor.ndim};
    dgnn_digest_add(digest, head, sizeof(head));
    dgnn_digest_add(digest, tensor.shape, (size_t)tensor.ndim * sizeof(tensor.shape[0]));
    dgnn_digest_add(digest, tensor.data,
                    (size_t)(dgnn_tensor_size(&tensor) * dgnn_tensor_item_size(tensor.dtype)));
}

void dgnn_value_digest(const struct dgnn_value *value, struct dgnn_digest *digest)
{
    enum dgnn_value_kind kind = dgnn_value_kind(value);
    int64_t head[2] = {kind, dgnn_value_count(value)};
    dgnn_digest_add(digest, head, sizeof(head));
    if (kind == DGNN_VALUE_BOOL) {
        int truth = dgnn_json_true(value->node);
        dgnn_digest_add(digest, &truth, sizeof(truth));
    } else if (kind == DGNN_VALUE_NUMBER) {
        double number = dgnn_json_number(value->node);
        dgnn_digest_add(digest, &number, sizeof(number));
    } else if (kind == DGNN_VALUE_STRING) {
        dgnn_digest_add(digest, dgnn_json_string(value->node), strlen(dgnn_json_string(value->node)) + 1);
    } else if (kind == DGNN_VALUE_TENSOR) {
        value_digest_tensor(value, digest);
    }
    for (int64_t i = 0; i < head[1]; i++) {
        struct dgnn_value item = dgnn_value_item(value, i);
        if (item.name) {
            dgnn_digest_add(digest, item.name, strlen(item.name) + 1);
        }
        dgnn_value_digest(&item, digest);
    }
}
