/* From nodes to answers: list, graphs and what net makes of them, for the models that a call evaluates.
 * Nothing here sends but net itself, through the nodes' exchange. */
#ifndef DGNN_MODEL_EVALUATE_H
#define DGNN_MODEL_EVALUATE_H

#include "model/session.h"

/* What one call carries from step to step. */
struct dgnn_evaluate_call {
    struct dgnn_session_division *at; /* its models are evaluated */
    const struct dgnn_nodes *atoms;
    const struct dgnn_system *system; /* of a host's rows: what is not of an atom */
    int32_t want_atom_virial, want_derivatives;
};

/* The first of the call's models from k on, or how many the call evaluates. */
int32_t dgnn_evaluate_next(const struct dgnn_session *session, const struct dgnn_evaluate_call *call,
                           int32_t k);

/* All of the call's models, one after the other. */
#define DGNN_EVALUATE_EACH(s, call, k)                                                                       \
    for (int32_t k = dgnn_evaluate_next(s, call, 0); k < (s)->ncall; k = dgnn_evaluate_next(s, call, k + 1))

/* Of a model's answers; width 0: energies. */
struct dgnn_node_form dgnn_evaluate_form(const struct dgnn_session_part *part,
                                         const struct dgnn_evaluate_call *call);

/* All that can fail on this rank alone, without messages: virtual nodes, list, graphs and memory. Errors:
 * INPUT, MEMORY, INTERRUPTED. */
int dgnn_evaluate_prepare(struct dgnn_session *session, const struct dgnn_evaluate_call *call,
                          enum dgnn_session_call kind, struct dgnn_error *error);

/* After prepare: the atoms' results, zeros where it failed. They are in the session's memory until the next
 * model is evaluated. Collective where nodes have an exchange. Errors: COMM, and those of the model. */
int dgnn_evaluate(struct dgnn_session *session, struct dgnn_session_part *part,
                  const struct dgnn_evaluate_call *call, struct dgnn_node_result *out,
                  struct dgnn_error *error);

/* After that: what a result says of edges, ghosts and the list. */
void dgnn_evaluate_counts(const struct dgnn_evaluate_call *call, const struct dgnn_session_part *part,
                          struct dgnn_result *result);

/* After prepare, in place of evaluating: into the session's estimate, what the call's first model would do.
 * Its memory is laid out then, and its cost known from the graph. */
void dgnn_evaluate_estimate(const struct dgnn_session *session, const struct dgnn_evaluate_call *call);

#endif
