/* A call that its caller ends early, at a dozen of its questions: INTERRUPTED, and the next call has the bits
 * of a fresh model's. One for each family, so that each has pieces between which it asks. */
#include "base/alloc.h"
#include "check.h"
#include "model/pool.h"
#include "random.h"

enum { NATOMS = 20, SIDE = 3, LEAST = 8, STOPS = 12 };

static double coords[3 * NATOMS], spins[3 * NATOMS];
static int32_t types[NATOMS];
static const double box[9] = {7.2, 0, 0, 0, 7.2, 0, 0, 0, 7.2};

struct outcome {
    double energy, virial[9], forces[3 * NATOMS];
};

struct asked {
    int64_t questions;
    int64_t at; /* the question that is answered with yes; 0: none */
    struct dgnn_model *model;
};

static int wanted(void *context)
{
    struct asked *asked = context;
    return ++asked->questions == asked->at;
}

static int compute(struct dgnn_model *model, struct outcome *outcome, struct dgnn_error *error)
{
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOMS,
                                 .coords = coords,
                                 .types = types,
                                 .box = box,
                                 .spins = model->is_spin ? spins : NULL,
                                 .pbc = {1, 1, 1}};
    struct dgnn_result result = {.size = sizeof(result), .forces = outcome->forces};
    int status = dgnn_model_compute(model, &system, NULL, &result, error);
    outcome->energy = result.energy;
    memcpy(outcome->virial, result.virial, sizeof(result.virial));
    return status;
}

static struct dgnn_model *load(const char *name, int32_t memory)
{
    char path[256];
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    struct dgnn_load_options options = {.size = sizeof(options), .memory = memory, .threads = 2, .skin = 0.4};
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    return model;
}

/* The list of the one session that the model's calls are in. */
static void forget_list(struct dgnn_model *model)
{
    struct dgnn_session *session = (struct dgnn_session *)(uintptr_t)dgnn_pool_session(model->pool);
    session->division[0].list.valid = 0;
}

/* Lists are made anew at every other call, so that they are ended early too. */
static void test_family(const char *name, int32_t memory)
{
    static struct outcome expected, found;
    struct dgnn_error error;
    struct dgnn_model *model = load(name, memory);
    struct asked asked = {.model = model};
    CHECK_STATUS(compute(model, &expected, &error), DGNN_OK, "");
    CHECK(!dgnn_model_set_stop(model, wanted, &asked, &error));
    dgnn_stop_interval = 0;
    forget_list(model);
    CHECK_STATUS(compute(model, &found, &error), DGNN_OK, "");
    int64_t all = asked.questions, live = dgnn_alloc_live(), step = all / STOPS + 1;
    CHECK(all > LEAST && !memcmp(&found, &expected, sizeof(found)));
    printf("%s: %lld questions\n", name, (long long)all);
    for (int64_t at = 1; at <= all; at += step) {
        asked = (struct asked){.at = at, .model = model};
        if (at % 2 == 0) {
            forget_list(model);
        }
        int status = compute(model, &found, &error);
        if (!status) { /* threads share pieces as it comes, and the first alone asks */
            CHECK(asked.questions < at);
            continue;
        }
        CHECK(status == DGNN_ERROR_INTERRUPTED && asked.questions == at &&
              strstr(error.message, "ended early"));
        asked = (struct asked){.model = model};
        memset(&found, 0, sizeof(found));
        CHECK_STATUS(compute(model, &found, &error), DGNN_OK, "");
        CHECK(!memcmp(&found, &expected, sizeof(found)));
    }
    CHECK(dgnn_alloc_live() == live);
    dgnn_model_free(model);
}

/* With a communicator nobody is asked; nor once the question is taken back. */
static void test_not_asked(void)
{
    static struct outcome expected, found;
    struct dgnn_error error;
    struct dgnn_model *model = load("dpa3_base", DGNN_MEMORY_FAST);
    struct dgnn_comm *comm = NULL;
    struct asked asked = {.at = 1};
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOMS,
                                 .coords = coords,
                                 .types = types,
                                 .box = box,
                                 .pbc = {1, 1, 1}};
    struct dgnn_result result = {.size = sizeof(result)};
    CHECK_STATUS(compute(model, &expected, &error), DGNN_OK, "");
    CHECK(!dgnn_model_set_stop(model, wanted, &asked, &error));
    dgnn_stop_interval = 0;
    CHECK_STATUS(dgnn_comm_create_threads(1, 1, &comm, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute(model, &system, comm, &result, &error), DGNN_OK, "");
    dgnn_comm_free(comm);
    CHECK(asked.questions == 0);
    CHECK_STATUS(compute(model, &found, &error), DGNN_ERROR_INTERRUPTED, "ended early");
    CHECK(asked.questions == 1);
    CHECK(!dgnn_model_set_stop(model, NULL, NULL, &error));
    CHECK_STATUS(compute(model, &found, &error), DGNN_OK, "");
    CHECK(asked.questions == 1 && !memcmp(&found, &expected, sizeof(found)));
    /* Ranks sum their atoms' energies in another order, through a tree. */
    CHECK(fabs(found.energy - result.energy) <= 1e-13 * fabs(result.energy));
    CHECK_STATUS(dgnn_model_set_stop(NULL, wanted, &asked, &error), DGNN_ERROR_INPUT, "an argument is NULL");
    dgnn_model_free(model);
}

int main(void)
{
    static const char *const names[] = {"dpa3_base",  "dpa3_sequential", "dpa2_base",   "dpa1_attn2",
                                        "dpa1_attn0", "se_e2_a",         "se_e2_r",     "se_e3",
                                        "se_e3_tebd", "hybrid_local",    "hybrid_dpa3", "linear_dpa3_dpa1",
                                        "spin_dpa3"};
    uint64_t state = 5;
    for (int64_t i = 0; i < NATOMS; i++) {
        const int64_t place[3] = {i % SIDE, i / SIDE % SIDE, i / (SIDE * SIDE)};
        types[i] = (int32_t)(i % 2);
        for (int c = 0; c < 3; c++) {
            coords[3 * i + c] = 2.4 * ((double)place[c] + 0.2 + 0.6 * random_uniform(&state));
            spins[3 * i + c] = 0.3 + 0.3 * random_uniform(&state);
        }
    }
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        test_family(names[k], k % 2 ? DGNN_MEMORY_SMALL : DGNN_MEMORY_FAST);
    }
    test_not_asked();
    return check_report();
}
