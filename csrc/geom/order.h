/* A graph whose nodes are in the order of Morton's space-filling curve. Nodes that are computed one after
 * another then have neighbours in common, whose rows are still in the cache.
 *
 * The order depends on the positions alone and not on earlier calls, so that results repeat bit for bit. The
 * graph must have no ghosts: all nodes are owned. */
#ifndef DGNN_GEOM_ORDER_H
#define DGNN_GEOM_ORDER_H

#include "geom/graph.h"

/* Zero it before its first use; free it with dgnn_order_free. */
struct dgnn_order {
    struct dgnn_graph graph; /* valid until the next build, and while the graph that it is made of is; it has
                                no images, positions and shifts */
    double *edge_gradient;   /* sides x nedge x 3 */

    /* The rest belongs to order.c. */
    const struct dgnn_graph *whole;
    const int32_t *node; /* nnode: for each node, the node of the whole graph */
    int32_t sides;
    struct dgnn_buffer rows;
    struct dgnn_buffer edges;
};

/* Sorts n positions (n x 3) along the curve that fills the box around them: key[k] & UINT32_MAX is the index
 * of the k-th. Of two positions at one place of the curve, the lower index comes first. */
void dgnn_order_curve(const double *positions, int64_t n, uint64_t *key);

/* positions: nnode x 3. sides: of edge_gradient. Errors: MEMORY. Nothing is allocated where the graph isn't
 * larger than earlier ones. */
int dgnn_order_build(struct dgnn_order *order, const struct dgnn_graph *whole, const double *positions,
                     int32_t sides, struct dgnn_error *error);

/* to[n] = from[whole's node of n], in rows of width numbers. The second goes back: to[whole's node of n] =
 * from[n]. */
void dgnn_order_gather(const struct dgnn_order *order, int64_t width, const double *from, double *to);
void dgnn_order_return(const struct dgnn_order *order, int64_t width, const double *from, double *to);

/* edge_gradient to the whole's edges, all sides of which are written. */
void dgnn_order_return_gradient(const struct dgnn_order *order, double *whole_gradient);

void dgnn_order_free(struct dgnn_order *order);

#endif
