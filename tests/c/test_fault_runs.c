/* Some 300 runs in each of which one rank fails in the middle of a call, before one of its operations: it
 * ends, as a kill ends a process, pauses, hears of a failure from its message library, or has no memory for a
 * message. No run hangs, no rank gets wrong numbers, and the models that are left compute again in the next
 * run.
 *
 * Ranks are threads, and the wrapped transport does the harm. What an ended thread held is freed afterwards
 * by those who look at the remains. DGNN_TEST_FAULT_STEP: operations from one run's end to the next one's
 * (default 6). */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "brick.h"
#include "check.h"
#include "random.h"

#include "comm/transport.h"
#include "dgnn.h"

enum { MAX_RANK = 12, NATOM = 40, MAX_ROW = 1500, HANG_S = 60 };
#define SHORT_S 0.1  /* a deadline that is meant to pass */
#define LONG_S  30.0 /* and one that is not */
#define AMPLE_S (SHORT_S + 5.0)

static double coords[NATOM][3], spins[NATOM][3];
static int32_t types[NATOM];
static const double box[9] = {9, 0, 0, 0, 8, 0, 0, 0, 10};

enum fault_kind {
    FAULT_NONE,
    FAULT_END,     /* COMM on the others, or the right numbers, where they needed nothing more of it */
    FAULT_PAUSE,   /* shorter than the deadline: all right */
    FAULT_STOP,    /* longer: as FAULT_END, of the rank itself too */
    FAULT_LIBRARY, /* as FAULT_END; COMM on the rank itself */
    FAULT_MEMORY   /* of a message: MEMORY on all, and all right with the same communicator */
};

struct fault {
    enum fault_kind kind;
    int32_t victim;
    int64_t at; /* operations (or, MEMORY, messages made) before it */
};

struct fault_rank {
    int32_t rank;
    struct dgnn_model *model; /* stays from run to run, unless the rank ended */
    struct dgnn_comm *comm;
    struct fault fault; /* of this rank */
    int64_t operations, messages;
    int ended, status;
    struct dgnn_error error;
    int64_t nrow;
    double energy, forces[MAX_ROW][3];
    pthread_t thread;
};

/* Lives as long as its communicator, which a model's plan keeps beyond a run. */
struct fault_transport {
    struct fault_rank *rank;
    struct dgnn_transport inner;
};

/* A model and its ranks: compute on copies of one system, or compute_ghosted where there is a world of
 * bricks. */
struct fault_case {
    const char *path;
    int32_t nrank, has_spins;
    struct brick_world *world;
    double energy[MAX_RANK], forces[MAX_RANK][MAX_ROW][3]; /* the right ones */
    struct fault_rank rank[MAX_RANK];
    int64_t runs, ranks_told; /* told: got COMM */
};

/* ------------------------------------------------------------------ the harm */

static void fault_sleep(double seconds)
{
    const struct timespec nap = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&nap, NULL);
}

static int fault_step(struct fault_rank *r, struct dgnn_error *error)
{
    if (r->operations++ != r->fault.at || r->fault.kind == FAULT_MEMORY) {
        return DGNN_OK;
    }
    switch (r->fault.kind) {
    case FAULT_END:
        r->ended = 1;
        pthread_exit(NULL);
    case FAULT_PAUSE:
        fault_sleep(0.05);
        return DGNN_OK;
    case FAULT_STOP:
        fault_sleep(3 * SHORT_S);
        return DGNN_OK;
    case FAULT_LIBRARY:
        return dgnn_status_set(error, DGNN_ERROR_COMM, "rank %d: the cable is cut", r->rank);
    default:
        return DGNN_OK;
    }
}

static int fault_message(struct fault_rank *r, struct dgnn_error *error)
{
    return r->fault.kind == FAULT_MEMORY && r->messages++ == r->fault.at
               ? dgnn_status_no_memory(error, "a message", 8)
               : DGNN_OK;
}

static int fault_start(void *context, void *request, struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_step(t->rank, error));
    return t->inner.start(t->inner.context, request, error);
}

static int fault_wait(void *context, void **requests, int64_t n, double deadline_s, struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_step(t->rank, error));
    return t->inner.wait(t->inner.context, requests, n, deadline_s, error);
}

