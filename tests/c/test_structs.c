/* Structs that begin with their size: one that ends earlier is read as far as it goes and never written
 * beyond, one that is too short is refused by name, and what a longer one has is left alone. Behind each
 * struct here stands what would be noticed if it were read, and is looked at afterwards. */
#include <stddef.h>
#include <stdlib.h>

#include "check.h"

#define TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))
#define MODEL            "tests/data/cases/dpa3_base/model.pt2"

enum { GUARD = 64, FILL = 0xA5 };

static struct dgnn_error error;
static struct dgnn_model *model;
static const double coords[3 * 4] = {0, 0, 0, 1.2, 0, 0, 0, 1.3, 0.2, 1.5, 1.6, 0.1};
static const double box[9] = {5, 0, 0, 0, 5, 0, 0, 0, 5};
static const int32_t types[4] = {0, 1, 1, 0};

/* The first bytes of a struct, and behind them what is nobody's. */
static void *shorter(const void *full, size_t length, size_t size)
{
    char *block = malloc(size + sizeof(size_t) + GUARD);
    memset(block, FILL, size + sizeof(size_t) + GUARD);
    memcpy(block, full, size < length ? size : length);
    memcpy(block, &size, sizeof(size));
    return block;
}

/* Frees it. Is nothing written beyond? length: of the struct, where it is shorter than size. */
static int untouched(void *block, size_t length, size_t size)
{
    int good = 1;
    size_t end = size < length ? size : length;
    end = end < sizeof(size_t) ? sizeof(size_t) : end;
    for (size_t k = end; k < size + GUARD; k++) {
        good &= ((unsigned char *)block)[k] == FILL;
    }
    good &= !memcmp(block, &size, sizeof(size));
    free(block);
    return good;
}

static void test_options(void)
{
    typedef struct dgnn_load_options T;
    static const size_t ends[] = {TO(T, size), TO(T, dtype),  TO(T, memory), TO(T, semantics), TO(T, threads),
                                  TO(T, skin), TO(T, device), sizeof(T),     sizeof(T) + 16};
    const T full = {.size = sizeof(T),
                    .dtype = DGNN_DTYPE_FLOAT32,
                    .memory = DGNN_MEMORY_SMALL,
                    .semantics = DGNN_SEMANTICS_DENSE,
                    .threads = 3,
                    .skin = 0.25,
                    .device = "cpu"};
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        struct dgnn_model *made = NULL;
        struct dgnn_model_info info = {.size = sizeof(info)};
        T *options = shorter(&full, sizeof(full), ends[k]);
        CHECK_STATUS(dgnn_model_load(MODEL, options, &made, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_model_get_info(made, &info, &error), DGNN_OK, "");
        CHECK((info.dtype == DGNN_DTYPE_FLOAT32) == (ends[k] >= TO(T, dtype)));
        CHECK((info.memory == DGNN_MEMORY_SMALL) == (ends[k] >= TO(T, memory)));
        CHECK((info.threads == 3) == (ends[k] >= TO(T, threads)));
        CHECK(info.skin == (ends[k] >= TO(T, skin) ? 0.25 : 0.5));
        CHECK(untouched(options, sizeof(full), ends[k]));
        dgnn_model_free(made);
    }
    struct dgnn_model *made = NULL;
    T none = {.size = 0};
    CHECK_STATUS(dgnn_model_load(MODEL, &none, &made, &error), DGNN_ERROR_INPUT,
                 "load options: its size is 0");
    CHECK_STATUS(dgnn_model_load_memory("m", "x", 1, &none, &made, &error), DGNN_ERROR_INPUT,
                 "load options: its size is 0");
    CHECK_STATUS(dgnn_model_load_tree("m", "{}", 2, NULL, 0, &none, &made, &error), DGNN_ERROR_INPUT,
                 "load options: its");
}

static double energy_of(const struct dgnn_system *system)
{
    struct dgnn_result result = {.size = sizeof(result)};
    CHECK_STATUS(dgnn_model_compute(model, system, NULL, &result, &error), DGNN_OK, "");
    return result.energy;
}

