/* A communicator: a transport (dgnn.h) with a deadline, counters and the few collectives that dgnn needs.
 *
 * A communicator that is NULL means one rank: then collectives return this rank's own values.
 *
 * The first DGNN_ERROR_COMM breaks the communicator: each later call fails at once, and sends nothing. All
 * ranks call the collectives in the same order. None of them allocates.
 *
 * error must not be NULL here, because the communicator keeps the message of its first COMM. */
#ifndef DGNN_COMM_TRANSPORT_H
#define DGNN_COMM_TRANSPORT_H

#include <stdatomic.h>

#include "base/status.h"

/* What a message is counted as, in the order of the counters in struct dgnn_comm_count. */
enum dgnn_traffic {
    DGNN_TRAFFIC_FORWARD = 0,
    DGNN_TRAFFIC_REVERSE,
    DGNN_TRAFFIC_POSITION,
    DGNN_TRAFFIC_FORCE,
    DGNN_TRAFFIC_OTHER
};

/* The tags of messages. Messages of one tag between two ranks arrive in the order of their starts. */
enum dgnn_tag { DGNN_TAG_FORWARD = 1, DGNN_TAG_REVERSE = 2 };

enum { DGNN_TRANSPORT_MESSAGE_LENGTH = 512 }; /* the longest message of an agreement */

struct dgnn_comm {
    struct dgnn_transport transport;
    atomic_int references; /* the caller's, and one for each owner of requests; the last one frees */
    atomic_int busy;       /* 1: a call is under way */
    double deadline_s;
    int64_t sequence; /* agreements so far */
    int64_t call;     /* calls begun so far */
    struct dgnn_comm_count count;
    int32_t broken;
    char why[256];   /* the message of the first failure */
    void *scratch;   /* scratch memory of the collectives, of the same size for each rank */
    int64_t *counts; /* 4 x nrank, for alltoallv */
};

/* Adds a reference, which dgnn_comm_free gives back. Plans that a session keeps may outlive the caller's own
 * reference. NULL is allowed. */
void dgnn_transport_retain(struct dgnn_comm *comm);

/* Enters a call; BUSY where another thread's call is under way. NULL is allowed. */
int dgnn_transport_enter(struct dgnn_comm *comm, struct dgnn_error *error);
void dgnn_transport_leave(struct dgnn_comm *comm);

int32_t dgnn_transport_rank(const struct dgnn_comm *comm);
int32_t dgnn_transport_nrank(const struct dgnn_comm *comm);

/* Lets all ranks agree on whether one of them failed. Each rank passes the status of what it did since the
 * last agreement, with its message in *error, and the name of its present step, as in "compute". All ranks
 * return the status and message of the lowest rank that failed; with several ranks the message begins with
 * "rank 2: ". Where none failed but ranks are at different steps, all ranks get DGNN_ERROR_INPUT with both
 * names, and may go on together. Where ranks are in different calls, or came to different numbers of
 * agreements, all get DGNN_ERROR_COMM. */
int dgnn_transport_agree(struct dgnn_comm *comm, const char *operation, int status, struct dgnn_error *error);

/* values[k] = sum of values[k] over the ranks, as ((0 + 1) + (2 + 3)) + (4 + 5) of six ranks. The order of
 * the tree depends on the number of ranks alone, so that all ranks get the same bits. */
int dgnn_transport_sum(struct dgnn_comm *comm, double *values, int64_t nvalue, struct dgnn_error *error);

/* Replaces each of the nvalue values by its maximum, minimum or sum over all ranks. The number of messages
 * grows with the logarithm of the number of ranks. */
int dgnn_transport_reduce(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                          enum dgnn_reduction reduction, struct dgnn_error *error);

/* *before = sum of value over the ranks lower than this one. The number of messages grows with the logarithm
 * of the number of ranks. */
int dgnn_transport_scan(struct dgnn_comm *comm, int64_t value, int64_t *before, struct dgnn_error *error);

/* Gathers nbytes of each rank into out, which is nrank x nbytes in the order of ranks. */
int dgnn_transport_allgather(struct dgnn_comm *comm, const void *in, int64_t nbytes, void *out,
                             struct dgnn_error *error);

/* Sends one number to each rank: receive[r] becomes what rank r has in send[me]. Both arrays have nrank
 * entries. Zeros are not sent. A rank with numbers for k others sends about 16 bytes for each of them, as
 * often as nrank has digits to base 8. */
int dgnn_transport_alltoall(struct dgnn_comm *comm, const int64_t *send, int64_t *receive,
                            struct dgnn_error *error);

/* Sends items of item_size bytes to each rank. send has the items for rank 0 first, then those for rank 1,
 * and so on; receive gets them in the order of ranks. send_count and receive_count are nrank numbers of
 * items. Rank a's send_count[b] must be rank b's receive_count[a]. */
int dgnn_transport_alltoallv(struct dgnn_comm *comm, const void *send, const int64_t *send_count,
                             void *receive, const int64_t *receive_count, int64_t item_size,
                             struct dgnn_error *error);

/* Persistent messages, as in struct dgnn_transport. comm must not be NULL, except for wait, which then does
 * nothing. */
int dgnn_transport_send_create(struct dgnn_comm *comm, const void *data, int64_t nbytes, int32_t to,
                               int32_t tag, void **request, struct dgnn_error *error);
int dgnn_transport_receive_create(struct dgnn_comm *comm, void *data, int64_t nbytes, int32_t from,
                                  int32_t tag, void **request, struct dgnn_error *error);
int dgnn_transport_start(struct dgnn_comm *comm, void *request, struct dgnn_error *error);
int dgnn_transport_wait(struct dgnn_comm *comm, void **requests, int64_t nrequest, struct dgnn_error *error);
/* Frees a request and sets *request to NULL; *request may be NULL. */
void dgnn_transport_request_free(struct dgnn_comm *comm, void **request);

/* Counts one message of nbytes that was sent. */
void dgnn_transport_count(struct dgnn_comm *comm, enum dgnn_traffic traffic, int64_t nbytes);

#endif
