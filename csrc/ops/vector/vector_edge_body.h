/* The edges of a RepFlow layer: included by ops/vector/vector_repflow_body.h. */

/* ---------------------------------------------------------------- edges, forward */

INLINE void V(edge_columns)(const struct REAL(dgnn_edge_block) * b, int64_t *c0, int64_t *c1)
{
    *c0 = b->with_node ? 0 : b->layer->m;
    *c1 = b->with_edge ? b->layer->m + b->layer->e : b->layer->m;
}

/* Layer 0's products of edge weight and edge bias: its edge rows are then sums of two rows. */
static void V(edge_first)(const struct REAL(dgnn_edge_block) * b, const struct V(scratch) * scratch)
{
    if (b->first_input) {
        V(vector_product)(1, b->first_weight, 0, &b->layer->edge, NULL, scratch->edge_first, 0, 0);
        V(vector_product)(1, b->first_bias, 0, &b->layer->edge, NULL, scratch->edge_bias, 0, 0);
    }
}

/* The row that all edges of the centre start from. */
static const real *V(edge_common)(const struct REAL(dgnn_edge_block) * b, int64_t i,
                                  const struct V(scratch) * scratch)
{
    const real *centre = b->centre + i * b->centre_stride;
    if (!b->first_input) {
        return centre;
    }
    for (int64_t c = 0; c < b->layer->m + b->layer->e; c += LANES) {
        V(store)(scratch->common + c, V(load)(centre + c) + V(load)(scratch->edge_bias + c));
    }
    return scratch->common;
}

/* Rows of the edges [edge, edge + nrow) before the activation, into out. */
INLINE void V(edge_pre)(const struct REAL(dgnn_edge_block) * b, const real *common, int64_t edge,
                        int64_t nrow, const struct V(scratch) * scratch, real *out)
{
    int64_t c0, c1;
    int first = b->first_input != NULL;
    V(edge_columns)(b, &c0, &c1);
    struct V(product) p = {.nrow = nrow,
                           .rows = first ? b->first_input + edge : b->state + edge * b->layer->e,
                           .row_stride = first ? 1 : b->layer->e,
                           .depth = first ? 1 : b->layer->edge.nrow,
                           .w = first ? scratch->edge_first : b->layer->edge.data,
                           .w_stride = b->layer->edge.stride,
                           .common = common,
                           .each = b->neighbour_part,
                           .each_index = b->edges->neighbour + edge,
                           .each_stride = b->neighbour_part_stride,
                           .out = out,
                           .out_stride = b->layer->m + b->layer->e};
    V(columns)(&p, c0, c1);
}

/* message += sw act(pre) / sel over the rows. */
INLINE void V(edge_message)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                            const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge, int64_t nrow,
                            const real *pre)
{
    const int64_t m = b->layer->m, wide = m + b->layer->e;
    const real *sw = b->edges->edge_switch + edge, scale = b->edges->message_scale;
    real *message = b->message + i * m;
    for (int64_t c = 0; c < m; c += LANES) {
        V(vec) sum = {0}, slope;
        for (int64_t r = 0; r < nrow; r++) {
            sum += sw[r] * V(apply)(kind, act, V(load)(pre + r * wide + c), &slope);
        }
        V(store)(message + c, V(load)(message + c) + scale * sum);
    }
}

/* The edge's own update; pre becomes its slope, as for angles. */
INLINE void V(edge_self)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                         const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge, int64_t nrow,
                         real *pre)
{
    const int64_t in_angles = b->edges->first[i] + b->edges->angle_count[i] - edge;
    const int64_t m = b->layer->m, e = b->layer->e, wide = m + e;
    const real *state = b->state + edge * e, keep = b->layer->keep_edge;
    real *next = b->next + edge * e;
    for (int64_t c = 0; c < e; c += LANES) {
        V(vec) weight = V(load)(b->layer->weight_edge_self + c), without_angle_term = {0}, slope;
        if (b->without_angle_term) {
            without_angle_term = V(load)(b->without_angle_term + c);
        }
        for (int64_t r = 0; r < nrow; r++) {
            V(vec) value = V(apply)(kind, act, V(load)(pre + r * wide + m + c), &slope);
            V(vec) update = keep * V(load)(state + r * e + c) + weight * value;
            V(store)(next + r * e + c, r < in_angles ? update : update + without_angle_term);
            V(store)(pre + r * wide + m + c, slope);
        }
    }
}

