/* Ends a call early where its caller wishes it. The thread that called asks between pieces of the
 * calculation, at most every dgnn_stop_interval seconds. Once the answer is yes, all threads of the call
 * leave out the remaining pieces, and the call fails with DGNN_ERROR_INTERRUPTED before it reads what those
 * pieces would have written. A piece takes some ten milliseconds at most.
 *
 * Each thread knows the call that it works for, so no function needs an argument for it. dgnn_parallel_run
 * asks before each part, and passes the call on to the workers of its region. A call with a communicator
 * never asks, because a rank that left it would make the others wait. */
#ifndef DGNN_BASE_STOP_H
#define DGNN_BASE_STOP_H

#include <stdatomic.h>

#include "base/status.h"

struct dgnn_stop {
    int (*wanted)(void *context); /* returns nonzero to end the call; NULL: the call is never ended early */
    void *context;
    double next; /* when to ask again; only the calling thread uses it */
    atomic_int is_wanted;
};

extern double dgnn_stop_interval; /* seconds, 0.05; tests set 0 */

/* Says that this thread begins a call, and ends it. With NULL, the call cannot end early. */
void dgnn_stop_enter(struct dgnn_stop *stop);
void dgnn_stop_leave(void);

/* Returns what this thread's call asks, to be passed to a worker; NULL: the call cannot end early. The second
 * sets it in the worker. */
struct dgnn_stop *dgnn_stop_here(void);
void dgnn_stop_lend(struct dgnn_stop *stop);

/* Returns 1 where the next piece should be left out. */
int dgnn_stop_skips(void);

/* Returns DGNN_ERROR_INTERRUPTED where the call should end. The thread that called asks before it reads what
 * pieces wrote. */
int dgnn_stop_check(struct dgnn_error *error);

#endif
