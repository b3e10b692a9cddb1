/* The graph of edges: truncation, exclusions and counts in both list semantics, and forces and virials from
 * its gradients. */
#include <stdlib.h>

#include "geom/gradient.h"
#include "geom/graphbuild.h"

#include "check.h"

enum { N = 24, NTYPES = 3, MAX_ROWS = 4000 };

static uint64_t random_state = 88172645463325252u;

static double uniform(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * ((double)(random_state >> 11) / 9007199254740992.0);
}

struct system {
    struct dgnn_cell cell;
    double positions[3 * N];
    int32_t type[N];
};

static const double system_cutoff = 4;

static struct system make_system(int periodic)
{
    static const int32_t all[3] = {1, 1, 1};
    static const double box[9] = {6, 0.5, 0, -1, 5, 0.3, 0.7, 0, 5.5};
    struct system system;
    CHECK(!dgnn_cell_set(&system.cell, periodic ? box : NULL, all, NULL));
    for (int i = 0; i < N; i++) { /* no two too close: places of a lattice, shaken */
        double f[3] = {(i % 3 + 0.5) / 3, (i / 3 % 2 + 0.5) / 2, (i / 6 + 0.5) / 4};
        for (int c = 0; c < 3; c++) {
            system.positions[3 * i + c] =
                f[0] * box[c] + f[1] * box[3 + c] + f[2] * box[6 + c] + uniform(-0.3, 0.3);
        }
        system.type[i] = (int32_t)uniform(0, NTYPES);
    }
    return system;
}

static void search(struct dgnn_nlist *list, const struct system *system)
{
    struct dgnn_nlist_input input = {.ncentre = N,
                                     .nrow = N,
                                     .positions = system->positions,
                                     .cell = &system->cell,
                                     .cutoff = system_cutoff,
                                     .skin = 0.5,
                                     .threads = 1};
    CHECK(!dgnn_nlist_update(list, &input, NULL));
}

/* ------------------------------------------------------------------ which pairs become edges */

/* Compares with the rules written down once more, plainly: rank among its section first, exclusion second. */
static void check_rules(const struct dgnn_nlist *list, const struct system *system,
                        const struct dgnn_graph_rules *rules, int64_t *ncut, int64_t *nexcluded)
{
    struct dgnn_graph_builder builder = {0};
    struct dgnn_graph_input input = {.list = list, .nnode = N, .type = system->type, .first_type = 2};
    struct dgnn_error error;
    CHECK_STATUS(dgnn_graph_build(&builder, &input, rules, &error), DGNN_OK, "");
    const struct dgnn_graph *graph = &builder.graph;
    CHECK(graph->nowned == N && graph->nnode == N && graph->first_type == 2 && !graph->image);
    CHECK(graph->dense == rules->dense);
    int64_t wrong = 0;
    int64_t truncated = 0;
    int64_t place = 0;
    for (int i = 0; i < N; i++) {
        int cut = 0;
        for (int64_t k = list->first[i]; k < list->first[i + 1]; k++) {
            int32_t other = system->type[list->neighbour[k]];
            int64_t nearer = 0;
            for (int64_t m = list->first[i]; m < k; m++) {
                nearer += rules->mixed_types || system->type[list->neighbour[m]] == other;
            }
            if (rules->dense && nearer >= rules->sel[rules->mixed_types ? 0 : other]) {
                cut = 1;
                continue;
            }
            if (rules->pair_exclude && rules->pair_exclude[system->type[i] * NTYPES + other]) {
                ++*nexcluded;
                continue;
            }
            wrong += place >= dgnn_graph_nedge(graph) || graph->neighbour[place] != list->neighbour[k] ||
                     graph->distance[place] != list->distance[k] ||
                     memcmp(graph->vector + 3 * place, list->vector + 3 * k, 24) != 0;
            place++;
        }
        truncated += cut;
        wrong += graph->first[i + 1] != place;
    }
    CHECK(wrong == 0);
    CHECK(builder.ntruncated == truncated);
    *ncut += truncated;
    dgnn_graph_builder_free(&builder);
}

