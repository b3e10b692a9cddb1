#include "net/dpa3/recompute_trial.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { RECOMPUTE_TRIAL_BOTH = DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES };

/* Making anew must gain more than this. */
static const double recompute_trial_gain = 0.03;

/* For tests: what every layer keeps, or -1. Models of other threads look at it too. */
static _Atomic int32_t recompute_trial_forced = -1;

void dgnn_recompute_trial_force(int32_t kept)
{
    atomic_store(&recompute_trial_forced, kept);
}

static int recompute_trial_is_recomputing(enum dgnn_recompute_trial_step step)
{
    return step == DGNN_RECOMPUTE_TRIAL_RECOMPUTE || step == DGNN_RECOMPUTE_TRIAL_RECOMPUTE_AGAIN;
}

static int recompute_trial_is_other(int64_t before, int64_t now)
{
    return llabs(now - before) > before / 10;
}

void dgnn_recompute_trial_begin(struct dgnn_recompute_trial *k,
                                const struct dgnn_recompute_trial_system *system)
{
    const int64_t count[DGNN_RECOMPUTE_TRIAL_KINDS] = {system->nedge, system->nangle};
    int32_t forced = atomic_load(&recompute_trial_forced);
    int is_open = k->step != DGNN_RECOMPUTE_TRIAL_DECIDED && forced < 0;
    k->is_measured = system->may_measure && is_open;
    k->is_first = 0;
    k->alternate = forced >= 0 && (forced & DGNN_RECOMPUTE_TRIAL_ALTERNATE);
    if (forced >= 0) {
        k->kept = k->reserved = forced & RECOMPUTE_TRIAL_BOTH;
    } else if (is_open) {
        k->kept = k->reserved = RECOMPUTE_TRIAL_BOTH;
    }
    if (!k->is_measured) {
        return;
    }
    for (int kind = 0; kind < DGNN_RECOMPUTE_TRIAL_KINDS; kind++) {
        k->step =
            recompute_trial_is_other(k->count[kind], count[kind]) ? DGNN_RECOMPUTE_TRIAL_WARM_UP : k->step;
        k->count[kind] = count[kind];
        k->seconds[kind] = 0;
    }
    k->is_first = k->alternate = k->step == DGNN_RECOMPUTE_TRIAL_WARM_UP && system->is_new;
    if (recompute_trial_is_recomputing(k->step) || k->is_first) {
        k->kept = 0;
    }
}

static void recompute_trial_add(struct dgnn_recompute_trial *k, const struct dgnn_profile *profile,
                                double sign)
{
    if (k->is_measured) {
        const double *seconds = profile->seconds;
        k->seconds[DGNN_RECOMPUTE_TRIAL_EDGES] +=
            sign * (seconds[DGNN_PHASE_EDGE_FORWARD] + seconds[DGNN_PHASE_EDGE_BACKWARD]);
        k->seconds[DGNN_RECOMPUTE_TRIAL_ANGLES] +=
            sign * (seconds[DGNN_PHASE_ANGLE_FORWARD] + seconds[DGNN_PHASE_ANGLE_BACKWARD]);
    }
}

void dgnn_recompute_trial_start(struct dgnn_recompute_trial *k, const struct dgnn_profile *profile)
{
    recompute_trial_add(k, profile, -1);
}

void dgnn_recompute_trial_stop(struct dgnn_recompute_trial *k, const struct dgnn_profile *profile)
{
    recompute_trial_add(k, profile, 1);
}

/* Which kinds stay kept, by what was measured. */
static int32_t recompute_trial_choice(const struct dgnn_recompute_trial *k)
{
    int32_t kept = RECOMPUTE_TRIAL_BOTH;
    for (int kind = 0; kind < DGNN_RECOMPUTE_TRIAL_KINDS; kind++) {
        if (k->least[1][kind] < (1 - recompute_trial_gain) * k->least[0][kind]) {
            kept &= ~(1 << kind);
        }
    }
    return kept;
}

void dgnn_recompute_trial_end(struct dgnn_recompute_trial *k)
{
    if (!k->is_measured || k->is_first) {
        return;
    }
    int recomputing = recompute_trial_is_recomputing(k->step);
    k->is_measured = 0;
    for (int kind = 0; kind < DGNN_RECOMPUTE_TRIAL_KINDS; kind++) {
        if (k->step == DGNN_RECOMPUTE_TRIAL_WARM_UP) {
            k->least[0][kind] = k->least[1][kind] = INFINITY;
        } else if (k->count[kind]) {
            k->least[recomputing][kind] =
                fmin(k->least[recomputing][kind], k->seconds[kind] / (double)k->count[kind]);
        }
    }
    k->step++;
    if (recomputing) {
        int32_t choice = recompute_trial_choice(k);
        k->step = choice == RECOMPUTE_TRIAL_BOTH ? DGNN_RECOMPUTE_TRIAL_DECIDED : k->step;
        k->kept = k->reserved = k->step == DGNN_RECOMPUTE_TRIAL_DECIDED ? choice : RECOMPUTE_TRIAL_BOTH;
    }
}
