/* Ranks of an exchange that are late or ahead: nothing reaches rows that nobody waits for, and nobody waits
 * for what leaves. */
#include "check.h"

#include <stdatomic.h>
#include <time.h>

#include "exchange_case.h"
#include "ranks.h"

/* Rank 0 gives up on rank 1, which comes late: what it sends then must not reach rows that nobody waits for.
 */
struct late_job {
    int fail_start; /* rank 0 cannot start its second message; else it waits for the first to the deadline */
    double rows[2];
    int status[2];
    atomic_int given_up, sent;
};

static _Thread_local int (*late_inner_start)(void *context, void *request, struct dgnn_error *error);
static _Thread_local int late_started;

static int late_start(void *context, void *request, struct dgnn_error *local)
{
    return late_started++ == 1 ? dgnn_status_set(local, DGNN_ERROR_COMM, "the cable is cut")
                               : late_inner_start(context, request, local);
}

static void late_wait(atomic_int *flag)
{
    const struct timespec nap = {0, 1000000};
    while (!atomic_load(flag)) {
        nanosleep(&nap, NULL);
    }
}

/* Rank 0 owns nothing, and sends back what the first of two swaps brings it: so it waits for that one alone.
 */
static void late_body(struct ranks_rank *rank)
{
    struct late_job *job = rank->data;
    struct dgnn_error local;
    const int owner = rank->rank == 1;
    const int32_t other[2] = {owner ? 0 : 1, owner ? 0 : 1}, send[2] = {owner, 1}, recv[2] = {!owner, 1},
                  row = 0;
    const int32_t *const lists[] = {&row, &row};
    const struct dgnn_border border = {2, other, other, send, recv, lists, NULL};
    double own[2] = {7, NAN}, *rows = owner ? own : job->rows;
    struct dgnn_swaps *swaps = NULL;
    struct dgnn_exchange *x = NULL;
    int status = dgnn_swaps_create(&border, owner, 2, rank->rank, 2, &swaps, &local);
    status =
        status ? status : dgnn_exchange_create_swaps(swaps, rank->comm, DGNN_EXCHANGE_FEATURES, &x, &local);
    if (owner) {
        late_wait(&job->given_up);
    } else if (job->fail_start) {
        late_inner_start = rank->comm->transport.start;
        late_started = 0;
        rank->comm->transport.start = late_start;
    }
    status = status ? status : dgnn_exchange_forward_begin(x, rows, 1, 8, &local);
    atomic_store(&job->sent, owner);
    job->status[rank->rank] = status ? status : dgnn_exchange_forward_end(x, &local);
    if (!owner) {
        rows[0] = rows[1] = 3; /* somebody else's now */
        atomic_store(&job->given_up, 1);
        late_wait(&job->sent);
    }
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
}

static void test_late_messages(void)
{
    for (int fail_start = 0; fail_start < 2; fail_start++) {
        struct late_job job = {.fail_start = fail_start};
        ranks_run(2, 0.2, late_body, &job);
        CHECK(job.status[0] == DGNN_ERROR_COMM && job.status[1] == DGNN_ERROR_COMM);
        CHECK_ROWS(job.rows, 3, 3);
    }
}

/* An end waits for what arrives, not for what leaves, so that a rank that is ahead goes on; settling waits
 * for that. */
struct ahead_job {
    int kind, fails; /* fails: what leaves never does */
    int status[2], settled[2];
    int waits[2][4];    /* for sends so far: after a forward end, settling, a reverse end, settling */
    double ghost[2][2]; /* of the gradient: after the reverse end, settled */
};

static _Thread_local struct dgnn_transport ahead_inner;
static _Thread_local void *ahead_send[2]; /* forward, reverse */
static _Thread_local int ahead_waits, ahead_fails;

static int ahead_send_create(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,
                             void **request, struct dgnn_error *local)
{
    int status = ahead_inner.send_create(context, data, nbytes, to, tag, request, local);
    ahead_send[tag == DGNN_TAG_REVERSE] = *request;
    return status;
}

static int ahead_wait(void *context, void **requests, int64_t n, double deadline_s, struct dgnn_error *local)
{
    for (int64_t k = 0; k < n; k++) {
        int is_send = requests[k] && (requests[k] == ahead_send[0] || requests[k] == ahead_send[1]);
        ahead_waits += is_send;
        if (is_send && ahead_fails) {
            return dgnn_status_set(local, DGNN_ERROR_COMM, "the cable is cut");
        }
    }
    return ahead_inner.wait(context, requests, n, deadline_s, local);
}

