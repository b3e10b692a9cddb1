/* An answer of three numbers, as a dipole is, has three gradients. The descriptor goes forward once for all
 * of them, and backward for each: the bits of a forward of its own before each backward. */
#include "check.h"
#include "cluster.h"

static uint64_t cluster_seed = 1;

#include <stdlib.h>

#include "io/archive.h"
#include "net/dpa3/recompute_trial.h"
#include "net/energy/atomic.h"
#include "net/energy/registry.h"
#include "net/params/params.h"

enum { WIDTH_MAX = 1024, ROTATION_MAX = 3 * 256, SEEDS = 3 };

/* ---------------------------------------------------------------- loading */

/* Of a case: its descriptor as a model of dipoles loads it, or the model. Either may be NULL. */
static int load(const char *name, struct dgnn_load_context *context, struct dgnn_descriptor **descriptor,
                struct dgnn_atomic **atomic)
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
    context->wants_rotation = 1;
    if (!status && descriptor) {
        status = dgnn_registry_load(&value, context, descriptor, &error);
    }
    if (!status && atomic) {
        status = dgnn_atomic_load(&model, context, atomic, &error);
    }
    dgnn_alloc_free(names);
    dgnn_archive_free(&archive);
    return status;
}

/* ---------------------------------------------------------------- a descriptor */

struct place {
    const char *name;
    struct dgnn_descriptor *d;
    const struct dgnn_graph *graph;
    struct dgnn_exchange *exchange;
};

static double weight(int64_t k, int seed)
{
    return cos(0.7 * (double)k + 0.3 + 1.1 * seed);
}

