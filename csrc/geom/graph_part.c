#include "geom/graph_part.h"

#include <string.h>

#include "base/arena.h"

/* What is left of each section of sel, while one row's edges are gone through. */
static void graph_part_refill(const struct dgnn_graph_part_rules *rules, int64_t *left)
{
    for (int32_t k = 0; rules->sel && k < rules->nsel; k++) {
        left[k] = rules->sel[k];
    }
}

static int graph_part_keeps(const struct dgnn_graph *whole, const struct dgnn_graph_part_rules *rules,
                            int64_t *left, int64_t e)
{
    if (rules->cutoff > 0 && whole->distance[e] > rules->cutoff) {
        return 0;
    }
    return !rules->sel || left[rules->nsel == 1 ? 0 : whole->type[whole->neighbour[e]]]-- > 0;
}

/* Fills first (nowned + 1). */
static void graph_part_count(const struct dgnn_graph *whole, const struct dgnn_graph_part_rules *rules,
                             int64_t *left, int64_t *first)
{
    first[0] = 0;
    for (int64_t i = 0; i < whole->nowned; i++) {
        graph_part_refill(rules, left);
        first[i + 1] = first[i];
        for (int64_t e = whole->first[i]; e < whole->first[i + 1]; e++) {
            first[i + 1] += graph_part_keeps(whole, rules, left, e);
        }
    }
}

struct graph_part_edges {
    int64_t *edge;
    int32_t *neighbour, *image, *shift;
    double *vector, *distance;
};

static void graph_part_layout(struct dgnn_arena *arena, int64_t nedge, const struct dgnn_graph *whole,
                              struct graph_part_edges *out)
{
    out->edge = dgnn_arena_take(arena, nedge, sizeof(*out->edge));
    out->neighbour = dgnn_arena_take(arena, nedge, sizeof(*out->neighbour));
    out->vector = dgnn_arena_take(arena, nedge, 3 * sizeof(*out->vector));
    out->distance = dgnn_arena_take(arena, nedge, sizeof(*out->distance));
    out->image = whole->image ? dgnn_arena_take(arena, nedge, sizeof(*out->image)) : NULL;
    out->shift = whole->shift ? dgnn_arena_take(arena, nedge, 3 * sizeof(*out->shift)) : NULL;
}

static void graph_part_copy(const struct dgnn_graph *whole, const struct dgnn_graph_part_rules *rules,
                            int64_t *left, const struct graph_part_edges *out)
{
    int64_t place = 0;
    for (int64_t i = 0; i < whole->nowned; i++) {
        graph_part_refill(rules, left);
        for (int64_t e = whole->first[i]; e < whole->first[i + 1]; e++) {
            if (!graph_part_keeps(whole, rules, left, e)) {
                continue;
            }
            out->edge[place] = e;
            out->neighbour[place] = whole->neighbour[e];
            memcpy(out->vector + 3 * place, whole->vector + 3 * e, 3 * sizeof(*out->vector));
            out->distance[place] = whole->distance[e];
            if (out->image) {
                out->image[place] = whole->image[e];
            }
            if (out->shift) {
                memcpy(out->shift + 3 * place, whole->shift + 3 * e, 3 * sizeof(*out->shift));
            }
            place++;
        }
    }
}

static int graph_part_take_edges(struct dgnn_graph_part *p, const struct dgnn_graph *whole,
                                 const struct dgnn_graph_part_rules *rules, int64_t *left,
                                 struct dgnn_error *error)
{
    int64_t nedge = p->graph.first[whole->nowned];
    struct graph_part_edges out;
    struct dgnn_arena arena = {0};
    graph_part_layout(&arena, nedge, whole, &out);
    DGNN_TRY(dgnn_buffer_reserve(&p->edges, arena.used, "a part's graph", error));
    arena = (struct dgnn_arena){.base = p->edges.data};
    graph_part_layout(&arena, nedge, whole, &out);
    graph_part_copy(whole, rules, left, &out);
    p->edge = out.edge;
    p->graph.neighbour = out.neighbour;
    p->graph.vector = out.vector;
    p->graph.distance = out.distance;
    p->graph.image = out.image;
    p->graph.shift = out.shift;
    return DGNN_OK;
}

