/* The angles of a RepFlow layer: included by ops/vector/vector_repflow_body.h. */

/* ---------------------------------------------------------------- angles, forward */

INLINE void V(angle_columns)(const struct REAL(dgnn_angle_block) * b, int64_t *c0, int64_t *c1)
{
    *c0 = b->with_edge ? 0 : b->layer->e;
    *c1 = b->with_angle ? b->layer->e + b->layer->a : b->layer->e;
}

/* The product of layer 0's angle weight: a row that the cosine then multiplies. */
static void V(angle_first)(const struct REAL(dgnn_angle_block) * b, const struct V(scratch) * scratch)
{
    if (b->first_weight) {
        V(vector_product)(1, b->first_weight, 0, &b->layer->angle, NULL, scratch->first, 0, 0);
    }
}

/* What the edges (i, j) and (i, k) give to every angle of the centre. */
static void V(angle_pairs)(const struct REAL(dgnn_angle_block) * b, int64_t i,
                           const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t w = b->layer->e + b->layer->a, c0, c1;
    V(angle_columns)(b, &c0, &c1);
    memcpy(scratch->start, b->centre + i * b->centre_stride, sizeof(real) * (size_t)w);
    memset(scratch->start + w, 0, sizeof(real) * (size_t)w);
    struct V(product) p = {.nrow = g->angle_count[i],
                           .rows = b->edge_state + g->first[i] * b->layer->e,
                           .row_stride = b->layer->e,
                           .depth = b->layer->pair.nrow,
                           .w = b->layer->pair.data,
                           .w_stride = b->layer->pair.stride,
                           .common = scratch->start,
                           .out = scratch->pair_projection,
                           .out_stride = 2 * w};
    V(columns)(&p, c0, c1);
    V(columns)(&p, w + c0, w + c1);
}

/* Rows (j, k) .. (j, k + nrow - 1) before the activation, into out. */
INLINE void V(angle_pre)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                         int64_t nrow, const struct V(scratch) * scratch, real *out)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t w = b->layer->e + b->layer->a, row = g->angle_first[i] + j * g->angle_count[i] + k, c0, c1;
    int first = b->first_weight != NULL;
    V(angle_columns)(b, &c0, &c1);
    struct V(product) p = {.nrow = nrow,
                           .rows = first ? g->cosine + row : b->state + row * b->layer->a,
                           .row_stride = first ? 1 : b->layer->a,
                           .depth = first ? 1 : b->layer->angle.nrow,
                           .w = first ? scratch->first : b->layer->angle.data,
                           .w_stride = b->layer->angle.stride,
                           .common = scratch->pair_projection + j * 2 * w,
                           .each = scratch->pair_projection + k * 2 * w + w,
                           .each_stride = 2 * w,
                           .out = out,
                           .out_stride = w};
    V(columns)(&p, c0, c1);
}

/* reduced_j += sum over the rows of asw_k act(pre). Asks for the rows of features to come. */
INLINE void V(angle_reduce)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                            const struct REAL(dgnn_angle_block) * b, int64_t row, int64_t nrow,
                            const real *pre, const real *weight, real *reduced)
{
    const int64_t e = b->layer->e, a = b->layer->a, w = e + a, asked = b->first_weight ? 0 : a;
    const real *ahead = asked ? b->state + (row + V(AHEAD)) * a : NULL;
    for (int64_t c = 0; c < e; c += LANES) {
        V(vec) sum = V(load)(reduced + c), slope;
        for (int64_t r = 0; r < nrow; r++) {
            if (c < asked) {
                __builtin_prefetch(ahead + r * a + c);
            }
            sum += weight[r] * V(apply)(kind, act, V(load)(pre + r * w + c), &slope);
        }
        V(store)(reduced + c, sum);
    }
}

/* next = keep state + weight act(pre); pre becomes its slope, which is all that backward needs of it. */
INLINE void V(angle_self)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                          const struct REAL(dgnn_angle_block) * b, int64_t row, int64_t nrow, real *pre)
{
    const int64_t e = b->layer->e, a = b->layer->a, w = e + a;
    const real *state = b->first_weight ? NULL : b->state + row * a, *cosine = b->edges->cosine + row;
    const real keep = b->layer->keep_angle;
    real *next = b->next + row * a;
    for (int64_t c = 0; c < a; c += LANES) {
        V(vec) weight = V(load)(b->layer->weight_angle + c), slope;
        V(vec) first = state ? weight : V(load)(b->first_weight + c);
        for (int64_t r = 0; r < nrow; r++) {
            V(vec) value = V(apply)(kind, act, V(load)(pre + r * w + e + c), &slope);
            V(vec) old = state ? V(load)(state + r * a + c) : cosine[r] * first;
            V(store)(next + r * a + c, keep * old + weight * value);
            V(store)(pre + r * w + e + c, slope);
        }
    }
}

