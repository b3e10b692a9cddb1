/* Operations are those of Python's pickletools; the comments there say what each does to the stack. */
#include "pickle/pickle.h"

#include "base/limits.h"

#include <string.h>

/* What a GLOBAL may name. Behind these: storages, in the order of pickle_storages. */
enum pickle_global {
    PICKLE_ORDERED_DICT = 0,
    PICKLE_TENSOR_V2,
    PICKLE_PARAMETER,
    PICKLE_TYPED_LIST, /* TorchScript's lists of numbers, and of tensors */
    PICKLE_TYPE_TAG,
    PICKLE_TORCHSCRIPT, /* any class __torch__.* */
    PICKLE_FIRST_STORAGE
};

static const struct {
    const char *name;
    enum pickle_global global;
} pickle_globals[] = {{"collections OrderedDict", PICKLE_ORDERED_DICT},
                      {"torch._utils _rebuild_tensor_v2", PICKLE_TENSOR_V2},
                      {"torch._utils _rebuild_parameter", PICKLE_PARAMETER},
                      {"torch.jit._pickle build_intlist", PICKLE_TYPED_LIST},
                      {"torch.jit._pickle build_doublelist", PICKLE_TYPED_LIST},
                      {"torch.jit._pickle build_boollist", PICKLE_TYPED_LIST},
                      {"torch.jit._pickle build_tensorlist", PICKLE_TYPED_LIST},
                      {"torch.jit._pickle restore_type_tag", PICKLE_TYPE_TAG}};

#include "pickle/pickle_stack.h"

/* ------------------------------------------------------------------ plain values */

static int pickle_constant(struct pickle_reader *r, int which)
{
    if (r->constant[which] < 0) {
        DGNN_TRY(pickle_make(r, which ? DGNN_PICKLE_BOOL : DGNN_PICKLE_NONE, &r->constant[which]));
        pickle_node(r, r->constant[which])->as.integer = which == 2;
    }
    return pickle_push(r, r->constant[which]);
}

static int pickle_integer(struct pickle_reader *r, int64_t value)
{
    int small = value >= 0 && value < PICKLE_SMALL;
    int32_t node = small ? r->small[value] : -1;
    if (node < 0) {
        DGNN_TRY(pickle_make(r, DGNN_PICKLE_INT, &node));
        pickle_node(r, node)->as.integer = value;
        if (small) {
            r->small[value] = node;
        }
    }
    return pickle_push(r, node);
}

static int pickle_integer_of(struct pickle_reader *r, int width)
{
    const unsigned char *bytes = NULL;
    DGNN_TRY(pickle_take(r, width, &bytes));
    uint64_t value = pickle_get(bytes, width);
    return pickle_integer(r, width == 4 ? (int64_t)(int32_t)value : (int64_t)value);
}

/* Two's complement of so many bytes as the next one says. */
static int pickle_long(struct pickle_reader *r)
{
    const unsigned char *size = NULL, *bytes = NULL;
    DGNN_TRY(pickle_take(r, 1, &size));
    DGNN_TRY(pickle_take(r, *size, &bytes));
    int width = *size;
    if (width > 8) {
        return pickle_fail(r, "an integer of more than 64 bits");
    }
    uint64_t value = pickle_get(bytes, width);
    if (width > 0 && width < 8 && bytes[width - 1] & 0x80) {
        value |= ~UINT64_C(0) << 8 * width;
    }
    return pickle_integer(r, (int64_t)value);
}

static int pickle_float(struct pickle_reader *r)
{
    const unsigned char *bytes = NULL;
    uint64_t bits = 0;
    int32_t node = -1;
    DGNN_TRY(pickle_take(r, 8, &bytes));
    for (int i = 0; i < 8; i++) {
        bits = bits << 8 | bytes[i];
    }
    DGNN_TRY(pickle_push_new(r, DGNN_PICKLE_FLOAT, &node));
    memcpy(&pickle_node(r, node)->as.number, &bits, sizeof(bits));
    return DGNN_OK;
}

static int pickle_string(struct pickle_reader *r)
{
    const unsigned char *bytes = NULL;
    int32_t node = -1;
    DGNN_TRY(pickle_take(r, 4, &bytes));
    int64_t length = (int64_t)pickle_get(bytes, 4);
    DGNN_TRY(pickle_take(r, length, &bytes));
    if (memchr(bytes, 0, (size_t)length)) {
        return pickle_fail(r, "a string with a zero byte");
    }
    DGNN_TRY(pickle_push_new(r, DGNN_PICKLE_STRING, &node));
    pickle_node(r, node)->as.text.offset = (int32_t)(bytes - r->bytes);
    pickle_node(r, node)->as.text.length = (int32_t)length;
    return DGNN_OK;
}

