/* Checks of a transport and of the exchange on it, as a library that a script loads under mpirun. Each
 * function is collective and returns how many checks failed on this rank; failures go to stderr. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "comm/check.h"
#include "exchange_case.h"
#include "random.h"
#include "ranks.h"

static struct dgnn_error error;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ------------------------------------------------------------------ the exchange */

struct twin {
    const struct exchange_case *c;
    enum exchange_case_kind kind;
    struct exchange_case_outcome outcome[64];
};

static void twin_body(struct ranks_rank *rank)
{
    struct twin *twin = rank->data;
    struct exchange_case c = *twin->c;
    c.rank = rank->rank;
    exchange_case_run(&c, twin->kind, rank->comm, &twin->outcome[rank->rank]);
}

/* The same world on threads: what this MPI rank got must have the same bits. */
static uint64_t twin_digest(const struct exchange_case *c, enum exchange_case_kind kind)
{
    static struct twin twin;
    twin.c = c;
    twin.kind = kind;
    ranks_run(c->world->nrank, 60, twin_body, &twin);
    return twin.outcome[c->rank].digest;
}

static struct brick_world *plans_world(int32_t nrank, uint64_t seed)
{
    const double x[6][3] = {{0.1, 1, 2},   {3, 0.4, 1},     {2, 2, 2},
                            {1.7, 3, 0.3}, {2.9, 2.8, 2.7}, {3.3, 1.1, 3.2}};
    const struct brick_grid grid = {{nrank, 1, 1}, {3.5, 3.5, 3.5}, {1, (int32_t)(seed % 2), 1}, 1.5};
    return seed % 4 ? brick_create_random(nrank, (int32_t)(seed % 11), seed) : brick_create(&grid, 6, x);
}

static void check_plans(struct dgnn_comm *comm, int64_t nplan)
{
    static const int64_t widths[] = {1, 3, 64, 127, 256, 1000};
    for (int64_t i = 0; i < nplan; i++) {
        struct brick_world *world = plans_world(dgnn_transport_nrank(comm), (uint64_t)i);
        struct exchange_case c = {
            world, dgnn_transport_rank(comm), {widths[i % 6], i % 3 ? 8 : 4}, (uint64_t)i};
        for (int kind = 0; kind < 2; kind++) {
            struct exchange_case_outcome o;
            exchange_case_run(&c, kind, comm, &o);
            if (o.status) {
                fprintf(stderr, "plan %lld: %s\n", (long long)i, o.error.message);
            }
            CHECK(o.status == DGNN_OK);
            CHECK(o.wrong_forward == 0 && o.wrong_reverse == 0 && o.unequal == 0);
            CHECK(o.adjoint <= (c.shape.item_size == 8 ? 1e-14 : 1e-6));
            CHECK(i % 8 || o.digest == twin_digest(&c, kind));
        }
        brick_free(world);
    }
}

/* ------------------------------------------------------------------ collectives, of 1, 2 or 4 ranks */