static int ahead_create(const struct ranks_rank *rank, int kind, struct dgnn_plan **plan,
                        struct dgnn_swaps **swaps, struct dgnn_exchange **x, struct dgnn_error *local)
{
    const int32_t other = 1 - rank->rank, one = 1, send = 1, ghost = 2, *const lists[] = {&send};
    const int64_t first[] = {0, 1};
    const struct dgnn_direct direct = {1, &other, first, &send, first, &ghost};
    const struct dgnn_border border = {1, &other, &other, &one, &one, lists, NULL};
    if (kind) {
        DGNN_TRY(dgnn_swaps_create(&border, 2, 3, rank->rank, 2, swaps, local));
        return dgnn_exchange_create_swaps(*swaps, rank->comm, DGNN_EXCHANGE_FEATURES, x, local);
    }
    DGNN_TRY(dgnn_plan_create(&direct, 2, 3, rank->rank, 2, plan, local));
    return dgnn_exchange_create_direct(*plan, rank->comm, DGNN_EXCHANGE_FEATURES, x, local);
}

static void ahead_body(struct ranks_rank *rank)
{
    struct ahead_job *job = rank->data;
    struct dgnn_error local;
    struct dgnn_plan *plan = NULL;
    struct dgnn_swaps *swaps = NULL;
    struct dgnn_exchange *x = NULL;
    double rows[] = {1, 2, NAN}, gradient[] = {1, 2, 4};
    int *waits = job->waits[rank->rank], r = rank->rank;
    ahead_inner = rank->comm->transport;
    ahead_waits = ahead_fails = 0;
    rank->comm->transport.send_create = ahead_send_create;
    rank->comm->transport.wait = ahead_wait;
    int status = ahead_create(rank, job->kind, &plan, &swaps, &x, &local);
    status = status ? status : dgnn_exchange_forward_begin(x, rows, 1, 8, &local);
    status = status ? status : dgnn_exchange_forward_end(x, &local);
    waits[0] = ahead_waits;
    ahead_fails = job->fails;
    job->settled[r] = status ? status : dgnn_exchange_settle(x, &local);
    waits[1] = ahead_waits;
    status = status ? status : dgnn_exchange_reverse_begin(x, gradient, 1, 8, &local);
    status = status ? status : dgnn_exchange_reverse_end(x, &local);
    waits[2] = ahead_waits;
    job->ghost[r][0] = gradient[2];
    job->status[r] = status ? status : dgnn_exchange_forward_begin(x, rows, 1, 8, &local); /* settles first */
    waits[3] = ahead_waits;
    job->ghost[r][1] = gradient[2];
    status = job->status[r] ? job->status[r] : dgnn_exchange_forward_end(x, &local);
    (void)(status ? status : dgnn_exchange_settle(x, &local));
    rank->comm->transport.send_create = ahead_inner.send_create;
    dgnn_exchange_free(x);
    rank->comm->transport.wait = ahead_inner.wait;
    dgnn_plan_free(plan);
    dgnn_swaps_free(swaps);
}

static void test_ahead(void)
{
    for (int kind = 0; kind < 2; kind++) {
        struct ahead_job job = {.kind = kind};
        ranks_run(2, 10, ahead_body, &job);
        for (int r = 0; r < 2; r++) {
            CHECK(job.settled[r] == DGNN_OK && job.status[r] == DGNN_OK);
            CHECK(job.waits[r][0] == 0 && job.waits[r][1] == 1 && job.waits[r][2] == 1 &&
                  job.waits[r][3] == 2);
            CHECK(job.ghost[r][0] == 4 && job.ghost[r][1] == 0);
        }
        job = (struct ahead_job){.kind = kind, .fails = 1};
        ranks_run(2, 10, ahead_body, &job);
        for (int r = 0; r < 2; r++) {
            CHECK(job.settled[r] == DGNN_ERROR_COMM && job.status[r] == DGNN_ERROR_COMM &&
                  job.waits[r][3] == 1);
        }
    }
}

int main(void)
{
    test_late_messages();
    test_ahead();
    return check_report();
}
