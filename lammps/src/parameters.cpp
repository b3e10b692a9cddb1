#include "parameters.h"

#include <algorithm>

#include "atom.h"
#include "compute.h"
#include "error.h"
#include "fix.h"
#include "lammps.h"
#include "modify.h"

#include "potential.h"

using namespace LAMMPS_NS;

namespace DGNN
{

namespace
{

void check_width(LAMMPS *lmp, const char *keyword, size_t found, int64_t wanted)
{
    if (static_cast<int64_t>(found) != wanted) {
        lmp->error->all(FLERR, "pair_style dgnn: {}: found {} numbers; the model takes {}", keyword, found,
                        wanted);
    }
}

void check_taken(LAMMPS *lmp, bool given, const char *keyword, int64_t wanted)
{
    if (given && !wanted) {
        lmp->error->all(FLERR, "pair_style dgnn: {}: the model takes none", keyword);
    }
}

} // namespace

Parameters::Parameters(LAMMPS *lmp, const Options &options, const Potential &potential)
    : lmp_(lmp), options_(options), dim_fparam_(potential.dim_fparam()), dim_aparam_(potential.dim_aparam()),
      fparam_(options.fparam), charge_spin_(options.charge_spin)
{
    const Options &o = options_;
    bool ttm_is_fparam = !o.ttm.empty() && dim_aparam_ == 0;
    bool gives_fparam = !o.fparam.empty() || !o.fparam_compute.empty() || !o.fparam_fix.empty();
    check_taken(lmp, !o.fparam.empty(), "fparam", dim_fparam_);
    check_taken(lmp, !o.fparam_compute.empty(), "fparam_from_compute", dim_fparam_);
    check_taken(lmp, !o.fparam_fix.empty(), "fparam_from_fix", dim_fparam_);
    check_taken(lmp, !o.aparam.empty(), "aparam", dim_aparam_);
    check_taken(lmp, !o.aparam_compute.empty(), "aparam_from_compute", dim_aparam_);
    check_taken(lmp, !o.ttm.empty(), "ttm", dim_aparam_ + dim_fparam_);
    check_taken(lmp, !o.charge_spin.empty(), "charge_spin", potential.dim_charge_spin());
    if (ttm_is_fparam && gives_fparam) {
        lmp->error->all(
            FLERR,
            "pair_style dgnn: ttm (as fparam: the model has no aparam) and {}: found both; expected "
            "one at most",
            !o.fparam.empty()           ? "fparam"
            : !o.fparam_compute.empty() ? "fparam_from_compute"
                                        : "fparam_from_fix");
    }
    if (!o.fparam.empty()) {
        check_width(lmp, "fparam", o.fparam.size(), dim_fparam_);
    }
    if (!o.aparam.empty()) {
        check_width(lmp, "aparam", o.aparam.size(), dim_aparam_);
    }
    if (!o.ttm.empty()) {
        check_width(lmp, ttm_is_fparam ? "ttm (as fparam)" : "ttm (as aparam)", 1,
                    ttm_is_fparam ? dim_fparam_ : dim_aparam_);
    }
    if (dim_fparam_ && !gives_fparam && !ttm_is_fparam && !potential.has_default_fparam()) {
        lmp->error->all(FLERR,
                        "pair_style dgnn: the model takes {} numbers as fparam; give fparam, "
                        "fparam_from_compute or fparam_from_fix",
                        dim_fparam_);
    }
    if (gives_fparam || ttm_is_fparam) {
        fparam_.resize(static_cast<size_t>(dim_fparam_));
    }
    if (dim_aparam_ && o.aparam.empty() && o.aparam_compute.empty() && o.ttm.empty()) {
        lmp->error->all(FLERR,
                        "pair_style dgnn: the model takes {} numbers of each atom as aparam; give aparam, "
                        "aparam_from_compute or ttm",
                        dim_aparam_);
    }
}

/* ------------------------------------------------------------------ before a run */

Compute *Parameters::find_compute(const char *keyword, const std::string &id) const
{
    Compute *found = lmp_->modify->get_compute_by_id(id);
    if (!found) {
        lmp_->error->all(FLERR, "pair_style dgnn: {}: there is no compute {}", keyword, id);
    }
    return found;
}

Fix *Parameters::find_fix(const char *keyword, const std::string &id) const
{
    Fix *found = lmp_->modify->get_fix_by_id(id);
    if (!found) {
        lmp_->error->all(FLERR, "pair_style dgnn: {}: there is no fix {}", keyword, id);
    }
    return found;
}

void Parameters::check_fparam()
{
    Error *error = lmp_->error;
    if (!options_.fparam_compute.empty()) {
        Compute *c = fparam_compute_ = find_compute("fparam_from_compute", options_.fparam_compute);
        if (dim_fparam_ == 1 && !c->scalar_flag) {
            error->all(FLERR, "pair_style dgnn: fparam_from_compute: compute {} has no scalar", c->id);
        }
        /* Some learn the length of their vector when they are evaluated. */
        if (dim_fparam_ > 1 &&
            (!c->vector_flag || (!c->size_vector_variable && c->size_vector < dim_fparam_))) {
            error->all(FLERR, "pair_style dgnn: fparam_from_compute: compute {} has no vector of {} numbers",
                       c->id, dim_fparam_);
        }
    }
    if (!options_.fparam_fix.empty()) {
        Fix *f = fparam_fix_ = find_fix("fparam_from_fix", options_.fparam_fix);
        int64_t last = options_.fparam_fix_index - 1 + dim_fparam_;
        if (!options_.fparam_fix_index && !f->scalar_flag) {
            error->all(FLERR, "pair_style dgnn: fparam_from_fix: fix {} has no scalar", f->id);
        }
        if (options_.fparam_fix_index && (!f->vector_flag || f->size_vector < last)) {
            error->all(FLERR, "pair_style dgnn: fparam_from_fix: fix {} has no vector of {} numbers", f->id,
                       last);
        }
    }
}

void Parameters::check_aparam()
{
    if (!options_.aparam_compute.empty()) {
        Compute *c = aparam_compute_ = find_compute("aparam_from_compute", options_.aparam_compute);
        int columns = c->size_peratom_cols;
        if (!c->peratom_flag || (dim_aparam_ == 1 ? columns != 0 : columns < dim_aparam_)) {
            lmp_->error->all(FLERR, "pair_style dgnn: aparam_from_compute: compute {} has no {} of each atom",
                             c->id, dim_aparam_ == 1 ? "number" : std::to_string(dim_aparam_) + " columns");
        }
    }
    if (!options_.ttm.empty()) {
        ttm_ = find_fix("ttm", options_.ttm);
        electrons_.read(*ttm_, lmp_->world);
    }
}

void Parameters::check()
{
    check_fparam();
    check_aparam();
}

/* ------------------------------------------------------------------ at each call */

/* Evaluated each time: a value of this step may be from before atoms moved or came. Computes and fixes may
 * need all ranks, so no rank may run out of memory before the last of them: fparam_ has its size since the
 * start. */
void Parameters::take_fparam_from_compute()
{
    Compute *c = fparam_compute_;
    if (dim_fparam_ == 1) {
        fparam_[0] = c->compute_scalar();
        c->invoked_flag |= Compute::INVOKED_SCALAR;
        return;
    }
    c->compute_vector();
    c->invoked_flag |= Compute::INVOKED_VECTOR;
    if (!c->vector || c->size_vector < dim_fparam_) {
        lmp_->error->all(
            FLERR, "pair_style dgnn: fparam_from_compute: compute {} has {} numbers; the model takes {}",
            c->id, c->size_vector, dim_fparam_);
    }
    std::copy(c->vector, c->vector + dim_fparam_, fparam_.begin());
}

void Parameters::take_fparam_from_fix()
{
    int first = options_.fparam_fix_index - 1;
    double scalar = first < 0 ? fparam_fix_->compute_scalar() : 0;
    for (int k = 0; k < dim_fparam_; k++) {
        fparam_[k] = first < 0 ? scalar : fparam_fix_->compute_vector(first + k);
    }
}

void Parameters::take_aparam_from_compute()
{
    Compute *c = aparam_compute_;
    int n = lmp_->atom->nlocal;
    c->compute_peratom();
    c->invoked_flag |= Compute::INVOKED_PERATOM;
    aparam_.resize(static_cast<size_t>(n * dim_aparam_));
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < dim_aparam_; k++) {
            aparam_[i * dim_aparam_ + k] = dim_aparam_ == 1 ? c->vector_atom[i] : c->array_atom[i][k];
        }
    }
}

