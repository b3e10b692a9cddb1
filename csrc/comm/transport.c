#include "comm/transport.h"

#include "base/alloc.h"
#include "base/sized.h"

#include <stdio.h>
#include <string.h>

#define TRANSPORT_DEADLINE_S 300.0

enum {
    TRANSPORT_SCRATCH = 256,         /* bytes for each rank */
    TRANSPORT_OPERATION_LENGTH = 64, /* of the name of a step, with its zero */
};

/* What each rank shows the others when they cannot agree. */
struct transport_word {
    int64_t sequence;
    int64_t call; /* of those begun with dgnn_comm_begin */
    char operation[TRANSPORT_OPERATION_LENGTH];
};

_Static_assert(sizeof(struct transport_word) <= TRANSPORT_SCRATCH, "words must fit into the scratch block");

/* ------------------------------------------------------------------ making and freeing */

static const char *transport_missing(const struct dgnn_transport *t)
{
    return !t->send_create      ? "send_create"
           : !t->receive_create ? "receive_create"
           : !t->start          ? "start"
           : !t->wait           ? "wait"
           : !t->request_free   ? "request_free"
           : !t->allgather      ? "allgather"
           : !t->alltoallv      ? "alltoallv"
           : !t->free           ? "free"
                                : NULL;
}

static int transport_complete(const struct dgnn_transport *transport, struct dgnn_error *error)
{
    if (transport->nrank < 1 || transport->rank < 0 || transport->rank >= transport->nrank) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "transport: rank %d of %d is no rank",
                               transport->rank, transport->nrank);
    }
    const char *missing = transport_missing(transport);
    if (missing) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "transport: %s is NULL, expected a function",
                               missing);
    }
    return DGNN_OK;
}

static void transport_release(struct dgnn_comm *comm)
{
    dgnn_alloc_free(comm->scratch);
    dgnn_alloc_free(comm->counts);
    dgnn_alloc_free(comm);
}

int dgnn_comm_create(const struct dgnn_transport *transport, double deadline_s, struct dgnn_comm **comm,
                     struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"transport", DGNN_SIZED_TO(struct dgnn_transport, free),
                                           sizeof(*transport)};
    struct dgnn_transport own = {0};
    DGNN_TRY(dgnn_sized_take(&kind, transport, &own, error));
    int status = transport_complete(&own, error);
    if (status) {
        if (own.free) {
            own.free(own.context);
        }
        return status;
    }
    int64_t nrank = own.nrank;
    struct dgnn_comm *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (made) {
        made->scratch = dgnn_alloc(nrank, TRANSPORT_SCRATCH);
        made->counts = dgnn_alloc(4 * nrank, sizeof(int64_t));
    }
    if (!made || !made->scratch || !made->counts) {
        if (made) {
            transport_release(made);
        }
        own.free(own.context);
        return dgnn_status_no_memory(error, "a communicator", nrank * TRANSPORT_SCRATCH);
    }
    made->transport = own;
    atomic_init(&made->references, 1);
    atomic_init(&made->busy, 0);
    made->deadline_s = deadline_s > 0 ? deadline_s : TRANSPORT_DEADLINE_S;
    *comm = made;
    return DGNN_OK;
}

void dgnn_transport_retain(struct dgnn_comm *comm)
{
    if (comm) {
        atomic_fetch_add(&comm->references, 1);
    }
}

void dgnn_comm_free(struct dgnn_comm *comm)
{
    if (comm && atomic_fetch_sub(&comm->references, 1) == 1) {
        comm->transport.free(comm->transport.context);
        transport_release(comm);
    }
}

int dgnn_transport_enter(struct dgnn_comm *comm, struct dgnn_error *error)
{
    if (comm && atomic_exchange(&comm->busy, 1)) {
        return dgnn_status_set(error, DGNN_ERROR_BUSY,
                               "the communicator is in use by another thread of rank %d",
                               comm->transport.rank);
    }
    return DGNN_OK;
}

