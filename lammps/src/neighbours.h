/* LAMMPS's neighbour list, for where neigh_modify exclude says that it differs from the atoms around: else
 * dgnn searches. */
#ifndef DGNN_LAMMPS_NEIGHBOURS_H
#define DGNN_LAMMPS_NEIGHBOURS_H

#include <mpi.h>

#include <cstdint>
#include <vector>

#include "dgnn.h"

#include "failure.h"

namespace LAMMPS_NS
{
class Atom;
class NeighList;
class Neighbor;
} // namespace LAMMPS_NS

namespace DGNN
{

/* Is the atom in group all? Fixes that try what a simulation is without an atom (gcmc, widom) take it from
 * there. */
inline bool is_there(int mask)
{
    return mask & 1;
}

/* Do exclusions leave out a pair of atoms that are there? Collective where LAMMPS has any. */
bool excludes_pairs(const LAMMPS_NS::Neighbor &neighbor, const LAMMPS_NS::Atom &atom, MPI_Comm world);

/* Notes in local what keeps lists of LAMMPS from being the model's neighbours. listed: is one built? */
void check_neighbours(const LAMMPS_NS::Neighbor &neighbor, const LAMMPS_NS::Atom &atom, MPI_Comm world,
                      bool listed, Local *local);

class Neighbours
{
  public:
    /* May run out of memory. */
    void take(const LAMMPS_NS::NeighList &list, int64_t nlocal);
    void enter(dgnn_ghosted *system) const;

  private:
    std::vector<int64_t> first_;
    std::vector<int32_t> rows_;
};

} // namespace DGNN

#endif
