/* The edges of a RepFlow layer: included by ops/reference_body.h. */

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
static void REAL(reference_edge_d_pre)(const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t j,
                                       const real *p, real *d_pre)
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
