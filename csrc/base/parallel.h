/* Parallel regions. The worker threads belong to the process. Each region borrows the workers that are free,
 * and the calling thread takes part, so that sessions which compute at the same time share one team.
 *
 * The result of a region does not depend on which thread does which part: the caller chooses the parts, and
 * each part writes only what belongs to it. */
#ifndef DGNN_BASE_PARALLEL_H
#define DGNN_BASE_PARALLEL_H

#include <stdint.h>

enum { DGNN_PARALLEL_MAX = 1024 }; /* the most threads of a region */

/* Does one part of a region. thread, in [0, threads), belongs to no other part that runs at the same time, so
 * it may choose scratch memory. */
typedef void dgnn_parallel_part(void *of, int64_t part, int32_t thread);

/* Runs the parts [0, nparts) on at most threads threads, of which the caller is one, and returns when all
 * parts are done. Parts begin in ascending order. Thread t begins with part t, so that a part stays near its
 * memory where there are as many parts as threads. This function allocates nothing and cannot fail: with
 * fewer workers the caller does more parts. Where the call should end early (base/stop.h), the remaining
 * parts are left out; the caller must then ask dgnn_stop_check. */
void dgnn_parallel_run(int32_t threads, int64_t nparts, dgnn_parallel_part *part, void *of);

/* Regions of this thread, from now on: 1: it does all parts itself; 0: with workers. */
void dgnn_parallel_alone(int alone);

/* Returns the number of worker threads of this process. */
int32_t dgnn_parallel_workers(void);

/* The end of a part, where n items are cut into parts of the given size. */
static inline int64_t dgnn_parallel_end(int64_t n, int64_t part, int64_t size)
{
    return (part + 1) * size < n ? (part + 1) * size : n;
}

/* The number of parts of the given size that n items need. */
static inline int64_t dgnn_parallel_parts(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

#endif
