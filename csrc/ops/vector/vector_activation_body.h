/* Activations in vectors: included by ops/vector/vector_body.h. */

/* exp(-x): -x = n ln 2 + r, and the minimax polynomial 1 + r + r^2 (...) of least relative error (Remez).
 * With a table of powers n is a multiple of 1/16, |r| <= ln 2 / 32: degree 3 for float32 (2e-9), 6 for
 * float64 (1e-17). Without, n is whole, |r| <= ln 2 / 2: degree 6 for float32 (3e-9), 11 for float64 (4e-18).
 * ln 2 is in two parts, also where products are fused: the error of one part, though below half an ulp, has
 * the same sign everywhere, and that adds up in a virial. Within 2 ulp where |x| < 20, and within 5 up to the
 * range of normal numbers. It is clamped where it would overflow, and where |x| is so large that n loses
 * digits the result is still 0 or huge. */
INLINE V(vec) V(exponential_of_negative)(V(vec) x)
{
#if DGNN_REAL_BITS == 32
    const real magic = 12582912.0f / VECTOR_POWERS, high = VECTOR_FUSED ? 0.69314718f : 0.693359375f;
    const real low = VECTOR_FUSED ? -1.90465422e-9f : -2.12194440e-4f, limit = 87.0f;
#else
    const real magic = 6755399441055744.0 / VECTOR_POWERS, high = 0x1.62e42feep-1;
    const real low = 0x1.a39ef35793c76p-33, limit = 700.0;
#endif
    x = V(bound)(x, limit);
    V(vec) t = magic - x * (real)1.4426950408889634;
    V(vec) n = t - magic;
    V(vec) q = V(fused)(n, V(splat)(high), x) + n * low; /* -r */
    V(vec) square = q * q;
#if VECTOR_POWERS > 1
    V(vec) power = V(power)(t);
#if DGNN_REAL_BITS == 32
    V(vec) p = q * -0x1.55559ap-3f + 0x1.00021ep-1f;
#else
    V(vec) a = q * -0x1.555555548f890p-3 + 0x1.fffffffffffb9p-2;
    V(vec) b = q * -0x1.11123aae74323p-7 + 0x1.55555558fca6dp-5;
    V(vec) p = (square * 0x1.6c14c6eb8be36p-10 + b) * square + a;
#endif
    p = power * (p * square - q) + power;
#else
#if DGNN_REAL_BITS == 32
    V(vec) p = q * 0x1.6a2436p-10f - 0x1.1239e2p-7f;
    p = p * q + 0x1.5558f2p-5f;
    p = p * q - 0x1.555492p-3f;
    p = p * q + 0x1.fffffcp-2f;
#else
    V(vec) a = q * -0x1.55555555554fap-3 + 0x1.000000000000ap-1;
    V(vec) b = q * -0x1.1111111127be9p-7 + 0x1.555555555087dp-5;
    V(vec) c = q * -0x1.a01a012a56626p-13 + 0x1.6c16c1842a0e4p-10;
    V(vec) d = q * -0x1.71df2555820b7p-19 + 0x1.a0199a0c7067bp-16;
    V(vec) e = q * -0x1.ad7f6966eed54p-26 + 0x1.28ad72c46d724p-22;
    V(vec) p = ((e * square + d) * square + c) * square + b;
    p = p * square + a;
#endif
    p = p * square + ((real)1 - q);
#endif
    return V(scale)(p, t, n);
}

INLINE V(vec) V(sigmoid)(V(vec) x)
{
    return (real)1 / ((real)1 + V(exponential_of_negative)(x));
}

/* 2 sigmoid(2x) - 1: exact to an ulp of 1, not of a small result. In float32 that shows in forces, so small
 * arguments have a polynomial of their own there (Cephes' tanhf, relative error within an ulp or two). */
INLINE V(vec) V(tanh)(V(vec) x)
{
    V(vec) value = (real)2 * V(sigmoid)(x + x) - (real)1;
#if DGNN_REAL_BITS == 32
    V(vec) z = x * x;
    V(vec) p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    value = V(choose)(z < 0.390625f, p * z * x + x, value);
#endif
    return value;
}

INLINE V(vec) V(silu)(V(vec) x, V(vec) * slope)
{
    V(vec) t = V(exponential_of_negative)(x), s = (real)1 / ((real)1 + t), value = x * s;
    *slope = s + value * (t * s); /* 1 - s = t s, which does not cancel where s is near 1 */
    return value;
}

INLINE V(vec) V(gelu)(real c, V(vec) x, V(vec) * slope)
{
    V(vec) square = x * x;
    V(vec) t = V(tanh)(c * x * ((real)0.044715 * square + (real)1));
    V(vec) half = (real)0.5 * ((real)1 + t);
    *slope = half + (real)0.5 * x * ((real)1 - t * t) * (c * ((real)(3 * 0.044715) * square + (real)1));
    return x * half;
}

INLINE V(vec) V(silut)(const struct dgnn_activation *activation, V(vec) x, V(vec) * slope)
{
    V(vec) value = V(silu)(x, slope), threshold = V(splat)((real)activation->threshold);
    if (__builtin_expect(V(any_reaches)(x, threshold), 0)) {
        V(ivec) beyond = x >= threshold;
        V(vec) t = V(tanh)((real)activation->slope * (x - (real)activation->threshold));
        value = V(choose)(beyond, t + (real)activation->offset, value);
        *slope = V(choose)(beyond, (real)activation->slope * ((real)1 - t * t), *slope);
    }
    return value;
}

