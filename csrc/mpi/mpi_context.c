#include "mpi/mpi_context.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* A longer message travels as one item of a derived type, as MPI counts in int. Tests set it small. */
#ifndef DGNN_MPI_BLOCK
#define DGNN_MPI_BLOCK (1 << 30)
#endif

static const double mpi_cancel_s = 1.0;

/* ------------------------------------------------------------------ errors, threads, time */

int dgnn_mpi_error(struct dgnn_error *error, int status, const char *format, ...)
{
    if (error) {
        va_list args;
        error->status = status;
        error->system_errno = 0;
        va_start(args, format);
        vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
    }
    return status;
}

int dgnn_mpi_check(int code, const char *what, struct dgnn_error *error)
{
    if (code == MPI_SUCCESS) {
        return DGNN_OK;
    }
    char text[MPI_MAX_ERROR_STRING + 1] = "no text";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return dgnn_mpi_error(error, DGNN_ERROR_COMM, "%s: %s", what, text);
}

/* MPI_Initialized and MPI_Finalized may be called at any time, by any thread. */
int dgnn_mpi_running(void)
{
    int initialised = 0;
    int finalised = 0;
    MPI_Initialized(&initialised);
    MPI_Finalized(&finalised);
    return initialised && !finalised;
}

static int mpi_on_main_thread(void)
{
    int is_main = 0;
    MPI_Is_thread_main(&is_main);
    return is_main;
}

/* May this process and thread call MPI? */
int dgnn_mpi_reachable(const struct mpi_context *context)
{
    return getpid() == context->creator && dgnn_mpi_running() &&
           (!context->main_only || mpi_on_main_thread());
}

int dgnn_mpi_check_thread(int main_only, struct dgnn_error *error)
{
    if (main_only && !mpi_on_main_thread()) {
        return dgnn_mpi_error(
            error, DGNN_ERROR_INPUT,
            "comm: MPI was initialised for calls from the main thread only (thread level below "
            "MPI_THREAD_SERIALIZED), and this is another thread");
    }
    return DGNN_OK;
}

int dgnn_mpi_enter(const struct mpi_context *context, struct dgnn_error *error)
{
    if (getpid() != context->creator) {
        return dgnn_mpi_error(error, DGNN_ERROR_INPUT,
                              "this communicator belongs to process %ld, and this is its forked child %ld",
                              (long)context->creator, (long)getpid());
    }
    if (!dgnn_mpi_running()) {
        return dgnn_mpi_error(error, DGNN_ERROR_COMM, "MPI is finalised: the communicator is gone");
    }
    return dgnn_mpi_check_thread(context->main_only, error);
}

static double mpi_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Spins at first, as most messages are there at once; then leaves the core to others, who may share it. */
static void mpi_pause(long round)
{
    if (round > 2000) {
        const struct timespec nap = {0, 50000};
        nanosleep(&nap, NULL);
    } else if (round > 100) {
        sched_yield();
    }
}

/* ------------------------------------------------------------------ sizes */

/* nbytes as count items of type, which is freed with mpi_type_free, after a failure too. */
int dgnn_mpi_type_create(int64_t nbytes, int *count, MPI_Datatype *type, struct dgnn_error *error)
{
    *count = (int)nbytes;
    *type = MPI_BYTE;
    if (nbytes <= DGNN_MPI_BLOCK) {
        return DGNN_OK;
    }
    if (nbytes / DGNN_MPI_BLOCK > INT_MAX) {
        return dgnn_mpi_error(error, DGNN_ERROR_INPUT, "a message of %lld bytes, expected at most %lld",
                              (long long)nbytes, (long long)INT_MAX * DGNN_MPI_BLOCK);
    }
    MPI_Datatype block, made;
    TRY_MPI(MPI_Type_contiguous(DGNN_MPI_BLOCK, MPI_BYTE, &block), error);
    int lengths[2] = {(int)(nbytes / DGNN_MPI_BLOCK), (int)(nbytes % DGNN_MPI_BLOCK)};
    MPI_Aint places[2] = {0, (MPI_Aint)(nbytes - lengths[1])};
    MPI_Datatype types[2] = {block, MPI_BYTE};
    int code = MPI_Type_create_struct(2, lengths, places, types, &made);
    MPI_Type_free(&block);
    TRY(dgnn_mpi_check(code, "MPI_Type_create_struct", error));
    *count = 1;
    *type = made;
    return dgnn_mpi_check(MPI_Type_commit(type), "MPI_Type_commit", error);
}

