/* DPA4C's blocks in vectors: of edges side by side for geometry, of channels for the rest. */

#define HARMONICS_TYPE V(vec)
#define HARMONICS_REAL real
#define HARMONICS_NAME(name) VECTOR_GLUE(REAL(name), VECTOR_SET)
#include "ops/harmonics_body.h"

/* Edges that go through the radial net together: their rows stay in the nearest caches. */
enum { V(DPA4C_TILE) = 16 };

/* ---------------------------------------------------------------- geometry */

/* Geometry of at most LANES edges, a lane each; the last edge fills the rest. */
struct V(dpa4c_block) {
    double distance[VECTOR_BYTES / sizeof(real)];
    real unit[3][VECTOR_BYTES / sizeof(real)], envelope[VECTOR_BYTES / sizeof(real)],
        slope[VECTOR_BYTES / sizeof(real)];
};

static void V(dpa4c_geometry_forward)(const struct REAL(dgnn_dpa4c_geometry) * g)
{
    enum { MOST = VECTOR_BYTES / sizeof(real) };
    const struct dgnn_dpa4c_shape *s = g->shape;
    for (int64_t begin = 0; begin < g->nedge; begin += MOST) {
        int64_t count = g->nedge - begin < MOST ? g->nedge - begin : MOST;
        double v[3][MOST], chi[MOST], slope[MOST];
        struct V(dpa4c_block) b;
        V(vec) row[DGNN_DPA4C_MOST_ANGULAR], envelope;
        real out[DGNN_DPA4C_MOST_ANGULAR][MOST];
        for (int64_t i = 0; i < MOST; i++) {
            const double *from = g->vector + 3 * (begin + (i < count ? i : count - 1));
            v[0][i] = from[0];
            v[1][i] = from[1];
            v[2][i] = from[2];
        }
        for (int64_t i = 0; i < MOST; i++) {
            b.distance[i] = sqrt(v[0][i] * v[0][i] + v[1][i] * v[1][i] + v[2][i] * v[2][i] + 1e-14);
            chi[i] = dgnn_dpa4c_envelope(b.distance[i], g->cutoff, &slope[i]);
        }
        for (int64_t i = 0; i < MOST; i++) {
            double inverse = 1 / b.distance[i];
            b.unit[0][i] = (real)(v[0][i] * inverse);
            b.unit[1][i] = (real)(v[1][i] * inverse);
            b.unit[2][i] = (real)(v[2][i] * inverse);
            b.envelope[i] = (real)chi[i];
            b.slope[i] = (real)slope[i];
        }
        HARMONICS_NAME(harmonics)(s->lmax, V(load)(b.unit[0]), V(load)(b.unit[1]), V(load)(b.unit[2]), row);
        envelope = V(load)(b.envelope);
        for (int64_t k = 0; k < s->nangular; k++) {
            V(store)(out[k], envelope * row[k]);
        }
        for (int64_t i = 0; i < count; i++) {
            real *coefficient = g->coefficient + (begin + i) * s->coefficient_stride;
            g->distance[begin + i] = b.distance[i];
            g->envelope[begin + i] = b.envelope[i];
            g->slope[begin + i] = b.slope[i];
            for (int c = 0; c < 3; c++) {
                g->unit[3 * (begin + i) + c] = b.unit[c][i];
            }
            for (int64_t k = 0; k < s->nangular; k++) {
                coefficient[k] = out[k][i];
            }
        }
    }
}

