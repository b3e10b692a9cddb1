/* A session: what calls need beside the weights. Atoms to nodes, the neighbour list, the exchange, and for
 * each of its models a graph and a workspace. Models on one session share the list, the decomposition and the
 * messages' plan. */
#ifndef DGNN_MODEL_SESSION_H
#define DGNN_MODEL_SESSION_H

#include <stdatomic.h>

#include "base/stop.h"
#include "geom/graphbuild.h"
#include "geom/order.h"
#include "model/model.h"
#include "system/domain.h"
#include "system/ghosted.h"
#include "system/serial.h"

/* What a session has of one model. Types of atoms are the session's, those of nodes in a graph the model's.
 */
struct dgnn_session_part {
    const struct dgnn_model *model;
    struct dgnn_model_sum_workspace *workspace;
    const struct dgnn_session_part *twin;     /* an earlier part that has the same rules; or NULL */
    const struct dgnn_session_part *graph_of; /* in this call: twin, whose graph is this one's too, or NULL */
    int32_t group;                            /* of models that cut space alike */
    int32_t *type_of; /* node types of the session: the model's, -1 where it has none; NULL: the same */
    struct dgnn_buffer types; /* nnode int32, with type_of */
    struct dgnn_graph_builder builder;
    struct dgnn_order order;
    int32_t ordered;   /* does net see the graph in that order? */
    int32_t sums_rows; /* does the descriptor fill row_sums? */
    struct dgnn_row_sums row_sums;
    double row_virial[9];         /* of row_sums */
    struct dgnn_profile *profile; /* of this call; NULL: nothing is measured */
    struct dgnn_profile measured;
};

/* What a session's last call was, which decides what the next one may take over. */
enum dgnn_session_call {
    DGNN_SESSION_NOTHING = 0,
    DGNN_SESSION_SERIAL,
    DGNN_SESSION_RANKS,
    DGNN_SESSION_GHOSTED
};

/* Where nodes are, for models that have them together. On one rank and for a host's rows these are all of a
 * session's. On many ranks bricks hold equal work, as a model counts it, and sums over ranks depend on them:
 * so those are together that cut space alike, and each model has the bits that it has alone. */
struct dgnn_session_division {
    int32_t group;               /* of the parts that it is for; -1: all of them */
    double cutoff;               /* their largest */
    enum dgnn_session_call last; /* what the last call was */
    struct dgnn_spin_nodes spin_nodes;
    struct dgnn_domain domain;
    struct dgnn_nlist list;
};

struct dgnn_session {
    atomic_int busy;
    struct dgnn_estimate *estimate; /* calls lay out what they need, fill it and compute nothing; or NULL */
    struct dgnn_stop stop;
    int32_t nmodel;
    int32_t ncall;                  /* of them, the first ones: what the call under way evaluates */
    struct dgnn_session_part *part; /* nmodel */

    /* Of all models together. */
    int32_t ntypes, node_types;   /* as in struct dgnn_model, of the types that calls name */
    int32_t is_spin, has_virtual; /* virtual: spins are virtual atoms */
    struct dgnn_spin_scheme spin; /* owns its scale */
    double skin;                  /* of the first model, as are threads */
    int32_t threads;
    int64_t dim_fparam, dim_aparam; /* of those that take any */
    int32_t dim_charge_spin;
    int32_t has_default_fparam, has_default_charge_spin;
    int32_t has_message_passing;
    uint64_t digest[2];

    /* dgnn_set_notice. */
    void (*notice)(void *context, const struct dgnn_notice *notice);
    void *notice_context;
    uint32_t notified; /* bits of kinds */

    /* Of the call under way, and of the last one. Division 0 is of all models; with more than one group one
     * for each follows, for calls of ranks. */
    int32_t ndivision;
    struct dgnn_session_division *division;
    struct dgnn_serial serial;
    struct dgnn_ghosted_nodes ghosted;
    struct dgnn_buffer results; /* nmodel: the caller's, as far as they go */
    /* Of one model at a time. */
    struct dgnn_buffer energy, forces, forces_mag, atom_virial, edge_gradient, ordered_rows, spin_gradient,
        features, output_forces;
};

static inline int dgnn_session_is_member(const struct dgnn_session_division *at,
                                         const struct dgnn_session_part *part)
{
    return at->group < 0 || at->group == part->group;
}

/* All that dgnn_session_compute checks of its input but the atoms' places. Errors: INPUT. */
int dgnn_session_check(const struct dgnn_session *session, const struct dgnn_system *system,
                       struct dgnn_error *error);

/* own: what a caller brings, as far as his struct goes, and zeros; all zeros where the status is not 0.
 * has_others: are arguments beside theirs there? Errors: INPUT. */
int dgnn_session_read(const char *function, int has_others, const struct dgnn_system *theirs,
                      struct dgnn_system *own, struct dgnn_error *error);
int dgnn_session_read_ghosted(const char *function, int has_others, const struct dgnn_ghosted *theirs,
                              struct dgnn_ghosted *own, struct dgnn_error *error);

/* session->ncall, of the nmodel that a call names. Errors: INPUT. */
int dgnn_own_results_models(struct dgnn_session *session, int32_t nmodel, struct dgnn_error *error);
/* session->results: the caller's, as far as they go. Of several models they are found by their size. Errors:
 * INPUT, MEMORY. */
int dgnn_own_results_read(struct dgnn_session *session, struct dgnn_result *theirs, struct dgnn_error *error);
/* What a call begins with, of results of dgnn's own length: profiles start. What results have room for. */
struct dgnn_own_results_wants {
    int32_t atom_virial, derivatives; /* of any model */
};
struct dgnn_own_results_wants dgnn_own_results_begin(struct dgnn_session *session,
                                                     struct dgnn_result *results);
/* session->results and profiles into the caller's. */
void dgnn_own_results_return(const struct dgnn_session *session, struct dgnn_result *theirs);

/* Result k of a call: results are as far apart as their caller's struct is long. */
static inline struct dgnn_result *dgnn_session_result(struct dgnn_result *results, int32_t k)
{
    return (struct dgnn_result *)((char *)results + (size_t)k * (k ? results->size : 0));
}

/* After a call that went well: what the host is to know, of session->results. */
struct dgnn_notice_spins {
    const double *spins; /* n x 3, or NULL */
    const int32_t *types;
    int64_t n;
};
void dgnn_notice_tell(struct dgnn_session *session, const struct dgnn_notice_spins *spins);

/* One call, of a session that is the caller's alone; with a communicator, which has been entered. system is
 * of dgnn's own length, results are the caller's. */
int dgnn_compute(struct dgnn_session *session, const struct dgnn_system *system, struct dgnn_comm *comm,
                 struct dgnn_result *results, struct dgnn_error *error);
int dgnn_compute_ghosted(struct dgnn_session *session, const struct dgnn_ghosted *system,
                         struct dgnn_comm *comm, struct dgnn_result *results, struct dgnn_error *error);

#endif
