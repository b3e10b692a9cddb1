#include "ttm.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "atom.h"
#include "domain.h"
#include "fix.h"
#include "lammps.h"

#include "file.h"

using namespace LAMMPS_NS;

namespace DGNN
{

namespace
{

enum { HEAD = 4 }; /* numbers before the nodes: their counts along x, y and z, and a seed */

/* What the fix would write to a restart file: its length in bytes, an int, then numbers. Nothing but on rank
 * 0. */
std::string state_of(Fix &fix)
{
    struct Text {
        char *start = nullptr;
        size_t length = 0;
        ~Text()
        {
            free(start);
        }
    } text; /* goes after the stream, which writes to it when it is closed */
    File file(open_memstream(&text.start, &text.length));
    if (!file) {
        throw std::bad_alloc();
    }
    fix.write_restart(file.get());
    if (fflush(file.get())) {
        throw std::bad_alloc();
    }
    return std::string(text.start, text.length);
}

/* Are the numbers nodes of a fix ttm? Then their counts. */
bool counts_of(const std::vector<double> &numbers, int count[3])
{
    double product = 1;
    for (int d = 0; d < 3; d++) {
        double found = numbers.size() > HEAD ? numbers[d] : 0;
        if (!(found >= 1 && found <= 1e6 && found == std::floor(found))) {
            return false;
        }
        count[d] = static_cast<int>(found);
        product *= found;
    }
    return product + HEAD == static_cast<double>(numbers.size());
}

} // namespace

void ElectronTemperatures::read(Fix &fix, MPI_Comm world)
{
    Local local;
    int rank = 0;
    MPI_Comm_rank(world, &rank);
    local.attempt([&] {
        bool is_ttm = strncmp(fix.style, "ttm", 3) == 0;
        std::string state = is_ttm ? state_of(fix) : "";
        if (rank == 0 || !is_ttm) {
            std::vector<double> numbers(
                state.size() > sizeof(int) ? (state.size() - sizeof(int)) / sizeof(double) : 0);
            if (!numbers.empty()) {
                memcpy(numbers.data(), state.data() + sizeof(int), numbers.size() * sizeof(double));
            }
            if (!counts_of(numbers, count_)) {
                local.set(DGNN_ERROR_INPUT, std::string("ttm: fix ") + fix.id + " is of style " + fix.style +
                                                "; expected ttm, which has all nodes on each rank");
                return;
            }
            nodes_.assign(numbers.begin() + HEAD, numbers.end());
        }
    });
    agree(world, local);
    MPI_Bcast(count_, 3, MPI_INT, 0, world);
    int n = count_[0] * count_[1] * count_[2];
    local.attempt([&] { nodes_.resize(static_cast<size_t>(n)); });
    agree(world, local);
    MPI_Bcast(nodes_.data(), n, MPI_DOUBLE, 0, world);
}

double ElectronTemperatures::mean() const
{
    double sum = 0;
    int64_t n = 0;
    for (double value : nodes_) {
        sum += value;
        n += value != 0;
    }
    return n ? sum / static_cast<double>(n) : 0;
}

void ElectronTemperatures::of_atoms(const Fix &fix, const LAMMPS &lmp, double *values) const
{
    const Atom &atom = *lmp.atom;
    const Domain &domain = *lmp.domain;
    for (int i = 0; i < atom.nlocal; i++) {
        int node[3];
        for (int d = 0; d < 3; d++) {
            double place = std::floor((atom.x[i][d] - domain.boxlo[d]) / domain.prd[d] * count_[d]);
            node[d] = static_cast<int>(place - count_[d] * std::floor(place / count_[d])) % count_[d];
        }
        int at = (node[2] * count_[1] + node[1]) * count_[0] + node[0];
        values[i] = atom.mask[i] & fix.groupbit && at >= 0 ? nodes_[static_cast<size_t>(at)] : 0;
    }
}

} // namespace DGNN
