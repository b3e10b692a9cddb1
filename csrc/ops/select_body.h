#include "base/real.h"

#define SELECT_GLUE2(name, set) name##_##set
#define SELECT_GLUE(name, set) SELECT_GLUE2(name, set)

const struct REAL(dgnn_ops) * REAL(dgnn_select_ops)(enum dgnn_cpu cpu)
{
    switch (cpu) {
    case DGNN_CPU_REFERENCE:
        return &REAL(dgnn_reference_ops);
#if defined(__x86_64__)
    case DGNN_CPU_AVX512:
        return &SELECT_GLUE(REAL(dgnn_vector_ops), avx512);
    case DGNN_CPU_AVX2:
        return &SELECT_GLUE(REAL(dgnn_vector_ops), avx2);
#elif defined(__aarch64__)
    case DGNN_CPU_NEON:
        return &SELECT_GLUE(REAL(dgnn_vector_ops), neon);
#endif
    default:
        return &SELECT_GLUE(REAL(dgnn_vector_ops), portable);
    }
}

#undef SELECT_GLUE
#undef SELECT_GLUE2
