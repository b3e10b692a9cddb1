/* DPA2 as a descriptor, on graphs made here, for every case of tests/data: the gradient of each kind of
 * update against central differences, ghost rows against none, threads, memory, allocations. */
#include <dirent.h>

#define CLUSTER_ATOMS 18

#include "base/alloc.h"
#include "check.h"
#include "cluster.h"
#include "comm/exchange_create.h"
#include "io/archive.h"
#include "net/energy/registry.h"

/* A cluster for each case, and edges of it. */
static uint64_t seed = 20261124;

/* ---------------------------------------------------------------- evaluation */

struct answer {
    double value; /* sum of weights . output */
    double gradient[3 * NEDGE_MAX];
    double output[NATOM * 64];
};

static int load(const char *name, int32_t memory, int32_t threads, struct dgnn_descriptor **descriptor,
                int *dense, struct dgnn_error *error)
{
    static const char *const type_map[] = {"O", "H"};
    struct dgnn_load_context context = {
        .dtype = DGNN_DTYPE_FLOAT64, .memory = memory, .ntypes = 2, .type_map = type_map, .threads = threads};
    struct dgnn_archive archive;
    char path[256];
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    *dense = !strstr(name, "_graph");
    DGNN_TRY(dgnn_cpu_best(&context.cpu, error));
    DGNN_TRY(dgnn_archive_read(path, &archive, error));
    struct dgnn_value root = dgnn_tree_root(archive.model), model = dgnn_value_member(&root, "model");
    struct dgnn_value value = dgnn_value_member(&model, "descriptor");
    int status = dgnn_registry_load(&value, &context, descriptor, error);
    dgnn_archive_free(&archive);
    return status;
}

static double weight(int64_t k)
{
    return cos(0.7 * (double)k + 0.3);
}

static int evaluate_in(const struct dgnn_descriptor *d, struct dgnn_descriptor_workspace *workspace,
                       const struct dgnn_graph *graph, struct dgnn_exchange *exchange, struct answer *answer,
                       struct dgnn_error *error)
{
    struct dgnn_descriptor_properties p;
    struct dgnn_evaluation evaluation = {
        .graph = graph, .exchange = exchange, .edge_gradient = answer->gradient, .want_gradient = 1};
    double d_output[NATOM * 64];
    dgnn_descriptor_kind(d)->properties(d, &p);
    memset(answer, 0, sizeof(*answer));
    DGNN_TRY(dgnn_descriptor_kind(d)->prepare(d, workspace, &evaluation, error));
    DGNN_TRY(dgnn_descriptor_kind(d)->forward(d, workspace, &evaluation, answer->output, error));
    for (int64_t k = 0; k < NATOM * p.dim_out; k++) {
        d_output[k] = weight(k);
        answer->value += weight(k) * answer->output[k];
    }
    return dgnn_descriptor_kind(d)->backward(d, workspace, &evaluation, d_output, error);
}

static int evaluate(const struct dgnn_descriptor *d, const struct dgnn_graph *graph,
                    struct dgnn_exchange *exchange, struct answer *answer, struct dgnn_error *error)
{
    struct dgnn_descriptor_workspace *workspace;
    DGNN_TRY(dgnn_descriptor_kind(d)->workspace_create(d, &workspace, error));
    int status = evaluate_in(d, workspace, graph, exchange, answer, error);
    status = status ? status : dgnn_exchange_settle(exchange, error); /* it has the workspace's rows */
    dgnn_descriptor_kind(d)->workspace_free(workspace);
    return status;
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t k = 0; k < n; k++) {
        most = fabs(x[k]) > most ? fabs(x[k]) : most;
    }
    return most;
}

static double difference(const double *x, const double *y, int64_t n)
{
    double most = 0;
    for (int64_t k = 0; k < n; k++) {
        most = check_larger(most, fabs(x[k] - y[k]));
    }
    return most;
}

static int is_near_a_cutoff(double r)
{
    return fabs(r - 3.5) < 1e-3 || fabs(r - 4.5) < 1e-3 || fabs(r - 5.0) < 1e-3;
}

