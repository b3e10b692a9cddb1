#include "comm/transport_inside.h"

#include "base/alloc.h"
#include "base/sized.h"

#include <stdio.h>
#include <string.h>

#define TRANSPORT_DEADLINE_S 300.0

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
    DGNN_TRY(dgnn_sized_read(&kind, transport, &own, error));
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
        made->scratch = dgnn_alloc(nrank, DGNN_TRANSPORT_SCRATCH);
        made->counts = dgnn_alloc(4 * nrank, sizeof(int64_t));
    }
    if (!made || !made->scratch || !made->counts) {
        if (made) {
            transport_release(made);
        }
        own.free(own.context);
        return dgnn_status_no_memory(error, "a communicator", nrank * DGNN_TRANSPORT_SCRATCH);
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

int dgnn_transport_result(struct dgnn_comm *comm, int status, const struct dgnn_error *error)
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
    return dgnn_transport_result(comm, status, error);
}

int dgnn_transport_receive_create(struct dgnn_comm *comm, void *data, int64_t nbytes, int32_t from,
                                  int32_t tag, void **request, struct dgnn_error *error)
{
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    int status = t->receive_create(t->context, data, nbytes, from, tag, request, error);
    return dgnn_transport_result(comm, status, error);
}

int dgnn_transport_start(struct dgnn_comm *comm, void *request, struct dgnn_error *error)
{
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    return dgnn_transport_result(comm, t->start(t->context, request, error), error);
}

int dgnn_transport_wait(struct dgnn_comm *comm, void **requests, int64_t nrequest, struct dgnn_error *error)
{
    if (!comm || nrequest == 0) {
        return DGNN_OK;
    }
    const struct dgnn_transport *t = &comm->transport;
    DGNN_TRY(transport_usable(comm, error));
    return dgnn_transport_result(comm, t->wait(t->context, requests, nrequest, comm->deadline_s, error),
                                 error);
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
    return dgnn_transport_result(comm, t->allgather(t->context, in, nbytes, out, comm->deadline_s, error),
                                 error);
}

int dgnn_transport_reduce(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                          enum dgnn_reduction reduction, struct dgnn_error *error)
{
    if (!comm) {
        return DGNN_OK;
    }
    const struct dgnn_transport *t = &comm->transport;
    if (!t->allreduce) {
        return dgnn_transport_reduce_in_tree(comm, values, nvalue, reduction, error);
    }
    for (int64_t n = 1; n < t->nrank; n *= 2) {
        dgnn_transport_count(comm, DGNN_TRAFFIC_OTHER, nvalue * (int64_t)sizeof(*values));
    }
    DGNN_TRY(transport_usable(comm, error));
    return dgnn_transport_result(
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
    return dgnn_transport_result(comm, status, error);
}
