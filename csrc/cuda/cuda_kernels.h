/* The file of compiled kernels that lies beside the library (tools/kernels.py makes it):
 *
 *     8 bytes    "DGNNCUBI"
 *     uint32     DGNN_KERNELS_VERSION, number of images
 *     of each:   uint32 kind (enum dgnn_image_kind), uint32 architecture (80: sm_80), uint64 offset, uint64
 * length the images, each followed by a zero byte
 *
 * all little-endian. */
#ifndef DGNN_CUDA_KERNELS_H
#define DGNN_CUDA_KERNELS_H

#include "base/status.h"

/* Changes with what kernels take (csrc/cuda, kernels/arguments): an older file is refused. */
#define DGNN_KERNELS_VERSION 2

enum dgnn_image_kind { DGNN_IMAGE_CUBIN = 1, DGNN_IMAGE_PTX = 2 };

struct dgnn_cuda_kernels {
    char *bytes; /* the file */
    int64_t length;
};

/* Reads the file: of the variable DGNN_CUDA_KERNELS, else dgnn_kernels.bin beside the library. Errors:
 * UNSUPPORTED (there is none, another version), FORMAT, MEMORY, SYSTEM. */
int dgnn_cuda_kernels_read(struct dgnn_cuda_kernels *kernels, struct dgnn_error *error);
void dgnn_cuda_kernels_free(struct dgnn_cuda_kernels *kernels);

/* The image for a chip, as 90 for compute capability 9.0: the newest cubin of its major version that is not
 * newer than it, else PTX that is not newer. UNSUPPORTED where there is none. */
int dgnn_cuda_kernels_image(const struct dgnn_cuda_kernels *kernels, int32_t architecture, const void **image,
                            struct dgnn_error *error);

#endif
