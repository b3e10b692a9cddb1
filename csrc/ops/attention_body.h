/* The attention block's body, for any instruction set: plain loops over whole lines, without aliasing. */

#undef REAL_ROOT
#if DGNN_REAL_BITS == 64
#define REAL_ROOT sqrt
#else
#define REAL_ROOT sqrtf
#endif

static inline real REAL(attention_lanes)(const real *lane)
{
    real sum = 0;
    for (int l = 0; l < REAL_LANES; l++) {
        sum += lane[l];
    }
    return sum;
}

/* Sum of a[i] b[i] over whole lines. */
static inline real REAL(attention_dot)(const real *a, const real *b, int64_t padded)
{
    real lane[REAL_LANES] = {0};
    for (int64_t i = 0; i < padded; i += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++) {
            lane[l] += a[i + l] * b[i + l];
        }
    }
    return REAL(attention_lanes)(lane);
}

static inline real REAL(attention_sum)(const real *a, int64_t padded)
{
    real lane[REAL_LANES] = {0};
    for (int64_t i = 0; i < padded; i += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++) {
            lane[l] += a[i + l];
        }
    }
    return REAL(attention_lanes)(lane);
}

static inline void REAL(attention_clear)(int64_t nrow, int64_t width, int64_t stride, real *rows)
{
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = width; c < stride; c++) {
            rows[r * stride + c] = 0;
        }
    }
}

/* A line of to: count numbers of a column of from, then zeros. */
static inline void REAL(attention_turn)(int count, const real *from, int64_t from_stride, real *to)
{
    real line[REAL_LANES] = {0};
    for (int r = 0; r < count; r++) {
        line[r] = from[r * from_stride];
    }
    memcpy(to, line, sizeof(line));
}

/* to[c][r] = from[r][c], in blocks of a line, in the order of the rows that are read; zeros in to's pads. */
static void REAL(attention_transpose)(int64_t nrow, int64_t ncol, const real *from, int64_t from_stride,
                                      real *to, int64_t to_stride)
{
    int64_t whole = nrow / REAL_LANES * REAL_LANES;
    for (int64_t r = 0; r < whole; r += REAL_LANES) {
        for (int64_t c = 0; c < ncol; c++) {
            REAL(attention_turn)(REAL_LANES, from + r * from_stride + c, from_stride, to + c * to_stride + r);
        }
    }
    for (int64_t c = 0; c < ncol && whole < nrow; c++) {
        REAL(attention_turn)((int)(nrow - whole), from + whole * from_stride + c, from_stride,
                             to + c * to_stride + whole);
    }
}

/* Asks for a row that is read soon: what forward kept has left the caches since. */
static inline void REAL(attention_ask)(const real *row, int64_t padded)
{
    for (int64_t c = 0; c < padded; c += REAL_LANES) {
        __builtin_prefetch(row + c);
    }
}

static inline struct REAL(dgnn_matrix)
    REAL(attention_matrix)(int64_t nrow, int64_t ncol, int64_t stride, real *data)
{
    return (struct REAL(dgnn_matrix)){.nrow = nrow, .ncol = ncol, .stride = stride, .data = data};
}

/* ---------------------------------------------------------------- softmax */

/* Rows of pair reals that the softmax works in. */
struct REAL(attention_rows) {
    int64_t pair;
    real *geometry[4];   /* s and d of the keys, zeros in the pads */
    real *d_geometry[4]; /* their gradients */
    real *both, *cosine; /* of one query: s_q s_k and d_q . d_k, or 1; zeros in the pads */
};

static struct REAL(attention_rows)
    REAL(attention_make_rows)(const struct REAL(dgnn_attention_block) * b, int64_t pair, real *scratch)
{
    struct REAL(attention_rows) rows = {.pair = pair};
    for (int64_t i = 0; i < 10 * pair; i++) {
        scratch[i] = 0;
    }
    for (int a = 0; a < 4; a++) {
        const real *from = a ? b->direction + (a - 1) * b->direction_stride : b->edge_switch;
        rows.geometry[a] = scratch + a * pair;
        rows.d_geometry[a] = scratch + (4 + a) * pair;
        memcpy(rows.geometry[a], from, sizeof(real) * (size_t)b->n);
    }
    rows.both = scratch + 8 * pair;
    rows.cosine = scratch + 9 * pair;
    return rows;
}

