/* The fast instance of the table: one body for every vector width, in GCC's vector extensions. A file of its
 * own for each instruction set defines VECTOR_BYTES, VECTOR_REGISTERS (accumulators that fit), VECTOR_SET
 * (part of the names), VECTOR_FUSED (are products and sums one instruction?), VECTOR_POWERS (of 2 in a table
 * of V(power); 1: none), VECTOR_STREAM(address, vector), VECTOR_HOLD(vector) (it is in a register now: else
 * it would be read again for each row) and, where an instruction does better than plain C, the functions of
 * ops/vector/vector_plain.h, and includes this once for each element type. */
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

#include "ops/vector/vector_activation_body.h"
#include "ops/vector/vector_product_body.h"

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
INLINE void V(moment_row)(const struct REAL(dgnn_moment) * m, const int with_tangent, const int with_switch,
                          int64_t r)
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

static void V(vector_gram_forward)(const struct dgnn_gram_shape *s, int64_t nrow, const real *moment,
                                   real *gram)
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

#include "ops/vector/vector_repflow_body.h"
#include "ops/attention_body.h"
#include "ops/dpa4c_readout_body.h"
#include "ops/vector/vector_dpa4c_body.h"

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
