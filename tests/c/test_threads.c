/* Models in threads: loading, a model for each, one for all, saving beside a call, and ranks that are
 * threads. Results are those of one thread to the last bit. test_c.py also runs this under ThreadSanitizer.
 */
#include "check.h"
#include "random.h"
#include "ranks.h"

#include <unistd.h>

enum { NATOMS = 12, NTHREAD = 4 };

static const char *const paths[NTHREAD] = {
    "tests/data/cases/dpa3_base/model.pt2", "tests/data/cases/dpa1_attn2/model.pt2",
    "tests/data/cases/se_e2_a/model.pt2", "tests/data/cases/dpa2_strip/model.pt2"};
static const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = 0.5};
static const double box[9] = {7, 0, 0, 0.5, 7, 0, 0, 0, 8};
static double coords[3 * NATOMS];
static int32_t types[NATOMS];

struct outcome {
    double energy;
    double forces[3 * NATOMS];
};

static struct outcome expected[NTHREAD];

/* What one thread does, and how it went. */
struct job {
    struct dgnn_model *model;
    const char *path;
    struct outcome expected;
    pthread_barrier_t *start;
    int32_t rounds, good, wrong;
    char message[DGNN_MESSAGE_LENGTH];
};

static void make_system(void)
{
    uint64_t seed = 8;
    for (int i = 0; i < NATOMS; i++) {
        types[i] = i % 2;
        for (int d = 0; d < 3; d++) {
            coords[3 * i + d] = 2.0 * (d == 0 ? i % 3 : d == 1 ? i / 3 % 2 : i / 6) + random_uniform(&seed);
        }
    }
}

static int compute(struct dgnn_model *model, double shift, struct dgnn_comm *comm, struct outcome *outcome,
                   struct dgnn_error *error)
{
    double moved[3 * NATOMS];
    for (int i = 0; i < 3 * NATOMS; i++) {
        moved[i] = coords[i] + (i == 0 ? shift : 0);
    }
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOMS,
                                 .coords = moved,
                                 .types = types,
                                 .box = box,
                                 .pbc = {1, 1, 1},
                                 .replicated = comm != NULL};
    struct dgnn_result result = {.size = sizeof(result), .forces = outcome->forces};
    int status = dgnn_model_compute(model, &system, comm, &result, error);
    outcome->energy = result.energy;
    return status;
}

static void judge(struct job *job, int status, const struct outcome *outcome, const struct dgnn_error *error)
{
    if (!status && !memcmp(outcome, &job->expected, sizeof(*outcome))) {
        job->good++;
    } else {
        job->wrong++;
        snprintf(job->message, sizeof(job->message), "%s", status ? error->message : "other numbers");
    }
}

static void *calls(void *argument)
{
    struct job *job = argument;
    struct dgnn_error error;
    struct outcome outcome;
    pthread_barrier_wait(job->start);
    for (int32_t k = 0; k < job->rounds; k++) {
        int status = compute(job->model, 0, NULL, &outcome, &error);
        judge(job, status, &outcome, &error);
    }
    return NULL;
}

static void *loads(void *argument)
{
    struct job *job = argument;
    struct dgnn_error error;
    struct outcome outcome;
    pthread_barrier_wait(job->start);
    for (int32_t k = 0; k < job->rounds; k++) {
        int status = dgnn_model_load(job->path, &options, &job->model, &error);
        if (!status) {
            status = compute(job->model, 0, NULL, &outcome, &error);
        }
        judge(job, status, &outcome, &error);
        dgnn_model_free(job->model);
    }
    return NULL;
}

static void *saves(void *argument)
{
    struct job *job = argument;
    struct dgnn_error error;
    pthread_barrier_wait(job->start);
    for (int32_t k = 0; k < job->rounds; k++) {
        int status = dgnn_model_save(job->model, job->path, &error);
        int described = dgnn_model_describe(job->model)[0] == '{';
        job->good += !status && described;
        job->wrong += status || !described;
        snprintf(job->message, sizeof(job->message), "%s", status ? error.message : "");
    }
    return NULL;
}

