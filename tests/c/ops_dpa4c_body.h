/* DPA4C's entries against the reference: random edges and moments, weights laid out as a model's are.
 * Included once for each element type. */
#include "base/real.h"

#include "net/dpa4c/dpa4c_paper_body.h"

/* What all entries read. */
struct REAL(ops_dpa4c) {
    struct ops_room room;
    struct dpa4c_settings settings;
    struct REAL(dpa4c) * weights;
    struct REAL(dgnn_dpa4c_geometry) geometry;
    struct REAL(dgnn_dpa4c_edges) edges;
    struct REAL(dgnn_dpa4c_atoms) atoms;
    int64_t ncentre;
};

/* The three with outputs of their own, which begin with the same numbers: some are added to. */
struct REAL(ops_dpa4c_run) {
    struct REAL(dgnn_dpa4c_geometry) geometry;
    struct REAL(dgnn_dpa4c_edges) edges;
    struct REAL(dgnn_dpa4c_atoms) atoms;
};

static real *REAL(ops_room_random)(struct ops_room *room, int64_t n, double size)
{
    real *x = ops_room_take(room, n, sizeof(real));
    for (int64_t i = 0; i < n; i++) {
        x[i] = (real)(size * (2 * random_uniform(&ops_seed) - 1));
    }
    return x;
}

/* ---------------------------------------------------------------- inputs */

/* Rows of the pair table, and of moments and their gradients: zeros in the padding. */
static real *REAL(ops_dpa4c_pairs)(struct REAL(ops_dpa4c) * c)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    real *pair = REAL(ops_room_random)(&c->room, OPS_DPA4C_PAIRS * s->pair_stride, 1);
    int64_t spins = (2 + s->modes) * s->channel_stride;
    for (int64_t i = 0; i < OPS_DPA4C_PAIRS * s->pair_stride; i++) {
        int64_t k = i % s->pair_stride;
        if (k < spins ? k % s->channel_stride >= s->channels : (k - spins) % s->line >= s->width[2]) {
            pair[i] = 0;
        }
    }
    return pair;
}

/* How many channels of a moment's row count: its degree's, or the spins'. */
static int64_t REAL(ops_dpa4c_width)(const struct dgnn_dpa4c_shape *s, int64_t row)
{
    int64_t l = 1;
    while ((l + 1) * (l + 1) - 1 <= row) {
        l++;
    }
    return row < s->nangular ? s->width[l] : s->width[2];
}

static int REAL(ops_dpa4c_counts)(const struct dgnn_dpa4c_shape *s, int64_t place)
{
    if (place < s->channel_stride) {
        return place < s->channels;
    }
    int64_t row = (place - s->channel_stride) / s->line, column = (place - s->channel_stride) % s->line;
    /* Of the last spin rows, the neighbours' quadrupole, one channel counts. */
    int64_t width = row >= s->nangular + 8 ? 1 : REAL(ops_dpa4c_width)(s, row);
    return column < width;
}

static real *REAL(ops_dpa4c_moments)(struct REAL(ops_dpa4c) * c, int64_t n)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    real *x = REAL(ops_room_random)(&c->room, n * s->moment_stride, 1);
    for (int64_t i = 0; i < n * s->moment_stride; i++) {
        if (!REAL(ops_dpa4c_counts)(s, i % s->moment_stride)) {
            x[i] = 0;
        }
    }
    return x;
}

/* Edges of some centres, as they come: of lengths up to beyond the cutoff. */
static void REAL(ops_dpa4c_edges)(struct REAL(ops_dpa4c) * c, int64_t nedge)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    struct ops_room *room = &c->room;
    double *vector = ops_room_random(room, 3 * nedge + 1, -1, 1);
    int32_t *centre = ops_room_take(room, nedge + 1, sizeof(*centre));
    int32_t *pair_row = ops_room_take(room, nedge + 1, sizeof(*pair_row));
    for (int64_t e = 0; e < nedge; e++) {
        double *v = vector + 3 * e, length = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        double wanted = 0.6 + 4.7 * random_uniform(&ops_seed);
        for (int k = 0; k < 3; k++) {
            v[k] *= wanted / length;
        }
        centre[e] = e ? centre[e - 1] + (random_below(&ops_seed, 9) == 0) : 0;
        pair_row[e] = (int32_t)random_below(&ops_seed, OPS_DPA4C_PAIRS);
    }
    c->ncentre = nedge ? centre[nedge - 1] + 1 : 1;
    c->geometry = (struct REAL(dgnn_dpa4c_geometry)){
        .shape = s, .cutoff = c->settings.params.rcut, .nedge = nedge, .vector = vector};
    c->geometry.d_coefficient = REAL(ops_room_random)(room, nedge * s->coefficient_stride + 1, 1);
    c->geometry.d_distance = ops_room_random(room, nedge + 1, -1, 1);
    c->geometry.d_envelope = REAL(ops_room_random)(room, nedge + 1, 1);
    c->edges = (struct REAL(dgnn_dpa4c_edges)){.shape = s,
                                               .radial = &c->weights->paper.radial,
                                               .pair = REAL(ops_dpa4c_pairs)(c),
                                               .nedge = nedge,
                                               .centre = centre,
                                               .pair_row = pair_row,
                                               .d_moment = REAL(ops_dpa4c_moments)(c, c->ncentre)};
}

