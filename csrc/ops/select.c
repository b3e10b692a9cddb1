/* The ladder from instruction set to table. */
#include "base/falsify.h"
#include "ops/vector/vector.h"

#define DGNN_REAL_BITS 32
#include "ops/select_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/select_body.h"