/* ------------------------------------------------------------------ lists and dicts */

static int pickle_appends(struct pickle_reader *r, int64_t first)
{
    int32_t *stack = r->stack.data;
    int64_t base = first - 1 - (first > 0 && stack[first - 1] == PICKLE_MARK);
    if (base < 0 || stack[base] == PICKLE_MARK || pickle_kind(r, stack[base]) != DGNN_PICKLE_LIST) {
        return pickle_fail(r, "an element without its list");
    }
    for (int64_t i = first; i < r->depth; i++) {
        DGNN_TRY(pickle_append(r, stack[base], -1, stack[i]));
    }
    r->depth = base + 1;
    return DGNN_OK;
}

static int pickle_set_items(struct pickle_reader *r, int64_t first)
{
    int32_t *stack = r->stack.data;
    int64_t base = first - 1 - (first > 0 && stack[first - 1] == PICKLE_MARK);
    if (base < 0 || stack[base] == PICKLE_MARK || pickle_kind(r, stack[base]) != DGNN_PICKLE_DICT ||
        (r->depth - first) % 2) {
        return pickle_fail(r, "a member without its dict");
    }
    for (int64_t i = first; i < r->depth; i += 2) {
        enum dgnn_pickle_kind kind = pickle_kind(r, stack[i]);
        if (kind != DGNN_PICKLE_STRING && kind != DGNN_PICKLE_INT && kind != DGNN_PICKLE_BOOL) {
            return pickle_fail(r, "a dict's key that is neither a string nor an integer");
        }
        DGNN_TRY(pickle_append(r, stack[base], stack[i], stack[i + 1]));
    }
    r->depth = base + 1;
    return DGNN_OK;
}

/* One value, or with pairs two, from the stack's end; or with marked all behind the mark. */
static int pickle_gather(struct pickle_reader *r, int pairs, int marked)
{
    int64_t first = r->depth - 1 - pairs;
    if (marked) {
        DGNN_TRY(pickle_find_mark(r, &first));
    } else {
        for (int64_t i = first; i < r->depth; i++) {
            if (i < 0 || ((int32_t *)r->stack.data)[i] == PICKLE_MARK) {
                return pickle_fail(r, "an operation without its value");
            }
        }
        if (first < 1 || ((int32_t *)r->stack.data)[first - 1] == PICKLE_MARK) {
            return pickle_fail(r, "an operation without its list or dict");
        }
    }
    return pairs ? pickle_set_items(r, first) : pickle_appends(r, first);
}

static int pickle_tuple(struct pickle_reader *r, int64_t first, int marked)
{
    int32_t tuple = -1;
    if (first < 0) {
        return pickle_fail(r, "an operation without its value");
    }
    DGNN_TRY(pickle_make(r, DGNN_PICKLE_TUPLE, &tuple));
    for (int64_t i = first; i < r->depth; i++) {
        int32_t value = ((int32_t *)r->stack.data)[i];
        if (value == PICKLE_MARK) {
            return pickle_fail(r, "an operation without its value");
        }
        DGNN_TRY(pickle_append(r, tuple, -1, value));
    }
    r->depth = first - marked;
    return pickle_push(r, tuple);
}

static int pickle_tuple_marked(struct pickle_reader *r)
{
    int64_t first;
    DGNN_TRY(pickle_find_mark(r, &first));
    return pickle_tuple(r, first, 1);
}

/* ------------------------------------------------------------------ the memo */

static int pickle_put(struct pickle_reader *r, int width)
{
    const unsigned char *bytes = NULL;
    DGNN_TRY(pickle_take(r, width, &bytes));
    int64_t index = (int64_t)pickle_get(bytes, width);
    int32_t node = -1;
    DGNN_TRY(pickle_pop(r, &node));
    r->depth++;
    if (index >= DGNN_LIMIT_PICKLED) {
        return pickle_fail(r, "a number of the memo beyond what dgnn reads");
    }
    if (index >= r->nmemo) {
        int64_t size = index + index / 2 + 64;
        DGNN_TRY(dgnn_buffer_extend(&r->memo, size * (int64_t)sizeof(int32_t),
                                    r->nmemo * (int64_t)sizeof(int32_t), "the memo of a pickle", r->error));
        memset((int32_t *)r->memo.data + r->nmemo, 0xff, (size_t)(size - r->nmemo) * sizeof(int32_t));
        r->nmemo = size;
    }
    ((int32_t *)r->memo.data)[index] = node;
    return DGNN_OK;
}

