/* One side of the repformer's backward (net/parts/descriptor.h): its memory, what neighbours' rows get, and
 * the rows of all sides as they travel. */
#include "base/real.h"

static void REAL(repformer_lay_side)(const struct REAL(dgnn_repformer_workspace) * w,
                                     struct REAL(dgnn_repformer_side) * side, struct dgnn_arena *arena)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    for (int k = 0; k < 2; k++) {
        side->g1[k] = dgnn_arena_take(arena, list->nnode * block->ng1p, sizeof(real));
        side->g2[k] = dgnn_arena_take(arena, list->npair * block->ng2p, sizeof(real));
        side->h2[k] = dgnn_arena_take(arena, list->npair * 4, sizeof(real));
    }
    side->sw = dgnn_arena_take(arena, list->npair, sizeof(double));
    side->neighbour = dgnn_arena_take(arena, list->npair * block->ng1p, sizeof(real));
}

/* Gradients of neighbours' rows: each node adds what its pairs hold, in the order of the pairs; a moment's
 * column, what the gradient's hold times the displacement too. */
static void REAL(repformer_collect_node)(struct REAL(dgnn_repformer_workspace) * w, int32_t side, int64_t j)
{
    const struct dgnn_pair_list *list = &w->list;
    int64_t width = w->block->ng1p;
    real *row = w->side[side].g1[0] + j * width;
    if (j >= list->ncentre) {
        memset(row, 0, sizeof(real) * (size_t)width);
    }
    for (int64_t r = list->reverse_first[j]; r < list->reverse_first[j + 1]; r++) {
        int64_t pair = list->reverse[r];
        const real *from = w->side[side].neighbour + pair * width,
                   *first = w->side[0].neighbour + pair * width;
        real x = side ? w->displacement[3 * pair + side - 1] : 0;
        for (int64_t k = 0; k < width && side; k++) {
            row[k] += from[k] + x * first[k];
        }
        for (int64_t k = 0; k < width && !side; k++) {
            row[k] += from[k];
        }
    }
}

/* A node's rows of all sides, to where they travel from, side by side, and back. */
static void REAL(repformer_move_rows)(const struct REAL(dgnn_repformer_workspace) * w, int64_t j, int back)
{
    int64_t width = w->block->ng1p;
    for (int32_t side = 0; side < w->sides && w->has_rows; side++) {
        real *own = w->side[side].g1[0] + j * width, *row = w->d_rows[0] + (j * w->sides + side) * width;
        memcpy(back ? own : row, back ? row : own, sizeof(real) * (size_t)width);
    }
}