static void check_collectives(struct dgnn_comm *comm)
{
    int32_t me = dgnn_transport_rank(comm);
    int32_t n = dgnn_transport_nrank(comm);
    double values[70], expected[70];
    for (int k = 0; k < 70; k++) {
        double part[4];
        for (int32_t r = 0; r < n && r < 4; r++) {
            part[r] = 1.0 / (3 + r * 70 + k);
        }
        values[k] = part[me];
        expected[k] = n == 1   ? part[0]
                      : n == 2 ? part[0] + part[1]
                               : (part[0] + part[1]) + (part[2] + part[3]);
    }
    CHECK_STATUS(dgnn_transport_sum(comm, values, 70, &error), DGNN_OK, "");
    CHECK(memcmp(values, expected, sizeof(values)) == 0);

    int64_t most[3] = {me, -me, 7}, least[3] = {me, -me, 7}, sums[300];
    CHECK_STATUS(dgnn_transport_reduce(comm, most, 3, DGNN_REDUCE_MAX, &error), DGNN_OK, "");
    CHECK(most[0] == n - 1 && most[1] == 0 && most[2] == 7);
    CHECK_STATUS(dgnn_transport_reduce(comm, least, 3, DGNN_REDUCE_MIN, &error), DGNN_OK, "");
    CHECK(least[0] == 0 && least[1] == 1 - n && least[2] == 7);
    int uneven = 0;
    for (int k = 0; k < 300; k++) {
        sums[k] = (int64_t)k << (40 + me % 2);
    }
    CHECK_STATUS(dgnn_transport_reduce(comm, sums, 300, DGNN_REDUCE_SUM, &error), DGNN_OK, "");
    for (int k = 0; k < 300; k++) {
        uneven += sums[k] != ((int64_t)k << 40) * ((n + 1) / 2 + 2 * (n / 2));
    }
    CHECK(uneven == 0);
    /* All ranks of this test are on one machine. */
    CHECK(comm->transport.node_nrank == n && comm->transport.node_rank == me);

    /* Rank a sends b + 2 a items to b: some long, none to the rank itself if it is rank 0. */
    int64_t *send_count = calloc((size_t)n, sizeof(int64_t)),
            *receive_count = calloc((size_t)n, sizeof(int64_t));
    int64_t *told = calloc((size_t)n, sizeof(int64_t));
    int64_t nsend = 0, nreceive = 0;
    for (int32_t r = 0; r < n; r++) {
        send_count[r] = (r + 2 * me) * 100;
        nsend += send_count[r];
    }
    CHECK_STATUS(dgnn_transport_alltoall(comm, send_count, told, &error), DGNN_OK, "");
    for (int32_t r = 0; r < n; r++) {
        receive_count[r] = (me + 2 * r) * 100;
        nreceive += receive_count[r];
        CHECK(told[r] == receive_count[r]);
    }
    int64_t *out = calloc((size_t)nsend + 1, sizeof(int64_t)),
            *in = calloc((size_t)nreceive + 1, sizeof(int64_t));
    for (int64_t k = 0; k < nsend; k++) {
        out[k] = me;
    }
    CHECK_STATUS(dgnn_transport_alltoallv(comm, out, send_count, in, receive_count, 8, &error), DGNN_OK, "");
    int64_t place = 0, wrong = 0;
    for (int32_t r = 0; r < n; r++) {
        for (int64_t k = 0; k < receive_count[r]; k++) {
            wrong += in[place++] != r;
        }
    }
    CHECK(wrong == 0);
    free(send_count);
    free(receive_count);
    free(told);
    free(out);
    free(in);
}

static void check_agreement(struct dgnn_comm *comm)
{
    int32_t me = dgnn_transport_rank(comm);
    int32_t n = dgnn_transport_nrank(comm);
    for (int i = 0; i < 50; i++) {
        int32_t bad = i % n;
        int status = DGNN_OK;
        char expected[100];
        if (n > 1) {
            snprintf(expected, sizeof(expected), "rank %d: fault %d", bad, bad);
        } else {
            snprintf(expected, sizeof(expected), "fault %d", bad);
        }
        if (me >= bad) { /* the lowest failing rank is heard */
            status = dgnn_status_set(&error, DGNN_ERROR_FORMAT, "fault %d", me);
        }
        status = dgnn_transport_agree(comm, "test", status, &error);
        CHECK(status == DGNN_ERROR_FORMAT && strcmp(error.message, expected) == 0);
        CHECK_STATUS(dgnn_transport_agree(comm, "test", DGNN_OK, &error), DGNN_OK, "");
    }
    if (n > 1) {
        char expected[100];
        snprintf(expected, sizeof(expected), "rank %d is in compute_ghosted while rank 0 is in compute",
                 n - 1);
        const char *operation = me == n - 1 ? "compute_ghosted" : "compute";
        CHECK_STATUS(dgnn_transport_agree(comm, operation, DGNN_OK, &error), DGNN_ERROR_INPUT, expected);
        CHECK_STATUS(dgnn_transport_agree(comm, "compute", DGNN_OK, &error), DGNN_OK, "");
    }
}

/* The last rank stays away: the others hear of it at the deadline, and after that at once. */
static void check_deadline(struct dgnn_comm *comm, double deadline_s)
{
    int32_t n = dgnn_transport_nrank(comm);
    if (dgnn_transport_rank(comm) == n - 1) {
        return;
    }
    double began = seconds();
    CHECK_STATUS(dgnn_transport_agree(comm, "compute", DGNN_OK, &error), DGNN_ERROR_COMM, "in compute: ");
    double took = seconds() - began;
    CHECK(took > 0.9 * deadline_s && took < deadline_s + 2);
    began = seconds();
    CHECK_STATUS(dgnn_transport_agree(comm, "compute", DGNN_OK, &error), DGNN_ERROR_COMM, "failed earlier");
    CHECK(seconds() - began < 0.1);
}

/* Rank 0 waits for a message that rank 1 never sends; and rank 2, if there, sends one of the wrong length to
 * rank 3. */
