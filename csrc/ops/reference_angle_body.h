/* The angles of a RepFlow layer: included by ops/reference_body.h. */

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

static void REAL(reference_angle_pre)(const struct REAL(dgnn_angle_block) * b, int64_t i, real *pre,
                                      real *own)
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

/* The input rows of angle_linear2: sum_k asw_j asw_k act(pre_jk) / sqrt(a_sel), or the edge itself where
 * there is no such sum and smooth_edge_update is off. */
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
                                            real *angle_linear2, real *d_reduced)
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
            angle_linear2[c] =
                (real)((double)(b->d_next_edge[(g->first[i] + j) * e + c] * b->layer->weight_edge_angle[c]) *
                       slope);
        }
        real *out = j < count ? d_reduced + j * e : b->d_edge_state + (g->first[i] + j) * e;
        if (j < count) {
            memset(out, 0, sizeof(real) * (size_t)e);
        }
        REAL(reference_row_part)(angle_linear2, &b->layer->angle_linear2_transposed, 0, e, out);
    }
}

/* Gradient of pre of angle t = (j, k), and of the switches that multiply it. */
static void REAL(reference_angle_d_pre)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t t,
                                        const real *p, const real *d_reduced, real *d_pre)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t j = t / g->angle_count[i], k = t % g->angle_count[i];
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
    const real *d_next = b->d_angle + (g->angle_first[i] + t) * a;
    for (int64_t c = 0; c < a && b->with_angle; c++) {
        double d = b->d_angle_given ? (double)(d_next[c] * b->layer->weight_angle[c]) : 0;
        dgnn_activation_value(&b->layer->activation, (double)p[e + c], &slope);
        d_pre[e + c] = (real)(d * slope);
    }
}

/* In layer 0 the gradient of the angle features goes on to the cosine and the unit vectors. */
static void REAL(reference_angle_d_cosine)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j,
                                           int64_t k, const real *d_state)
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

static void REAL(reference_angle_d_row)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j,
                                        int64_t k, const real *d_pre)
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
        REAL(reference_angle_d_pre)(b, i, t, pre + t * (e + b->layer->a), d_reduced, own);
        REAL(reference_angle_d_row)(b, i, t / count, t % count, own);
    }
}

static void REAL(reference_angle_backward)(const struct REAL(dgnn_angle_block) * b, int64_t begin,
                                           int64_t end, void *scratch)
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
