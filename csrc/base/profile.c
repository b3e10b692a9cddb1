#include "base/profile.h"

#include <time.h>

static const char *const profile_names[DGNN_PHASE_COUNT] = {
    "atoms",           "list",         "graph",          "geometry forward", "node forward",      "edge forward",
    "angle forward",   "forward",      "fitting net",    "backward",         "node backward",     "edge backward",
    "angle backward",  "geometry backward", "messages",  "gradient"};

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

void dgnn_profile_add(struct dgnn_profile *profile, enum dgnn_phase phase)
{
    double now = profile_now();
    profile->seconds[phase] += now - profile->clock;
    profile->clock = now;
}
