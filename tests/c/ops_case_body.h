/* Random data for the blocks of a RepFlow layer, and comparisons; included once for each element type. */
#include "base/real.h"

/* All that a block may write or add to. */
struct REAL(ops_output) {
    real *next, *pre, *message, *moment, *angle_linear2_pre;
    real *d_state, *d_centre, *d_neighbour_part, *d_node, *d_angle;
    double *d_edge_switch, *d_direction, *d_angle_switch, *d_unit, *d_first;
};

struct REAL(ops_case) {
    int64_t n, e, a, heads, m;              /* padded */
    int64_t n_real, e_real, a_real, k_real; /* true widths; rows of pair that are used */
    int64_t ncentre, nnode, nedge, nangle, nangle_linear2;
    struct REAL(dgnn_repflow_edges) edges;
    struct REAL(dgnn_repflow_layer) layer;
    real *centre, *neighbour_part, *node, *edge_state, *angle_state, *d_next, *d_message, *d_moment, *d_angle;
    real *angle_centre, *first_input, *first_weight, *first_bias, *first_angle;
    int64_t edge_stride, angle_stride, node_stride;
    void *block[128]; /* all of the above, to be freed */
    int nblock;
};

static void *REAL(ops_take)(struct REAL(ops_case) * c, int64_t count, size_t size)
{
    void *block = dgnn_alloc_zeroed(count, size);
    CHECK(block != NULL && c->nblock < 128);
    c->block[c->nblock++] = block;
    return block;
}

static real *REAL(ops_random)(struct REAL(ops_case) * c, int64_t count, double size)
{
    real *x = REAL(ops_take)(c, count, sizeof(real));
    for (int64_t i = 0; i < count; i++) {
        x[i] = (real)(size * (2 * random_uniform(&ops_seed) - 1));
    }
    return x;
}

/* Is column c of a row of sections (each of n columns, of which real ones first) a true one? */
static int REAL(ops_true)(int64_t c, int64_t padded, int64_t width)
{
    return c % padded < width;
}

/* Column c of (m | e) or of (e | a). */
static int REAL(ops_true_edge)(const struct REAL(ops_case) * s, int64_t c)
{
    return c < s->m ? REAL(ops_true)(c, s->n, s->n_real) : c - s->m < s->e_real;
}

static int REAL(ops_true_angle)(const struct REAL(ops_case) * s, int64_t c)
{
    return c < s->e ? c < s->e_real : c - s->e < s->a_real;
}

static int REAL(ops_true_column)(const struct REAL(ops_case) * s, int kind, int64_t c)
{
    switch (kind) {
    case OPS_COLUMNS_EDGE:
        return REAL(ops_true_edge)(s, c);
    case OPS_COLUMNS_ANGLE:
        return REAL(ops_true_angle)(s, c);
    case OPS_COLUMNS_PAIR:
        return REAL(ops_true_angle)(s, c % (s->e + s->a));
    default:
        return c < s->e_real;
    }
}

/* Weights with zeros in the padding, and their transpose. */
static struct REAL(dgnn_matrix)
    REAL(ops_matrix)(struct REAL(ops_case) * s, int64_t nrow, int64_t row_real, int64_t ncol, int kind,
                     struct REAL(dgnn_matrix) * transposed)
{
    struct REAL(dgnn_matrix) w = {nrow, ncol, dgnn_table_pad(ncol, REAL_LANES), NULL};
    *transposed = (struct REAL(dgnn_matrix)){ncol, nrow, dgnn_table_pad(nrow, REAL_LANES), NULL};
    w.data = REAL(ops_take)(s, nrow * w.stride, sizeof(real));
    transposed->data = REAL(ops_take)(s, ncol * transposed->stride, sizeof(real));
    for (int64_t r = 0; r < row_real; r++) {
        for (int64_t c = 0; c < ncol; c++) {
            if (REAL(ops_true_column)(s, kind, c)) {
                real x = (real)(0.6 * (2 * random_uniform(&ops_seed) - 1));
                w.data[r * w.stride + c] = transposed->data[c * transposed->stride + r] = x;
            }
        }
    }
    return w;
}

