#include "comm/check.h"

#include "comm/exchange_kind.h"

#include <string.h>

/* ------------------------------------------------------------------ direct plans */

/* heard: rows that each rank sends here. */
static int check_plan_received(const struct dgnn_plan *plan, const int64_t *received, int64_t *expected,
                               struct dgnn_error *error)
{
    memset(expected, 0, (size_t)plan->nrank * sizeof(*expected));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        expected[plan->rank[n]] = dgnn_plan_nrecv(plan, n);
    }
    for (int32_t r = 0; r < plan->nrank; r++) {
        if (received[r] != expected[r]) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "direct plan: send_first of rank %d counts %lld rows for rank %d, recv_first of rank %d "
                "counts %lld, expected the same",
                r, (long long)received[r], plan->me, plan->me, (long long)expected[r]);
        }
    }
    return DGNN_OK;
}

/* counts: 2 nrank, zero; NULL: there was no memory. */
static int check_plan_pairs(struct dgnn_comm *comm, const char *operation, const struct dgnn_plan *plan,
                            int64_t *counts, struct dgnn_error *error)
{
    int status =
        counts ? DGNN_OK : dgnn_status_no_memory(error, "the check of a plan", 16 * (int64_t)plan->nrank);
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    int64_t *sent = counts, *received = counts + plan->nrank;
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        sent[plan->rank[n]] = dgnn_plan_nsend(plan, n);
    }
    DGNN_TRY(dgnn_transport_alltoall(comm, sent, received, error));
    /* What was sent is not needed any more; its place takes what is expected. */
    status = check_plan_received(plan, received, sent, error);
    return dgnn_transport_agree(comm, operation, status, error);
}

int dgnn_check_plan(struct dgnn_comm *comm, const char *operation, const struct dgnn_plan *plan, int status,
                    struct dgnn_error *error)
{
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    if (comm) {
        int64_t *counts = dgnn_alloc_zeroed(2 * (int64_t)plan->nrank, sizeof(*counts));
        status = check_plan_pairs(comm, operation, plan, counts, error);
        dgnn_alloc_free(counts);
    }
    return status;
}

/* ------------------------------------------------------------------ swaps */

/* Unlike 0, which is a message without rows: its two ends must name one another too. */
enum { CHECK_NOTHING_SENT = -1 };

/* What a rank tells the one that it sends to in a swap. */
struct check_swap {
    int64_t swap, nsend;
};

struct check_swaps {
    int64_t *sent, *received, *place; /* nrank each, one block: swaps with each rank */
    struct check_swap *out, *in;
    int64_t *table; /* nrank x nswap: what rank r sends here in swap s */
};

static void check_swaps_free(struct check_swaps *c)
{
    dgnn_alloc_free(c->sent);
    dgnn_alloc_free(c->out);
    dgnn_alloc_free(c->in);
    dgnn_alloc_free(c->table);
}

static int check_swaps_begin(struct check_swaps *c, const struct dgnn_swaps *swaps, struct dgnn_error *error)
{
    int64_t nrank = swaps->nrank, nswap = swaps->nswap, sum = 0;
    c->sent = dgnn_alloc_zeroed(3 * nrank, sizeof(*c->sent));
    c->out = dgnn_alloc(nswap, sizeof(*c->out));
    c->table = dgnn_alloc(nrank * nswap, sizeof(*c->table));
    if (!c->sent || !c->out || !c->table) {
        return dgnn_status_no_memory(error, "the check of a border", 8 * nrank * (nswap + 3) + 16 * nswap);
    }
    c->received = c->sent + nrank;
    c->place = c->received + nrank;
    for (int32_t s = 0; s < nswap; s++) {
        c->sent[swaps->send_rank[s]] += !dgnn_swaps_is_self(swaps, s);
    }
    for (int64_t r = 0; r < nrank; r++) {
        c->place[r] = sum;
        sum += c->sent[r];
    }
    for (int32_t s = 0; s < nswap; s++) {
        if (!dgnn_swaps_is_self(swaps, s)) {
            c->out[c->place[swaps->send_rank[s]]++] = (struct check_swap){s, dgnn_swaps_nsend(swaps, s)};
        }
    }
    for (int64_t i = 0; i < nrank * nswap; i++) {
        c->table[i] = CHECK_NOTHING_SENT;
    }
    return DGNN_OK;
}

