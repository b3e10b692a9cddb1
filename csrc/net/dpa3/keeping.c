#include "net/dpa3/keeping.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { KEEPING_BOTH = DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES };

/* Making anew must gain more than this. */
static const double keeping_gain = 0.03;

/* For tests: what every layer keeps, or -1. Models of other threads look at it too. */
static _Atomic int32_t keeping_forced = -1;

void dgnn_keeping_force(int32_t kept)
{
    atomic_store(&keeping_forced, kept);
}

static int keeping_is_remaking(enum dgnn_keeping_step step)
{
    return step == DGNN_KEEPING_REMAKE || step == DGNN_KEEPING_REMAKE_AGAIN;
}

static int keeping_is_other(int64_t before, int64_t now)
{
    return llabs(now - before) > before / 10;
}

void dgnn_keeping_begin(struct dgnn_keeping *k, int32_t is_measured, int64_t nedge, int64_t nangle)
{
    const int64_t count[DGNN_KEEPING_KINDS] = {nedge, nangle};
    int32_t forced = atomic_load(&keeping_forced);
    int is_open = k->step != DGNN_KEEPING_DECIDED && forced < 0;
    k->is_measured = is_measured && is_open;
    if (forced >= 0) {
        k->kept = k->room = forced;
    } else if (is_open) {
        k->kept = k->room = KEEPING_BOTH;
    }
    if (!k->is_measured) {
        return;
    }
    for (int kind = 0; kind < DGNN_KEEPING_KINDS; kind++) {
        k->step = keeping_is_other(k->count[kind], count[kind]) ? DGNN_KEEPING_WARM_UP : k->step;
        k->count[kind] = count[kind];
        k->seconds[kind] = 0;
    }
    if (keeping_is_remaking(k->step)) {
        k->kept = 0;
    }
}

static void keeping_add(struct dgnn_keeping *k, const struct dgnn_profile *profile, double sign)
{
    if (k->is_measured) {
        const double *seconds = profile->seconds;
        k->seconds[DGNN_KEEPING_EDGES] +=
            sign * (seconds[DGNN_PHASE_EDGE_FORWARD] + seconds[DGNN_PHASE_EDGE_BACKWARD]);
        k->seconds[DGNN_KEEPING_ANGLES] +=
            sign * (seconds[DGNN_PHASE_ANGLE_FORWARD] + seconds[DGNN_PHASE_ANGLE_BACKWARD]);
    }
}

void dgnn_keeping_start(struct dgnn_keeping *k, const struct dgnn_profile *profile)
{
    keeping_add(k, profile, -1);
}

void dgnn_keeping_stop(struct dgnn_keeping *k, const struct dgnn_profile *profile)
{
    keeping_add(k, profile, 1);
}

/* Which kinds stay kept, by what was measured. */
static int32_t keeping_choice(const struct dgnn_keeping *k)
{
    int32_t kept = KEEPING_BOTH;
    for (int kind = 0; kind < DGNN_KEEPING_KINDS; kind++) {
        if (k->least[1][kind] < (1 - keeping_gain) * k->least[0][kind]) {
            kept &= ~(1 << kind);
        }
    }
    return kept;
}

void dgnn_keeping_end(struct dgnn_keeping *k)
{
    if (!k->is_measured) {
        return;
    }
    int remaking = keeping_is_remaking(k->step);
    for (int kind = 0; kind < DGNN_KEEPING_KINDS; kind++) {
        if (k->step == DGNN_KEEPING_WARM_UP) {
            k->least[0][kind] = k->least[1][kind] = INFINITY;
        } else if (k->count[kind]) {
            k->least[remaking][kind] =
                fmin(k->least[remaking][kind], k->seconds[kind] / (double)k->count[kind]);
        }
    }
    k->step++;
    if (remaking) {
        int32_t choice = keeping_choice(k);
        k->step = choice == KEEPING_BOTH ? DGNN_KEEPING_DECIDED : k->step;
        k->kept = k->room = k->step == DGNN_KEEPING_DECIDED ? choice : KEEPING_BOTH;
    }
}
