/* The cell: its lattice vectors, their inverse, and the wrapping of positions into it. */
#ifndef DGNN_GEOM_CELL_H
#define DGNN_GEOM_CELL_H

#include "base/status.h"

/* A coordinate beyond this many Angstrom, or this many cells outside, has lost the digits that distances
 * need. */
#define DGNN_CELL_MAX_COORDINATE 1e8
#define DGNN_CELL_MAX_WRAP       (1 << 20)

struct dgnn_cell {
    double h[9]; /* rows are lattice vectors: the box's, or shorter ones of the same lattice; the identity
                    without a box */
    double inverse[9]; /* fraction k of position x = sum_c x[c] * inverse[3 * c + k] */
    double spacing[3]; /* Angstrom between the lattice planes that vector k connects */
    double volume;     /* A^3, of the box, positive; 0 without one */
    int32_t pbc[3];    /* 0 or 1; all 0 without a box */
    int32_t has_box;
};

/* Sets a cell. box is 3 x 3 with the lattice vectors as rows, or NULL for an open system, where pbc is not
 * read. A left-handed box is allowed.
 *
 * Some boxes are replaced by shorter vectors of the same lattice, which come from adding integer multiples of
 * the periodic vectors. These are boxes whose volume is less than 1e-9 of the product of their lengths, and
 * those whose planes along a periodic vector are closer than 0.001 A. Errors: INPUT where the box is not
 * finite, or where its volume is still less than 1e-9 of that product. */
int dgnn_cell_set(struct dgnn_cell *cell, const double *box, const int32_t pbc[3], struct dgnn_error *error);

/* Returns 1 where lattice and periodicity are the same, bit for bit. */
int dgnn_cell_same(const struct dgnn_cell *a, const struct dgnn_cell *b);

/* fraction[k] = sum_c position[c] * inverse[3 * c + k]; it is not wrapped. */
void dgnn_cell_fraction(const struct dgnn_cell *cell, const double position[3], double fraction[3]);

/* What dgnn_cell_wrap writes. All but positions may be NULL. */
struct dgnn_cell_wrapped {
    double *positions; /* n x 3: position - wrap . h; may be the input */
    int32_t *wraps;    /* n x 3; 0 along axes that are not periodic */
    double *fractions; /* n x 3: in [0, 1) along periodic axes, never -0; they decide which brick owns an atom
                        */
    const int64_t *labels; /* n: names of the positions in messages, which are read; NULL: their indices */
};

/* Wraps n positions along the periodic axes. A position inside the cell keeps its bits. Errors: INPUT, with
 * label and axis, where a coordinate is not finite or too far outside. */
int dgnn_cell_wrap(const struct dgnn_cell *cell, int64_t n, const double *positions,
                   const struct dgnn_cell_wrapped *wrapped, struct dgnn_error *error);

#endif