void dgnn_transport_leave(struct dgnn_comm *comm)
{
    if (comm) {
        atomic_store(&comm->busy, 0);
    }
}

/* ------------------------------------------------------------------ counting and failing */

void dgnn_transport_count(struct dgnn_comm *comm, enum dgnn_traffic traffic, int64_t nbytes)
{
    struct dgnn_comm_count *count = &comm->count;
    int64_t *const messages[] = {&count->forward_messages, &count->reverse_messages,
                                 &count->position_messages, &count->force_messages, &count->other_messages};
    *messages[traffic] += 1;
    count->bytes += nbytes;
    if (traffic == DGNN_TRAFFIC_FORWARD || traffic == DGNN_TRAFFIC_REVERSE) {
        count->feature_bytes += nbytes;
    }
}

void dgnn_comm_counts(struct dgnn_comm *comm, struct dgnn_comm_count *count, int32_t reset)
{
    *count = comm->count;
    if (reset) {
        memset(&comm->count, 0, sizeof(comm->count));
    }
}

int32_t dgnn_transport_rank(const struct dgnn_comm *comm)
{
    return comm ? comm->transport.rank : 0;
}

int32_t dgnn_transport_nrank(const struct dgnn_comm *comm)
{
    return comm ? comm->transport.nrank : 1;
}

static int transport_usable(const struct dgnn_comm *comm, struct dgnn_error *error)
{
    if (comm->broken) {
        return dgnn_status_set(
            error, DGNN_ERROR_COMM,
            "this communicator failed earlier and is not used again; the first failure was: %s", comm->why);
    }
    return DGNN_OK;
}

/* Remembers the first COMM. */
static int transport_result(struct dgnn_comm *comm, int status, const struct dgnn_error *error)
{
    if (status == DGNN_ERROR_COMM && !comm->broken) {
        comm->broken = 1;
        snprintf(comm->why, sizeof(comm->why), "%.*s", (int)sizeof(comm->why) - 1, error->message);
    }
    return status;
}

/* ------------------------------------------------------------------ messages */

int dgnn_transport_send_create(struct dgnn_comm *comm, const void *data, int64_t nbytes, int32_t to,
                               int32_t tag, void **request, struct dgnn_error *error)
{
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    int status = t->send_create(t->context, data, nbytes, to, tag, request, error);
    return transport_result(comm, status, error);
}

int dgnn_transport_receive_create(struct dgnn_comm *comm, void *data, int64_t nbytes, int32_t from,
                                  int32_t tag, void **request, struct dgnn_error *error)
{
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    int status = t->receive_create(t->context, data, nbytes, from, tag, request, error);
    return transport_result(comm, status, error);
}

int dgnn_transport_start(struct dgnn_comm *comm, void *request, struct dgnn_error *error)
{
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    return transport_result(comm, t->start(t->context, request, error), error);
}

int dgnn_transport_wait(struct dgnn_comm *comm, void **requests, int64_t nrequest, struct dgnn_error *error)
{
    if (!comm || nrequest == 0) {
        return DGNN_OK;
    }
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    return transport_result(comm, t->wait(t->context, requests, nrequest, comm->deadline_s, error), error);
}

void dgnn_transport_request_free(struct dgnn_comm *comm, void **request)
{
    if (*request) {
        comm->transport.request_free(comm->transport.context, *request);
        *request = NULL;
    }
}

/* ------------------------------------------------------------------ collectives */

int dgnn_transport_allgather(struct dgnn_comm *comm, const void *in, int64_t nbytes, void *out,
                             struct dgnn_error *error)
{
    if (!comm) {
        memcpy(out, in, (size_t)nbytes);
        return DGNN_OK;
    }
    const struct dgnn_transport *t = &comm->transport;
    for (int32_t i = 1; i < t->nrank; i++) {
        dgnn_transport_count(comm, DGNN_TRAFFIC_OTHER, nbytes);
    }
    DGNN_TRY(transport_usable(comm, error));
    return transport_result(comm, t->allgather(t->context, in, nbytes, out, comm->deadline_s, error), error);
}

