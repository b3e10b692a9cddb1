#include "base/real.h"

#include "ops/attention_body.h"

static void REAL(reference_product)(int64_t nrow, const real *rows, int64_t row_stride,
                                    const struct REAL(dgnn_matrix) * w, const real *bias, real *out,
                                    int64_t out_stride, int accumulate)
{
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = 0; c < w->ncol; c++) {
            real sum = 0;
            for (int64_t k = 0; k < w->nrow; k++) {
                sum += rows[r * row_stride + k] * w->data[k * w->stride + c];
            }
            real *o = out + r * out_stride + c;
            *o = sum + (accumulate ? *o : bias ? bias[c] : 0);
        }
    }
}

static void REAL(reference_product_transposed)(int64_t nrow, const real *rows, int64_t row_stride,
                                           const struct REAL(dgnn_matrix) * w, real *out, int64_t out_stride)
{
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = 0; c < w->ncol; c++) {
            real sum = 0;
            for (int64_t k = 0; k < w->nrow; k++) {
                sum += rows[k * row_stride + r] * w->data[k * w->stride + c];
            }
            out[r * out_stride + c] = sum;
        }
    }
}

static void REAL(reference_activate)(const struct dgnn_activation *activation, int64_t n, const real *x,
                                     real *value, real *slope)
{
    for (int64_t i = 0; i < n; i++) {
        double s;
        real v = (real)dgnn_activation_value(activation, (double)x[i], &s);
        if (slope) {
            slope[i] = (real)s;
        }
        value[i] = v;
    }
}

/* out[c] += sum_k x[k] w[k][c0 + c] for c < n, of the matrix w. */
static void REAL(reference_row)(const real *x, const struct REAL(dgnn_matrix) * w, int64_t c0, int64_t n,
                                real *out)
{
    for (int64_t c = 0; c < n; c++) {
        real sum = 0;
        for (int64_t k = 0; k < w->nrow; k++) {
            sum += x[k] * w->data[k * w->stride + c0 + c];
        }
        out[c] += sum;
    }
}

/* out[c] += sum_k x[k] w[k0 + k][c] for k < n. */
static void REAL(reference_row_part)(const real *x, const struct REAL(dgnn_matrix) * w, int64_t k0, int64_t n,
                                     real *out)
{
    for (int64_t c = 0; c < w->ncol; c++) {
        real sum = 0;
        for (int64_t k = 0; k < n; k++) {
            sum += x[k] * w->data[(k0 + k) * w->stride + c];
        }
        out[c] += sum;
    }
}

static void REAL(reference_gram_forward)(const struct dgnn_gram_shape *s, int64_t nrow, const real *moment,
                                         real *gram)
{
    int64_t width = s->e + s->n;
    for (int64_t r = 0; r < nrow; r++, moment += 3 * width) {
        for (int64_t q = 0; q < s->axis; q++) {
            for (int64_t c = 0; c < width; c++) {
                const real *h = moment + c, *hq = moment + (c < s->e ? q : s->e + q);
                real sum = (hq[0] * h[0] + hq[width] * h[width] + hq[2 * width] * h[2 * width]) / 3;
                gram[c < s->e ? q * s->e + c : s->axis * s->e + q * s->n + c - s->e] = sum;
            }
        }
        gram += s->axis * width;
    }
}

static void REAL(reference_gram_backward)(const struct dgnn_gram_shape *s, int64_t nrow, const real *moment,
                                          const real *d_gram, real *d_moment)
{
    int64_t width = s->e + s->n;
    memset(d_moment, 0, sizeof(real) * (size_t)(nrow * 3 * width));
    for (int64_t r = 0; r < nrow;
         r++, moment += 3 * width, d_moment += 3 * width, d_gram += s->axis * width) {
        for (int64_t q = 0; q < s->axis; q++) {
            for (int64_t c = 0; c < width; c++) {
                int64_t other = c < s->e ? q : s->e + q;
                real d = d_gram[c < s->e ? q * s->e + c : s->axis * s->e + q * s->n + c - s->e] / 3;
                for (int64_t x = 0; x < 3 * width; x += width) {
                    d_moment[x + c] += d * moment[x + other];
                    d_moment[x + other] += d * moment[x + c];
                }
            }
        }
    }
}

/* ---------------------------------------------------------------- layers of RepFlow */

#include "ops/reference_edge_body.h"
#include "ops/reference_angle_body.h"

static int64_t REAL(reference_scratch)(const struct REAL(dgnn_repflow_edges) * edges,
                                       const struct REAL(dgnn_repflow_layer) * layer)
{
    int64_t width = layer->m + layer->e, angle = layer->e + layer->a, count = edges->angle_count_max;
    int64_t edge_reals = (edges->edge_count_max + 2) * width;
    int64_t angle_reals = 2 * layer->e + layer->a + count * layer->e + count * count * angle;
    return (int64_t)sizeof(real) * (edge_reals > angle_reals ? edge_reals : angle_reals);
}

/* ---------------------------------------------------------------- rows, moments, embeddings */

