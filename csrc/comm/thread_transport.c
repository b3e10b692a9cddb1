/* Ranks as threads of one process: a transport that tests can run by the thousand under sanitizers.
 *
 * A message is a rendezvous: whichever of its two ends starts last copies the bytes. So nothing is buffered,
 * and a schedule that would deadlock without MPI's buffering deadlocks here too. Both ends of a message
 * belong to the mailbox of the receiving rank, whose mutex guards them. A collective is done by the rank that
 * arrives last. */
#include "comm/transport.h"

#include "base/alloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum thread_state { THREAD_IDLE = 0, THREAD_WAITING, THREAD_DONE, THREAD_FAILED };

/* A persistent message. While it waits, it stands in one of its mailbox's two queues. */
struct thread_request {
    struct thread_mailbox *mailbox; /* of the receiving rank */
    struct thread_request *next;
    char *data;
    int64_t nbytes;
    int64_t other_nbytes; /* of a partner that doesn't fit */
    int32_t from;
    int32_t to;
    int32_t tag;
    int32_t is_receive;
    enum thread_state state;
};

struct thread_mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct thread_request *waiting[2]; /* sends, receives; oldest first */
};

/* Of an allreduce: INPROC_REDUCE + enum dgnn_reduction. */
enum thread_collective { THREAD_GATHER = 0, THREAD_ALLTOALL, THREAD_REDUCE };

/* What a rank brought to a collective. */
struct thread_part {
    enum thread_collective kind;
    const char *in; /* allreduce: the same as out */
    char *out;
    int64_t nbytes; /* allgather, allreduce */
    const int64_t *send_count, *send_place, *receive_count, *receive_place;
};

struct thread_world {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int32_t nrank;
    int32_t alive;      /* communicators not yet freed; the last one frees the world */
    int32_t arrived;    /* at the collective under way */
    int64_t generation; /* collectives done */
    int32_t failed;     /* a collective failed: ranks no longer meet */
    char why[256];
    struct thread_part *part;       /* nrank */
    struct thread_mailbox *mailbox; /* nrank */
};

struct thread_context {
    struct thread_world *world;
    int32_t rank;
};

/* ------------------------------------------------------------------ time */

static struct timespec thread_deadline(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    double whole = seconds < 1e9 ? seconds : 1e9;
    t.tv_sec += (time_t)whole;
    t.tv_nsec += (long)((whole - (double)(time_t)whole) * 1e9);
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec += 1;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static int thread_condition_create(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (!failed) {
        failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) ||
                 pthread_cond_init(condition, &attributes);
        pthread_condattr_destroy(&attributes);
    }
    return failed;
}

/* ------------------------------------------------------------------ messages */

static int thread_request_create(struct thread_context *context, const struct thread_request *wanted,
                                 void **request, struct dgnn_error *error)
{
    int32_t other = wanted->is_receive ? wanted->from : wanted->to;
    if (other < 0 || other >= context->world->nrank || wanted->nbytes < 0) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "a message of %lld bytes with rank %d of %d",
                               (long long)wanted->nbytes, other, context->world->nrank);
    }
    struct thread_request *made = dgnn_alloc(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "a message", sizeof(*made));
    }
    *made = *wanted;
    made->mailbox = &context->world->mailbox[made->to];
    *request = made;
    return DGNN_OK;
}

static int thread_send_create(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,
                              void **request, struct dgnn_error *error)
{
    struct thread_context *c = context;
    /* Sent data is only read; the one struct for both directions cannot say so. */
    const struct thread_request send = {
        .data = (char *)(uintptr_t)data, .nbytes = nbytes, .from = c->rank, .to = to, .tag = tag};
    return thread_request_create(c, &send, request, error);
}

static int thread_receive_create(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag,
                                 void **request, struct dgnn_error *error)
{
    struct thread_context *c = context;
    const struct thread_request receive = {
        .data = data, .nbytes = nbytes, .from = from, .to = c->rank, .tag = tag, .is_receive = 1};
    return thread_request_create(c, &receive, request, error);
}

/* The oldest partner that waits, taken out of its queue, or NULL. */
static struct thread_request *thread_match(const struct thread_request *request)
{
    struct thread_request **link = &request->mailbox->waiting[!request->is_receive];
    for (; *link; link = &(*link)->next) {
        struct thread_request *other = *link;
        if (other->from == request->from && other->tag == request->tag) {
            *link = other->next;
            return other;
        }
    }
    return NULL;
}

static void thread_enqueue(struct thread_request *request)
{
    struct thread_request **link = &request->mailbox->waiting[request->is_receive];
    while (*link) {
        link = &(*link)->next;
    }
    request->next = NULL;
    request->state = THREAD_WAITING;
    *link = request;
}

