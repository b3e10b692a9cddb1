#include "base/stop.h"

#include <time.h>

#include "base/parallel.h"

static double stop_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void dgnn_stop_begin(struct dgnn_stop *stop)
{
    atomic_store(&stop->is_wanted, 0);
    stop->next = stop->wanted ? stop_now() + stop->interval : 0;
}

int dgnn_stop_ask(struct dgnn_stop *stop)
{
    if (atomic_load_explicit(&stop->is_wanted, memory_order_relaxed)) {
        return 1;
    }
    if (dgnn_parallel_thread() != 0) {
        return 0;
    }
    double now = stop_now();
    if (now < stop->next) {
        return 0;
    }
    int wanted = stop->wanted(stop->context) != 0;
    stop->next = stop_now() + stop->interval; /* the answer may have taken its time */
    atomic_store_explicit(&stop->is_wanted, wanted, memory_order_relaxed);
    return wanted;
}

int dgnn_stop_check(struct dgnn_stop *stop, struct dgnn_error *error)
{
    return dgnn_stop_skips(stop) ? dgnn_status_set(error, DGNN_ERROR_INTERRUPTED, "the call was ended early, as its "
                                                                                  "caller wished")
                                 : DGNN_OK;
}
