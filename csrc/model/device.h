/* Where a model computes, from what loading was told. */
#ifndef DGNN_MODEL_DEVICE_H
#define DGNN_MODEL_DEVICE_H

#include "cuda/cuda_device.h"

enum dgnn_device_kind { DGNN_DEVICE_CPU, DGNN_DEVICE_CUDA, DGNN_DEVICE_AUTO };

/* text: "cpu", "cuda", "cuda:N", "auto"; NULL: that of the variable DGNN_DEVICE, else "cpu". *ordinal: N, or
 * -1. Errors: INPUT, with what was found and what is known. */
int dgnn_device_parse(const char *text, enum dgnn_device_kind *kind, int32_t *ordinal,
                      struct dgnn_error *error);

/* Opens the device with this number; -1: by the number of this process among those of MPI on its machine,
 * which launchers tell in variables, modulo the devices. Errors as dgnn_cuda_device_open. */
int dgnn_device_open(int32_t ordinal, struct dgnn_cuda_device **device, struct dgnn_error *error);

#endif