/* Rows of width columns: sections of section columns each up to first, of which first_true are true ones, and
 * behind them second_true true ones; the others are padding. */
struct REAL(ops_columns) {
    int64_t first, section, first_true, width, second_true;
};

static real *REAL(ops_rows)(struct REAL(ops_case) * s, int64_t rows, struct REAL(ops_columns) of)
{
    real *x = REAL(ops_random)(s, rows * of.width, 1);
    for (int64_t i = 0; i < rows * of.width; i++) {
        int64_t c = i % of.width;
        if (!(c < of.first ? REAL(ops_true)(c, of.section, of.first_true) : c - of.first < of.second_true)) {
            x[i] = 0;
        }
    }
    return x;
}

static real *REAL(ops_gradient)(struct REAL(ops_case) * s, int64_t rows, int64_t width, int64_t width_true)
{
    return REAL(ops_rows)(s, rows, (struct REAL(ops_columns)){width, width, width_true, width, 0});
}

/* Some centres have no edge, some have no angle; the last ones have as many as water does. Or ops_uniform. */
static void REAL(ops_counts)(struct REAL(ops_case) * s, int smooth)
{
    static const int64_t some_edges[] = {0, 1, 14, 3, 13, 41, 5}, some_angles[] = {0, 1, 13, 2, 2, 27, 0};
    int64_t *first, *angle_first, *angle_linear2_first;
    int32_t *count, *neighbour;
    int64_t uniform = ops_uniform.ncentre;
    s->ncentre = uniform ? uniform : (int64_t)(sizeof(some_edges) / sizeof(some_edges[0]));
    s->nnode = s->ncentre + 2;
    first = REAL(ops_take)(s, s->ncentre + 1, sizeof(*first));
    angle_first = REAL(ops_take)(s, s->ncentre + 1, sizeof(*angle_first));
    angle_linear2_first = REAL(ops_take)(s, s->ncentre + 1, sizeof(*angle_linear2_first));
    count = REAL(ops_take)(s, s->ncentre, sizeof(*count));
    for (int64_t i = 0; i < s->ncentre; i++) {
        int64_t edges = uniform ? ops_uniform.edges : some_edges[i];
        int64_t angles = uniform ? ops_uniform.angles : some_angles[i];
        count[i] = (int32_t)angles;
        first[i + 1] = first[i] + edges;
        angle_first[i + 1] = angle_first[i] + angles * angles;
        angle_linear2_first[i + 1] = angle_linear2_first[i] + (smooth ? angles : edges);
        s->edges.edge_count_max = edges > s->edges.edge_count_max ? edges : s->edges.edge_count_max;
        s->edges.angle_count_max = angles > s->edges.angle_count_max ? angles : s->edges.angle_count_max;
    }
    s->nedge = first[s->ncentre];
    s->nangle = angle_first[s->ncentre];
    s->nangle_linear2 = angle_linear2_first[s->ncentre];
    neighbour = REAL(ops_take)(s, s->nedge, sizeof(*neighbour));
    for (int64_t j = 0; j < s->nedge; j++) {
        neighbour[j] = (int32_t)random_below(&ops_seed, s->nnode);
    }
    s->edges.ncentre = s->ncentre;
    s->edges.first = first;
    s->edges.angle_count = count;
    s->edges.angle_first = angle_first;
    s->edges.angle_linear2_first = angle_linear2_first;
    s->edges.neighbour = neighbour;
    s->edges.smooth = smooth;
}