static void thread_withdraw(struct thread_request *request)
{
    struct thread_request **link = &request->mailbox->waiting[request->is_receive];
    while (*link && *link != request) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = request->next;
    }
    request->state = THREAD_IDLE;
}

static void thread_transfer(struct thread_request *send, struct thread_request *receive)
{
    if (send->nbytes != receive->nbytes) {
        send->other_nbytes = receive->nbytes;
        receive->other_nbytes = send->nbytes;
        send->state = receive->state = THREAD_FAILED;
        return;
    }
    if (send->nbytes > 0) {
        memcpy(receive->data, send->data, (size_t)send->nbytes);
    }
    send->state = receive->state = THREAD_DONE;
}

static int thread_start(void *context, void *request, struct dgnn_error *error)
{
    (void)context;
    struct thread_request *mine = request;
    struct thread_mailbox *mailbox = mine->mailbox;
    int status = DGNN_OK;
    pthread_mutex_lock(&mailbox->mutex);
    if (mine->state != THREAD_IDLE) {
        status = dgnn_status_set(error, DGNN_ERROR_INTERNAL,
                                 "a message was started again before it was waited for");
    } else {
        struct thread_request *other = thread_match(mine);
        if (other) {
            thread_transfer(mine->is_receive ? other : mine, mine->is_receive ? mine : other);
            pthread_cond_broadcast(&mailbox->changed);
        } else {
            thread_enqueue(mine);
        }
    }
    pthread_mutex_unlock(&mailbox->mutex);
    return status;
}

/* Called with the mailbox locked. */
static int thread_outcome(struct thread_request *r, double deadline_s, struct dgnn_error *error)
{
    enum thread_state state = r->state;
    if (state == THREAD_WAITING) {
        thread_withdraw(r);
        return dgnn_status_set(error, DGNN_ERROR_COMM,
                               "rank %d waited %g s for a message %s rank %d (tag %d)",
                               r->is_receive ? r->to : r->from, deadline_s, r->is_receive ? "from" : "to",
                               r->is_receive ? r->from : r->to, r->tag);
    }
    r->state = THREAD_IDLE;
    if (state == THREAD_FAILED) {
        return dgnn_status_set(
            error, DGNN_ERROR_COMM,
            "rank %d sent rank %d a message of %lld bytes where %lld were expected (tag %d)", r->from, r->to,
            (long long)(r->is_receive ? r->other_nbytes : r->nbytes),
            (long long)(r->is_receive ? r->nbytes : r->other_nbytes), r->tag);
    }
    return DGNN_OK;
}

static int thread_wait(void *context, void **requests, int64_t nrequest, double deadline_s,
                       struct dgnn_error *error)
{
    (void)context;
    struct timespec deadline = thread_deadline(deadline_s);
    int status = DGNN_OK;
    for (int64_t i = 0; i < nrequest; i++) {
        struct thread_request *r = requests[i];
        if (!r) {
            continue;
        }
        pthread_mutex_lock(&r->mailbox->mutex);
        /* After a failure the others are only withdrawn, so that nobody writes to this rank's memory. */
        int late = status != DGNN_OK;
        while (r->state == THREAD_WAITING && !late) {
            late = pthread_cond_timedwait(&r->mailbox->changed, &r->mailbox->mutex, &deadline) == ETIMEDOUT;
        }
        struct dgnn_error *first = status ? NULL : error;
        int outcome = thread_outcome(r, deadline_s, first);
        status = status ? status : outcome;
        pthread_mutex_unlock(&r->mailbox->mutex);
    }
    return status;
}

static void thread_request_free(void *context, void *request)
{
    (void)context;
    struct thread_request *r = request;
    pthread_mutex_lock(&r->mailbox->mutex);
    if (r->state == THREAD_WAITING) {
        thread_withdraw(r);
    }
    pthread_mutex_unlock(&r->mailbox->mutex);
    dgnn_alloc_free(r);
}

/* ------------------------------------------------------------------ collectives */

static void thread_do_allgather(const struct thread_world *world)
{
    for (int32_t to = 0; to < world->nrank; to++) {
        for (int32_t from = 0; from < world->nrank; from++) {
            const struct thread_part *part = &world->part[from];
            memcpy(world->part[to].out + from * part->nbytes, part->in, (size_t)part->nbytes);
        }
    }
}

static void thread_do_alltoallv(const struct thread_world *world)
{
    for (int32_t to = 0; to < world->nrank; to++) {
        for (int32_t from = 0; from < world->nrank; from++) {
            const struct thread_part *sender = &world->part[from];
            const struct thread_part *receiver = &world->part[to];
            if (sender->send_count[to] > 0) {
                memcpy(receiver->out + receiver->receive_place[from], sender->in + sender->send_place[to],
                       (size_t)sender->send_count[to]);
            }
        }
    }
}

