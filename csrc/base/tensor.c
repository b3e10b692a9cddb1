#include "base/tensor.h"

#include <string.h>

int64_t dgnn_tensor_size(const struct dgnn_tensor *tensor)
{
    int64_t size = 1;
    for (int d = 0; d < tensor->ndim; d++) {
        if (tensor->shape[d] < 0 || __builtin_mul_overflow(size, tensor->shape[d], &size)) {
            return -1;
        }
    }
    return size;
}

int64_t dgnn_tensor_item_size(int32_t dtype)
{
    switch (dtype) {
    case 'd':
    case 'l':
        return 8;
    case 'f':
    case 'i':
        return 4;
    case '?':
        return 1;
    default:
        return 0;
    }
}

static double tensor_item(const struct dgnn_tensor *tensor, int64_t i)
{
    /* memcpy: the data of an archive need not be aligned. */
    const char *place = (const char *)tensor->data + i * dgnn_tensor_item_size(tensor->dtype);
    double d;
    float f;
    int32_t n;
    int64_t l;
    switch (tensor->dtype) {
    case 'd':
        memcpy(&d, place, sizeof(d));
        return d;
    case 'f':
        memcpy(&f, place, sizeof(f));
        return f;
    case 'i':
        memcpy(&n, place, sizeof(n));
        return n;
    case 'l':
        memcpy(&l, place, sizeof(l));
        return (double)l;
    default:
        return *place != 0;
    }
}

void dgnn_tensor_to_double(const struct dgnn_tensor *tensor, double *out)
{
    int64_t size = dgnn_tensor_size(tensor);
    for (int64_t i = 0; i < size; i++) {
        out[i] = tensor_item(tensor, i);
    }
}

void dgnn_tensor_to_float(const struct dgnn_tensor *tensor, float *out)
{
    int64_t size = dgnn_tensor_size(tensor);
    for (int64_t i = 0; i < size; i++) {
        out[i] = (float)tensor_item(tensor, i);
    }
}
