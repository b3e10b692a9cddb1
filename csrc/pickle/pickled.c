#include "pickle/pickled.h"

#include "base/limits.h"

#include <string.h>

/* ------------------------------------------------------------------ looking */

static const struct dgnn_pickle_node *pickled_node(struct dgnn_pickled value)
{
    return &value.pickle->nodes[value.node];
}

enum dgnn_pickle_kind dgnn_pickled_kind(struct dgnn_pickled value)
{
    return value.node < 0 ? DGNN_PICKLE_ABSENT : (enum dgnn_pickle_kind)pickled_node(value)->kind;
}

static int pickled_has_items(struct dgnn_pickled value)
{
    enum dgnn_pickle_kind kind = dgnn_pickled_kind(value);
    return kind == DGNN_PICKLE_LIST || kind == DGNN_PICKLE_TUPLE || kind == DGNN_PICKLE_DICT ||
           kind == DGNN_PICKLE_OBJECT;
}

int64_t dgnn_pickled_count(struct dgnn_pickled value)
{
    return pickled_has_items(value) ? pickled_node(value)->count : 0;
}

void dgnn_pickled_begin(struct dgnn_pickled value, struct dgnn_pickle_item *item)
{
    *item = (struct dgnn_pickle_item){.next = pickled_has_items(value) ? pickled_node(value)->first : -1};
}

int dgnn_pickled_next(struct dgnn_pickled value, struct dgnn_pickle_item *item)
{
    if (item->next < 0) {
        return 0;
    }
    const struct dgnn_pickle_link *link = &value.pickle->links[item->next];
    item->key = (struct dgnn_pickled){value.pickle, link->key};
    item->value = (struct dgnn_pickled){value.pickle, link->value};
    item->next = link->next;
    return 1;
}

const char *dgnn_pickled_string(struct dgnn_pickled value, int64_t *length)
{
    *length = pickled_node(value)->as.text.length;
    return value.pickle->bytes + pickled_node(value)->as.text.offset;
}

int64_t dgnn_pickled_int(struct dgnn_pickled value)
{
    return pickled_node(value)->as.integer;
}

struct dgnn_pickled dgnn_pickled_member(struct dgnn_pickled value, const char *name)
{
    enum dgnn_pickle_kind kind = dgnn_pickled_kind(value);
    struct dgnn_pickle_item item;
    int64_t length;
    dgnn_pickled_begin(value, &item);
    while ((kind == DGNN_PICKLE_DICT || kind == DGNN_PICKLE_OBJECT) && dgnn_pickled_next(value, &item)) {
        if (dgnn_pickled_kind(item.key) == DGNN_PICKLE_STRING) {
            const char *key = dgnn_pickled_string(item.key, &length);
            if ((size_t)length == strlen(name) && !memcmp(key, name, (size_t)length)) {
                return item.value;
            }
        }
    }
    return (struct dgnn_pickled){value.pickle, -1};
}

/* ------------------------------------------------------------------ tensors */

static const struct {
    const char *name;
    int32_t dtype;
    int32_t size;
} pickled_storages[] = {{"DoubleStorage", 'd', 8}, {"FloatStorage", 'f', 4}, {"LongStorage", 'l', 8},
                        {"IntStorage", 'i', 4},    {"BoolStorage", '?', 1},  {"HalfStorage", 0, 2},
                        {"BFloat16Storage", 0, 2}, {"ShortStorage", 0, 2},   {"CharStorage", 0, 1},
                        {"ByteStorage", 0, 1}};