INLINE void V(angle_tile)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                          const struct REAL(dgnn_angle_block) * b, int64_t row, int64_t nrow, real *pre,
                          const real *weight, real *reduced)
{
    if (b->with_edge) {
        V(angle_reduce)(kind, act, b, row, nrow, pre, weight, reduced);
    }
    if (b->with_angle) {
        V(angle_self)(kind, act, b, row, nrow, pre);
    }
}

/* Columns [c0, c1) of rows of a tile into memory that is not read again soon. */
INLINE void V(keep_rows)(const real *from, int64_t nrow, int64_t width, int64_t c0, int64_t c1, real *to)
{
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = r * width + c0; c < r * width + c1; c += LANES) {
            VECTOR_STREAM(to + c, V(load)(from + c));
        }
    }
}

/* Second linear of the angles' message, and its share of the next edge features. */
static void V(angle_linear2)(const struct REAL(dgnn_angle_block) * b, int64_t i,
                             const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, nangle_linear2 = g->angle_linear2_first[i + 1] - g->angle_linear2_first[i];
    real *pre = b->angle_linear2_pre ? b->angle_linear2_pre + g->angle_linear2_first[i] * e
        : scratch->angle_linear2, *value = scratch->reduced;
    V(vector_product)(nangle_linear2, scratch->reduced, e, &b->layer->angle_linear2,
                      b->layer->angle_linear2_bias, pre, e, 0);
    V(vector_activate)(&b->layer->activation, nangle_linear2 * e, pre, value, NULL);
    for (int64_t j = 0; j < nangle_linear2; j++) {
        real *next = b->next_edge + (g->first[i] + j) * e;
        for (int64_t c = 0; c < e; c += LANES) {
            V(vec) message = V(load)(b->layer->weight_edge_angle + c) * V(load)(value + j * e + c);
            V(store)(next + c, V(load)(next + c) + message);
        }
    }
}

INLINE void V(angle_centre)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                            const struct REAL(dgnn_angle_block) * b, int64_t i,
                                const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, w = e + b->layer->a, count = g->angle_count[i], c0, c1;
    const real *asw = g->angle_switch + g->first[i];
    V(angle_columns)(b, &c0, &c1);
    for (int64_t j = 0; j < count; j++) {
        real *reduced = scratch->reduced + j * e;
        memset(reduced, 0, sizeof(real) * (size_t)e);
        for (int64_t k = 0; k < count; k += V(TILE)) {
            int64_t nrow = count - k < V(TILE) ? count - k : V(TILE), row = g->angle_first[i] + j * count + k;
            V(angle_pre)(b, i, j, k, nrow, scratch, scratch->tile);
#define VECTOR_CALL_TILE(kind) V(angle_tile)(kind, act, b, row, nrow, scratch->tile, asw + k, reduced)
            VECTOR_TILE(kind, V(all_below_threshold)(act, nrow, scratch->tile, w, c0, c1), VECTOR_CALL_TILE)
#undef VECTOR_CALL_TILE
            if (b->pre) {
                V(keep_rows)(scratch->tile, nrow, w, c0, c1, b->pre + row * w);
            }
        }
        real factor = asw[j] * g->angle_scale;
        for (int64_t c = 0; c < e; c += LANES) {
            V(store)(reduced + c, factor * V(load)(reduced + c));
        }
    }
}

static void V(vector_angle_forward)(const struct REAL(dgnn_angle_block) * b, int64_t begin, int64_t end,
                                    void *memory)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e;
    struct dgnn_activation act = b->layer->activation; /* a copy that no store can change */
    struct V(scratch) scratch;
    V(lay)(memory, g, b->layer, &scratch);
    V(angle_first)(b, &scratch);
    for (int64_t i = begin; i < end; i++) {
        int64_t count = g->angle_count[i],
            nangle_linear2 = g->angle_linear2_first[i + 1] - g->angle_linear2_first[i];
        V(angle_pairs)(b, i, &scratch);
#define VECTOR_CALL(kind) V(angle_centre)(kind, &act, b, i, &scratch)
        VECTOR_DISPATCH(b->layer->activation.kind, VECTOR_CALL)
#undef VECTOR_CALL
        if (b->with_edge) {
            if (nangle_linear2 > count) { /* edges without angles go in as they are */
                memcpy(scratch.reduced + count * e, b->edge_state + (g->first[i] + count) * e,
                       sizeof(real) * (size_t)((nangle_linear2 - count) * e));
            }
            V(angle_linear2)(b, i, &scratch);
        }
    }
}

