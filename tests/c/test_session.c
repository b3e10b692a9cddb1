/* Sessions: several models on one, each with the bits that it gives alone; the sessions of a model while
 * threads call; one list however many models, one decomposition and one set of positions for those that cut
 * space alike; refusals. test_c.py also runs this under ThreadSanitizer. */
#include "session_case.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/parallel.h"
#include "comm/plan.h"

static void test_serial(const struct committee *c)
{
    static struct answer all[MODELS_MAX], alone;
    struct dgnn_model *model[MODELS_MAX];
    int32_t n = load_all(c, model);
    struct dgnn_session *session = make_session(model, n);
    struct dgnn_error error;
    for (int step = 0; step < NSTEP; step++) {
        struct dgnn_system system = make_call(step, types);
        struct dgnn_result results[MODELS_MAX];
        for (int32_t k = 0; k < n; k++) {
            results[k] = make_result(&all[k]);
        }
        CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
        CHECK(step != 1 || session->division[0].list.reused);
        CHECK(step == 0 || results[0].list_reused == results[n - 1].list_reused);
        for (int32_t k = 0; k < n; k++) {
            struct dgnn_result own = make_result(&alone);
            take_totals(&results[k], &all[k]);
            CHECK_STATUS(dgnn_model_compute(model[k], &system, NULL, &own, &error), DGNN_OK, "");
            take_totals(&own, &alone);
            CHECK(fabs(alone.forces[0]) > 1e-9);
            CHECK(same(&all[k], &alone));
            CHECK(own.nedges == results[k].nedges && own.ntruncated == results[k].ntruncated &&
                  own.nangle_truncated == results[k].nangle_truncated);
        }
    }
    CHECK(session->division[0].list.rebuilds ==
          2); /* one list for all models: made at the first step, used again, made anew */
    int64_t before = dgnn_alloc_count();
    struct dgnn_system system = make_call(NSTEP - 1, types);
    struct dgnn_result results[MODELS_MAX];
    for (int32_t k = 0; k < n; k++) {
        results[k] = make_result(&all[k]);
    }
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == before);
    dgnn_session_free(session);
    free_all(model, n);
}

/* Blocks of memory that a session of these models takes until its first call is done. */
static int64_t count_blocks(struct dgnn_model *const *models, int32_t n)
{
    static struct answer answers[2];
    struct dgnn_result results[2] = {make_result(&answers[0]), make_result(&answers[1])};
    struct dgnn_system system = make_call(0, types);
    struct dgnn_error error;
    int64_t before = dgnn_alloc_count();
    struct dgnn_session *session = make_session(models, n);
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
    int64_t blocks = dgnn_alloc_count() - before;
    CHECK(session->division[0].list.rebuilds == 1);
    dgnn_session_free(session);
    return blocks;
}

/* Two models on one session: what each has alone, less what a list and its atoms take. */
static void test_blocks(void)
{
    struct dgnn_model *pair[2] = {load("dpa3_base", DGNN_DTYPE_FLOAT64, 1),
                                  load("se_e2_a", DGNN_DTYPE_FLOAT64, 1)};
    int64_t first = count_blocks(&pair[0], 1), second = count_blocks(&pair[1], 1),
            both = count_blocks(pair, 2);
    CHECK(both > 2 && both <= first + second - 10);
    if (both > first + second - 10) {
        fprintf(stderr, "    %lld blocks, alone %lld and %lld\n", (long long)both, (long long)first,
                (long long)second);
    }
    free_all(pair, 2);
}

/* Atoms' virials for one of the models, or for none: each model's numbers are what they are alone, where the
 * messages of some carry moments for another's sake, too. */
