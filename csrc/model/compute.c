/* Computing: from a system to nodes, from nodes to the graph, through net, and back. The only place where system, geom,
 * comm and net meet. */
#include <math.h>
#include <string.h>

#include "geom/gradient.h"
#include "model/model.h"

static int compute_check_parameters(const struct dgnn_model *m, const struct dgnn_system *s, struct dgnn_error *error)
{
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    if (s->natoms < 0 || s->natoms > INT32_MAX || (s->natoms > 0 && (!s->coords || !s->types))) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "natoms: %lld with coords %s and types %s",
                               (long long)s->natoms, s->coords ? "given" : "NULL", s->types ? "given" : "NULL");
    }
    if (m->is_spin ? !s->spins && s->natoms : s->spins != NULL) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "spins: %s",
                               m->is_spin ? "found none; this is a spin model, which needs a vector for each atom"
                                          : "given, but this is no spin model");
    }
    if (s->fparam ? s->nfparam != f->dim_fparam : f->dim_fparam && !f->default_fparam) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "fparam: found %lld numbers; this model takes %lld%s",
                               (long long)(s->fparam ? s->nfparam : 0), (long long)f->dim_fparam,
                               f->default_fparam ? ", or none for its default" : "");
    }
    if (s->aparam ? s->naparam != f->dim_aparam : f->dim_aparam && s->natoms) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "aparam: found %lld numbers per atom; this model takes %lld",
                               (long long)(s->aparam ? s->naparam : 0), (long long)f->dim_aparam);
    }
    if (s->charge_spin ? !d->dim_charge_spin : d->dim_charge_spin && !d->default_charge_spin) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "charge_spin: %s",
                               s->charge_spin ? "this model takes none" : "this model needs charge and spin");
    }
    return DGNN_OK;
}

static int compute_check_finite(const char *name, const double *values, int64_t count, struct dgnn_error *error)
{
    for (int64_t i = 0; values && i < count; i++) {
        if (!isfinite(values[i])) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "%s: element %lld is %g; expected a finite number", name,
                                   (long long)i, values[i]);
        }
    }
    return DGNN_OK;
}

/* Of NULL atoms, anything goes. */
static int compute_check_atoms(const char *name, const double *values, int64_t width, const struct dgnn_system *s,
                               struct dgnn_error *error)
{
    for (int64_t i = 0; values && i < s->natoms; i++) {
        for (int64_t c = 0; s->types[i] >= 0 && c < width; c++) {
            if (!isfinite(values[i * width + c])) {
                return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                       "%s: atom %lld has %g in column %lld; expected a finite number", name,
                                       (long long)i, values[i * width + c], (long long)c);
            }
        }
    }
    return DGNN_OK;
}

static int compute_check_system(const struct dgnn_model *m, const struct dgnn_system *s, struct dgnn_error *error)
{
    DGNN_TRY(compute_check_parameters(m, s, error));
    DGNN_TRY(compute_check_finite("fparam", s->fparam, s->nfparam, error));
    DGNN_TRY(compute_check_atoms("aparam", s->aparam, s->naparam, s, error));
    DGNN_TRY(compute_check_atoms("spins", s->spins, 3, s, error));
    return compute_check_finite("charge_spin", s->charge_spin, 2, error);
}

static int compute_build_graph(struct dgnn_model *m, const struct dgnn_nodes *nodes, struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    struct dgnn_nlist_input list = {
        .ncentre = nodes->nowned,
        .nrow = nodes->nrow,
        .positions = nodes->positions,
        .ids = nodes->ids,
        .label = nodes->labels,
        .may_overlap = nodes->may_overlap,
        .cell = &nodes->cell,
        .cutoff = d->cutoff,
        .skin = m->skin,
        .may_reuse = nodes->may_reuse,
        .threads = m->threads,
    };
    struct dgnn_graph_input input = {.list = &m->list,
                                     .nnode = nodes->nnode,
                                     .type = nodes->types,
                                     .owner = nodes->owner,
                                     .first_type = nodes->first_type};
    struct dgnn_graph_rules rules = {
        .dense = m->dense,
        .mixed_types = d->mixed_types,
        .ntypes = m->node_types,
        .nsel = d->nsel,
        .sel = d->sel,
        .pair_exclude = m->properties.pair_exclude,
    };
    if (nodes->list_first) {
        DGNN_TRY(dgnn_nlist_update_given(&m->list, &list, nodes->list_first, nodes->list_row, error));
    } else {
        DGNN_TRY(dgnn_nlist_update(&m->list, &list, error));
    }
    dgnn_profile_end(m->profile, DGNN_PHASE_LIST);
    return dgnn_graph_build(&m->builder, &input, &rules, error);
}

