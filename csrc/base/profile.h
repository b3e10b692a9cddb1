/* Measures where the time of a call goes. The clock is read once at each end of a phase, and never without a
 * profile. */
#ifndef DGNN_BASE_PROFILE_H
#define DGNN_BASE_PROFILE_H

#include "dgnn.h"

/* Zeroes *profile and starts its clock. All functions of this header allow NULL. */
void dgnn_profile_start(struct dgnn_profile *profile);

/* Restarts the clock: the time since the last end of a phase belongs to no phase. */
void dgnn_profile_resume(struct dgnn_profile *profile);

void dgnn_profile_add(struct dgnn_profile *profile, enum dgnn_phase phase);

/* Adds the time since the last end of a phase to this phase. */
static inline void dgnn_profile_end(struct dgnn_profile *profile, enum dgnn_phase phase)
{
    if (profile) {
        dgnn_profile_add(profile, phase);
    }
}

#endif
