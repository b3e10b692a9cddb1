/* The fast instance of the table: one body for every vector width, in GCC's vector extensions. A file of its own for
 * each instruction set defines VECTOR_BYTES, VECTOR_REGISTERS (accumulators that fit), VECTOR_SET (part of the
 * names), VECTOR_FUSED (are products and sums one instruction?), VECTOR_POWERS (of 2 in a table of V(power); 1:
 * none), VECTOR_STREAM(address, vector), VECTOR_HOLD(vector) (it is in a register now: else it would be read again
 * for each row) and, where an instruction does better than plain C, the functions of ops/vector_plain.h, and
 * includes this once for each element type. */
#include "base/real.h"

#undef V
#undef LANES
#define VECTOR_GLUE2(name, set) name##_##set
#define VECTOR_GLUE(name, set) VECTOR_GLUE2(name, set)
#define V(name) REAL(name)
#define LANES ((int64_t)(VECTOR_BYTES / sizeof(real)))
#ifndef INLINE /* tools/coverage.py counts a function once, not in each place that it is copied to */
#define INLINE static inline __attribute__((always_inline))
#endif

typedef real V(vec) __attribute__((vector_size(VECTOR_BYTES)));
typedef real V(memory) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#if DGNN_REAL_BITS == 32
typedef int32_t V(ivec) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t V(ivec) __attribute__((vector_size(VECTOR_BYTES)));
#endif

INLINE V(vec) V(load)(const real *p)
{
    return (V(vec)) * (const V(memory) *)p;
}

INLINE void V(store)(real *p, V(vec) x)
{
    *(V(memory) *)p = x;
}

INLINE V(vec) V(splat)(real x)
{
    return x - (V(vec)){0};
}

INLINE V(vec) V(choose)(V(ivec) mask, V(vec) yes, V(vec) no)
{
    return (V(vec))(((V(ivec))yes & mask) | ((V(ivec))no & ~mask));
}

#include VECTOR_SPECIAL

/* ---------------------------------------------------------------- activations */

/* exp(-x): -x = n ln 2 + r, and the minimax polynomial 1 + r + r^2 (...) of least relative error (Remez). With a
 * table of powers n is a multiple of 1/16, |r| <= ln 2 / 32: degree 3 for float32 (2e-9), 6 for float64 (1e-17).
 * Without, n is whole, |r| <= ln 2 / 2: degree 6 for float32 (3e-9), 11 for float64 (4e-18). ln 2 is in two parts,
 * also where products are fused: the error of one part, though below half an ulp, has the same sign everywhere, and
 * that adds up in a virial. Within 2 ulp where |x| < 20, and within 5 up to the range of normal numbers. It is
 * clamped where it would overflow, and where |x| is so large that n loses digits the result is still 0 or huge. */
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
    V(vec) a = q * -0x1.555555548f890p-3 + 0x1.fffffffffffb9p-2, b = q * -0x1.11123aae74323p-7 + 0x1.55555558fca6dp-5;
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
    V(vec) a = q * -0x1.55555555554fap-3 + 0x1.000000000000ap-1, b = q * -0x1.1111111127be9p-7 + 0x1.555555555087dp-5;
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

/* 2 sigmoid(2x) - 1: exact to an ulp of 1, not of a small result. In float32 that shows in forces, so small arguments
 * have a polynomial of their own there (Cephes' tanhf, relative error within an ulp or two). */
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
static __attribute__((noinline)) V(vec) V(by_lane)(const struct dgnn_activation *activation, V(vec) x, V(vec) * slope)
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
                                  int64_t stride,
                    int64_t c0, int64_t c1)
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

/* Calls with_kind(kind) for a tile of rows: below its threshold, which is nearly everywhere, silut is silu, and to see
 * that for a tile costs less than to see it for each vector. */
#define VECTOR_TILE(tile_kind, tile_all_below, call)                   \
    if ((tile_kind) == DGNN_ACTIVATION_SILUT && (tile_all_below)) {    \
        call(DGNN_ACTIVATION_SILU);                                \
    } else {                                                       \
        call(tile_kind);                                           \
    }

INLINE void V(activate_kind)(enum dgnn_activation_kind kind, const struct dgnn_activation *activation, int64_t n,
                             const real *x, real *value, real *slope)
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

