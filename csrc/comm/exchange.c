#include "comm/exchange_kind.h"

#include <string.h>

/* ------------------------------------------------------------------ making and freeing */

static int exchange_fits(struct dgnn_comm *comm, int32_t me, int32_t nrank, struct dgnn_error *error)
{
    if (!comm && nrank > 1) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "a plan for rank %d of %d needs a communicator, and none is given", me, nrank);
    }
    if (comm && (dgnn_transport_rank(comm) != me || dgnn_transport_nrank(comm) != nrank)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "a plan for rank %d of %d is used with rank %d of %d",
                               me, nrank, dgnn_transport_rank(comm), dgnn_transport_nrank(comm));
    }
    return DGNN_OK;
}

static int exchange_allocate(const struct dgnn_exchange *wanted, struct dgnn_exchange **exchange,
                             struct dgnn_error *error)
{
    struct dgnn_exchange *made = dgnn_alloc(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "an exchange", sizeof(*made));
    }
    *made = *wanted;
    *exchange = made;
    return DGNN_OK;
}

int dgnn_exchange_create_direct(const struct dgnn_plan *plan, struct dgnn_comm *comm,
                                enum dgnn_exchange_use use, struct dgnn_exchange **exchange,
                                struct dgnn_error *error)
{
    DGNN_TRY(exchange_fits(comm, plan->me, plan->nrank, error));
    struct dgnn_exchange wanted = {.kind = &dgnn_exchange_direct,
                                   .plan = plan,
                                   .comm = comm,
                                   .use = use,
                                   .nowned = plan->nowned,
                                   .nnode = plan->nnode,
                                   .npeer = plan->nneighbour};
    int scattered = 0;
    int remote = 0;
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        remote = remote || !dgnn_plan_is_self(plan, n);
        scattered = scattered || (!dgnn_plan_is_self(plan, n) && !plan->contiguous[n]);
    }
    /* Packed rows first; ghosts that are not contiguous behind them. */
    wanted.buffer_rows = (remote ? plan->send_first[plan->nneighbour] : 0) +
                         (scattered ? plan->recv_first[plan->nneighbour] : 0);
    return exchange_allocate(&wanted, exchange, error);
}

int dgnn_exchange_create_swaps(const struct dgnn_swaps *swaps, struct dgnn_comm *comm,
                               enum dgnn_exchange_use use, struct dgnn_exchange **exchange,
                               struct dgnn_error *error)
{
    DGNN_TRY(exchange_fits(comm, swaps->me, swaps->nrank, error));
    struct dgnn_exchange wanted = {.kind = &dgnn_exchange_swaps,
                                   .swaps = swaps,
                                   .comm = comm,
                                   .use = use,
                                   .nowned = swaps->nowned,
                                   .nnode = swaps->nnode,
                                   .npeer = swaps->nswap};
    for (int32_t s = 0; s < swaps->nswap; s++) {
        if (!dgnn_swaps_is_self(swaps, s)) {
            wanted.buffer_rows = swaps->send_first[swaps->nswap];
        }
    }
    return exchange_allocate(&wanted, exchange, error);
}

static void exchange_channel_empty(struct dgnn_exchange *x, struct dgnn_exchange_channel *channel)
{
    for (int64_t i = 0; i < 4 * (int64_t)x->npeer; i++) {
        dgnn_transport_request_free(x->comm, &channel->request[i]);
    }
    channel->last_use = 0;
}

void dgnn_exchange_free(struct dgnn_exchange *exchange)
{
    if (exchange) {
        for (int64_t i = 0; i < exchange->nchannel; i++) {
            exchange_channel_empty(exchange, &exchange->channel[i]);
            dgnn_alloc_free(exchange->channel[i].request);
        }
        dgnn_buffer_free(&exchange->buffer);
        dgnn_alloc_free(exchange->channel);
        dgnn_alloc_free(exchange);
    }
}

