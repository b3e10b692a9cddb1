#include "system/results.h"

#include <string.h>

struct dgnn_results_shape dgnn_results_shape(int has_spins, int has_atom_virial)
{
    struct dgnn_results_shape shape = {.forces_mag = has_spins ? 3 : -1, .width = has_spins ? 6 : 3};
    shape.atom_virial = has_atom_virial ? shape.width : -1;
    shape.width += has_atom_virial ? 9 : 0;
    return shape;
}

void dgnn_results_take(const struct dgnn_node_result *r, const struct dgnn_results_shape *shape, int64_t i,
                       double *out)
{
    memcpy(out, r->forces + 3 * i, 3 * sizeof(double));
    if (shape->forces_mag >= 0) {
        memcpy(out + shape->forces_mag, r->forces_mag + 3 * i, 3 * sizeof(double));
    }
    if (shape->atom_virial >= 0) {
        memcpy(out + shape->atom_virial, r->atom_virial + 9 * i, 9 * sizeof(double));
    }
}

void dgnn_results_put(const double *rows, const struct dgnn_results_shape *shape, int64_t n,
                      struct dgnn_node_result *r)
{
    for (int64_t i = 0; i < n; i++) {
        const double *row = rows + shape->width * i;
        memcpy(r->forces + 3 * i, row, 3 * sizeof(double));
        if (shape->forces_mag >= 0) {
            memcpy(r->forces_mag + 3 * i, row + shape->forces_mag, 3 * sizeof(double));
        }
        if (shape->atom_virial >= 0) {
            memcpy(r->atom_virial + 9 * i, row + shape->atom_virial, 9 * sizeof(double));
        }
    }
}