/* Of a message library that has no all-reduce. */
static int transport_reduce_gathered(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                                     enum dgnn_reduction reduction, struct dgnn_error *error)
{
    enum { AT_ONCE = TRANSPORT_SCRATCH / sizeof(int64_t) };
    const int64_t *all = comm->scratch;
    for (int64_t start = 0; start < nvalue; start += AT_ONCE) {
        int64_t n = nvalue - start < AT_ONCE ? nvalue - start : AT_ONCE;
        DGNN_TRY(dgnn_transport_allgather(comm, values + start, n * (int64_t)sizeof(*values), comm->scratch,
                                          error));
        for (int64_t k = 0; k < n; k++) {
            int64_t one = all[k];
            for (int32_t r = 1; r < comm->transport.nrank; r++) {
                int64_t other = all[r * n + k];
                one = reduction == DGNN_REDUCE_SUM                      ? one + other
                      : (one > other) == (reduction == DGNN_REDUCE_MAX) ? one
                                                                        : other;
            }
            values[start + k] = one;
        }
    }
    return DGNN_OK;
}

int dgnn_transport_reduce(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                          enum dgnn_reduction reduction, struct dgnn_error *error)
{
    if (!comm) {
        return DGNN_OK;
    }
    const struct dgnn_transport *t = &comm->transport;
    if (!t->allreduce) {
        return transport_reduce_gathered(comm, values, nvalue, reduction, error);
    }
    for (int64_t n = 1; n < t->nrank; n *= 2) {
        dgnn_transport_count(comm, DGNN_TRAFFIC_OTHER, nvalue * (int64_t)sizeof(*values));
    }
    DGNN_TRY(transport_usable(comm, error));
    return transport_result(
        comm, t->allreduce(t->context, values, nvalue, reduction, comm->deadline_s, error), error);
}

int dgnn_transport_alltoallv(struct dgnn_comm *comm, const void *send, const int64_t *send_count,
                             void *receive, const int64_t *receive_count, int64_t item_size,
                             struct dgnn_error *error)
{
    if (!comm) {
        if (send_count[0] > 0) {
            memcpy(receive, send, (size_t)(send_count[0] * item_size));
        }
        return DGNN_OK;
    }
    const struct dgnn_transport *t = &comm->transport;
    int64_t *bytes_out = comm->counts;
    int64_t *place_out = bytes_out + t->nrank;
    int64_t *bytes_in = place_out + t->nrank;
    int64_t *place_in = bytes_in + t->nrank;
    int64_t out = 0;
    int64_t in = 0;
    for (int32_t r = 0; r < t->nrank; r++) {
        bytes_out[r] = send_count[r] * item_size;
        bytes_in[r] = receive_count[r] * item_size;
        place_out[r] = out;
        place_in[r] = in;
        out += bytes_out[r];
        in += bytes_in[r];
        if (r != t->rank && bytes_out[r] > 0) {
            dgnn_transport_count(comm, DGNN_TRAFFIC_OTHER, bytes_out[r]);
        }
    }
    DGNN_TRY(transport_usable(comm, error));
    int status = t->alltoallv(t->context, send, bytes_out, place_out, receive, bytes_in, place_in,
                              comm->deadline_s, error);
    return transport_result(comm, status, error);
}

int dgnn_transport_alltoall(struct dgnn_comm *comm, const int64_t *send, int64_t *receive,
                            struct dgnn_error *error)
{
    int64_t *one = comm ? comm->scratch : (int64_t[]){1};
    for (int32_t r = 0; r < dgnn_transport_nrank(comm); r++) {
        one[r] = 1;
    }
    return dgnn_transport_alltoallv(comm, send, one, receive, one, sizeof(int64_t), error);
}

/* A round in which each rank sends to one rank at most and hears from one: -1 for none. */
struct transport_round {
    int32_t to, from;
    const void *out;
    void *in;
    int64_t nbytes;
};

