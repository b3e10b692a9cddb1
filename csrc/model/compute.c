/* Computing: from a system to nodes, from nodes to the graph of each model, through net, and back. The only
 * place where system, geom, comm and net meet. */
#include <string.h>

#include "base/parallel.h"
#include "geom/gradient.h"
#include "model/features.h"
#include "model/finite.h"

/* What one call carries from step to step. */
struct compute_call {
    struct dgnn_session_division *at; /* its models are evaluated */
    const struct dgnn_nodes *atoms;
    const struct dgnn_system *system; /* of a host's rows: what is not of an atom */
    int32_t want_atom_virial, want_derivatives;
};

static const struct dgnn_nodes *compute_nodes(const struct dgnn_session *s, const struct compute_call *call)
{
    return s->has_virtual ? &call->at->spin_nodes.nodes : call->atoms;
}

/* The first of the call's models from k on, or how many the call evaluates. */
static int32_t compute_model(const struct dgnn_session *s, const struct compute_call *call, int32_t k)
{
    while (k < s->ncall && !dgnn_session_is_member(call->at, &s->part[k])) {
        k++;
    }
    return k;
}

/* All of the call's models, one after the other. */
#define COMPUTE_EACH(s, call, k)                                                                             \
    for (int32_t k = compute_model(s, call, 0); k < (s)->ncall; k = compute_model(s, call, k + 1))

/* What all of the call's models took is told of its first one, and what comes after them of the last. */
static struct dgnn_profile *compute_first_profile(const struct dgnn_session *s,
                                                  const struct compute_call *call)
{
    return s->part[compute_model(s, call, 0)].profile;
}

static struct dgnn_profile *compute_last_profile(const struct dgnn_session *s,
                                                 const struct compute_call *call)
{
    struct dgnn_profile *last = NULL;
    COMPUTE_EACH (s, call, k) {
        last = s->part[k].profile;
    }
    return last;
}

/* ---------------------------------------------------------------- list and graphs */

/* Candidates are those of the last call only where that was of the same kind: rows mean the same atoms then.
 */
static int compute_list(struct dgnn_session *s, const struct compute_call *call, enum dgnn_session_call kind,
                        struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    struct dgnn_session_division *at = call->at;
    struct dgnn_nlist_input input = {
        .ncentre = nodes->nowned,
        .nrow = nodes->nrow,
        .positions = nodes->positions,
        .ids = nodes->ids,
        .label = nodes->labels,
        .may_overlap = nodes->may_overlap,
        .cell = &nodes->cell,
        .cutoff = at->cutoff,
        .skin = s->skin,
        .may_reuse = nodes->may_reuse && at->last == kind,
        .threads = s->threads,
    };
    at->last = kind;
    s->ghosted.valid = s->ghosted.valid && kind == DGNN_SESSION_GHOSTED;
    return nodes->list_first
               ? dgnn_nlist_update_given(&at->list, &input, nodes->list_first, nodes->list_row, error)
               : dgnn_nlist_update(&at->list, &input, error);
}

/* Types as the model numbers them. */
static int compute_types(struct dgnn_session_part *part, const struct dgnn_nodes *nodes,
                         const int32_t **types, struct dgnn_error *error)
{
    *types = nodes->types;
    if (!part->type_of) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_buffer_reserve(&part->types, nodes->nnode * (int64_t)sizeof(int32_t), "types", error));
    int32_t *own = part->types.data;
    for (int64_t i = 0; i < nodes->nnode; i++) {
        own[i] = part->type_of[nodes->types[i]];
        if (own[i] < 0) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "types: atom %lld has type %d, which a model of this session does not have in its "
                "type map",
                (long long)nodes->labels[i], nodes->types[i]);
        }
    }
    *types = own;
    return DGNN_OK;
}

static const struct dgnn_graph_builder *compute_builder(const struct dgnn_session_part *part)
{
    return part->graph_of ? &part->graph_of->builder : &part->builder;
}

static const struct dgnn_graph *compute_graph(const struct dgnn_session_part *part)
{
    return &compute_builder(part)->graph;
}

