/* A transport (dgnn.h) over MPI. Compiled once per MPI, against that MPI's own mpi.h, outside of the core. */
#ifndef DGNN_MPI_TRANSPORT_H
#define DGNN_MPI_TRANSPORT_H

#include <mpi.h>

#include "dgnn.h"

/* Collective over *comm, an intra-communicator, which is duplicated: no message of dgnn's meets one of
 * anybody else's. deadline_s: how long the other ranks may take to join in; <= 0: 300. Fills *transport; its
 * free is local and safe in any exit order: after MPI_Finalize, and in a forked child, it leaves MPI alone.
 *
 * After DGNN_ERROR_COMM what was under way is cancelled where MPI can do that, and memory that MPI may still
 * write to is left to it.
 *
 * Where MPI was initialised without MPI_THREAD_SERIALIZED, only the main thread may use the transport.
 * Errors: INPUT (MPI not initialised, finalised, a null or inter-communicator, the wrong thread), COMM,
 * MEMORY. */
DGNN_API int dgnn_mpi_transport_create(const MPI_Comm *comm, double deadline_s,
                                       struct dgnn_transport *transport, struct dgnn_error *error);

#endif
