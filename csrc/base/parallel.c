#include "base/parallel.h"

#include "base/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/cpu.h"

/* Looks at a place that another thread is about to write before sleeping until it has: a region comes soon
 * after the last one while a call is under way, and waking takes several microseconds. */
enum { PARALLEL_SPINS = 4000, PARALLEL_SPINS_CROWDED = 50 };

/* A region under way. */
struct parallel_region {
    dgnn_parallel_part *part;
    void *of;
    int64_t nparts;
    struct dgnn_stop *stop; /* of the call that it belongs to */
    atomic_llong next;      /* the first part that nobody has */
    atomic_int working;     /* workers that are not done */
    atomic_int sleeping;    /* does the caller sleep until they are? */
    pthread_mutex_t lock;   /* of done */
    pthread_cond_t done;
};

/* Aligned, so that two of them never share a line. */
struct parallel_worker {
    _Alignas(128) atomic_int taken; /* by a region */
    int32_t thread;                 /* in it */
    struct parallel_region *_Atomic region;
    atomic_int sleeping;
    pthread_mutex_t lock; /* of region, where the worker sleeps */
    pthread_cond_t wake;
};

static struct parallel_worker parallel_worker[DGNN_PARALLEL_MAX];
static atomic_int parallel_count; /* of workers that were made */
static atomic_int parallel_most;  /* the most threads that a region asked for */
static pthread_mutex_t parallel_making = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t parallel_once = PTHREAD_ONCE_INIT;
static int parallel_cores;

static inline void parallel_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* With more threads than cores, who spins keeps another from working. */
static int parallel_spins(void)
{
    return atomic_load_explicit(&parallel_count, memory_order_relaxed) < parallel_cores
               ? PARALLEL_SPINS
               : PARALLEL_SPINS_CROWDED;
}

/* ---------------------------------------------------------------- workers */

/* The parts that are left, one after the other. */
static void parallel_work(struct parallel_region *r, int64_t part, int32_t thread)
{
    while (part < r->nparts && !dgnn_stop_skips()) {
        r->part(r->of, part, thread);
        part = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    }
}

static struct parallel_region *parallel_await(struct parallel_worker *w)
{
    for (int k = parallel_spins(); k > 0; k--) {
        struct parallel_region *r = atomic_load_explicit(&w->region, memory_order_acquire);
        if (r) {
            return r;
        }
        parallel_pause();
    }
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->sleeping, 1);
    while (!atomic_load(&w->region)) {
        pthread_cond_wait(&w->wake, &w->lock);
    }
    atomic_store(&w->sleeping, 0);
    pthread_mutex_unlock(&w->lock);
    return atomic_load(&w->region);
}

/* The last worker that is done wakes the caller where it sleeps; after that the region is gone. */
static void parallel_leave(struct parallel_region *r)
{
    pthread_mutex_lock(&r->lock);
    if (atomic_fetch_sub(&r->working, 1) == 1 && atomic_load(&r->sleeping)) {
        pthread_cond_signal(&r->done);
    }
    pthread_mutex_unlock(&r->lock);
}

static void *parallel_main(void *of)
{
    struct parallel_worker *w = of;
    for (;;) {
        struct parallel_region *r = parallel_await(w);
        dgnn_stop_lend(r->stop);
        parallel_work(r, w->thread, w->thread);
        atomic_store(&w->region, NULL);
        atomic_store(&w->taken, 0);
        parallel_leave(r);
    }
    return NULL;
}

/* Workers stay in the parent; a child makes its own. */
static void parallel_in_child(void)
{
    pthread_mutex_init(&parallel_making, NULL);
    for (int k = 0; k < atomic_load(&parallel_count); k++) {
        atomic_store(&parallel_worker[k].taken, 0);
        atomic_store(&parallel_worker[k].region, NULL);
    }
    atomic_store(&parallel_count, 0);
}

static void parallel_start(void)
{
    int cores = dgnn_cpu_cores();
    parallel_cores = cores > DGNN_PARALLEL_MAX ? DGNN_PARALLEL_MAX : cores;
    pthread_atfork(NULL, NULL, parallel_in_child);
}

