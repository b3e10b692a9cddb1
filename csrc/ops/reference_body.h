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

static void REAL(reference_activate)(const struct dgnn_activation *activation, int64_t n, const real *x, real *value,
                                     real *slope)
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
static void REAL(reference_row)(const real *x, const struct REAL(dgnn_matrix) * w, int64_t c0, int64_t n, real *out)
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
    for (int64_t r = 0; r < nrow; r++, moment += 3 * width, d_moment += 3 * width, d_gram += s->axis * width) {
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

/* ---------------------------------------------------------------- edges */

/* Columns [c0, c1) of (m | e) that a block works on. */
static void REAL(reference_edge_columns)(const struct REAL(dgnn_edge_block) * b, int64_t *c0, int64_t *c1)
{
    *c0 = b->with_node ? 0 : b->layer->m;
    *c1 = b->with_edge ? b->layer->m + b->layer->e : b->layer->m;
}

static void REAL(reference_edge_pre)(const struct REAL(dgnn_edge_block) * b, int64_t i, real *pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t width = b->layer->m + b->layer->e, c0, c1;
    REAL(reference_edge_columns)(b, &c0, &c1);
    for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
        real *p = pre + (j - g->first[i]) * width;
        const real *centre = b->centre + i * b->centre_stride;
        const real *other = b->neighbour_part + g->neighbour[j] * b->neighbour_part_stride;
        for (int64_t c = c0; c < c1; c++) {
            p[c] = centre[c] + other[c];
        }
        REAL(reference_row)(b->state + j * b->layer->e, &b->layer->edge, c0, c1 - c0, p + c0);
    }
}

/* M_i = sum_j sw_j act(pre_j) / sel and H_i = sum_j sw_j h_j (e_j | n_j) / sqrt(sel). */
static void REAL(reference_edge_node)(const struct REAL(dgnn_edge_block) * b, int64_t i, const real *pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t m = b->layer->m, e = b->layer->e, n = b->layer->n;
    real *message = b->message + i * m, *moment = b->moment + i * 3 * (e + n);
    memset(message, 0, sizeof(real) * (size_t)m);
    memset(moment, 0, sizeof(real) * (size_t)(3 * (e + n)));
    for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
        const real *p = pre + (j - g->first[i]) * (m + e);
        const real *node = b->node + g->neighbour[j] * b->node_stride;
        for (int64_t c = 0; c < m; c++) {
            message[c] += g->edge_switch[j] * g->message_scale *
                          (real)dgnn_activation_value(&b->layer->activation, (double)p[c], NULL);
        }
        for (int d = 0; d < 3; d++) {
            real factor = g->edge_switch[j] * g->direction[3 * j + d] * g->moment_scale;
            for (int64_t c = 0; c < e; c++) {
                moment[d * (e + n) + c] += factor * b->state[j * e + c];
            }
            for (int64_t c = 0; c < n; c++) {
                moment[d * (e + n) + e + c] += factor * node[c];
            }
        }
    }
}

static void REAL(reference_edge_self)(const struct REAL(dgnn_edge_block) * b, int64_t i, const real *pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t m = b->layer->m, e = b->layer->e;
    for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
        const real *p = pre + (j - g->first[i]) * (m + e) + m;
        for (int64_t c = 0; c < e; c++) {
            real value = (real)dgnn_activation_value(&b->layer->activation, (double)p[c], NULL);
            real next = b->layer->keep_edge * b->state[j * e + c] + b->layer->weight_edge_self[c] * value;
            b->next[j * e + c] = b->without_angle_term && j >= g->first[i] + g->angle_count[i] ? next
                + b->without_angle_term[c] : next;
        }
    }
}

static void REAL(reference_edge_forward)(const struct REAL(dgnn_edge_block) * b, int64_t begin, int64_t end,
                                         void *scratch)
{
    for (int64_t i = begin; i < end; i++) {
        real *pre = b->pre ? b->pre + b->edges->first[i] * (b->layer->m + b->layer->e) : scratch;
        REAL(reference_edge_pre)(b, i, pre);
        if (b->with_node) {
            REAL(reference_edge_node)(b, i, pre);
        }
        if (b->with_edge) {
            REAL(reference_edge_self)(b, i, pre);
        }
    }
}

