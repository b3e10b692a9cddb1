/* The cell: lattice vectors, its inverse, and wrapping into it. */
#ifndef DGNN_GEOM_CELL_H
#define DGNN_GEOM_CELL_H

#include "base/status.h"

/* Coordinates beyond this many Angstrom, or this many cells out, have lost the digits that distances need. */
#define DGNN_CELL_MAX_COORDINATE 1e8
#define DGNN_CELL_MAX_WRAP       (1 << 20)

struct dgnn_cell {
    double h[9]; /* rows are lattice vectors: the box's, or shorter ones of its lattice; without a box: the
                    identity */
    double inverse[9]; /* fraction k of a position x is sum_c x[c] * inverse[3 * c + k] */
    double spacing[3]; /* distance of the lattice planes that vector k steps between */
    double volume;     /* absolute, of the box; 0 without one */
    int32_t pbc[3];    /* 0 or 1; all 0 without a box */
    int32_t has_box;
};

/* box: 3 x 3 rows, or NULL for an open system (pbc is then not read). A left-handed box is taken as it is.
 * One whose volume is below 1e-9 of the product of its lengths, or whose planes along a periodic vector are
 * closer than 0.001 A, is replaced by shorter vectors of its lattice, by integer multiples of the periodic
 * ones. INPUT where it is not finite, or is singular: still below 1e-9. */
int dgnn_cell_set(struct dgnn_cell *cell, const double *box, const int32_t pbc[3], struct dgnn_error *error);

/* The same lattice and periodicity, bit for bit? */
int dgnn_cell_same(const struct dgnn_cell *a, const struct dgnn_cell *b);

/* Fractional coordinates, not wrapped. */
void dgnn_cell_fraction(const struct dgnn_cell *cell, const double position[3], double fraction[3]);

/* Where dgnn_cell_wrap writes; all but positions may be NULL. */
struct dgnn_cell_wrapped {
    double *positions; /* n x 3: position - wrap . h; may be the input */
    int32_t *wraps;    /* n x 3; 0 along axes that are not periodic */
    double *fractions; /* n x 3: in [0, 1) along periodic axes, never -0; decides which brick owns the atom */
    const int64_t *labels; /* n: what messages call each position; NULL: its index */
};

/* Wraps n positions along the periodic axes; a position that needs none keeps its bits. INPUT, with the label
 * and the axis, where a coordinate is not finite or is too far out. */
int dgnn_cell_wrap(const struct dgnn_cell *cell, int64_t n, const double *positions,
                   const struct dgnn_cell_wrapped *wrapped, struct dgnn_error *error);

#endif
