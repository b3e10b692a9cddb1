/* Tests of one instance of the table; included once for each element type, after ops_case_body.h. */

/* ---------------------------------------------------------------- products */

static void REAL(ops_test_product)(const struct REAL(dgnn_ops) * ops, int64_t nrow, int64_t nin, int64_t nout,
                                   int mode)
{
    struct REAL(ops_case) s = {0};
    int64_t row_stride = nin + mode % 4, out_stride = nout + mode % 3;
    struct REAL(dgnn_matrix) w = {nin, nout, dgnn_table_pad(nout, REAL_LANES), NULL};
    w.data = REAL(ops_take)(&s, nin * w.stride, sizeof(real));
    for (int64_t i = 0; i < nin * w.stride; i++) {
        w.data[i] = i % w.stride < nout ? (real)(2 * random_uniform(&ops_seed) - 1) : 0;
    }
    real *rows = REAL(ops_random)(&s, nrow * row_stride + 1, 1) + (mode & 1); /* any alignment */
    real *bias = REAL(ops_random)(&s, nout, 1),
         *out = REAL(ops_random)(&s, nrow * out_stride + 1, 1) + (mode >> 1 & 1);
    real *start = REAL(ops_take)(&s, nrow * out_stride + 1, sizeof(real));
    memcpy(start, out, sizeof(real) * (size_t)(nrow * out_stride));
    int accumulate = mode % 5 == 0;
    const real *added = mode % 2 ? bias : NULL;
    ops->product(nrow, rows, row_stride, &w, added, out, out_stride, accumulate);
    double unit = DGNN_REAL_BITS == 32 ? 0x1p-24 : 0x1p-53, worst = 0;
    int untouched = 1;
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = 0; c < out_stride && r * out_stride + c < nrow * out_stride; c++) {
            if (c >= nout) {
                untouched &= out[r * out_stride + c] == start[r * out_stride + c];
                continue;
            }
            double first = accumulate ? (double)start[r * out_stride + c] : added ? (double)added[c] : 0;
            long double sum = first, size = fabs(first);
            for (int64_t k = 0; k < nin; k++) {
                long double term = (long double)rows[r * row_stride + k] * w.data[k * w.stride + c];
                sum += term;
                size += fabsl(term);
            }
            double error = fabs((double)((long double)out[r * out_stride + c] - sum));
            double over = error / (unit * (double)(nin + 1) * (double)size + 1e-300);
            worst = check_larger(worst, over);
        }
    }
    CHECK(worst <= 1); /* nin + 1 roundings of numbers no larger than the sum of the sizes */
    CHECK(untouched);
    if (!(worst <= 1) || !untouched) {
        fprintf(stderr, "    %s, product %d x %d x %d, mode %d: %g\n", ops_where, (int)nrow, (int)nin,
                (int)nout, mode, worst);
    }
    REAL(ops_unmake)(&s);
}

static void REAL(ops_test_products)(const struct REAL(dgnn_ops) * ops)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 8, 16, 17, 31, 48, 65, 129};
    for (int t = 0; t < 120; t++) {
        int64_t nrow = t % 11 ? random_below(&ops_seed, 30) : 0;
        REAL(ops_test_product)(ops, nrow, sizes[random_below(&ops_seed, 11)],
                               sizes[random_below(&ops_seed, 11)], t);
    }
    for (int t = 0; t < 40; t++) { /* so deep that weights are taken part by part */
        REAL(ops_test_product)(ops, 14 + random_below(&ops_seed, 8), 60 + random_below(&ops_seed, 900),
                               sizes[random_below(&ops_seed, 11)], t);
    }
}

static void REAL(ops_compare_reals)(const char *name, const real *ours, const real *theirs, int64_t n)
{
    double *both = calloc((size_t)(2 * n), sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        both[i] = (double)ours[i];
        both[n + i] = (double)theirs[i];
    }
    ops_compare_double(name, both, both + n, n, DGNN_REAL_BITS);
    free(both);
}