static void V(vector_activate)(const struct dgnn_activation *activation, int64_t n, const real *x, real *value,
                               real *slope)
{
    const int64_t tile = 16 * LANES;
    for (int64_t i = 0; i < n; i += tile) {
        int64_t count = n - i < tile ? n - i : tile;
#define VECTOR_CALL_TILE(kind) V(activate_kind)(kind, activation, count, x + i, value + i, slope ? slope + i : NULL)
#define VECTOR_CALL(kind) \
    VECTOR_TILE(kind, count == tile && V(all_below_threshold)(activation, 4, x + i, tile / 4, 0, tile / 4), VECTOR_CALL_TILE)
        VECTOR_DISPATCH(activation->kind, VECTOR_CALL)
#undef VECTOR_CALL
#undef VECTOR_CALL_TILE
    }
}

/* ---------------------------------------------------------------- products */

/* out[r][c] = start + sum_k rows[r][k] w[k][c] for whole vectors of columns. */
struct V(product) {
    int64_t nrow;
    const real *rows;
    int64_t row_stride;
    int32_t transposed; /* the factor is rows[k][r] instead of rows[r][k] */
    int64_t depth;  /* of the sum */
    const real *w;
    int64_t w_stride;
    /* the start: a row for all, NULL: 0; plus a row for each, NULL: 0 */
    const real *common;
    const real *each;
    const int32_t *each_index; /* row of each; NULL: r */
    int64_t each_stride;
    int32_t continues; /* out holds the sum of what lies before, to be gone on with */
    real *out;
    int64_t out_stride;
};

/* Adds what each row starts from. At the end: were it there before, each step of the sum would be rounded to its
 * size. */
INLINE void V(add_start)(const int R, const int N, const struct V(product) * p, int64_t row, int64_t column,
                         V(vec) * sum)
{
    if (p->each) {
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) {
            const real *each = p->each + (p->each_index ? p->each_index[row + r] : row + r) * p->each_stride + column;
#pragma GCC unroll 6
            for (int n = 0; n < N; n++) {
                sum[r * N + n] += V(load)(each + n * LANES);
            }
        }
    }
    if (p->common) {
#pragma GCC unroll 6
        for (int n = 0; n < N; n++) {
            V(vec) common = V(load)(p->common + column + n * LANES);
            VECTOR_HOLD(common);
#pragma GCC unroll 24
            for (int r = 0; r < R; r++) {
                sum[r * N + n] += common;
            }
        }
    }
}

/* R rows by N vectors of columns, in registers. transposed: p->transposed,
    a constant where this is inlined. */
INLINE void V(tile)(const int R, const int N, const int transposed, const struct V(product) * p, int64_t row,
                    int64_t column)
{
    V(vec) sum[24] = {0};
    const real *a = p->rows + (transposed ? row : row * p->row_stride), *w = p->w + column;
    real *out = p->out + row * p->out_stride + column;
    if (p->continues) {
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 6
            for (int n = 0; n < N; n++) {
                sum[r * N + n] = V(load)(out + r * p->out_stride + n * LANES);
            }
        }
    }
    for (int64_t k = 0; k < p->depth; k++) {
        V(vec) b[6];
#pragma GCC unroll 6
        for (int n = 0; n < N; n++) {
            b[n] = V(load)(w + k * p->w_stride + n * LANES);
            VECTOR_HOLD(b[n]);
        }
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) {
            V(vec) x = V(splat)(transposed ? a[k * p->row_stride + r] : a[r * p->row_stride + k]);
#pragma GCC unroll 6
            for (int n = 0; n < N; n++) {
                sum[r * N + n] += x * b[n];
            }
        }
    }
    V(add_start)(R, N, p, row, column, sum);
#pragma GCC unroll 24
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 6
        for (int n = 0; n < N; n++) {
            V(store)(out + r * p->out_stride + n * LANES, sum[r * N + n]);
        }
    }
}

