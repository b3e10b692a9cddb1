#include "pair_dgnn.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include "spins.h"

using namespace LAMMPS_NS;

namespace DGNN
{

/* LAMMPS's xx yy zz xy xz yz yx zx zy in dgnn's rows (gradient component, displacement). */
static const int PLACE[9] = {0, 4, 8, 3, 6, 7, 1, 2, 5};

PairDGNN::PairDGNN(LAMMPS *lmp) : Pair(lmp)
{
    single_enable = 0;
    restartinfo = 1;
    respa_enable = 0;
    writedata = 0;
    one_coeff = 1;
    manybody_flag = 1;
    no_virial_fdotr_compute = 1; /* the virial comes from dgnn, and ghosts' forces may be at home already */
    centroidstressflag = CENTROID_AVAIL;
    spinflag = 1;
    comm_forward = Ghosts::WIDTH;
    if (strcmp(update->unit_style, "lj") == 0) {
        error->all(FLERR,
                   "pair_style dgnn: units lj have no eV and Angstrom; use metal, real, si or another one");
    }
    units = Units(*force);
}

PairDGNN::~PairDGNN()
{
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
        memory->destroy(scale);
    }
}

/* dgnn's errors, and those that ranks agreed on, are the same on all ranks; where messages failed, others may
 * be gone. */
void PairDGNN::stop(const Failure &failure)
{
    if (failure.status == DGNN_ERROR_COMM) {
        error->one(FLERR, "pair_style dgnn: {}", failure.what());
    }
    error->all(FLERR, "pair_style dgnn: {}", failure.what());
}

/* ------------------------------------------------------------------ the script's words */

/* An error leaves the models that were there. Types are of the model's: new ones need pair_coeff again. */
void PairDGNN::settings(int narg, char **arg)
{
    Options options;
    std::unique_ptr<Potential> new_potential;
    std::unique_ptr<Parameters> new_parameters;
    std::unique_ptr<Deviation> new_deviation;
    try {
        Local local;
        local.attempt([&] { options = read_options(lmp, narg, arg); });
        agree(world, local);
        new_potential.reset(new Potential(world, options, std::max(comm->nthreads, 1)));
        check_units(*new_potential);
        local.attempt([&] { new_parameters.reset(new Parameters(lmp, options, *new_potential)); });
        agree(world, local);
        if (new_potential->nmodel() > 1 && options.out_freq > 0) {
            new_deviation.reset(
                new Deviation(world, options, units, new_potential->info().is_spin, restarted));
        }
    } catch (const Failure &failure) {
        stop(failure);
    }
    potential = std::move(new_potential);
    parameters = std::move(new_parameters);
    deviation = std::move(new_deviation);
    ready = known = false;
    for (int i = 1; allocated && i <= atom->ntypes; i++) {
        std::fill(setflag[i] + 1, setflag[i] + atom->ntypes + 1, 0);
    }
    if (potential->nmodel() == 1 && options.names_output && comm->me == 0) {
        error->warning(
            FLERR, "pair_style dgnn: out_file, out_freq, atomic and relative have no effect with one model");
    }
    say_models(options.models);
}

void PairDGNN::check_units(const Potential &models) const
{
    if (models.info().is_spin && strcmp(update->unit_style, "metal") != 0) {
        error->all(FLERR,
                   "pair_style dgnn: the model has spins, and LAMMPS has spins in units metal only; found "
                   "units {}",
                   update->unit_style);
    }
}

void PairDGNN::say_models(const std::vector<std::string> &paths) const
{
    const dgnn_model_info &info = potential->info();
    std::string elements;
    for (int32_t t = 0; t < info.ntypes; t++) {
        elements += std::string(t ? " " : "") + info.type_names[t];
    }
    if (comm->me == 0) {
        utils::logmesg(lmp, "dgnn {}: {} (cutoff {:.8} Angstrom, float{}, {} threads; elements {})\n",
                       dgnn_version(), utils::join_words(paths, " "), potential->cutoff(),
                       info.dtype == DGNN_DTYPE_FLOAT32 ? 32 : 64, info.threads, elements);
    }
}

void PairDGNN::allocate()
{
    int n = atom->ntypes + 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
    memory->create(scale, n, n, "pair:scale");
    for (int i = 0; i < n; i++) {
        std::fill(setflag[i], setflag[i] + n, 0);
        std::fill(scale[i], scale[i] + n, 1.0);
    }
    allocated = 1;
}