/* So many nodes that the rows of those in between are no longer in the cache when a neighbour needs one again. */
enum { COMPUTE_ORDER_LEAST = 256 };

/* Nodes without ghosts that gather rows of features from each other are done in an order in which they share these. */
static int compute_order(struct dgnn_model *m, const struct dgnn_nodes *nodes, struct dgnn_error *error)
{
    int64_t width = m->properties.fitting.dim_aparam + 1;
    m->ordered = m->properties.descriptor.has_message_passing && !nodes->exchange && !nodes->owner && !m->is_spin &&
                 nodes->nnode == nodes->nowned && nodes->nowned >= COMPUTE_ORDER_LEAST;
    if (!m->ordered) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_buffer_reserve(&m->ordered_rows, width * nodes->nowned * (int64_t)sizeof(double), "rows in order",
                                 error));
    return dgnn_order_build(&m->order, &m->builder.graph, nodes->positions, error);
}

static int compute_reserve(struct dgnn_model *m, const struct dgnn_nodes *nodes, int want_atom_virial,
                         struct dgnn_error *error)
{
    int64_t size = sizeof(double), nedge = dgnn_graph_nedge(&m->builder.graph);
    DGNN_TRY(dgnn_buffer_reserve(&m->energy, nodes->nowned * size, "energies", error));
    DGNN_TRY(dgnn_buffer_reserve(&m->forces, 3 * nodes->nrow * size, "forces", error));
    DGNN_TRY(dgnn_buffer_reserve(&m->forces_mag, m->is_spin ? 3 * nodes->nrow * size : 0, "forces", error));
    DGNN_TRY(dgnn_buffer_reserve(&m->atom_virial, want_atom_virial ? 9 * nodes->nrow * size : 0, "atomic virials",
                                 error));
    DGNN_TRY(dgnn_buffer_reserve(&m->spin_gradient, m->is_spin && !m->has_virtual ? 3 * (nodes->nowned + nedge) * size : 0,
                                 "gradients of spins", error));
    return dgnn_buffer_reserve(&m->edge_gradient, 3 * nedge * size, "gradients of edges", error);
}

static const struct dgnn_nodes *compute_nodes(const struct dgnn_model *m, const struct dgnn_nodes *atoms)
{
    return m->has_virtual ? &m->magnetic.nodes : atoms;
}

/* Gradients of native spins: what comes through atoms' own, then what comes through edges. */
static double *compute_node_spin_gradient(const struct dgnn_model *m)
{
    return m->is_spin && !m->has_virtual ? m->spin_gradient.data : NULL;
}

static double *compute_edge_spin_gradient(const struct dgnn_model *m)
{
    double *own = compute_node_spin_gradient(m);
    return own ? own + 3 * m->builder.graph.nowned : NULL;
}

