#include "system/ghosted.h"

#include <math.h>
#include <string.h>

#include "comm/check.h"
#include "comm/plan.h"
#include "comm/spin_rows.h"
#include "system/input.h"

/* ------------------------------------------------------------------ checks */

static int ghosted_check_spins(const struct dgnn_ghosted_input *in, struct dgnn_error *error)
{
    const struct dgnn_ghosted *s = in->system;
    if (in->has_spins && s->nall && !s->spins) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "spins: found none; expected a vector for each of %lld rows, "
                               "ghosts among them",
                               (long long)s->nall);
    }
    for (int64_t k = 3 * s->nlocal; in->has_spins && k < 3 * s->nall; k++) {
        if (s->types[k / 3] >= 0 && !isfinite(s->spins[k])) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "spins: that of ghost row %lld has %c = %g; expected a finite "
                                   "number",
                                   (long long)(k / 3), "xyz"[k % 3], s->spins[k]);
        }
    }
    return DGNN_OK;
}

static int ghosted_check(const struct dgnn_ghosted_input *in, struct dgnn_error *error)
{
    const struct dgnn_ghosted *s = in->system;
    int64_t nreal;
    if (s->nlocal < 0 || s->nall < s->nlocal || s->nall > INT32_MAX ||
        (s->nall && (!s->coords || !s->types))) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "nlocal: %lld of %lld rows; expected 0 <= nlocal <= rows < 2^31, with coords and types",
            (long long)s->nlocal, (long long)s->nall);
    }
    if (s->border && (s->direct || s->mapping)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "border: found with a %s; expected it alone (a mapping goes with a "
                               "direct plan)",
                               s->direct ? "direct plan" : "mapping");
    }
    if (s->neighbour_first && s->neighbour_first[s->nlocal] > 0 && !s->neighbour) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "neighbours: %lld of them, but no rows",
                               (long long)s->neighbour_first[s->nlocal]);
    }
    DGNN_TRY(ghosted_check_spins(in, error));
    struct dgnn_system rows = {.natoms = s->nall, .coords = s->coords, .types = s->types};
    return dgnn_input_check(&rows, in->ntypes, &nreal, error);
}

static enum dgnn_ghosted_kind ghosted_kind(const struct dgnn_ghosted *s)
{
    return s->border    ? DGNN_GHOSTED_BORDER
           : s->direct  ? DGNN_GHOSTED_DIRECT
           : s->mapping ? DGNN_GHOSTED_MAPPING
                        : DGNN_GHOSTED_NOTHING;
}

/* Ghosts without a way to their owners. */
static int ghosted_check_plan(const struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                              struct dgnn_error *error)
{
    if (g->kind != DGNN_GHOSTED_NOTHING || g->nodes.nrow == g->nodes.nowned) {
        return DGNN_OK;
    }
    if (in->needs_plan) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: this model passes messages, so its %lld ghosts need the features of their "
            "owners; pass border (or, where all owners are on this rank, mapping)",
            (long long)(g->nodes.nrow - g->nodes.nowned));
    }
    if (g->add) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "ghost_forces 'add': without border or mapping there is no way to the owners");
    }
    return DGNN_OK;
}

/* Are rows those of the last call? */
static int ghosted_check_same(const struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                              const struct dgnn_comm *comm, struct dgnn_error *error)
{
    const struct dgnn_ghosted *s = in->system;
    const char *problem = NULL;
    if (!g->valid || g->comm != comm) {
        problem = "there is no earlier call with this communicator that went well";
    } else if (s->nlocal != g->nlocal || s->nall != g->nall) {
        problem = "the last call had other numbers of rows";
    } else if (s->nall && memcmp(s->types, g->host_types.data, sizeof(int32_t) * (size_t)s->nall)) {
        problem = "the last call had other types";
    }
    return problem ? dgnn_status_set(error, DGNN_ERROR_INPUT, "same_list: %s", problem) : DGNN_OK;
}

