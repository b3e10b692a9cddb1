#include "geom/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { ORDER_BITS = 10 }; /* of each coordinate in a key */

struct order_rows {
    uint64_t *key;
    int64_t *first;
    int32_t *node, *place, *type;
};

static void order_layout_rows(struct dgnn_arena *arena, int64_t nnode, struct order_rows *out)
{
    out->key = dgnn_arena_take(arena, nnode, sizeof(*out->key));
    out->first = dgnn_arena_take(arena, nnode + 1, sizeof(*out->first));
    out->node = dgnn_arena_take(arena, nnode, sizeof(*out->node));
    out->place = dgnn_arena_take(arena, nnode, sizeof(*out->place));
    out->type = dgnn_arena_take(arena, nnode, sizeof(*out->type));
}

struct order_edges {
    int32_t *neighbour;
    double *vector, *distance, *gradient;
};

static void order_layout_edges(struct dgnn_arena *arena, int64_t nedge, int32_t sides,
                               struct order_edges *out)
{
    out->neighbour = dgnn_arena_take(arena, nedge, sizeof(*out->neighbour));
    out->vector = dgnn_arena_take(arena, nedge, 3 * sizeof(*out->vector));
    out->distance = dgnn_arena_take(arena, nedge, sizeof(*out->distance));
    out->gradient = dgnn_arena_take(arena, sides * nedge, 3 * sizeof(*out->gradient));
}

/* The smallest coordinates, and the length of the longest side of the box around all positions. */
static double order_bounds(const double *positions, int64_t n, double low[3])
{
    double longest = 0;
    for (int c = 0; c < 3 && n > 0; c++) {
        double high = low[c] = positions[c];
        for (int64_t i = 1; i < n; i++) {
            double x = positions[3 * i + c];
            low[c] = x < low[c] ? x : low[c];
            high = x > high ? x : high;
        }
        longest = high - low[c] > longest ? high - low[c] : longest;
    }
    return longest;
}

/* The bits of the three coordinates in turns, the highest first; then the node, which makes keys distinct. */
static void order_keys(const double *positions, int64_t n, uint64_t *key)
{
    double low[3] = {0}, longest = order_bounds(positions, n, low);
    double scale = longest > 0 ? (double)((1 << ORDER_BITS) - 1) / longest : 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t curve = 0;
        for (int c = 0; c < 3; c++) {
            uint64_t along = (uint64_t)((positions[3 * i + c] - low[c]) * scale);
            for (int bit = 0; bit < ORDER_BITS; bit++) {
                curve |= (along >> bit & 1) << (3 * bit + c);
            }
        }
        key[i] = curve << 32 | (uint64_t)i;
    }
}

static int order_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void dgnn_order_curve(const double *positions, int64_t n, uint64_t *key)
{
    order_keys(positions, n, key);
    qsort(key, (size_t)n, sizeof(*key), order_compare);
}

static void order_nodes(const struct dgnn_graph *whole, const double *positions,
                        const struct order_rows *rows)
{
    dgnn_order_curve(positions, whole->nnode, rows->key);
    rows->first[0] = 0;
    for (int64_t n = 0; n < whole->nnode; n++) {
        int64_t node = (int64_t)(rows->key[n] & UINT32_MAX);
        rows->node[n] = (int32_t)node;
        rows->place[node] = (int32_t)n;
        rows->type[n] = whole->type[node];
        rows->first[n + 1] = rows->first[n] + whole->first[node + 1] - whole->first[node];
    }
}

static void order_copy_edges(const struct dgnn_graph *whole, const struct order_rows *rows,
                             const struct order_edges *to)
{
    for (int64_t n = 0; n < whole->nnode; n++) {
        int64_t from = whole->first[rows->node[n]], place = rows->first[n];
        size_t count = (size_t)(rows->first[n + 1] - place);
        for (size_t e = 0; e < count; e++) {
            to->neighbour[place + (int64_t)e] = rows->place[whole->neighbour[from + (int64_t)e]];
        }
        memcpy(to->vector + 3 * place, whole->vector + 3 * from, 3 * count * sizeof(double));
        memcpy(to->distance + place, whole->distance + from, count * sizeof(double));
    }
}

int dgnn_order_build(struct dgnn_order *order, const struct dgnn_graph *whole, const double *positions,
                     int32_t sides, struct dgnn_error *error)
{
    struct order_rows rows;
    struct order_edges edges;
    struct dgnn_arena arena = {0};
    order_layout_rows(&arena, whole->nnode, &rows);
    DGNN_TRY(dgnn_buffer_reserve(&order->rows, arena.used, "the order of nodes", error));
    arena = (struct dgnn_arena){.base = order->rows.data};
    order_layout_rows(&arena, whole->nnode, &rows);
    arena = (struct dgnn_arena){0};
    order_layout_edges(&arena, dgnn_graph_nedge(whole), sides, &edges);
    DGNN_TRY(dgnn_buffer_reserve(&order->edges, arena.used, "the graph in order", error));
    arena = (struct dgnn_arena){.base = order->edges.data};
    order_layout_edges(&arena, dgnn_graph_nedge(whole), sides, &edges);
    order_nodes(whole, positions, &rows);
    order_copy_edges(whole, &rows, &edges);
    order->whole = whole;
    order->node = rows.node;
    order->edge_gradient = edges.gradient;
    order->sides = sides;
    order->graph = *whole;
    order->graph.type = rows.type;
    order->graph.first = rows.first;
    order->graph.neighbour = edges.neighbour;
    order->graph.vector = edges.vector;
    order->graph.distance = edges.distance;
    order->graph.image = NULL;
    order->graph.position = NULL;
    order->graph.shift = NULL;
    return DGNN_OK;
}

void dgnn_order_gather(const struct dgnn_order *order, int64_t width, const double *from, double *to)
{
    for (int64_t n = 0; n < order->graph.nnode; n++) {
        memcpy(to + width * n, from + width * order->node[n], sizeof(double) * (size_t)width);
    }
}

void dgnn_order_return(const struct dgnn_order *order, int64_t width, const double *from, double *to)
{
    for (int64_t n = 0; n < order->graph.nnode; n++) {
        memcpy(to + width * order->node[n], from + width * n, sizeof(double) * (size_t)width);
    }
}

void dgnn_order_return_gradient(const struct dgnn_order *order, double *whole_gradient)
{
    const int64_t *first = order->graph.first;
    for (int32_t side = 0; side < order->sides; side++) {
        int64_t from = side * first[order->graph.nnode];
        for (int64_t n = 0; n < order->graph.nnode; n++) {
            memcpy(whole_gradient + 3 * (from + order->whole->first[order->node[n]]),
                   order->edge_gradient + 3 * (from + first[n]),
                   3 * sizeof(double) * (size_t)(first[n + 1] - first[n]));
        }
    }
}

void dgnn_order_free(struct dgnn_order *order)
{
    dgnn_buffer_free(&order->rows);
    dgnn_buffer_free(&order->edges);
    *order = (struct dgnn_order){0};
}
