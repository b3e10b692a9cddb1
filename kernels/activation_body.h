#include "base/real.h"

/* The activations of ops/ops.h for one number; included once for each element type. */
#if DGNN_REAL_BITS == 32
#define KERNEL_MATH(name) name##f
#else
#define KERNEL_MATH(name) name
#endif

/* exp(-|x|) does not overflow; both halves come from it. *complement = 1 - sigmoid(x) does not cancel. */
KERNEL_FUNCTION real REAL(kernel_sigmoid)(real x, real *complement)
{
    real t = KERNEL_MATH(exp)(-KERNEL_MATH(fabs)(x)), small = t / (1 + t), large = 1 / (1 + t);
    *complement = x >= 0 ? small : large;
    return x >= 0 ? large : small;
}

KERNEL_FUNCTION real REAL(kernel_silu)(real x, real *slope)
{
    real complement, s = REAL(kernel_sigmoid)(x, &complement);
    *slope = s + x * s * complement;
    return x * s;
}

KERNEL_FUNCTION real REAL(kernel_gelu)(real c, real x, real *slope)
{
    real inner = c * x * (1 + (real)0.044715 * x * x), complement;
    real s = REAL(kernel_sigmoid)(2 * inner, &complement); /* (1 + tanh(inner)) / 2 */
    *slope = s + 2 * x * s * complement * c * (1 + (real)(3 * 0.044715) * x * x);
    return x * s;
}

/* Value and slope. */
KERNEL_FUNCTION real REAL(kernel_activate)(const struct dgnn_activation & a, real x, real *slope)
{
    real complement, s, t;
    switch (a.kind) {
    case DGNN_ACTIVATION_TANH:
        t = KERNEL_MATH(tanh)(x);
        *slope = 1 - t * t;
        return t;
    case DGNN_ACTIVATION_RELU:
        *slope = x > 0 ? (real)1 : (real)0;
        return x > 0 ? x : (real)0;
    case DGNN_ACTIVATION_RELU6:
        *slope = x > 0 && x < 6 ? (real)1 : (real)0;
        return x <= 0 ? (real)0 : x < 6 ? x : (real)6;
    case DGNN_ACTIVATION_GELU:
        return REAL(kernel_gelu)((real)a.slope, x, slope);
    case DGNN_ACTIVATION_SOFTPLUS:
        *slope = REAL(kernel_sigmoid)(x, &complement);
        return (x > 0 ? x : (real)0) + KERNEL_MATH(log1p)(KERNEL_MATH(exp)(-KERNEL_MATH(fabs)(x)));
    case DGNN_ACTIVATION_SIGMOID:
        s = REAL(kernel_sigmoid)(x, &complement);
        *slope = s * complement;
        return s;
    case DGNN_ACTIVATION_SILUT:
        if (x >= (real)a.threshold) {
            t = KERNEL_MATH(tanh)((real)a.slope * (x - (real)a.threshold));
            *slope = (real)a.slope * (1 - t * t);
            return t + (real)a.offset;
        }
        return REAL(kernel_silu)(x, slope);
    case DGNN_ACTIVATION_SILU:
        return REAL(kernel_silu)(x, slope);
    default:
        *slope = 1;
        return x;
    }
}

#undef KERNEL_MATH