/* ------------------------------------------------------------------ channels */

/* One more, empty. */
static int exchange_channel_add(struct dgnn_exchange *x, struct dgnn_exchange_channel **channel,
                                struct dgnn_error *error)
{
    int64_t per_channel = 4 * (int64_t)x->npeer;
    void **request = dgnn_alloc_zeroed(per_channel, sizeof(*request));
    struct dgnn_exchange_channel *grown = dgnn_alloc(x->nchannel + 1, sizeof(*grown));
    if (!request || !grown) {
        dgnn_alloc_free(request);
        dgnn_alloc_free(grown);
        return dgnn_status_no_memory(error, "the messages of an exchange", per_channel * 8);
    }
    if (x->nchannel) {
        memcpy(grown, x->channel, sizeof(*grown) * (size_t)x->nchannel);
    }
    dgnn_alloc_free(x->channel);
    x->channel = grown;
    *channel = &grown[x->nchannel++];
    **channel = (struct dgnn_exchange_channel){.request = request};
    return DGNN_OK;
}

/* The channel of these rows; else a new one, or, of many, one that is empty or that nobody is about to need:
 * the one that was not used for longest. */
static int exchange_channel_find(struct dgnn_exchange *x, const void *rows,
                                 const struct dgnn_rows_shape *shape, struct dgnn_exchange_channel **found,
                                 struct dgnn_error *error)
{
    struct dgnn_exchange_channel *oldest = NULL;
    for (int64_t i = 0; i < x->nchannel; i++) {
        struct dgnn_exchange_channel *channel = &x->channel[i];
        if (channel->last_use > 0 && channel->rows == rows && channel->shape.width == shape->width &&
            channel->shape.item_size == shape->item_size) {
            *found = channel;
            return DGNN_OK;
        }
        if (channel->last_use <= x->uses_before && (!oldest || channel->last_use < oldest->last_use)) {
            oldest = channel;
        }
    }
    if (!oldest || (oldest->last_use > 0 && x->nchannel < DGNN_EXCHANGE_CHANNELS)) {
        return exchange_channel_add(x, found, error);
    }
    exchange_channel_empty(x, oldest);
    *found = oldest;
    return DGNN_OK;
}

/* Requests name addresses in the buffer: when it moves, those that are about to be needed are made again. */
static int exchange_buffer_reserve(struct dgnn_exchange *x, int64_t row_bytes, struct dgnn_error *error)
{
    int64_t nbytes;
    if (!dgnn_alloc_checked(x->buffer_rows, row_bytes, 0, &nbytes)) {
        nbytes = INT64_MAX;
    }
    if (nbytes <= x->buffer.capacity) {
        return DGNN_OK;
    }
    for (int64_t i = 0; i < x->nchannel; i++) {
        int64_t last_use = x->channel[i].last_use;
        exchange_channel_empty(x, &x->channel[i]);
        x->channel[i].last_use = last_use > x->uses_before ? last_use : 0;
    }
    int status = dgnn_buffer_reserve(&x->buffer, nbytes, "the exchange between ranks", error);
    for (int64_t i = 0; i < x->nchannel; i++) {
        if (x->channel[i].last_use > 0 && !status) {
            status = x->kind->prepare(x, &x->channel[i], error);
        }
        if (status) {
            exchange_channel_empty(x, &x->channel[i]);
        }
    }
    return status;
}

