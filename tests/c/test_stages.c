/* DPA3's seam: a second filling of the table of stages, which checks. Before a stage it poisons what the
 * stage may neither read nor write, and what it is to write anew; afterwards what was not the stage's to
 * write is as it was, and what the stage promises is all there. The results are the bits of the filling that
 * it stands before. A contract that is wrong in one place is found. */
#include "check.h"
#include "random.h"

#include <stdlib.h>

#include "comm/exchange_create.h"
#include "comm/plan.h"
#include "io/archive.h"
#include "net/dpa3/dpa3.h"
#include "net/energy/registry.h"

enum { NATOM = 14, NROW = 2 * NATOM, NEDGE_MAX = NATOM * (NATOM - 1), WIDTH_MAX = 64, LAYERS_MAX = 16 };
enum { PLACES = DGNN_REPFLOW_PLACES + LAYERS_MAX * DGNN_REPFLOW_OF_LAYER };

/* ---------------------------------------------------------------- what each stage may do */

#define B(name) (UINT64_C(1) << DGNN_REPFLOW_AT_##name)

/* Of the stage's layer and of none; next: of the layer after it. */
struct contract {
    uint64_t read;   /* is not written */
    uint64_t change; /* is read and written, or written in part */
    uint64_t write;  /* is not read before it is written */
    uint64_t next_change, next_write;
    uint64_t whole, next_whole; /* of what is written: each number of an owned node, an edge or an angle is */
};

#define EDGES_READ  (B(SCALARS) | B(CENTRE_ROWS) | B(OTHER_ROWS) | B(NODE) | B(EDGE))
#define ANGLES_READ (B(SCALARS) | B(CENTRE_ROWS) | B(EDGE) | B(ANGLE))
#define KEPT        (B(EDGE_PRE) | B(ANGLE_PRE) | B(SECOND_PRE))

static const struct contract contracts[DGNN_REPFLOW_STAGES] = {
    [DGNN_REPFLOW_GEOMETRY] = {.write = B(SCALARS) | B(D_SCALARS), .whole = B(SCALARS) | B(D_SCALARS)},
    [DGNN_REPFLOW_FIRST_NODES] = {.write = B(NODE), .whole = B(NODE)},
    [DGNN_REPFLOW_FIRST_EDGES] = {.read = B(SCALARS), .write = B(EDGE), .whole = B(EDGE)},
    [DGNN_REPFLOW_CENTRE] = {.read = B(NODE), .write = B(CENTRE_ROWS)},
    [DGNN_REPFLOW_OTHER] = {.read = B(NODE), .change = B(OTHER_ROWS)},
    [DGNN_REPFLOW_ANGLES] = {.read = ANGLES_READ,
                             .write = B(ANGLE_NEXT) | B(ANGLE_PRE) | B(SECOND_PRE),
                             .next_change = B(EDGE)},
    [DGNN_REPFLOW_EDGES] = {.read = EDGES_READ,
                            .change = B(EDGE_PRE) | B(MOMENT) | B(MESSAGE),
                            .next_change = B(EDGE)},
    [DGNN_REPFLOW_SEQUENCE] = {.read = EDGES_READ | ANGLES_READ,
                               .write = B(EDGE_MIDDLE) | B(EDGE_LAST) | B(ANGLE_NEXT) | KEPT | B(MOMENT) |
                                        B(MESSAGE),
                               .next_write = B(EDGE),
                               .whole = B(EDGE_MIDDLE) | B(EDGE_LAST) | B(MOMENT) | B(MESSAGE),
                               .next_whole = B(EDGE)},
    [DGNN_REPFLOW_NODE] = {.read = B(NODE) | B(CENTRE_ROWS) | B(MOMENT) | B(MESSAGE),
                           .write = B(SYMMETRIC) | B(NODE_LAST),
                           .next_change = B(NODE),
                           .whole = B(SYMMETRIC)},
    [DGNN_REPFLOW_D_NODE] = {.read = B(CENTRE_ROWS) | B(MOMENT),
                             .change = B(SYMMETRIC) | B(D_NODE_SUM) |
                                       B(D_CENTRE_ROWS), /* angles' columns are there */
                             .write = B(MESSAGE) | B(D_MOMENT)},
    [DGNN_REPFLOW_D_CLEAR] = {.write = B(D_ACCUMULATORS), .whole = B(D_ACCUMULATORS)},
    [DGNN_REPFLOW_D_EDGES] = {.read = EDGES_READ | B(EDGE_PRE) | B(MESSAGE) | B(D_MOMENT) | B(D_EDGE_IN),
                              .change = B(D_EDGE_OUT) | B(D_ACCUMULATORS) | B(D_SCALARS),
                              .write = B(D_EDGE_ROWS)},
    [DGNN_REPFLOW_D_SEQUENCE] = {.read = EDGES_READ | ANGLES_READ | B(EDGE_MIDDLE) | B(EDGE_LAST) |
                                         B(ANGLE_NEXT) | B(MESSAGE) | B(D_MOMENT) | KEPT,
                                 .change = B(D_EDGE_IN) | B(D_EDGE_OUT) | B(D_ANGLE) | B(D_ACCUMULATORS) |
                                           B(D_SCALARS) | B(D_CENTRE_ROWS),
                                 .write = B(D_EDGE_ROWS)},
    [DGNN_REPFLOW_D_OTHER] = {.change = B(D_ACCUMULATORS), .write = B(D_NODE_ROWS), .whole = B(D_NODE_ROWS)},
    [DGNN_REPFLOW_D_CENTRE] = {.read = B(D_EDGE_ROWS), .change = B(D_CENTRE_ROWS) | B(D_NODE_SUM)},
    [DGNN_REPFLOW_D_ANGLES] = {.read = ANGLES_READ | B(ANGLE_PRE) | B(SECOND_PRE) | B(D_EDGE_IN),
                               .change = B(D_ANGLE) | B(D_CENTRE_ROWS) | B(D_SCALARS) | B(D_EDGE_OUT)},
    [DGNN_REPFLOW_D_ROWS] = {.read = B(D_NODE_ROWS), .change = B(D_NODE_SUM)},
    [DGNN_REPFLOW_D_FIRST_EDGES] = {.read = B(SCALARS) | B(D_EDGE_IN) | B(D_EDGE_OUT),
                                    .change = B(D_SCALARS)},
    [DGNN_REPFLOW_D_GEOMETRY] = {.read = B(D_SCALARS)},
};

