/* Tables of hyper-parameters: what is read, described and refused, for a table with a row of each kind. */
#include "net/params/params.h"

#include <stddef.h>

#include "base/alloc.h"
#include "check.h"

struct values {
    int64_t count, needed;
    double length;
    int32_t flag;
    const char *name, *given;
    struct dgnn_value part, extra;
};

static const struct dgnn_param table[] = {
    {"count", DGNN_PARAM_INT, offsetof(struct values, count), 7, NULL, 0, ""},
    {"needed", DGNN_PARAM_INT, offsetof(struct values, needed), (double)DGNN_REQUIRED, NULL, 0, ""},
    {"length", DGNN_PARAM_DOUBLE, offsetof(struct values, length), 2.5, NULL, 0, ""},
    {"flag", DGNN_PARAM_BOOL, offsetof(struct values, flag), 1, NULL, 0, ""},
    {"name", DGNN_PARAM_STRING, offsetof(struct values, name), 0, "tanh", 0, ""},
    {"given", DGNN_PARAM_STRING, offsetof(struct values, given), 0, NULL, 0, ""},
    {"part", DGNN_PARAM_VALUE, offsetof(struct values, part), 0, NULL, 1, ""},
    {"extra", DGNN_PARAM_VALUE, offsetof(struct values, extra), 0, NULL, 0, ""},
    {"ignored", DGNN_PARAM_IGNORED, 0, 0, NULL, 0, ""},
    {"only_null", DGNN_PARAM_ONLY, 0, 0, "null", 0, "a meaning"},
    {"only_false", DGNN_PARAM_ONLY, 0, 0, "false", 0, ""},
    {"only_empty", DGNN_PARAM_ONLY, 0, 0, "[]", 0, ""},
    {"only_two", DGNN_PARAM_ONLY, 0, 0, "2", 0, ""},
    {"only_word", DGNN_PARAM_ONLY, 0, 0, "\"energy\"", 0, ""},
};

enum { NTABLE = sizeof(table) / sizeof(table[0]) };

static struct dgnn_tree *parse(const char *json)
{
    struct dgnn_tree *tree = NULL;
    struct dgnn_error error;
    CHECK_STATUS(dgnn_tree_parse("p.json", json, strlen(json), NULL, &tree, &error), DGNN_OK, "");
    return tree;
}

static void test_values(void)
{
    struct dgnn_error error;
    struct values v;
    struct dgnn_text text = {0};
    struct dgnn_tree *tree = parse("{\"needed\": 3, \"part\": [1], \"given\": null}");
    struct dgnn_value root = dgnn_tree_root(tree);
    CHECK_STATUS(dgnn_params_load(&root, table, NTABLE, &v, &error), DGNN_OK, "");
    CHECK(v.count == 7 && v.needed == 3 && v.length == 2.5 && v.flag == 1 && !strcmp(v.name, "tanh") &&
          !v.given);
    CHECK(dgnn_value_count(&v.part) == 1 && dgnn_value_kind(&v.extra) == DGNN_VALUE_ABSENT);
    CHECK_STATUS(dgnn_params_describe(table, NTABLE, &v, &text, &error), DGNN_OK, "");
    CHECK(!strcmp(text.data,
                  "\"count\": 7, \"needed\": 3, \"length\": 2.5, \"flag\": true, \"name\": \"tanh\""));
    dgnn_text_free(&text);
    dgnn_tree_free(tree);
    tree =
        parse("{\"count\": -4, \"needed\": 0, \"length\": 1e-3, \"flag\": false, \"name\": null, \"given\": "
              "\"a\\\"b\","
              "\"part\": null, \"extra\": {}, \"ignored\": [7], \"only_null\": null, \"only_false\": false,"
              "\"only_empty\": [], \"only_two\": 2.0, \"only_word\": \"energy\"}");
    root = dgnn_tree_root(tree);
    CHECK_STATUS(dgnn_params_load(&root, table, NTABLE, &v, &error), DGNN_OK, "");
    CHECK(v.count == -4 && v.needed == 0 && v.length == 1e-3 && v.flag == 0 && !strcmp(v.name, "tanh"));
    CHECK(!strcmp(v.given, "a\"b") && dgnn_value_kind(&v.extra) == DGNN_VALUE_OBJECT);
    for (int64_t nth = 1; nth > 0 && nth < 20; nth++) { /* each allocation of a description fails */
        dgnn_alloc_fail_at(nth, 0);
        int status = dgnn_params_describe(table, NTABLE, &v, &text, &error);
        dgnn_alloc_fail_at(0, 0);
        dgnn_text_free(&text);
        CHECK(status == DGNN_ERROR_MEMORY || (status == DGNN_OK && nth > 1));
        nth = status ? nth : -1;
    }
    dgnn_tree_free(tree);
}

