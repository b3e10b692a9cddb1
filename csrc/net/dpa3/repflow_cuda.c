/* A CUDA device's stages of the RepFlow layers (stages.h): the kernels of kernels/repflow_*_body.h, launched
 * in the driver's order on one queue. Lists, weights and the mix of charge and spin are made on the host, by
 * the code that the CPU's stages have; so is the fitting net.
 *
 * Nodes without an energy are not a layer ahead here: they are computed like the others, their gradients are
 * zero. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cuda/cuda_device.h"
#include "cuda/kernel_arguments.h"
#include "net/dpa3/edge_lists.h"

/* DGNN_CUDA_ANGLES, else about what fills a device: more takes memory, fewer is more launches. */
static int cuda_angles_at_a_time(int64_t *count, struct dgnn_error *error)
{
    const char *text = getenv("DGNN_CUDA_ANGLES");
    char *end = NULL;
    *count = 65536;
    if (text && *text) {
        *count = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;
    }
    return *count > 0 && (!end || !*end)
               ? DGNN_OK
               : dgnn_status_set(
                     error, DGNN_ERROR_INPUT,
                     "the variable DGNN_CUDA_ANGLES: found '%.64s'; expected a number of angles, at least 1",
                     text);
}

#define DGNN_REAL_BITS 32
#include "net/dpa3/repflow_cuda_memory_body.h"
#include "net/dpa3/repflow_cuda_forward_body.h"
#include "net/dpa3/repflow_cuda_backward_body.h"
#include "net/dpa3/repflow_cuda_stages_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa3/repflow_cuda_memory_body.h"
#include "net/dpa3/repflow_cuda_forward_body.h"
#include "net/dpa3/repflow_cuda_backward_body.h"
#include "net/dpa3/repflow_cuda_stages_body.h"
