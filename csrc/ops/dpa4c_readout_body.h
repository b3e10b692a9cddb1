/* DPA4C's readout for any instruction set: atoms side by side, a line of them at a time, so that each
 * invariant is a product of lines. Everything is a polynomial of at most degree 4 in the moments. */

#define W REAL_LANES

/* out += factor a b */
static inline void REAL(readout_add)(real *out, real factor, const real *a, const real *b)
{
    for (int i = 0; i < W; i++) {
        out[i] += factor * a[i] * b[i];
    }
}

static inline void REAL(readout_axpy)(real *out, real factor, const real *a)
{
    for (int i = 0; i < W; i++) {
        out[i] += factor * a[i];
    }
}

/* Lines of one block of atoms. first: of degree l in x. */
struct REAL(readout_lines) {
    int64_t nline, nspin, dim_out;
    int64_t first[DGNN_DPA4C_DEGREES];
    /* moments over norms; the same after alignment; probes; invariants */
    real *x, *aligned, *probe, *spin, *out;
    real *d_x, *d_aligned, *d_probe, *d_spin, *d_out;
    real *inverse;           /* 2: 1 / d_0, 1 / d_1 */
};

/* Lines of spin: the columns of V_o, V, P (3 x (1 + 2 C_s)), then of N_o, N (5 x 2), then M, W (C_s each). */
static int64_t REAL(readout_spin_lines)(const struct dgnn_dpa4c_shape *s)
{
    return s->nspin ? 3 * (1 + 2 * s->width[2]) + 10 + 2 * s->width[2] : 0;
}

static int64_t REAL(readout_layout)(const struct REAL(dgnn_dpa4c_readout) * r, char *base,
                                    struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = r->shape;
    int64_t n = s->channels;
    *l = (struct REAL(readout_lines)){.nspin = REAL(readout_spin_lines)(s), .dim_out = s->dim_out};
    for (int64_t d = 1; d <= s->lmax; d++) {
        l->first[d] = n;
        n += (2 * d + 1) * s->width[d];
    }
    l->nline = n;
    real **all[] = {&l->x, &l->aligned, &l->probe, &l->spin, &l->out, &l->inverse,
                    &l->d_x, &l->d_aligned, &l->d_probe, &l->d_spin, &l->d_out};
    int64_t count[] = {n, n, r->nprobe, l->nspin, s->dim_out, 2, n, n, r->nprobe, l->nspin, s->dim_out};
    int64_t used = 0;
    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
        *all[k] = base ? (real *)base + used : NULL;
        used += count[k] * W;
    }
    return used * (int64_t)sizeof(real);
}

static int64_t REAL(readout_scratch)(const struct REAL(dgnn_dpa4c_readout) * readout)
{
    struct REAL(readout_lines) lines;
    return REAL(readout_layout)(readout, NULL, &lines);
}

/* ------------------------------------------------------------------ taking moments, giving gradients */

/* Where a spin row's channel stands among the lines of spin, or -1. */
static inline int64_t REAL(readout_spin_place)(const struct dgnn_dpa4c_shape *s, int64_t row, int64_t c)
{
    int64_t n = s->width[2], wide = 1 + 2 * n, after = 3 * wide;
    if (row < 2) {
        return after + 10 + row * n + c;
    }
    if (row < 8) {
        int64_t part = (row - 2) / 3, m = (row - 2) % 3;
        return m * wide + 1 + part * n + c;
    }
    return c ? -1 : after + 2 * (row - 8) + 1;
}

static void REAL(readout_take)(const struct REAL(dgnn_dpa4c_atoms) * t, int64_t begin, int64_t count,
                               const struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = t->readout->shape;
    for (int64_t i = 0; i < W; i++) {
        int64_t atom = begin + (i < count ? i : count - 1); /* the last line's rest repeats an atom */
        const real *moment = t->moment + atom * s->moment_stride;
        real by0 = (real)(1 / t->norm[2 * atom]), by1 = (real)(1 / t->norm[2 * atom + 1]);
        int64_t row = 0;
        l->inverse[i] = by0;
        l->inverse[W + i] = by1;
        for (int64_t c = 0; c < s->channels; c++) {
            l->x[c * W + i] = moment[c] * by0;
        }
        for (int64_t d = 1; d <= s->lmax; d++) {
            for (int64_t m = 0; m < 2 * d + 1; m++, row++) {
                const real *from = moment + dgnn_dpa4c_moment_row(s, row);
                for (int64_t c = 0; c < s->width[d]; c++) {
                    l->x[(l->first[d] + m * s->width[d] + c) * W + i] = from[c] * by1;
                }
            }
        }
        for (int64_t k = 0; k < s->nspin; k++) {
            const real *from = moment + dgnn_dpa4c_moment_row(s, row + k);
            for (int64_t c = 0; c < s->width[2]; c++) {
                int64_t place = REAL(readout_spin_place)(s, k, c);
                if (place >= 0) {
                    l->spin[place * W + i] = from[c] * by1;
                }
            }
        }
    }
}

