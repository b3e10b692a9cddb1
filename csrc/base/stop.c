#include "base/stop.h"

#include <time.h>

double dgnn_stop_interval = 0.05;

static _Thread_local struct dgnn_stop *stop_here;
static _Thread_local int stop_asks; /* is this the thread that called? */

static double stop_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void dgnn_stop_enter(struct dgnn_stop *stop)
{
    stop_here = stop && stop->wanted ? stop : NULL;
    stop_asks = 1;
    if (stop_here) {
        atomic_store(&stop->is_wanted, 0);
        stop->next = stop_now() + dgnn_stop_interval;
    }
}

void dgnn_stop_leave(void)
{
    stop_here = NULL;
}

struct dgnn_stop *dgnn_stop_here(void)
{
    return stop_here;
}

void dgnn_stop_lend(struct dgnn_stop *stop)
{
    stop_here = stop;
    stop_asks = 0;
}

static int stop_ask(struct dgnn_stop *stop)
{
    double now = stop_now();
    if (now < stop->next) {
        return 0;
    }
    int wanted = stop->wanted(stop->context) != 0;
    stop->next = stop_now() + dgnn_stop_interval; /* the answer may have taken its time */
    atomic_store_explicit(&stop->is_wanted, wanted, memory_order_relaxed);
    return wanted;
}

int dgnn_stop_skips(void)
{
    struct dgnn_stop *stop = stop_here;
    return stop &&
           (atomic_load_explicit(&stop->is_wanted, memory_order_relaxed) || (stop_asks && stop_ask(stop)));
}

int dgnn_stop_check(struct dgnn_error *error)
{
    return dgnn_stop_skips() ? dgnn_status_set(error, DGNN_ERROR_INTERRUPTED,
                                               "the call was ended early, as its caller wished")
                             : DGNN_OK;
}
