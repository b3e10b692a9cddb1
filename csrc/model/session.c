/* Sessions: what their models have in common, and how they come and go. */
#include "model/features.h"

#include <math.h>
#include <string.h>

#include "base/digest.h"
#include "base/sized.h"
#include "base/text.h"

enum { SESSION_MODELS_MAX = 1024 };

/* ---------------------------------------------------------------- what calls bring */

static int session_check_parameters(const struct dgnn_session *session, const struct dgnn_system *s,
                                    struct dgnn_error *error)
{
    if (s->natoms < 0 || s->natoms > INT32_MAX || (s->natoms > 0 && (!s->coords || !s->types))) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "natoms: %lld with coords %s and types %s",
                               (long long)s->natoms, s->coords ? "given" : "NULL",
                               s->types ? "given" : "NULL");
    }
    if (session->is_spin ? !s->spins && s->natoms : s->spins != NULL) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "spins: %s",
                               session->is_spin
                                   ? "found none; this is a spin model, which needs a vector for each atom"
                                   : "given, but this is no spin model");
    }
    if (s->fparam ? s->nfparam != session->dim_fparam : session->dim_fparam && !session->has_default_fparam) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "fparam: found %lld numbers; this model takes %lld%s",
                               (long long)(s->fparam ? s->nfparam : 0), (long long)session->dim_fparam,
                               session->has_default_fparam ? ", or none for its default" : "");
    }
    if (s->aparam ? s->naparam != session->dim_aparam : session->dim_aparam && s->natoms) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "aparam: found %lld numbers per atom; this model takes %lld",
                               (long long)(s->aparam ? s->naparam : 0), (long long)session->dim_aparam);
    }
    if (s->charge_spin ? !session->dim_charge_spin
                       : session->dim_charge_spin && !session->has_default_charge_spin) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "charge_spin: %s",
                               s->charge_spin ? "this model takes none" : "this model needs charge and spin");
    }
    return DGNN_OK;
}

static int session_check_finite(const char *name, const double *values, int64_t count,
                                struct dgnn_error *error)
{
    for (int64_t i = 0; values && i < count; i++) {
        if (!isfinite(values[i])) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "%s: element %lld is %g; expected a finite number", name, (long long)i,
                                   values[i]);
        }
    }
    return DGNN_OK;
}

/* Of NULL atoms, anything goes. */
static int session_check_atoms(const char *name, const double *values, int64_t width,
                               const struct dgnn_system *s, struct dgnn_error *error)
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

int dgnn_session_check(const struct dgnn_session *session, const struct dgnn_system *s,
                       struct dgnn_error *error)
{
    DGNN_TRY(dgnn_features_check(session, s->request, error));
    DGNN_TRY(session_check_parameters(session, s, error));
    DGNN_TRY(session_check_finite("fparam", s->fparam, s->nfparam, error));
    DGNN_TRY(session_check_atoms("aparam", s->aparam, s->naparam, s, error));
    DGNN_TRY(session_check_atoms("spins", s->spins, 3, s, error));
    return session_check_finite("charge_spin", s->charge_spin, 2, error);
}

/* ---------------------------------------------------------------- types */

static int32_t session_type(const struct dgnn_model *m, const char *name)
{
    for (int32_t t = 0; t < m->ntypes; t++) {
        if (!strcmp(m->type_map[t], name)) {
            return t;
        }
    }
    return -1;
}

/* The model's number for each of the session's types of nodes: virtual ones follow those of atoms. */
static int session_map_types(struct dgnn_session *s, struct dgnn_session_part *part, const char *const *names,
                             struct dgnn_error *error)
{
    const struct dgnn_model *m = part->model;
    int same = s->ntypes == m->ntypes;
    int32_t *type_of = dgnn_alloc(s->node_types, sizeof(*type_of));
    if (!type_of) {
        return dgnn_status_no_memory(error, "a type map", s->node_types * (int64_t)sizeof(*type_of));
    }
    for (int32_t t = 0; t < s->ntypes; t++) {
        int32_t own = session_type(m, names[t]);
        same = same && own == t;
        type_of[t] = own;
        if (s->has_virtual) {
            type_of[s->ntypes + t] = own < 0 ? -1 : m->ntypes + own;
        }
    }
    if (same) {
        dgnn_alloc_free(type_of);
        type_of = NULL;
    }
    part->type_of = type_of;
    return DGNN_OK;
}