/* All rows of a panel of N vectors of columns. */
#define VECTOR_PANEL(name, N, transposed)                                                                  \
    static void V(name)(const struct V(product) * p, int64_t column)                                   \
    {                                                                                                  \
        enum { R = VECTOR_REGISTERS / N > 12 ? 12 : VECTOR_REGISTERS / N };                            \
        int64_t row = 0;                                                                               \
        for (; row + R <= p->nrow; row += R) {                                                         \
            V(tile)(R, N, transposed, p, row, column);                                                     \
        }                                                                                              \
        for (; R > 4 && row + 4 <= p->nrow; row += 4) {                                                \
            V(tile)(R > 4 ? 4 : 1, N, transposed, p, row, column);                                         \
        }                                                                                              \
        switch (p->nrow - row) {                                                                       \
        case 3:                                                                                        \
            V(tile)(3, N, transposed, p, row, column);                                                     \
            break;                                                                                     \
        case 2:                                                                                        \
            V(tile)(2, N, transposed, p, row, column);                                                     \
            break;                                                                                     \
        case 1:                                                                                        \
            V(tile)(1, N, transposed, p, row, column);                                                     \
        }                                                                                              \
    }
VECTOR_PANEL(panel_6, 6, 0)
VECTOR_PANEL(panel_5, 5, 0)
VECTOR_PANEL(panel_4, 4, 0)
VECTOR_PANEL(panel_3, 3, 0)
VECTOR_PANEL(panel_2, 2, 0)
VECTOR_PANEL(panel_1, 1, 0)
VECTOR_PANEL(turned_6, 6, 1)
VECTOR_PANEL(turned_5, 5, 1)
VECTOR_PANEL(turned_4, 4, 1)
VECTOR_PANEL(turned_3, 3, 1)
VECTOR_PANEL(turned_2, 2, 1)
VECTOR_PANEL(turned_1, 1, 1)

static void (*const V(panel)[2][7])(const struct V(product) *, int64_t) = {
    {NULL, V(panel_1), V(panel_2), V(panel_3), V(panel_4), V(panel_5), V(panel_6)},
    {NULL, V(turned_1), V(turned_2), V(turned_3), V(turned_4), V(turned_5), V(turned_6)}};

enum { V(PANEL_BYTES) = 24 * 1024, V(PANEL_ROWS) = 16 };

/* A panel of which a first cache holds a part only: part after part, each copied so that its rows lie side by side, is
 * read by all rows. A sum is kept in out between two parts: it is the same, step by step. */
static void V(deep_panel)(const struct V(product) * p, int64_t column, int width)
{
    enum { MOST = V(PANEL_BYTES) / (int)sizeof(real) };
    real w[MOST] __attribute__((aligned(64)));
    struct V(product) part = *p;
    const int64_t stride = width * LANES, depth = MOST / stride;
    part.w = w;
    part.w_stride = stride;
    part.out = p->out + column;
    for (int64_t begin = 0; begin < p->depth; begin += depth) {
        int is_last = begin + depth >= p->depth;
        part.depth = is_last ? p->depth - begin : depth;
        part.rows = p->rows + begin * (p->transposed ? p->row_stride : 1);
        part.continues = begin > 0;
        part.common = is_last && p->common ? p->common + column : NULL;
        for (int64_t k = 0; k < part.depth; k++) {
            memcpy(w + k * stride, p->w + (begin + k) * p->w_stride + column, sizeof(real) * (size_t)stride);
        }
        V(panel)[p->transposed][width](&part, 0);
    }
}

/* Columns [begin, end), both whole vectors from the start of the rows. Panels are as wide as leaves no narrow one. */
static void V(columns)(const struct V(product) * p, int64_t begin, int64_t end)
{
    static const int8_t widest[12] = {0, 1, 2, 3, 4, 5, 6, 4, 4, 5, 6, 6}; /* by the vectors that are left */
    int64_t left = (end - begin) / LANES;
    while (left > 0) {
        int take = left < 12 ? widest[left] : 6;
        int64_t bytes = p->depth * take * VECTOR_BYTES;
        if (bytes > V(PANEL_BYTES) && p->nrow >= V(PANEL_ROWS) && !p->each) {
            V(deep_panel)(p, begin, take);
        } else {
            V(panel)[p->transposed][take](p, begin);
        }
        begin += take * LANES;
        left -= take;
    }
}

/* The last columns, where they do not fill a vector: through rows of one vector, so that nothing beyond them is
 * touched. */
