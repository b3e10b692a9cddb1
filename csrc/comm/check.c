#include "comm/check.h"

#include "comm/exchange_kind.h"

/* Each rank tells each other rank what it will send there, in nstep numbers, and learns what will come. */
struct check_table {
    int64_t nstep;
    int64_t *count; /* nrank, all nstep */
    int64_t *told;  /* nrank x nstep */
    int64_t *heard; /* nrank x nstep */
};

static void check_table_free(struct check_table *table)
{
    dgnn_alloc_free(table->count);
    dgnn_alloc_free(table->told);
    dgnn_alloc_free(table->heard);
}

static int check_table_create(struct check_table *table, int32_t nrank, int64_t nstep, int64_t value,
                              struct dgnn_error *error)
{
    table->nstep = nstep;
    table->count = dgnn_alloc(nrank, sizeof(int64_t));
    table->told = dgnn_alloc(nrank * nstep, sizeof(int64_t));
    table->heard = dgnn_alloc(nrank * nstep, sizeof(int64_t));
    if (!table->count || !table->told || !table->heard) {
        return dgnn_status_no_memory(error, "the check of a plan", 16 * nrank * nstep);
    }
    for (int32_t r = 0; r < nrank; r++) {
        table->count[r] = nstep;
    }
    for (int64_t i = 0; i < nrank * nstep; i++) {
        table->told[i] = value;
    }
    return DGNN_OK;
}

static int check_table_exchange(struct dgnn_comm *comm, struct check_table *table, struct dgnn_error *error)
{
    return dgnn_transport_alltoallv(comm, table->told, table->count, table->heard, table->count,
                                    sizeof(int64_t), error);
}

/* ------------------------------------------------------------------ direct plans */

static int check_plan_heard(const struct dgnn_plan *plan, const struct check_table *table, int64_t *expected,
                            struct dgnn_error *error)
{
    for (int32_t r = 0; r < plan->nrank; r++) {
        expected[r] = 0;
    }
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        expected[plan->rank[n]] = dgnn_plan_nrecv(plan, n);
    }
    for (int32_t r = 0; r < plan->nrank; r++) {
        if (table->heard[r] != expected[r]) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "direct plan: send_first of rank %d counts %lld rows for rank %d, recv_first of rank %d "
                "counts %lld, expected the same",
                r, (long long)table->heard[r], plan->me, plan->me, (long long)expected[r]);
        }
    }
    return DGNN_OK;
}

static int check_plan_pairs(struct dgnn_comm *comm, const char *operation, const struct dgnn_plan *plan,
                            struct check_table *table, struct dgnn_error *error)
{
    int status = check_table_create(table, plan->nrank, 1, 0, error);
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        table->told[plan->rank[n]] = dgnn_plan_nsend(plan, n);
    }
    DGNN_TRY(check_table_exchange(comm, table, error));
    /* What was told is not needed any more; its place takes what is expected. */
    status = check_plan_heard(plan, table, table->told, error);
    return dgnn_transport_agree(comm, operation, status, error);
}

int dgnn_check_plan(struct dgnn_comm *comm, const char *operation, const struct dgnn_plan *plan, int status,
                    struct dgnn_error *error)
{
    struct check_table table = {0};
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    if (comm) {
        status = check_plan_pairs(comm, operation, plan, &table, error);
    }
    check_table_free(&table);
    return status;
}

/* ------------------------------------------------------------------ swaps */

/* Unlike 0, which is a message without rows: its two ends must name one another too. */
enum { CHECK_NOTHING_SENT = -1 };

/* One number of the table: what rank `from` said it sends me in swap s, against what I expect. */
static int check_swap_heard(const struct dgnn_swaps *swaps, int32_t s, int32_t from, int64_t heard,
                            struct dgnn_error *error)
{
    int from_there = swaps->recv_rank[s] == from && from != swaps->me;
    int64_t expected = from_there ? dgnn_swaps_nrecv(swaps, s) : CHECK_NOTHING_SENT;
    if (heard == expected) {
        return DGNN_OK;
    }
    if (heard == CHECK_NOTHING_SENT) {
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
        (long long)heard, swaps->me, (long long)expected);
}

static int check_swaps_heard(const struct dgnn_swaps *swaps, const struct check_table *table,
                             struct dgnn_error *error)
{
    for (int32_t s = 0; s < swaps->nswap; s++) {
        for (int32_t from = 0; from < swaps->nrank; from++) {
            DGNN_TRY(check_swap_heard(swaps, s, from, table->heard[from * table->nstep + s], error));
        }
    }
    return DGNN_OK;
}

/* V5: the number of swaps; without it, the table has no shape that all ranks share. */
static int check_swaps_number(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                              struct dgnn_error *error)
{
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
                             struct check_table *table, struct dgnn_error *error)
{
    DGNN_TRY(check_swaps_number(comm, operation, swaps, error));
    int status = check_table_create(table, swaps->nrank, swaps->nswap, CHECK_NOTHING_SENT, error);
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    for (int32_t s = 0; s < swaps->nswap; s++) {
        if (!dgnn_swaps_is_self(swaps, s)) {
            table->told[swaps->send_rank[s] * table->nstep + s] = dgnn_swaps_nsend(swaps, s);
        }
    }
    DGNN_TRY(check_table_exchange(comm, table, error));
    status = check_swaps_heard(swaps, table, error);
    return dgnn_transport_agree(comm, operation, status, error);
}

int dgnn_check_swaps(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                     int status, struct dgnn_error *error)
{
    struct check_table table = {0};
    DGNN_TRY(dgnn_transport_agree(comm, operation, status, error));
    if (comm) {
        status = check_swaps_pairs(comm, operation, swaps, &table, error);
    }
    check_table_free(&table);
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
