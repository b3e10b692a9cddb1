#include "mpi/mpi_context.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TAG_ALLTOALLV = 1000, /* apart from dgnn's own tags */
    STAGE_ITEM = 256      /* bytes a rank that an allgather never allocates for */
};

static const double mpi_deadline_s = 300.0;

/* ------------------------------------------------------------------ persistent messages */

static int mpi_grow(void *array, size_t count, size_t size)
{
    void **block = array;
    void *grown = realloc(*block, count * size);
    if (grown) {
        *block = grown;
    }
    return grown != NULL;
}

/* Room to wait for count requests at once, so that waiting never allocates. */
static int mpi_reserve(struct mpi_context *context, int count, struct dgnn_error *error)
{
    if (count <= context->capacity) {
        return DGNN_OK;
    }
    size_t capacity = 2 * (size_t)count;
    if (!mpi_grow(&context->waiting, capacity, sizeof(*context->waiting)) ||
        !mpi_grow(&context->statuses, capacity, sizeof(*context->statuses)) ||
        !mpi_grow(&context->completed, capacity, sizeof(*context->completed)) ||
        !mpi_grow(&context->waited, capacity, sizeof(*context->waited))) {
        return dgnn_mpi_error(error, DGNN_ERROR_MEMORY, "out of memory: %d MPI requests", count);
    }
    context->capacity = (int)capacity;
    return DGNN_OK;
}

static int mpi_request_create(struct mpi_context *context, void *data, const struct mpi_request *wanted,
                              int tag, void **request, struct dgnn_error *error)
{
    TRY(dgnn_mpi_enter(context, error));
    TRY(mpi_reserve(context, context->ncreated + 1, error));
    struct mpi_request *made = malloc(sizeof(*made));
    if (!made) {
        return dgnn_mpi_error(error, DGNN_ERROR_MEMORY, "out of memory: an MPI request");
    }
    *made = *wanted;
    int count;
    int status = dgnn_mpi_type_create(made->nbytes, &count, &made->type, error);
    if (!status) {
        MPI_Comm comm = context->comm;
        int code = made->is_receive
                       ? MPI_Recv_init(data, count, made->type, made->peer, tag, comm, &made->handle)
                       : MPI_Send_init(data, count, made->type, made->peer, tag, comm, &made->handle);
        status = dgnn_mpi_check(code, made->is_receive ? "MPI_Recv_init" : "MPI_Send_init", error);
    }
    if (status) {
        dgnn_mpi_type_free(&made->type);
        free(made);
        return status;
    }
    context->ncreated++;
    *request = made;
    return DGNN_OK;
}

static int mpi_send_create(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag,
                           void **request, struct dgnn_error *error)
{
    const struct mpi_request send = {.nbytes = nbytes, .peer = to};
    return mpi_request_create(context, (void *)(uintptr_t)data, &send, tag, request, error);
}

static int mpi_receive_create(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag,
                              void **request, struct dgnn_error *error)
{
    const struct mpi_request receive = {.nbytes = nbytes, .peer = from, .is_receive = 1};
    return mpi_request_create(context, data, &receive, tag, request, error);
}

static int mpi_start(void *context, void *request, struct dgnn_error *error)
{
    struct mpi_request *r = request;
    TRY(dgnn_mpi_enter(context, error));
    if (r->active) {
        return dgnn_mpi_error(error, DGNN_ERROR_INTERNAL,
                              "a message was started again before it was waited for");
    }
    TRY_MPI(MPI_Start(&r->handle), error);
    r->active = 1;
    return DGNN_OK;
}

static void mpi_request_free(void *context, void *request)
{
    struct mpi_context *c = context;
    struct mpi_request *r = request;
    c->abandoned = c->abandoned || r->active;
    if (dgnn_mpi_reachable(c)) {
        if (r->active && r->is_receive) {
            MPI_Cancel(&r->handle);
        }
        MPI_Request_free(&r->handle);
        dgnn_mpi_type_free(&r->type);
    }
    c->ncreated--;
    free(r);
}

