#include "io/checkpoint.h"

#include "base/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dgnn_checkpoint_storage {
    const char *name; /* below data/; libzip's */
    int64_t index;
    int64_t nbytes; /* once read */
    struct dgnn_buffer buffer;
    int32_t is_read;
};

/* Below this, tensors may be larger than what they are made of, as one expanded along an axis is. */
#define CHECKPOINT_SPREAD ((int64_t)32 << 20)

/* ------------------------------------------------------------------ members */

static int checkpoint_compare(const void *a, const void *b)
{
    return strcmp(((const struct dgnn_checkpoint_storage *)a)->name,
                  ((const struct dgnn_checkpoint_storage *)b)->name);
}

/* The part of name behind prefix and folder, or NULL. */
static const char *checkpoint_below(const char *name, const char *prefix, const char *folder)
{
    size_t n = strlen(prefix), m = strlen(folder);
    return !strncmp(name, prefix, n) && !strncmp(name + n, folder, m) ? name + n + m : NULL;
}

struct checkpoint_members {
    int64_t pickle, byteorder;
};

static int checkpoint_list(struct dgnn_checkpoint *c, const char *prefix, struct checkpoint_members *members,
                           struct dgnn_error *error)
{
    int64_t count = dgnn_zip_count(c->zip);
    *members = (struct checkpoint_members){-1, -1};
    c->storages = dgnn_alloc_zeroed(count, sizeof(*c->storages));
    if (!c->storages) {
        return dgnn_status_no_memory(error, "the list of a checkpoint's storages",
                                     count * (int64_t)sizeof(*c->storages));
    }
    for (int64_t i = 0; i < count; i++) {
        const char *name = dgnn_zip_name(c->zip, i, error);
        if (!name) {
            return error ? error->status : DGNN_ERROR_FORMAT;
        }
        const char *storage = checkpoint_below(name, prefix, "data/"),
                   *rest = checkpoint_below(name, prefix, "");
        if (storage) {
            c->storages[c->nstorage++] = (struct dgnn_checkpoint_storage){.name = storage, .index = i};
        } else if (rest && !strcmp(rest, "data.pkl")) {
            members->pickle = i;
        } else if (rest && !strcmp(rest, "byteorder")) {
            members->byteorder = i;
        } else if (rest && !strcmp(rest, "constants.pkl")) {
            c->is_torchscript = 1;
        }
    }
    qsort(c->storages, (size_t)c->nstorage, sizeof(*c->storages), checkpoint_compare);
    return DGNN_OK;
}

static int checkpoint_read(struct dgnn_checkpoint *c, int64_t index, const char *label,
                           struct dgnn_buffer *buffer, int64_t *nbytes, struct dgnn_error *error)
{
    struct dgnn_zip_want want = {.label = label, .index = index};
    if (!dgnn_zip_is_file(c->zip, index)) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: %.200s: a folder or a link where a file is expected", c->name, label);
    }
    DGNN_TRY(dgnn_zip_read(c->zip, &want, buffer, nbytes, error));
    c->nread += *nbytes;
    return DGNN_OK;
}

static int checkpoint_check_order(struct dgnn_checkpoint *c, int64_t index, struct dgnn_error *error)
{
    struct dgnn_buffer buffer = {0};
    int64_t nbytes = 0;
    if (index < 0) {
        return DGNN_OK; /* torch wrote this member only later, and never another order */
    }
    int status = checkpoint_read(c, index, "byteorder", &buffer, &nbytes, error);
    if (!status && (nbytes != 6 || memcmp(buffer.data, "little", 6))) {
        status = dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                 "%s: byteorder: dgnn reads little-endian numbers only", c->name);
    }
    dgnn_buffer_free(&buffer);
    return status;
}

static int checkpoint_fill(struct dgnn_checkpoint *c, const char *prefix, struct dgnn_error *error)
{
    struct checkpoint_members members;
    int64_t nbytes = 0;
    char label[256];
    DGNN_TRY(checkpoint_list(c, prefix, &members, error));
    if (members.pickle < 0) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %.100sdata.pkl: missing", c->name, prefix);
    }
    DGNN_TRY(checkpoint_check_order(c, members.byteorder, error));
    DGNN_TRY(checkpoint_read(c, members.pickle, "data.pkl", &c->bytes, &nbytes, error));
    snprintf(label, sizeof(label), "%.200s: data.pkl", c->name);
    return dgnn_pickle_read(label, c->bytes.data, nbytes, &c->pickle, error);
}

int dgnn_checkpoint_open(const char *name, struct dgnn_zip *zip, const char *prefix,
                         struct dgnn_checkpoint *checkpoint, struct dgnn_error *error)
{
    *checkpoint = (struct dgnn_checkpoint){.name = name, .zip = zip};
    int status = checkpoint_fill(checkpoint, prefix, error);
    if (status) {
        dgnn_checkpoint_close(checkpoint);
    }
    return status;
}

void dgnn_checkpoint_close(struct dgnn_checkpoint *c)
{
    for (int64_t i = 0; i < c->nstorage; i++) {
        dgnn_buffer_free(&c->storages[i].buffer);
    }
    for (int64_t i = 0; i < c->ncopy; i++) {
        dgnn_alloc_free(((void **)c->copies.data)[i]);
    }
    dgnn_buffer_free(&c->copies);
    dgnn_alloc_free(c->storages);
    dgnn_pickle_free(c->pickle);
    dgnn_buffer_free(&c->bytes);
    *c = (struct dgnn_checkpoint){0};
}

/* ------------------------------------------------------------------ tensors */