/* ---------------------------------------------------------------- the checking backend */

/* One evaluation at a time: stages get the workspace of the filling behind, and nothing else. */
static struct {
    const struct dgnn_repflow_backend *inner;
    struct contract contract[DGNN_REPFLOW_STAGES];
    int32_t whole; /* are all centres evaluated, in one pass? */
    int64_t runs, overwritten, unwritten;
    int32_t first_bad; /* stage, -1: none */
} checking;

struct mark {
    struct dgnn_repflow_place place;
    uint64_t may; /* MAY_ bits, over all buffers at this place */
    char *before;
};

enum { MAY_READ = 1, MAY_WRITE = 2, WHOLE = 4 };

static uint64_t place_may(const struct contract *c, int64_t l, const struct dgnn_repflow_place *p)
{
    uint64_t bit = UINT64_C(1) << p->buffer, may = 0;
    if (p->buffer == DGNN_REPFLOW_AT_SCRATCH) {
        return MAY_WRITE;
    }
    if (p->l < 0 || p->l == l) {
        may |= (c->read | c->change) & bit ? MAY_READ : 0;
        may |= (c->change | c->write) & bit ? MAY_WRITE : 0;
        may |= c->whole & bit ? WHOLE : 0;
    }
    if (p->l == l + 1) {
        may |= c->next_change & bit ? MAY_READ : 0;
        may |= (c->next_change | c->next_write) & bit ? MAY_WRITE : 0;
        may |= c->next_whole & bit ? WHOLE : 0;
    }
    return may;
}

static int32_t mark_all(void *workspace, const struct contract *c, int64_t l, struct mark *marks)
{
    static struct dgnn_repflow_place places[PLACES];
    int32_t n = checking.inner->places(workspace, places), count = 0;
    CHECK(n <= PLACES);
    for (int32_t k = 0; k < n; k++) {
        int32_t at = 0;
        while (at < count && marks[at].place.data != places[k].data) {
            at++;
        }
        if (at == count) {
            marks[count++] = (struct mark){.place = places[k]};
        }
        marks[at].may |= place_may(c, l, &places[k]);
        if (places[k].nbytes > marks[at].place.nbytes) {
            marks[at].place.nbytes = places[k].nbytes;
        }
    }
    return count;
}

