/* Making the exchange that net runs (comm/exchange.h) out of a plan and a communicator. */
#ifndef DGNN_COMM_EXCHANGE_CREATE_H
#define DGNN_COMM_EXCHANGE_CREATE_H

#include "comm/exchange.h"
#include "comm/plan.h"
#include "comm/swaps.h"
#include "comm/transport.h"

/* What the rows are, for the counters: features and their gradients, or positions (and spins) and forces. A
 * plan may have an exchange for each. */
enum dgnn_exchange_use { DGNN_EXCHANGE_FEATURES = 0, DGNN_EXCHANGE_GEOMETRY = 1 };

/* Local, without messages. The plan and the communicator are borrowed and outlive the exchange; comm may be
 * NULL where the plan has no other rank in it. Errors: MEMORY, INPUT (no communicator, or not the plan's). */
int dgnn_exchange_create_direct(const struct dgnn_plan *plan, struct dgnn_comm *comm,
                                enum dgnn_exchange_use use, struct dgnn_exchange **exchange,
                                struct dgnn_error *error);
int dgnn_exchange_create_swaps(const struct dgnn_swaps *swaps, struct dgnn_comm *comm,
                               enum dgnn_exchange_use use, struct dgnn_exchange **exchange,
                               struct dgnn_error *error);
/* NULL is allowed. Unless it settled, what it sent may never arrive. */
void dgnn_exchange_free(struct dgnn_exchange *exchange);

/* (rows, width) for which an exchange keeps requests in any case; it keeps more where more are prepared. */
enum { DGNN_EXCHANGE_LANES = 64 };

#endif
