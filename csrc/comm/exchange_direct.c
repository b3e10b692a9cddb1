/* One message to and from each neighbour. A neighbour that is the rank itself is a copy within the rows. */
#include "comm/exchange_kind.h"

/* Where neighbour n's rows are packed (and its gradients received). */
static char *direct_packed(const struct dgnn_exchange *x, const struct dgnn_exchange_channel *channel,
                           int32_t n)
{
    return dgnn_exchange_buffer_row(x, channel, x->plan->send_first[n]);
}

/* Where neighbour n's ghost rows pass through: the rows themselves if they are contiguous. NULL: has none. */
static char *direct_ghosts(const struct dgnn_exchange *x, const struct dgnn_exchange_channel *channel,
                           int32_t n)
{
    const struct dgnn_plan *plan = x->plan;
    if (dgnn_plan_nrecv(plan, n) == 0) {
        return NULL;
    }
    if (plan->contiguous[n]) {
        return dgnn_exchange_row(channel, plan->recv_row[plan->recv_first[n]]);
    }
    return dgnn_exchange_buffer_row(x, channel, plan->send_first[plan->nneighbour] + plan->recv_first[n]);
}

static int direct_prepare(struct dgnn_exchange *x, struct dgnn_exchange_channel *channel,
                          struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        if (!dgnn_plan_is_self(plan, n)) {
            int64_t nsend = dgnn_plan_nsend(plan, n), nrecv = dgnn_plan_nrecv(plan, n);
            const struct dgnn_exchange_block out = {plan->rank[n], nsend, direct_packed(x, channel, n)};
            const struct dgnn_exchange_block in = {plan->rank[n], nrecv, direct_ghosts(x, channel, n)};
            DGNN_TRY(dgnn_exchange_prepare_peer(x, channel, n, &out, &in, error));
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
    const struct dgnn_exchange_channel *channel = x->current;
    int64_t row_bytes = dgnn_rows_bytes(&channel->shape);
    void **send = dgnn_exchange_requests(x, channel, DGNN_EXCHANGE_FORWARD_SEND);
    DGNN_TRY(direct_receive_all(x, DGNN_EXCHANGE_FORWARD_RECEIVE, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        const int32_t *from = plan->send_row + plan->send_first[n];
        int64_t nsend = dgnn_plan_nsend(plan, n);
        if (dgnn_plan_is_self(plan, n)) {
            const int32_t *to = plan->recv_row + plan->recv_first[n];
            dgnn_rows_copy(channel->rows, to, channel->rows, from, nsend, row_bytes);
        } else {
            dgnn_rows_copy(direct_packed(x, channel, n), NULL, channel->rows, from, nsend, row_bytes);
            DGNN_TRY(dgnn_exchange_start_send(x, send[n], nsend, error));
        }
    }
    return DGNN_OK;
}

static int direct_forward_end(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_channel *channel = x->current;
    DGNN_TRY(dgnn_transport_wait(x->comm, dgnn_exchange_requests(x, channel, DGNN_EXCHANGE_FORWARD_RECEIVE),
                                 x->npeer, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        if (!dgnn_plan_is_self(plan, n) && !plan->contiguous[n]) {
            dgnn_rows_copy(channel->rows, plan->recv_row + plan->recv_first[n], direct_ghosts(x, channel, n),
                           NULL, dgnn_plan_nrecv(plan, n), dgnn_rows_bytes(&channel->shape));
        }
    }
    return DGNN_OK;
}

static int direct_reverse_begin(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_channel *channel = x->current;
    void **send = dgnn_exchange_requests(x, channel, DGNN_EXCHANGE_REVERSE_SEND);
    DGNN_TRY(direct_receive_all(x, DGNN_EXCHANGE_REVERSE_RECEIVE, error));
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        if (dgnn_plan_is_self(plan, n)) {
            continue;
        }
        int64_t nrecv = dgnn_plan_nrecv(plan, n);
        if (!plan->contiguous[n]) {
            dgnn_rows_copy(direct_ghosts(x, channel, n), NULL, channel->rows,
                           plan->recv_row + plan->recv_first[n], nrecv, dgnn_rows_bytes(&channel->shape));
        }
        DGNN_TRY(dgnn_exchange_start_send(x, send[n], nrecv, error));
    }
    return DGNN_OK;
}

static int direct_reverse_end(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_plan *plan = x->plan;
    const struct dgnn_exchange_channel *channel = x->current;
    DGNN_TRY(dgnn_transport_wait(x->comm, dgnn_exchange_requests(x, channel, DGNN_EXCHANGE_REVERSE_RECEIVE),
                                 x->npeer, error));
    /* In the plan's order, whatever the order of arrival: sums repeat bit for bit. */
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        const int32_t *to = plan->send_row + plan->send_first[n];
        int self = dgnn_plan_is_self(plan, n);
        const void *from = self ? channel->rows : direct_packed(x, channel, n);
        const int32_t *from_row = self ? plan->recv_row + plan->recv_first[n] : NULL;
        dgnn_rows_add(channel->rows, to, from, from_row, dgnn_plan_nsend(plan, n), &channel->shape);
    }
    return DGNN_OK;
}

const struct dgnn_exchange_kind dgnn_exchange_direct = {.prepare = direct_prepare,
                                                        .forward_begin = direct_forward_begin,
                                                        .forward_end = direct_forward_end,
                                                        .reverse_begin = direct_reverse_begin,
                                                        .reverse_end = direct_reverse_end};
