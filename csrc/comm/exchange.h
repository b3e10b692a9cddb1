/* Moves rows of node features between ranks. Forward copies each owner's row into its ghosts. Reverse adds
 * the ghosts' rows to their owners, in a fixed order, and clears them.
 *
 * Begin starts the messages. Between begin and end of forward, owned rows may be read but not written;
 * between those of reverse, no row may be touched. End waits for what arrives, but not for what leaves, so
 * that a rank that is ahead goes on. After the end of reverse, ghost rows are unsettled: they may be read,
 * but not written, until the exchange settles.
 *
 * After an error nothing of the exchange is under way, so no late message writes into the rows.
 *
 * This header is all of comm that net sees. A NULL exchange stands for one rank without ghosts; then nothing
 * happens. */
#ifndef DGNN_COMM_EXCHANGE_H
#define DGNN_COMM_EXCHANGE_H

#include "base/status.h"

struct dgnn_exchange;

/* Allocates all that forward and reverse of these rows will need, without messages, so that memory runs out
 * before ranks wait for one another. Begin calls it where the caller did not. The buffer is as large as the
 * widest rows need. Requests are kept for each (rows, width) that was prepared since the last exchange; with
 * older ones, for DGNN_EXCHANGE_CHANNELS of them (comm/exchange_create.h). Errors: MEMORY, COMM. */
int dgnn_exchange_prepare(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                          struct dgnn_error *error);

/* rows is nnode x width items of item_size bytes (4: float, 8: double), contiguous. Persistent requests are
 * used again where a later call has the same address and width. At most one exchange is under way. Errors:
 * COMM, those of prepare, INTERNAL (a begin within another, an end without its begin). */
int dgnn_exchange_forward_begin(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                                struct dgnn_error *error);
int dgnn_exchange_forward_end(struct dgnn_exchange *exchange, struct dgnn_error *error);
int dgnn_exchange_reverse_begin(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                                struct dgnn_error *error);
int dgnn_exchange_reverse_end(struct dgnn_exchange *exchange, struct dgnn_error *error);

/* Waits until what was sent has left, and clears unsettled ghost rows. Prepare and begin settle first. A
 * caller settles before it frees the exchange, uses the rows for something else, or returns to its own
 * caller. Errors: COMM. */
int dgnn_exchange_settle(struct dgnn_exchange *exchange, struct dgnn_error *error);

#endif