INLINE void V(edge_tile)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                         const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge, int64_t nrow,
                         real *pre)
{
    if (b->with_node) {
        V(edge_message)(kind, act, b, i, edge, nrow, pre);
    }
    if (b->with_edge) {
        V(edge_self)(kind, act, b, i, edge, nrow, pre);
    }
}

/* Two vectors of columns of the moments: sums over all edges of sw h (e_j | n_j), in registers. */
INLINE void V(edge_moment_columns)(const int N, const struct REAL(dgnn_edge_block) * b, int64_t i,
                                   const real *rows, int64_t stride, int by_node, real *moment)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    V(vec) sum[3][2] = {{{0}}};
    for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
        const real *row = rows + (by_node ? g->neighbour[j] : j) * stride;
        real factor = g->edge_switch[j] * g->moment_scale;
        for (int d = 0; d < 3; d++) {
            V(vec) f = V(splat)(factor * g->direction[3 * j + d]);
            for (int n = 0; n < N; n++) {
                sum[d][n] += f * V(load)(row + n * LANES);
            }
        }
    }
    for (int d = 0; d < 3; d++) {
        for (int n = 0; n < N; n++) {
            V(store)(moment + d * (b->layer->e + b->layer->n) + n * LANES, sum[d][n]);
        }
    }
}

static void V(edge_moment)(const struct REAL(dgnn_edge_block) * b, int64_t i)
{
    int64_t e = b->layer->e, n = b->layer->n;
    real *moment = b->moment + i * 3 * (e + n);
    for (int part = 0; part < 2; part++) {
        const real *rows = part ? b->node : b->state;
        int64_t width = part ? n : e, stride = part ? b->node_stride : e, c = 0;
        for (; c + 2 * LANES <= width; c += 2 * LANES) {
            V(edge_moment_columns)(2, b, i, rows + c, stride, part, moment + (part ? e : 0) + c);
        }
        for (; c < width; c += LANES) {
            V(edge_moment_columns)(1, b, i, rows + c, stride, part, moment + (part ? e : 0) + c);
        }
    }
}

INLINE void V(edge_centre)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                           const struct REAL(dgnn_edge_block) * b, int64_t i,
                               const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t wide = b->layer->m + b->layer->e, c0, c1;
    const real *common = V(edge_common)(b, i, scratch);
    V(edge_columns)(b, &c0, &c1);
    if (b->with_node) {
        memset(b->message + i * b->layer->m, 0, sizeof(real) * (size_t)b->layer->m);
    }
    for (int64_t j = g->first[i]; j < g->first[i + 1]; j += V(TILE)) {
        int64_t nrow = g->first[i + 1] - j < V(TILE) ? g->first[i + 1] - j : V(TILE);
        V(edge_pre)(b, common, j, nrow, scratch, scratch->tile);
#define VECTOR_CALL_TILE(kind) V(edge_tile)(kind, act, b, i, j, nrow, scratch->tile)
        VECTOR_TILE(kind, V(all_below_threshold)(act, nrow, scratch->tile, wide, c0, c1), VECTOR_CALL_TILE)
#undef VECTOR_CALL_TILE
        if (b->pre) {
            V(keep_rows)(scratch->tile, nrow, wide, c0, c1, b->pre + j * wide);
        }
    }
}

static void V(vector_edge_forward)(const struct REAL(dgnn_edge_block) * b, int64_t begin, int64_t end,
                                   void *memory)
{
    struct dgnn_activation act = b->layer->activation; /* a copy that no store can change */
    struct V(scratch) scratch;
    V(lay)(memory, b->edges, b->layer, &scratch);
    V(edge_first)(b, &scratch);
    for (int64_t i = begin; i < end; i++) {
#define VECTOR_CALL(kind) V(edge_centre)(kind, &act, b, i, &scratch)
        VECTOR_DISPATCH(b->layer->activation.kind, VECTOR_CALL)
#undef VECTOR_CALL
        if (b->with_node) {
            V(edge_moment)(b, i);
        }
    }
}

/* ---------------------------------------------------------------- edges, backward */

