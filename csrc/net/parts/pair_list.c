#include "net/parts/pair_list.h"

#include <string.h>

#include "base/arena.h"

static int pair_list_keeps(const struct dgnn_graph *graph, const struct dgnn_pair_list_rule *rule, int64_t i,
                           int64_t e)
{
    if (graph->distance[e] > rule->cutoff) {
        return 0;
    }
    return !rule->excluded ||
           !rule->excluded[graph->type[i] * rule->ntypes + graph->type[graph->neighbour[e]]];
}

/* End of the slots of centre i that the part looks at. */
static int64_t pair_list_end(const struct dgnn_graph *graph, const struct dgnn_pair_list_rule *rule,
                             int64_t i)
{
    int64_t end = graph->first[i + 1];
    int64_t slots = graph->first[i] + rule->nsel;
    return graph->dense && slots < end ? slots : end;
}

static int64_t pair_list_count(const struct dgnn_graph *graph, const struct dgnn_pair_list_rule *rule)
{
    int64_t count = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        int64_t end = pair_list_end(graph, rule, i);
        for (int64_t e = graph->first[i]; e < end; e++) {
            count += pair_list_keeps(graph, rule, i, e);
        }
    }
    return count;
}

static void pair_list_layout(struct dgnn_arena *arena, struct dgnn_pair_list *list, int want_reverse)
{
    list->first = dgnn_arena_take(arena, list->ncentre + 1, sizeof(*list->first));
    list->edge = dgnn_arena_take(arena, list->npair, sizeof(*list->edge));
    list->neighbour = dgnn_arena_take(arena, list->npair, sizeof(*list->neighbour));
    list->square_first = dgnn_arena_take(arena, list->nchunk + 1, sizeof(*list->square_first));
    list->reverse_first =
        want_reverse ? dgnn_arena_take(arena, list->nnode + 1, sizeof(*list->reverse_first)) : NULL;
    list->reverse = want_reverse ? dgnn_arena_take(arena, list->npair, sizeof(*list->reverse)) : NULL;
}

static int pair_list_reserve(struct dgnn_pair_list *list, int want_reverse, struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    pair_list_layout(&arena, list, want_reverse);
    DGNN_TRY(dgnn_buffer_reserve(&list->buffer, arena.used, "a list of pairs", error));
    arena = (struct dgnn_arena){.base = list->buffer.data};
    pair_list_layout(&arena, list, want_reverse);
    return DGNN_OK;
}

static void pair_list_fill(const struct dgnn_graph *graph, const struct dgnn_pair_list_rule *rule,
                           struct dgnn_pair_list *list)
{
    int64_t p = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        int64_t end = pair_list_end(graph, rule, i);
        list->first[i] = p;
        for (int64_t e = graph->first[i]; e < end; e++) {
            if (pair_list_keeps(graph, rule, i, e)) {
                list->edge[p] = e;
                list->neighbour[p++] = graph->neighbour[e];
            }
        }
    }
    list->first[graph->nowned] = p;
}

static void pair_list_measure(const struct dgnn_pair_list_rule *rule, struct dgnn_pair_list *list)
{
    list->row_max = list->chunk_max = list->square_max = 0;
    list->square_first[0] = 0;
    for (int64_t chunk = 0; chunk < list->nchunk; chunk++) {
        int64_t begin = dgnn_pair_list_chunk_begin(chunk), end = dgnn_pair_list_chunk_end(list, chunk),
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
static void pair_list_reverse(struct dgnn_pair_list *list)
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

int dgnn_pair_list_build(const struct dgnn_graph *graph, const struct dgnn_pair_list_rule *rule,
                         struct dgnn_pair_list *list, struct dgnn_error *error)
{
    list->ncentre = graph->nowned;
    list->nnode = graph->nnode;
    list->npair = pair_list_count(graph, rule);
    list->nchunk = (graph->nowned + DGNN_PAIR_LIST_CHUNK - 1) / DGNN_PAIR_LIST_CHUNK;
    DGNN_TRY(pair_list_reserve(list, rule->want_reverse, error));
    pair_list_fill(graph, rule, list);
    pair_list_measure(rule, list);
    if (rule->want_reverse) {
        pair_list_reverse(list);
    }
    return DGNN_OK;
}

void dgnn_pair_list_free(struct dgnn_pair_list *list)
{
    dgnn_buffer_free(&list->buffer);
    *list = (struct dgnn_pair_list){0};
}
