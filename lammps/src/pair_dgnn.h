/* pair_style dgnn: what LAMMPS calls. Atoms go to a session of dgnn as rows, owned ones and ghosts, and its
 * results into LAMMPS's arrays. */
#ifndef DGNN_LAMMPS_PAIR_DGNN_H
#define DGNN_LAMMPS_PAIR_DGNN_H

#include <memory>
#include <vector>

#include "pair.h"

#include "deviation.h"
#include "ghosts.h"
#include "neighbours.h"
#include "parameters.h"
#include "potential.h"
#include "units.h"

namespace DGNN
{

class PairDGNN : public LAMMPS_NS::Pair
{
  public:
    explicit PairDGNN(LAMMPS_NS::LAMMPS *lmp);
    ~PairDGNN() override;

    void settings(int narg, char **arg) override;
    void coeff(int narg, char **arg) override;
    void init_style() override;
    double init_one(int i, int j) override;
    void compute(int eflag, int vflag) override;
    void *extract(const char *name, int &dim) override;
    double memory_usage() override;

    /* A restart file holds nothing of the style but its name: the script gives models again, and a file of
     * model deviation goes on. */
    void write_restart(FILE *) override
    {
    }
    void read_restart(FILE *) override
    {
        restarted = true;
    }

    int pack_forward_comm(int n, int *list, double *buffer, int pbc_flag, int *pbc) override;
    void unpack_forward_comm(int n, int first, double *buffer) override;

  private:
    Units units;
    std::unique_ptr<Potential> potential;
    std::unique_ptr<Parameters> parameters;
    std::unique_ptr<Deviation> deviation; /* NULL: none is written */
    Ghosts ghosts;
    Neighbours neighbours;

    bool restarted = false;
    std::vector<int32_t> type_of; /* of LAMMPS's types, from 1; -1: NULL */
    double **scale = nullptr;     /* by which fix adapt multiplies all: the same of all pairs with elements */
    double factor = 1;            /* that one, in this call */
    double reach = 0;             /* Angstrom: how far a spin moves a virtual atom, at most, in this run */
    bool listed = false;          /* does LAMMPS build a list for this style? */
    bool ready = false;           /* did init_style see these models and types? */
    bool known = false;           /* are the rows of the last call there, of this run? */
    bool first_call = false;      /* of a run */

    /* Of a call, for rows. */
    const double *coords = nullptr;
    std::vector<double> scaled, spins, forces, forces_mag, atom_energy, atom_virial;
    std::vector<int32_t> types, last_types;
    std::vector<dgnn_result> results;

    [[noreturn]] void stop(const Failure &failure);
    void check_units(const Potential &models) const;
    void allocate();
    void map_types(int narg, char **arg);
    void claim_pairs();
    double longest_displacement() const;
    void evaluate();
    void take_rows(Local *local);
    void take_types();
    void reserve_results(bool all_models);
    bool is_fresh(bool was_known) const;
    double common_scale(Local *local) const;
    void renew();
    bool is_deviation_due() const;
    dgnn_ghosted make_call(bool fresh);
    bool sends_home() const;
    int64_t filled_rows() const;
    void add_results();
    void add_totals();
    void add_atoms();
    void say_notices();
    void say_models(const std::vector<std::string> &paths) const;
};

} // namespace DGNN

#endif
