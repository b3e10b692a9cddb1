/* One message to and from each neighbour. A neighbour that is the rank itself is a copy within the rows. */
#include "comm/exchange_kind.h"

static int64_t direct_nsend(const struct dgnn_plan *plan, int32_t n)
{
    return plan->send_first[n + 1] - plan->send_first[n];
}

static int64_t direct_nrecv(const struct dgnn_plan *plan, int32_t n)
{
    return plan->recv_first[n + 1] - plan->recv_first[n];
}

/* Where neighbour n's rows are packed (and its gradients received). */
static char *direct_packed(const struct dgnn_exchange *x, const struct dgnn_exchange_lane *lane, int32_t n)
{
    return dgnn_exchange_buffer_row(x, lane, x->plan->send_first[n]);
}

/* Where neighbour n's ghost rows pass through: the rows themselves if they are contiguous. */
static char *direct_ghosts(const struct dgnn_exchange *x, const struct dgnn_exchange_lane *lane, int32_t n)
{
    const struct dgnn_plan *plan = x->plan;
    if (plan->contiguous[n]) {
        return dgnn_exchange_row(lane, plan->recv_row[plan->recv_first[n]]);
    }
    return dgnn_exchange_buffer_row(x, lane, plan->send_first[plan->nneighbour] + plan->recv_first[n]);
}

static int direct_prepare(struct dgnn_exchange *x, struct dgnn_exchange_lane *lane, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    void **forward_receive = dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_FORWARD_RECEIVE);
    void **forward_send = dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_FORWARD_SEND);
    void **reverse_receive = dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_REVERSE_RECEIVE);
    void **reverse_send = dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_REVERSE_SEND);
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        int32_t rank = plan->rank[n];
        int64_t sent = direct_nsend(plan, n) * dgnn_rows_bytes(&lane->shape);
        int64_t received = direct_nrecv(plan, n) * dgnn_rows_bytes(&lane->shape);
        if (rank != plan->me && sent > 0) {
            char *data = direct_packed(x, lane, n);
            DGNN_TRY(dgnn_transport_send_create(x->comm, data, sent, rank, DGNN_TAG_FORWARD, &forward_send[n],
                                                error));
            DGNN_TRY(dgnn_transport_receive_create(x->comm, data, sent, rank, DGNN_TAG_REVERSE,
                                                   &reverse_receive[n], error));
        }
        if (rank != plan->me && received > 0) {
            char *data = direct_ghosts(x, lane, n);
            DGNN_TRY(dgnn_transport_receive_create(x->comm, data, received, rank, DGNN_TAG_FORWARD,
                                                   &forward_receive[n], error));
            DGNN_TRY(dgnn_transport_send_create(x->comm, data, received, rank, DGNN_TAG_REVERSE,
                                                &reverse_send[n], error));
        }
    }
    return DGNN_OK;
}

static int direct_receive_all(struct dgnn_exchange *x, enum dgnn_exchange_request which,
                              struct dgnn_error *error)
{
    void **receive = dgnn_exchange_requests(x, x->current, which);
    for (int32_t n = 0; n < x->npeer; n++) {
        DGNN_TRY(dgnn_exchange_start_receive(x, receive[n], error));
    }
    return DGNN_OK;
}

static int direct_forward_begin(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_lane *lane = x->current;
    int64_t row_bytes = dgnn_rows_bytes(&lane->shape);
    void **send = dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_FORWARD_SEND);
    DGNN_TRY(direct_receive_all(x, DGNN_EXCHANGE_FORWARD_RECEIVE, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        const int32_t *from = plan->send_row + plan->send_first[n];
        int64_t nsend = direct_nsend(plan, n);
        if (plan->rank[n] == plan->me) {
            const int32_t *to = plan->recv_row + plan->recv_first[n];
            dgnn_rows_copy(lane->rows, to, lane->rows, from, nsend, row_bytes);
        } else {
            dgnn_rows_copy(direct_packed(x, lane, n), NULL, lane->rows, from, nsend, row_bytes);
            DGNN_TRY(dgnn_exchange_start_send(x, send[n], nsend, error));
        }
    }
    return DGNN_OK;
}

static int direct_forward_end(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_lane *lane = x->current;
    /* Receives and sends stand side by side. */
    DGNN_TRY(dgnn_transport_wait(x->comm, dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_FORWARD_RECEIVE),
                                 2 * (int64_t)x->npeer, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        if (plan->rank[n] != plan->me && !plan->contiguous[n]) {
            dgnn_rows_copy(lane->rows, plan->recv_row + plan->recv_first[n], direct_ghosts(x, lane, n), NULL,
                           direct_nrecv(plan, n), dgnn_rows_bytes(&lane->shape));
        }
    }
    return DGNN_OK;
}

static int direct_reverse_begin(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_lane *lane = x->current;
    void **send = dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_REVERSE_SEND);
    DGNN_TRY(direct_receive_all(x, DGNN_EXCHANGE_REVERSE_RECEIVE, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        if (plan->rank[n] == plan->me) {
            continue;
        }
        int64_t nrecv = direct_nrecv(plan, n);
        if (!plan->contiguous[n]) {
            dgnn_rows_copy(direct_ghosts(x, lane, n), NULL, lane->rows, plan->recv_row + plan->recv_first[n],
                           nrecv, dgnn_rows_bytes(&lane->shape));
        }
        DGNN_TRY(dgnn_exchange_start_send(x, send[n], nrecv, error));
    }
    return DGNN_OK;
}

static int direct_reverse_end(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_lane *lane = x->current;
    DGNN_TRY(dgnn_transport_wait(x->comm, dgnn_exchange_requests(x, lane, DGNN_EXCHANGE_REVERSE_RECEIVE),
                                 2 * (int64_t)x->npeer, error));
    /* In the plan's order, whatever the order of arrival: sums repeat bit for bit. */
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        const int32_t *to = plan->send_row + plan->send_first[n];
        int self = plan->rank[n] == plan->me;
        const void *from = self ? lane->rows : direct_packed(x, lane, n);
        const int32_t *from_row = self ? plan->recv_row + plan->recv_first[n] : NULL;
        dgnn_rows_add(lane->rows, to, from, from_row, direct_nsend(plan, n), &lane->shape);
    }
    return DGNN_OK;
}

const struct dgnn_exchange_kind dgnn_exchange_direct = {.prepare = direct_prepare,
                                                        .forward_begin = direct_forward_begin,
                                                        .forward_end = direct_forward_end,
                                                        .reverse_begin = direct_reverse_begin,
                                                        .reverse_end = direct_reverse_end};
