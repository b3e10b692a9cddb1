/* fparam, aparam and charge_spin: numbers of the script, or what computes and fixes have at each step. */
#ifndef DGNN_LAMMPS_PARAMETERS_H
#define DGNN_LAMMPS_PARAMETERS_H

#include <cstdint>
#include <vector>

#include "dgnn.h"

#include "failure.h"
#include "options.h"
#include "ttm.h"

namespace LAMMPS_NS
{
class Compute;
class Fix;
class LAMMPS;
} // namespace LAMMPS_NS

namespace DGNN
{

class Potential;

class Parameters
{
  public:
    /* Errors are LAMMPS's, on all ranks: the models take other numbers than the script gives. */
    Parameters(LAMMPS_NS::LAMMPS *lmp, const Options &options, const Potential &potential);

    /* Before each run: are the computes and fixes there, and have what is wanted? Errors as above. */
    void check();
    /* At each call, of this rank's atoms; computes are evaluated, so all ranks come here. Failure; and this
     * rank alone may run out of memory. */
    void update();
    void enter(dgnn_ghosted *system) const;

  private:
    LAMMPS_NS::LAMMPS *lmp_;
    Options options_;
    int64_t dim_fparam_, dim_aparam_;
    LAMMPS_NS::Compute *fparam_compute_ = nullptr, *aparam_compute_ = nullptr;
    LAMMPS_NS::Fix *fparam_fix_ = nullptr, *ttm_ = nullptr;
    ElectronTemperatures electrons_;
    std::vector<double> fparam_, aparam_, charge_spin_;

    LAMMPS_NS::Compute *find_compute(const char *keyword, const std::string &id) const;
    LAMMPS_NS::Fix *find_fix(const char *keyword, const std::string &id) const;
    void check_fparam();
    void check_aparam();
    void take_fparam_from_compute();
    void take_fparam_from_fix();
    void take_aparam_from_compute();
};

} // namespace DGNN

#endif