static int pickle_recall(struct pickle_reader *r, int width)
{
    const unsigned char *bytes = NULL;
    DGNN_TRY(pickle_take(r, width, &bytes));
    int64_t index = (int64_t)pickle_get(bytes, width);
    if (index >= r->nmemo || ((int32_t *)r->memo.data)[index] < 0) {
        return pickle_fail(r, "a number that the memo does not have");
    }
    return pickle_push(r, ((int32_t *)r->memo.data)[index]);
}

/* ------------------------------------------------------------------ globals, tensors and objects */

static int pickle_global(struct pickle_reader *r)
{
    const char *module = NULL, *name = NULL;
    int64_t nmodule = 0, nname = 0;
    char text[2048];
    int32_t node = -1, type;
    DGNN_TRY(pickle_line(r, &module, &nmodule));
    DGNN_TRY(pickle_line(r, &name, &nname));
    memcpy(text, module, (size_t)nmodule);
    text[nmodule] = ' ';
    memcpy(text + nmodule + 1, name, (size_t)nname);
    text[nmodule + 1 + nname] = 0;
    int global = !strncmp(text, "__torch__.", 10) ? PICKLE_TORCHSCRIPT : -1;
    for (size_t i = 0; i < sizeof(pickle_globals) / sizeof(pickle_globals[0]) && global < 0; i++) {
        global = !strcmp(text, pickle_globals[i].name) ? (int)pickle_globals[i].global : -1;
    }
    if (global < 0 && !strncmp(text, "torch ", 6) && (type = dgnn_pickled_storage_type(text + 6)) >= 0) {
        global = PICKLE_FIRST_STORAGE + type;
    }
    if (global < 0) {
        return dgnn_status_set(
            r->error, DGNN_ERROR_UNSUPPORTED,
            "%s: byte %lld: it needs '%.200s', which is none of the names that dgnn reads; nothing in "
            "a checkpoint is executed",
            r->name, (long long)r->at, text);
    }
    DGNN_TRY(pickle_push_new(r, DGNN_PICKLE_CLASS, &node));
    pickle_node(r, node)->as.integer = global;
    return DGNN_OK;
}

/* The nodes of a tuple, at most nmax; their number. */
static int64_t pickle_unpack(struct pickle_reader *r, int32_t tuple, int32_t *nodes, int64_t nmax)
{
    int64_t count = 0;
    for (int32_t link = pickle_node(r, tuple)->first; link >= 0 && count < nmax;
         link = pickle_link(r, link)->next) {
        nodes[count++] = pickle_link(r, link)->value;
    }
    return pickle_node(r, tuple)->count;
}

/* ("storage", class, name, place, nelement) */
static int pickle_storage(struct pickle_reader *r)
{
    int32_t tuple = -1, part[5];
    DGNN_TRY(pickle_pop(r, &tuple));
    if (pickle_kind(r, tuple) != DGNN_PICKLE_TUPLE || pickle_unpack(r, tuple, part, 5) != 5 ||
        pickle_kind(r, part[0]) != DGNN_PICKLE_STRING || pickle_kind(r, part[1]) != DGNN_PICKLE_CLASS ||
        pickle_node(r, part[1])->as.integer < PICKLE_FIRST_STORAGE ||
        pickle_kind(r, part[2]) != DGNN_PICKLE_STRING || pickle_kind(r, part[4]) != DGNN_PICKLE_INT ||
        pickle_node(r, part[4])->as.integer < 0) {
        return pickle_fail(r, "a persistent value that is no storage");
    }
    int32_t storage = -1;
    struct dgnn_pickle_node whole = *pickle_node(r, tuple);
    DGNN_TRY(pickle_push_new(r, DGNN_PICKLE_STORAGE, &storage));
    whole.kind = DGNN_PICKLE_STORAGE;
    whole.as.integer = pickle_node(r, part[1])->as.integer - PICKLE_FIRST_STORAGE;
    *pickle_node(r, storage) = whole;
    return DGNN_OK;
}

