/* Computing: a call on one rank, on many ranks, and for a host's rows. The only place where system, comm and
 * the models' evaluation meet. */
#include "base/parallel.h"
#include "model/evaluate.h"
#include "model/features.h"
#include "model/finite.h"

/* What all of the call's models took is told of its first one, and what comes after them of the last. */
static struct dgnn_profile *compute_first_profile(const struct dgnn_session *s,
                                                  const struct dgnn_evaluate_call *call)
{
    return s->part[dgnn_evaluate_next(s, call, 0)].profile;
}

static struct dgnn_profile *compute_last_profile(const struct dgnn_session *s,
                                                 const struct dgnn_evaluate_call *call)
{
    struct dgnn_profile *last = NULL;
    DGNN_EVALUATE_EACH (s, call, k) {
        last = s->part[k].profile;
    }
    return last;
}

/* ---------------------------------------------------------------- one rank */

static int compute_serial(struct dgnn_session *s, const struct dgnn_system *system,
                          struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_evaluate_call call = {.at = s->division, .atoms = &s->serial.nodes, .system = system};
    struct dgnn_node_result out;
    struct dgnn_own_results_wants wants = dgnn_own_results_begin(s, results);
    call.want_atom_virial = wants.atom_virial;
    call.want_derivatives = wants.derivatives;
    DGNN_TRY(dgnn_session_check(s, system, error));
    DGNN_TRY(dgnn_serial_update(&s->serial, system, s->ntypes, s->dim_aparam, error));
    DGNN_TRY(dgnn_evaluate_prepare(s, &call, DGNN_SESSION_SERIAL, error));
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_node_form form = dgnn_evaluate_form(&s->part[k], &call);
        DGNN_TRY(dgnn_serial_prepare(&s->serial, &form, error));
    }
    if (s->estimate) {
        dgnn_evaluate_estimate(s, &call);
        return DGNN_OK;
    }
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_result *result = dgnn_session_result(results, k);
        DGNN_TRY(dgnn_evaluate(s, &s->part[k], &call, &out, error));
        DGNN_TRY(dgnn_finite_result(&out, call.atoms, error));
        dgnn_serial_return(&s->serial, &out, result);
        dgnn_evaluate_counts(&call, &s->part[k], result);
        dgnn_profile_end(s->part[k].profile, DGNN_PHASE_GRADIENT);
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- many ranks */

/* Evaluates a model, and tells failures of this rank alone; COMM ends the call at once. */
static int compute_evaluate_together(struct dgnn_session *s, int32_t k, const struct dgnn_evaluate_call *call,
                                     struct dgnn_node_result *out, struct dgnn_failure *failure,
                                     struct dgnn_error *error)
{
    int status = dgnn_evaluate(s, &s->part[k], call, out, error);
    if (status == DGNN_ERROR_COMM) {
        return status;
    }
    dgnn_status_note(failure, status, error);
    return DGNN_OK;
}

static void compute_check_together(const struct dgnn_node_result *out, const struct dgnn_nodes *atoms,
                                   struct dgnn_failure *failure)
{
    struct dgnn_error own;
    if (!failure->status) {
        dgnn_status_note(failure, dgnn_finite_result(out, atoms, &own), &own);
    }
}

/* Over all ranks. */
static void compute_check_sum(const struct dgnn_result *result, struct dgnn_failure *failure)
{
    struct dgnn_error own;
    if (!failure->status) {
        dgnn_status_note(failure, dgnn_finite_total(result->energy, &own), &own);
    }
}

static int compute_agree(struct dgnn_comm *comm, const char *operation, const struct dgnn_failure *failure,
                         struct dgnn_error *error)
{
    if (failure->status) {
        *error = failure->error;
    }
    return dgnn_transport_agree(comm, operation, failure->status, error);
}

/* From the agreement that all ranks are ready to the one that all went well, no rank returns early but where
 * the communicator broke: what goes wrong on one is told at the end. */
static int compute_together(struct dgnn_session *s, const struct dgnn_evaluate_call *call,
                            struct dgnn_comm *comm, struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_domain *d = &call->at->domain;
    struct dgnn_failure failure = {0};
    DGNN_EVALUATE_EACH (s, call, k) {
        struct dgnn_node_result out;
        DGNN_TRY(compute_evaluate_together(s, k, call, &out, &failure, error));
        DGNN_TRY(dgnn_domain_add(d, &out, error));
        compute_check_together(&out, &d->nodes, &failure);
        DGNN_TRY(dgnn_domain_return(d, &out, dgnn_session_result(results, k), error));
        compute_check_sum(dgnn_session_result(results, k), &failure);
        if (dgnn_evaluate_next(s, call, k + 1) < s->ncall) {
            dgnn_profile_end(s->part[k].profile, DGNN_PHASE_MESSAGES);
        }
    }
    DGNN_TRY(compute_agree(comm, "compute", &failure, error));
    dgnn_profile_end(compute_last_profile(s, call), DGNN_PHASE_MESSAGES);
    return DGNN_OK;
}

