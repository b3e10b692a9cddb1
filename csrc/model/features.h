/* What a call asks for of the networks' inside (enum dgnn_request), and the memory of it. */
#ifndef DGNN_MODEL_FEATURES_H
#define DGNN_MODEL_FEATURES_H

#include "model/session.h"

static inline int dgnn_features_asked(int32_t request)
{
    return (request & (DGNN_REQUEST_DESCRIPTOR | DGNN_REQUEST_LAST_LAYER)) != 0;
}

/* Do all models of the call have what is asked for? Errors: INPUT (bits that are none), UNSUPPORTED. */
int dgnn_features_check(const struct dgnn_session *session, int32_t request, struct dgnn_error *error);

/* Numbers of features of an atom, of the call's model that gives most. */
int64_t dgnn_features_most(const struct dgnn_session *session, int32_t request);

/* Errors: MEMORY. */
int dgnn_features_reserve(struct dgnn_session *session, int32_t request, int64_t nowned,
                          struct dgnn_error *error);

/* After reserve: where one model's features are. */
struct dgnn_features dgnn_features_of(const struct dgnn_session *session,
                                      const struct dgnn_session_part *part, int32_t request, int64_t nowned);

#endif