/* Gradient of pre in d_pre, and of what multiplies it. */
static void REAL(reference_edge_d_pre)(const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t j, const real *p,
                                       real *d_pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t m = b->layer->m, e = b->layer->e;
    double slope, sum = 0;
    for (int64_t c = 0; c < m && b->with_node; c++) {
        double value = dgnn_activation_value(&b->layer->activation, (double)p[c], &slope);
        double d = (double)(b->d_message[i * m + c] * g->message_scale);
        sum += d * value;
        d_pre[c] = (real)(d * (double)g->edge_switch[j] * slope);
    }
    g->d_edge_switch[j] += sum;
    for (int64_t c = 0; c < e && b->with_edge; c++) {
        dgnn_activation_value(&b->layer->activation, (double)p[m + c], &slope);
        d_pre[m + c] = (real)((double)(b->d_next[j * e + c] * b->layer->weight_edge_self[c]) * slope);
    }
}

/* Backward of H_i for edge j. first: the gradient's block, b itself or not; x: the displacement. */
static void REAL(reference_edge_d_moment)(const struct REAL(dgnn_edge_block) * b,
                                          const struct REAL(dgnn_edge_block) * first, real x, int64_t i,
                                          int64_t j)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, n = b->layer->n, node = g->neighbour[j];
    for (int d = 0; d < 3; d++) {
        int64_t row = (3 * i + d) * (e + n);
        const real *d_moment = b->d_moment + row, *gradient = first->d_moment + row;
        real factor = g->edge_switch[j] * g->direction[3 * j + d] * g->moment_scale;
        double sum = 0;
        for (int64_t c = 0; c < e; c++) {
            sum += (double)(d_moment[c] * b->state[j * e + c]);
            b->d_state[j * e + c] += factor * d_moment[c];
        }
        for (int64_t c = 0; c < n; c++) {
            sum += (double)(d_moment[e + c] * b->node[node * b->node_stride + c]);
            if (b->d_node) {
                b->d_node[node * n + c] += factor * (d_moment[e + c] + x * gradient[e + c]);
            }
        }
        sum *= (double)g->moment_scale;
        g->d_edge_switch[j] += sum * (double)g->direction[3 * j + d];
        g->d_direction[3 * j + d] += sum * (double)g->edge_switch[j];
    }
}

/* Of one edge j and one side. d_pre: its own, after that of the gradient, first's. */
static void REAL(reference_edge_side)(const struct REAL(dgnn_edge_block) * b,
                                      const struct REAL(dgnn_edge_block) * first, int64_t i, int64_t j,
                                      const real *p, real *d_pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t m = b->layer->m, e = b->layer->e, width = m + e, c0, c1;
    real x = b == first ? 0 : g->displacement[3 * j + (b - first) - 1];
    real *own = b == first ? d_pre : d_pre + width;
    REAL(reference_edge_columns)(b, &c0, &c1);
    REAL(reference_edge_d_pre)(b, i, j, p, own);
    REAL(reference_row_part)(own + c0, &b->layer->edge_transposed, c0, c1 - c0, b->d_state + j * e);
    for (int64_t c = 0; c < e && b->with_edge; c++) {
        b->d_state[j * e + c] += b->layer->keep_edge * b->d_next[j * e + c];
    }
    if (b->with_node) {
        REAL(reference_edge_d_moment)(b, first, x, i, j);
    }
    for (int64_t c = c0; c < c1 && b->d_centre; c++) {
        b->d_centre[i * width + c] += own[c];
        b->d_neighbour_part[g->neighbour[j] * width + c] += b == first ? own[c] : own[c] + x * d_pre[c];
    }
}

static void REAL(reference_edge_clear)(const struct REAL(dgnn_edge_block) * b, int64_t i)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, c0, c1;
    int64_t given = g->first[i] + (b->d_state_given == DGNN_EDGES_IN_ANGLES ? g->angle_count[i] : 0);
    REAL(reference_edge_columns)(b, &c0, &c1);
    for (int64_t c = given * e; c < g->first[i + 1] * e && b->d_state_given != DGNN_EDGES_ALL; c++) {
        b->d_state[c] = 0;
    }
    if (b->d_centre) {
        memset(b->d_centre + i * (b->layer->m + e) + c0, 0, sizeof(real) * (size_t)(c1 - c0));
    }
}