static void V(last_columns)(const struct V(product) * p, int64_t begin, int64_t ncol)
{
    enum { ROWS = 32 };
    real scratch[ROWS * (VECTOR_BYTES / sizeof(real))] = {0}, common[VECTOR_BYTES / sizeof(real)] = {0};
    size_t nbytes = sizeof(real) * (size_t)(ncol - begin);
    if (p->common) {
        memcpy(common, p->common + begin, nbytes);
    }
    for (int64_t r = 0; r < p->nrow; r += ROWS) {
        int64_t nrow = p->nrow - r < ROWS ? p->nrow - r : ROWS;
        for (int64_t i = 0; i < nrow && p->each; i++) {
            memcpy(scratch + i * LANES, p->each + (r + i) * p->each_stride + begin, nbytes);
        }
        struct V(product) part = {.nrow = nrow,
                                  .rows = p->rows + (p->transposed ? r : r * p->row_stride),
                                  .row_stride = p->row_stride,
                                  .transposed = p->transposed,
                                  .depth = p->depth,
                                  .w = p->w + begin,
                                  .w_stride = p->w_stride,
                                  .common = p->common ? common : NULL,
                                  .each = p->each ? scratch : NULL,
                                  .each_stride = LANES,
                                  .out = scratch,
                                  .out_stride = LANES};
        V(columns)(&part, 0, LANES);
        for (int64_t i = 0; i < nrow; i++) {
            memcpy(p->out + (r + i) * p->out_stride + begin, scratch + i * LANES, nbytes);
        }
    }
}

static void V(vector_product)(int64_t nrow, const real *rows, int64_t row_stride,
                              const struct REAL(dgnn_matrix) * w, const real *bias, real *out, int64_t out_stride,
                              int accumulate)
{
    struct V(product) p = {.nrow = nrow,
                           .rows = rows,
                           .row_stride = row_stride,
                           .depth = w->nrow,
                           .w = w->data,
                           .w_stride = w->stride,
                           .common = accumulate ? NULL : bias,
                           .each = accumulate ? out : NULL,
                           .each_stride = out_stride,
                           .out = out,
                           .out_stride = out_stride};
    int64_t whole = w->ncol / LANES * LANES;
    V(columns)(&p, 0, whole);
    if (whole < w->ncol) {
        V(last_columns)(&p, whole, w->ncol);
    }
}

static void V(vector_product_transposed)(int64_t nrow, const real *rows, int64_t row_stride,
                                     const struct REAL(dgnn_matrix) * w, real *out, int64_t out_stride)
{
    struct V(product) p = {.nrow = nrow,
                           .rows = rows,
                           .row_stride = row_stride,
                           .transposed = 1,
                           .depth = w->nrow,
                           .w = w->data,
                           .w_stride = w->stride,
                           .out = out,
                           .out_stride = out_stride};
    int64_t whole = w->ncol / LANES * LANES;
    V(columns)(&p, 0, whole);
    if (whole < w->ncol) {
        V(last_columns)(&p, whole, w->ncol);
    }
}

/* ---------------------------------------------------------------- rows */

static void V(vector_exponential)(int64_t n, const real *x, real most, real *y)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        V(store)(y + i, V(exponential_of_negative)(most - V(load)(x + i)));
    }
    if (i < n) {
        V(vec) rest = V(splat)(most);
        memcpy(&rest, x + i, sizeof(real) * (size_t)(n - i));
        rest = V(exponential_of_negative)(most - rest);
        memcpy(y + i, &rest, sizeof(real) * (size_t)(n - i));
    }
}

static void V(vector_row_products)(int64_t nrow, int64_t stride, const real *a, const real *b, real *out,
                                   int64_t out_stride)
{
    for (int64_t r = 0; r < nrow; r++, a += stride, b += stride) {
        V(vec) sum = {0};
        for (int64_t c = 0; c < stride; c += LANES) {
            sum += V(load)(a + c) * V(load)(b + c);
        }
        out[r * out_stride] += V(sum)(sum);
    }
}

/* ---------------------------------------------------------------- moments */