/* ------------------------------------------------------------------ rows */

static int ghosted_reserve(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                           struct dgnn_error *error)
{
    int64_t n = in->system->nall;
    DGNN_TRY(dgnn_buffer_reserve(&g->host_types, n * (int64_t)sizeof(int32_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->new_row, n * (int64_t)sizeof(int32_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->order, n * (int64_t)sizeof(int32_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->place, n * (int64_t)sizeof(int32_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->back, n * (int64_t)sizeof(int64_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->row, n * (int64_t)sizeof(int64_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->owner, n * (int64_t)sizeof(int32_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->ids, n * (int64_t)sizeof(int64_t), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->positions, 3 * n * (int64_t)sizeof(double), "rows", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->types, n * (int64_t)sizeof(int32_t), "rows", error));
    DGNN_TRY(
        dgnn_buffer_reserve(&g->spins, in->has_spins ? 3 * n * (int64_t)sizeof(double) : 0, "rows", error));
    return dgnn_buffer_reserve(&g->aparam, in->system->nlocal * in->dim_aparam * (int64_t)sizeof(double),
                               "rows", error);
}

/* Images stand for rows that are no images, and are of their type: an image and its row are one atom. */
static int ghosted_check_mapping(const struct dgnn_ghosted *s, struct dgnn_error *error)
{
    int64_t end = s->direct ? s->nall : s->nlocal;
    for (int64_t i = 0; i < s->nall; i++) {
        int64_t to = s->mapping[i];
        if (to < 0 || to >= end || (i < s->nlocal && to != i)) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "mapping: row %lld is mapped to row %lld; expected %s", (long long)i,
                                   (long long)to,
                                   i < s->nlocal ? "itself, as it is owned"
                                   : s->direct   ? "itself, or the row that stands for its atom"
                                                 : "an owned row");
        }
        if (s->mapping[to] != to) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "mapping: row %lld is mapped to row %lld, which is mapped to row "
                                   "%lld; expected one row for each atom, mapped to itself",
                                   (long long)i, (long long)to, (long long)s->mapping[to]);
        }
        if (s->types[i] != s->types[to]) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "mapping: row %lld has type %d, but its owner, row %lld, has type %d",
                                   (long long)i, s->types[i], (long long)to, s->types[to]);
        }
    }
    return DGNN_OK;
}

/* Rows in the order in which they are numbered: owned ones, ghosts that stand for an atom, then images of
 * either. */
static void ghosted_arrange(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s)
{
    int32_t *order = g->order.data, *place = g->place.data, next = 0;
    for (int32_t images = 0; images < 2; images++) {
        for (int32_t i = 0; i < s->nall; i++) {
            int is_image = s->mapping && s->mapping[i] != i;
            if (is_image == images) {
                place[i] = next;
                order[next++] = i;
            }
        }
        g->ndistinct = images ? g->ndistinct : next;
    }
}

/* Which rows are left when NULL atoms go. Then place says the same of rows in order, for the plan. */
static void ghosted_number(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s)
{
    const int32_t *order = g->order.data;
    int32_t *new_row = g->new_row.data, *types = g->types.data, next = 0;
    int64_t *row = g->row.data;
    for (int64_t k = 0; k < s->nall; k++) {
        int32_t i = order[k];
        g->nodes.nowned = k <= s->nlocal ? next : g->nodes.nowned;
        g->nodes.nnode = k <= g->ndistinct ? next : g->nodes.nnode;
        new_row[i] = s->types[i] < 0 ? -1 : next;
        if (s->types[i] >= 0) {
            types[next] = s->types[i];
            row[next++] = i;
        }
    }
    g->nodes.nowned = s->nall == s->nlocal ? next : g->nodes.nowned;
    g->nodes.nnode = s->nall == g->ndistinct ? next : g->nodes.nnode;
    g->nodes.nrow = next;
    g->nlocal = s->nlocal;
    g->nall = s->nall;
    g->mapped = s->mapping != NULL;
    if (s->nall) {
        memcpy(g->host_types.data, s->types, sizeof(int32_t) * (size_t)s->nall);
    }
}

static void ghosted_place(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s, int64_t dim_aparam)
{
    const int64_t *row = g->row.data;
    double *positions = g->positions.data, *aparam = g->aparam.data, *spins = g->spins.data;
    for (int64_t r = 0; r < g->nodes.nrow; r++) {
        memcpy(positions + 3 * r, s->coords + 3 * row[r], 3 * sizeof(double));
        if (g->has_spins) {
            memcpy(spins + 3 * r, s->spins + 3 * row[r], 3 * sizeof(double));
        }
    }
    for (int64_t r = 0; r < g->nodes.nowned && dim_aparam; r++) {
        memcpy(aparam + dim_aparam * r, s->aparam + dim_aparam * row[r], sizeof(double) * (size_t)dim_aparam);
    }
}

/* Rows of the mapping become nodes. */
static void ghosted_map(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s)
{
    const int32_t *new_row = g->new_row.data;
    const int64_t *row = g->row.data;
    int32_t *owner = g->owner.data;
    int64_t *ids = g->ids.data;
    for (int64_t r = 0; r < g->nodes.nrow; r++) {
        owner[r] = new_row[s->mapping[row[r]]];
        ids[r] = owner[r];
    }
}

/* The host's lists among the rows that are left; -1 stands for an empty place. */
static int ghosted_take_list(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s,
                             struct dgnn_error *error)
{
    const int32_t *new_row = g->new_row.data;
    const int64_t *from = s->neighbour_first;
    int64_t count = 0, centre = 0;
    g->has_list = from != NULL;
    for (int64_t i = 0; from && i < s->nlocal; i++) {
        if (from[0] != 0 || from[i + 1] < from[i]) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "neighbours: those of row %lld go from %lld to %lld; expected a list from 0 upwards",
                (long long)i, (long long)from[i], (long long)from[i + 1]);
        }
    }
    DGNN_TRY(dgnn_buffer_reserve(&g->list_first, (g->nodes.nowned + 1) * (int64_t)sizeof(int64_t),
                                 "neighbours", error));
    DGNN_TRY(dgnn_buffer_reserve(&g->list_row, (from ? from[s->nlocal] : 0) * (int64_t)sizeof(int32_t),
                                 "neighbours", error));
    int64_t *first = g->list_first.data;
    int32_t *rows = g->list_row.data;
    for (int64_t i = 0; from && i < s->nlocal; i++) {
        first[centre] = count;
        centre += new_row[i] >= 0;
        for (int64_t k = from[i]; k < from[i + 1]; k++) {
            int32_t j = s->neighbour[k];
            if (j < -1 || j >= s->nall) {
                return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                       "neighbours: row %lld names row %d; expected a row below %lld, or -1",
                                       (long long)i, j, (long long)s->nall);
            }
            if (new_row[i] >= 0 && j >= 0 && new_row[j] >= 0) {
                rows[count++] = new_row[j];
            }
        }
    }
    first[g->nodes.nowned] = count;
    return DGNN_OK;
}

