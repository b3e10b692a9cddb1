/* The local descriptors' parts, and whole models of each family when memory runs out. The folder of cases may
 * be given as the argument. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#include "base/arena.h"
#include "base/cpu.h"
#include "net/parts/attention_load.h"
#include "net/local/edge_batches.h"
#include "net/parts/environment.h"
#include "net/params/params.h"
#include "net/parts/typeembed.h"
#include "ops/table.h"

static uint64_t state = 88172645463325252u;

/* In [-1, 1). */
static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 4503599627370496.0 - 1;
}

/* ---------------------------------------------------------------- environment */

static double sum_of_row(const struct dgnn_environment *environment, const double *vector,
                         const double *weight)
{
    double row[4], r = sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]), sum = 0;
    const struct dgnn_environment_edge edge = {.type = 1, .vector = vector, .distance = r};
    double value = dgnn_environment_row(environment, &edge, row);
    for (int64_t c = 0; c < environment->width; c++) {
        sum += weight[c] * row[c];
    }
    return sum + weight[4] * value;
}

static void check_gradient(struct dgnn_environment *environment, double length)
{
    double vector[3] = {0.6 * length, -0.64 * length, 0.48 * length}, weight[5], gradient[3] = {0};
    for (int k = 0; k < 5; k++) {
        weight[k] = uniform();
    }
    const struct dgnn_environment_edge edge = {.type = 1, .vector = vector, .distance = length};
    dgnn_environment_backward(environment, &edge, weight, weight[4], gradient);
    for (int a = 0; a < 3; a++) {
        const double h = 1e-5;
        double kept = vector[a];
        vector[a] = kept + h;
        double plus = sum_of_row(environment, vector, weight);
        vector[a] = kept - h;
        double minus = sum_of_row(environment, vector, weight);
        vector[a] = kept;
        CHECK_NEAR(gradient[a], (plus - minus) / (2 * h), 1e-8);
    }
}

static void test_environment(void)
{
    double mean[8] = {0, 0, 0, 0, 0.2, 0.1, -0.1, 0.3}, scale[8] = {1, 1, 1, 1, 2, 3, 4, 5}, row[4];
    struct dgnn_environment e = {
        .cutoff = 5, .switch_start = 2, .protection = 0.01, .width = 4, .ntypes = 2, .nsection = 1};
    e.mean = mean;
    e.scale = scale;
    CHECK_NEAR(dgnn_environment_switch(&e, 1.5, NULL), 1, 0);
    CHECK_NEAR(dgnn_environment_switch(&e, 3.5, NULL), 0.5, 1e-15);
    CHECK_NEAR(dgnn_environment_switch(&e, 5, NULL), 0, 0);
    CHECK_NEAR(dgnn_environment_switch(&e, 7, NULL), 0, 0);
    dgnn_environment_empty_row(&e, 1, 0, row);
    CHECK_NEAR(row[0], -0.4, 1e-15);
    CHECK_NEAR(row[3], -1.5, 1e-15);
    CHECK(dgnn_environment_has_mean(&e, 0) && dgnn_environment_has_mean(&e, 1));
    for (e.width = 1; e.width <= 4; e.width += 3) {
        for (e.exponential = 0; e.exponential < 2; e.exponential++) {
            check_gradient(&e, 1.2);
            check_gradient(&e, 2.6);
            check_gradient(&e, 4.7);
        }
    }
    e.exponential = 1;
    CHECK_NEAR(dgnn_environment_switch(&e, 2, NULL), exp(-1), 1e-15);
}

/* What davg says: the text of a tensor of 2 types, 3 slots, one column. */
static int load_statistics(const char *davg, const char *dstd, struct dgnn_environment *e,
                           struct dgnn_error *error)
{
    char json[1024];
    struct dgnn_tree *tree;
    int64_t sel[2] = {1, 2};
    snprintf(json, sizeof(json),
             "{\"davg\": {\"@class\": \"np.ndarray\", \"dtype\": \"float64\", \"value\": %s}, "
             "\"dstd\": {\"@class\": \"np.ndarray\", \"dtype\": \"float64\", \"value\": %s}}",
             davg, dstd);
    DGNN_TRY(dgnn_tree_parse("statistics", json, strlen(json), NULL, &tree, error));
    struct dgnn_value root = dgnn_tree_root(tree);
    int status = dgnn_environment_load(e, &root, sel, error);
    dgnn_tree_free(tree);
    return status;
}

