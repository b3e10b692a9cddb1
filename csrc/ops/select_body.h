#include "base/real.h"

#define SELECT_GLUE2(name, set) name##_##set
#define SELECT_GLUE(name, set) SELECT_GLUE2(name, set)

static const struct REAL(dgnn_ops) * REAL(select_table)(enum dgnn_cpu cpu)
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

static void REAL(select_wrong_product)(int64_t nrow, const real *rows, int64_t row_stride,
                                       const struct REAL(dgnn_matrix) * w, const real *bias, real *out,
                                       int64_t out_stride, int accumulate)
{
    REAL(dgnn_reference_ops).product(nrow, rows, row_stride, w, bias, out, out_stride, accumulate);
    for (int64_t row = 0; row < nrow; row++) {
        out[row * out_stride] += (real)0.001;
    }
}

const struct REAL(dgnn_ops) * REAL(dgnn_select_ops)(enum dgnn_cpu cpu)
{
    static struct REAL(dgnn_ops) wrong; /* only a test has it, which has one such set at a time */
    const struct REAL(dgnn_ops) *table = REAL(select_table)(cpu);
    if (!dgnn_falsify_has(cpu)) {
        return table;
    }
    wrong = *table;
    wrong.product = REAL(select_wrong_product);
    return &wrong;
}

#undef SELECT_GLUE
#undef SELECT_GLUE2