static void REAL(reference_edge_backward)(const struct REAL(dgnn_edge_block) * b, int64_t begin, int64_t end,
                                          void *scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t width = b->layer->m + b->layer->e;
    real *d_pre = scratch, *own = d_pre + 2 * width;
    for (int64_t i = begin; i < end; i++) {
        const real *pre = b->pre ? b->pre + g->first[i] * width : own;
        if (!b->pre) {
            REAL(reference_edge_pre)(b, i, own);
        }
        for (int k = 0; k <= g->columns; k++) {
            REAL(reference_edge_clear)(b + k, i);
        }
        for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
            for (int k = 0; k <= g->columns; k++) {
                REAL(reference_edge_side)(b + k, b, i, j, pre + (j - g->first[i]) * width, d_pre);
            }
        }
    }
}

/* ---------------------------------------------------------------- angles */

/* Columns [c0, c1) of (e | a) that a block works on. */
static void REAL(reference_angle_columns)(const struct REAL(dgnn_angle_block) * b, int64_t *c0, int64_t *c1)
{
    *c0 = b->with_edge ? 0 : b->layer->e;
    *c1 = b->with_angle ? b->layer->e + b->layer->a : b->layer->e;
}

/* The features of one angle: row t. */
static void REAL(reference_angle_state)(const struct REAL(dgnn_angle_block) * b, int64_t t, real *out)
{
    int64_t a = b->layer->a;
    for (int64_t c = 0; c < a; c++) {
        out[c] = b->first_weight ? b->edges->cosine[t] * b->first_weight[c] : b->state[t * a + c];
    }
}

static void REAL(reference_angle_pre)(const struct REAL(dgnn_angle_block) * b, int64_t i, real *pre, real *own)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a, count = g->angle_count[i], c0, c1;
    real *state = own;
    REAL(reference_angle_columns)(b, &c0, &c1);
    for (int64_t j = 0; j < count; j++) {
        for (int64_t k = 0; k < count; k++) {
            real *p = pre + (j * count + k) * (e + a);
            for (int64_t c = c0; c < c1; c++) {
                p[c] = b->centre[i * b->centre_stride + c];
            }
            const real *edge = b->edge_state + g->first[i] * e;
            REAL(reference_row)(edge + j * e, &b->layer->pair, c0, c1 - c0, p + c0);
            REAL(reference_row)(edge + k * e, &b->layer->pair, e + a + c0, c1 - c0, p + c0);
            REAL(reference_angle_state)(b, g->angle_first[i] + j * count + k, state);
            REAL(reference_row)(state, &b->layer->angle, c0, c1 - c0, p + c0);
        }
    }
}

/* The input rows of angle_linear2: sum_k asw_j asw_k act(pre_jk) / sqrt(a_sel), or the edge itself where there is
 * no such sum and smooth_edge_update is off. */
static void REAL(reference_angle_reduce)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j,
                                         const real *pre, real *reduced)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a, count = g->angle_count[i], first = g->first[i];
    for (int64_t c = 0; c < e; c++) {
        reduced[c] = j < count || g->smooth ? 0 : b->edge_state[(first + j) * e + c];
    }
    for (int64_t k = 0; k < count && j < count; k++) {
        real factor = g->angle_switch[first + j] * g->angle_switch[first + k] * g->angle_scale;
        for (int64_t c = 0; c < e; c++) {
            double x = (double)pre[(j * count + k) * (e + a) + c];
            reduced[c] += factor * (real)dgnn_activation_value(&b->layer->activation, x, NULL);
        }
    }
}

static void REAL(reference_angle_to_edge)(const struct REAL(dgnn_angle_block) * b, int64_t i, const real *pre,
                                          real *own)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, nangle_linear2 = g->angle_linear2_first[i + 1] - g->angle_linear2_first[i];
    real *reduced = own, *angle_linear2 = own + e;
    for (int64_t j = 0; j < nangle_linear2; j++) {
        memcpy(angle_linear2, b->layer->angle_linear2_bias, sizeof(real) * (size_t)e);
        REAL(reference_angle_reduce)(b, i, j, pre, reduced);
        REAL(reference_row)(reduced, &b->layer->angle_linear2, 0, e, angle_linear2);
        memcpy(b->angle_linear2_pre + (g->angle_linear2_first[i] + j) * e, angle_linear2,
               sizeof(real) * (size_t)e);
        for (int64_t c = 0; c < e; c++) {
            b->next_edge[(g->first[i] + j) * e + c] +=
                b->layer->weight_edge_angle[c] *
                (real)dgnn_activation_value(&b->layer->activation, (double)angle_linear2[c], NULL);
        }
    }
}

