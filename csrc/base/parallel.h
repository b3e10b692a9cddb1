/* Which worker of a parallel region this is; without OpenMP there is one. */
#ifndef DGNN_BASE_PARALLEL_H
#define DGNN_BASE_PARALLEL_H

#ifdef _OPENMP
#include <omp.h>
#endif

/* From now on a forked child runs the parallel regions of its first thread on that thread alone: the workers that
 * OpenMP would wait for stayed in the parent. Called when a model is loaded; any number of times. */
void dgnn_parallel_watch_forks(void);

static inline int dgnn_parallel_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