static int check_swaps_reserve(struct check_swaps *c, const struct dgnn_swaps *swaps,
                               struct dgnn_error *error)
{
    int64_t n = 0;
    for (int32_t r = 0; r < swaps->nrank; r++) {
        if (c->received[r] < 0 || c->received[r] > swaps->nswap) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "border: rank %d says that it sends to rank %d in %lld of %d swaps", r,
                                   swaps->me, (long long)c->received[r], swaps->nswap);
        }
        n += c->received[r];
    }
    c->in = dgnn_alloc(n, sizeof(*c->in));
    return c->in ? DGNN_OK : dgnn_status_no_memory(error, "the check of a border", 16 * n);
}

/* One number of the table: what rank `from` said it sends me in swap s, against what I expect. */
static int check_swap_heard(const struct dgnn_swaps *swaps, int32_t s, int32_t from, int64_t received,
                            struct dgnn_error *error)
{
    int from_there = swaps->recv_rank[s] == from && from != swaps->me;
    int64_t expected = from_there ? dgnn_swaps_nrecv(swaps, s) : CHECK_NOTHING_SENT;
    if (received == expected) {
        return DGNN_OK;
    }
    if (received == CHECK_NOTHING_SENT) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: swap %d: recvproc of rank %d is %d, but sendproc of rank %d is not %d", s, swaps->me,
            from, from, swaps->me);
    }
    if (expected == CHECK_NOTHING_SENT) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "border: swap %d: sendproc of rank %d is %d, but recvproc of rank %d is %d", s,
                               from, swaps->me, swaps->me, swaps->recv_rank[s]);
    }
    return dgnn_status_set(
        error, DGNN_ERROR_INPUT,
        "border: swap %d: sendnum of rank %d is %lld, recvnum of rank %d is %lld, expected the same", s, from,
        (long long)received, swaps->me, (long long)expected);
}

static int check_swaps_received(const struct dgnn_swaps *swaps, const struct check_swaps *c,
                                struct dgnn_error *error)
{
    const struct check_swap *in = c->in;
    for (int64_t r = 0; r < swaps->nrank; r++) {
        for (int64_t k = 0; k < c->received[r]; k++, in++) {
            if (in->swap < 0 || in->swap >= swaps->nswap) {
                return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                       "border: rank %lld tells of swap %lld, and there are %d", (long long)r,
                                       (long long)in->swap, swaps->nswap);
            }
            c->table[r * swaps->nswap + in->swap] = in->nsend;
        }
    }
    for (int32_t s = 0; s < swaps->nswap; s++) {
        for (int32_t from = 0; from < swaps->nrank; from++) {
            DGNN_TRY(check_swap_heard(swaps, s, from, c->table[(int64_t)from * swaps->nswap + s], error));
        }
    }
    return DGNN_OK;
}

/* The number of swaps is the same on all ranks. Where it differs, all tell all, to say who. */
static int check_swaps_number(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                              struct dgnn_error *error)
{
    int64_t most[2] = {swaps->nswap, -(int64_t)swaps->nswap};
    DGNN_TRY(dgnn_transport_reduce(comm, most, 2, DGNN_REDUCE_MAX, error));
    if (most[0] == -most[1]) {
        return DGNN_OK;
    }
    int32_t *all = dgnn_alloc(swaps->nrank, sizeof(*all));
    int status =
        all ? DGNN_OK : dgnn_status_no_memory(error, "the check of a border", 4 * (int64_t)swaps->nrank);
    status = dgnn_transport_agree(comm, operation, status, error);
    if (!status) {
        status = dgnn_transport_allgather(comm, &swaps->nswap, sizeof(swaps->nswap), all, error);
    }
    for (int32_t r = 1; r < swaps->nrank && !status; r++) {
        if (all[r] != all[0]) {
            status = dgnn_status_set(error, DGNN_ERROR_INPUT,
                                     "border: nswap is %d on rank 0 and %d on rank %d, expected the same",
                                     all[0], all[r], r);
        }
    }
    dgnn_alloc_free(all);
    return status;
}

