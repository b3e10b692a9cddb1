#include "ghosts.h"

#include <numeric>

namespace DGNN
{

Ghosts::~Ghosts()
{
    dgnn_ghost_plan_free(plan_);
}

void Ghosts::begin(int rank, int64_t nlocal, int64_t nall)
{
    nlocal_ = nlocal;
    rank_.assign(static_cast<size_t>(nall), rank);
    row_.resize(static_cast<size_t>(nall));
    std::iota(row_.begin(), row_.end(), 0);
}

int Ghosts::pack(int n, const int *list, double *buffer) const
{
    for (int i = 0; i < n; i++) {
        buffer[WIDTH * i] = rank_[list[i]];
        buffer[WIDTH * i + 1] = row_[list[i]];
    }
    return WIDTH * n;
}

void Ghosts::unpack(int n, int first, const double *buffer)
{
    for (int i = 0; i < n; i++) {
        rank_[first + i] = static_cast<int32_t>(buffer[WIDTH * i]);
        row_[first + i] = static_cast<int32_t>(buffer[WIDTH * i + 1]);
    }
}

void Ghosts::plan(dgnn_comm *comm)
{
    dgnn_error error{};
    dgnn_owners owners{};
    dgnn_ghost_plan_free(plan_);
    plan_ = nullptr;
    owners.size = sizeof(owners);
    owners.nlocal = nlocal_;
    owners.nall = static_cast<int64_t>(row_.size());
    owners.rank = rank_.data() + nlocal_;
    owners.row = row_.data() + nlocal_;
    int status = dgnn_direct_from_owners(&owners, comm, &plan_, &error);
    if (status) {
        throw Failure(status, error.message);
    }
}

void Ghosts::enter(dgnn_ghosted *system) const
{
    system->direct = plan_->direct;
    system->mapping = plan_->mapping;
}

} // namespace DGNN
