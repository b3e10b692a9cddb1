/* The trial that decides whether DPA3 keeps the inputs of its activations, of edges and of angles, or
 * computes them again in backward. Both ways give the same bits. Which is faster depends on the machine and
 * on the other programs that use its memory, so the first evaluations are timed. Each rank decides for
 * itself: no message is timed, and none depends on the decision. */
#ifndef DGNN_NET_RECOMPUTE_TRIAL_H
#define DGNN_NET_RECOMPUTE_TRIAL_H

#include "base/profile.h"

enum {
    DGNN_RECOMPUTE_TRIAL_EDGES,
    DGNN_RECOMPUTE_TRIAL_ANGLES,
    DGNN_RECOMPUTE_TRIAL_KINDS
}; /* in the order of the bits of enum dgnn_kept */

/* The steps of a trial, one for each evaluation. The trial begins again when the system's size changes. */
enum dgnn_recompute_trial_step {
    DGNN_RECOMPUTE_TRIAL_WARM_UP = 0, /* both are kept, so that their memory is allocated */
    DGNN_RECOMPUTE_TRIAL_KEEP,
    DGNN_RECOMPUTE_TRIAL_RECOMPUTE,
    DGNN_RECOMPUTE_TRIAL_KEEP_AGAIN, /* only where computing again was faster, because one time may come from
                                        another program */
    DGNN_RECOMPUTE_TRIAL_RECOMPUTE_AGAIN,
    DGNN_RECOMPUTE_TRIAL_DECIDED
};

/* The caller zeroes it before the first evaluation. A struct that stays zero keeps nothing. */
struct dgnn_recompute_trial {
    enum dgnn_recompute_trial_step step;
    int32_t kept;     /* bits of enum dgnn_kept: what this evaluation keeps */
    int32_t reserved; /* bits of enum dgnn_kept: what memory is reserved for, since a later evaluation of the
                         trial may keep it */
    int32_t is_measured;                         /* 1: this evaluation belongs to the trial */
    int64_t count[DGNN_RECOMPUTE_TRIAL_KINDS];   /* numbers of edges and angles in this evaluation */
    double seconds[DGNN_RECOMPUTE_TRIAL_KINDS];  /* seconds in the blocks of edges and of angles, forward and
                                                    backward */
    double least[2][DGNN_RECOMPUTE_TRIAL_KINDS]; /* the least seconds for an edge and an angle, when kept and
                                                    when computed again */
    struct dgnn_profile profile;                 /* the clock, where the caller passes no profile */
};

/* Begins an evaluation of nedge edges and nangle angles. With is_measured it may belong to the trial. Sets
 * kept and reserved. */
void dgnn_recompute_trial_begin(struct dgnn_recompute_trial *trial, int32_t is_measured, int64_t nedge,
                                int64_t nangle);

/* Adds the blocks' seconds between start and stop. The pair is called around forward, and again around
 * backward. */
void dgnn_recompute_trial_start(struct dgnn_recompute_trial *trial, const struct dgnn_profile *profile);
void dgnn_recompute_trial_stop(struct dgnn_recompute_trial *trial, const struct dgnn_profile *profile);

/* Ends an evaluation that succeeded. One that failed does not count. */
void dgnn_recompute_trial_end(struct dgnn_recompute_trial *trial);

/* For tests: later evaluations keep these bits and are not measured; -1 returns to the trial. */
void dgnn_recompute_trial_force(int32_t kept);

#endif