static int check_swaps_pairs(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                             struct check_swaps *c, struct dgnn_error *error)
{
    DGNN_TRY(check_swaps_number(comm, operation, swaps, error));
    DGNN_TRY(dgnn_transport_agree(comm, operation, check_swaps_begin(c, swaps, error), error));
    DGNN_TRY(dgnn_transport_alltoall(comm, c->sent, c->received, error));
    DGNN_TRY(dgnn_transport_agree(comm, operation, check_swaps_reserve(c, swaps, error), error));
    DGNN_TRY(dgnn_transport_alltoallv(comm, c->out, c->sent, c->in, c->received, sizeof(struct check_swap),
                                      error));
    return dgnn_transport_agree(comm, operation, check_swaps_received(swaps, c, error), error);
}

int dgnn_check_swaps(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                     int status, struct dgnn_error *error)
{
    struct check_swaps c = {0};
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    if (comm) {
        status = check_swaps_pairs(comm, operation, swaps, &c, error);
    }
    check_swaps_free(&c);
    return status;
}

/* ------------------------------------------------------------------ rows */

/* Messages that only check are no features or positions. */
static void check_recount(struct dgnn_comm *comm, const struct dgnn_comm_count *before)
{
    if (comm) {
        struct dgnn_comm_count after = comm->count;
        int64_t sent = after.forward_messages - before->forward_messages + after.position_messages -
                       before->position_messages;
        comm->count = *before;
        comm->count.other_messages = after.other_messages + sent;
        comm->count.bytes = after.bytes;
    }
}

static int check_rows_compare(const struct dgnn_exchange *x, const struct dgnn_check_values *values,
                              const int64_t *brought, struct dgnn_error *error)
{
    const char *what = values->what;
    for (int64_t i = x->nowned; i < x->nnode; i++) {
        if (brought[i] != values->value[i]) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "%ss: ghost row %lld has %s %lld, but the plan brings an atom with %s %lld", what,
                (long long)(values->row ? values->row[i] : i), what, (long long)values->value[i], what,
                (long long)brought[i]);
        }
    }
    return DGNN_OK;
}

int dgnn_check_rows(struct dgnn_comm *comm, const char *operation, struct dgnn_exchange *exchange,
                    const struct dgnn_check_values *values, struct dgnn_error *error)
{
    int64_t nnode = exchange->nnode;
    int64_t *rows = dgnn_alloc(nnode, sizeof(*rows));
    int status =
        rows ? dgnn_exchange_prepare(exchange, rows, 1, sizeof(*rows), error)
             : dgnn_status_no_memory(error, "the check of a plan's rows", nnode * (int64_t)sizeof(*rows));
    status = dgnn_transport_agree(comm, operation, status, error);
    if (!status) {
        struct dgnn_comm_count before = comm ? comm->count : (struct dgnn_comm_count){0};
        for (int64_t i = 0; i < nnode; i++) {
            rows[i] = i < exchange->nowned ? values->value[i] : INT64_MIN;
        }
        /* A forward exchange copies bits, so integers of 8 bytes travel as they are. */
        status = dgnn_exchange_forward_begin(exchange, rows, 1, sizeof(*rows), error);
        status = status ? status : dgnn_exchange_forward_end(exchange, error);
        status = status ? status : dgnn_exchange_settle(exchange, error);
        check_recount(comm, &before);
        status = status ? status : check_rows_compare(exchange, values, rows, error);
        status = dgnn_transport_agree(comm, operation, status, error);
    }
    dgnn_alloc_free(rows);
    return status;
}
