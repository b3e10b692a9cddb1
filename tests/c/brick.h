/* Host codes that distribute atoms, seen from all ranks at once: what each rank owns, its ghosts, and the
 * border that brings them. Two builders: bricks that exchange six ways, as molecular dynamics codes do, and
 * random swaps between random ranks. */
#ifndef DGNN_TESTS_BRICK_H
#define DGNN_TESTS_BRICK_H

#include "dgnn.h"

struct brick_rank {
    int64_t nowned;
    int64_t nnode;
    int64_t capacity;
    double (*x)[3];            /* nnode; ghosts at their image's place; of random swaps, zero */
    int64_t *id;               /* nnode: the atom */
    int32_t (*shift)[3];       /* nnode: the image */
    struct dgnn_border border; /* points to what follows */
    int32_t *sendproc, *recvproc, *sendnum, *recvnum, *firstrecv;
    int32_t **sendlist;
};

struct brick_world {
    int32_t nrank;
    int64_t natoms;
    struct brick_rank *rank;
    int32_t *owner;     /* natoms: rank */
    int64_t *owner_row; /* natoms: row there */
};

struct brick_grid {
    int32_t ranks[3];
    double box[3]; /* orthogonal */
    int32_t periodic[3];
    double cutoff;
};

/* x: natoms x 3, inside the box. Rank (i, j, k) is (i * ranks[1] + j) * ranks[2] + k. */
struct brick_world *brick_create(const struct brick_grid *grid, int64_t natoms, const double (*x)[3]);

/* nswap swaps, each along a random permutation of the ranks, of rows that exist by then, ghosts among them.
 */
struct brick_world *brick_create_random(int32_t nrank, int32_t nswap, uint64_t seed);

void brick_free(struct brick_world *world);

/* The rows of one rank as a direct plan: neighbours in rank order, rows in row order. Freed with
 * brick_direct_free. */
void brick_direct(const struct brick_world *world, int32_t rank, struct dgnn_direct *direct);
void brick_direct_free(struct dgnn_direct *direct);

#endif