static int compute_build_graph(const struct dgnn_session *s, struct dgnn_session_part *part,
                               const struct compute_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    const struct dgnn_model *m = part->model;
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    struct dgnn_graph_input input = {.list = &call->at->list,
                                     .nnode = nodes->nnode,
                                     .owner = nodes->owner,
                                     .first_type = nodes->first_type,
                                     .offset = s->has_virtual ? call->at->spin_nodes.displacement : NULL};
    struct dgnn_graph_rules rules = {
        .dense = m->dense,
        .mixed_types = d->mixed_types,
        .ntypes = m->node_types,
        .nsel = d->nsel,
        .sel = d->sel,
        .pair_exclude = dgnn_features_asked(call->system->request) ? m->properties.pair_exclude_own
                                                                   : m->properties.pair_exclude,
        .cutoff = d->cutoff < call->at->cutoff ? d->cutoff : 0,
    };
    part->graph_of = part->twin && dgnn_session_is_member(call->at, part->twin) ? part->twin : NULL;
    if (part->graph_of) {
        return DGNN_OK;
    }
    DGNN_TRY(compute_types(part, nodes, &input.type, error));
    if (part->type_of && input.first_type >= 0) {
        input.first_type = part->type_of[input.first_type];
    }
    return dgnn_graph_build(&part->builder, &input, &rules, error);
}

/* Only messages make atomic virials more than the edges' own parts. Other answers than energies have none. */
static int32_t compute_wants_moments(const struct dgnn_session_part *part, const struct compute_call *call)
{
    const struct dgnn_atomic_properties *p = &part->model->properties;
    return call->want_atom_virial && p->fitting.output == DGNN_OUTPUT_ENERGY &&
           p->descriptor.has_message_passing;
}

static int32_t compute_sides(const struct dgnn_session_part *part, const struct compute_call *call)
{
    return compute_wants_moments(part, call) ? DGNN_SIDES : 1;
}

/* So many nodes that the rows of those in between are no longer in the cache when a neighbour needs one
 * again. */
enum { COMPUTE_ORDER_LEAST = 256 };

/* Nodes without ghosts that gather rows of features from each other are done in an order in which they share
 * these. */
static int compute_order(struct dgnn_session *s, struct dgnn_session_part *part,
                         const struct compute_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    const struct dgnn_fitting_properties *f = &part->model->properties.fitting;
    int64_t width = f->dim_aparam + f->width;
    part->ordered = part->model->properties.descriptor.has_message_passing && !nodes->exchange &&
                    !nodes->owner && !s->is_spin && nodes->nnode == nodes->nowned &&
                    nodes->nowned >= COMPUTE_ORDER_LEAST && !dgnn_features_asked(call->system->request);
    if (!part->ordered) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_buffer_reserve(&s->ordered_rows, width * nodes->nowned * (int64_t)sizeof(double),
                                 "rows in order", error));
    return dgnn_order_build(&part->order, compute_graph(part), nodes->positions, compute_sides(part, call),
                            error);
}

/* Of a model's answers; width 0: energies. */
static struct dgnn_node_form compute_form(const struct dgnn_session_part *part,
                                          const struct compute_call *call)
{
    const struct dgnn_fitting_properties *f = &part->model->properties.fitting;
    int is_energy = f->output == DGNN_OUTPUT_ENERGY;
    return (struct dgnn_node_form){.width = is_energy ? 0 : f->width,
                                   .is_mean = f->is_mean,
                                   .has_derivatives = !is_energy && f->nseed == 3 && call->want_derivatives};
}

static int compute_reserve(struct dgnn_session *s, const struct dgnn_session_part *part,
                           const struct compute_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    struct dgnn_node_form form = compute_form(part, call);
    int64_t size = sizeof(double), nedge = dgnn_graph_nedge(compute_graph(part));
    DGNN_TRY(dgnn_buffer_reserve(&s->energy, (form.width ? form.width : 1) * nodes->nowned * size,
                                 "atoms' answers", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->output_forces, form.has_derivatives ? 9 * nodes->nrow * size : 0,
                                 "derivatives", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->forces, 3 * nodes->nrow * size, "forces", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->forces_mag, s->is_spin ? 3 * nodes->nrow * size : 0, "forces", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->atom_virial, call->want_atom_virial ? 9 * nodes->nrow * size : 0,
                                 "atomic virials", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->spin_gradient,
                                 s->spin.is_native ? 3 * (nodes->nowned + nedge) * size : 0,
                                 "gradients of spins", error));
    return dgnn_buffer_reserve(&s->edge_gradient, compute_sides(part, call) * 3 * nedge * size,
                               "gradients of edges", error);
}

