/* DPA3's driver: the order of an evaluation, for whatever backend does the stages.
 *
 * Dead branches are not computed: without sequential_update the last layer's edge and angle updates and the
 * last but one's angle update never reach the nodes; where the rotation matrix is wanted, which is made of
 * the last edges, edges go one layer further than nodes. Layer 0 needs no exchange, since its nodes depend on
 * types alone, and for the same reason no gradient of nodes. */
#include "net/dpa3/dpa3.h"

#define B(name)     DGNN_BIT(DGNN_REPFLOW_AT_##name)
#define ANY(name)   DGNN_BIT(DGNN_AT_##name)
#define EDGES_READ  (B(SCALARS) | B(CENTRE_ROWS) | B(NEIGHBOUR_PART) | B(NODE) | B(EDGE))
#define ANGLES_READ (B(SCALARS) | B(CENTRE_ROWS) | B(EDGE) | B(ANGLE))
#define KEPT        (B(EDGE_PRE) | B(ANGLE_PRE) | B(ANGLE_LINEAR2_PRE))

static const struct dgnn_stage_rule driver_rules[DGNN_REPFLOW_STAGES] = {
    [DGNN_REPFLOW_BEGIN] = {.name = "begin", .phase = DGNN_PHASE_GEOMETRY_FORWARD},
    [DGNN_REPFLOW_OUTPUT] = {.name = "output",
                             .phase = DGNN_PHASE_NODE_FORWARD,
                             .read = B(NODE_LAST),
                             .write = ANY(OUTPUT),
                             .whole = ANY(OUTPUT)},
    [DGNN_REPFLOW_D_OUTPUT] = {.name = "d_output",
                               .phase = DGNN_PHASE_NODE_BACKWARD,
                               .read = ANY(OUTPUT_GRADIENT),
                               .change = B(D_SCALARS), /* after another backward of the same forward */
                               .write = B(D_NODE_SUM) | B(D_EDGE_IN),
                               .whole = B(D_NODE_SUM)},
    [DGNN_REPFLOW_END] = {.name = "end", .phase = DGNN_PHASE_GEOMETRY_BACKWARD},
    [DGNN_REPFLOW_GEOMETRY] = {.name = "geometry",
                               .phase = DGNN_PHASE_GEOMETRY_FORWARD,
                               .write = B(SCALARS) | B(D_SCALARS),
                               .whole = B(SCALARS) | B(D_SCALARS)},
    [DGNN_REPFLOW_FIRST_NODES] = {.name = "first_nodes",
                                  .phase = DGNN_PHASE_GEOMETRY_FORWARD,
                                  .write = B(NODE),
                                  .whole = B(NODE)},
    [DGNN_REPFLOW_FIRST_EDGES] = {.name = "first_edges",
                                  .phase = DGNN_PHASE_GEOMETRY_FORWARD,
                                  .read = B(SCALARS),
                                  .write = B(EDGE),
                                  .whole = B(EDGE)},
    [DGNN_REPFLOW_CENTRE] = {.name = "centre",
                             .phase = DGNN_PHASE_NODE_FORWARD,
                             .read = B(NODE),
                             .write = B(CENTRE_ROWS)},
    [DGNN_REPFLOW_NEIGHBOUR_PART] = {.name = "neighbour_part",
                                     .phase = DGNN_PHASE_NODE_FORWARD,
                                     .read = B(NODE),
                                     .change = B(NEIGHBOUR_PART)},
    [DGNN_REPFLOW_ANGLES] = {.name = "angles",
                             .phase = DGNN_PHASE_ANGLE_FORWARD,
                             .read = ANGLES_READ,
                             .write = B(ANGLE_NEXT) | B(ANGLE_PRE) | B(ANGLE_LINEAR2_PRE),
                             .next_change = B(EDGE)},
    [DGNN_REPFLOW_EDGES] = {.name = "edges",
                            .phase = DGNN_PHASE_EDGE_FORWARD,
                            .read = EDGES_READ,
                            .change = B(EDGE_PRE) | B(MOMENT) | B(MESSAGE),
                            .next_change = B(EDGE)},
    [DGNN_REPFLOW_SEQUENCE] = {.name = "sequence",
                               .phase = DGNN_PHASE_EDGE_FORWARD,
                               .read = EDGES_READ | ANGLES_READ,
                               .write = B(EDGE_MIDDLE) | B(EDGE_LAST) | B(ANGLE_NEXT) | KEPT | B(MOMENT) |
                                        B(MESSAGE),
                               .next_write = B(EDGE),
                               .whole = B(EDGE_MIDDLE) | B(EDGE_LAST) | B(MOMENT) | B(MESSAGE),
                               .next_whole = B(EDGE)},
    [DGNN_REPFLOW_NODE] = {.name = "node",
                           .phase = DGNN_PHASE_NODE_FORWARD,
                           .read = B(NODE) | B(CENTRE_ROWS) | B(MOMENT) | B(MESSAGE),
                           .write = B(SYMMETRIC) | B(NODE_LAST),
                           .next_change = B(NODE),
                           .whole = B(SYMMETRIC)},
    [DGNN_REPFLOW_D_NODE] = {.name = "d_node",
                             .phase = DGNN_PHASE_NODE_BACKWARD,
                             .read = B(CENTRE_ROWS) | B(MOMENT),
                             .change = B(SYMMETRIC) | B(D_NODE_SUM) |
                                       B(D_CENTRE_ROWS), /* angles' columns are there */
                             .write = B(MESSAGE) | B(D_MOMENT)},
    [DGNN_REPFLOW_D_CLEAR] = {.name = "d_clear",
                              .phase = DGNN_PHASE_NODE_BACKWARD,
                              .write = B(D_ACCUMULATORS),
                              .whole = B(D_ACCUMULATORS)},
    [DGNN_REPFLOW_D_EDGES] = {.name = "d_edges",
                              .phase = DGNN_PHASE_EDGE_BACKWARD,
                              .read = EDGES_READ | B(EDGE_PRE) | B(MESSAGE) | B(D_MOMENT) | B(D_EDGE_IN),
                              .change = B(D_EDGE_OUT) | B(D_ACCUMULATORS) | B(D_SCALARS),
                              .write = B(D_EDGE_ROWS)},
    [DGNN_REPFLOW_D_SEQUENCE] = {.name = "d_sequence",
                                 .phase = DGNN_PHASE_EDGE_BACKWARD,
                                 .read = EDGES_READ | ANGLES_READ | B(EDGE_MIDDLE) | B(EDGE_LAST) |
                                         B(ANGLE_NEXT) | B(MESSAGE) | B(D_MOMENT) | KEPT,
                                 .change = B(D_EDGE_IN) | B(D_EDGE_OUT) | B(D_ANGLE) | B(D_ACCUMULATORS) |
                                           B(D_SCALARS) | B(D_CENTRE_ROWS),
                                 .write = B(D_EDGE_ROWS)},
    [DGNN_REPFLOW_D_NEIGHBOUR_PART] = {.name = "d_neighbour_part",
                                       .phase = DGNN_PHASE_NODE_BACKWARD,
                                       .change = B(D_ACCUMULATORS),
                                       .write = B(D_NODE_ROWS),
                                       .whole = B(D_NODE_ROWS)},
    [DGNN_REPFLOW_D_CENTRE] = {.name = "d_centre",
                               .phase = DGNN_PHASE_NODE_BACKWARD,
                               .read = B(D_EDGE_ROWS),
                               .change = B(D_CENTRE_ROWS) | B(D_NODE_SUM)},
    [DGNN_REPFLOW_D_ANGLES] = {.name = "d_angles",
                               .phase = DGNN_PHASE_ANGLE_BACKWARD,
                               .read = ANGLES_READ | B(ANGLE_PRE) | B(ANGLE_LINEAR2_PRE) | B(D_EDGE_IN),
                               /* EDGE and what is before: what makes the layer's features again from those
                                  before. */
                               .change =
                                   B(D_ANGLE) | B(D_CENTRE_ROWS) | B(D_SCALARS) | B(D_EDGE_OUT) | B(EDGE),
                               .before_read = B(CENTRE_ROWS) | B(NEIGHBOUR_PART) | B(EDGE) | B(ANGLE),
                               .before_change = B(ANGLE_LINEAR2_PRE)},
    [DGNN_REPFLOW_D_ROWS] = {.name = "d_rows",
                             .phase = DGNN_PHASE_NODE_BACKWARD,
                             .read = B(D_NODE_ROWS),
                             .change = B(D_NODE_SUM)},
    [DGNN_REPFLOW_D_FIRST_EDGES] = {.name = "d_first_edges",
                                    .phase = DGNN_PHASE_GEOMETRY_BACKWARD,
                                    .read = B(SCALARS) | B(D_EDGE_IN) | B(D_EDGE_OUT),
                                    .change = B(D_SCALARS)},
    [DGNN_REPFLOW_D_GEOMETRY] = {.name = "d_geometry",
                                 .phase = DGNN_PHASE_GEOMETRY_BACKWARD,
                                 .read = B(D_SCALARS),
                                 .change = ANY(EDGE_GRADIENT)},
};