void PairDGNN::coeff(int narg, char **arg)
{
    if (!potential) {
        error->all(
            FLERR,
            "pair_coeff of dgnn: give pair_style dgnn its models first; a restart file does not hold them");
    }
    if (!allocated) {
        allocate();
    }
    int n = atom->ntypes, low, high;
    for (int side = 0; side < 2 && side < narg; side++) {
        utils::bounds(FLERR, arg[side], 1, n, low, high, error);
        if (low != 1 || high != n) {
            error->all(FLERR,
                       "pair_coeff of dgnn: found {} {}; expected * * and then an element, or NULL, for each "
                       "atom type",
                       arg[0], narg > 1 ? arg[1] : "");
        }
    }
    if (narg > n + 2) {
        error->all(FLERR, "pair_coeff of dgnn: found {} elements; LAMMPS has {} atom types", narg - 2, n);
    }
    map_types(narg - 2, arg + 2);
    claim_pairs();
}

/* By name; without names by position, as deepmd-kit. Types beyond them are NULL. An error changes nothing. */
void PairDGNN::map_types(int narg, char **arg)
{
    const dgnn_model_info &info = potential->info();
    const char *const *last = info.type_names + info.ntypes;
    std::vector<int32_t> mapped(static_cast<size_t>(atom->ntypes) + 1, -1);
    for (int i = 1; i <= atom->ntypes && narg <= 0; i++) {
        mapped[i] = i <= info.ntypes ? i - 1 : -1;
    }
    for (int i = 1; i <= narg; i++) {
        std::string name = arg[i - 1];
        auto found = std::find_if(info.type_names, last, [&](const char *known) { return name == known; });
        if (found == last && name != "NULL") {
            std::string known;
            for (int32_t t = 0; t < info.ntypes; t++) {
                known += std::string(info.type_names[t]) + ", ";
            }
            error->all(FLERR, "pair_coeff of dgnn: found {}; the model knows {}and NULL: no part in it", name,
                       known);
        }
        mapped[i] = found == last ? -1 : static_cast<int32_t>(found - info.type_names);
    }
    type_of.swap(mapped);
    if (comm->me == 0 && narg <= 0 && info.ntypes > atom->ntypes) {
        error->warning(
            FLERR,
            "pair_coeff of dgnn: without names, LAMMPS's {} atom types are the first of the model's {} "
            "elements; better name them",
            atom->ntypes, info.ntypes);
    }
}

/* All pairs are set, as LAMMPS wants it; in a hybrid style, one with a NULL that another style has got stays
 * its own. */
void PairDGNN::claim_pairs()
{
    bool is_hybrid = utils::strmatch(force->pair_style, "^hybrid") && force->pair != this;
    bool has_others = is_hybrid && force->pair->allocated;
    for (int i = 1; i <= atom->ntypes; i++) {
        for (int j = i; j <= atom->ntypes; j++) {
            bool is_null = type_of[i] < 0 || type_of[j] < 0;
            bool is_taken = has_others && force->pair->setflag[i][j] && !setflag[i][j];
            setflag[i][j] = !(is_null && is_taken);
            scale[i][j] = 1; /* of an earlier fix adapt nothing stays */
        }
    }
}

/* ------------------------------------------------------------------ before a run */

void PairDGNN::init_style()
{
    if (!potential) {
        error->all(FLERR, "pair_style dgnn: give its models again; a restart file does not hold them");
    }
    bool is_spin = potential->info().is_spin != 0;
    if (is_spin && !atom->sp_flag) {
        error->all(FLERR, "pair_style dgnn: the model has spins; use atom_style spin");
    }
    if (!is_spin && atom->sp_flag) {
        error->all(FLERR,
                   "pair_style dgnn: the atoms have spins, of which the model knows nothing; use another "
                   "atom_style, or a spin model");
    }
    try {
        parameters->check();
    } catch (const Failure &failure) {
        stop(failure);
    }
    listed = excludes_pairs(*neighbor, *atom, world);
    if (listed) {
        neighbor->add_request(this, NeighConst::REQ_FULL);
    }
    double mine = longest_displacement();
    MPI_Allreduce(&mine, &reach, 1, MPI_DOUBLE, MPI_MAX, world);
    known = false;
    ready = first_call = true;
}

/* Of the virtual atoms of this rank's spins. */
double PairDGNN::longest_displacement() const
{
    double longest = 0;
    for (int i = 0; atom->sp_flag && i < atom->nlocal; i++) {
        longest = std::max(longest, potential->displacement(type_of[atom->type[i]], atom->sp[i][3]));
    }
    return longest;
}

/* Virtual atoms see each other: both may stand nearer than their atoms. */
double PairDGNN::init_one(int i, int j)
{
    scale[j][i] = scale[i][j];
    return (potential->cutoff() + 2 * reach) * units.length;
}