static void test_rules(void)
{
    struct dgnn_nlist list = {0};
    uint8_t exclude[NTYPES * NTYPES] = {0, 1, 0, 0, 0, 1, 0, 0, 1}; /* not symmetric: rows are centres */
    int64_t ncut = 0;
    int64_t nexcluded = 0;
    for (int trial = 0; trial < 48; trial++) {
        struct system system = make_system(trial % 2);
        int64_t sel[NTYPES] = {1 + (int64_t)uniform(0, 12), (int64_t)uniform(0, 12), 1000};
        int mixed = trial / 2 % 2;
        struct dgnn_graph_rules rules = {.dense = trial % 3 != 0,
                                         .mixed_types = mixed,
                                         .ntypes = NTYPES,
                                         .nsel = mixed ? 1 : NTYPES,
                                         .sel = sel,
                                         .pair_exclude = trial / 4 % 2 ? exclude : NULL};
        search(&list, &system);
        check_rules(&list, &system, &rules, &ncut, &nexcluded);
    }
    CHECK(ncut > 100 && nexcluded > 500);
    dgnn_nlist_free(&list);
}

static void test_refused(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_error error;
    struct dgnn_graph_builder builder = {0};
    struct system system = make_system(1);
    int32_t owner[N];
    int64_t sel = 4;
    struct dgnn_graph_rules rules = {.dense = 1, .mixed_types = 1, .ntypes = NTYPES, .nsel = 1, .sel = &sel};
    struct dgnn_graph_input input = {.list = &list, .nnode = N, .type = system.type};
    search(&list, &system);
    for (int i = 0; i < N; i++) {
        owner[i] = i;
    }
    system.type[5] = NTYPES;
    CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_ERROR_INPUT,
                 "node 5 has type 3; expected 0");
    CHECK(builder.graph.first == NULL);
    system.type[5] = -1;
    CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_ERROR_INPUT, "node 5 has type -1");
    system.type[5] = 0;
    input.owner = owner;
    owner[7] = 6;
    CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_ERROR_INPUT,
                 "row 7 is mapped to node 6");
    owner[7] = 7;
    CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_OK, "");
    rules.mixed_types = 0;
    CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_ERROR_INTERNAL,
                 "sel has 1 entries");
    dgnn_graph_builder_free(&builder);
    dgnn_nlist_free(&list);
}

static void test_memory(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_error error;
    struct system system = make_system(1);
    int32_t owner[N];
    int64_t sel = 4;
    int failures = 0;
    struct dgnn_graph_rules rules = {.dense = 1, .mixed_types = 1, .ntypes = NTYPES, .nsel = 1, .sel = &sel};
    struct dgnn_graph_input input = {.list = &list, .nnode = N, .type = system.type, .owner = owner};
    for (int i = 0; i < N; i++) {
        owner[i] = i;
    }
    search(&list, &system);
    int64_t live = dgnn_alloc_live();
    for (int64_t k = 1; k < 100; k++) {
        struct dgnn_graph_builder builder = {0};
        dgnn_alloc_fail_at(k, 0);
        int status = dgnn_graph_build(&builder, &input, &rules, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(!status || status == DGNN_ERROR_MEMORY);
        failures += status != 0;
        CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_OK, "");
        int64_t before = dgnn_alloc_count();
        CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), DGNN_OK, "");
        CHECK(dgnn_alloc_count() == before && dgnn_graph_nedge(&builder.graph) == 4 * N);
        dgnn_graph_builder_free(&builder);
        if (!status) {
            break;
        }
    }
    CHECK(failures == 6);
    CHECK(dgnn_alloc_live() == live);
    dgnn_nlist_free(&list);
}

/* ------------------------------------------------------------------ gradients of an energy easy to write */