/* A type that no model has would be refused at each call; that it is named at all is a mistake. */
static int session_check_names(const struct dgnn_session_options *o, struct dgnn_error *error)
{
    if (o->type_map && o->ntypes < 1) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "session options: a type_map of %d names", o->ntypes);
    }
    for (int32_t t = 0; o->type_map && t < o->ntypes; t++) {
        if (!o->type_map[t]) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "session options: type_map[%d] is NULL", t);
        }
        for (int32_t other = 0; other < t; other++) {
            if (!strcmp(o->type_map[t], o->type_map[other])) {
                return dgnn_status_set(error, DGNN_ERROR_INPUT, "session options: type_map has '%s' twice",
                                       o->type_map[t]);
            }
        }
    }
    return DGNN_OK;
}

static int session_set_types(struct dgnn_session *s, const struct dgnn_session_options *theirs,
                             struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"session options", sizeof(size_t), sizeof(*theirs)};
    const struct dgnn_model *first = s->part[0].model;
    struct dgnn_session_options own = {.size = sizeof(own)};
    const struct dgnn_session_options *o = theirs ? &own : NULL;
    const char *const *names = first->type_map;
    s->ntypes = first->ntypes;
    s->is_spin = first->is_spin;
    s->has_virtual = first->has_virtual;
    if (o) {
        DGNN_TRY(dgnn_sized_read(&kind, theirs, &own, error));
        DGNN_TRY(session_check_names(o, error));
        names = o->type_map ? o->type_map : names;
        s->ntypes = o->type_map ? o->ntypes : s->ntypes;
    }
    s->node_types = s->has_virtual ? 2 * s->ntypes : s->ntypes;
    for (int32_t k = 0; k < s->nmodel; k++) {
        DGNN_TRY(session_map_types(s, &s->part[k], names, error));
    }
    return DGNN_OK;
}

/* Virtual atoms are nodes of the list, so models of one session put them at the same places. */
static int session_set_spin(struct dgnn_session *s, struct dgnn_error *error)
{
    double *scale = dgnn_alloc_zeroed(s->ntypes, sizeof(*scale));
    s->spin = (struct dgnn_spin_scheme){
        .is_native = s->is_spin && !s->has_virtual, .ntypes = s->ntypes, .scale = scale};
    if (!scale) {
        return dgnn_status_no_memory(error, "scales of spins", s->ntypes * (int64_t)sizeof(*scale));
    }
    for (int32_t t = 0; t < s->ntypes && s->is_spin; t++) {
        int known = 0;
        for (int32_t k = 0; k < s->nmodel; k++) {
            int32_t own = s->part[k].type_of ? s->part[k].type_of[t] : t;
            if (own >= 0 && known && s->part[k].model->spin.scale[own] != scale[t]) {
                return dgnn_status_set(
                    error, DGNN_ERROR_UNSUPPORTED,
                    "session: model %d displaces virtual atoms of type %d by %g, an earlier one by "
                    "%g; expected one virtual_scale in all models of a session",
                    k, t, s->part[k].model->spin.scale[own], scale[t]);
            }
            scale[t] = own >= 0 ? s->part[k].model->spin.scale[own] : scale[t];
            known = known || own >= 0;
        }
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- what models have in common */

/* One input for all models that take it. */
static int session_join_width(int64_t own, int64_t *all, const char *name, int32_t k,
                              struct dgnn_error *error)
{
    if (own && *all && own != *all) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "session: model %d takes %lld numbers of %s, an earlier one %lld; expected the same", k,
            (long long)own, name, (long long)*all);
    }
    *all = own ? own : *all;
    return DGNN_OK;
}

