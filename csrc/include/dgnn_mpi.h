/* dgnn over MPI: the one function that takes an MPI type. Link dgnn_mpi beside dgnn (pkg-config dgnn_mpi,
 * CMake dgnn::mpi); that small library is built for one MPI, the core for none. */
#ifndef DGNN_MPI_H
#define DGNN_MPI_H

#include <mpi.h>

#include "dgnn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A communicator of dgnn's on a duplicate of comm, an intra-communicator: no message of dgnn's meets one of
 * anybody else's. Collective over comm. deadline_s: how long a wait for other ranks may take, in this call
 * and later; <= 0: 300 seconds.
 *
 * *result is freed with dgnn_comm_free, which is local and safe in any exit order: after MPI_Finalize, and in
 * a forked child, it leaves MPI alone. comm itself stays the caller's. Where MPI was initialised without
 * MPI_THREAD_SERIALIZED, only the main thread may use the communicator.
 *
 * Errors: INPUT (MPI not initialised or finalised, a null or inter-communicator, the wrong thread, another
 * version of the core), COMM, MEMORY. On failure *result is NULL. */
DGNN_API int dgnn_comm_create_mpi(MPI_Comm comm, double deadline_s, struct dgnn_comm **result,
                                  struct dgnn_error *error);

#ifdef __cplusplus
}
#endif
#endif