/* E = sum over edges of a (1 - r^2/rc^2)^3, where a depends on both types in order: not symmetric in i, j. */
static double energy(const struct dgnn_graph *graph, double *edge_gradient)
{
    double rc2 = system_cutoff * system_cutoff;
    double sum = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            double a = 1 + 0.7 * graph->type[i] - 0.3 * graph->type[graph->neighbour[e]];
            double u = 1 - graph->distance[e] * graph->distance[e] / rc2;
            sum += a * u * u * u;
            for (int c = 0; edge_gradient && c < 3; c++) {
                edge_gradient[3 * e + c] = -6 * a * u * u / rc2 * graph->vector[3 * e + c];
            }
        }
    }
    return sum;
}

static const struct dgnn_graph_rules keep_all = {.ntypes = NTYPES};

static double system_energy(const struct system *system)
{
    struct dgnn_nlist list = {0};
    struct dgnn_graph_builder builder = {0};
    struct dgnn_graph_input input = {.list = &list, .nnode = N, .type = system->type};
    search(&list, system);
    CHECK(!dgnn_graph_build(&builder, &input, &keep_all, NULL));
    double result = energy(&builder.graph, NULL);
    dgnn_graph_builder_free(&builder);
    dgnn_nlist_free(&list);
    return result;
}

/* Strains all positions and the cell: x_b += x_a * strain in one component. */
static struct system strained(const struct system *system, int a, int b, double strain)
{
    struct system result = *system;
    double box[9];
    for (int i = 0; i < N; i++) {
        result.positions[3 * i + b] += strain * system->positions[3 * i + a];
    }
    memcpy(box, system->cell.h, sizeof box);
    for (int k = 0; k < 3; k++) {
        box[3 * k + b] += strain * system->cell.h[3 * k + a];
    }
    CHECK(!dgnn_cell_set(&result.cell, system->cell.has_box ? box : NULL, system->cell.pbc, NULL));
    return result;
}

struct outcome {
    double forces[3 * N];
    double virial[9];
    double atom_virial[9 * N];
};

static void check_forces(const struct system *system, const struct outcome *outcome)
{
    double worst = 0;
    double largest = 0;
    for (int k = 0; k < 3 * N; k += 5) {
        struct system moved = *system;
        moved.positions[k] += 1e-4;
        double more = system_energy(&moved);
        moved.positions[k] -= 2e-4;
        double force = (system_energy(&moved) - more) / 2e-4;
        worst = check_larger(worst, fabs(force - outcome->forces[k]));
        largest = fmax(largest, fabs(force));
    }
    CHECK(largest > 0.1);
    CHECK_NEAR(worst, 0, 1e-7 * largest);
}

/* virial[gradient component b][displacement component a] = -dE/dstrain. */
static void check_virial(const struct system *system, const struct outcome *outcome)
{
    double worst = 0;
    double largest = 0;
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            struct system plus = strained(system, a, b, 1e-5);
            struct system minus = strained(system, a, b, -1e-5);
            double virial = (system_energy(&minus) - system_energy(&plus)) / 2e-5;
            worst = check_larger(worst, fabs(virial - outcome->virial[3 * b + a]));
            largest = fmax(largest, fabs(virial));
        }
    }
    CHECK(largest > 1);
    CHECK_NEAR(worst, 0, 1e-7 * largest);
    for (int c = 0; c < 9; c++) {
        double sum = 0;
        for (int i = 0; i < N; i++) {
            sum += outcome->atom_virial[9 * i + c];
        }
        CHECK_NEAR(sum, outcome->virial[c], 1e-12 * largest);
    }
}

