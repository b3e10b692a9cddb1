/* DPA3's driver: the order of an evaluation, for whatever backend does the stages.
 *
 * Dead branches are not computed: without sequential_update the last layer's edge and angle updates and the
 * last but one's angle update never reach the nodes; where the rotation matrix is wanted, which is made of
 * the last edges, edges go one layer further than nodes. Layer 0 needs no exchange, since its nodes depend on
 * types alone, and for the same reason no gradient of nodes. */
#include "net/dpa3/dpa3.h"

static const enum dgnn_phase driver_phase[DGNN_REPFLOW_STAGES] = {
    [DGNN_REPFLOW_GEOMETRY] = DGNN_PHASE_GEOMETRY_FORWARD,
    [DGNN_REPFLOW_FIRST_NODES] = DGNN_PHASE_GEOMETRY_FORWARD,
    [DGNN_REPFLOW_FIRST_EDGES] = DGNN_PHASE_GEOMETRY_FORWARD,
    [DGNN_REPFLOW_CENTRE] = DGNN_PHASE_NODE_FORWARD,
    [DGNN_REPFLOW_OTHER] = DGNN_PHASE_NODE_FORWARD,
    [DGNN_REPFLOW_ANGLES] = DGNN_PHASE_ANGLE_FORWARD,
    [DGNN_REPFLOW_EDGES] = DGNN_PHASE_EDGE_FORWARD,
    [DGNN_REPFLOW_SEQUENCE] = DGNN_PHASE_EDGE_FORWARD,
    [DGNN_REPFLOW_NODE] = DGNN_PHASE_NODE_FORWARD,
    [DGNN_REPFLOW_D_NODE] = DGNN_PHASE_NODE_BACKWARD,
    [DGNN_REPFLOW_D_CLEAR] = DGNN_PHASE_NODE_BACKWARD,
    [DGNN_REPFLOW_D_EDGES] = DGNN_PHASE_EDGE_BACKWARD,
    [DGNN_REPFLOW_D_SEQUENCE] = DGNN_PHASE_EDGE_BACKWARD,
    [DGNN_REPFLOW_D_OTHER] = DGNN_PHASE_NODE_BACKWARD,
    [DGNN_REPFLOW_D_CENTRE] = DGNN_PHASE_NODE_BACKWARD,
    [DGNN_REPFLOW_D_ANGLES] = DGNN_PHASE_ANGLE_BACKWARD,
    [DGNN_REPFLOW_D_ROWS] = DGNN_PHASE_NODE_BACKWARD,
    [DGNN_REPFLOW_D_FIRST_EDGES] = DGNN_PHASE_GEOMETRY_BACKWARD,
    [DGNN_REPFLOW_D_GEOMETRY] = DGNN_PHASE_GEOMETRY_BACKWARD,
};

struct dgnn_repflow_reach dgnn_driver_reach(const struct dgnn_dpa3_settings *s, int64_t l)
{
    int64_t nlayer = s->repflow.nlayers + (s->wants_rotation ? 1 : 0); /* of edges */
    int with_edge = s->is_sequential || l + 1 < nlayer;
    return (struct dgnn_repflow_reach){.with_edge = with_edge,
                                       .with_angle_edge = s->has_angles && with_edge,
                                       .with_angle = s->has_angles && (s->is_sequential || l + 2 < nlayer)};
}

/* Do the last layer's angles give its edges something that the rotation matrix needs? */
static int driver_has_last_angles(const struct dgnn_dpa3_settings *s)
{
    return s->wants_rotation && !s->is_sequential &&
           dgnn_driver_reach(s, s->repflow.nlayers - 1).with_angle_edge;
}

static void driver_part(const struct dgnn_driver *d, enum dgnn_repflow_stage stage, int64_t l,
                        enum dgnn_repflow_part part)
{
    d->backend->stage[stage](d->workspace, l, part);
    dgnn_profile_end(d->profile, driver_phase[stage]);
}

static void driver_run(const struct dgnn_driver *d, enum dgnn_repflow_stage stage, int64_t l)
{
    driver_part(d, stage, l, DGNN_REPFLOW_ALL);
}

static int driver_prepare_rows(struct dgnn_exchange *exchange, struct dgnn_repflow_rows rows,
                               struct dgnn_error *error)
{
    return dgnn_exchange_prepare(exchange, rows.data, rows.width, rows.item_size, error);
}

int dgnn_driver_prepare(const struct dgnn_dpa3_settings *settings, const struct dgnn_repflow_backend *backend,
                        void *workspace, const struct dgnn_evaluation *evaluation,
                        struct dgnn_profile **profile, struct dgnn_error *error)
{
    DGNN_TRY(backend->reserve(workspace, evaluation, profile, error));
    for (int64_t l = 1; l < settings->repflow.nlayers; l++) {
        DGNN_TRY(driver_prepare_rows(evaluation->exchange, backend->node_rows(workspace, l), error));
    }
    return evaluation->want_gradient && settings->repflow.nlayers > 1
               ? driver_prepare_rows(evaluation->exchange, backend->gradient_rows(workspace), error)
               : DGNN_OK;
}

/* ---------------------------------------------------------------- forward */

/* What needs no ghosts hides the messages: the angles of the layer before, which give this one's edges their
 * last part; edges only on one thread, as two passes would be two waits. */