static void REAL(ops_geometry)(struct REAL(ops_case) * s)
{
    struct REAL(dgnn_repflow_edges) *g = &s->edges;
    double *unit = REAL(ops_take)(s, 3 * s->nedge, sizeof(double));
    real *cosine = REAL(ops_take)(s, s->nangle, sizeof(real));
    for (int64_t i = 0; i < 3 * s->nedge; i++) {
        unit[i] = random_uniform(&ops_seed) - 0.5;
    }
    g->edge_switch = REAL(ops_random)(s, s->nedge, 1);
    g->direction = REAL(ops_random)(s, 3 * s->nedge, 1);
    g->angle_switch = REAL(ops_random)(s, s->nedge, 1);
    g->cosine_scale = 0.56;
    for (int64_t i = 0; i < s->ncentre; i++) {
        int64_t count = g->angle_count[i];
        for (int64_t t = 0; t < count * count; t++) {
            const double *u = unit + 3 * (g->first[i] + t / count), *v = unit + 3 * (g->first[i] + t % count);
            cosine[g->angle_first[i] + t] =
                (real)(g->cosine_scale * (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]));
        }
    }
    g->unit = unit;
    g->cosine = cosine;
    g->message_scale = (real)0.05;
    g->moment_scale = (real)0.2;
    g->angle_scale = (real)0.3;
}

static void REAL(ops_weights)(struct REAL(ops_case) * s, const struct dgnn_activation *activation)
{
    struct REAL(dgnn_repflow_layer) *l = &s->layer;
    int64_t k = s->k_real < s->e_real ? dgnn_table_pad(s->k_real, REAL_LANES) : s->e;
    *l = (struct REAL(dgnn_repflow_layer)){
        .n = s->n, .e = s->e, .a = s->a, .m = s->m, .activation = *activation};
    l->edge = REAL(ops_matrix)(s, s->e, s->e_real, s->m + s->e, OPS_COLUMNS_EDGE, &l->edge_transposed);
    l->pair = REAL(ops_matrix)(s, k, s->k_real, 2 * (s->e + s->a), OPS_COLUMNS_PAIR, &l->pair_transposed);
    l->angle = REAL(ops_matrix)(s, s->a, s->a_real, s->e + s->a, OPS_COLUMNS_ANGLE, &l->angle_transposed);
    l->angle_linear2 =
        REAL(ops_matrix)(s, s->e, s->e_real, s->e, OPS_COLUMNS_E, &l->angle_linear2_transposed);
    l->angle_linear2_bias = REAL(ops_gradient)(s, 1, s->e, s->e_real);
    l->weight_edge_self = REAL(ops_gradient)(s, 1, s->e, s->e_real);
    l->weight_edge_angle = REAL(ops_gradient)(s, 1, s->e, s->e_real);
    l->weight_angle = REAL(ops_gradient)(s, 1, s->a, s->a_real);
    l->without_angle_term = REAL(ops_gradient)(s, 1, s->e, s->e_real);
    l->keep_edge = (real)0.8;
    l->keep_angle = (real)0.7;
}