static void test_statistics(void)
{
    struct dgnn_error error;
    struct dgnn_environment e = {.cutoff = 5, .switch_start = 2, .width = 1, .ntypes = 2, .nsection = 2};
    const char *good = "[[[1.0], [2.0], [2.0]], [[3.0], [4.0], [4.0]]]";
    CHECK_STATUS(load_statistics(good, good, &e, &error), DGNN_OK, "");
    CHECK_NEAR(dgnn_environment_mean(&e, 1, 1)[0], 4, 0);
    CHECK_NEAR(dgnn_environment_scale(&e, 1, 0)[0], 1.0 / 3, 1e-16);
    dgnn_environment_free(&e);
    CHECK_STATUS(load_statistics("[[[1.0], [2.0], [2.5]], [[3.0], [4.0], [4.0]]]", good, &e, &error),
                 DGNN_ERROR_UNSUPPORTED, "davg: slots 1 and 2 differ");
    CHECK_STATUS(load_statistics(good, "[[[1.0], [0.0], [0.0]], [[3.0], [4.0], [4.0]]]", &e, &error),
                 DGNN_ERROR_FORMAT, "standard deviation of 0");
    CHECK_STATUS(load_statistics(good, "[[[1.0], [2.0]], [[3.0], [4.0]]]", &e, &error), DGNN_ERROR_FORMAT,
                 "dstd");
    e.switch_start = 5;
    CHECK_STATUS(load_statistics(good, good, &e, &error), DGNN_ERROR_FORMAT, "rcut_smth 5, rcut 5");
}

/* ---------------------------------------------------------------- electronic configurations */

/* Electrons in the orbitals [first, first + count). */
static int electrons(const double *row, int first, int count)
{
    int sum = 0;
    for (int k = 2 * first; k < 2 * (first + count); k++) {
        sum += row[k] > 0;
    }
    return sum;
}

static void test_configurations(void)
{
    double row[DGNN_TYPEEMBED_CONFIGURATION], square = 0;
    const int d3 = 9, s4 = 14, d4 = 18, f4 = 23, s5 = 30, f5 = 39, d6 = 50, s7 = 55;
    CHECK(dgnn_typeembed_configuration("O", row));
    CHECK(electrons(row, 0, 59) == 8 && electrons(row, 2, 3) == 4);
    CHECK(row[4] > 0 && row[5] > 0 && row[6] < 0 && row[7] > 0 && row[8] < 0 &&
          row[9] > 0); /* Hund: one pair */
    for (int k = 0; k < DGNN_TYPEEMBED_CONFIGURATION; k++) {
        square += row[k] * row[k];
    }
    CHECK_NEAR(square, 1, 1e-14);
    CHECK(dgnn_typeembed_configuration("Cr", row) && electrons(row, d3, 5) == 5 &&
          electrons(row, s4, 1) == 1);
    CHECK(dgnn_typeembed_configuration("Pd", row) && electrons(row, d4, 5) == 10 &&
          electrons(row, s5, 1) == 0);
    CHECK(dgnn_typeembed_configuration("Gd", row) && electrons(row, f4, 7) == 7);
    CHECK(dgnn_typeembed_configuration("U", row) && electrons(row, f5, 7) == 3 && electrons(row, d6, 5) == 1);
    CHECK(dgnn_typeembed_configuration("Og", row) && electrons(row, 0, 59) == 118 &&
          electrons(row, s7, 4) == 8);
    CHECK(!dgnn_typeembed_configuration("O_spin", row) && !dgnn_typeembed_configuration("", row));
}

/* ---------------------------------------------------------------- rows */