static void V(dpa4c_geometry_backward)(const struct REAL(dgnn_dpa4c_geometry) * g)
{
    enum { MOST = VECTOR_BYTES / sizeof(real) };
    const struct dgnn_dpa4c_shape *s = g->shape;
    for (int64_t begin = 0; begin < g->nedge; begin += MOST) {
        int64_t count = g->nedge - begin < MOST ? g->nedge - begin : MOST;
        real in[DGNN_DPA4C_MOST_ANGULAR][MOST], across[3][MOST], d_chi[MOST];
        struct V(dpa4c_block) b;
        V(vec) row[DGNN_DPA4C_MOST_ANGULAR], w[DGNN_DPA4C_MOST_ANGULAR], d[3], u[3], sum = {0}, along = {0};
        for (int64_t i = 0; i < MOST; i++) {
            int64_t e = begin + (i < count ? i : count - 1);
            const real *from = g->d_coefficient + e * s->coefficient_stride;
            for (int64_t k = 0; k < s->nangular; k++) {
                in[k][i] = from[k];
            }
            for (int c = 0; c < 3; c++) {
                b.unit[c][i] = g->unit[3 * e + c];
            }
            b.envelope[i] = g->envelope[e];
        }
        for (int c = 0; c < 3; c++) {
            u[c] = V(load)(b.unit[c]);
        }
        HARMONICS_NAME(harmonics)(s->lmax, u[0], u[1], u[2], row);
        for (int64_t k = 0; k < s->nangular; k++) {
            V(vec) each = V(load)(in[k]);
            sum += row[k] * each;
            w[k] = V(load)(b.envelope) * each;
        }
        HARMONICS_NAME(harmonics_gradient)(s->lmax, u[0], u[1], u[2], w, d);
        for (int c = 0; c < 3; c++) {
            along += d[c] * u[c];
        }
        for (int c = 0; c < 3; c++) {
            V(store)(across[c], d[c] - along * u[c]);
        }
        V(store)(d_chi, sum);
        for (int64_t i = 0; i < count; i++) {
            int64_t e = begin + i;
            double inverse = 1 / g->distance[e];
            double d_r = g->d_distance[e] + ((double)d_chi[i] + g->d_envelope[e]) * g->slope[e];
            for (int c = 0; c < 3; c++) {
                g->d_vector[3 * e + c] = d_r * b.unit[c][i] + across[c][i] * inverse;
            }
        }
    }
}

/* ---------------------------------------------------------------- the radial net */

static int64_t V(dpa4c_width)(const struct REAL(dgnn_dpa4c_radial) * radial)
{
    return dgnn_table_pad(radial->nradial, REAL_LANES);
}

/* Numbers of what backward turns around: 16 channels by 24 harmonics, 8 by 13 rows of spins, at most, each
 * padded. */
enum { V(DPA4C_TURNED) = 16 * 32 + 8 * 16 };

/* Forward: rows of the basis, of the hidden units, and of the net. Backward: what it turns around. */
static int64_t V(dpa4c_scratch)(const struct REAL(dgnn_dpa4c_radial) * radial)
{
    int64_t each = V(dpa4c_width)(radial) + 2 * radial->hidden_stride + radial->second.stride;
    int64_t forward = 2 * V(DPA4C_TILE) * each;
    return (forward > V(DPA4C_TURNED) ? forward : V(DPA4C_TURNED)) * (int64_t)sizeof(real);
}

/* Sine and cosine within a quarter turn, by their series: to 6e-10 for float32, 1e-18 for float64. */
INLINE V(vec) V(dpa4c_sine)(V(vec) t, V(vec) square)
{
#if DGNN_REAL_BITS == 32
    V(vec) p = square * (real)1.6059043836821613e-10 - (real)2.5052108385441719e-8;
#else
    V(vec) p = square * 1.9572941063391261e-20 - 8.2206352466243297e-18;
    p = p * square + 2.8114572543455208e-15;
    p = p * square - 7.6471637318198165e-13;
    p = p * square + 1.6059043836821615e-10;
    p = p * square - 2.5052108385441719e-8;
#endif
    p = p * square + (real)2.7557319223985893e-6;
    p = p * square - (real)1.9841269841269841e-4;
    p = p * square + (real)8.3333333333333333e-3;
    p = p * square - (real)1.6666666666666667e-1;
    return p * square * t + t;
}