static void REAL(ops_dpa4c_atoms)(struct REAL(ops_dpa4c) * c, int64_t natom)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    struct ops_room *room = &c->room;
    int32_t *type = ops_room_take(room, natom, sizeof(*type));
    for (int64_t i = 0; i < natom; i++) {
        type[i] = (int32_t)random_below(&ops_seed, OPS_DPA4C_TYPES);
    }
    c->atoms = (struct REAL(dgnn_dpa4c_atoms)){
        .readout = &c->weights->paper.readout,
        .natom = natom,
        .type = type,
        .moment = REAL(ops_dpa4c_moments)(c, natom),
        .norm = ops_room_random(room, 2 * natom, 0.5, 2),
        .tail = REAL(ops_room_random)(room, OPS_DPA4C_TYPES * s->channels, 1)};
    c->atoms.spin = s->nspin ? ops_room_random(room, 3 * natom, -1, 1) : NULL;
    c->atoms.d_row = ops_room_random(room, natom * s->dim_out, -1, 1);
}

static void REAL(ops_dpa4c_make)(struct REAL(ops_dpa4c) * c, const struct ops_dpa4c_options *o, int64_t nedge,
                                 int64_t natom)
{
    struct dgnn_error error;
    *c = (struct REAL(ops_dpa4c)){0};
    ops_dpa4c_settings(o, &c->settings);
    void *weights = NULL;
    CHECK_STATUS(REAL(dpa4c_load)(&c->settings, &weights, &error), DGNN_OK, "");
    c->weights = weights;
    REAL(ops_dpa4c_edges)(c, nedge);
    REAL(ops_dpa4c_atoms)(c, natom);
}

static void REAL(ops_dpa4c_unmake)(struct REAL(ops_dpa4c) * c)
{
    REAL(dpa4c_free)(c->weights);
    ops_dpa4c_free(&c->settings);
    ops_room_free(&c->room);
}

/* ---------------------------------------------------------------- outputs */

/* The spins' coefficients are the caller's. */
static real *REAL(ops_dpa4c_coefficients)(struct REAL(ops_dpa4c) * c)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    real *x = REAL(ops_room_random)(&c->room, c->geometry.nedge * s->coefficient_stride + 1, 1);
    for (int64_t i = 0; i < c->geometry.nedge * s->coefficient_stride; i++) {
        int64_t k = i % s->coefficient_stride;
        if (k < s->spin_begin || k >= s->spin_begin + s->nspin) {
            x[i] = 0;
        }
    }
    return x;
}

static void REAL(ops_dpa4c_outputs)(struct REAL(ops_dpa4c) * c, const struct REAL(dgnn_ops) * ops,
                                    struct REAL(ops_dpa4c_run) * r)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    struct ops_room *room = &c->room;
    int64_t n = c->geometry.nedge, natom = c->atoms.natom;
    uint64_t seed = ops_seed;
    *r = (struct REAL(ops_dpa4c_run)){c->geometry, c->edges, c->atoms};
    r->geometry.distance = ops_room_random(room, n + 1, 0, 1);
    r->geometry.unit = REAL(ops_room_random)(room, 3 * n + 1, 1);
    r->geometry.envelope = REAL(ops_room_random)(room, n + 1, 1);
    r->geometry.slope = REAL(ops_room_random)(room, n + 1, 1);
    r->geometry.coefficient = REAL(ops_dpa4c_coefficients)(c);
    r->geometry.d_vector = ops_room_random(room, 3 * n + 1, 0, 1);
    r->edges.phi = REAL(ops_room_random)(room, 2 * n * s->channel_stride + 1, 1);
    r->edges.spin_phi = s->nspin ? REAL(ops_room_random)(room, 2 * n * s->line + 1, 1) : NULL;
    r->edges.moment = REAL(ops_dpa4c_moments)(c, c->ncentre);
    r->edges.d_coefficient = REAL(ops_room_random)(room, n * s->coefficient_stride + 1, 1);
    r->edges.d_distance = ops_room_random(room, n + 1, 0, 1);
    r->edges.scratch = ops_room_take(room, ops->dpa4c_scratch(&c->weights->paper.radial), 1);
    r->atoms.row = ops_room_random(room, natom * s->dim_out, 0, 1);
    r->atoms.d_moment = REAL(ops_room_random)(room, natom * s->moment_stride, 1);
    r->atoms.d_norm = ops_room_random(room, 2 * natom, 0, 1);
    r->atoms.d_spin = ops_room_random(room, 3 * natom, 0, 1);
    r->atoms.scratch = ops_room_take(room, ops->dpa4c_readout_scratch(&c->weights->paper.readout), 1);
    ops_seed = seed;
}

