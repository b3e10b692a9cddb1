#include "base/parallel.h"

#include <pthread.h>

static void parallel_in_child(void)
{
#ifdef _OPENMP
    omp_set_max_active_levels(0);
#endif
}

static void parallel_register(void)
{
    pthread_atfork(NULL, NULL, parallel_in_child);
}

void dgnn_parallel_watch_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, parallel_register);
}
