/* The graph that net sees: nodes, and for each owned node its edges, nearest first.
 *
 * Rows [0, nowned) are owned nodes. Rows [nowned, nnode) are ghost nodes: one row for each remote node,
 * however many of its images are near. NULL atoms are no nodes. A spin model's virtual atoms are nodes like
 * others. An edge is an owner's row and a vector, and never a copied image; so there are no ghosts on one
 * rank.
 *
 * Centre i has the edges [first[i], first[i + 1]). They are ordered by (distance squared, id, lattice shift),
 * cut to the nearest sel in dense semantics, and without the pairs of the model's pair_exclude_types. The
 * slot of edge e is e - first[i]. */
#ifndef DGNN_GEOM_GRAPH_H
#define DGNN_GEOM_GRAPH_H

#include "base/alloc.h"

struct dgnn_graph {
    int64_t nowned;
    int64_t nnode;
    int64_t nrow;             /* nnode, or the number of images; position and offset have as many rows */
    const int32_t *type;      /* nnode */
    const int64_t *first;     /* nowned + 1 */
    const int32_t *neighbour; /* nedge: row of the edge's other node */
    const double *vector;     /* nedge x 3: x_j + shift - x_i */
    const double *distance;   /* nedge: length of vector, > 0 */
    const int32_t *image;     /* nedge: row that gets the edge's force; NULL: the neighbour's row */
    /* What vectors are made of: x of rows + shift . cell - x of the centre. A device makes them again. */
    const double *position; /* nrow x 3 */
    const int32_t *shift;   /* nedge x 3: multiples of the lattice vectors */
    const double *cell;     /* 3 x 3, whose rows are the lattice vectors */
    const double *offset;   /* rows x 3: of nodes from the atoms that they belong to; NULL: nodes are atoms */
    int32_t first_type; /* type of the frame's first atom, -1 for a NULL atom; empty slots in concat mode have
                           it */
    int32_t dense; /* 1: dense semantics, where sel limits the edges and empty slots count; 0: graph semantics
                    */
};

static inline int64_t dgnn_graph_nedge(const struct dgnn_graph *graph)
{
    return graph->first[graph->nowned];
}

/* From the atom of centre i to that of the edge's other node: what moments of gradients and virials are made
 * of (net/parts/descriptor.h). */
static inline void dgnn_graph_displacement(const struct dgnn_graph *graph, int64_t i, int64_t edge,
                                           double displacement[3])
{
    const double *offset = graph->offset;
    int64_t row = graph->image ? graph->image[edge] : graph->neighbour[edge];
    for (int c = 0; c < 3; c++) {
        displacement[c] =
            graph->vector[3 * edge + c] + (offset ? offset[3 * i + c] - offset[3 * row + c] : 0);
    }
}

/* The edges that form angles: those in the first count slots that are shorter than cutoff. */
struct dgnn_angle_limit {
    int64_t count;
    double cutoff;
};

/* Returns how many centres have more edges within the cutoff of one of the n limits than that limit allows.
 */
static inline int64_t dgnn_graph_over_angle_limit(const struct dgnn_graph *graph, int32_t n,
                                                  const struct dgnn_angle_limit *limit)
{
    int64_t count = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        int over = 0;
        for (int32_t k = 0; k < n; k++) {
            int64_t edge = graph->first[i] + limit[k].count;
            over |= edge < graph->first[i + 1] && graph->distance[edge] < limit[k].cutoff;
        }
        count += over;
    }
    return count;
}

#endif
