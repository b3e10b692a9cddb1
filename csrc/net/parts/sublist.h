/* A part of a graph's edges: those within a shorter cutoff among the first nsel slots, without excluded
 * pairs. What DPA2's blocks work on. Edges of the part are called pairs.
 *
 * Centres are worked on in chunks of DGNN_SUBLIST_CHUNK, whatever the number of threads, so results do not
 * depend on it. */
#ifndef DGNN_NET_SUBLIST_H
#define DGNN_NET_SUBLIST_H

#include "base/alloc.h"
#include "geom/graph.h"

enum { DGNN_SUBLIST_CHUNK = 16 };

struct dgnn_sublist_rule {
    double cutoff;
    int64_t nsel;            /* counts in dense semantics only */
    const uint8_t *excluded; /* ntypes x ntypes, 1: no pair; NULL: none */
    int32_t ntypes;
    int32_t lanes; /* rows of a centre's squares are padded to this */
    int32_t want_reverse;
};

struct dgnn_sublist {
    int64_t ncentre, nnode, npair;
    int64_t *first;         /* ncentre + 1 */
    int64_t *edge;          /* npair: the graph's edge */
    int32_t *neighbour;     /* npair: row of the other node */
    int64_t *reverse_first; /* nnode + 1 */
    int64_t *reverse;       /* npair: pairs by neighbour, ascending */
    int64_t nchunk;
    int64_t *square_first; /* nchunk + 1: sums of n x (n padded to lanes) over the centres before */
    int64_t row_max;       /* pairs of a centre */
    int64_t chunk_max;     /* pairs of a chunk */
    int64_t square_max;    /* square of a chunk */
    struct dgnn_buffer buffer;
};

/* Fills the list anew; allocates only to grow. Zero it before its first use. Errors: MEMORY. */
int dgnn_sublist_build(const struct dgnn_graph *graph, const struct dgnn_sublist_rule *rule,
                       struct dgnn_sublist *list, struct dgnn_error *error);
void dgnn_sublist_free(struct dgnn_sublist *list);

static inline int64_t dgnn_sublist_chunk_begin(int64_t chunk)
{
    return chunk * DGNN_SUBLIST_CHUNK;
}

static inline int64_t dgnn_sublist_chunk_end(const struct dgnn_sublist *list, int64_t chunk)
{
    int64_t end = (chunk + 1) * DGNN_SUBLIST_CHUNK;
    return end < list->ncentre ? end : list->ncentre;
}

#endif