static void test_gradients(void)
{
    for (int periodic = 0; periodic < 2; periodic++) {
        struct dgnn_nlist list = {0};
        struct dgnn_graph_builder builder = {0};
        struct outcome outcome;
        struct system system = make_system(periodic);
        struct dgnn_graph_input input = {.list = &list, .nnode = N, .type = system.type};
        search(&list, &system);
        CHECK(!dgnn_graph_build(&builder, &input, &keep_all, NULL));
        double *gradient = malloc((size_t)dgnn_graph_nedge(&builder.graph) * 24);
        energy(&builder.graph, gradient);
        dgnn_gradient_forces(&builder.graph, gradient, N, outcome.forces);
        dgnn_gradient_virial(&builder.graph, gradient, outcome.virial);
        dgnn_gradient_atom_virial(&builder.graph, gradient, N, outcome.atom_virial);
        check_forces(&system, &outcome);
        check_virial(&system, &outcome);
        for (int c = 0; !periodic && c < 9; c++) { /* sum of F (x) r, the convention of recorded answers */
            double sum = 0;
            for (int i = 0; i < N; i++) {
                sum += outcome.forces[3 * i + c / 3] * system.positions[3 * i + c % 3];
            }
            CHECK_NEAR(sum, outcome.virial[c], 1e-12);
        }
        free(gradient);
        dgnn_graph_builder_free(&builder);
        dgnn_nlist_free(&list);
    }
}

/* An edge whose gradient and displacement are not parallel pins the order of the virial's two indices. */
static void test_index_order(void)
{
    int32_t type[2] = {0, 0};
    int64_t first[3] = {0, 1, 1};
    int32_t neighbour[1] = {1};
    double vector[3] = {1, 10, 100};
    double distance[1] = {100.5};
    double gradient[3] = {2, 3, 5};
    double forces[6];
    double virial[9];
    double atom_virial[18];
    struct dgnn_graph graph = {.nowned = 2,
                               .nnode = 2,
                               .type = type,
                               .first = first,
                               .neighbour = neighbour,
                               .vector = vector,
                               .distance = distance};
    dgnn_gradient_forces(&graph, gradient, 2, forces);
    dgnn_gradient_virial(&graph, gradient, virial);
    dgnn_gradient_atom_virial(&graph, gradient, 2, atom_virial);
    double expected[9] = {-2, -20, -200, -3, -30, -300, -5, -50, -500};
    CHECK(!memcmp(virial, expected, sizeof virial));
    CHECK(!memcmp(atom_virial + 9, expected, sizeof virial) && atom_virial[0] == 0 && atom_virial[8] == 0);
    CHECK(forces[0] == 2 && forces[1] == 3 && forces[2] == 5 && forces[3] == -2 && forces[5] == -5);
}

/* ------------------------------------------------------------------ a host's images */

static int64_t make_images(const struct system *system, double *rows, int32_t *owner)
{
    int64_t n = N;
    memcpy(rows, system->positions, sizeof system->positions);
    for (int i = 0; i < N; i++) {
        owner[i] = i;
    }
    for (int s = 0; s < 27; s++) {
        int shift[3] = {s % 3 - 1, s / 3 % 3 - 1, s / 9 - 1};
        for (int i = 0; i < N && s != 13; i++, n++) {
            owner[n] = i;
            for (int c = 0; c < 3; c++) {
                const double *h = system->cell.h;
                rows[3 * n + c] = system->positions[3 * i + c] +
                                  (shift[0] * h[c] + shift[1] * h[3 + c] + shift[2] * h[6 + c]);
            }
        }
    }
    return n;
}

/* Rows that are images have forces, and with their atoms' the periodic form's. */
static void check_images(const int32_t *owner, int64_t nrow, const double *forces, double *periodic_forces)
{
    double worst = 0;
    int64_t outside = 0;
    for (int64_t r = 0; r < nrow; r++) {
        outside += r >= N && forces[3 * r] != 0;
        for (int c = 0; c < 3; c++) {
            periodic_forces[3 * owner[r] + c] -= forces[3 * r + c];
        }
    }
    for (int k = 0; k < 3 * N; k++) {
        worst = check_larger(worst, fabs(periodic_forces[k]));
    }
    CHECK_NEAR(worst, 0, 1e-12);
    CHECK(outside > 50);
}

