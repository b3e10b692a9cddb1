/* Swap exchanges with something wrong in them, put into a model that has one: what a comparison of results
 * must find. */
#ifndef DGNN_TESTS_EXCHANGE_ABLATED_H
#define DGNN_TESTS_EXCHANGE_ABLATED_H

#include <string.h>

#include "comm/exchange_kind.h"

enum swaps_ablation {
    SWAPS_RIGHT = 0,      /* written here, one swap after the other: as good as the real one */
    SWAPS_IDENTITY,       /* forward brings nothing */
    SWAPS_GATHERED_FIRST, /* all lists are packed before anything is received */
    SWAPS_LAST_DROPPED,   /* the last swap is left out, both ways */
    SWAPS_FORWARD_ORDER,  /* reverse runs swaps in forward order */
    SWAPS_NOT_CLEARED,    /* ghost rows keep their gradients */
    SWAPS_ABLATIONS
};
static const char *const swaps_ablation_names[] = {
    "nothing wrong",     "identity exchange",         "all gathered first",
    "last swap dropped", "backward in forward order", "ghosts not cleared"};

static _Thread_local enum swaps_ablation swaps_ablation;

static inline int32_t ablated_nswap(const struct dgnn_exchange *x)
{
    return x->swaps->nswap - (swaps_ablation == SWAPS_LAST_DROPPED);
}

/* Both messages of a swap; the same order on all ranks, so they meet. */
static inline int ablated_message(struct dgnn_exchange *x, int32_t s, enum dgnn_exchange_request receive,
                                  enum dgnn_exchange_request send, int64_t nrow, struct dgnn_error *error)
{
    void *both[2] = {dgnn_exchange_requests(x, x->current, receive)[s],
                     dgnn_exchange_requests(x, x->current, send)[s]};
    DGNN_TRY(dgnn_exchange_start_receive(x, both[0], error));
    DGNN_TRY(dgnn_exchange_start_send(x, both[1], nrow, error));
    return dgnn_transport_wait(x->comm, both, 2, error);
}

/* Where a swap's rows are packed, and the window that it fills. */
static inline char *ablated_packed(const struct dgnn_exchange *x, int32_t s)
{
    return dgnn_exchange_buffer_row(x, x->current, x->swaps->send_first[s]);
}

static inline char *ablated_window(const struct dgnn_exchange *x, int32_t s)
{
    return dgnn_exchange_row(x->current, x->swaps->recv_first[s]);
}

static inline void ablated_pack(struct dgnn_exchange *x, int32_t s)
{
    const struct dgnn_swaps *swaps = x->swaps;
    dgnn_rows_copy(ablated_packed(x, s), NULL, x->current->rows, swaps->send_row + swaps->send_first[s],
                   dgnn_swaps_nsend(x->swaps, s), dgnn_rows_bytes(&x->current->shape));
}

static inline int ablated_forward(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    int64_t row_bytes = dgnn_rows_bytes(&x->current->shape);
    memset(ablated_window(x, 0), 0, (size_t)((swaps->nnode - swaps->nowned) * row_bytes));
    for (int32_t s = 0; s < swaps->nswap && swaps_ablation == SWAPS_GATHERED_FIRST; s++) {
        ablated_pack(x, s);
    }
    for (int32_t s = 0; s < ablated_nswap(x) && swaps_ablation != SWAPS_IDENTITY; s++) {
        if (swaps_ablation != SWAPS_GATHERED_FIRST) {
            ablated_pack(x, s);
        }
        if (dgnn_swaps_is_self(swaps, s)) {
            memcpy(ablated_window(x, s), ablated_packed(x, s),
                   (size_t)(dgnn_swaps_nsend(swaps, s) * row_bytes));
        }
        DGNN_TRY(ablated_message(x, s, DGNN_EXCHANGE_FORWARD_RECEIVE, DGNN_EXCHANGE_FORWARD_SEND,
                                 dgnn_swaps_nsend(x->swaps, s), error));
    }
    return DGNN_OK;
}

static inline int ablated_reverse(struct dgnn_exchange *x, struct dgnn_error *error)
{
    const struct dgnn_swaps *swaps = x->swaps;
    int32_t nswap = ablated_nswap(x);
    for (int32_t i = 0; i < nswap; i++) {
        int32_t s = swaps_ablation == SWAPS_FORWARD_ORDER ? i : nswap - 1 - i;
        DGNN_TRY(ablated_message(x, s, DGNN_EXCHANGE_REVERSE_RECEIVE, DGNN_EXCHANGE_REVERSE_SEND,
                                 dgnn_swaps_nrecv(x->swaps, s), error));
        const char *from = dgnn_swaps_is_self(swaps, s) ? ablated_window(x, s) : ablated_packed(x, s);
        dgnn_rows_add(x->current->rows, swaps->send_row + swaps->send_first[s], from, NULL,
                      dgnn_swaps_nsend(swaps, s), &x->current->shape);
    }
    return DGNN_OK;
}

static inline int ablated_nothing(struct dgnn_exchange *x, struct dgnn_error *error)
{
    (void)x, (void)error;
    return DGNN_OK;
}

static inline int ablated_prepare(struct dgnn_exchange *x, struct dgnn_exchange_channel *lane,
                                  struct dgnn_error *error)
{
    return dgnn_exchange_swaps.prepare(x, lane, error);
}

static const struct dgnn_exchange_kind ablated_kind = {.prepare = ablated_prepare,
                                                       .forward_begin = ablated_forward,
                                                       .forward_end = ablated_nothing,
                                                       .reverse_begin = ablated_reverse,
                                                       .reverse_end = ablated_nothing};

/* From now on this exchange goes wrong, on the rank that is this thread. */
static inline void exchange_ablate(struct dgnn_exchange *x, enum swaps_ablation ablation)
{
    swaps_ablation = ablation;
    x->kind = &ablated_kind;
    if (ablation == SWAPS_NOT_CLEARED) {
        x->nowned = x->nnode; /* no rows to clear */
    }
}

#endif
