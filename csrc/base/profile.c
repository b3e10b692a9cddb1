#include "base/profile.h"

#include <time.h>

static const char *const profile_names[DGNN_PHASE_COUNT] = {
    [DGNN_PHASE_ATOMS] = "atoms",
    [DGNN_PHASE_LIST] = "list",
    [DGNN_PHASE_GRAPH] = "graph",
    [DGNN_PHASE_GEOMETRY_FORWARD] = "geometry forward",
    [DGNN_PHASE_NODE_FORWARD] = "node forward",
    [DGNN_PHASE_EDGE_FORWARD] = "edge forward",
    [DGNN_PHASE_ANGLE_FORWARD] = "angle forward",
    [DGNN_PHASE_FORWARD] = "forward",
    [DGNN_PHASE_FITTING] = "fitting net",
    [DGNN_PHASE_BACKWARD] = "backward",
    [DGNN_PHASE_NODE_BACKWARD] = "node backward",
    [DGNN_PHASE_EDGE_BACKWARD] = "edge backward",
    [DGNN_PHASE_ANGLE_BACKWARD] = "angle backward",
    [DGNN_PHASE_GEOMETRY_BACKWARD] = "geometry backward",
    [DGNN_PHASE_MESSAGES] = "messages",
    [DGNN_PHASE_GRADIENT] = "gradient",
};

const char *dgnn_phase_name(int32_t phase)
{
    return phase >= 0 && phase < DGNN_PHASE_COUNT ? profile_names[phase] : NULL;
}

static double profile_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void dgnn_profile_start(struct dgnn_profile *profile)
{
    if (profile) {
        *profile = (struct dgnn_profile){.size = profile->size, .clock = profile_now()};
    }
}

void dgnn_profile_resume(struct dgnn_profile *profile)
{
    if (profile) {
        profile->clock = profile_now();
    }
}

void dgnn_profile_add(struct dgnn_profile *profile, enum dgnn_phase phase)
{
    double now = profile_now();
    profile->seconds[phase] += now - profile->clock;
    profile->clock = now;
}