static void test_refusals(void)
{
    static const struct {
        const char *members; /* beside the two that are needed */
        int status;
        const char *text;
    } rows[] = {
        {"\"count\": 1.5", DGNN_ERROR_FORMAT, "p.json: count: expected an integer up to 2^53, found 1.5"},
        {"\"count\": 1e300", DGNN_ERROR_FORMAT, "count: expected an integer"},
        {"\"count\": null", DGNN_ERROR_FORMAT, "count: expected an integer, found null"},
        {"\"length\": \"1\"", DGNN_ERROR_FORMAT, "length: expected a number, found a string"},
        {"\"flag\": 1", DGNN_ERROR_FORMAT, "flag: expected a boolean, found a number"},
        {"\"name\": []", DGNN_ERROR_FORMAT, "name: expected a string, found a list"},
        {"\"Count\": 1", DGNN_ERROR_UNSUPPORTED, "Count: dgnn does not know this option"},
        {"\"only_null\": 0", DGNN_ERROR_UNSUPPORTED,
         "only_null: dgnn evaluates only models where this is null (a meaning)"},
        {"\"only_null\": {}", DGNN_ERROR_UNSUPPORTED, "only_null"},
        {"\"only_false\": true", DGNN_ERROR_UNSUPPORTED, "only_false"},
        {"\"only_false\": null", DGNN_ERROR_UNSUPPORTED, "only_false"},
        {"\"only_empty\": [1]", DGNN_ERROR_UNSUPPORTED, "only_empty"},
        {"\"only_empty\": {\"a\": 1}", DGNN_ERROR_UNSUPPORTED, "only_empty"},
        {"\"only_two\": 3", DGNN_ERROR_UNSUPPORTED, "only_two"},
        {"\"only_two\": \"2\"", DGNN_ERROR_UNSUPPORTED, "only_two"},
        {"\"only_word\": \"energ\"", DGNN_ERROR_UNSUPPORTED, "only_word"},
        {"\"only_word\": \"energy2\"", DGNN_ERROR_UNSUPPORTED, "only_word"},
        {"\"only_word\": 0", DGNN_ERROR_UNSUPPORTED, "only_word"},
    };
    static const char *const lacking[][2] = {
        {"{\"needed\": 1, \"given\": \"\"}", "p.json: member 'part' is missing"},
        {"{\"part\": 1, \"given\": \"\"}", "member 'needed' is missing"},
        {"{\"needed\": 1, \"part\": 1}", "member 'given' is missing"},
        {"[]", "expected an object, found a list"}};
    struct dgnn_error error;
    struct values v;
    char json[256];
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        snprintf(json, sizeof(json), "{\"needed\": 1, \"part\": 1, \"given\": \"\", %s}", rows[k].members);
        struct dgnn_tree *tree = parse(json);
        struct dgnn_value root = dgnn_tree_root(tree);
        CHECK_STATUS(dgnn_params_load(&root, table, NTABLE, &v, &error), rows[k].status, rows[k].text);
        dgnn_tree_free(tree);
    }
    for (size_t k = 0; k < sizeof(lacking) / sizeof(lacking[0]); k++) {
        struct dgnn_tree *tree = parse(lacking[k][0]);
        struct dgnn_value root = dgnn_tree_root(tree);
        CHECK_STATUS(dgnn_params_load(&root, table, NTABLE, &v, &error), DGNN_ERROR_FORMAT, lacking[k][1]);
        dgnn_tree_free(tree);
    }
}

