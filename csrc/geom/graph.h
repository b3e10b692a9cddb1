/* The graph that net sees: nodes, and per owned node its edges, nearest first.
 *
 * Rows: owned nodes are [0, nowned); ghost nodes, one row for each remote node however many of its images are
 * in reach, are [nowned, nnode). NULL atoms are not here; a spin model's virtual atoms are nodes like others.
 * An edge is an owner row and a vector, never a copied image: on one rank there are no ghosts.
 *
 * Edges of centre i are [first[i], first[i + 1]), ordered by (distance squared, id, lattice shift), cut to
 * the nearest sel in dense semantics, and without the pairs in the model's pair_exclude_types. The place in
 * the row, e - first[i], is the edge's slot. */
#ifndef DGNN_GEOM_GRAPH_H
#define DGNN_GEOM_GRAPH_H

#include "base/alloc.h"

struct dgnn_graph {
    int64_t nowned;
    int64_t nnode;
    const int32_t *type;      /* nnode */
    const int64_t *first;     /* nowned + 1 */
    const int32_t *neighbour; /* nedge: row of the edge's other node */
    const double *vector;     /* nedge x 3: x_j + shift - x_i */
    const double *distance;   /* nedge: length of vector, > 0 */
    const int32_t *image;     /* nedge: row that gets the edge's force; NULL: the neighbour's own */
    const double *offset; /* rows x 3: of nodes from the atoms that they belong to; NULL: nodes are atoms */
    int32_t first_type;   /* type of the frame's first atom, -1 for NULL; empty slots in concat mode use it */
    int32_t dense;        /* 1: dense semantics (sel binds, empty slots count); 0: graph */
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

/* Of the edges shorter than cutoff, those in the first slots, so many, form angles. */
struct dgnn_angle_limit {
    int64_t count;
    double cutoff;
};

/* Centres that have more edges than one of n limits allows. */
static inline int64_t dgnn_graph_crowded(const struct dgnn_graph *graph, int32_t n,
                                         const struct dgnn_angle_limit *limit)
{
    int64_t crowded = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        int over = 0;
        for (int32_t k = 0; k < n; k++) {
            int64_t edge = graph->first[i] + limit[k].count;
            over |= edge < graph->first[i + 1] && graph->distance[edge] < limit[k].cutoff;
        }
        crowded += over;
    }
    return crowded;
}

#endif
