/* The fused blocks of a RepFlow layer. Per centre and a dozen rows at a time: the product into a tile that
 * stays in the first cache, the activation over it, and what is summed from it, so that no row of messages is
 * ever stored. */

/* TILE rows are done together; AHEAD is how far before its use a kept row is asked for. (Past the end at the
 * very last, which is no access.) */
enum { V(TILE) = 12, V(AHEAD) = 24 };

/* A thread's scratch memory. */
struct V(scratch) {
    /* count x 2 (e + a): the edges' parts of angle rows, ij with the centre's part | ik */
    real *pair_projection;
    real *d_pair_projection;    /* their gradients, of each side */
    real *start;   /* 2 (e + a) */
    real *first;   /* e + a: layer 0's product of the angle weight */
    real *tile;    /* TILE x max(m + e, e + a) */
    real *d_tile;  /* the same; with moments two: the gradient's, and the side's at work */
    real *reduced; /* rows of angle_linear2 x e, of each side */
    real *angle_linear2;  /* rows of angle_linear2 x e */
    real *d_row;   /* m + e, of each side */
    real *edge_first; /* m + e: layer 0's product of the edge weight */
    real *edge_bias;  /* m + e: and of the edge bias */
    real *common;     /* m + e: edge_bias plus the centre's part */
    int side;               /* of backward */
    const real *first_tile; /* the gradient's d_tile */
};

static int64_t V(lay)(char *base, const struct REAL(dgnn_repflow_edges) * g,
                      const struct REAL(dgnn_repflow_layer) * layer, struct V(scratch) * scratch)
{
    int64_t w = layer->e + layer->a, wide = layer->m + layer->e, tile = (wide > w ? wide : w) * V(TILE);
    int64_t count = g->angle_count_max, angle_linear2 = g->smooth ? count : g->edge_count_max, used = 0;
    int64_t sides = 1 + g->columns, tiles = g->columns ? 2 : 1;
    real *none;
    struct {
        real **place;
        int64_t reals;
    } blocks[] = {{&scratch->pair_projection, count * 2 * w},
                  {&scratch->d_pair_projection, sides * count * 2 * w},
                  {&scratch->start, 2 * w},
                  {&scratch->first, w},
                  {&scratch->tile, tile},
                  {&scratch->d_tile, tiles * tile},
                  {&scratch->reduced, sides * angle_linear2 * layer->e},
                  {&scratch->angle_linear2, angle_linear2 * layer->e},
                  {&scratch->d_row, sides * wide},
                  {&scratch->edge_first, wide},     {&scratch->edge_bias, wide},            {&scratch->common,
                      wide},
                  {&none, REAL_LANES}};
    for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++) {
        *blocks[b].place = (real *)(base + used);
        used += (blocks[b].reals + REAL_LANES - 1) / REAL_LANES * 64;
    }
    return used;
}

/* The scratch of all sides, which differs in what is of each side. */
static void V(lay_sides)(char *base, const struct REAL(dgnn_repflow_edges) * g,
                         const struct REAL(dgnn_repflow_layer) * layer, struct V(scratch) * sides)
{
    int64_t w = layer->e + layer->a, wide = layer->m + layer->e;
    int64_t count = g->angle_count_max, angle_linear2 = g->smooth ? count : g->edge_count_max;
    V(lay)(base, g, layer, sides);
    sides[0].side = 0;
    sides[0].first_tile = sides[0].d_tile;
    for (int k = 1; k <= g->columns; k++) {
        sides[k] = sides[0];
        sides[k].side = k;
        sides[k].d_pair_projection += k * count * 2 * w;
        sides[k].d_tile += (wide > w ? wide : w) * V(TILE);
        sides[k].reduced += k * angle_linear2 * layer->e;
        sides[k].d_row += k * wide;
    }
}

static int64_t V(vector_scratch)(const struct REAL(dgnn_repflow_edges) * g,
                                 const struct REAL(dgnn_repflow_layer) * layer)
{
    struct V(scratch) scratch;
    return V(lay)((char *)64, g, layer, &scratch);
}

#include "ops/vector/vector_angle_body.h"
#include "ops/vector/vector_edge_body.h"