static void mark_begin(struct mark *m)
{
    m->before = malloc((size_t)m->place.nbytes);
    memcpy(m->before, m->place.data, (size_t)m->place.nbytes);
    if (!(m->may & MAY_READ)) {
        memset(m->place.data, 0xFF, (size_t)m->place.nbytes); /* NaN, in either type */
    }
}

static int all_poison(const char *data, int64_t nbytes)
{
    for (int64_t k = 0; k < nbytes; k++) {
        if (data[k] != (char)0xFF) {
            return 0;
        }
    }
    return 1;
}

/* Is a number, of the smaller type, still poison? */
static int some_poison(const char *data, int64_t nbytes)
{
    for (int64_t k = 0; k + 4 <= nbytes; k += 4) {
        if (all_poison(data + k, 4)) {
            return 1;
        }
    }
    return 0;
}

static void mark_end(struct mark *m, int stage)
{
    int bad = 0, missing = 0;
    if (!(m->may & MAY_WRITE)) {
        bad = m->may & MAY_READ ? memcmp(m->place.data, m->before, (size_t)m->place.nbytes) != 0
                                : !all_poison(m->place.data, m->place.nbytes);
        memcpy(m->place.data, m->before, (size_t)m->place.nbytes);
    } else if (m->may & WHOLE && !(m->may & MAY_READ) && checking.whole) {
        missing = some_poison(m->place.data, m->place.owned);
    }
    checking.overwritten += bad;
    checking.unwritten += missing;
    if ((bad || missing) && checking.first_bad < 0) {
        checking.first_bad = stage;
    }
    free(m->before);
}

static void checking_run(enum dgnn_repflow_stage stage, void *workspace, int64_t l,
                         enum dgnn_repflow_part part)
{
    static struct mark marks[PLACES];
    int32_t n = mark_all(workspace, &checking.contract[stage], l, marks);
    for (int32_t k = 0; k < n; k++) {
        mark_begin(&marks[k]);
    }
    checking.inner->stage[stage](workspace, l, part);
    for (int32_t k = 0; k < n; k++) {
        mark_end(&marks[k], stage);
    }
    checking.runs++;
}

