/* Objects of an archive are read by tables of their members: name, kind, default, meaning. A member that the
 * table does not have is refused by name. The tables drive loading, checking, describing and the
 * documentation (tools/gen_params.py reads the .def files), and the tests that make mutants of archives.
 *
 * A .def file is a list of rows. Each kind of row gives the struct a field, or none:
 *
 *     DGNN_INT(name, default, "meaning")        int64_t name
 *     DGNN_DOUBLE(name, default, "meaning")     double name
 *     DGNN_BOOL(name, default, "meaning")       int32_t name
 *     DGNN_STRING(name, default, "meaning")     const char *name, which the tree owns; NULL for null
 *     DGNN_VALUE(name, required, "meaning")     struct dgnn_value name: a part that the code reads itself
 *     DGNN_SAME(name, "meaning")                struct dgnn_value name: a repetition of another member
 *     DGNN_IGNORED(name, "meaning")             no field
 *     DGNN_ONLY(name, "json", "meaning")        no field
 *     DGNN_TYPE("meaning")                      no field
 *     DGNN_CLASS(name, lowest, highest, absent) no field
 *     DGNN_VARIABLE(name, "meaning")            no field
 *
 * A default of DGNN_REQUIRED (numbers and strings) says that the member must be there. The code compares a
 * repetition with what it repeats (dgnn_params_same_*), and refuses a contradiction. An ignored member is
 * known, and has no effect on an evaluation. The member of an ONLY row is refused unless it has this value or
 * is absent. A TYPE row stands for the member "type", by which the table was chosen. With a CLASS row,
 * "@class" must be this name where it is there, and "@version" must be in [lowest, highest]; absent is the
 * version of an object without "@version". Without a CLASS row an object has neither. The code reads the
 * arrays in "@variables" itself, and an object without VARIABLE rows has none; for "0.matrix" or
 * "layers.1.bias" the row has the first word. */
#ifndef DGNN_NET_PARAMS_H
#define DGNN_NET_PARAMS_H

#include "base/text.h"
#include "io/tree.h"
#include "ops/ops.h"

#define DGNN_REQUIRED INT64_MIN

enum dgnn_param_kind {
    DGNN_PARAM_INT,
    DGNN_PARAM_DOUBLE,
    DGNN_PARAM_BOOL,
    DGNN_PARAM_STRING,
    DGNN_PARAM_VALUE,
    DGNN_PARAM_SAME,
    DGNN_PARAM_IGNORED,
    DGNN_PARAM_ONLY,
    DGNN_PARAM_CLASS,
    DGNN_PARAM_VARIABLE
};

struct dgnn_param {
    const char *name;
    enum dgnn_param_kind kind;
    size_t offset;    /* of the field in the struct; CLASS: the highest version */
    double number;    /* default of numbers and bools, or (double)DGNN_REQUIRED; CLASS: the lowest version */
    const char *text; /* default of strings; the only value of ONLY */
    int32_t required; /* VALUE, STRING: 1 where the member must be there; CLASS: the version of an object
                         without one */
    const char *meaning;
};

/* Fills out from an object; out is NULL where the table has no fields. Errors: UNSUPPORTED for an unknown
 * member or variable, by name, and for another class or version; FORMAT for a member of the wrong kind. */
int dgnn_params_load(const struct dgnn_value *object, const struct dgnn_param *params, size_t nparam,
                     void *out, struct dgnn_error *error);

/* Appends the numbers, bools and strings of *from as members of a JSON object, separated by commas, without
 * braces. */
int dgnn_params_describe(const struct dgnn_param *params, size_t nparam, const void *from,
                         struct dgnn_text *text, struct dgnn_error *error);

/* Refuses a member that differs from the expected value (FORMAT, with its path and both values). An absent
 * member is no contradiction. what says where the expected value comes from, as in "the weights". */
int dgnn_params_same_int(const struct dgnn_value *member, int64_t expected, const char *what,
                         struct dgnn_error *error);
