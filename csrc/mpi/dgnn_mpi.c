/* dgnn_mpi.h: a transport over MPI, given to the core. */
#include "dgnn_mpi.h"

#include "mpi/mpi_transport.h"

int dgnn_comm_create_mpi(MPI_Comm comm, double deadline_s, struct dgnn_comm **result,
                         struct dgnn_error *error)
{
    struct dgnn_transport transport;
    *result = NULL;
    int status = dgnn_mpi_transport_create(&comm, deadline_s, &transport, error);
    return status ? status : dgnn_comm_create(&transport, deadline_s, result, error);
}
