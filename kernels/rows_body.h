#include "base/real.h"

/* A graph's vectors from positions, and sums over edges' gradients (csrc/geom/gradient.h has the formulas). A
 * row adds what it gets in the order of its edges, so that results repeat bit for bit. */

#define ROWS(name)                                                                                           \
    KERNEL_FUNCTION void KERNEL_JOIN(REAL(name), _item)(const struct REAL(dgnn_kernel_rows) & k, int64_t t)
#define ROWS_KERNEL(name) KERNEL_ITEMS(REAL(name), struct REAL(dgnn_kernel_rows))

/* x_j + shift - x_i, in the order of csrc/geom/pairvector.c. */
ROWS(edge_vector)
{
    const int32_t *shift = k.shift + 3 * t;
    int64_t i = k.edge_centre[t], j = k.row[t];
    double s0 = shift[0], s1 = shift[1], s2 = shift[2];
    for (int c = 0; c < 3; c++) {
        double image = k.position[3 * j + c] + ((s0 * k.cell[c] + s1 * k.cell[3 + c]) + s2 * k.cell[6 + c]);
        double d = image - k.position[3 * i + c];
        k.vector[3 * t + c] = d;
        if (k.displacement) {
            k.displacement[3 * t + c] =
                (real)(d + (k.offset ? k.offset[3 * i + c] - k.offset[3 * j + c] : 0.0));
        }
    }
}
ROWS_KERNEL(edge_vector)

ROWS(row_force)
{
    int64_t row = t / 3, c = t % 3;
    double sum = 0;
    for (int64_t q = k.row_first[row]; q < k.row_first[row + 1]; q++) {
        sum -= k.edge_gradient[3 * (int64_t)k.row_edge[q] + c];
    }
    for (int64_t e = row < k.nowned ? k.first[row] : 0; row < k.nowned && e < k.first[row + 1]; e++) {
        sum += k.edge_gradient[3 * e + c];
    }
    k.forces[t] = sum;
}
ROWS_KERNEL(row_force)

/* A number of a row's virial: -g (x) d of the edges that end there, and their moments, less those of its own.
 */
ROWS(row_virial)
{
    int64_t row = t / 9, a = t % 9 / 3, b = t % 3;
    const double *moment = k.edge_moment ? k.edge_moment + 3 * b * k.nedge + a : nullptr;
    double sum = 0;
    for (int64_t q = k.row_first[row]; q < k.row_first[row + 1]; q++) {
        int64_t e = k.row_edge[q];
        sum -= k.edge_gradient[3 * e + a] * k.vector[3 * e + b];
        sum -= moment ? moment[3 * e] : 0.0;
    }
    int has_own = moment && row < k.nowned;
    for (int64_t e = has_own ? k.first[row] : 0; has_own && e < k.first[row + 1]; e++) {
        sum += moment[3 * e];
    }
    k.atom_virial[t] = sum;
}
ROWS_KERNEL(row_virial)

ROWS(virial_part)
{
    int64_t from = t / 9 * DGNN_VIRIAL_CENTRES, end = from + DGNN_VIRIAL_CENTRES, a = t % 9 / 3, b = t % 3;
    double sum = 0;
    for (int64_t e = k.first[from]; e < k.first[end < k.nowned ? end : k.nowned]; e++) {
        sum -= k.edge_gradient[3 * e + a] * k.vector[3 * e + b];
    }
    k.virial_part[t] = sum;
}
ROWS_KERNEL(virial_part)

ROWS(virial_sum)
{
    int64_t from = t / 9 * DGNN_VIRIAL_PARTS, end = from + DGNN_VIRIAL_PARTS;
    double sum = 0;
    for (int64_t part = from; part < end && part < k.npart; part++) {
        sum += k.virial_part[9 * part + t % 9];
    }
    k.virial[t] = sum;
}
ROWS_KERNEL(virial_sum)
