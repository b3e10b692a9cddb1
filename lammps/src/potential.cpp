#include "potential.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "dgnn_mpi.h"

#include "file.h"

namespace DGNN
{

namespace
{

const int64_t PIECE = 1 << 30; /* bytes of a broadcast, whose counts are int */

/* The whole file, or errno. */
int read_file(const char *path, std::string *bytes)
{
    char part[65536];
    File file(fopen(path, "rb"));
    if (!file) {
        return errno;
    }
    for (size_t n; (n = fread(part, 1, sizeof(part), file.get())) > 0;) {
        bytes->append(part, n);
    }
    return ferror(file.get()) ? (errno ? errno : EIO) : 0;
}

} // namespace

Potential::Potential(MPI_Comm world, const Options &options, int threads) : world_(world)
{
    MPI_Comm_rank(world, &rank_);
    MPI_Comm_size(world, &nrank_);
    try {
        build(options, threads);
    } catch (...) {
        release();
        throw;
    }
}

Potential::~Potential()
{
    release();
}

void Potential::release()
{
    dgnn_session_free(session_);
    for (dgnn_model *model : models_) {
        dgnn_model_free(model);
    }
    dgnn_comm_free(comm_);
    models_.clear();
    session_ = nullptr;
    comm_ = nullptr;
}

void Potential::build(const Options &options, int threads)
{
    Local local;
    if (nrank_ > 1) {
        local.status = dgnn_comm_create_mpi(world_, options.deadline, &comm_, &local.error);
        agree(world_, local);
    }
    dgnn_load_options load_options{};
    load_options.size = sizeof(load_options);
    load_options.dtype = options.dtype;
    load_options.memory = options.memory;
    load_options.threads = options.threads ? options.threads : threads;
    load_options.skin = -1;
    load_options.device = options.device.empty() ? nullptr : options.device.c_str();
    load_options.head = options.head.empty() ? nullptr : options.head.c_str();
    local.attempt([&] { /* what is pushed below is owned at once */
                        models_.reserve(options.models.size());
                        infos_.reserve(options.models.size());
    });
    agree(world_, local);
    for (const std::string &path : options.models) {
        models_.push_back(load(path, load_options));
        infos_.push_back(inform(path));
    }
    local.status = dgnn_session_create(models_.data(), nmodel(), nullptr, &session_, &local.error);
    if (!local.status) {
        local.status = dgnn_set_notice(session_, hear, this, &local.error);
    }
    agree(world_, local);
}

/* Of the model that was loaded last. All that is no energy has no forces. */
dgnn_model_info Potential::inform(const std::string &path)
{
    Local local;
    dgnn_model_info info{};
    info.size = sizeof(info);
    local.status = dgnn_model_get_info(models_.back(), &info, &local.error);
    local.attempt([&] {
        if (info.output != DGNN_OUTPUT_ENERGY) {
            local.set(DGNN_ERROR_INPUT, path + ": the model's output is " + dgnn_output_name(info.output) +
                                            "; expected energy, which alone has forces");
        }
    });
    agree(world_, local);
    return info;
}

std::string Potential::read(const std::string &path)
{
    std::string bytes;
    Local local;
    long long length = 0;
    local.attempt([&] {
        int failed = rank_ == 0 ? read_file(path.c_str(), &bytes) : 0;
        if (failed) {
            local.set(DGNN_ERROR_SYSTEM, path + ": " + strerror(failed) +
                                             " (models come first, then keywords and their values)");
        }
        length = static_cast<long long>(bytes.size());
    });
    agree(world_, local);
    MPI_Bcast(&length, 1, MPI_LONG_LONG, 0, world_);
    local.attempt([&] { bytes.resize(static_cast<size_t>(length)); });
    agree(world_, local);
    for (int64_t at = 0; at < length; at += PIECE) {
        int64_t piece = std::min<int64_t>(PIECE, length - at);
        MPI_Bcast(&bytes[static_cast<size_t>(at)], static_cast<int>(piece), MPI_BYTE, 0, world_);
    }
    return bytes;
}

dgnn_model *Potential::load(const std::string &path, const dgnn_load_options &options)
{
    std::string bytes = read(path);
    dgnn_model *model = nullptr;
    Local local;
    local.status =
        dgnn_model_load_memory(path.c_str(), bytes.data(), bytes.size(), &options, &model, &local.error);
    try {
        agree(world_, local);
    } catch (...) {
        dgnn_model_free(model);
        throw;
    }
    return model;
}

/* ------------------------------------------------------------------ what models are */

double Potential::cutoff() const
{
    double most = 0;
    for (const dgnn_model_info &info : infos_) {
        most = std::max(most, info.cutoff);
    }
    return most;
}

int64_t Potential::dim_fparam() const
{
    int64_t most = 0;
    for (const dgnn_model_info &info : infos_) {
        most = std::max(most, info.dim_fparam);
    }
    return most;
}

int64_t Potential::dim_aparam() const
{
    int64_t most = 0;
    for (const dgnn_model_info &info : infos_) {
        most = std::max(most, info.dim_aparam);
    }
    return most;
}

int32_t Potential::dim_charge_spin() const
{
    int32_t most = 0;
    for (const dgnn_model_info &info : infos_) {
        most = std::max(most, info.dim_charge_spin);
    }
    return most;
}

bool Potential::has_default_fparam() const
{
    return std::all_of(infos_.begin(), infos_.end(), [](const dgnn_model_info &info) {
        return info.dim_fparam == 0 || info.default_fparam != nullptr;
    });
}

double Potential::displacement(int32_t type, double length) const
{
    const double *scale = info().virtual_scale;
    return scale && type >= 0 ? std::fabs(scale[type]) * length : 0;
}

/* ------------------------------------------------------------------ calls */

int Potential::vote(const Local &local, int mine)
{
    Local after = local;
    int32_t largest = mine;
    if (comm_) {
        after.status = dgnn_comm_vote(comm_, "pair_style dgnn", local.status, &largest, &after.error);
    }
    if (after.status) {
        throw Failure(after.status, after.error.message);
    }
    return largest;
}

void Potential::compute(dgnn_ghosted *system, std::vector<dgnn_result> *results)
{
    Local local;
    system->nmodel = static_cast<int32_t>(results->size());
    local.status = dgnn_session_compute_ghosted(session_, system, comm_, results->data(), &local.error);
    if (local.status) {
        throw Failure(local.status, local.error.message);
    }
}

/* ------------------------------------------------------------------ notices */

void Potential::hear(void *context, const dgnn_notice *notice)
{
    auto *potential = static_cast<Potential *>(context);
    std::string of = potential->nmodel() > 1 ? "model " + std::to_string(notice->model + 1) + ": " : "";
    try {
        potential->heard_.push_back(std::string(1, static_cast<char>(notice->kind)) + of + notice->message);
    } catch (const std::bad_alloc &) { /* one notice less */
    }
}

/* Kinds are few and each is told once a rank: the lowest rank that heard of one has the word. */
std::vector<std::string> Potential::notices()
{
    std::vector<std::string> all;
    for (int32_t kind = 0; kind < DGNN_NOTICE_COUNT; kind++) {
        char message[512] = "";
        int mine = nrank_, lowest = 0;
        for (const std::string &heard : heard_) {
            if (heard[0] == static_cast<char>(kind)) {
                mine = rank_;
                snprintf(message, sizeof(message), "%s", heard.c_str() + 1);
            }
        }
        MPI_Allreduce(&mine, &lowest, 1, MPI_INT, MPI_MIN, world_);
        if (lowest == nrank_) {
            continue;
        }
        MPI_Bcast(message, sizeof(message), MPI_CHAR, lowest, world_);
        if (rank_ == 0 && !(said_ & (1u << kind))) {
            said_ |= 1u << kind;
            try {
                all.push_back((lowest ? "rank " + std::to_string(lowest) + ": " : "") + message);
            } catch (const std::bad_alloc &) { /* one notice less, and no rank that leaves the others here */
            }
        }
    }
    heard_.clear();
    return all;
}

} // namespace DGNN
