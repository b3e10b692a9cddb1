/* A rank that ends in the middle of a call, before each of its operations in turn: the others end with COMM by the
 * deadline, or had the right numbers by then. Ranks are threads; the wrapped transport ends the thread, as a kill ends
 * a process: what it held is freed afterwards by those who look at the remains. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"

#include "comm/transport.h"
#include "dgnn.h"

enum { MAX_RANK = 4, NATOM = 40 };
#define DEADLINE_S 0.15

static double coords[NATOM][3];
static int32_t types[NATOM];
static const double box[9] = {9, 0, 0, 0, 8, 0, 0, 0, 10};

struct killed_rank {
    int32_t rank, nrank;
    struct dgnn_model *model;
    struct dgnn_comm *comm;
    struct dgnn_transport inner;
    int64_t countdown; /* operations until the end; < 0: never */
    int64_t operations;
    int ended, status;
    struct dgnn_error error;
    double energy, forces[NATOM][3];
    pthread_t thread;
};

static void killed_step(struct killed_rank *r)
{
    r->operations++;
    if (r->countdown >= 0 && r->countdown-- == 0) {
        r->ended = 1;
        pthread_exit(NULL);
    }
}

static int killed_start(void *context, void *request, struct dgnn_error *error)
{
    struct killed_rank *r = context;
    killed_step(r);
    return r->inner.start(r->inner.context, request, error);
}

static int killed_wait(void *context, void **requests, int64_t n, double deadline_s, struct dgnn_error *error)
{
    struct killed_rank *r = context;
    killed_step(r);
    return r->inner.wait(r->inner.context, requests, n, deadline_s, error);
}

static int killed_allgather(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                            struct dgnn_error *error)
{
    struct killed_rank *r = context;
    killed_step(r);
    return r->inner.allgather(r->inner.context, in, nbytes, out, deadline_s, error);
}

static int killed_alltoallv(void *context, const void *send, const int64_t *send_count, const int64_t *send_place,
                            void *receive, const int64_t *receive_count, const int64_t *receive_place,
                            double deadline_s, struct dgnn_error *error)
{
    struct killed_rank *r = context;
    killed_step(r);
    return r->inner.alltoallv(r->inner.context, send, send_count, send_place, receive, receive_count, receive_place,
                              deadline_s, error);
}

static int killed_send(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag, void **request,
                       struct dgnn_error *error)
{
    struct killed_rank *r = context;
    return r->inner.send_create(r->inner.context, data, nbytes, to, tag, request, error);
}

static int killed_receive(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag, void **request,
                          struct dgnn_error *error)
{
    struct killed_rank *r = context;
    return r->inner.receive_create(r->inner.context, data, nbytes, from, tag, request, error);
}

static void killed_request_free(void *context, void *request)
{
    struct killed_rank *r = context;
    r->inner.request_free(r->inner.context, request);
}

static void killed_free(void *context)
{
    struct killed_rank *r = context;
    r->inner.free(r->inner.context);
}

static void killed_wrap(struct killed_rank *r)
{
    r->inner = r->comm->transport;
    struct dgnn_transport outer = r->inner;
    outer.context = r;
    outer.start = killed_start;
    outer.wait = killed_wait;
    outer.allgather = killed_allgather;
    outer.alltoallv = killed_alltoallv;
    outer.send_create = killed_send;
    outer.receive_create = killed_receive;
    outer.request_free = killed_request_free;
    outer.free = killed_free;
    r->comm->transport = outer;
}

static void *killed_body(void *argument)
{
    struct killed_rank *r = argument;
    struct dgnn_system system = {.size = sizeof(system), .natoms = NATOM, .coords = &coords[0][0], .types = types,
                                 .box = box, .pbc = {1, 1, 1}, .replicated = 1};
    struct dgnn_result result = {.size = sizeof(result), .forces = &r->forces[0][0]};
    r->status = dgnn_model_compute(r->model, &system, r->comm, &result, &r->error);
    r->energy = result.energy;
    return NULL;
}

/* All ranks once; the last one ends before its operation number at (< 0: not). Returns how many operations it had. */
static int64_t killed_run(const char *path, int32_t nrank, int64_t at, double energy)
{
    static struct killed_rank rank[MAX_RANK];
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_comm *comm[MAX_RANK];
    struct dgnn_error error;
    struct timespec begin, end;
    CHECK_STATUS(dgnn_comm_create_threads(nrank, DEADLINE_S, comm, &error), DGNN_OK, "");
    for (int32_t k = 0; k < nrank; k++) {
        rank[k] = (struct killed_rank){.rank = k, .nrank = nrank, .comm = comm[k], .countdown = k == nrank - 1 ? at : -1};
        CHECK_STATUS(dgnn_model_load(path, &options, &rank[k].model, &error), DGNN_OK, "");
        killed_wrap(&rank[k]);
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int32_t k = 0; k < nrank; k++) {
        pthread_create(&rank[k].thread, NULL, killed_body, &rank[k]);
    }
    for (int32_t k = 0; k < nrank; k++) {
        pthread_join(rank[k].thread, NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((double)(end.tv_sec - begin.tv_sec) < 20);
    for (int32_t k = 0; k < nrank; k++) {
        if (rank[k].ended) {
            continue;
        }
        CHECK(rank[k].status == DGNN_ERROR_COMM || rank[k].status == DGNN_OK);
        CHECK(rank[k].status ? rank[k].error.message[0] != 0
                             : fabs(rank[k].energy - energy) < 1e-11 * NATOM && isfinite(rank[k].forces[NATOM - 1][2]));
        CHECK(at >= 0 || rank[k].status == DGNN_OK);
    }
    int64_t operations = rank[nrank - 1].operations;
    for (int32_t k = 0; k < nrank; k++) {
        dgnn_model_free(rank[k].model);
        dgnn_comm_free(rank[k].comm);
    }
    return operations;
}

/* What an ended rank held on its stack goes with its process; survivors' blocks are freed with their models. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:killed_body\n";
}

static double killed_make_system(const char *path)
{
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_model *model;
    struct dgnn_error error;
    for (int i = 0; i < NATOM; i++) {
        types[i] = i % 3 == 0 ? 0 : 1;
        coords[i][0] = 2.2 * (i % 4) + 0.3 * sin(i);
        coords[i][1] = 2.0 * (i / 4 % 4) + 0.3 * cos(3 * i);
        coords[i][2] = 3.1 * (i / 16) + 0.3 * sin(7 * i);
    }
    struct dgnn_system system = {.size = sizeof(system), .natoms = NATOM, .coords = &coords[0][0], .types = types,
                                 .box = box, .pbc = {1, 1, 1}};
    struct dgnn_result result = {.size = sizeof(result)};
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
    dgnn_model_free(model);
    CHECK(fabs(result.energy) > 1e-3);
    return result.energy;
}

int main(void)
{
    static const char *const paths[] = {"tests/data/cases/dpa3_base/model.pt2", "tests/data/cases/dpa2_base/model.pt2"};
    for (int p = 0; p < 2; p++) {
        double energy = killed_make_system(paths[p]);
        for (int32_t nrank = 2; nrank <= 4; nrank += 2) {
            int64_t operations = killed_run(paths[p], nrank, -1, energy);
            CHECK(operations > 10);
            for (int64_t at = 0; at < operations; at += nrank - 1) {
                killed_run(paths[p], nrank, at, energy);
            }
            printf("%s: %d ranks, ended before one of %lld operations\n", paths[p], nrank, (long long)operations);
        }
    }
    return check_report();
}
