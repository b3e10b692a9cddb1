/* AVX2 with FMA: 16 registers of 32 bytes. */
#include "ops/vector/vector.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define VECTOR_BYTES                   32
#define VECTOR_REGISTERS               12
#define VECTOR_SET                     avx2
#define VECTOR_CPU                     DGNN_CPU_AVX2
#define VECTOR_FUSED                   1
#define VECTOR_POWERS                  1
#define VECTOR_SPECIAL                 "ops/vector/vector_x86_256.h"
#define VECTOR_STREAM(address, vector) _mm256_stream_si256((__m256i *)(address), (__m256i)(vector))
#define VECTOR_HOLD(vector)            (void)0 /* there are no registers left for it */

#define DGNN_REAL_BITS 32
#include "ops/vector/vector_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/vector/vector_body.h"
