/* What the files of the communicator share: transport.c, transport_collect.c, transport_agree.c. */
#ifndef DGNN_COMM_TRANSPORT_INSIDE_H
#define DGNN_COMM_TRANSPORT_INSIDE_H

#include "comm/transport.h"

enum { DGNN_TRANSPORT_SCRATCH = 256 }; /* bytes of comm->scratch for each rank */

/* Remembers the first COMM, after which the communicator is not used. Returns the status. */
int dgnn_transport_result(struct dgnn_comm *comm, int status, const struct dgnn_error *error);

/* dgnn_transport_reduce over a transport that has no all-reduce. */
int dgnn_transport_reduce_in_tree(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                                  enum dgnn_reduction reduction, struct dgnn_error *error);

#endif