/* The atoms' own spins: the first column of both matrices. */
static void REAL(readout_onsite)(const struct REAL(dgnn_dpa4c_atoms) * t, int64_t begin, int64_t count,
                                 const struct REAL(readout_lines) * l)
{
    int64_t wide = 1 + 2 * t->readout->shape->width[2];
    for (int64_t i = 0; i < W; i++) {
        int64_t atom = begin + (i < count ? i : count - 1);
        const double *spin = t->spin + 3 * atom;
        const real *weight = t->readout->spin_weight + 2 * t->type[atom];
        double b[5];
        dgnn_dpa4c_quadrupole(spin, b);
        for (int k = 0; k < 3; k++) {
            l->spin[k * wide * W + i] = (real)(weight[0] * spin[k]);
        }
        for (int k = 0; k < 5; k++) {
            l->spin[(3 * wide + 2 * k) * W + i] = (real)(weight[1] * b[k]);
        }
    }
}

/* Gradients of moments, and of the norms that they are divided by. */
static void REAL(readout_give)(const struct REAL(dgnn_dpa4c_atoms) * t, int64_t begin, int64_t count,
                               const struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = t->readout->shape;
    int64_t norms = s->dim_out - s->channels - 2;
    for (int64_t i = 0; i < count; i++) {
        int64_t atom = begin + i, row = 0;
        real *d_moment = t->d_moment + atom * s->moment_stride;
        real by0 = l->inverse[i], by1 = l->inverse[W + i];
        double sum0 = 0, sum1 = 0;
        memset(d_moment, 0, sizeof(real) * (size_t)s->moment_stride);
        for (int64_t c = 0; c < s->channels; c++) {
            d_moment[c] = l->d_x[c * W + i] * by0;
            sum0 += (double)l->d_x[c * W + i] * l->x[c * W + i];
        }
        for (int64_t d = 1; d <= s->lmax; d++) {
            for (int64_t m = 0; m < 2 * d + 1; m++, row++) {
                real *to = d_moment + dgnn_dpa4c_moment_row(s, row);
                for (int64_t c = 0; c < s->width[d]; c++) {
                    int64_t place = (l->first[d] + m * s->width[d] + c) * W + i;
                    to[c] = l->d_x[place] * by1;
                    sum1 += (double)l->d_x[place] * l->x[place];
                }
            }
        }
        for (int64_t k = 0; k < s->nspin; k++) {
            real *to = d_moment + dgnn_dpa4c_moment_row(s, row + k);
            for (int64_t c = 0; c < s->width[2]; c++) {
                int64_t place = REAL(readout_spin_place)(s, k, c);
                if (place >= 0) {
                    to[c] = l->d_spin[place * W + i] * by1;
                    sum1 += (double)l->d_spin[place * W + i] * l->spin[place * W + i];
                }
            }
        }
        double norm0 = t->norm[2 * atom], norm1 = t->norm[2 * atom + 1];
        t->d_norm[2 * atom] = ((double)l->d_out[norms * W + i] - sum0 / norm0) / norm0;
        t->d_norm[2 * atom + 1] = ((double)l->d_out[(norms + 1) * W + i] - sum1 / norm1) / norm1;
    }
}

