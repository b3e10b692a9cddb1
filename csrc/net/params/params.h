/* Objects of an archive are read by tables of their members: name, kind, default, meaning. A member that the
 * table does not have is refused by name. The table drives loading, checking, describing and the
 * documentation (tools/gen_params.py reads the .def files), and the tests that make mutants of archives.
 *
 * A .def file has one row each of
 *     DGNN_CLASS(name, lowest, highest, absent)  "@class", if it is there, is name, and "@version" within
 * [lowest, highest]; absent: the version that counts where none is there. Without this row the object has
 * neither DGNN_TYPE("meaning")                     it has a "type", by which the table was chosen
 *     DGNN_INT(name, default, "meaning")       int64_t name
 *     DGNN_DOUBLE(name, default, "meaning")    double name
 *     DGNN_BOOL(name, default, "meaning")      int32_t name
 *     DGNN_STRING(name, default, "meaning")    const char *name, in the tree; NULL for null
 *     DGNN_VALUE(name, required, "meaning")    struct dgnn_value name: a part that the code reads itself
 *     DGNN_SAME(name, "meaning")               struct dgnn_value name: repeats what another member says; the
 * code compares them (dgnn_params_same_*) and refuses a contradiction DGNN_IGNORED(name, "meaning") nothing:
 * known, and without effect on an evaluation DGNN_ONLY(name, "json", "meaning")       nothing: refused by
 * name unless it is this value (or absent) DGNN_VARIABLE(name, "meaning")           nothing: an array of
 * "@variables", which the code reads itself; without such a row the object has no "@variables". Of "0.matrix"
 * or "layers.1.bias" the row has the first word, and the code knows the rest A default of DGNN_REQUIRED
 * (ints, doubles, strings) means that the member must be there. */
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
    size_t offset; /* in the struct that is filled; CLASS: the highest version */
    double number; /* default of numbers and bools; (double)DGNN_REQUIRED: none. CLASS: the lowest version */
    const char *text; /* default of strings; the only value of ONLY */
    int32_t required; /* VALUE, STRING; CLASS: the version where none is said */
    const char *meaning;
};

/* Fills out (NULL where the table has no fields) from an object. Unknown members and variables are
 * UNSUPPORTED by name, as are another class or version, wrong kinds FORMAT. */
int dgnn_params_load(const struct dgnn_value *object, const struct dgnn_param *params, size_t nparam,
                     void *out, struct dgnn_error *error);

/* Appends "name": value members for numbers, bools and strings, separated by commas, without braces. */
int dgnn_params_describe(const struct dgnn_param *params, size_t nparam, const void *from,
                         struct dgnn_text *text, struct dgnn_error *error);

/* Refuses a member that says another thing than expected (FORMAT, with its path and both); absent is no
 * contradiction. what: where the expected value is from, as in "the weights". */
int dgnn_params_same_int(const struct dgnn_value *member, int64_t expected, const char *what,
                         struct dgnn_error *error);
int dgnn_params_same_double(const struct dgnn_value *member, double expected, const char *what,
                            struct dgnn_error *error);
int dgnn_params_same_bool(const struct dgnn_value *member, int32_t expected, const char *what,
                          struct dgnn_error *error);
int dgnn_params_same_string(const struct dgnn_value *member, const char *expected, const char *what,
                            struct dgnn_error *error);
/* A list, which must be there, of so many items. */
int dgnn_params_same_count(const struct dgnn_value *member, int64_t expected, const char *what,
                           struct dgnn_error *error);
/* Names of activations, however they are spelt; null is none. */
int dgnn_params_same_activation(const struct dgnn_value *member, const struct dgnn_activation *expected,
                                const char *what, struct dgnn_error *error);
/* A part that is there although, as why says, nothing uses it; null is not there. */
int dgnn_params_unused(const struct dgnn_value *member, const char *why, struct dgnn_error *error);

/* Numbers, bools and strings of which both tables have a row of the same kind must be alike, as where a layer
 * repeats its block's settings. but: a list of names that may differ, with a NULL at its end, or NULL. */
struct dgnn_params_filled {
    const struct dgnn_param *params;
    size_t nparam;
    const void *from;
};
int dgnn_params_agree(const struct dgnn_value *object, const struct dgnn_params_filled *own,
                      const struct dgnn_params_filled *other, const char *const *but,
                      struct dgnn_error *error);

/* n numbers in one dimension, or in several of which all but one have the length 1: deepmd-kit's conversions
 * of old models have rows (1, n), and it flattens them. */
int dgnn_params_row(const struct dgnn_value *member, int64_t n, struct dgnn_tensor *tensor,
                    struct dgnn_error *error);

/* A list of pairs of types as an ntypes x ntypes table, symmetric, 1 for the pairs named. table is allocated
 * (dgnn_alloc_free); *any: is there one? null and absent are the empty list. */
int dgnn_params_pairs(const struct dgnn_value *list, int32_t ntypes, uint8_t **table, int32_t *any,
                      struct dgnn_error *error);

/* The names of a model's types, 1 to 4096 and distinct: names is allocated (dgnn_alloc_free), its strings are
 * the tree's. Nothing is left to free after an error. */
int dgnn_params_type_map(const struct dgnn_value *list, int32_t *ntypes, const char ***names,
                         struct dgnn_error *error);

/* enum dgnn_dtype of a precision's name: "float32", "float64", "default", "single", "double"; UNSUPPORTED by
 * name for float16, bfloat16 and others. */
int dgnn_params_precision(const char *name, const struct dgnn_value *where, int32_t *dtype,
                          struct dgnn_error *error);

/* An activation function by name, NULL: none; where is what the message names. */
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