void dgnn_mpi_type_free(MPI_Datatype *type)
{
    if (*type != MPI_BYTE) {
        MPI_Type_free(type);
    }
}

/* ------------------------------------------------------------------ waiting */

/* A received message has the length that was expected? status is MPI's for request r. */
static int mpi_received(const struct mpi_context *context, const struct mpi_request *r,
                        const MPI_Status *status, struct dgnn_error *error)
{
    MPI_Count received = 0;
    if (!r->is_receive) {
        return DGNN_OK;
    }
    TRY_MPI(MPI_Get_elements_x(status, r->type, &received), error);
    if (received != r->nbytes) {
        return dgnn_mpi_error(error, DGNN_ERROR_COMM,
                              "rank %d sent rank %d a message of %lld bytes where %lld were expected",
                              r->peer, context->rank, (long long)received, (long long)r->nbytes);
    }
    return DGNN_OK;
}

/* One look at the first n of context->waiting; *left goes down. */
static int mpi_poll(struct mpi_context *context, int n, int *left, struct dgnn_error *error)
{
    int done = 0;
    int code = MPI_Testsome(n, context->waiting, &done, context->completed, context->statuses);
    if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) {
        return dgnn_mpi_check(code, "MPI_Testsome", error);
    }
    int status = DGNN_OK;
    for (int k = 0; k < done && done != MPI_UNDEFINED; k++) {
        struct mpi_request *r = context->waited[context->completed[k]];
        int result = code == MPI_ERR_IN_STATUS
                         ? dgnn_mpi_check(context->statuses[k].MPI_ERROR, "a message", error)
                         : DGNN_OK;
        r->active = 0;
        *left -= 1;
        result = result ? result : mpi_received(context, r, &context->statuses[k], error);
        status = status ? status : result;
    }
    if (done == MPI_UNDEFINED) {
        *left = 0;
    }
    return status;
}

/* Gives up on what is left: receives are cancelled, so that MPI writes to them no more. */
void dgnn_mpi_give_up(struct mpi_context *context, int n)
{
    int left = 0;
    context->abandoned = 1;
    for (int k = 0; k < n; k++) {
        struct mpi_request *r = context->waited[k];
        context->waiting[k] = MPI_REQUEST_NULL;
        if (r->active && r->is_receive && MPI_Cancel(&r->handle) == MPI_SUCCESS) {
            context->waiting[k] = r->handle;
            left++;
        }
    }
    double until = mpi_now() + mpi_cancel_s;
    for (long round = 0; left > 0 && mpi_now() < until; round++) {
        int done = 0;
        if (MPI_Testsome(n, context->waiting, &done, context->completed, context->statuses) != MPI_SUCCESS ||
            done == MPI_UNDEFINED) {
            return;
        }
        left -= done;
        for (int k = 0; k < done; k++) {
            context->waited[context->completed[k]]->active = 0;
        }
        mpi_pause(round);
    }
}

/* Waits for the n requests of context->waiting, which are those of context->waited. */
int dgnn_mpi_wait_all(struct mpi_context *context, int n, double deadline_s, struct dgnn_error *error)
{
    double until = mpi_now() + deadline_s;
    int left = n;
    for (long round = 0; left > 0; round++) {
        int status = mpi_poll(context, n, &left, error);
        if (!status && left > 0 && mpi_now() > until) {
            int k = 0;
            while (!context->waited[k]->active) {
                k++;
            }
            const struct mpi_request *r = context->waited[k];
            status = dgnn_mpi_error(error, DGNN_ERROR_COMM, "rank %d waited %g s for a message %s rank %d",
                                    context->rank, deadline_s, r->is_receive ? "from" : "to", r->peer);
        }
        if (status) {
            dgnn_mpi_give_up(context, n);
            return status;
        }
        if (left > 0) {
            mpi_pause(round);
        }
    }
    return DGNN_OK;
}

/* Waits for one request that cannot be cancelled. */
int dgnn_mpi_wait_one(struct mpi_context *context, MPI_Request *request, const char *what, double deadline_s,
                      struct dgnn_error *error)
{
    double until = mpi_now() + deadline_s;
    for (long round = 0;; round++) {
        int done = 0;
        int status = dgnn_mpi_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), what, error);
        if (!status && !done && mpi_now() > until) {
            status = dgnn_mpi_error(error, DGNN_ERROR_COMM, "rank %d waited %g s in %s for the other ranks",
                                    context->rank, deadline_s, what);
        }
        if (status || done) {
            context->abandoned = context->abandoned || status;
            return status;
        }
        mpi_pause(round);
    }
}
