#include "failure.h"

#include <climits>
#include <cstdio>

namespace DGNN
{

void Local::set(int failed, const char *message)
{
    if (!status) {
        status = failed;
        error.status = failed;
        snprintf(error.message, sizeof(error.message), "%s", message);
    }
}

void agree(MPI_Comm world, const Local &local)
{
    int rank = 0, nrank = 1, lowest = INT_MAX;
    MPI_Comm_rank(world, &rank);
    MPI_Comm_size(world, &nrank);
    int mine = local.status ? rank : INT_MAX;
    MPI_Allreduce(&mine, &lowest, 1, MPI_INT, MPI_MIN, world);
    if (lowest == INT_MAX) {
        return;
    }
    dgnn_error theirs = local.error;
    MPI_Bcast(&theirs, sizeof(theirs), MPI_BYTE, lowest, world);
    std::string where = nrank > 1 ? "rank " + std::to_string(lowest) + ": " : "";
    throw Failure(theirs.status, where + theirs.message);
}

} // namespace DGNN
