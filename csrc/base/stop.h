/* The wish to end a call early: asked for between pieces of work, at most every 50 ms, by the thread that called. Once it
 * is there, all threads leave out the pieces that are left, and the call fails with DGNN_ERROR_INTERRUPTED before
 * anybody looks at what they would have made. A piece takes some ten milliseconds at most.
 *
 * With a communicator nobody is asked (stop is NULL): a rank that left the others alone would make them wait. */
#ifndef DGNN_BASE_STOP_H
#define DGNN_BASE_STOP_H

#include <stdatomic.h>

#include "base/status.h"

struct dgnn_stop {
    int (*wanted)(void *context); /* NULL: never */
    void *context;
    double interval; /* seconds between two questions */
    double next;     /* when to ask again; the calling thread's */
    atomic_int is_wanted;
};

/* At the begin of a call. */
void dgnn_stop_begin(struct dgnn_stop *stop);

int dgnn_stop_ask(struct dgnn_stop *stop);

/* Is a piece of work to be left out? By any thread of the call's. NULL: no. */
static inline int dgnn_stop_skips(struct dgnn_stop *stop)
{
    return stop && stop->wanted && dgnn_stop_ask(stop);
}

/* Outside of parallel regions: DGNN_ERROR_INTERRUPTED where the call is to end. NULL is allowed. */
int dgnn_stop_check(struct dgnn_stop *stop, struct dgnn_error *error);

#endif