/* Against the product with the transpose; out's pads stay. */
static void REAL(ops_test_transposed)(const struct REAL(dgnn_ops) * ops, int64_t nrow, int64_t nin,
                                      int64_t nout)
{
    struct REAL(ops_case) s = {0};
    int64_t row_stride = nrow + 3, out_stride = nout + 2;
    struct REAL(dgnn_matrix) w = {nin, nout, dgnn_table_pad(nout, REAL_LANES), NULL};
    w.data = REAL(ops_random)(&s, nin * w.stride, 1);
    real *rows = REAL(ops_random)(&s, nin * row_stride, 1),
         *transposed = REAL(ops_take)(&s, nrow * nin, sizeof(real));
    real *out = REAL(ops_random)(&s, nrow * out_stride, 1),
         *want = REAL(ops_take)(&s, nrow * out_stride, sizeof(real));
    memcpy(want, out, sizeof(real) * (size_t)(nrow * out_stride));
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t k = 0; k < nin; k++) {
            transposed[r * nin + k] = rows[k * row_stride + r];
        }
    }
    REAL(dgnn_reference_ops).product(nrow, transposed, nin, &w, NULL, want, out_stride, 0);
    ops->product_transposed(nrow, rows, row_stride, &w, out, out_stride);
    REAL(ops_compare_reals)("turned product", out, want, nrow * out_stride);
    REAL(ops_unmake)(&s);
}

static void REAL(ops_test_transposed_products)(const struct REAL(dgnn_ops) * ops)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 8, 16, 31, 48, 65, 88};
    for (int t = 0; t < 60; t++) {
        REAL(ops_test_transposed)(ops, 1 + random_below(&ops_seed, 30), sizes[random_below(&ops_seed, 10)],
                                  sizes[random_below(&ops_seed, 10)]);
        REAL(ops_test_transposed)(ops, 14 + random_below(&ops_seed, 8), 60 + random_below(&ops_seed, 500),
                                  sizes[random_below(&ops_seed, 10)]);
    }
}

/* ---------------------------------------------------------------- rows */

static void REAL(ops_test_rows)(const struct REAL(dgnn_ops) * ops)
{
    for (int64_t n = 1; n < 70; n += 3) {
        struct REAL(ops_case) s = {0};
        int64_t stride = dgnn_table_pad(n, REAL_LANES);
        real *a = REAL(ops_random)(&s, 4 * stride, 1), *b = REAL(ops_random)(&s, 4 * stride, 1);
        real *out = REAL(ops_random)(&s, 8, 1), *want = REAL(ops_take)(&s, 8, sizeof(real));
        memcpy(want, out, 8 * sizeof(real));
        REAL(dgnn_reference_ops).row_products(4, stride, a, b, want, 2);
        ops->row_products(4, stride, a, b, out, 2);
        REAL(ops_compare_reals)("row products", out, want, 8);
        real *x = REAL(ops_random)(&s, n, DGNN_REAL_BITS == 32 ? 40 : 300),
             *y = REAL(ops_take)(&s, n, sizeof(real));
        real most = x[0];
        for (int64_t i = 0; i < n; i++) {
            most = x[i] > most ? x[i] : most;
        }
        x[n / 2] = most - 5000; /* far below: 0, or as good as that */
        ops->exponential(n, x, most, y);
        double worst = 0;
        for (int64_t i = 0; i < n; i++) {
            double exact = exp((double)(real)(x[i] - most));
            worst = check_larger(worst, fabs((double)y[i] - exact) / (i == n / 2 ? 1 : exact));
        }
        CHECK(worst < (DGNN_REAL_BITS == 32 ? 5 * 0x1p-23 : 5 * 0x1p-52));
        REAL(ops_unmake)(&s);
    }
}

/* Rows and components of a moment's rows in either order. */
static void REAL(ops_test_moment)(const struct REAL(dgnn_ops) * ops, int64_t nrow, int64_t stride,
                                  int options)
{
    struct REAL(ops_case) s = {0};
    real *row = REAL(ops_random)(&s, 4 * nrow, 1), *d_switch = REAL(ops_random)(&s, 2 * nrow, 1);
    real *d_row = REAL(ops_take)(&s, 8 * nrow, sizeof(real));
    struct REAL(dgnn_moment) moment = {.nrow = nrow,
                                       .row = row,
                                       .row_step = options & 4 ? 4 : 1,
                                       .row_stride = options & 4 ? 1 : nrow,
                                       .stride = stride};
    moment.d_gr = REAL(ops_random)(&s, 4 * stride, 1);
    moment.g = REAL(ops_random)(&s, nrow * stride, 1);
    moment.tangent = options & 1 ? REAL(ops_random)(&s, nrow * stride, 1) : NULL;
    moment.by_switch = options & 2 ? REAL(ops_random)(&s, nrow * stride, 1) : NULL;
    memcpy(d_switch + nrow, d_switch, sizeof(real) * (size_t)nrow);
    moment.d_row = d_row;
    moment.d_switch = d_switch;
    REAL(dgnn_reference_ops).moment_backward(&moment);
    moment.d_row = d_row + 4 * nrow;
    moment.d_switch = d_switch + nrow;
    ops->moment_backward(&moment);
    REAL(ops_compare_reals)("moments, rows", d_row + 4 * nrow, d_row, 4 * nrow);
    REAL(ops_compare_reals)("moments, switches", d_switch + nrow, d_switch, nrow);
    REAL(ops_unmake)(&s);
}

