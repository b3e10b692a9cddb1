/* A graph's prefix: the same centres with fewer or nearer neighbours, as hybrids and sums of models see it.
 */
#include "geom/graph_part.h"

#include "check.h"

/* Two centres with five and three edges among four nodes of two types. */
static const int32_t type[4] = {0, 1, 0, 1};
static const int64_t first[3] = {0, 5, 8};
static const int32_t neighbour[8] = {1, 3, 2, 1, 2, 0, 2, 3};
static const double distance[8] = {1, 1.5, 2, 2.5, 3, 1, 2, 3};
static double vector[24];
static int32_t shift[24];

static struct dgnn_graph make_whole(void)
{
    for (int k = 0; k < 24; k++) {
        vector[k] = k;
        shift[k] = 100 + k;
    }
    return (struct dgnn_graph){.nowned = 2,
                               .nnode = 4,
                               .type = type,
                               .first = first,
                               .neighbour = neighbour,
                               .vector = vector,
                               .shift = shift,
                               .distance = distance,
                               .first_type = 1,
                               .dense = 1};
}

/* The part's edges are these of the whole, in this order, and everything else goes with them. */
static void check_edges(const struct dgnn_graph_part *p, const int64_t *expected, int64_t n0, int64_t n1)
{
    const struct dgnn_graph *g = &p->graph;
    CHECK(g->first[0] == 0 && g->first[1] == n0 && g->first[2] == n0 + n1);
    for (int64_t e = 0; e < n0 + n1; e++) {
        int64_t from = expected[e];
        CHECK(g->neighbour[e] == neighbour[from] && g->distance[e] == distance[from]);
        CHECK(g->vector[3 * e] == vector[3 * from] && g->vector[3 * e + 2] == vector[3 * from + 2]);
        CHECK(g->shift[3 * e] == shift[3 * from] && g->shift[3 * e + 2] == shift[3 * from + 2]);
    }
}

static void test_sel(void)
{
    struct dgnn_error error = {0};
    struct dgnn_graph whole = make_whole();
    struct dgnn_graph_part p = {0};
    const int64_t two[1] = {2}, by_type[2] = {1, 2};
    struct dgnn_graph_part_rules rules = {.sel = two, .nsel = 1, .ntypes = 2};
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    check_edges(&p, (const int64_t[]){0, 1, 5, 6}, 2, 2);
    CHECK(p.graph.type == type && p.graph.image == NULL && p.graph.dense && p.graph.first_type == 1);
    rules = (struct dgnn_graph_part_rules){.sel = by_type, .nsel = 2, .ntypes = 2};
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    check_edges(&p, (const int64_t[]){0, 1, 2, 5, 7}, 3, 2);
    dgnn_graph_part_free(&p);
}

static void test_cutoff_and_types(void)
{
    struct dgnn_error error = {0};
    struct dgnn_graph whole = make_whole();
    struct dgnn_graph_part p = {0};
    const int64_t sel[1] = {3};
    const int32_t type_of[2] = {4, 2}, image[8] = {9, 8, 7, 6, 5, 4, 3, 2};
    struct dgnn_graph_part_rules rules = {
        .sel = sel, .nsel = 1, .ntypes = 2, .cutoff = 2, .type_of = type_of};
    whole.image = image;
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    check_edges(&p, (const int64_t[]){0, 1, 2, 5, 6}, 3, 2);
    CHECK(p.graph.image[2] == 7 && p.graph.image[3] == 4);
    CHECK(p.graph.type[0] == 4 && p.graph.type[1] == 2 && p.graph.type[3] == 2 && p.graph.first_type == 2);
    whole.first_type = -1;
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    CHECK(p.graph.first_type == -1);
    dgnn_graph_part_free(&p);
}

static void test_gradient(void)
{
    struct dgnn_error error = {0};
    struct dgnn_graph whole = make_whole();
    struct dgnn_graph_part p = {0};
    const int64_t one[1] = {1}, many[1] = {9};
    double all[24] = {0}, *own;
    struct dgnn_graph_part_rules rules = {.sel = one, .nsel = 1, .ntypes = 2};
    all[15] = 1;
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_graph_part_prepare(&p, 0.5, 1, &error), DGNN_OK, "");
    own = dgnn_graph_part_begin_gradient(&p, all, 0.5);
    CHECK(own != all && own[0] == 0 && own[3] == 0);
    own[0] = 2;
    own[3] = 3;
    dgnn_graph_part_end_gradient(&p, own, 0.5, all);
    CHECK(all[0] == 1 && all[15] == 2.5 && all[3] == 0);
    /* All edges are there: the whole's own arrays, and its gradient, unless it is weighted. */
    rules.sel = many;
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    CHECK(p.graph.first == first && p.graph.vector == vector);
    CHECK_STATUS(dgnn_graph_part_prepare(&p, 1, 1, &error), DGNN_OK, "");
    own = dgnn_graph_part_begin_gradient(&p, all, 1);
    CHECK(own == all);
    dgnn_graph_part_end_gradient(&p, own, 1, all);
    CHECK(all[0] == 1);
    CHECK_STATUS(dgnn_graph_part_prepare(&p, 2, 1, &error), DGNN_OK, "");
    own = dgnn_graph_part_begin_gradient(&p, all, 2);
    CHECK(own != all);
    own[23] = 1;
    dgnn_graph_part_end_gradient(&p, own, 2, all);
    CHECK(all[0] == 1 && all[23] == 2);
    dgnn_graph_part_free(&p);
}

static void test_nothing(void)
{
    struct dgnn_error error = {0};
    const int64_t none[1] = {0}, one[1] = {1};
    struct dgnn_graph whole = {.first = none};
    struct dgnn_graph_part p = {0};
    struct dgnn_graph_part_rules rules = {.sel = one, .nsel = 1, .ntypes = 2};
    CHECK_STATUS(dgnn_graph_part_build(&p, &whole, &rules, &error), DGNN_OK, "");
    CHECK(dgnn_graph_nedge(&p.graph) == 0);
    dgnn_graph_part_free(&p);
}

static void test_memory(void)
{
    struct dgnn_error error = {0};
    struct dgnn_graph whole = make_whole();
    const int64_t one[1] = {1};
    struct dgnn_graph_part_rules rules = {.sel = one, .nsel = 1, .ntypes = 2};
    int64_t live = dgnn_alloc_live();
    int failures = 0;
    for (int nth = 1; nth <= 4; nth++) {
        struct dgnn_graph_part p = {0};
        dgnn_alloc_fail_at(nth, 1);
        int status = dgnn_graph_part_build(&p, &whole, &rules, &error);
        status = status ? status : dgnn_graph_part_prepare(&p, 1, 1, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == (nth <= 3 ? DGNN_ERROR_MEMORY : DGNN_OK));
        failures += status != 0;
        dgnn_graph_part_free(&p);
    }
    CHECK(failures == 3 && dgnn_alloc_live() == live);
}

int main(void)
{
    test_sel();
    test_cutoff_and_types();
    test_gradient();
    test_nothing();
    test_memory();
    return check_report();
}
