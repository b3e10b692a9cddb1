/* What goes wrong, in one form, from the rank where it did to an error of LAMMPS on all. */
#ifndef DGNN_LAMMPS_FAILURE_H
#define DGNN_LAMMPS_FAILURE_H

#include <mpi.h>

#include <new>
#include <stdexcept>
#include <string>

#include "dgnn.h"

namespace DGNN
{

/* Thrown on all ranks of LAMMPS's world, with the same message; of DGNN_ERROR_COMM, on those that noticed. */
struct Failure : std::runtime_error {
    int status; /* enum dgnn_status */

    Failure(int status_, const std::string &message) : std::runtime_error(message), status(status_)
    {
    }
};

/* An error of this rank, from dgnn or from a message of the plugin's own. */
struct Local {
    int status = DGNN_OK;
    dgnn_error error{};

    /* The first one stays. Of a literal: takes no memory, so that a rank cannot leave here. */
    void set(int failed, const char *message);
    void set(int failed, const std::string &message)
    {
        set(failed, message.c_str());
    }

    /* Runs work; out of memory, in it or in what it calls, is noted, not thrown. */
    template <class Work> void attempt(const Work &work)
    {
        try {
            if (!status) {
                work();
            }
        } catch (const std::bad_alloc &) {
            set(DGNN_ERROR_MEMORY, "out of memory");
        }
    }
};

/* All ranks of world agree on how it went: Failure with the message of the lowest that failed. Collective. */
void agree(MPI_Comm world, const Local &local);

} // namespace DGNN

#endif
