/* What kernels take: each has one struct as its argument, which the host fills and the launch copies.
 * Pointers in it are the device's. Read by C11 and by the compilers of kernels/. */
#ifndef DGNN_CUDA_KERNEL_ARGUMENTS_H
#define DGNN_CUDA_KERNEL_ARGUMENTS_H

#include "ops/activation_kinds.h"

/* A virial's sum: centres of a part, and parts of a sum, which the host adds up. */
enum { DGNN_VIRIAL_CENTRES = 4, DGNN_VIRIAL_PARTS = 256 };

#define DGNN_REAL_BITS 32
#include "cuda/kernel_arguments_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "cuda/kernel_arguments_types.h"
#undef DGNN_REAL_BITS

#endif
