/* The words of pair_style dgnn: MODEL [MODEL ...] keyword value ... */
#ifndef DGNN_LAMMPS_OPTIONS_H
#define DGNN_LAMMPS_OPTIONS_H

#include <string>
#include <vector>

#include "lmptype.h"

namespace LAMMPS_NS
{
class LAMMPS;
}

namespace DGNN
{

struct Options {
    std::vector<std::string> models;

    /* Model deviation, of several models. */
    std::string out_file = "model_devi.out";
    LAMMPS_NS::bigint out_freq = 100; /* steps; 0: none is written */
    bool names_output = false;        /* was out_file, out_freq, atomic or relative given? */
    bool atomic = false, relative = false, relative_v = false;
    double level = 0, level_v = 0; /* in LAMMPS's units of force and energy */

    /* What models take beside atoms. */
    std::vector<double> fparam, aparam, charge_spin;
    std::string fparam_compute, fparam_fix, aparam_compute, ttm; /* ids; empty: not given */
    int fparam_fix_index = 0;                                    /* from 1; 0: the fix's scalar */

    /* dgnn's own. */
    std::string head, device;  // device empty: the variable DGNN_DEVICE, else the CPU
    int dtype = 0, memory = 0; /* enum dgnn_dtype, enum dgnn_memory */
    int threads = 0;           /* 0: as many as LAMMPS has */
    double deadline = 0;       /* seconds; 0: dgnn's default */
};

/* Errors are LAMMPS's, on all ranks: a word that is unknown, or has the wrong number of values, by name. */
Options read_options(LAMMPS_NS::LAMMPS *lmp, int narg, char **arg);

} // namespace DGNN

#endif
