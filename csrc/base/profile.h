/* Where the time of a call goes: one clock read at each end of a phase, none where nobody asked. */
#ifndef DGNN_BASE_PROFILE_H
#define DGNN_BASE_PROFILE_H

#include "dgnn.h"

/* Zeroes *profile and starts its clock. NULL is allowed, here and below. */
void dgnn_profile_start(struct dgnn_profile *profile);

/* Goes on now: the time since the last end of a phase was nobody's. */
void dgnn_profile_resume(struct dgnn_profile *profile);

void dgnn_profile_add(struct dgnn_profile *profile, enum dgnn_phase phase);

/* The time since the last end of a phase was this phase's. */
static inline void dgnn_profile_end(struct dgnn_profile *profile, enum dgnn_phase phase)
{
    if (profile) {
        dgnn_profile_add(profile, phase);
    }
}

#endif
