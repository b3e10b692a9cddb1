/* What a call would take: a session of its own lays out all that the call needs, and is freed. */
#include <string.h>

#include "base/sized.h"
#include "comm/transport.h"
#include "model/session.h"

static const struct dgnn_sized estimate_kind = {"estimate", sizeof(size_t), sizeof(struct dgnn_estimate)};

static int estimate_session(struct dgnn_session *session, const struct dgnn_system *system,
                            struct dgnn_comm *comm, struct dgnn_estimate *own, struct dgnn_error *error)
{
    struct dgnn_profile profile = {.size = sizeof(profile)};
    struct dgnn_result result = {.size = sizeof(result), .profile = &profile};
    session->estimate = own;
    DGNN_TRY(dgnn_compute(session, system, comm, &result, error));
    own->nangle_edge = profile.nangle_edge;
    own->nangle = profile.nangle;
    own->split_flop = profile.split_flop;
    for (int phase = 0; phase < DGNN_PHASE_COUNT; phase++) {
        own->flop += profile.flop[phase];
    }
    return DGNN_OK;
}

/* status: of what the call brings. */
static int estimate_fill(struct dgnn_model *model, const struct dgnn_system *system, struct dgnn_comm *comm,
                         int status, struct dgnn_estimate *own, struct dgnn_error *error)
{
    struct dgnn_session *session = NULL;
    int64_t before = dgnn_buffer_needed();
    status = status ? status : dgnn_session_create(&model, 1, NULL, &session, error);
    if (status) {
        return dgnn_transport_agree(comm, "compute", status, error);
    }
    dgnn_buffer_lay_out(1);
    status = estimate_session(session, system, comm, own, error);
    dgnn_buffer_lay_out(0);
    own->nbytes = dgnn_buffer_needed() - before;
    dgnn_session_free(session);
    return status;
}

int dgnn_model_estimate(struct dgnn_model *model, const struct dgnn_system *system, struct dgnn_comm *comm,
                        struct dgnn_estimate *estimate, struct dgnn_error *error)
{
    struct dgnn_error message; /* an agreement needs a place for it */
    struct dgnn_estimate theirs = {.size = sizeof(theirs)}, own = {.size = sizeof(own)};
    struct dgnn_system call;
    error = error ? error : &message;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int status = dgnn_session_read("dgnn_model_estimate", model && estimate, system, &call, error);
    status = status ? status : dgnn_sized_read(&estimate_kind, estimate, &theirs, error);
    status = estimate_fill(model, &call, comm, status, &own, error);
    dgnn_transport_leave(comm);
    if (!status) {
        dgnn_sized_write(&estimate_kind, &own, estimate);
    }
    return status;
}
