/* Halos: the atoms that have an image near another rank's atoms. */
#ifndef DGNN_SYSTEM_HALO_H
#define DGNN_SYSTEM_HALO_H

#include "base/alloc.h"
#include "geom/cell.h"

/* The box of fractions that holds a rank's atoms. */
struct dgnn_halo_box {
    double low[3], high[3];
    int64_t natoms; /* 0: low and high have no meaning, and no atom is near */
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
    const struct dgnn_halo_box *box; /* nbox, this rank's included */
};

void dgnn_halo_box(const struct dgnn_cell *cell, int64_t n, const double *positions,
                   struct dgnn_halo_box *box);

/* Finds for each other rank the atoms of this rank that have an image within reach of its box. This rank's
 * own box gets none. The distance to a box is exact in skewed cells too; reach is exceeded by 1e-10 of it at
 * most. Errors: MEMORY. */
int dgnn_halo_find(struct dgnn_halo *halo, const struct dgnn_halo_input *input, struct dgnn_error *error);

void dgnn_halo_free(struct dgnn_halo *halo);

#endif
