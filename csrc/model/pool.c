/* A model's sessions. One lock, for bookkeeping alone: no call computes, and no session is made or freed,
 * under it.
 *
 * A call without a communicator takes a free session, best the one whose last call had its atoms: their list
 * may be used again then. Where all are taken, one more is made. Past one call for each core a call waits,
 * since it would wait for a core otherwise. One with a communicator never does, because other ranks of this
 * process may wait for it. */
#include "model/pool.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/digest.h"

/* Seconds after which a session that no call has used is freed, unless it is the first one. */
#define POOL_IDLE 1.0

/* What tells whether the atoms of two calls are the same ones. */
struct pool_key {
    const struct dgnn_comm *comm;
    int32_t is_ghosted;
    int64_t natoms;
    uint64_t types[2]; /* their digest */
    double place[3];   /* of the first atom */
};

struct pool_session {
    struct dgnn_session *session;
    struct pool_session *next;
    int32_t taken;
    int64_t thread;  /* whose last call it was, if that was in this session; else 0 */
    double last_use; /* seconds */
    struct pool_key key;
};

struct dgnn_pool {
    struct dgnn_pool *before, *after; /* all of this process */
    struct dgnn_model *model;
    pthread_mutex_t lock;
    pthread_cond_t given_back;
    int (*wanted)(void *context); /* of dgnn_model_set_stop */
    void *context;
    struct pool_session *first; /* the one that stays is the last of the list */
    int32_t working;            /* calls without a communicator that are under way */
    int32_t limit;              /* ... that may be */
    int32_t waiting;
};

/* ---------------------------------------------------------------- threads and time */

/* Never 0, and never that of another thread of this process, past ones included. */
static int64_t pool_thread(void)
{
    static atomic_llong threads;
    static _Thread_local int64_t mine;
    if (!mine) {
        mine = atomic_fetch_add(&threads, 1) + 1;
    }
    return mine;
}

static double pool_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---------------------------------------------------------------- forks */

/* All pools, so that a fork finds their locks open. A call that is under way in another thread stays so in
 * the child's copy: its session is lost there, and nobody waits for it. */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dgnn_pool *pool_all;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void pool_before_fork(void)
{
    pthread_mutex_lock(&pool_lock);
    for (struct dgnn_pool *pool = pool_all; pool; pool = pool->after) {
        pthread_mutex_lock(&pool->lock);
    }
}

static void pool_in_parent(void)
{
    for (struct dgnn_pool *pool = pool_all; pool; pool = pool->after) {
        pthread_mutex_unlock(&pool->lock);
    }
    pthread_mutex_unlock(&pool_lock);
}

static void pool_in_child(void)
{
    for (struct dgnn_pool *pool = pool_all; pool; pool = pool->after) {
        pool->working = pool->waiting = 0;
        pthread_mutex_init(&pool->lock, NULL);
        pthread_cond_init(&pool->given_back, NULL);
    }
    pthread_mutex_init(&pool_lock, NULL);
}

static void pool_watch_forks(void)
{
    pthread_atfork(pool_before_fork, pool_in_parent, pool_in_child);
}

static void pool_link(struct dgnn_pool *pool)
{
    pthread_once(&pool_once, pool_watch_forks);
    pthread_mutex_lock(&pool_lock);
    pool->after = pool_all;
    if (pool_all) {
        pool_all->before = pool;
    }
    pool_all = pool;
    pthread_mutex_unlock(&pool_lock);
}

static void pool_unlink(struct dgnn_pool *pool)
{
    pthread_mutex_lock(&pool_lock);
    if (pool->after) {
        pool->after->before = pool->before;
    }
    if (pool->before) {
        pool->before->after = pool->after;
    } else {
        pool_all = pool->after;
    }
    pthread_mutex_unlock(&pool_lock);
}

/* ---------------------------------------------------------------- which session */

static struct pool_key pool_key(const struct dgnn_comm *comm, int is_ghosted, int64_t natoms,
                                const int32_t *types, const double *coords)
{
    struct pool_key key = {.comm = comm, .is_ghosted = is_ghosted, .natoms = natoms};
    struct dgnn_digest digest;
    dgnn_digest_begin(&digest);
    if (natoms > 0 && natoms <= INT32_MAX && types && coords) { /* else the call is refused */
        dgnn_digest_add(&digest, types, sizeof(*types) * (size_t)natoms);
        memcpy(key.place, coords, sizeof(key.place));
    }
    dgnn_digest_end(&digest, key.types);
    return key;
}

static int pool_stays(const struct pool_session *p)
{
    return !p->next;
}

/* A session with another communicator's plans is that one's, but for the session that stays; one rank may use
 * the rest of that. */
static int pool_may_take(const struct pool_session *p, const struct pool_key *key)
{
    return !p->taken && (!p->key.comm || p->key.comm == key->comm || pool_stays(p));
}

