/* A graph made of the first edges of another's rows: what a part of a model sees of the list that all its
 * parts share. The child of a hybrid takes the first sel, a model of a linear composition those within its
 * own cutoff too. */
#ifndef DGNN_GEOM_PREFIX_H
#define DGNN_GEOM_PREFIX_H

#include "geom/graph.h"

struct dgnn_prefix_rules {
    const int64_t *sel; /* edges kept of each row; NULL: all */
    int32_t nsel;  /* 1: sel[0] counts all together; else the number of types, and sel[t] those of type t */
    double cutoff; /* edges beyond are dropped; 0: none are */
    const int32_t *type_of; /* the part's type of each of the whole's types; NULL: the same */
    int32_t ntypes;         /* of the whole */
};

/* Zero it before its first use; free it with dgnn_prefix_free. */
struct dgnn_prefix {
    struct dgnn_graph graph; /* valid until the next build, and as long as the graph that it is made of */

    /* The rest belongs to prefix.c. */
    const int64_t *edge; /* the whole's edge of each edge; NULL: edges are the same */
    int64_t nwhole;      /* the whole's edges */
    int32_t sides;
    struct dgnn_buffer rows;
    struct dgnn_buffer edges;
    struct dgnn_buffer gradient;
};

/* Where nothing is dropped, the part's graph uses the whole's own arrays. Errors: MEMORY. Nothing is
 * allocated where the graph isn't larger than earlier ones. */
int dgnn_prefix_build(struct dgnn_prefix *prefix, const struct dgnn_graph *whole,
                      const struct dgnn_prefix_rules *rules, struct dgnn_error *error);

/* After build: the memory of begin_gradient for so many sides, which then can't fail. Errors: MEMORY. */
int dgnn_prefix_prepare(struct dgnn_prefix *prefix, double factor, int32_t sides, struct dgnn_error *error);

/* After prepare. Where the part's edge gradients go: zeroed, sides x nedge x 3 of the part; or the whole's
 * own, sides x its edges x 3, where the edges are the same and factor is 1. */
double *dgnn_prefix_begin_gradient(struct dgnn_prefix *prefix, double *whole_gradient, double factor);
/* Adds factor times what was written there to whole_gradient. */
void dgnn_prefix_end_gradient(const struct dgnn_prefix *prefix, const double *gradient, double factor,
                              double *whole_gradient);

void dgnn_prefix_free(struct dgnn_prefix *prefix);

#endif
