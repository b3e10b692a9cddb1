/* A profile is filled where it is wanted, and never touched where the caller's structs are shorter than it.
 */
#include "base/profile.h"
#include "check.h"

static const double coords[3 * 4] = {0, 0, 0, 1.2, 0, 0, 0, 1.3, 0.2, 1.5, 1.6, 0.1};
static const int32_t types[4] = {0, 1, 1, 0};

static double profile_compute(struct dgnn_model *model, size_t result_size, struct dgnn_profile *profile)
{
    struct dgnn_error error;
    struct dgnn_system system = {.size = sizeof(system), .natoms = 4, .coords = coords, .types = types};
    struct dgnn_result result = {.size = result_size, .profile = profile};
    CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
    return result.energy;
}

int main(void)
{
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    struct dgnn_profile profile = {.size = sizeof(profile), .split_flop = -1};
    CHECK_STATUS(dgnn_model_load("tests/data/cases/dpa3_base/model.pt2", NULL, &model, &error), DGNN_OK, "");
    double energy = profile_compute(model, sizeof(struct dgnn_result), NULL);
    size_t before = offsetof(struct dgnn_result, profile);
    CHECK(profile_compute(model, before, &profile) == energy); /* a caller of an earlier version */
    CHECK(profile.split_flop == -1);
    profile.size = 8;
    CHECK(profile_compute(model, sizeof(struct dgnn_result), &profile) == energy);
    CHECK(profile.split_flop == -1);
    profile.size = sizeof(profile);
    CHECK(profile_compute(model, sizeof(struct dgnn_result), &profile) == energy);
    CHECK(profile.size == sizeof(profile) && profile.split_flop > 0 && profile.nangle_edge > 0);
    for (int32_t phase = 0; phase < DGNN_PHASE_ROOM; phase++) {
        CHECK(profile.seconds[phase] >= 0 && profile.flop[phase] >= 0);
        CHECK((dgnn_phase_name(phase) != NULL) == (phase < DGNN_PHASE_COUNT));
    }
    CHECK(profile.seconds[DGNN_PHASE_EDGE_FORWARD] > 0 && profile.flop[DGNN_PHASE_ANGLE_BACKWARD] > 0);
    CHECK(dgnn_phase_name(-1) == NULL);
    CHECK(DGNN_PHASE_COUNT <= DGNN_PHASE_ROOM);
    dgnn_model_free(model);
    return check_report();
}
