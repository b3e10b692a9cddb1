/* Bricks: fractional space cut into one box for each rank.
 *
 * Slabs along the first lattice vector, columns in each slab, bricks in each column: every cut halves, or
 * parts in grid[k], the work of the atoms that it finds. Cuts come from sums over all ranks' atoms alone, of
 * whole numbers, so they do not depend on who passes an atom. Rank (i, j, k) of the grid is (i grid[1] + j)
 * grid[2] + k. */
#ifndef DGNN_SYSTEM_BRICKS_H
#define DGNN_SYSTEM_BRICKS_H

#include "base/alloc.h"
#include "comm/transport.h"
#include "geom/cell.h"

/* Zero it before its first use. */
struct dgnn_bricks {
    int32_t grid[3];
    double low[3], high[3]; /* fractions of all atoms */
    double reach;           /* Angstrom: bricks are near where atoms of theirs may be within it */
    double margin[3];       /* reach in fractions, and a little more */
    int32_t pbc[3];
    double *cut[3]; /* grid[k] - 1 inner cuts for each slab (k 0), column's slab (1) and column (2); only
                     * those that this rank knows */
    struct dgnn_buffer cuts;
    struct dgnn_buffer sums;   /* the histogram of the box that this rank cuts */
    struct dgnn_buffer items;  /* the work of its atoms, and of those in that box */
    struct dgnn_buffer told;   /* the cuts of that box for other ranks, and those of other boxes from them */
    struct dgnn_buffer counts; /* of messages */
};

/* The grid of nrank with the fewest ghosts: the volume within reach of a brick of equal share, less the
 * brick's. wanted all 0: chosen; else its product must be nrank, or INPUT. low, high and reach are set
 * before. */
int dgnn_bricks_choose(struct dgnn_bricks *bricks, const struct dgnn_cell *cell, double reach, int32_t nrank,
                       const int32_t wanted[3], struct dgnn_error *error);

/* All memory for the cuts of the chosen grid but that of atoms. Errors: MEMORY. */
int dgnn_bricks_reserve(struct dgnn_bricks *bricks, struct dgnn_error *error);

/* This rank's atoms. */
struct dgnn_bricks_atoms {
    int64_t n;
    const double *fractions; /* n x 3 */
    const int64_t *work;     /* n: what each costs, > 0; NULL: 1 */
};

/* Collective: the cuts. Each box is cut by one rank within it, which hears of the atoms in it, and tells the
 * ranks that passed these and the ranks of boxes that are near. The first cut is for all: its work is summed
 * up a tree of ranks. Errors: COMM, MEMORY. */
int dgnn_bricks_cut(struct dgnn_bricks *bricks, const struct dgnn_bricks_atoms *atoms, struct dgnn_comm *comm,
                    struct dgnn_error *error);

/* The rank whose brick a place is in, that of an atom which was passed here. */
int32_t dgnn_bricks_rank(const struct dgnn_bricks *bricks, const double fraction[3]);

/* May atoms of this rank's brick and of the other rank's be within reach of one another? Both find the same
 * answer. */
int dgnn_bricks_near(const struct dgnn_bricks *bricks, int32_t me, int32_t other);

void dgnn_bricks_free(struct dgnn_bricks *bricks);

#endif
