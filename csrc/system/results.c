#include "system/results.h"

#include <string.h>

struct dgnn_results_shape dgnn_results_shape(const struct dgnn_node_form *form, int has_spins,
                                             int has_atom_virial)
{
    struct dgnn_results_shape shape = {
        .forces = 0, .forces_mag = has_spins ? 3 : -1, .output_forces = -1, .width = has_spins ? 6 : 3};
    if (form->width) {
        int64_t place = form->has_derivatives ? 0 : -1;
        return (struct dgnn_results_shape){.forces = -1,
                                           .forces_mag = -1,
                                           .atom_virial = -1,
                                           .output_forces = place,
                                           .width = form->has_derivatives ? 9 : 0};
    }
    shape.atom_virial = has_atom_virial ? shape.width : -1;
    shape.width += has_atom_virial ? 9 : 0;
    return shape;
}

/* The parts of a row: where each begins, how long it is, and the array that it belongs to. */
struct results_part {
    int64_t place, length;
    double *rows;
};

enum { RESULTS_PARTS = 4 };

static void results_parts(const struct dgnn_node_result *r, const struct dgnn_results_shape *shape,
                          struct results_part parts[RESULTS_PARTS])
{
    parts[0] = (struct results_part){shape->forces, 3, r->forces};
    parts[1] = (struct results_part){shape->forces_mag, 3, r->forces_mag};
    parts[2] = (struct results_part){shape->atom_virial, 9, r->atom_virial};
    parts[3] = (struct results_part){shape->output_forces, 9, r->output_forces};
}

void dgnn_results_pack(const struct dgnn_node_result *r, const struct dgnn_results_shape *shape, int64_t i,
                       double *out)
{
    struct results_part parts[RESULTS_PARTS];
    results_parts(r, shape, parts);
    for (int p = 0; p < RESULTS_PARTS; p++) {
        if (parts[p].place >= 0) {
            memcpy(out + parts[p].place, parts[p].rows + parts[p].length * i,
                   sizeof(double) * (size_t)parts[p].length);
        }
    }
}

void dgnn_results_unpack(const double *rows, const struct dgnn_results_shape *shape, int64_t n,
                         struct dgnn_node_result *r)
{
    struct results_part parts[RESULTS_PARTS];
    results_parts(r, shape, parts);
    for (int64_t i = 0; i < n; i++) {
        for (int p = 0; p < RESULTS_PARTS; p++) {
            if (parts[p].place >= 0) {
                memcpy(parts[p].rows + parts[p].length * i, rows + shape->width * i + parts[p].place,
                       sizeof(double) * (size_t)parts[p].length);
            }
        }
    }
}

enum { RESULTS_VIRIAL = 27 };

int64_t dgnn_results_ntotal(const struct dgnn_node_form *form)
{
    return form->width ? form->width + 1 + RESULTS_VIRIAL : 0;
}

void dgnn_results_total(const struct dgnn_node_result *r, int64_t nowned, double *total)
{
    int64_t width = r->form.width;
    memset(total, 0, sizeof(double) * (size_t)dgnn_results_ntotal(&r->form));
    for (int64_t i = 0; i < nowned; i++) {
        for (int64_t c = 0; c < width; c++) {
            total[c] += r->output[i * width + c];
        }
    }
    total[width] = r->ncounted;
    if (r->form.has_derivatives) {
        memcpy(total + width + 1, r->output_virial, sizeof(r->output_virial));
    }
}

void dgnn_results_set_total(const struct dgnn_node_form *form, const double *total, struct dgnn_result *to)
{
    double count = total[form->width];
    for (int64_t c = 0; c < form->width && to->output; c++) {
        to->output[c] = !form->is_mean ? total[c] : count > 0 ? total[c] / count : 0;
    }
    memcpy(to->output_virial, total + form->width + 1, sizeof(to->output_virial));
}

void dgnn_results_clear(const struct dgnn_nodes *nodes, struct dgnn_node_result *out)
{
    for (int k = 0; k < DGNN_FEATURES_KINDS; k++) {
        if (out->features.width[k]) {
            memset(out->features.rows[k], 0,
                   sizeof(double) * (size_t)(out->features.width[k] * nodes->nowned));
        }
    }
    double *arrays[] = {out->energy,     out->output,      out->forces,
                        out->forces_mag, out->atom_virial, out->output_forces};
    const int64_t sizes[] = {nodes->nowned,   out->form.width * nodes->nowned,
                             3 * nodes->nrow, 3 * nodes->nrow,
                             9 * nodes->nrow, 9 * nodes->nrow};
    for (size_t k = 0; k < sizeof(arrays) / sizeof(arrays[0]); k++) {
        if (arrays[k]) {
            memset(arrays[k], 0, sizeof(double) * (size_t)sizes[k]);
        }
    }
}