/* (storage, offset, shape, strides, ...): checked here once, so that whoever reads it need not. */
static int pickle_tensor(struct pickle_reader *r, int32_t tuple)
{
    int32_t part[4], node = -1;
    struct dgnn_pickle_tensor tensor;
    if (pickle_unpack(r, tuple, part, 4) < 4 || pickle_kind(r, part[0]) != DGNN_PICKLE_STORAGE ||
        pickle_kind(r, part[1]) != DGNN_PICKLE_INT || pickle_kind(r, part[2]) != DGNN_PICKLE_TUPLE ||
        pickle_kind(r, part[3]) != DGNN_PICKLE_TUPLE) {
        return pickle_fail(r, "a tensor that is not made of storage, offset, shape and strides");
    }
    struct dgnn_pickle_node whole = *pickle_node(r, tuple);
    DGNN_TRY(pickle_push_new(r, DGNN_PICKLE_TENSOR, &node));
    whole.kind = DGNN_PICKLE_TENSOR;
    *pickle_node(r, node) = whole;
    r->pickle->nodes = r->pickle->node_buffer.data;
    r->pickle->links = r->pickle->link_buffer.data;
    const char *fault = dgnn_pickled_tensor((struct dgnn_pickled){r->pickle, node}, &tensor);
    return fault ? pickle_fail(r, fault) : DGNN_OK;
}

static int pickle_reduce(struct pickle_reader *r)
{
    int32_t arguments = -1, callee = -1, part[2] = {-1, -1}, made;
    DGNN_TRY(pickle_pop(r, &arguments));
    DGNN_TRY(pickle_pop(r, &callee));
    if (pickle_kind(r, callee) != DGNN_PICKLE_CLASS || pickle_kind(r, arguments) != DGNN_PICKLE_TUPLE) {
        return pickle_fail(r, "a call of something that is no known name");
    }
    int64_t count = pickle_unpack(r, arguments, part, 2);
    switch (pickle_node(r, callee)->as.integer) {
    case PICKLE_ORDERED_DICT:
        return count == 0 ? pickle_push_new(r, DGNN_PICKLE_DICT, &made)
                          : pickle_fail(r, "an OrderedDict that is not made empty");
    case PICKLE_TENSOR_V2:
        return pickle_tensor(r, arguments);
    case PICKLE_PARAMETER:
        return count > 0 && pickle_kind(r, part[0]) == DGNN_PICKLE_TENSOR
                   ? pickle_push(r, part[0])
                   : pickle_fail(r, "a parameter that is not made of a tensor");
    case PICKLE_TYPED_LIST:
        return count > 0 && pickle_kind(r, part[0]) == DGNN_PICKLE_LIST
                   ? pickle_push(r, part[0])
                   : pickle_fail(r, "a typed list that is not made of a list");
    case PICKLE_TYPE_TAG:
        return count > 0 ? pickle_push(r, part[0]) : pickle_fail(r, "a type without its value");
    default:
        return pickle_fail(r, "a call of a class");
    }
}

/* An object of a TorchScript class, without arguments. */
static int pickle_object(struct pickle_reader *r)
{
    int32_t arguments = -1, callee = -1, made;
    DGNN_TRY(pickle_pop(r, &arguments));
    DGNN_TRY(pickle_pop(r, &callee));
    if (pickle_kind(r, callee) != DGNN_PICKLE_CLASS ||
        pickle_node(r, callee)->as.integer != PICKLE_TORCHSCRIPT ||
        pickle_kind(r, arguments) != DGNN_PICKLE_TUPLE || pickle_node(r, arguments)->count) {
        return pickle_fail(r, "an object that is none of TorchScript's");
    }
    return pickle_push_new(r, DGNN_PICKLE_OBJECT, &made);
}

/* An object takes its attributes from a dict; what other classes keep as their state is no attribute of a
 * model. Of an OrderedDict it is a note of torch's (_metadata). */