static void REAL(ops_make)(struct REAL(ops_case) * s, const int64_t *widths, int smooth,
                           const struct dgnn_activation *activation)
{
    *s = (struct REAL(ops_case)){.n_real = widths[0],
                                 .e_real = widths[1],
                                 .a_real = widths[2],
                                 .heads = widths[3],
                                 .k_real = widths[4]};
    s->n = dgnn_table_pad(s->n_real, REAL_LANES);
    s->e = dgnn_table_pad(s->e_real, REAL_LANES);
    s->a = dgnn_table_pad(s->a_real, REAL_LANES);
    s->m = s->heads * s->n;
    s->edge_stride = s->m + s->e + REAL_LANES;
    s->angle_stride = s->e + s->a + 2 * REAL_LANES;
    s->node_stride = s->n + REAL_LANES;
    REAL(ops_counts)(s, smooth);
    REAL(ops_geometry)(s);
    REAL(ops_weights)(s, activation);
    s->centre = REAL(ops_random)(s, s->ncentre * s->edge_stride, 1);
    s->neighbour_part = REAL(ops_random)(s, s->nnode * s->edge_stride, 1);
    s->node = REAL(ops_random)(s, s->nnode * s->node_stride, 1);
    s->angle_centre = REAL(ops_random)(s, s->ncentre * s->angle_stride, 1);
    s->edge_state = REAL(ops_gradient)(s, s->nedge, s->e, s->e_real);
    s->angle_state = REAL(ops_gradient)(s, s->nangle, s->a, s->a_real);
    s->d_next = REAL(ops_gradient)(s, s->nedge, s->e, s->e_real);
    s->d_message = REAL(ops_rows)(s, s->ncentre, (struct REAL(ops_columns)){s->m, s->n, s->n_real, s->m, 0});
    s->d_moment = REAL(ops_rows)(s, 3 * s->ncentre,
                                 (struct REAL(ops_columns)){s->e, s->e, s->e_real, s->e + s->n, s->n_real});
    s->d_angle = REAL(ops_gradient)(s, s->nangle, s->a, s->a_real);
    s->first_input = REAL(ops_random)(s, s->nedge, 1);
    s->first_weight = REAL(ops_gradient)(s, 1, s->e, s->e_real);
    s->first_bias = REAL(ops_gradient)(s, 1, s->e, s->e_real);
    s->first_angle = REAL(ops_gradient)(s, 1, s->a, s->a_real);
}

static void REAL(ops_unmake)(struct REAL(ops_case) * s)
{
    for (int b = 0; b < s->nblock; b++) {
        dgnn_alloc_free(s->block[b]);
    }
}

/* Outputs begin with something, so that "added to" and "written" differ. */
static void REAL(ops_outputs)(struct REAL(ops_case) * s, struct REAL(ops_output) * o)
{
    uint64_t seed = ops_seed;
    int64_t angles = s->nangle * s->a > 0 ? s->nangle * s->a : 1;
    o->next = REAL(ops_random)(s, s->nedge * s->e > angles ? s->nedge * s->e : angles, 1);
    o->message = REAL(ops_random)(s, s->ncentre * s->m, 1);
    o->moment = REAL(ops_random)(s, s->ncentre * 3 * (s->e + s->n), 1);
    o->angle_linear2_pre = REAL(ops_random)(s, s->nangle_linear2 * s->e, 1);
    o->pre = REAL(ops_random)(s, s->nedge * (s->m + s->e) + s->nangle * (s->e + s->a), 1);
    o->d_state = REAL(ops_random)(s, s->nedge * s->e, 1);
    o->d_centre = REAL(ops_random)(s, s->ncentre * s->edge_stride + s->ncentre * s->angle_stride, 1);
    o->d_neighbour_part = REAL(ops_random)(s, s->nnode * (s->m + s->e), 1);
    o->d_node = REAL(ops_random)(s, s->nnode * s->n, 1);
    o->d_angle = REAL(ops_take)(s, s->nangle * s->a, sizeof(real));
    memcpy(o->d_angle, s->d_angle, sizeof(real) * (size_t)(s->nangle * s->a));
    o->d_edge_switch = REAL(ops_take)(s, s->nedge, sizeof(double));
    o->d_angle_switch = REAL(ops_take)(s, s->nedge, sizeof(double));
    o->d_direction = REAL(ops_take)(s, 3 * s->nedge, sizeof(double));
    o->d_unit = REAL(ops_take)(s, 3 * s->nedge, sizeof(double));
    o->d_first = REAL(ops_take)(s, s->nedge, sizeof(double));
    ops_seed = seed;
}

/* Rows that are compared. kind < 0: all columns count. */
struct REAL(ops_compared) {
    int64_t nrow, stride, width;
    int kind;
};