/* Each entry works on what the reference gave to it. */
static void REAL(ops_dpa4c_call)(const struct REAL(dgnn_ops) * ops, struct REAL(ops_dpa4c_run) * r,
                                 const struct REAL(ops_dpa4c_run) * reference)
{
    ops->dpa4c_geometry_forward(&r->geometry);
    r->edges.distance = reference->geometry.distance;
    r->edges.envelope = reference->geometry.envelope;
    r->edges.slope = reference->geometry.slope;
    r->edges.coefficient = reference->geometry.coefficient;
    ops->dpa4c_forward(&r->edges);
    struct REAL(dgnn_dpa4c_edges) back = r->edges;
    back.phi = reference->edges.phi;
    back.spin_phi = reference->edges.spin_phi;
    ops->dpa4c_backward(&back);
    struct REAL(dgnn_dpa4c_geometry) geometry = r->geometry;
    geometry.distance = reference->geometry.distance;
    geometry.unit = reference->geometry.unit;
    geometry.envelope = reference->geometry.envelope;
    geometry.slope = reference->geometry.slope;
    ops->dpa4c_geometry_backward(&geometry);
    ops->dpa4c_readout_forward(&r->atoms);
    ops->dpa4c_readout_backward(&r->atoms);
}

/* ---------------------------------------------------------------- comparisons */

/* Columns [begin, begin + width) of rows. */
static void REAL(ops_dpa4c_columns)(const char *name, const real *const both[2], int64_t nrow, int64_t stride,
                                    int64_t begin, int64_t width)
{
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < nrow * width; i++) {
        int64_t at = i / width * stride + begin + i % width;
        scale = check_larger(scale, fabs((double)both[1][at]));
        worst = check_larger(worst, fabs((double)both[0][at] - (double)both[1][at]));
    }
    ops_judge(name, worst / scale, DGNN_REAL_BITS);
}

static void REAL(ops_dpa4c_reals)(const char *name, const real *ours, const real *theirs, int64_t n)
{
    const real *const both[2] = {ours, theirs};
    REAL(ops_dpa4c_columns)(name, both, 1, 0, 0, n);
}

static void REAL(ops_dpa4c_compare_moments)(const struct REAL(ops_dpa4c) * c, const char *name,
                                            const real *ours, const real *theirs, int64_t n)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < n * s->moment_stride; i++) {
        if (REAL(ops_dpa4c_counts)(s, i % s->moment_stride)) {
            scale = check_larger(scale, fabs((double)theirs[i]));
            worst = check_larger(worst, fabs((double)ours[i] - (double)theirs[i]));
        }
    }
    ops_judge(name, worst / scale, DGNN_REAL_BITS);
}

