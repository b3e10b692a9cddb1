#include "model/finite.h"

#include <math.h>

int dgnn_finite_total(double energy, struct dgnn_error *error)
{
    return isfinite(energy)
               ? DGNN_OK
               : dgnn_status_set(error, DGNN_ERROR_INPUT,
                                 "energy: each atom's is finite and their sum is not; does the model have "
                                 "an energy of a type (out_bias, bias_atom_e) that is far too large?");
}

static int finite_output(const struct dgnn_node_result *r, const struct dgnn_nodes *atoms,
                         struct dgnn_error *error)
{
    for (int64_t i = 0; i < atoms->nowned; i++) {
        int finite = 1;
        for (int64_t c = 0; c < r->form.width; c++) {
            finite = finite && isfinite(r->output[i * r->form.width + c]);
        }
        for (int c = 0; c < 9 && r->output_forces; c++) {
            finite = finite && isfinite(r->output_forces[9 * i + c]);
        }
        if (!finite) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "coords: the answer of atom %lld is not finite; atoms far too close together?",
                (long long)atoms->labels[i]);
        }
    }
    return DGNN_OK;
}

int dgnn_finite_result(const struct dgnn_node_result *r, const struct dgnn_nodes *atoms,
                       struct dgnn_error *error)
{
    double total = 0;
    if (r->form.width) {
        return finite_output(r, atoms, error);
    }
    for (int64_t i = 0; i < atoms->nowned; i++) {
        int finite = isfinite(r->energy[i]);
        total += r->energy[i];
        for (int c = 0; c < 3; c++) {
            finite = finite && isfinite(r->forces[3 * i + c]) &&
                     (!r->forces_mag || isfinite(r->forces_mag[3 * i + c]));
        }
        if (!finite) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "coords: energy or force of atom %lld is not finite; atoms far too close together"
                " (or, with spins, a spin that is nearly zero)?",
                (long long)atoms->labels[i]);
        }
    }
    return dgnn_finite_total(total, error);
}