static int transport_pass(struct dgnn_comm *comm, const struct transport_round *round,
                          struct dgnn_error *error)
{
    int32_t nrank = comm->transport.nrank;
    int64_t *send = comm->scratch, *receive = send + nrank;
    memset(send, 0, 2 * (size_t)nrank * sizeof(*send));
    if (round->to >= 0) {
        send[round->to] = round->nbytes;
    }
    if (round->from >= 0) {
        receive[round->from] = round->nbytes;
    }
    return dgnn_transport_alltoallv(comm, round->out, send, round->in, receive, 1, error);
}

/* After the round of distance d, each rank has the sum of itself and the 2 d - 1 ranks below. */
int dgnn_transport_scan(struct dgnn_comm *comm, int64_t value, int64_t *before, struct dgnn_error *error)
{
    int32_t me = dgnn_transport_rank(comm), nrank = dgnn_transport_nrank(comm);
    int64_t all = value;
    for (int64_t d = 1; d < nrank; d *= 2) {
        int64_t below = 0;
        const struct transport_round round = {.to = me + d < nrank ? (int32_t)(me + d) : -1,
                                              .from = me >= d ? (int32_t)(me - d) : -1,
                                              .out = &all,
                                              .in = &below,
                                              .nbytes = sizeof(all)};
        DGNN_TRY(transport_pass(comm, &round, error));
        all += below;
    }
    *before = all - value;
    return DGNN_OK;
}

/* The binary tree of a sum. At distance d = 1, 2, 4, ... each rank whose number is an odd multiple of d has
 * its place below the rank d lower. -1: none. */
static int32_t transport_above(int64_t me, int64_t d)
{
    return me % (2 * d) == d ? (int32_t)(me - d) : -1;
}

static int32_t transport_below(int64_t me, int64_t d, int64_t nrank)
{
    return me % (2 * d) == 0 && me + d < nrank ? (int32_t)(me + d) : -1;
}

enum { TRANSPORT_SUM_AT_ONCE = 64 };

/* n values at most that many: up the tree, each rank adding what comes to what it has, and the sums down
 * again. */
static int transport_sum_tree(struct dgnn_comm *comm, double *values, int64_t n, struct dgnn_error *error)
{
    double heard[TRANSPORT_SUM_AT_ONCE];
    int64_t me = comm->transport.rank, nrank = comm->transport.nrank, d = 1;
    struct transport_round round = {.out = values, .in = heard, .nbytes = n * (int64_t)sizeof(double)};
    for (; d < nrank; d *= 2) {
        round.to = transport_above(me, d);
        round.from = transport_below(me, d, nrank);
        DGNN_TRY(transport_pass(comm, &round, error));
        for (int64_t k = 0; k < n && round.from >= 0; k++) {
            values[k] += heard[k];
        }
    }
    for (d /= 2; d >= 1; d /= 2) {
        round.to = transport_below(me, d, nrank);
        round.from = transport_above(me, d);
        DGNN_TRY(transport_pass(comm, &round, error));
        if (round.from >= 0) {
            memcpy(values, heard, (size_t)n * sizeof(double));
        }
    }
    return DGNN_OK;
}

