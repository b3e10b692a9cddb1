/* The edge block, forward, on a CUDA device: one block of threads for each centre. */
#include "common.cuh"

extern "C" {
#include "ops/device.h"
}
#include "device.cuh"

#define DGNN_REAL_BITS 32
#include "edge.inc"
#include "edge_launch.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "edge.inc"
#include "edge_launch.inc"
