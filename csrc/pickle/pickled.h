/* Values of a pickle that was read: plain ones, and the tensors, storages and classes that torch's files
 * name. */
#ifndef DGNN_PICKLE_PICKLED_H
#define DGNN_PICKLE_PICKLED_H

#include "base/tensor.h"
#include "base/text.h"

enum dgnn_pickle_kind {
    DGNN_PICKLE_ABSENT = 0,
    DGNN_PICKLE_NONE,
    DGNN_PICKLE_BOOL,
    DGNN_PICKLE_INT,
    DGNN_PICKLE_FLOAT,
    DGNN_PICKLE_STRING,
    DGNN_PICKLE_LIST,
    DGNN_PICKLE_TUPLE,
    DGNN_PICKLE_DICT,
    DGNN_PICKLE_OBJECT, /* of a TorchScript class: its attributes, as a dict's */
    DGNN_PICKLE_TENSOR,
    DGNN_PICKLE_STORAGE,
    DGNN_PICKLE_CLASS
};

/* A value. Lists, tuples, dicts and objects are chains of links; a tensor is the tuple of what makes it, a
 * storage the tuple that names it. */
struct dgnn_pickle_node {
    int32_t kind;  /* enum dgnn_pickle_kind */
    int32_t first; /* link, or -1 */
    int32_t last;
    int32_t count;
    union {
        int64_t integer; /* of a CLASS: enum pickle_global, in io/pickle.c */
        double number;
        struct {
            int32_t offset, length; /* of a STRING, in the bytes */
        } text;
    } as;
};

struct dgnn_pickle_link {
    int32_t key; /* node, or -1 in lists */
    int32_t value;
    int32_t next;
};

struct dgnn_pickle {
    const char *bytes; /* borrowed */
    const struct dgnn_pickle_node *nodes;
    const struct dgnn_pickle_link *links;
    struct dgnn_buffer node_buffer, link_buffer;
    int32_t root;
};

/* Passed by value; lives as long as its pickle. */
struct dgnn_pickled {
    const struct dgnn_pickle *pickle;
    int32_t node; /* -1: absent */
};

/* One element of a list or tuple, or one member of a dict or object. */
struct dgnn_pickle_item {
    struct dgnn_pickled key; /* absent in lists */
    struct dgnn_pickled value;
    int32_t next; /* for dgnn_pickled_next */
};

/* A view of a storage: element i, j, ... lies at offset + i * stride[0] + j * stride[1] + ... All such places
 * are inside the nelement of the storage. */
struct dgnn_pickle_tensor {
    const char *storage; /* the name of the archive's member below data/; not terminated */
    int32_t storage_length;
    const char *type;  /* torch's, as "DoubleStorage" */
    int32_t dtype;     /* of struct dgnn_tensor; 0: a type that dgnn does not compute with */
    int64_t item_size; /* bytes, also where dtype is 0 */
    int64_t nelement;
    int64_t offset;
    int32_t ndim;
    int64_t shape[DGNN_TENSOR_MAX_NDIM], stride[DGNN_TENSOR_MAX_NDIM];
};

enum dgnn_pickle_kind dgnn_pickled_kind(struct dgnn_pickled value);
/* The member of a dict or object with that name; absent where there is none. */
struct dgnn_pickled dgnn_pickled_member(struct dgnn_pickled value, const char *name);
int64_t dgnn_pickled_count(struct dgnn_pickled value);
/* begin: item->next; then *item is the next one until it returns 0. */
void dgnn_pickled_begin(struct dgnn_pickled value, struct dgnn_pickle_item *item);
int dgnn_pickled_next(struct dgnn_pickled value, struct dgnn_pickle_item *item);
/* Of a STRING: not terminated, without zero bytes. */
const char *dgnn_pickled_string(struct dgnn_pickled value, int64_t *length);
/* Of an INT or BOOL. */
int64_t dgnn_pickled_int(struct dgnn_pickled value);
/* Of a TENSOR. NULL, or what is wrong with it (never for one that dgnn_pickle_read let pass). */
const char *dgnn_pickled_tensor(struct dgnn_pickled value, struct dgnn_pickle_tensor *tensor);
/* The number of one of torch's storage classes, as "DoubleStorage", or -1. */
int32_t dgnn_pickled_storage_type(const char *name);
/* Nesting, values inside themselves, and their number with all sharing undone. Errors: FORMAT, MEMORY. */
int dgnn_pickled_check(const struct dgnn_pickle *pickle, const char *name, int64_t nnode,
                       struct dgnn_error *error);

/* Plain values as JSON: lists and tuples become lists, keys that are integers become strings, numbers that
 * are not finite null. Error: FORMAT where a tensor or a class is inside; what names the value. */
int dgnn_pickled_json(struct dgnn_pickled value, const char *what, struct dgnn_text *text,
                      struct dgnn_error *error);

#endif