int dgnn_params_same_double(const struct dgnn_value *member, double expected, const char *what,
                            struct dgnn_error *error);
int dgnn_params_same_bool(const struct dgnn_value *member, int32_t expected, const char *what,
                          struct dgnn_error *error);
int dgnn_params_same_string(const struct dgnn_value *member, const char *expected, const char *what,
                            struct dgnn_error *error);
/* Refuses anything but a list of expected items; the list must be there. */
int dgnn_params_same_count(const struct dgnn_value *member, int64_t expected, const char *what,
                           struct dgnn_error *error);
/* Compares names of activations, which may be spelt in several ways; null is no activation. */
int dgnn_params_same_activation(const struct dgnn_value *member, const struct dgnn_activation *expected,
                                const char *what, struct dgnn_error *error);
/* Refuses a part that is there although nothing uses it. why says why nothing does. null counts as absent. */
int dgnn_params_unused(const struct dgnn_value *member, const char *why, struct dgnn_error *error);

/* Compares two structs, as where a layer repeats its block's settings. Numbers, bools and strings that have a
 * row of the same kind in both tables must be equal. but is a list of names that may differ, with a NULL at
 * its end, or NULL. */
struct dgnn_params_filled {
    const struct dgnn_param *params;
    size_t nparam;
    const void *from;
};
int dgnn_params_agree(const struct dgnn_value *object, const struct dgnn_params_filled *own,
                      const struct dgnn_params_filled *other, const char *const *but,
                      struct dgnn_error *error);

/* Reads n numbers in one dimension, or in several of which all but one have length 1. deepmd-kit's
 * conversions of old models have rows (1, n), which it flattens. */
int dgnn_params_row(const struct dgnn_value *member, int64_t n, struct dgnn_tensor *tensor,
                    struct dgnn_error *error);

/* Makes a symmetric table of ntypes x ntypes from a list of pairs of types, with 1 for each pair. The caller
 * frees *table with dgnn_alloc_free. *any becomes 1 where the list has a pair. null and absent count as an
 * empty list. */
int dgnn_params_pairs(const struct dgnn_value *list, int32_t ntypes, uint8_t **table, int32_t *any,
                      struct dgnn_error *error);

/* Makes a row of ntypes flags from a list of types, with 1 for each of them. The caller frees *flags with
 * dgnn_alloc_free, also after a failure. null and absent count as an empty list. */
int dgnn_params_types(const struct dgnn_value *list, int32_t ntypes, uint8_t **flags,
                      struct dgnn_error *error);

/* Reads the names of a model's types, which are 1 to 4096 distinct strings. The caller frees *names with
 * dgnn_alloc_free; the strings belong to the tree. After an error there is nothing to free. */
int dgnn_params_type_map(const struct dgnn_value *list, int32_t *ntypes, const char ***names,
                         struct dgnn_error *error);

/* Finds the enum dgnn_dtype of a precision's name: "float32", "float64", "default", "single" or "double".
 * Errors: UNSUPPORTED, with the name, for float16, bfloat16 and others. */
int dgnn_params_precision(const char *name, const struct dgnn_value *where, int32_t *dtype,
                          struct dgnn_error *error);

/* Finds an activation function by its name; NULL stands for none. The message of an error has the path of
 * where. */
int dgnn_params_activation(const char *name, const struct dgnn_value *where,
                           struct dgnn_activation *activation, struct dgnn_error *error);

/* A struct and its table from a .def:
 *
 *     struct dgnn_x_params {
 *     #include "net/params/params_fields.h"
 *     #include "net/params_x.def"
 *     #include "net/params/params_end.h"
 *     };
 *     static const struct dgnn_param x_params[] = {
 *     #define DGNN_PARAM_STRUCT struct dgnn_x_params
 *     #include "net/params/params_rows.h"
 *     #include "net/params_x.def"
 *     #include "net/params/params_end.h"
 *     };
 */

#endif
