/* A host code's swap sequence (docs/exchange.md). Swap s sends owned rows and ghosts that an earlier swap
 * brought. It fills the window of ghost rows that follows the window of swap s - 1.
 *
 * A sequence is pure data. It is made without messages and does not change. */
#ifndef DGNN_COMM_SWAPS_H
#define DGNN_COMM_SWAPS_H

#include "base/status.h"

struct dgnn_swaps {
    int64_t nowned;
    int64_t nnode;
    int32_t nswap;
    int32_t me;
    int32_t nrank;
    const int32_t *send_rank;  /* nswap */
    const int32_t *recv_rank;  /* nswap; in a self swap both ranks are me */
    const int64_t *send_first; /* nswap + 1, CSR into send_row */
    const int32_t *send_row;   /* rows below recv_first[s] */
    const int64_t *recv_first; /* nswap + 1; the window of swap s is [recv_first[s], recv_first[s + 1]) */
    const int32_t *needs;     /* nswap: the last earlier swap that brings a row that this swap sends; -1: none
                                 does */
    const int32_t *needed_by; /* nswap: the first later swap that sends a row that this swap brings; nswap:
                                 none does */
};

/* How many rows swap s sends, and receives. */
static inline int64_t dgnn_swaps_nsend(const struct dgnn_swaps *swaps, int32_t s)
{
    return swaps->send_first[s + 1] - swaps->send_first[s];
}

static inline int64_t dgnn_swaps_nrecv(const struct dgnn_swaps *swaps, int32_t s)
{
    return swaps->recv_first[s + 1] - swaps->recv_first[s];
}

static inline int dgnn_swaps_is_self(const struct dgnn_swaps *swaps, int32_t s)
{
    return swaps->send_rank[s] == swaps->me;
}

/* Checks V1 to V3 of the contract, and firstrecv. Errors: INPUT, which names swap and field. */
int dgnn_swaps_valid(const struct dgnn_border *border, int64_t nowned, int64_t nnode, int32_t me,
                     int32_t nrank, struct dgnn_error *error);

/* Checks the border and copies it into one block, which is freed with dgnn_swaps_free. Errors: INPUT, MEMORY.
 */
int dgnn_swaps_create(const struct dgnn_border *border, int64_t nowned, int64_t nnode, int32_t me,
                      int32_t nrank, struct dgnn_swaps **swaps, struct dgnn_error *error);

/* Makes the swaps of the rows that are left when NULL atoms are dropped. new_row has nnode entries: a row's
 * new index, or -1. New indices count owned rows first and then ghosts, in order. The sender drops rows from
 * its list and the receiver from its window. Both drop the same rows, because they know the same types.
 * Errors: MEMORY. */
int dgnn_swaps_remap(const struct dgnn_swaps *swaps, const int32_t *new_row, struct dgnn_swaps **remapped,
                     struct dgnn_error *error);

void dgnn_swaps_free(struct dgnn_swaps *swaps); /* NULL is allowed */

#endif