/* forces_mag: nrow x 3, -dE/dspin; rows of images hold nothing. In the order of edges: it repeats. */
static void compute_native_forces_mag(const struct dgnn_model *m, const struct dgnn_graph *graph, int64_t nrow,
                                      double *forces_mag)
{
    const double *own = compute_node_spin_gradient(m), *edge = compute_edge_spin_gradient(m);
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

/* Forces and virials from the gradients of edges. */
static void compute_gradients(struct dgnn_model *m, const struct dgnn_graph *graph, int64_t nrow,
                              struct dgnn_node_result *out)
{
    struct dgnn_graph joined = *graph;
    double *edge_gradient = m->edge_gradient.data;
    if (m->is_spin && !m->has_virtual) {
        compute_native_forces_mag(m, graph, nrow, out->forces_mag);
    }
    if (m->has_virtual) {
        dgnn_gradient_forces(graph, edge_gradient, nrow, out->forces_mag);
        dgnn_magnetic_join(&m->magnetic, graph, edge_gradient, &joined);
    }
    dgnn_gradient_forces(&joined, edge_gradient, nrow, out->forces);
    dgnn_gradient_virial(&joined, edge_gradient, out->virial);
    if (out->atom_virial) {
        dgnn_gradient_atom_virial(&joined, edge_gradient, nrow, out->atom_virial);
    }
}

static struct dgnn_evaluation compute_evaluation(const struct dgnn_model *m, const struct dgnn_nodes *nodes,
                                                 const double *charge_spin)
{
    return (struct dgnn_evaluation){.graph = m->ordered ? &m->order.graph : &m->builder.graph,
                                    .exchange = nodes->exchange,
                                    .charge_spin = charge_spin,
                                    .edge_gradient = m->ordered ? m->order.edge_gradient : m->edge_gradient.data,
                                    .want_gradient = 1,
                                    .profile = m->profile,
                                    .spins = nodes->spins,
                                    .node_spin_gradient = compute_node_spin_gradient(m),
                                    .edge_spin_gradient = compute_edge_spin_gradient(m)};
}

/* All that can fail on this rank alone, without messages: virtual nodes, graph and memory. */
static int compute_prepare(struct dgnn_model *m, const struct dgnn_nodes *atoms, const struct dgnn_system *system,
                           int want_atom_virial, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(m, atoms);
    if (m->has_virtual) {
        DGNN_TRY(dgnn_magnetic_update(&m->magnetic, &m->spin, atoms, m->properties.fitting.dim_aparam, error));
    }
    dgnn_profile_end(m->profile, DGNN_PHASE_ATOMS);
    DGNN_TRY(compute_build_graph(m, nodes, error));
    DGNN_TRY(compute_order(m, nodes, error));
    DGNN_TRY(compute_reserve(m, nodes, want_atom_virial, error));
    if (m->has_virtual) {
        DGNN_TRY(dgnn_magnetic_prepare(&m->magnetic, &m->builder.graph, want_atom_virial, error));
    }
    struct dgnn_evaluation evaluation = compute_evaluation(m, nodes, system->charge_spin);
    DGNN_TRY(dgnn_linear_prepare(m->linear, &evaluation, error));
    dgnn_profile_end(m->profile, DGNN_PHASE_GRAPH);
    return DGNN_OK;
}

/* As dgnn_linear_evaluate, with aparam and energies in the order of nodes, and gradients in that of the graph's edges,
 * in whatever order net sees them. */
static int compute_in_order(struct dgnn_model *m, const struct dgnn_evaluation *evaluation,
                            struct dgnn_atomic_input *input, double *energy, struct dgnn_error *error)
{
    if (!m->ordered) {
        return dgnn_linear_evaluate(m->linear, evaluation, input, energy, error);
    }
    int64_t width = m->properties.fitting.dim_aparam;
    double *rows = m->ordered_rows.data, *aparam = rows + evaluation->graph->nowned;
    if (width) {
        dgnn_order_take(&m->order, width, input->aparam, aparam);
        input->aparam = aparam;
    }
    DGNN_TRY(dgnn_linear_evaluate(m->linear, evaluation, input, rows, error));
    dgnn_order_return(&m->order, 1, rows, energy);
    dgnn_order_return_gradient(&m->order, m->edge_gradient.data);
    return DGNN_OK;
}

static int compute_net(struct dgnn_model *m, const struct dgnn_nodes *nodes, const struct dgnn_system *system,
                       struct dgnn_node_result *out, struct dgnn_error *error)
{
    const struct dgnn_graph *graph = &m->builder.graph;
    struct dgnn_evaluation evaluation = compute_evaluation(m, nodes, system->charge_spin);
    struct dgnn_atomic_input input = {.fparam = system->fparam, .aparam = nodes->aparam};
    memset(evaluation.edge_gradient, 0, sizeof(double) * (size_t)(3 * dgnn_graph_nedge(graph)));
    if (evaluation.node_spin_gradient) {
        memset(evaluation.node_spin_gradient, 0, sizeof(double) * (size_t)(3 * (graph->nowned + dgnn_graph_nedge(graph))));
    }
    DGNN_TRY(compute_in_order(m, &evaluation, &input, out->energy, error));
    compute_gradients(m, graph, nodes->nrow, out);
    dgnn_profile_end(m->profile, DGNN_PHASE_GRADIENT);
    return DGNN_OK;
}

/* After a failure on this rank alone: what the other ranks still get from it. */
static void compute_clear(const struct dgnn_nodes *nodes, struct dgnn_node_result *out)
{
    memset(out->energy, 0, sizeof(double) * (size_t)nodes->nowned);
    memset(out->forces, 0, sizeof(double) * (size_t)(3 * nodes->nrow));
    if (out->forces_mag) {
        memset(out->forces_mag, 0, sizeof(double) * (size_t)(3 * nodes->nrow));
    }
    if (out->atom_virial) {
        memset(out->atom_virial, 0, sizeof(double) * (size_t)(9 * nodes->nrow));
    }
}

static int64_t compute_crowded(const struct dgnn_model *m)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    return dgnn_graph_crowded(&m->builder.graph, d->nangle, d->angle);
}

