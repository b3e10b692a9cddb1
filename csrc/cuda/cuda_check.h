/* What a device is asked when it is opened: do its tensor cores compute what kernels/tensor.h says? Inline
 * PTX is what no test without a device can look at. */
#ifndef DGNN_CUDA_CHECK_H
#define DGNN_CUDA_CHECK_H

#include "cuda/cuda_device.h"

/* *right: do products on tensor cores agree with the host's, in both types? Errors: MEMORY, SYSTEM. */
int dgnn_cuda_check_products(struct dgnn_cuda_device *device, int *right, struct dgnn_error *error);

#endif
