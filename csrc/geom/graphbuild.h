/* Makes the graph that net sees from a neighbour list: it cuts the list at the cutoff, then to the nearest
 * sel, and then drops excluded pairs. */
#ifndef DGNN_GEOM_GRAPHBUILD_H
#define DGNN_GEOM_GRAPHBUILD_H

#include "geom/graph.h"
#include "geom/nlist.h"

struct dgnn_graph_rules {
    int32_t dense;       /* 1: the nearest sel edges are kept; 0: all are */
    int32_t mixed_types; /* 1: sel[0] counts all types together; 0: sel[t] counts neighbours of type t */
    int32_t ntypes;
    int64_t nsel; /* 1, or ntypes */
    const int64_t *sel;
    const uint8_t *pair_exclude; /* ntypes x ntypes, centre by neighbour; 1: the pair is dropped after the
                                    cut; NULL: no pair is */
    double cutoff; /* at most the list's; pairs beyond it count as absent; 0: the list's cutoff */
};

struct dgnn_graph_input {
    const struct dgnn_nlist *list; /* must be up to date; its centres are the owned nodes */
    int64_t nnode;
    const int32_t *type;  /* nnode, in [0, ntypes) */
    const int32_t *owner; /* list->nrow: the node of each row, where rows are images and centre i is node i;
                             NULL: rows are nodes, and graph.image is NULL */
    int32_t first_type;   /* copied into the graph */
    const double *offset; /* too; NULL where nodes are atoms */
    const double *position, *cell; /* too: those of the list */
};

/* Zero it before its first use; free it with dgnn_graph_builder_free. */
struct dgnn_graph_builder {
    struct dgnn_graph graph; /* valid until the next build and until the list's next update */
    int64_t ntruncated;      /* centres that had more neighbours than sel */

    /* The rest belongs to graph.c. */
    struct dgnn_buffer first;
    struct dgnn_buffer neighbour;
    struct dgnn_buffer image;
    struct dgnn_buffer vector;
    struct dgnn_buffer shift;
    struct dgnn_buffer distance;
    struct dgnn_buffer count; /* ntypes */
};

/* Builds the graph. It keeps the pointer type without a copy. Where nothing is dropped, it uses the list's
 * own arrays. Errors: INPUT (a type or an owner out of range), MEMORY. */
int dgnn_graph_build(struct dgnn_graph_builder *builder, const struct dgnn_graph_input *input,
                     const struct dgnn_graph_rules *rules, struct dgnn_error *error);

void dgnn_graph_builder_free(struct dgnn_graph_builder *builder);

#endif