INLINE V(vec) V(dpa4c_cosine)(V(vec) square)
{
#if DGNN_REAL_BITS == 32
    V(vec) p = square * (real)-1.1470745597729725e-11 + (real)2.0876756987868099e-9;
#else
    V(vec) p = square * -8.8967913924505733e-22 + 4.1103176233121649e-19;
    p = p * square - 1.5619206968586226e-16;
    p = p * square + 4.7794773323873853e-14;
    p = p * square - 1.1470745597729725e-11;
    p = p * square + 2.0876756987868099e-9;
#endif
    p = p * square - (real)2.7557319223985891e-7;
    p = p * square + (real)2.4801587301587302e-5;
    p = p * square - (real)1.3888888888888889e-3;
    p = p * square + (real)4.1666666666666667e-2;
    p = p * square - (real)0.5;
    return p * square + (real)1;
}

/* sin(f r) / r and its slope. Whole half turns are taken off in float64: f r is some 50. */
static void V(dpa4c_bessel)(const struct REAL(dgnn_dpa4c_radial) * radial, double r, real *value, real *slope)
{
    enum { MOST = VECTOR_BYTES / sizeof(real) };
    const double high = 3.14159265346825122834, low = 1.21542010130123844986e-10; /* pi in two parts */
    const double by_turns = 0.31830988618379067154, magic = 6755399441055744.0;
    V(vec) inverse = V(splat)((real)(1 / r));
    for (int64_t begin = 0; begin < radial->nradial; begin += MOST) {
        int64_t count = radial->nradial - begin < MOST ? radial->nradial - begin : MOST;
        double f[MOST] = {0};
        real phase[MOST], sign[MOST], factor[MOST];
        memcpy(f, radial->frequency + begin, sizeof(double) * (size_t)count);
        for (int64_t i = 0; i < MOST; i++) {
            double x = f[i] * r, turns = x * by_turns + magic - magic, half = 0.5 * turns;
            double odd = half - (half + magic - magic);
            phase[i] = (real)((x - turns * high) - turns * low);
            sign[i] = (real)(1 - 8 * odd * odd);
            factor[i] = (real)f[i];
        }
        V(vec) t = V(load)(phase), square = t * t, by = V(load)(sign) * inverse;
        V(vec) b = V(dpa4c_sine)(t, square) * by;
        V(store)(value + begin, b);
        V(store)(slope + begin, V(load)(factor) * V(dpa4c_cosine)(square) * by - b * inverse);
    }
}

static void V(dpa4c_gaussian)(const struct REAL(dgnn_dpa4c_radial) * radial, double r, real *value,
                              real *slope)
{
    enum { MOST = VECTOR_BYTES / sizeof(real) };
    for (int64_t begin = 0; begin < radial->nradial; begin += MOST) {
        real z[MOST] = {0};
        for (int64_t i = 0; i < MOST && begin + i < radial->nradial; i++) {
            z[i] = (real)((r - radial->frequency[begin + i]) / radial->width);
        }
        V(vec) x = V(load)(z), b = V(exponential_of_negative)((real)0.5 * x * x);
        V(store)(value + begin, b);
        V(store)(slope + begin, b * x * (real)(-1 / radial->width));
    }
}

/* h = silu(a) v and its slope, of a row and the row of slopes after it, in place of the gates. */
static void V(dpa4c_gate)(const struct REAL(dgnn_dpa4c_radial) * radial, int64_t nedge, real *pre)
{
    int64_t n = radial->hidden_stride;
    for (int64_t e = 0; e < nedge; e++, pre += 4 * n) {
        for (int64_t k = 0; k < n; k += LANES) {
            V(vec) v = V(load)(pre + n + k), slope, silu = V(silu)(V(load)(pre + k), &slope);
            V(store)(pre + k, silu * v);
            V(store)(pre + 2 * n + k, slope * V(load)(pre + 2 * n + k) * v + silu * V(load)(pre + 3 * n + k));
        }
    }
}

static void V(dpa4c_table)(const struct REAL(dgnn_dpa4c_radial) * radial, double r, real *out)
{
    int64_t stride = radial->second.stride;
    double x = r / radial->interval;
    int64_t k = x < (double)radial->ninterval ? (int64_t)x : radial->ninterval - 1;
    const real *row = radial->table + 6 * stride * k;
    V(vec) t = V(splat)((real)(x - (double)k)), inverse = V(splat)((real)(1 / radial->interval));
    for (int64_t c = 0; c < stride; c += LANES) {
        V(vec) value = V(load)(row + 5 * stride + c), slope = {0};
#pragma GCC unroll 5
        for (int j = 4; j >= 0; j--) {
            slope = slope * t + value;
            value = value * t + V(load)(row + j * stride + c);
        }
        V(store)(out + c, value);
        V(store)(out + stride + c, slope * inverse);
    }
}