static void REAL(attention_factors)(const struct REAL(dgnn_attention_block) * b,
                                    const struct REAL(attention_rows) * t, int64_t q)
{
    const real *restrict s = t->geometry[0], *restrict x = t->geometry[1], *restrict y = t->geometry[2];
    const real *restrict z = t->geometry[3];
    real *restrict both = t->both, *restrict cosine = t->cosine;
    real sq = s[q], xq = x[q], yq = y[q], zq = z[q];
    for (int64_t k = 0; k < t->pair; k++) {
        both[k] = sq * s[k];
        cosine[k] = xq * x[k] + yq * y[k] + zq * z[k];
    }
    for (int64_t k = 0; k < b->n && !b->layer->smooth; k++) {
        both[k] = 1;
    }
    for (int64_t k = 0; k < b->n && !b->layer->angular; k++) {
        cosine[k] = 1;
    }
}

static inline real REAL(attention_shift)(const struct REAL(dgnn_attention_block) * b)
{
    return b->layer->smooth ? 20 : 0; /* where not smooth, s_q s_k is 1 too, and so T = L */
}

/* t: q k^T of a query, which becomes T; returns the largest of the keys and of the empty slots. */
static real REAL(attention_exponents)(const struct REAL(dgnn_attention_block) * b, const real *restrict both,
                                      real *restrict t)
{
    const real shift = REAL(attention_shift)(b), scale = b->layer->scale;
    const int64_t whole = b->n / REAL_LANES * REAL_LANES;
    real most = (scale * t[0] + shift) * both[0] - shift, lane[REAL_LANES];
    if (b->layer->smooth && b->nempty && most < -shift) {
        most = -shift;
    }
    for (int l = 0; l < REAL_LANES; l++) {
        lane[l] = most;
    }
    for (int64_t k = 0; k < whole; k += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++) {
            t[k + l] = (scale * t[k + l] + shift) * both[k + l] - shift;
            lane[l] = t[k + l] > lane[l] ? t[k + l] : lane[l];
        }
    }
    for (int64_t k = whole; k < b->n; k++) {
        t[k] = (scale * t[k] + shift) * both[k] - shift;
        most = t[k] > most ? t[k] : most;
    }
    for (int l = 0; l < REAL_LANES; l++) {
        most = lane[l] > most ? lane[l] : most;
    }
    return most;
}

/* a: q k^T of a query, which becomes a multiple of A with zeros in the pads; returns the factor that is
 * lacking. */
static real REAL(attention_softmax)(const struct REAL(dgnn_attention_block) * b, const real *both,
                                    int64_t pair, real *a)
{
    real most = REAL(attention_exponents)(b, both, a), absent = 0;
    b->ops->exponential(b->n, a, most, a);
    REAL(attention_clear)(1, b->n, pair, a);
    if (b->layer->smooth && b->nempty) {
        b->ops->exponential(1, &(real){-REAL(attention_shift)(b)}, most, &absent);
    }
    return 1 / (REAL(attention_sum)(a, pair) + (real)b->nempty * absent);
}

/* a: q k^T of a query, which becomes A; p: P. */
static void REAL(attention_weights)(const struct REAL(dgnn_attention_block) * b,
                                    const struct REAL(attention_rows) * t, real *restrict a, real *restrict p)
{
    const real *restrict both = t->both, *restrict cosine = t->cosine;
    const real factor = REAL(attention_softmax)(b, both, t->pair, a);
    for (int64_t k = 0; k < t->pair; k++) {
        a[k] *= factor;
        p[k] = a[k] * both[k] * cosine[k];
    }
}

/* Backward of one row: d_p, the gradient of P, becomes that of T; p is filled with P. Of the gradient of s_q
 * s_k this is what does not come through q k^T. */
