/* io/tree, and below it io/scan, io/nested, io/decimal, io/json. */
#include "check.h"

#include "base/alloc.h"
#include "io/tree.h"

#include <locale.h>
#include <stdlib.h>

static struct dgnn_error error;

#define ARRAY(dtype, value)                                                                                  \
    "{\"@class\":\"np.ndarray\",\"@is_variable\":true,\"dtype\":\"" dtype "\",\"value\":" value "}"

static int parse(const char *text, struct dgnn_tree **tree)
{
    /* An exact copy, without a zero after it: AddressSanitizer sees a read beyond the end. */
    size_t length = strlen(text);
    char *copy = malloc(length + !length);
    memcpy(copy, text, length);
    int status = dgnn_tree_parse("model.json", copy, length, NULL, tree, &error);
    free(copy);
    return status;
}

static struct dgnn_tree *must_parse(const char *text)
{
    struct dgnn_tree *tree = NULL;
    int status = parse(text, &tree);
    CHECK(!status);
    if (status) {
        fprintf(stderr, "    %s: %s\n", text, error.message);
        exit(1);
    }
    return tree;
}

/* ------------------------------------------------------------------ what is read */

static void test_getters(void)
{
    struct dgnn_tree *tree =
        must_parse(" {\"a\": {\"n\": 12, \"x\": -1.5e-3, \"s\": \"\\u00e9\\n\\ud83d\\ude00\", "
                   "\"t\": true, \"f\": false, \"z\": null, \"l\": [1, 2, [\"k\"]], \"N\": 3}, "
                   "\"big\": 9007199254740993, \"e\": {}, \"el\": []} \n");
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_value a = dgnn_value_member(&root, "a");
    struct dgnn_value v;
    int64_t n;
    double x;
    int t;
    const char *s;
    char path[64];
    v = dgnn_value_member(&a, "n");
    CHECK_STATUS(dgnn_value_int(&v, &n, &error), DGNN_OK, "");
    CHECK(n == 12);
    v = dgnn_value_member(&a, "N");
    CHECK(!dgnn_value_int(&v, &n, &error) && n == 3); /* names are case-sensitive */
    v = dgnn_value_member(&a, "x");
    CHECK(!dgnn_value_double(&v, &x, &error) && x == -1.5e-3);
    CHECK_STATUS(dgnn_value_int(&v, &n, &error), DGNN_ERROR_FORMAT, "model.json: a.x: expected an integer");
    v = dgnn_value_member(&a, "s");
    CHECK(!dgnn_value_string(&v, &s, &error) && !strcmp(s, "\xc3\xa9\n\xf0\x9f\x98\x80"));
    CHECK_STATUS(dgnn_value_int(&v, &n, &error), DGNN_ERROR_FORMAT,
                 "model.json: a.s: expected an integer, found a string");
    v = dgnn_value_member(&a, "t");
    CHECK(!dgnn_value_bool(&v, &t, &error) && t == 1);
    v = dgnn_value_member(&a, "f");
    CHECK(!dgnn_value_bool(&v, &t, &error) && t == 0);
    v = dgnn_value_member(&a, "z");
    CHECK(dgnn_value_kind(&v) == DGNN_VALUE_NULL);
    CHECK_STATUS(dgnn_value_bool(&v, &t, &error), DGNN_ERROR_FORMAT, "a.z: expected a boolean, found null");
    struct dgnn_value l = dgnn_value_member(&a, "l");
    CHECK(!dgnn_value_list(&l, &n, &error) && n == 3);
    struct dgnn_value item = dgnn_value_item(&l, 2);
    v = dgnn_value_item(&item, 0);
    CHECK(!strcmp(dgnn_value_path(&v, path, sizeof(path)), "model.json: a.l[2][0]"));
    CHECK(strlen(dgnn_value_path(&v, path, 2)) == 1 && strlen(dgnn_value_path(&v, path, 15)) == 14);
    CHECK_STATUS(dgnn_value_refuse(&error, DGNN_ERROR_UNSUPPORTED, &v, "at most %d, found %s", 7, "more"),
                 DGNN_ERROR_UNSUPPORTED, "model.json: a.l[2][0]: at most 7, found more");
    CHECK(dgnn_value_refuse(NULL, DGNN_ERROR_FORMAT, &v, "nobody hears it") == DGNN_ERROR_FORMAT);
    v = dgnn_value_item(&l, 3);
    CHECK(dgnn_value_kind(&v) == DGNN_VALUE_ABSENT);
    v = dgnn_value_member(&a, "missing");
    CHECK_STATUS(dgnn_value_double(&v, &x, &error), DGNN_ERROR_FORMAT,
                 "a.missing: missing; expected a number");
    v = dgnn_value_member(&l, "no object");
    CHECK(dgnn_value_kind(&v) == DGNN_VALUE_ABSENT);
    v = dgnn_value_member(&root, "big");
    CHECK_STATUS(dgnn_value_int(&v, &n, &error), DGNN_OK, ""); /* 2^53: rounded as any JSON reader does */
    v = dgnn_value_item(&root, 0);
    CHECK(!strcmp(v.name, "a") && dgnn_value_count(&root) == 4 && dgnn_value_count(&a) == 8);
    v = dgnn_value_member(&root, "el");
    CHECK(!dgnn_value_list(&v, &n, &error) && n == 0);
    CHECK_STATUS(dgnn_value_object(&v, &error), DGNN_ERROR_FORMAT, "el: expected an object, found a list");
    dgnn_tree_free(tree);
}