static void check_lost_message(struct dgnn_comm *comm, double deadline_s)
{
    double data[4] = {0};
    void *request = NULL;
    double began = seconds();
    int32_t me = dgnn_transport_rank(comm);
    switch (me >= 2 && dgnn_transport_nrank(comm) < 4 ? -1 : me) {
    case 0:
        CHECK_STATUS(dgnn_transport_receive_create(comm, data, 8, 1, 1, &request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_wait(comm, &request, 1, &error), DGNN_ERROR_COMM, "message from rank 1");
        CHECK(seconds() - began < deadline_s + 2);
        break;
    case 2:
        CHECK_STATUS(dgnn_transport_send_create(comm, data, 16, 3, 1, &request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
        dgnn_transport_wait(comm, &request, 1, &error); /* may succeed: the message left */
        break;
    case 3:
        CHECK_STATUS(dgnn_transport_receive_create(comm, data, 32, 2, 1, &request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_wait(comm, &request, 1, &error), DGNN_ERROR_COMM, "16 bytes where 32");
        break;
    default:
        break;
    }
    dgnn_transport_request_free(comm, &request);
}

/* Rank 0 withdraws a receive, and only then rank 1 sends: while rank 0 waits for another message, this one
 * must not come to memory that is in other use. */
static void check_late_message(struct dgnn_comm *comm)
{
    const struct timespec nap = {0, 300000000};
    double data[2] = {3, 0}, late = 7;
    void *request = NULL;
    if (dgnn_transport_nrank(comm) > 1 && dgnn_transport_rank(comm) == 0) {
        CHECK_STATUS(dgnn_transport_receive_create(comm, &data[0], 8, 1, 1, &request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
        dgnn_transport_request_free(comm, &request);
        CHECK_STATUS(dgnn_transport_receive_create(comm, &data[1], 8, 1, 2, &request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_wait(comm, &request, 1, &error), DGNN_ERROR_COMM, "message from rank 1");
        CHECK(data[0] == 3);
    } else if (dgnn_transport_rank(comm) == 1) {
        nanosleep(&nap, NULL);
        CHECK_STATUS(dgnn_transport_send_create(comm, &late, 8, 0, 1, &request, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
        dgnn_transport_wait(comm, &request, 1, &error); /* may succeed: the message left */
    }
    dgnn_transport_request_free(comm, &request);
}

/* ------------------------------------------------------------------ what the script calls */

/* Takes the transport over. what: "plans", "collectives", "agreement", "deadline", "lost", "late". */
DGNN_API int exchange_mpi_run(const struct dgnn_transport *transport, const char *what, int64_t nplan,
                              double deadline_s)
{
    struct dgnn_comm *comm;
    check_failed = 0;
    check_passed = 0;
    if (dgnn_comm_create(transport, deadline_s, &comm, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (strcmp(what, "plans") == 0) {
        check_plans(comm, nplan);
    } else if (strcmp(what, "collectives") == 0) {
        check_collectives(comm);
    } else if (strcmp(what, "agreement") == 0) {
        check_agreement(comm);
    } else if (strcmp(what, "deadline") == 0) {
        check_deadline(comm, deadline_s);
    } else if (strcmp(what, "lost") == 0) {
        check_lost_message(comm, deadline_s);
    } else if (strcmp(what, "late") == 0) {
        check_late_message(comm);
    } else {
        check_failed = 1;
    }
    dgnn_comm_free(comm);
    return check_failed;
}

DGNN_API int exchange_mpi_passed(void)
{
    return check_passed;
}

/* One that stays away from the collectives until the script says so: frees it at the end. */
DGNN_API int exchange_mpi_hold(const struct dgnn_transport *transport, struct dgnn_comm **comm)
{
    return dgnn_comm_create(transport, 5, comm, &error);
}

DGNN_API int exchange_mpi_alternate(struct dgnn_comm *comm, int64_t seed)
{
    check_failed = 0;
    struct brick_world *world = plans_world(dgnn_transport_nrank(comm), (uint64_t)seed);
    struct exchange_case c = {world, dgnn_transport_rank(comm), {5, 8}, (uint64_t)seed};
    struct exchange_case_outcome o;
    exchange_case_run(&c, (int)(seed % 2), comm, &o);
    CHECK(o.status == DGNN_OK && o.wrong_forward == 0 && o.wrong_reverse == 0);
    brick_free(world);
    return check_failed;
}

DGNN_API void exchange_mpi_release(struct dgnn_comm *comm)
{
    dgnn_comm_free(comm);
}