struct dgnn_repflow_updates dgnn_driver_updates(const struct dgnn_dpa3_settings *s, int64_t l)
{
    int64_t nlayer = s->repflow.nlayers + (s->wants_rotation ? 1 : 0); /* of edges */
    int with_edge = s->is_sequential || l + 1 < nlayer;
    return (struct dgnn_repflow_updates){.with_edge = with_edge,
                                         .with_angle_edge = s->has_angles && with_edge,
                                         .with_angle = s->has_angles && (s->is_sequential || l + 2 < nlayer)};
}

/* Do the last layer's angles give its edges something that the rotation matrix needs? */
static int driver_has_last_angles(const struct dgnn_dpa3_settings *s)
{
    return s->wants_rotation && !s->is_sequential &&
           dgnn_driver_updates(s, s->repflow.nlayers - 1).with_angle_edge;
}

static int driver_prepare_rows(const struct dgnn_run *run, int32_t buffer, int64_t l,
                               struct dgnn_error *error)
{
    struct dgnn_rows rows = dgnn_backend_rows(run, buffer, l);
    return dgnn_exchange_prepare(run->evaluation->exchange, rows.data, rows.width, rows.item_size, error);
}

static int driver_prepare(const struct dgnn_run *run, struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *settings = run->settings;
    for (int64_t l = 1; l < settings->repflow.nlayers; l++) {
        DGNN_TRY(driver_prepare_rows(run, DGNN_REPFLOW_AT_NODE, l, error));
    }
    return run->evaluation->want_gradient && settings->repflow.nlayers > 1
               ? driver_prepare_rows(run, DGNN_REPFLOW_AT_D_NODE_ROWS, -1, error)
               : DGNN_OK;
}

