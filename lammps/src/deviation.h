/* How far several models are from each other: deepmd-kit's file of model deviation. */
#ifndef DGNN_LAMMPS_DEVIATION_H
#define DGNN_LAMMPS_DEVIATION_H

#include <mpi.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "lmptype.h"

#include "dgnn.h"

#include "failure.h"
#include "file.h"
#include "options.h"
#include "units.h"

namespace LAMMPS_NS
{
class Atom;
}

namespace DGNN
{

class Deviation
{
  public:
    /* append: after a restart. Collective; Failure where rank 0 cannot write the file. */
    Deviation(MPI_Comm world, const Options &options, const Units &units, bool has_spins, bool append);

    bool is_due(LAMMPS_NS::bigint step) const
    {
        return step % freq_ == 0;
    }

    /* A line. results: of each model, with forces of owned rows complete. Collective; Failure. */
    void write(LAMMPS_NS::bigint step, const LAMMPS_NS::Atom &atom, const std::vector<dgnn_result> &results);

  private:
    MPI_Comm world_;
    int rank_ = 0, nrank_ = 1;
    LAMMPS_NS::bigint freq_;
    bool atomic_, relative_, relative_v_, has_spins_;
    double energy_unit_, force_unit_, level_, level_v_; /* levels in eV and Angstrom */
    std::string path_;
    File file_; /* on rank 0 */

    /* Of a line. */
    std::vector<const double *> forces_, magnetic_; /* of each model */
    std::vector<double> of_atoms_, of_forces_,
        virials_;                        /* deviations of atoms; this rank's and all virials */
    std::vector<int> counts_, places_;   /* of ranks: atoms, and their first place in all */
    std::vector<LAMMPS_NS::tagint> ids_; /* of all atoms, on rank 0 */
    std::vector<double> values_;
    std::vector<std::pair<LAMMPS_NS::tagint, double>> sorted_;

    struct Spread {
        double most, least, mean;
    };
    void of_vectors(const std::vector<const double *> &vectors, int64_t n);
    Spread spread(LAMMPS_NS::bigint natoms) const;
    void reserve(const LAMMPS_NS::Atom &atom, const std::vector<dgnn_result> &results);
    Spread of_virials(const std::vector<dgnn_result> &results, LAMMPS_NS::bigint natoms);
    void write_atoms(const LAMMPS_NS::Atom &atom);
    void put(const Spread &spread, double unit);
    void put_head();
    void flush(Local *local);
};

} // namespace DGNN

#endif
