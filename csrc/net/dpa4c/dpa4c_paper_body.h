#include "base/real.h"

/* The weights in this element type, padded. They stay as they are. */
struct REAL(dpa4c_paper) {
    struct dgnn_dpa4c_shape shape;
    struct REAL(dgnn_dpa4c_radial) radial;
    struct REAL(dgnn_dpa4c_readout) readout;
    real *block; /* of everything that the two point to but the matrices */
};

static void REAL(dpa4c_free_paper)(struct REAL(dpa4c_paper) * p)
{
    REAL(dgnn_layer_matrix_free)(&p->radial.first);
    REAL(dgnn_layer_matrix_free)(&p->radial.second);
    dgnn_alloc_free(p->block);
    dgnn_alloc_free((void *)p->radial.table);
    dgnn_alloc_free((void *)p->readout.term);
}

static void REAL(dpa4c_fill)(struct REAL(dgnn_matrix) * m, int64_t column, int64_t nrow, int64_t ncol,
                             int64_t stride, const double *from)
{
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = 0; c < ncol; c++) {
            m->data[r * m->stride + column + c] = (real)from[r * stride + c];
        }
    }
}

static int REAL(dpa4c_load_radial)(const struct dpa4c_settings *s, struct REAL(dpa4c_paper) * p,
                                   struct dgnn_error *error)
{
    const struct dgnn_dpa4c_weights *w = &s->weights;
    struct REAL(dgnn_dpa4c_radial) *radial = &p->radial;
    int64_t n = s->params.n_radial, hidden = w->hidden, pad = dgnn_table_pad(hidden, REAL_LANES);
    radial->gaussian = s->gaussian;
    radial->nradial = n;
    radial->hidden = hidden;
    radial->hidden_stride = pad;
    radial->frequency = w->frequency;
    radial->width = s->params.rcut / (double)(n > 1 ? n - 1 : 1);
    DGNN_TRY(REAL(dgnn_layer_matrix)(n, 2 * pad, &radial->first, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(hidden, p->shape.radial_stride, &radial->second, error));
    REAL(dpa4c_fill)(&radial->first, 0, n, hidden, 2 * hidden, w->radial[0]);
    REAL(dpa4c_fill)(&radial->first, pad, n, hidden, 2 * hidden, w->radial[0] + hidden);
    REAL(dpa4c_fill)(&radial->second, 0, hidden, p->shape.channels, p->shape.channels, w->radial[1]);
    if (s->shape.modes) {
        REAL(dpa4c_fill)(&radial->second, p->shape.channel_stride, hidden, s->shape.modes, s->shape.modes,
                         w->mode);
    }
    return DGNN_OK;
}

/* Value, slope and curvature, over the step, of each radial function at step k. The curvature is a difference
 * of slopes: it only has to be good, for the interpolation is its own derivative whatever it is. knot: 3 x
 * count. */
static void REAL(dpa4c_knot)(const struct dpa4c_settings *s, double step, int64_t k, double *scratch,
                             double *knot)
{
    int64_t count = s->shape.channels + s->shape.modes;
    double r = step * (double)k, small = 1e-3 * step;
    double *before = scratch, *unused = scratch + count, *net = unused + count;
    dgnn_dpa4c_radial_at(s, r + small, net, unused, knot + 2 * count);
    dgnn_dpa4c_radial_at(s, r - small, net, unused, before);
    dgnn_dpa4c_radial_at(s, r, net, knot, knot + count);
    for (int64_t c = 0; c < count; c++) {
        knot[count + c] *= step;
        knot[2 * count + c] = (knot[2 * count + c] - before[c]) / (2 * small) * step * step;
    }
}

static void REAL(dpa4c_fill_table)(const struct dpa4c_settings *s, const struct REAL(dpa4c_paper) * p,
                                   double *scratch, real *table)
{
    const struct dgnn_dpa4c_shape *shape = &p->shape;
    int64_t count = shape->channels + shape->modes, stride = shape->radial_stride;
    double *knot[2] = {scratch, scratch + 3 * count}, *rest = scratch + 6 * count, power[6];
    REAL(dpa4c_knot)(s, p->radial.interval, 0, rest, knot[0]);
    for (int64_t k = 0; k < p->radial.ninterval; k++) {
        const double *begin = knot[k % 2], *end = knot[(k + 1) % 2];
        REAL(dpa4c_knot)(s, p->radial.interval, k + 1, rest, knot[(k + 1) % 2]);
        for (int64_t c = 0; c < count; c++) {
            int64_t place = c < shape->channels ? c : shape->channel_stride + c - shape->channels;
            const double at[2][3] = {{begin[c], begin[count + c], begin[2 * count + c]},
                                     {end[c], end[count + c], end[2 * count + c]}};
            dgnn_dpa4c_quintic(at[0], at[1], power);
            for (int64_t j = 0; j < 6; j++) {
                table[(6 * k + j) * stride + place] = (real)power[j];
            }
        }
    }
}

static int REAL(dpa4c_load_table)(const struct dpa4c_settings *s, struct REAL(dpa4c_paper) * p,
                                  struct dgnn_error *error)
{
    enum { DPA4C_INTERVALS = 256 };
    int64_t count = 8 * (p->shape.channels + p->shape.modes) + 2 * s->params.n_radial + 4 * s->weights.hidden;
    if (!s->radial_table) {
        return DGNN_OK;
    }
    double *scratch = dgnn_alloc(count, sizeof(double));
    real *table = dgnn_alloc_zeroed(DPA4C_INTERVALS, 6 * sizeof(real) * (size_t)p->shape.radial_stride);
    p->radial.table = table;
    if (!scratch || !table) {
        dgnn_alloc_free(scratch);
        return dgnn_status_no_memory(error, "the radial table",
                                     DPA4C_INTERVALS * 6 * p->shape.radial_stride * (int64_t)sizeof(real));
    }
    p->radial.interval = s->params.rcut / DPA4C_INTERVALS;
    p->radial.ninterval = DPA4C_INTERVALS;
    REAL(dpa4c_fill_table)(s, p, scratch, table);
    dgnn_alloc_free(scratch);
    return DGNN_OK;
}

/* n numbers at the end of *at. */
static const real *REAL(dpa4c_take)(const double *from, int64_t n, real **at)
{
    real *to = *at;
    for (int64_t k = 0; k < n; k++) {
        to[k] = (real)from[k];
    }
    *at += n;
    return to;
}

static void REAL(dpa4c_set_readout)(const struct dpa4c_settings *s, struct REAL(dpa4c_paper) * p, real *at)
{
    const struct dgnn_dpa4c_weights *w = &s->weights;
    struct REAL(dgnn_dpa4c_readout) *r = &p->readout;
    const struct dgnn_dpa4c_shape *shape = &p->shape;
    real *scale;
    r->shape = shape;
    for (int64_t l = 1; l <= shape->lmax; l++) {
        r->probe_first[l] = s->probe_first[l];
        if (l <= 2) {
            r->alignment[l] = REAL(dpa4c_take)(w->alignment[l], shape->width[l] * shape->width[l], &at);
        }
        if (w->probe[l]) {
            r->probe[l] = REAL(dpa4c_take)(w->probe[l], shape->width[l] * shape->rank[l], &at);
        }
    }
    r->nprobe = s->nprobe;
    r->nterm = s->ncoupling;
    r->nbispectrum = s->nbispectrum;
    r->mean = REAL(dpa4c_take)(w->mean, shape->dim_out, &at);
    r->scale = scale = at;
    at += shape->dim_out;
    int64_t n = shape->width[2], wide = 1 + 2 * n, last = shape->dim_out - shape->channels - 2;
    int64_t first = shape->nspin ? last - (wide * (wide + 1) / 2 + 2 + 4 * n) : last;
    for (int64_t k = 0; k < shape->dim_out; k++) {
        scale[k] = (real)((k >= first && k < last ? w->spin_gate : 1) / w->deviation[k]);
    }
    if (shape->nspin) {
        r->spin_weight = REAL(dpa4c_take)(w->spin_weight, 2 * s->ntypes, &at);
    }
}

static int REAL(dpa4c_load_readout)(const struct dpa4c_settings *s, struct REAL(dpa4c_paper) * p,
                                    struct dgnn_error *error)
{
    const struct dgnn_dpa4c_shape *shape = &p->shape;
    int64_t count = 2 * shape->dim_out + 2 * s->ntypes;
    for (int64_t l = 1; l <= shape->lmax; l++) {
        count += shape->width[l] * (shape->width[l] + shape->rank[l]);
    }
    struct REAL(dgnn_dpa4c_term) *term = dgnn_alloc(s->ncoupling, sizeof(*term));
    p->readout.term = term;
    p->block = dgnn_alloc(count, sizeof(real));
    if (!term || !p->block) {
        return dgnn_status_no_memory(error, "weights", count * (int64_t)sizeof(real));
    }
    for (int64_t k = 0; k < s->ncoupling; k++) {
        const struct dgnn_dpa4c_coupling *c = &s->coupling[k];
        term[k] = (struct REAL(dgnn_dpa4c_term)){c->out, c->a, c->b, c->c, (real)c->value};
    }
    REAL(dpa4c_set_readout)(s, p, p->block);
    return DGNN_OK;
}

static int REAL(dpa4c_load_paper)(const struct dpa4c_settings *s, struct REAL(dpa4c_paper) * p,
                                  struct dgnn_error *error)
{
    p->shape = s->shape;
    dgnn_dpa4c_set_strides(&p->shape, REAL_LANES);
    DGNN_TRY(REAL(dpa4c_load_radial)(s, p, error));
    DGNN_TRY(REAL(dpa4c_load_table)(s, p, error));
    return REAL(dpa4c_load_readout)(s, p, error);
}

/* ---------------------------------------------------------------- the weights of a backend */

struct REAL(dpa4c) {
    struct dpa4c_settings *settings;
    const struct REAL(dgnn_ops) * ops;
    struct REAL(dpa4c_paper) paper;
};

static void REAL(dpa4c_free)(void *weights)
{
    struct REAL(dpa4c) *d = weights;
    if (d) {
        REAL(dpa4c_free_paper)(&d->paper);
        dgnn_alloc_free(d);
    }
}

static int REAL(dpa4c_load)(void *settings, void **out, struct dgnn_error *error)
{
    struct REAL(dpa4c) *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->settings = settings;
    d->ops = REAL(dgnn_select_ops)(d->settings->cpu);
    int status = REAL(dpa4c_load_paper)(d->settings, &d->paper, error);
    if (status) {
        REAL(dpa4c_free)(d);
        return status;
    }
    *out = d;
    return DGNN_OK;
}
