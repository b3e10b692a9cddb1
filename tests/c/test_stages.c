/* The seam between drivers and backends: a second filling of the table of stages, which checks, for every
 * family. Before a stage it poisons what the stage may neither read nor write, and what it is to write anew;
 * afterwards what was not the stage's to write is as it was, and what the stage promises is all there. What a
 * stage may do is said beside the driver (struct dgnn_stage_rule). The results are the bits of the filling
 * that it stands before. A rule that is wrong in one place is found. */
#include "check.h"
#include "cluster.h"

#include <stdlib.h>

#include "io/archive.h"
#include "net/dpa2/dpa2.h"
#include "net/dpa3/dpa3.h"
#include "net/energy/registry.h"

enum { WIDTH_MAX = 4096, PLACES_MAX = 1024 };

/* ---------------------------------------------------------------- the checking backend */

/* One evaluation at a time: stages get the workspace of the filling behind, and nothing else. */
static struct {
    const struct dgnn_backend *inner;
    struct dgnn_stage_rule rule[DGNN_STAGES_MAX];
    int32_t whole; /* are all centres evaluated, in one pass? */
    int64_t runs, overwritten, unwritten;
    const char *first_bad; /* stage */
    /* What the caller brings: NATOM x width, edges x 3. */
    int64_t width;
    double *output, *output_gradient;
} checking;

struct mark {
    struct dgnn_place place;
    uint64_t may; /* MAY_ bits, over all buffers at this place */
    char *before;
};

enum { MAY_READ = 1, MAY_WRITE = 2, WHOLE = 4 };

static uint64_t place_may(const struct dgnn_stage_rule *c, int64_t l, const struct dgnn_place *p)
{
    uint64_t bit = p->buffer < 0 ? 0 : UINT64_C(1) << p->buffer, may = 0;
    if (p->buffer == DGNN_AT_SCRATCH) {
        return MAY_WRITE;
    }
    if (p->layer < 0 || p->layer == l) {
        may |= (c->read | c->change) & bit ? MAY_READ : 0;
        may |= (c->change | c->write) & bit ? MAY_WRITE : 0;
        may |= c->whole & bit ? WHOLE : 0;
    }
    if (p->layer == l + 1) {
        may |= c->next_change & bit ? MAY_READ : 0;
        may |= (c->next_change | c->next_write) & bit ? MAY_WRITE : 0;
        may |= c->next_whole & bit ? WHOLE : 0;
    }
    if (p->layer >= 0 && p->layer == l - 1) {
        may |= (c->before_read | c->before_change) & bit ? MAY_READ : 0;
        may |= c->before_change & bit ? MAY_WRITE : 0;
    }
    return may;
}

/* The part [begin, end) of n numbers, and what is around it. */
static void list_part(struct dgnn_places *to, int32_t buffer, double *data, int64_t n, int64_t begin,
                      int64_t end)
{
    const int64_t size = sizeof(double);
    dgnn_backend_list(to, buffer, -1, data + begin, (struct dgnn_place_rows){end - begin, end - begin}, size);
    dgnn_backend_list_others(to, data, n * size, begin * size, end * size);
}

/* What the caller brought, of all centres or of those of a chunk. */
static void list_callers(void *workspace, const struct dgnn_stage_call *call, struct dgnn_places *to)
{
    const struct dgnn_graph *graph = call->evaluation->graph;
    int64_t begin = 0, end = NATOM, width = checking.width;
    if (checking.inner->chunks) {
        const int64_t *first;
        checking.inner->chunks(workspace, &first);
        begin = first[call->chunk];
        end = first[call->chunk + 1];
    }
    list_part(to, call->output ? DGNN_AT_OUTPUT : DGNN_AT_OTHERS, checking.output, NATOM * width,
              begin * width, end * width);
    list_part(to, call->output_gradient ? DGNN_AT_OUTPUT_GRADIENT : DGNN_AT_OTHERS, checking.output_gradient,
              NATOM * width, begin * width, end * width);
    if (call->evaluation->want_moments) { /* of all centres */
        list_part(to, DGNN_AT_EDGE_GRADIENT, call->evaluation->edge_gradient, 12 * graph->first[NATOM], 0,
                  12 * graph->first[NATOM]);
        return;
    }
    list_part(to, DGNN_AT_EDGE_GRADIENT, call->evaluation->edge_gradient, 3 * graph->first[NATOM],
              3 * graph->first[begin], 3 * graph->first[end]);
}

