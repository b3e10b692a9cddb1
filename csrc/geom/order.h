/* A graph with its nodes in another order: along a curve that fills space (Morton's), so that nodes done one
 * after another have neighbours in common, whose rows are then still in the cache.
 *
 * The order depends on the positions alone, not on earlier calls, so results repeat bit for bit. Graphs
 * without ghosts only: all nodes are owned. */
#ifndef DGNN_GEOM_ORDER_H
#define DGNN_GEOM_ORDER_H

#include "geom/graph.h"

/* Zero it before its first use; free it with dgnn_order_free. */
struct dgnn_order {
    struct dgnn_graph graph; /* valid until the next build, and as long as the graph that it is made of; no
                                images */
    double *edge_gradient;   /* sides x nedge x 3 */

    /* The rest belongs to order.c. */
    const struct dgnn_graph *whole;
    const int32_t *node; /* nnode: whole's node of each of graph's */
    int32_t sides;
    struct dgnn_buffer rows;
    struct dgnn_buffer edges;
};

/* n positions (n x 3) along the curve that fills the box around them: key[k] & UINT32_MAX is the k-th. Where
 * two are at one place of the curve, the first comes first. */
void dgnn_order_curve(const double *positions, int64_t n, uint64_t *key);

/* positions: nnode x 3. sides: of edge_gradient. Errors: MEMORY. Nothing is allocated where the graph isn't
 * larger than earlier ones. */
int dgnn_order_build(struct dgnn_order *order, const struct dgnn_graph *whole, const double *positions,
                     int32_t sides, struct dgnn_error *error);

/* Rows of width numbers: to[n] = from[whole's node of n], and back. */
void dgnn_order_take(const struct dgnn_order *order, int64_t width, const double *from, double *to);
void dgnn_order_return(const struct dgnn_order *order, int64_t width, const double *from, double *to);

/* edge_gradient to the whole's edges, all sides of which are written. */
void dgnn_order_return_gradient(const struct dgnn_order *order, double *whole_gradient);

void dgnn_order_free(struct dgnn_order *order);

#endif
