#include "io/scan.h"

#include "io/decimal.h"
#include "base/limits.h"
#include "io/nested.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the scan is, for messages: one for each open list or object, on the C stack. */
struct scan_frame {
    const struct scan_frame *parent;
    const char *key; /* raw, between its quotes; NULL for an element of a list */
    int64_t length;
    int64_t index;
    int depth;
};

struct scan_state {
    const struct dgnn_scan_input *input;
    struct dgnn_scan *scan;
    struct dgnn_error *error;
    const char *at;
    const char *end;
    int64_t capacity; /* of scan->arrays */
    int64_t nvalues;
};

/* What an object has said so far about being an array. */
struct scan_object {
    int is_array;
    const char *dtype; /* raw; NULL: not seen */
    int64_t dtype_length;
    const char *value; /* numbers, set aside until the object is closed; NULL: none */
    const char *value_end;
    int value_seen; /* as numbers or as anything else */
    const char *index;
    const char *index_end;
};

static int scan_value(struct scan_state *state, const struct scan_frame *frame);

/* ------------------------------------------------------------------ messages */

static void scan_path_add(char *buffer, size_t length, const struct scan_frame *frame)
{
    if (frame->parent) {
        scan_path_add(buffer, length, frame->parent);
        size_t used = strlen(buffer);
        if (frame->key) {
            int shown = frame->length > 60 ? 60 : (int)frame->length;
            snprintf(buffer + used, length - used, "%s%.*s", used > 0 ? "." : "", shown, frame->key);
        } else {
            snprintf(buffer + used, length - used, "[%lld]", (long long)frame->index);
        }
    }
}

static int scan_fail_status(struct scan_state *state, const struct scan_frame *frame, int status,
                            const char *what)
{
    char path[512] = "";
    scan_path_add(path, sizeof(path), frame);
    return dgnn_status_set(state->error, status, "%s: %s%s%s (at byte %lld)", state->input->name, path,
                           path[0] ? ": " : "", what, (long long)(state->at - state->input->text));
}

static int scan_fail(struct scan_state *state, const struct scan_frame *frame, const char *what)
{
    return scan_fail_status(state, frame, DGNN_ERROR_FORMAT, what);
}

/* ------------------------------------------------------------------ tokens */

static void scan_skip_space(struct scan_state *state)
{
    while (state->at < state->end &&
           (*state->at == ' ' || *state->at == '\n' || *state->at == '\r' || *state->at == '\t')) {
        state->at++;
    }
}

static int scan_next_is(struct scan_state *state, char c)
{
    scan_skip_space(state);
    return state->at < state->end && *state->at == c;
}