static int pickle_build(struct pickle_reader *r)
{
    int32_t state = -1, object = -1;
    DGNN_TRY(pickle_pop(r, &state));
    DGNN_TRY(pickle_pop(r, &object));
    r->depth++;
    struct dgnn_pickle_node *node = pickle_node(r, object);
    if (node->kind == DGNN_PICKLE_DICT) {
        return DGNN_OK;
    }
    if (node->kind != DGNN_PICKLE_OBJECT || node->first >= 0) {
        return pickle_fail(r, "a state of something that has none");
    }
    if (pickle_kind(r, state) == DGNN_PICKLE_DICT) {
        struct dgnn_pickle_node attributes = *pickle_node(r, state);
        attributes.kind = DGNN_PICKLE_OBJECT;
        *node = attributes;
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ the machine */

static int pickle_protocol(struct pickle_reader *r)
{
    const unsigned char *bytes = NULL;
    DGNN_TRY(pickle_take(r, 1, &bytes));
    return *bytes == 2 ? DGNN_OK : pickle_fail(r, "a protocol other than 2, which torch writes");
}

static int pickle_step_plain(struct pickle_reader *r, unsigned char operation)
{
    int32_t made;
    switch (operation) {
    case 'N':
        return pickle_constant(r, 0);
    case 0x89:
        return pickle_constant(r, 1);
    case 0x88:
        return pickle_constant(r, 2);
    case 'K':
        return pickle_integer_of(r, 1);
    case 'M':
        return pickle_integer_of(r, 2);
    case 'J':
        return pickle_integer_of(r, 4);
    case 0x8a:
        return pickle_long(r);
    case 'G':
        return pickle_float(r);
    case 'X':
        return pickle_string(r);
    case ']':
        return pickle_push_new(r, DGNN_PICKLE_LIST, &made);
    case '}':
        return pickle_push_new(r, DGNN_PICKLE_DICT, &made);
    default:
        return dgnn_status_set(r->error, DGNN_ERROR_FORMAT,
                               "%s: byte %lld: operation 0x%02x is none that torch writes", r->name,
                               (long long)r->at - 1, operation);
    }
}

static int pickle_step(struct pickle_reader *r, unsigned char operation)
{
    switch (operation) {
    case 0x80:
        return pickle_protocol(r);
    case '(':
        return pickle_push(r, PICKLE_MARK);
    case ')':
        return pickle_tuple(r, r->depth, 0);
    case 0x85:
    case 0x86:
    case 0x87:
        return pickle_tuple(r, r->depth - (operation - 0x84), 0);
    case 't':
        return pickle_tuple_marked(r);
    case 'a':
    case 'e':
        return pickle_gather(r, 0, operation == 'e');
    case 's':
    case 'u':
        return pickle_gather(r, 1, operation == 'u');
    case 'q':
    case 'r':
        return pickle_put(r, operation == 'q' ? 1 : 4);
    case 'h':
    case 'j':
        return pickle_recall(r, operation == 'h' ? 1 : 4);
    case 'c':
        return pickle_global(r);
    case 'Q':
        return pickle_storage(r);
    case 'R':
        return pickle_reduce(r);
    case 0x81:
        return pickle_object(r);
    case 'b':
        return pickle_build(r);
    default:
        return pickle_step_plain(r, operation);
    }
}

static int pickle_run(struct pickle_reader *r)
{
    const unsigned char *operation = NULL;
    r->at = 1; /* so that messages name byte 0 */
    if (r->length > DGNN_LIMIT_PICKLE) {
        return pickle_fail(r, "the pickle is larger than 256 MiB");
    }
    r->at = 0;
    for (;;) {
        DGNN_TRY(pickle_take(r, 1, &operation));
        if (*operation == '.') {
            break;
        }
        DGNN_TRY(pickle_step(r, *operation));
    }
    DGNN_TRY(pickle_pop(r, &r->pickle->root));
    if (r->depth || r->at != r->length) {
        return pickle_fail(r, "the pickle goes on behind its value");
    }
    return DGNN_OK;
}

int dgnn_pickle_read(const char *name, const void *bytes, int64_t nbytes, struct dgnn_pickle **pickle,
                     struct dgnn_error *error)
{
    struct dgnn_pickle *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "a pickle", sizeof(*made));
    }
    struct pickle_reader reader = {
        .pickle = made, .name = name, .bytes = bytes, .length = nbytes, .error = error};
    memset(reader.constant, 0xff, sizeof(reader.constant));
    memset(reader.small, 0xff, sizeof(reader.small));
    made->bytes = bytes; /* what a tensor says is checked while the pickle is read */
    int status = pickle_run(&reader);
    made->nodes = made->node_buffer.data;
    made->links = made->link_buffer.data;
    dgnn_buffer_free(&reader.stack);
    dgnn_buffer_free(&reader.memo);
    status = status ? status : dgnn_pickled_check(made, name, reader.nnode, error);
    if (status) {
        dgnn_pickle_free(made);
        return status;
    }
    *pickle = made;
    return DGNN_OK;
}

void dgnn_pickle_free(struct dgnn_pickle *pickle)
{
    if (pickle) {
        dgnn_buffer_free(&pickle->node_buffer);
        dgnn_buffer_free(&pickle->link_buffer);
        dgnn_alloc_free(pickle);
    }
}

struct dgnn_pickled dgnn_pickle_root(const struct dgnn_pickle *pickle)
{
    return (struct dgnn_pickled){pickle, pickle->root};
}