static int exchange_channel_get(struct dgnn_exchange *x, void *rows, const struct dgnn_rows_shape *shape,
                                struct dgnn_exchange_channel **found, struct dgnn_error *error)
{
    int64_t nbytes;
    if ((shape->item_size != 4 && shape->item_size != 8) || shape->width < 1 || (!rows && x->nnode > 0) ||
        !dgnn_alloc_checked(x->nnode, shape->width, 0, &nbytes) ||
        !dgnn_alloc_checked(nbytes, shape->item_size, 0, &nbytes)) {
        return dgnn_status_set(error, DGNN_ERROR_INTERNAL,
                               "an exchange of rows of %lld items of %d bytes, expected 1 or more of 4 or 8",
                               (long long)shape->width, shape->item_size);
    }
    if (x->state != DGNN_EXCHANGE_IDLE) {
        return dgnn_status_set(error, DGNN_ERROR_INTERNAL, "an exchange begins while one is under way");
    }
    struct dgnn_exchange_channel *channel = NULL;
    DGNN_TRY(dgnn_exchange_settle(x, error));
    DGNN_TRY(exchange_buffer_reserve(x, dgnn_rows_bytes(shape), error));
    DGNN_TRY(exchange_channel_find(x, rows, shape, &channel, error));
    if (channel->last_use == 0) {
        channel->rows = rows;
        channel->shape = *shape;
        int status = x->kind->prepare(x, channel, error);
        if (status) {
            exchange_channel_empty(x, channel);
            return status;
        }
    }
    channel->last_use = ++x->uses;
    *found = channel;
    return DGNN_OK;
}

int dgnn_exchange_prepare(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                          struct dgnn_error *error)
{
    struct dgnn_exchange_channel *channel;
    const struct dgnn_rows_shape shape = {width, item_size};
    return exchange ? exchange_channel_get(exchange, rows, &shape, &channel, error) : DGNN_OK;
}

/* ------------------------------------------------------------------ messages */

int dgnn_exchange_prepare_peer(struct dgnn_exchange *exchange, struct dgnn_exchange_channel *channel,
                               int32_t peer, const struct dgnn_exchange_block *out,
                               const struct dgnn_exchange_block *in, struct dgnn_error *error)
{
    struct dgnn_comm *comm = exchange->comm;
    int64_t sent = out->nrow * dgnn_rows_bytes(&channel->shape);
    int64_t received = in->nrow * dgnn_rows_bytes(&channel->shape);
    if (sent > 0) {
        void **send = dgnn_exchange_requests(exchange, channel, DGNN_EXCHANGE_FORWARD_SEND) + peer;
        void **back = dgnn_exchange_requests(exchange, channel, DGNN_EXCHANGE_REVERSE_RECEIVE) + peer;
        DGNN_TRY(dgnn_transport_send_create(comm, out->data, sent, out->rank, DGNN_TAG_FORWARD, send, error));
        DGNN_TRY(
            dgnn_transport_receive_create(comm, out->data, sent, out->rank, DGNN_TAG_REVERSE, back, error));
    }
    if (received > 0) {
        void **receive = dgnn_exchange_requests(exchange, channel, DGNN_EXCHANGE_FORWARD_RECEIVE) + peer;
        void **back = dgnn_exchange_requests(exchange, channel, DGNN_EXCHANGE_REVERSE_SEND) + peer;
        DGNN_TRY(dgnn_transport_receive_create(comm, in->data, received, in->rank, DGNN_TAG_FORWARD, receive,
                                               error));
        DGNN_TRY(
            dgnn_transport_send_create(comm, in->data, received, in->rank, DGNN_TAG_REVERSE, back, error));
    }
    return DGNN_OK;
}

int dgnn_exchange_start_receive(struct dgnn_exchange *exchange, void *request, struct dgnn_error *error)
{
    return request ? dgnn_transport_start(exchange->comm, request, error) : DGNN_OK;
}

int dgnn_exchange_start_send(struct dgnn_exchange *exchange, void *request, int64_t nrow,
                             struct dgnn_error *error)
{
    static const enum dgnn_traffic traffic[2][2] = {{DGNN_TRAFFIC_FORWARD, DGNN_TRAFFIC_REVERSE},
                                                    {DGNN_TRAFFIC_POSITION, DGNN_TRAFFIC_FORCE}};
    if (!request) {
        return DGNN_OK;
    }
    int reverse = exchange->state == DGNN_EXCHANGE_REVERSE;
    dgnn_transport_count(exchange->comm, traffic[exchange->use][reverse],
                         nrow * dgnn_rows_bytes(&exchange->current->shape));
    return dgnn_transport_start(exchange->comm, request, error);
}

