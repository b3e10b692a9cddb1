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

/* Sends each owned atom's id through the exchange and compares it with the id that the ghost has: finds a
 * list that names a valid but wrong row. ids: nnode. */
int dgnn_check_ids(struct dgnn_comm *comm, const char *operation, struct dgnn_exchange *exchange,
                   const int64_t *ids, int64_t nowned, int64_t nnode, struct dgnn_error *error);

#endif
