#include "neighbours.h"

#include "atom.h"
#include "neigh_list.h"
#include "neighbor.h"

using namespace LAMMPS_NS;

namespace DGNN
{

bool excludes_pairs(const Neighbor &neighbor, const Atom &atom, MPI_Comm world)
{
    if (neighbor.nex_type > 0 || neighbor.nex_mol > 0) {
        return true;
    }
    for (int k = 0; k < neighbor.nex_group; k++) {
        /* Bits of the groups are set by name, ex1_bit and ex2_bit from them when a run begins. */
        int bits[2] = {1 << neighbor.ex1_group[k], 1 << neighbor.ex2_group[k]}, mine[2] = {0, 0}, all[2];
        for (int i = 0; i < atom.nlocal; i++) {
            for (int side = 0; side < 2; side++) {
                mine[side] |= is_there(atom.mask[i]) && atom.mask[i] & bits[side];
            }
        }
        MPI_Allreduce(mine, all, 2, MPI_INT, MPI_MAX, world);
        if (all[0] && all[1]) {
            return true;
        }
    }
    return false;
}

void check_neighbours(const Neighbor &neighbor, const Atom &atom, MPI_Comm world, bool listed, Local *local)
{
    if (neighbor.includegroup) {
        local->set(DGNN_ERROR_INPUT,
                   "neigh_modify include: ghosts outside of that group are missing; a model needs "
                   "all atoms around (a type that is to take no part: NULL in pair_coeff)");
    }
    if (!listed && neighbor.exclude && excludes_pairs(neighbor, atom, world)) {
        local->set(
            DGNN_ERROR_INPUT,
            "neigh_modify exclude: pairs were excluded after the run was set up (by a fix?), and LAMMPS "
            "builds no list for dgnn in this run; begin another one");
    }
    bool leaves_out = false;
    for (int k = 1; k <= 3; k++) {
        leaves_out = leaves_out || neighbor.special_flag[k] == 0;
    }
    if (listed && atom.molecular != Atom::ATOMIC && leaves_out) {
        local->set(
            DGNN_ERROR_INPUT,
            "neigh_modify exclude makes dgnn use LAMMPS's neighbour list, and special_bonds leaves bonded "
            "pairs out of it; say special_bonds lj/coul 1 1 1");
    }
}

void Neighbours::take(const NeighList &list, int64_t nlocal)
{
    first_.assign(static_cast<size_t>(nlocal) + 1, 0);
    for (int k = 0; k < list.inum; k++) {
        first_[list.ilist[k] + 1] = list.numneigh[list.ilist[k]];
    }
    for (int64_t i = 0; i < nlocal; i++) {
        first_[i + 1] += first_[i];
    }
    rows_.resize(static_cast<size_t>(first_[nlocal]) + 1);
    for (int k = 0; k < list.inum; k++) {
        int i = list.ilist[k];
        for (int j = 0; j < list.numneigh[i]; j++) {
            rows_[first_[i] + j] = list.firstneigh[i][j] & NEIGHMASK;
        }
    }
}

void Neighbours::enter(dgnn_ghosted *system) const
{
    system->neighbour_first = first_.data();
    system->neighbour = rows_.data();
}

} // namespace DGNN
