/* Inside of the exchange: what its two kinds (direct messages, swap sequences) share. */
#ifndef DGNN_COMM_EXCHANGE_KIND_H
#define DGNN_COMM_EXCHANGE_KIND_H

#include "base/alloc.h"
#include "comm/exchange_create.h"
#include "comm/rows.h"

/* A lane is one array of rows with its persistent requests. */
struct dgnn_exchange_lane {
    char *rows;
    struct dgnn_rows_shape shape;
    int64_t last_use; /* 0: empty */
    void **request;   /* its own block: one in each row of the table below; NULL: nothing is to be sent */
};

/* Requests of a lane: 4 x npeer, where a peer is a neighbour or a swap. */
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
    int64_t buffer_rows; /* rows that pass through the buffer; as one exchange is under way, lanes share it */
    struct dgnn_buffer buffer;
    struct dgnn_exchange_lane *lane;
    int64_t nlane;
    int64_t uses;
    int64_t uses_before; /* before the preparations under way: lanes used later are about to be needed */

    enum dgnn_exchange_state state;
    struct dgnn_exchange_lane *current;
    struct dgnn_exchange_lane *lent; /* its sends may be under way; NULL: settled */
    int lent_ghosts;                 /* these are ghost rows, to be cleared */
    int32_t sent;                    /* swaps: forward, swaps below are sent; reverse, swaps from here on */
    int32_t done; /* swaps: forward, windows below have arrived; reverse, lists from here on are added */
};

/* Ends wait for what arrives. Sends are waited for when the exchange settles. */
struct dgnn_exchange_kind {
    /* Makes the lane's requests; those that it made before a failure are freed by the caller. */
    int (*prepare)(struct dgnn_exchange *exchange, struct dgnn_exchange_lane *lane, struct dgnn_error *error);
    int (*forward_begin)(struct dgnn_exchange *exchange, struct dgnn_error *error);
    int (*forward_end)(struct dgnn_exchange *exchange, struct dgnn_error *error);
    int (*reverse_begin)(struct dgnn_exchange *exchange, struct dgnn_error *error);
    int (*reverse_end)(struct dgnn_exchange *exchange, struct dgnn_error *error);
};

extern const struct dgnn_exchange_kind dgnn_exchange_direct;
extern const struct dgnn_exchange_kind dgnn_exchange_swaps;

static inline void **dgnn_exchange_requests(const struct dgnn_exchange *x,
                                            const struct dgnn_exchange_lane *lane,
                                            enum dgnn_exchange_request which)
{
    return lane->request + which * (int64_t)x->npeer;
}

/* Row k of the buffer (NULL where no message needs one), and of the lane's rows. */
static inline char *dgnn_exchange_buffer_row(const struct dgnn_exchange *x,
                                             const struct dgnn_exchange_lane *lane, int64_t k)
{
    return x->buffer.data ? (char *)x->buffer.data + k * dgnn_rows_bytes(&lane->shape) : NULL;
}

static inline char *dgnn_exchange_row(const struct dgnn_exchange_lane *lane, int64_t row)
{
    return lane->rows + row * dgnn_rows_bytes(&lane->shape);
}

/* Consecutive rows that are one message, to rank or from it. */
struct dgnn_exchange_block {
    int32_t rank;
    int64_t nrow;
    char *data;
};

/* The four requests of a peer, for a kind's prepare: what goes out forward comes back in reverse. */
int dgnn_exchange_prepare_peer(struct dgnn_exchange *exchange, struct dgnn_exchange_lane *lane, int32_t peer,
                               const struct dgnn_exchange_block *out, const struct dgnn_exchange_block *in,
                               struct dgnn_error *error);

/* Both do nothing for an empty message (a NULL request). A send is counted. */
int dgnn_exchange_start_receive(struct dgnn_exchange *exchange, void *request, struct dgnn_error *error);
int dgnn_exchange_start_send(struct dgnn_exchange *exchange, void *request, int64_t nrow,
                             struct dgnn_error *error);

#endif