/* Gradient of pre for the rows, and what the switch gets from the message. room->d_row: d_message / sel. */
INLINE void V(edge_d_pre)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                          const struct REAL(dgnn_edge_block) * b, int64_t edge, int64_t nrow, const real *pre,
                          const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    const int64_t m = b->layer->m, e = b->layer->e, wide = m + e;
    const int64_t node_end = b->with_node ? m : 0, edge_end = b->with_edge ? e : 0;
    const int kept = b->pre != NULL;
    const real *d_row = scratch->d_row, *d_next = b->d_next + edge * e, *weight = b->layer->weight_edge_self;
    const real *sw = g->edge_switch + edge;
    double *d_switch = g->d_edge_switch + edge;
    real *d_tile = scratch->d_tile, totals[V(TILE)];
    V(vec) sums[V(TILE)] = {{0}};
    for (int64_t r = 0; r < nrow; r++) {
        V(vec) sum = {0}, slope;
        for (int64_t c = 0; c < node_end; c += LANES) {
            V(vec) d = V(load)(d_row + c);
            __builtin_prefetch(pre + (r + V(AHEAD)) * wide + c);
            sum += d * V(apply)(kind, act, V(load)(pre + r * wide + c), &slope);
            V(store)(d_tile + r * wide + c, sw[r] * d * slope);
        }
        sums[r] = sum;
        for (int64_t c = 0; c < edge_end; c += LANES) {
            slope = V(load)(pre + r * wide + m + c);
            if (!kept) {
                V(apply)(kind, act, slope, &slope);
            }
            V(store)(d_tile + r * wide + m + c, V(load)(d_next + r * e + c) * V(load)(weight + c) * slope);
        }
    }
    for (int64_t r = 0; r < nrow; r += 4) {
        V(sum_four)(sums + r, totals + r);
    }
    for (int64_t r = 0; r < nrow; r++) {
        d_switch[r] += (double)totals[r];
    }
}

/* Of a moment's side: the component of each row's displacement, 3 apart, that it is of. */
INLINE const real *V(edge_displacement)(const struct REAL(dgnn_edge_block) * b, int64_t edge,
                                        const struct V(scratch) * scratch)
{
    return b->edges->displacement + 3 * edge + scratch->side - 1;
}

/* Sums over rows to the centre, and each row to its neighbour. With moves, of a moment's side, the neighbour
 * gets the gradient's tile times displacement too. */
INLINE void V(edge_d_nodes)(const int moves, const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge,
                            int64_t nrow, const struct V(scratch) * scratch)
{
    const real *displacement = moves ? V(edge_displacement)(b, edge, scratch) : NULL,
        *first = scratch->first_tile;
    int64_t wide = b->layer->m + b->layer->e, c0, c1;
    V(edge_columns)(b, &c0, &c1);
    const int32_t *neighbour = b->edges->neighbour + edge;
    const real *d_tile = scratch->d_tile;
    real *centre = b->d_centre + i * wide, *d_neighbour_part = b->d_neighbour_part;
    const int64_t left = b->edges->first[b->edges->ncentre] - edge - 1;
    for (int64_t r = 0; r < nrow; r++) {
        real *other = d_neighbour_part + neighbour[r] * wide;
        const real *ahead = d_neighbour_part + neighbour[r + V(TILE) < left ? r + V(TILE) : left] * wide;
        for (int64_t c = c0; c < c1; c += LANES) {
            __builtin_prefetch(ahead + c, 1);
            V(vec) d = V(load)(d_tile + r * wide + c), moved = d;
            if (moves) {
                moved += displacement[3 * r] * V(load)(first + r * wide + c);
            }
            V(store)(other + c, V(load)(other + c) + moved);
            V(store)(centre + c, V(load)(centre + c) + d);
        }
    }
}

/* The moments' backward for one edge: to its features, its neighbour's, its switch and its direction; with
 * moves as above. */
