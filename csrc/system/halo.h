/* Halos: which atoms have an image near another rank's atoms. */
#ifndef DGNN_SYSTEM_HALO_H
#define DGNN_SYSTEM_HALO_H

#include "base/alloc.h"
#include "geom/cell.h"

/* The fractions between which a rank's atoms lie. */
struct dgnn_halo_box {
    double low[3], high[3];
    int64_t natoms; /* 0: low and high mean nothing, and nothing is near */
};

/* Zero it before its first use. */
struct dgnn_halo {
    const int64_t *first; /* nbox + 1, CSR into row */
    const int32_t *row;   /* the atoms near each box, in increasing order */
    struct dgnn_buffer firsts;
    struct dgnn_buffer rows;
};

struct dgnn_halo_input {
    const struct dgnn_cell *cell;
    double reach;
    int64_t n;
    const double *positions; /* n x 3, wrapped */
    int32_t me;
    int32_t nbox;
    const struct dgnn_halo_box *box; /* nbox, mine among them */
};

void dgnn_halo_box(const struct dgnn_cell *cell, int64_t n, const double *positions,
                   struct dgnn_halo_box *box);

/* Of this rank's atoms, those with an image within reach of each other rank's box; mine gets none. The
 * distance to a box is exact (to 1e-10 of reach, upwards), in skewed cells too. Errors: MEMORY. */
int dgnn_halo_find(struct dgnn_halo *halo, const struct dgnn_halo_input *input, struct dgnn_error *error);

void dgnn_halo_free(struct dgnn_halo *halo);

#endif