static void test_some_virials(const struct committee *c)
{
    static struct answer all[MODELS_MAX], alone;
    struct dgnn_model *model[MODELS_MAX];
    int32_t n = load_all(c, model);
    struct dgnn_session *session = make_session(model, n);
    struct dgnn_error error;
    for (int32_t asked = 0; asked <= n; asked++) {
        struct dgnn_system system = make_call(asked % NSTEP, types);
        struct dgnn_result results[MODELS_MAX];
        for (int32_t k = 0; k < n; k++) {
            results[k] = make_result(&all[k]);
            results[k].atom_virial = k == asked ? all[k].atom_virial : NULL;
        }
        CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
        for (int32_t k = 0; k < n; k++) {
            struct dgnn_result own = make_result(&alone);
            own.atom_virial = k == asked ? alone.atom_virial : NULL;
            CHECK_STATUS(dgnn_model_compute(model[k], &system, NULL, &own, &error), DGNN_OK, "");
            take_totals(&own, &alone);
            take_totals(&results[k], &all[k]);
            CHECK(same(&all[k], &alone) && (alone.atom_virial[0] != 0) == (k == asked));
        }
    }
    dgnn_session_free(session);
    free_all(model, n);
}

/* How many of the models a call evaluates: bits of those are what they are alone, the others' results stay as
 * they are, and the list goes on. */
static void test_some_models(const struct committee *c)
{
    enum { ROUNDS_OF_SOME = 5 };
    static const int32_t wanted[ROUNDS_OF_SOME] = {1, 0, 1, 2, 0};
    static struct answer all[MODELS_MAX], alone;
    struct dgnn_model *model[MODELS_MAX];
    int32_t n = load_all(c, model);
    struct dgnn_session *session = make_session(model, n);
    struct dgnn_error error;
    for (int round = 0; round < ROUNDS_OF_SOME; round++) {
        struct dgnn_system system = make_call(round < 2 ? round : 1, types);
        struct dgnn_result results[MODELS_MAX];
        int32_t count = wanted[round] ? wanted[round] : n;
        for (int32_t k = 0; k < n; k++) {
            results[k] = make_result(&all[k]);
            results[k].energy = NAN;
        }
        system.nmodel = wanted[round];
        CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
        CHECK(round == 0 || session->division[0].list.reused);
        system.nmodel = 0;
        for (int32_t k = 0; k < n; k++) {
            struct dgnn_result own = make_result(&alone);
            CHECK_STATUS(dgnn_model_compute(model[k], &system, NULL, &own, &error), DGNN_OK, "");
            take_totals(&own, &alone);
            CHECK(isnan(results[k].energy) == (k >= count));
            take_totals(&results[k], &all[k]);
            CHECK(k >= count ? all[k].forces[0] == 0 : same(&all[k], &alone));
        }
    }
    struct dgnn_system system = make_call(0, types);
    struct dgnn_result results[MODELS_MAX];
    for (int32_t k = 0; k < n; k++) {
        results[k] = make_result(&all[k]);
    }
    for (int32_t k = 0; k < 2; k++) {
        system.nmodel = k ? n + 1 : -1;
        CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_ERROR_INPUT,
                     "nmodel: found");
    }
    dgnn_session_free(session);
    free_all(model, n);
}

/* ---------------------------------------------------------------- ranks */

struct ranks_case {
    struct dgnn_model *model[NRANK][MODELS_MAX]; /* of each rank */
    int32_t n;
    int32_t ngroup[NRANK];
    struct dgnn_comm_count count[NRANK];
    int64_t positions[NRANK]; /* messages with positions, of one set for each group */
    int32_t status[NRANK], wrong[NRANK];
    char message[NRANK][DGNN_MESSAGE_LENGTH];
};

/* Ranks that get rows of this one: one message with positions to each, for each group of models. */
static int64_t call_neighbours(const struct dgnn_session *session, int32_t me)
{
    int64_t n = 0;
    for (int32_t d = session->ndivision > 1; d < session->ndivision; d++) {
        const struct dgnn_plan *plan = session->division[d].domain.plan;
        for (int32_t k = 0; k < plan->nneighbour; k++) {
            n += plan->rank[k] != me && plan->send_first[k + 1] > plan->send_first[k];
        }
    }
    return n;
}

/* The share of a rank: of atoms that it passed. */
static int ranks_make(int32_t rank, double own[NSTEP][3 * NATOMS], int32_t *own_types)
{
    int n = 0;
    for (int i = rank; i < NATOMS; i += NRANK, n++) {
        own_types[n] = types[i];
        for (int s = 0; s < NSTEP; s++) {
            memcpy(own[s] + 3 * n, coords[s] + 3 * i, 3 * sizeof(double));
        }
    }
    return n;
}

