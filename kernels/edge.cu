/* The edge block, forward, on a CUDA device: one block of threads for each centre. */
#include "common.cuh"

extern "C" {
#include "ops/device.h"
}
#include "device.cuh"

#define DGNN_REAL_BITS 32
#include "edge_body.h"
#include "edge_launch_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "edge_body.h"
#include "edge_launch_body.h"