/* Length of the UTF-8 sequence at p, or 0: no surrogates, no overlong forms, nothing beyond U+10FFFF. */
static int scan_utf8(const unsigned char *p, ptrdiff_t left)
{
    unsigned char low = 0x80, high = 0xbf;
    int length = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                 : (p[0] & 0xf0) == 0xe0        ? 3
                 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                : 0;
    if (length == 0 || left < length) {
        return 0;
    }
    low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : low;
    high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : high;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (int i = 2; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* The code unit of \uXXXX at p, or -1. */
static int scan_unit(const char *p, ptrdiff_t left)
{
    int unit = 0;
    if (left < 6 || p[0] != '\\' || p[1] != 'u') {
        return -1;
    }
    for (int i = 2; i < 6; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

static int scan_escape(struct scan_state *state, const struct scan_frame *frame)
{
    ptrdiff_t left = state->end - state->at;
    if (left >= 2 && state->at[1] && strchr("\"\\/bfnrt", state->at[1])) {
        state->at += 2;
        return DGNN_OK;
    }
    int unit = scan_unit(state->at, left);
    if (unit < 0) {
        return scan_fail(state, frame, "an escape that JSON does not know");
    }
    if (unit == 0) {
        return scan_fail(state, frame, "a zero character in a string");
    }
    if (unit >= 0xd800 && unit <= 0xdfff) {
        int second = scan_unit(state->at + 6, left - 6);
        if (unit >= 0xdc00 || second < 0xdc00 || second > 0xdfff) {
            return scan_fail(state, frame, "half of a surrogate pair in a string");
        }
        state->at += 6;
    }
    state->at += 6;
    return DGNN_OK;
}

/* A string; *raw and *length are what stands between its quotes. */
static int scan_string(struct scan_state *state, const struct scan_frame *frame, const char **raw,
                       int64_t *length)
{
    const char *first = ++state->at;
    while (state->at < state->end && *state->at != '"') {
        unsigned char c = (unsigned char)*state->at;
        if (c == '\\') {
            DGNN_TRY(scan_escape(state, frame));
        } else if (c < 0x20) {
            return scan_fail(state, frame, "a control character in a string");
        } else if (c < 0x80) {
            state->at++;
        } else {
            int step = scan_utf8((const unsigned char *)state->at, state->end - state->at);
            if (step == 0) {
                return scan_fail(state, frame, "invalid UTF-8");
            }
            state->at += step;
        }
    }
    if (state->at >= state->end) {
        return scan_fail(state, frame, "the text ends inside a string");
    }
    *raw = first;
    *length = state->at++ - first;
    return DGNN_OK;
}

static int scan_number(struct scan_state *state, const struct scan_frame *frame)
{
    struct dgnn_decimal number;
    enum dgnn_decimal_fault fault = dgnn_decimal_parse(state->at, state->end, &number);
    if (fault) {
        return scan_fail(state, frame, dgnn_decimal_fault_text(fault));
    }
    state->at = number.end;
    return DGNN_OK;
}

static int scan_word(struct scan_state *state, const struct scan_frame *frame)
{
    static const char *const words[] = {"true", "false", "null"};
    static const char *const refused[] = {"NaN", "Infinity", "-Infinity"};
    size_t left = (size_t)(state->end - state->at);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i]);
        if (left >= length && !memcmp(state->at, words[i], length)) {
            state->at += length;
            return DGNN_OK;
        }
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (left >= strlen(refused[i]) && !memcmp(state->at, refused[i], strlen(refused[i]))) {
            return scan_fail(state, frame, "NaN or Infinity: every number of a model must be finite");
        }
    }
    return scan_fail(state, frame,
                     left == 0 ? "the text ends where a value was expected" : "not a JSON value");
}

/* ------------------------------------------------------------------ arrays */

static int scan_array_add(struct scan_state *state, const struct dgnn_scan_array *array)
{
    struct dgnn_scan *scan = state->scan;
    if (scan->narrays == state->capacity) {
        struct dgnn_buffer buffer = {.data = scan->arrays,
                                     .capacity = state->capacity * (int64_t)sizeof(*scan->arrays)};
        int64_t wanted = state->capacity > 0 ? 2 * state->capacity : 64;
        DGNN_TRY(dgnn_buffer_extend(&buffer, wanted * (int64_t)sizeof(*array),
                                    scan->narrays * (int64_t)sizeof(*array), "a list of arrays",
                                    state->error));
        scan->arrays = buffer.data;
        state->capacity = wanted;
    }
    scan->arrays[scan->narrays++] = *array;
    return DGNN_OK;
}

static int scan_dtype(struct scan_state *state, const struct scan_frame *frame,
                      const struct scan_object *object, int32_t *dtype)
{
    char what[160];
    *dtype = dgnn_nested_dtype(object->dtype, (size_t)object->dtype_length);
    if (*dtype) {
        return DGNN_OK;
    }
    snprintf(what, sizeof(what),
             "array type '%.*s' is not supported; known: float64, float32, int64, int32, bool",
             object->dtype_length > 60 ? 60 : (int)object->dtype_length, object->dtype);
    return scan_fail_status(state, frame, DGNN_ERROR_UNSUPPORTED, what);
}

static int scan_array_inline(struct scan_state *state, const struct scan_frame *frame,
                             const struct scan_object *object)
{
    struct dgnn_scan_array array = {.start = object->value - state->input->text,
                                    .end = object->value_end - state->input->text,
                                    .owned = 1};
    struct dgnn_nested_fault fault = {0};
    int32_t dtype;
    if (!object->dtype) {
        return scan_fail(state, frame, "an array without \"dtype\"");
    }
    DGNN_TRY(scan_dtype(state, frame, object, &dtype));
    int status =
        dgnn_nested_parse(object->value, object->value_end, dtype, &array.tensor, &fault, state->error);
    if (status) {
        state->at = fault.at ? fault.at : state->at;
        return status == DGNN_ERROR_FORMAT ? scan_fail(state, frame, fault.what) : status;
    }
    status = scan_array_add(state, &array);
    if (status) {
        dgnn_alloc_free((void *)array.tensor.data);
    }
    return status;
}

static int scan_array_given(struct scan_state *state, const struct scan_frame *frame,
                            const struct scan_object *object)
{
    struct dgnn_decimal number;
    int32_t dtype;
    dgnn_decimal_parse(object->index, object->index_end, &number);
    if (!number.is_integer || number.integer < 0 || number.integer >= state->input->ngiven) {
        char what[120];
        snprintf(what, sizeof(what), "\"@index\" refers to an array that was not given (there are %lld)",
                 (long long)state->input->ngiven);
        return scan_fail(state, frame, what);
    }
    struct dgnn_scan_array array = {.start = object->index - state->input->text,
                                    .end = object->index_end - state->input->text,
                                    .tensor = state->input->given[number.integer]};
    if (object->dtype) {
        DGNN_TRY(scan_dtype(state, frame, object, &dtype));
        if (dtype != array.tensor.dtype) {
            return scan_fail(state, frame, "\"dtype\" differs from the type of the array given");
        }
    }
    return scan_array_add(state, &array);
}

/* The object is closed: now it is known what its "value" is. */
static int scan_object_close(struct scan_state *state, const struct scan_frame *frame,
                             const struct scan_object *object)
{
    if (object->is_array) {
        if (object->index && object->value_seen) {
            return scan_fail(state, frame, "an array with both \"value\" and \"@index\"");
        }
        if (object->index) {
            return scan_array_given(state, frame, object);
        }
        return object->value
                   ? scan_array_inline(state, frame, object)
                   : scan_fail(state, frame, "an array without a \"value\" of nested lists of numbers");
    }
    if (object->value) {
        /* Ordinary JSON after all. */
        struct scan_frame inner = {.parent = frame, .key = "value", .length = 5, .depth = frame->depth + 1};
        const char *after = state->at;
        state->at = object->value;
        DGNN_TRY(scan_value(state, &inner));
        if (state->at != object->value_end) {
            return scan_fail(state, &inner, "expected ',' or '}'");
        }
        state->at = after;
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ structure */

static int scan_key_is(const struct scan_frame *frame, const char *key)
{
    return (int64_t)strlen(key) == frame->length && !memcmp(frame->key, key, (size_t)frame->length);
}

/* Numbers or a nested list of them are set aside unread; anything else is read at once. */
static int scan_member_value(struct scan_state *state, const struct scan_frame *frame,
                             struct scan_object *object)
{
    const char *start = state->at;
    if (object->value_seen++) {
        return scan_fail(state, frame, "the same name twice in an object");
    }
    if (start < state->end && *start == '[') {
        object->value_end = dgnn_nested_end(start, state->end);
        object->value = object->value_end ? start : NULL;
        state->at = object->value_end ? object->value_end : start;
    } else if (start < state->end && (*start == '-' || (*start >= '0' && *start <= '9'))) {
        DGNN_TRY(scan_number(state, frame));
        object->value = start;
        object->value_end = state->at;
    }
    return object->value ? DGNN_OK : scan_value(state, frame);
}

static int scan_member(struct scan_state *state, const struct scan_frame *frame, struct scan_object *object)
{
    const char *start = state->at;
    if (scan_key_is(frame, "value")) {
        return scan_member_value(state, frame, object);
    }
    DGNN_TRY(scan_value(state, frame));
    int is_string = *start == '"';
    if (scan_key_is(frame, "@class")) {
        object->is_array |= is_string && state->at - start == 12 && !memcmp(start + 1, "np.ndarray", 10);
    } else if (scan_key_is(frame, "dtype") && is_string) {
        object->dtype = start + 1;
        object->dtype_length = state->at - start - 2;
    } else if (scan_key_is(frame, "@index") && (*start == '-' || (*start >= '0' && *start <= '9'))) {
        object->index = start;
        object->index_end = state->at;
    }
    return DGNN_OK;
}

static int scan_object_open(struct scan_state *state, const struct scan_frame *frame)
{
    struct scan_object object = {0};
    state->at++;
    if (scan_next_is(state, '}')) {
        state->at++;
        return DGNN_OK;
    }
    for (;;) {
        struct scan_frame inner = {.parent = frame, .depth = frame->depth + 1};
        if (!scan_next_is(state, '"')) {
            return scan_fail(state, frame, "expected the name of a member in quotes");
        }
        DGNN_TRY(scan_string(state, frame, &inner.key, &inner.length));
        if (!scan_next_is(state, ':')) {
            return scan_fail(state, &inner, "expected ':'");
        }
        state->at++;
        scan_skip_space(state);
        DGNN_TRY(scan_member(state, &inner, &object));
        if (scan_next_is(state, '}')) {
            state->at++;
            return scan_object_close(state, frame, &object);
        }
        if (!scan_next_is(state, ',')) {
            return scan_fail(state, frame, "expected ',' or '}'");
        }
        state->at++;
    }
}

static int scan_list_open(struct scan_state *state, const struct scan_frame *frame)
{
    struct scan_frame inner = {.parent = frame, .depth = frame->depth + 1};
    state->at++;
    if (scan_next_is(state, ']')) {
        state->at++;
        return DGNN_OK;
    }
    for (;; inner.index++) {
        scan_skip_space(state);
        DGNN_TRY(scan_value(state, &inner));
        if (scan_next_is(state, ']')) {
            state->at++;
            return DGNN_OK;
        }
        if (!scan_next_is(state, ',')) {
            return scan_fail(state, frame, "expected ',' or ']'");
        }
        state->at++;
    }
}

static int scan_value(struct scan_state *state, const struct scan_frame *frame)
{
    const char *raw;
    int64_t length;
    char c = state->at < state->end ? *state->at : 0;
    if (++state->nvalues > DGNN_LIMIT_VALUES) {
        return scan_fail(state, frame, "more than 262144 values outside of arrays");
    }
    if ((c == '{' || c == '[') && frame->depth >= DGNN_LIMIT_DEPTH) {
        return scan_fail(state, frame, "lists and objects more than 64 deep");
    }
    if (c == '{') {
        return scan_object_open(state, frame);
    }
    if (c == '[') {
        return scan_list_open(state, frame);
    }
    if (c == '"') {
        return scan_string(state, frame, &raw, &length);
    }
    if ((c >= '0' && c <= '9') || (c == '-' && !(state->end - state->at > 1 && state->at[1] == 'I'))) {
        return scan_number(state, frame);
    }
    return scan_word(state, frame);
}

static int scan_check(struct scan_state *state)
{
    struct scan_frame root = {0};
    if (state->end - state->at >= 3 && !memcmp(state->at, "\xef\xbb\xbf", 3)) {
        return scan_fail(state, &root, "the text begins with a byte order mark");
    }
    scan_skip_space(state);
    DGNN_TRY(scan_value(state, &root));
    scan_skip_space(state);
    return state->at == state->end ? DGNN_OK : scan_fail(state, &root, "something follows the JSON text");
}

/* ------------------------------------------------------------------ the reduced text */

static int scan_compare_start(const void *a, const void *b)
{
    int64_t first = ((const struct dgnn_scan_array *)a)->start;
    int64_t second = ((const struct dgnn_scan_array *)b)->start;
    return (first > second) - (first < second);
}

/* Nested objects close before the ones around them, so arrays are not always found in text order. */
static void scan_sort(struct dgnn_scan *scan)
{
    for (int64_t i = 1; i < scan->narrays; i++) {
        if (scan->arrays[i].start < scan->arrays[i - 1].start) {
            qsort(scan->arrays, (size_t)scan->narrays, sizeof(*scan->arrays), scan_compare_start);
            return;
        }
    }
}

static void scan_emit_placeholder(struct dgnn_scan *scan, double number, int64_t array)
{
    scan->length += sprintf(scan->text + scan->length, "%lld", (long long)scan->nplaceholder);
    scan->placeholders[scan->nplaceholder++] =
        (struct dgnn_scan_placeholder){.number = number, .array = (int32_t)array};
}

static const char *scan_emit_string(struct dgnn_scan *scan, const char *p)
{
    const char *first = p++;
    while (*p != '"') {
        p += *p == '\\' ? 2 : 1;
    }
    p++;
    memcpy(scan->text + scan->length, first, (size_t)(p - first));
    scan->length += p - first;
    return p;
}

/* The text was checked, so this only has to tell strings, numbers and the rest apart. */
static void scan_emit(struct scan_state *state)
{
    struct dgnn_scan *scan = state->scan;
    const char *text = state->input->text;
    int64_t array = 0;
    for (const char *p = text; p < state->end;) {
        if (array < scan->narrays && p - text == scan->arrays[array].start) {
            p = text + scan->arrays[array].end;
            scan_emit_placeholder(scan, 0, array++);
        } else if (*p == '"') {
            p = scan_emit_string(scan, p);
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            struct dgnn_decimal number;
            dgnn_decimal_parse(p, state->end, &number);
            scan_emit_placeholder(scan, number.value, -1);
            p = number.end;
        } else {
            scan->text[scan->length] = *p;
            scan->length += *p != ' ' && *p != '\n' && *p != '\r' && *p != '\t';
            p++;
        }
    }
    scan->text[scan->length] = 0;
}

static int scan_reduce(struct scan_state *state)
{
    struct dgnn_scan *scan = state->scan;
    int64_t length = state->input->length + 1;
    scan_sort(scan);
    for (int64_t i = 0; i < scan->narrays; i++) {
        length -= scan->arrays[i].end - scan->arrays[i].start;
    }
    int64_t nplaceholder = state->nvalues + scan->narrays;
    length += 8 * nplaceholder; /* a placeholder number has at most 7 digits, as DGNN_LIMIT_VALUES says */
    scan->text = dgnn_alloc(length, 1);
    scan->placeholders = dgnn_alloc(nplaceholder, sizeof(*scan->placeholders));
    if (!scan->text || !scan->placeholders) {
        return dgnn_status_no_memory(state->error, "a reduced JSON text", length);
    }
    scan_emit(state);
    return DGNN_OK;
}

int dgnn_scan_text(const struct dgnn_scan_input *input, struct dgnn_scan *scan, struct dgnn_error *error)
{
    struct scan_state state = {
        .input = input, .scan = scan, .error = error, .at = input->text, .end = input->text + input->length};
    *scan = (struct dgnn_scan){0};
    int status = scan_check(&state);
    status = status ? status : scan_reduce(&state);
    if (status) {
        dgnn_scan_free(scan);
    }
    return status;
}

void dgnn_scan_free(struct dgnn_scan *scan)
{
    for (int64_t i = 0; i < scan->narrays; i++) {
        if (scan->arrays[i].owned) {
            dgnn_alloc_free((void *)scan->arrays[i].tensor.data);
        }
    }
    dgnn_alloc_free(scan->arrays);
    dgnn_alloc_free(scan->placeholders);
    dgnn_alloc_free(scan->text);
    *scan = (struct dgnn_scan){0};
}