/* ---------------------------------------------------------------- layers of embedding nets */

/* Against the reference: options are bits 0: a tangent, 1: the first layer, 2: idt; residual: 0 to 2 copies.
 */
static void REAL(ops_test_embed)(const struct REAL(dgnn_ops) * ops, const char *name, int options,
                                 int32_t residual)
{
    struct REAL(ops_case) s = {0};
    struct dgnn_activation activation;
    struct dgnn_error error;
    int64_t nrow = 5, nin = 7, stride = dgnn_table_pad(2 * nin, REAL_LANES), n = nrow * stride;
    CHECK_STATUS(dgnn_activation_parse(name, &activation, &error), DGNN_OK, "");
    struct REAL(dgnn_embed) e = {.activation = &activation,
                                 .nrow = nrow,
                                 .nin = nin,
                                 .x_stride = nin + 1,
                                 .stride = stride,
                                 .residual = residual};
    e.x = REAL(ops_random)(&s, nrow * e.x_stride, 1);
    e.x_tangent = options & 2 ? NULL : REAL(ops_random)(&s, nrow * e.x_stride, 1);
    e.first_row = options & 2 ? REAL(ops_random)(&s, stride, 1) : NULL;
    e.idt = options & 4 ? REAL(ops_random)(&s, stride, 1) : NULL;
    real *y = REAL(ops_random)(&s, n, 3), *tangent = REAL(ops_random)(&s, n, 1);
    real *want = REAL(ops_take)(&s, n, sizeof(real)), *want_tangent = REAL(ops_take)(&s, n, sizeof(real));
    memcpy(want, y, sizeof(real) * (size_t)n);
    memcpy(want_tangent, tangent, sizeof(real) * (size_t)n);
    e.y = want;
    e.tangent = options & 1 ? want_tangent : NULL;
    REAL(dgnn_reference_ops).embed(&e);
    e.y = y;
    e.tangent = options & 1 ? tangent : NULL;
    ops->embed(&e);
    REAL(ops_compare_reals)("embed", y, want, n);
    REAL(ops_compare_reals)("embed, tangent", tangent, want_tangent, n);
    REAL(ops_unmake)(&s);
}

static void REAL(ops_test_embeds)(const struct REAL(dgnn_ops) * ops)
{
    static const char *const names[] = {"tanh", "silu", "linear", "gelu", "softplus"};
    for (int k = 0; k < 5 * 8 * 3; k++) {
        REAL(ops_test_embed)(ops, names[k % 5], k / 5 % 8, k / 40);
    }
}

/* ---------------------------------------------------------------- polynomials in pieces */

static void REAL(ops_test_polynomials)(const struct REAL(dgnn_ops) * ops, int64_t nrow, int64_t stride,
                                       int with_tangent)
{
    enum { PIECES = 5 };
    struct REAL(ops_case) s = {0};
    int64_t n = nrow * stride, *piece = REAL(ops_take)(&s, nrow, sizeof(int64_t));
    struct REAL(dgnn_polynomials) p = {.nrow = nrow, .piece = piece, .stride = stride};
    p.coefficients = REAL(ops_random)(&s, PIECES * 6 * stride, 1);
    p.t = REAL(ops_random)(&s, nrow, 1);
    real *beyond = REAL(ops_random)(&s, nrow, 2);
    p.beyond = beyond;
    for (int64_t r = 0; r < nrow; r++) {
        piece[r] = (3 * r + 1) % PIECES;
        beyond[r] = r % 2 ? beyond[r] : 0;
    }
    real *y = REAL(ops_random)(&s, n, 1), *tangent = REAL(ops_random)(&s, n, 1);
    real *want = REAL(ops_take)(&s, n, sizeof(real)), *want_tangent = REAL(ops_take)(&s, n, sizeof(real));
    memcpy(want_tangent, tangent, sizeof(real) * (size_t)n);
    p.y = want;
    p.tangent = with_tangent ? want_tangent : NULL;
    REAL(dgnn_reference_ops).polynomials(&p);
    p.y = y;
    p.tangent = with_tangent ? tangent : NULL;
    ops->polynomials(&p);
    REAL(ops_compare_reals)("polynomials", y, want, n);
    REAL(ops_compare_reals)("polynomials, tangent", tangent, want_tangent, n);
    REAL(ops_unmake)(&s);
}