void Parameters::update()
{
    size_t n = static_cast<size_t>(lmp_->atom->nlocal);
    if (ttm_) {
        electrons_.read(*ttm_, lmp_->world);
    }
    if (fparam_compute_) {
        take_fparam_from_compute();
    } else if (fparam_fix_) {
        take_fparam_from_fix();
    } else if (ttm_ && dim_aparam_ == 0) {
        fparam_[0] = electrons_.mean();
    }
    if (aparam_compute_) {
        take_aparam_from_compute();
    } else if (ttm_ && dim_aparam_ == 1) {
        aparam_.resize(n);
        electrons_.of_atoms(*ttm_, *lmp_, aparam_.data());
    } else if (dim_aparam_) {
        aparam_.resize(n * static_cast<size_t>(dim_aparam_));
        for (size_t k = 0; k < aparam_.size(); k++) {
            aparam_[k] = options_.aparam[k % static_cast<size_t>(dim_aparam_)];
        }
    }
}

void Parameters::enter(dgnn_ghosted *system) const
{
    static const double nothing = 0; /* of a rank without atoms */
    if (!fparam_.empty()) {
        system->fparam = fparam_.data();
        system->nfparam = static_cast<int64_t>(fparam_.size());
    }
    if (dim_aparam_) {
        system->aparam = aparam_.empty() ? &nothing : aparam_.data();
        system->naparam = dim_aparam_;
    }
    if (!charge_spin_.empty()) {
        system->charge_spin = charge_spin_.data();
    }
}

} // namespace DGNN
