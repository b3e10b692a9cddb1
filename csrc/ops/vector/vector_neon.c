/* NEON: 32 registers of 16 bytes. */
#include "ops/vector/vector.h"

#include <math.h>
#include <string.h>

#define VECTOR_BYTES                   16
#define VECTOR_REGISTERS               24
#define VECTOR_SET                     neon
#define VECTOR_CPU                     DGNN_CPU_NEON
#define VECTOR_FUSED                   0
#define VECTOR_POWERS                  1
#define VECTOR_SPECIAL                 "ops/vector/vector_plain.h"
#define VECTOR_STREAM(address, vector) V(store)(address, vector)
#define VECTOR_HOLD(vector)            __asm__("" : "+w"(vector))

#define DGNN_REAL_BITS 32
#include "ops/vector/vector_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/vector/vector_body.h"
