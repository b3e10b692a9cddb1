/* What the tensor cores do for a warp: the only inline PTX of dgnn's. Each wrapper has a twin in
 * tests/cuda/cuda_on_cpu.h, and a device is asked whether it computes the same when it is opened
 * (csrc/cuda/cuda_check.c).
 *
 * Of lane g x 4 + t, with A of rows x depth, B of depth x columns, C += A B:
 *     f32, 16 x 8 x 8:  a (g, t) (g + 8, t) (g, t + 4) (g + 8, t + 4)   b (t, g) (t + 4, g)
 *                       c (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1); a and b are TF32
 *     f64, 8 x 8 x 4:   a (g, t)   b (t, g)   c (g, 2t) (g, 2t + 1) */
#ifndef DGNN_KERNELS_TENSOR_H
#define DGNN_KERNELS_TENSOR_H

#ifdef __CUDACC__
KERNEL_FUNCTION void tensor_multiply(float *c, const float *a, const float *b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
                   "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}

KERNEL_FUNCTION void tensor_multiply(double *c, double a, double b)
{
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+d"(c[0]), "+d"(c[1])
                 : "d"(a), "d"(b));
}

/* The nearest number with 10 bits after the leading one; ties go away from zero. */
KERNEL_FUNCTION float tensor_tf32(float x)
{
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
}
#endif

#endif