static int mpi_wait(void *context, void **requests, int64_t nrequest, double deadline_s,
                    struct dgnn_error *error)
{
    struct mpi_context *c = context;
    int n = 0;
    TRY(dgnn_mpi_enter(c, error));
    for (int64_t i = 0; i < nrequest; i++) {
        struct mpi_request *r = requests[i];
        if (r && r->active) {
            /* Handles of persistent requests outlive their messages, so copies do for waiting. */
            c->waiting[n] = r->handle;
            c->waited[n++] = r;
        }
    }
    return dgnn_mpi_wait_all(c, n, deadline_s, error);
}

/* ------------------------------------------------------------------ collectives */

static int mpi_stage_reserve(struct mpi_context *context, size_t nbytes, struct dgnn_error *error)
{
    if (nbytes > context->stage_size) {
        if (!mpi_grow(&context->stage, nbytes, 1)) {
            return dgnn_mpi_error(error, DGNN_ERROR_MEMORY, "out of memory: %zu bytes to gather", nbytes);
        }
        context->stage_size = nbytes;
    }
    return DGNN_OK;
}

static int mpi_allgather(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                         struct dgnn_error *error)
{
    struct mpi_context *c = context;
    TRY(dgnn_mpi_enter(c, error));
    if (c->abandoned) {
        return dgnn_mpi_error(error, DGNN_ERROR_COMM, "an earlier wait on this communicator failed");
    }
    size_t all = (size_t)nbytes * (size_t)c->nrank;
    TRY(mpi_stage_reserve(c, (size_t)nbytes + all, error));
    int count;
    MPI_Datatype type;
    MPI_Request request;
    char *gathered = c->stage + nbytes;
    memcpy(c->stage, in, (size_t)nbytes);
    int status = dgnn_mpi_type_create(nbytes, &count, &type, error);
    if (!status) {
        int code = MPI_Iallgather(c->stage, count, type, gathered, count, type, c->comm, &request);
        status = dgnn_mpi_check(code, "MPI_Iallgather", error);
    }
    status = status ? status : dgnn_mpi_wait_one(c, &request, "MPI_Iallgather", deadline_s, error);
    dgnn_mpi_type_free(&type);
    if (!status) {
        memcpy(out, gathered, all);
    }
    return status;
}

static int mpi_allreduce(void *context, int64_t *values, int64_t nvalue, int32_t reduction, double deadline_s,
                         struct dgnn_error *error)
{
    struct mpi_context *c = context;
    MPI_Op operation = reduction == DGNN_REDUCE_MAX   ? MPI_MAX
                       : reduction == DGNN_REDUCE_MIN ? MPI_MIN
                                                      : MPI_SUM;
    size_t nbytes = (size_t)nvalue * sizeof(*values);
    MPI_Request request;
    TRY(dgnn_mpi_enter(c, error));
    if (c->abandoned) {
        return dgnn_mpi_error(error, DGNN_ERROR_COMM, "an earlier wait on this communicator failed");
    }
    if (nvalue < 0 || nvalue > INT_MAX) {
        return dgnn_mpi_error(error, DGNN_ERROR_INPUT, "an all-reduce of %lld values", (long long)nvalue);
    }
    TRY(mpi_stage_reserve(c, nbytes, error));
    memcpy(c->stage, values, nbytes);
    TRY(dgnn_mpi_check(
        MPI_Iallreduce(MPI_IN_PLACE, c->stage, (int)nvalue, MPI_INT64_T, operation, c->comm, &request),
        "MPI_Iallreduce", error));
    TRY(dgnn_mpi_wait_one(c, &request, "MPI_Iallreduce", deadline_s, error));
    memcpy(values, c->stage, nbytes);
    return DGNN_OK;
}

static int mpi_alltoallv_start(struct mpi_context *context, struct mpi_request *r, char *data,
                               struct dgnn_error *error)
{
    int count;
    TRY(dgnn_mpi_type_create(r->nbytes, &count, &r->type, error));
    MPI_Comm comm = context->comm;
    int code = r->is_receive ? MPI_Irecv(data, count, r->type, r->peer, TAG_ALLTOALLV, comm, &r->handle)
                             : MPI_Isend(data, count, r->type, r->peer, TAG_ALLTOALLV, comm, &r->handle);
    TRY(dgnn_mpi_check(code, r->is_receive ? "MPI_Irecv" : "MPI_Isend", error));
    r->active = 1;
    return DGNN_OK;
}

