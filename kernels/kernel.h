/* What a kernel's source sees of where it runs: NVRTC's compiler, or a C++ compiler with the fake device of
 * tests/cuda, which has the same names. */
#ifndef DGNN_KERNELS_KERNEL_H
#define DGNN_KERNELS_KERNEL_H

/* Threads of a block, in every launch (csrc/cuda/cuda_device.c). */
#define KERNEL_THREADS 128

#ifdef __CUDACC__
#define KERNEL_FUNCTION static __device__ __forceinline__
#define KERNEL(name, type)                                                                                   \
    extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) name(const __grid_constant__ type k)
#define KERNEL_UNROLL            _Pragma("unroll")
#define KERNEL_PLAIN(name, type) KERNEL(name, type) /* without barriers and what a warp does together */
#else
#include "cuda_on_cpu.h"
#define KERNEL_FUNCTION static inline
#define KERNEL_UNROLL
#define KERNEL(name, type)       CUDA_ON_CPU_KERNEL(KERNEL_THREADS, name, type, 0)
#define KERNEL_PLAIN(name, type) CUDA_ON_CPU_KERNEL(KERNEL_THREADS, name, type, 1)
#endif

/* A kernel whose items are independent of one another: name_item does number t of k.count. Items that are
 * next to each other are done by neighbouring threads. */
#define KERNEL_ITEMS(name, type) KERNEL_ITEMS_BY(name, KERNEL_JOIN(name, _item), type)
#define KERNEL_ITEMS_BY(name, item, type)                                                                    \
    KERNEL_PLAIN(name, type)                                                                                 \
    {                                                                                                        \
        int64_t stride = (int64_t)gridDim.x * KERNEL_THREADS;                                                \
        for (int64_t t = (int64_t)blockIdx.x * KERNEL_THREADS + threadIdx.x; t < k.count; t += stride) {     \
            item(k, t);                                                                                      \
        }                                                                                                    \
    }
#define KERNEL_JOIN2(name, part) name##part
#define KERNEL_JOIN(name, part)  KERNEL_JOIN2(name, part)

#endif