#define STAGE(name)                                                                                          \
    static void checking_##name(void *workspace, int64_t l, enum dgnn_repflow_part part)                     \
    {                                                                                                        \
        checking_run(DGNN_REPFLOW_##name, workspace, l, part);                                               \
    }
// clang-format off
#define STAGES(X)                                                                                            \
    X(GEOMETRY) X(FIRST_NODES) X(FIRST_EDGES) X(CENTRE) X(OTHER) X(ANGLES) X(EDGES) X(SEQUENCE) X(NODE)      \
    X(D_NODE) X(D_CLEAR) X(D_EDGES) X(D_SEQUENCE) X(D_OTHER) X(D_CENTRE) X(D_ANGLES) X(D_ROWS)               \
    X(D_FIRST_EDGES) X(D_GEOMETRY)
// clang-format on
STAGES(STAGE)

static struct dgnn_repflow_backend checking_of(const struct dgnn_repflow_backend *inner)
{
    struct dgnn_repflow_backend made = *inner;
    made.name = "checking";
#define ENTRY(name) made.stage[DGNN_REPFLOW_##name] = checking_##name;
    STAGES(ENTRY)
    checking.inner = inner;
    memcpy(checking.contract, contracts, sizeof(contracts));
    return made;
}

/* ---------------------------------------------------------------- a cluster */

struct cluster {
    int32_t type[NROW], neighbour[NEDGE_MAX], copied[NEDGE_MAX]; /* copied: some neighbours as ghost rows */
    double position[NATOM][3], vector[3 * NEDGE_MAX], distance[NEDGE_MAX];
    int64_t first[NATOM + 1];
    struct dgnn_graph graph;
};

static double cluster_distance(const struct cluster *c, int i, int j)
{
    double square = 0;
    for (int d = 0; d < 3; d++) {
        square += (c->position[j][d] - c->position[i][d]) * (c->position[j][d] - c->position[i][d]);
    }
    return sqrt(square);
}

/* The neighbours of i, nearest first, at most sel of them. */
static int cluster_neighbours(const struct cluster *c, int i, double cutoff, int64_t sel, int *order)
{
    int n = 0;
    for (int j = 0; j < NATOM; j++) {
        double r = cluster_distance(c, i, j);
        if (j != i && r <= cutoff) {
            int at = n++;
            for (; at > 0 && cluster_distance(c, i, order[at - 1]) > r; at--) {
                order[at] = order[at - 1];
            }
            order[at] = j;
        }
    }
    return n < sel ? n : (int)sel;
}

static void make_cluster(struct cluster *c, const struct dgnn_descriptor_properties *p, int32_t ntypes)
{
    uint64_t seed = 3;
    int64_t edge = 0;
    for (int i = 0; i < NROW; i++) {
        c->type[i] = i % NATOM % ntypes;
    }
    for (int i = 0; i < 3 * NATOM; i++) {
        c->position[i / 3][i % 3] = 1.9 * (i % 3 == 0   ? i / 3 % 3
                                           : i % 3 == 1 ? i / 9 % 3
                                                        : i / 27) +
                                    0.5 * random_uniform(&seed);
    }
    for (int i = 0; i < NATOM; i++) {
        int order[NATOM], n = cluster_neighbours(c, i, p->cutoff, p->sel[0], order);
        c->first[i] = edge;
        for (int k = 0; k < n; k++, edge++) {
            c->neighbour[edge] = order[k];
            c->copied[edge] = order[k] + (random_uniform(&seed) < 0.3 ? NATOM : 0);
            c->distance[edge] = cluster_distance(c, i, order[k]);
            for (int d = 0; d < 3; d++) {
                c->vector[3 * edge + d] = c->position[order[k]][d] - c->position[i][d];
            }
        }
    }
    c->first[NATOM] = edge;
    c->graph = (struct dgnn_graph){.nowned = NATOM,
                                   .nnode = NATOM,
                                   .type = c->type,
                                   .first = c->first,
                                   .neighbour = c->neighbour,
                                   .vector = c->vector,
                                   .distance = c->distance,
                                   .first_type = c->type[0],
                                   .dense = 1};
}

/* ---------------------------------------------------------------- evaluation */

struct answer {
    double output[NATOM * WIDTH_MAX], gradient[3 * NEDGE_MAX];
};

static int load(const char *name, struct dgnn_load_context *context, struct dgnn_descriptor **descriptor)
{
    struct dgnn_archive archive;
    struct dgnn_error error;
    const char **names = NULL;
    char path[256];
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    CHECK_STATUS(dgnn_cpu_best(&context->cpu, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_OK, "");
    struct dgnn_value root = dgnn_tree_root(archive.model), model = dgnn_value_member(&root, "model");
    struct dgnn_value value = dgnn_value_member(&model, "descriptor"),
                      map = dgnn_value_member(&model, "type_map");
    int status = dgnn_params_type_map(&map, &context->ntypes, &names, &error);
    context->type_map = names;
    status = status ? status : dgnn_registry_load(&value, context, descriptor, &error);
    dgnn_alloc_free(names);
    dgnn_archive_free(&archive);
    return status;
}

static double weight(int64_t k)
{
    return cos(0.7 * (double)k + 0.3);
}

/* nidle: nodes whose output nobody uses. */
static void evaluate(const struct dgnn_descriptor *d, const struct dgnn_graph *graph,
                     struct dgnn_exchange *exchange, int64_t nidle, struct answer *answer)
{
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(d);
    struct dgnn_descriptor_workspace *workspace;
    struct dgnn_descriptor_properties p;
    struct dgnn_error error;
    double d_output[NATOM * WIDTH_MAX];
    struct dgnn_evaluation evaluation = {.graph = graph,
                                         .exchange = exchange,
                                         .edge_gradient = answer->gradient,
                                         .want_gradient = 1,
                                         .nidle = nidle};
    static const double charge_spin[2] = {1, 2};
    kind->properties(d, &p);
    CHECK(p.dim_out <= WIDTH_MAX);
    evaluation.charge_spin = p.dim_charge_spin ? charge_spin : NULL;
    memset(answer, 0, sizeof(*answer));
    CHECK_STATUS(kind->workspace_create(d, &workspace, &error), DGNN_OK, "");
    CHECK_STATUS(kind->prepare(d, workspace, &evaluation, &error), DGNN_OK, "");
    CHECK_STATUS(kind->forward(d, workspace, &evaluation, answer->output, &error), DGNN_OK, "");
    for (int64_t k = 0; k < NATOM * p.dim_out; k++) {
        d_output[k] = k / p.dim_out < NATOM - nidle ? weight(k) : 0;
    }
    CHECK_STATUS(kind->backward(d, workspace, &evaluation, d_output, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_settle(exchange, &error), DGNN_OK, ""); /* it has the workspace's rows */
    kind->workspace_free(workspace);
}

/* Neighbours as copies in ghost rows, with an exchange that copies and adds. */
static struct dgnn_exchange *make_exchange(struct dgnn_plan **plan)
{
    static const int64_t first[] = {0, NROW - NATOM};
    static const int32_t me = 0;
    static int32_t owner[NROW], row[NROW];
    struct dgnn_exchange *exchange = NULL;
    struct dgnn_error error;
    for (int32_t i = 0; i < NROW; i++) {
        row[i] = i;
        owner[i] = i % NATOM;
    }
    const struct dgnn_direct direct = {1, &me, first, owner + NATOM, first, row + NATOM};
    CHECK_STATUS(dgnn_plan_create(&direct, NATOM, NROW, 0, 1, plan, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_direct(*plan, NULL, DGNN_EXCHANGE_FEATURES, &exchange, &error), DGNN_OK,
                 "");
    return exchange;
}

/* ---------------------------------------------------------------- tests */

static void begin_checking(int32_t whole)
{
    checking.whole = whole;
    checking.runs = checking.overwritten = checking.unwritten = 0;
    checking.first_bad = -1;
}

/* Both fillings, on the cluster as it is, with idle nodes, and with ghosts. */
static void check_descriptor(const char *name, struct dgnn_descriptor *d, const struct cluster *c,
                             int32_t dtype)
{
    static struct answer plain, checked;
    const struct dgnn_repflow_backend *cpu =
        dtype == DGNN_DTYPE_FLOAT32 ? &dgnn_repflow_cpu_f32 : &dgnn_repflow_cpu_f64;
    struct dgnn_repflow_backend checker = checking_of(cpu);
    struct dgnn_plan *plan = NULL;
    struct dgnn_exchange *exchange = make_exchange(&plan);
    struct dgnn_graph ghosts = c->graph;
    ghosts.nnode = NROW;
    ghosts.neighbour = c->copied;
    for (int how = 0; how < 3; how++) {
        const struct dgnn_graph *graph = how == 2 ? &ghosts : &c->graph;
        int64_t nidle = how == 1 ? 5 : 0;
        evaluate(d, graph, how == 2 ? exchange : NULL, nidle, &plain);
        dgnn_dpa3_set_backend(d, &checker);
        begin_checking(how == 0);
        evaluate(d, graph, how == 2 ? exchange : NULL, nidle, &checked);
        dgnn_dpa3_set_backend(d, cpu);
        int good = !memcmp(&plain, &checked, sizeof(plain)) && !checking.overwritten && !checking.unwritten;
        double most = 0;
        for (int64_t k = 0; k < 3 * NEDGE_MAX; k++) {
            most = check_larger(most, fabs(plain.gradient[k]));
        }
        CHECK(good && checking.runs > 8 && isfinite(most) && most > 0);
        if (!good) {
            fprintf(stderr, "    %s, how %d: %lld written beyond, %lld not written, first in stage %d\n",
                    name, how, (long long)checking.overwritten, (long long)checking.unwritten,
                    checking.first_bad);
        }
    }
    dgnn_exchange_free(exchange);
    dgnn_plan_free(plan);
}

static void test_case(const char *name)
{
    static struct cluster c;
    for (int how = 0; how < 12; how++) {
        struct dgnn_load_context context = {.dtype = how % 2 ? DGNN_DTYPE_FLOAT32 : DGNN_DTYPE_FLOAT64,
                                            .memory = how / 2 == 2 ? DGNN_MEMORY_SMALL : DGNN_MEMORY_FAST,
                                            .threads = how / 6 ? 3 : 1};
        struct dgnn_descriptor_properties p;
        struct dgnn_descriptor *d = NULL;
        dgnn_keeping_force(how / 2 % 3 == 1   ? DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES
                           : how / 2 % 3 == 0 ? DGNN_KEPT_ANGLES
                                              : -1);
        CHECK(!load(name, &context, &d));
        dgnn_descriptor_kind(d)->properties(d, &p);
        make_cluster(&c, &p, context.ntypes);
        check_descriptor(name, d, &c, context.dtype);
        dgnn_registry_free(d);
    }
    dgnn_keeping_force(-1);
}

/* Contracts that are wrong in one place: a read that is not allowed makes other numbers, a write that is not
 * is seen, and so is a promise that is not kept. */
static void test_planted(void)
{
    static struct cluster c;
    static struct answer plain, checked;
    static const struct {
        enum dgnn_repflow_stage stage;
        uint64_t drop, whole; /* whole: promised too much */
    } planted[] = {{DGNN_REPFLOW_CENTRE, B(NODE), 0},         {DGNN_REPFLOW_EDGES, B(OTHER_ROWS), 0},
                   {DGNN_REPFLOW_ANGLES, B(ANGLE), 0},        {DGNN_REPFLOW_NODE, B(MESSAGE), 0},
                   {DGNN_REPFLOW_D_EDGES, B(D_MOMENT), 0},    {DGNN_REPFLOW_D_ANGLES, B(D_EDGE_IN), 0},
                   {DGNN_REPFLOW_D_ROWS, B(D_NODE_ROWS), 0},  {DGNN_REPFLOW_D_OTHER, B(D_ACCUMULATORS), 0},
                   {DGNN_REPFLOW_OTHER, B(OTHER_ROWS), 0},    {DGNN_REPFLOW_NODE, B(SYMMETRIC), 0},
                   {DGNN_REPFLOW_D_CENTRE, B(D_NODE_SUM), 0}, {DGNN_REPFLOW_FIRST_EDGES, B(EDGE), 0},
                   {DGNN_REPFLOW_CENTRE, 0, B(CENTRE_ROWS)},  {DGNN_REPFLOW_D_EDGES, 0, B(D_EDGE_ROWS)}};
    struct dgnn_load_context context = {
        .dtype = DGNN_DTYPE_FLOAT64, .memory = DGNN_MEMORY_SMALL, .threads = 1};
    struct dgnn_descriptor_properties p;
    struct dgnn_descriptor *d = NULL;
    struct dgnn_repflow_backend checker = checking_of(&dgnn_repflow_cpu_f64);
    CHECK(!load("dpa3_base", &context, &d));
    dgnn_descriptor_kind(d)->properties(d, &p);
    make_cluster(&c, &p, context.ntypes);
    evaluate(d, &c.graph, NULL, 0, &plain);
    dgnn_dpa3_set_backend(d, &checker);
    for (size_t k = 0; k < sizeof(planted) / sizeof(planted[0]); k++) {
        struct contract *wrong = &checking.contract[planted[k].stage];
        memcpy(checking.contract, contracts, sizeof(contracts));
        wrong->read &= ~planted[k].drop;
        wrong->change &= ~planted[k].drop;
        wrong->write &= ~planted[k].drop;
        wrong->whole |= planted[k].whole;
        begin_checking(1);
        evaluate(d, &c.graph, NULL, 0, &checked);
        int found = memcmp(&plain, &checked, sizeof(plain)) || checking.overwritten || checking.unwritten;
        CHECK(found);
        if (!found) {
            fprintf(stderr, "    planted fault %zu was not found\n", k);
        }
    }
    memcpy(checking.contract, contracts, sizeof(contracts));
    begin_checking(1);
    evaluate(d, &c.graph, NULL, 0, &checked);
    CHECK(!memcmp(&plain, &checked, sizeof(plain)) && !checking.overwritten && !checking.unwritten);
    dgnn_dpa3_set_backend(d, &dgnn_repflow_cpu_f64);
    dgnn_registry_free(d);
}

int main(void)
{
    static const char *const names[] = {"dpa3_base",
                                        "dpa3_sequential",
                                        "dpa3_compress_linear",
                                        "dpa3_compress_sequential",
                                        "dpa3_not_smooth",
                                        "dpa3_no_angle",
                                        "dpa3_one_layer",
                                        "dpa3_one_layer_sequential",
                                        "dpa3_two_heads",
                                        "dpa3_use_dist",
                                        "dpa3_exclude",
                                        "dpa3_charge_spin",
                                        "dpa3_two_layers_not_smooth"};
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        test_case(names[k]);
    }
    test_planted();
    return check_report();
}