/* A session of all models, and one of each: the bits are those that each gives alone, whatever the others
 * are; those that cut space alike share list, bricks and positions. */
static void ranks_body(struct ranks_rank *rank)
{
    static _Thread_local struct answer all[MODELS_MAX], alone;
    struct ranks_case *c = rank->data;
    int32_t r = rank->rank, own_types[NATOMS];
    double own[NSTEP][3 * NATOMS];
    struct dgnn_error error = {0};
    struct dgnn_session *session = NULL, *one[MODELS_MAX] = {NULL};
    int64_t n = ranks_make(r, own, own_types);
    int status = dgnn_session_create(c->model[r], c->n, NULL, &session, &error);
    for (int32_t k = 0; k < c->n && !status; k++) {
        status = dgnn_session_create(&c->model[r][k], 1, NULL, &one[k], &error);
    }
    for (int s = 0; s < NSTEP && !status; s++) {
        struct dgnn_system system = make_call(s, own_types);
        struct dgnn_result results[MODELS_MAX];
        system.natoms = n;
        system.coords = own[s];
        for (int32_t k = 0; k < c->n; k++) {
            results[k] = make_result(&all[k]);
        }
        dgnn_comm_counts(rank->comm, &(struct dgnn_comm_count){0}, 1);
        status = dgnn_session_compute(session, &system, rank->comm, results, &error);
        dgnn_comm_counts(rank->comm, &c->count[r], 1);
        c->positions[r] = status ? -1 : call_neighbours(session, r);
        c->ngroup[r] = session->ndivision > 1 ? session->ndivision - 1 : 1;
        for (int32_t k = 0; k < c->n && !status; k++) {
            struct dgnn_result own_result = make_result(&alone);
            status = dgnn_session_compute(one[k], &system, rank->comm, &own_result, &error);
            take_totals(&results[k], &all[k]);
            take_totals(&own_result, &alone);
            c->wrong[r] += !status && memcmp(&all[k], &alone, sizeof(alone)) != 0;
            c->wrong[r] += !status && (s == 1) != results[k].list_reused;
        }
    }
    c->status[r] = status;
    snprintf(c->message[r], sizeof(c->message[r]), "%s", error.message);
    dgnn_session_free(session);
    for (int32_t k = 0; k < c->n; k++) {
        dgnn_session_free(one[k]);
    }
}

static void test_ranks(const struct committee *committee)
{
    static struct ranks_case c;
    memset(&c, 0, sizeof(c));
    for (int32_t r = 0; r < NRANK; r++) {
        c.n = load_all(committee, c.model[r]);
    }
    ranks_run(NRANK, 60, ranks_body, &c);
    for (int32_t r = 0; r < NRANK; r++) {
        CHECK(c.ngroup[r] == committee->ngroup);
        CHECK(!c.status[r] && !c.wrong[r]);
        CHECK(c.positions[r] > 0);
        CHECK(c.count[r].position_messages == c.positions[r]); /* once, for all models of a group */
        if (c.status[r] || c.wrong[r]) {
            fprintf(stderr, "    rank %d of %s: %d wrong; %s\n", r, committee->member[0].name, c.wrong[r],
                    c.message[r]);
        }
        free_all(c.model[r], c.n);
    }
}

/* Rank 1 asks for one model less: all are told, and the next call goes well. */
static void some_models_body(struct ranks_rank *rank)
{
    static _Thread_local struct answer all[MODELS_MAX];
    struct ranks_case *c = rank->data;
    int32_t r = rank->rank;
    struct dgnn_error error = {0};
    struct dgnn_session *session = make_session(c->model[r], c->n);
    struct dgnn_system system = make_call(0, types);
    struct dgnn_result results[MODELS_MAX];
    for (int32_t k = 0; k < c->n; k++) {
        results[k] = make_result(&all[k]);
    }
    system.natoms = r == 0 ? NATOMS : 0;
    system.nmodel = r == 1 ? 1 : 2;
    c->wrong[r] = dgnn_session_compute(session, &system, rank->comm, results, &error) != DGNN_ERROR_INPUT ||
                  !strstr(error.message, "nmodel: rank 1 has another than rank 0");
    system.nmodel = 1;
    c->status[r] = dgnn_session_compute(session, &system, rank->comm, results, &error);
    dgnn_session_free(session);
}