int32_t dgnn_pickled_storage_type(const char *name)
{
    for (size_t i = 0; i < sizeof(pickled_storages) / sizeof(pickled_storages[0]); i++) {
        if (!strcmp(name, pickled_storages[i].name)) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* The integers of a tuple; -1: not all are, or there are more than DGNN_TENSOR_MAX_NDIM. */
static int32_t pickled_integers(struct dgnn_pickled tuple, int64_t *out)
{
    struct dgnn_pickle_item item;
    int32_t count = 0;
    dgnn_pickled_begin(tuple, &item);
    while (dgnn_pickled_next(tuple, &item)) {
        if (count == DGNN_TENSOR_MAX_NDIM || dgnn_pickled_kind(item.value) != DGNN_PICKLE_INT) {
            return -1;
        }
        out[count++] = dgnn_pickled_int(item.value);
    }
    return count;
}

/* Does every element lie inside the storage? */
static int pickled_fits(const struct dgnn_pickle_tensor *tensor)
{
    int64_t size = 1, last = tensor->offset;
    for (int32_t d = 0; d < tensor->ndim; d++) {
        int64_t reach;
        if (tensor->shape[d] < 0 || tensor->stride[d] < 0 ||
            !dgnn_alloc_checked(size, tensor->shape[d], 0, &size)) {
            return 0;
        }
        if (tensor->shape[d] > 0 &&
            (!dgnn_alloc_checked(tensor->shape[d] - 1, tensor->stride[d], last, &reach) ||
             (last = reach) < 0)) {
            return 0;
        }
    }
    return tensor->offset >= 0 && size <= DGNN_LIMIT_ELEMENTS && (size == 0 || last < tensor->nelement);
}

const char *dgnn_pickled_tensor(struct dgnn_pickled value, struct dgnn_pickle_tensor *tensor)
{
    struct dgnn_pickle_item item;
    struct dgnn_pickled part[4] = {{0}}, name[5] = {{0}};
    struct dgnn_pickled list = {value.pickle, value.node};
    int64_t length;
    item.next = pickled_node(list)->first;
    for (int i = 0; i < 4 && dgnn_pickled_next(list, &item); i++) {
        part[i] = item.value;
    }
    item.next = pickled_node(part[0])->first;
    for (int i = 0; i < 5 && dgnn_pickled_next(part[0], &item); i++) {
        name[i] = item.value;
    }
    int64_t type = pickled_node(part[0])->as.integer;
    *tensor = (struct dgnn_pickle_tensor){.type = pickled_storages[type].name,
                                          .dtype = pickled_storages[type].dtype,
                                          .item_size = pickled_storages[type].size,
                                          .nelement = dgnn_pickled_int(name[4]),
                                          .offset = dgnn_pickled_int(part[1])};
    tensor->storage = dgnn_pickled_string(name[2], &length);
    tensor->storage_length = (int32_t)length;
    tensor->ndim = pickled_integers(part[2], tensor->shape);
    if (tensor->ndim < 0 || pickled_integers(part[3], tensor->stride) != tensor->ndim) {
        return "a tensor's shape and strides: expected as many integers, at most 8";
    }
    return pickled_fits(tensor) ? NULL
                                : "a tensor reaches beyond its storage, or has more than 2^31 elements";
}

/* ------------------------------------------------------------------ checking */

struct pickled_checker {
    const struct dgnn_pickle *pickle;
    const char *name;
    struct pickled_seen {
        int32_t expanded; /* 0: not yet seen; -1: being looked at */
        int32_t height;
    } *seen;
    struct dgnn_error *error;
};

static int pickled_visit(struct pickled_checker *c, int32_t node, int32_t depth);

static int pickled_visit_items(struct pickled_checker *c, int32_t node, int32_t depth)
{
    struct pickled_seen total = {1, 1};
    for (int32_t at = c->pickle->nodes[node].first; at >= 0; at = c->pickle->links[at].next) {
        const struct dgnn_pickle_link *link = &c->pickle->links[at];
        DGNN_TRY(pickled_visit(c, link->value, depth + 1));
        const struct pickled_seen *child = &c->seen[link->value];
        total.height = total.height > child->height + 1 ? total.height : child->height + 1;
        if (child->expanded > DGNN_LIMIT_EXPANDED - total.expanded ||
            depth + total.height > DGNN_LIMIT_DEPTH) {
            return dgnn_status_set(
                c->error, DGNN_ERROR_FORMAT,
                "%s: values nested deeper than %d, or more than %lld of them with all sharing undone",
                c->name, DGNN_LIMIT_DEPTH, (long long)DGNN_LIMIT_EXPANDED);
        }
        total.expanded += child->expanded;
    }
    c->seen[node] = total;
    return DGNN_OK;
}

/* Recursion is bounded by DGNN_LIMIT_DEPTH. */
static int pickled_visit(struct pickled_checker *c, int32_t node, int32_t depth)
{
    struct pickled_seen *seen = &c->seen[node];
    if (seen->expanded < 0) {
        return dgnn_status_set(c->error, DGNN_ERROR_FORMAT, "%s: a value that contains itself", c->name);
    }
    if (seen->expanded > 0) {
        return DGNN_OK;
    }
    if (depth > DGNN_LIMIT_DEPTH) {
        return dgnn_status_set(c->error, DGNN_ERROR_FORMAT, "%s: values nested deeper than %d", c->name,
                               DGNN_LIMIT_DEPTH);
    }
    seen->expanded = -1;
    return pickled_visit_items(c, node, depth);
}

int dgnn_pickled_check(const struct dgnn_pickle *pickle, const char *name, int64_t nnode,
                       struct dgnn_error *error)
{
    struct pickled_checker checker = {.pickle = pickle, .name = name, .error = error};
    checker.seen = dgnn_alloc_zeroed(nnode, sizeof(*checker.seen));
    if (!checker.seen) {
        return dgnn_status_no_memory(error, "the values of a pickle", nnode * (int64_t)sizeof(*checker.seen));
    }
    int status = pickled_visit(&checker, pickle->root, 0);
    dgnn_alloc_free(checker.seen);
    return status;
}

/* ------------------------------------------------------------------ JSON */

static int pickled_quote(struct dgnn_pickled value, struct dgnn_text *text, struct dgnn_error *error)
{
    int64_t length;
    const char *string = dgnn_pickled_string(value, &length);
    char *copy = dgnn_alloc(length + 1, 1);
    if (!copy) {
        return dgnn_status_no_memory(error, "a string", length + 1);
    }
    memcpy(copy, string, (size_t)length);
    copy[length] = 0;
    int status = dgnn_text_add_quoted(text, copy, error);
    dgnn_alloc_free(copy);
    return status;
}

static int pickled_json_items(struct dgnn_pickled value, const char *what, struct dgnn_text *text,
                              struct dgnn_error *error)
{
    int dict = dgnn_pickled_kind(value) == DGNN_PICKLE_DICT;
    const char *separator = "";
    struct dgnn_pickle_item item;
    DGNN_TRY(dgnn_text_add(text, error, dict ? "{" : "["));
    dgnn_pickled_begin(value, &item);
    while (dgnn_pickled_next(value, &item)) {
        DGNN_TRY(dgnn_text_add(text, error, "%s", separator));
        separator = ",";
        if (dict && dgnn_pickled_kind(item.key) == DGNN_PICKLE_STRING) {
            DGNN_TRY(pickled_quote(item.key, text, error));
        } else if (dict) {
            DGNN_TRY(dgnn_text_add(text, error, "\"%lld\"", (long long)dgnn_pickled_int(item.key)));
        }
        DGNN_TRY(dgnn_text_add(text, error, dict ? ":" : ""));
        DGNN_TRY(dgnn_pickled_json(item.value, what, text, error));
    }
    return dgnn_text_add(text, error, dict ? "}" : "]");
}

int dgnn_pickled_json(struct dgnn_pickled value, const char *what, struct dgnn_text *text,
                      struct dgnn_error *error)
{
    switch (dgnn_pickled_kind(value)) {
    case DGNN_PICKLE_NONE:
        return dgnn_text_add(text, error, "null");
    case DGNN_PICKLE_BOOL:
        return dgnn_text_add(text, error, dgnn_pickled_int(value) ? "true" : "false");
    case DGNN_PICKLE_INT:
        return dgnn_text_add(text, error, "%lld", (long long)dgnn_pickled_int(value));
    case DGNN_PICKLE_FLOAT:
        return dgnn_text_add_number(text, pickled_node(value)->as.number, error);
    case DGNN_PICKLE_STRING:
        return pickled_quote(value, text, error);
    case DGNN_PICKLE_LIST:
    case DGNN_PICKLE_TUPLE:
    case DGNN_PICKLE_DICT:
        return pickled_json_items(value, what, text, error);
    default:
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: a tensor or an object where settings are expected", what);
    }
}
