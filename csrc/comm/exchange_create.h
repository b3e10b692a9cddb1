/* Makes the exchange that net uses (comm/exchange.h) from a plan and a communicator. */
#ifndef DGNN_COMM_EXCHANGE_CREATE_H
#define DGNN_COMM_EXCHANGE_CREATE_H

#include "comm/exchange.h"
#include "comm/plan.h"
#include "comm/swaps.h"
#include "comm/transport.h"

/* Says what the rows are, for the counters of traffic: features and their gradients, or positions (with
 * spins) and forces. One plan may have an exchange for each. */
enum dgnn_exchange_use { DGNN_EXCHANGE_FEATURES = 0, DGNN_EXCHANGE_GEOMETRY = 1 };

/* Creates an exchange; local, without messages. The plan and the communicator belong to the caller and must
 * outlive the exchange. comm may be NULL where the plan names no other rank. The caller frees *exchange with
 * dgnn_exchange_free. Errors: MEMORY, INPUT (no communicator, or one that does not fit the plan). */
int dgnn_exchange_create_direct(const struct dgnn_plan *plan, struct dgnn_comm *comm,
                                enum dgnn_exchange_use use, struct dgnn_exchange **exchange,
                                struct dgnn_error *error);
int dgnn_exchange_create_swaps(const struct dgnn_swaps *swaps, struct dgnn_comm *comm,
                               enum dgnn_exchange_use use, struct dgnn_exchange **exchange,
                               struct dgnn_error *error);
/* Frees an exchange, which must have settled: otherwise what it sent may never arrive. NULL is allowed. */
void dgnn_exchange_free(struct dgnn_exchange *exchange);

/* How many pairs (rows, width) an exchange keeps requests for in any case. It keeps more where more are
 * prepared. */
enum { DGNN_EXCHANGE_CHANNELS = 64 };

#endif
