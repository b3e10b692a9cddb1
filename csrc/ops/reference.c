/* The reference: plain C that is obviously right. Every other instance is tested against it. */
#include "ops/table.h"

#include <math.h>
#include <string.h>

#define DGNN_REAL_BITS 32
#include "ops/reference_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/reference_body.h"