static struct dgnn_tensor root_tensor(const struct dgnn_tree *tree)
{
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_tensor tensor = {0};
    CHECK_STATUS(dgnn_value_tensor(&root, &tensor, &error), DGNN_OK, "");
    return tensor;
}

static void test_arrays(void)
{
    struct dgnn_tree *tree = must_parse(ARRAY("float64", "[ [1.5, -2], [0.1, 4e2] , [5,6]]"));
    struct dgnn_tensor t = root_tensor(tree);
    struct dgnn_value root = dgnn_tree_root(tree);
    CHECK(t.dtype == 'd' && t.ndim == 2 && t.shape[0] == 3 && t.shape[1] == 2);
    CHECK(((const double *)t.data)[1] == -2 && ((const double *)t.data)[2] == 0.1);
    CHECK((uintptr_t)t.data % 64 == 0);
    CHECK_STATUS(dgnn_value_tensor_shaped(&root, 2, (int64_t[]){-1, 2}, &t, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_value_tensor_shaped(&root, 2, (int64_t[]){-1, 3}, &t, &error), DGNN_ERROR_FORMAT,
                 "expected an array of shape (any, 3), found (3, 2)");
    CHECK_STATUS(dgnn_value_tensor_shaped(&root, 1, (int64_t[]){-1}, &t, &error), DGNN_ERROR_FORMAT, "(any)");
    CHECK_STATUS(dgnn_value_object(&root, &error), DGNN_ERROR_FORMAT, "expected an object, found an array");
    CHECK(dgnn_value_count(&root) == 0);
    dgnn_tree_free(tree);

    tree = must_parse(ARRAY("float32", "[0.1,-0.0,1e-60,16777217]"));
    t = root_tensor(tree);
    const float *f = t.data;
    CHECK(t.dtype == 'f' && f[0] == 0.1f && f[1] == 0 && signbit(f[1]) && f[2] == 0 && f[3] == 16777216.f);
    dgnn_tree_free(tree);
}

static void test_array_types(void)
{
    struct dgnn_tree *tree = must_parse(ARRAY("int64", "[-9223372036854775807,3]"));
    struct dgnn_tensor t = root_tensor(tree);
    CHECK(t.dtype == 'l' && ((const int64_t *)t.data)[0] == -9223372036854775807);
    dgnn_tree_free(tree);
    tree = must_parse(ARRAY("int32", "[[[-2147483648]]]"));
    t = root_tensor(tree);
    CHECK(t.dtype == 'i' && t.ndim == 3 && ((const int32_t *)t.data)[0] == INT32_MIN);
    dgnn_tree_free(tree);
    tree = must_parse(ARRAY("bool", "[true, false]"));
    t = root_tensor(tree);
    CHECK(t.dtype == '?' && !memcmp(t.data, "\1\0", 2));
    dgnn_tree_free(tree);
    tree = must_parse(ARRAY("float64", "2.5"));
    t = root_tensor(tree);
    CHECK(t.ndim == 0 && *(const double *)t.data == 2.5);
    dgnn_tree_free(tree);
    tree = must_parse(ARRAY("float64", "[]"));
    struct dgnn_value root = dgnn_tree_root(tree);
    t = root_tensor(tree);
    CHECK(t.ndim == 1 && t.shape[0] == 0);
    CHECK_STATUS(dgnn_value_tensor_shaped(&root, 2, (int64_t[]){0, 7}, &t, &error), DGNN_OK, "");
    CHECK(t.ndim == 2 && t.shape[1] == 7);
    CHECK_STATUS(dgnn_value_tensor_shaped(&root, 2, (int64_t[]){1, 7}, &t, &error), DGNN_ERROR_FORMAT,
                 "found (0)");
    dgnn_tree_free(tree);
    tree = must_parse(ARRAY("float64", "[[],[]]"));
    t = root_tensor(tree);
    CHECK(t.ndim == 2 && t.shape[0] == 2 && t.shape[1] == 0);
    dgnn_tree_free(tree);
}

/* The order of members says nothing, and a "value" elsewhere is ordinary JSON. */
static void test_where_arrays_are(void)
{
    struct dgnn_tree *tree = must_parse(
        "{\"value\":[[1,2]],\"@is_variable\":true,\"dtype\":\"float64\",\"@class\":\"np.ndarray\"}");
    struct dgnn_tensor t = root_tensor(tree);
    CHECK(t.ndim == 2 && ((const double *)t.data)[1] == 2);
    dgnn_tree_free(tree);
    tree = must_parse(
        "{\"s\":\"\\\"value\\\":[1,2]\",\"value\":[1,[2,3]],\"a\":{\"value\":[true,1]},\"b\":{\"value\":7},"
        "\"c\":{\"value\":\"[1]\"},\"w\":" ARRAY("int32", "[4]") ",\"d\":{\"value\":[{\"value\":[5]}]}}");
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_value v = dgnn_value_member(&root, "value");
    struct dgnn_value second = dgnn_value_item(&v, 1);
    struct dgnn_value leaf = dgnn_value_item(&second, 1);
    int64_t n;
    CHECK(!dgnn_value_int(&leaf, &n, &error) && n == 3);
    v = dgnn_value_member(&root, "b");
    leaf = dgnn_value_member(&v, "value");
    CHECK(!dgnn_value_int(&leaf, &n, &error) && n == 7);
    v = dgnn_value_member(&root, "w");
    CHECK(!dgnn_value_tensor(&v, &t, &error) && *(const int32_t *)t.data == 4);
    CHECK(dgnn_value_count(&root) == 7);
    v = dgnn_value_item(&root, 1);
    CHECK(!strcmp(v.name, "value")); /* in file order */
    dgnn_tree_free(tree);
}

/* Whatever the order of an array's members; none has an array inside. */
static void test_array_order(void)
{
    struct dgnn_tree *tree =
        must_parse("[{\"value\":[1,2],\"dtype\":\"float64\",\"@class\":\"np.ndarray\"}," ARRAY(
            "int64", "[4]") ",{\"@class\":\"np.ndarray\",\"dtype\":\"float32\",\"value\":[5,6]}]");
    static const int32_t dtypes[] = {'d', 'l', 'f'};
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_tensor t;
    for (int i = 0; i < 3; i++) {
        struct dgnn_value v = dgnn_value_item(&root, i);
        CHECK_STATUS(dgnn_value_tensor(&v, &t, &error), DGNN_OK, "");
        CHECK(t.dtype == dtypes[i]);
    }
    CHECK(((const float *)t.data)[1] == 6);
    struct dgnn_value absent = dgnn_value_item(&root, 3);
    CHECK_STATUS(dgnn_value_tensor(&absent, &t, &error), DGNN_ERROR_FORMAT,
                 "[3]: missing; expected an array");
    dgnn_tree_free(tree);
}

/* ------------------------------------------------------------------ what is refused */

struct refusal {
    const char *text;
    const char *message;
};

static const struct refusal refusals[] = {
    {"", "the text ends where a value was expected"},
    {"  ", "the text ends"},
    {"\xef\xbb\xbf{}", "byte order mark"},
    {"{} {}", "something follows the JSON text (at byte 3)"},
    {"{}x", "something follows"},
    {"{\"a\":1,}", "expected the name of a member"},
    {"{\"a\" 1}", "a: expected ':'"},
    {"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
    {"[1,]", "not a JSON value"},
    {"[1 2]", "expected ',' or ']'"},
    {"[1", "expected ',' or ']'"},
    {"{a:1}", "expected the name of a member"},
    {"{'a':1}", "expected the name of a member"},
    {"[tru]", "[0]: not a JSON value"},
    {"nul", "not a JSON value"},
    {"[01]", "[0]: not a JSON number"},
    {"[+1]", "not a JSON value"},
    {"[.5]", "not a JSON value"},
    {"[1.]", "not a JSON number"},
    {"[0x10]", "expected ',' or ']'"},
    {"{\"a\":[NaN]}", "a[0]: NaN or Infinity"},
    {"{\"a\":Infinity}", "a: NaN or Infinity"},
    {"{\"a\":-Infinity}", "a: NaN or Infinity"},
    {"{\"a\":1e999}", "a: a number beyond the range of float64"},
    {"[-1e309]", "beyond the range of float64"},
    {"{\"a\":1,\"b\":2,\"a\":3}", "a: the same name twice"},
    {"{\"a\":1,\"\\u0061\":3}", "the same name twice"},
    {"{\"k\":{\"value\":1,\"value\":[2]}}", "k.value: the same name twice"},
    {"[\"a\nb\"]", "a control character in a string"},
    {"[\"a\\u0000b\"]", "a zero character in a string"},
    {"[\"\\ud800\"]", "half of a surrogate pair"},
    {"[\"\\udc00\\ud800\"]", "half of a surrogate pair"},
    {"[\"\\ud800\\u0041\"]", "half of a surrogate pair"},
    {"[\"\\x41\"]", "an escape that JSON does not know"},
    {"[\"\\u12g4\"]", "an escape that JSON does not know"},
    {"[\"\x80\"]", "invalid UTF-8"},
    {"[\"\xc0\xaf\"]", "invalid UTF-8"},
    {"[\"\xed\xa0\x80\"]", "invalid UTF-8"},
    {"[\"\xe2\x82x\"]", "invalid UTF-8"},
    {"[\"\xf4\x90\x80\x80\"]", "invalid UTF-8"},
    {"[\"\xe2\x82", "invalid UTF-8"},
    {"[\"abc", "the text ends inside a string"},
    {"[\"abc\\", "an escape that JSON does not know"},
    {"[1,2]\xff", "something follows"},
    {"\x80", "not a JSON value"},
    /* arrays */
    {ARRAY("float64", "[[1,2],[3]]"), "a ragged array: lists of different length"},
    {ARRAY("float64", "[[1,2],3]"), "a ragged array: a number where a list was expected"},
    {ARRAY("float64", "[1,[2]]"), "a ragged array: a list where a number was expected"},
    {ARRAY("float64", "[[],1]"), "a ragged array"},
    {ARRAY("float64", "[[],[[]]]"), "a ragged array"},
    {ARRAY("float64", "[[[]],[]]"), "a ragged array"},
    {ARRAY("float64", "[[],[1]]"), "a ragged array"},
    {ARRAY("float64", "[[[[[[[[[1]]]]]]]]]"), "more than 8 dimensions"},
    {ARRAY("float64", "[1,]"), "not a JSON number"},
    {ARRAY("float64", "[,1]"), "not a JSON number"},
    {ARRAY("float64", "[1 2]"), "expected ',' or ']'"},
    {ARRAY("float64", "[1]]"), "expected the end of the array"},
    {ARRAY("float64", "[1],[2]"), "expected the end of the array"},
    {ARRAY("float64", "[[1]"), "expected ',' or ']'"},
    {ARRAY("float64", "[1"), "value: expected ',' or ']'"},
    {ARRAY("float64", "[1,true]"), "not a JSON number"},
    {ARRAY("float64", "[1,null]"), "without a \"value\" of nested lists"},
    {ARRAY("float64", "[\"1\"]"), "without a \"value\" of nested lists"},
    {ARRAY("float64", "\"x\""), "without a \"value\" of nested lists"},
    {ARRAY("float64", "[NaN]"), "NaN or Infinity"},
    {ARRAY("float64", "[1e999]"), "beyond the range of float64"},
    {ARRAY("float32", "[1,1e39]"), "a number beyond the range of float32"},
    {ARRAY("int32", "[2147483648]"), "expected an integer that int32 holds"},
    {ARRAY("int64", "[9223372036854775808]"), "expected an integer that int64 holds"},
    {ARRAY("int64", "[1.0]"), "expected an integer that int64 holds"},
    {ARRAY("bool", "[1]"), "expected true or false"},
    {"{\"w\":{\"@class\":\"np.ndarray\",\"value\":[1]}}", "w: an array without \"dtype\""},
    {"{\"w\":{\"@class\":\"np.ndarray\",\"dtype\":\"float64\"}}", "w: an array without a \"value\""},
    {"{\"w\":{\"@class\":\"np.ndarray\",\"@index\":0}}",
     "w: \"@index\" refers to an array that was not given"},
    {"{\"w\":{\"@class\":\"np.ndarray\",\"@index\":-1}}", "\"@index\" refers to an array that was not given"},
    {"{\"w\":{\"\\u0040class\":\"np.ndarray\",\"dtype\":\"float64\",\"value\":[1]}}",
     "names are written with escapes"},
    {"{\"w\":{\"@class\":\"np.ndarray\",\"dtype\":\"float64\",\"v\\u0061lue\":[1]}}",
     "w: an array without a \"value\""},
    {"{\"value\":[1],[2]}", "value: expected ',' or '}'"},
    /* cJSON's CVEs: 2016-10749, 2023-53154, 2016-4303, 2023-26819 in short; the long one is below */
    {"\"000000000000000000\\", "an escape that JSON does not know"},
    {"{\"1\":1,", "expected the name of a member"},
    {"{\"a\": true, \"b\": [ null,9999999999999999999999999999999999999999999999912345678901234567]}x",
     "something follows"},
    {"\"\\ud8", "an escape"},
    {"[\"\\uD800\\uD8", "half of a surrogate pair"},
};

static void test_refusals(void)
{
    struct dgnn_tree *tree = NULL;
    int64_t live = dgnn_alloc_live();
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        int before = check_failed;
        CHECK_STATUS(parse(refusals[i].text, &tree), DGNN_ERROR_FORMAT, refusals[i].message);
        CHECK(!strncmp(error.message, "model.json: ", 12));
        if (check_failed > before) {
            fprintf(stderr, "    the text was %s\n", refusals[i].text);
        }
    }
    CHECK_STATUS(dgnn_tree_parse("m", "[1]\0", 4, NULL, &tree, &error), DGNN_ERROR_FORMAT,
                 "something follows");
    CHECK_STATUS(dgnn_tree_parse("m", "[\"a\0\"]", 6, NULL, &tree, &error), DGNN_ERROR_FORMAT,
                 "control character");
    CHECK_STATUS(dgnn_tree_parse("m", "", 0, NULL, &tree, &error), DGNN_ERROR_FORMAT, "the text ends");
    CHECK_STATUS(parse("{\"d\":" ARRAY("float16", "[1]") "}", &tree), DGNN_ERROR_UNSUPPORTED,
                 "model.json: d: array type 'float16' is not supported");
    CHECK_STATUS(parse("{\"d\":" ARRAY("bfloat16", "[1]") "}", &tree), DGNN_ERROR_UNSUPPORTED, "'bfloat16'");
    CHECK_STATUS(parse(ARRAY("uint8", "[1]"), &tree), DGNN_ERROR_UNSUPPORTED, "'uint8'");
    CHECK(dgnn_alloc_live() == live);
}

/* Every truncation of a text that uses everything is refused. */
static void test_truncations(void)
{
    static const char text[] = "{\"a\":[1.5e-3,true,null,\"\\u00e9\xc3\xa9\"],\"w\":" ARRAY(
        "float64", "[[1,2],[3,-4.5e-1]]") ",\"value\":[1,[2]],\"o\":{\"k\":false}}";
    struct dgnn_tree *tree = NULL;
    int accepted = 0;
    for (size_t length = 0; length < sizeof(text) - 1; length++) {
        char *copy = malloc(length + !length);
        memcpy(copy, text, length);
        accepted += !dgnn_tree_parse("m", copy, length, NULL, &tree, &error);
        free(copy);
    }
    CHECK(accepted == 0);
    dgnn_tree_free(must_parse(text));
}

static char *repeated(const char *before, char c, size_t count, const char *after)
{
    char *text = malloc(strlen(before) + count + strlen(after) + 1);
    strcpy(text, before);
    memset(text + strlen(before), c, count);
    strcpy(text + strlen(before) + count, after);
    return text;
}

static void test_limits(void)
{
    struct dgnn_tree *tree = NULL;
    char *text, deep[260];
    for (int depth = 64; depth <= 65; depth++) {
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        deep[2 * depth] = 0;
        int status = parse(deep, &tree);
        CHECK(depth == 64 ? !status
                          : status == DGNN_ERROR_FORMAT && strstr(error.message, "more than 64 deep"));
        if (!status) {
            dgnn_tree_free(tree);
        }
    }
    text = repeated("", '[', 1000000, "");
    CHECK_STATUS(parse(text, &tree), DGNN_ERROR_FORMAT, "more than 64 deep");
    free(text);
    text = repeated("{\"value\":", '[', 1000000, "}");
    CHECK_STATUS(parse(text, &tree), DGNN_ERROR_FORMAT, "more than 64 deep");
    free(text);
    text = repeated("{\"@class\":\"np.ndarray\",\"dtype\":\"float64\",\"value\":", '[', 100000, "]}");
    CHECK_STATUS(parse(text, &tree), DGNN_ERROR_FORMAT, "more than 8 dimensions");
    free(text);
    text = repeated("[1", '0', 100000, "]"); /* CVE-2023-26819 */
    CHECK_STATUS(parse(text, &tree), DGNN_ERROR_FORMAT, "more than 1024 characters");
    free(text);
    text = repeated("[0.", '3', 1000, "]");
    CHECK_STATUS(parse(text, &tree), DGNN_OK, "");
    dgnn_tree_free(tree);
    free(text);
    size_t count = 300000;
    text = malloc(2 * count + 2);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + 2 * i, i ? ",0" : "[0", 2);
    }
    strcpy(text + 2 * count, "]");
    CHECK_STATUS(parse(text, &tree), DGNN_ERROR_FORMAT, "more than 262144 values");
    free(text);
}