static void REAL(attention_d_row)(const struct REAL(dgnn_attention_block) * b,
                                  const struct REAL(attention_rows) * t, int64_t q, real *restrict p,
                                  real *restrict d_p)
{
    const real *restrict a = b->kept.attention + q * t->pair, *restrict both = t->both,
                         *restrict cosine = t->cosine;
    const real *restrict s = t->geometry[0], *restrict x = t->geometry[1], *restrict y = t->geometry[2];
    const real *restrict z = t->geometry[3];
    real *restrict d_s = t->d_geometry[0], *restrict d_x = t->d_geometry[1], *restrict d_y = t->d_geometry[2];
    real *restrict d_z = t->d_geometry[3];
    const real shift = REAL(attention_shift)(b), sq = s[q], xq = x[q], yq = y[q], zq = z[q];
    real lane[REAL_LANES] = {0}, sum[4][REAL_LANES] = {{0}};
    for (int64_t k = 0; k < t->pair; k += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++) {
            p[k + l] = a[k + l] * both[k + l] * cosine[k + l];
            lane[l] += p[k + l] * d_p[k + l];
        }
    }
    const real mean = REAL(attention_lanes)(lane);
    for (int64_t k0 = 0; k0 < t->pair; k0 += REAL_LANES) {
        for (int l = 0; l < REAL_LANES; l++) {
            const int64_t k = k0 + l;
            real d_a = d_p[k] * a[k], d_t = p[k] * d_p[k] - a[k] * mean;
            real d_both = d_a * cosine[k] + d_t * shift, d_cosine = d_a * both[k];
            d_p[k] = d_t;
            sum[0][l] += d_both * s[k];
            sum[1][l] += d_cosine * x[k];
            sum[2][l] += d_cosine * y[k];
            sum[3][l] += d_cosine * z[k];
            d_s[k] += d_both * sq;
            d_x[k] += d_cosine * xq;
            d_y[k] += d_cosine * yq;
            d_z[k] += d_cosine * zq;
        }
    }
    for (int g = 0; g < 4; g++) {
        t->d_geometry[g][q] += REAL(attention_lanes)(sum[g]);
    }
}

/* ---------------------------------------------------------------- forward */

/* The matrices of query and value are zero above the diagonal: columns go in pieces of so many, each with the
 * rows that count. */
enum { REAL(ATTENTION_PIECE) = 2 * REAL_LANES };

static void REAL(attention_triangular)(const struct REAL(dgnn_attention_block) * b, int part, int64_t stride,
                                       int64_t width)
{
    const struct REAL(dgnn_attention_layer) *layer = b->layer;
    for (int64_t c = 0; c < stride; c += REAL(ATTENTION_PIECE)) {
        struct REAL(dgnn_matrix) piece = layer->in[part];
        int64_t above = c < layer->width ? c : layer->width;
        piece.nrow -= above;
        piece.ncol = stride - c < REAL(ATTENTION_PIECE) ? stride - c : REAL(ATTENTION_PIECE);
        piece.data += above * piece.stride + c;
        b->ops->product(b->n, b->x + above, width, &piece, layer->in_bias[part] + c, b->kept.in[part] + c,
                        stride, 0);
    }
}

/* Query (0), key (1) or value (2). */
static void REAL(attention_project)(const struct REAL(dgnn_attention_block) * b, int part, int64_t width)
{
    const struct REAL(dgnn_attention_layer) *layer = b->layer;
    int64_t stride = REAL(dgnn_attention_stride)(layer, part);
    real *rows = b->kept.in[part];
    if (part == 1) {
        b->ops->product(b->n, b->x, width, &layer->in[1], layer->in_bias[1], rows, stride, 0);
    } else {
        REAL(attention_triangular)(b, part, stride, width);
    }
    for (int64_t r = 0; r < b->n && layer->normalize; r++) {
        real *row = rows + r * stride, length = 1 / REAL_ROOT(REAL(attention_dot)(row, row, stride));
        b->kept.length[part][r] = length;
        for (int64_t c = 0; c < stride; c++) {
            row[c] *= length;
        }
    }
}

/* out = norm(x + sum), rows of sum being in normed already. */
static void REAL(attention_norm)(const struct REAL(dgnn_attention_block) * b, int64_t stride)
{
    const struct REAL(dgnn_attention_layer) *layer = b->layer;
    const real *restrict weight = layer->norm_weight, *restrict bias = layer->norm_bias;
    const real share = 1 / (real)layer->width;
    for (int64_t r = 0; r < b->n; r++) {
        real *restrict row = b->kept.normed + r * stride, *restrict out = b->out + r * stride;
        const real *restrict x = b->x + r * stride;
        for (int64_t c = 0; c < stride; c++) {
            row[c] += x[c];
        }
        real mean = REAL(attention_sum)(row, stride) * share;
        for (int64_t c = 0; c < stride; c++) {
            row[c] -= mean;
        }
        REAL(attention_clear)(1, layer->width, stride, row);
        real inverse = 1 / REAL_ROOT(REAL(attention_dot)(row, row, stride) * share + layer->epsilon);
        b->kept.deviation[r] = inverse;
        for (int64_t c = 0; c < stride; c++) {
            row[c] *= inverse;
            out[c] = row[c] * weight[c] + bias[c];
        }
    }
}