static void graph_part_map_types(const struct dgnn_graph *whole, const int32_t *type_of, int32_t *type)
{
    for (int64_t i = 0; i < whole->nnode; i++) {
        type[i] = type_of[whole->type[i]];
    }
}

static void graph_part_layout_rows(struct dgnn_arena *arena, const struct dgnn_graph *whole, int32_t nsel,
                                   int64_t **first, int64_t **left, int32_t **type)
{
    *first = dgnn_arena_take(arena, whole->nowned + 1, sizeof(**first));
    *left = dgnn_arena_take(arena, nsel, sizeof(**left));
    *type = dgnn_arena_take(arena, whole->nnode, sizeof(**type));
}

int dgnn_graph_part_build(struct dgnn_graph_part *p, const struct dgnn_graph *whole,
                          const struct dgnn_graph_part_rules *rules, struct dgnn_error *error)
{
    int64_t *first, *left;
    int32_t *type;
    struct dgnn_arena arena = {0};
    graph_part_layout_rows(&arena, whole, rules->nsel, &first, &left, &type);
    DGNN_TRY(dgnn_buffer_reserve(&p->rows, arena.used, "a part's graph", error));
    arena = (struct dgnn_arena){.base = p->rows.data};
    graph_part_layout_rows(&arena, whole, rules->nsel, &first, &left, &type);
    p->graph = *whole;
    p->edge = NULL;
    p->nwhole = dgnn_graph_nedge(whole);
    graph_part_count(whole, rules, left, first);
    if (first[whole->nowned] < dgnn_graph_nedge(whole)) {
        p->graph.first = first;
        DGNN_TRY(graph_part_take_edges(p, whole, rules, left, error));
    }
    if (rules->type_of) {
        graph_part_map_types(whole, rules->type_of, type);
        p->graph.type = type;
        p->graph.first_type = whole->first_type < 0 ? whole->first_type : rules->type_of[whole->first_type];
    }
    return DGNN_OK;
}

/* Is the whole's gradient no place for the part's? */
static int graph_part_needs_place(const struct dgnn_graph_part *p, double factor)
{
    return p->edge || factor != 1;
}

static int64_t graph_part_gradient_size(const struct dgnn_graph_part *p)
{
    return 3 * p->sides * dgnn_graph_nedge(&p->graph) * (int64_t)sizeof(double);
}

int dgnn_graph_part_prepare(struct dgnn_graph_part *p, double factor, int32_t sides, struct dgnn_error *error)
{
    p->sides = sides;
    return graph_part_needs_place(p, factor) ? dgnn_buffer_reserve(&p->gradient, graph_part_gradient_size(p),
                                                                   "gradients of a part's edges", error)
                                             : DGNN_OK;
}

double *dgnn_graph_part_begin_gradient(struct dgnn_graph_part *p, double *whole_gradient, double factor)
{
    if (!graph_part_needs_place(p, factor)) {
        return whole_gradient;
    }
    memset(p->gradient.data, 0, (size_t)graph_part_gradient_size(p));
    return p->gradient.data;
}

void dgnn_graph_part_end_gradient(const struct dgnn_graph_part *p, const double *gradient, double factor,
                                  double *whole_gradient)
{
    int64_t nedge = dgnn_graph_nedge(&p->graph);
    for (int32_t side = 0; gradient != whole_gradient && side < p->sides; side++) {
        for (int64_t e = 0; e < nedge; e++) {
            double *to = whole_gradient + 3 * (p->edge ? p->edge[e] : e);
            for (int c = 0; c < 3; c++) {
                to[c] += factor * gradient[3 * e + c];
            }
        }
        gradient += 3 * nedge;
        whole_gradient += 3 * p->nwhole;
    }
}

void dgnn_graph_part_free(struct dgnn_graph_part *p)
{
    dgnn_buffer_free(&p->rows);
    dgnn_buffer_free(&p->edges);
    dgnn_buffer_free(&p->gradient);
    *p = (struct dgnn_graph_part){0};
}