INLINE void V(edge_d_moment)(const int moves, const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge,
                             const struct V(scratch) * scratch)
{
    const real displacement = moves ? *V(edge_displacement)(b, edge, scratch) : 0;
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, n = b->layer->n, width = e + n, node = g->neighbour[edge];
    const real *d_moment = b->d_moment + i * 3 * width, *state = b->state + edge * e;
    const real *gradient = (b - scratch->side)->d_moment + i * 3 * width;
    const real *node_row = b->node + node * b->node_stride;
    const int first = b->first_input != NULL;
    real scale = g->edge_switch[edge] * g->moment_scale;
    real *d_state = b->d_state + edge * e, *d_node = b->d_node ? b->d_node + node * n : NULL;
    const int64_t left = g->first[g->ncentre] - edge - 1,
                  further = g->neighbour[edge + (left < 4 ? left : 4)];
    const real *node_ahead = b->node + further * b->node_stride,
               *d_ahead = (d_node ? b->d_node : b->node) + further * n;
    V(vec) f[3], sum[4] = {{0}};
    real totals[4];
    for (int d = 0; d < 3; d++) {
        f[d] = V(splat)(scale * g->direction[3 * edge + d]);
    }
    for (int64_t c = 0; c < e; c += LANES) {
        V(vec) x = V(load)(state + c), to = V(load)(d_state + c);
        for (int d = 0; d < 3; d++) {
            V(vec) h = V(load)(d_moment + d * width + c);
            sum[d] += h * x;
            to += f[d] * h;
        }
        if (!first) {
            V(store)(d_state + c, to);
        }
    }
    for (int64_t c = 0; c < n; c += LANES) {
        __builtin_prefetch(node_ahead + c);
        __builtin_prefetch(d_ahead + c, 1);
        V(vec) x = V(load)(node_row + c), to = d_node ? V(load)(d_node + c) : x;
        for (int d = 0; d < 3; d++) {
            V(vec) h = V(load)(d_moment + d * width + e + c);
            sum[d] += h * x;
            if (moves) {
                h += displacement * V(load)(gradient + d * width + e + c);
            }
            to += f[d] * h;
        }
        if (d_node) {
            V(store)(d_node + c, to);
        }
    }
    V(sum_four)(sum, totals);
    for (int d = 0; d < 3; d++) {
        double total = (double)totals[d] * (double)g->moment_scale;
        g->d_edge_switch[edge] += total * (double)g->direction[3 * edge + d];
        g->d_direction[3 * edge + d] += total * (double)g->edge_switch[edge];
    }
}

/* Of the tile's rows, the first ones, that hold a gradient on entry. */
INLINE int64_t V(edge_given)(const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge, int64_t nrow)
{
    int64_t left = b->edges->first[i] + b->edges->angle_count[i] - edge;
    return b->d_state_given == DGNN_EDGES_ALL    ? nrow
           : b->d_state_given == DGNN_EDGES_NONE ? 0
                                                 : (left < 0 ? 0 : left < nrow ? left : nrow);
}

/* d_state += keep d_next + d_pre W^T. */
INLINE void V(edge_d_state)(const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge, int64_t nrow,
                            const struct V(scratch) * scratch)
{
    int64_t e = b->layer->e, wide = b->layer->m + e, given = V(edge_given)(b, i, edge, nrow), c0, c1;
    real *d_state = b->d_state + edge * e;
    V(edge_columns)(b, &c0, &c1);
    const real keep = b->layer->keep_edge, *d_next = b->d_next + edge * e;
    for (int64_t c = 0; c < given * e && b->with_edge; c += LANES) {
        V(store)(d_state + c, V(load)(d_state + c) + keep * V(load)(d_next + c));
    }
    for (int64_t c = given * e; c < nrow * e; c += LANES) {
        V(vec) zero = {0};
        V(store)(d_state + c, b->with_edge ? keep * V(load)(d_next + c) : zero);
    }
    struct V(product) p = {.nrow = nrow,
                           .rows = scratch->d_tile + c0,
                           .row_stride = wide,
                           .depth = c1 - c0,
                           .w = b->layer->edge_transposed.data + c0 * b->layer->edge_transposed.stride,
                           .w_stride = b->layer->edge_transposed.stride,
                           .each = d_state,
                           .each_stride = e,
                           .out = d_state,
                           .out_stride = e};
    V(columns)(&p, 0, e);
}

/* Layer 0: the gradient of the edge input alone, from d_next, d_pre and the moments. */
INLINE void V(edge_d_first)(const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge, int64_t nrow,
                            const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    const int64_t e = b->layer->e, wide = b->layer->m + e, width = e + b->layer->n;
    const real *d_moment = b->d_moment + i * 3 * width, *weight = b->first_weight, keep = b->layer->keep_edge;
    int64_t c0, c1;
    V(edge_columns)(b, &c0, &c1);
    for (int64_t r = V(edge_given)(b, i, edge, nrow); r < nrow; r++) {
        memset(b->d_state + (edge + r) * e, 0, sizeof(real) * (size_t)e);
    }
    for (int64_t r = 0; r < nrow; r++) {
        real scale = b->with_node ? g->edge_switch[edge + r] * g->moment_scale : 0;
        const real *h = g->direction + 3 * (edge + r), *d_next = b->d_next + (edge + r) * e;
        V(vec) sum = {0};
        for (int64_t c = c0; c < c1; c += LANES) {
            sum += V(load)(scratch->d_tile + r * wide + c) * V(load)(scratch->edge_first + c);
        }
        for (int64_t c = 0; c < e; c += LANES) {
            V(vec) d = {0};
            if (b->with_node) {
                d = scale * (h[0] * V(load)(d_moment + c) + h[1] * V(load)(d_moment + width + c) +
                             h[2] * V(load)(d_moment + 2 * width + c));
            }
            if (b->with_edge) {
                d += keep * V(load)(d_next + c);
            }
            sum += d * V(load)(weight + c);
        }
        b->d_first[edge + r] += (double)V(sum)(sum);
    }
}

