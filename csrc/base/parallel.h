/* Which worker of a parallel region this is; without OpenMP there is one. */
#ifndef DGNN_BASE_PARALLEL_H
#define DGNN_BASE_PARALLEL_H

#ifdef _OPENMP
#include <omp.h>
#endif

static inline int dgnn_parallel_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