/* The largest difference over the largest number (or 1), and where. */
static void REAL(ops_compare)(const struct REAL(ops_case) * s, const char *name, const real *ours,
                              const real *theirs, struct REAL(ops_compared) of)
{
    double worst = 0, scale = 1;
    for (int64_t r = 0; r < of.nrow; r++) {
        for (int64_t c = 0; c < of.width; c++) {
            if (of.kind >= 0 && !REAL(ops_true_column)(s, of.kind, c)) {
                continue;
            }
            double x = (double)ours[r * of.stride + c], y = (double)theirs[r * of.stride + c];
            scale = fabs(y) > scale ? fabs(y) : scale;
            worst = check_larger(worst, fabs(x - y));
        }
    }
    ops_judge(name, worst / scale, DGNN_REAL_BITS);
}

/* ---------------------------------------------------------------- edges */

struct REAL(ops_edge_options) {
    int with_node, with_edge, without_angle_term, keep, nodes, first;
    enum dgnn_edges_given given;
};

/* The case's edges, whose gradients go to o. */
static struct REAL(dgnn_repflow_edges)
    REAL(ops_edges)(const struct REAL(ops_case) * s, const struct REAL(ops_output) * o)
{
    struct REAL(dgnn_repflow_edges) edges = s->edges;
    edges.d_edge_switch = o->d_edge_switch;
    edges.d_direction = o->d_direction;
    edges.d_angle_switch = o->d_angle_switch;
    edges.d_unit = o->d_unit;
    return edges;
}

static struct REAL(dgnn_edge_block)
    REAL(ops_edge_block)(const struct REAL(ops_case) * s, const struct REAL(dgnn_repflow_edges) * edges,
                         const struct REAL(ops_edge_options) * p, const struct REAL(ops_output) * o)
{
    return (struct REAL(dgnn_edge_block)){.edges = edges,
                                          .layer = &s->layer,
                                          .with_node = p->with_node,
                                          .with_edge = p->with_edge,
                                          .without_angle_term =
                                              p->without_angle_term ? s->layer.without_angle_term : NULL,
                                          .centre = s->centre,
                                          .centre_stride = s->edge_stride,
                                          .neighbour_part = s->neighbour_part,
                                          .neighbour_part_stride = s->edge_stride,
                                          .node = s->node,
                                          .node_stride = s->node_stride,
                                          .state = s->edge_state,
                                          .first_input = p->first ? s->first_input : NULL,
                                          .first_weight = s->first_weight,
                                          .first_bias = s->first_bias,
                                          .pre = p->keep ? o->pre : NULL,
                                          .next = o->next,
                                          .message = o->message,
                                          .moment = o->moment,
                                          .d_next = p->with_edge ? s->d_next : NULL,
                                          .d_message = s->d_message,
                                          .d_moment = s->d_moment,
                                          .d_state_given = p->given,
                                          .d_state = o->d_state,
                                          .d_first = o->d_first,
                                          .d_centre = p->nodes ? o->d_centre : NULL,
                                          .d_neighbour_part = p->nodes ? o->d_neighbour_part : NULL,
                                          .d_node = p->nodes ? o->d_node : NULL};
}

__attribute__((unused)) static void REAL(ops_run_edges)(struct REAL(ops_case) * s,
                                                        const struct REAL(dgnn_ops) * ops,
                                                        const struct REAL(ops_edge_options) * p,
                                                        struct REAL(ops_output) * o)
{
    struct REAL(dgnn_repflow_edges) edges = REAL(ops_edges)(s, o);
    struct REAL(dgnn_edge_block) b = REAL(ops_edge_block)(s, &edges, p, o);
    void *scratch = dgnn_alloc(ops->repflow_scratch(&edges, &s->layer), 1);
    CHECK(scratch != NULL);
    ops->edge_forward(&b, 0, 3, scratch);
    ops->edge_forward(&b, 3, s->ncentre, scratch);
    ops->edge_backward(&b, 0, 1, scratch);
    ops->edge_backward(&b, 1, s->ncentre, scratch);
    dgnn_alloc_free(scratch);
}

