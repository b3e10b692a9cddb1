/* The fused blocks of a RepFlow layer. Per centre and a dozen rows at a time: the product into a tile that stays in the
 * first cache, the activation over it, and what is summed from it, so that no row of messages is ever stored. */

/* TILE rows are done together; AHEAD is how far before its use a kept row is asked for. (Past the end at the very last,
 * which is no access.) */
enum { V(TILE) = 12, V(AHEAD) = 24 };

/* A thread's room. */
struct V(room) {
    real *pq;      /* count x 2 (e + a): the edges' parts of angle rows, ij with the centre's part | ik */
    real *d_pq;    /* their gradients, of each side */
    real *start;   /* 2 (e + a) */
    real *first;   /* e + a: layer 0's product of the angle weight */
    real *tile;    /* TILE x max(m + e, e + a) */
    real *d_tile;  /* the same; with moments two: the gradient's, and the side's at work */
    real *reduced; /* second rows x e, of each side */
    real *second;  /* second rows x e */
    real *d_row;   /* m + e, of each side */
    real *edge_first; /* m + e: layer 0's product of the edge weight */
    real *edge_bias;  /* m + e: and of the edge bias */
    real *common;     /* m + e: edge_bias plus the centre's part */
    int side;               /* of backward */
    const real *first_tile; /* the gradient's d_tile */
};

static int64_t V(lay)(char *base, const struct REAL(dgnn_repflow_edges) * g,
                      const struct REAL(dgnn_repflow_layer) * layer, struct V(room) * room)
{
    int64_t w = layer->e + layer->a, wide = layer->m + layer->e, tile = (wide > w ? wide : w) * V(TILE);
    int64_t count = g->angle_count_max, second = g->smooth ? count : g->edge_count_max, used = 0;
    int64_t sides = 1 + g->columns, tiles = g->columns ? 2 : 1;
    real *none;
    struct {
        real **place;
        int64_t reals;
    } blocks[] = {{&room->pq, count * 2 * w},
                  {&room->d_pq, sides * count * 2 * w},
                  {&room->start, 2 * w},
                  {&room->first, w},
                  {&room->tile, tile},
                  {&room->d_tile, tiles * tile},
                  {&room->reduced, sides * second * layer->e},
                  {&room->second, second * layer->e},
                  {&room->d_row, sides * wide},
                  {&room->edge_first, wide},     {&room->edge_bias, wide},            {&room->common, wide},
                  {&none, REAL_LANES}};
    for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++) {
        *blocks[b].place = (real *)(base + used);
        used += (blocks[b].reals + REAL_LANES - 1) / REAL_LANES * 64;
    }
    return used;
}

/* The rooms of all sides, which differ in what is of each side. */
static void V(lay_sides)(char *base, const struct REAL(dgnn_repflow_edges) * g,
                         const struct REAL(dgnn_repflow_layer) * layer, struct V(room) * rooms)
{
    int64_t w = layer->e + layer->a, wide = layer->m + layer->e;
    int64_t count = g->angle_count_max, second = g->smooth ? count : g->edge_count_max;
    V(lay)(base, g, layer, rooms);
    rooms[0].side = 0;
    rooms[0].first_tile = rooms[0].d_tile;
    for (int k = 1; k <= g->columns; k++) {
        rooms[k] = rooms[0];
        rooms[k].side = k;
        rooms[k].d_pq += k * count * 2 * w;
        rooms[k].d_tile += (wide > w ? wide : w) * V(TILE);
        rooms[k].reduced += k * second * layer->e;
        rooms[k].d_row += k * wide;
    }
}

static int64_t V(vector_scratch)(const struct REAL(dgnn_repflow_edges) * g,
                                 const struct REAL(dgnn_repflow_layer) * layer)
{
    struct V(room) room;
    return V(lay)((char *)64, g, layer, &room);
}

#include "ops/vector_angle_body.h"
#include "ops/vector_edge_body.h"
