#include "net/dpa3/edge_lists.h"

#include <string.h>

#include "base/arena.h"

static int lists_is_excluded(const struct dgnn_dpa3_settings *s, const struct dgnn_graph *g, int64_t i,
                             int64_t edge)
{
    return s->excluded[g->type[i] * s->ntypes + g->type[g->neighbour[edge]]];
}

/* Pairs are counted in slots of the graph, those of excluded edges among them (repflow_count). */
static int lists_is_pair(const struct dgnn_dpa3_settings *s, const struct dgnn_graph *g, int64_t i,
                         int64_t edge)
{
    return s->has_angles && edge - g->first[i] < s->angle_sel && g->distance[edge] < s->angle.cutoff;
}

static void lists_count(struct dgnn_edge_lists *lists, const struct dgnn_dpa3_settings *s,
                        const struct dgnn_graph *g)
{
    lists->nedge = lists->npair = lists->nangle = lists->nangle_linear2 = 0;
    for (int64_t i = 0; i < g->nowned; i++) {
        int64_t nedge = 0, npair = 0;
        for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
            if (!lists_is_excluded(s, g, i, j)) {
                nedge++;
                npair += lists_is_pair(s, g, i, j);
            }
        }
        lists->nedge += nedge;
        lists->npair += npair;
        lists->nangle += npair * npair;
        lists->nangle_linear2 += s->repflow.smooth_edge_update ? npair : nedge;
    }
}

static void lists_lay(struct dgnn_arena *arena, struct dgnn_edge_lists *lists, int has_image)
{
    lists->first = dgnn_arena_take(arena, lists->nowned + 1, sizeof(*lists->first));
    lists->pair_first = dgnn_arena_take(arena, lists->nowned + 1, sizeof(*lists->pair_first));
    lists->angle_first = dgnn_arena_take(arena, lists->nowned + 1, sizeof(*lists->angle_first));
    lists->angle_linear2_first =
        dgnn_arena_take(arena, lists->nowned + 1, sizeof(*lists->angle_linear2_first));
    lists->reverse_first = dgnn_arena_take(arena, lists->nnode + 1, sizeof(*lists->reverse_first));
    lists->edge_centre = dgnn_arena_take(arena, lists->nedge, sizeof(*lists->edge_centre));
    lists->neighbour = dgnn_arena_take(arena, lists->nedge, sizeof(*lists->neighbour));
    lists->reverse_edge = dgnn_arena_take(arena, lists->nedge, sizeof(*lists->reverse_edge));
    lists->pair_edge = dgnn_arena_take(arena, lists->npair, sizeof(*lists->pair_edge));
    lists->type = dgnn_arena_take(arena, lists->nnode, sizeof(*lists->type));
    lists->shift = dgnn_arena_take(arena, 3 * lists->nedge, sizeof(*lists->shift));
    lists->row = lists->neighbour;
    lists->row_first = lists->reverse_first;
    lists->row_edge = lists->reverse_edge;
    if (has_image) {
        lists->row = dgnn_arena_take(arena, lists->nedge, sizeof(*lists->row));
        lists->row_first = dgnn_arena_take(arena, lists->nrow + 1, sizeof(*lists->row_first));
        lists->row_edge = dgnn_arena_take(arena, lists->nedge, sizeof(*lists->row_edge));
    }
    lists->nupload = arena->used;
    lists->graph_edge = dgnn_arena_take(arena, lists->nedge, sizeof(*lists->graph_edge));
}

