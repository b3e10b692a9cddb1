/* The seam between DPA3's driver (driver.c) and a backend, which does the work: the CPU (repflow.c), a
 * device, or a second filling for tests (tests/c/test_stages.c).
 *
 * The driver knows the order of layers, which of their parts reach the energy, and which messages hide behind
 * what. A backend knows its weights, packed as it likes them, where its buffers are, and how a stage runs
 * over centres, edges and angles. Stages of one evaluation run in the driver's order, one at a time; scratch
 * is empty between two of them. */
#ifndef DGNN_NET_STAGES_H
#define DGNN_NET_STAGES_H

#include "net/parts/descriptor.h"

struct dgnn_dpa3_settings;

enum { DGNN_REPFLOW_PLACES = 100 };

/* In the order of a layer. What each reads and writes is said in the terms of struct repflow_kept and
 * repflow_work (repflow_memory_body.h), and held by tests/c/test_stages.c. */
enum dgnn_repflow_stage {
    DGNN_REPFLOW_GEOMETRY,    /* switches, directions, cosines; clears their gradients */
    DGNN_REPFLOW_FIRST_NODES, /* node of layer 0, all rows */
    DGNN_REPFLOW_FIRST_EDGES, /* edge of layer 0 */
    DGNN_REPFLOW_CENTRE,      /* centre = node W, of owned nodes */
    DGNN_REPFLOW_OTHER,       /* other = node W, of node rows */
    DGNN_REPFLOW_ANGLES,      /* angles of layer l: their update, and their part of the next layer's edges */
    DGNN_REPFLOW_EDGES, /* edges of layer l: message, moment, and their own part of the next layer's edges */
    DGNN_REPFLOW_SEQUENCE, /* with sequential_update: edges, angles, and edges again */
    DGNN_REPFLOW_NODE,     /* the next layer's node, or the last rows */
    DGNN_REPFLOW_D_NODE,
    DGNN_REPFLOW_D_CLEAR, /* gradients to neighbours' rows */
    DGNN_REPFLOW_D_EDGES,
    DGNN_REPFLOW_D_SEQUENCE,
    DGNN_REPFLOW_D_OTHER, /* what neighbours' rows get, which then travels */
    DGNN_REPFLOW_D_CENTRE,
    DGNN_REPFLOW_D_ANGLES,
    DGNN_REPFLOW_D_ROWS, /* what came back */
    DGNN_REPFLOW_D_FIRST_EDGES,
    DGNN_REPFLOW_D_GEOMETRY,
    DGNN_REPFLOW_STAGES
};

/* Which rows, of EDGES and OTHER: with ghosts under way, what needs none goes first. */
enum dgnn_repflow_part { DGNN_REPFLOW_ALL, DGNN_REPFLOW_INSIDE, DGNN_REPFLOW_OUTSIDE };

/* Rows that messages move: nnode of them. */
struct dgnn_repflow_rows {
    void *data; /* host memory, so far the only place */
    int64_t width;
    int item_size; /* bytes */
};

