/* Do the ranks' plans fit together? Collective, each rank with its own; once a rebuild.
 *
 * status and *error: how making this rank's own plan went (the plan may be NULL where it failed). Returns the
 * same status and message on all ranks, naming rank, swap or neighbour, and field. operation: as for an
 * agreement. */
#ifndef DGNN_COMM_CHECK_H
#define DGNN_COMM_CHECK_H

#include "comm/exchange_create.h"

int dgnn_check_plan(struct dgnn_comm *comm, const char *operation, const struct dgnn_plan *plan, int status,
                    struct dgnn_error *error);

/* V4 and V5 of the contract. */
int dgnn_check_swaps(struct dgnn_comm *comm, const char *operation, const struct dgnn_swaps *swaps,
                     int status, struct dgnn_error *error);

/* Does each ghost row have what its owner has? Sends each owned row's value (its atom's id, say; what: "id")
 * through the exchange and compares: finds a list that names a valid but wrong row. */
struct dgnn_check_values {
    const char *what;
    const int64_t *value; /* nnode */
    const int32_t *row;   /* nnode: what messages call the rows; NULL: their numbers */
};
int dgnn_check_rows(struct dgnn_comm *comm, const char *operation, struct dgnn_exchange *exchange,
                    const struct dgnn_check_values *values, struct dgnn_error *error);

#endif