static void lists_fill(struct dgnn_edge_lists *lists, const struct dgnn_dpa3_settings *s,
                       const struct dgnn_graph *g)
{
    int64_t edge = 0, pair = 0, angle = 0, linear2 = 0;
    for (int64_t i = 0; i < g->nowned; i++) {
        int64_t nedge = 0, npair = 0;
        lists->first[i] = edge;
        lists->pair_first[i] = pair;
        lists->angle_first[i] = angle;
        lists->angle_linear2_first[i] = linear2;
        for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
            if (lists_is_excluded(s, g, i, j)) {
                continue;
            }
            lists->graph_edge[edge + nedge] = j;
            lists->edge_centre[edge + nedge] = (int32_t)i;
            lists->neighbour[edge + nedge] = g->neighbour[j];
            lists->row[edge + nedge] = g->image ? g->image[j] : g->neighbour[j];
            memcpy(lists->shift + 3 * (edge + nedge), g->shift + 3 * j, 3 * sizeof(*lists->shift));
            nedge++;
            npair += lists_is_pair(s, g, i, j);
        }
        for (int64_t j = 0; j < npair; j++) {
            lists->pair_edge[pair + j] = (int32_t)(edge + j);
        }
        edge += nedge;
        pair += npair;
        angle += npair * npair;
        linear2 += s->repflow.smooth_edge_update ? npair : nedge;
    }
    lists->first[g->nowned] = edge;
    lists->pair_first[g->nowned] = pair;
    lists->angle_first[g->nowned] = angle;
    lists->angle_linear2_first[g->nowned] = linear2;
    memcpy(lists->type, g->type, sizeof(int32_t) * (size_t)g->nnode);
}

/* The edges that end at each of n rows, in their order: counted, summed, placed. */
static void lists_reverse(int64_t nedge, const int32_t *row, int64_t n, int64_t *first, int32_t *reverse)
{
    memset(first, 0, sizeof(*first) * (size_t)(n + 1));
    for (int64_t edge = 0; edge < nedge; edge++) {
        first[row[edge]]++;
    }
    for (int64_t k = 0, sum = 0; k <= n; k++) {
        int64_t count = k < n ? first[k] : 0;
        first[k] = sum;
        sum += count;
    }
    for (int64_t edge = 0; edge < nedge; edge++) {
        reverse[first[row[edge]]++] = (int32_t)edge;
    }
    for (int64_t k = n; k > 0; k--) { /* each is now where the next begins */
        first[k] = first[k - 1];
    }
    first[0] = 0;
}

int dgnn_edge_lists_build(struct dgnn_edge_lists *lists, const struct dgnn_dpa3_settings *s,
                          const struct dgnn_graph *g, struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    const int64_t before = lists->nbytes;
    struct dgnn_buffer *block = &lists->block[!lists->current];
    lists->nowned = g->nowned;
    lists->nnode = g->nnode;
    lists->nrow = g->nrow;
    lists->ngraph_edge = dgnn_graph_nedge(g);
    lists_count(lists, s, g);
    if (lists->nedge > INT32_MAX) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "%lld edges on one device; a device counts at most 2147483647",
                               (long long)lists->nedge);
    }
    lists_lay(&arena, lists, g->image != NULL);
    DGNN_TRY(dgnn_buffer_reserve(block, arena.used, "lists of edges and angles", error));
    memset(block->data, 0, (size_t)arena.used); /* what is between the arrays is compared, too */
    arena = (struct dgnn_arena){.base = block->data};
    lists_lay(&arena, lists, g->image != NULL);
    lists->nbytes = arena.used;
    lists_fill(lists, s, g);
    lists_reverse(lists->nedge, lists->neighbour, lists->nnode, lists->reverse_first, lists->reverse_edge);
    if (g->image) {
        lists_reverse(lists->nedge, lists->row, lists->nrow, lists->row_first, lists->row_edge);
    }
    const struct dgnn_buffer *old = &lists->block[lists->current];
    lists->is_new = lists->nbytes != before || memcmp(old->data, block->data, (size_t)before) != 0;
    lists->current = !lists->current;
    return DGNN_OK;
}

void dgnn_edge_lists_free(struct dgnn_edge_lists *lists)
{
    dgnn_buffer_free(&lists->block[0]);
    dgnn_buffer_free(&lists->block[1]);
}
