/* Widths, ranks and strides: what follows from channels, lmax, modes and spins alone. */
#include "net/dpa4c/dpa4c_settings.h"

static void shape_widths(const struct dpa4c_params *p, struct dgnn_dpa4c_shape *shape)
{
    int64_t exponent = 0, one;
    while ((INT64_C(2) << exponent) <= p->channels) {
        exponent++;
    }
    one = INT64_C(1) << ((exponent + 1) / 2);
    one = one < 4 ? 4 : one;
    *shape = (struct dgnn_dpa4c_shape){.channels = p->channels, .lmax = p->lmax, .modes = p->radial_modes};
    shape->width[0] = p->channels;
    shape->width[1] = one;
    shape->width[2] = one / 2 < 4 ? 4 : one / 2;
    shape->rank[1] = shape->width[2];
    shape->rank[2] = 2;
    for (int64_t l = 3; l <= p->lmax; l++) {
        shape->width[l] = shape->rank[l] = 1;
    }
    shape->nangular = (p->lmax + 1) * (p->lmax + 1) - 1;
}

int dgnn_dpa4c_set_widths(struct dpa4c_settings *s, int has_spins, struct dgnn_error *error)
{
    const struct dpa4c_params *p = &s->params;
    struct dgnn_dpa4c_shape *shape = &s->shape;
    shape_widths(p, shape);
    shape->nspin = has_spins ? DGNN_DPA4C_SPIN_ROWS : 0;
    DGNN_TRY(dgnn_dpa4c_make_couplings(s, error));
    int64_t n = shape->width[2], wide = 1 + 2 * n;
    shape->dim_out = 2 * p->channels + 2 + s->nbispectrum + shape->rank[1] * shape->rank[2];
    for (int64_t l = 1; l <= p->lmax; l++) {
        shape->dim_out += shape->width[l] * (shape->width[l] + 1) / 2;
    }
    shape->dim_out += shape->nspin ? wide * (wide + 1) / 2 + 2 + 4 * n : 0;
    return DGNN_OK;
}

static int64_t shape_pad(int64_t n, int64_t lanes)
{
    return (n + lanes - 1) / lanes * lanes;
}

void dgnn_dpa4c_set_strides(struct dgnn_dpa4c_shape *s, int64_t lanes)
{
    s->channel_stride = shape_pad(s->channels, lanes);
    s->line = shape_pad(s->width[1], lanes);
    s->spin_begin = shape_pad(s->nangular, lanes);
    s->coefficient_stride = s->spin_begin + shape_pad(s->nspin, lanes);
    s->radial_stride = s->channel_stride + shape_pad(s->modes, lanes);
    s->pair_stride = (2 + s->modes) * s->channel_stride + (s->nspin ? 2 * s->line : 0);
    s->moment_stride = s->channel_stride + (s->nangular + s->nspin) * s->line;
}
