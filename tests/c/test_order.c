/* A graph in the order of a curve is the same graph; rows and gradients come back where they belong. */
#include "check.h"
#include "geom/order.h"
#include "random.h"

enum { NODES = 700, DEGREE = 5, EDGES = NODES * DEGREE };

static struct {
    double positions[3 * NODES], vector[3 * EDGES], distance[EDGES], gradient[3 * EDGES];
    int64_t first[NODES + 1];
    int32_t type[NODES], neighbour[EDGES];
} whole;

/* Node i has i modulo 6 edges, to nodes anywhere; every number tells whose it is. */
static struct dgnn_graph make_graph(uint64_t seed, int flat)
{
    for (int i = 0; i < NODES; i++) {
        whole.type[i] = i % 3;
        whole.first[i + 1] = whole.first[i] + i % (DEGREE + 1);
        for (int c = 0; c < 3; c++) {
            whole.positions[3 * i + c] = flat && c > 0 ? 0 : 40 * random_uniform(&seed) * (c + 1);
        }
    }
    for (int64_t e = 0; e < whole.first[NODES]; e++) {
        whole.neighbour[e] = (int32_t)random_below(&seed, NODES);
        whole.distance[e] = (double)e;
        for (int c = 0; c < 3; c++) {
            whole.vector[3 * e + c] = (double)(3 * e + c);
        }
    }
    return (struct dgnn_graph){.nowned = NODES,
                               .nnode = NODES,
                               .type = whole.type,
                               .first = whole.first,
                               .neighbour = whole.neighbour,
                               .vector = whole.vector,
                               .distance = whole.distance,
                               .dense = 1,
                               .first_type = 2};
}

static void check_same_graph(const struct dgnn_order *order)
{
    static int seen[NODES];
    const struct dgnn_graph *g = &order->graph;
    int good = 1;
    memset(seen, 0, sizeof(seen));
    for (int64_t n = 0; n < NODES; n++) {
        int32_t node = order->node[n];
        seen[node]++;
        good &= g->type[n] == whole.type[node];
        good &= g->first[n + 1] - g->first[n] == whole.first[node + 1] - whole.first[node];
        for (int64_t e = 0; e < g->first[n + 1] - g->first[n]; e++) {
            int64_t from = whole.first[node] + e, to = g->first[n] + e;
            good &= order->node[g->neighbour[to]] == whole.neighbour[from];
            good &= g->distance[to] == whole.distance[from] &&
                    g->vector[3 * to + 2] == whole.vector[3 * from + 2];
        }
    }
    for (int i = 0; i < NODES; i++) {
        good &= seen[i] == 1;
    }
    CHECK(good);
    CHECK(g->nowned == NODES && g->dense == 1 && g->first_type == 2 && g->image == NULL);
}

static void check_returns(const struct dgnn_order *order)
{
    static double rows[2 * NODES], taken[2 * NODES], back[2 * NODES];
    for (int i = 0; i < 2 * NODES; i++) {
        rows[i] = i;
    }
    dgnn_order_gather(order, 2, rows, taken);
    dgnn_order_return(order, 2, taken, back);
    CHECK(!memcmp(rows, back, sizeof(rows)) && memcmp(rows, taken, sizeof(rows)));
    memcpy(order->edge_gradient, order->graph.vector, 3 * sizeof(double) * (size_t)whole.first[NODES]);
    dgnn_order_return_gradient(order, whole.gradient);
    CHECK(!memcmp(whole.gradient, whole.vector, 3 * sizeof(double) * (size_t)whole.first[NODES]));
}

static double path_length(const double *positions, const int32_t *node)
{
    double sum = 0;
    for (int i = 1; i < NODES; i++) {
        const double *a = positions + 3 * (node ? node[i] : i),
                     *b = positions + 3 * (node ? node[i - 1] : i - 1);
        sum += sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) +
                    (a[2] - b[2]) * (a[2] - b[2]));
    }
    return sum;
}

int main(void)
{
    struct dgnn_error error;
    struct dgnn_order order = {0};
    for (uint64_t seed = 1; seed < 5; seed++) {
        struct dgnn_graph graph = make_graph(seed, seed == 4);
        CHECK_STATUS(dgnn_order_build(&order, &graph, whole.positions, 1, &error), DGNN_OK, "");
        check_same_graph(&order);
        check_returns(&order);
        CHECK(path_length(whole.positions, order.node) < 0.4 * path_length(whole.positions, NULL));
    }
    memset(whole.positions, 0, sizeof(whole.positions)); /* all at one place: the order stays */
    struct dgnn_graph graph = make_graph(9, 0);
    memset(whole.positions, 0, sizeof(whole.positions));
    int64_t before = dgnn_alloc_count();
    CHECK_STATUS(dgnn_order_build(&order, &graph, whole.positions, 1, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == before);
    CHECK(order.node[0] == 0 && order.node[NODES - 1] == NODES - 1);
    dgnn_order_free(&order);
    for (int k = 1; k <= 2; k++) {
        dgnn_alloc_fail_at(k, 0);
        CHECK_STATUS(dgnn_order_build(&order, &graph, whole.positions, 1, &error), DGNN_ERROR_MEMORY,
                     "order");
        dgnn_alloc_fail_at(0, 0);
        dgnn_order_free(&order);
    }
    return check_report();
}