/* The product with the second matrix in blocks of columns of which all rows stay in the nearest cache
 * together. */
static void V(dpa4c_second)(const struct REAL(dgnn_dpa4c_radial) * radial, int64_t nrow, const real *rows,
                            real *out)
{
    const int64_t cache = 24576;
    const struct REAL(dgnn_matrix) *w = &radial->second;
    int64_t vectors = w->stride / LANES, fit = cache / (w->nrow * VECTOR_BYTES);
    int64_t nblock = (vectors + (fit > 1 ? fit : 1) - 1) / (fit > 1 ? fit : 1), begin = 0;
    for (int64_t b = 0; b < nblock; b++) {
        int64_t end = (b + 1) * vectors / nblock;
        struct REAL(dgnn_matrix) part = *w;
        part.data += begin * LANES;
        part.ncol = (end - begin) * LANES;
        V(vector_product)(nrow, rows, 2 * radial->hidden_stride, &part, NULL, out + begin * LANES, w->stride,
                          0);
        begin = end;
    }
}

/* (g | q) of a tile of edges, each with its slope after it. */
static void V(dpa4c_radial)(const struct REAL(dgnn_dpa4c_radial) * radial, int64_t nedge, const double *r,
                            real *basis, real *pre, real *out)
{
    int64_t width = V(dpa4c_width)(radial), stride = radial->second.stride;
    if (radial->ninterval) {
        for (int64_t e = 0; e < nedge; e++) {
            V(dpa4c_table)(radial, r[e], out + 2 * e * stride);
        }
        return;
    }
    for (int64_t e = 0; e < nedge; e++) {
        real *row = basis + 2 * e * width;
        if (radial->gaussian) {
            V(dpa4c_gaussian)(radial, r[e], row, row + width);
        } else {
            V(dpa4c_bessel)(radial, r[e], row, row + width);
        }
    }
    V(vector_product)(2 * nedge, basis, width, &radial->first, NULL, pre, 2 * radial->hidden_stride, 0);
    V(dpa4c_gate)(radial, nedge, pre);
    V(dpa4c_second)(radial, 2 * nedge, pre, out);
}

/* ---------------------------------------------------------------- edges */

/* phi and dphi/dr of an edge, and phi added to the moment of degree 0. */
INLINE void V(dpa4c_phi)(const struct REAL(dgnn_dpa4c_edges) * t, int64_t e, const real *radial, real *moment)
{
    const struct dgnn_dpa4c_shape *s = t->shape;
    int64_t n = s->channel_stride, modes = s->modes;
    const real *pair = t->pair + t->pair_row[e] * s->pair_stride, *slope = radial + s->radial_stride;
    real *phi = t->phi + 2 * n * e;
    V(vec) chi = V(splat)(t->envelope[e]), d_chi = V(splat)(t->slope[e]);
    for (int64_t c = 0; c < n; c += LANES) {
        V(vec) gamma = V(load)(pair + c), a = gamma * V(load)(radial + c) + V(load)(pair + n + c);
        V(vec) d_a = gamma * V(load)(slope + c);
        for (int64_t m = 0; m < modes; m++) {
            V(vec) u = V(load)(pair + (2 + m) * n + c);
            a += u * V(splat)(radial[n + m]);
            d_a += u * V(splat)(slope[n + m]);
        }
        V(vec) value = chi * a;
        V(store)(phi + c, value);
        V(store)(phi + n + c, d_chi * a + chi * d_a);
        V(store)(moment + c, V(load)(moment + c) + value);
    }
    for (int64_t c = 0; c < s->line && s->nspin; c += LANES) {
        const real *own = pair + (2 + modes) * n;
        real *spin = t->spin_phi + 2 * s->line * e;
        V(vec) gamma = V(load)(own + c), a = gamma * V(load)(radial + c) + V(load)(own + s->line + c);
        V(store)(spin + c, chi * chi * a);
        V(store)(spin + s->line + c, chi * ((real)2 * d_chi * a + chi * gamma * V(load)(slope + c)));
    }
}