static int32_t mark_all(void *workspace, const struct dgnn_stage_call *call, struct mark *marks)
{
    static struct dgnn_place places[PLACES_MAX];
    struct dgnn_places to = {.place = places, .most = PLACES_MAX};
    int32_t count = 0;
    checking.inner->places(workspace, call->chunk, call->thread, &to);
    list_callers(workspace, call, &to);
    CHECK(to.count < PLACES_MAX);
    for (int32_t k = 0; k < to.count; k++) {
        int32_t at = 0;
        while (at < count && marks[at].place.data != places[k].data) {
            at++;
        }
        if (at == count) {
            marks[count++] = (struct mark){.place = places[k]};
        }
        marks[at].may |= place_may(&checking.rule[call->stage], call->layer, &places[k]);
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

static void mark_end(struct mark *m, const char *stage)
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
    if ((bad || missing) && !checking.first_bad) {
        checking.first_bad = stage;
    }
    free(m->before);
}

static void checking_run(void *workspace, const struct dgnn_stage_call *call)
{
    static struct mark marks[PLACES_MAX];
    int32_t n = mark_all(workspace, call, marks);
    for (int32_t k = 0; k < n; k++) {
        mark_begin(&marks[k]);
    }
    checking.inner->stage[call->stage](workspace, call);
    for (int32_t k = 0; k < n; k++) {
        mark_end(&marks[k], checking.rule[call->stage].name);
    }
    checking.runs++;
}

static struct dgnn_backend checking_of(const struct dgnn_staged *d)
{
    struct dgnn_backend made = *d->backend;
    made.name = "checking";
    CHECK(d->driver->nstage <= DGNN_STAGES_MAX);
    for (int32_t k = 0; k < d->driver->nstage; k++) {
        CHECK(made.stage[k] && d->driver->rule[k].name);
        made.stage[k] = checking_run;
        checking.rule[k] = d->driver->rule[k];
    }
    checking.inner = d->backend;
    return made;
}

/* ---------------------------------------------------------------- evaluation */

struct answer {
    double output[NATOM * WIDTH_MAX];
    double gradient[DGNN_SIDES * 3 * NEDGE_MAX]; /* of all sides, one after the other */
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

struct asked {
    int64_t nwithout_energy; /* nodes whose output nobody uses */
    int32_t moments;
};

static void evaluate(const struct dgnn_descriptor *d, const struct dgnn_graph *graph,
                     struct dgnn_exchange *exchange, struct asked asked, struct answer *answer)
{
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(d);
    struct dgnn_descriptor_workspace *workspace;
    struct dgnn_descriptor_properties p;
    struct dgnn_error error;
    static double d_output[NATOM * WIDTH_MAX];
    struct dgnn_evaluation evaluation = {.graph = graph,
                                         .exchange = exchange,
                                         .edge_gradient = answer->gradient,
                                         .want_gradient = 1,
                                         .want_moments = asked.moments,
                                         .nwithout_energy = asked.nwithout_energy};
    static const double charge_spin[2] = {1, 2};
    kind->properties(d, &p);
    CHECK(p.dim_out <= WIDTH_MAX);
    checking.width = p.dim_out;
    checking.output = answer->output;
    checking.output_gradient = d_output;
    evaluation.charge_spin = p.dim_charge_spin ? charge_spin : NULL;
    memset(answer, 0, sizeof(*answer));
    CHECK_STATUS(kind->workspace_create(d, &workspace, &error), DGNN_OK, "");
    CHECK_STATUS(kind->prepare(d, workspace, &evaluation, &error), DGNN_OK, "");
    CHECK_STATUS(kind->forward(d, workspace, &evaluation, answer->output, &error), DGNN_OK, "");
    for (int64_t k = 0; k < NATOM * p.dim_out; k++) {
        d_output[k] = k / p.dim_out < NATOM - asked.nwithout_energy ? weight(k) : 0;
    }
    CHECK_STATUS(kind->backward(d, workspace, &evaluation, d_output, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_settle(exchange, &error), DGNN_OK, ""); /* it has the workspace's rows */
    kind->workspace_free(workspace);
}

/* ---------------------------------------------------------------- tests */

static void begin_checking(int32_t whole)
{
    checking.whole = whole;
    checking.runs = checking.overwritten = checking.unwritten = 0;
    checking.first_bad = NULL;
}

/* The largest number from begin on, of so many edges. */
static double largest(const double *gradient, int64_t nedge)
{
    double most = 0;
    for (int64_t k = 0; k < 3 * nedge; k++) {
        most = check_larger(most, fabs(gradient[k]));
    }
    return most;
}

struct place_of_test {
    const char *name;
    struct dgnn_descriptor *d;
    const struct dgnn_graph *graph;
    struct dgnn_exchange *exchange;
};

/* Both fillings. */
static void check_both(const struct place_of_test *at, struct asked asked, struct answer *plain)
{
    static struct answer checked;
    const struct dgnn_backend *cpu = ((struct dgnn_staged *)at->d)->backend;
    struct dgnn_backend checker = checking_of((struct dgnn_staged *)at->d);
    evaluate(at->d, at->graph, at->exchange, asked, plain);
    dgnn_backend_set(at->d, &checker);
    begin_checking(!at->exchange && !asked.nwithout_energy);
    evaluate(at->d, at->graph, at->exchange, asked, &checked);
    dgnn_backend_set(at->d, cpu);
    int good = !memcmp(plain, &checked, sizeof(checked)) && !checking.overwritten && !checking.unwritten;
    double most = largest(plain->gradient, at->graph->first[NATOM]);
    CHECK(good && checking.runs > 2 && isfinite(most) && most > 0);
    if (!good) {
        fprintf(stderr,
                "    %s, %lld idle, moments %d: %lld written beyond, %lld not written, first in stage %s\n",
                at->name, (long long)asked.nwithout_energy, asked.moments, (long long)checking.overwritten,
                (long long)checking.unwritten,
                checking.first_bad ? checking.first_bad : "none, but the numbers differ");
    }
}

/* On the cluster as it is, with idle nodes, and with ghosts; where messages pass, with moments too, beside
 * which the gradient is what it is without them. */
static void check_descriptor(const char *name, struct dgnn_descriptor *d, const struct cluster *c)
{
    static struct answer plain, moments;
    struct dgnn_descriptor_properties p;
    int64_t nedge = c->first[NATOM];
    struct dgnn_plan *plan = NULL;
    struct dgnn_exchange *exchange = cluster_exchange(&plan);
    struct dgnn_graph ghosts = c->graph;
    ghosts.nnode = NROW;
    ghosts.neighbour = c->copied;
    dgnn_descriptor_kind(d)->properties(d, &p);
    for (int how = 0; how < 3; how++) {
        const struct place_of_test at = {name, d, how == 2 ? &ghosts : &c->graph, how == 2 ? exchange : NULL};
        struct asked asked = {.nwithout_energy = how == 1 ? 5 : 0};
        check_both(&at, asked, &plain);
        if (p.has_message_passing) {
            asked.moments = 1;
            check_both(&at, asked, &moments);
            double most = largest(moments.gradient + 3 * nedge, 3 * nedge);
            /* A node's first row is its type's: one layer of DPA3 has no message that depends on places. */
            CHECK(isfinite(most) && (most > 0) == !strstr(name, "dpa3_one_layer"));
            CHECK(!memcmp(plain.gradient, moments.gradient, sizeof(double) * (size_t)(3 * nedge)));
        }
    }
    dgnn_exchange_free(exchange);
    dgnn_plan_free(plan);
}

/* What DPA3 keeps is a choice of its own; others differ by memory alone. */
static void test_case(const char *name)
{
    static struct cluster c;
    int is_dpa3 = !strncmp(name, "dpa3", 4);
    for (int how = 0; how < 16; how++) {
        struct dgnn_load_context context = {.dtype = how % 2 ? DGNN_DTYPE_FLOAT32 : DGNN_DTYPE_FLOAT64,
                                            .memory = how / 2 % 4 == 2 ? DGNN_MEMORY_SMALL : DGNN_MEMORY_FAST,
                                            .threads = how / 8 ? 3 : 1};
        struct dgnn_descriptor_properties p;
        struct dgnn_descriptor *d = NULL;
        dgnn_recompute_trial_force(how / 2 % 4 == 1   ? DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES
                                   : how / 2 % 4 == 0 ? DGNN_KEPT_ANGLES
                                   : how / 2 % 4 == 3 ? DGNN_RECOMPUTE_TRIAL_ALTERNATE
                                                      : -1);
        if (!is_dpa3 && how / 2 % 2 == 1) {
            continue;
        }
        CHECK(!load(name, &context, &d));
        dgnn_descriptor_kind(d)->properties(d, &p);
        uint64_t seed = 3;
        make_cluster(&c, &p, context.ntypes, 1, &seed);
        /* Chunks of one evaluation on several threads are stages at the same time. */
        if (context.threads == 1 || ((struct dgnn_staged *)d)->driver->forward) {
            check_descriptor(name, d, &c);
        }
        dgnn_registry_free(d);
    }
    dgnn_recompute_trial_force(-1);
}

/* Rules that are wrong in one place: a read that is not allowed makes other numbers, a write that is not is
 * seen, and so is a promise that is not kept. */
struct fault {
    int32_t stage;
    uint64_t drop, whole; /* whole: promised too much */
};

static void test_planted(const char *name, struct asked asked, const struct fault *faults, size_t n)
{
    static struct cluster c;
    static struct answer plain, checked;
    struct dgnn_load_context context = {
        .dtype = DGNN_DTYPE_FLOAT64, .memory = DGNN_MEMORY_SMALL, .threads = 1};
    struct dgnn_descriptor_properties p;
    struct dgnn_descriptor *d = NULL;
    CHECK(!load(name, &context, &d));
    const struct dgnn_staged *staged = (const struct dgnn_staged *)d;
    const struct dgnn_backend *cpu = staged->backend;
    struct dgnn_backend checker = checking_of(staged);
    dgnn_descriptor_kind(d)->properties(d, &p);
    uint64_t seed = 3;
    make_cluster(&c, &p, context.ntypes, 1, &seed);
    evaluate(d, &c.graph, NULL, asked, &plain);
    dgnn_backend_set(d, &checker);
    for (size_t k = 0; k <= n; k++) {
        memcpy(checking.rule, staged->driver->rule,
               sizeof(checking.rule[0]) * (size_t)staged->driver->nstage);
        if (k < n) {
            struct dgnn_stage_rule *wrong = &checking.rule[faults[k].stage];
            wrong->read &= ~faults[k].drop;
            wrong->change &= ~faults[k].drop;
            wrong->write &= ~faults[k].drop;
            wrong->before_read &= ~faults[k].drop;
            wrong->before_change &= ~faults[k].drop;
            wrong->whole |= faults[k].whole;
        }
        begin_checking(1);
        evaluate(d, &c.graph, NULL, asked, &checked);
        int found = memcmp(&plain, &checked, sizeof(plain)) || checking.overwritten || checking.unwritten;
        CHECK(found == (k < n)); /* the last one is none */
        if (found != (k < n)) {
            fprintf(stderr, "    %s: planted fault %zu was not found\n", name, k);
        }
    }
    dgnn_backend_set(d, cpu);
    dgnn_registry_free(d);
}

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

/* What three stages of a family read, and what they write, dropped from each in turn. */
static void test_planted_named(const char *name, const char *first, const char *angle_linear2,
                               const char *third)
{
    const char *const names[] = {first, angle_linear2, third};
    struct dgnn_load_context context = {
        .dtype = DGNN_DTYPE_FLOAT64, .memory = DGNN_MEMORY_SMALL, .threads = 1};
    struct dgnn_descriptor *d = NULL;
    struct fault faults[6];
    size_t n = 0;
    CHECK(!load(name, &context, &d));
    const struct dgnn_driver *driver = ((const struct dgnn_staged *)d)->driver;
    for (size_t k = 0; k < COUNT(names); k++) {
        int32_t at = 0;
        while (at < driver->nstage && strcmp(driver->rule[at].name, names[k])) {
            at++;
        }
        CHECK(at < driver->nstage);
        const struct dgnn_stage_rule *rule = &driver->rule[at < driver->nstage ? at : 0];
        const uint64_t sets[] = {rule->read | rule->change, rule->write | rule->change};
        for (size_t j = 0; j < COUNT(sets); j++) {
            if (sets[j]) {
                faults[n++] = (struct fault){at, sets[j], 0};
            }
        }
    }
    dgnn_registry_free(d);
    test_planted(name, (struct asked){0}, faults, n);
}

static void test_planted_all(void)
{
#define S(name) DGNN_REPFLOW_##name
#define B(name) (UINT64_C(1) << DGNN_REPFLOW_AT_##name)
    static const struct fault dpa3[] = {{S(CENTRE), B(NODE), 0},
                                        {S(EDGES), B(NEIGHBOUR_PART), 0},
                                        {S(ANGLES), B(ANGLE), 0},
                                        {S(NODE), B(MESSAGE), 0},
                                        {S(D_EDGES), B(D_MOMENT), 0},
                                        {S(D_ANGLES), B(D_EDGE_IN), 0},
                                        {S(D_ROWS), B(D_NODE_ROWS), 0},
                                        {S(D_NEIGHBOUR_PART), B(D_ACCUMULATORS), 0},
                                        {S(NEIGHBOUR_PART), B(NEIGHBOUR_PART), 0},
                                        {S(NODE), B(SYMMETRIC), 0},
                                        {S(D_CENTRE), B(D_NODE_SUM), 0},
                                        {S(FIRST_EDGES), B(EDGE), 0},
                                        {S(CENTRE), 0, B(CENTRE_ROWS)},
                                        {S(D_EDGES), 0, B(D_EDGE_ROWS)},
                                        {S(OUTPUT), UINT64_C(1) << DGNN_AT_OUTPUT, 0},
                                        {S(D_GEOMETRY), UINT64_C(1) << DGNN_AT_EDGE_GRADIENT, 0}};
#undef S
#undef B
#define S(name) DGNN_DPA2_##name
#define B(name) (UINT64_C(1) << DGNN_DPA2_AT_##name)
    static const struct fault dpa2[] = {{S(SHAPE), B(FIRST), 0},
                                        {S(PAIRS), B(G2), 0},
                                        {S(NODES), B(G1), 0},
                                        {S(NODES), B(H2), 0},
                                        {S(D_NODES), B(D_G1_IN), 0},
                                        {S(D_NODES), B(D_NEIGHBOURS), 0},
                                        {S(D_NEIGHBOURS), B(D_G1_OUT), 0},
                                        {S(D_PAIRS), B(D_G2_IN), 0},
                                        {S(D_PAIRS), B(D_SWITCHES), 0},
                                        {S(D_SHAPE), B(D_G1_IN), 0},
                                        {S(D_PAIR), B(PAIR_KEPT), 0},
                                        {S(D_THREE), B(FIRST), 0},
                                        {S(D_FIRST_PAIRS), B(PAIR_SLOPES), 0},
                                        {S(OUTPUT), UINT64_C(1) << DGNN_AT_OUTPUT, 0},
                                        {S(D_PAIR), UINT64_C(1) << DGNN_AT_EDGE_GRADIENT, 0}};
    static const struct fault dpa2_moments[] = {{S(D_NODES), B(D_RECEIVED), 0},
                                                {S(D_NEIGHBOURS), B(D_RECEIVED), 0}};
#undef S
#undef B
    /* By chunks: the families' numbers are in their own files. */
    test_planted_named("se_e2_a", "embed", "moment", "d_edges");
    test_planted_named("se_e2_r", "embed", "sum", "d_edges");
    test_planted_named("se_e3_tebd", "rows", "triples", "d_triples");
    test_planted_named("dpa1_attn2", "embed", "attend", "moment");
    test_planted_named("dpa4c_base", "geometry", "moments", "d_readout");
    for (int32_t moments = 0; moments < 2; moments++) {
        test_planted("dpa3_base", (struct asked){0, moments}, dpa3, COUNT(dpa3));
        test_planted("dpa2_base", (struct asked){0, moments}, dpa2, COUNT(dpa2));
    }
    test_planted("dpa2_base", (struct asked){0, 1}, dpa2_moments, COUNT(dpa2_moments));
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
                                        "dpa3_two_layers_not_smooth",
                                        "dpa2_base",
                                        "dpa2_all_updates",
                                        "dpa2_davg",
                                        "dpa2_direct_dist",
                                        "dpa2_no_conv",
                                        "dpa2_no_three_body",
                                        "dpa2_not_smooth",
                                        "dpa2_one_layer",
                                        "dpa2_strip",
                                        "dpa1_attn0",
                                        "dpa1_attn2",
                                        "dpa1_davg",
                                        "dpa1_strip",
                                        "dpa1_strip_attn",
                                        "se_e2_a",
                                        "se_e2_a_one_side",
                                        "se_e2_r",
                                        "se_e3",
                                        "se_e3_tebd",
                                        "se_e3_tebd_strip",
                                        "dpa4c_base",
                                        "dpa4c_lmax4_modes"};
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        test_case(names[k]);
    }
    test_planted_all();
    return check_report();
}
