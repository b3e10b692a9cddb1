/* Keep edges' and angles' numbers before the activations, or make them anew in backward? Both give the same
 * bits; which is faster depends on the machine and on what else its memory serves, so a short trial on the
 * first evaluations tells. Each rank chooses for itself: no message is timed, and none depends on the choice.
 */
#ifndef DGNN_NET_KEEPING_H
#define DGNN_NET_KEEPING_H

#include "base/profile.h"

enum {
    DGNN_KEEPING_EDGES,
    DGNN_KEEPING_ANGLES,
    DGNN_KEEPING_KINDS
}; /* in the order of enum dgnn_kept's bits */

/* Of the evaluations of a trial, which begins again where the system is of another size. */
enum dgnn_keeping_step {
    DGNN_KEEPING_WARM_UP = 0, /* both kept, so that memory is there */
    DGNN_KEEPING_KEEP,
    DGNN_KEEPING_REMAKE,
    DGNN_KEEPING_KEEP_AGAIN, /* only where making anew was faster: once may be another program's doing */
    DGNN_KEEPING_REMAKE_AGAIN,
    DGNN_KEEPING_DECIDED
};

/* Zeroed before the first evaluation; one that stays so keeps nothing. */
struct dgnn_keeping {
    enum dgnn_keeping_step step;
    int32_t kept; /* bits of enum dgnn_kept: by this evaluation */
    int32_t room; /* ... for which there must be memory, since a later evaluation of the trial may keep them
                   */
    int32_t is_measured;                 /* is this evaluation one of the trial? */
    int64_t count[DGNN_KEEPING_KINDS];   /* edges and angles of this evaluation */
    double seconds[DGNN_KEEPING_KINDS];  /* in its blocks of edges and of angles, both ways */
    double least[2][DGNN_KEEPING_KINDS]; /* kept, made anew: seconds for an edge and an angle */
    struct dgnn_profile profile;         /* whose clock runs where the caller asked for none */
};

/* Begins an evaluation of so many edges and angles. is_measured: may it be one of the trial? Sets
 * kept and room. */
void dgnn_keeping_begin(struct dgnn_keeping *keeping, int32_t is_measured, int64_t nedge, int64_t nangle);

/* Takes the blocks' seconds between start and stop, which come around forward and around backward. */
void dgnn_keeping_start(struct dgnn_keeping *keeping, const struct dgnn_profile *profile);
void dgnn_keeping_stop(struct dgnn_keeping *keeping, const struct dgnn_profile *profile);

/* The evaluation is complete; one that failed does not count. */
void dgnn_keeping_end(struct dgnn_keeping *keeping);

/* For tests: every evaluation that begins keeps these bits, and is not measured; -1: as the trial says. */
void dgnn_keeping_force(int32_t kept);

#endif