static int session_join(struct dgnn_session *s, int32_t k, struct dgnn_digest *digest,
                        struct dgnn_error *error)
{
    const struct dgnn_model *m = s->part[k].model;
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    const int32_t facts[2] = {d->dtype, m->dense};
    if (m->has_virtual != s->has_virtual) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "session: model %d and the first are not both of those whose "
                               "spins are virtual atoms",
                               k);
    }
    if (m->is_spin != s->is_spin) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "session: model %d is %s spin model, the first is %s; expected all of one kind", k,
            m->is_spin ? "a" : "no", s->is_spin ? "one" : "none");
    }
    DGNN_TRY(session_join_width(f->dim_fparam, &s->dim_fparam, "fparam", k, error));
    DGNN_TRY(session_join_width(f->dim_aparam, &s->dim_aparam, "aparam", k, error));
    s->dim_charge_spin = d->dim_charge_spin ? d->dim_charge_spin : s->dim_charge_spin;
    s->has_default_fparam &= !f->dim_fparam || f->default_fparam != NULL;
    s->has_default_charge_spin &= !d->dim_charge_spin || d->default_charge_spin != NULL;
    s->has_message_passing |= d->has_message_passing;
    dgnn_digest_add(digest, m->archive.digest, sizeof(m->archive.digest));
    dgnn_digest_add(digest, facts, sizeof(facts));
    return DGNN_OK;
}

static int session_same_pairs(const uint8_t *a, const uint8_t *b, size_t count)
{
    return !a == !b && (!a || !memcmp(a, b, count));
}

static int session_same_rules(const struct dgnn_session *s, const struct dgnn_session_part *a,
                              const struct dgnn_session_part *b)
{
    const struct dgnn_atomic_properties *p = &a->model->properties, *q = &b->model->properties;
    int64_t types = s->node_types, pairs = (int64_t)a->model->node_types * a->model->node_types;
    const struct dgnn_descriptor_properties *d = &a->model->properties.descriptor,
                                            *e = &b->model->properties.descriptor;
    return a->model->dense == b->model->dense && a->model->node_types == b->model->node_types &&
           d->cutoff == e->cutoff && d->mixed_types == e->mixed_types && d->nsel == e->nsel &&
           !memcmp(d->sel, e->sel, sizeof(*d->sel) * (size_t)d->nsel) && !a->type_of == !b->type_of &&
           (!a->type_of || !memcmp(a->type_of, b->type_of, sizeof(*a->type_of) * (size_t)types)) &&
           session_same_pairs(p->pair_exclude, q->pair_exclude, (size_t)pairs) &&
           session_same_pairs(p->pair_exclude_own, q->pair_exclude_own, (size_t)pairs);
}

static void session_find_twins(struct dgnn_session *s)
{
    for (int32_t k = 1; k < s->nmodel; k++) {
        for (int32_t j = 0; j < k && !s->part[k].twin; j++) {
            if (!s->part[j].twin && session_same_rules(s, &s->part[j], &s->part[k])) {
                s->part[k].twin = &s->part[j];
            }
        }
    }
}

/* ---------------------------------------------------------------- who cuts space alike */

/* All that bricks follow from (compute_work): settings, types of numbers, how many slots count. */
static int session_digest_work(const struct dgnn_model *m, uint64_t out[2], struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &m->properties.descriptor;
    const struct dgnn_fitting_properties *f = &m->properties.fitting;
    struct dgnn_text text = {0};
    struct dgnn_digest digest;
    int64_t facts[5] = {d->dtype, m->dense, d->parameters, f->parameters, 0};
    double numbers[2] = {d->cutoff, dgnn_model_sum_cost(m->sum, 0, NULL)};
    for (int64_t k = 0; k < d->nsel; k++) {
        facts[4] += d->sel[k];
    }
    int status = dgnn_model_sum_describe(m->sum, &text, error);
    if (!status) {
        dgnn_digest_begin(&digest);
        dgnn_digest_add(&digest, text.data, text.length);
        dgnn_digest_add(&digest, facts, sizeof(facts));
        dgnn_digest_add(&digest, numbers, sizeof(numbers));
        dgnn_digest_end(&digest, out);
    }
    dgnn_text_free(&text);
    return status;
}

/* Numbers the groups in the order of their first models; *ngroup is how many there are. Errors: MEMORY. */
static int session_find_groups(struct dgnn_session *s, int32_t *ngroup, struct dgnn_error *error)
{
    uint64_t (*work)[2] = dgnn_alloc(s->nmodel, sizeof(*work));
    int status =
        work ? DGNN_OK : dgnn_status_no_memory(error, "a session", s->nmodel * (int64_t)sizeof(*work));
    *ngroup = 0;
    for (int32_t k = 0; k < s->nmodel && !status; k++) {
        int32_t j = 0;
        status = session_digest_work(s->part[k].model, work[k], error);
        while (!status && j < k && memcmp(work[j], work[k], sizeof(*work))) {
            j++;
        }
        s->part[k].group = j < k ? s->part[j].group : (*ngroup)++;
    }
    dgnn_alloc_free(work);
    return status;
}