/* ---------------------------------------------------------------- activations */

/* Errors over max(1, |value|): the bounds that docs/exactness.md states. In float32 7 units of rounding for
 * values; for slopes of gelu, whose 1 - t t cancels, 50. */
#undef OPS_VALUE_LIMIT
#undef OPS_SLOPE_LIMIT
#if DGNN_REAL_BITS == 32
#define OPS_VALUE_LIMIT 4e-7
#define OPS_SLOPE_LIMIT 3e-6
#else
#define OPS_VALUE_LIMIT 1e-14
#define OPS_SLOPE_LIMIT 2e-14
#endif

static void REAL(ops_test_activation)(const struct REAL(dgnn_ops) * ops, const char *name, int descriptor)
{
    enum { COUNT = 40013 };
    struct REAL(ops_case) s = {0};
    struct dgnn_activation activation;
    struct dgnn_error error;
    real *x = REAL(ops_take)(&s, COUNT, sizeof(real)), *value = REAL(ops_take)(&s, COUNT, sizeof(real));
    real *slope = REAL(ops_take)(&s, COUNT, sizeof(real));
    CHECK_STATUS(dgnn_activation_parse(name, &activation, &error), DGNN_OK, "");
    if (descriptor) {
        dgnn_activation_as_descriptor(&activation);
    }
    for (int i = 0; i < COUNT; i++) {
        double u = 2 * random_uniform(&ops_seed) - 1;
        double t = activation.threshold;
        x[i] = (real)(i % 4 == 0   ? 100 * u
                      : i % 4 == 1 ? 8 * u
                      : i % 4 == 2 ? t + 0.01 * u
                                   : u * pow(10, -30 * random_uniform(&ops_seed)));
    }
    x[0] = 0;
    x[1] = (real)activation.threshold;
    x[2] = nextafter((real)activation.threshold, (real)0);
    x[3] = 100;
    x[4] = -100;
    x[5] = 6;
    ops->activate(&activation, COUNT, x, value, slope);
    double worst_value = 0, worst_slope = 0, worst_small = 0;
    for (int i = 0; i < COUNT; i++) {
        double true_slope, true_value = dgnn_activation_value(&activation, (double)x[i], &true_slope);
        double by_value = fabs((double)value[i] - true_value) / fmax(1, fabs(true_value));
        double by_slope = fabs((double)slope[i] - true_slope) / fmax(1, fabs(true_slope));
        worst_value = check_larger(worst_value, by_value);
        worst_slope = check_larger(worst_slope, by_slope);
        if (fabs((double)x[i]) < 1e-3 && fabs(true_value) > 0) {
            double relative = fabs((double)value[i] - true_value) / fabs(true_value);
            worst_small = relative > worst_small ? relative : worst_small;
        }
    }
    check_count(worst_value <= OPS_VALUE_LIMIT && worst_slope <= OPS_SLOPE_LIMIT, __FILE__, __LINE__, name);
    if (!(worst_value <= OPS_VALUE_LIMIT && worst_slope <= OPS_SLOPE_LIMIT) || getenv("OPS_VERBOSE")) {
        fprintf(stderr, "    %s, %s: value %.3g, slope %.3g; small arguments, relative %.3g\n", ops_where,
                name, worst_value, worst_slope, worst_small);
    }
    real *again = REAL(ops_take)(&s, COUNT, sizeof(real));
    memcpy(again, x, sizeof(real) * COUNT);
    ops->activate(&activation, 37, again, again, NULL); /* in place, without slopes */
    CHECK(!memcmp(again, value, sizeof(real) * 32));
    CHECK(!memcmp(again + 37, x + 37, sizeof(real) * 37));
    REAL(ops_unmake)(&s);
}

static void REAL(ops_test_activations)(const struct REAL(dgnn_ops) * ops)
{
    for (size_t k = 0; k < OPS_NACTIVATION; k++) {
        REAL(ops_test_activation)(ops, ops_names[k], 0);
        REAL(ops_test_activation)(ops, ops_names[k], 1);
    }
}