/* A table with a class, a type and variables; members of "@" that it does not have are refused like any
 * other. */
static void test_classes(void)
{
    static const struct dgnn_param thing[] = {
        {"Thing", DGNN_PARAM_CLASS, 3, 2, NULL, 2, ""},
        {"type", DGNN_PARAM_IGNORED, 0, 0, NULL, 0, ""},
        {"w", DGNN_PARAM_VARIABLE, 0, 0, NULL, 0, ""},
    };
    static const struct {
        size_t nrow; /* 1: the class only */
        const char *json;
        int status;
        const char *text;
    } rows[] = {
        {3, "{}", DGNN_OK, ""},
        {3, "{\"@version\": 2, \"@class\": \"Thing\", \"type\": \"y\", \"@variables\": {\"w\": 1}}", DGNN_OK,
         ""},
        {3, "{\"@version\": 1}", DGNN_ERROR_UNSUPPORTED, "p.json: version 1; dgnn reads 2 to 3"},
        {3, "{\"@version\": 4}", DGNN_ERROR_UNSUPPORTED, "version 4"},
        {3, "{\"@version\": \"2\"}", DGNN_ERROR_FORMAT, "@version: expected an integer"},
        {3, "{\"@class\": \"Other\"}", DGNN_ERROR_UNSUPPORTED, "@class: found 'Other', expected 'Thing'"},
        {3, "{\"@class\": 1}", DGNN_ERROR_FORMAT, "@class: expected a string"},
        {3, "{\"@variables\": {\"v\": 1}}", DGNN_ERROR_UNSUPPORTED, "@variables.v: dgnn does not know"},
        {3, "{\"@variables\": 7}", DGNN_ERROR_FORMAT, "@variables: expected an object"},
        {3, "{\"w\": 1}", DGNN_ERROR_UNSUPPORTED, "w: dgnn does not know"},
        {3, "{\"Thing\": 1}", DGNN_ERROR_UNSUPPORTED, "Thing: dgnn does not know"},
        {3, "{\"@extra\": 1}", DGNN_ERROR_UNSUPPORTED, "@extra: dgnn does not know"},
        {1, "{\"type\": \"y\"}", DGNN_ERROR_UNSUPPORTED, "type: dgnn does not know"},
        {1, "{\"@variables\": {}}", DGNN_ERROR_UNSUPPORTED, "@variables: dgnn does not know"}};
    struct dgnn_error error;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct dgnn_tree *tree = parse(rows[k].json);
        struct dgnn_value root = dgnn_tree_root(tree);
        CHECK_STATUS(dgnn_params_load(&root, thing, rows[k].nrow, NULL, &error), rows[k].status,
                     rows[k].text);
        dgnn_tree_free(tree);
    }
    struct dgnn_tree *tree = parse("{\"@class\": \"Thing\"}");
    struct dgnn_value root = dgnn_tree_root(tree);
    CHECK_STATUS(dgnn_params_load(&root, thing + 1, 2, NULL, &error), DGNN_ERROR_UNSUPPORTED,
                 "@class: dgnn does not know");
    dgnn_tree_free(tree);
}