static void test_some_models_on_ranks(const struct committee *committee)
{
    static struct ranks_case c;
    memset(&c, 0, sizeof(c));
    for (int32_t r = 0; r < NRANK; r++) {
        c.n = load_all(committee, c.model[r]);
    }
    ranks_run(NRANK, 60, some_models_body, &c);
    for (int32_t r = 0; r < NRANK; r++) {
        CHECK(!c.status[r] && !c.wrong[r]);
        free_all(c.model[r], c.n);
    }
}

/* ---------------------------------------------------------------- types by name */

static void test_type_maps(void)
{
    static struct answer mapped, plain;
    static const char *const names[] = {"H", "Xx", "O"}; /* the model: O, H */
    const struct dgnn_session_options options = {.size = sizeof(options), .type_map = names, .ntypes = 3};
    struct dgnn_model *model = load("dpa3_base", DGNN_DTYPE_FLOAT64, 1);
    struct dgnn_session *session = NULL;
    struct dgnn_error error;
    int32_t other[NATOMS];
    CHECK_STATUS(dgnn_session_create(&model, 1, &options, &session, &error), DGNN_OK, "");
    for (int i = 0; i < NATOMS; i++) {
        other[i] = types[i] == 0 ? 2 : 0;
    }
    struct dgnn_system system = make_call(0, other), same_system = make_call(0, types);
    struct dgnn_result a = make_result(&mapped), b = make_result(&plain);
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, &a, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute(model, &same_system, NULL, &b, &error), DGNN_OK, "");
    take_totals(&a, &mapped);
    take_totals(&b, &plain);
    CHECK(same(&mapped, &plain));
    other[5] = 1;
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, &a, &error), DGNN_ERROR_INPUT,
                 "types: atom 5 has type 1, which a model of this session does not have");
    other[5] = 3;
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, &a, &error), DGNN_ERROR_INPUT,
                 "an index below 3");
    dgnn_session_free(session);
    dgnn_model_free(model);
}

/* ---------------------------------------------------------------- refusals */

static void test_refusals(void)
{
    static const char *const twice[] = {"O", "O"}, *const missing[] = {"O", NULL};
    struct dgnn_session_options options = {.size = sizeof(options), .type_map = twice, .ntypes = 2};
    struct dgnn_model *pair[2] = {load("dpa3_base", DGNN_DTYPE_FLOAT64, 1), NULL};
    struct dgnn_session *session = NULL;
    struct dgnn_error error;
    int64_t live;
    CHECK_STATUS(dgnn_session_create(NULL, 1, NULL, &session, &error), DGNN_ERROR_INPUT,
                 "expected 1 to 1024");
    CHECK_STATUS(dgnn_session_create(pair, 0, NULL, &session, &error), DGNN_ERROR_INPUT, "0 models");
    CHECK_STATUS(dgnn_session_create(pair, 1, NULL, NULL, &error), DGNN_ERROR_INPUT, "NULL");
    CHECK_STATUS(dgnn_session_create(pair, 2, NULL, &session, &error), DGNN_ERROR_INPUT, "models[1] is NULL");
    live = dgnn_alloc_live();
    CHECK_STATUS(dgnn_session_create(pair, 1, &options, &session, &error), DGNN_ERROR_INPUT,
                 "type_map has 'O' twice");
    options.type_map = missing;
    CHECK_STATUS(dgnn_session_create(pair, 1, &options, &session, &error), DGNN_ERROR_INPUT,
                 "type_map[1] is NULL");
    options.ntypes = 0;
    CHECK_STATUS(dgnn_session_create(pair, 1, &options, &session, &error), DGNN_ERROR_INPUT,
                 "a type_map of 0 names");
    options.size = 0;
    CHECK_STATUS(dgnn_session_create(pair, 1, &options, &session, &error), DGNN_ERROR_INPUT,
                 "options: its size is 0");
    pair[1] = load("spin_dpa3", DGNN_DTYPE_FLOAT64, 1);
    live = dgnn_alloc_live();
    CHECK_STATUS(dgnn_session_create(pair, 2, NULL, &session, &error), DGNN_ERROR_UNSUPPORTED,
                 "model 1 and the first are not both of those whose spins are virtual atoms");
    CHECK(dgnn_alloc_live() == live && !session);
    dgnn_model_free(pair[1]);
    session = make_session((struct dgnn_model *[]){pair[0], pair[0]}, 2);
    struct dgnn_system system = make_call(0, types);
    static struct answer answers[2];
    struct dgnn_result results[2] = {make_result(&answers[0]), make_result(&answers[1])};
    results[1].size = 8;
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_ERROR_INPUT,
                 "size of result 1 is 8");
    CHECK_STATUS(dgnn_session_compute(NULL, &system, NULL, results, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK_STATUS(dgnn_session_compute(session, NULL, NULL, results, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    atomic_store(&session->busy, 1);
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_ERROR_BUSY,
                 "another thread");
    CHECK_STATUS(dgnn_session_compute_ghosted(session,
                                              &(struct dgnn_ghosted){.size = sizeof(struct dgnn_ghosted)},
                                              NULL, results, &error),
                 DGNN_ERROR_BUSY, "another thread");
    atomic_store(&session->busy, 0);
    results[1].size = sizeof(results[1]);
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, results, &error), DGNN_OK, "");
    dgnn_session_free(session);
    dgnn_session_free(NULL);
    dgnn_model_free(pair[0]);
}