/* One more, taken; NULL where there are enough, or the system has no thread to give. */
static struct parallel_worker *parallel_make(int32_t threads)
{
    struct parallel_worker *made = NULL;
    pthread_t id;
    sigset_t all, before; /* signals are the host's threads' */
    sigfillset(&all);
    pthread_mutex_lock(&parallel_making);
    int most = atomic_load(&parallel_most) > threads ? atomic_load(&parallel_most) : threads;
    int count = atomic_load(&parallel_count), limit = most > parallel_cores ? most : parallel_cores;
    atomic_store(&parallel_most, most);
    if (count < limit - 1) {
        made = &parallel_worker[count];
        atomic_store(&made->taken, 1);
        atomic_store(&made->region, NULL);
        atomic_store(&made->sleeping, 0);
        pthread_mutex_init(&made->lock, NULL);
        pthread_cond_init(&made->wake, NULL);
        if (pthread_sigmask(SIG_SETMASK, &all, &before)) {
            made = NULL;
        } else if (pthread_create(&id, NULL, parallel_main, made)) {
            pthread_sigmask(SIG_SETMASK, &before, NULL);
            made = NULL;
        } else {
            pthread_sigmask(SIG_SETMASK, &before, NULL);
            pthread_detach(id);
            atomic_store(&parallel_count, count + 1);
        }
    }
    pthread_mutex_unlock(&parallel_making);
    return made;
}

int32_t dgnn_parallel_workers(void)
{
    return atomic_load(&parallel_count);
}

/* ---------------------------------------------------------------- regions */

/* Sends a worker, which is taken, to a region. */
static void parallel_send(struct parallel_worker *w, struct parallel_region *r, int32_t thread)
{
    w->thread = thread;
    atomic_store(&w->region, r);
    if (atomic_load(&w->sleeping)) {
        pthread_mutex_lock(&w->lock);
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
    }
}

/* Takes up to n workers; returns how many. The same ones, as long as they are free. */
static int32_t parallel_take(int32_t n, struct parallel_worker **taken)
{
    int32_t count = 0;
    for (int k = 0; k < atomic_load(&parallel_count) && count < n; k++) {
        struct parallel_worker *w = &parallel_worker[k];
        if (!atomic_load_explicit(&w->taken, memory_order_relaxed) && !atomic_exchange(&w->taken, 1)) {
            taken[count++] = w;
        }
    }
    while (count < n) {
        struct parallel_worker *made = parallel_make(n + 1);
        if (!made) {
            break;
        }
        taken[count++] = made;
    }
    return count;
}

static void parallel_wait(struct parallel_region *r)
{
    for (int k = parallel_spins(); k > 0 && atomic_load_explicit(&r->working, memory_order_acquire) > 0;
         k--) {
        parallel_pause();
    }
    pthread_mutex_lock(&r->lock); /* whoever is the last to leave has left it, then */
    atomic_store(&r->sleeping, 1);
    while (atomic_load(&r->working) > 0) {
        pthread_cond_wait(&r->done, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

static void parallel_run(int32_t nworker, struct parallel_worker *const *taken, struct parallel_region *r)
{
    atomic_init(&r->next, nworker + 1);
    atomic_init(&r->working, nworker);
    atomic_init(&r->sleeping, 0);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->done, NULL);
    for (int32_t k = 0; k < nworker; k++) {
        parallel_send(taken[k], r, k + 1);
    }
    parallel_work(r, 0, 0);
    parallel_wait(r);
    pthread_cond_destroy(&r->done);
    pthread_mutex_destroy(&r->lock);
}

static _Thread_local int parallel_is_alone;

void dgnn_parallel_alone(int alone)
{
    parallel_is_alone = alone;
}

void dgnn_parallel_run(int32_t threads, int64_t nparts, dgnn_parallel_part *part, void *of)
{
    int64_t most = nparts < threads ? nparts : threads < DGNN_PARALLEL_MAX ? threads : DGNN_PARALLEL_MAX;
    struct parallel_worker *taken[DGNN_PARALLEL_MAX];
    int32_t nworker = 0;
    if (most > 1 && !parallel_is_alone) {
        pthread_once(&parallel_once, parallel_start);
        nworker = parallel_take((int32_t)most - 1, taken);
    }
    if (nworker) {
        struct parallel_region region = {.part = part, .of = of, .nparts = nparts, .stop = dgnn_stop_here()};
        parallel_run(nworker, taken, &region);
        return;
    }
    for (int64_t k = 0; k < nparts && !dgnn_stop_skips(); k++) {
        part(of, k, 0);
    }
}