/* moment_k += sum_e coefficient_ek row_e of R rows of moments, a vector of channels. */
INLINE void V(dpa4c_moments)(const int R, int64_t nedge, const real *coefficient, int64_t coefficient_stride,
                             const real *row, int64_t row_stride, real *moment, int64_t line)
{
    V(vec) sum[8];
#pragma GCC unroll 8
    for (int k = 0; k < R; k++) {
        sum[k] = V(load)(moment + k * line);
    }
    for (int64_t e = 0; e < nedge; e++) {
        V(vec) x = V(load)(row + e * row_stride);
#pragma GCC unroll 8
        for (int k = 0; k < R; k++) {
            sum[k] += x * V(splat)(coefficient[e * coefficient_stride + k]);
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < R; k++) {
        V(store)(moment + k * line, sum[k]);
    }
}

/* All rows of moments from rows of phi, for edges of one centre. */
static void V(dpa4c_all_moments)(const struct dgnn_dpa4c_shape *s, int64_t nrow, int64_t nedge,
                                 const real *coefficient, const real *row, int64_t row_stride, real *moment)
{
    int64_t wide = dgnn_table_pad(s->width[1], LANES);
    for (int64_t c = 0; c < wide; c += LANES) {
        int64_t k = 0;
        for (; k + 8 <= nrow; k += 8) {
            V(dpa4c_moments)(8, nedge, coefficient + k, s->coefficient_stride, row + c, row_stride,
                             moment + k * s->line + c, s->line);
        }
        for (; k + 4 <= nrow; k += 4) {
            V(dpa4c_moments)(4, nedge, coefficient + k, s->coefficient_stride, row + c, row_stride,
                             moment + k * s->line + c, s->line);
        }
        for (; k < nrow; k++) {
            V(dpa4c_moments)(1, nedge, coefficient + k, s->coefficient_stride, row + c, row_stride,
                             moment + k * s->line + c, s->line);
        }
    }
}

/* The end of the run of edges of edge begin's centre, at most end. */
INLINE int64_t V(dpa4c_run)(const struct REAL(dgnn_dpa4c_edges) * t, int64_t begin, int64_t end)
{
    int64_t e = begin + 1;
    while (e < end && t->centre[e] == t->centre[begin]) {
        e++;
    }
    return e;
}

static void V(dpa4c_forward)(const struct REAL(dgnn_dpa4c_edges) * t)
{
    const struct dgnn_dpa4c_shape *s = t->shape;
    const struct REAL(dgnn_dpa4c_radial) *radial = t->radial;
    real *basis = t->scratch, *pre = basis + 2 * V(DPA4C_TILE) * V(dpa4c_width)(radial);
    real *net = pre + 4 * V(DPA4C_TILE) * radial->hidden_stride;
    memset(basis, 0, sizeof(real) * (size_t)(2 * V(DPA4C_TILE) * V(dpa4c_width)(radial)));
    for (int64_t tile = 0; tile < t->nedge; tile += V(DPA4C_TILE)) {
        int64_t end = tile + V(DPA4C_TILE) < t->nedge ? tile + V(DPA4C_TILE) : t->nedge;
        V(dpa4c_radial)(radial, end - tile, t->distance + tile, basis, pre, net);
        for (int64_t e = tile; e < end; e++) {
            V(dpa4c_phi)(t, e, net + 2 * (e - tile) * s->radial_stride,
                         t->moment + t->centre[e] * s->moment_stride);
        }
    }
    for (int64_t e = 0, next; e < t->nedge; e = next) {
        next = V(dpa4c_run)(t, e, t->nedge);
        real *moment = t->moment + t->centre[e] * s->moment_stride + s->channel_stride;
        const real *coefficient = t->coefficient + e * s->coefficient_stride;
        V(dpa4c_all_moments)(s, s->nangular, next - e, coefficient, t->phi + 2 * s->channel_stride * e,
                             2 * s->channel_stride, moment);
        if (s->nspin) {
            V(dpa4c_all_moments)(s, s->nspin, next - e, coefficient + s->spin_begin,
                                 t->spin_phi + 2 * s->line * e, 2 * s->line, moment + s->nangular * s->line);
        }
    }
}

/* The gradients of one centre's rows of moments, channel by channel: width x stride, stride whole lines. */
static void V(dpa4c_transpose)(const struct dgnn_dpa4c_shape *s, int64_t nrow, int64_t width, int64_t stride,
                          const real *d_moment, real *transposed)
{
    for (int64_t c = 0; c < width; c++) {
        for (int64_t k = 0; k < nrow; k++) {
            transposed[c * stride + k] = d_moment[k * s->line + c];
        }
        for (int64_t k = nrow; k < stride; k++) {
            transposed[c * stride + k] = 0;
        }
    }
}

/* d_coefficient_k = sum_c turned_ck row_c; returns what the rows' slopes add to dE/dr, by lanes. */
INLINE V(vec) V(dpa4c_edge_backward)(int64_t width, int64_t stride, const real *transposed, const real *row,
                                     const real *slope, const real *coefficient, real *d_coefficient)
{
    V(vec) d_r = {0};
    for (int64_t k = 0; k < stride; k += LANES) {
        V(vec) by_value[2] = {{0}, {0}}, by_slope[2] = {{0}, {0}};
        for (int64_t c = 0; c < width; c += 2) { /* widths are even */
            V(vec) one = V(load)(transposed + c * stride + k), two = V(load)(transposed + (c + 1) * stride
                                                                             + k);
            by_value[0] += one * V(splat)(row[c]);
            by_slope[0] += one * V(splat)(slope[c]);
            by_value[1] += two * V(splat)(row[c + 1]);
            by_slope[1] += two * V(splat)(slope[c + 1]);
        }
        V(store)(d_coefficient + k, by_value[0] + by_value[1]);
        d_r += (by_slope[0] + by_slope[1]) * V(load)(coefficient + k);
    }
    return d_r;
}

static void V(dpa4c_backward)(const struct REAL(dgnn_dpa4c_edges) * t)
{
    const struct dgnn_dpa4c_shape *s = t->shape;
    int64_t n = s->channel_stride, line = s->line, spins = s->coefficient_stride - s->spin_begin;
    real *transposed = t->scratch, *transposed_spins = transposed + s->width[1] * s->spin_begin;
    for (int64_t e = 0, next; e < t->nedge; e = next) {
        const real *d_moment = t->d_moment + t->centre[e] * s->moment_stride;
        next = V(dpa4c_run)(t, e, t->nedge);
        V(dpa4c_transpose)(s, s->nangular, s->width[1], s->spin_begin, d_moment + n, transposed);
        if (s->nspin) {
            V(dpa4c_transpose)(s, s->nspin, s->width[2], spins, d_moment + n + s->nangular * line,
                               transposed_spins);
        }
        for (int64_t each = e; each < next; each++) {
            const real *phi = t->phi + 2 * n * each,
                       *coefficient = t->coefficient + each * s->coefficient_stride;
            real *d_coefficient = t->d_coefficient + each * s->coefficient_stride;
            V(vec) d_r = V(dpa4c_edge_backward)(s->width[1], s->spin_begin, transposed, phi, phi + n,
                                                coefficient,
                                                d_coefficient);
            for (int64_t c = 0; c < n; c += LANES) {
                d_r += V(load)(d_moment + c) * V(load)(phi + n + c);
            }
            if (s->nspin) {
                const real *spin = t->spin_phi + 2 * line * each;
                d_r += V(dpa4c_edge_backward)(s->width[2], spins, transposed_spins, spin, spin + line,
                                              coefficient + s->spin_begin, d_coefficient + s->spin_begin);
            }
            t->d_distance[each] = (double)V(sum)(d_r);
        }
    }
}

#undef HARMONICS_TYPE
#undef HARMONICS_REAL
#undef HARMONICS_NAME
