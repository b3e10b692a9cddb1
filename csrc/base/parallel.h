/* Parallel regions. Worker threads belong to the process: every region, of whichever session, borrows those
 * that are free and does the rest on the thread that called, so sessions at work side by side share one team.
 *
 * What a region computes does not depend on who does which part: parts are the caller's, and each writes what
 * is its own, or what belongs to its number. */
#ifndef DGNN_BASE_PARALLEL_H
#define DGNN_BASE_PARALLEL_H

#include <stdint.h>

enum { DGNN_PARALLEL_MAX = 1024 }; /* threads of a region */

/* One part of a region. thread: in [0, threads), nobody else's while this part runs: it names scratch. */
typedef void dgnn_parallel_part(void *of, int64_t part, int32_t thread);

/* Runs the parts [0, nparts) on at most so many threads, the caller among them, and returns when all are
 * done. Parts begin in ascending order; the first ones are handed out in the order of threads, so that parts
 * as many as threads stay where their memory is. Allocates nothing, fails never: with fewer workers, or none,
 * the caller does more. Where the call is to end early (base/stop.h), parts are left out; who called then
 * sees to dgnn_stop_check. */
void dgnn_parallel_run(int32_t threads, int64_t nparts, dgnn_parallel_part *part, void *of);

/* Regions of this thread, from now on: 1: it does all parts itself; 0: with workers. */
void dgnn_parallel_alone(int alone);

/* Worker threads of this process. */
int32_t dgnn_parallel_workers(void);

/* A range of n items in parts of the given size: the end of part. */
static inline int64_t dgnn_parallel_end(int64_t n, int64_t part, int64_t size)
{
    return (part + 1) * size < n ? (part + 1) * size : n;
}

/* Parts of the given size that n items take. */
static inline int64_t dgnn_parallel_parts(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

#endif
