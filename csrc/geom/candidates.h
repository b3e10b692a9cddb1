/* The search of the neighbour list. It finds all pairs within cutoff + skin by a cell list over images. */
#ifndef DGNN_GEOM_CANDIDATES_H
#define DGNN_GEOM_CANDIDATES_H

#include "geom/nlist.h"
#include "geom/pairvector.h"

/* Reserves count * size bytes, and an eighth more where the buffer grows, so that small fluctuations allocate
 * nothing. Errors: MEMORY. */
int dgnn_candidates_reserve(struct dgnn_buffer *buffer, int64_t count, size_t size, const char *what,
                            struct dgnn_error *error);

/* The name of a row in messages: its label, or else its number. */
static inline int64_t dgnn_candidates_label(const struct dgnn_nlist_input *input, int64_t row)
{
    return input->label ? input->label[row] : row;
}

/* Fills candidate_first (ncentre + 1 int64), candidates (struct dgnn_pair), ncandidate and longest. The
 * candidates of a centre are in no particular order. Errors: INPUT, MEMORY. */
int dgnn_candidates_search(struct dgnn_nlist *list, const struct dgnn_nlist_input *input,
                           struct dgnn_error *error);

#endif
