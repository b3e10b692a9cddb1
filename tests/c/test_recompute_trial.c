/* What is kept, chosen by seconds that are made up here; and that results are the same bits, whatever is. */
#include "net/dpa3/recompute_trial.h"

#include <string.h>

#include "base/alloc.h"
#include "check.h"
#include "random.h"

enum { BOTH = DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES };

static struct dgnn_recompute_trial trial;
static struct dgnn_profile profile;

static void spend(double edge, double angle)
{
    dgnn_recompute_trial_start(&trial, &profile);
    profile.seconds[DGNN_PHASE_EDGE_FORWARD] += edge / 4;
    profile.seconds[DGNN_PHASE_ANGLE_BACKWARD] += angle / 2;
    profile.seconds[DGNN_PHASE_MESSAGES] += 100;
    dgnn_recompute_trial_stop(&trial, &profile);
}

static void trial_begin(int may_measure, int is_new, int64_t nedge, int64_t nangle)
{
    const struct dgnn_recompute_trial_system system = {may_measure, is_new, nedge, nangle};
    dgnn_recompute_trial_begin(&trial, &system);
}

/* An evaluation of so many edges and twice as many angles, with these seconds for each, both ways; what it
 * kept. */
static int32_t evaluate(int64_t nedge, double edge, double angle)
{
    trial_begin(1, 0, nedge, 2 * nedge);
    int32_t kept = trial.kept;
    profile.seconds[DGNN_PHASE_EDGE_FORWARD] += 7; /* another part of a sum of models */
    spend(2 * edge * (double)nedge, 2 * angle * (double)(2 * nedge));
    spend(2 * edge * (double)nedge, 2 * angle * (double)(2 * nedge));
    CHECK((trial.reserved & kept) == kept);
    dgnn_recompute_trial_end(&trial);
    return kept;
}

static void begin(void)
{
    memset(&trial, 0, sizeof(trial));
}

/* Gains of 2 % are none. */
static void test_keeps(void)
{
    begin();
    CHECK(evaluate(1000, 9, 9) == BOTH && evaluate(1000, 1, 1) == BOTH && evaluate(1000, 0.98, 1.3) == 0);
    CHECK(trial.step == DGNN_RECOMPUTE_TRIAL_DECIDED);
    for (int k = 0; k < 3; k++) {
        CHECK(evaluate(1000, 5, 5) == BOTH && trial.reserved == BOTH);
    }
}

/* What gains must gain twice, and by the least of each. Sizes that differ by less than a tenth are one. */
static void test_makes_anew(void)
{
    for (int confirmed = 0; confirmed < 2; confirmed++) {
        begin();
        evaluate(1000, 9, 9);
        CHECK(evaluate(1050, 1, 1) == BOTH && evaluate(1000, 1.2, 0.9) == 0 && trial.reserved == BOTH);
        CHECK(evaluate(980, 1, confirmed ? 1 : 0.91) == BOTH && evaluate(1000, 1.2, 0.95) == 0);
        CHECK(trial.step == DGNN_RECOMPUTE_TRIAL_DECIDED);
        int32_t expected = confirmed ? DGNN_KEPT_EDGES : BOTH;
        CHECK(evaluate(1000, 1, 1) == expected && evaluate(50000, 1, 1) == expected &&
              trial.reserved == expected);
    }
    begin();
    evaluate(1000, 1, 1);
    evaluate(1000, 1, 1);
    evaluate(1000, 0.5, 1);
    evaluate(1000, 1, 1);
    evaluate(1000, 0.5, 1);
    CHECK(evaluate(1000, 1, 1) == DGNN_KEPT_ANGLES);
}

/* Another size starts again, and what failed or is no part of the trial changes nothing. */
static void test_starts_again(void)
{
    begin();
    evaluate(1000, 1, 1);
    evaluate(1000, 1, 1);
    trial_begin(1, 0, 1000, 2000); /* fails */
    trial_begin(0, 0, 10, 10);
    CHECK(trial.kept == BOTH && trial.reserved == BOTH);
    dgnn_recompute_trial_end(&trial);
    CHECK(trial.step == DGNN_RECOMPUTE_TRIAL_RECOMPUTE);
    CHECK(evaluate(1200, 1, 1) == BOTH && evaluate(1200, 2, 2) == BOTH && evaluate(1200, 1.5, 1.5) == 0);
    CHECK(trial.step ==
          DGNN_RECOMPUTE_TRIAL_KEEP_AGAIN); /* 1.5 against 2: the 1 of the other size is forgotten */
    begin();
    trial_begin(0, 0, 1000, 2000);
    CHECK(trial.step == DGNN_RECOMPUTE_TRIAL_WARM_UP && trial.kept == BOTH);
}

/* Where memory is new nothing is kept, and the trial begins with the next evaluation. */
static void test_new_memory(void)
{
    begin();
    for (int k = 0; k < 2; k++) { /* the second time as a system that grew */
        trial_begin(1, 1, 1000 << k, 2000);
        CHECK(trial.kept == 0 && trial.alternate && trial.reserved == BOTH);
        dgnn_recompute_trial_end(&trial);
        CHECK(trial.step == DGNN_RECOMPUTE_TRIAL_WARM_UP);
    }
    CHECK(evaluate(2000, 9, 9) == BOTH && !trial.alternate && trial.step == DGNN_RECOMPUTE_TRIAL_KEEP);
    trial_begin(1, 1, 2000, 4000); /* of the same size: memory grew for another reason */
    CHECK(trial.kept == BOTH && !trial.alternate);
    begin();
    trial_begin(0, 1, 1000, 2000);
    CHECK(trial.kept == BOTH && !trial.alternate);
}

