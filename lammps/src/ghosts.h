/* Whose ghosts are: each owner sends its rank and row through LAMMPS's own communication, of whatever style,
 * and dgnn_direct_from_owners makes one message a neighbour of it, with one row for each remote atom. */
#ifndef DGNN_LAMMPS_GHOSTS_H
#define DGNN_LAMMPS_GHOSTS_H

#include <cstdint>
#include <vector>

#include "dgnn.h"

#include "failure.h"

namespace DGNN
{

class Ghosts
{
  public:
    ~Ghosts();

    enum { WIDTH = 2 }; /* numbers of a row in a message */

    /* What this rank knows: its own rows. May run out of memory. */
    void begin(int rank, int64_t nlocal, int64_t nall);
    /* LAMMPS's forward communication; ghosts that were learned are sent on. */
    int pack(int n, const int *list, double *buffer) const;
    void unpack(int n, int first, const double *buffer);
    /* Collective where comm is given; Failure. */
    void plan(dgnn_comm *comm);

    void enter(dgnn_ghosted *system) const;

  private:
    int64_t nlocal_ = 0;
    std::vector<int32_t> rank_, row_; /* nall */
    dgnn_ghost_plan *plan_ = nullptr;
};

} // namespace DGNN

#endif
