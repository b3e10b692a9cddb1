/* One side of the repformer's backward (net/parts/descriptor.h): its memory, what neighbours' rows get, and
 * the rows of all sides as they travel. */
#include "base/real.h"

/* Chunks whose pairs' moments are held at a time: enough for all threads, and few beside all pairs. Sums go
 * pair by pair, so they do not depend on it. */
static int64_t REAL(repformer_group)(const struct REAL(dgnn_repformer_workspace) * w)
{
    int64_t least = 4 * w->block->context.threads, share = (w->list.nchunk + 15) / 16;
    return share > least ? share : least;
}

static int64_t REAL(repformer_group_end)(const struct REAL(dgnn_repformer_workspace) * w, int64_t begin)
{
    return begin + w->group < w->list.nchunk ? begin + w->group : w->list.nchunk;
}

/* Pairs of the chunks [begin, end); *first: the first one. */
static int64_t REAL(repformer_pairs_between)(const struct REAL(dgnn_repformer_workspace) * w, int64_t begin,
                                             int64_t end, int64_t *first)
{
    const struct dgnn_pair_list *list = &w->list;
    *first = list->first[dgnn_pair_list_chunk_begin(begin)];
    return list->first[dgnn_pair_list_chunk_end(list, end - 1)] - *first;
}

static void REAL(repformer_lay_side)(const struct REAL(dgnn_repformer_workspace) * w,
                                     struct REAL(dgnn_repformer_side) * side, struct dgnn_arena *arena)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    int64_t held = side == w->side ? list->npair : 0, first;
    for (int64_t chunk = 0; chunk < list->nchunk && side != w->side; chunk += w->group) {
        int64_t npair = REAL(repformer_pairs_between)(w, chunk, REAL(repformer_group_end)(w, chunk), &first);
        held = npair > held ? npair : held;
    }
    for (int k = 0; k < 2; k++) {
        side->g1[k] = dgnn_arena_take(arena, list->nnode * block->ng1p, sizeof(real));
        side->g2[k] = dgnn_arena_take(arena, list->npair * block->ng2p, sizeof(real));
        side->h2[k] = dgnn_arena_take(arena, list->npair * 4, sizeof(real));
    }
    side->sw = dgnn_arena_take(arena, list->npair, sizeof(double));
    side->neighbour = dgnn_arena_take(arena, held * block->ng1p, sizeof(real));
    side->first_pair = 0;
    side->npair = held;
    side->received = side == w->side ? NULL : dgnn_arena_take(arena, list->nnode * block->ng1p, sizeof(real));
}

/* ---------------------------------------------------------------- sums over pairs */

/* What pairs before end have for a node's row, of all moments: what they hold, and what the gradient's holds
 * times the displacement, in the order of the pairs. */
static void REAL(repformer_receive_node)(const struct REAL(dgnn_repformer_workspace) * w, int64_t end,
                                         int64_t j)
{
    const struct dgnn_pair_list *list = &w->list;
    int64_t width = w->block->ng1p, *r = &w->summed[j];
    for (; *r < list->reverse_first[j + 1] && list->reverse[*r] < end; ++*r) {
        int64_t pair = list->reverse[*r];
        const real *gradient = w->side[0].neighbour + pair * width;
        for (int32_t k = 1; k < w->sides; k++) {
            const struct REAL(dgnn_repformer_side) *side = &w->side[k];
            const real *from = side->neighbour + (pair - side->first_pair) * width;
            real x = w->displacement[3 * pair + k - 1], *row = side->received + j * width;
            for (int64_t c = 0; c < width; c++) {
                row[c] += from[c] + x * gradient[c];
            }
        }
    }
}

/* A node's row of one side, after all of its pairs. */
static void REAL(repformer_collect_node)(const struct REAL(dgnn_repformer_workspace) * w, int32_t side,
                                         int64_t j)
{
    const struct dgnn_pair_list *list = &w->list;
    int64_t width = w->block->ng1p;
    real *row = w->side[side].g1[0] + j * width;
    if (j >= list->ncentre) {
        memset(row, 0, sizeof(real) * (size_t)width);
    }
    if (side) {
        for (int64_t k = 0; k < width; k++) {
            row[k] += w->side[side].received[j * width + k];
        }
        return;
    }
    for (int64_t r = list->reverse_first[j]; r < list->reverse_first[j + 1]; r++) {
        const real *from = w->side[0].neighbour + list->reverse[r] * width;
        for (int64_t k = 0; k < width; k++) {
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