static void REAL(readout_give_spins)(const struct REAL(dgnn_dpa4c_atoms) * t, int64_t begin, int64_t count,
                                     const struct REAL(readout_lines) * l)
{
    int64_t wide = 1 + 2 * t->readout->shape->width[2];
    for (int64_t i = 0; i < count; i++) {
        const real *weight = t->readout->spin_weight + 2 * t->type[begin + i];
        double *d = t->d_spin + 3 * (begin + i), w[5];
        for (int k = 0; k < 3; k++) {
            d[k] = (double)weight[0] * l->d_spin[k * wide * W + i];
        }
        for (int k = 0; k < 5; k++) {
            w[k] = (double)weight[1] * l->d_spin[(3 * wide + 2 * k) * W + i];
        }
        dgnn_dpa4c_quadrupole_gradient(t->spin + 3 * (begin + i), w, d);
    }
}

/* ------------------------------------------------------------------ linear maps of channels */

/* y[m][k] += sum_c x[m][c] w[c][k] of lines. */
static void REAL(readout_map)(int64_t nrow, int64_t nin, int64_t nout, const real *w, const real *x, real *y)
{
    for (int64_t m = 0; m < nrow; m++) {
        for (int64_t c = 0; c < nin; c++) {
            for (int64_t k = 0; k < nout; k++) {
                REAL(readout_axpy)(y + (m * nout + k) * W, w[c * nout + k], x + (m * nin + c) * W);
            }
        }
    }
}

/* d_x[m][c] += sum_k d_y[m][k] w[c][k] of lines. */
static void REAL(readout_map_backward)(int64_t nrow, int64_t nin, int64_t nout, const real *w,
                                       const real *d_y, real *d_x)
{
    for (int64_t m = 0; m < nrow; m++) {
        for (int64_t c = 0; c < nin; c++) {
            for (int64_t k = 0; k < nout; k++) {
                REAL(readout_axpy)(d_x + (m * nin + c) * W, w[c * nout + k], d_y + (m * nout + k) * W);
            }
        }
    }
}

static void REAL(readout_align)(const struct REAL(dgnn_dpa4c_readout) * r,
                                const struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = r->shape;
    memcpy(l->aligned, l->x, sizeof(real) * (size_t)(l->nline * W));
    for (int64_t d = 1; d <= 2; d++) {
        REAL(readout_map)(2 * d + 1, s->width[d], s->width[d], r->alignment[d], l->x + l->first[d] * W,
                          l->aligned + l->first[d] * W);
    }
    memset(l->probe, 0, sizeof(real) * (size_t)(r->nprobe * W));
    for (int64_t d = 1; d <= s->lmax; d++) {
        real *probe = l->probe + r->probe_first[d] * W, *from = l->aligned + l->first[d] * W;
        if (r->probe[d]) {
            REAL(readout_map)(2 * d + 1, s->width[d], s->rank[d], r->probe[d], from, probe);
        } else {
            memcpy(probe, from, sizeof(real) * (size_t)((2 * d + 1) * s->width[d] * W));
        }
    }
}

static void REAL(readout_align_backward)(const struct REAL(dgnn_dpa4c_readout) * r,
                                         const struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = r->shape;
    for (int64_t d = 1; d <= s->lmax; d++) {
        const real *d_probe = l->d_probe + r->probe_first[d] * W;
        real *to = l->d_aligned + l->first[d] * W;
        if (r->probe[d]) {
            REAL(readout_map_backward)(2 * d + 1, s->width[d], s->rank[d], r->probe[d], d_probe, to);
        }
        for (int64_t k = 0; k < (2 * d + 1) * s->width[d] && !r->probe[d]; k++) {
            REAL(readout_axpy)(to + k * W, 1, d_probe + k * W);
        }
    }
    for (int64_t k = 0; k < l->nline; k++) { /* d_x has what came to X^2 before alignment */
        REAL(readout_axpy)(l->d_x + k * W, 1, l->d_aligned + k * W);
    }
    for (int64_t d = 1; d <= 2; d++) {
        REAL(readout_map_backward)(2 * d + 1, s->width[d], s->width[d], r->alignment[d],
                                   l->d_aligned + l->first[d] * W, l->d_x + l->first[d] * W);
    }
}

/* ------------------------------------------------------------------ invariants */

/* The upper triangle of x^T x, x: nrow x n, row by row; what is not on the diagonal times sqrt(2). Returns
 * how many. */
static int64_t REAL(readout_gram)(int64_t nrow, int64_t n, const real *x, real *out)
{
    const real root = (real)1.4142135623730951;
    int64_t k = 0;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = a; b < n; b++, k++) {
            memset(out + k * W, 0, sizeof(real) * W);
            for (int64_t m = 0; m < nrow; m++) {
                REAL(readout_add)(out + k * W, a == b ? 1 : root, x + (m * n + a) * W, x + (m * n + b) * W);
            }
        }
    }
    return k;
}