static void REAL(reference_exponential)(int64_t n, const real *x, real most, real *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = (real)exp((double)(x[i] - most));
    }
}

static void REAL(reference_row_products)(int64_t nrow, int64_t stride, const real *a, const real *b,
                                         real *out, int64_t out_stride)
{
    for (int64_t r = 0; r < nrow; r++) {
        double sum = 0;
        for (int64_t c = r * stride; c < (r + 1) * stride; c++) {
            sum += (double)a[c] * (double)b[c];
        }
        out[r * out_stride] += (real)sum;
    }
}

/* factor . sum_a row_a d_gr_a of row r. */
static real REAL(reference_moment_along)(const struct REAL(dgnn_moment) * m, int64_t r, const real *factor)
{
    real sum = 0;
    for (int64_t i = 0; i < 4 * m->stride; i++) {
        sum += m->row[r * m->row_step + i / m->stride * m->row_stride] * m->d_gr[i] * factor[i % m->stride];
    }
    return sum;
}

static void REAL(reference_moment_backward)(const struct REAL(dgnn_moment) * m)
{
    for (int64_t r = 0; r < m->nrow; r++) {
        for (int a = 0; a < 4; a++) {
            m->d_row[4 * r + a] = 0;
            for (int64_t c = 0; c < m->stride; c++) {
                m->d_row[4 * r + a] += m->g[r * m->stride + c] * m->d_gr[a * m->stride + c];
            }
        }
        if (m->tangent) {
            m->d_row[4 * r] += REAL(reference_moment_along)(m, r, m->tangent + r * m->stride);
        }
        if (m->by_switch) {
            m->d_switch[r] += REAL(reference_moment_along)(m, r, m->by_switch + r * m->stride);
        }
    }
}

static void REAL(reference_embed)(const struct REAL(dgnn_embed) * e)
{
    for (int64_t r = 0; r < e->nrow; r++) {
        real *y = e->y + r * e->stride, *tangent = e->tangent ? e->tangent + r * e->stride : NULL;
        for (int64_t c = 0; c < e->stride; c++) {
            double slope, idt = e->idt ? (double)e->idt[c] : 1;
            y[c] = (real)(idt * dgnn_activation_value(e->activation, (double)y[c], &slope));
            if (tangent) {
                tangent[c] = (real)(idt * slope * (double)(e->first_row ? e->first_row[c] : tangent[c]));
            }
        }
        for (int64_t c = 0; c < e->residual * e->nin; c++) {
            y[c] += e->x[r * e->x_stride + c % e->nin];
            if (tangent) {
                tangent[c] += e->first_row ? c % e->nin == 0 : e->x_tangent[r * e->x_stride + c % e->nin];
            }
        }
    }
}

static void REAL(reference_polynomials)(const struct REAL(dgnn_polynomials) * p)
{
    for (int64_t r = 0; r < p->nrow; r++) {
        const real *a = p->coefficients + p->piece[r] * 6 * p->stride;
        for (int64_t c = 0; c < p->stride; c++, a++) {
            double value = (double)a[5 * p->stride], slope = 0, t = (double)p->t[r];
            for (int k = 4; k >= 0; k--) {
                slope = slope * t + value;
                value = value * t + (double)a[k * p->stride];
            }
            p->y[r * p->stride + c] = (real)(value + (double)p->beyond[r] * slope);
            if (p->tangent) {
                p->tangent[r * p->stride + c] = (real)slope;
            }
        }
    }
}

#include "ops/dpa4c_readout_body.h"
#include "ops/dpa4c_reference_body.h"

const struct REAL(dgnn_ops) REAL(dgnn_reference_ops) = {
    .cpu = DGNN_CPU_REFERENCE,
    .product = REAL(reference_product),
    .product_transposed = REAL(reference_product_transposed),
    .exponential = REAL(reference_exponential),
    .row_products = REAL(reference_row_products),
    .moment_backward = REAL(reference_moment_backward),
    .embed = REAL(reference_embed),
    .polynomials = REAL(reference_polynomials),
    .activate = REAL(reference_activate),
    .gram_forward = REAL(reference_gram_forward),
    .gram_backward = REAL(reference_gram_backward),
    .repflow_scratch = REAL(reference_scratch),
    .edge_forward = REAL(reference_edge_forward),
    .edge_backward = REAL(reference_edge_backward),
    .angle_forward = REAL(reference_angle_forward),
    .angle_backward = REAL(reference_angle_backward),
    .attention_forward = REAL(attention_forward),
    .attention_backward = REAL(attention_backward),
    .dpa4c_geometry_forward = REAL(reference_dpa4c_geometry_forward),
    .dpa4c_geometry_backward = REAL(reference_dpa4c_geometry_backward),
    .dpa4c_scratch = REAL(reference_dpa4c_scratch),
    .dpa4c_forward = REAL(reference_dpa4c_forward),
    .dpa4c_backward = REAL(reference_dpa4c_backward),
    .dpa4c_readout_scratch = REAL(readout_scratch),
    .dpa4c_readout_forward = REAL(readout_forward),
    .dpa4c_readout_backward = REAL(readout_backward),
};
