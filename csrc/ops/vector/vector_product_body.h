/* Products with weights, in panels that fill the registers: included by ops/vector/vector_body.h. */

/* out[r][c] = start + sum_k rows[r][k] w[k][c] for whole vectors of columns. */
struct V(product) {
    int64_t nrow;
    const real *rows;
    int64_t row_stride;
    int32_t transposed; /* the factor is rows[k][r] instead of rows[r][k] */
    int64_t depth;  /* of the sum */
    const real *w;
    int64_t w_stride;
    /* the start: a row for all, NULL: 0; plus a row for each, NULL: 0 */
    const real *common;
    const real *each;
    const int32_t *each_index; /* row of each; NULL: r */
    int64_t each_stride;
    int32_t continues; /* out holds the sum of what lies before, to be gone on with */
    real *out;
    int64_t out_stride;
};

/* Adds what each row starts from. At the end: were it there before, each step of the sum would be rounded to
 * its size. */
INLINE void V(add_start)(const int R, const int N, const struct V(product) * p, int64_t row, int64_t column,
                         V(vec) * sum)
{
    if (p->each) {
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) {
            const real *each =
                p->each + (p->each_index ? p->each_index[row + r] : row + r) * p->each_stride + column;
#pragma GCC unroll 6
            for (int n = 0; n < N; n++) {
                sum[r * N + n] += V(load)(each + n * LANES);
            }
        }
    }
    if (p->common) {
#pragma GCC unroll 6
        for (int n = 0; n < N; n++) {
            V(vec) common = V(load)(p->common + column + n * LANES);
            VECTOR_HOLD(common);
#pragma GCC unroll 24
            for (int r = 0; r < R; r++) {
                sum[r * N + n] += common;
            }
        }
    }
}

/* R rows by N vectors of columns, in registers. transposed: p->transposed,
    a constant where this is inlined. */
INLINE void V(tile)(const int R, const int N, const int transposed, const struct V(product) * p, int64_t row,
                    int64_t column)
{
    V(vec) sum[24] = {0};
    const real *a = p->rows + (transposed ? row : row * p->row_stride), *w = p->w + column;
    real *out = p->out + row * p->out_stride + column;
    if (p->continues) {
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 6
            for (int n = 0; n < N; n++) {
                sum[r * N + n] = V(load)(out + r * p->out_stride + n * LANES);
            }
        }
    }
    for (int64_t k = 0; k < p->depth; k++) {
        V(vec) b[6];
#pragma GCC unroll 6
        for (int n = 0; n < N; n++) {
            b[n] = V(load)(w + k * p->w_stride + n * LANES);
            VECTOR_HOLD(b[n]);
        }
#pragma GCC unroll 24
        for (int r = 0; r < R; r++) {
            V(vec) x = V(splat)(transposed ? a[k * p->row_stride + r] : a[r * p->row_stride + k]);
#pragma GCC unroll 6
            for (int n = 0; n < N; n++) {
                sum[r * N + n] += x * b[n];
            }
        }
    }
    V(add_start)(R, N, p, row, column, sum);
#pragma GCC unroll 24
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 6
        for (int n = 0; n < N; n++) {
            V(store)(out + r * p->out_stride + n * LANES, sum[r * N + n]);
        }
    }
}

/* All rows of a panel of N vectors of columns. */
#define VECTOR_PANEL(name, N, transposed)                                                                  \
    static void V(name)(const struct V(product) * p, int64_t column)                                   \
    {                                                                                                  \
        enum { R = VECTOR_REGISTERS / N > 12 ? 12 : VECTOR_REGISTERS / N };                            \
        int64_t row = 0;                                                                               \
        for (; row + R <= p->nrow; row += R) {                                                         \
            V(tile)(R, N, transposed, p, row, column);                                                     \
        }                                                                                              \
        for (; R > 4 && row + 4 <= p->nrow; row += 4) {                                                \
            V(tile)(R > 4 ? 4 : 1, N, transposed, p, row, column);                                         \
        }                                                                                              \
        switch (p->nrow - row) {                                                                       \
        case 3:                                                                                        \
            V(tile)(3, N, transposed, p, row, column);                                                     \
            break;                                                                                     \
        case 2:                                                                                        \
            V(tile)(2, N, transposed, p, row, column);                                                     \
            break;                                                                                     \
        case 1:                                                                                        \
            V(tile)(1, N, transposed, p, row, column);                                                     \
        }                                                                                              \
    }