static int64_t thread_reduced(int64_t a, int64_t b, int32_t reduction)
{
    return reduction == DGNN_REDUCE_SUM ? a + b : (a > b) == (reduction == DGNN_REDUCE_MAX) ? a : b;
}

static void thread_do_allreduce(const struct thread_world *world)
{
    const struct thread_part *part = world->part;
    int64_t *all = (int64_t *)(void *)part[0].out;
    for (int32_t r = 1; r < world->nrank; r++) {
        const int64_t *values = (const int64_t *)(const void *)part[r].in;
        for (int64_t k = 0; k < part[0].nbytes / (int64_t)sizeof(*all); k++) {
            all[k] = thread_reduced(all[k], values[k], (int32_t)part[0].kind - THREAD_REDUCE);
        }
    }
    for (int32_t r = 1; r < world->nrank; r++) {
        memcpy(part[r].out, all, (size_t)part[0].nbytes);
    }
}

static int thread_parts_fit(struct thread_world *world, struct dgnn_error *error)
{
    const struct thread_part *part = world->part;
    for (int32_t r = 1; r < world->nrank; r++) {
        if (part[r].kind != part[0].kind || part[r].nbytes != part[0].nbytes) {
            return dgnn_status_set(error, DGNN_ERROR_COMM, "ranks 0 and %d are in different collectives", r);
        }
    }
    for (int32_t to = 0; to < world->nrank && part[0].kind == THREAD_ALLTOALL; to++) {
        for (int32_t from = 0; from < world->nrank; from++) {
            if (part[from].send_count[to] != part[to].receive_count[from]) {
                return dgnn_status_set(
                    error, DGNN_ERROR_COMM, "rank %d sends %lld bytes to rank %d, which expects %lld", from,
                    (long long)part[from].send_count[to], to, (long long)part[to].receive_count[from]);
            }
        }
    }
    return DGNN_OK;
}

static void thread_fail(struct thread_world *world, const char *why)
{
    world->failed = 1;
    snprintf(world->why, sizeof(world->why), "%.*s", (int)sizeof(world->why) - 1, why);
    pthread_cond_broadcast(&world->changed);
}

/* The last rank to arrive serves all; the others sleep. Called with the world locked. */
static void thread_last_arrival(struct thread_world *world)
{
    struct dgnn_error error;
    if (thread_parts_fit(world, &error)) {
        thread_fail(world, error.message);
        return;
    }
    switch (world->part[0].kind) {
    case THREAD_GATHER:
        thread_do_allgather(world);
        break;
    case THREAD_ALLTOALL:
        thread_do_alltoallv(world);
        break;
    default:
        thread_do_allreduce(world);
    }
    world->arrived = 0;
    world->generation += 1;
    pthread_cond_broadcast(&world->changed);
}

static int thread_meet(struct thread_context *context, const struct thread_part *part, double deadline_s,
                       struct dgnn_error *error)
{
    struct thread_world *world = context->world;
    struct timespec deadline = thread_deadline(deadline_s);
    int status = DGNN_OK;
    pthread_mutex_lock(&world->mutex);
    int64_t generation = world->generation;
    if (!world->failed) {
        world->part[context->rank] = *part;
        if (++world->arrived == world->nrank) {
            thread_last_arrival(world);
        }
    }
    int late = 0;
    while (world->generation == generation && !world->failed && !late) {
        late = pthread_cond_timedwait(&world->changed, &world->mutex, &deadline) == ETIMEDOUT;
    }
    if (world->generation == generation) {
        if (!world->failed) {
            dgnn_status_set(error, DGNN_ERROR_COMM,
                            "rank %d waited %g s in a collective; %d of %d ranks came", context->rank,
                            deadline_s, world->arrived, world->nrank);
            thread_fail(world, "a rank waited in vain for the others");
        } else {
            dgnn_status_set(error, DGNN_ERROR_COMM, "%s", world->why);
        }
        status = DGNN_ERROR_COMM;
    }
    pthread_mutex_unlock(&world->mutex);
    return status;
}

static int thread_allgather(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                            struct dgnn_error *error)
{
    const struct thread_part part = {.kind = THREAD_GATHER, .in = in, .out = out, .nbytes = nbytes};
    return thread_meet(context, &part, deadline_s, error);
}

static int thread_alltoallv(void *context, const void *send, const int64_t *send_count,
                            const int64_t *send_place, void *receive, const int64_t *receive_count,
                            const int64_t *receive_place, double deadline_s, struct dgnn_error *error)
{
    const struct thread_part part = {THREAD_ALLTOALL, send,       receive,       0,
                                     send_count,      send_place, receive_count, receive_place};
    return thread_meet(context, &part, deadline_s, error);
}