/* Buffers of a workspace, as far as stages pass something on in them. Those of a layer come first. */
enum dgnn_repflow_buffer {
    DGNN_REPFLOW_AT_NODE, /* of each layer: what comes in, and what is kept for backward */
    DGNN_REPFLOW_AT_CENTRE_ROWS,
    DGNN_REPFLOW_AT_OTHER_ROWS,
    DGNN_REPFLOW_AT_MOMENT,
    DGNN_REPFLOW_AT_SYMMETRIC,
    DGNN_REPFLOW_AT_EDGE,
    DGNN_REPFLOW_AT_EDGE_MIDDLE,
    DGNN_REPFLOW_AT_EDGE_LAST,
    DGNN_REPFLOW_AT_EDGE_PRE,
    DGNN_REPFLOW_AT_ANGLE,
    DGNN_REPFLOW_AT_ANGLE_NEXT,
    DGNN_REPFLOW_AT_ANGLE_PRE,
    DGNN_REPFLOW_AT_SECOND_PRE,
    DGNN_REPFLOW_OF_LAYER,                           /* the number of those of a layer */
    DGNN_REPFLOW_AT_SCALARS = DGNN_REPFLOW_OF_LAYER, /* what geometry makes of edges and angles */
    DGNN_REPFLOW_AT_MESSAGE,
    DGNN_REPFLOW_AT_NODE_LAST,
    DGNN_REPFLOW_AT_SCRATCH,
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

/* Where one is, in host memory, so far the only place. Two may be at one place. */
struct dgnn_repflow_place {
    enum dgnn_repflow_buffer buffer;
    int64_t l; /* layer; -1: of none */
    void *data;
    int64_t nbytes;
    int64_t owned; /* bytes of owned nodes, edges and angles, the first ones; the rest are ghosts' */
};

/* Which parts of layer l reach the energy. */
struct dgnn_repflow_reach {
    int32_t with_edge, with_angle_edge, with_angle;
};
struct dgnn_repflow_reach dgnn_driver_reach(const struct dgnn_dpa3_settings *settings, int64_t l);

/* One for each element type of a backend. A workspace belongs to the weights that it was made for. */
struct dgnn_repflow_backend {
    const char *name;

    /* Packs the weights of the archive; counts them in settings->parameters. Errors: FORMAT, UNSUPPORTED,
     * MEMORY. */
    int (*load)(struct dgnn_dpa3_settings *settings, void **weights, struct dgnn_error *error);
    void (*free)(void *weights); /* NULL is allowed */
    /* About what a centre costs forward and backward, in operations. */
    double (*centre_work)(const void *weights, int64_t nedge, int64_t nangle_edge);

    int (*workspace_create)(const void *weights, void **workspace, struct dgnn_error *error);
    void (*workspace_free)(void *workspace); /* NULL is allowed */

    /* Counts, memory and the rows of types: all that can fail. *profile: where the evaluation's time goes, or
     * NULL. */
    int (*reserve)(void *workspace, const struct dgnn_evaluation *evaluation, struct dgnn_profile **profile,
                   struct dgnn_error *error);
    /* After reserve: node of layer l, and the gradient that goes back, of all sides (descriptor.h). */
    struct dgnn_repflow_rows (*node_rows)(void *workspace, int64_t l);
    struct dgnn_repflow_rows (*gradient_rows)(void *workspace);

    void (*forward_begin)(void *workspace);
    void (*forward_end)(void *workspace, double *output); /* nowned x dim_out */
    void (*backward_begin)(void *workspace, const struct dgnn_evaluation *evaluation,
                           const double *output_gradient);
    void (*backward_end)(void *workspace);

    /* After reserve: all buffers; returns how many. places: room for DGNN_REPFLOW_PLACES + layers times
     * DGNN_REPFLOW_OF_LAYER. For tests. */
    int32_t (*places)(void *workspace, struct dgnn_repflow_place *places);

    void (*stage[DGNN_REPFLOW_STAGES])(void *workspace, int64_t l, enum dgnn_repflow_part part);
};

extern const struct dgnn_repflow_backend dgnn_repflow_cpu_f32, dgnn_repflow_cpu_f64;

/* The driver. profile: what prepare set, for the same evaluation. */
int dgnn_driver_prepare(const struct dgnn_dpa3_settings *settings, const struct dgnn_repflow_backend *backend,
                        void *workspace, const struct dgnn_evaluation *evaluation,
                        struct dgnn_profile **profile, struct dgnn_error *error);

/* What forward and backward need of prepare. */
struct dgnn_driver {
    const struct dgnn_dpa3_settings *settings;
    const struct dgnn_repflow_backend *backend;
    void *workspace;
    struct dgnn_profile *profile;
};
int dgnn_driver_forward(const struct dgnn_driver *driver, const struct dgnn_evaluation *evaluation,
                        double *output, struct dgnn_error *error);
int dgnn_driver_backward(const struct dgnn_driver *driver, const struct dgnn_evaluation *evaluation,
                         const double *output_gradient, struct dgnn_error *error);

#endif