__attribute__((unused)) static void REAL(ops_compare_edges)(struct REAL(ops_case) * s,
                                                            const struct REAL(ops_edge_options) * p,
                                                            const struct REAL(ops_output) * x,
                                                            const struct REAL(ops_output) * y)
{
    int64_t width = s->m + s->e, c0 = p->with_node ? 0 : s->m, c1 = p->with_edge ? width : s->m;
    if (p->with_edge) {
        REAL(ops_compare)(s, "next", x->next, y->next,
                          (struct REAL(ops_compared)){s->nedge, s->e, s->e, OPS_COLUMNS_E});
    }
    if (p->with_node) {
        REAL(ops_compare)(s, "message", x->message, y->message,
                          (struct REAL(ops_compared)){s->ncentre, s->m, s->m, OPS_COLUMNS_EDGE});
        for (int d = 0; d < 3; d++) {
            int64_t row = s->e + s->n;
            REAL(ops_compare)(s, "moment", x->moment + d * row, y->moment + d * row,
                              (struct REAL(ops_compared)){s->ncentre, 3 * row, s->e, OPS_COLUMNS_E});
            REAL(ops_compare)(s, "moment", x->moment + d * row + s->e, y->moment + d * row + s->e,
                              (struct REAL(ops_compared)){s->ncentre, 3 * row, s->n_real, -1});
        }
        ops_compare_double("d_edge_switch", x->d_edge_switch, y->d_edge_switch, s->nedge, DGNN_REAL_BITS);
        ops_compare_double("d_direction", x->d_direction, y->d_direction, 3 * s->nedge, DGNN_REAL_BITS);
    }
    if (p->first) { /* what an instance puts in d_first it leaves out of d_state */
        double *dx = REAL(ops_take)(s, s->nedge, sizeof(double)),
               *dy = REAL(ops_take)(s, s->nedge, sizeof(double));
        for (int64_t j = 0; j < s->nedge; j++) {
            dx[j] = x->d_first[j];
            dy[j] = y->d_first[j];
            for (int64_t c = 0; c < s->e_real; c++) {
                dx[j] += (double)(x->d_state[j * s->e + c] * s->first_weight[c]);
                dy[j] += (double)(y->d_state[j * s->e + c] * s->first_weight[c]);
            }
        }
        ops_compare_double("d_first", dx, dy, s->nedge, DGNN_REAL_BITS);
    } else {
        REAL(ops_compare)(s, "d_state", x->d_state, y->d_state,
                          (struct REAL(ops_compared)){s->nedge, s->e, s->e, OPS_COLUMNS_E});
    }
    if (p->nodes) {
        for (int64_t c = c0; c < c1; c++) {
            if (REAL(ops_true_edge)(s, c)) {
                REAL(ops_compare)(s, "d_centre", x->d_centre + c, y->d_centre + c,
                                  (struct REAL(ops_compared)){s->ncentre, width, 1, -1});
                REAL(ops_compare)(s, "d_other", x->d_neighbour_part + c, y->d_neighbour_part + c,
                                  (struct REAL(ops_compared)){s->nnode, width, 1, -1});
            }
        }
        REAL(ops_compare)(s, "d_node", x->d_node, y->d_node,
                          (struct REAL(ops_compared)){s->nnode, s->n, s->n_real, -1});
    }
}

/* ---------------------------------------------------------------- angles */

struct REAL(ops_angle_options) {
    int with_edge, with_angle, first, keep, nodes, given, edge_given;
};