static int thread_allreduce(void *context, int64_t *values, int64_t nvalue, int32_t reduction,
                            double deadline_s, struct dgnn_error *error)
{
    const struct thread_part part = {.kind = THREAD_REDUCE + (uint32_t)reduction,
                                     .in = (const char *)values,
                                     .out = (char *)values,
                                     .nbytes = nvalue * (int64_t)sizeof(*values)};
    return thread_meet(context, &part, deadline_s, error);
}

/* ------------------------------------------------------------------ making and freeing */

static void thread_world_destroy(struct thread_world *world)
{
    for (int32_t r = 0; r < world->nrank; r++) {
        pthread_mutex_destroy(&world->mailbox[r].mutex);
        pthread_cond_destroy(&world->mailbox[r].changed);
    }
    pthread_mutex_destroy(&world->mutex);
    pthread_cond_destroy(&world->changed);
    dgnn_alloc_free(world->part);
    dgnn_alloc_free(world->mailbox);
    dgnn_alloc_free(world);
}

static void thread_free(void *context)
{
    struct thread_context *c = context;
    struct thread_world *world = c->world;
    pthread_mutex_lock(&world->mutex);
    int32_t alive = --world->alive;
    pthread_mutex_unlock(&world->mutex);
    dgnn_alloc_free(c);
    if (alive == 0) {
        thread_world_destroy(world);
    }
}

static struct thread_world *thread_world_create(int32_t nrank)
{
    struct thread_world *world = dgnn_alloc_zeroed(1, sizeof(*world));
    if (!world) {
        return NULL;
    }
    world->part = dgnn_alloc_zeroed(nrank, sizeof(*world->part));
    world->mailbox = dgnn_alloc_zeroed(nrank, sizeof(*world->mailbox));
    int failed = !world->part || !world->mailbox || pthread_mutex_init(&world->mutex, NULL) ||
                 thread_condition_create(&world->changed);
    /* On Linux the initialisers above cannot fail; what was made before a failure needs no destruction. */
    for (int32_t r = 0; r < nrank && !failed; r++) {
        failed = pthread_mutex_init(&world->mailbox[r].mutex, NULL) ||
                 thread_condition_create(&world->mailbox[r].changed);
    }
    if (failed) {
        dgnn_alloc_free(world->part);
        dgnn_alloc_free(world->mailbox);
        dgnn_alloc_free(world);
        return NULL;
    }
    world->nrank = nrank;
    return world;
}

static int thread_comm_create(struct thread_world *world, int32_t rank, double deadline_s,
                              struct dgnn_comm **comm, struct dgnn_error *error)
{
    struct thread_context *context = dgnn_alloc(1, sizeof(*context));
    if (!context) {
        return dgnn_status_no_memory(error, "a communicator", sizeof(*context));
    }
    *context = (struct thread_context){world, rank};
    const struct dgnn_transport transport = {.size = sizeof(transport),
                                             .context = context,
                                             .rank = rank,
                                             .nrank = world->nrank,
                                             .send_create = thread_send_create,
                                             .receive_create = thread_receive_create,
                                             .start = thread_start,
                                             .wait = thread_wait,
                                             .request_free = thread_request_free,
                                             .allgather = thread_allgather,
                                             .alltoallv = thread_alltoallv,
                                             .free = thread_free,
                                             .allreduce = thread_allreduce,
                                             .node_rank = rank,
                                             .node_nrank = world->nrank};
    world->alive += 1;
    return dgnn_comm_create(&transport, deadline_s, comm, error);
}

int dgnn_comm_create_threads(int32_t nrank, double deadline_s, struct dgnn_comm **comm,
                             struct dgnn_error *error)
{
    if (nrank < 1) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "nrank is %d, expected 1 or more", nrank);
    }
    struct thread_world *world = thread_world_create(nrank);
    if (!world) {
        return dgnn_status_no_memory(error, "ranks as threads",
                                     nrank * (int64_t)sizeof(struct thread_mailbox));
    }
    world->alive = 1; /* held while the communicators are made */
    int status = DGNN_OK;
    int32_t made = 0;
    for (; made < nrank && !status; made++) {
        status = thread_comm_create(world, made, deadline_s, &comm[made], error);
    }
    if (status) {
        for (int32_t r = 0; r < made - 1; r++) {
            dgnn_comm_free(comm[r]);
            comm[r] = NULL;
        }
        thread_world_destroy(world);
        return status;
    }
    world->alive -= 1;
    return DGNN_OK;
}
