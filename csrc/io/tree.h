/* A model's tree: JSON values whose arrays are tensors. The one form that .pt2, .json, .dgnn, .dp and .yaml
 * all become, and the only thing of an archive that net sees.
 *
 * A value is passed by value and knows where it came from: each getter's message names the path, as in
 * "model.descriptor.repflow_args.n_dim: expected an integer, found a string". Getters return
 * DGNN_ERROR_FORMAT. Values live as long as their tree. */
#ifndef DGNN_IO_TREE_H
#define DGNN_IO_TREE_H

#include "base/digest.h"
#include "base/tensor.h"

struct dgnn_tree;

struct dgnn_value {
    const struct dgnn_tree *tree;
    const void *node;                /* NULL: absent */
    const struct dgnn_value *parent; /* must outlive this value; NULL at the root */
    const char *name;                /* in the parent, or NULL for an element of a list */
    int64_t index;                   /* in the parent's list */
};

enum dgnn_value_kind {
    DGNN_VALUE_ABSENT = 0, /* no such member */
    DGNN_VALUE_NULL,
    DGNN_VALUE_BOOL,
    DGNN_VALUE_NUMBER,
    DGNN_VALUE_STRING,
    DGNN_VALUE_LIST,
    DGNN_VALUE_OBJECT,
    DGNN_VALUE_TENSOR
};

/* Arrays beside a text. */
struct dgnn_tree_arrays {
    const struct dgnn_array *array;
    size_t n;
};

/* From JSON text with arrays inline ({"@class": "np.ndarray", "dtype", "value": nested lists}) or as
 * {"@class": "np.ndarray", "@index": k} into arrays (NULL: none), whose data the tree copies. name prefixes
 * paths in messages. Limits: nesting 64, rectangular arrays of at most 8 dimensions, finite numbers, no
 * duplicate keys. */
int dgnn_tree_parse(const char *name, const char *json, size_t length, const struct dgnn_tree_arrays *arrays,
                    struct dgnn_tree **tree, struct dgnn_error *error);
void dgnn_tree_free(struct dgnn_tree *tree);
struct dgnn_value dgnn_tree_root(const struct dgnn_tree *tree);

enum dgnn_value_kind dgnn_value_kind(const struct dgnn_value *value);
const char *dgnn_value_kind_name(enum dgnn_value_kind kind); /* "an integer" style, for messages */

/* The path, as "model.json: model.descriptor.sel[1]". buffer holds at least 2 bytes. */
const char *dgnn_value_path(const struct dgnn_value *value, char *buffer, size_t length);

/* As dgnn_status_set, with the value's path before the message: "model.json: model.rcut: must be positive".
 * Returns status. A path is cut at 255 characters. */
int dgnn_value_refuse(struct dgnn_error *error, int status, const struct dgnn_value *value,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A member of an object; ABSENT where there is none, or where value is no object. */
struct dgnn_value dgnn_value_member(const struct dgnn_value *value, const char *name);
/* Members or elements in file order; 0 for other kinds. */
int64_t dgnn_value_count(const struct dgnn_value *value);
struct dgnn_value dgnn_value_item(const struct dgnn_value *value, int64_t index);

int dgnn_value_int(const struct dgnn_value *value, int64_t *out, struct dgnn_error *error);
int dgnn_value_double(const struct dgnn_value *value, double *out, struct dgnn_error *error);
int dgnn_value_bool(const struct dgnn_value *value, int *out, struct dgnn_error *error);
int dgnn_value_string(const struct dgnn_value *value, const char **out, struct dgnn_error *error);
int dgnn_value_object(const struct dgnn_value *value, struct dgnn_error *error); /* must be an object */
int dgnn_value_list(const struct dgnn_value *value, int64_t *count, struct dgnn_error *error);
int dgnn_value_tensor(const struct dgnn_value *value, struct dgnn_tensor *out, struct dgnn_error *error);

/* A tensor of exactly this shape (-1: any length of that axis), all elements finite. A nested list cannot say
 * how long the inner axes of an array without elements are: [] is taken for any shape that begins with 0 or
 * -1. */
int dgnn_value_tensor_shaped(const struct dgnn_value *value, int ndim, const int64_t *shape,
                             struct dgnn_tensor *out, struct dgnn_error *error);

/* Adds the value's content: names, kinds, numbers, and the arrays with type, shape and bytes. White space,
 * the spelling of numbers and how arrays are stored make no difference; the order of members does. */
void dgnn_value_digest(const struct dgnn_value *value, struct dgnn_digest *digest);

#endif
