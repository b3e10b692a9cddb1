/* Agreement: how it went with each rank, and whether all are at the same step. */
#include "comm/transport_inside.h"

#include <stdio.h>
#include <string.h>

enum { TRANSPORT_OPERATION_LENGTH = 64 }; /* of the name of a step, with its zero */

/* What each rank shows the others when they cannot agree. */
struct transport_word {
    int64_t sequence;
    int64_t call; /* of those begun with dgnn_comm_begin */
    char operation[TRANSPORT_OPERATION_LENGTH];
};

_Static_assert(sizeof(struct transport_word) <= DGNN_TRANSPORT_SCRATCH,
               "words must fit into the scratch block");

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
        return dgnn_transport_result(comm, status, error);
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
            return dgnn_transport_result(comm, DGNN_ERROR_COMM, error);
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

void dgnn_comm_place(const struct dgnn_comm *comm, int32_t *rank, int32_t *nrank)
{
    if (rank) {
        *rank = dgnn_transport_rank(comm);
    }
    if (nrank) {
        *nrank = dgnn_transport_nrank(comm);
    }
}

int dgnn_comm_allgather(struct dgnn_comm *comm, const void *in, int64_t nbytes, void *out,
                        struct dgnn_error *error)
{
    struct dgnn_error own = {0};
    if (!comm || nbytes < 0 || (nbytes && (!in || !out))) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "dgnn_comm_allgather: an argument is NULL, or nbytes is negative");
    }
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int status = nbytes ? dgnn_transport_allgather(comm, in, nbytes, out, error) : DGNN_OK;
    dgnn_transport_leave(comm);
    return status;
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
