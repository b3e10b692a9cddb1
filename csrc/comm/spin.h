/* Rows of a spin model: each atom is two nodes, and its real and its virtual row travel in one message.
 *
 * Owned rows are real, then virtual: [0, nowned) and [nowned, 2 nowned). A ghost's two rows stand side by
 * side, so that the window of a message is contiguous in the doubled rows if it is in the atoms', and a
 * doubled plan is a plan like any other: nothing is rearranged, and no width is doubled. */
#ifndef DGNN_COMM_SPIN_H
#define DGNN_COMM_SPIN_H

#include "comm/plan.h"
#include "comm/swaps.h"

/* The row of atom i's real and virtual node, where nowned atoms are owned. */
static inline int64_t dgnn_spin_real(int64_t i, int64_t nowned)
{
    return i < nowned ? i : 2 * i;
}

static inline int64_t dgnn_spin_virtual(int64_t i, int64_t nowned)
{
    return i < nowned ? i + nowned : 2 * i + 1;
}

/* A plan in atom numbers becomes one in rows, freed like any other. Errors: MEMORY, INPUT (2^30 atoms). */
int dgnn_spin_plan(const struct dgnn_plan *atoms, struct dgnn_plan **rows, struct dgnn_error *error);
int dgnn_spin_swaps(const struct dgnn_swaps *atoms, struct dgnn_swaps **rows, struct dgnn_error *error);

/* A host's neighbour list in atom numbers (CSR, nowned centres, -1: an empty place) becomes the list of 2
 * nowned centres: a real one gets its own virtual atom, its neighbours, their virtual atoms; a virtual one
 * its own real atom, the neighbours, their virtual atoms. out_first: 2 nowned + 1; out: 2 (nowned + 2
 * first[nowned]). */
void dgnn_spin_neighbours(const int64_t *first, const int32_t *neighbour, int64_t nowned, int64_t *out_first,
                          int32_t *out);

#endif
