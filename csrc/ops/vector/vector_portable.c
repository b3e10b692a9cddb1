/* Any machine that GCC or clang knows: vectors of 16 bytes. */
#include "ops/vector/vector.h"

#include <math.h>
#include <string.h>

#define VECTOR_BYTES                   16
#define VECTOR_REGISTERS               12
#define VECTOR_SET                     portable
#define VECTOR_CPU                     DGNN_CPU_PORTABLE
#define VECTOR_FUSED                   0
#define VECTOR_POWERS                  1
#define VECTOR_SPECIAL                 "ops/vector/vector_plain.h"
#define VECTOR_STREAM(address, vector) V(store)(address, vector)
#define VECTOR_HOLD(vector)            (void)0 /* as with AVX2 */

#define DGNN_REAL_BITS 32
#include "ops/vector/vector_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/vector/vector_body.h"