static void REAL(attention_forward)(const struct REAL(dgnn_attention_block) * b)
{
    const struct REAL(dgnn_attention_layer) *layer = b->layer;
    int64_t n = b->n, pair = dgnn_table_pad(n, REAL_LANES), width = dgnn_table_pad(layer->width, REAL_LANES);
    int64_t query = REAL(dgnn_attention_stride)(layer, 0), key = REAL(dgnn_attention_stride)(layer, 1);
    int64_t value = REAL(dgnn_attention_stride)(layer, 2);
    real *transposed = b->scratch, *weight = transposed + REAL(dgnn_attention_transposed)(layer, n);
    struct REAL(attention_rows) rows = REAL(attention_make_rows)(b, pair, weight + n * pair);
    struct REAL(dgnn_matrix) keys = REAL(attention_matrix)(layer->columns[0], pair, pair, transposed);
    struct REAL(dgnn_matrix) values = REAL(attention_matrix)(n, value, value, b->kept.in[2]);
    for (int part = 0; part < 3; part++) {
        REAL(attention_project)(b, part, width);
    }
    REAL(attention_transpose)(n, layer->columns[0], b->kept.in[1], key, transposed, pair);
    b->ops->product(n, b->kept.in[0], query, &keys, NULL, b->kept.attention, pair, 0);
    for (int64_t q = 0; q < n; q++) {
        REAL(attention_factors)(b, &rows, q);
        REAL(attention_weights)(b, &rows, b->kept.attention + q * pair, weight + q * pair);
    }
    b->ops->product(n, weight, pair, &values, NULL, transposed, value, 0);
    b->ops->product(n, transposed, value, &layer->out, layer->out_bias, b->kept.normed, width, 0);
    REAL(attention_norm)(b, width);
}

/* ---------------------------------------------------------------- backward */

static void REAL(attention_d_norm)(const struct REAL(dgnn_attention_block) * b, int64_t stride, real *d)
{
    const struct REAL(dgnn_attention_layer) *layer = b->layer;
    const real *restrict weight = layer->norm_weight, share = 1 / (real)layer->width;
    for (int64_t r = 0; r < b->n; r++) {
        const real *restrict normed = b->kept.normed + r * stride, *restrict d_out = b->d_out + r * stride;
        real *restrict row = d + r * stride, inverse = b->kept.deviation[r];
        for (int64_t c = 0; c < stride; c++) {
            row[c] = d_out[c] * weight[c];
        }
        real mean = REAL(attention_sum)(row, stride) * share;
        real along = REAL(attention_dot)(row, normed, stride) * share;
        for (int64_t c = 0; c < stride; c++) {
            row[c] = inverse * (row[c] - mean - normed[c] * along);
        }
        REAL(attention_clear)(1, layer->width, stride, row);
    }
}

/* d_x += d W^T where W is triangular, in pieces of d_x. */
static void REAL(attention_d_triangular)(const struct REAL(dgnn_attention_block) * b, int part,
                                         int64_t stride, int64_t width, const real *d)
{
    for (int64_t c = 0; c < width; c += REAL(ATTENTION_PIECE)) {
        struct REAL(dgnn_matrix) piece = b->layer->in_transposed[part];
        int64_t ncol = width - c < REAL(ATTENTION_PIECE) ? width - c : REAL(ATTENTION_PIECE);
        piece.nrow = c + ncol < piece.nrow ? c + ncol : piece.nrow;
        piece.ncol = ncol;
        piece.data += c;
        b->ops->product(b->n, d, stride, &piece, NULL, b->d_x + c, width, 1);
    }
}

/* What the factor s of a row in T is: its switch, or 1. */
static inline real REAL(attention_factor)(const struct REAL(dgnn_attention_block) * b, int64_t r)
{
    return b->layer->smooth ? b->edge_switch[r] : 1;
}

/* to: the first ncol columns of the queries or keys times their factors in T. */
static struct REAL(dgnn_matrix) REAL(attention_scaled)(const struct REAL(dgnn_attention_block) * b, int part,
                                                       int64_t ncol, int64_t stride, real *to)
{
    for (int64_t r = 0; r < b->n; r++) {
        const real *row = b->kept.in[part] + r * stride,
                   factor = b->layer->scale * REAL(attention_factor)(b, r);
        for (int64_t c = 0; c < ncol; c++) {
            to[r * ncol + c] = row[c] * factor;
        }
    }
    return REAL(attention_matrix)(b->n, ncol, ncol, to);
}