/* ---------------------------------------------------------------- angles, backward */

/* d_reduced of each angle edge, times angle_scale; edges without angles get theirs directly. */
static void V(angle_d_linear2)(const struct REAL(dgnn_angle_block) * b, int64_t i,
                               const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t e = b->layer->e, nangle_linear2 = g->angle_linear2_first[i + 1] - g->angle_linear2_first[i],
        count = g->angle_count[i];
    const real *pre = b->angle_linear2_pre + g->angle_linear2_first[i] * e, *d_next = b->d_next_edge
        + g->first[i] * e;
    V(vector_activate)(&b->layer->activation, nangle_linear2 * e, pre, scratch->reduced,
                       scratch->angle_linear2);
    for (int64_t j = 0; j < nangle_linear2; j++) {
        real factor = j < count ? g->angle_scale : 1;
        for (int64_t c = 0; c < e; c += LANES) {
            real *d = scratch->angle_linear2 + j * e + c;
            V(store)(d, factor * V(load)(b->layer->weight_edge_angle + c) * V(load)(d_next + j * e + c) *
                            V(load)(d));
        }
    }
    V(vector_product)(count, scratch->angle_linear2, e, &b->layer->angle_linear2_transposed, NULL,
                      scratch->reduced, e, 0);
    V(vector_product)(nangle_linear2 - count, scratch->angle_linear2 + count * e, e,
                      &b->layer->angle_linear2_transposed, NULL,
                      b->d_edge_state + (g->first[i] + count) * e, e, b->d_edge_given);
}

/* Gradient of pre's edge part for the rows of one j, and what the switches get. */
INLINE void V(angle_d_edge)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                            const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                            int64_t nrow, const real *pre, const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    const int64_t e = b->layer->e, w = e + b->layer->a, first = g->first[i];
    const real *d_reduced = scratch->reduced + j * e, *sk = g->angle_switch + first + k,
               sj = g->angle_switch[first + j];
    real *d_tile = scratch->d_tile;
    double *d_switch = g->d_angle_switch + first, to_j = 0;
    V(vec) sums[V(TILE)] = {{0}};
    real totals[V(TILE)];
    for (int64_t r = 0; r < nrow; r++) {
        const real both = sj * sk[r];
        V(vec) sum = {0}, slope;
        for (int64_t c = 0; c < e; c += LANES) {
            V(vec) d = V(load)(d_reduced + c);
            __builtin_prefetch(pre + (r + V(AHEAD)) * w + c);
            sum += d * V(apply)(kind, act, V(load)(pre + r * w + c), &slope);
            V(store)(d_tile + r * w + c, both * d * slope);
        }
        sums[r] = sum;
    }
    for (int64_t r = 0; r < nrow; r += 4) {
        V(sum_four)(sums + r, totals + r);
    }
    for (int64_t r = 0; r < nrow; r++) {
        double total = (double)totals[r];
        to_j += total * (double)sk[r];
        d_switch[k + r] += total * (double)sj;
    }
    d_switch[j] += to_j;
}

INLINE void V(angle_d_self)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                            const struct REAL(dgnn_angle_block) * b, int64_t row, int64_t nrow,
                            const real *pre, const struct V(scratch) * scratch)
{
    const int64_t e = b->layer->e, a = b->layer->a, w = e + a;
    const int kept = b->pre != NULL;
    const real *d_angle = b->d_angle_given ? b->d_angle + row * a : NULL;
    real *d_tile = scratch->d_tile + e;
    for (int64_t c = 0; c < a; c += LANES) {
        V(vec) weight = V(load)(b->layer->weight_angle + c), slope, zero = {0};
        for (int64_t r = 0; r < nrow; r++) {
            __builtin_prefetch(pre + (r + V(AHEAD)) * w + e + c);
            slope = V(load)(pre + r * w + e + c);
            if (!kept) {
                V(apply)(kind, act, slope, &slope);
            }
            V(vec) d = d_angle ? V(load)(d_angle + r * a + c) : zero;
            V(store)(d_tile + r * w + c, d * weight * slope);
        }
    }
}