/* What has no vector form goes through the reference, lane by lane. */
static __attribute__((noinline)) V(vec)
    V(by_lane)(const struct dgnn_activation *activation, V(vec) x, V(vec) * slope)
{
    V(vec) value = x, slopes = x;
    for (int64_t i = 0; i < LANES; i++) {
        double s;
        value[i] = (real)dgnn_activation_value(activation, (double)x[i], &s);
        slopes[i] = (real)s;
    }
    *slope = slopes;
    return value;
}

/* Is no number of columns [c0, c1) of the rows as large as silut's threshold? */
INLINE int V(all_below_threshold)(const struct dgnn_activation *activation, int64_t nrow, const real *rows,
                                  int64_t stride, int64_t c0, int64_t c1)
{
    V(vec) threshold = V(splat)((real)activation->threshold), low = threshold - V(splat)(1);
    V(vec) most[4] = {low, low, low, low}; /* a chain for each, since they wait for themselves */
    int64_t r = 0;
    for (; r + 4 <= nrow; r += 4) {
        for (int64_t c = r * stride + c0; c < r * stride + c1; c += LANES) {
            for (int k = 0; k < 4; k++) {
                most[k] = V(larger)(V(load)(rows + c + k * stride), most[k]);
            }
        }
    }
    for (; r < nrow; r++) {
        for (int64_t c = r * stride + c0; c < r * stride + c1; c += LANES) {
            most[0] = V(larger)(V(load)(rows + c), most[0]);
        }
    }
    return !V(any_reaches)(V(larger)(V(larger)(most[0], most[1]), V(larger)(most[2], most[3])), threshold);
}

/* kind is activation->kind, passed beside it so that it is a constant where this is inlined. */
INLINE V(vec) V(apply)(enum dgnn_activation_kind kind, const struct dgnn_activation *activation, V(vec) x,
                       V(vec) * slope)
{
    V(vec) zero = {0}, one = V(splat)(1), s;
    switch (kind) {
    case DGNN_ACTIVATION_LINEAR:
        *slope = one;
        return x;
    case DGNN_ACTIVATION_TANH:
        s = V(tanh)(x);
        *slope = one - s * s;
        return s;
    case DGNN_ACTIVATION_RELU:
        *slope = V(choose)(x > zero, one, zero);
        return V(choose)(x > zero, x, zero);
    case DGNN_ACTIVATION_SIGMOID:
        s = V(sigmoid)(x);
        *slope = s * (one - s);
        return s;
    case DGNN_ACTIVATION_SILU:
        return V(silu)(x, slope);
    case DGNN_ACTIVATION_SILUT:
        return V(silut)(activation, x, slope);
    case DGNN_ACTIVATION_GELU:
        return V(gelu)((real)activation->slope, x, slope);
    default:
        return V(by_lane)(activation, x, slope);
    }
}

/* Calls with_kind(kind, ...) so that the common kinds are constants inside it. */
#define VECTOR_DISPATCH(activation_kind, call)            \
    switch (activation_kind) {                            \
    case DGNN_ACTIVATION_SILU:                            \
        call(DGNN_ACTIVATION_SILU);                       \
        break;                                            \
    case DGNN_ACTIVATION_SILUT:                           \
        call(DGNN_ACTIVATION_SILUT);                      \
        break;                                            \
    case DGNN_ACTIVATION_TANH:                            \
        call(DGNN_ACTIVATION_TANH);                       \
        break;                                            \
    default:                                              \
        call(activation_kind);                            \
    }

/* Calls with_kind(kind) for a tile of rows: below its threshold, which is nearly everywhere, silut is silu,
 * and to see that for a tile costs less than to see it for each vector. */
#define VECTOR_TILE(tile_kind, tile_all_below, call)                   \
    if ((tile_kind) == DGNN_ACTIVATION_SILUT && (tile_all_below)) {    \
        call(DGNN_ACTIVATION_SILU);                                \
    } else {                                                       \
        call(tile_kind);                                           \
    }

INLINE void V(activate_kind)(enum dgnn_activation_kind kind, const struct dgnn_activation *activation,
                             int64_t n, const real *x, real *value, real *slope)
{
    int64_t i = 0;
    V(vec) s = {0};
    for (; i + LANES <= n; i += LANES) {
        V(store)(value + i, V(apply)(kind, activation, V(load)(x + i), &s));
        if (slope) {
            V(store)(slope + i, s);
        }
    }
    if (i < n) {
        V(vec) rest = {0}, v;
        memcpy(&rest, x + i, sizeof(real) * (size_t)(n - i));
        v = V(apply)(kind, activation, rest, &s);
        memcpy(value + i, &v, sizeof(real) * (size_t)(n - i));
        if (slope) {
            memcpy(slope + i, &s, sizeof(real) * (size_t)(n - i));
        }
    }
}

static void V(vector_activate)(const struct dgnn_activation *activation, int64_t n, const real *x,
                               real *value, real *slope)
{
    const int64_t tile = 16 * LANES;
    for (int64_t i = 0; i < n; i += tile) {
        int64_t count = n - i < tile ? n - i : tile;
#define VECTOR_CALL_TILE(kind)                                                                               \
    V(activate_kind)(kind, activation, count, x + i, value + i, slope ? slope + i : NULL)
#define VECTOR_CALL(kind)                                                                                    \
    VECTOR_TILE(kind, count == tile && V(all_below_threshold)(activation, 4, x + i, tile / 4, 0, tile / 4),  \
                VECTOR_CALL_TILE)
        VECTOR_DISPATCH(activation->kind, VECTOR_CALL)
#undef VECTOR_CALL
#undef VECTOR_CALL_TILE
    }
}
