/* Checks that the ranks' plans fit together. The checks are collective, each rank passes its own plan, and
 * they run once for each plan that is made.
 *
 * status and *error say whether this rank made its own plan; where it failed, the plan may be NULL. All ranks
 * return the same status and message, which names rank, swap or neighbour, and field. operation is the name
 * for the agreement (comm/transport.h). */
#ifndef DGNN_COMM_CHECK_H
#define DGNN_COMM_CHECK_H

#include "comm/exchange_create.h"

int dgnn_check_plan(struct dgnn_comm *comm, const char *operation, const struct dgnn_plan *plan, int status,
                    struct dgnn_error *error);

/* Checks V4 and V5 of the contract in docs/exchange.md. */
int dgnn_check_swaps(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                     int status, struct dgnn_error *error);

/* Checks that each ghost row has the value of its owner's row. Each owned row's value goes through the
 * exchange and is compared with the ghost's, which finds a list that names a valid but wrong row. what names
 * the values in messages, as in "id". */
struct dgnn_check_values {
    const char *what;
    const int64_t *value; /* nnode */
    const int32_t *row;   /* nnode: names of the rows in messages; NULL: their numbers */
};
int dgnn_check_rows(struct dgnn_comm *comm, const char *operation, struct dgnn_exchange *exchange,
                    const struct dgnn_check_values *values, struct dgnn_error *error);

#endif
