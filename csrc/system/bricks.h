/* Bricks: fractional space is cut into one box for each rank.
 *
 * Space is cut into grid[0] slabs along the first lattice vector, each slab into grid[1] columns, and each
 * column into grid[2] bricks. Each cut divides the cost of the atoms evenly. Cuts come from sums of whole
 * numbers over the atoms of all ranks, so they do not depend on which rank passes an atom. Place (i, j, k) of
 * the grid belongs to rank (i grid[1] + j) grid[2] + k. */
#ifndef DGNN_SYSTEM_BRICKS_H
#define DGNN_SYSTEM_BRICKS_H

#include "base/alloc.h"
#include "comm/transport.h"
#include "geom/cell.h"

/* The caller zeroes it before its first use. */
struct dgnn_bricks {
    int32_t grid[3];
    double low[3], high[3]; /* fractions of all atoms */
    double reach;           /* Angstrom: two bricks are near where atoms of theirs may be within it */
    double margin[3];       /* reach in fractions, and a little more */
    int32_t pbc[3];
    double *cut[3]; /* grid[k] - 1 inner cuts: k = 0 of the space, k = 1 of each slab, k = 2 of each column;
                       only those that this rank knows */
    struct dgnn_buffer cuts;
    struct dgnn_buffer sums;      /* histogram of the box that this rank cuts */
    struct dgnn_buffer items;     /* costs of this rank's atoms, and of those in that box */
    struct dgnn_buffer sent_cuts; /* cuts of that box for other ranks, and cuts of other boxes from them */
    struct dgnn_buffer counts;    /* counts of messages */
};

/* Chooses the grid of nrank ranks that has the fewest ghosts, as estimated from the volume within reach of
 * bricks of equal size. A grid that is wanted (not all 0) is taken instead; its product must be nrank. low,
 * high and reach must be set. Errors: INPUT. */
int dgnn_bricks_choose(struct dgnn_bricks *bricks, const struct dgnn_cell *cell, double reach, int32_t nrank,
                       const int32_t wanted[3], struct dgnn_error *error);

/* Reserves the memory for the cuts of the chosen grid, except what depends on the number of atoms. Errors:
 * MEMORY. */
int dgnn_bricks_reserve(struct dgnn_bricks *bricks, struct dgnn_error *error);

/* The atoms that this rank passes. */
struct dgnn_bricks_atoms {
    int64_t n;
    const double *fractions; /* n x 3 */
    const int64_t *cost;     /* n: the cost of each atom, > 0; NULL: 1 each */
};

/* Computes the cuts; collective. One rank within a box cuts it: it gets the costs of the atoms in the box,
 * and sends the cuts to the ranks that passed them and to the ranks of boxes that are near. The first cut is
 * for all ranks; its costs are summed up a tree of ranks. Errors: COMM, MEMORY. */
int dgnn_bricks_cut(struct dgnn_bricks *bricks, const struct dgnn_bricks_atoms *atoms, struct dgnn_comm *comm,
                    struct dgnn_error *error);

/* Returns the rank whose brick a place is in. The place must be that of an atom that this rank passed. */
int32_t dgnn_bricks_rank(const struct dgnn_bricks *bricks, const double fraction[3]);

/* Returns 1 where atoms of this rank's brick and of the other rank's may be within reach. Both ranks find the
 * same answer. */
int dgnn_bricks_near(const struct dgnn_bricks *bricks, int32_t me, int32_t other);

void dgnn_bricks_free(struct dgnn_bricks *bricks);

#endif