/* After prepare: the atoms' results, zeros where it failed. Collective where nodes have an exchange. */
static int compute_evaluate(struct dgnn_model *m, const struct dgnn_nodes *atoms, const struct dgnn_system *system,
                            int want_atom_virial, struct dgnn_node_result *out, struct dgnn_error *error)
{
    const struct dgnn_nodes *nodes = compute_nodes(m, atoms);
    struct dgnn_node_result of_nodes = {.energy = m->energy.data,
                                        .forces = m->forces.data,
                                        .forces_mag = m->is_spin ? m->forces_mag.data : NULL,
                                        .atom_virial = want_atom_virial ? m->atom_virial.data : NULL};
    int status = compute_net(m, nodes, system, &of_nodes, error);
    if (status) {
        compute_clear(nodes, &of_nodes);
    }
    *out = of_nodes;
    if (m->has_virtual) {
        dgnn_magnetic_return(&m->magnetic, &m->spin, &of_nodes, out);
    }
    out->ntruncated = m->builder.ntruncated;
    out->nangle_truncated = compute_crowded(m);
    return status;
}

/* A model that overflowed must not look like one that answered. */
static int compute_check_result(const struct dgnn_node_result *r, const struct dgnn_nodes *atoms,
                                struct dgnn_error *error)
{
    for (int64_t i = 0; i < atoms->nowned; i++) {
        int finite = isfinite(r->energy[i]);
        for (int c = 0; c < 3; c++) {
            finite = finite && isfinite(r->forces[3 * i + c]) && (!r->forces_mag || isfinite(r->forces_mag[3 * i + c]));
        }
        if (!finite) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "coords: energy or force of atom %lld is not finite; atoms far too close together"
                                   " (or, with spins, a spin that is nearly zero)?",
                                   (long long)atoms->labels[i]);
        }
    }
    return DGNN_OK;
}

static void compute_set_counts(const struct dgnn_model *m, const struct dgnn_nodes *atoms, struct dgnn_result *result)
{
    result->nedges = dgnn_graph_nedge(&m->builder.graph);
    result->nghosts = atoms->nrow - atoms->nowned;
    result->list_reused = m->list.reused;
}

static int compute_serial(struct dgnn_model *m, const struct dgnn_system *system, struct dgnn_result *result,
                          struct dgnn_error *error)
{
    const struct dgnn_nodes *atoms = &m->serial.nodes;
    int want_atom_virial = result->atom_virial != NULL;
    struct dgnn_node_result out;
    DGNN_TRY(compute_check_system(m, system, error));
    DGNN_TRY(dgnn_serial_update(&m->serial, system, m->ntypes, m->properties.fitting.dim_aparam, error));
    DGNN_TRY(compute_prepare(m, atoms, system, want_atom_virial, error));
    DGNN_TRY(compute_evaluate(m, atoms, system, want_atom_virial, &out, error));
    DGNN_TRY(compute_check_result(&out, atoms, error));
    dgnn_serial_return(&m->serial, &out, result);
    compute_set_counts(m, atoms, result);
    dgnn_profile_end(m->profile, DGNN_PHASE_GRADIENT);
    return DGNN_OK;
}