int dgnn_transport_sum(struct dgnn_comm *comm, double *values, int64_t nvalue, struct dgnn_error *error)
{
    for (int64_t start = 0; comm && start < nvalue; start += TRANSPORT_SUM_AT_ONCE) {
        int64_t n = nvalue - start < TRANSPORT_SUM_AT_ONCE ? nvalue - start : TRANSPORT_SUM_AT_ONCE;
        DGNN_TRY(transport_sum_tree(comm, values + start, n, error));
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ agreement */

/* What the lowest failing rank tells the others. */
struct transport_told {
    int32_t status;
    int32_t system_errno;
    char message[DGNN_TRANSPORT_MESSAGE_LENGTH];
};

/* On every rank, what went wrong on rank from, with its message. */
static int transport_spread(struct dgnn_comm *comm, int32_t from, const struct dgnn_error *mine,
                            struct dgnn_error *error)
{
    const struct dgnn_transport *t = &comm->transport;
    struct transport_told sent = {.status = mine->status, .system_errno = mine->system_errno}, received = {0};
    int64_t *count = comm->scratch;
    int64_t *expected = count + t->nrank;
    for (int32_t r = 0; r < t->nrank; r++) {
        count[r] = t->rank == from ? (int64_t)sizeof(sent) : 0;
        expected[r] = r == from ? (int64_t)sizeof(received) : 0;
    }
    snprintf(sent.message, sizeof(sent.message), "%.*s", (int)sizeof(sent.message) - 1, mine->message);
    /* Sent to each rank from the same place, so not dgnn_transport_alltoallv. */
    int64_t *places = comm->counts;
    memset(places, 0, (size_t)t->nrank * sizeof(*places));
    int status =
        t->alltoallv(t->context, &sent, count, places, &received, expected, places, comm->deadline_s, error);
    if (status) {
        return transport_result(comm, status, error);
    }
    if (t->nrank > 1) {
        dgnn_status_set(error, received.status, "rank %d: %s", from, received.message);
    } else {
        dgnn_status_set(error, received.status, "%s", received.message);
    }
    error->system_errno = received.system_errno;
    return received.status;
}

static int transport_same_sequence(struct dgnn_comm *comm, const struct transport_word *words,
                                   struct dgnn_error *error)
{
    for (int32_t r = 1; r < comm->transport.nrank; r++) {
        if (words[r].sequence != words[0].sequence || words[r].call != words[0].call) {
            dgnn_status_set(
                error, DGNN_ERROR_COMM,
                "the ranks are out of step: rank %d is in %s (call %lld, step %lld), rank 0 in %s (call "
                "%lld, step %lld); a call that one of them began was left before the others joined in",
                r, words[r].operation, (long long)words[r].call, (long long)words[r].sequence,
                words[0].operation, (long long)words[0].call, (long long)words[0].sequence);
            return transport_result(comm, DGNN_ERROR_COMM, error);
        }
    }
    return DGNN_OK;
}

static int transport_same_operation(const struct transport_word *words, int32_t nrank,
                                    struct dgnn_error *error)
{
    for (int32_t r = 1; r < nrank; r++) {
        if (strcmp(words[r].operation, words[0].operation) != 0) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "rank %d is in %s while rank 0 is in %s: all ranks make the same calls in the same order", r,
                words[r].operation, words[0].operation);
        }
    }
    return DGNN_OK;
}

/* What ranks take together when they agree, each the largest: a number and its negative are equal on all
 * ranks where the two largest are one another's negatives. */
enum transport_agreed {
    AGREED_SEQUENCE = 0,
    AGREED_SEQUENCE_NEGATIVE,
    AGREED_CALL,
    AGREED_CALL_NEGATIVE,
    AGREED_FAILED, /* the number of ranks less the failing rank: the largest is the lowest rank's; 0: it went
                      well */
    AGREED_VOTE,
    AGREED_OPERATION, /* a number for its name */
    AGREED_OPERATION_NEGATIVE,
    AGREED_COUNT
};

/* FNV-1a, without the sign. */
static int64_t transport_name_number(const char *name)
{
    uint64_t number = 14695981039346656037u;
    for (int k = 0; name[k] && k < TRANSPORT_OPERATION_LENGTH - 1; k++) {
        number = (number ^ (unsigned char)name[k]) * 1099511628211u;
    }
    return (int64_t)(number >> 1);
}

/* Ranks are not at one step: what each of them is at, as all of them know by now. */
static int transport_tell_apart(struct dgnn_comm *comm, const char *operation, struct dgnn_error *error)
{
    struct transport_word word = {.sequence = comm->sequence, .call = comm->call};
    snprintf(word.operation, sizeof(word.operation), "%s", operation);
    DGNN_TRY(dgnn_transport_allgather(comm, &word, sizeof(word), comm->scratch, error));
    DGNN_TRY(transport_same_sequence(comm, comm->scratch, error));
    return transport_same_operation(comm->scratch, comm->transport.nrank, error);
}