/* Each allocation of making a session and of its first call fails once. */
static void test_memory(void)
{
    static struct answer answers[2];
    struct dgnn_model *pair[2] = {load("dpa3_base", DGNN_DTYPE_FLOAT64, 1),
                                  load("se_e2_a", DGNN_DTYPE_FLOAT32, 1)};
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live(), nth = 0;
    int status;
    do {
        struct dgnn_session *session = NULL;
        struct dgnn_system system = make_call(0, types);
        struct dgnn_result results[2] = {make_result(&answers[0]), make_result(&answers[1])};
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_session_create(pair, 2, NULL, &session, &error);
        status = status ? status : dgnn_session_compute(session, &system, NULL, results, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && strstr(error.message, "memory")));
        dgnn_session_free(session);
        CHECK(dgnn_alloc_live() == live);
    } while (status && nth < 1000);
    CHECK(nth > 20 && nth < 1000);
    free_all(pair, 2);
}

/* ---------------------------------------------------------------- threads */

enum { THREADS = 64, ROUNDS = 4 };

struct thread_case {
    struct dgnn_model *model;
    struct answer expected[NSTEP];
    pthread_barrier_t start;
    atomic_int good;
};

static void *thread_body(void *of)
{
    struct thread_case *c = of;
    struct answer answer;
    struct dgnn_error error;
    pthread_barrier_wait(&c->start);
    for (int k = 0; k < ROUNDS; k++) {
        int step = k % NSTEP;
        struct dgnn_system system = make_call(step, types);
        struct dgnn_result result = make_result(&answer);
        int status = dgnn_model_compute(c->model, &system, NULL, &result, &error);
        take_totals(&result, &answer);
        atomic_fetch_add(&c->good, !status && !memcmp(&answer, &c->expected[step], sizeof(answer)));
    }
    return NULL;
}