/* Where a centre's rows begin, for one side. */
INLINE void V(edge_d_begin)(const struct REAL(dgnn_edge_block) * b, int64_t i,
                            const struct V(scratch) * scratch)
{
    int64_t m = b->layer->m, wide = m + b->layer->e, c0, c1;
    V(edge_columns)(b, &c0, &c1);
    for (int64_t c = 0; c < m && b->with_node; c += LANES) {
        V(store)(scratch->d_row + c, b->edges->message_scale * V(load)(b->d_message + i * m + c));
    }
    if (b->d_centre) {
        memset(b->d_centre + i * wide + c0, 0, sizeof(real) * (size_t)(c1 - c0));
    }
}

/* A tile of one side, from d_pre on. */
INLINE void V(edge_d_tile)(const int moves, const struct REAL(dgnn_edge_block) * b, int64_t i, int64_t edge,
                           int64_t nrow, const struct V(scratch) * scratch)
{
    if (b->first_input) {
        V(edge_d_first)(b, i, edge, nrow, scratch);
    } else {
        V(edge_d_state)(b, i, edge, nrow, scratch);
    }
    if (b->d_centre) {
        V(edge_d_nodes)(moves, b, i, edge, nrow, scratch);
    }
    for (int64_t r = 0; r < nrow && b->with_node; r++) {
        V(edge_d_moment)(moves, b, i, edge + r, scratch);
    }
}

INLINE void V(edge_centre_backward)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                                    const struct REAL(dgnn_edge_block) * b, int64_t i,
                                    const struct V(scratch) * sides)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    const struct V(scratch) *scratch = sides;
    int64_t m = b->layer->m, wide = m + b->layer->e, c0, c1;
    V(edge_columns)(b, &c0, &c1);
    const real *common = b->pre ? NULL : V(edge_common)(b, i, scratch);
    for (int k = 0; k <= g->columns; k++) {
        V(edge_d_begin)(b + k, i, sides + k);
    }
    for (int64_t j = g->first[i]; j < g->first[i + 1]; j += V(TILE)) {
        int64_t nrow = g->first[i + 1] - j < V(TILE) ? g->first[i + 1] - j : V(TILE);
        const real *pre = b->pre ? b->pre + j * wide : scratch->tile;
        if (!b->pre) {
            V(edge_pre)(b, common, j, nrow, scratch, scratch->tile);
        }
        for (int k = 0; k <= g->columns; k++) {
#define VECTOR_CALL_TILE(kind) V(edge_d_pre)(kind, act, b + k, j, nrow, pre, sides + k)
            VECTOR_TILE(kind, V(all_below_threshold)(act, nrow, pre, wide, c0, b->pre && c1 > m ? m : c1),
                        VECTOR_CALL_TILE)
#undef VECTOR_CALL_TILE
            if (k) {
                V(edge_d_tile)(1, b + k, i, j, nrow, sides + k);
            } else {
                V(edge_d_tile)(0, b, i, j, nrow, scratch);
            }
        }
    }
}

static void V(vector_edge_backward)(const struct REAL(dgnn_edge_block) * b, int64_t begin, int64_t end,
                                    void *memory)
{
    struct dgnn_activation act = b->layer->activation; /* a copy that no store can change */
    struct V(scratch) sides[4];
    V(lay_sides)(memory, b->edges, b->layer, sides);
    V(edge_first)(b, sides);
    for (int64_t i = begin; i < end; i++) {
#define VECTOR_CALL(kind) V(edge_centre_backward)(kind, &act, b, i, sides)
        VECTOR_DISPATCH(b->layer->activation.kind, VECTOR_CALL)
#undef VECTOR_CALL
    }
}
