/* DPA3's edges, pairs and angles as lists for a device: those of a graph that exclude_types leaves, which of
 * them form angles, and for each node, and for each row that gets forces, the edges that end there. */
#ifndef DGNN_NET_DPA3_EDGE_LISTS_H
#define DGNN_NET_DPA3_EDGE_LISTS_H

#include "net/dpa3/dpa3.h"

/* A pair is an edge that forms angles: the first ones of a centre. Angle (j, k) of centre i is angle_first[i]
 * + j x (pairs of i) + k. The arrays are one block, so that a device gets them in one copy. Zero it before
 * its first use. */
struct dgnn_edge_lists {
    int64_t nowned, nnode, nrow, nedge, npair, nangle, nangle_linear2, ngraph_edge;
    int64_t *first, *pair_first, *angle_first, *angle_linear2_first; /* nowned + 1 */
    int64_t *reverse_first;                                          /* nnode + 1 */
    int32_t *edge_centre, *neighbour;                                /* nedge */
    int32_t *reverse_edge; /* nedge: those that end at node k from reverse_first[k], in order */
    int32_t *shift;        /* nedge x 3 */
    int32_t *pair_edge;    /* npair */
    int32_t *type;         /* nnode */
    /* Of images, where the graph has such; else of nodes. */
    int32_t *row, *row_edge; /* nedge: an edge's row; as reverse_edge */
    int64_t *row_first;      /* nrow + 1 */

    /* Of the host alone. */
    int64_t *graph_edge; /* nedge */

    int64_t nbytes;  /* of the block */
    int64_t nupload; /* of its first part, which a device needs */
    int32_t is_new;  /* does it differ from that of the build before? */
    int32_t current; /* of the two below */
    struct dgnn_buffer block[2];
};

/* Errors: MEMORY; UNSUPPORTED for more edges than an int32 counts. */
int dgnn_edge_lists_build(struct dgnn_edge_lists *lists, const struct dgnn_dpa3_settings *settings,
                          const struct dgnn_graph *graph, struct dgnn_error *error);
void dgnn_edge_lists_free(struct dgnn_edge_lists *lists);

#endif