/* Some edges' vectors moved by h; the lists stay. */
static void check_differences(const char *name, struct dgnn_descriptor *d, struct cluster *c,
                              const struct answer *at_rest)
{
    static struct answer moved[2];
    struct dgnn_error error;
    double h = 1e-4, size = largest(at_rest->gradient, 3 * c->first[NATOM]), worst = 0;
    CHECK(size > 1e-6);
    for (int64_t k = 0; k < 6; k++) {
        int64_t e = (int64_t)(random_uniform(&seed) * (double)c->first[NATOM]), component = 3 * e + k % 3;
        double kept = c->vector[component], r = c->distance[e];
        if (is_near_a_cutoff(r)) {
            continue;
        }
        for (int side = 0; side < 2; side++) {
            const double *v = c->vector + 3 * e;
            c->vector[component] = kept + (side ? h : -h);
            c->distance[e] = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            CHECK_STATUS(evaluate(d, &c->graph, NULL, &moved[side], &error), DGNN_OK, "");
        }
        c->vector[component] = kept;
        c->distance[e] = r;
        worst = check_larger(
            worst, fabs((moved[1].value - moved[0].value) / (2 * h) - at_rest->gradient[component]));
    }
    if (!(worst < 3e-7 * fmax(size, 1))) {
        fprintf(stderr, "%s: central differences are off by %.2e where the largest is %.2e\n", name, worst,
                size);
    }
    CHECK(worst < 3e-7 * fmax(size, 1));
}