/* ------------------------------------------------------------------ arrays given */

static int parse_given(const char *text, const struct dgnn_array *arrays, size_t narrays,
                       struct dgnn_tree **tree)
{
    const struct dgnn_tree_arrays given = {arrays, narrays};
    return dgnn_tree_parse("model.json", text, strlen(text), &given, tree, &error);
}

static void test_given(void)
{
    double numbers[6] = {1, 2, 3, 4, 5, 6};
    struct dgnn_array arrays[2] = {{.dtype = 'd', .ndim = 2, .shape = {2, 3}, .data = numbers},
                                   {.dtype = '?', .ndim = 1, .shape = {2}, .data = "\1\0"}};
    struct dgnn_tree *tree = NULL;
    struct dgnn_tensor t;
    CHECK_STATUS(
        parse_given(
            "{\"m\":{\"@index\":1,\"@class\":\"np.ndarray\"},\"w\":{\"@class\":\"np.ndarray\",\"@index\":0,"
            "\"dtype\":\"float64\"},\"n\":{\"@index\":5}}",
            arrays, 2, &tree),
        DGNN_OK, "");
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_value v = dgnn_value_member(&root, "w");
    numbers[4] = 0; /* the tree has copied it */
    CHECK(!dgnn_value_tensor(&v, &t, &error) && t.ndim == 2 && ((const double *)t.data)[4] == 5);
    numbers[4] = 5;
    v = dgnn_value_member(&root, "m");
    CHECK(!dgnn_value_tensor(&v, &t, &error) && t.dtype == '?');
    dgnn_tree_free(tree);
    static const char w[] = "{\"w\":{\"@class\":\"np.ndarray\",\"@index\":0}}";
    CHECK_STATUS(parse_given("{\"w\":{\"@class\":\"np.ndarray\",\"@index\":2}}", arrays, 2, &tree),
                 DGNN_ERROR_FORMAT, "w: \"@index\" refers to an array that was not given (there are 2)");
    CHECK_STATUS(parse_given("{\"w\":{\"@class\":\"np.ndarray\",\"@index\":0.5}}", arrays, 2, &tree),
                 DGNN_ERROR_FORMAT, "not given");
    CHECK_STATUS(parse_given("{\"w\":{\"@class\":\"np.ndarray\",\"@index\":0,\"dtype\":\"float32\"}}", arrays,
                             2, &tree),
                 DGNN_ERROR_FORMAT, "w: \"dtype\" differs");
    CHECK_STATUS(
        parse_given("{\"w\":{\"@class\":\"np.ndarray\",\"@index\":0,\"dtype\":\"float64\",\"value\":[1]}}",
                    arrays, 2, &tree),
        DGNN_ERROR_FORMAT, "both");
    numbers[3] = NAN;
    CHECK_STATUS(parse_given(w, arrays, 2, &tree), DGNN_ERROR_FORMAT, "array 0: element 3 is not finite");
    numbers[3] = 4;
    arrays[1].data = "\1\2";
    CHECK_STATUS(parse_given(w, arrays, 2, &tree), DGNN_ERROR_FORMAT,
                 "array 1: element 1 is neither 0 nor 1");
    struct dgnn_array wrap = {
        .dtype = 'd', .ndim = 3, .shape = {4194305, 4194305, 211106198978564}, .data = numbers};
    CHECK_STATUS(parse_given(w, &wrap, 1, &tree), DGNN_ERROR_FORMAT, "array 0: its shape");
    wrap = (struct dgnn_array){.dtype = 'd', .ndim = 1, .shape = {-1}, .data = numbers};
    CHECK_STATUS(parse_given(w, &wrap, 1, &tree), DGNN_ERROR_FORMAT, "array 0: its shape");
    wrap = (struct dgnn_array){.dtype = 'd', .ndim = 9, .data = numbers};
    CHECK_STATUS(parse_given(w, &wrap, 1, &tree), DGNN_ERROR_FORMAT, "9 dimensions");
    wrap = (struct dgnn_array){.dtype = 'e', .ndim = 1, .shape = {1}, .data = numbers};
    CHECK_STATUS(parse_given(w, &wrap, 1, &tree), DGNN_ERROR_FORMAT, "array 0: type 101");
}

