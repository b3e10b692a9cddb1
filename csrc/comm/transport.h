/* A communicator: a transport (dgnn.h) with a deadline, counters and the few collectives that dgnn needs.
 *
 * Wherever a communicator is taken, NULL means one rank: collectives return this rank's own answer.
 *
 * The first DGNN_ERROR_COMM makes the communicator broken: each later call fails at once, without a message.
 * Collectives are called by all ranks in the same order; here, none of them allocates.
 *
 * error is never NULL: the first COMM is kept with its message. */
#ifndef DGNN_COMM_TRANSPORT_H
#define DGNN_COMM_TRANSPORT_H

#include <stdatomic.h>

#include "base/status.h"

/* What a message is counted as; the order of the counters in struct dgnn_comm_count. */
enum dgnn_traffic {
    DGNN_TRAFFIC_FORWARD = 0,
    DGNN_TRAFFIC_REVERSE,
    DGNN_TRAFFIC_POSITION,
    DGNN_TRAFFIC_FORCE,
    DGNN_TRAFFIC_OTHER
};

/* The tags on the private communicator. Messages of one tag between two ranks arrive in starting order. */
enum dgnn_tag { DGNN_TAG_FORWARD = 1, DGNN_TAG_REVERSE = 2 };

enum { DGNN_TRANSPORT_MESSAGE_LENGTH = 512 }; /* of an agreed message */

struct dgnn_comm {
    struct dgnn_transport transport;
    atomic_int references; /* of the caller, and of what holds requests; the last one frees */
    atomic_int busy;       /* is a call under way? */
    double deadline_s;
    int64_t sequence; /* agreements so far */
    int64_t call;     /* calls begun so far */
    struct dgnn_comm_count count;
    int32_t broken;
    char why[256];   /* the first failure */
    void *scratch;   /* of the collectives: the same room for each rank */
    int64_t *counts; /* 4 x nrank, for alltoallv */
};

/* Keeps the communicator for one more user, who gives it back with dgnn_comm_free: plans that a model keeps
 * may outlive the caller's own reference. NULL is allowed. */
void dgnn_transport_retain(struct dgnn_comm *comm);

/* One call at a time: BUSY where another thread's is under way. NULL is allowed. */
int dgnn_transport_enter(struct dgnn_comm *comm, struct dgnn_error *error);
void dgnn_transport_leave(struct dgnn_comm *comm);

int32_t dgnn_transport_rank(const struct dgnn_comm *comm);
int32_t dgnn_transport_nrank(const struct dgnn_comm *comm);

/* All ranks pass the status of what they did since the last agreement, with its message in *error, and the
 * name of the step they are at ("compute"). Returns on all ranks the lowest failing rank's status and
 * message, preceded by "rank 2: " where there are several ranks. Where none failed, ranks at different steps
 * get DGNN_ERROR_INPUT that names both, on all ranks, and may go on together. Ranks that are in another call,
 * or have come to another number of agreements, get DGNN_ERROR_COMM. */
int dgnn_transport_agree(struct dgnn_comm *comm, const char *operation, int status, struct dgnn_error *error);

/* values: the sums over the ranks, added in a tree of which the number of ranks alone decides the order, so
 * the same bits on each: ((0 + 1) + (2 + 3)) + (4 + 5) of six. */
int dgnn_transport_sum(struct dgnn_comm *comm, double *values, int64_t nvalue, struct dgnn_error *error);

/* values: on each rank those of all ranks taken together, for as many messages as the logarithm of the ranks.
 */
int dgnn_transport_reduce(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                          enum dgnn_reduction reduction, struct dgnn_error *error);

/* before: the sum of value over the ranks below this one, in as many messages as the logarithm of the ranks.
 */
int dgnn_transport_scan(struct dgnn_comm *comm, int64_t value, int64_t *before, struct dgnn_error *error);

/* out: nrank x nbytes, in rank order. */
int dgnn_transport_allgather(struct dgnn_comm *comm, const void *in, int64_t nbytes, void *out,
                             struct dgnn_error *error);

/* A number for each rank: receive[r] is what rank r has in send[me]. nrank each. Zeros are not sent: a rank
 * with numbers for k others sends some 16 bytes for each of them, as often as nrank has digits to base 8. */
int dgnn_transport_alltoall(struct dgnn_comm *comm, const int64_t *send, int64_t *receive,
                            struct dgnn_error *error);

/* Items of item_size bytes, for rank 0 first, then rank 1, ... and received in rank order. send_count and
 * receive_count: items, nrank each; what rank a has in send_count[b] is what b has in receive_count[a]. */
int dgnn_transport_alltoallv(struct dgnn_comm *comm, const void *send, const int64_t *send_count,
                             void *receive, const int64_t *receive_count, int64_t item_size,
                             struct dgnn_error *error);

/* Persistent messages: see struct dgnn_transport. comm is not NULL, but for wait, which then does nothing. */
int dgnn_transport_send_create(struct dgnn_comm *comm, const void *data, int64_t nbytes, int32_t to,
                               int32_t tag, void **request, struct dgnn_error *error);
int dgnn_transport_receive_create(struct dgnn_comm *comm, void *data, int64_t nbytes, int32_t from,
                                  int32_t tag, void **request, struct dgnn_error *error);
int dgnn_transport_start(struct dgnn_comm *comm, void *request, struct dgnn_error *error);
int dgnn_transport_wait(struct dgnn_comm *comm, void **requests, int64_t nrequest, struct dgnn_error *error);
/* Sets *request to NULL; NULL is allowed. */
void dgnn_transport_request_free(struct dgnn_comm *comm, void **request);

/* Counts one message that was sent. */
void dgnn_transport_count(struct dgnn_comm *comm, enum dgnn_traffic traffic, int64_t nbytes);

#endif