/* ---------------------------------------------------------------- forward */

/* What needs no ghosts hides the messages: the angles of the layer before, which give this one's edges their
 * last part; edges only on one thread, as two passes would be two waits. */
static int driver_layer(const struct dgnn_run *run, int64_t l, struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *settings = run->settings;
    struct dgnn_exchange *exchange = run->evaluation->exchange;
    int sequential = settings->is_sequential;
    int split = exchange && l > 0 && !sequential && settings->threads == 1;
    if (l > 0) {
        struct dgnn_rows rows = dgnn_backend_rows(run, DGNN_REPFLOW_AT_NODE, l);
        dgnn_backend_move_rows(run, DGNN_REPFLOW_AT_NODE, l, DGNN_ROWS_FORWARD_BEGIN);
        DGNN_TRY(dgnn_exchange_forward_begin(exchange, rows.data, rows.width, rows.item_size, error));
        dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    }
    dgnn_backend_run(run, DGNN_REPFLOW_CENTRE, l, DGNN_STAGE_ALL);
    if (!sequential && l > 0 && dgnn_driver_updates(settings, l - 1).with_angle_edge) {
        dgnn_backend_run(run, DGNN_REPFLOW_ANGLES, l - 1, DGNN_STAGE_ALL);
    }
    if (split) {
        dgnn_backend_run(run, DGNN_REPFLOW_NEIGHBOUR_PART, l, DGNN_STAGE_INSIDE);
        dgnn_backend_run(run, DGNN_REPFLOW_EDGES, l, DGNN_STAGE_INSIDE);
    }
    if (l > 0) {
        DGNN_TRY(dgnn_exchange_forward_end(exchange, error));
        dgnn_backend_move_rows(run, DGNN_REPFLOW_AT_NODE, l, DGNN_ROWS_FORWARD_END);
        dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    }
    enum dgnn_stage_part left = split ? DGNN_STAGE_OUTSIDE : DGNN_STAGE_ALL;
    dgnn_backend_run(run, DGNN_REPFLOW_NEIGHBOUR_PART, l, left);
    dgnn_backend_run(run, sequential ? DGNN_REPFLOW_SEQUENCE : DGNN_REPFLOW_EDGES, l, left);
    dgnn_backend_run(run, DGNN_REPFLOW_NODE, l, DGNN_STAGE_ALL);
    return DGNN_OK;
}