static void test_system(void)
{
    typedef struct dgnn_system T;
    static const size_t ends[] = {TO(T, types),  TO(T, box),        TO(T, pbc),         TO(T, spins),
                                  TO(T, fparam), TO(T, aparam),     TO(T, charge_spin), TO(T, ids),
                                  TO(T, grid),   TO(T, replicated), sizeof(T),          sizeof(T) + 24};
    static const int64_t ids[4] = {3, 1, 4, 2};
    const T full = {.size = sizeof(T),
                    .natoms = 4,
                    .coords = coords,
                    .types = types,
                    .box = box,
                    .pbc = {1, 1, 1},
                    .ids = ids};
    double open = NAN, closed = NAN;
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        T zeroed = {.size = sizeof(T)}, *system = shorter(&full, sizeof(full), ends[k]);
        memcpy((char *)&zeroed + sizeof(size_t), (const char *)&full + sizeof(size_t),
               (ends[k] < sizeof(T) ? ends[k] : sizeof(T)) - sizeof(size_t));
        double energy = energy_of(system);
        CHECK(energy == energy_of(&zeroed));
        open = k == 0 ? energy : open;
        closed = energy;
        CHECK(untouched(system, sizeof(full), ends[k]));
    }
    CHECK(fabs(closed - open) > 1e-6); /* the box was read */
    struct dgnn_result result = {.size = sizeof(result)};
    T less = full;
    less.size = TO(T, types) - 1;
    CHECK_STATUS(dgnn_model_compute(model, &less, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "system: its size is");
    less.size = 0;
    CHECK_STATUS(dgnn_model_compute(model, &less, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "set size to sizeof");
}

static void test_ghosted(void)
{
    typedef struct dgnn_ghosted T;
    static const size_t ends[] = {
        TO(T, types),           TO(T, spins),     TO(T, fparam),           TO(T, aparam),
        TO(T, charge_spin),     TO(T, border),    TO(T, direct),           TO(T, mapping),
        TO(T, neighbour_first), TO(T, same_list), TO(T, add_ghost_forces), sizeof(T),
        sizeof(T) + 8};
    static const int64_t mapping[4] = {0, 1, 2, 3};
    const T full = {.size = sizeof(T),
                    .nlocal = 4,
                    .nall = 4,
                    .coords = coords,
                    .types = types,
                    .mapping = mapping,
                    .add_ghost_forces = 1};
    struct dgnn_result result = {.size = sizeof(result)};
    double first = 0;
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        T *system = shorter(&full, sizeof(full), ends[k]);
        CHECK_STATUS(dgnn_model_compute_ghosted(model, system, NULL, &result, &error), DGNN_OK, "");
        first = k == 0 ? result.energy : first;
        CHECK_NEAR(result.energy, first, 1e-12);
        CHECK(untouched(system, sizeof(full), ends[k]));
    }
    T less = full;
    less.size = TO(T, coords);
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &less, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "ghosted: its size is");
}

static void test_result(void)
{
    typedef struct dgnn_result T;
    static const size_t ends[] = {
        TO(T, virial),  TO(T, forces),     TO(T, forces_mag), TO(T, atom_energy), TO(T, atom_virial),
        TO(T, nedges),  TO(T, ntruncated), TO(T, nghosts),    TO(T, list_reused), TO(T, nangle_truncated),
        TO(T, profile), TO(T, descriptor), TO(T, last_layer), sizeof(T),          sizeof(T) + 8};
    const struct dgnn_system system = {.size = sizeof(system), .natoms = 4, .coords = coords, .types = types};
    double forces[12], atom_energy[4], atom_virial[36];
    struct dgnn_profile profile = {.size = sizeof(profile)};
    const T full = {.size = sizeof(T),
                    .forces = forces,
                    .atom_energy = atom_energy,
                    .atom_virial = atom_virial,
                    .nedges = -1,
                    .ntruncated = -1,
                    .nghosts = -1,
                    .nangle_truncated = -1,
                    .profile = &profile};
    double energy = energy_of(&system);
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        T *result = shorter(&full, sizeof(full), ends[k]);
        forces[0] = atom_energy[0] = NAN;
        profile.seconds[DGNN_PHASE_LIST] = -1;
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, result, &error), DGNN_OK, "");
        CHECK(result->energy == energy && result->virial[0] != 0);
        CHECK(isnan(forces[0]) == (ends[k] < TO(T, forces)));
        CHECK(isnan(atom_energy[0]) == (ends[k] < TO(T, atom_energy)));
        CHECK(ends[k] < TO(T, nedges) || result->nedges == 12);
        CHECK(ends[k] < TO(T, nangle_truncated) || result->nangle_truncated == 0);
        CHECK((profile.seconds[DGNN_PHASE_LIST] >= 0) == (ends[k] >= TO(T, profile)));
        CHECK(untouched(result, sizeof(full), ends[k]));
    }
    T less = full;
    less.size = TO(T, energy);
    CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &less, &error), DGNN_ERROR_INPUT,
                 "results: its size is 16");
}