static int session_divide(struct dgnn_session *s, struct dgnn_error *error)
{
    int32_t ngroup;
    DGNN_TRY(session_find_groups(s, &ngroup, error));
    int32_t n = ngroup > 1 ? 1 + ngroup : 1;
    s->division = dgnn_alloc_zeroed(n, sizeof(*s->division));
    if (!s->division) {
        return dgnn_status_no_memory(error, "a session", n * (int64_t)sizeof(*s->division));
    }
    s->ndivision = n;
    for (int32_t k = 0; k < n; k++) {
        struct dgnn_session_division *at = &s->division[k];
        at->group = k - 1;
        for (int32_t m = 0; m < s->nmodel; m++) {
            double cutoff = s->part[m].model->properties.descriptor.cutoff;
            if (dgnn_session_is_member(at, &s->part[m]) && cutoff > at->cutoff) {
                at->cutoff = cutoff;
            }
        }
    }
    return DGNN_OK;
}

static int session_fill(struct dgnn_session *s, const struct dgnn_session_options *o,
                        struct dgnn_error *error)
{
    const struct dgnn_model *first = s->part[0].model;
    struct dgnn_digest digest;
    dgnn_digest_begin(&digest);
    DGNN_TRY(session_set_types(s, o, error));
    s->has_default_fparam = s->has_default_charge_spin = 1;
    s->skin = first->skin;
    s->threads = first->threads;
    for (int32_t k = 0; k < s->nmodel; k++) {
        DGNN_TRY(session_join(s, k, &digest, error));
        DGNN_TRY(dgnn_model_sum_workspace_create(s->part[k].model->sum, &s->part[k].workspace, error));
    }
    memcpy(s->digest, first->archive.digest, sizeof(s->digest)); /* alone, a model goes by its own */
    if (s->nmodel > 1) {
        dgnn_digest_end(&digest, s->digest);
    }
    session_find_twins(s);
    DGNN_TRY(session_divide(s, error));
    return session_set_spin(s, error);
}

/* ---------------------------------------------------------------- making and freeing */

static int session_check_models(struct dgnn_model *const *models, int32_t nmodel,
                                struct dgnn_session **session, struct dgnn_error *error)
{
    if (!models || !session || nmodel < 1 || nmodel > SESSION_MODELS_MAX) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "dgnn_session_create: %d models; expected 1 to %d, and no argument but options NULL", nmodel,
            SESSION_MODELS_MAX);
    }
    for (int32_t k = 0; k < nmodel; k++) {
        if (!models[k]) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_session_create: models[%d] is NULL", k);
        }
    }
    return DGNN_OK;
}

int dgnn_session_create(struct dgnn_model *const *models, int32_t nmodel,
                        const struct dgnn_session_options *options, struct dgnn_session **session,
                        struct dgnn_error *error)
{
    DGNN_TRY(session_check_models(models, nmodel, session, error));
    struct dgnn_session *s = dgnn_alloc_zeroed(1, sizeof(*s));
    if (!s) {
        return dgnn_status_no_memory(error, "a session", sizeof(*s));
    }
    s->part = dgnn_alloc_zeroed(nmodel, sizeof(*s->part));
    int status =
        s->part ? DGNN_OK : dgnn_status_no_memory(error, "a session", nmodel * (int64_t)sizeof(*s->part));
    if (!status) {
        s->nmodel = nmodel;
        for (int32_t k = 0; k < nmodel; k++) {
            s->part[k].model = models[k];
        }
        status = session_fill(s, options, error);
    }
    if (status) {
        dgnn_session_free(s);
        return status;
    }
    *session = s;
    return DGNN_OK;
}

static void session_free_part(struct dgnn_session_part *part)
{
    dgnn_model_sum_workspace_free(part->workspace);
    dgnn_alloc_free(part->type_of);
    dgnn_buffer_free(&part->types);
    dgnn_graph_builder_free(&part->builder);
    dgnn_order_free(&part->order);
}

