/* DPA4C's blocks in plain C. */

#define HARMONICS_TYPE double
#define HARMONICS_REAL double
#define HARMONICS_NAME(name) REAL(reference_##name)
#include "ops/harmonics_body.h"
#undef HARMONICS_TYPE
#undef HARMONICS_REAL
#undef HARMONICS_NAME

static int64_t REAL(reference_dpa4c_scratch)(const struct REAL(dgnn_dpa4c_radial) * radial)
{
    return (2 * radial->nradial + 4 * radial->hidden_stride + 2 * radial->second.stride) *
           (int64_t)sizeof(real);
}

/* Value and slope of the radial basis. */
static void REAL(reference_dpa4c_basis)(const struct REAL(dgnn_dpa4c_radial) * radial, double r, real *value,
                                        real *slope)
{
    for (int64_t n = 0; n < radial->nradial; n++) {
        double f = radial->frequency[n];
        if (radial->gaussian) {
            double z = (r - f) / radial->width, b = exp(-0.5 * z * z);
            value[n] = (real)b;
            slope[n] = (real)(-b * z / radial->width);
        } else {
            double b = sin(f * r) / r;
            value[n] = (real)b;
            slope[n] = (real)((f * cos(f * r) - b) / r);
        }
    }
}

/* h = silu(a) v of each hidden unit and its slope, in place of the gates. pre: 2 rows of 2 hidden_stride. */
static void REAL(reference_dpa4c_gate)(const struct REAL(dgnn_dpa4c_radial) * radial, real *pre)
{
    int64_t n = radial->hidden_stride;
    for (int64_t k = 0; k < radial->hidden; k++) {
        double a = pre[k], v = pre[n + k], d_a = pre[2 * n + k], d_v = pre[3 * n + k];
        double s = 1 / (1 + exp(-a)), silu = a * s, d_silu = s + silu * (1 - s);
        pre[k] = (real)(silu * v);
        pre[2 * n + k] = (real)(d_silu * d_a * v + silu * d_v);
    }
}

/* Value and slope by the table's polynomial. */
static void REAL(reference_dpa4c_table)(const struct REAL(dgnn_dpa4c_radial) * radial, double r, real *out)
{
    int64_t stride = radial->second.stride;
    double x = r / radial->interval;
    int64_t k = x < (double)radial->ninterval ? (int64_t)x : radial->ninterval - 1;
    const real *row = radial->table + 6 * stride * k;
    double t = x - (double)k;
    for (int64_t c = 0; c < stride; c++) {
        double value = row[5 * stride + c], slope = 0;
        for (int64_t j = 4; j >= 0; j--) {
            slope = slope * t + value;
            value = value * t + row[j * stride + c];
        }
        out[c] = (real)value;
        out[stride + c] = (real)(slope / radial->interval);
    }
}

/* (g | q) and its slope at a distance. out: 2 x radial_stride. */
static void REAL(reference_dpa4c_radial)(const struct REAL(dgnn_dpa4c_radial) * radial, double r, real *out,
                                         real *scratch)
{
    int64_t stride = radial->second.stride;
    real *basis = scratch, *pre = basis + 2 * radial->nradial;
    if (radial->ninterval) {
        REAL(reference_dpa4c_table)(radial, r, out);
        return;
    }
    REAL(reference_dpa4c_basis)(radial, r, basis, basis + radial->nradial);
    REAL(reference_product)(2, basis, radial->nradial, &radial->first, NULL, pre, 2 * radial->hidden_stride,
                            0);
    REAL(reference_dpa4c_gate)(radial, pre);
    memset(out, 0, sizeof(real) * (size_t)(2 * stride));
    REAL(reference_product)(2, pre, 2 * radial->hidden_stride, &radial->second, NULL, out, stride, 0);
}

static void REAL(reference_dpa4c_phi)(const struct REAL(dgnn_dpa4c_edges) * t, int64_t e, const real *radial)
{
    const struct dgnn_dpa4c_shape *s = t->shape;
    int64_t n = s->channel_stride, line = s->line;
    const real *pair = t->pair + t->pair_row[e] * s->pair_stride, *mode = radial + n,
               *slope = radial + s->radial_stride;
    real chi = t->envelope[e], d_chi = t->slope[e], *phi = t->phi + 2 * n * e;
    for (int64_t c = 0; c < n; c++) {
        real a = pair[c] * radial[c] + pair[n + c], d_a = pair[c] * slope[c];
        for (int64_t m = 0; m < s->modes; m++) {
            a += pair[(2 + m) * n + c] * mode[m];
            d_a += pair[(2 + m) * n + c] * slope[n + m];
        }
        phi[c] = chi * a;
        phi[n + c] = d_chi * a + chi * d_a;
    }
    for (int64_t c = 0; c < line && s->nspin; c++) {
        const real *gamma = pair + (2 + s->modes) * n, *beta = gamma + line;
        real a = gamma[c] * radial[c] + beta[c], *spin = t->spin_phi + 2 * line * e;
        spin[c] = chi * chi * a;
        spin[line + c] = 2 * chi * d_chi * a + chi * chi * gamma[c] * slope[c];
    }
}