static void test_profile(void)
{
    typedef struct dgnn_profile T;
    static const size_t ends[] = {TO(T, size),   TO(T, clock),      TO(T, seconds),
                                  TO(T, flop),   TO(T, split_flop), TO(T, nangle_edge),
                                  TO(T, nangle), sizeof(T),         sizeof(T) + 40};
    const struct dgnn_system system = {.size = sizeof(system), .natoms = 4, .coords = coords, .types = types};
    const T full = {.size = sizeof(T), .split_flop = -1, .nangle = -1};
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        T *profile = shorter(&full, sizeof(full), ends[k]);
        struct dgnn_result result = {.size = sizeof(result), .profile = profile};
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
        CHECK(ends[k] < TO(T, seconds) || profile->seconds[DGNN_PHASE_EDGE_FORWARD] > 0);
        CHECK(ends[k] < TO(T, split_flop) || profile->split_flop > 0);
        CHECK(ends[k] < TO(T, nangle) || profile->nangle > 0);
        CHECK(untouched(profile, sizeof(full), ends[k]));
    }
    T none = {.size = 0};
    struct dgnn_result result = {.size = sizeof(result), .profile = &none};
    CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "profile: its size is 0");
}

static void test_session(void)
{
    typedef struct dgnn_session_options T;
    static const char *const names[] = {"H", "O"};
    static const size_t ends[] = {TO(T, size), TO(T, ntypes), sizeof(T), sizeof(T) + 8};
    const T full = {.size = sizeof(T), .type_map = names, .ntypes = 2};
    const struct dgnn_system system = {.size = sizeof(system), .natoms = 4, .coords = coords, .types = types};
    double energy[4];
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        struct dgnn_session *session = NULL;
        struct dgnn_result result = {.size = sizeof(result)};
        T *options = shorter(&full, sizeof(full), ends[k]);
        CHECK_STATUS(dgnn_session_create(&model, 1, options, &session, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_session_compute(session, &system, NULL, &result, &error), DGNN_OK, "");
        energy[k] = result.energy;
        CHECK(untouched(options, sizeof(full), ends[k]));
        dgnn_session_free(session);
    }
    CHECK(energy[0] != energy[1] && energy[1] == energy[2] && energy[2] == energy[3]); /* the map was read */
    struct dgnn_session *session = NULL;
    T none = {.size = 0};
    CHECK_STATUS(dgnn_session_create(&model, 1, &none, &session, &error), DGNN_ERROR_INPUT,
                 "session options: its size is 0");
}

/* Results of two models stand as far apart as the caller's struct is long. */
static void test_two_results(void)
{
    typedef struct dgnn_result T;
    const struct dgnn_system system = {.size = sizeof(system), .natoms = 4, .coords = coords, .types = types};
    struct dgnn_model *models[2] = {model, model};
    struct dgnn_session *session = NULL;
    size_t size = TO(T, atom_virial);
    char block[3 * sizeof(T)];
    memset(block, 0, sizeof(block));
    memcpy(block, &size, sizeof(size));
    memcpy(block + size, &size, sizeof(size));
    memset(block + 2 * size, FILL, GUARD);
    CHECK_STATUS(dgnn_session_create(models, 2, NULL, &session, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_session_compute(session, &system, NULL, (T *)(void *)block, &error), DGNN_OK, "");
    CHECK(((T *)(void *)block)->energy == energy_of(&system) &&
          ((T *)(void *)(block + size))->energy == energy_of(&system));
    for (size_t k = 0; k < GUARD; k++) {
        CHECK((unsigned char)block[2 * size + k] == FILL);
    }
    dgnn_session_free(session);
}

static void test_tree(void)
{
    typedef struct dgnn_model_tree T;
    static const size_t ends[] = {TO(T, narrays), sizeof(T), sizeof(T) + 8};
    const T full = {.size = sizeof(T)};
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        T *tree = shorter(&full, sizeof(full), ends[k]);
        CHECK_STATUS(dgnn_model_tree(model, tree, &error), DGNN_OK, "");
        CHECK(tree->json && tree->json_length == strlen(tree->json) && tree->narrays > 10);
        dgnn_model_tree_free(tree);
        CHECK(!tree->json && !tree->narrays);
        CHECK(untouched(tree, sizeof(full), ends[k]));
    }
    T less = {.size = TO(T, arrays)};
    CHECK_STATUS(dgnn_model_tree(model, &less, &error), DGNN_ERROR_INPUT, "model tree: its size is 32");
}

static void test_info(void)
{
    typedef struct dgnn_model_info T;
    static const size_t ends[] = {TO(T, size),           TO(T, cutoff),  TO(T, ntypes),
                                  TO(T, type_names),     TO(T, dtype),   TO(T, threads),
                                  TO(T, dim_fparam),     TO(T, is_spin), TO(T, virtual_scale),
                                  TO(T, parameters),     TO(T, nsel),    TO(T, sel),
                                  TO(T, dim_descriptor), sizeof(T),      sizeof(T) + 16};
    T all = {.size = sizeof(T)};
    CHECK_STATUS(dgnn_model_get_info(model, &all, &error), DGNN_OK, "");
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        size_t end = ends[k] < sizeof(T) ? ends[k] : sizeof(T);
        T zero = {.size = sizeof(T)}, *info = shorter(&zero, sizeof(zero), ends[k]);
        CHECK_STATUS(dgnn_model_get_info(model, info, &error), DGNN_OK, "");
        CHECK(!memcmp((char *)info + sizeof(size_t), (char *)&all + sizeof(size_t), end - sizeof(size_t)));
        CHECK(untouched(info, sizeof(zero), ends[k]));
    }
    T none = {.size = 0};
    CHECK_STATUS(dgnn_model_get_info(model, &none, &error), DGNN_ERROR_INPUT, "model info: its size is 0");
    CHECK_STATUS(dgnn_model_get_info(model, NULL, &error), DGNN_ERROR_INPUT, "must not be NULL");
}