/* ---------------------------------------------------------------- many ranks */

/* From the agreement that all ranks are ready to the one that all went well, no rank returns early but where the
 * communicator broke: what goes wrong on one is told at the end. */
static int compute_together(struct dgnn_model *m, const struct dgnn_system *system, struct dgnn_comm *comm,
                            struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_domain *d = &m->domain;
    struct dgnn_node_result out;
    int status = compute_evaluate(m, &d->nodes, system, d->want_atom_virial, &out, error);
    if (status == DGNN_ERROR_COMM) {
        return status;
    }
    struct dgnn_error own = *error;
    DGNN_TRY(dgnn_domain_add(d, &out, error));
    status = status ? status : compute_check_result(&out, &d->nodes, &own);
    DGNN_TRY(dgnn_domain_return(d, &out, result, error));
    if (status) {
        *error = own;
    }
    DGNN_TRY(dgnn_transport_agree(comm, "compute", status, error));
    dgnn_profile_end(m->profile, DGNN_PHASE_MESSAGES);
    return DGNN_OK;
}

/* Of an atom, from the atoms around it. A spin model's nodes are not looked at: each atom has its own virtual one. */
static double compute_work(const void *model, int64_t n, const double *distance)
{
    const struct dgnn_model *m = model;
    const struct dgnn_descriptor_properties *p = &m->properties.descriptor;
    int64_t most = 0;
    for (int64_t k = 0; k < p->nsel; k++) {
        most += p->sel[k];
    }
    return dgnn_linear_work(m->linear, m->dense && n > most ? most : n, distance);
}

static int compute_ranks(struct dgnn_model *m, const struct dgnn_system *system, struct dgnn_comm *comm,
                         struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_domain *d = &m->domain;
    const struct dgnn_descriptor_properties *p = &m->properties.descriptor;
    struct dgnn_domain_input input = {.system = system,
                                      .model = {m->archive.digest[0], m->archive.digest[1]},
                                      .dtype = p->dtype,
                                      .dense = m->dense,
                                      .ntypes = m->ntypes,
                                      .dim_aparam = m->properties.fitting.dim_aparam,
                                      .spin = m->is_spin ? &m->spin : NULL,
                                      .cutoff = p->cutoff,
                                      .skin = m->skin,
                                      .threads = m->threads,
                                      .want_atom_virial = result->atom_virial != NULL,
                                      .work = compute_work,
                                      .work_of = m};
    DGNN_TRY(dgnn_domain_update(d, &input, comm, compute_check_system(m, system, error), error));
    int status = compute_prepare(m, &d->nodes, system, d->want_atom_virial, error);
    status = status ? status : dgnn_domain_prepare(d, error);
    DGNN_TRY(dgnn_transport_agree(comm, "compute", status, error));
    dgnn_profile_end(m->profile, DGNN_PHASE_MESSAGES);
    DGNN_TRY(compute_together(m, system, comm, result, error));
    compute_set_counts(m, &d->nodes, result);
    return DGNN_OK;
}

/* NULL where the caller wants none, or knows none: its structs are shorter then. */
static struct dgnn_profile *compute_profile(const struct dgnn_result *result)
{
    int knows = result->size >= offsetof(struct dgnn_result, profile) + sizeof(result->profile);
    struct dgnn_profile *profile = knows ? result->profile : NULL;
    return profile && profile->size >= sizeof(*profile) ? profile : NULL;
}

/* ---------------------------------------------------------------- one call at a time */

