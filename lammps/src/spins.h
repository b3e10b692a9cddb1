/* atom_style spin: sp holds a direction and a length; LAMMPS's fm is a frequency. */
#ifndef DGNN_LAMMPS_SPINS_H
#define DGNN_LAMMPS_SPINS_H

#include <cstdint>
#include <vector>

namespace DGNN
{

/* eV ps: LAMMPS's fm, in rad THz, times it is an energy for a spin that is a unit vector. */
const double HBAR = 6.5821191e-04;

/* rows x 3: directions times lengths. */
inline void take_spins(double **sp, int64_t rows, std::vector<double> *spins)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int d = 0; d < 3; d++) {
            (*spins)[3 * i + d] = sp[i][d] * sp[i][3];
        }
    }
}

/* fm += factor -dE/dspin |spin| / hbar, of rows. */
inline void add_magnetic_forces(const double *forces_mag, double **sp, int64_t rows, double factor,
                                double **fm)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int d = 0; d < 3; d++) {
            fm[i][d] += factor * forces_mag[3 * i + d] * sp[i][3] / HBAR;
        }
    }
}

} // namespace DGNN

#endif
