/* A host code's swap sequence (docs/exchange.md): swap s sends rows that exist by then, possibly ghosts that
 * an earlier swap brought, and fills the window of ghost rows that follows swap s - 1's.
 *
 * Pure data, immutable once made, and made without messages. */
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
    const int32_t *recv_rank;  /* nswap; me where send_rank is, a self swap */
    const int64_t *send_first; /* nswap + 1, CSR into send_row */
    const int32_t *send_row;   /* rows below recv_first[s] */
    const int64_t *recv_first; /* nswap + 1; the window of swap s is [recv_first[s], recv_first[s + 1]) */
    const int32_t *needs;      /* nswap: the last earlier swap that brings a row that this one sends; -1 */
    const int32_t *needed_by;  /* nswap: the first later swap that sends a row that this one brings; nswap */
};

/* Rows that swap s sends and receives. */
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

/* May this border be a plan (V1 to V3 of the contract, firstrecv)? The error names swap and field.
 * Errors: INPUT. */
int dgnn_swaps_valid(const struct dgnn_border *border, int64_t nowned, int64_t nnode, int32_t me,
                     int32_t nrank, struct dgnn_error *error);

/* Validates and copies; in one block, freed with dgnn_swaps_free. Errors: INPUT, MEMORY. */
int dgnn_swaps_create(const struct dgnn_border *border, int64_t nowned, int64_t nnode, int32_t me,
                      int32_t nrank, struct dgnn_swaps **swaps, struct dgnn_error *error);

/* The swaps among the rows that are left when NULL atoms go: new_row has nnode entries, the new index of a
 * row or -1, counted over owned rows and then ghosts, in order. Sent rows are dropped from the lists and
 * received ones from the windows, each end on its own: they agree because both know the same types. */
int dgnn_swaps_remap(const struct dgnn_swaps *swaps, const int32_t *new_row, struct dgnn_swaps **remapped,
                     struct dgnn_error *error);

void dgnn_swaps_free(struct dgnn_swaps *swaps); /* NULL is allowed */

#endif