/* Neighbours as copies in ghost rows, with an exchange that copies and adds. */
static void check_ghosts(struct dgnn_descriptor *d, const struct cluster *c, const struct answer *alone)
{
    static struct answer answer;
    struct dgnn_graph graph = c->graph;
    struct dgnn_exchange *exchange;
    struct dgnn_plan *plan;
    struct dgnn_error error;
    const int64_t first[] = {0, NROW - NATOM};
    const int32_t me = 0;
    int32_t owner[NROW], row[NROW];
    for (int32_t i = 0; i < NROW; i++) {
        row[i] = i;
        owner[i] = i % NATOM;
    }
    const struct dgnn_direct direct = {1, &me, first, owner + NATOM, first, row + NATOM};
    graph.nnode = NROW;
    graph.neighbour = c->copied;
    CHECK_STATUS(dgnn_plan_create(&direct, NATOM, NROW, 0, 1, &plan, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_direct(plan, NULL, DGNN_EXCHANGE_FEATURES, &exchange, &error), DGNN_OK,
                 "");
    CHECK_STATUS(evaluate(d, &graph, exchange, &answer, &error), DGNN_OK, "");
    CHECK(difference(answer.output, alone->output, NATOM * 64) <= 1e-12 * largest(alone->output, NATOM * 64));
    CHECK(difference(answer.gradient, alone->gradient, 3 * NEDGE_MAX) <=
          1e-12 * fmax(1, largest(alone->gradient, 3 * NEDGE_MAX)));
    dgnn_exchange_free(exchange);
    dgnn_plan_free(plan);
}

static void check_case(const char *name)
{
    static struct cluster c;
    static struct answer answer, other;
    struct dgnn_descriptor *d, *small, *threaded;
    struct dgnn_descriptor_workspace *workspace;
    struct dgnn_descriptor_properties p;
    struct dgnn_error error;
    int dense;
    CHECK_STATUS(load(name, DGNN_MEMORY_FAST, 1, &d, &dense, &error), DGNN_OK, "");
    CHECK_STATUS(load(name, DGNN_MEMORY_SMALL, 1, &small, &dense, &error), DGNN_OK, "");
    CHECK_STATUS(load(name, DGNN_MEMORY_FAST, 3, &threaded, &dense, &error), DGNN_OK, "");
    dgnn_descriptor_kind(d)->properties(d, &p);
    CHECK(p.dim_out <= 64 && p.has_message_passing && (dense || p.has_graph_form));
    make_cluster(&c, &p, 2, dense, &seed);
    CHECK_STATUS(dgnn_descriptor_kind(d)->workspace_create(d, &workspace, &error), DGNN_OK, "");
    CHECK_STATUS(evaluate_in(d, workspace, &c.graph, NULL, &answer, &error), DGNN_OK, "");
    int64_t allocations = dgnn_alloc_count();
    CHECK_STATUS(evaluate_in(d, workspace, &c.graph, NULL, &other, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == allocations);
    dgnn_descriptor_kind(d)->workspace_free(workspace);
    CHECK(!memcmp(&answer, &other, sizeof(answer)));
    CHECK_STATUS(evaluate(small, &c.graph, NULL, &other, &error), DGNN_OK, "");
    CHECK(!memcmp(&answer, &other, sizeof(answer)));
    CHECK_STATUS(evaluate(threaded, &c.graph, NULL, &other, &error), DGNN_OK, "");
    CHECK(!memcmp(&answer, &other, sizeof(answer)));
    check_ghosts(d, &c, &answer);
    check_differences(name, d, &c, &answer);
    dgnn_registry_free(d);
    dgnn_registry_free(small);
    dgnn_registry_free(threaded);
}

/* A rank without atoms, and atoms without neighbours. */
static void check_empty(const char *name)
{
    static struct cluster c;
    static struct answer answer;
    struct dgnn_descriptor *d;
    struct dgnn_error error;
    int dense;
    CHECK_STATUS(load(name, DGNN_MEMORY_FAST, 2, &d, &dense, &error), DGNN_OK, "");
    memset(&c, 0, sizeof(c));
    c.graph = (struct dgnn_graph){.type = c.type,
                                  .first = c.first,
                                  .neighbour = c.neighbour,
                                  .vector = c.vector,
                                  .distance = c.distance,
                                  .dense = dense};
    CHECK_STATUS(evaluate(d, &c.graph, NULL, &answer, &error), DGNN_OK, "");
    c.graph.nowned = c.graph.nnode = NATOM;
    CHECK_STATUS(evaluate(d, &c.graph, NULL, &answer, &error), DGNN_OK, "");
    CHECK(isfinite(answer.value) && answer.value != 0);
    dgnn_registry_free(d);
}

/* Every allocation of loading and of a first evaluation fails once; nothing leaks, the next call works. */
static void check_failures(const char *name)
{
    static struct cluster c;
    static struct answer answer, right;
    struct dgnn_descriptor *d = NULL;
    struct dgnn_descriptor_properties p;
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live(), nth = 0;
    int dense, status;
    do {
        dgnn_alloc_fail_at(++nth, 0);
        status = load(name, DGNN_MEMORY_FAST, 2, &d, &dense, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && dgnn_alloc_live() == live));
    } while (status && nth < 100000);
    CHECK(status == DGNN_OK && nth > 20);
    dgnn_descriptor_kind(d)->properties(d, &p);
    make_cluster(&c, &p, 2, dense, &seed);
    CHECK_STATUS(evaluate(d, &c.graph, NULL, &right, &error), DGNN_OK, "");
    dgnn_registry_free(d);
    nth = 0;
    do {
        CHECK_STATUS(load(name, DGNN_MEMORY_FAST, 2, &d, &dense, &error), DGNN_OK, "");
        dgnn_alloc_fail_at(++nth, 0);
        status = evaluate(d, &c.graph, NULL, &answer, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || status == DGNN_ERROR_MEMORY);
        CHECK_STATUS(evaluate(d, &c.graph, NULL, &answer, &error), DGNN_OK, "");
        CHECK(!memcmp(&answer, &right, sizeof(answer)));
        dgnn_registry_free(d);
    } while (status && nth < 1000);
    CHECK(status == DGNN_OK && nth > 5);
    CHECK(dgnn_alloc_live() == live);
}

int main(void)
{
    DIR *folder = opendir("tests/data/cases");
    struct dirent *entry;
    int count = 0;
    CHECK(folder != NULL);
    while (folder && (entry = readdir(folder))) {
        if (!strncmp(entry->d_name, "dpa2_", 5)) {
            check_case(entry->d_name);
            count++;
        }
    }
    closedir(folder);
    CHECK(count >= 30);
    check_empty("dpa2_davg");
    check_empty("dpa2_all_updates");
    check_failures("dpa2_all_updates");
    check_failures("dpa2_strip");
    return check_report();
}