static void REAL(reference_dpa4c_forward)(const struct REAL(dgnn_dpa4c_edges) * t)
{
    const struct dgnn_dpa4c_shape *s = t->shape;
    real *radial = t->scratch;
    for (int64_t e = 0; e < t->nedge; e++) {
        real *moment = t->moment + t->centre[e] * s->moment_stride;
        const real *phi = t->phi + 2 * s->channel_stride * e,
                   *coefficient = t->coefficient + e * s->coefficient_stride;
        REAL(reference_dpa4c_radial)(t->radial, t->distance[e], radial, radial + 2 * s->radial_stride);
        REAL(reference_dpa4c_phi)(t, e, radial);
        for (int64_t c = 0; c < s->channel_stride; c++) {
            moment[c] += phi[c];
        }
        for (int64_t k = 0; k < s->nangular + s->nspin; k++) {
            int spin = k >= s->nangular;
            const real *row = spin ? t->spin_phi + 2 * s->line * e : phi;
            real factor = coefficient[spin ? s->spin_begin + k - s->nangular : k];
            for (int64_t c = 0; c < s->line; c++) {
                moment[dgnn_dpa4c_moment_row(s, k) + c] += factor * row[c];
            }
        }
    }
}

static void REAL(reference_dpa4c_backward)(const struct REAL(dgnn_dpa4c_edges) * t)
{
    const struct dgnn_dpa4c_shape *s = t->shape;
    for (int64_t e = 0; e < t->nedge; e++) {
        const real *d_moment = t->d_moment + t->centre[e] * s->moment_stride;
        const real *phi = t->phi + 2 * s->channel_stride * e,
                   *coefficient = t->coefficient + e * s->coefficient_stride;
        real *d_coefficient = t->d_coefficient + e * s->coefficient_stride;
        double slope = 0;
        for (int64_t c = 0; c < s->channel_stride; c++) {
            slope += (double)d_moment[c] * phi[s->channel_stride + c];
        }
        for (int64_t k = 0; k < s->nangular + s->nspin; k++) {
            int spin = k >= s->nangular;
            const real *row = spin ? t->spin_phi + 2 * s->line * e : phi;
            const real *d_row = row + (spin ? s->line : s->channel_stride);
            int64_t place = spin ? s->spin_begin + k - s->nangular : k;
            double by_value = 0, by_slope = 0;
            for (int64_t c = 0; c < s->line; c++) {
                real d = d_moment[dgnn_dpa4c_moment_row(s, k) + c];
                by_value += (double)d * row[c];
                by_slope += (double)d * d_row[c];
            }
            d_coefficient[place] = (real)by_value;
            slope += coefficient[place] * by_slope;
        }
        t->d_distance[e] = slope;
    }
}

static void REAL(reference_dpa4c_geometry_forward)(const struct REAL(dgnn_dpa4c_geometry) * g)
{
    const struct dgnn_dpa4c_shape *s = g->shape;
    for (int64_t e = 0; e < g->nedge; e++) {
        const double *v = g->vector + 3 * e;
        double r = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + 1e-14), b[DGNN_DPA4C_MOST_ANGULAR], slope;
        double chi = dgnn_dpa4c_envelope(r, g->cutoff, &slope);
        g->distance[e] = r;
        g->envelope[e] = (real)chi;
        g->slope[e] = (real)slope;
        for (int c = 0; c < 3; c++) {
            g->unit[3 * e + c] = (real)(v[c] / r);
        }
        REAL(reference_harmonics)(s->lmax, v[0] / r, v[1] / r, v[2] / r, b);
        for (int64_t k = 0; k < s->nangular; k++) {
            g->coefficient[e * s->coefficient_stride + k] = (real)(chi * b[k]);
        }
    }
}

/* u = v / r: what goes along u of dE/du is nothing, and dr/dv = u. */
static void REAL(reference_dpa4c_geometry_backward)(const struct REAL(dgnn_dpa4c_geometry) * g)
{
    const struct dgnn_dpa4c_shape *s = g->shape;
    for (int64_t e = 0; e < g->nedge; e++) {
        const real *u = g->unit + 3 * e, *d_coefficient = g->d_coefficient + e * s->coefficient_stride;
        double b[DGNN_DPA4C_MOST_ANGULAR], w[DGNN_DPA4C_MOST_ANGULAR], d[3];
        double along = 0, d_chi = g->d_envelope[e];
        REAL(reference_harmonics)(s->lmax, u[0], u[1], u[2], b);
        for (int64_t k = 0; k < s->nangular; k++) {
            d_chi += b[k] * d_coefficient[k];
            w[k] = (double)g->envelope[e] * d_coefficient[k];
        }
        REAL(reference_harmonics_gradient)(s->lmax, u[0], u[1], u[2], w, d);
        for (int c = 0; c < 3; c++) {
            along += d[c] * u[c];
        }
        double d_r = g->d_distance[e] + d_chi * g->slope[e];
        for (int c = 0; c < 3; c++) {
            g->d_vector[3 * e + c] = d_r * u[c] + (d[c] - along * u[c]) / g->distance[e];
        }
    }
}