/* ---------------------------------------------------------------- before messages */

/* The memory of edges' gradients may still grow with the graph of a later model: it is looked up at each use.
 */
static struct dgnn_evaluation compute_evaluation(const struct dgnn_session *s,
                                                 const struct dgnn_session_part *part,
                                                 const struct compute_call *call)
{
    int takes = part->model->properties.descriptor.dim_charge_spin > 0;
    struct dgnn_node_form form = compute_form(part, call);
    int32_t request = call->system->request;
    struct dgnn_features features = dgnn_features_of(s, part, request, compute_nodes(s, call)->nowned);
    double *spin_gradient = s->spin.is_native ? s->spin_gradient.data : NULL;
    return (struct dgnn_evaluation){
        .graph = part->ordered ? &part->order.graph : compute_graph(part),
        .exchange = call->atoms->exchange,
        .charge_spin = takes ? call->system->charge_spin : NULL,
        .edge_gradient = part->ordered ? part->order.edge_gradient : s->edge_gradient.data,
        .want_gradient = (!form.width || form.has_derivatives) && !(request & DGNN_REQUEST_NO_FORCES),
        .want_moments = compute_wants_moments(part, call),
        .profile = part->profile,
        .descriptor = features.rows[DGNN_FEATURES_DESCRIPTOR],
        .last_layer = features.rows[DGNN_FEATURES_LAST_LAYER],
        .spins = s->spin.is_native ? call->atoms->spins : NULL,
        .node_spin_gradient = spin_gradient,
        .edge_spin_gradient = spin_gradient ? spin_gradient + 3 * compute_graph(part)->nowned : NULL};
}

static int compute_prepare_part(struct dgnn_session *s, struct dgnn_session_part *part,
                                const struct compute_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    if (part != &s->part[compute_model(s, call, 0)]) {
        dgnn_profile_resume(part->profile);
    }
    DGNN_TRY(compute_build_graph(s, part, call, error));
    DGNN_TRY(dgnn_stop_check(error));
    DGNN_TRY(compute_order(s, part, call, error));
    DGNN_TRY(compute_reserve(s, part, call, error));
    DGNN_TRY(dgnn_features_reserve(s, call->system->request, nodes->nowned, error));
    if (s->has_virtual) {
        DGNN_TRY(dgnn_spin_nodes_prepare(&call->at->spin_nodes, compute_graph(part), call->want_atom_virial,
                                         error));
    }
    struct dgnn_evaluation evaluation = compute_evaluation(s, part, call);
    DGNN_TRY(dgnn_model_sum_prepare(part->workspace, &evaluation, error));
    dgnn_profile_end(part->profile, DGNN_PHASE_GRAPH);
    return dgnn_stop_check(error);
}