/* 64 threads on one model, and worker threads that are no more than the process's. */
static void test_threads(int32_t threads)
{
    static struct thread_case c;
    pthread_t thread[THREADS];
    struct dgnn_error error;
    struct rusage usage;
    c.model = load("dpa3_base", DGNN_DTYPE_FLOAT64, threads);
    atomic_init(&c.good, 0);
    for (int s = 0; s < NSTEP; s++) {
        struct dgnn_system system = make_call(s, types);
        struct dgnn_result result = make_result(&c.expected[s]);
        CHECK_STATUS(dgnn_model_compute(c.model, &system, NULL, &result, &error), DGNN_OK, "");
        take_totals(&result, &c.expected[s]);
    }
    pthread_barrier_init(&c.start, NULL, THREADS);
    for (int k = 0; k < THREADS; k++) {
        CHECK(!pthread_create(&thread[k], NULL, thread_body, &c));
    }
    for (int k = 0; k < THREADS; k++) {
        pthread_join(thread[k], NULL);
    }
    pthread_barrier_destroy(&c.start);
    CHECK(atomic_load(&c.good) == THREADS * ROUNDS);
    int cores = dgnn_cpu_cores();
    CHECK(dgnn_parallel_workers() < (threads > cores ? threads : cores));
    CHECK(dgnn_pool_count(c.model->pool) <= (cores < 2 ? 2 : cores));
    getrusage(RUSAGE_SELF, &usage);
    CHECK(usage.ru_maxrss < 2 * 1024 * 1024);
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 200000000}, NULL);
    struct answer answer;
    struct dgnn_system system = make_call(0, types);
    struct dgnn_result result = make_result(&answer);
    CHECK_STATUS(dgnn_model_compute(c.model, &system, NULL, &result, &error), DGNN_OK, "");
    CHECK(dgnn_pool_count(c.model->pool) <= 2); /* the one that stays, and perhaps this call's */
    dgnn_model_free(c.model);
}

/* A host's rows without ghosts, in one thread and in another. */
static int ghosted(struct dgnn_model *model, int step, int32_t same_list, struct dgnn_error *error)
{
    static double forces[3 * NATOMS];
    struct dgnn_ghosted g = {.size = sizeof(g),
                             .nlocal = NATOMS,
                             .nall = NATOMS,
                             .coords = coords[step],
                             .types = types,
                             .same_list = same_list};
    struct dgnn_result result = {.size = sizeof(result), .forces = forces};
    return dgnn_model_compute_ghosted(model, &g, NULL, &result, error);
}

struct other {
    struct dgnn_model *model;
    int status[3];
    struct dgnn_error error;
};

static void *other_thread(void *of)
{
    struct other *o = of;
    struct dgnn_error later;
    o->status[0] = ghosted(o->model, 0, 1, &o->error);
    o->status[1] = ghosted(o->model, 0, 0, &later);
    o->status[2] = ghosted(o->model, 1, 1, &later);
    return NULL;
}

/* same_list means this thread's last call with the model. */
static void test_same_list(void)
{
    struct dgnn_model *model = load("se_e2_a", DGNN_DTYPE_FLOAT64, 1);
    struct dgnn_error error;
    pthread_t thread;
    CHECK_STATUS(ghosted(model, 0, 1, &error), DGNN_ERROR_INPUT, "same_list: there is no earlier call");
    CHECK_STATUS(ghosted(model, 0, 0, &error), DGNN_OK, "");
    CHECK_STATUS(ghosted(model, 1, 1, &error), DGNN_OK, "");
    struct other other = {.model = model};
    CHECK(!pthread_create(&thread, NULL, other_thread, &other));
    pthread_join(thread, NULL);
    CHECK(other.status[0] == DGNN_ERROR_INPUT &&
          strstr(other.error.message, "same_list: there is no earlier call"));
    CHECK(other.status[1] == DGNN_OK && other.status[2] == DGNN_OK);
    CHECK_STATUS(ghosted(model, 1, 1, &error), DGNN_ERROR_INPUT,
                 "not this thread's last call"); /* the other took it */
    CHECK_STATUS(ghosted(model, 0, 0, &error), DGNN_OK, "");
    struct answer answer;
    struct dgnn_system system = make_call(0, types);
    struct dgnn_result result = make_result(&answer);
    CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
    CHECK_STATUS(ghosted(model, 1, 1, &error), DGNN_ERROR_INPUT, "same_list: there is no earlier call");
    dgnn_model_free(model);
}

int main(void)
{
    make_system();
    for (size_t k = 0; k < sizeof(committees) / sizeof(committees[0]); k++) {
        test_serial(&committees[k]);
        test_some_virials(&committees[k]);
        test_ranks(&committees[k]);
        test_some_models(&committees[k]);
        test_some_models_on_ranks(&committees[k]);
    }
    test_blocks();
    test_type_maps();
    test_refusals();
    test_memory();
    test_threads(1);
    test_threads(2);
    test_same_list();
    return check_report();
}