/* ------------------------------------------------------------------ plans */

static void ghosted_forget(struct dgnn_ghosted_nodes *g)
{
    dgnn_exchange_free(g->features);
    dgnn_exchange_free(g->geometry);
    dgnn_plan_free(g->plan);
    dgnn_plan_free(g->node_plan);
    dgnn_swaps_free(g->swaps);
    dgnn_swaps_free(g->node_swaps);
    g->features = g->geometry = NULL;
    g->plan = g->node_plan = NULL;
    g->swaps = g->node_swaps = NULL;
    g->valid = 0;
    dgnn_comm_free(g->comm);
    g->comm = NULL;
}

/* A ghost and its owner are one atom, so of one type: then both ends drop the same NULL rows. all: the
 * exchange of the host's rows, or NULL where status says why not. Collective. */
static int ghosted_check_types(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s,
                               struct dgnn_exchange *all, int status, struct dgnn_error *error)
{
    const int32_t *order = g->order.data;
    int64_t *types = g->back.data;
    struct dgnn_check_values values = {.what = "type", .value = types, .row = order};
    DGNN_TRY(dgnn_transport_agree(g->comm, "compute_ghosted", status, error));
    for (int64_t k = 0; k < g->ndistinct; k++) {
        types[k] = s->types[order[k]];
    }
    return dgnn_check_rows(g->comm, "compute_ghosted", all, &values, error);
}

