/* The models of a pair style, in one session, and the ranks that compute with them. */
#ifndef DGNN_LAMMPS_POTENTIAL_H
#define DGNN_LAMMPS_POTENTIAL_H

#include <mpi.h>

#include <string>
#include <vector>

#include "dgnn.h"

#include "failure.h"
#include "options.h"

namespace DGNN
{

/* Two votes in one number: ranks need a new list, and somebody has a notice to say. */
enum Vote { VOTE_NOTICE = 1, VOTE_FRESH = 2 };

class Potential
{
  public:
    /* Collective over world. Rank 0 reads files for all. Failure. */
    Potential(MPI_Comm world, const Options &options, int threads);
    ~Potential();
    Potential(const Potential &) = delete;
    Potential &operator=(const Potential &) = delete;

    int nmodel() const
    {
        return static_cast<int>(models_.size());
    }
    const dgnn_model_info &info() const /* of the first model, whose types calls name */
    {
        return infos_[0];
    }
    double cutoff() const; /* Angstrom: the largest */
    int64_t dim_fparam() const;
    int64_t dim_aparam() const;
    int32_t dim_charge_spin() const;
    bool has_default_fparam() const; /* of all that take any */
    dgnn_comm *comm() const          /* NULL on one rank */
    {
        return comm_;
    }

    /* How far a spin of this length moves its virtual atom; 0 for a model without. Angstrom. */
    double displacement(int32_t type, double length) const;

    /* The largest vote of all ranks, which each begins a call with. Collective; Failure on all where one has
     * failed. */
    int vote(const Local &local, int mine);

    /* dgnn_session_compute_ghosted, of the first nmodel models. Collective; Failure. */
    void compute(dgnn_ghosted *system, std::vector<dgnn_result> *results);

    /* What dgnn has to tell since the last time. Collective. On rank 0 what any rank heard, elsewhere
     * nothing. */
    std::vector<std::string> notices();
    bool has_notices() const
    {
        return !heard_.empty();
    }

  private:
    MPI_Comm world_;
    int rank_ = 0, nrank_ = 1;
    std::vector<dgnn_model *> models_;
    std::vector<dgnn_model_info> infos_;
    dgnn_session *session_ = nullptr;
    dgnn_comm *comm_ = nullptr;
    std::vector<std::string> heard_;
    uint32_t said_ = 0; /* bits of kinds, on rank 0 */

    void build(const Options &options, int threads);
    dgnn_model *load(const std::string &path, const dgnn_load_options &options);
    dgnn_model_info inform(const std::string &path);
    std::string read(const std::string &path);
    void release();
    static void hear(void *context, const dgnn_notice *notice);
};

} // namespace DGNN

#endif
