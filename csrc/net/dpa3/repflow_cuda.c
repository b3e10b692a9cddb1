/* A CUDA device's stages of the RepFlow layers (stages.h): the kernels of kernels/repflow_*_body.h, launched
 * in the driver's order on one queue. Lists, weights and the mix of charge and spin are made on the host, by
 * the code that the CPU's stages have; so are the fitting net, and forces and virials from the gradients of
 * edges.
 *
 * Nodes without an energy are not a layer ahead here: they are computed like the others, their gradients are
 * zero. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "cuda/cuda_device.h"
#include "cuda/kernel_arguments.h"
#include "net/dpa3/edge_lists.h"

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
