/* A plan of direct messages: which owned rows go to which neighbour, and which ghost rows come from it.
 *
 * A plan is pure data. It is made without messages and does not change. Rows [0, nowned) are owned, and rows
 * [nowned, nnode) are ghosts. Each ghost row comes from exactly one neighbour. The ghost rows of a neighbour
 * come in the order in which it sends them. A rank may be its own neighbour, where periodic images are rows;
 * such rows are copied without a communicator. */
#ifndef DGNN_COMM_PLAN_H
#define DGNN_COMM_PLAN_H

#include "base/status.h"

struct dgnn_plan {
    int64_t nowned;
    int64_t nnode;
    int32_t nneighbour;
    int32_t me;
    int32_t nrank;
    const int32_t *rank;       /* nneighbour, each once, in the order in which gradients are added */
    const int64_t *send_first; /* nneighbour + 1, CSR into send_row */
    const int32_t *send_row;   /* owned rows */
    const int64_t *recv_first; /* nneighbour + 1, CSR into recv_row */
    const int32_t *recv_row;   /* ghost rows */
    const int8_t *contiguous;  /* nneighbour: 1: its ghost rows are one window, into which messages are
                                  received directly */
};

/* How many rows go to neighbour n, and come from it. */
static inline int64_t dgnn_plan_nsend(const struct dgnn_plan *plan, int32_t n)
{
    return plan->send_first[n + 1] - plan->send_first[n];
}

static inline int64_t dgnn_plan_nrecv(const struct dgnn_plan *plan, int32_t n)
{
    return plan->recv_first[n + 1] - plan->recv_first[n];
}

static inline int dgnn_plan_is_self(const struct dgnn_plan *plan, int32_t n)
{
    return plan->rank[n] == plan->me;
}

/* Checks that these arrays can be a plan. Errors: INPUT, which names neighbour and field. */
int dgnn_plan_valid(const struct dgnn_direct *direct, int64_t nowned, int64_t nnode, int32_t me,
                    int32_t nrank, struct dgnn_error *error);

/* Checks the arrays and copies them into one block, which is freed with dgnn_plan_free. Errors: INPUT,
 * MEMORY. */
int dgnn_plan_create(const struct dgnn_direct *direct, int64_t nowned, int64_t nnode, int32_t me,
                     int32_t nrank, struct dgnn_plan **plan, struct dgnn_error *error);

/* Makes the plan of the rows that are left when NULL atoms are dropped. new_row has nnode entries: a row's
 * new index, or -1. New indices count owned rows first and then ghosts, in order. Both ends of a message drop
 * the same rows, because they know the same types. Errors: MEMORY. */
int dgnn_plan_remap(const struct dgnn_plan *plan, const int32_t *new_row, struct dgnn_plan **remapped,
                    struct dgnn_error *error);

void dgnn_plan_free(struct dgnn_plan *plan); /* NULL is allowed */

#endif