/* ------------------------------------------------------------------ begin and end */

typedef int exchange_step(struct dgnn_exchange *exchange, struct dgnn_error *error);

/* After a failure rows are their owner's again: what is under way may not come to them any more. */
static int exchange_finish(struct dgnn_exchange *x, int status)
{
    if (status) {
        exchange_channel_empty(x, x->current);
    }
    x->state = DGNN_EXCHANGE_IDLE;
    return status;
}

int dgnn_exchange_settle(struct dgnn_exchange *x, struct dgnn_error *error)
{
    if (!x || !x->unsettled) {
        return DGNN_OK;
    }
    struct dgnn_exchange_channel *channel = x->unsettled;
    x->unsettled = NULL;
    enum dgnn_exchange_request which =
        x->unsettled_ghosts ? DGNN_EXCHANGE_REVERSE_SEND : DGNN_EXCHANGE_FORWARD_SEND;
    int status = dgnn_transport_wait(x->comm, dgnn_exchange_requests(x, channel, which), x->npeer, error);
    if (status) {
        exchange_channel_empty(x, channel);
    } else if (x->unsettled_ghosts && x->nnode > x->nowned) {
        memset(dgnn_exchange_row(channel, x->nowned), 0,
               (size_t)((x->nnode - x->nowned) * dgnn_rows_bytes(&channel->shape)));
    }
    return status;
}

static int exchange_begin(struct dgnn_exchange *x, void *rows, const struct dgnn_rows_shape *shape,
                          enum dgnn_exchange_state state, struct dgnn_error *error)
{
    DGNN_TRY(exchange_channel_get(x, rows, shape, &x->current, error));
    x->uses_before = x->uses;
    x->state = state;
    exchange_step *step = state == DGNN_EXCHANGE_FORWARD ? x->kind->forward_begin : x->kind->reverse_begin;
    int status = step(x, error);
    return status ? exchange_finish(x, status) : DGNN_OK;
}

static int exchange_end(struct dgnn_exchange *x, enum dgnn_exchange_state state, struct dgnn_error *error)
{
    if (x->state != state) {
        return dgnn_status_set(error, DGNN_ERROR_INTERNAL, "an exchange ends that was not begun");
    }
    exchange_step *step = state == DGNN_EXCHANGE_FORWARD ? x->kind->forward_end : x->kind->reverse_end;
    int status = step(x, error);
    x->unsettled = status ? NULL : x->current;
    x->unsettled_ghosts = state == DGNN_EXCHANGE_REVERSE;
    return exchange_finish(x, status);
}

int dgnn_exchange_forward_begin(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                                struct dgnn_error *error)
{
    const struct dgnn_rows_shape shape = {width, item_size};
    return exchange ? exchange_begin(exchange, rows, &shape, DGNN_EXCHANGE_FORWARD, error) : DGNN_OK;
}

int dgnn_exchange_forward_end(struct dgnn_exchange *exchange, struct dgnn_error *error)
{
    return exchange ? exchange_end(exchange, DGNN_EXCHANGE_FORWARD, error) : DGNN_OK;
}

int dgnn_exchange_reverse_begin(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                                struct dgnn_error *error)
{
    const struct dgnn_rows_shape shape = {width, item_size};
    return exchange ? exchange_begin(exchange, rows, &shape, DGNN_EXCHANGE_REVERSE, error) : DGNN_OK;
}

int dgnn_exchange_reverse_end(struct dgnn_exchange *exchange, struct dgnn_error *error)
{
    return exchange ? exchange_end(exchange, DGNN_EXCHANGE_REVERSE, error) : DGNN_OK;
}