static struct dgnn_checkpoint_storage *checkpoint_find(struct dgnn_checkpoint *c,
                                                       const struct dgnn_pickle_tensor *tensor)
{
    int64_t low = 0, high = c->nstorage;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        int order = strncmp(c->storages[middle].name, tensor->storage, (size_t)tensor->storage_length);
        order = order ? order : c->storages[middle].name[tensor->storage_length] != 0;
        if (!order) {
            return &c->storages[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

static int checkpoint_load(struct dgnn_checkpoint *c, const struct dgnn_pickle_tensor *tensor,
                           const char *name, struct dgnn_checkpoint_storage **found, struct dgnn_error *error)
{
    struct dgnn_checkpoint_storage *storage = checkpoint_find(c, tensor);
    if (!storage) {
        return dgnn_status_set(
            error, DGNN_ERROR_FORMAT, "%s: %.300s: its storage data/%.*s is missing", c->name, name,
            (int)(tensor->storage_length > 100 ? 100 : tensor->storage_length), tensor->storage);
    }
    if (!storage->is_read) {
        DGNN_TRY(checkpoint_read(c, storage->index, name, &storage->buffer, &storage->nbytes, error));
        storage->is_read = 1;
    }
    if (storage->nbytes / tensor->item_size != tensor->nelement || storage->nbytes % tensor->item_size) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: %.300s: its storage has %lld bytes, expected %lld elements", c->name,
                               name, (long long)storage->nbytes, (long long)tensor->nelement);
    }
    *found = storage;
    return DGNN_OK;
}

static int checkpoint_is_contiguous(const struct dgnn_pickle_tensor *tensor)
{
    int64_t expected = 1;
    for (int32_t d = tensor->ndim - 1; d >= 0; d--) {
        if (tensor->shape[d] != 1 && tensor->stride[d] != expected) {
            return 0;
        }
        expected *= tensor->shape[d];
    }
    return 1;
}

/* Elements in C order from where the strides find them. */
static void checkpoint_gather(const struct dgnn_pickle_tensor *tensor, const char *in, int64_t size,
                              char *out)
{
    int64_t index[DGNN_TENSOR_MAX_NDIM] = {0}, at = tensor->offset;
    for (int64_t i = 0; i < size; i++) {
        memcpy(out + i * tensor->item_size, in + at * tensor->item_size, (size_t)tensor->item_size);
        for (int32_t d = tensor->ndim - 1; d >= 0; d--) {
            at += tensor->stride[d];
            if (++index[d] < tensor->shape[d]) {
                break;
            }
            at -= tensor->stride[d] * tensor->shape[d];
            index[d] = 0;
        }
    }
}

static int checkpoint_copy(struct dgnn_checkpoint *c, const struct dgnn_pickle_tensor *tensor, const char *in,
                           struct dgnn_tensor *out, struct dgnn_error *error)
{
    int64_t size = dgnn_tensor_size(out);
    int64_t spread = size > tensor->nelement ? (size - tensor->nelement) * tensor->item_size : 0;
    if (spread > CHECKPOINT_SPREAD - c->nspread) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: tensors that are much larger than their storages", c->name);
    }
    c->nspread += spread;
    DGNN_TRY(dgnn_buffer_extend(&c->copies, (c->ncopy + 1) * (int64_t)sizeof(void *),
                                c->ncopy * (int64_t)sizeof(void *), "a list of tensors", error));
    char *copy = dgnn_alloc(size, (size_t)tensor->item_size);
    if (!copy) {
        return dgnn_status_no_memory(error, "a tensor", size * tensor->item_size);
    }
    ((void **)c->copies.data)[c->ncopy++] = copy;
    checkpoint_gather(tensor, in, size, copy);
    out->data = copy;
    return DGNN_OK;
}

static int checkpoint_check_finite(struct dgnn_checkpoint *c, const char *name,
                                   const struct dgnn_tensor *tensor, struct dgnn_error *error)
{
    int64_t size = dgnn_tensor_size(tensor);
    for (int64_t i = 0; i < size; i++) {
        if ((tensor->dtype == 'd' && !isfinite(((const double *)tensor->data)[i])) ||
            (tensor->dtype == 'f' && !isfinite(((const float *)tensor->data)[i]))) {
            return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %.300s: element %lld is not finite",
                                   c->name, name, (long long)i);
        }
    }
    return DGNN_OK;
}

int dgnn_checkpoint_tensor(struct dgnn_checkpoint *c, struct dgnn_pickled value, const char *name,
                           struct dgnn_tensor *out, struct dgnn_error *error)
{
    struct dgnn_pickle_tensor tensor;
    struct dgnn_checkpoint_storage *storage = NULL;
    dgnn_pickled_tensor(value, &tensor);
    if (!tensor.dtype) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "%s: %.300s: its numbers are torch's %s; dgnn computes in float32 and float64",
                               c->name, name, tensor.type);
    }
    DGNN_TRY(checkpoint_load(c, &tensor, name, &storage, error));
    *out = (struct dgnn_tensor){.dtype = tensor.dtype, .ndim = tensor.ndim};
    memcpy(out->shape, tensor.shape, (size_t)tensor.ndim * sizeof(out->shape[0]));
    const char *bytes = storage->buffer.data;
    if (checkpoint_is_contiguous(&tensor) && dgnn_tensor_size(out) > 0) {
        out->data = bytes + tensor.offset * tensor.item_size;
    } else {
        DGNN_TRY(checkpoint_copy(c, &tensor, bytes, out, error));
    }
    return checkpoint_check_finite(c, name, out, error);
}