/* Gradients of the edges for the seeds [first, end), by one workspace after one forward. */
static void backward_seeds(const struct place *at, int first, int end, double (*gradient)[3 * NEDGE_MAX])
{
    static double output[NATOM * WIDTH_MAX], rotation[NATOM * ROTATION_MAX], d_rotation[NATOM * ROTATION_MAX];
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(at->d);
    struct dgnn_descriptor_workspace *workspace;
    struct dgnn_descriptor_properties p;
    struct dgnn_error error;
    kind->properties(at->d, &p);
    CHECK(p.dim_out <= WIDTH_MAX && p.dim_rotation > 0 && 3 * p.dim_rotation <= ROTATION_MAX);
    struct dgnn_evaluation evaluation = {.graph = at->graph,
                                         .exchange = at->exchange,
                                         .want_gradient = 1,
                                         .edge_gradient = gradient[first],
                                         .rotation = rotation,
                                         .rotation_gradient = d_rotation};
    CHECK_STATUS(kind->workspace_create(at->d, &workspace, &error), DGNN_OK, "");
    CHECK_STATUS(kind->prepare(at->d, workspace, &evaluation, &error), DGNN_OK, "");
    CHECK_STATUS(kind->forward(at->d, workspace, &evaluation, output, &error), DGNN_OK, "");
    for (int seed = first; seed < end; seed++) {
        for (int64_t k = 0; k < NATOM * p.dim_out; k++) {
            output[k] = weight(k, seed);
        }
        for (int64_t k = 0; k < NATOM * 3 * p.dim_rotation; k++) {
            d_rotation[k] = weight(k, seed + 7);
        }
        evaluation.edge_gradient = gradient[seed];
        memset(gradient[seed], 0, sizeof(gradient[seed]));
        CHECK_STATUS(kind->backward(at->d, workspace, &evaluation, output, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_exchange_settle(at->exchange, &error), DGNN_OK, "");
    }
    kind->workspace_free(workspace);
}

static void check_place(const struct place *at)
{
    static double together[SEEDS][3 * NEDGE_MAX], alone[SEEDS][3 * NEDGE_MAX];
    backward_seeds(at, 0, SEEDS, together);
    for (int seed = 0; seed < SEEDS; seed++) {
        backward_seeds(at, seed, seed + 1, alone);
        double most = 0;
        for (int64_t k = 0; k < 3 * at->graph->first[NATOM]; k++) {
            most = check_larger(most, fabs(alone[seed][k]));
        }
        int good = !memcmp(together[seed], alone[seed], sizeof(alone[seed])) && isfinite(most) && most > 0;
        CHECK(good);
        if (!good) {
            fprintf(stderr, "    %s%s: gradient %d is not that of a forward of its own\n", at->name,
                    at->exchange ? ", with ghosts" : "", seed);
        }
    }
    CHECK(memcmp(together[0], together[1], sizeof(together[0])));
}

static void check_ghosts(const struct place *at, const struct cluster *c)
{
    struct dgnn_plan *plan = NULL;
    struct dgnn_graph ghosts = c->graph;
    struct place own = *at;
    ghosts.nnode = NROW;
    ghosts.neighbour = c->copied;
    own.graph = &ghosts;
    own.exchange = cluster_exchange(&plan);
    check_place(&own);
    dgnn_exchange_free(own.exchange);
    dgnn_plan_free(plan);
}

/* In float64 on one thread, and in float32 on three. What DPA3 keeps is a choice of its own; others differ by
 * memory alone. */
static void test_descriptor(const char *name)
{
    static const int32_t kept[] = {DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES, DGNN_KEPT_ANGLES, DGNN_KEPT_EDGES,
                                   DGNN_RECOMPUTE_TRIAL_ALTERNATE, -1};
    enum { LAST = sizeof(kept) / sizeof(kept[0]) - 1 };
    static struct cluster c;
    for (int how = 0; how < 2 * (LAST + 1); how++) {
        int narrow = how % 2, memory = how / 2;
        struct dgnn_load_context context = {.dtype = narrow ? DGNN_DTYPE_FLOAT32 : DGNN_DTYPE_FLOAT64,
                                            .memory = memory == LAST ? DGNN_MEMORY_SMALL : DGNN_MEMORY_FAST,
                                            .threads = narrow ? 3 : 1};
        struct dgnn_descriptor_properties p;
        struct place at = {.name = name};
        if (!strstr(name, "dpa3") && memory > 0 && memory < LAST) {
            continue;
        }
        dgnn_recompute_trial_force(kept[memory]);
        CHECK(!load(name, &context, &at.d, NULL));
        dgnn_descriptor_kind(at.d)->properties(at.d, &p);
        make_cluster(&c, &p, context.ntypes, 1, &cluster_seed);
        at.graph = &c.graph;
        check_place(&at);
        if (p.has_message_passing) {
            check_ghosts(&at, &c);
        }
        dgnn_registry_free(at.d);
    }
    dgnn_recompute_trial_force(-1);
}

/* ---------------------------------------------------------------- a model: passes are counted */

static const struct dgnn_descriptor_kind *counted;
static int nforward, nbackward;

static int count_forward(const struct dgnn_descriptor *descriptor,
                         struct dgnn_descriptor_workspace *workspace,
                         const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error)
{
    nforward++;
    return counted->forward(descriptor, workspace, evaluation, output, error);
}

static int count_backward(const struct dgnn_descriptor *descriptor,
                          struct dgnn_descriptor_workspace *workspace,
                          const struct dgnn_evaluation *evaluation, const double *output_gradient,
                          struct dgnn_error *error)
{
    nbackward++;
    return counted->backward(descriptor, workspace, evaluation, output_gradient, error);
}

/* Three gradients, which differ, by one forward and three times backward; without gradients, one forward. */
static void test_passes(const char *name, int32_t memory)
{
    static double gradient[SEEDS][3 * NEDGE_MAX], output[SEEDS][3 * NATOM];
    static struct cluster c;
    struct dgnn_load_context context = {.dtype = DGNN_DTYPE_FLOAT64, .memory = memory, .threads = 1};
    struct dgnn_atomic_workspace *workspace;
    struct dgnn_atomic_properties p;
    struct dgnn_atomic *atomic = NULL;
    struct dgnn_error error;
    CHECK(!load(name, &context, NULL, &atomic));
    dgnn_atomic_properties(atomic, &p);
    make_cluster(&c, &p.descriptor, context.ntypes, 1, &cluster_seed);
    struct dgnn_descriptor_base *base = (struct dgnn_descriptor_base *)dgnn_atomic_descriptor(atomic);
    struct dgnn_descriptor_kind counting = *base->kind;
    counted = base->kind;
    counting.forward = count_forward;
    counting.backward = count_backward;
    base->kind = &counting;
    CHECK_STATUS(dgnn_atomic_workspace_create(atomic, &workspace, &error), DGNN_OK, "");
    for (int want = 1; want >= 0; want--) {
        struct dgnn_evaluation evaluation = {
            .graph = &c.graph, .want_gradient = want, .edge_gradient = gradient[0]};
        CHECK_STATUS(dgnn_atomic_prepare(workspace, &evaluation, &error), DGNN_OK, "");
        nforward = nbackward = 0;
        for (int seed = 0; seed < (want ? SEEDS : 1); seed++) {
            const struct dgnn_atomic_input input = {.seed = seed};
            evaluation.edge_gradient = gradient[seed];
            memset(gradient[seed], 0, sizeof(gradient[seed]));
            CHECK_STATUS(dgnn_atomic_evaluate(workspace, &evaluation, &input, output[seed], &error), DGNN_OK,
                         "");
            CHECK(!memcmp(output[0], output[seed], sizeof(output[0])));
        }
        CHECK(nforward == 1 && nbackward == (want ? SEEDS : 0));
        CHECK(!want || (memcmp(gradient[0], gradient[1], sizeof(gradient[0])) &&
                        memcmp(gradient[0], gradient[2], sizeof(gradient[0]))));
    }
    base->kind = counted;
    dgnn_atomic_workspace_free(workspace);
    dgnn_atomic_free(atomic);
}

int main(void)
{
    static const char *const descriptors[] = {
        "dpa3_base",        "dpa3_sequential",    "dpa3_compress_linear", "dpa3_not_smooth",
        "dpa3_no_angle",    "dpa3_one_layer",     "dpa3_16_layers",       "dpa2_base",
        "dpa2_all_updates", "dpa2_inside",        "dpa2_not_smooth",      "dpa2_strip",
        "compressed_dpa2",  "dpa1_attn2",         "dpa1_strip",           "se_e2_a",
        "compressed_dpa1",  "hybrid_dpa3_nested", "hybrid_two_messages"};
    static const char *const models[] = {"dipole_dpa1",   "dipole_dpa2",    "dipole_dpa3",
                                         "dipole_hybrid", "dipole_se_e2_a", "compressed_dipole"};
    for (size_t k = 0; k < sizeof(descriptors) / sizeof(descriptors[0]); k++) {
        test_descriptor(descriptors[k]);
    }
    for (size_t k = 0; k < sizeof(models) / sizeof(models[0]); k++) {
        test_passes(models[k], DGNN_MEMORY_FAST);
        test_passes(models[k], DGNN_MEMORY_SMALL);
    }
    return check_report();
}