static int64_t REAL(readout_gram_backward)(int64_t nrow, int64_t n, const real *x, const real *d_out,
                                           real *d_x)
{
    const real root = (real)1.4142135623730951;
    int64_t k = 0;
    for (int64_t a = 0; a < n; a++) {
        for (int64_t b = a; b < n; b++, k++) {
            for (int64_t m = 0; m < nrow; m++) {
                REAL(readout_add)(d_x + (m * n + a) * W, a == b ? 1 : root, d_out + k * W,
                                  x + (m * n + b) * W);
                REAL(readout_add)(d_x + (m * n + b) * W, a == b ? 1 : root, d_out + k * W,
                                  x + (m * n + a) * W);
            }
        }
    }
    return k;
}

static void REAL(readout_cubic)(const struct REAL(dgnn_dpa4c_readout) * r, const real *probe, real *out)
{
    memset(out, 0, sizeof(real) * (size_t)(r->nbispectrum * W));
    for (int64_t k = 0; k < r->nterm; k++) {
        const struct REAL(dgnn_dpa4c_term) *term = &r->term[k];
        const real *a = probe + term->a * W, *b = probe + term->b * W, *c = probe + term->c * W;
        real *o = out + term->out * W;
        for (int i = 0; i < W; i++) {
            o[i] += term->value * a[i] * b[i] * c[i];
        }
    }
}

static void REAL(readout_cubic_backward)(const struct REAL(dgnn_dpa4c_readout) * r, const real *probe,
                                         const real *d_out, real *d_probe)
{
    for (int64_t k = 0; k < r->nterm; k++) {
        const struct REAL(dgnn_dpa4c_term) *term = &r->term[k];
        const real *a = probe + term->a * W, *b = probe + term->b * W, *c = probe + term->c * W;
        const real *d = d_out + term->out * W;
        real line[3][W];
        for (int i = 0; i < W; i++) {
            real by = term->value * d[i];
            line[0][i] = by * b[i] * c[i];
            line[1][i] = by * a[i] * c[i];
            line[2][i] = by * a[i] * b[i];
        }
        REAL(readout_axpy)(d_probe + term->a * W, 1, line[0]);
        REAL(readout_axpy)(d_probe + term->b * W, 1, line[1]);
        REAL(readout_axpy)(d_probe + term->c * W, 1, line[2]);
    }
}

/* The traceless symmetric matrix of a degree-2 probe q: which number of q, with which factor, stands at (x,
 * y). */
struct REAL(readout_entry) {
    int8_t x, y, q;
    real factor;
};

static const struct REAL(readout_entry)
    REAL(readout_matrix)[] = {{0, 0, 2, (real)-0.40824829046386302}, {0, 0, 4, (real)0.70710678118654752},
                              {0, 1, 0, (real)0.70710678118654752},  {0, 2, 3, (real)0.70710678118654752},
                              {1, 0, 0, (real)0.70710678118654752},  {1, 1, 2, (real)-0.40824829046386302},
                              {1, 1, 4, (real)-0.70710678118654752}, {1, 2, 1, (real)0.70710678118654752},
                              {2, 0, 3, (real)0.70710678118654752},  {2, 1, 1, (real)0.70710678118654752},
                              {2, 2, 2, (real)0.81649658092772603}};

enum { REAL(READOUT_NENTRY) = sizeof(REAL(readout_matrix)) / sizeof(REAL(readout_matrix)[0]) };

