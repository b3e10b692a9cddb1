#include "model/evaluate.h"

#include <string.h>

#include "geom/gradient.h"
#include "model/features.h"

static const struct dgnn_nodes *evaluate_nodes(const struct dgnn_session *s,
                                               const struct dgnn_evaluate_call *call)
{
    return s->has_virtual ? &call->at->spin_nodes.nodes : call->atoms;
}

int32_t dgnn_evaluate_next(const struct dgnn_session *s, const struct dgnn_evaluate_call *call, int32_t k)
{
    while (k < s->ncall && !dgnn_session_is_member(call->at, &s->part[k])) {
        k++;
    }
    return k;
}

/* ---------------------------------------------------------------- list and graphs */

/* Candidates are those of the last call only where that was of the same kind: rows mean the same atoms then.
 */
static int evaluate_list(struct dgnn_session *s, const struct dgnn_evaluate_call *call,
                         enum dgnn_session_call kind, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
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
static int evaluate_types(struct dgnn_session_part *part, const struct dgnn_nodes *nodes,
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

static const struct dgnn_graph_builder *evaluate_builder(const struct dgnn_session_part *part)
{
    return part->graph_of ? &part->graph_of->builder : &part->builder;
}

static const struct dgnn_graph *evaluate_graph(const struct dgnn_session_part *part)
{
    return &evaluate_builder(part)->graph;
}

static int evaluate_build_graph(const struct dgnn_session *s, struct dgnn_session_part *part,
                                const struct dgnn_evaluate_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
    const struct dgnn_model *m = part->model;
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    struct dgnn_graph_input input = {.list = &call->at->list,
                                     .nnode = nodes->nnode,
                                     .owner = nodes->owner,
                                     .first_type = nodes->first_type,
                                     .offset = s->has_virtual ? call->at->spin_nodes.displacement : NULL,
                                     .position = nodes->positions,
                                     .cell = nodes->cell.h};
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
    DGNN_TRY(evaluate_types(part, nodes, &input.type, error));
    if (part->type_of && input.first_type >= 0) {
        input.first_type = part->type_of[input.first_type];
    }
    return dgnn_graph_build(&part->builder, &input, &rules, error);
}

/* Only messages make atomic virials more than the edges' own parts. Other answers than energies have none. */
static int32_t evaluate_wants_moments(const struct dgnn_session_part *part,
                                      const struct dgnn_evaluate_call *call)
{
    const struct dgnn_atomic_properties *p = &part->model->properties;
    return call->want_atom_virial && p->fitting.output == DGNN_OUTPUT_ENERGY &&
           p->descriptor.has_message_passing;
}

static int32_t evaluate_sides(const struct dgnn_session_part *part, const struct dgnn_evaluate_call *call)
{
    return evaluate_wants_moments(part, call) ? DGNN_SIDES : 1;
}

/* So many nodes that the rows of those in between are no longer in the cache when a neighbour needs one
 * again. */
enum { EVALUATE_ORDER_LEAST = 256 };

/* Nodes without ghosts that gather rows of features from each other are done in an order in which they share
 * these. A device has room for all rows, and its lists shall hold while atoms move. */
static int evaluate_order(struct dgnn_session *s, struct dgnn_session_part *part,
                          const struct dgnn_evaluate_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
    const struct dgnn_fitting_properties *f = &part->model->properties.fitting;
    int64_t width = f->dim_aparam + f->width;
    part->ordered = part->model->properties.descriptor.has_message_passing && !nodes->exchange &&
                    !nodes->owner && !s->is_spin && !part->model->device && nodes->nnode == nodes->nowned &&
                    nodes->nowned >= EVALUATE_ORDER_LEAST && !dgnn_features_asked(call->system->request);
    if (!part->ordered) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_buffer_reserve(&s->ordered_rows, width * nodes->nowned * (int64_t)sizeof(double),
                                 "rows in order", error));
    return dgnn_order_build(&part->order, evaluate_graph(part), nodes->positions, evaluate_sides(part, call),
                            error);
}

/* Of a model's answers; width 0: energies. */
struct dgnn_node_form dgnn_evaluate_form(const struct dgnn_session_part *part,
                                         const struct dgnn_evaluate_call *call)
{
    const struct dgnn_fitting_properties *f = &part->model->properties.fitting;
    int is_energy = f->output == DGNN_OUTPUT_ENERGY;
    return (struct dgnn_node_form){.width = is_energy ? 0 : f->width,
                                   .is_mean = f->is_mean,
                                   .has_derivatives = !is_energy && f->nseed == 3 && call->want_derivatives};
}

/* Energies' forces are sums over edges' gradients, which the descriptor makes where it can. Of virtual atoms
 * they are more than that (dgnn_spin_nodes_join). */
static void evaluate_choose_sums(const struct dgnn_session *s, struct dgnn_session_part *part,
                                 const struct dgnn_evaluate_call *call)
{
    const struct dgnn_atomic_properties *p = &part->model->properties;
    part->sums_rows = p->descriptor.sums_rows && !s->has_virtual && !dgnn_evaluate_form(part, call).width;
}

static int evaluate_reserve(struct dgnn_session *s, const struct dgnn_session_part *part,
                            const struct dgnn_evaluate_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
    struct dgnn_node_form form = dgnn_evaluate_form(part, call);
    int64_t size = sizeof(double), nedge = dgnn_graph_nedge(evaluate_graph(part));
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
    return part->sums_rows
               ? DGNN_OK
               : dgnn_buffer_reserve(&s->edge_gradient, evaluate_sides(part, call) * 3 * nedge * size,
                                     "gradients of edges", error);
}

/* ---------------------------------------------------------------- before messages */

/* The memory of gradients may still grow with the graph of a later model: it is looked up at each use. */
static struct dgnn_evaluation evaluate_arguments(const struct dgnn_session *s, struct dgnn_session_part *part,
                                                 const struct dgnn_evaluate_call *call)
{
    part->row_sums =
        (struct dgnn_row_sums){.factor = 1,
                               .forces = s->forces.data,
                               .virial = part->row_virial,
                               .atom_virial = call->want_atom_virial ? s->atom_virial.data : NULL};
    int takes = part->model->properties.descriptor.dim_charge_spin > 0;
    struct dgnn_node_form form = dgnn_evaluate_form(part, call);
    int32_t request = call->system->request;
    struct dgnn_features features = dgnn_features_of(s, part, request, evaluate_nodes(s, call)->nowned);
    double *spin_gradient = s->spin.is_native ? s->spin_gradient.data : NULL;
    return (struct dgnn_evaluation){
        .graph = part->ordered ? &part->order.graph : evaluate_graph(part),
        .exchange = call->atoms->exchange,
        .charge_spin = takes ? call->system->charge_spin : NULL,
        .edge_gradient = part->ordered ? part->order.edge_gradient : s->edge_gradient.data,
        .row_sums = part->sums_rows ? &part->row_sums : NULL,
        .want_gradient = (!form.width || form.has_derivatives) && !(request & DGNN_REQUEST_NO_FORCES),
        .want_moments = evaluate_wants_moments(part, call),
        .profile = part->profile,
        .descriptor = features.rows[DGNN_FEATURES_DESCRIPTOR],
        .last_layer = features.rows[DGNN_FEATURES_LAST_LAYER],
        .spins = s->spin.is_native ? call->atoms->spins : NULL,
        .node_spin_gradient = spin_gradient,
        .edge_spin_gradient = spin_gradient ? spin_gradient + 3 * evaluate_graph(part)->nowned : NULL};
}

static int evaluate_prepare_part(struct dgnn_session *s, struct dgnn_session_part *part,
                                 const struct dgnn_evaluate_call *call, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
    if (part != &s->part[dgnn_evaluate_next(s, call, 0)]) {
        dgnn_profile_resume(part->profile);
    }
    DGNN_TRY(evaluate_build_graph(s, part, call, error));
    DGNN_TRY(dgnn_stop_check(error));
    DGNN_TRY(evaluate_order(s, part, call, error));
    evaluate_choose_sums(s, part, call);
    DGNN_TRY(evaluate_reserve(s, part, call, error));
    DGNN_TRY(dgnn_features_reserve(s, call->system->request, nodes->nowned, error));
    if (s->has_virtual) {
        DGNN_TRY(dgnn_spin_nodes_prepare(&call->at->spin_nodes, evaluate_graph(part), call->want_atom_virial,
                                         error));
    }
    struct dgnn_evaluation evaluation = evaluate_arguments(s, part, call);
    DGNN_TRY(dgnn_model_sum_prepare(part->workspace, &evaluation, error));
    dgnn_profile_end(part->profile, DGNN_PHASE_GRAPH);
    return dgnn_stop_check(error);
}

/* All that can fail on this rank alone, without messages: virtual nodes, list, graphs and memory. */
int dgnn_evaluate_prepare(struct dgnn_session *s, const struct dgnn_evaluate_call *call,
                          enum dgnn_session_call kind, struct dgnn_error *error)
{
    if (s->has_virtual) {
        DGNN_TRY(dgnn_spin_nodes_update(&call->at->spin_nodes, &s->spin, call->atoms, s->dim_aparam, error));
    }
    dgnn_profile_end(s->part[dgnn_evaluate_next(s, call, 0)].profile, DGNN_PHASE_ATOMS);
    DGNN_TRY(evaluate_list(s, call, kind, error));
    dgnn_profile_end(s->part[dgnn_evaluate_next(s, call, 0)].profile, DGNN_PHASE_LIST);
    DGNN_EVALUATE_EACH (s, call, k) {
        DGNN_TRY(evaluate_prepare_part(s, &s->part[k], call, error));
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- one model's numbers */

/* As dgnn_model_sum_evaluate, with aparam and answers in the order of nodes, and gradients in that of the
 * graph's edges, in whatever order net sees them. */
static int evaluate_in_order(struct dgnn_session *s, struct dgnn_session_part *part,
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
static void evaluate_native_forces_mag(const struct dgnn_session *s, const struct dgnn_graph *graph,
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
static void evaluate_gradients(struct dgnn_session *s, const struct dgnn_session_part *part,
                               const struct dgnn_evaluate_call *call, struct dgnn_node_result *out)
{
    const struct dgnn_graph *graph = evaluate_graph(part);
    int64_t nrow = evaluate_nodes(s, call)->nrow;
    struct dgnn_graph joined = *graph;
    int32_t sides = evaluate_sides(part, call);
    double *edge_gradient = s->edge_gradient.data;
    if (part->sums_rows) { /* they are in out's memory */
        memcpy(out->virial, part->row_virial, sizeof(part->row_virial));
        return;
    }
    if (s->spin.is_native) {
        evaluate_native_forces_mag(s, graph, nrow, out->forces_mag);
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

static int64_t evaluate_counted(const struct dgnn_session_part *part)
{
    const struct dgnn_graph *graph = evaluate_graph(part);
    int64_t count = 0;
    for (int64_t i = 0; i < graph->nowned; i++) {
        count += !part->model->properties.dropped[graph->type[i]];
    }
    return count;
}

/* Of number seed: forces as rows of 3 x 3, [row][seed][xyz]. */
static void evaluate_output_gradient(struct dgnn_session *s, const struct dgnn_graph *graph, int32_t seed,
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

/* Answers that are no energies: with derivatives, an evaluation for each number that is differentiated.
 * Derivatives that the call does not want (DGNN_REQUEST_NO_FORCES) are zeros. */
static int evaluate_output(struct dgnn_session *s, struct dgnn_session_part *part,
                           const struct dgnn_evaluation *evaluation, const struct dgnn_atomic_input *input,
                           struct dgnn_node_result *out, struct dgnn_error *error)
{
    const struct dgnn_graph *graph = evaluate_graph(part);
    int32_t nseed = out->form.has_derivatives ? 3 : 1;
    for (int32_t seed = 0; seed < nseed; seed++) {
        struct dgnn_atomic_input own = *input;
        own.seed = seed;
        memset(evaluation->edge_gradient, 0, sizeof(double) * (size_t)(3 * dgnn_graph_nedge(graph)));
        if (!seed || evaluation->want_gradient) {
            DGNN_TRY(evaluate_in_order(s, part, evaluation, &own, out->output, error));
            DGNN_TRY(dgnn_exchange_settle(evaluation->exchange, error));
        }
        if (out->form.has_derivatives) {
            evaluate_output_gradient(s, graph, seed, out);
        }
    }
    return DGNN_OK;
}

/* Backward adds to these, so they begin as zeros. */
static void evaluate_clear(const struct dgnn_session *s, struct dgnn_session_part *part,
                           const struct dgnn_evaluate_call *call, const struct dgnn_evaluation *evaluation)
{
    size_t size = sizeof(double), nrow = (size_t)evaluate_nodes(s, call)->nrow;
    if (!part->sums_rows) {
        memset(evaluation->edge_gradient, 0,
               size * (size_t)(3 * evaluate_sides(part, call) * dgnn_graph_nedge(evaluate_graph(part))));
        return;
    }
    memset(part->row_virial, 0, sizeof(part->row_virial));
    if (nrow) {
        memset(part->row_sums.forces, 0, 3 * nrow * size);
    }
    if (nrow && part->row_sums.atom_virial) {
        memset(part->row_sums.atom_virial, 0, 9 * nrow * size);
    }
}

static int evaluate_net(struct dgnn_session *s, struct dgnn_session_part *part,
                        const struct dgnn_evaluate_call *call, struct dgnn_node_result *out,
                        struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
    const struct dgnn_graph *graph = evaluate_graph(part);
    const struct dgnn_fitting_properties *f = &part->model->properties.fitting;
    struct dgnn_evaluation evaluation = evaluate_arguments(s, part, call);
    struct dgnn_failure failure = {0};
    evaluation.failure = &failure;
    struct dgnn_atomic_input input = {.fparam = f->dim_fparam ? call->system->fparam : NULL,
                                      .aparam = f->dim_aparam ? nodes->aparam : NULL};
    if (out->form.width) {
        DGNN_TRY(evaluate_output(s, part, &evaluation, &input, out, error));
        dgnn_profile_end(part->profile, DGNN_PHASE_GRADIENT);
        return dgnn_status_failed(&failure, error);
    }
    evaluate_clear(s, part, call, &evaluation);
    if (evaluation.node_spin_gradient) {
        memset(evaluation.node_spin_gradient, 0,
               sizeof(double) * (size_t)(3 * (graph->nowned + dgnn_graph_nedge(graph))));
    }
    DGNN_TRY(evaluate_in_order(s, part, &evaluation, &input, out->energy, error));
    DGNN_TRY(dgnn_status_failed(&failure, error));
    evaluate_gradients(s, part, call, out);
    dgnn_profile_end(part->profile, DGNN_PHASE_GRADIENT);
    return DGNN_OK;
}

static int64_t evaluate_over_angle_limit(const struct dgnn_session_part *part)
{
    const struct dgnn_descriptor_properties *d = &part->model->properties.descriptor;
    return dgnn_graph_over_angle_limit(evaluate_graph(part), d->nangle, d->angle);
}

/* Where a model's results go. */
static struct dgnn_node_result evaluate_places(const struct dgnn_session *s,
                                               const struct dgnn_session_part *part,
                                               const struct dgnn_evaluate_call *call)
{
    struct dgnn_node_form form = dgnn_evaluate_form(part, call);
    struct dgnn_features features =
        dgnn_features_of(s, part, call->system->request, evaluate_nodes(s, call)->nowned);
    if (form.width) {
        return (struct dgnn_node_result){.form = form,
                                         .features = features,
                                         .nrow = call->atoms->nrow,
                                         .ncounted = (double)evaluate_counted(part),
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
int dgnn_evaluate(struct dgnn_session *s, struct dgnn_session_part *part,
                  const struct dgnn_evaluate_call *call, struct dgnn_node_result *out,
                  struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = evaluate_nodes(s, call);
    struct dgnn_node_result of_nodes = evaluate_places(s, part, call);
    if (s->ncall > 1) {
        dgnn_profile_resume(part->profile);
    }
    int status = evaluate_net(s, part, call, &of_nodes, error);
    if (status) {
        dgnn_results_clear(nodes, &of_nodes);
    }
    *out = of_nodes;
    if (s->has_virtual) {
        dgnn_spin_nodes_return(&call->at->spin_nodes, &s->spin, &of_nodes, out);
    }
    out->ntruncated = evaluate_builder(part)->ntruncated;
    out->nangle_truncated = evaluate_over_angle_limit(part);
    return status;
}

void dgnn_evaluate_counts(const struct dgnn_evaluate_call *call, const struct dgnn_session_part *part,
                          struct dgnn_result *result)
{
    result->nedges = dgnn_graph_nedge(evaluate_graph(part));
    result->nghosts = call->atoms->nnode - call->atoms->nowned;
    result->list_reused = call->at->list.reused;
}

void dgnn_evaluate_estimate(const struct dgnn_session *s, const struct dgnn_evaluate_call *call)
{
    const struct dgnn_session_part *part = &s->part[dgnn_evaluate_next(s, call, 0)];
    const struct dgnn_graph *graph = evaluate_graph(part);
    s->estimate->nedges = dgnn_graph_nedge(graph);
    s->estimate->nghosts = call->atoms->nnode - call->atoms->nowned;
    for (int64_t i = 0; i < graph->nowned; i++) {
        s->estimate->cost += dgnn_model_sum_cost(part->model->sum, graph->first[i + 1] - graph->first[i],
                                                 graph->distance + graph->first[i]);
    }
}