static int pool_score(const struct pool_session *p, const struct pool_key *key)
{
    const struct pool_key *last = &p->key;
    int same = last->is_ghosted == key->is_ghosted && last->natoms == key->natoms &&
               !memcmp(last->types, key->types, sizeof(key->types));
    return 2 * (last->comm == key->comm) + same;
}

static double pool_distance(const struct pool_session *p, const struct pool_key *key)
{
    double square = 0;
    for (int c = 0; c < 3; c++) {
        double d = p->key.place[c] - key->place[c];
        square += d * d;
    }
    return square;
}

static int pool_is_better(const struct pool_session *p, const struct pool_session *best,
                          const struct pool_key *key)
{
    if (!best || pool_score(p, key) != pool_score(best, key)) {
        return !best || pool_score(p, key) > pool_score(best, key);
    }
    return pool_distance(p, key) < pool_distance(best, key);
}

static struct pool_session *pool_find(const struct dgnn_pool *pool, const struct pool_key *key)
{
    struct pool_session *best = NULL;
    for (struct pool_session *p = pool->first; p; p = p->next) {
        if (pool_may_take(p, key) && pool_is_better(p, best, key)) {
            best = p;
        }
    }
    return best;
}

/* The session of this thread's last call, which was one of a host's rows with this communicator; NULL: there
 * is none. */
static struct pool_session *pool_find_last(const struct dgnn_pool *pool, const struct pool_key *key)
{
    for (struct pool_session *p = pool->first; p; p = p->next) {
        if (p->thread == pool_thread() && !p->taken && p->key.is_ghosted && p->key.comm == key->comm) {
            return p;
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- taking */

/* Under the lock. */
static void pool_take(struct dgnn_pool *pool, struct pool_session *taken, const struct pool_key *key)
{
    for (struct pool_session *p = pool->first; p; p = p->next) {
        p->thread = p->thread == pool_thread() ? 0 : p->thread; /* its last call is another one now */
    }
    taken->taken = 1;
    taken->session->stop.wanted = pool->wanted;
    taken->session->stop.context = pool->context;
    taken->thread = pool_thread();
    taken->key = *key;
}

static void pool_free_session(struct pool_session *p)
{
    dgnn_session_free(p->session);
    dgnn_alloc_free(p);
}

/* Makes one more, without the lock. */
static int pool_make(struct dgnn_pool *pool, const struct pool_key *key, struct pool_session **made,
                     struct dgnn_error *error)
{
    struct pool_session *p = dgnn_alloc_zeroed(1, sizeof(*p));
    int status = p ? dgnn_session_create(&pool->model, 1, NULL, &p->session, error)
                   : dgnn_status_no_memory(error, "a session", sizeof(*p));
    if (status) {
        dgnn_alloc_free(p);
        return status;
    }
    pthread_mutex_lock(&pool->lock);
    p->next = pool->first;
    pool->first = p;
    pool_take(pool, p, key);
    pthread_mutex_unlock(&pool->lock);
    *made = p;
    return DGNN_OK;
}

static int pool_enter(struct dgnn_pool *pool, const struct pool_key *key, int same_list,
                      struct pool_session **found, struct dgnn_error *error)
{
    struct pool_session *p;
    pthread_mutex_lock(&pool->lock);
    while (!key->comm && pool->working >= pool->limit) {
        pool->waiting++;
        pthread_cond_wait(&pool->given_back, &pool->lock);
        pool->waiting--;
    }
    p = same_list ? pool_find_last(pool, key) : pool_find(pool, key);
    pool->working += !key->comm;
    if (p) {
        pool_take(pool, p, key);
    }
    pthread_mutex_unlock(&pool->lock);
    *found = p;
    if (!p && same_list) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "same_list: there is no earlier call with this communicator that went well, or it was not "
            "this thread's last call of the model; expected same_list 0");
    }
    return p ? DGNN_OK : pool_make(pool, key, found, error);
}

/* Unlinks what nobody has used for a while. What belongs to a communicator goes only in a call that has one:
 * its requests are a message library's, which may be at work in one thread alone. */
static struct pool_session *pool_sweep(struct dgnn_pool *pool, double now, int with_comm)
{
    struct pool_session *gone = NULL, **link = &pool->first;
    while (*link) {
        struct pool_session *p = *link;
        if (!p->taken && !pool_stays(p) && now - p->last_use > POOL_IDLE && (with_comm || !p->key.comm)) {
            *link = p->next;
            p->next = gone;
            gone = p;
        } else {
            link = &p->next;
        }
    }
    return gone;
}

/* p: what was taken, or NULL where entering failed. */
static void pool_leave(struct dgnn_pool *pool, struct pool_session *p, int with_comm)
{
    double now = pool_now();
    pthread_mutex_lock(&pool->lock);
    pool->working -= !with_comm;
    if (p) {
        p->taken = 0;
        p->last_use = now;
    }
    struct pool_session *gone = pool_sweep(pool, now, with_comm);
    if (pool->waiting) {
        pthread_cond_signal(&pool->given_back);
    }
    pthread_mutex_unlock(&pool->lock);
    while (gone) {
        struct pool_session *next = gone->next;
        pool_free_session(gone);
        gone = next;
    }
}

/* ---------------------------------------------------------------- making and freeing */

int dgnn_pool_create(struct dgnn_model *model, struct dgnn_pool **pool, struct dgnn_error *error)
{
    struct dgnn_pool *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "sessions", sizeof(*made));
    }
    int cores = dgnn_cpu_cores();
    made->model = model;
    made->limit = cores < 2 ? 2 : cores;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->given_back, NULL);
    pool_link(made);
    *pool = made;
    return DGNN_OK;
}

