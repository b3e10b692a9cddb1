/* A list of pairs: the edges of a graph that are within a shorter cutoff and in the first nsel slots, without
 * excluded pairs of types. DPA2's blocks compute on such lists.
 *
 * Centres are treated in chunks of DGNN_PAIR_LIST_CHUNK, whatever the number of threads, so that results do
 * not depend on it. */
#ifndef DGNN_NET_PAIR_LIST_H
#define DGNN_NET_PAIR_LIST_H

#include "base/alloc.h"
#include "geom/graph.h"

enum { DGNN_PAIR_LIST_CHUNK = 16 };

struct dgnn_pair_list_rule {
    double cutoff;
    int64_t nsel;            /* used in dense semantics only */
    const uint8_t *excluded; /* ntypes x ntypes; 1: these types form no pair; NULL: all form pairs */
    int32_t ntypes;
    int32_t lanes; /* rows of a centre's square are padded to a multiple of it */
    int32_t want_reverse;
};

struct dgnn_pair_list {
    int64_t ncentre, nnode, npair;
    int64_t *first;         /* ncentre + 1 */
    int64_t *edge;          /* npair: the pair's edge in the graph */
    int32_t *neighbour;     /* npair: row of the other node */
    int64_t *reverse_first; /* nnode + 1 */
    int64_t *reverse;       /* npair: pairs grouped by their neighbour, ascending */
    int64_t nchunk;
    int64_t *square_first; /* nchunk + 1: sum of n x (n padded to lanes) over the centres before the chunk, of
                              n pairs each */
    int64_t row_max;       /* the most pairs of a centre */
    int64_t chunk_max;     /* the most pairs of a chunk */
    int64_t square_max;    /* the largest sum of squares of a chunk */
    struct dgnn_buffer buffer;
};

/* Fills the list, and allocates to grow only. The caller zeroes it before its first use. Errors: MEMORY. */
int dgnn_pair_list_build(const struct dgnn_graph *graph, const struct dgnn_pair_list_rule *rule,
                         struct dgnn_pair_list *list, struct dgnn_error *error);
void dgnn_pair_list_free(struct dgnn_pair_list *list);

static inline int64_t dgnn_pair_list_chunk_begin(int64_t chunk)
{
    return chunk * DGNN_PAIR_LIST_CHUNK;
}

static inline int64_t dgnn_pair_list_chunk_end(const struct dgnn_pair_list *list, int64_t chunk)
{
    int64_t end = (chunk + 1) * DGNN_PAIR_LIST_CHUNK;
    return end < list->ncentre ? end : list->ncentre;
}

#endif
