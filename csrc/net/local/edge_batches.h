/* The edges of an evaluation as rows for matrix products: those that a descriptor works on, chunk of centres
 * by chunk, and in a chunk by the network that embeds them, then by centre, then by slot. A chunk is what one
 * thread does at a time; its bounds depend on the graph alone, so sums have the same order whatever the
 * number of threads. */
#ifndef DGNN_NET_EDGE_BATCHES_H
#define DGNN_NET_EDGE_BATCHES_H

#include "geom/graph.h"
#include "io/tree.h"

struct dgnn_edge_batches {
    int64_t nchunk;
    int64_t ngroup;
    int64_t nrow;
    int64_t row_max;    /* rows of any chunk */
    int64_t centre_max; /* centres of any chunk */
    int64_t *chunk;     /* nchunk + 1: centres [chunk[c], chunk[c + 1]) */
    int64_t *group;     /* nchunk x ngroup + 1: rows of group g in chunk c begin at group[c ngroup + g] */
    int64_t *edge;      /* nrow */
    int64_t *centre;    /* nrow */
    struct dgnn_buffer memory;
};

/* What is a row, and in which group. */
struct dgnn_edge_batches_rule {
    int64_t ntypes;
    int64_t ngroup;
    int64_t target;       /* rows that a chunk should have; it has more only where one centre has */
    const int32_t *group; /* ntypes x ntypes, of (centre, neighbour); < 0: no row */
};

/* A table for one group: ntypes x ntypes zeros, -1 for the pairs in a list of excluded types. Allocated
 * (dgnn_alloc_free). */
int dgnn_edge_batches_groups(const struct dgnn_value *exclude_types, int32_t ntypes, int32_t **group,
                             struct dgnn_error *error);

/* The same with a group for each type of neighbour. */
int dgnn_edge_batches_neighbours(const struct dgnn_value *exclude_types, int32_t ntypes, int32_t **group,
                                 struct dgnn_error *error);

/* Allocates only where the graph is larger than all before. */
int dgnn_edge_batches_make(struct dgnn_edge_batches *rows, const struct dgnn_graph *graph,
                           const struct dgnn_edge_batches_rule *rule, struct dgnn_error *error);
void dgnn_edge_batches_free(struct dgnn_edge_batches *rows);

/* End of the run of rows from begin on that share its centre, at most end. */
static inline int64_t dgnn_edge_batches_run(const struct dgnn_edge_batches *rows, int64_t begin, int64_t end)
{
    int64_t r = begin + 1;
    while (r < end && rows->centre[r] == rows->centre[begin]) {
        r++;
    }
    return r;
}

#endif
