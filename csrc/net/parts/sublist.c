#include "net/parts/sublist.h"

#include <string.h>

#include "base/arena.h"

static int sublist_keeps(const struct dgnn_graph *graph, const struct dgnn_sublist_rule *rule, int64_t i,
                         int64_t e)
{
    if (graph->distance[e] > rule->cutoff) {
        return 0;
    }
    return !rule->excluded ||
           !rule->excluded[graph->type[i] * rule->ntypes + graph->type[graph->neighbour[e]]];
}

/* End of the slots of centre i that the part looks at. */
static int64_t sublist_end(const struct dgnn_graph *graph, const struct dgnn_sublist_rule *rule, int64_t i)
{
    int64_t end = graph->first[i + 1];
    int64_t slots = graph->first[i] + rule->nsel;
    return graph->dense && slots < end ? slots : end;
}

static int64_t sublist_count(const struct dgnn_graph *graph, const struct dgnn_sublist_rule *rule)
{
    int64_t count = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        int64_t end = sublist_end(graph, rule, i);
        for (int64_t e = graph->first[i]; e < end; e++) {
            count += sublist_keeps(graph, rule, i, e);
        }
    }
    return count;
}

static void sublist_layout(struct dgnn_arena *arena, struct dgnn_sublist *list, int want_reverse)
{
    list->first = dgnn_arena_take(arena, list->ncentre + 1, sizeof(*list->first));
    list->edge = dgnn_arena_take(arena, list->npair, sizeof(*list->edge));
    list->neighbour = dgnn_arena_take(arena, list->npair, sizeof(*list->neighbour));
    list->square_first = dgnn_arena_take(arena, list->nchunk + 1, sizeof(*list->square_first));
    list->reverse_first =
        want_reverse ? dgnn_arena_take(arena, list->nnode + 1, sizeof(*list->reverse_first)) : NULL;
    list->reverse = want_reverse ? dgnn_arena_take(arena, list->npair, sizeof(*list->reverse)) : NULL;
}

static int sublist_reserve(struct dgnn_sublist *list, int want_reverse, struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    sublist_layout(&arena, list, want_reverse);
    DGNN_TRY(dgnn_buffer_reserve(&list->buffer, arena.used, "a list of pairs", error));
    arena = (struct dgnn_arena){.base = list->buffer.data};
    sublist_layout(&arena, list, want_reverse);
    return DGNN_OK;
}

static void sublist_fill(const struct dgnn_graph *graph, const struct dgnn_sublist_rule *rule,
                         struct dgnn_sublist *list)
{
    int64_t p = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        int64_t end = sublist_end(graph, rule, i);
        list->first[i] = p;
        for (int64_t e = graph->first[i]; e < end; e++) {
            if (sublist_keeps(graph, rule, i, e)) {
                list->edge[p] = e;
                list->neighbour[p++] = graph->neighbour[e];
            }
        }
    }
    list->first[graph->nowned] = p;
}

static void sublist_measure(const struct dgnn_sublist_rule *rule, struct dgnn_sublist *list)
{
    list->row_max = list->chunk_max = list->square_max = 0;
    list->square_first[0] = 0;
    for (int64_t chunk = 0; chunk < list->nchunk; chunk++) {
        int64_t begin = dgnn_sublist_chunk_begin(chunk), end = dgnn_sublist_chunk_end(list, chunk),
                square = 0;
        for (int64_t i = begin; i < end; i++) {
            int64_t n = list->first[i + 1] - list->first[i];
            square += n * ((n + rule->lanes - 1) / rule->lanes * rule->lanes);
            list->row_max = n > list->row_max ? n : list->row_max;
        }
        int64_t pairs = list->first[end] - list->first[begin];
        list->square_first[chunk + 1] = list->square_first[chunk] + square;
        list->chunk_max = pairs > list->chunk_max ? pairs : list->chunk_max;
        list->square_max = square > list->square_max ? square : list->square_max;
    }
}

/* A counting sort; reverse_first serves as the places first. */
static void sublist_turn(struct dgnn_sublist *list)
{
    memset(list->reverse_first, 0, sizeof(int64_t) * (size_t)(list->nnode + 1));
    for (int64_t p = 0; p < list->npair; p++) {
        list->reverse_first[list->neighbour[p] + 1]++;
    }
    for (int64_t j = 0; j < list->nnode; j++) {
        list->reverse_first[j + 1] += list->reverse_first[j];
    }
    for (int64_t p = 0; p < list->npair; p++) {
        list->reverse[list->reverse_first[list->neighbour[p]]++] = p;
    }
    for (int64_t j = list->nnode; j > 0; j--) {
        list->reverse_first[j] = list->reverse_first[j - 1];
    }
    list->reverse_first[0] = 0;
}

int dgnn_sublist_build(const struct dgnn_graph *graph, const struct dgnn_sublist_rule *rule,
                       struct dgnn_sublist *list, struct dgnn_error *error)
{
    list->ncentre = graph->nowned;
    list->nnode = graph->nnode;
    list->npair = sublist_count(graph, rule);
    list->nchunk = (graph->nowned + DGNN_SUBLIST_CHUNK - 1) / DGNN_SUBLIST_CHUNK;
    DGNN_TRY(sublist_reserve(list, rule->want_reverse, error));
    sublist_fill(graph, rule, list);
    sublist_measure(rule, list);
    if (rule->want_reverse) {
        sublist_turn(list);
    }
    return DGNN_OK;
}

void dgnn_sublist_free(struct dgnn_sublist *list)
{
    dgnn_buffer_free(&list->buffer);
    *list = (struct dgnn_sublist){0};
}