/* |Q_b p_a|^2, b outer. With d_out: the gradient. */
static void REAL(readout_quartic)(const struct REAL(dgnn_dpa4c_readout) * r,
                                  const struct REAL(readout_lines) * l, real *out, const real *d_out)
{
    int64_t na = r->shape->rank[1], nb = r->shape->rank[2];
    int64_t one = r->probe_first[1], two = r->probe_first[2];
    for (int64_t k = 0; k < na * nb; k++) {
        int64_t a = k % na, b = k / na;
        real y[3][W] = {{0}}, d_y[3][W];
        for (int e = 0; e < REAL(READOUT_NENTRY); e++) {
            const struct REAL(readout_entry) *entry = &REAL(readout_matrix)[e];
            REAL(readout_add)(y[entry->x], entry->factor, l->probe + (two + entry->q * nb + b) * W,
                              l->probe + (one + entry->y * na + a) * W);
        }
        if (!d_out) {
            for (int i = 0; i < W; i++) {
                out[k * W + i] = y[0][i] * y[0][i] + y[1][i] * y[1][i] + y[2][i] * y[2][i];
            }
            continue;
        }
        for (int m = 0; m < 3; m++) {
            for (int i = 0; i < W; i++) {
                d_y[m][i] = 2 * d_out[k * W + i] * y[m][i];
            }
        }
        for (int e = 0; e < REAL(READOUT_NENTRY); e++) {
            const struct REAL(readout_entry) *entry = &REAL(readout_matrix)[e];
            int64_t q = (two + entry->q * nb + b) * W, p = (one + entry->y * na + a) * W;
            REAL(readout_add)(l->d_probe + q, entry->factor, d_y[entry->x], l->probe + p);
            REAL(readout_add)(l->d_probe + p, entry->factor, d_y[entry->x], l->probe + q);
        }
    }
}

/* The part of spins, from its first line on. */
static void REAL(readout_spins)(const struct REAL(dgnn_dpa4c_readout) * r,
                                const struct REAL(readout_lines) * l, real *out)
{
    int64_t n = r->shape->width[2], wide = 1 + 2 * n;
    const real *quad = l->spin + 3 * wide * W, *two = l->x + l->first[2] * W, *last = quad + 10 * W;
    real gram[3 * W];
    out += REAL(readout_gram)(3, wide, l->spin, out) * W;
    REAL(readout_gram)(5, 2, quad, gram);
    memcpy(out, gram + W, sizeof(real) * 2 * W);
    out += 2 * W;
    memset(out, 0, sizeof(real) * (size_t)(2 * n * W));
    for (int64_t k = 0; k < 2 * n; k++) {
        for (int64_t m = 0; m < 5; m++) {
            REAL(readout_add)(out + k * W, 1, quad + (2 * m + k / n) * W, two + (m * n + k % n) * W);
        }
    }
    memcpy(out + 2 * n * W, last, sizeof(real) * (size_t)(2 * n * W));
}

static void REAL(readout_spins_backward)(const struct REAL(dgnn_dpa4c_readout) * r,
                                         const struct REAL(readout_lines) * l, const real *d_out)
{
    int64_t n = r->shape->width[2], wide = 1 + 2 * n;
    const real *quad = l->spin + 3 * wide * W, *two = l->x + l->first[2] * W;
    real *d_quad = l->d_spin + 3 * wide * W, *d_two = l->d_x + l->first[2] * W, gram[3 * W] = {0};
    d_out += REAL(readout_gram_backward)(3, wide, l->spin, d_out, l->d_spin) * W;
    memcpy(gram + W, d_out, sizeof(real) * 2 * W);
    REAL(readout_gram_backward)(5, 2, quad, gram, d_quad);
    d_out += 2 * W;
    for (int64_t k = 0; k < 2 * n; k++) {
        for (int64_t m = 0; m < 5; m++) {
            REAL(readout_add)(d_quad + (2 * m + k / n) * W, 1, d_out + k * W, two + (m * n + k % n) * W);
            REAL(readout_add)(d_two + (m * n + k % n) * W, 1, d_out + k * W, quad + (2 * m + k / n) * W);
        }
    }
    memcpy(d_quad + 10 * W, d_out + 2 * n * W, sizeof(real) * (size_t)(2 * n * W));
}

/* ------------------------------------------------------------------ the two entries */

static void REAL(readout_invariants)(const struct REAL(dgnn_dpa4c_readout) * r,
                                     const struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = r->shape;
    real *out = l->out;
    memcpy(out, l->x, sizeof(real) * (size_t)(s->channels * W));
    out += s->channels * W;
    for (int64_t d = 1; d <= s->lmax; d++) {
        out += REAL(readout_gram)(2 * d + 1, s->width[d], l->aligned + l->first[d] * W, out) * W;
    }
    REAL(readout_cubic)(r, l->probe, out);
    out += r->nbispectrum * W;
    REAL(readout_quartic)(r, l, out, NULL);
    if (s->nspin) {
        REAL(readout_spins)(r, l, out + s->rank[1] * s->rank[2] * W);
    }
}

