/* Are ids distinct over all ranks? */
#ifndef DGNN_SYSTEM_DISTINCT_H
#define DGNN_SYSTEM_DISTINCT_H

#include "base/alloc.h"
#include "comm/transport.h"

/* Collective: each id goes to the rank that its hash names, which sorts what it gets. The same answer on all
 * ranks; INPUT names an id that is there twice. */
int dgnn_distinct_check(struct dgnn_comm *comm, const char *operation, int64_t n, const int64_t *ids,
                        struct dgnn_error *error);

#endif
