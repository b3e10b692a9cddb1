/* The rows of a spin model, where each atom is two nodes whose real and virtual row travel in one message.
 *
 * Owned rows are first the real ones, [0, nowned), then the virtual ones, [nowned, 2 nowned). The two rows of
 * a ghost stand side by side. So a window of ghosts that is contiguous in atoms is contiguous in rows, and a
 * doubled plan is an ordinary plan: messages need no rearranging, and rows keep their width. */
#ifndef DGNN_COMM_SPIN_ROWS_H
#define DGNN_COMM_SPIN_ROWS_H

#include "comm/plan.h"
#include "comm/swaps.h"

/* The row of atom i's real node, and of its virtual node, where the rank owns nowned atoms. */
static inline int64_t dgnn_spin_real(int64_t i, int64_t nowned)
{
    return i < nowned ? i : 2 * i;
}

static inline int64_t dgnn_spin_virtual(int64_t i, int64_t nowned)
{
    return i < nowned ? i + nowned : 2 * i + 1;
}

/* Makes a plan of rows from a plan of atoms. It is freed like any other. Errors: MEMORY, INPUT (2^30 atoms or
 * more). */
int dgnn_spin_plan(const struct dgnn_plan *atoms, struct dgnn_plan **rows, struct dgnn_error *error);
int dgnn_spin_swaps(const struct dgnn_swaps *atoms, struct dgnn_swaps **rows, struct dgnn_error *error);

/* Makes the list of 2 nowned centres from a host's list of nowned atoms (CSR; -1 is an empty place). A real
 * centre gets its own virtual atom, its neighbours and their virtual atoms. A virtual centre gets its own
 * real atom, the same neighbours and their virtual atoms. out_first has 2 nowned + 1 entries, out has 2
 * (nowned + 2 first[nowned]). */
void dgnn_spin_neighbours(const int64_t *first, const int32_t *neighbour, int64_t nowned, int64_t *out_first,
                          int32_t *out);

#endif