/* All that can fail on this rank alone, without messages: virtual nodes, list, graphs and memory. */
static int compute_prepare(struct dgnn_session *s, const struct compute_call *call,
                           enum dgnn_session_call kind, struct dgnn_error *error)
{
    if (s->has_virtual) {
        DGNN_TRY(dgnn_spin_nodes_update(&call->at->spin_nodes, &s->spin, call->atoms, s->dim_aparam, error));
    }
    dgnn_profile_end(compute_first_profile(s, call), DGNN_PHASE_ATOMS);
    DGNN_TRY(compute_list(s, call, kind, error));
    dgnn_profile_end(compute_first_profile(s, call), DGNN_PHASE_LIST);
    COMPUTE_EACH (s, call, k) {
        DGNN_TRY(compute_prepare_part(s, &s->part[k], call, error));
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- one model's numbers */

/* As dgnn_model_sum_evaluate, with aparam and answers in the order of nodes, and gradients in that of the
 * graph's edges, in whatever order net sees them. */
static int compute_in_order(struct dgnn_session *s, struct dgnn_session_part *part,
                            const struct dgnn_evaluation *evaluation, struct dgnn_atomic_input *input,
                            double *output, struct dgnn_error *error)
{
    if (!part->ordered) {
        return dgnn_model_sum_evaluate(part->workspace, evaluation, input, output, error);
    }
    int64_t width = part->model->properties.fitting.dim_aparam, nout = part->model->properties.fitting.width;
    double *rows = s->ordered_rows.data, *aparam = rows + nout * evaluation->graph->nowned;
    if (width) {
        dgnn_order_gather(&part->order, width, input->aparam, aparam);
        input->aparam = aparam;
    }
    DGNN_TRY(dgnn_model_sum_evaluate(part->workspace, evaluation, input, rows, error));
    dgnn_order_return(&part->order, nout, rows, output);
    if (evaluation->want_gradient) {
        dgnn_order_return_gradient(&part->order, s->edge_gradient.data);
    }
    return DGNN_OK;
}

/* forces_mag of native spins: nrow x 3, -dE/dspin; rows of images hold nothing. First what comes through
 * atoms' own spins, then what comes through edges, in their order, so that it repeats. */
static void compute_native_forces_mag(const struct dgnn_session *s, const struct dgnn_graph *graph,
                                      int64_t nrow, double *forces_mag)
{
    const double *own = s->spin_gradient.data, *edge = own + 3 * graph->nowned;
    memset(forces_mag, 0, sizeof(double) * (size_t)(3 * nrow));
    for (int64_t k = 0; k < 3 * graph->nowned; k++) {
        forces_mag[k] = -own[k];
    }
    for (int64_t e = 0; e < dgnn_graph_nedge(graph); e++) {
        for (int c = 0; c < 3; c++) {
            forces_mag[3 * (int64_t)graph->neighbour[e] + c] -= edge[3 * e + c];
        }
    }
}

/* Forces and virials from the gradients of edges, of all sides. */
static void compute_gradients(struct dgnn_session *s, const struct dgnn_session_part *part,
                              const struct compute_call *call, struct dgnn_node_result *out)
{
    const struct dgnn_graph *graph = compute_graph(part);
    int64_t nrow = compute_nodes(s, call)->nrow;
    struct dgnn_graph joined = *graph;
    int32_t sides = compute_sides(part, call);
    double *edge_gradient = s->edge_gradient.data;
    if (s->spin.is_native) {
        compute_native_forces_mag(s, graph, nrow, out->forces_mag);
    }
    if (s->has_virtual) {
        dgnn_gradient_forces(graph, edge_gradient, nrow, out->forces_mag);
        dgnn_spin_nodes_join(&call->at->spin_nodes, graph, sides, edge_gradient, &joined);
    }
    dgnn_gradient_forces(&joined, edge_gradient, nrow, out->forces);
    dgnn_gradient_virial(&joined, edge_gradient, out->virial);
    if (out->atom_virial) {
        dgnn_gradient_atom_virial(&joined, edge_gradient, nrow, out->atom_virial);
    }
    if (sides > 1) {
        dgnn_gradient_add_moments(&joined, edge_gradient + 3 * dgnn_graph_nedge(graph), out->atom_virial);
    }
}

static int64_t compute_counted(const struct dgnn_session_part *part)
{
    const struct dgnn_graph *graph = compute_graph(part);
    int64_t count = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        count += !part->model->properties.dropped[graph->type[i]];
    }
    return count;
}

/* Of number seed: forces as rows of 3 x 3, [row][seed][xyz]. */
static void compute_output_gradient(struct dgnn_session *s, const struct dgnn_graph *graph, int32_t seed,
                                    struct dgnn_node_result *out)
{
    double *forces = s->forces.data;
    int64_t nrow = out->nrow;
    dgnn_gradient_forces(graph, s->edge_gradient.data, nrow, forces);
    dgnn_gradient_virial(graph, s->edge_gradient.data, out->output_virial + 9 * seed);
    for (int64_t i = 0; i < nrow; i++) {
        memcpy(out->output_forces + 9 * i + 3 * seed, forces + 3 * i, 3 * sizeof(double));
    }
}

/* Answers that are no energies: with derivatives, an evaluation for each number that is differentiated. */
static int compute_output(struct dgnn_session *s, struct dgnn_session_part *part,
                          const struct dgnn_evaluation *evaluation, const struct dgnn_atomic_input *input,
                          struct dgnn_node_result *out, struct dgnn_error *error)
{
    const struct dgnn_graph *graph = compute_graph(part);
    int32_t nseed = out->form.has_derivatives ? 3 : 1;
    for (int32_t seed = 0; seed < nseed; seed++) {
        struct dgnn_atomic_input own = *input;
        own.seed = seed;
        memset(evaluation->edge_gradient, 0, sizeof(double) * (size_t)(3 * dgnn_graph_nedge(graph)));
        DGNN_TRY(compute_in_order(s, part, evaluation, &own, out->output, error));
        DGNN_TRY(dgnn_exchange_settle(evaluation->exchange, error));
        if (out->form.has_derivatives) {
            compute_output_gradient(s, graph, seed, out);
        }
    }
    return DGNN_OK;
}

static int compute_net(struct dgnn_session *s, struct dgnn_session_part *part,
                       const struct compute_call *call, struct dgnn_node_result *out,
                       struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    const struct dgnn_graph *graph = compute_graph(part);
    const struct dgnn_fitting_properties *f = &part->model->properties.fitting;
    struct dgnn_evaluation evaluation = compute_evaluation(s, part, call);
    struct dgnn_atomic_input input = {.fparam = f->dim_fparam ? call->system->fparam : NULL,
                                      .aparam = f->dim_aparam ? nodes->aparam : NULL};
    if (out->form.width) {
        DGNN_TRY(compute_output(s, part, &evaluation, &input, out, error));
        dgnn_profile_end(part->profile, DGNN_PHASE_GRADIENT);
        return DGNN_OK;
    }
    int32_t sides = compute_sides(part, call);
    memset(evaluation.edge_gradient, 0, sizeof(double) * (size_t)(3 * sides * dgnn_graph_nedge(graph)));
    if (evaluation.node_spin_gradient) {
        memset(evaluation.node_spin_gradient, 0,
               sizeof(double) * (size_t)(3 * (graph->nowned + dgnn_graph_nedge(graph))));
    }
    DGNN_TRY(compute_in_order(s, part, &evaluation, &input, out->energy, error));
    compute_gradients(s, part, call, out);
    dgnn_profile_end(part->profile, DGNN_PHASE_GRADIENT);
    return DGNN_OK;
}

static int64_t compute_over_angle_limit(const struct dgnn_session_part *part)
{
    const struct dgnn_descriptor_properties *d = &part->model->properties.descriptor;
    return dgnn_graph_over_angle_limit(compute_graph(part), d->nangle, d->angle);
}

/* Where a model's results go. */
static struct dgnn_node_result compute_places(const struct dgnn_session *s,
                                              const struct dgnn_session_part *part,
                                              const struct compute_call *call)
{
    struct dgnn_node_form form = compute_form(part, call);
    struct dgnn_features features =
        dgnn_features_of(s, part, call->system->request, compute_nodes(s, call)->nowned);
    if (form.width) {
        return (struct dgnn_node_result){.form = form,
                                         .features = features,
                                         .nrow = call->atoms->nrow,
                                         .ncounted = (double)compute_counted(part),
                                         .output = s->energy.data,
                                         .output_forces =
                                             form.has_derivatives ? s->output_forces.data : NULL};
    }
    return (struct dgnn_node_result){.features = features,
                                     .energy = s->energy.data,
                                     .forces = s->forces.data,
                                     .forces_mag = s->is_spin ? s->forces_mag.data : NULL,
                                     .atom_virial = call->want_atom_virial ? s->atom_virial.data : NULL};
}

/* After prepare: the atoms' results, zeros where it failed. Collective where nodes have an exchange. */
static int compute_evaluate(struct dgnn_session *s, struct dgnn_session_part *part,
                            const struct compute_call *call, struct dgnn_node_result *out,
                            struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(s, call);
    struct dgnn_node_result of_nodes = compute_places(s, part, call);
    if (s->ncall > 1) {
        dgnn_profile_resume(part->profile);
    }
    int status = compute_net(s, part, call, &of_nodes, error);
    if (status) {
        dgnn_results_clear(nodes, &of_nodes);
    }
    *out = of_nodes;
    if (s->has_virtual) {
        dgnn_spin_nodes_return(&call->at->spin_nodes, &s->spin, &of_nodes, out);
    }
    out->ntruncated = compute_builder(part)->ntruncated;
    out->nangle_truncated = compute_over_angle_limit(part);
    return status;
}

static void compute_set_counts(const struct compute_call *call, const struct dgnn_session_part *part,
                               struct dgnn_result *result)
{
    result->nedges = dgnn_graph_nedge(compute_graph(part));
    result->nghosts = call->atoms->nnode - call->atoms->nowned;
    result->list_reused = call->at->list.reused;
}

/* What the session's first model would do. Memory is laid out, and its cost known from the graph. */
static int compute_estimate(const struct dgnn_session *s, const struct compute_call *call)
{
    const struct dgnn_session_part *part = &s->part[compute_model(s, call, 0)];
    const struct dgnn_graph *graph = compute_graph(part);
    s->estimate->nedges = dgnn_graph_nedge(graph);
    s->estimate->nghosts = call->atoms->nnode - call->atoms->nowned;
    for (int64_t i = 0; i < graph->nowned; i++) {
        s->estimate->cost += dgnn_model_sum_cost(part->model->sum, graph->first[i + 1] - graph->first[i],
                                                 graph->distance + graph->first[i]);
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- one rank */

static int compute_serial(struct dgnn_session *s, const struct dgnn_system *system,
                          struct dgnn_result *results, struct dgnn_error *error)
{
    struct compute_call call = {.at = s->division, .atoms = &s->serial.nodes, .system = system};
    struct dgnn_node_result out;
    struct dgnn_own_results_wants wants = dgnn_own_results_begin(s, results);
    call.want_atom_virial = wants.atom_virial;
    call.want_derivatives = wants.derivatives;
    DGNN_TRY(dgnn_session_check(s, system, error));
    DGNN_TRY(dgnn_serial_update(&s->serial, system, s->ntypes, s->dim_aparam, error));
    DGNN_TRY(compute_prepare(s, &call, DGNN_SESSION_SERIAL, error));
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_node_form form = compute_form(&s->part[k], &call);
        DGNN_TRY(dgnn_serial_prepare(&s->serial, &form, error));
    }
    if (s->estimate) {
        return compute_estimate(s, &call);
    }
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_result *result = dgnn_session_result(results, k);
        DGNN_TRY(compute_evaluate(s, &s->part[k], &call, &out, error));
        DGNN_TRY(dgnn_finite_result(&out, call.atoms, error));
        dgnn_serial_return(&s->serial, &out, result);
        compute_set_counts(&call, &s->part[k], result);
        dgnn_profile_end(s->part[k].profile, DGNN_PHASE_GRADIENT);
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- many ranks */

/* The first failure on this rank, while the others go on with it. */
struct compute_failure {
    int status;
    struct dgnn_error error;
};

static void compute_note(struct compute_failure *failure, int status, const struct dgnn_error *error)
{
    if (status && !failure->status) {
        failure->status = status;
        failure->error = *error;
    }
}

/* Evaluates a model, and tells failures of this rank alone; COMM ends the call at once. */
static int compute_evaluate_together(struct dgnn_session *s, int32_t k, const struct compute_call *call,
                                     struct dgnn_node_result *out, struct compute_failure *failure,
                                     struct dgnn_error *error)
{
    int status = compute_evaluate(s, &s->part[k], call, out, error);
    if (status == DGNN_ERROR_COMM) {
        return status;
    }
    compute_note(failure, status, error);
    return DGNN_OK;
}

static void compute_check_together(const struct dgnn_node_result *out, const struct dgnn_nodes *atoms,
                                   struct compute_failure *failure)
{
    struct dgnn_error own;
    if (!failure->status) {
        compute_note(failure, dgnn_finite_result(out, atoms, &own), &own);
    }
}

/* Over all ranks. */
static void compute_check_sum(const struct dgnn_result *result, struct compute_failure *failure)
{
    struct dgnn_error own;
    if (!failure->status) {
        compute_note(failure, dgnn_finite_total(result->energy, &own), &own);
    }
}

static int compute_agree(struct dgnn_comm *comm, const char *operation, const struct compute_failure *failure,
                         struct dgnn_error *error)
{
    if (failure->status) {
        *error = failure->error;
    }
    return dgnn_transport_agree(comm, operation, failure->status, error);
}

/* From the agreement that all ranks are ready to the one that all went well, no rank returns early but where
 * the communicator broke: what goes wrong on one is told at the end. */
static int compute_together(struct dgnn_session *s, const struct compute_call *call, struct dgnn_comm *comm,
                            struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_domain *d = &call->at->domain;
    struct compute_failure failure = {0};
    COMPUTE_EACH (s, call, k) {
        struct dgnn_node_result out;
        DGNN_TRY(compute_evaluate_together(s, k, call, &out, &failure, error));
        DGNN_TRY(dgnn_domain_add(d, &out, error));
        compute_check_together(&out, &d->nodes, &failure);
        DGNN_TRY(dgnn_domain_return(d, &out, dgnn_session_result(results, k), error));
        compute_check_sum(dgnn_session_result(results, k), &failure);
        if (compute_model(s, call, k + 1) < s->ncall) {
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
static int compute_division(struct dgnn_session *s, struct compute_call *call, struct dgnn_comm *comm,
                            struct dgnn_result *results, int status, struct dgnn_error *error)
{
    struct dgnn_domain *d = &call->at->domain;
    const struct dgnn_model *first = s->part[compute_model(s, call, 0)].model;
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
    status = compute_prepare(s, call, DGNN_SESSION_RANKS, error);
    COMPUTE_EACH (s, call, k) {
        struct dgnn_node_form form = compute_form(&s->part[k], call);
        status = status ? status : dgnn_domain_prepare(d, &form, error);
    }
    DGNN_TRY(dgnn_transport_agree(comm, "compute", status, error));
    dgnn_profile_end(compute_last_profile(s, call), DGNN_PHASE_MESSAGES);
    if (s->estimate) {
        return compute_estimate(s, call);
    }
    DGNN_TRY(compute_together(s, call, comm, results, error));
    COMPUTE_EACH (s, call, k) {
        compute_set_counts(call, &s->part[k], dgnn_session_result(results, k));
    }
    return DGNN_OK;
}

/* Models that cut space alike are evaluated together, group by group. */
static int compute_ranks(struct dgnn_session *s, const struct dgnn_system *system, struct dgnn_comm *comm,
                         struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_own_results_wants wants = dgnn_own_results_begin(s, results);
    struct compute_call call = {
        .system = system, .want_atom_virial = wants.atom_virial, .want_derivatives = wants.derivatives};
    int status = dgnn_session_check(s, system, error);
    for (int32_t k = s->ndivision > 1; k < s->ndivision; k++) {
        call.at = &s->division[k];
        if (compute_model(s, &call, 0) >= s->ncall) {
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
static int compute_ghosted_together(struct dgnn_session *s, const struct compute_call *call,
                                    struct dgnn_comm *comm, struct dgnn_result *results,
                                    struct dgnn_error *error)
{
    struct dgnn_ghosted_nodes *g = &s->ghosted;
    struct compute_failure failure = {0};
    for (int32_t k = 0; k < s->ncall; k++) {
        struct dgnn_node_result out;
        DGNN_TRY(compute_evaluate_together(s, k, call, &out, &failure, error));
        DGNN_TRY(dgnn_ghosted_add(g, &out, error));
        compute_check_together(&out, &g->nodes, &failure);
        if (k + 1 < s->ncall) {
            dgnn_ghosted_return(g, &out, dgnn_session_result(results, k));
            dgnn_profile_end(s->part[k].profile, DGNN_PHASE_MESSAGES);
            continue;
        }
        DGNN_TRY(compute_agree(comm, "compute_ghosted", &failure, error));
        dgnn_ghosted_return(g, &out, dgnn_session_result(results, k));
        dgnn_profile_end(s->part[k].profile, DGNN_PHASE_MESSAGES);
    }
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
    struct compute_call call = {.at = s->division, .atoms = &g->nodes, .system = &parameters};
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
    int status = compute_prepare(s, &call, DGNN_SESSION_GHOSTED, error);
    for (int32_t k = 0; k < s->ncall && !status; k++) {
        struct dgnn_node_form form = compute_form(&s->part[k], &call);
        status = dgnn_ghosted_prepare(g, &form, error);
    }
    DGNN_TRY(dgnn_transport_agree(comm, "compute_ghosted", status, error));
    dgnn_profile_end(s->part[s->ncall - 1].profile, DGNN_PHASE_MESSAGES);
    DGNN_TRY(compute_ghosted_together(s, &call, comm, results, error));
    for (int32_t k = 0; k < s->ncall; k++) {
        compute_set_counts(&call, &s->part[k], dgnn_session_result(results, k));
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
