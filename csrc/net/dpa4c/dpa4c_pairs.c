/* What depends on types alone, or on a distance alone: in float64, plain C. Tables are made of it. */
#include <math.h>
#include <string.h>

#include "net/dpa4c/dpa4c_settings.h"

static void pairs_product(int64_t nin, int64_t nout, const double *x, const double *w, double *y)
{
    for (int64_t c = 0; c < nout; c++) {
        y[c] = 0;
    }
    for (int64_t k = 0; k < nin; k++) {
        for (int64_t c = 0; c < nout; c++) {
            y[c] += x[k] * w[k * nout + c];
        }
    }
}

void dgnn_dpa4c_swiglu(const struct dgnn_dpa4c_widths *widths, double *const w[2], const double *bias,
                       const double *x, double *scratch, double *y)
{
    int64_t hidden = widths->hidden;
    pairs_product(widths->nin, 2 * hidden, x, w[0], scratch);
    for (int64_t k = 0; k < 2 * hidden && bias; k++) {
        scratch[k] += bias[k];
    }
    for (int64_t k = 0; k < hidden; k++) {
        scratch[k] = scratch[k] / (1 + exp(-scratch[k])) * scratch[hidden + k];
    }
    pairs_product(hidden, widths->nout, scratch, w[1], y);
}

int dgnn_dpa4c_charge(const struct dpa4c_settings *s, const double *charge_spin, double *scratch,
                      double *shift, double *bias, struct dgnn_error *error)
{
    const struct dgnn_dpa4c_weights *w = &s->weights;
    int64_t n = s->shape.channels, nout = n + 2 * w->pair_hidden;
    double charge = trunc(charge_spin[0]) + 100, spin = trunc(charge_spin[1]);
    if (!(charge >= 0 && charge < DGNN_DPA4C_NCHARGE && spin >= 0 && spin < DGNN_DPA4C_NSPIN)) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "charge_spin: charge %g and spin %g; the charge must be in [-100, 99], the spin in "
            "[0, 99]",
            charge_spin[0], charge_spin[1]);
    }
    double *joined = scratch + nout, *hidden = joined + 2 * n;
    memcpy(joined, w->charge_table + (int64_t)charge * n, sizeof(double) * (size_t)n);
    memcpy(joined + n, w->charge_spin_table + (int64_t)spin * n, sizeof(double) * (size_t)n);
    dgnn_dpa4c_swiglu(&(struct dgnn_dpa4c_widths){2 * n, w->hidden, nout}, w->charge, NULL, joined, hidden,
                      scratch);
    memcpy(shift, scratch, sizeof(double) * (size_t)n);
    memcpy(bias, scratch + n, sizeof(double) * (size_t)(2 * w->pair_hidden));
    return DGNN_OK;
}

void dgnn_dpa4c_pair(const struct dpa4c_settings *s, int32_t centre, int32_t neighbour, const double *bias,
                     double *scratch, double *row)
{
    const struct dgnn_dpa4c_weights *w = &s->weights;
    int64_t n = s->shape.channels, modes = s->shape.modes, spins = s->shape.nspin ? s->shape.width[2] : 0;
    const double *a = w->type_table + centre * n, *b = w->type_table + neighbour * n;
    double *joined = scratch, *hidden = joined + 2 * n, *o = hidden + 2 * w->pair_hidden;
    memcpy(joined, a, sizeof(double) * (size_t)n);
    memcpy(joined + n, b, sizeof(double) * (size_t)n);
    const struct dgnn_dpa4c_widths widths = {2 * n, w->pair_hidden, w->pair_width};
    dgnn_dpa4c_swiglu(&widths, w->pair, bias, joined, hidden, o);
    for (int64_t k = 0; k < w->pair_width; k++) {
        o[k] *= w->pair_scale;
    }
    for (int64_t c = 0; c < n; c++) {
        row[c] = 1 + tanh(o[c]);
        row[n + c] = a[c] + b[c] + tanh(o[n + c]);
        for (int64_t m = 0; m < modes; m++) {
            row[(2 + m) * n + c] = tanh(o[2 * n + c * modes + m]);
        }
    }
    row += (2 + modes) * n;
    o += (2 + modes) * n;
    for (int64_t c = 0; c < spins; c++) {
        row[c] = tanh(w->spin_anchor[0][c] + o[c]);
        row[spins + c] = tanh(w->spin_anchor[1][c] + o[spins + c]);
    }
}

/* Value and slope of the basis. Near 0 the Bessel functions' slopes are differences of large numbers: there
 * their series. */
static void pairs_basis(const struct dpa4c_settings *s, double r, double *value, double *slope)
{
    int64_t n = s->params.n_radial;
    double width = s->params.rcut / (double)(n > 1 ? n - 1 : 1);
    for (int64_t k = 0; k < n; k++) {
        double f = s->weights.frequency[k], x = f * r;
        if (s->gaussian) {
            double z = (r - f) / width;
            value[k] = exp(-0.5 * z * z);
            slope[k] = -value[k] * z / width;
        } else if (fabs(x) < 1e-2) {
            value[k] = f * (1 - x * x / 6 * (1 - x * x / 20 * (1 - x * x / 42)));
            slope[k] = -f * f * x / 3 * (1 - x * x / 10 * (1 - x * x / 28));
        } else {
            value[k] = sin(x) / r;
            slope[k] = (f * cos(x) - value[k]) / r;
        }
    }
}

void dgnn_dpa4c_radial_at(const struct dpa4c_settings *s, double r, double *scratch, double *value,
                          double *slope)
{
    const struct dgnn_dpa4c_weights *w = &s->weights;
    int64_t n = s->params.n_radial, hidden = w->hidden, channels = s->shape.channels, modes = s->shape.modes;
    double *basis = scratch, *d_basis = basis + n, *pre = d_basis + n, *d_pre = pre + 2 * hidden;
    pairs_basis(s, r, basis, d_basis);
    pairs_product(n, 2 * hidden, basis, w->radial[0], pre);
    pairs_product(n, 2 * hidden, d_basis, w->radial[0], d_pre);
    for (int64_t k = 0; k < hidden; k++) {
        double sigmoid = 1 / (1 + exp(-pre[k])), silu = pre[k] * sigmoid, v = pre[hidden + k];
        d_pre[k] = (sigmoid + silu * (1 - sigmoid)) * d_pre[k] * v + silu * d_pre[hidden + k];
        pre[k] = silu * v;
    }
    pairs_product(hidden, channels, pre, w->radial[1], value);
    pairs_product(hidden, channels, d_pre, w->radial[1], slope);
    if (modes) {
        pairs_product(hidden, modes, pre, w->mode, value + channels);
        pairs_product(hidden, modes, d_pre, w->mode, slope + channels);
    }
}