/* ------------------------------------------------------------------ digest, memory, locale */

static void digest_of(struct dgnn_tree *tree, uint64_t out[2])
{
    struct dgnn_digest digest;
    struct dgnn_value root = dgnn_tree_root(tree);
    dgnn_digest_begin(&digest);
    dgnn_value_digest(&root, &digest);
    dgnn_digest_end(&digest, out);
    dgnn_tree_free(tree);
}

static void test_digest(void)
{
    double numbers[2] = {1.5, 2};
    struct dgnn_array array = {.dtype = 'd', .ndim = 1, .shape = {2}, .data = numbers};
    struct dgnn_tree *tree = NULL;
    uint64_t a[2], b[2];
    digest_of(must_parse("{\"x\":1,\"w\":" ARRAY("float64", "[1.5,2]") "}"), a);
    digest_of(must_parse(" {\"x\": 1.0 , \"\\u0077\":" ARRAY("float64", "[ 15e-1, 2.0 ]") "}\n"), b);
    CHECK(a[0] == b[0] && a[1] == b[1] && a[0] != a[1]);
    CHECK(!parse_given("{\"x\":1,\"w\":{\"@class\":\"np.ndarray\",\"@index\":0}}", &array, 1, &tree));
    digest_of(tree, b);
    CHECK(a[0] == b[0] && a[1] == b[1]);
    static const char *const others[] = {"{\"x\":2,\"w\":" ARRAY("float64", "[1.5,2]") "}",
                                         "{\"x\":1,\"v\":" ARRAY("float64", "[1.5,2]") "}",
                                         "{\"x\":1,\"w\":" ARRAY("float32", "[1.5,2]") "}",
                                         "{\"x\":1,\"w\":" ARRAY("float64", "[[1.5,2]]") "}",
                                         "{\"x\":1,\"w\":" ARRAY("float64", "[1.5,2.0000000000000004]") "}",
                                         "{\"x\":true,\"w\":" ARRAY("float64", "[1.5,2]") "}",
                                         "{\"x\":1,\"w\":[1.5,2]}"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        digest_of(must_parse(others[i]), b);
        CHECK(a[0] != b[0] && a[1] != b[1]);
    }
}