/* The host's plan is checked, and then goes on without NULL atoms. */
static int ghosted_border(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s,
                          struct dgnn_error *error)
{
    struct dgnn_swaps *all = NULL;
    struct dgnn_exchange *exchange = NULL;
    int32_t me = dgnn_transport_rank(g->comm), nrank = dgnn_transport_nrank(g->comm);
    int status = dgnn_swaps_create(s->border, s->nlocal, s->nall, me, nrank, &all, error);
    status = dgnn_check_swaps(g->comm, "compute_ghosted", all, status, error);
    if (!status) {
        status = dgnn_exchange_create_swaps(all, g->comm, DGNN_EXCHANGE_GEOMETRY, &exchange, error);
        status = ghosted_check_types(g, s, exchange, status, error);
    }
    if (!status) {
        status = dgnn_swaps_remap(all, g->new_row.data, &g->swaps, error);
        status = dgnn_transport_agree(g->comm, "compute_ghosted", status, error);
    }
    dgnn_exchange_free(exchange);
    dgnn_swaps_free(all);
    return status;
}

/* With a mapping, the plan is one of rows in order, without images. What is no plan at all is said when it is
 * made. */
static int ghosted_direct_rows(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s,
                               struct dgnn_direct *direct, struct dgnn_error *error)
{
    const int32_t *place = g->place.data;
    int64_t nghost = g->ndistinct - s->nlocal;
    *direct = *s->direct;
    if (!s->mapping || direct->nneighbour < 1 || !direct->recv_first || !direct->recv_row) {
        return DGNN_OK;
    }
    if (direct->recv_first[direct->nneighbour] != nghost) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "direct plan: recv_first counts %lld rows, expected one for each of the %lld ghosts that "
            "the mapping leaves as they are",
            (long long)direct->recv_first[direct->nneighbour], (long long)nghost);
    }
    DGNN_TRY(dgnn_buffer_reserve(&g->received, nghost * (int64_t)sizeof(int32_t), "rows", error));
    int32_t *received = g->received.data;
    for (int64_t k = 0; k < nghost; k++) {
        int32_t row = direct->recv_row[k];
        if (row < s->nlocal || row >= s->nall || s->mapping[row] != row) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "direct plan: recv_row[%lld] is %d, expected a ghost that is mapped to itself", (long long)k,
                row);
        }
        received[k] = place[row];
    }
    direct->recv_row = received;
    return DGNN_OK;
}

/* new_row of rows in order, in the place of their places, which nothing needs any more. */
static const int32_t *ghosted_new_rows(struct dgnn_ghosted_nodes *g)
{
    const int32_t *order = g->order.data, *new_row = g->new_row.data;
    int32_t *ordered = g->place.data;
    for (int64_t k = 0; k < g->ndistinct; k++) {
        ordered[k] = new_row[order[k]];
    }
    return ordered;
}

