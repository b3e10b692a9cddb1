#include "geom/candidates.h"
#include "geom/graphbuild.h"

#include <string.h>

/* What decides whether a pair becomes an edge, while one centre's pairs are gone through in order. */
struct chooser {
    const struct dgnn_graph_input *input;
    const struct dgnn_graph_rules *rules;
    int64_t *count;    /* nsel: pairs taken so far from this centre's list, by type unless types are mixed */
    int64_t left;      /* pairs of this centre's list that still fit into all of sel */
    int32_t truncated; /* did one find its section full? */
};

static int32_t graph_node(const struct dgnn_graph_input *input, int32_t row)
{
    return input->owner ? input->owner[row] : row;
}

static void chooser_begin(struct chooser *chooser)
{
    const struct dgnn_graph_rules *rules = chooser->rules;
    chooser->left = 0;
    for (int64_t section = 0; rules->dense && section < rules->nsel; section++) {
        chooser->count[section] = 0;
        chooser->left += rules->sel[section];
    }
    chooser->truncated = 0;
}

/* Is the centre's next pair, in order of distance, an edge? An excluded pair takes a place of sel
 * nevertheless. Where each type has its own sel, deepmd-kit first takes the nearest of all types, as many as
 * all of sel together, and sorts these by type. */
static int chooser_takes(struct chooser *chooser, int64_t centre, int64_t pair)
{
    const struct dgnn_graph_rules *rules = chooser->rules;
    const int32_t *type = chooser->input->type;
    int32_t other = type[graph_node(chooser->input, chooser->input->list->neighbour[pair])];
    if (rules->dense) {
        int32_t section = rules->mixed_types ? 0 : other;
        if (chooser->left-- <= 0 || chooser->count[section] >= rules->sel[section]) {
            chooser->truncated = 1;
            return 0;
        }
        chooser->count[section]++;
    }
    return !(rules->pair_exclude && rules->pair_exclude[(int64_t)type[centre] * rules->ntypes + other]);
}

/* Where a centre's pairs within the cutoff end: they are the first ones of the list. */
static int64_t graph_end(const struct chooser *chooser, int64_t centre)
{
    const struct dgnn_nlist *list = chooser->input->list;
    int64_t end = list->first[centre + 1];
    while (chooser->rules->cutoff > 0 && end > list->first[centre] &&
           list->distance[end - 1] > chooser->rules->cutoff) {
        end--;
    }
    return end;
}

static int graph_check(const struct dgnn_graph_input *input, const struct dgnn_graph_rules *rules,
                       struct dgnn_error *error)
{
    const struct dgnn_nlist *list = input->list;
    if (rules->dense && rules->nsel != (rules->mixed_types ? 1 : rules->ntypes)) {
        return dgnn_status_set(error, DGNN_ERROR_INTERNAL, "sel has %lld entries for %d types%s",
                               (long long)rules->nsel, (int)rules->ntypes,
                               rules->mixed_types ? ", mixed" : "");
    }
    if (!list->first || list->ncentre > input->nnode || (!input->owner && list->nrow != input->nnode)) {
        return dgnn_status_set(error, DGNN_ERROR_INTERNAL,
                               "graph of %lld nodes over a list of %lld centres, %lld rows",
                               (long long)input->nnode, (long long)list->ncentre, (long long)list->nrow);
    }
    for (int64_t i = 0; i < input->nnode; i++) {
        if (input->type[i] < 0 || input->type[i] >= rules->ntypes) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "node %lld has type %d; expected 0 to %d",
                                   (long long)i, (int)input->type[i], (int)rules->ntypes - 1);
        }
    }
    for (int64_t row = 0; input->owner && row < list->nrow; row++) {
        int32_t owner = input->owner[row];
        if (owner < 0 || owner >= input->nnode || (row < list->ncentre && owner != row)) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "row %lld is mapped to node %d; expected %s",
                                   (long long)row, (int)owner,
                                   row < list->ncentre ? "itself" : "the node that it is an image of");
        }
    }
    return DGNN_OK;
}

/* Fills first and ntruncated. */
static void graph_count(struct dgnn_graph_builder *builder, struct chooser *chooser)
{
    const struct dgnn_nlist *list = chooser->input->list;
    int64_t *first = builder->first.data;
    builder->ntruncated = 0;
    first[0] = 0;
    for (int64_t i = 0; i < list->ncentre; i++) {
        first[i + 1] = first[i];
        int64_t end = graph_end(chooser, i);
        chooser_begin(chooser);
        for (int64_t k = list->first[i]; k < end; k++) {
            first[i + 1] += chooser_takes(chooser, i, k);
        }
        builder->ntruncated += chooser->truncated;
    }
}