/* ---------------------------------------------------------------- blocks */

static void REAL(ops_test_edges)(const struct REAL(dgnn_ops) * ops, const int64_t *widths, int option,
                                 const struct dgnn_activation *activation)
{
    struct REAL(ops_case) s;
    struct REAL(ops_output) x, y;
    struct REAL(ops_edge_options) p = {.with_node = option % 3 != 2,
                                       .with_edge = option % 3 != 1,
                                       .without_angle_term = option / 3 & 1,
                                       .keep = option / 6 & 1,
                                       .nodes = option / 12 & 1,
                                       .first = option / 24 & 1,
                                       .given = option / 5 % 3};
    REAL(ops_make)(&s, widths, 1, activation);
    for (int64_t i = 0; i < s.nedge * s.e && p.first; i++) {
        s.edge_state[i] = s.first_input[i / s.e] * s.first_weight[i % s.e] + s.first_bias[i % s.e];
    }
    REAL(ops_outputs)(&s, &x);
    REAL(ops_outputs)(&s, &y);
    REAL(ops_run_edges)(&s, ops, &p, &x);
    REAL(ops_run_edges)(&s, &REAL(dgnn_reference_ops), &p, &y);
    REAL(ops_compare_edges)(&s, &p, &x, &y);
    REAL(ops_unmake)(&s);
}

static void REAL(ops_test_angles)(const struct REAL(dgnn_ops) * ops, const int64_t *widths, int option,
                                  const struct dgnn_activation *activation)
{
    struct REAL(ops_case) s;
    struct REAL(ops_output) x, y;
    struct REAL(ops_angle_options) p = {.with_edge = option % 3 != 2,
                                        .with_angle = option % 3 != 1,
                                        .keep = option / 6 & 1,
                                        .nodes = option / 12 & 1,
                                        .first = option / 24 & 1,
                                        .given = option % 3 != 1 && option % 7 != 0,
                                        .edge_given = option / 5 % 2};
    REAL(ops_make)(&s, widths, option / 48 & 1, activation);
    real *next_x = REAL(ops_take)(&s, s.nangle * s.a, sizeof(real));
    real *next_y = REAL(ops_take)(&s, s.nangle * s.a, sizeof(real));
    REAL(ops_outputs)(&s, &x);
    REAL(ops_outputs)(&s, &y);
    REAL(ops_run_angles)(&s, ops, &p, &x, next_x);
    REAL(ops_run_angles)(&s, &REAL(dgnn_reference_ops), &p, &y, next_y);
    REAL(ops_compare_angles)(&s, &p, &x, &y, next_x, next_y);
    REAL(ops_unmake)(&s);
}

static void REAL(ops_test_table)(const struct REAL(dgnn_ops) * ops, const char *set)
{
    static const int64_t widths[][5] = {
        {20, 11, 9, 2, 11}, {8, 6, 4, 1, 6}, {33, 17, 5, 1, 4}, {5, 24, 19, 3, 24}};
    struct dgnn_activation activation;
    struct dgnn_error error;
    snprintf(ops_where, sizeof(ops_where), "%s, float%d", set, DGNN_REAL_BITS);
    REAL(ops_test_products)(ops);
    REAL(ops_test_transposed_products)(ops);
    REAL(ops_test_rows)(ops);
    for (int options = 0; options < 8; options++) {
        REAL(ops_test_moment)(ops, 1 + options, (1 + options) * REAL_LANES, options);
    }
    REAL(ops_test_embeds)(ops);
    for (int k = 0; k < 6; k++) {
        REAL(ops_test_polynomials)(ops, 1 + 3 * k, (1 + k / 2) * REAL_LANES, k % 2);
    }
    REAL(ops_test_activations)(ops);
    for (int option = 0; option < 96 && ops->cpu != DGNN_CPU_REFERENCE; option++) {
        const char *name = option % 4 ? "silut:1.0" : ops_names[option / 4 % 12];
        const int64_t *w = widths[option % 5 % 4];
        CHECK_STATUS(dgnn_activation_parse(name, &activation, &error), DGNN_OK, "");
        dgnn_activation_as_descriptor(&activation);
        snprintf(ops_where, sizeof(ops_where), "%s, float%d, option %d, n %d, %s", set, DGNN_REAL_BITS,
                 option, (int)w[0], name);
        if (option < 48) {
            REAL(ops_test_edges)(ops, w, option, &activation);
        }
        REAL(ops_test_angles)(ops, w, option, &activation);
    }
}
