#include "io/nested.h"

#include "io/decimal.h"
#include "base/limits.h"

#include <math.h>
#include <string.h>

struct nested_reader {
    const char *at;
    const char *end;
    char *data; /* elements so far */
    int64_t count;
    int64_t capacity; /* elements that data has room for */
    int32_t dtype;
    int32_t ndim;                        /* -1 until the first element or empty list tells */
    int64_t shape[DGNN_TENSOR_MAX_NDIM]; /* -1 until the first list at that depth is closed */
    struct dgnn_nested_fault *fault;
};

/* 1: may stand in a list of numbers or booleans. */
static const unsigned char nested_allowed[256] = {
    [' '] = 1, ['\t'] = 1, ['\r'] = 1, ['\n'] = 1, ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1,
    ['4'] = 1, ['5'] = 1,  ['6'] = 1,  ['7'] = 1,  ['8'] = 1, ['9'] = 1, ['+'] = 1, ['-'] = 1,
    ['.'] = 1, ['e'] = 1,  ['E'] = 1,  ['['] = 1,  [']'] = 1, [','] = 1, ['t'] = 1, ['r'] = 1,
    ['u'] = 1, ['f'] = 1,  ['a'] = 1,  ['l'] = 1,  ['s'] = 1};

const char *dgnn_nested_end(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    const unsigned char *last = (const unsigned char *)end;
    while (last - p >= 8 && nested_allowed[p[0]] & nested_allowed[p[1]] & nested_allowed[p[2]] &
                                nested_allowed[p[3]] & nested_allowed[p[4]] & nested_allowed[p[5]] &
                                nested_allowed[p[6]] & nested_allowed[p[7]]) {
        p += 8;
    }
    while (p < last && nested_allowed[*p]) {
        p++;
    }
    /* In an object, a value is followed by a brace, or by a comma and the quote of the next name: what lies
     * between the last bracket and that is not part of the list. */
    if (p == last || (*p != '}' && *p != '"')) {
        return NULL;
    }
    while (p > (const unsigned char *)text && p[-1] != ']') {
        p--;
    }
    return p > (const unsigned char *)text ? (const char *)p : NULL;
}

int32_t dgnn_nested_dtype(const char *name, size_t length)
{
    static const struct {
        const char *name;
        int32_t dtype;
    } known[] = {{"float64", 'd'}, {"float32", 'f'}, {"int64", 'l'}, {"int32", 'i'}, {"bool", '?'}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == length && !memcmp(known[i].name, name, length)) {
            return known[i].dtype;
        }
    }
    return 0;
}

static int nested_fail(struct nested_reader *reader, const char *what)
{
    *reader->fault = (struct dgnn_nested_fault){.at = reader->at, .what = what};
    return DGNN_ERROR_FORMAT;
}

static inline void nested_skip_space(struct nested_reader *reader)
{
    while (reader->at < reader->end &&
           (*reader->at == ' ' || *reader->at == '\n' || *reader->at == '\r' || *reader->at == '\t')) {
        reader->at++;
    }
}

static int nested_bool(struct nested_reader *reader)
{
    ptrdiff_t left = reader->end - reader->at;
    if (left >= 4 && !memcmp(reader->at, "true", 4)) {
        reader->data[reader->count++] = 1;
        reader->at += 4;
    } else if (left >= 5 && !memcmp(reader->at, "false", 5)) {
        reader->data[reader->count++] = 0;
        reader->at += 5;
    } else {
        return nested_fail(reader, "expected true or false in an array of type bool");
    }
    return DGNN_OK;
}

static int nested_integer(struct nested_reader *reader, const struct dgnn_decimal *number)
{
    int wide = reader->dtype == 'l';
    if (!number->is_integer || (!wide && (number->integer > INT32_MAX || number->integer < INT32_MIN))) {
        return nested_fail(reader, wide ? "expected an integer that int64 holds"
                                        : "expected an integer that int32 holds");
    }
    if (wide) {
        ((int64_t *)(void *)reader->data)[reader->count++] = number->integer;
    } else {
        ((int32_t *)(void *)reader->data)[reader->count++] = (int32_t)number->integer;
    }
    return DGNN_OK;
}