/* Messages between the pairs that have something for one another: most ranks have not, and counts in bytes
 * outgrow MPI_Ialltoallv's int. */
static int mpi_alltoallv(void *context, const void *send, const int64_t *send_count,
                         const int64_t *send_place, void *receive, const int64_t *receive_count,
                         const int64_t *receive_place, double deadline_s, struct dgnn_error *error)
{
    struct mpi_context *c = context;
    TRY(dgnn_mpi_enter(c, error));
    if (send_count[c->rank] > 0) {
        memcpy((char *)receive + receive_place[c->rank], (const char *)send + send_place[c->rank],
               (size_t)send_count[c->rank]);
    }
    int n = 0;
    int status = DGNN_OK;
    for (int i = 0; i < 2 * c->nrank && !status; i++) {
        int r = i % c->nrank;
        int is_receive = i < c->nrank;
        int64_t nbytes = is_receive ? receive_count[r] : send_count[r];
        if (r != c->rank && nbytes > 0) {
            char *data =
                is_receive ? (char *)receive + receive_place[r] : (char *)(uintptr_t)send + send_place[r];
            struct mpi_request *message = &c->message[n];
            *message = (struct mpi_request){
                .handle = MPI_REQUEST_NULL, .nbytes = nbytes, .peer = r, .is_receive = is_receive};
            status = mpi_alltoallv_start(c, message, data, error);
            c->waited[n] = message;
            c->waiting[n++] = message->handle;
        }
    }
    if (status) {
        dgnn_mpi_give_up(c, n);
    } else {
        status = dgnn_mpi_wait_all(c, n, deadline_s, error);
    }
    for (int k = 0; k < n; k++) {
        dgnn_mpi_type_free(&c->message[k].type);
    }
    return status;
}

/* ------------------------------------------------------------------ making and freeing */

static void mpi_context_release(struct mpi_context *context)
{
    free(context->waiting);
    free(context->statuses);
    free(context->completed);
    free(context->waited);
    free(context->message);
    if (!context->abandoned) {
        free(context->stage);
    }
    free(context);
}

static void mpi_free(void *context)
{
    struct mpi_context *c = context;
    /* After a failure ranks may wait for one another in MPI_Comm_free: the duplicate is left to MPI. */
    if (dgnn_mpi_reachable(c) && !c->abandoned) {
        MPI_Comm_free(&c->comm);
    }
    mpi_context_release(c);
}

static int mpi_usable(const MPI_Comm *comm, int *main_only, struct dgnn_error *error)
{
    if (!dgnn_mpi_running()) {
        int finalised = 0;
        MPI_Finalized(&finalised);
        return dgnn_mpi_error(error, DGNN_ERROR_INPUT, "comm: MPI is %s",
                              finalised ? "finalised: no communicator can be used any more"
                                        : "not initialised");
    }
    if (*comm == MPI_COMM_NULL) {
        return dgnn_mpi_error(error, DGNN_ERROR_INPUT, "comm is the null communicator (was it freed?)");
    }
    int level = MPI_THREAD_SINGLE;
    TRY_MPI(MPI_Query_thread(&level), error);
    *main_only = level < MPI_THREAD_SERIALIZED;
    TRY(dgnn_mpi_check_thread(*main_only, error));
    int inter = 0;
    TRY_MPI(MPI_Comm_test_inter(*comm, &inter), error);
    if (inter) {
        return dgnn_mpi_error(error, DGNN_ERROR_INPUT,
                              "comm is an inter-communicator, expected an intra-communicator");
    }
    return DGNN_OK;
}

/* The duplicate, with errors that return. */
static int mpi_duplicate(struct mpi_context *context, MPI_Comm comm, double deadline_s,
                         struct dgnn_error *error)
{
    MPI_Request request;
    TRY_MPI(MPI_Comm_rank(comm, &context->rank), error);
    TRY_MPI(MPI_Comm_size(comm, &context->nrank), error);
    TRY_MPI(MPI_Comm_idup(comm, &context->comm, &request), error);
    TRY(dgnn_mpi_wait_one(context, &request, "MPI_Comm_idup", deadline_s, error));
    return dgnn_mpi_check(MPI_Comm_set_errhandler(context->comm, MPI_ERRORS_RETURN),
                          "MPI_Comm_set_errhandler", error);
}

