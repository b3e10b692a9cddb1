/* The inside of the exchange: what its two kinds, direct messages and swap sequences, share. */
#ifndef DGNN_COMM_EXCHANGE_KIND_H
#define DGNN_COMM_EXCHANGE_KIND_H

#include "base/alloc.h"
#include "comm/exchange_create.h"
#include "comm/rows.h"

/* A channel is one array of rows with its persistent requests. */
struct dgnn_exchange_channel {
    char *rows;
    struct dgnn_rows_shape shape;
    int64_t last_use; /* 0: empty */
    void **request;   /* 4 x npeer, in a block of its own; an entry is NULL where nothing is sent */
};

/* The rows of a channel's table of requests, which has a column for each peer: a neighbour or a swap. */
enum dgnn_exchange_request {
    DGNN_EXCHANGE_FORWARD_RECEIVE = 0,
    DGNN_EXCHANGE_FORWARD_SEND,
    DGNN_EXCHANGE_REVERSE_RECEIVE,
    DGNN_EXCHANGE_REVERSE_SEND
};

enum dgnn_exchange_state { DGNN_EXCHANGE_IDLE = 0, DGNN_EXCHANGE_FORWARD, DGNN_EXCHANGE_REVERSE };

struct dgnn_exchange {
    const struct dgnn_exchange_kind *kind;
    const struct dgnn_plan *plan;   /* of a direct exchange */
    const struct dgnn_swaps *swaps; /* of a swap exchange */
    struct dgnn_comm *comm;
    enum dgnn_exchange_use use;
    int64_t nowned;
    int64_t nnode;
    int32_t npeer;
    int64_t buffer_rows; /* rows that pass through the buffer, which all channels share, since one exchange is
                            under way at a time */
    struct dgnn_buffer buffer;
    struct dgnn_exchange_channel *channel;
    int64_t nchannel;
    int64_t uses;
    int64_t uses_before; /* uses before the present preparations; channels used since then are about to be
                            needed */

    enum dgnn_exchange_state state;
    struct dgnn_exchange_channel *current;
    struct dgnn_exchange_channel *unsettled; /* the channel whose sends may be under way; NULL: settled */
    int unsettled_ghosts; /* 1: the rows under way are ghosts', which are cleared when they have left */
    int32_t sent; /* swaps: in forward, swaps before this one are sent; in reverse, this one and those after
                     it */
    int32_t done; /* swaps: in forward, windows before this one have arrived; in reverse, this list and those
                     after it are added */
};

/* What a kind of exchange does. The two ends wait for what arrives; sends are waited for when the exchange
 * settles. */
struct dgnn_exchange_kind {
    /* Makes the channel's requests. After a failure the caller frees those that were made. */
    int (*prepare)(struct dgnn_exchange *exchange, struct dgnn_exchange_channel *channel,
                   struct dgnn_error *error);
    int (*forward_begin)(struct dgnn_exchange *exchange, struct dgnn_error *error);
    int (*forward_end)(struct dgnn_exchange *exchange, struct dgnn_error *error);
    int (*reverse_begin)(struct dgnn_exchange *exchange, struct dgnn_error *error);
    int (*reverse_end)(struct dgnn_exchange *exchange, struct dgnn_error *error);
};

extern const struct dgnn_exchange_kind dgnn_exchange_direct;
extern const struct dgnn_exchange_kind dgnn_exchange_swaps;

static inline void **dgnn_exchange_requests(const struct dgnn_exchange *x,
                                            const struct dgnn_exchange_channel *channel,
                                            enum dgnn_exchange_request which)
{
    return channel->request + which * (int64_t)x->npeer;
}

/* Row k of the buffer (NULL where no message needs a buffer), and of the channel's rows. */
static inline char *dgnn_exchange_buffer_row(const struct dgnn_exchange *x,
                                             const struct dgnn_exchange_channel *channel, int64_t k)
{
    return x->buffer.data ? (char *)x->buffer.data + k * dgnn_rows_bytes(&channel->shape) : NULL;
}

static inline char *dgnn_exchange_row(const struct dgnn_exchange_channel *channel, int64_t row)
{
    return channel->rows + row * dgnn_rows_bytes(&channel->shape);
}

/* Consecutive rows that are one message to a rank, or from it. */
struct dgnn_exchange_block {
    int32_t rank;
    int64_t nrow;
    char *data;
};

/* Makes the four requests of a peer. What goes out in forward comes back in reverse. */
int dgnn_exchange_prepare_peer(struct dgnn_exchange *exchange, struct dgnn_exchange_channel *channel,
                               int32_t peer, const struct dgnn_exchange_block *out,
                               const struct dgnn_exchange_block *in, struct dgnn_error *error);

/* Starts a request. An empty message (a NULL request) is skipped. A send is counted. */
int dgnn_exchange_start_receive(struct dgnn_exchange *exchange, void *request, struct dgnn_error *error);
int dgnn_exchange_start_send(struct dgnn_exchange *exchange, void *request, int64_t nrow,
                             struct dgnn_error *error);

#endif