static int driver_forward(const struct dgnn_run *run, struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *settings = run->settings;
    dgnn_backend_run(run, DGNN_REPFLOW_BEGIN, 0, DGNN_STAGE_ALL);
    dgnn_backend_run(run, DGNN_REPFLOW_GEOMETRY, 0, DGNN_STAGE_ALL);
    dgnn_backend_run(run, DGNN_REPFLOW_FIRST_NODES, 0, DGNN_STAGE_ALL);
    dgnn_backend_run(run, DGNN_REPFLOW_FIRST_EDGES, 0, DGNN_STAGE_ALL);
    for (int64_t l = 0; l < settings->repflow.nlayers; l++) {
        DGNN_TRY(driver_layer(run, l, error));
    }
    if (driver_has_last_angles(settings)) {
        dgnn_backend_run(run, DGNN_REPFLOW_ANGLES, settings->repflow.nlayers - 1, DGNN_STAGE_ALL);
    }
    dgnn_backend_run(run, DGNN_REPFLOW_OUTPUT, 0, DGNN_STAGE_ALL);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- backward */

/* The angles of the layer before are done when this one's edges are, since the gradient of its edges is all
 * that they need; they hide the messages. */
static int driver_layer_backward(const struct dgnn_run *run, int64_t l, struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *settings = run->settings;
    struct dgnn_exchange *exchange = run->evaluation->exchange;
    int sequential = settings->is_sequential;
    dgnn_backend_run(run, DGNN_REPFLOW_D_NODE, l, DGNN_STAGE_ALL);
    if (l > 0) {
        dgnn_backend_run(run, DGNN_REPFLOW_D_CLEAR, l, DGNN_STAGE_ALL);
    }
    dgnn_backend_run(run, sequential ? DGNN_REPFLOW_D_SEQUENCE : DGNN_REPFLOW_D_EDGES, l, DGNN_STAGE_ALL);
    if (l == 0) {
        return DGNN_OK;
    }
    struct dgnn_rows rows = dgnn_backend_rows(run, DGNN_REPFLOW_AT_D_NODE_ROWS, -1);
    DGNN_TRY(dgnn_exchange_settle(exchange, error)); /* it has the layer above's ghost rows */
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dgnn_backend_run(run, DGNN_REPFLOW_D_NEIGHBOUR_PART, l, DGNN_STAGE_ALL);
    dgnn_backend_move_rows(run, DGNN_REPFLOW_AT_D_NODE_ROWS, -1, DGNN_ROWS_REVERSE_BEGIN);
    DGNN_TRY(dgnn_exchange_reverse_begin(exchange, rows.data, rows.width, rows.item_size, error));
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dgnn_backend_run(run, DGNN_REPFLOW_D_CENTRE, l, DGNN_STAGE_ALL);
    if (!sequential && dgnn_driver_updates(settings, l - 1).with_angle_edge) {
        dgnn_backend_run(run, DGNN_REPFLOW_D_ANGLES, l - 1, DGNN_STAGE_ALL);
    }
    DGNN_TRY(dgnn_exchange_reverse_end(exchange, error));
    dgnn_backend_move_rows(run, DGNN_REPFLOW_AT_D_NODE_ROWS, -1, DGNN_ROWS_REVERSE_END);
    dgnn_profile_end(run->profile, DGNN_PHASE_MESSAGES);
    dgnn_backend_run(run, DGNN_REPFLOW_D_ROWS, l, DGNN_STAGE_ALL);
    return DGNN_OK;
}

static int driver_backward(const struct dgnn_run *run, struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *settings = run->settings;
    dgnn_backend_run(run, DGNN_REPFLOW_D_OUTPUT, 0, DGNN_STAGE_ALL);
    if (driver_has_last_angles(settings)) {
        dgnn_backend_run(run, DGNN_REPFLOW_D_ANGLES, settings->repflow.nlayers - 1, DGNN_STAGE_ALL);
    }
    for (int64_t l = settings->repflow.nlayers - 1; l >= 0; l--) {
        DGNN_TRY(driver_layer_backward(run, l, error));
    }
    dgnn_backend_run(run, DGNN_REPFLOW_D_FIRST_EDGES, 0, DGNN_STAGE_ALL);
    dgnn_backend_run(run, DGNN_REPFLOW_D_GEOMETRY, 0, DGNN_STAGE_ALL);
    dgnn_backend_run(run, DGNN_REPFLOW_END, 0, DGNN_STAGE_ALL);
    return DGNN_OK;
}

const struct dgnn_driver dgnn_driver_repflow = {.nstage = DGNN_REPFLOW_STAGES,
                                                .rule = driver_rules,
                                                .prepare = driver_prepare,
                                                .forward = driver_forward,
                                                .backward = driver_backward};