void dgnn_pool_free(struct dgnn_pool *pool)
{
    if (!pool) {
        return;
    }
    pool_unlink(pool);
    while (pool->first) {
        struct pool_session *next = pool->first->next;
        pool_free_session(pool->first);
        pool->first = next;
    }
    pthread_cond_destroy(&pool->given_back);
    pthread_mutex_destroy(&pool->lock);
    dgnn_alloc_free(pool);
}

void dgnn_pool_set_stop(struct dgnn_pool *pool, int (*wanted)(void *context), void *context)
{
    pthread_mutex_lock(&pool->lock);
    pool->wanted = wanted;
    pool->context = context;
    pthread_mutex_unlock(&pool->lock);
}

int32_t dgnn_pool_count(struct dgnn_pool *pool)
{
    int32_t count = 0;
    pthread_mutex_lock(&pool->lock);
    for (const struct pool_session *p = pool->first; p; p = p->next) {
        count++;
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}

const struct dgnn_session *dgnn_pool_session(struct dgnn_pool *pool)
{
    const struct pool_session *p = pool->first;
    while (p && p->next) {
        p = p->next;
    }
    return p ? p->session : NULL;
}

/* ---------------------------------------------------------------- calls */

/* A call of a model, in a session of its own. With a communicator, a rank that may not begin takes part in
 * the agreement with which the others do. */
static int pool_begin(struct dgnn_model *m, const struct pool_key *key, struct dgnn_comm *comm, int same_list,
                      struct pool_session **found, struct dgnn_error *error)
{
    const char *operation = key->is_ghosted ? "compute_ghosted" : "compute";
    int status =
        m ? pool_enter(m->pool, key, same_list, found, error) : error->status; /* of what it brings */
    if (status) {
        if (m) {
            pool_leave(m->pool, NULL, comm != NULL);
        }
        status = dgnn_transport_agree(comm, operation, status, error);
        dgnn_transport_leave(comm);
    }
    return status;
}

int dgnn_model_compute(struct dgnn_model *model, const struct dgnn_system *system, struct dgnn_comm *comm,
                       struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_error own; /* an agreement needs a place for its message */
    struct pool_session *p;
    struct dgnn_system call;
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int good = !dgnn_session_read("dgnn_model_compute", model && result, system, &call, error);
    struct pool_key key = pool_key(comm, 0, call.natoms, call.types, call.coords);
    DGNN_TRY(pool_begin(good ? model : NULL, &key, comm, 0, &p, error));
    int status = dgnn_compute(p->session, &call, comm, result, error);
    pool_leave(model->pool, p, comm != NULL);
    dgnn_transport_leave(comm);
    return status;
}

int dgnn_model_compute_ghosted(struct dgnn_model *model, const struct dgnn_ghosted *system,
                               struct dgnn_comm *comm, struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_error own;
    struct pool_session *p;
    struct dgnn_ghosted call;
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int good =
        !dgnn_session_read_ghosted("dgnn_model_compute_ghosted", model && result, system, &call, error);
    int counts = call.nlocal >= 0 && call.nlocal <= call.nall; /* else it is refused, too */
    struct pool_key key = pool_key(comm, 1, counts ? call.nall : 0, call.types, call.coords);
    DGNN_TRY(pool_begin(good ? model : NULL, &key, comm, call.same_list, &p, error));
    int status = dgnn_compute_ghosted(p->session, &call, comm, result, error);
    pool_leave(model->pool, p, comm != NULL);
    dgnn_transport_leave(comm);
    return status;
}

int dgnn_model_set_stop(struct dgnn_model *model, int (*wanted)(void *context), void *context,
                        struct dgnn_error *error)
{
    if (!model) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_set_stop: an argument is NULL");
    }
    dgnn_pool_set_stop(model->pool, wanted, context);
    return DGNN_OK;
}