static void REAL(readout_invariants_backward)(const struct REAL(dgnn_dpa4c_readout) * r,
                                              const struct REAL(readout_lines) * l)
{
    const struct dgnn_dpa4c_shape *s = r->shape;
    const real *d_out = l->d_out;
    size_t line = sizeof(real) * W;
    memset(l->d_x, 0, line * (size_t)l->nline);
    memset(l->d_aligned, 0, line * (size_t)l->nline);
    memset(l->d_probe, 0, line * (size_t)r->nprobe);
    memset(l->d_spin, 0, line * (size_t)l->nspin);
    memcpy(l->d_x, d_out, line * (size_t)s->channels);
    d_out += s->channels * W;
    for (int64_t d = 1; d <= s->lmax; d++) {
        d_out += REAL(readout_gram_backward)(2 * d + 1, s->width[d], l->aligned + l->first[d] * W, d_out,
                                             l->d_aligned + l->first[d] * W) * W;
    }
    REAL(readout_cubic_backward)(r, l->probe, d_out, l->d_probe);
    d_out += r->nbispectrum * W;
    REAL(readout_quartic)(r, l, NULL, d_out);
    if (s->nspin) {
        REAL(readout_spins_backward)(r, l, d_out + s->rank[1] * s->rank[2] * W);
    }
    REAL(readout_align_backward)(r, l);
}

static void REAL(readout_prepare)(const struct REAL(dgnn_dpa4c_atoms) * t, int64_t begin, int64_t count,
                                  const struct REAL(readout_lines) * l)
{
    REAL(readout_take)(t, begin, count, l);
    if (t->readout->shape->nspin) {
        REAL(readout_onsite)(t, begin, count, l);
    }
    REAL(readout_align)(t->readout, l);
}

static void REAL(readout_forward)(const struct REAL(dgnn_dpa4c_atoms) * t)
{
    const struct REAL(dgnn_dpa4c_readout) *r = t->readout;
    const struct dgnn_dpa4c_shape *s = r->shape;
    int64_t n = s->dim_out - s->channels; /* but the type's part */
    struct REAL(readout_lines) l;
    REAL(readout_layout)(r, t->scratch, &l);
    for (int64_t begin = 0; begin < t->natom; begin += W) {
        int64_t count = t->natom - begin < W ? t->natom - begin : W;
        REAL(readout_prepare)(t, begin, count, &l);
        REAL(readout_invariants)(r, &l);
        for (int64_t i = 0; i < count; i++) {
            double *row = t->row + (begin + i) * s->dim_out;
            const real *tail = t->tail + t->type[begin + i] * s->channels;
            l.out[(n - 2) * W + i] = (real)t->norm[2 * (begin + i)];
            l.out[(n - 1) * W + i] = (real)t->norm[2 * (begin + i) + 1];
            for (int64_t k = 0; k < n; k++) {
                row[k] = (l.out[k * W + i] - r->mean[k]) * r->scale[k];
            }
            for (int64_t k = n; k < s->dim_out; k++) {
                row[k] = (tail[k - n] - r->mean[k]) * r->scale[k];
            }
        }
    }
}

static void REAL(readout_backward)(const struct REAL(dgnn_dpa4c_atoms) * t)
{
    const struct REAL(dgnn_dpa4c_readout) *r = t->readout;
    const struct dgnn_dpa4c_shape *s = r->shape;
    struct REAL(readout_lines) l;
    REAL(readout_layout)(r, t->scratch, &l);
    for (int64_t begin = 0; begin < t->natom; begin += W) {
        int64_t count = t->natom - begin < W ? t->natom - begin : W;
        REAL(readout_prepare)(t, begin, count, &l);
        for (int64_t k = 0; k < s->dim_out; k++) {
            for (int64_t i = 0; i < W; i++) {
                real d = i < count ? (real)t->d_row[(begin + i) * s->dim_out + k] : 0;
                l.d_out[k * W + i] = d * r->scale[k];
            }
        }
        REAL(readout_invariants_backward)(r, &l);
        REAL(readout_give)(t, begin, count, &l);
        if (s->nspin) {
            REAL(readout_give_spins)(t, begin, count, &l);
        }
    }
}

#undef W
