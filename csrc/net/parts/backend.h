/* The seam between a family's driver and a backend, which does the work: the CPU, a device, or the checking
 * one of tests/c/test_stages.c. One shape for all families.
 *
 * A driver knows the order of layers and stages, which of their parts reach the energy, and which messages
 * hide behind what. A backend knows its weights, packed as it likes them, where its buffers are, and how a
 * stage runs over centres, edges and angles; it has one row, a struct dgnn_backend, for each element type.
 * Stages of one evaluation run in the driver's order, one at a time, or chunk of centres by chunk. */
#ifndef DGNN_NET_BACKEND_H
#define DGNN_NET_BACKEND_H

#include "net/parts/descriptor.h"

enum { DGNN_STAGES_MAX = 32 }; /* of a family */

/* Of a stage or a buffer, in a set of them. */
#define DGNN_BIT(number) (UINT64_C(1) << (number))

/* ---------------------------------------------------------------- stages */

/* Which centres or rows a stage is to do. */
enum dgnn_stage_part {
    DGNN_STAGE_ALL,
    DGNN_STAGE_INSIDE, /* with ghosts under way: what needs none goes first */
    DGNN_STAGE_OUTSIDE,
    DGNN_STAGE_USED /* where nodes have no use any more for what idle ones get
                       (dgnn_evaluation.nwithout_energy) */
};

struct dgnn_stage_call {
    int32_t stage; /* as the family numbers them */
    int64_t layer;
    enum dgnn_stage_part part;
    /* Where the driver goes by chunks; else 0. again: a stage of forward that backward runs once more, since
     * the backend did not keep what it makes: with all that backward needs, and without output. */
    int64_t chunk;
    int32_t thread, again;
    int32_t side; /* of a stage that the driver runs for one side of backward after the other; else 0 */
    const struct dgnn_evaluation *evaluation;
    double *output;                /* centres, or those of the chunk, x dim_out; in forward */
    const double *output_gradient; /* the same; in backward */
};

typedef void dgnn_stage_body(void *workspace, const struct dgnn_stage_call *call);

/* What a stage may touch, in bits of the family's numbers of buffers and of those below: of the stage's layer
 * and of none; next: of the layer after it; before: of the one before it. tests/c/test_stages.c holds
 * backends to it. */
struct dgnn_stage_rule {
    const char *name;
    enum dgnn_phase phase;
    uint64_t read;   /* is not written */
    uint64_t change; /* is read and written, or written in part */
    uint64_t write;  /* is not read before it is written */
    uint64_t next_change, next_write;
    uint64_t before_read, before_change;
    uint64_t whole, next_whole; /* of what is written: each number of an owned node, an edge or an angle is */
};

/* ---------------------------------------------------------------- buffers */

/* Of each family, beside its own, which are below these. */
enum {
    DGNN_AT_OTHERS = -1, /* what belongs to other chunks: no stage may touch it */
    DGNN_AT_OUTPUT = 60,
    DGNN_AT_OUTPUT_GRADIENT,
    DGNN_AT_EDGE_GRADIENT,
    DGNN_AT_SCRATCH /* any stage may write it; what is in it between two stages is nobody's */
};

/* Where a buffer is. */
enum dgnn_memory_place { DGNN_PLACE_HOST, DGNN_PLACE_DEVICE };

struct dgnn_place {
    int32_t buffer;
    int64_t layer; /* -1: of none */
    enum dgnn_memory_place place;
    void *data; /* two may be at one place */
    int64_t nbytes;
    int64_t owned; /* bytes of owned nodes, edges and angles, the first ones; the rest are ghosts' */
};

struct dgnn_places {
    struct dgnn_place *place; /* room for most of them */
    int32_t most, count;
};

/* rows of item bytes in host memory, those of owned nodes first; nothing where there is no memory, or no
 * room. */
struct dgnn_place_rows {
    int64_t all, owned;
};
void dgnn_backend_list(struct dgnn_places *to, int32_t buffer, int64_t layer, const void *data,
                       struct dgnn_place_rows rows, int64_t item);
/* What is around a chunk's part in nbytes of data. */
void dgnn_backend_list_others(struct dgnn_places *to, const void *data, int64_t nbytes, int64_t begin,
                              int64_t end);

/* Rows that messages move: nnode of them. */
struct dgnn_rows {
    enum dgnn_memory_place place; /* of the rows themselves */
    void *data;                   /* host memory: the rows, or the copy that messages see */
    int64_t width;
    int item_size; /* bytes */
};

/* Steps of an exchange of rows that are not in host memory. */
enum dgnn_rows_step {
    DGNN_ROWS_FORWARD_BEGIN, /* the copy gets owned rows, which go to other ranks */
    DGNN_ROWS_FORWARD_END,   /* ghost rows, which came, go from the copy to their place */
    DGNN_ROWS_REVERSE_BEGIN, /* the copy gets all rows */
    DGNN_ROWS_REVERSE_END    /* owned rows, to which others were added, go from the copy to their place */
};

/* ---------------------------------------------------------------- a backend */

/* One for each element type. A workspace belongs to the weights that it was made for. */
struct dgnn_backend {
    const char *name;

    /* Packs the canonical weights, which are the family's settings; counts them there. Errors: FORMAT,
     * UNSUPPORTED, MEMORY. */
    int (*load)(void *settings, void **weights, struct dgnn_error *error);
    void (*free)(void *weights); /* NULL is allowed */
    /* By chunks: where memory may be used for speed, does backward find all that forward made? */
    int32_t keeps;
    /* About what a centre costs forward and backward, in operations, with so many edges, and those that form
     * angles; NULL: the family says it. */
    double (*cost)(const void *weights, int64_t nedge, int64_t nangle_edge);

