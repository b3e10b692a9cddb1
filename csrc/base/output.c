#include "base/status.h"

static const char *const output_names[DGNN_OUTPUT_COUNT] = {
    [DGNN_OUTPUT_ENERGY] = "energy", [DGNN_OUTPUT_DIPOLE] = "dipole",     [DGNN_OUTPUT_POLAR] = "polar",
    [DGNN_OUTPUT_DOS] = "dos",       [DGNN_OUTPUT_PROPERTY] = "property",
};

const char *dgnn_output_name(int32_t output)
{
    return output >= 0 && output < DGNN_OUTPUT_COUNT ? output_names[output] : NULL;
}