static void REAL(reference_angle_self)(const struct REAL(dgnn_angle_block) * b, int64_t i, const real *pre,
                                       real *state)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a, first = g->angle_first[i];
    for (int64_t t = first; t < g->angle_first[i + 1]; t++) {
        REAL(reference_angle_state)(b, t, state);
        for (int64_t c = 0; c < a; c++) {
            double x = (double)pre[(t - first) * (e + a) + e + c];
            b->next[t * a + c] = b->layer->keep_angle * state[c] +
                                 b->layer->weight_angle[c] *
                                     (real)dgnn_activation_value(&b->layer->activation, x, NULL);
        }
    }
}

static void REAL(reference_angle_forward)(const struct REAL(dgnn_angle_block) * b, int64_t begin, int64_t end,
                                          void *scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a;
    real *own = scratch, *kept = own + 2 * e + a;
    for (int64_t i = begin; i < end; i++) {
        real *pre = b->pre ? b->pre + g->angle_first[i] * (e + a) : kept;
        REAL(reference_angle_pre)(b, i, pre, own);
        if (b->with_edge) {
            REAL(reference_angle_to_edge)(b, i, pre, own);
        }
        if (b->with_angle) {
            REAL(reference_angle_self)(b, i, pre, own);
        }
    }
}

/* Backward of angle_linear2: d_reduced rows; of edges without angles straight into the edges. */
static void REAL(reference_angle_d_linear2)(const struct REAL(dgnn_angle_block) * b, int64_t i,
                                            real *angle_linear2,
                                           real *d_reduced)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, count = g->angle_count[i],
        nangle_linear2 = g->angle_linear2_first[i + 1] - g->angle_linear2_first[i];
    for (int64_t j = 0; j < nangle_linear2; j++) {
        memcpy(angle_linear2, b->angle_linear2_pre + (g->angle_linear2_first[i] + j) * e,
               sizeof(real) * (size_t)e);
        for (int64_t c = 0; c < e; c++) {
            double slope;
            dgnn_activation_value(&b->layer->activation, (double)angle_linear2[c], &slope);
            angle_linear2[c] = (real)((double)(b->d_next_edge[(g->first[i] + j) * e + c] * b->layer->weight_edge_angle[c]) *
                               slope);
        }
        real *out = j < count ? d_reduced + j * e : b->d_edge_state + (g->first[i] + j) * e;
        if (j < count) {
            memset(out, 0, sizeof(real) * (size_t)e);
        }
        REAL(reference_row_part)(angle_linear2, &b->layer->angle_linear2_transposed, 0, e, out);
    }
}

/* Gradient of pre of angle (j, k), and of the switches that multiply it. */
static void REAL(reference_angle_d_pre)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                                        const real *p, const real *d_reduced, real *d_pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a, first = g->first[i];
    double sj = (double)g->angle_switch[first + j], sk = (double)g->angle_switch[first + k];
    double scale = (double)g->angle_scale, sum = 0, slope;
    for (int64_t c = 0; c < e && b->with_edge; c++) {
        double value = dgnn_activation_value(&b->layer->activation, (double)p[c], &slope);
        sum += (double)d_reduced[j * e + c] * value;
        d_pre[c] = (real)((double)d_reduced[j * e + c] * sj * sk * scale * slope);
    }
    g->d_angle_switch[first + j] += sum * sk * scale;
    g->d_angle_switch[first + k] += sum * sj * scale;
    const real *d_next = b->d_angle + (g->angle_first[i] + j * g->angle_count[i] + k) * a;
    for (int64_t c = 0; c < a && b->with_angle; c++) {
        double d = b->d_angle_given ? (double)(d_next[c] * b->layer->weight_angle[c]) : 0;
        dgnn_activation_value(&b->layer->activation, (double)p[e + c], &slope);
        d_pre[e + c] = (real)(d * slope);
    }
}

