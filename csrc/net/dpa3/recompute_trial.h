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

/* For tests, beside the bits of enum dgnn_kept: features at every other layer alone. */
enum { DGNN_RECOMPUTE_TRIAL_ALTERNATE = 4 };

/* What the trial is told of an evaluation. */
struct dgnn_recompute_trial_system {
    int32_t may_measure; /* may it belong to the trial? */
    int32_t is_new;      /* does its memory have to be allocated first? */
    int64_t nedge, nangle;
};

/* The steps of a trial, one for each evaluation. The trial begins again when the system's size changes. Where
 * memory is new, one evaluation goes before them that keeps as little as can be: the first touch of memory
 * costs more than computing again does, and no second call may follow. */
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
    int32_t kept;      /* bits of enum dgnn_kept: what this evaluation keeps */
    int32_t reserved;  /* bits of enum dgnn_kept: what memory is reserved for, since a later evaluation of the
                          trial may keep it */
    int32_t alternate; /* 1: features are kept at every other layer alone */
    int32_t is_measured;                         /* 1: this evaluation belongs to the trial */
    int32_t is_first;                            /* 1: it goes before the steps, since memory is new */
    int64_t count[DGNN_RECOMPUTE_TRIAL_KINDS];   /* numbers of edges and angles in this evaluation */
    double seconds[DGNN_RECOMPUTE_TRIAL_KINDS];  /* seconds in the blocks of edges and of angles, forward and
                                                    backward */
    double least[2][DGNN_RECOMPUTE_TRIAL_KINDS]; /* the least seconds for an edge and an angle, when kept and
                                                    when computed again */
    struct dgnn_profile profile;                 /* the clock, where the caller passes no profile */
};

/* Begins an evaluation. Sets kept, reserved and alternate. */
void dgnn_recompute_trial_begin(struct dgnn_recompute_trial *trial,
                                const struct dgnn_recompute_trial_system *system);

/* Adds the blocks' seconds between start and stop. The pair is called around forward, and again around
 * backward. */
void dgnn_recompute_trial_start(struct dgnn_recompute_trial *trial, const struct dgnn_profile *profile);
void dgnn_recompute_trial_stop(struct dgnn_recompute_trial *trial, const struct dgnn_profile *profile);

/* Ends an evaluation that succeeded, after its first backward: later ones of the same forward are not
 * measured. One that failed does not count. */
void dgnn_recompute_trial_end(struct dgnn_recompute_trial *trial);

/* For tests: later evaluations with fast memory keep these bits, or features at every other layer alone, and
 * are not measured; -1 returns to the trial. */
void dgnn_recompute_trial_force(int32_t kept);

#endif