#define VECTOR_PANELS(N)                                                                               \
    VECTOR_PANEL(panel_##N, N, 0)                                                                      \
    VECTOR_PANEL(turned_##N, N, 1)
VECTOR_PANELS(1)
VECTOR_PANELS(2)
VECTOR_PANELS(3)
#if VECTOR_WIDEST > 3
VECTOR_PANELS(4)
VECTOR_PANELS(5)
VECTOR_PANELS(6)
#endif

static void (*const V(panel)[2][VECTOR_WIDEST + 1])(const struct V(product) *, int64_t) = {
#if VECTOR_WIDEST > 3
    {NULL, V(panel_1), V(panel_2), V(panel_3), V(panel_4), V(panel_5), V(panel_6)},
    {NULL, V(turned_1), V(turned_2), V(turned_3), V(turned_4), V(turned_5), V(turned_6)},
#else
    {NULL, V(panel_1), V(panel_2), V(panel_3)},
    {NULL, V(turned_1), V(turned_2), V(turned_3)},
#endif
};

/* Weights of a panel that a first cache of 32 kB holds beside the rows, and rows from which on copying them
 * pays. */
enum { V(PANEL_BYTES) = 24 * 1024, V(PANEL_ROWS) = 16 };

/* A panel of up to six vectors is done by tiles as wide as the registers allow; four are two and two. */
static void V(walk_panel)(const struct V(product) * p, int64_t column, int width)
{
    while (width > 0) {
        int take = width == VECTOR_WIDEST + 1 ? 2 : width < VECTOR_WIDEST ? width : VECTOR_WIDEST;
        V(panel)[p->transposed][take](p, column);
        column += take * LANES;
        width -= take;
    }
}

/* A panel of which a first cache holds a part only: part after part, each copied so that its rows lie side by
 * side, is read by all rows. A sum is kept in out between two parts: it is the same, step by step. */
static void V(deep_panel)(const struct V(product) * p, int64_t column, int width)
{
    enum { MOST = V(PANEL_BYTES) / (int)sizeof(real) };
    real w[MOST] __attribute__((aligned(64)));
    struct V(product) part = *p;
    const int64_t stride = width * LANES, depth = MOST / stride;
    part.w = w;
    part.w_stride = stride;
    part.out = p->out + column;
    for (int64_t begin = 0; begin < p->depth; begin += depth) {
        int is_last = begin + depth >= p->depth;
        part.depth = is_last ? p->depth - begin : depth;
        part.rows = p->rows + begin * (p->transposed ? p->row_stride : 1);
        part.continues = begin > 0;
        part.common = is_last && p->common ? p->common + column : NULL;
        for (int64_t k = 0; k < part.depth; k++) {
            memcpy(w + k * stride, p->w + (begin + k) * p->w_stride + column, sizeof(real) * (size_t)stride);
        }
        V(walk_panel)(&part, 0, width);
    }
}

/* Columns [begin, end), both whole vectors from the start of the rows. Panels are as wide as leaves no narrow
 * one. */
static void V(columns)(const struct V(product) * p, int64_t begin, int64_t end)
{
    static const int8_t widest[12] = {0, 1, 2, 3, 4, 5, 6, 4, 4, 5, 6, 6}; /* by the vectors that are left */
    int64_t left = (end - begin) / LANES;
    while (left > 0) {
        int take = left < 12 ? widest[left] : 6;
        int64_t bytes = p->depth * take * VECTOR_BYTES;
        if (bytes > V(PANEL_BYTES) && p->nrow >= V(PANEL_ROWS) && !p->each) {
            V(deep_panel)(p, begin, take);
        } else {
            V(walk_panel)(p, begin, take);
        }
        begin += take * LANES;
        left -= take;
    }
}

/* The last columns, where they do not fill a vector: through rows of one vector, so that nothing beyond them
 * is touched. */
static void V(last_columns)(const struct V(product) * p, int64_t begin, int64_t ncol)
{
    enum { ROWS = 32 };
    real scratch[ROWS * (VECTOR_BYTES / sizeof(real))] = {0}, common[VECTOR_BYTES / sizeof(real)] = {0};
    size_t nbytes = sizeof(real) * (size_t)(ncol - begin);
    if (p->common) {
        memcpy(common, p->common + begin, nbytes);
    }
    for (int64_t r = 0; r < p->nrow; r += ROWS) {
        int64_t nrow = p->nrow - r < ROWS ? p->nrow - r : ROWS;
        for (int64_t i = 0; i < nrow && p->each; i++) {
            memcpy(scratch + i * LANES, p->each + (r + i) * p->each_stride + begin, nbytes);
        }
        struct V(product) part = {.nrow = nrow,
                                  .rows = p->rows + (p->transposed ? r : r * p->row_stride),
                                  .row_stride = p->row_stride,
                                  .transposed = p->transposed,
                                  .depth = p->depth,
                                  .w = p->w + begin,
                                  .w_stride = p->w_stride,
                                  .common = p->common ? common : NULL,
                                  .each = p->each ? scratch : NULL,
                                  .each_stride = LANES,
                                  .out = scratch,
                                  .out_stride = LANES};
        V(columns)(&part, 0, LANES);
        for (int64_t i = 0; i < nrow; i++) {
            memcpy(p->out + (r + i) * p->out_stride + begin, scratch + i * LANES, nbytes);
        }
    }
}

static void V(vector_product)(int64_t nrow, const real *rows, int64_t row_stride,
                              const struct REAL(dgnn_matrix) * w, const real *bias, real *out,
                              int64_t out_stride, int accumulate)
{
    struct V(product) p = {.nrow = nrow,
                           .rows = rows,
                           .row_stride = row_stride,
                           .depth = w->nrow,
                           .w = w->data,
                           .w_stride = w->stride,
                           .common = accumulate ? NULL : bias,
                           .each = accumulate ? out : NULL,
                           .each_stride = out_stride,
                           .out = out,
                           .out_stride = out_stride};
    int64_t whole = w->ncol / LANES * LANES;
    V(columns)(&p, 0, whole);
    if (whole < w->ncol) {
        V(last_columns)(&p, whole, w->ncol);
    }
}

static void V(vector_product_transposed)(int64_t nrow, const real *rows, int64_t row_stride,
                                     const struct REAL(dgnn_matrix) * w, real *out, int64_t out_stride)
{
    struct V(product) p = {.nrow = nrow,
                           .rows = rows,
                           .row_stride = row_stride,
                           .transposed = 1,
                           .depth = w->nrow,
                           .w = w->data,
                           .w_stride = w->stride,
                           .out = out,
                           .out_stride = out_stride};
    int64_t whole = w->ncol / LANES * LANES;
    V(columns)(&p, 0, whole);
    if (whole < w->ncol) {
        V(last_columns)(&p, whole, w->ncol);
    }
}