void dgnn_session_free(struct dgnn_session *s)
{
    if (!s) {
        return;
    }
    for (int32_t k = 0; k < s->ndivision; k++) {
        dgnn_domain_free(&s->division[k].domain); /* requests go before the rows that they name */
        dgnn_spin_nodes_free(&s->division[k].spin_nodes);
        dgnn_nlist_free(&s->division[k].list);
    }
    dgnn_alloc_free(s->division);
    dgnn_ghosted_free(&s->ghosted);
    for (int32_t k = 0; k < s->nmodel; k++) {
        session_free_part(&s->part[k]);
    }
    dgnn_alloc_free(s->part);
    dgnn_alloc_free((void *)s->spin.scale);
    dgnn_serial_free(&s->serial);
    struct dgnn_buffer *all[] = {&s->energy,        &s->forces,        &s->forces_mag,   &s->results,
                                 &s->atom_virial,   &s->edge_gradient, &s->ordered_rows, &s->spin_gradient,
                                 &s->output_forces, &s->features};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        dgnn_buffer_free(all[i]);
    }
    dgnn_alloc_free(s);
}

/* ---------------------------------------------------------------- one call at a time */

int dgnn_session_read(const char *function, int has_others, const struct dgnn_system *theirs,
                      struct dgnn_system *own, struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"system", DGNN_SIZED_TO(struct dgnn_system, types), sizeof(*own)};
    memset(own, 0, sizeof(*own));
    return has_others && theirs
               ? dgnn_sized_read(&kind, theirs, own, error)
               : dgnn_status_set(error, DGNN_ERROR_INPUT, "%s: an argument is NULL", function);
}

int dgnn_session_read_ghosted(const char *function, int has_others, const struct dgnn_ghosted *theirs,
                              struct dgnn_ghosted *own, struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"ghosted", DGNN_SIZED_TO(struct dgnn_ghosted, types),
                                           sizeof(*own)};
    memset(own, 0, sizeof(*own));
    return has_others && theirs
               ? dgnn_sized_read(&kind, theirs, own, error)
               : dgnn_status_set(error, DGNN_ERROR_INPUT, "%s: an argument is NULL", function);
}

/* With a communicator, which has been entered, a rank that may not begin takes part in the agreement with
 * which the others do. status: of what the call brings. */
static int session_enter(struct dgnn_session *s, struct dgnn_comm *comm, const char *operation, int status,
                         struct dgnn_error *error)
{
    if (!status && atomic_exchange(&s->busy, 1)) {
        status = dgnn_status_set(error, DGNN_ERROR_BUSY, "the session is computing in another thread");
    }
    if (status) {
        status = dgnn_transport_agree(comm, operation, status, error);
        dgnn_transport_leave(comm);
    }
    return status;
}

static void session_leave(struct dgnn_session *s, struct dgnn_comm *comm)
{
    atomic_store(&s->busy, 0);
    dgnn_transport_leave(comm);
}

int dgnn_session_set_stop(struct dgnn_session *session, int (*wanted)(void *context), void *context,
                          struct dgnn_error *error)
{
    if (!session) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "dgnn_session_set_stop: an argument is NULL");
    }
    DGNN_TRY(session_enter(session, NULL, "set_stop", DGNN_OK, error));
    session->stop.wanted = wanted;
    session->stop.context = context;
    session_leave(session, NULL);
    return DGNN_OK;
}

int dgnn_session_compute(struct dgnn_session *session, const struct dgnn_system *system,
                         struct dgnn_comm *comm, struct dgnn_result *results, struct dgnn_error *error)
{
    struct dgnn_error own; /* an agreement needs a place for its message */
    struct dgnn_system call;
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int status = dgnn_session_read("dgnn_session_compute", session && results, system, &call, error);
    DGNN_TRY(session_enter(session, comm, "compute", status, error));
    status = dgnn_compute(session, &call, comm, results, error);
    session_leave(session, comm);
    return status;
}

int dgnn_session_compute_ghosted(struct dgnn_session *session, const struct dgnn_ghosted *system,
                                 struct dgnn_comm *comm, struct dgnn_result *results,
                                 struct dgnn_error *error)
{
    struct dgnn_error own;
    struct dgnn_ghosted call;
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int status =
        dgnn_session_read_ghosted("dgnn_session_compute_ghosted", session && results, system, &call, error);
    DGNN_TRY(session_enter(session, comm, "compute_ghosted", status, error));
    status = dgnn_compute_ghosted(session, &call, comm, results, error);
    session_leave(session, comm);
    return status;
}
