/* A host's swaps, in order. Forward, a swap may go as soon as the windows that its list reads have arrived;
 * reverse, a window may go home as soon as every later swap that sent rows of it has added their gradients to
 * it. Receives are all posted first: messages of one tag between two ranks start in swap order on both sides,
 * and so they meet. */
#include "comm/exchange_kind.h"

/* Where swap s's rows are packed, and the window that it fills. */
static char *swaps_packed(const struct dgnn_exchange *x, const struct dgnn_exchange_channel *channel,
                          int32_t s)
{
    return dgnn_exchange_buffer_row(x, channel, x->swaps->send_first[s]);
}

static char *swaps_window(const struct dgnn_exchange *x, const struct dgnn_exchange_channel *channel,
                          int32_t s)
{
    return dgnn_exchange_row(channel, x->swaps->recv_first[s]);
}

static int swaps_prepare(struct dgnn_exchange *x, struct dgnn_exchange_channel *channel,
                         struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    for (int32_t s = 0; s < swaps->nswap; s++) {
        if (!dgnn_swaps_is_self(swaps, s)) {
            int64_t nsend = dgnn_swaps_nsend(swaps, s), nrecv = dgnn_swaps_nrecv(swaps, s);
            const struct dgnn_exchange_block out = {swaps->send_rank[s], nsend, swaps_packed(x, channel, s)};
            const struct dgnn_exchange_block in = {swaps->recv_rank[s], nrecv, swaps_window(x, channel, s)};
            DGNN_TRY(dgnn_exchange_prepare_peer(x, channel, s, &out, &in, error));
        }
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ forward */

/* Self swaps up to the next one to send are done, and empty windows need no message. */
static void swaps_skip_arrived(struct dgnn_exchange *x)
{
    void **receive = dgnn_exchange_requests(x, x->current, DGNN_EXCHANGE_FORWARD_RECEIVE);
    while (x->done < x->sent && !receive[x->done]) {
        x->done++;
    }
}

static int swaps_send(struct dgnn_exchange *x, int32_t s, struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    const struct dgnn_exchange_channel *channel = x->current;
    const int32_t *from = swaps->send_row + swaps->send_first[s];
    int64_t nsend = dgnn_swaps_nsend(swaps, s);
    char *to = dgnn_swaps_is_self(swaps, s) ? swaps_window(x, channel, s) : swaps_packed(x, channel, s);
    dgnn_rows_copy(to, NULL, channel->rows, from, nsend, dgnn_rows_bytes(&channel->shape));
    void *request = dgnn_exchange_requests(x, channel, DGNN_EXCHANGE_FORWARD_SEND)[s];
    return dgnn_exchange_start_send(x, request, nsend, error);
}

/* Sends as many swaps as are ready; with wait, all. */
static int swaps_advance(struct dgnn_exchange *x, int wait, struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    void **receive = dgnn_exchange_requests(x, x->current, DGNN_EXCHANGE_FORWARD_RECEIVE);
    for (; x->sent < swaps->nswap; x->sent++) {
        int32_t needs = swaps->needs[x->sent];
        swaps_skip_arrived(x);
        if (needs >= x->done) {
            if (!wait) {
                return DGNN_OK;
            }
            DGNN_TRY(dgnn_transport_wait(x->comm, receive + x->done, needs + 1 - x->done, error));
            x->done = needs + 1;
        }
        DGNN_TRY(swaps_send(x, x->sent, error));
    }
    return DGNN_OK;
}

static int swaps_forward_begin(struct dgnn_exchange *x, struct dgnn_error *error)
{
    void **receive = dgnn_exchange_requests(x, x->current, DGNN_EXCHANGE_FORWARD_RECEIVE);
    x->sent = 0;
    x->done = 0;
    for (int32_t s = 0; s < x->npeer; s++) {
        DGNN_TRY(dgnn_exchange_start_receive(x, receive[s], error));
    }
    return swaps_advance(x, 0, error);
}

static int swaps_forward_end(struct dgnn_exchange *x, struct dgnn_error *error)
{
    DGNN_TRY(swaps_advance(x, 1, error));
    swaps_skip_arrived(x);
    void **receive = dgnn_exchange_requests(x, x->current, DGNN_EXCHANGE_FORWARD_RECEIVE);
    return dgnn_transport_wait(x->comm, receive + x->done, x->npeer - x->done, error);
}

/* ------------------------------------------------------------------ reverse */

/* Sends the windows that are final home, in descending order. */
static int swaps_send_home(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    void **send = dgnn_exchange_requests(x, x->current, DGNN_EXCHANGE_REVERSE_SEND);
    while (x->sent > 0 && swaps->needed_by[x->sent - 1] >= x->done) {
        x->sent--;
        DGNN_TRY(dgnn_exchange_start_send(x, send[x->sent], dgnn_swaps_nrecv(swaps, x->sent), error));
    }
    return DGNN_OK;
}

static int swaps_reverse_begin(struct dgnn_exchange *x, struct dgnn_error *error)
{
    void **receive = dgnn_exchange_requests(x, x->current, DGNN_EXCHANGE_REVERSE_RECEIVE);
    for (int32_t s = x->npeer - 1; s >= 0; s--) {
        DGNN_TRY(dgnn_exchange_start_receive(x, receive[s], error));
    }
    x->sent = x->npeer;
    x->done = x->npeer;
    return swaps_send_home(x, error);
}

static int swaps_reverse_end(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    const struct dgnn_exchange_channel *channel = x->current;
    void **receive = dgnn_exchange_requests(x, channel, DGNN_EXCHANGE_REVERSE_RECEIVE);
    while (x->done > 0) {
        int32_t s = x->done - 1;
        DGNN_TRY(dgnn_transport_wait(x->comm, &receive[s], receive[s] != NULL, error));
        const char *from =
            dgnn_swaps_is_self(swaps, s) ? swaps_window(x, channel, s) : swaps_packed(x, channel, s);
        const int32_t *to = swaps->send_row + swaps->send_first[s];
        dgnn_rows_add(channel->rows, to, from, NULL, dgnn_swaps_nsend(swaps, s), &channel->shape);
        x->done = s;
        DGNN_TRY(swaps_send_home(x, error));
    }
    return DGNN_OK;
}

const struct dgnn_exchange_kind dgnn_exchange_swaps = {.prepare = swaps_prepare,
                                                       .forward_begin = swaps_forward_begin,
                                                       .forward_end = swaps_forward_end,
                                                       .reverse_begin = swaps_reverse_begin,
                                                       .reverse_end = swaps_reverse_end};
