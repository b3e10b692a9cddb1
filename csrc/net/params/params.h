/* Hyper-parameters are rows of a table: name, kind, default, meaning. The table drives loading, checking, describing
 * and the documentation (tools/gen_params.py reads the .def files).
 *
 * A .def file has one row each of
 *     DGNN_INT(name, default, "meaning")       int64_t name
 *     DGNN_DOUBLE(name, default, "meaning")    double name
 *     DGNN_BOOL(name, default, "meaning")      int32_t name
 *     DGNN_STRING(name, default, "meaning")    const char *name, in the tree; NULL for null
 *     DGNN_VALUE(name, required, "meaning")    struct dgnn_value name: a part that the code reads itself
 *     DGNN_IGNORED(name, "meaning")            nothing: known, and without effect on an evaluation
 *     DGNN_ONLY(name, "json", "meaning")       nothing: refused by name unless it is this value (or absent)
 * A default of DGNN_REQUIRED (ints, doubles, strings) means that the member must be there. */
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
    DGNN_PARAM_IGNORED,
    DGNN_PARAM_ONLY
};

struct dgnn_param {
    const char *name;
    enum dgnn_param_kind kind;
    size_t offset;          /* in the struct that is filled */
    double number;          /* default of numbers and bools; (double)DGNN_REQUIRED: none */
    const char *text;       /* default of strings; the only value of ONLY */
    int32_t required;       /* VALUE, STRING */
    const char *meaning;
};

/* Fills out from an object. Unknown members are UNSUPPORTED by name (members that begin with "@" are the caller's:
 * "@class", "@version" and "@variables" are passed over), wrong kinds FORMAT. */
int dgnn_params_load(const struct dgnn_value *object, const struct dgnn_param *params, size_t nparam, void *out,
                     struct dgnn_error *error);

/* Appends "name": value members for numbers, bools and strings, separated by commas, without braces. */
int dgnn_params_describe(const struct dgnn_param *params, size_t nparam, const void *from, struct dgnn_text *text,
                         struct dgnn_error *error);

/* "@version" within [lowest, highest]; absent counts as absent_version. */
int dgnn_params_version(const struct dgnn_value *object, int64_t lowest, int64_t highest, int64_t absent_version,
                        struct dgnn_error *error);

/* A list of pairs of types as an ntypes x ntypes table, symmetric, 1 for the pairs named. table is allocated
 * (dgnn_alloc_free); *any: is there one? null and absent are the empty list. */
int dgnn_params_pairs(const struct dgnn_value *list, int32_t ntypes, uint8_t **table, int32_t *any,
                      struct dgnn_error *error);

/* The names of a model's types, 1 to 4096 and distinct: names is allocated (dgnn_alloc_free), its strings are the
 * tree's. Nothing is left to free after an error. */
int dgnn_params_type_map(const struct dgnn_value *list, int32_t *ntypes, const char ***names,
                         struct dgnn_error *error);

/* enum dgnn_dtype of a precision's name: "float32", "float64", "default", "single", "double"; UNSUPPORTED by name
 * for float16, bfloat16 and others. */
int dgnn_params_precision(const char *name, const struct dgnn_value *where, int32_t *dtype,
                          struct dgnn_error *error);

/* An activation function by name, NULL: none; where is what the message names. */
int dgnn_params_activation(const char *name, const struct dgnn_value *where, struct dgnn_activation *activation,
                           struct dgnn_error *error);

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