static int ghosted_direct(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted *s,
                          struct dgnn_error *error)
{
    struct dgnn_plan *all = NULL;
    struct dgnn_exchange *exchange = NULL;
    struct dgnn_direct direct;
    int32_t me = dgnn_transport_rank(g->comm), nrank = dgnn_transport_nrank(g->comm);
    int status = ghosted_direct_rows(g, s, &direct, error);
    status = status ? status : dgnn_plan_create(&direct, s->nlocal, g->ndistinct, me, nrank, &all, error);
    status = dgnn_check_plan(g->comm, "compute_ghosted", all, status, error);
    if (!status) {
        status = dgnn_exchange_create_direct(all, g->comm, DGNN_EXCHANGE_GEOMETRY, &exchange, error);
        status = ghosted_check_types(g, s, exchange, status, error);
    }
    if (!status) {
        status = dgnn_plan_remap(all, ghosted_new_rows(g), &g->plan, error);
        status = dgnn_transport_agree(g->comm, "compute_ghosted", status, error);
    }
    dgnn_exchange_free(exchange);
    dgnn_plan_free(all);
    return status;
}

static int ghosted_exchanges(struct dgnn_ghosted_nodes *g, struct dgnn_error *error)
{
    const struct dgnn_node_form energies = {0};
    int64_t widest = dgnn_results_shape(&energies, g->has_spins, 1).width;
    DGNN_TRY(
        dgnn_buffer_reserve(&g->back, widest * g->nodes.nrow * (int64_t)sizeof(double), "ghosts", error));
    if (g->swaps) {
        if (g->has_virtual) {
            DGNN_TRY(dgnn_spin_swaps(g->swaps, &g->node_swaps, error));
        }
        DGNN_TRY(dgnn_exchange_create_swaps(g->has_virtual ? g->node_swaps : g->swaps, g->comm,
                                            DGNN_EXCHANGE_FEATURES, &g->features, error));
        DGNN_TRY(dgnn_exchange_create_swaps(g->swaps, g->comm, DGNN_EXCHANGE_GEOMETRY, &g->geometry, error));
    } else if (g->plan) {
        if (g->has_virtual) {
            DGNN_TRY(dgnn_spin_plan(g->plan, &g->node_plan, error));
        }
        DGNN_TRY(dgnn_exchange_create_direct(g->has_virtual ? g->node_plan : g->plan, g->comm,
                                             DGNN_EXCHANGE_FEATURES, &g->features, error));
        DGNN_TRY(dgnn_exchange_create_direct(g->plan, g->comm, DGNN_EXCHANGE_GEOMETRY, &g->geometry, error));
    }
    return dgnn_exchange_prepare(g->geometry, g->back.data, widest, sizeof(double), error);
}

/* A new list: collective. */
static int ghosted_build(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                         struct dgnn_error *error)
{
    const struct dgnn_ghosted *s = in->system;
    if (g->kind == DGNN_GHOSTED_BORDER) {
        DGNN_TRY(ghosted_border(g, s, error));
    } else if (g->kind == DGNN_GHOSTED_DIRECT) {
        DGNN_TRY(ghosted_direct(g, s, error));
    }
    return dgnn_transport_agree(g->comm, "compute_ghosted", ghosted_exchanges(g, error), error);
}

/* ------------------------------------------------------------------ update */

/* What this rank does before ranks speak: a new list drops the old one first. */
static int ghosted_begin(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                         struct dgnn_comm *comm, struct dgnn_error *error)
{
    const struct dgnn_ghosted *s = in->system;
    DGNN_TRY(dgnn_buffer_reserve(&g->statements,
                                 dgnn_transport_nrank(comm) * (int64_t)sizeof(struct dgnn_rank_statement),
                                 "ranks", error));
    DGNN_TRY(ghosted_check(in, error));
    g->add = s->add_ghost_forces != 0;
    g->has_spins = in->has_spins;
    g->has_virtual = in->has_virtual;
    if (s->same_list) {
        DGNN_TRY(ghosted_check_same(g, in, comm, error));
    } else {
        ghosted_forget(g);
        dgnn_transport_retain(comm);
        g->comm = comm;
        g->kind = ghosted_kind(s);
        DGNN_TRY(ghosted_reserve(g, in, error));
        if (s->mapping) {
            DGNN_TRY(ghosted_check_mapping(s, error));
        }
        ghosted_arrange(g, s);
        ghosted_number(g, s);
        if (s->mapping) {
            ghosted_map(g, s);
        }
        DGNN_TRY(ghosted_take_list(g, s, error));
    }
    DGNN_TRY(ghosted_check_plan(g, in, error));
    ghosted_place(g, s, in->dim_aparam);
    return DGNN_OK;
}

