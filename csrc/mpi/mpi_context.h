/* What the files of the transport over MPI share: the communicator's state, errors, which thread may call
 * MPI, sizes beyond int, and waiting with a deadline. */
#ifndef DGNN_MPI_CONTEXT_H
#define DGNN_MPI_CONTEXT_H

#include <sys/types.h>

#include "mpi/mpi_transport.h"

struct mpi_context {
    MPI_Comm comm; /* the duplicate */
    int rank;
    int nrank;
    pid_t creator; /* a forked child leaves MPI alone */
    int main_only; /* MPI was not initialised for calls from several threads */
    int abandoned; /* messages were given up: MPI may still hold on to memory */
    int ncreated;  /* persistent requests alive */
    int capacity;  /* of the arrays below: as many as there are requests, and two for each rank */
    MPI_Request *waiting;
    MPI_Status *statuses;
    int *completed;
    struct mpi_request **waited;
    struct mpi_request *message; /* of an alltoallv: two for each rank */
    char *stage;                 /* of allgather: MPI never writes to memory that a caller may free */
    size_t stage_size;
};

struct mpi_request {
    MPI_Request handle;
    MPI_Datatype type;
    int64_t nbytes;
    int peer;
    int is_receive;
    int active;
};

/* Names that begin with MPI_ are MPI's own. */
#define TRY(expr)                                                                                            \
    do {                                                                                                     \
        int status_ = (expr);                                                                                \
        if (status_) {                                                                                       \
            return status_;                                                                                  \
        }                                                                                                    \
    } while (0)

#define TRY_MPI(call, error) TRY(dgnn_mpi_check((call), #call, error))

__attribute__((format(printf, 3, 4))) int dgnn_mpi_error(struct dgnn_error *error, int status,
                                                         const char *format, ...);

/* The status of a call of MPI's; what: its name. */
int dgnn_mpi_check(int code, const char *what, struct dgnn_error *error);

/* May MPI be called at all? */
int dgnn_mpi_running(void);

/* May this thread call MPI? Errors: INPUT. */
int dgnn_mpi_check_thread(int main_only, struct dgnn_error *error);

/* May this process and thread call MPI? As a question, and as an error (INPUT, COMM). */
int dgnn_mpi_reachable(const struct mpi_context *context);
int dgnn_mpi_enter(const struct mpi_context *context, struct dgnn_error *error);

/* nbytes as count items of type, which is freed with dgnn_mpi_type_free, after a failure too. */
int dgnn_mpi_type_create(int64_t nbytes, int *count, MPI_Datatype *type, struct dgnn_error *error);
void dgnn_mpi_type_free(MPI_Datatype *type);

/* Waits for the n requests of context->waiting, which are those of context->waited. Errors: COMM. */
int dgnn_mpi_wait_all(struct mpi_context *context, int n, double deadline_s, struct dgnn_error *error);
/* Gives up on what is left of them: receives are cancelled, so that MPI writes to them no more. */
void dgnn_mpi_give_up(struct mpi_context *context, int n);
/* Waits for one request that cannot be cancelled. Errors: COMM. */
int dgnn_mpi_wait_one(struct mpi_context *context, MPI_Request *request, const char *what, double deadline_s,
                      struct dgnn_error *error);

#endif