static int fault_allgather(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                           struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_step(t->rank, error));
    return t->inner.allgather(t->inner.context, in, nbytes, out, deadline_s, error);
}

static int fault_allreduce(void *context, int64_t *values, int64_t nvalue, int32_t reduction,
                           double deadline_s, struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_step(t->rank, error));
    return t->inner.allreduce(t->inner.context, values, nvalue, reduction, deadline_s, error);
}

static int fault_alltoallv(void *context, const void *send, const int64_t *send_count,
                           const int64_t *send_place, void *receive, const int64_t *receive_count,
                           const int64_t *receive_place, double deadline_s, struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_step(t->rank, error));
    return t->inner.alltoallv(t->inner.context, send, send_count, send_place, receive, receive_count,
                              receive_place, deadline_s, error);
}

static int fault_send(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,
                      void **request, struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_message(t->rank, error));
    return t->inner.send_create(t->inner.context, data, nbytes, to, tag, request, error);
}

static int fault_receive(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag, void **request,
                         struct dgnn_error *error)
{
    struct fault_transport *t = context;
    DGNN_TRY(fault_message(t->rank, error));
    return t->inner.receive_create(t->inner.context, data, nbytes, from, tag, request, error);
}

static void fault_request_free(void *context, void *request)
{
    struct fault_transport *t = context;
    t->inner.request_free(t->inner.context, request);
}

static void fault_free(void *context)
{
    struct fault_transport *t = context;
    t->inner.free(t->inner.context);
    free(t);
}

static void fault_wrap(struct fault_rank *r)
{
    struct fault_transport *t = malloc(sizeof(*t));
    struct dgnn_transport outer = r->comm->transport;
    *t = (struct fault_transport){r, outer};
    outer.context = t;
    outer.start = fault_start;
    outer.wait = fault_wait;
    outer.allgather = fault_allgather;
    outer.allreduce = fault_allreduce;
    outer.alltoallv = fault_alltoallv;
    outer.send_create = fault_send;
    outer.receive_create = fault_receive;
    outer.request_free = fault_request_free;
    outer.free = fault_free;
    r->comm->transport = outer;
}

/* ------------------------------------------------------------------ a run */

static struct dgnn_model *fault_load(const char *path)
{
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_model *model = NULL;
    struct dgnn_error error;
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    return model;
}

static int fault_compute(struct fault_rank *r, int has_spins)
{
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOM,
                                 .coords = &coords[0][0],
                                 .types = types,
                                 .spins = has_spins ? &spins[0][0] : NULL,
                                 .box = box,
                                 .pbc = {1, 1, 1},
                                 .replicated = r->comm != NULL};
    struct dgnn_result result = {.size = sizeof(result), .forces = &r->forces[0][0]};
    r->nrow = NATOM;
    r->status = dgnn_model_compute(r->model, &system, r->comm, &result, &r->error);
    r->energy = result.energy;
    return r->status;
}

static int fault_compute_ghosted(struct fault_rank *r, const struct brick_rank *b)
{
    int32_t row_types[MAX_ROW];
    for (int64_t i = 0; i < b->nnode; i++) {
        row_types[i] = types[b->id[i]];
    }
    struct dgnn_ghosted system = {.size = sizeof(system),
                                  .nlocal = b->nowned,
                                  .nall = b->nnode,
                                  .coords = &b->x[0][0],
                                  .types = row_types,
                                  .border = &b->border,
                                  .add_ghost_forces = 1};
    struct dgnn_result result = {.size = sizeof(result), .forces = &r->forces[0][0]};
    r->nrow = b->nnode;
    r->status = dgnn_model_compute_ghosted(r->model, &system, r->comm, &result, &r->error);
    r->energy = result.energy;
    return r->status;
}

static struct fault_case *current;

static void *fault_body(void *argument)
{
    struct fault_rank *r = argument;
    if (current->world) {
        fault_compute_ghosted(r, &current->world->rank[r->rank]);
    } else {
        fault_compute(r, current->has_spins);
    }
    return NULL;
}

/* All ranks call compute. Seconds until the last one is back. */
static double fault_call(struct fault_case *c)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    alarm(HANG_S); /* ends the test */
    for (int32_t k = 0; k < c->nrank; k++) {
        pthread_create(&c->rank[k].thread, NULL, fault_body, &c->rank[k]);
    }
    for (int32_t k = 0; k < c->nrank; k++) {
        pthread_join(c->rank[k].thread, NULL);
    }
    alarm(0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}