static void ghosted_set_nodes(struct dgnn_ghosted_nodes *g, int32_t same)
{
    struct dgnn_nodes *nodes = &g->nodes;
    nodes->positions = g->positions.data;
    nodes->types = g->types.data;
    nodes->owner = g->mapped ? g->owner.data : NULL;
    nodes->ids = g->mapped ? g->ids.data : NULL;
    nodes->labels = g->row.data;
    nodes->aparam = g->aparam.data;
    nodes->spins = g->has_spins ? g->spins.data : NULL;
    nodes->list_first = g->has_list ? g->list_first.data : NULL;
    nodes->list_row = g->list_row.data;
    nodes->may_reuse = same;
    nodes->exchange = g->features;
    dgnn_cell_set(&nodes->cell, NULL, NULL, NULL); /* open: images stand at their places */
}

static void ghosted_fill_statement(const struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                                   struct dgnn_rank_statement *statement)
{
    const struct dgnn_ghosted *s = in->system;
    struct dgnn_system system = {
        .fparam = s->fparam, .nfparam = s->nfparam, .charge_spin = s->charge_spin, .request = s->request};
    struct dgnn_cell open;
    memset(statement, 0, sizeof(*statement));
    memset(&open, 0, sizeof(open));
    memcpy(statement->model, in->model, sizeof(statement->model));
    statement->dtype = in->dtype;
    statement->dense = in->dense;
    statement->nmodel = in->nmodel;
    statement->skin = in->skin;
    dgnn_rank_statement_system(statement, &system, &open);
    statement->add_ghost_forces = g->add;
    statement->same_list = s->same_list != 0;
    statement->plan_kind = g->kind;
    statement->has_ids = -1;
    statement->natoms = s->nlocal;
    statement->first_type = s->nlocal ? s->types[0] : -1;
    statement->want_atom_virial = in->want_atom_virial;
    statement->want_derivatives = in->want_derivatives;
}

int dgnn_ghosted_update(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *in,
                        struct dgnn_comm *comm, int status, struct dgnn_error *error)
{
    struct dgnn_rank_statement statement;
    struct dgnn_rank_statement_summary summary;
    int32_t same = in->system->same_list != 0;
    status = status ? status : ghosted_begin(g, in, comm, error);
    DGNN_TRY(dgnn_transport_agree(comm, "compute_ghosted", status, error));
    ghosted_fill_statement(g, in, &statement);
    DGNN_TRY(dgnn_rank_statement_share(&statement, comm, g->statements.data, &summary, error));
    if (!same) {
        DGNN_TRY(ghosted_build(g, in, error));
    }
    g->want_atom_virial = summary.want_atom_virial;
    g->want_derivatives = summary.want_derivatives;
    g->nodes.first_type = summary.first_type;
    ghosted_set_nodes(g, same);
    g->valid = 1;
    return DGNN_OK;
}

void dgnn_ghosted_free(struct dgnn_ghosted_nodes *g)
{
    struct dgnn_buffer *all[] = {&g->statements, &g->host_types, &g->new_row, &g->row,    &g->owner,
                                 &g->ids,        &g->positions,  &g->types,   &g->aparam, &g->spins,
                                 &g->list_first, &g->list_row,   &g->back,    &g->order,  &g->place,
                                 &g->received,   &g->totals};
    ghosted_forget(g);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        dgnn_buffer_free(all[i]);
    }
}