/* With a communicator, a rank that may not begin takes part in the agreement with which the others do. */
static int compute_enter(struct dgnn_model *m, struct dgnn_comm *comm, const char *operation, int has_arguments,
                         struct dgnn_error *error)
{
    int status = DGNN_OK;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    if (!m || !has_arguments) {
        status = dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_model_%s: an argument is NULL", operation);
    } else if (atomic_exchange(&m->busy, 1)) {
        status = dgnn_status_set(error, DGNN_ERROR_BUSY, "the model is computing in another thread");
    }
    if (status) {
        status = dgnn_transport_agree(comm, operation, status, error);
        dgnn_transport_leave(comm);
    }
    return status;
}

static void compute_leave(struct dgnn_model *m, struct dgnn_comm *comm)
{
    atomic_store(&m->busy, 0);
    dgnn_transport_leave(comm);
}

int dgnn_model_compute(struct dgnn_model *model, const struct dgnn_system *system, struct dgnn_comm *comm,
                       struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_error own; /* an agreement needs a place for its message */
    error = error ? error : &own;
    DGNN_TRY(compute_enter(model, comm, "compute", system && result, error));
    model->profile = compute_profile(result);
    dgnn_profile_start(model->profile);
    int status = comm ? compute_ranks(model, system, comm, result, error)
                      : compute_serial(model, system, result, error);
    compute_leave(model, comm);
    return status;
}

/* ---------------------------------------------------------------- a host's ghosts */

/* As compute_together. */
static int compute_ghosted_together(struct dgnn_model *m, const struct dgnn_system *parameters, struct dgnn_comm *comm,
                                    struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_ghosted_nodes *g = &m->ghosted;
    struct dgnn_node_result out;
    int status = compute_evaluate(m, &g->nodes, parameters, g->want_atom_virial, &out, error);
    if (status == DGNN_ERROR_COMM) {
        return status;
    }
    struct dgnn_error own = *error;
    DGNN_TRY(dgnn_ghosted_add(g, &out, error));
    status = status ? status : compute_check_result(&out, &g->nodes, &own);
    if (status) {
        *error = own;
    }
    DGNN_TRY(dgnn_transport_agree(comm, "compute_ghosted", status, error));
    dgnn_ghosted_return(g, &out, result);
    dgnn_profile_end(m->profile, DGNN_PHASE_MESSAGES);
    return DGNN_OK;
}

static int compute_ghosted(struct dgnn_model *m, const struct dgnn_ghosted *system, struct dgnn_comm *comm,
                           struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_ghosted_nodes *g = &m->ghosted;
    const struct dgnn_descriptor_properties *p = &m->properties.descriptor;
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
                                     .charge_spin = system->charge_spin};
    struct dgnn_ghosted_input input = {.system = system,
                                       .model = {m->archive.digest[0], m->archive.digest[1]},
                                       .dtype = p->dtype,
                                       .dense = m->dense,
                                       .ntypes = m->ntypes,
                                       .dim_aparam = m->properties.fitting.dim_aparam,
                                       .skin = m->skin,
                                       .needs_plan = p->has_message_passing,
                                       .has_spins = m->is_spin,
                                       .has_virtual = m->has_virtual,
                                       .want_atom_virial = result->atom_virial != NULL};
    DGNN_TRY(dgnn_ghosted_update(g, &input, comm, compute_check_system(m, &parameters, error), error));
    int status = compute_prepare(m, &g->nodes, &parameters, g->want_atom_virial, error);
    status = status ? status : dgnn_ghosted_prepare(g, error);
    DGNN_TRY(dgnn_transport_agree(comm, "compute_ghosted", status, error));
    dgnn_profile_end(m->profile, DGNN_PHASE_MESSAGES);
    DGNN_TRY(compute_ghosted_together(m, &parameters, comm, result, error));
    compute_set_counts(m, &g->nodes, result);
    return DGNN_OK;
}

int dgnn_model_compute_ghosted(struct dgnn_model *model, const struct dgnn_ghosted *system, struct dgnn_comm *comm,
                               struct dgnn_result *result, struct dgnn_error *error)
{
    struct dgnn_error own;
    error = error ? error : &own;
    DGNN_TRY(compute_enter(model, comm, "compute_ghosted", system && result, error));
    model->profile = compute_profile(result);
    dgnn_profile_start(model->profile);
    int status = compute_ghosted(model, system, comm, result, error);
    compute_leave(model, comm);
    return status;
}