__attribute__((unused)) static struct REAL(dgnn_angle_block)
    REAL(ops_angle_block)(const struct REAL(ops_case) * s, const struct REAL(dgnn_repflow_edges) * edges,
                          const struct REAL(ops_angle_options) * p, const struct REAL(ops_output) * o,
                          real *next_angle)
{
    return (struct REAL(dgnn_angle_block)){.edges = edges,
                                           .layer = &s->layer,
                                           .with_edge = p->with_edge,
                                           .with_angle = p->with_angle,
                                           .first_weight = p->first ? s->first_angle : NULL,
                                           .centre = s->angle_centre,
                                           .centre_stride = s->angle_stride,
                                           .edge_state = s->edge_state,
                                           .state = p->first ? NULL : s->angle_state,
                                           .pre = p->keep ? o->pre : NULL,
                                           .angle_linear2_pre = o->angle_linear2_pre,
                                           .next_edge = o->next,
                                           .next = next_angle,
                                           .d_next_edge = p->with_edge ? s->d_next : NULL,
                                           .d_angle_given = p->given,
                                           .d_angle = o->d_angle,
                                           .d_edge_given = p->edge_given,
                                           .d_edge_state = o->d_state,
                                           .d_centre = p->nodes ? o->d_centre : NULL,
                                           .d_centre_stride = s->angle_stride};
}

__attribute__((unused)) static void REAL(ops_run_angles)(struct REAL(ops_case) * s,
                                                         const struct REAL(dgnn_ops) * ops,
                                                         const struct REAL(ops_angle_options) * p,
                                                         struct REAL(ops_output) * o, real *next_angle)
{
    struct REAL(dgnn_repflow_edges) edges = REAL(ops_edges)(s, o);
    struct REAL(dgnn_angle_block) b = REAL(ops_angle_block)(s, &edges, p, o, next_angle);
    void *scratch = dgnn_alloc(ops->repflow_scratch(&edges, &s->layer), 1);
    CHECK(scratch != NULL);
    ops->angle_forward(&b, 0, 4, scratch);
    ops->angle_forward(&b, 4, s->ncentre, scratch);
    ops->angle_backward(&b, 0, 2, scratch);
    ops->angle_backward(&b, 2, s->ncentre, scratch);
    dgnn_alloc_free(scratch);
}

__attribute__((unused)) static void REAL(ops_compare_angles)(struct REAL(ops_case) * s,
                                                             const struct REAL(ops_angle_options) * p,
                                                             const struct REAL(ops_output) * x,
                                                             const struct REAL(ops_output) * y,
                                                             const real *next_x, const real *next_y)
{
    int64_t c0 = p->with_edge ? 0 : s->e, c1 = p->with_angle ? s->e + s->a : s->e;
    if (p->with_edge) {
        REAL(ops_compare)(s, "next_edge", x->next, y->next,
                          (struct REAL(ops_compared)){s->nedge, s->e, s->e, OPS_COLUMNS_E});
        ops_compare_double("d_angle_switch", x->d_angle_switch, y->d_angle_switch, s->nedge, DGNN_REAL_BITS);
    }
    if (p->with_angle) {
        REAL(ops_compare)(s, "next angle", next_x, next_y,
                          (struct REAL(ops_compared)){s->nangle, s->a, s->a_real, -1});
    }
    if (p->first) {
        ops_compare_double("d_unit", x->d_unit, y->d_unit, 3 * s->nedge, DGNN_REAL_BITS);
    } else {
        REAL(ops_compare)(s, "d_angle", x->d_angle, y->d_angle,
                          (struct REAL(ops_compared)){s->nangle, s->a, s->a_real, -1});
    }
    REAL(ops_compare)(s, "d_edge_state", x->d_state, y->d_state,
                      (struct REAL(ops_compared)){s->nedge, s->e, s->e, OPS_COLUMNS_E});
    for (int64_t c = c0; c < c1 && p->nodes; c++) {
        if (REAL(ops_true_angle)(s, c)) {
            REAL(ops_compare)(s, "angle d_centre", x->d_centre + c, y->d_centre + c,
                              (struct REAL(ops_compared)){s->ncentre, s->angle_stride, 1, -1});
        }
    }
}
