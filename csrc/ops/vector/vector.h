/* The vector instances of the table; each is there on the machines that have its instruction set. */
#ifndef DGNN_OPS_VECTOR_H
#define DGNN_OPS_VECTOR_H

#include "ops/table.h"

extern const struct dgnn_ops_f32 dgnn_vector_ops_f32_portable, dgnn_vector_ops_f32_neon,
    dgnn_vector_ops_f32_avx2, dgnn_vector_ops_f32_avx512;
extern const struct dgnn_ops_f64 dgnn_vector_ops_f64_portable, dgnn_vector_ops_f64_neon,
    dgnn_vector_ops_f64_avx2, dgnn_vector_ops_f64_avx512;

#endif