static int transport_failed_in(const char *operation, int failed, struct dgnn_error *error)
{
    struct dgnn_error why = *error;
    return dgnn_status_set(error, failed, "in %s: %.*s", operation, DGNN_TRANSPORT_MESSAGE_LENGTH,
                           why.message);
}

static int transport_vote(struct dgnn_comm *comm, const char *operation, int status, int32_t *vote,
                          struct dgnn_error *error)
{
    if (!comm || (comm->broken && status)) {
        return status;
    }
    const struct dgnn_transport *t = &comm->transport;
    struct dgnn_error mine = {0};
    int64_t name = transport_name_number(operation), sequence = ++comm->sequence;
    int64_t all[AGREED_COUNT] = {[AGREED_SEQUENCE] = sequence,
                                 [AGREED_SEQUENCE_NEGATIVE] = -sequence,
                                 [AGREED_CALL] = comm->call,
                                 [AGREED_CALL_NEGATIVE] = -comm->call,
                                 [AGREED_FAILED] = status ? t->nrank - t->rank : 0,
                                 [AGREED_VOTE] = *vote,
                                 [AGREED_OPERATION] = name,
                                 [AGREED_OPERATION_NEGATIVE] = -name};
    if (status) {
        mine = *error;
        mine.status = status;
    }
    int failed = dgnn_transport_reduce(comm, all, AGREED_COUNT, DGNN_REDUCE_MAX, error);
    if (failed) {
        return transport_failed_in(operation, failed, error);
    }
    int in_step = all[AGREED_SEQUENCE] == -all[AGREED_SEQUENCE_NEGATIVE] &&
                  all[AGREED_CALL] == -all[AGREED_CALL_NEGATIVE];
    if (in_step && all[AGREED_FAILED]) {
        return transport_spread(comm, t->nrank - (int32_t)all[AGREED_FAILED], &mine, error);
    }
    *vote = (int32_t)all[AGREED_VOTE];
    return in_step && all[AGREED_OPERATION] == -all[AGREED_OPERATION_NEGATIVE]
               ? DGNN_OK
               : transport_tell_apart(comm, operation, error);
}

int dgnn_transport_agree(struct dgnn_comm *comm, const char *operation, int status, struct dgnn_error *error)
{
    int32_t none = 0;
    return transport_vote(comm, operation, status, &none, error);
}

int dgnn_comm_vote(struct dgnn_comm *comm, const char *operation, int32_t status, int32_t *vote,
                   struct dgnn_error *error)
{
    struct dgnn_error own = {0};
    if (!comm || !operation || !vote) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_comm_vote: an argument is NULL");
    }
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    status = transport_vote(comm, operation, status, vote, error);
    dgnn_transport_leave(comm);
    return status;
}

int dgnn_comm_agree(struct dgnn_comm *comm, const char *operation, int32_t status, struct dgnn_error *error)
{
    int32_t none = 0;
    if (!comm || !operation) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_comm_agree: an argument is NULL");
    }
    return dgnn_comm_vote(comm, operation, status, &none, error);
}

int dgnn_comm_begin(struct dgnn_comm *comm, struct dgnn_error *error)
{
    if (!comm) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_comm_begin: an argument is NULL");
    }
    DGNN_TRY(dgnn_transport_enter(comm, error));
    comm->call++;
    dgnn_transport_leave(comm);
    return DGNN_OK;
}

int dgnn_comm_sum(struct dgnn_comm *comm, double *values, int64_t nvalue, struct dgnn_error *error)
{
    struct dgnn_error own = {0};
    if (!comm || nvalue < 0 || (nvalue && !values)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_comm_sum: an argument is NULL, or nvalue below 0");
    }
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int status = dgnn_transport_sum(comm, values, nvalue, error);
    dgnn_transport_leave(comm);
    return status;
}