/* d_pair_projection: row j sums the tile's rows, rows k take one each. */
INLINE void V(angle_d_pairs)(const struct REAL(dgnn_angle_block) * b, int64_t j, int64_t k, int64_t nrow,
                             const struct V(scratch) * scratch)
{
    int64_t w = b->layer->e + b->layer->a, c0, c1;
    V(angle_columns)(b, &c0, &c1);
    const real *d_tile = scratch->d_tile;
    real *to_j = scratch->d_pair_projection + j * 2 * w, *to_k = scratch->d_pair_projection + k * 2 * w + w;
    for (int64_t c = c0; c < c1; c += LANES) {
        V(vec) sum = V(load)(to_j + c);
        for (int64_t r = 0; r < nrow; r++) {
            V(vec) d = V(load)(d_tile + r * w + c);
            V(store)(to_k + r * 2 * w + c, V(load)(to_k + r * 2 * w + c) + d);
            sum += d;
        }
        V(store)(to_j + c, sum);
    }
}

/* d_angle = keep d_angle + d_pre W^T for the tile's rows. */
INLINE void V(angle_d_state)(const struct REAL(dgnn_angle_block) * b, int64_t row, int64_t nrow,
                             const struct V(scratch) * scratch)
{
    int64_t a = b->layer->a, w = b->layer->e + a, c0, c1;
    real keep = b->with_angle ? b->layer->keep_angle : 1, *d_angle = b->d_angle + row * a;
    V(angle_columns)(b, &c0, &c1);
    for (int64_t c = 0; c < nrow * a && b->d_angle_given && keep != 1; c += LANES) {
        V(store)(d_angle + c, keep * V(load)(d_angle + c));
    }
    struct V(product) p = {.nrow = nrow,
                           .rows = scratch->d_tile + c0,
                           .row_stride = w,
                           .depth = c1 - c0,
                           .w = b->layer->angle_transposed.data + c0 * b->layer->angle_transposed.stride,
                           .w_stride = b->layer->angle_transposed.stride,
                           .each = b->d_angle_given ? d_angle : NULL,
                           .each_stride = a,
                           .out = d_angle,
                           .out_stride = a};
    V(columns)(&p, 0, a);
}

/* Layer 0: the gradient goes to the cosine and on to the unit vectors. */
INLINE void V(angle_d_cosine)(const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                              int64_t nrow, const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t a = b->layer->a, w = b->layer->e + a, row = g->angle_first[i] + j * g->angle_count[i] + k, c0, c1;
    real keep = b->with_angle ? b->layer->keep_angle : 1;
    const real *d_tile = scratch->d_tile, *first = scratch->first, *first_weight = b->first_weight;
    const real *d_angle = b->d_angle_given ? b->d_angle + row * a : NULL;
    const double *unit_j = g->unit + 3 * (g->first[i] + j), *unit_k = g->unit + 3 * (g->first[i] + k);
    double *d_unit_j = g->d_unit + 3 * (g->first[i] + j), *d_unit_k = g->d_unit + 3 * (g->first[i] + k);
    double scale = g->cosine_scale, to_j[3] = {0};
    V(vec) sums[V(TILE)] = {{0}};
    real totals[V(TILE)];
    V(angle_columns)(b, &c0, &c1);
    for (int64_t r = 0; r < nrow; r++) {
        V(vec) sum = {0};
        for (int64_t c = c0; c < c1; c += LANES) {
            sum += V(load)(d_tile + r * w + c) * V(load)(first + c);
        }
        for (int64_t c = 0; c < a && d_angle; c += LANES) {
            sum += keep * V(load)(d_angle + r * a + c) * V(load)(first_weight + c);
        }
        sums[r] = sum;
    }
    for (int64_t r = 0; r < nrow; r += 4) {
        V(sum_four)(sums + r, totals + r);
    }
    for (int64_t r = 0; r < nrow; r++) {
        double d = (double)totals[r] * scale;
        for (int x = 0; x < 3; x++) {
            to_j[x] += d * unit_k[3 * r + x];
            d_unit_k[3 * r + x] += d * unit_j[x];
        }
    }
    for (int x = 0; x < 3; x++) {
        d_unit_j[x] += to_j[x];
    }
}

/* Gradients of pre, that is of the activations' arguments. */
INLINE void V(angle_d_tile)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                            const struct REAL(dgnn_angle_block) * b, int64_t i, int64_t j, int64_t k,
                            int64_t nrow, const real *pre, const struct V(scratch) * scratch)
{
    if (b->with_edge) {
        V(angle_d_edge)(kind, act, b, i, j, k, nrow, pre, scratch);
    }
    if (b->with_angle) {
        V(angle_d_self)(kind, act, b, b->edges->angle_first[i] + j * b->edges->angle_count[i] + k, nrow, pre,
                        scratch);
    }
}

