// A host in C++ over MPI: two models in one session on each rank, over the host's own ghosts; then the same
// atoms without ghosts, which dgnn distributes itself.
//
//     mpirun -n RANKS ranks MODEL MODEL SYSTEM
//
// Rank 0 writes a line for each model, energy and the forces of all atoms, and then two such lines of dgnn's
// own decomposition.
#include <mpi.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "dgnn_mpi.h"
#include "slabs.h"

namespace {

// A rank that fails alone takes part in no agreement any more: MPI ends the others.
void check(int status, const dgnn_error &error)
{
    if (status) {
        throw std::runtime_error(std::string(dgnn_status_name(status)) + ": " + error.message);
    }
}

void hear(void *context, const dgnn_notice *notice)
{
    if (*static_cast<const int *>(context) == 0) {
        std::fprintf(stderr, "notice, model %d: %s\n", static_cast<int>(notice->model), notice->message);
    }
}

struct Host {
    int rank = 0, nrank = 1;
    dgnn_error error{};
    dgnn_model *models[2] = {nullptr, nullptr};
    dgnn_session *session = nullptr;
    dgnn_comm *comm = nullptr;
    host_system system{};
    double reach = 0;

    explicit Host(char **arguments)
    {
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        MPI_Comm_size(MPI_COMM_WORLD, &nrank);
        dgnn_load_options options{};
        options.size = sizeof(options);
        options.threads = 1;
        options.skin = -1;
        dgnn_model_info first{};
        for (int k = 0; k < 2; k++) {
            dgnn_model_info info{};
            info.size = sizeof(info);
            check(dgnn_model_load(arguments[k], &options, &models[k], &error), error);
            check(dgnn_model_get_info(models[k], &info, &error), error);
            reach = std::max(reach, info.cutoff);
            first = k == 0 ? info : first;
        }
        if (host_read(arguments[2], &first, &system)) {
            throw std::runtime_error("no system");
        }
        check(dgnn_session_create(models, 2, nullptr, &session, &error), error);
        check(dgnn_set_notice(session, hear, &rank, &error), error);
        check(dgnn_comm_create_mpi(MPI_COMM_WORLD, 60, &comm, &error), error);
    }

    ~Host()
    {
        dgnn_session_free(session);
        dgnn_comm_free(comm);
        dgnn_model_free(models[0]);
        dgnn_model_free(models[1]);
        host_free(&system);
    }

    Host(const Host &) = delete;
    Host &operator=(const Host &) = delete;

    // Forces of own rows to the atoms of all ranks: the others' are zero here.
    void print(double energy, const double *forces, const std::vector<int64_t> &atoms) const
    {
        std::vector<double> mine(3 * system.natoms, 0.0), all(3 * system.natoms, 0.0);
        for (size_t i = 0; i < atoms.size(); i++) {
            std::copy(forces + 3 * i, forces + 3 * i + 3, mine.begin() + 3 * atoms[i]);
        }
        const int count = static_cast<int>(mine.size());
        MPI_Reduce(mine.data(), all.data(), count, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
        if (rank == 0) {
            host_print(energy, all.data(), system.natoms);
        }
    }

    void over_ghosts()
    {
        host_rows rows = host_distribute(&system, reach, rank, nrank);
        std::vector<double> forces(6 * rows.nall + 1), shares(2 * nrank);
        std::vector<int64_t> atoms(rows.atom, rows.atom + rows.nlocal);
        double energy[2] = {0, 0};
        check(host_compute(session, &rows, comm, energy, forces.data(), &error), error);
        MPI_Gather(energy, 2, MPI_DOUBLE, shares.data(), 2, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        for (int k = 0; k < 2; k++) {
            double total = 0;
            for (int r = 0; r < nrank; r++) {
                total += shares[2 * r + k];
            }
            print(total, forces.data() + 3 * k * rows.nall, atoms);
        }
        host_rows_free(&rows);
    }

    // Each rank passes any atoms, here every nrank-th one.
    void by_itself()
    {
        std::vector<int64_t> atoms;
        std::vector<double> coords;
        std::vector<int32_t> types;
        for (int64_t i = rank; i < system.natoms; i += nrank) {
            atoms.push_back(i);
            types.push_back(system.types[i]);
            coords.insert(coords.end(), system.coords + 3 * i, system.coords + 3 * i + 3);
        }
        std::vector<double> forces(6 * atoms.size() + 1);
        dgnn_system call{};
        call.size = sizeof(call);
        call.natoms = static_cast<int64_t>(atoms.size());
        call.coords = coords.data();
        call.types = types.data();
        call.box = system.box;
        std::fill(call.pbc, call.pbc + 3, 1);
        dgnn_result results[2]{};
        for (int k = 0; k < 2; k++) {
            results[k].size = sizeof(results[k]);
            results[k].forces = forces.data() + 3 * k * atoms.size();
        }
        check(dgnn_session_compute(session, &call, comm, results, &error), error);
        for (int k = 0; k < 2; k++) {
            print(results[k].energy, results[k].forces, atoms);
        }
    }
};

} // namespace

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    if (argc != 4) {
        std::fprintf(stderr, "usage: mpirun -n RANKS ranks MODEL MODEL SYSTEM\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    try {
        Host host(argv + 1);
        host.over_ghosts();
        host.by_itself();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    MPI_Finalize();
    return 0;
}