static void test_digest_pieces(void)
{
    unsigned char bytes[200];
    struct dgnn_digest whole, pieces;
    uint64_t a[2], b[2];
    for (int i = 0; i < 200; i++) {
        bytes[i] = (unsigned char)(i * 7 + 1);
    }
    for (size_t length = 0; length <= 200; length++) {
        dgnn_digest_begin(&whole);
        dgnn_digest_add(&whole, bytes, length);
        dgnn_digest_end(&whole, a);
        dgnn_digest_begin(&pieces);
        for (size_t i = 0, step = 1; i < length; i += step, step = step % 37 + 3) {
            dgnn_digest_add(&pieces, bytes + i, step < length - i ? step : length - i);
        }
        dgnn_digest_end(&pieces, b);
        CHECK(a[0] == b[0] && a[1] == b[1]);
    }
}

/* Each allocation fails once, and then once with all that follow: MEMORY, and nothing is left. */
static void test_allocation_failures(void)
{
    static const char text[] = "{\"a\":[1,\"s\",{\"b\":2,\"c\":3}],\"w\":" ARRAY(
        "float64", "[[1,2],[3,4]]") ",\"v\":"
                                    "{\"@class\":\"np.ndarray\",\"@index\":0}}";
    double number = 1;
    struct dgnn_array array = {.dtype = 'd', .ndim = 0, .data = &number};
    int64_t live = dgnn_alloc_live();
    for (int persistent = 0; persistent < 2; persistent++) {
        int64_t nth = 1;
        for (;; nth++) {
            struct dgnn_tree *tree = NULL;
            dgnn_alloc_fail_at(nth, persistent);
            int status = parse_given(text, &array, 1, &tree);
            dgnn_alloc_fail_at(0, 0);
            if (!status) {
                dgnn_tree_free(tree);
                break;
            }
            CHECK(status == DGNN_ERROR_MEMORY && !tree && dgnn_alloc_live() == live);
        }
        CHECK(nth > 8 && dgnn_alloc_live() == live);
    }
}

