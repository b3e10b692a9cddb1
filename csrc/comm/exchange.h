/* Rows of node features between ranks: forward copies each owner's row into its ghosts, reverse adds the
 * ghosts' rows to their owners in a fixed order and clears them. Begin starts the messages; between it and
 * end, owned rows may be read but not written (forward), and no row may be touched (reverse). End waits for
 * what arrives, not for what leaves: a rank that is ahead goes on. After a reverse end, ghost rows stay lent,
 * to be read at most, until the exchange settles.
 *
 * After an error nothing of the exchange is under way: no message that comes late touches the rows.
 *
 * This is all of comm that net sees. A NULL exchange is one rank without ghosts: nothing happens. */
#ifndef DGNN_COMM_EXCHANGE_H
#define DGNN_COMM_EXCHANGE_H

#include "base/status.h"

struct dgnn_exchange;

/* Allocates all that forward and reverse of these rows will need, without messages, so that memory runs out
 * before ranks wait for one another. Begin does it where it was not done. Memory is for the widest rows
 * prepared. Requests stay for each (rows, width) prepared since the last exchange, and, of older ones, for
 * DGNN_EXCHANGE_LANES (comm/exchange_create.h) in all. Errors: MEMORY, COMM. */
int dgnn_exchange_prepare(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                          struct dgnn_error *error);

/* rows: nnode x width of item_size bytes (4: float, 8: double), contiguous; the same address at each call
 * with the same width lets persistent requests be used again. At most one exchange is under way. Errors:
 * COMM, those of prepare, INTERNAL (a begin within another, an end without its begin). */
int dgnn_exchange_forward_begin(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                                struct dgnn_error *error);
int dgnn_exchange_forward_end(struct dgnn_exchange *exchange, struct dgnn_error *error);
int dgnn_exchange_reverse_begin(struct dgnn_exchange *exchange, void *rows, int64_t width, int item_size,
                                struct dgnn_error *error);
int dgnn_exchange_reverse_end(struct dgnn_exchange *exchange, struct dgnn_error *error);

/* Waits until what was sent has left; clears ghost rows that were lent. Prepare and begin do it first; who
 * frees the exchange, gives the rows to others or returns to a caller does it before. Errors: COMM. */
int dgnn_exchange_settle(struct dgnn_exchange *exchange, struct dgnn_error *error);

#endif
