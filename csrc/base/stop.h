/* The wish to end a call early: asked for between pieces of work, every dgnn_stop_interval seconds at most,
 * by the thread that called. Once it is there, all threads of the call leave out the pieces that are left,
 * and the call fails with DGNN_ERROR_INTERRUPTED before anybody looks at what they would have made. A piece
 * takes some ten milliseconds at most.
 *
 * A thread knows the call that it works for, so nothing is handed down to the places that ask:
 * dgnn_parallel_run asks before each part, and lends the wish to the workers of its region. With a
 * communicator nobody is asked: a rank that left the others alone would make them wait. */
#ifndef DGNN_BASE_STOP_H
#define DGNN_BASE_STOP_H

#include <stdatomic.h>

#include "base/status.h"

struct dgnn_stop {
    int (*wanted)(void *context); /* NULL: never */
    void *context;
    double next; /* when to ask again; the calling thread's */
    atomic_int is_wanted;
};

extern double dgnn_stop_interval; /* 0.05; tests ask always */

/* This thread begins and ends a call. stop NULL: one that nobody ends early. */
void dgnn_stop_enter(struct dgnn_stop *stop);
void dgnn_stop_leave(void);

/* The wish of the call that this thread works for, for a worker that takes part; NULL: there is none. */
struct dgnn_stop *dgnn_stop_here(void);
void dgnn_stop_lend(struct dgnn_stop *stop);

/* Is the next piece to be left out? */
int dgnn_stop_skips(void);

/* By the thread that called, before what pieces made is looked at: DGNN_ERROR_INTERRUPTED where the call is
 * to end. */
int dgnn_stop_check(struct dgnn_error *error);

#endif
