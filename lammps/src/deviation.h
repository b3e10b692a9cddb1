/* How far several models are from each other: deepmd-kit's file of model deviation. */
#ifndef DGNN_LAMMPS_DEVIATION_H
#define DGNN_LAMMPS_DEVIATION_H

#include <mpi.h>

#include <cstdio>
#include <vector>

#include "lmptype.h"

#include "dgnn.h"

#include "failure.h"
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
    /* append: after a restart. Collective; Failure where rank 0 cannot open the file. */
    Deviation(MPI_Comm world, const Options &options, const Units &units, bool has_spins, bool append);
    ~Deviation();
    Deviation(const Deviation &) = delete;
    Deviation &operator=(const Deviation &) = delete;

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
    FILE *file_ = nullptr;
    std::vector<double> of_atoms_;

    struct Spread {
        double most, least, mean;
    };
    void of_vectors(const std::vector<const double *> &vectors, int64_t n);
    Spread spread(LAMMPS_NS::bigint natoms) const;
    Spread of_virials(const std::vector<dgnn_result> &results, LAMMPS_NS::bigint natoms) const;
    void write_atoms(const LAMMPS_NS::Atom &atom, const std::vector<double> &mine);
    void put(const Spread &spread, double unit);
};

} // namespace DGNN

#endif