void *PairDGNN::extract(const char *name, int &dim)
{
    dim = 2;
    return strcmp(name, "scale") == 0 ? static_cast<void *>(scale) : nullptr;
}

double PairDGNN::memory_usage()
{
    double bytes = Pair::memory_usage();
    for (const auto *each : {&scaled, &spins, &forces, &forces_mag, &atom_energy, &atom_virial}) {
        bytes += static_cast<double>(each->capacity() * sizeof(double));
    }
    return bytes;
}

/* ------------------------------------------------------------------ a call */

int PairDGNN::pack_forward_comm(int n, int *list, double *buffer, int /*pbc_flag*/, int * /*pbc*/)
{
    return ghosts.pack(n, list, buffer);
}

void PairDGNN::unpack_forward_comm(int n, int first, double *buffer)
{
    ghosts.unpack(n, first, buffer);
}

void PairDGNN::compute(int eflag, int vflag)
{
    if (!ready) {
        error->all(FLERR,
                   "pair_style dgnn: its models were given after the last run; this one needs to begin anew "
                   "(run without pre no)");
    }
    ev_init(eflag, vflag);
    try {
        evaluate();
    } catch (const Failure &failure) {
        stop(failure);
    }
}

bool PairDGNN::is_deviation_due() const
{
    return deviation && deviation->is_due(update->ntimestep);
}

/* What may fail on one rank comes before the vote, and what needs all ranks after it. */
void PairDGNN::evaluate()
{
    Local local;
    bool was_known = known;
    known = false; /* if this call fails, there is none to go on from */
    local.attempt([&] { parameters->update(); });
    check_neighbours(*neighbor, *atom, world, listed, &local);
    factor = common_scale(&local);
    take_rows(&local);
    int mine = (is_fresh(was_known) ? VOTE_FRESH : 0) | (potential->has_notices() ? VOTE_NOTICE : 0);
    int vote = potential->vote(local, mine);
    bool fresh = vote & VOTE_FRESH;
    if (fresh) {
        renew();
    }
    dgnn_ghosted call = make_call(fresh);
    potential->compute(&call, &results);
    known = true;
    add_results();
    if (is_deviation_due()) {
        deviation->write(update->ntimestep, *atom, results);
    }
    if (first_call || vote & VOTE_NOTICE) {
        say_notices();
    }
    first_call = false;
}

/* Of all pairs of types that are elements: the model's energy has no parts of pairs. */
double PairDGNN::common_scale(Local *local) const
{
    const double *first = nullptr;
    for (int i = 1; i <= atom->ntypes; i++) {
        for (int j = i; j <= atom->ntypes && type_of[i] >= 0; j++) {
            if (type_of[j] < 0) {
                continue;
            }
            first = first ? first : &scale[i][j];
            if (scale[i][j] != *first) {
                local->attempt([&] {
                    local->set(
                        DGNN_ERROR_INPUT,
                        fmt::format("scale (fix adapt): found {} for types {} {} and another, {}, before; "
                                    "expected one for all types that are elements of the model",
                                    scale[i][j], i, j, *first));
                });
                return 1;
            }
        }
    }
    return first ? *first : 1;
}

void PairDGNN::take_types()
{
    int nall = atom->nlocal + atom->nghost;
    last_types.swap(types);
    types.resize(static_cast<size_t>(nall) + 1);
    types[nall] = 0;
    for (int i = 0; i < nall; i++) {
        types[i] = is_there(atom->mask[i]) ? type_of[atom->type[i]] : -1;
    }
}

/* LAMMPS's positions as they are, where an Angstrom is its unit. */
void PairDGNN::take_rows(Local *local)
{
    int nall = atom->nlocal + atom->nghost;
    local->attempt([&] {
        take_types();
        scaled.resize(units.length == 1 ? 3 : 3 * static_cast<size_t>(nall) + 3);
        coords = nall && units.length == 1 ? &atom->x[0][0] : scaled.data();
        for (int64_t k = 0; units.length != 1 && k < 3 * static_cast<int64_t>(nall); k++) {
            scaled[k] = (&atom->x[0][0])[k] / units.length;
        }
        if (atom->sp_flag) {
            spins.resize(3 * static_cast<size_t>(nall) + 3);
            take_spins(atom->sp, nall, &spins);
        }
        reserve_results(is_deviation_due());
    });
    double longest = longest_displacement();
    if (longest > reach * (1 + 1e-12)) {
        local->set(DGNN_ERROR_INPUT,
                   "spins are longer than at the start of the run, and ghosts do not reach as far as "
                   "their virtual atoms; begin another run");
    }
}

/* Of all models where all are asked, with forces on the first rows of each; what else is wanted is the first
 * one's. */
