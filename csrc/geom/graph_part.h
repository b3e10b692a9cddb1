/* The part of a graph that one part of a model sees, where all parts share a list: the first edges of each
 * row. The child of a hybrid takes the first sel edges. A model in a sum of models takes those within its own
 * cutoff. */
#ifndef DGNN_GEOM_GRAPH_PART_H
#define DGNN_GEOM_GRAPH_PART_H

#include "geom/graph.h"

struct dgnn_graph_part_rules {
    const int64_t *sel; /* edges that are kept of each row; NULL: all are */
    int32_t nsel;  /* 1: sel[0] counts edges to all types together; otherwise the number of types, and sel[t]
                      counts those to type t */
    double cutoff; /* longer edges are dropped; 0: none are */
    const int32_t *type_of; /* ntypes: the part's type for each type of the whole; NULL: the same */
    int32_t ntypes;         /* of the whole */
};

/* Zero it before its first use; free it with dgnn_graph_part_free. */
struct dgnn_graph_part {
    struct dgnn_graph graph; /* valid until the next build, and while the graph that it is made of is */

    /* The rest belongs to graph_part.c. */
    const int64_t *edge; /* for each edge, the edge of the whole; NULL: the edges are the same */
    int64_t nwhole;      /* the whole's edges */
    int32_t sides;
    struct dgnn_buffer rows;
    struct dgnn_buffer edges;
    struct dgnn_buffer gradient;
};

/* Builds the part's graph. Where nothing is dropped, it uses the arrays of the whole. Nothing is allocated
 * for a graph that is not larger than earlier ones. Errors: MEMORY. */
int dgnn_graph_part_build(struct dgnn_graph_part *part, const struct dgnn_graph *whole,
                          const struct dgnn_graph_part_rules *rules, struct dgnn_error *error);

/* After build: the memory of begin_gradient for so many sides, which then can't fail. Errors: MEMORY. */
int dgnn_graph_part_prepare(struct dgnn_graph_part *part, double factor, int32_t sides,
                            struct dgnn_error *error);

/* After prepare. Where the part's edge gradients go: zeroed, sides x nedge x 3 of the part; or the whole's
 * own, sides x its edges x 3, where the edges are the same and factor is 1. */
double *dgnn_graph_part_begin_gradient(struct dgnn_graph_part *part, double *whole_gradient, double factor);
/* Adds factor times the part's gradients to whole_gradient. */
void dgnn_graph_part_end_gradient(const struct dgnn_graph_part *part, const double *gradient, double factor,
                                  double *whole_gradient);

void dgnn_graph_part_free(struct dgnn_graph_part *part);

#endif