/* Runs each job in a thread, all at once. */
static void run(struct job *jobs, int n, void *(*const *work)(void *))
{
    pthread_barrier_t start;
    pthread_t thread[NTHREAD];
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) {
        jobs[i].start = &start;
        CHECK(!pthread_create(&thread[i], NULL, work[i], &jobs[i]));
    }
    for (int i = 0; i < n; i++) {
        pthread_join(thread[i], NULL);
        CHECK(jobs[i].wrong == 0);
        if (jobs[i].wrong) {
            fprintf(stderr, "    thread %d: %s\n", i, jobs[i].message);
        }
    }
    pthread_barrier_destroy(&start);
}

static struct dgnn_model *load(int which)
{
    struct dgnn_model *model = NULL;
    struct dgnn_error error;
    CHECK_STATUS(dgnn_model_load(paths[which], &options, &model, &error), DGNN_OK, "");
    return model;
}

static void test_loading(void)
{
    struct job jobs[NTHREAD] = {{0}};
    void *(*work[NTHREAD])(void *);
    for (int i = 0; i < NTHREAD; i++) {
        jobs[i] = (struct job){.path = paths[i / 2], .rounds = 4, .expected = expected[i / 2]};
        work[i] = loads;
    }
    run(jobs, NTHREAD, work);
    for (int i = 0; i < NTHREAD; i++) {
        CHECK(jobs[i].good == 4);
    }
}

static void test_a_model_for_each(void)
{
    struct job jobs[NTHREAD] = {{0}};
    void *(*work[NTHREAD])(void *);
    for (int i = 0; i < NTHREAD; i++) {
        jobs[i] = (struct job){.model = load(i), .rounds = 8, .expected = expected[i]};
        work[i] = calls;
    }
    run(jobs, NTHREAD, work);
    for (int i = 0; i < NTHREAD; i++) {
        CHECK(jobs[i].good == 8);
        dgnn_model_free(jobs[i].model);
    }
}

static void test_one_for_all(void)
{
    struct job jobs[NTHREAD] = {{0}};
    void *(*work[NTHREAD])(void *);
    struct dgnn_model *model = load(0);
    for (int i = 0; i < NTHREAD; i++) {
        jobs[i] = (struct job){.model = model, .rounds = 50, .expected = expected[0]};
        work[i] = calls;
    }
    run(jobs, NTHREAD, work);
    for (int i = 0; i < NTHREAD; i++) {
        CHECK(jobs[i].good == 50);
    }
    dgnn_model_free(model);
}

static void test_saving_beside_calls(void)
{
    char path[256];
    void *(*const work[2])(void *) = {calls, saves};
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/test_threads.%d.dgnn", folder ? folder : "/tmp", (int)getpid());
    struct job jobs[2] = {{.model = load(0), .rounds = 20, .expected = expected[0]},
                          {.path = path, .rounds = 5}};
    jobs[1].model = jobs[0].model;
    run(jobs, 2, work);
    CHECK(jobs[0].good == 20 && jobs[1].good == 5);
    dgnn_model_free(jobs[0].model);
    CHECK(!unlink(path));
}

/* Two ranks, each with its model, twice: a fresh list, and one that is used again. */
static void rank_body(struct ranks_rank *rank)
{
    struct job *job = (struct job *)rank->data + rank->rank;
    struct dgnn_error error;
    struct outcome outcome;
    for (int32_t k = 0; k < 4; k++) {
        int status = compute(job->model, k % 2 ? 0.01 : 0, rank->comm, &outcome, &error);
        int near = !status && fabs(outcome.energy - job->expected.energy) < (k % 2 ? 1 : 1e-9);
        job->good += near;
        job->wrong += !near;
    }
}

static void test_ranks(void)
{
    struct job jobs[2] = {{.model = load(0), .expected = expected[0]},
                          {.model = load(0), .expected = expected[0]}};
    ranks_run(2, 60, rank_body, jobs);
    for (int i = 0; i < 2; i++) {
        CHECK(jobs[i].good == 4 && jobs[i].wrong == 0);
        dgnn_model_free(jobs[i].model);
    }
}

int main(void)
{
    make_system();
    for (int i = 0; i < NTHREAD; i++) {
        struct dgnn_error error;
        struct dgnn_model *model = load(i);
        CHECK_STATUS(compute(model, 0, NULL, &expected[i], &error), DGNN_OK, "");
        CHECK(fabs(expected[i].forces[0]) > 1e-6);
        dgnn_model_free(model);
    }
    test_loading();
    test_a_model_for_each();
    test_one_for_all();
    test_saving_beside_calls();
    test_ranks();
    return check_report();
}