void PairDGNN::reserve_results(bool all_models)
{
    size_t nmodel = all_models ? static_cast<size_t>(potential->nmodel()) : 1;
    size_t nall = static_cast<size_t>(atom->nlocal + atom->nghost) + 1;
    bool wants_virial = vflag_atom || cvflag_atom;
    forces.resize(3 * nall * nmodel);
    forces_mag.resize(atom->sp_flag ? 3 * nall * nmodel : 0);
    atom_energy.resize(eflag_atom ? nall : 0);
    atom_virial.resize(wants_virial ? 9 * nall : 0);
    results.assign(nmodel, dgnn_result());
    for (size_t k = 0; k < nmodel; k++) {
        results[k].size = sizeof(results[k]);
        results[k].forces = forces.data() + 3 * nall * k;
        results[k].forces_mag = atom->sp_flag ? forces_mag.data() + 3 * nall * k : nullptr;
    }
    results[0].atom_energy = eflag_atom ? atom_energy.data() : nullptr;
    results[0].atom_virial = wants_virial ? atom_virial.data() : nullptr;
}

/* LAMMPS decides when lists are made anew. Fixes that exchange types of atoms tell it nothing of that. */
bool PairDGNN::is_fresh(bool was_known) const
{
    return !was_known || neighbor->ago == 0 || types != last_types;
}

void PairDGNN::renew()
{
    Local local;
    local.attempt([&] {
        ghosts.begin(comm->me, atom->nlocal, atom->nlocal + atom->nghost);
        if (listed) {
            neighbours.take(*list, atom->nlocal);
        }
    });
    potential->vote(local, 0);
    comm->forward_comm(this);
    ghosts.plan(potential->comm());
}

dgnn_ghosted PairDGNN::make_call(bool fresh)
{
    dgnn_ghosted call{};
    call.size = sizeof(call);
    call.nlocal = atom->nlocal;
    call.nall = atom->nlocal + atom->nghost;
    call.coords = coords;
    call.types = types.data();
    call.spins = atom->sp_flag ? spins.data() : nullptr;
    ghosts.enter(&call);
    parameters->enter(&call);
    if (listed) {
        neighbours.enter(&call);
    }
    call.same_list = !fresh;
    call.add_ghost_forces = sends_home();
    return call;
}

/* With newton LAMMPS sends ghosts' forces home itself. Deviations need those of all models there. */
bool PairDGNN::sends_home() const
{
    return deviation || !force->newton_pair;
}

/* Rows that have results: where dgnn sends those of ghosts home, theirs are zero. */
int64_t PairDGNN::filled_rows() const
{
    return atom->nlocal + (sends_home() ? 0 : atom->nghost);
}

void PairDGNN::say_notices()
{
    for (const std::string &notice : potential->notices()) {
        error->warning(FLERR, "dgnn: {}", notice);
    }
}

/* ------------------------------------------------------------------ results */

void PairDGNN::add_results()
{
    int64_t rows = filled_rows();
    for (int64_t i = 0; i < rows; i++) {
        for (int d = 0; d < 3; d++) {
            atom->f[i][d] += factor * units.force() * forces[3 * i + d];
        }
    }
    if (atom->sp_flag) {
        add_magnetic_forces(forces_mag.data(), atom->sp, rows, factor * units.force(), atom->fm);
    }
    add_totals();
    add_atoms();
}

void PairDGNN::add_totals()
{
    if (eflag_global) {
        eng_vdwl += factor * units.energy * results[0].energy;
    }
    for (int k = 0; vflag_global && k < 6; k++) {
        int other = k < 3 ? k : k + 3; /* both halves of an off-diagonal component */
        virial[k] +=
            0.5 * factor * units.energy * (results[0].virial[PLACE[k]] + results[0].virial[PLACE[other]]);
    }
}

void PairDGNN::add_atoms()
{
    int64_t rows = filled_rows();
    for (int i = 0; eflag_atom && i < atom->nlocal; i++) {
        eatom[i] += factor * units.energy * atom_energy[i];
    }
    for (int64_t i = 0; vflag_atom && i < rows; i++) {
        for (int k = 0; k < 6; k++) {
            int other = k < 3 ? k : k + 3;
            vatom[i][k] += 0.5 * factor * units.energy *
                           (atom_virial[9 * i + PLACE[k]] + atom_virial[9 * i + PLACE[other]]);
        }
    }
    for (int64_t i = 0; cvflag_atom && i < rows; i++) {
        for (int k = 0; k < 9; k++) {
            cvatom[i][k] += factor * units.energy * atom_virial[9 * i + PLACE[k]];
        }
    }
}

} // namespace DGNN