/* Memory for all but long messages: none is allocated while ranks wait for one another. */
static int mpi_context_reserve(struct mpi_context *context, struct dgnn_error *error)
{
    size_t nrank = (size_t)context->nrank;
    TRY(mpi_reserve(context, 2 * context->nrank, error));
    context->message = malloc(2 * nrank * sizeof(*context->message));
    if (!context->message) {
        return dgnn_mpi_error(error, DGNN_ERROR_MEMORY, "out of memory: messages to %d ranks",
                              context->nrank);
    }
    return mpi_stage_reserve(context, STAGE_ITEM * (nrank + 1), error);
}

/* The rank's number on its machine, by the names that processors give: MPI's own split has no deadline. */
static int mpi_count_node(struct mpi_context *c, double deadline_s, struct dgnn_transport *transport,
                          struct dgnn_error *error)
{
    char name[MPI_MAX_PROCESSOR_NAME + 1] = {0};
    int length = 0;
    uint64_t own = 14695981039346656037u; /* FNV-1a: a number instead of a long name */
    TRY_MPI(MPI_Get_processor_name(name, &length), error);
    for (int i = 0; i < length; i++) {
        own = (own ^ (unsigned char)name[i]) * 1099511628211u;
    }
    uint64_t *all = malloc((size_t)c->nrank * sizeof(*all));
    int status = all ? DGNN_OK
                     : dgnn_mpi_error(error, DGNN_ERROR_MEMORY, "out of memory: names of %d ranks", c->nrank);
    int64_t failed = status;
    int met = mpi_allreduce(c, &failed, 1, DGNN_REDUCE_MAX, deadline_s, error); /* nobody gathers alone */
    status = met ? met : status;
    if (!status && failed) {
        status = dgnn_mpi_error(error, (int)failed, "another rank is out of memory");
    }
    status = status ? status : mpi_allgather(c, &own, sizeof(own), all, deadline_s, error);
    for (int r = 0; r < c->nrank && !status; r++) {
        transport->node_rank += all[r] == own && r < c->rank;
        transport->node_nrank += all[r] == own;
    }
    free(all);
    return status;
}

int dgnn_mpi_transport_create(const MPI_Comm *comm, double deadline_s, struct dgnn_transport *transport,
                              struct dgnn_error *error)
{
    int main_only = 0;
    TRY(mpi_usable(comm, &main_only, error));
    struct mpi_context *context = calloc(1, sizeof(*context));
    if (!context) {
        return dgnn_mpi_error(error, DGNN_ERROR_MEMORY, "out of memory: a communicator");
    }
    context->comm = MPI_COMM_NULL;
    context->creator = getpid();
    context->main_only = main_only;
    int status = mpi_duplicate(context, *comm, deadline_s > 0 ? deadline_s : mpi_deadline_s, error);
    if (status) {
        if (!context->abandoned) {
            free(context); /* else MPI still writes the duplicate's handle there */
        }
        return status;
    }
    status = mpi_context_reserve(context, error);
    if (status) {
        mpi_free(context);
        return status;
    }
    *transport = (struct dgnn_transport){.size = sizeof(*transport),
                                         .context = context,
                                         .rank = context->rank,
                                         .nrank = context->nrank,
                                         .send_create = mpi_send_create,
                                         .receive_create = mpi_receive_create,
                                         .start = mpi_start,
                                         .wait = mpi_wait,
                                         .request_free = mpi_request_free,
                                         .allgather = mpi_allgather,
                                         .alltoallv = mpi_alltoallv,
                                         .free = mpi_free,
                                         .allreduce = mpi_allreduce};
    status = mpi_count_node(context, deadline_s > 0 ? deadline_s : mpi_deadline_s, transport, error);
    if (status) {
        mpi_free(context);
    }
    return status;
}