static void REAL(ops_dpa4c_compare_edges)(const struct REAL(ops_dpa4c) * c,
                                          const struct REAL(ops_dpa4c_run) * x,
                                          const struct REAL(ops_dpa4c_run) * y)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    const struct REAL(dgnn_dpa4c_geometry) *a = &x->geometry, *b = &y->geometry;
    int64_t n = a->nedge, stride = s->coefficient_stride, wide = s->channel_stride;
    const real *coefficient[2] = {a->coefficient, b->coefficient}, *phi[2] = {x->edges.phi, y->edges.phi};
    const real *d_coefficient[2] = {x->edges.d_coefficient, y->edges.d_coefficient};
    const real *spin_phi[2] = {x->edges.spin_phi, y->edges.spin_phi};
    ops_compare_double("dpa4c distance", a->distance, b->distance, n, DGNN_REAL_BITS);
    REAL(ops_dpa4c_reals)("dpa4c unit", a->unit, b->unit, 3 * n);
    REAL(ops_dpa4c_reals)("dpa4c envelope", a->envelope, b->envelope, n);
    REAL(ops_dpa4c_reals)("dpa4c slope", a->slope, b->slope, n);
    REAL(ops_dpa4c_columns)("dpa4c coefficients", coefficient, n, stride, 0, stride);
    REAL(ops_dpa4c_columns)("dpa4c phi", phi, n, 2 * wide, 0, s->channels);
    REAL(ops_dpa4c_columns)("dpa4c dphi/dr", phi, n, 2 * wide, wide, s->channels);
    REAL(ops_dpa4c_compare_moments)(c, "dpa4c moment", x->edges.moment, y->edges.moment, c->ncentre);
    REAL(ops_dpa4c_columns)("dpa4c d_coefficient", d_coefficient, n, stride, 0, s->nangular);
    if (s->nspin) {
        REAL(ops_dpa4c_columns)("dpa4c spin phi", spin_phi, n, 2 * s->line, 0, s->width[2]);
        REAL(ops_dpa4c_columns)("dpa4c spin dphi/dr", spin_phi, n, 2 * s->line, s->line, s->width[2]);
        REAL(ops_dpa4c_columns)("dpa4c spin d_coefficient", d_coefficient, n, stride, s->spin_begin,
                                s->nspin);
    }
    ops_compare_double("dpa4c d_distance", x->edges.d_distance, y->edges.d_distance, n, DGNN_REAL_BITS);
    ops_compare_double("dpa4c d_vector", a->d_vector, b->d_vector, 3 * n, DGNN_REAL_BITS);
}

static void REAL(ops_dpa4c_compare_atoms)(const struct REAL(ops_dpa4c) * c,
                                          const struct REAL(ops_dpa4c_run) * x,
                                          const struct REAL(ops_dpa4c_run) * y)
{
    const struct dgnn_dpa4c_shape *s = &c->weights->paper.shape;
    int64_t n = c->atoms.natom;
    ops_compare_double("dpa4c row", x->atoms.row, y->atoms.row, n * s->dim_out, DGNN_REAL_BITS);
    REAL(ops_dpa4c_reals)("dpa4c d_moment", x->atoms.d_moment, y->atoms.d_moment, n * s->moment_stride);
    ops_compare_double("dpa4c d_norm", x->atoms.d_norm, y->atoms.d_norm, 2 * n, DGNN_REAL_BITS);
    if (s->nspin) {
        ops_compare_double("dpa4c d_spin", x->atoms.d_spin, y->atoms.d_spin, 3 * n, DGNN_REAL_BITS);
    }
}

static void REAL(ops_test_dpa4c)(const struct REAL(dgnn_ops) * ops, const char *set)
{
    static const int64_t channels[] = {8, 16, 32, 64, 128}, edges[] = {1, 17, 0, 70, 40},
                         atoms[] = {1, 7, 19, 33};
    for (int64_t k = 0; k < 60; k++) {
        struct REAL(ops_dpa4c) c;
        struct REAL(ops_dpa4c_run) x, y;
        struct ops_dpa4c_options o = {.channels = channels[k % 5],
                                      .lmax = 2 + k % 3,
                                      .modes = k % 4 == 3 ? 4 : k % 4,
                                      .nradial = 1 + random_below(&ops_seed, 20),
                                      .spins = k / 3 % 2,
                                      .gaussian = k / 2 % 2,
                                      .table = k % 7 == 3};
        snprintf(ops_where, sizeof(ops_where), "%s, float%d, channels %d, lmax %d, modes %d%s%s%s", set,
                 DGNN_REAL_BITS, (int)o.channels, (int)o.lmax, (int)o.modes, o.spins ? ", spins" : "",
                 o.gaussian ? ", gaussian" : "", o.table ? ", table" : "");
        REAL(ops_dpa4c_make)(&c, &o, edges[k % 11 % 5], atoms[k % 4]);
        REAL(ops_dpa4c_outputs)(&c, &REAL(dgnn_reference_ops), &y);
        REAL(ops_dpa4c_outputs)(&c, ops, &x);
        REAL(ops_dpa4c_call)(&REAL(dgnn_reference_ops), &y, &y);
        REAL(ops_dpa4c_call)(ops, &x, &y);
        REAL(ops_dpa4c_compare_edges)(&c, &x, &y);
        REAL(ops_dpa4c_compare_atoms)(&c, &x, &y);
        REAL(ops_dpa4c_unmake)(&c);
    }
}
