/* AVX-512 (F, DQ, BW, VL): 32 registers of 64 bytes. */
#include "ops/vector/vector.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define VECTOR_BYTES                   64
#define VECTOR_REGISTERS               24
#define VECTOR_SET                     avx512
#define VECTOR_CPU                     DGNN_CPU_AVX512
#define VECTOR_FUSED                   1
#define VECTOR_POWERS                  16
#define VECTOR_SPECIAL                 "ops/vector/vector_x86_512.h"
#define VECTOR_STREAM(address, vector) _mm512_stream_si512((__m512i *)(address), (__m512i)(vector))
#define VECTOR_HOLD(vector)            __asm__("" : "+v"(vector))

#define DGNN_REAL_BITS 32
#include "ops/vector/vector_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops/vector/vector_body.h"
