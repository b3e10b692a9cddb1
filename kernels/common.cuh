/* A kernel's body is written once. nvcc makes a kernel of it: one block of KERNEL_THREADS threads for each centre. A C
 * compiler makes its twin: KERNEL_EACH runs what is between two barriers for one thread after another, so that the twin
 * has the kernel's order of operations and can be tested on any machine. What outlives a barrier is shared, or has a
 * place for each thread (KERNEL_OWN). */
#ifndef DGNN_KERNELS_COMMON_CUH
#define DGNN_KERNELS_COMMON_CUH

#ifdef __cplusplus
extern "C" {
#endif
#include "ops/table.h"
#ifdef __cplusplus
}
#endif

#include <math.h>

enum {
    KERNEL_THREADS = 128, /* of a block; each has one column of features at a time */
    KERNEL_DEPTH = 16,    /* rows of weights in shared memory at a time */
    KERNEL_EDGES = 8      /* edges that a thread works on at once, in registers */
};

#ifdef __CUDACC__
#define KERNEL_FUNCTION static __device__ __forceinline__
#define KERNEL_SHARED __shared__
#define KERNEL_OWN(type, name) type name
#define KERNEL_MINE(name) (&(name))
#define KERNEL_EACH(thread) \
    for (int thread = (int)threadIdx.x, once = (__syncthreads(), 1); once; once = 0)
#else
#define KERNEL_FUNCTION static inline
#define KERNEL_SHARED
#define KERNEL_OWN(type, name) type name[KERNEL_THREADS]
#define KERNEL_MINE(name) (&(name)[thread])
#define KERNEL_EACH(thread) for (int thread = 0; thread < KERNEL_THREADS; thread++)
#endif

#endif