static void test_rows(void)
{
    /* Three centres of types 0, 1, 0 with neighbours of both types; pairs (1, 1) are excluded. */
    int32_t type[3] = {0, 1, 0}, neighbour[6] = {1, 2, 1, 0, 1, 0}, group[4] = {0, 1, 0, -1};
    int64_t first[4] = {0, 3, 5, 6};
    struct dgnn_graph graph = {.nowned = 3, .nnode = 3, .type = type, .first = first, .neighbour = neighbour};
    struct dgnn_edge_batches_rule rule = {.ntypes = 2, .ngroup = 2, .target = 5, .group = group};
    struct dgnn_edge_batches rows = {0};
    struct dgnn_error error;
    const int64_t edges[5] = {1, 3, 0, 2, 5};
    CHECK_STATUS(dgnn_edge_batches_make(&rows, &graph, &rule, &error), DGNN_OK, "");
    CHECK(rows.nchunk == 2 && rows.chunk[1] == 2 && rows.nrow == 5 && rows.row_max == 4 &&
          rows.centre_max == 2);
    CHECK(rows.group[0] == 0 && rows.group[1] == 2 && rows.group[2] == 4 && rows.group[3] == 5 &&
          rows.group[4] == 5);
    CHECK(!memcmp(rows.edge, edges, sizeof(edges)));
    CHECK(rows.centre[1] == 1 && rows.centre[3] == 0 && rows.centre[4] == 2);
    CHECK(dgnn_edge_batches_run(&rows, 2, 4) == 4);
    int64_t count = dgnn_alloc_count();
    CHECK_STATUS(dgnn_edge_batches_make(&rows, &graph, &rule, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == count);
    dgnn_edge_batches_free(&rows);
}

enum { CASE_HIDDEN = 17 };

#define DGNN_REAL_BITS 32
#include "attention_case_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "attention_case_body.h"

static void test_attention(void)
{
    for (int cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        for (int flags = 0; flags < 32 && dgnn_cpu_usable((enum dgnn_cpu)cpu); flags++) {
            check_attention_f64((enum dgnn_cpu)cpu, flags);
            if (flags % 8 == 7) {
                check_attention_f32((enum dgnn_cpu)cpu, flags);
            }
        }
    }
}

/* ---------------------------------------------------------------- whole models */

static int evaluate(struct dgnn_model *model, double *forces, struct dgnn_error *error)
{
    static const double coords[18] = {0,   0,   0,   1.1, 0.2, 0,   0.3, 1.2, 0.4,
                                      2.1, 1.9, 0.8, 1.4, 3.0, 1.0, 0.2, 2.4, 2.2};
    static const int32_t types[6] = {0, 1, 1, 0, 1, 0};
    struct dgnn_system system = {.size = sizeof(system), .natoms = 6, .coords = coords, .types = types};
    struct dgnn_result result = {.size = sizeof(result), .forces = forces};
    return dgnn_model_compute(model, &system, NULL, &result, error);
}

/* Loading, and the first evaluation, with each allocation failing in turn; the second evaluation allocates
 * nothing. */
static void check_memory(const char *folder, const char *name, int32_t memory)
{
    struct dgnn_load_options options = {.size = sizeof(options), .threads = 2, .memory = memory};
    struct dgnn_error error;
    struct dgnn_model *model;
    double forces[18];
    char path[512];
    int64_t live = dgnn_alloc_live();
    int status = DGNN_ERROR_MEMORY;
    snprintf(path, sizeof(path), "%s/%s/model.pt2", folder, name);
    for (int64_t nth = 1; status == DGNN_ERROR_MEMORY; nth++) {
        dgnn_alloc_fail_at(nth, 0);
        status = dgnn_model_load(path, &options, &model, &error);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && dgnn_alloc_live() == live));
    }
    dgnn_alloc_fail_at(0, 0);
    CHECK_STATUS(status, DGNN_OK, "");
    if (status) {
        fprintf(stderr, "%s: %s\n", path, error.message);
        return;
    }
    status = DGNN_ERROR_MEMORY;
    for (int64_t nth = 1; status == DGNN_ERROR_MEMORY; nth++) {
        dgnn_alloc_fail_at(nth, 0);
        status = evaluate(model, forces, &error);
    }
    dgnn_alloc_fail_at(0, 0);
    CHECK(status == DGNN_OK);
    int64_t count = dgnn_alloc_count();
    CHECK_STATUS(evaluate(model, forces, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == count);
    dgnn_model_free(model);
    CHECK(dgnn_alloc_live() == live);
}

static void test_memory(const char *folder)
{
    static const char *const names[] = {"dpa1_strip_attn",
                                        "dpa1_f32",
                                        "dpa1_davg_graph",
                                        "se_e2_a_pairs",
                                        "se_e2_r_exclude",
                                        "se_e3_f32",
                                        "se_e3_tebd_strip_not_smooth"};
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        check_memory(folder, names[k], k % 2 ? DGNN_MEMORY_SMALL : DGNN_MEMORY_FAST);
    }
}

int main(int argc, char **argv)
{
    test_environment();
    test_statistics();
    test_configurations();
    test_rows();
    test_attention();
    test_memory(argc > 1 ? argv[1] : "tests/data/cases");
    return check_report();
}