/* d: gradient of the queries or keys over their factor s in T, or of the values. d_s, the normalisation, and
 * d_x += d W^T. */
static void REAL(attention_d_project)(const struct REAL(dgnn_attention_block) * b, int part, int64_t width,
                                      real *d)
{
    int64_t stride = REAL(dgnn_attention_stride)(b->layer, part);
    int switched = part < 2 && b->layer->smooth;
    for (int64_t r = 0; r < b->n; r++) {
        const real *restrict row = b->kept.in[part] + r * stride;
        real *restrict d_row = d + r * stride, factor = switched ? b->edge_switch[r] : 1;
        real along = REAL(attention_dot)(row, d_row, stride), off = b->layer->normalize ? along : 0;
        b->d_edge_switch[r] += switched ? along : 0;
        factor *= b->layer->normalize ? b->kept.length[part][r] : 1;
        for (int64_t c = 0; c < stride; c++) {
            d_row[c] = (d_row[c] - off * row[c]) * factor;
        }
    }
    if (part == 1) {
        b->ops->product(b->n, d, stride, &b->layer->in_transposed[1], NULL, b->d_x, width, 1);
    } else {
        REAL(attention_d_triangular)(b, part, stride, width, d);
    }
}

static void REAL(attention_backward)(const struct REAL(dgnn_attention_block) * b)
{
    const struct REAL(dgnn_attention_layer) *layer = b->layer;
    int64_t n = b->n, pair = dgnn_table_pad(n, REAL_LANES), width = dgnn_table_pad(layer->width, REAL_LANES);
    int64_t query = REAL(dgnn_attention_stride)(layer, 0), key = REAL(dgnn_attention_stride)(layer, 1);
    int64_t value = REAL(dgnn_attention_stride)(layer, 2);
    real *transposed = b->scratch, *weight = transposed + REAL(dgnn_attention_transposed)(layer, n),
         *d_t = weight + n * pair;
    real *d_row = d_t + n * pair, *d_mixed = d_row + n * width, *d_value = d_mixed + n * value;
    real *d_query = d_value + n * value, *d_key = d_query + n * query;
    struct REAL(attention_rows) rows = REAL(attention_make_rows)(b, pair, d_key + n * key);
    struct REAL(dgnn_matrix) values = REAL(attention_matrix)(layer->columns[2], pair, pair, transposed);
    struct REAL(dgnn_matrix) d_mixes = REAL(attention_matrix)(n, value, value, d_mixed), scaled;
    REAL(attention_d_norm)(b, width, d_row);
    b->ops->product(n, d_row, width, &layer->out_transposed, NULL, d_mixed, value, 0);
    REAL(attention_transpose)(n, layer->columns[2], b->kept.in[2], value, transposed, pair);
    b->ops->product(n, d_mixed, value, &values, NULL, d_t, pair, 0);
    for (int64_t q = 0; q < n; q++) {
        REAL(attention_ask)(b->kept.in[0] + q * query, query);
        REAL(attention_ask)(b->kept.in[1] + q * key, key);
        REAL(attention_factors)(b, &rows, q);
        REAL(attention_d_row)(b, &rows, q, weight + q * pair, d_t + q * pair);
    }
    for (int g = 0; g < 4; g++) {
        real *to = g ? b->d_direction + (g - 1) * b->direction_stride : b->d_edge_switch;
        int wanted = g ? layer->angular : layer->smooth;
        for (int64_t k = 0; k < n && wanted; k++) {
            to[k] += rows.d_geometry[g][k];
        }
    }
    b->ops->product_transposed(n, weight, pair, &d_mixes, d_value, value);
    memcpy(b->d_x, d_row, sizeof(real) * (size_t)(n * width));
    REAL(attention_d_project)(b, 2, width, d_value);
    /* Keys may go on beyond the queries' columns: there d_query is not looked at, and d_key begins with
     * zeros. */
    scaled = REAL(attention_scaled)(b, 1, query, key, transposed);
    b->ops->product(n, d_t, pair, &scaled, NULL, d_query, query, 0);
    REAL(attention_d_project)(b, 0, width, d_query);
    scaled = REAL(attention_scaled)(b, 0, query, query, transposed);
    b->ops->product_transposed(n, d_t, pair, &scaled, d_key, key);
    REAL(attention_clear)(n, query, key, d_key);
    REAL(attention_d_project)(b, 1, width, d_key);
}