INLINE void V(angle_centre_backward)(enum dgnn_activation_kind kind, const struct dgnn_activation *act,
                                     const struct REAL(dgnn_angle_block) * b, int64_t i,
                                     const struct V(scratch) * sides)
{
    const struct V(scratch) *scratch = sides;
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t w = b->layer->e + b->layer->a, count = g->angle_count[i], c0, c1;
    V(angle_columns)(b, &c0, &c1);
    c1 = b->pre && c1 > b->layer->e ? b->layer->e : c1; /* what is kept beyond is slopes */
    for (int64_t j = 0; j < count; j++) {
        for (int64_t k = 0; k < count; k += V(TILE)) {
            int64_t nrow = count - k < V(TILE) ? count - k : V(TILE), row = g->angle_first[i] + j * count + k;
            const real *pre = b->pre ? b->pre + row * w : scratch->tile;
            if (!b->pre) {
                V(angle_pre)(b, i, j, k, nrow, scratch, scratch->tile);
            }
            for (int s = 0; s <= g->columns; s++) {
#define VECTOR_CALL_TILE(kind) V(angle_d_tile)(kind, act, b + s, i, j, k, nrow, pre, sides + s)
                VECTOR_TILE(kind, V(all_below_threshold)(act, nrow, pre, w, c0, c1), VECTOR_CALL_TILE)
#undef VECTOR_CALL_TILE
                V(angle_d_pairs)(b + s, j, k, nrow, sides + s);
                if (b->first_weight) {
                    V(angle_d_cosine)(b + s, i, j, k, nrow, sides + s);
                } else {
                    V(angle_d_state)(b + s, row, nrow, sides + s);
                }
            }
        }
    }
}

/* d_pair_projection goes on to the edges and, summed over j, to the centre. */
static void V(angle_d_edges)(const struct REAL(dgnn_angle_block) * b, int64_t i,
                             const struct V(scratch) * scratch)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t w = b->layer->e + b->layer->a, count = g->angle_count[i], e = b->layer->e, c0, c1;
    int64_t seen = b->layer->pair_transposed.ncol;
    V(angle_columns)(b, &c0, &c1);
    for (int64_t j = 0; j < count && seen < e && !b->d_edge_given; j++) {
        memset(b->d_edge_state + (g->first[i] + j) * e + seen, 0, sizeof(real) * (size_t)(e - seen));
    }
    for (int half = 0; half < 2; half++) {
        struct REAL(dgnn_matrix) part = b->layer->pair_transposed;
        part.data += (half * w + c0) * part.stride;
        part.nrow = c1 - c0;
        V(vector_product)(count, scratch->d_pair_projection + half * w + c0, 2 * w, &part, NULL,
                          b->d_edge_state + g->first[i] * e, e, b->d_edge_given || half);
    }
    for (int64_t c = c0; c < c1 && b->d_centre; c += LANES) {
        V(vec) sum = {0};
        for (int64_t j = 0; j < count; j++) {
            sum += V(load)(scratch->d_pair_projection + j * 2 * w + c);
        }
        V(store)(b->d_centre + i * b->d_centre_stride + c, sum);
    }
}

static void V(vector_angle_backward)(const struct REAL(dgnn_angle_block) * b, int64_t begin, int64_t end,
                                     void *memory)
{
    const struct REAL(dgnn_repflow_edges) *g = b->edges;
    int64_t w = b->layer->e + b->layer->a;
    struct dgnn_activation act = b->layer->activation; /* a copy that no store can change */
    struct V(scratch) sides[4];
    V(lay_sides)(memory, g, b->layer, sides);
    V(angle_first)(b, sides);
    for (int64_t i = begin; i < end; i++) {
        if (!b->pre) {
            V(angle_pairs)(b, i, sides);
        }
        for (int k = 0; k <= g->columns; k++) {
            if (b->with_edge) {
                V(angle_d_linear2)(b + k, i, sides + k);
            }
            memset(sides[k].d_pair_projection, 0, sizeof(real) * (size_t)(g->angle_count[i] * 2 * w));
        }
#define VECTOR_CALL(kind) V(angle_centre_backward)(kind, &act, b, i, sides)
        VECTOR_DISPATCH(b->layer->activation.kind, VECTOR_CALL)
#undef VECTOR_CALL
        for (int k = 0; k <= g->columns; k++) {
            V(angle_d_edges)(b + k, i, sides + k);
        }
    }
}