/* Of an atom, from the atoms around it, as a model counts it: models that count alike have their bricks
 * together (session_digest_work). A spin model's nodes are not looked at: each atom has its own virtual one.
 */
static double compute_cost(const void *model, int64_t n, const double *distance)
{
    const struct dgnn_model *m = model;
    const struct dgnn_descriptor_properties *p = &m->properties.descriptor;
    int64_t most = 0;
    for (int64_t k = 0; k < p->nsel; k++) {
        most += p->sel[k];
    }
    return dgnn_model_sum_cost(m->sum, m->dense && n > most ? most : n, distance);
}

/* status: of what this rank brings. */
static int compute_division(struct dgnn_session *s, struct dgnn_evaluate_call *call, struct dgnn_comm *comm,
                            struct dgnn_result *results, int status, struct dgnn_error *error)
{
    struct dgnn_domain *d = &call->at->domain;
    const struct dgnn_model *first = s->part[dgnn_evaluate_next(s, call, 0)].model;
    struct dgnn_domain_input input = {.system = call->system,
                                      .model = {s->digest[0], s->digest[1]},
                                      .dtype = first->properties.descriptor.dtype,
                                      .dense = first->dense,
                                      .nmodel = s->ncall,
                                      .ntypes = s->ntypes,
                                      .dim_aparam = s->dim_aparam,
                                      .spin = s->is_spin ? &s->spin : NULL,
                                      .cutoff = call->at->cutoff,
                                      .skin = s->skin,
                                      .threads = s->threads,
                                      .want_atom_virial = call->want_atom_virial,
                                      .want_derivatives = call->want_derivatives,
                                      .nfeature = dgnn_features_most(s, call->system->request),
                                      .cost = compute_cost,
                                      .cost_of = first};
    call->atoms = &d->nodes;
    DGNN_TRY(dgnn_domain_update(d, &input, comm, status, error));
    call->want_atom_virial = d->want_atom_virial;
    call->want_derivatives = d->want_derivatives;
    status = dgnn_evaluate_prepare(s, call, DGNN_SESSION_RANKS, error);
    DGNN_EVALUATE_EACH (s, call, k) {
        struct dgnn_node_form form = dgnn_evaluate_form(&s->part[k], call);
        status = status ? status : dgnn_domain_prepare(d, &form, error);
    }
    DGNN_TRY(dgnn_transport_agree(comm, "compute", status, error));
    dgnn_profile_end(compute_last_profile(s, call), DGNN_PHASE_MESSAGES);
    if (s->estimate) {
        dgnn_evaluate_estimate(s, call);
        return DGNN_OK;
    }
    DGNN_TRY(compute_together(s, call, comm, results, error));
    DGNN_EVALUATE_EACH (s, call, k) {
        dgnn_evaluate_counts(call, &s->part[k], dgnn_session_result(results, k));
    }
    return DGNN_OK;
}

/* Models that cut space alike are evaluated together, group by group. */
static int compute_ranks(struct dgnn_session *s, const struct dgnn_system *system, struct dgnn_comm *comm,
                         struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_own_results_wants wants = dgnn_own_results_begin(s, results);
    struct dgnn_evaluate_call call = {
        .system = system, .want_atom_virial = wants.atom_virial, .want_derivatives = wants.derivatives};
    int status = dgnn_session_check(s, system, error);
    for (int32_t k = s->ndivision > 1; k < s->ndivision; k++) {
        call.at = &s->division[k];
        if (dgnn_evaluate_next(s, &call, 0) >= s->ncall) {
            continue; /* the call asks for none of its models */
        }
        if (k > 1) {
            dgnn_profile_resume(compute_first_profile(s, &call));
        }
        DGNN_TRY(compute_division(s, &call, comm, results, status, error));
    }
    return DGNN_OK;
}

int dgnn_compute(struct dgnn_session *s, const struct dgnn_system *system, struct dgnn_comm *comm,
                 struct dgnn_result *results, struct dgnn_error *error)
{
    int status = dgnn_own_results_models(s, system->nmodel, error);
    status = status ? status : dgnn_own_results_read(s, results, error);
    if (status) {
        return dgnn_transport_agree(comm, "compute", status, error);
    }
    dgnn_stop_enter(comm ? NULL : &s->stop);
    dgnn_parallel_alone((system->request & DGNN_REQUEST_ALONE) != 0);
    status = comm ? compute_ranks(s, system, comm, s->results.data, error)
                  : compute_serial(s, system, s->results.data, error);
    dgnn_parallel_alone(0);
    dgnn_stop_leave();
    if (!status) {
        dgnn_own_results_return(s, results);
        dgnn_notice_tell(s, &(struct dgnn_notice_spins){system->spins, system->types, system->natoms});
    }
    return status;
}