/* What is said twice, and rows of one dimension however they are written. */
static void test_repeats(void)
{
#define ROW(value) "{\"@class\": \"np.ndarray\", \"dtype\": \"float64\", \"value\": " value "}"
    static const char *const shapes[] = {"flat", "row", "column", "deep"};
    struct dgnn_tree *tree = parse(
        "{\"i\": 3, \"d\": 0.5, \"b\": true, \"s\": \"x\", \"l\": [1, 2], \"a\": \"Linear\", "
        "\"n\": null, \"flat\": " ROW("[1, 2, 3]") ", \"row\": " ROW("[[1, 2, 3]]") ", \"column\": " ROW(
            "[[1], [2], [3]]") ", \"deep\": " ROW("[[[1, 2, 3]]]") ", \"wide\": " ROW("[[1, 2, 3], [4, 5, "
                                                                                      "6]]") "}");
    struct dgnn_value root = dgnn_tree_root(tree);
    struct dgnn_value i = dgnn_value_member(&root, "i"), d = dgnn_value_member(&root, "d"),
                      b = dgnn_value_member(&root, "b"), s = dgnn_value_member(&root, "s"),
                      l = dgnn_value_member(&root, "l"), a = dgnn_value_member(&root, "a"),
                      n = dgnn_value_member(&root, "n"), none = dgnn_value_member(&root, "none"),
                      wide = dgnn_value_member(&root, "wide");
    struct dgnn_activation sum, tanh;
    struct dgnn_error error;
    struct dgnn_tensor tensor;
    CHECK(!dgnn_activation_parse("none", &sum, &error) && !dgnn_activation_parse("tanh", &tanh, &error));
    CHECK(!dgnn_params_same_int(&i, 3, "w", &error) && !dgnn_params_same_int(&none, 9, "w", &error));
    CHECK_STATUS(dgnn_params_same_int(&i, 4, "the weights", &error), DGNN_ERROR_FORMAT,
                 "p.json: i: contradicts the weights, by which it is 4");
    CHECK(!dgnn_params_same_double(&d, 0.5, "w", &error) && dgnn_params_same_double(&d, 0.25, "w", &error));
    CHECK(!dgnn_params_same_bool(&b, 1, "w", &error) && dgnn_params_same_bool(&b, 0, "w", &error));
    CHECK(!dgnn_params_same_string(&s, "x", "w", &error) && dgnn_params_same_string(&s, "y", "w", &error));
    CHECK(!dgnn_params_same_count(&l, 2, "w", &error) && dgnn_params_same_count(&l, 3, "w", &error));
    CHECK(!dgnn_params_same_activation(&a, &sum, "w", &error) &&
          !dgnn_params_same_activation(&n, &sum, "w", &error));
    CHECK(dgnn_params_same_activation(&a, &tanh, "w", &error) == DGNN_ERROR_FORMAT);
    CHECK(!dgnn_params_unused(&none, "why", &error) && !dgnn_params_unused(&n, "why", &error));
    CHECK_STATUS(dgnn_params_unused(&i, "it is off", &error), DGNN_ERROR_FORMAT,
                 "i: is there, but it is off");
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
        struct dgnn_value member = dgnn_value_member(&root, shapes[k]);
        CHECK_STATUS(dgnn_params_row(&member, 3, &tensor, &error), DGNN_OK, "");
        CHECK(tensor.ndim == 1 && tensor.shape[0] == 3 && ((const double *)tensor.data)[2] == 3);
        CHECK(dgnn_params_row(&member, 2, &tensor, &error) == DGNN_ERROR_FORMAT);
    }
    CHECK(dgnn_params_row(&wide, 6, &tensor, &error) == DGNN_ERROR_FORMAT);
    dgnn_tree_free(tree);
}

