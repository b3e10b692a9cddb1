/* What the files of kernels/ know of a device. */
#ifndef DGNN_KERNELS_DEVICE_CUH
#define DGNN_KERNELS_DEVICE_CUH

#include <cuda_runtime.h>

struct dgnn_device {
    int ordinal;
    cudaStream_t stream;
};

/* OK, or an error that says what failed and how. */
static inline int device_check(cudaError_t found, const char *what, struct dgnn_error *error)
{
    if (found == cudaSuccess) {
        return DGNN_OK;
    }
    return dgnn_status_set(error, found == cudaErrorMemoryAllocation ? DGNN_ERROR_MEMORY : DGNN_ERROR_INPUT,
                           "cuda: %s: %s", what, cudaGetErrorString(found));
}

#endif