static int fault_right(const struct fault_case *c, const struct fault_rank *r)
{
    int right = r->status == DGNN_OK && fabs(r->energy - c->energy[r->rank]) < 1e-11 * NATOM;
    for (int64_t i = 0; i < r->nrow; i++) {
        for (int k = 0; k < 3; k++) {
            right = right && fabs(r->forces[i][k] - c->forces[r->rank][i][k]) < 1e-10;
        }
    }
    return right;
}

static void fault_check(struct fault_case *c, const struct fault *f, const struct fault_rank *r)
{
    int is_comm = r->status == DGNN_ERROR_COMM && strstr(r->error.message, "rank ") != NULL;
    c->ranks_told += is_comm;
    switch (f->kind) {
    case FAULT_NONE:
        CHECK(r->status == DGNN_OK && (c->runs == 0 || fault_right(c, r)));
        break;
    case FAULT_PAUSE:
        CHECK(fault_right(c, r));
        break;
    case FAULT_END:
    case FAULT_STOP:
        CHECK(is_comm || fault_right(c, r));
        break;
    case FAULT_LIBRARY:
        CHECK(is_comm || (r->rank != f->victim && fault_right(c, r)));
        break;
    case FAULT_MEMORY:
        CHECK(r->status == DGNN_ERROR_MEMORY && !strcmp(r->error.message, c->rank[0].error.message));
        break;
    }
}

static void fault_run(struct fault_case *c, struct fault fault)
{
    int harmless = fault.kind == FAULT_NONE || fault.kind == FAULT_PAUSE || fault.kind == FAULT_MEMORY;
    struct dgnn_comm *comm[MAX_RANK];
    struct dgnn_error error;
    CHECK_STATUS(dgnn_comm_create_threads(c->nrank, harmless ? LONG_S : SHORT_S, comm, &error), DGNN_OK, "");
    for (int32_t k = 0; k < c->nrank; k++) {
        struct dgnn_model *model = c->rank[k].model ? c->rank[k].model : fault_load(c->path);
        c->rank[k] = (struct fault_rank){.rank = k, .model = model, .comm = comm[k]};
        c->rank[k].fault = k == fault.victim ? fault : (struct fault){.at = -1};
        fault_wrap(&c->rank[k]);
    }
    CHECK(fault_call(c) < AMPLE_S);
    for (int32_t k = 0; k < c->nrank; k++) {
        if (!c->rank[k].ended) {
            fault_check(c, &fault, &c->rank[k]);
        }
    }
    if (fault.kind == FAULT_MEMORY) {
        CHECK(fault_call(c) < AMPLE_S);
        for (int32_t k = 0; k < c->nrank; k++) {
            CHECK(fault_right(c, &c->rank[k]));
        }
    }
    for (int32_t k = 0; k < c->nrank; k++) {
        if (c->rank[k].ended) {
            dgnn_model_free(c->rank[k].model);
            c->rank[k].model = NULL;
        }
        dgnn_comm_free(c->rank[k].comm);
    }
    c->runs++;
}

/* What an ended rank held on its stack goes with its process; survivors' blocks are freed with their models.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:fault_body\n";
}

/* ------------------------------------------------------------------ all runs */

static void fault_make_system(void)
{
    for (int i = 0; i < NATOM; i++) {
        types[i] = i % 3 == 0 ? 0 : 1;
        coords[i][0] = 2.2 * (i % 4) + 0.3 * sin(i);
        coords[i][1] = 2.0 * (i / 4 % 4) + 0.3 * cos(3 * i);
        coords[i][2] = 3.1 * (i / 16) + 0.3 * sin(7 * i);
        for (int k = 0; k < 3; k++) {
            coords[i][k] -= floor(coords[i][k] / box[4 * k]) * box[4 * k];
            spins[i][k] = 0.5 * cos(i + k);
        }
    }
}

/* What each rank must get: of one rank without a communicator; of bricks, their shares, which add up to it.
 */