static int driver_layer(const struct dgnn_driver *d, int64_t l, struct dgnn_exchange *exchange,
                        struct dgnn_error *error)
{
    int sequential = d->settings->is_sequential;
    int split = exchange && l > 0 && !sequential && d->settings->threads == 1;
    if (l > 0) {
        struct dgnn_repflow_rows rows = d->backend->node_rows(d->workspace, l);
        DGNN_TRY(dgnn_exchange_forward_begin(exchange, rows.data, rows.width, rows.item_size, error));
        dgnn_profile_end(d->profile, DGNN_PHASE_MESSAGES);
    }
    driver_run(d, DGNN_REPFLOW_CENTRE, l);
    if (!sequential && l > 0 && dgnn_driver_reach(d->settings, l - 1).with_angle_edge) {
        driver_run(d, DGNN_REPFLOW_ANGLES, l - 1);
    }
    if (split) {
        driver_part(d, DGNN_REPFLOW_OTHER, l, DGNN_REPFLOW_INSIDE);
        driver_part(d, DGNN_REPFLOW_EDGES, l, DGNN_REPFLOW_INSIDE);
    }
    if (l > 0) {
        DGNN_TRY(dgnn_exchange_forward_end(exchange, error));
        dgnn_profile_end(d->profile, DGNN_PHASE_MESSAGES);
    }
    enum dgnn_repflow_part left = split ? DGNN_REPFLOW_OUTSIDE : DGNN_REPFLOW_ALL;
    driver_part(d, DGNN_REPFLOW_OTHER, l, left);
    driver_part(d, sequential ? DGNN_REPFLOW_SEQUENCE : DGNN_REPFLOW_EDGES, l, left);
    driver_run(d, DGNN_REPFLOW_NODE, l);
    return DGNN_OK;
}

int dgnn_driver_forward(const struct dgnn_driver *d, const struct dgnn_evaluation *evaluation, double *output,
                        struct dgnn_error *error)
{
    d->backend->forward_begin(d->workspace);
    driver_run(d, DGNN_REPFLOW_GEOMETRY, 0);
    driver_run(d, DGNN_REPFLOW_FIRST_NODES, 0);
    driver_run(d, DGNN_REPFLOW_FIRST_EDGES, 0);
    for (int64_t l = 0; l < d->settings->repflow.nlayers; l++) {
        DGNN_TRY(driver_layer(d, l, evaluation->exchange, error));
    }
    if (driver_has_last_angles(d->settings)) {
        driver_run(d, DGNN_REPFLOW_ANGLES, d->settings->repflow.nlayers - 1);
    }
    if (evaluation->rotation) {
        d->backend->rotation(d->workspace, evaluation->rotation);
    }
    d->backend->forward_end(d->workspace, output);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- backward */

/* The angles of the layer before are done when this one's edges are, since the gradient of its edges is all
 * that they need; they hide the messages. */
static int driver_layer_backward(const struct dgnn_driver *d, int64_t l, struct dgnn_exchange *exchange,
                                 struct dgnn_error *error)
{
    int sequential = d->settings->is_sequential;
    driver_run(d, DGNN_REPFLOW_D_NODE, l);
    if (l > 0) {
        driver_run(d, DGNN_REPFLOW_D_CLEAR, l);
    }
    driver_run(d, sequential ? DGNN_REPFLOW_D_SEQUENCE : DGNN_REPFLOW_D_EDGES, l);
    if (l == 0) {
        return DGNN_OK;
    }
    struct dgnn_repflow_rows rows = d->backend->gradient_rows(d->workspace);
    DGNN_TRY(dgnn_exchange_settle(exchange, error)); /* it has the layer above's ghost rows */
    dgnn_profile_end(d->profile, DGNN_PHASE_MESSAGES);
    driver_run(d, DGNN_REPFLOW_D_OTHER, l);
    DGNN_TRY(dgnn_exchange_reverse_begin(exchange, rows.data, rows.width, rows.item_size, error));
    dgnn_profile_end(d->profile, DGNN_PHASE_MESSAGES);
    driver_run(d, DGNN_REPFLOW_D_CENTRE, l);
    if (!sequential && dgnn_driver_reach(d->settings, l - 1).with_angle_edge) {
        driver_run(d, DGNN_REPFLOW_D_ANGLES, l - 1);
    }
    DGNN_TRY(dgnn_exchange_reverse_end(exchange, error));
    dgnn_profile_end(d->profile, DGNN_PHASE_MESSAGES);
    driver_run(d, DGNN_REPFLOW_D_ROWS, l);
    return DGNN_OK;
}

int dgnn_driver_backward(const struct dgnn_driver *d, const struct dgnn_evaluation *evaluation,
                         const double *output_gradient, struct dgnn_error *error)
{
    d->backend->backward_begin(d->workspace, evaluation, output_gradient);
    if (evaluation->rotation) {
        d->backend->rotation_backward(d->workspace, evaluation->rotation_gradient);
    }
    if (driver_has_last_angles(d->settings)) {
        driver_run(d, DGNN_REPFLOW_D_ANGLES, d->settings->repflow.nlayers - 1);
    }
    for (int64_t l = d->settings->repflow.nlayers - 1; l >= 0; l--) {
        DGNN_TRY(driver_layer_backward(d, l, evaluation->exchange, error));
    }
    driver_run(d, DGNN_REPFLOW_D_FIRST_EDGES, 0);
    driver_run(d, DGNN_REPFLOW_D_GEOMETRY, 0);
    d->backend->backward_end(d->workspace);
    return DGNN_OK;
}
