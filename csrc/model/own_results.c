/* Results and profiles of a caller, whose structs may be shorter than this library's. */
#include <stddef.h>
#include <string.h>

#include "base/profile.h"
#include "base/sized.h"
#include "model/session.h"

/* Results as callers know them, and a profile. */
static const struct dgnn_sized own_results_result = {"results", DGNN_SIZED_TO(struct dgnn_result, virial),
                                                     sizeof(struct dgnn_result)};
static const struct dgnn_sized own_results_profile = {"profile", sizeof(size_t), sizeof(struct dgnn_profile)};

/* Where a call's time is counted: in the caller's struct, so that it may be read meanwhile, unless that is
 * shorter. */
static struct dgnn_profile *own_results_choose_profile(struct dgnn_profile *theirs, struct dgnn_profile *own)
{
    return theirs && theirs->size < sizeof(*theirs) ? own : theirs;
}

int dgnn_own_results_models(struct dgnn_session *s, int32_t nmodel, struct dgnn_error *error)
{
    s->ncall = 0;
    if (nmodel < 0 || nmodel > s->nmodel) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "nmodel: found %d; expected 1 to the %d models of the session, or 0 for all",
                               nmodel, s->nmodel);
    }
    s->ncall = nmodel ? nmodel : s->nmodel;
    return DGNN_OK;
}

struct dgnn_own_results_wants dgnn_own_results_begin(struct dgnn_session *s, struct dgnn_result *results)
{
    struct dgnn_own_results_wants wants = {0};
    for (int32_t k = 0; k < s->ncall; k++) {
        const struct dgnn_result *result = dgnn_session_result(results, k);
        s->part[k].profile = own_results_choose_profile(result->profile, &s->part[k].measured);
        dgnn_profile_start(s->part[k].profile);
        wants.atom_virial |= result->atom_virial != NULL;
        wants.derivatives |= result->output_forces != NULL;
    }
    return wants;
}

int dgnn_own_results_read(struct dgnn_session *s, struct dgnn_result *theirs, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_buffer_reserve(&s->results, s->nmodel * (int64_t)sizeof(*theirs), "results", error));
    struct dgnn_result *own = s->results.data;
    struct dgnn_profile ignored;
    memset(own, 0, (size_t)s->nmodel * sizeof(*own));
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_result *result = dgnn_session_result(theirs, k);
        if (result->size != theirs->size) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "results: size of result %d is %zu; expected that of the first one, %zu",
                                   k, result->size, theirs->size);
        }
        DGNN_TRY(dgnn_sized_read(&own_results_result, result, &own[k], error));
        if (own[k].profile) {
            DGNN_TRY(dgnn_sized_read(&own_results_profile, own[k].profile, &ignored, error));
        }
    }
    return DGNN_OK;
}

void dgnn_own_results_return(const struct dgnn_session *s, struct dgnn_result *theirs)
{
    const struct dgnn_result *own = s->results.data;
    for (int32_t k = 0; k < s->ncall; k++) {
        if (own[k].profile && s->part[k].profile == &s->part[k].measured) {
            dgnn_sized_write(&own_results_profile, &s->part[k].measured, own[k].profile);
        }
        dgnn_sized_write(&own_results_result, &own[k], dgnn_session_result(theirs, k));
    }
}
