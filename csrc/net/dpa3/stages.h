/* Stages and buffers of DPA3's driver (driver.c), as net/parts/backend.h has them. */
#ifndef DGNN_NET_DPA3_STAGES_H
#define DGNN_NET_DPA3_STAGES_H

#include "net/parts/backend.h"

struct dgnn_dpa3_settings;

/* In the order of a layer. What each reads and writes is said in driver.c, in the terms of struct
 * repflow_kept and repflow_state (repflow_memory_body.h). */
enum dgnn_repflow_stage {
    DGNN_REPFLOW_BEGIN,
    DGNN_REPFLOW_GEOMETRY,       /* switches, directions, cosines; clears their gradients */
    DGNN_REPFLOW_FIRST_NODES,    /* node of layer 0, all rows */
    DGNN_REPFLOW_FIRST_EDGES,    /* edge of layer 0 */
    DGNN_REPFLOW_CENTRE,         /* centre = node W, of owned nodes */
    DGNN_REPFLOW_NEIGHBOUR_PART, /* neighbour_part = node W, of node rows */
    DGNN_REPFLOW_ANGLES, /* angles of layer l: their update, and their part of the next layer's edges */
    DGNN_REPFLOW_EDGES,  /* edges of layer l: message, moment, and their own part of the next layer's edges */
    DGNN_REPFLOW_SEQUENCE, /* with sequential_update: edges, angles, and edges again */
    DGNN_REPFLOW_NODE,     /* the next layer's node, or the last rows */
    DGNN_REPFLOW_OUTPUT,
    DGNN_REPFLOW_D_OUTPUT, /* the gradient of nodes; no gradient of edges yet */
    DGNN_REPFLOW_D_NODE,
    DGNN_REPFLOW_D_CLEAR, /* gradients to neighbours' rows */
    DGNN_REPFLOW_D_EDGES,
    DGNN_REPFLOW_D_SEQUENCE,
    DGNN_REPFLOW_D_NEIGHBOUR_PART, /* what neighbours' rows get, which then travels */
    DGNN_REPFLOW_D_CENTRE,
    DGNN_REPFLOW_D_ANGLES,
    DGNN_REPFLOW_D_ROWS, /* what came back */
    DGNN_REPFLOW_D_FIRST_EDGES,
    DGNN_REPFLOW_D_GEOMETRY,
    DGNN_REPFLOW_END,
    DGNN_REPFLOW_STAGES
};

/* Buffers of a workspace, as far as stages pass something on in them. Those of a layer come first. */
enum dgnn_repflow_buffer {
    DGNN_REPFLOW_AT_NODE, /* of each layer: what comes in, and what is kept for backward */
    DGNN_REPFLOW_AT_CENTRE_ROWS,
    DGNN_REPFLOW_AT_NEIGHBOUR_PART,
    DGNN_REPFLOW_AT_MOMENT,
    DGNN_REPFLOW_AT_SYMMETRIC,
    DGNN_REPFLOW_AT_EDGE,
    DGNN_REPFLOW_AT_EDGE_MIDDLE,
    DGNN_REPFLOW_AT_EDGE_LAST,
    DGNN_REPFLOW_AT_EDGE_PRE,
    DGNN_REPFLOW_AT_ANGLE,
    DGNN_REPFLOW_AT_ANGLE_NEXT,
    DGNN_REPFLOW_AT_ANGLE_PRE,
    DGNN_REPFLOW_AT_ANGLE_LINEAR2_PRE,
    DGNN_REPFLOW_OF_LAYER,                           /* the number of those of a layer */
    DGNN_REPFLOW_AT_SCALARS = DGNN_REPFLOW_OF_LAYER, /* what geometry makes of edges and angles */
    DGNN_REPFLOW_AT_MESSAGE,
    DGNN_REPFLOW_AT_NODE_LAST,
    DGNN_REPFLOW_AT_D_SCALARS,
    DGNN_REPFLOW_AT_D_NODE_SUM, /* the gradient of nodes */
    DGNN_REPFLOW_AT_D_NODE_ROWS,
    DGNN_REPFLOW_AT_D_ACCUMULATORS,
    DGNN_REPFLOW_AT_D_CENTRE_ROWS,
    DGNN_REPFLOW_AT_D_EDGE_ROWS, /* of centres, from edges */
    DGNN_REPFLOW_AT_D_MOMENT,
    DGNN_REPFLOW_AT_D_EDGE_OUT,
    DGNN_REPFLOW_AT_D_EDGE_IN,
    DGNN_REPFLOW_AT_D_ANGLE,
    DGNN_REPFLOW_BUFFERS
};

/* Which parts of layer l reach the energy. */
struct dgnn_repflow_updates {
    int32_t with_edge, with_angle_edge, with_angle;
};
struct dgnn_repflow_updates dgnn_driver_updates(const struct dgnn_dpa3_settings *settings, int64_t l);

/* Are the edge features that layer l begins with a number times a row, plus a row? */
int dgnn_repflow_starts_from_numbers(const struct dgnn_dpa3_settings *settings, int64_t l);

extern const struct dgnn_driver dgnn_driver_repflow;
extern const struct dgnn_backend dgnn_repflow_cpu_f32, dgnn_repflow_cpu_f64;
extern const struct dgnn_backend dgnn_repflow_cuda_f32, dgnn_repflow_cuda_f64;

#endif
