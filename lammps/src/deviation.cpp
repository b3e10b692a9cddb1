#include "deviation.h"

#include <algorithm>
#include <cerrno>
#include <cfloat>
#include <cinttypes>
#include <cmath>
#include <cstring>

#include "atom.h"

using namespace LAMMPS_NS;

namespace DGNN
{

Deviation::Deviation(MPI_Comm world, const Options &o, const Units &units, bool has_spins, bool append)
    : world_(world), freq_(o.out_freq), atomic_(o.atomic), relative_(o.relative), relative_v_(o.relative_v),
      has_spins_(has_spins), energy_unit_(units.energy), force_unit_(units.force()),
      level_(o.level / units.force()), level_v_(o.level_v / units.energy), path_(o.out_file)
{
    Local local;
    MPI_Comm_rank(world, &rank_);
    MPI_Comm_size(world, &nrank_);
    local.attempt([&] {
        file_.reset(rank_ == 0 ? fopen(path_.c_str(), append ? "a" : "w") : nullptr);
        if (rank_ == 0 && !file_) {
            local.set(DGNN_ERROR_SYSTEM, "out_file: cannot write " + path_ + ": " + strerror(errno));
        }
        if (file_ && !append) {
            put_head();
        }
        flush(&local);
    });
    agree(world, local);
}

void Deviation::put_head()
{
    const char *of_force = has_spins_ ? "fr" : "f";
    fprintf(file_.get(), "#%11s", "step");
    for (const char *of : {"v", of_force, "fm"}) {
        for (const char *what : {"max_devi_", "min_devi_", "avg_devi_"}) {
            if (has_spins_ || strcmp(of, "fm") != 0) {
                fprintf(file_.get(), "%19s", (std::string(what) + of).c_str());
            }
        }
    }
    if (atomic_) {
        fprintf(file_.get(), "%19s", has_spins_ ? "atm_devi_fr(N)" : "atm_devi_f(N)");
    }
    fprintf(file_.get(), "\n");
}

/* A part of a line may have failed before: a long one is written in several. */
void Deviation::flush(Local *local)
{
    if (file_ && (fflush(file_.get()) || ferror(file_.get()))) {
        local->set(DGNN_ERROR_SYSTEM,
                   "out_file: cannot write " + path_ + ": " + strerror(errno ? errno : EIO));
    }
}

/* of_atoms[i] = sqrt(mean over models of |v_k[i] - mean[i]|^2), over |mean[i]| + level where it is relative.
 */
void Deviation::of_vectors(const std::vector<const double *> &vectors, int64_t n)
{
    double count = static_cast<double>(vectors.size());
    for (int64_t i = 0; i < n; i++) {
        double square = 0, norm = 0;
        for (int64_t k = 3 * i; k < 3 * i + 3; k++) {
            double mean = 0;
            for (const double *vector : vectors) {
                mean += vector[k];
            }
            mean /= count;
            norm += mean * mean;
            for (const double *vector : vectors) {
                square += (vector[k] - mean) * (vector[k] - mean);
            }
        }
        double deviation = std::sqrt(square / count), size = std::sqrt(norm) + level_;
        of_atoms_[i] = !relative_ || deviation == 0 ? deviation : deviation / size;
    }
}

/* Over the atoms of all ranks, on rank 0. */
Deviation::Spread Deviation::spread(bigint natoms) const
{
    double mine[3] = {0, -DBL_MAX, 0}, all[3] = {0, 0, 0}; /* the largest, minus the smallest, the sum */
    for (double value : of_atoms_) {
        mine[0] = std::max(mine[0], value);
        mine[1] = std::max(mine[1], -value);
        mine[2] += value;
    }
    MPI_Reduce(mine, all, 2, MPI_DOUBLE, MPI_MAX, 0, world_);
    MPI_Reduce(mine + 2, all + 2, 1, MPI_DOUBLE, MPI_SUM, 0, world_);
    return natoms ? Spread{all[0], -all[1], all[2] / static_cast<double>(natoms)} : Spread{0, 0, 0};
}

/* Of the nine components of the virial over the number of atoms; the mean is the root of the mean square. */
Deviation::Spread Deviation::of_virials(const std::vector<dgnn_result> &results, bigint natoms)
{
    size_t n = 9 * results.size();
    double *mine = virials_.data(), *all = mine + n;
    for (size_t k = 0; k < n; k++) {
        mine[k] = results[k / 9].virial[k % 9];
    }
    MPI_Reduce(mine, all, static_cast<int>(n), MPI_DOUBLE, MPI_SUM, 0, world_);
    double count = static_cast<double>(results.size()),
           atoms = static_cast<double>(std::max<bigint>(natoms, 1));
    Spread found{0, DBL_MAX, 0};
    for (size_t c = 0; c < 9; c++) {
        double mean = 0, square = 0;
        for (size_t k = 0; k < results.size(); k++) {
            mean += all[9 * k + c] / atoms / count;
        }
        for (size_t k = 0; k < results.size(); k++) {
            square += (all[9 * k + c] / atoms - mean) * (all[9 * k + c] / atoms - mean);
        }
        double deviation = std::sqrt(square / count);
        deviation = !relative_v_ || deviation == 0 ? deviation : deviation / (std::fabs(mean) + level_v_);
        found.most = std::max(found.most, deviation);
        found.least = std::min(found.least, deviation);
        found.mean += deviation * deviation / 9;
    }
    found.mean = std::sqrt(found.mean);
    return found;
}

void Deviation::put(const Spread &spread, double unit)
{
    if (file_) {
        fprintf(file_.get(), " %18.6e %18.6e %18.6e", spread.most * unit, spread.least * unit,
                spread.mean * unit);
    }
}

/* In the order of ids, which may have gaps. */
void Deviation::write_atoms(const Atom &atom)
{
    Local local;
    int n = atom.nlocal, total = 0;
    MPI_Gather(&n, 1, MPI_INT, counts_.data(), 1, MPI_INT, 0, world_);
    for (int r = 0; r < nrank_ && rank_ == 0; r++) {
        places_[r] = total;
        total += counts_[r];
    }
    local.attempt([&] {
        ids_.resize(static_cast<size_t>(total));
        values_.resize(static_cast<size_t>(total));
        sorted_.resize(static_cast<size_t>(total));
    });
    agree(world_, local);
    MPI_Gatherv(atom.tag, n, MPI_LMP_TAGINT, ids_.data(), counts_.data(), places_.data(), MPI_LMP_TAGINT, 0,
                world_);
    MPI_Gatherv(of_forces_.data(), n, MPI_DOUBLE, values_.data(), counts_.data(), places_.data(), MPI_DOUBLE,
                0, world_);
    for (size_t k = 0; k < sorted_.size(); k++) {
        sorted_[k] = {ids_[k], values_[k]};
    }
    std::sort(sorted_.begin(), sorted_.end());
    for (const auto &each : sorted_) {
        fprintf(file_.get(), " %18.6e", each.second * force_unit_);
    }
}

/* All that a line needs: a rank that runs out of memory later would leave the others waiting. */
void Deviation::reserve(const Atom &atom, const std::vector<dgnn_result> &results)
{
    forces_.clear();
    magnetic_.clear();
    for (const dgnn_result &result : results) {
        forces_.push_back(result.forces);
        magnetic_.push_back(result.forces_mag);
    }
    of_atoms_.resize(static_cast<size_t>(atom.nlocal));
    of_forces_.resize(static_cast<size_t>(atom.nlocal));
    virials_.resize(2 * 9 * results.size());
    counts_.resize(static_cast<size_t>(nrank_));
    places_.resize(static_cast<size_t>(nrank_));
}

void Deviation::write(bigint step, const Atom &atom, const std::vector<dgnn_result> &results)
{
    Local local;
    local.attempt([&] { reserve(atom, results); });
    agree(world_, local);
    of_vectors(forces_, atom.nlocal);
    std::copy(of_atoms_.begin(), of_atoms_.end(), of_forces_.begin());
    if (file_) {
        fprintf(file_.get(), "%12" PRId64, static_cast<int64_t>(step));
    }
    put(of_virials(results, atom.natoms), energy_unit_);
    put(spread(atom.natoms), force_unit_);
    if (has_spins_) {
        of_vectors(magnetic_, atom.nlocal);
        put(spread(atom.natoms), force_unit_);
    }
    if (atomic_) {
        write_atoms(atom);
    }
    if (file_) {
        fprintf(file_.get(), "\n");
    }
    local.attempt([&] { flush(&local); });
    agree(world_, local);
}

} // namespace DGNN
