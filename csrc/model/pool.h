/* The sessions that dgnn_model_compute works in: one for good, and further ones while calls come side by
 * side. */
#ifndef DGNN_MODEL_POOL_H
#define DGNN_MODEL_POOL_H

#include "model/session.h"

struct dgnn_pool;

/* Errors: MEMORY. The model outlives its pool. */
int dgnn_pool_create(struct dgnn_model *model, struct dgnn_pool **pool, struct dgnn_error *error);
/* Whom the next calls ask whether they are to end early; NULL: nobody. */
void dgnn_pool_set_stop(struct dgnn_pool *pool, int (*wanted)(void *context), void *context);
void dgnn_pool_free(struct dgnn_pool *pool); /* NULL is allowed; no call is under way */

/* For tests: how many sessions are there, and the one that stays, NULL before the first call. No call is
 * under way. */
int32_t dgnn_pool_count(struct dgnn_pool *pool);
const struct dgnn_session *dgnn_pool_session(struct dgnn_pool *pool);

#endif