/* Copies the pairs that stay. */
static int graph_copy(struct dgnn_graph_builder *builder, struct chooser *chooser, struct dgnn_error *error)
{
    const struct dgnn_nlist *list = chooser->input->list;
    int64_t nedge = ((int64_t *)builder->first.data)[list->ncentre];
    DGNN_TRY(dgnn_candidates_reserve(&builder->image, nedge, sizeof(int32_t), "the graph", error));
    DGNN_TRY(dgnn_candidates_reserve(&builder->vector, nedge, 3 * sizeof(double), "the graph", error));
    DGNN_TRY(dgnn_candidates_reserve(&builder->distance, nedge, sizeof(double), "the graph", error));
    DGNN_TRY(dgnn_candidates_reserve(&builder->shift, nedge, 3 * sizeof(int32_t), "the graph", error));
    int32_t *shift = builder->shift.data;
    int32_t *row = builder->image.data;
    double *vector = builder->vector.data;
    double *distance = builder->distance.data;
    int64_t place = 0;
    for (int64_t i = 0; i < list->ncentre; i++) {
        int64_t end = graph_end(chooser, i);
        chooser_begin(chooser);
        for (int64_t k = list->first[i]; k < end; k++) {
            if (chooser_takes(chooser, i, k)) {
                row[place] = list->neighbour[k];
                memcpy(vector + 3 * place, list->vector + 3 * k, 3 * sizeof *vector);
                memcpy(shift + 3 * place, list->shift + 3 * k, 3 * sizeof *shift);
                distance[place] = list->distance[k];
                place++;
            }
        }
    }
    builder->graph.neighbour = row;
    builder->graph.vector = vector;
    builder->graph.distance = distance;
    builder->graph.shift = shift;
    builder->graph.first = builder->first.data;
    return DGNN_OK;
}

/* Rows are images: edges point to their nodes, forces go to the rows. */
static int graph_map_rows(struct dgnn_graph_builder *builder, const struct dgnn_graph_input *input,
                          struct dgnn_error *error)
{
    int64_t nedge = dgnn_graph_nedge(&builder->graph);
    DGNN_TRY(dgnn_candidates_reserve(&builder->neighbour, nedge, sizeof(int32_t), "the graph", error));
    int32_t *node = builder->neighbour.data;
    const int32_t *row = builder->graph.neighbour;
    for (int64_t e = 0; e < nedge; e++) {
        node[e] = input->owner[row[e]];
    }
    builder->graph.image = row;
    builder->graph.neighbour = node;
    return DGNN_OK;
}

static int graph_build(struct dgnn_graph_builder *builder, const struct dgnn_graph_input *input,
                       const struct dgnn_graph_rules *rules, struct dgnn_error *error)
{
    const struct dgnn_nlist *list = input->list;
    DGNN_TRY(graph_check(input, rules, error));
    DGNN_TRY(
        dgnn_candidates_reserve(&builder->first, list->ncentre + 1, sizeof(int64_t), "the graph", error));
    DGNN_TRY(dgnn_candidates_reserve(&builder->count, rules->nsel, sizeof(int64_t), "the graph", error));
    struct chooser chooser = {.input = input, .rules = rules, .count = builder->count.data};
    builder->ntruncated = 0;
    builder->graph = (struct dgnn_graph){
        .nowned = list->ncentre,
        .nnode = input->nnode,
        .nrow = list->nrow,
        .type = input->type,
        .first = list->first,
        .neighbour = list->neighbour,
        .vector = list->vector,
        .distance = list->distance,
        .position = input->position,
        .shift = list->shift,
        .cell = input->cell,
        .offset = input->offset,
        .first_type = input->first_type,
        .dense = rules->dense,
    };
    if (rules->dense || rules->pair_exclude || rules->cutoff > 0) {
        graph_count(builder, &chooser);
        if (((int64_t *)builder->first.data)[list->ncentre] < dgnn_nlist_npair(list)) {
            DGNN_TRY(graph_copy(builder, &chooser, error));
        }
    }
    return input->owner ? graph_map_rows(builder, input, error) : DGNN_OK;
}

int dgnn_graph_build(struct dgnn_graph_builder *builder, const struct dgnn_graph_input *input,
                     const struct dgnn_graph_rules *rules, struct dgnn_error *error)
{
    int status = graph_build(builder, input, rules, error);
    if (status) {
        memset(&builder->graph, 0, sizeof builder->graph);
    }
    return status;
}

void dgnn_graph_builder_free(struct dgnn_graph_builder *builder)
{
    dgnn_buffer_free(&builder->first);
    dgnn_buffer_free(&builder->neighbour);
    dgnn_buffer_free(&builder->image);
    dgnn_buffer_free(&builder->vector);
    dgnn_buffer_free(&builder->distance);
    dgnn_buffer_free(&builder->shift);
    dgnn_buffer_free(&builder->count);
    memset(builder, 0, sizeof *builder);
}
