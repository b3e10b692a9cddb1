#include "net/local/edge_batches.h"

#include <string.h>

#include "base/arena.h"
#include "net/params/params.h"

static void edge_batches_layout(struct dgnn_arena *arena, const struct dgnn_graph *graph, int64_t ngroup,
                                struct dgnn_edge_batches *rows)
{
    int64_t nedge = dgnn_graph_nedge(graph), ncount;
    rows->chunk = dgnn_arena_take(arena, graph->nowned + 1, sizeof(int64_t));
    if (!dgnn_alloc_checked(graph->nowned, ngroup, 1, &ncount)) {
        ncount = INT64_MAX; /* no reservation of that size succeeds */
    }
    rows->group = dgnn_arena_take(arena, ncount, sizeof(int64_t));
    rows->edge = dgnn_arena_take(arena, nedge, sizeof(int64_t));
    rows->centre = dgnn_arena_take(arena, nedge, sizeof(int64_t));
}

static void edge_batches_chunks(struct dgnn_edge_batches *rows, const struct dgnn_graph *graph,
                                int64_t target)
{
    rows->nchunk = rows->centre_max = 0;
    rows->chunk[0] = 0;
    for (int64_t i = 0; i < graph->nowned;) {
        int64_t begin = i++;
        while (i < graph->nowned && i - begin < target &&
               graph->first[i + 1] - graph->first[begin] <= target) {
            i++;
        }
        rows->chunk[++rows->nchunk] = i;
        rows->centre_max = i - begin > rows->centre_max ? i - begin : rows->centre_max;
    }
}

static int32_t edge_batches_group(const struct dgnn_edge_batches_rule *rule, const struct dgnn_graph *graph,
                                  int64_t i, int64_t e)
{
    return rule->group[graph->type[i] * rule->ntypes + graph->type[graph->neighbour[e]]];
}

/* Rows of one chunk, from row on; a counting sort. group: where the chunk's ngroup beginnings go. */
static int64_t edge_batches_fill(struct dgnn_edge_batches *rows, const struct dgnn_graph *graph,
                                 const struct dgnn_edge_batches_rule *rule, int64_t c, int64_t row)
{
    int64_t *group = rows->group + c * rule->ngroup, begin = row;
    memset(group, 0, sizeof(int64_t) * (size_t)rule->ngroup);
    for (int64_t i = rows->chunk[c]; i < rows->chunk[c + 1]; i++) {
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            int32_t g = edge_batches_group(rule, graph, i, e);
            if (g >= 0) {
                group[g]++;
            }
        }
    }
    for (int64_t g = 0; g < rule->ngroup; g++) {
        int64_t count = group[g];
        group[g] = row;
        row += count;
    }
    for (int64_t i = rows->chunk[c]; i < rows->chunk[c + 1]; i++) {
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            int32_t g = edge_batches_group(rule, graph, i, e);
            if (g >= 0) {
                rows->edge[group[g]] = e;
                rows->centre[group[g]++] = i;
            }
        }
    }
    memmove(group + 1, group, sizeof(int64_t) * (size_t)(rule->ngroup - 1)); /* ends become beginnings */
    group[0] = begin;
    return row;
}

int dgnn_edge_batches_make(struct dgnn_edge_batches *rows, const struct dgnn_graph *graph,
                           const struct dgnn_edge_batches_rule *rule, struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    edge_batches_layout(&arena, graph, rule->ngroup, rows);
    DGNN_TRY(dgnn_buffer_reserve(&rows->memory, arena.used, "rows of edges", error));
    arena = (struct dgnn_arena){.base = rows->memory.data};
    edge_batches_layout(&arena, graph, rule->ngroup, rows);
    rows->ngroup = rule->ngroup;
    edge_batches_chunks(rows, graph, rule->target);
    rows->row_max = 0;
    int64_t row = 0;
    for (int64_t c = 0; c < rows->nchunk; c++) {
        int64_t end = edge_batches_fill(rows, graph, rule, c, row);
        rows->row_max = end - row > rows->row_max ? end - row : rows->row_max;
        row = end;
    }
    rows->group[rows->nchunk * rule->ngroup] = rows->nrow = row;
    return DGNN_OK;
}

int dgnn_edge_batches_groups(const struct dgnn_value *exclude_types, int32_t ntypes, int32_t **group,
                             struct dgnn_error *error)
{
    int64_t count = (int64_t)ntypes * ntypes;
    uint8_t *excluded;
    int32_t any;
    DGNN_TRY(dgnn_params_pairs(exclude_types, ntypes, &excluded, &any, error));
    *group = dgnn_alloc(count, sizeof(int32_t));
    for (int64_t p = 0; p < count && *group; p++) {
        (*group)[p] = excluded[p] ? -1 : 0;
    }
    dgnn_alloc_free(excluded);
    return *group ? DGNN_OK
                  : dgnn_status_no_memory(error, "groups of pairs", count * (int64_t)sizeof(int32_t));
}

int dgnn_edge_batches_neighbours(const struct dgnn_value *exclude_types, int32_t ntypes, int32_t **group,
                                 struct dgnn_error *error)
{
    DGNN_TRY(dgnn_edge_batches_groups(exclude_types, ntypes, group, error));
    for (int64_t p = 0; p < (int64_t)ntypes * ntypes; p++) {
        (*group)[p] = (*group)[p] < 0 ? -1 : (int32_t)(p % ntypes);
    }
    return DGNN_OK;
}

void dgnn_edge_batches_free(struct dgnn_edge_batches *rows)
{
    dgnn_buffer_free(&rows->memory);
    *rows = (struct dgnn_edge_batches){0};
}