static int nested_element(struct nested_reader *reader)
{
    struct dgnn_decimal number;
    if (reader->count >= reader->capacity) {
        return nested_fail(reader, "more elements than commas");
    }
    if (reader->dtype == '?') {
        return nested_bool(reader);
    }
    enum dgnn_decimal_fault fault = dgnn_decimal_parse(reader->at, reader->end, &number);
    if (fault) {
        return nested_fail(reader, dgnn_decimal_fault_text(fault));
    }
    if (reader->dtype == 'd') {
        ((double *)(void *)reader->data)[reader->count++] = number.value;
    } else if (reader->dtype == 'f') {
        float value = (float)number.value;
        if (!isfinite(value)) {
            return nested_fail(reader, "a number beyond the range of float32");
        }
        ((float *)(void *)reader->data)[reader->count++] = value;
    } else {
        DGNN_TRY(nested_integer(reader, &number));
    }
    reader->at = number.end;
    return DGNN_OK;
}

static int nested_list(struct nested_reader *reader, int depth);

static int nested_item(struct nested_reader *reader, int depth)
{
    nested_skip_space(reader);
    if (reader->at < reader->end && *reader->at == '[') {
        return nested_list(reader, depth);
    }
    if (reader->ndim < 0) {
        reader->ndim = depth;
    }
    if (reader->ndim != depth) {
        return nested_fail(reader, "a ragged array: a number where a list was expected");
    }
    return nested_element(reader);
}

/* Counts one list's items against the others of its depth. */
static int nested_close(struct nested_reader *reader, int depth, int64_t count)
{
    if (count == 0 && reader->ndim < 0) {
        reader->ndim = depth + 1;
    }
    if (count == 0 && reader->ndim != depth + 1) {
        return nested_fail(reader, "a ragged array: lists of different depth");
    }
    if (reader->shape[depth] >= 0 && reader->shape[depth] != count) {
        return nested_fail(reader, "a ragged array: lists of different length");
    }
    reader->shape[depth] = count;
    reader->at++;
    return DGNN_OK;
}

static int nested_list(struct nested_reader *reader, int depth)
{
    int64_t count = 0;
    if (depth >= DGNN_TENSOR_MAX_NDIM || (reader->ndim >= 0 && depth >= reader->ndim)) {
        return nested_fail(reader, depth >= DGNN_TENSOR_MAX_NDIM
                                       ? "an array of more than 8 dimensions"
                                       : "a ragged array: a list where a number was expected");
    }
    reader->at++;
    nested_skip_space(reader);
    if (reader->at < reader->end && *reader->at == ']') {
        return nested_close(reader, depth, 0);
    }
    for (;;) {
        DGNN_TRY(nested_item(reader, depth + 1));
        count++;
        nested_skip_space(reader);
        if (reader->at >= reader->end || (*reader->at != ',' && *reader->at != ']')) {
            return nested_fail(reader, "expected ',' or ']'");
        }
        if (*reader->at == ']') {
            return nested_close(reader, depth, count);
        }
        reader->at++;
    }
}

static int64_t nested_commas(const char *text, const char *end)
{
    int64_t count = 0;
    for (const char *p = text; p < end; p++) {
        count += *p == ',';
    }
    return count;
}

int dgnn_nested_parse(const char *text, const char *end, int32_t dtype, struct dgnn_tensor *tensor,
                      struct dgnn_nested_fault *fault, struct dgnn_error *error)
{
    struct nested_reader reader = {.at = text, .end = end, .dtype = dtype, .ndim = -1, .fault = fault};
    memset(reader.shape, 0xff, sizeof(reader.shape));
    reader.capacity = nested_commas(text, end) + 1;
    if (reader.capacity > DGNN_LIMIT_ELEMENTS) {
        return nested_fail(&reader, "an array of more than 2^31 elements");
    }
    size_t item = (size_t)dgnn_tensor_item_size(dtype);
    reader.data = dgnn_alloc(reader.capacity, item);
    if (!reader.data) {
        return dgnn_status_no_memory(error, "an array", reader.capacity * (int64_t)item);
    }
    int status = nested_item(&reader, 0);
    if (!status && reader.at != end) {
        status = nested_fail(&reader, "expected the end of the array");
    }
    if (status) {
        dgnn_alloc_free(reader.data);
        return status;
    }
    *tensor = (struct dgnn_tensor){.dtype = dtype, .ndim = reader.ndim, .data = reader.data};
    for (int d = 0; d < reader.ndim; d++) {
        tensor->shape[d] = reader.shape[d];
    }
    return DGNN_OK;
}