/* ------------------------------------------------------------------ a message library of one rank */

static int alone_request(void *context, const void *data, int64_t nbytes, int32_t other, int32_t tag,
                         void **request, struct dgnn_error *e)
{
    (void)context, (void)data, (void)nbytes, (void)other, (void)tag, (void)request, (void)e;
    return DGNN_ERROR_INTERNAL;
}

static int alone_receive(void *context, void *data, int64_t nbytes, int32_t other, int32_t tag,
                         void **request, struct dgnn_error *e)
{
    return alone_request(context, data, nbytes, other, tag, request, e);
}

static int alone_start(void *context, void *request, struct dgnn_error *e)
{
    (void)context, (void)request, (void)e;
    return DGNN_ERROR_INTERNAL;
}

static int alone_wait(void *context, void **requests, int64_t n, double deadline_s, struct dgnn_error *e)
{
    (void)context, (void)requests, (void)n, (void)deadline_s, (void)e;
    return DGNN_OK;
}

static void alone_free(void *context)
{
    (void)context;
}

static int alone_allgather(void *context, const void *in, int64_t nbytes, void *out, double deadline_s,
                           struct dgnn_error *e)
{
    (void)context, (void)deadline_s, (void)e;
    memcpy(out, in, (size_t)nbytes);
    return DGNN_OK;
}

static int alone_alltoallv(void *context, const void *send, const int64_t *send_count,
                           const int64_t *send_place, void *receive, const int64_t *receive_count,
                           const int64_t *receive_place, double deadline_s, struct dgnn_error *e)
{
    (void)context, (void)receive_count, (void)deadline_s, (void)e;
    memcpy((char *)receive + receive_place[0], (const char *)send + send_place[0], (size_t)send_count[0]);
    return DGNN_OK;
}

static int reduced;

static int alone_allreduce(void *context, int64_t *values, int64_t nvalue, int32_t reduction,
                           double deadline_s, struct dgnn_error *e)
{
    (void)context, (void)values, (void)nvalue, (void)reduction, (void)deadline_s, (void)e;
    reduced++;
    return DGNN_OK;
}

static void alone_request_free(void *context, void *request)
{
    (void)context, (void)request;
}

static void test_transport(void)
{
    typedef struct dgnn_transport T;
    static const size_t ends[] = {TO(T, free), TO(T, allreduce), TO(T, node_rank), sizeof(T), sizeof(T) + 16};
    const T full = {.size = sizeof(T),
                    .nrank = 1,
                    .send_create = alone_request,
                    .receive_create = alone_receive,
                    .start = alone_start,
                    .wait = alone_wait,
                    .request_free = alone_request_free,
                    .allgather = alone_allgather,
                    .alltoallv = alone_alltoallv,
                    .free = alone_free,
                    .allreduce = alone_allreduce,
                    .node_nrank = 1};
    const struct dgnn_system system = {
        .size = sizeof(system), .natoms = 4, .coords = coords, .types = types, .box = box, .pbc = {1, 1, 1}};
    double energy = energy_of(&system);
    for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
        struct dgnn_comm *comm = NULL;
        struct dgnn_result result = {.size = sizeof(result)};
        T *transport = shorter(&full, sizeof(full), ends[k]);
        reduced = 0;
        CHECK_STATUS(dgnn_comm_create(transport, 0, &comm, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_model_compute(model, &system, comm, &result, &error), DGNN_OK, "");
        CHECK_NEAR(result.energy, energy, 1e-10);
        CHECK((reduced > 0) == (ends[k] >= TO(T, allreduce)));
        dgnn_comm_free(comm);
        CHECK(untouched(transport, sizeof(full), ends[k]));
    }
}

int main(void)
{
    const struct dgnn_load_options one = {.size = sizeof(one), .threads = 1, .skin = -1};
    CHECK_STATUS(dgnn_model_load(MODEL, &one, &model, &error), DGNN_OK, "");
    test_options();
    test_system();
    test_ghosted();
    test_result();
    test_profile();
    test_session();
    test_two_results();
    test_tree();
    test_info();
    test_transport();
    dgnn_model_free(model);
    return check_report();
}
