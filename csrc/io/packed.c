#include "io/packed.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "io/nested.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "arrays.bin is read in place");

static int packed_fail(const struct dgnn_value *value, const char *what, struct dgnn_error *error)
{
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "%s", what);
}

static int packed_digest(const struct dgnn_value *root, uint64_t digest[2], struct dgnn_error *error)
{
    struct dgnn_value value = dgnn_value_member(root, "digest");
    const char *text;
    DGNN_TRY(dgnn_value_string(&value, &text, error));
    digest[0] = digest[1] = 0;
    if (strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32) {
        return packed_fail(&value, "expected 32 hexadecimal digits", error);
    }
    for (int i = 0; i < 32; i++) {
        uint64_t digit = (uint64_t)(text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
        digest[i / 16] = digest[i / 16] << 4 | digit;
    }
    return DGNN_OK;
}

static int packed_shape(const struct dgnn_value *value, struct dgnn_array *array, struct dgnn_error *error)
{
    int64_t ndim;
    DGNN_TRY(dgnn_value_list(value, &ndim, error));
    if (ndim > DGNN_TENSOR_MAX_NDIM) {
        return packed_fail(value, "more than 8 dimensions", error);
    }
    array->ndim = (int32_t)ndim;
    for (int64_t d = 0; d < ndim; d++) {
        struct dgnn_value item = dgnn_value_item(value, d);
        DGNN_TRY(dgnn_value_int(&item, &array->shape[d], error));
        if (array->shape[d] < 0) {
            return packed_fail(&item, "a negative length", error);
        }
    }
    return DGNN_OK;
}

/* The bytes that arrays.json describes. */
struct packed_bytes {
    const char *data;
    int64_t nbytes;
    int64_t place; /* where the last array ended */
};

static int packed_array(const struct dgnn_value *value, struct packed_bytes *bytes, struct dgnn_array *array,
                        struct dgnn_error *error)
{
    struct dgnn_value dtype = dgnn_value_member(value, "dtype");
    struct dgnn_value shape = dgnn_value_member(value, "shape");
    struct dgnn_value offset = dgnn_value_member(value, "offset");
    struct dgnn_tensor tensor = {0};
    const char *name;
    int64_t start, size;
    DGNN_TRY(dgnn_value_string(&dtype, &name, error));
    DGNN_TRY(packed_shape(&shape, array, error));
    DGNN_TRY(dgnn_value_int(&offset, &start, error));
    array->dtype = dgnn_nested_dtype(name, strlen(name));
    if (!array->dtype) {
        return packed_fail(&dtype, "an array type that dgnn does not know", error);
    }
    /* Arrays follow each other, so that none can stand for the same bytes twice. */
    int64_t expected =
        (bytes->place + DGNN_PACKED_ALIGNMENT - 1) / DGNN_PACKED_ALIGNMENT * DGNN_PACKED_ALIGNMENT;
    if (start != expected) {
        return packed_fail(&offset, "not the next multiple of 64 after the array before", error);
    }
    tensor.ndim = array->ndim;
    memcpy(tensor.shape, array->shape, sizeof(tensor.shape));
    int64_t count = dgnn_tensor_size(&tensor);
    if (count < 0 || !dgnn_alloc_checked(count, dgnn_tensor_item_size(array->dtype), 0, &size) ||
        start > bytes->nbytes || size > bytes->nbytes - start) {
        return packed_fail(&shape, "the array reaches beyond arrays.bin", error);
    }
    array->data = bytes->data + start;
    bytes->place = start + size;
    return DGNN_OK;
}

static int packed_header(const struct dgnn_value *root, int64_t nbytes, struct dgnn_packed *packed,
                         struct dgnn_error *error)
{
    struct dgnn_value format = dgnn_value_member(root, "format");
    struct dgnn_value version = dgnn_value_member(root, "version");
    struct dgnn_value total = dgnn_value_member(root, "nbytes");
    const char *name;
    int64_t number;
    DGNN_TRY(dgnn_value_string(&format, &name, error));
    if (strcmp(name, "dgnn")) {
        return packed_fail(&format, "expected \"dgnn\"", error);
    }
    DGNN_TRY(dgnn_value_int(&version, &number, error));
    if (number != DGNN_PACKED_VERSION) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &version,
                                 "version %lld is not known; this dgnn reads version %d", (long long)number,
                                 DGNN_PACKED_VERSION);
    }
    DGNN_TRY(dgnn_value_int(&total, &number, error));
    if (number != nbytes) {
        return packed_fail(&total, "arrays.bin has another length", error);
    }
    return packed_digest(root, packed->digest, error);
}

static int packed_arrays(const struct dgnn_value *list, struct packed_bytes *bytes,
                         struct dgnn_packed *packed, struct dgnn_error *error)
{
    int64_t count;
    DGNN_TRY(dgnn_value_list(list, &count, error));
    packed->arrays = dgnn_alloc_zeroed(count, sizeof(*packed->arrays));
    if (!packed->arrays) {
        return dgnn_status_no_memory(error, "a list of arrays", count * (int64_t)sizeof(*packed->arrays));
    }
    packed->narrays = count;
    for (int64_t i = 0; i < count; i++) {
        struct dgnn_value item = dgnn_value_item(list, i);
        DGNN_TRY(packed_array(&item, bytes, &packed->arrays[i], error));
    }
    return bytes->place == bytes->nbytes ? DGNN_OK
                                         : packed_fail(list, "arrays.bin is longer than its arrays", error);
}

int dgnn_packed_open(const struct dgnn_tree *index, const void *bytes, int64_t nbytes,
                     struct dgnn_packed *packed, struct dgnn_error *error)
{
    struct dgnn_value root = dgnn_tree_root(index);
    struct dgnn_value list = dgnn_value_member(&root, "arrays");
    struct packed_bytes place = {.data = bytes, .nbytes = nbytes};
    *packed = (struct dgnn_packed){0};
    int status = packed_header(&root, nbytes, packed, error);
    status = status ? status : packed_arrays(&list, &place, packed, error);
    if (status) {
        dgnn_packed_free(packed);
    }
    return status;
}

void dgnn_packed_free(struct dgnn_packed *packed)
{
    dgnn_alloc_free(packed->arrays);
    *packed = (struct dgnn_packed){0};
}