/* One row; tangent and by_switch are there or not: constants where this is inlined. */
INLINE void V(moment_row)(const struct REAL(dgnn_moment) * m, const int with_tangent, const int with_switch, int64_t r)
{
    const real *g = m->g + r * m->stride, *row = m->row + r * m->row_step;
    V(vec) sum[4] = {{0}}, along = {0}, other = {0};
    for (int64_t c = 0; c < m->stride; c += LANES) {
        V(vec) x = V(load)(g + c), d_g = {0};
#pragma GCC unroll 4
        for (int a = 0; a < 4; a++) {
            V(vec) d = V(load)(m->d_gr + a * m->stride + c);
            sum[a] += x * d;
            d_g += row[a * m->row_stride] * d;
        }
        if (with_tangent) {
            along += d_g * V(load)(m->tangent + r * m->stride + c);
        }
        if (with_switch) {
            other += d_g * V(load)(m->by_switch + r * m->stride + c);
        }
    }
    sum[0] += along;
    for (int a = 0; a < 4; a++) {
        m->d_row[4 * r + a] = V(sum)(sum[a]);
    }
    if (with_switch) {
        m->d_switch[r] += V(sum)(other);
    }
}

static void V(vector_moment_backward)(const struct REAL(dgnn_moment) * m)
{
    for (int64_t r = 0; r < m->nrow; r++) {
        if (m->by_switch) {
            V(moment_row)(m, m->tangent != NULL, 1, r);
        } else if (m->tangent) {
            V(moment_row)(m, 1, 0, r);
        } else {
            V(moment_row)(m, 0, 0, r);
        }
    }
}

/* ---------------------------------------------------------------- layers of embedding nets */

INLINE void V(embed_row)(enum dgnn_activation_kind kind, const struct REAL(dgnn_embed) * e, int64_t r)
{
    real *y = e->y + r * e->stride, *tangent = e->tangent ? e->tangent + r * e->stride : NULL;
    const real *factor = e->first_row ? e->first_row : tangent;
    for (int64_t c = 0; c < e->stride; c += LANES) {
        V(vec) slope, value = V(apply)(kind, e->activation, V(load)(y + c), &slope);
        if (e->idt) {
            value *= V(load)(e->idt + c);
            slope *= V(load)(e->idt + c);
        }
        V(store)(y + c, value);
        if (tangent) {
            V(store)(tangent + c, slope * V(load)(factor + c));
        }
    }
    for (int64_t copy = 0; copy < e->residual; copy++) {
        const real *x = e->x + r * e->x_stride;
        for (int64_t c = 0; c < e->nin; c++) {
            y[copy * e->nin + c] += x[c];
        }
    }
    for (int64_t copy = 0; copy < e->residual && tangent; copy++) {
        const real *x = e->first_row ? NULL : e->x_tangent + r * e->x_stride;
        for (int64_t c = 0; c < e->nin && x; c++) {
            tangent[copy * e->nin + c] += x[c];
        }
        tangent[copy * e->nin] += e->first_row ? 1 : 0;
    }
}

INLINE void V(embed_kind)(enum dgnn_activation_kind kind, const struct REAL(dgnn_embed) * e)
{
    for (int64_t r = 0; r < e->nrow; r++) {
        V(embed_row)(kind, e, r);
    }
}

static void V(vector_embed)(const struct REAL(dgnn_embed) * e)
{
#define VECTOR_CALL(kind) V(embed_kind)(kind, e)
    VECTOR_DISPATCH(e->activation->kind, VECTOR_CALL)
#undef VECTOR_CALL
}

/* ---------------------------------------------------------------- polynomials in pieces */

/* with_slope: constant where this is inlined. Without it there is no tangent, and nothing beyond. */
INLINE void V(polynomials_row)(const struct REAL(dgnn_polynomials) * p, const int with_slope, int64_t r)
{
    const real *a = p->coefficients + p->piece[r] * 6 * p->stride;
    real *y = p->y + r * p->stride, *tangent = p->tangent ? p->tangent + r * p->stride : NULL;
    const V(vec) t = V(splat)(p->t[r]), beyond = V(splat)(p->beyond[r]);
    for (int64_t c = 0; c < p->stride; c += LANES, a += LANES) {
        V(vec) value = V(load)(a + 5 * p->stride), slope = value;
        value = value * t + V(load)(a + 4 * p->stride);
#pragma GCC unroll 4
        for (int k = 3; k >= 0; k--) {
            if (with_slope) {
                slope = slope * t + value;
            }
            value = value * t + V(load)(a + k * p->stride);
        }
        V(store)(y + c, with_slope ? value + beyond * slope : value);
        if (with_slope && tangent) {
            V(store)(tangent + c, slope);
        }
    }
}