/* In layer 0 the gradient of the angle features goes on to the cosine and the unit vectors. */
static void REAL(reference_angle_d_cosine)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                                           const real *d_state)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    double sum = 0;
    for (int64_t c = 0; c < b->layer->a; c++) {
        sum += (double)(d_state[c] * b->first_weight[c]);
    }
    sum *= g->cosine_scale;
    for (int d = 0; d < 3; d++) {
        g->d_unit[3 * (g->first[i] + j) + d] += sum * g->unit[3 * (g->first[i] + k) + d];
        g->d_unit[3 * (g->first[i] + k) + d] += sum * g->unit[3 * (g->first[i] + j) + d];
    }
}

static void REAL(reference_angle_d_row)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                                        const real *d_pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a, c0, c1;
    real keep = b->with_angle ? b->layer->keep_angle : 1;
    real *d_state = b->d_angle + (g->angle_first[i] + j * g->angle_count[i] + k) * a;
    REAL(reference_angle_columns)(b, &c0, &c1);
    for (int64_t c = 0; c < a; c++) {
        d_state[c] = b->d_angle_given ? keep * d_state[c] : 0;
    }
    REAL(reference_row_part)(d_pre + c0, &b->layer->angle_transposed, c0, c1 - c0, d_state);
    if (b->first_weight) {
        REAL(reference_angle_d_cosine)(b, i, j, k, d_state);
    }
    real *d_edge = b->d_edge_state + g->first[i] * e;
    REAL(reference_row_part)(d_pre + c0, &b->layer->pair_transposed, c0, c1 - c0, d_edge + j * e);
    REAL(reference_row_part)(d_pre + c0, &b->layer->pair_transposed, e + a + c0, c1 - c0, d_edge + k * e);
    for (int64_t c = c0; c < c1 && b->d_centre; c++) {
        b->d_centre[i * b->d_centre_stride + c] += d_pre[c];
    }
}

static void REAL(reference_angle_side)(const struct REAL(dgnn_angle_block) * b, int64_t i, const real *pre,
                                       real *own, real *d_reduced)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, count = g->angle_count[i], c0, c1;
    int64_t reached = g->smooth || !b->with_edge ? count : g->first[i + 1] - g->first[i];
    REAL(reference_angle_columns)(b, &c0, &c1);
    if (b->d_centre) {
        memset(b->d_centre + i * b->d_centre_stride + c0, 0, sizeof(real) * (size_t)(c1 - c0));
    }
    for (int64_t c = 0; c < reached * e && !b->d_edge_given; c++) {
        b->d_edge_state[g->first[i] * e + c] = 0;
    }
    if (b->with_edge) {
        REAL(reference_angle_d_linear2)(b, i, own, d_reduced);
    }
    for (int64_t t = 0; t < count * count; t++) {
        REAL(reference_angle_d_pre)(b, i, t / count, t % count, pre + t * (e + b->layer->a), d_reduced, own);
        REAL(reference_angle_d_row)(b, i, t / count, t % count, own);
    }
}

static void REAL(reference_angle_backward)(const struct REAL(dgnn_angle_block) * b, int64_t begin, int64_t end,
                                           void *scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, a = b->layer->a;
    real *own = scratch, *d_reduced = own + 2 * e + a, *kept = d_reduced + g->angle_count_max * e;
    for (int64_t i = begin; i < end; i++) {
        const real *pre = b->pre ? b->pre + g->angle_first[i] * (e + a) : kept;
        if (!b->pre) {
            REAL(reference_angle_pre)(b, i, kept, own);
        }
        for (int k = 0; k <= g->columns; k++) {
            REAL(reference_angle_side)(b + k, i, pre, own, d_reduced);
        }
    }
}

static int64_t REAL(reference_scratch)(const struct REAL(dgnn_repflow_edges) * edges,
                                       const struct REAL(dgnn_repflow_layer) * layer)
{
    int64_t width = layer->m + layer->e, angle = layer->e + layer->a, count = edges->angle_count_max;
    int64_t edge_reals = (edges->edge_count_max + 2) * width;
    int64_t angle_reals = 2 * layer->e + layer->a + count * layer->e + count * count * angle;
    return (int64_t)sizeof(real) * (edge_reals > angle_reals ? edge_reals : angle_reals);
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

static void REAL(reference_exponential)(int64_t n, const real *x, real most, real *y)
{
    for (int64_t i = 0; i < n; i++) {
        y[i] = (real)exp((double)(x[i] - most));
    }
}

static void REAL(reference_row_products)(int64_t nrow, int64_t stride, const real *a, const real *b, real *out,
                                         int64_t out_stride)
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