    int (*workspace_create)(const void *weights, void **workspace, struct dgnn_error *error);
    void (*workspace_free)(void *workspace); /* NULL is allowed */

    /* Counts, lists, memory and tables: all that can fail. *profile: where the evaluation's time goes, the
     * caller's or one of its own; it is set before. */
    int (*reserve)(void *workspace, const struct dgnn_evaluation *evaluation, struct dgnn_profile **profile,
                   struct dgnn_error *error);
    /* After reserve: those of a buffer that travels. NULL: none does. */
    struct dgnn_rows (*rows)(void *workspace, int32_t buffer, int64_t layer);
    /* Where rows are not in host memory, before a begin and after an end. NULL: they are. */
    void (*move_rows)(void *workspace, int32_t buffer, int64_t layer, enum dgnn_rows_step step);
    /* After all stages of a direction, where these can fail: the first failure. NULL: they cannot. */
    int (*finish)(void *workspace, struct dgnn_error *error);
    /* After reserve: how many chunks, as in struct dgnn_descriptor_chunks. NULL: the driver knows none. */
    int64_t (*chunks)(const void *workspace, const int64_t **first);
    /* After reserve: all buffers in which stages pass something on, as the stages of a chunk on a thread see
     * them. For tests. */
    void (*places)(void *workspace, int64_t chunk, int32_t thread, struct dgnn_places *places);

    dgnn_stage_body *stage[DGNN_STAGES_MAX];
};

/* ---------------------------------------------------------------- a driver */

/* One evaluation under way. */
struct dgnn_run {
    const struct dgnn_driver *driver;
    const struct dgnn_backend *backend;
    const void *settings; /* the family's */
    void *workspace;      /* the backend's */
    struct dgnn_profile *profile;
    const struct dgnn_evaluation *evaluation;
    double *output;
    const double *output_gradient;
};

/* Either the functions or the numbers. */
struct dgnn_driver {
    int32_t nstage;
    const struct dgnn_stage_rule *rule; /* nstage */

    /* After the backend's reserve: rows that messages move. */
    int (*prepare)(const struct dgnn_run *run, struct dgnn_error *error);
    int (*forward)(const struct dgnn_run *run, struct dgnn_error *error);
    int (*backward)(const struct dgnn_run *run, struct dgnn_error *error);

    /* By chunks, which any thread may do: stages [0, nforward), then, backward, the rest; where the backend
     * did not keep what they make, those of again, in bits, are run once more before. */
    int32_t nforward;
    uint64_t again;
};

/* The rows that messages move, for a step of their exchange; without an exchange nothing is moved. */
struct dgnn_rows dgnn_backend_rows(const struct dgnn_run *run, int32_t buffer, int64_t layer);
void dgnn_backend_move_rows(const struct dgnn_run *run, int32_t buffer, int64_t layer,
                            enum dgnn_rows_step step);

/* Runs a stage, and tells its time. */
void dgnn_backend_run(const struct dgnn_run *run, int32_t stage, int64_t layer, enum dgnn_stage_part part);
/* The same of all centres and of no layer, for one side of backward. */
void dgnn_backend_run_side(const struct dgnn_run *run, int32_t stage, int32_t side);

/* ---------------------------------------------------------------- a descriptor with stages */

/* What it begins with. The family's loader sets all but backend and weights, which load does. */
struct dgnn_staged {
    struct dgnn_descriptor_base base;
    const struct dgnn_driver *driver;
    const struct dgnn_backend *backend; /* its row for the element type */
    void *settings;                     /* the family's */
    void *weights;                      /* the backend's */
    int32_t threads;
    int32_t keep; /* may memory be used for speed? Without a backend that keeps, load makes it 0 */
};

/* Packs the weights with one of a backend's rows, which then is the descriptor's. */
int dgnn_backend_load(struct dgnn_staged *descriptor, const struct dgnn_backend *backend,
                      struct dgnn_error *error);
/* The weights. A zeroed one is allowed. */
void dgnn_backend_free(struct dgnn_staged *descriptor);

/* Workspaces that are made from now on use a backend whose weights are those of the one that it takes the
 * place of. */
void dgnn_backend_set(struct dgnn_descriptor *descriptor, const struct dgnn_backend *backend);

/* Entries of a kind. */
int dgnn_backend_workspace_create(const struct dgnn_descriptor *descriptor,
                                  struct dgnn_descriptor_workspace **workspace, struct dgnn_error *error);
void dgnn_backend_workspace_free(struct dgnn_descriptor_workspace *workspace);
int dgnn_backend_prepare(const struct dgnn_descriptor *descriptor,
                         struct dgnn_descriptor_workspace *workspace,
                         const struct dgnn_evaluation *evaluation, struct dgnn_error *error);
int dgnn_backend_forward(const struct dgnn_descriptor *descriptor,
                         struct dgnn_descriptor_workspace *workspace,
                         const struct dgnn_evaluation *evaluation, double *output, struct dgnn_error *error);
int dgnn_backend_backward(const struct dgnn_descriptor *descriptor,
                          struct dgnn_descriptor_workspace *workspace,
                          const struct dgnn_evaluation *evaluation, const double *output_gradient,
                          struct dgnn_error *error);
extern const struct dgnn_descriptor_chunks dgnn_backend_by_chunk;

#endif