/* ---------------------------------------------------------------- a host's ghosts */

/* As compute_together. */
static int compute_ghosted_together(struct dgnn_session *s, const struct dgnn_evaluate_call *call,
                                    struct dgnn_comm *comm, struct dgnn_result *results,
                                    struct dgnn_error *error)
{
    struct dgnn_ghosted_nodes *g = &s->ghosted;
    struct dgnn_failure failure = {0};
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_node_result out;
        DGNN_TRY(compute_evaluate_together(s, k, call, &out, &failure, error));
        DGNN_TRY(dgnn_ghosted_add(g, &out, error));
        compute_check_together(&out, &g->nodes, &failure);
        dgnn_ghosted_return(g, &out, dgnn_session_result(results, k));
        if (k + 1 < s->ncall) {
            dgnn_profile_end(s->part[k].profile, DGNN_PHASE_MESSAGES);
        }
    }
    DGNN_TRY(compute_agree(comm, "compute_ghosted", &failure, error));
    dgnn_profile_end(compute_last_profile(s, call), DGNN_PHASE_MESSAGES);
    return DGNN_OK;
}

static int compute_ghosted(struct dgnn_session *s, const struct dgnn_ghosted *system, struct dgnn_comm *comm,
                           struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_ghosted_nodes *g = &s->ghosted;
    const struct dgnn_model *first = s->part[0].model;
    /* What the checks look at; the rows, and whether there are so many, are checked on their own. */
    int has_rows = system->nlocal >= 0 && system->nlocal <= system->nall && system->types;
    struct dgnn_system parameters = {.natoms = has_rows ? system->nlocal : 0,
                                     .coords = system->coords,
                                     .types = system->types,
                                     .spins = system->spins,
                                     .fparam = system->fparam,
                                     .nfparam = system->nfparam,
                                     .aparam = system->aparam,
                                     .naparam = system->naparam,
                                     .charge_spin = system->charge_spin,
                                     .request = system->request};
    struct dgnn_evaluate_call call = {.at = s->division, .atoms = &g->nodes, .system = &parameters};
    struct dgnn_own_results_wants wants = dgnn_own_results_begin(s, results);
    struct dgnn_ghosted_input input = {.system = system,
                                       .model = {s->digest[0], s->digest[1]},
                                       .dtype = first->properties.descriptor.dtype,
                                       .dense = first->dense,
                                       .nmodel = s->ncall,
                                       .ntypes = s->ntypes,
                                       .dim_aparam = s->dim_aparam,
                                       .skin = s->skin,
                                       .needs_plan = s->has_message_passing,
                                       .has_spins = s->is_spin,
                                       .has_virtual = s->has_virtual,
                                       .want_atom_virial = wants.atom_virial,
                                       .want_derivatives = wants.derivatives};
    DGNN_TRY(dgnn_ghosted_update(g, &input, comm, dgnn_session_check(s, &parameters, error), error));
    call.want_atom_virial = g->want_atom_virial;
    call.want_derivatives = g->want_derivatives;
    int status = dgnn_evaluate_prepare(s, &call, DGNN_SESSION_GHOSTED, error);
    for (int32_t k = 0; k < s->ncall && !status; k++) {
        struct dgnn_node_form form = dgnn_evaluate_form(&s->part[k], &call);
        status = dgnn_ghosted_prepare(g, &form, error);
    }
    DGNN_TRY(dgnn_transport_agree(comm, "compute_ghosted", status, error));
    dgnn_profile_end(s->part[s->ncall - 1].profile, DGNN_PHASE_MESSAGES);
    DGNN_TRY(compute_ghosted_together(s, &call, comm, results, error));
    for (int32_t k = 0; k < s->ncall; k++) {
        dgnn_evaluate_counts(&call, &s->part[k], dgnn_session_result(results, k));
    }
    return DGNN_OK;
}

int dgnn_compute_ghosted(struct dgnn_session *s, const struct dgnn_ghosted *system, struct dgnn_comm *comm,
                         struct dgnn_result *results, struct dgnn_error *error)
{
    int status = dgnn_own_results_models(s, system->nmodel, error);
    status = status ? status : dgnn_own_results_read(s, results, error);
    if (status) {
        return dgnn_transport_agree(comm, "compute_ghosted", status, error);
    }
    dgnn_stop_enter(comm ? NULL : &s->stop);
    dgnn_parallel_alone((system->request & DGNN_REQUEST_ALONE) != 0);
    status = compute_ghosted(s, system, comm, s->results.data, error);
    dgnn_parallel_alone(0);
    dgnn_stop_leave();
    if (!status) {
        dgnn_own_results_return(s, results);
        dgnn_notice_tell(s, &(struct dgnn_notice_spins){system->spins, system->types, system->nlocal});
    }
    return status;
}