/* With a decimal comma in the environment too, 0.5 is 0.5 (where no such locale is installed: the C locale).
 */
static void test_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (setlocale(LC_ALL, names[i])) {
            break;
        }
    }
    struct dgnn_tree *tree = must_parse(
        "{\"x\":0.5,\"y\":0.12345678901234567890123,\"w\":" ARRAY("float64", "[1.25,1.5e-99]") "}");
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_value v = dgnn_value_member(&root, "x");
    struct dgnn_tensor t;
    double x;
    CHECK(!dgnn_value_double(&v, &x, &error) && x == 0.5);
    v = dgnn_value_member(&root, "y");
    CHECK(!dgnn_value_double(&v, &x, &error) && x == 0.12345678901234567890123);
    v = dgnn_value_member(&root, "w");
    CHECK(!dgnn_value_tensor(&v, &t, &error) && ((const double *)t.data)[1] == 1.5e-99);
    dgnn_tree_free(tree);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    test_getters();
    test_arrays();
    test_array_types();
    test_where_arrays_are();
    test_array_order();
    test_refusals();
    test_truncations();
    test_limits();
    test_given();
    test_digest();
    test_digest_pieces();
    test_allocation_failures();
    test_locale();
    CHECK(dgnn_alloc_live() == 0);
    return check_report();
}