/* Lists of pairs of 3 types, and of their names. */
static void test_lists(void)
{
    static const struct {
        const char *json;
        int status;
        const char *text;
    } pairs[] = {{"[[0, 1], [2, 2]]", DGNN_OK, ""},
                 {"7", DGNN_ERROR_FORMAT, "p.json: expected a list"},
                 {"[7]", DGNN_ERROR_FORMAT, "[0]: expected a list"},
                 {"[[0, 1], [2]]", DGNN_ERROR_FORMAT, "[1]: expected a pair of types, found 1 values"},
                 {"[[0, 3]]", DGNN_ERROR_FORMAT, "[0][1]: type 3 is not in [0, 3)"},
                 {"[[-1, 0]]", DGNN_ERROR_FORMAT, "[0][0]: type -1 is not in [0, 3)"},
                 {"[[0, \"1\"]]", DGNN_ERROR_FORMAT, "[0][1]: expected an integer"}},
      names[] = {{"[\"O\", \"H\"]", DGNN_OK, ""},
                 {"[]", DGNN_ERROR_FORMAT, "0 types; expected 1 to 4096"},
                 {"{}", DGNN_ERROR_FORMAT, "expected a list"},
                 {"[\"O\", 1]", DGNN_ERROR_FORMAT, "[1]: expected a string"},
                 {"[\"O\", \"H\", \"O\"]", DGNN_ERROR_FORMAT, "[2]: type 'O' is there twice"}};
    static const uint8_t expected[9] = {0, 1, 0, 1, 0, 0, 0, 0, 1};
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live();
    for (size_t k = 0; k < sizeof(pairs) / sizeof(pairs[0]); k++) {
        uint8_t *found = NULL;
        int32_t any = 0;
        struct dgnn_tree *tree = parse(pairs[k].json);
        struct dgnn_value root = dgnn_tree_root(tree);
        CHECK_STATUS(dgnn_params_pairs(&root, 3, &found, &any, &error), pairs[k].status, pairs[k].text);
        CHECK(!found == (pairs[k].status != DGNN_OK) && (!found || (any && !memcmp(found, expected, 9))));
        dgnn_alloc_free(found);
        dgnn_tree_free(tree);
    }
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        const char **found = NULL;
        int32_t ntypes = 0;
        struct dgnn_tree *tree = parse(names[k].json);
        struct dgnn_value root = dgnn_tree_root(tree);
        CHECK_STATUS(dgnn_params_type_map(&root, &ntypes, &found, &error), names[k].status, names[k].text);
        CHECK(!found == (names[k].status != DGNN_OK) && (!found || (ntypes == 2 && !strcmp(found[1], "H"))));
        dgnn_alloc_free(found);
        dgnn_tree_free(tree);
    }
    CHECK(dgnn_alloc_live() == live);
}

static void test_names(void)
{
    static const struct {
        const char *name;
        int32_t dtype; /* 0: refused */
    } rows[] = {{"float64", DGNN_DTYPE_FLOAT64},
                {"default", DGNN_DTYPE_FLOAT64},
                {"Double", DGNN_DTYPE_FLOAT64},
                {"float32", DGNN_DTYPE_FLOAT32},
                {"SINGLE", DGNN_DTYPE_FLOAT32},
                {"float16", 0},
                {"bfloat16", 0},
                {"", 0},
                {NULL, 0}};
    struct dgnn_error error;
    struct dgnn_activation activation;
    struct dgnn_tree *tree = parse("{\"a\": 1}");
    struct dgnn_value root = dgnn_tree_root(tree), where = dgnn_value_member(&root, "a");
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        int32_t dtype = 0;
        int status = rows[k].dtype ? DGNN_OK : DGNN_ERROR_UNSUPPORTED;
        CHECK_STATUS(dgnn_params_precision(rows[k].name, &where, &dtype, &error), status,
                     "p.json: a: precision '");
        CHECK(dtype == rows[k].dtype);
    }
    CHECK_STATUS(dgnn_params_activation("SiLU", &where, &activation, &error), DGNN_OK, "");
    CHECK(activation.kind == DGNN_ACTIVATION_SILU);
    CHECK_STATUS(dgnn_params_activation(NULL, &where, &activation, &error), DGNN_OK, "");
    CHECK(activation.kind == DGNN_ACTIVATION_LINEAR);
    CHECK_STATUS(dgnn_params_activation("cosine", &where, &activation, &error), DGNN_ERROR_UNSUPPORTED,
                 "p.json: a: activation function 'cosine' is not known");
    dgnn_tree_free(tree);
}

int main(void)
{
    test_values();
    test_refusals();
    test_classes();
    test_repeats();
    test_lists();
    test_names();
    return check_report();
}