static void V(vector_polynomials)(const struct REAL(dgnn_polynomials) * p)
{
    for (int64_t r = 0; r < p->nrow; r++) {
        if (p->tangent || p->beyond[r] != 0) {
            V(polynomials_row)(p, 1, r);
        } else {
            V(polynomials_row)(p, 0, r);
        }
    }
}

/* ---------------------------------------------------------------- symmetrised moments */

static void V(vector_gram_forward)(const struct dgnn_gram_shape *s, int64_t nrow, const real *moment, real *gram)
{
    const int64_t width = s->e + s->n;
    for (int64_t r = 0; r < nrow; r++, moment += 3 * width) {
        for (int part = 0; part < 2; part++) {
            const real *h = moment + (part ? s->e : 0);
            const int64_t size = part ? s->n : s->e;
            for (int64_t q = 0; q < s->axis; q++, gram += size) {
                const real h0 = h[q] / 3, h1 = h[width + q] / 3, h2 = h[2 * width + q] / 3;
                for (int64_t c = 0; c < size; c += LANES) {
                    V(store)(gram + c, h0 * V(load)(h + c) + h1 * V(load)(h + width + c) +
                                           h2 * V(load)(h + 2 * width + c));
                }
            }
        }
    }
}

static void V(vector_gram_backward)(const struct dgnn_gram_shape *s, int64_t nrow, const real *moment,
                                    const real *d_gram, real *d_moment)
{
    const int64_t width = s->e + s->n;
    memset(d_moment, 0, sizeof(real) * (size_t)(nrow * 3 * width));
    for (int64_t r = 0; r < nrow; r++, moment += 3 * width, d_moment += 3 * width) {
        for (int part = 0; part < 2; part++) {
            const real *h = moment + (part ? s->e : 0);
            real *out = d_moment + (part ? s->e : 0);
            const int64_t size = part ? s->n : s->e;
            for (int64_t q = 0; q < s->axis; q++, d_gram += size) {
                V(vec) sum[3] = {{0}};
                for (int64_t c = 0; c < size; c += LANES) {
                    V(vec) d = V(load)(d_gram + c);
                    for (int x = 0; x < 3; x++) {
                        real *to = out + x * width + c;
                        sum[x] += d * V(load)(h + x * width + c);
                        V(store)(to, V(load)(to) + h[x * width + q] / 3 * d);
                    }
                }
                for (int x = 0; x < 3; x++) {
                    out[x * width + q] += V(sum)(sum[x]) / 3;
                }
            }
        }
    }
}

#include "ops/vector_repflow_body.h"
#include "ops/attention_body.h"
#include "ops/dpa4c_readout_body.h"
#include "ops/vector_dpa4c_body.h"

const struct REAL(dgnn_ops) VECTOR_GLUE(REAL(dgnn_vector_ops), VECTOR_SET) = {
    .cpu = VECTOR_CPU,
    .product = V(vector_product),
    .product_transposed = V(vector_product_transposed),
    .activate = V(vector_activate),
    .exponential = V(vector_exponential),
    .row_products = V(vector_row_products),
    .moment_backward = V(vector_moment_backward),
    .embed = V(vector_embed),
    .polynomials = V(vector_polynomials),
    .gram_forward = V(vector_gram_forward),
    .gram_backward = V(vector_gram_backward),
    .repflow_scratch = V(vector_scratch),
    .edge_forward = V(vector_edge_forward),
    .edge_backward = V(vector_edge_backward),
    .angle_forward = V(vector_angle_forward),
    .angle_backward = V(vector_angle_backward),
    .attention_forward = REAL(attention_forward),
    .attention_backward = REAL(attention_backward),
    .dpa4c_geometry_forward = V(dpa4c_geometry_forward),
    .dpa4c_geometry_backward = V(dpa4c_geometry_backward),
    .dpa4c_scratch = V(dpa4c_scratch),
    .dpa4c_forward = V(dpa4c_forward),
    .dpa4c_backward = V(dpa4c_backward),
    .dpa4c_readout_scratch = REAL(readout_scratch),
    .dpa4c_readout_forward = REAL(readout_forward),
    .dpa4c_readout_backward = REAL(readout_backward),
};