/* virials: of both forms. */
static void check_virials(const double *rows, int64_t nrow, const double *forces, const double *atom_virial,
                          double virials[2][9])
{
    double sum[9] = {0};
    double product[9] = {0};
    for (int64_t r = 0; r < nrow; r++) {
        for (int c = 0; c < 9; c++) {
            sum[c] += atom_virial[9 * r + c];
            product[c] += forces[3 * r + c / 3] * rows[3 * r + c % 3];
        }
    }
    for (int c = 0; c < 9; c++) {
        CHECK_NEAR(virials[0][c], virials[1][c], 1e-11);
        CHECK_NEAR(sum[c], virials[1][c], 1e-11);
        CHECK_NEAR(product[c], virials[1][c], 1e-11); /* sum of F (x) r over atoms and images */
    }
}

static void test_images(void)
{
    static double rows[3 * MAX_ROWS];
    static double forces[3 * MAX_ROWS];
    static double atom_virial[9 * MAX_ROWS];
    static int32_t owner[MAX_ROWS];
    struct dgnn_error error;
    struct system system = make_system(1);
    struct dgnn_nlist lists[2] = {0};
    struct dgnn_graph_builder builders[2] = {0};
    struct dgnn_cell open;
    int64_t nrow = make_images(&system, rows, owner);
    CHECK(!dgnn_cell_set(&open, NULL, NULL, NULL));
    search(&lists[0], &system);
    struct dgnn_nlist_input input = {
        .ncentre = N, .nrow = nrow, .positions = rows, .cell = &open, .cutoff = system_cutoff, .threads = 1};
    CHECK_STATUS(dgnn_nlist_update(&lists[1], &input, &error), DGNN_OK, "");
    double virials[2][9];
    double periodic_forces[3 * N];
    for (int form = 0; form < 2; form++) {
        struct dgnn_graph_input graph_input = {
            .list = &lists[form], .nnode = N, .type = system.type, .owner = form ? owner : NULL};
        int64_t sel = 1000;
        uint8_t exclude[NTYPES * NTYPES] = {0, 1, 0, 1, 0, 0, 0, 0, 0};
        struct dgnn_graph_rules rules = {
            .dense = 1, .mixed_types = 1, .ntypes = NTYPES, .nsel = 1, .sel = &sel, .pair_exclude = exclude};
        CHECK_STATUS(dgnn_graph_build(&builders[form], &graph_input, &rules, &error), DGNN_OK, "");
        const struct dgnn_graph *graph = &builders[form].graph;
        double *gradient = malloc((size_t)dgnn_graph_nedge(graph) * 24);
        energy(graph, gradient);
        dgnn_gradient_forces(graph, gradient, form ? nrow : N, form ? forces : periodic_forces);
        dgnn_gradient_virial(graph, gradient, virials[form]);
        dgnn_gradient_atom_virial(graph, gradient, nrow, atom_virial);
        free(gradient);
    }
    CHECK(builders[1].graph.image != NULL && builders[1].graph.nnode == N);
    CHECK(dgnn_graph_nedge(&builders[0].graph) == dgnn_graph_nedge(&builders[1].graph));
    CHECK(dgnn_graph_nedge(&builders[0].graph) > 500);
    CHECK(dgnn_graph_nedge(&builders[0].graph) < dgnn_nlist_npair(&lists[0]));
    check_images(owner, nrow, forces, periodic_forces);
    check_virials(rows, nrow, forces, atom_virial, virials);
    for (int form = 0; form < 2; form++) {
        dgnn_graph_builder_free(&builders[form]);
        dgnn_nlist_free(&lists[form]);
    }
}

int main(void)
{
    test_rules();
    test_refused();
    test_memory();
    test_gradients();
    test_index_order();
    test_images();
    return check_report();
}