static void fault_case_reference(struct fault_case *c)
{
    static struct fault_rank serial;
    double total = 0, forces[NATOM][3] = {{0}};
    serial = (struct fault_rank){.model = fault_load(c->path)};
    CHECK(fault_compute(&serial, c->has_spins) == DGNN_OK && fabs(serial.energy) > 1e-3);
    dgnn_model_free(serial.model);
    for (int32_t k = 0; k < c->nrank; k++) {
        c->energy[k] = serial.energy;
        memcpy(c->forces[k], serial.forces, sizeof(forces));
    }
    for (int32_t k = 0; c->world && k < c->nrank; k++) {
        const struct brick_rank *b = &c->world->rank[k];
        total += c->rank[k].energy;
        c->energy[k] = c->rank[k].energy;
        memcpy(c->forces[k], c->rank[k].forces, sizeof(c->forces[k]));
        for (int64_t i = 0; i < b->nowned; i++) {
            memcpy(forces[b->id[i]], c->rank[k].forces[i], sizeof(forces[0]));
        }
    }
    for (int i = 0; c->world && i < NATOM; i++) {
        for (int k = 0; k < 3; k++) {
            CHECK_NEAR(forces[i][k], serial.forces[i][k], 1e-10);
        }
    }
    CHECK(!c->world || fabs(total - serial.energy) < 1e-11 * NATOM);
}

/* Each kind at operations all over the call, with the victim drawn anew. grid: of bricks, or 0. Returns the
 * number of runs with a fault. */
static int64_t fault_case_run(const char *path, int32_t nrank, const struct brick_grid *grid, int64_t step)
{
    static struct fault_case c;
    uint64_t seed = random_hash((uint64_t)nrank);
    c = (struct fault_case){.path = path, .nrank = nrank, .has_spins = strstr(path, "spin") != NULL};
    current = &c;
    if (grid) {
        c.world = brick_create(grid, NATOM, (const double (*)[3])coords);
        for (int32_t k = 0; k < nrank; k++) {
            CHECK(c.world->rank[k].nnode <= MAX_ROW);
        }
    }
    fault_run(&c, (struct fault){.kind = FAULT_NONE});
    fault_case_reference(&c);
    fault_run(&c, (struct fault){.kind = FAULT_NONE, .at = -1});
    int64_t operations = c.rank[0].operations;
    CHECK(operations > 10);
    for (enum fault_kind kind = FAULT_END; kind <= FAULT_MEMORY; kind++) {
        int64_t every = kind == FAULT_END ? step : 3 * step, count = kind == FAULT_MEMORY ? 8 : operations;
        for (int64_t at = (int64_t)random_below(&seed, every); at < count; at += every) {
            fault_run(&c, (struct fault){kind, (int32_t)random_below(&seed, nrank), at});
        }
    }
    for (int32_t k = 0; k < nrank; k++) {
        dgnn_model_free(c.rank[k].model);
    }
    if (grid) {
        brick_free(c.world);
    }
    printf("%s%s: %d ranks, %lld operations, %lld runs, %lld times COMM\n", path,
           grid ? " with a border" : "", nrank, (long long)operations, (long long)c.runs,
           (long long)c.ranks_told);
    CHECK(c.ranks_told > c.runs / 2); /* most faults are felt */
    return c.runs - 2;
}

int main(void)
{
    static const char *const paths[] = {"tests/data/cases/dpa3_base/model.pt2",
                                        "tests/data/cases/dpa2_base/model.pt2",
                                        "tests/data/cases/spin_dpa3/model.pt2"};
    const char *given = getenv("DGNN_TEST_FAULT_STEP");
    int64_t runs = 0, step = given ? atoll(given) : 6;
    fault_make_system();
    for (int p = 0; p < 3; p++) {
        for (int32_t nrank = 2; nrank <= 8; nrank = nrank < 4 ? nrank + 1 : 2 * nrank) {
            runs += fault_case_run(paths[p], nrank, NULL, step);
        }
    }
    runs += fault_case_run(paths[0], MAX_RANK, NULL, 2 * step); /* numbers go by way of other ranks */
    for (int32_t wide = 1; wide <= 2; wide++) {
        const struct brick_grid grid = {{2, wide, 1}, {box[0], box[4], box[8]}, {1, 1, 1}, 5.5};
        runs += fault_case_run(paths[0], 2 * wide, &grid, 2 * step);
    }
    printf("%lld runs with a fault, none hangs\n", (long long)runs);
    CHECK(runs >= 200);
    return check_report();
}