/* Without edges or angles nothing is measured of them. */
static void test_none(void)
{
    begin();
    for (int k = 0; k < 3; k++) {
        evaluate(0, 1, 1);
    }
    CHECK(evaluate(0, 1, 1) == BOTH && trial.step == DGNN_RECOMPUTE_TRIAL_DECIDED);
}

/* ---------------------------------------------------------------- whole models */

enum { SIDE = 4, NATOMS = SIDE * SIDE * SIDE };

struct outcome {
    double energy, virial[9], forces[3 * NATOMS], atom_virial[9 * NATOMS];
};

static double coords[3 * NATOMS];
static int32_t types[NATOMS];

static void place_atoms(void)
{
    uint64_t seed = 5;
    for (int i = 0; i < NATOMS; i++) {
        const int place[3] = {i % SIDE, i / SIDE % SIDE, i / SIDE / SIDE};
        types[i] = i % 2;
        for (int c = 0; c < 3; c++) {
            coords[3 * i + c] = 2.2 * place[c] + 0.002 * (double)random_below(&seed, 200);
        }
    }
}

static struct dgnn_model *load(const char *path, int32_t dtype, int32_t memory)
{
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    struct dgnn_load_options options = {
        .size = sizeof(options), .dtype = dtype, .memory = memory, .threads = 2, .skin = -1};
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    return model;
}

/* What the call kept. wants_profile 0: -1. is_atomic: backward has four sides. */
static int32_t compute_as(struct dgnn_model *model, int wants_profile, int is_atomic, struct outcome *out)
{
    static const double box[9] = {2.2 * SIDE, 0, 0, 0, 2.2 * SIDE, 0, 0, 0, 2.2 * SIDE};
    struct dgnn_error error;
    struct dgnn_profile seen = {.size = sizeof(seen)};
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOMS,
                                 .coords = coords,
                                 .types = types,
                                 .box = box,
                                 .pbc = {1, 1, 1}};
    struct dgnn_result result = {.size = sizeof(result),
                                 .forces = out->forces,
                                 .atom_virial = is_atomic ? out->atom_virial : NULL,
                                 .profile = wants_profile ? &seen : NULL};
    CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
    out->energy = result.energy;
    memcpy(out->virial, result.virial, sizeof(out->virial));
    return wants_profile ? seen.kept : -1;
}

static int32_t compute(struct dgnn_model *model, int wants_profile, struct outcome *out)
{
    return compute_as(model, wants_profile, 0, out);
}

/* Calls 1 to 6: the same bits as with small memory, nothing allocated after the first, none kept in the
 * first and the fourth. */
static void test_trial(const char *path, int32_t dtype, int wants_profile)
{
    static struct outcome small, fast;
    struct dgnn_model *other = load(path, dtype, DGNN_MEMORY_SMALL),
                      *model = load(path, dtype, DGNN_MEMORY_FAST);
    CHECK(compute(other, 1, &small) == 0);
    int64_t allocations = 0;
    for (int k = 1; k <= 6; k++) {
        int32_t kept = compute(model, wants_profile, &fast);
        CHECK(!memcmp(&fast, &small, sizeof(fast)));
        CHECK(!wants_profile || k > 4 || kept == (k % 3 == 1 ? 0 : BOTH));
        allocations = k == 1 ? dgnn_alloc_count() : allocations;
        CHECK(dgnn_alloc_count() == allocations);
    }
    dgnn_model_free(other);
    dgnn_model_free(model);
}

static void test_same_bits(const char *name, int32_t dtype, int is_atomic)
{
    static struct outcome small, fast;
    char path[128];
    int has_angles = strcmp(name, "dpa3_no_angle") != 0;
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    struct dgnn_model *other = load(path, dtype, DGNN_MEMORY_SMALL);
    compute_as(other, 0, is_atomic, &small);
    dgnn_model_free(other);
    for (int32_t kept = 0; kept <= DGNN_RECOMPUTE_TRIAL_ALTERNATE; kept++) {
        dgnn_recompute_trial_force(kept);
        struct dgnn_model *model = load(path, dtype, DGNN_MEMORY_FAST);
        CHECK(compute_as(model, 1, is_atomic, &fast) == (kept & (has_angles ? BOTH : DGNN_KEPT_EDGES)));
        CHECK(!memcmp(&fast, &small, sizeof(fast)));
        dgnn_model_free(model);
    }
    dgnn_recompute_trial_force(-1);
}

int main(void)
{
    /* Of one, two, three and more layers; of the last but one, small memory keeps every other layer's
     * features. */
    static const char *const names[] = {
        "dpa3_base",       "dpa3_sequential", "dpa3_one_layer", "dpa3_two_layers_not_smooth",
        "dpa3_not_smooth", "dpa3_no_angle",   "dpa3_use_dist",  "dpa3_custom_silu",
        "dpa3_16_layers",  "dipole_dpa3"};
    test_keeps();
    test_makes_anew();
    test_starts_again();
    test_none();
    test_new_memory();
    place_atoms();
    for (int32_t dtype = DGNN_DTYPE_FLOAT32; dtype <= DGNN_DTYPE_FLOAT64; dtype++) {
        test_trial("tests/data/cases/dpa3_base/model.pt2", dtype, dtype == DGNN_DTYPE_FLOAT32);
        for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
            test_same_bits(names[k], dtype, k % 2);
            test_same_bits(names[k], dtype, (k + 1) % 2);
        }
        test_trial("tests/data/cases/hybrid_dpa3_twice/model.pt2", dtype, 1);
    }
    return check_report();
}
