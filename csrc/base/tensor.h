/* A view of an array with its type and shape. It does not own the data. */
#ifndef DGNN_BASE_TENSOR_H
#define DGNN_BASE_TENSOR_H

#include "base/status.h"

enum { DGNN_TENSOR_MAX_NDIM = 8 };

struct dgnn_tensor {
    int32_t dtype; /* 'f' float32, 'd' float64, 'i' int32, 'l' int64, '?' bool */
    int32_t ndim;
    int64_t shape[DGNN_TENSOR_MAX_NDIM];
    const void *data;
};

/* Returns the number of elements, or -1 where the product of the shape overflows. */
int64_t dgnn_tensor_size(const struct dgnn_tensor *tensor);
/* Returns the bytes of one element, or 0 for an unknown dtype. */
int64_t dgnn_tensor_item_size(int32_t dtype);
/* Converts all elements. The dtype must be one of those above. */
void dgnn_tensor_to_double(const struct dgnn_tensor *tensor, double *out);
void dgnn_tensor_to_float(const struct dgnn_tensor *tensor, float *out);

#endif
