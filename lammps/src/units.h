/* From dgnn's eV and Angstrom to LAMMPS's units, by the constants that LAMMPS has in each, as deepmd-kit
 * does. */
#ifndef DGNN_LAMMPS_UNITS_H
#define DGNN_LAMMPS_UNITS_H

#include "force.h"

namespace DGNN
{

struct Units {
    double energy = 1; /* of one eV */
    double length = 1; /* of one Angstrom */

    Units() = default;
    explicit Units(const LAMMPS_NS::Force &force)
        : energy(force.boltz / 8.617343e-5), /* Boltzmann's constant in eV/K, LAMMPS's of units metal */
          length(force.angstrom)
    {
    }

    double force() const
    {
        return energy / length;
    }
};

} // namespace DGNN

#endif
