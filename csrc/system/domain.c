#include "system/domain.h"

#include <math.h>
#include <string.h>

#include "comm/plan.h"
#include "system/domain_build.h"
#include "system/input.h"

/* ------------------------------------------------------------------ what this rank passes */

/* Of a replicated system, rank r's share. */
static void domain_take_part(struct dgnn_domain *d, const struct dgnn_system *s, const struct dgnn_comm *comm)
{
    int64_t rank = dgnn_transport_rank(comm), nrank = dgnn_transport_nrank(comm);
    int64_t begin = s->replicated ? s->natoms * rank / nrank : 0;
    int64_t end = s->replicated ? s->natoms * (rank + 1) / nrank : s->natoms;
    d->part = *s;
    d->part.natoms = end - begin;
    if (begin) {
        d->part.coords = s->coords + 3 * begin;
        d->part.types = s->types + begin;
        d->part.spins = s->spins ? s->spins + 3 * begin : NULL;
        d->part.aparam = s->aparam ? s->aparam + s->naparam * begin : NULL;
        d->part.ids = s->ids ? s->ids + begin : NULL;
    }
}

static int domain_reserve_passed(struct dgnn_domain *d, int64_t nreal, struct dgnn_error *error)
{
    int64_t three = 3 * nreal * (int64_t)sizeof(double);
    DGNN_TRY(dgnn_buffer_reserve(&d->real, nreal * (int64_t)sizeof(int64_t), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->wrapped, three, "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->displaced, d->has_spins ? three : 0, "atoms", error));
    return dgnn_buffer_reserve(&d->fractions, three, "atoms", error);
}

static int domain_wrap(struct dgnn_domain *d, const struct dgnn_domain_input *in,
                       const struct dgnn_cell *cell, struct dgnn_error *error)
{
    int64_t *real = d->real.data;
    double *wrapped = d->wrapped.data, *displaced = d->displaced.data;
    d->nreal = 0;
    for (int64_t i = 0; i < d->part.natoms; i++) {
        if (d->part.types[i] >= 0) {
            memcpy(wrapped + 3 * d->nreal, d->part.coords + 3 * i, 3 * sizeof(double));
            if (d->has_spins) {
                dgnn_spin_nodes_displacement(in->spin, d->part.types[i], d->part.spins + 3 * i,
                                             displaced + 3 * d->nreal);
            }
            real[d->nreal++] = i;
        }
    }
    struct dgnn_cell_wrapped to = {.positions = wrapped, .fractions = d->fractions.data};
    return dgnn_cell_wrap(cell, d->nreal, wrapped, &to, error);
}

/* ------------------------------------------------------------------ may who computes what stay? */

static int domain_same_bytes(const struct dgnn_buffer *before, const void *now, int64_t nbytes)
{
    return nbytes == 0 || (before->data && !memcmp(before->data, now, (size_t)nbytes));
}

static int domain_same_atoms(const struct dgnn_domain *d, const struct dgnn_domain_input *in,
                             const struct dgnn_cell *cell)
{
    const struct dgnn_system *s = &d->part;
    return in->skin == d->skin && s->natoms == d->built_natoms && s->replicated == d->replicated &&
           !memcmp(s->grid, d->grid, sizeof(s->grid)) && dgnn_cell_same(cell, &d->cell) &&
           domain_same_bytes(&d->built_types, s->types, s->natoms * (int64_t)sizeof(int32_t)) &&
           (s->natoms == 0 || (s->ids != NULL) == d->summary.has_ids) &&
           (!s->ids || domain_same_bytes(&d->built_ids, s->ids, s->natoms * (int64_t)sizeof(int64_t)));
}

static double domain_square(const double a[3])
{
    return a[0] * a[0] + a[1] * a[1] + a[2] * a[2];
}

static void domain_move(const struct dgnn_cell *cell, const double *before, const double *now, double move[3])
{
    double cells[3];
    for (int c = 0; c < 3; c++) {
        move[c] = now[c] - before[c];
    }
    dgnn_cell_fraction(cell, move, cells);
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 3 && cell->pbc[k]; c++) {
            move[c] -= rint(cells[k]) * cell->h[3 * k + c];
        }
    }
}

/* Atoms, and virtual ones with them. */
static int domain_moved_little(const struct dgnn_domain *d, const struct dgnn_cell *cell, double limit)
{
    const double *before = d->built_wrapped.data, *now = d->wrapped.data;
    const double *from = d->built_displaced.data, *to = d->displaced.data;
    for (int64_t r = 0; r < d->nreal; r++) {
        double move[3];
        domain_move(cell, before + 3 * r, now + 3 * r, move);
        int little = domain_square(move) <= limit * limit;
        for (int c = 0; c < 3 && d->has_spins; c++) {
            move[c] += to[3 * r + c] - from[3 * r + c];
        }
        if (!little || !(domain_square(move) <= limit * limit)) {
            return 0;
        }
    }
    return 1;
}

static int domain_may_reuse(const struct dgnn_domain *d, const struct dgnn_domain_input *in,
                            const struct dgnn_comm *comm, const struct dgnn_cell *cell)
{
    return d->valid && d->comm == comm && in->skin > 0 && domain_same_atoms(d, in, cell) &&
           domain_moved_little(d, cell, 0.5 * in->skin);
}

/* ------------------------------------------------------------------ the rank's statement */

/* The largest of this rank. */
static double domain_displacement(const struct dgnn_domain *d)
{
    const double *displaced = d->displaced.data;
    double most = 0;
    for (int64_t r = 0; d->has_spins && r < d->nreal; r++) {
        most = fmax(most, domain_square(displaced + 3 * r));
    }
    return sqrt(most);
}

static void domain_fill_statement(const struct dgnn_domain *d, const struct dgnn_domain_input *in,
                                  const struct dgnn_cell *cell, struct dgnn_rank_statement *statement)
{
    const struct dgnn_system *s = &d->part;
    const double *fractions = d->fractions.data;
    memcpy(statement->model, in->model, sizeof(statement->model));
    statement->dtype = in->dtype;
    statement->dense = in->dense;
    statement->nmodel = in->nmodel;
    statement->skin = in->skin;
    dgnn_rank_statement_system(statement, in->system, cell);
    if (s->replicated) {
        dgnn_rank_statement_whole(statement, in->system);
    }
    statement->has_ids = s->natoms ? s->ids != NULL : -1;
    statement->natoms = s->natoms;
    statement->want_atom_virial = in->want_atom_virial;
    statement->want_derivatives = in->want_derivatives;
    statement->displacement = domain_displacement(d);
    statement->first_type = s->natoms ? s->types[0] : -1;
    statement->first_id = s->natoms && s->ids ? s->ids[0] : 0;
    for (int64_t i = 1; i < s->natoms && s->ids; i++) {
        if (s->ids[i] < statement->first_id) {
            statement->first_id = s->ids[i];
            statement->first_type = s->types[i];
        }
    }
    for (int k = 0; k < 3; k++) {
        statement->low[k] = INFINITY;
        statement->high[k] = -INFINITY;
        for (int64_t r = 0; r < d->nreal; r++) {
            statement->low[k] = fmin(statement->low[k], fractions[3 * r + k]);
            statement->high[k] = fmax(statement->high[k], fractions[3 * r + k]);
        }
    }
}

/* All that this rank does before ranks speak. */
static int domain_begin(struct dgnn_domain *d, const struct dgnn_domain_input *in,
                        const struct dgnn_comm *comm, struct dgnn_cell *cell, struct dgnn_error *error)
{
    int64_t nreal, nrank = dgnn_transport_nrank(comm);
    d->valid = d->valid && d->comm == comm; /* the numbers below are those of one communicator */
    d->has_spins = in->spin != NULL;
    d->has_virtual = d->has_spins && !in->spin->is_native;
    DGNN_TRY(dgnn_buffer_reserve(&d->statements, nrank * (int64_t)sizeof(struct dgnn_rank_statement), "ranks",
                                 error));
    DGNN_TRY(dgnn_buffer_reserve(&d->counts, DGNN_DOMAIN_COUNTS * nrank * (int64_t)sizeof(int64_t), "ranks",
                                 error));
    DGNN_TRY(dgnn_input_check(in->system, in->ntypes, &nreal, error));
    DGNN_TRY(dgnn_cell_set(cell, in->system->box, in->system->pbc, error));
    domain_take_part(d, in->system, comm);
    DGNN_TRY(domain_reserve_passed(d, nreal, error));
    return domain_wrap(d, in, cell, error);
}

/* ------------------------------------------------------------------ update */

static void domain_forget(struct dgnn_domain *d)
{
    dgnn_exchange_free(d->features);
    dgnn_exchange_free(d->geometry);
    dgnn_plan_free(d->plan);
    dgnn_plan_free(d->node_plan);
    d->features = d->geometry = NULL;
    d->plan = d->node_plan = NULL;
    d->valid = 0;
    if (d->comm) {
        dgnn_comm_free(d->comm);
        d->comm = NULL;
    }
}

/* What the next call compares with. */
static int domain_remember(struct dgnn_domain *d, struct dgnn_error *error)
{
    const struct dgnn_system *s = &d->part;
    int64_t types = s->natoms * (int64_t)sizeof(int32_t),
            ids = s->ids ? s->natoms * (int64_t)sizeof(int64_t) : 0;
    DGNN_TRY(dgnn_buffer_reserve(&d->built_types, types, "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->built_ids, ids, "atoms", error));
    if (types) {
        memcpy(d->built_types.data, s->types, (size_t)types);
    }
    if (ids) {
        memcpy(d->built_ids.data, s->ids, (size_t)ids);
    }
    memcpy(d->built_wrapped.data, d->wrapped.data, sizeof(double) * 3 * (size_t)d->nreal);
    if (d->has_spins) {
        memcpy(d->built_displaced.data, d->displaced.data, sizeof(double) * 3 * (size_t)d->nreal);
    }
    d->built_natoms = s->natoms;
    d->replicated = s->replicated;
    memcpy(d->grid, s->grid, sizeof(d->grid));
    return DGNN_OK;
}

static int domain_rebuild(struct dgnn_domain *d, const struct dgnn_domain_input *in, struct dgnn_comm *comm,
                          const struct dgnn_cell *cell, struct dgnn_error *error)
{
    domain_forget(d);
    dgnn_transport_retain(comm);
    d->comm = comm;
    d->cell = *cell;
    d->skin = in->skin;
    DGNN_TRY(dgnn_domain_build(d, in, error));
    return dgnn_transport_agree(comm, "compute", domain_remember(d, error), error);
}

static void domain_set_nodes(struct dgnn_domain *d)
{
    struct dgnn_nodes *nodes = &d->nodes;
    nodes->nrow = nodes->nnode;
    nodes->positions = d->positions.data;
    nodes->types = d->types.data;
    nodes->ids = nodes->labels = d->ids.data;
    nodes->aparam = d->aparam.data;
    nodes->spins = d->has_spins ? d->spins.data : NULL;
    nodes->cell = d->cell;
    nodes->first_type = d->summary.first_type;
    nodes->may_reuse = d->reused;
    nodes->exchange = d->features;
    d->want_atom_virial = d->summary.want_atom_virial;
    d->want_derivatives = d->summary.want_derivatives;
}

/* Positions, and spins with them, to ghosts. */
static int domain_forward(struct dgnn_domain *d, struct dgnn_error *error)
{
    double *positions = d->positions.data, *spins = d->spins.data,
           *places = d->has_spins ? d->places.data : positions;
    int64_t nowned = d->nodes.nowned;
    for (int64_t i = 0; i < nowned && d->has_spins; i++) {
        memcpy(places + 6 * i, positions + 3 * i, 3 * sizeof(double));
        memcpy(places + 6 * i + 3, spins + 3 * i, 3 * sizeof(double));
    }
    DGNN_TRY(dgnn_exchange_forward_begin(d->geometry, places, d->has_spins ? 6 : 3, sizeof(double), error));
    DGNN_TRY(dgnn_exchange_forward_end(d->geometry, error));
    DGNN_TRY(dgnn_exchange_settle(d->geometry, error));
    for (int64_t i = nowned; i < d->nodes.nnode && d->has_spins; i++) {
        memcpy(positions + 3 * i, places + 6 * i, 3 * sizeof(double));
        memcpy(spins + 3 * i, places + 6 * i + 3, 3 * sizeof(double));
    }
    return DGNN_OK;
}

static int domain_update(struct dgnn_domain *d, const struct dgnn_domain_input *in, struct dgnn_comm *comm,
                         const struct dgnn_cell *cell, struct dgnn_error *error)
{
    struct dgnn_rank_statement statement;
    struct dgnn_rank_statement_summary summary;
    memset(&statement, 0, sizeof(statement));
    domain_fill_statement(d, in, cell, &statement);
    statement.may_reuse = domain_may_reuse(d, in, comm, cell);
    DGNN_TRY(dgnn_rank_statement_share(&statement, comm, d->statements.data, &summary, error));
    d->summary = summary;
    d->reused = summary.may_reuse;
    if (d->reused) {
        DGNN_TRY(dgnn_domain_build_bring(d, in->dim_aparam, error));
    } else {
        DGNN_TRY(domain_rebuild(d, in, comm, cell, error));
    }
    d->valid = 0; /* until ghosts are where they belong */
    DGNN_TRY(domain_forward(d, error));
    d->valid = 1;
    domain_set_nodes(d);
    d->nfeature = in->nfeature;
    return DGNN_OK;
}

int dgnn_domain_update(struct dgnn_domain *d, const struct dgnn_domain_input *in, struct dgnn_comm *comm,
                       int status, struct dgnn_error *error)
{
    struct dgnn_cell cell;
    d->natoms = in->system->natoms;
    status = status ? status : domain_begin(d, in, comm, &cell, error);
    DGNN_TRY(dgnn_transport_agree(comm, "compute", status, error));
    return domain_update(d, in, comm, &cell, error);
}

/* ------------------------------------------------------------------ results */

static struct dgnn_results_shape domain_shape(const struct dgnn_domain *d, const struct dgnn_node_form *form)
{
    return dgnn_results_shape(form, d->has_spins, d->want_atom_virial);
}

/* Numbers at the begin of an atom's row: its energy, or another answer. */
static int64_t domain_head(const struct dgnn_node_form *form)
{
    return form->width ? form->width : 1;
}

/* Numbers that travel home for an atom: its answer and a row of results, the atomic virial where a rank wants
 * it, then its features. */
static int64_t domain_width(const struct dgnn_domain *d, const struct dgnn_node_form *form)
{
    return domain_head(form) + domain_shape(d, form).width + d->nfeature;
}

/* The longest slice of a replicated system. */
static int64_t domain_slice_max(const struct dgnn_domain *d)
{
    int64_t nrank = dgnn_transport_nrank(d->comm);
    return (d->natoms + nrank - 1) / nrank;
}

int dgnn_domain_prepare(struct dgnn_domain *d, const struct dgnn_node_form *form, struct dgnn_error *error)
{
    int64_t row = domain_width(d, form) * (int64_t)sizeof(double), nrank = dgnn_transport_nrank(d->comm);
    int64_t in = d->nreal, out = d->nodes.nowned, back = domain_shape(d, form).width;
    if (d->replicated) {
        int64_t longest = domain_slice_max(d);
        out = out > nrank * longest ? out : nrank * longest;
        DGNN_TRY(dgnn_buffer_reserve(&d->gather, longest * row, "results", error));
    }
    DGNN_TRY(dgnn_buffer_reserve(&d->moving_in, out * row, "results", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->moving_out, in * row, "results", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->totals, dgnn_results_ntotal(form) * (int64_t)sizeof(double), "totals",
                                 error));
    return back ? dgnn_exchange_prepare(d->geometry, d->back.data, back, sizeof(double), error) : DGNN_OK;
}

int dgnn_domain_add(struct dgnn_domain *d, struct dgnn_node_result *r, struct dgnn_error *error)
{
    struct dgnn_results_shape shape = domain_shape(d, &r->form);
    double *back = d->back.data;
    if (!shape.width) {
        return DGNN_OK;
    }
    for (int64_t i = 0; i < d->nodes.nnode; i++) {
        dgnn_results_pack(r, &shape, i, back + shape.width * i);
    }
    DGNN_TRY(dgnn_exchange_reverse_begin(d->geometry, back, shape.width, sizeof(double), error));
    DGNN_TRY(dgnn_exchange_reverse_end(d->geometry, error));
    dgnn_results_unpack(back, &shape, d->nodes.nowned, r);
    return DGNN_OK;
}

/* length numbers of a row into an atom's place, where both are there. */
static void domain_spread_part(const double *row, int64_t place, int64_t length, int64_t atom, double *to)
{
    if (to && place >= 0) {
        memcpy(to + length * atom, row + place, sizeof(double) * (size_t)length);
    }
}

/* from: whose row it is. */
static void domain_spread(const struct dgnn_domain *d, const struct dgnn_node_result *from, const double *row,
                          int64_t atom, struct dgnn_result *to)
{
    const struct dgnn_node_form *form = &from->form;
    struct dgnn_results_shape shape = domain_shape(d, form);
    int64_t head = domain_head(form);
    domain_spread_part(row, form->width ? -1 : 0, 1, atom, to->atom_energy);
    domain_spread_part(row, form->width ? 0 : -1, head, atom, form->width ? to->atom_output : NULL);
    row += head;
    domain_spread_part(row, shape.forces, 3, atom, to->forces);
    domain_spread_part(row, shape.forces_mag, 3, atom, to->forces_mag);
    domain_spread_part(row, shape.atom_virial, 9, atom, to->atom_virial);
    domain_spread_part(row, shape.output_forces, 9, atom, form->width ? to->output_forces : NULL);
    row += shape.width;
    for (int k = 0; k < DGNN_FEATURES_KINDS; k++) {
        int64_t width = from->features.width[k];
        domain_spread_part(row, width ? 0 : -1, width, atom, dgnn_results_features(to, k));
        row += width;
    }
}

static void domain_clear(const struct dgnn_domain *d, const struct dgnn_node_result *from,
                         struct dgnn_result *to)
{
    const struct dgnn_node_form *form = &from->form;
    const int64_t *features = from->features.width;
    double *arrays[] = {to->atom_energy,
                        to->forces,
                        to->forces_mag,
                        to->atom_virial,
                        form->width ? to->atom_output : NULL,
                        form->width ? to->output_forces : NULL,
                        to->descriptor,
                        to->last_layer};
    const int64_t widths[] = {
        1, 3, 3, 9, form->width, 9, features[DGNN_FEATURES_DESCRIPTOR], features[DGNN_FEATURES_LAST_LAYER]};
    for (size_t k = 0; k < sizeof(arrays) / sizeof(arrays[0]); k++) {
        if (arrays[k] && d->natoms) {
            memset(arrays[k], 0, sizeof(double) * (size_t)(widths[k] * d->natoms));
        }
    }
}

static void domain_pack(const struct dgnn_domain *d, const struct dgnn_node_result *from, double *out)
{
    const int32_t *arrival = d->arrival.data;
    struct dgnn_results_shape shape = domain_shape(d, &from->form);
    int64_t head = domain_head(&from->form);
    const double *answers = from->form.width ? from->output : from->energy;
    for (int64_t k = 0; k < d->nodes.nowned; k++) {
        double *row = out + domain_width(d, &from->form) * k;
        memcpy(row, answers + head * arrival[k], sizeof(double) * (size_t)head);
        dgnn_results_pack(from, &shape, arrival[k], row + head);
        row += head + shape.width;
        for (int kind = 0; kind < DGNN_FEATURES_KINDS; kind++) {
            int64_t width = from->features.width[kind];
            if (width) {
                memcpy(row, from->features.rows[kind] + width * arrival[k], sizeof(double) * (size_t)width);
            }
            row += width;
        }
    }
}

/* Every rank gets every slice; a slice is filled up to the longest one. rows: those that came home. */
static int domain_gather(struct dgnn_domain *d, const struct dgnn_node_result *from, const double *rows,
                         struct dgnn_result *to, struct dgnn_error *error)
{
    const int64_t *departure = d->departure.data, *real = d->real.data;
    int64_t nrank = dgnn_transport_nrank(d->comm), width = domain_width(d, &from->form),
            longest = domain_slice_max(d);
    double *all = d->moving_in.data, *mine = d->gather.data;
    memset(mine, 0, sizeof(double) * (size_t)(width * longest));
    for (int64_t k = 0; k < d->nreal; k++) {
        memcpy(mine + width * real[departure[k]], rows + width * k, sizeof(double) * (size_t)width);
    }
    DGNN_TRY(dgnn_transport_allgather(d->comm, mine, width * longest * (int64_t)sizeof(double), all, error));
    for (int64_t rank = 0; rank < nrank; rank++) {
        int64_t begin = d->natoms * rank / nrank, end = d->natoms * (rank + 1) / nrank;
        for (int64_t atom = begin; atom < end; atom++) {
            domain_spread(d, from, all + width * (rank * longest + atom - begin), atom, to);
        }
    }
    return DGNN_OK;
}

static int domain_totals(struct dgnn_domain *d, const struct dgnn_node_result *from, struct dgnn_result *to,
                         struct dgnn_error *error)
{
    double total[12] = {0}; /* a count below 2^53 is exact, too */
    for (int64_t r = 0; from->energy && r < d->nodes.nowned; r++) {
        total[0] += from->energy[r];
    }
    memcpy(total + 1, from->virial, sizeof(from->virial));
    total[10] = (double)from->ntruncated;
    total[11] = (double)from->nangle_truncated;
    DGNN_TRY(dgnn_transport_sum(d->comm, total, 12, error));
    to->energy = total[0];
    memcpy(to->virial, total + 1, sizeof(to->virial));
    to->ntruncated = (int64_t)total[10];
    to->nangle_truncated = (int64_t)total[11];
    if (from->form.width) {
        dgnn_results_total(from, d->nodes.nowned, d->totals.data);
        DGNN_TRY(dgnn_transport_sum(d->comm, d->totals.data, dgnn_results_ntotal(&from->form), error));
        dgnn_results_set_total(&from->form, d->totals.data, to);
    }
    return DGNN_OK;
}

int dgnn_domain_return(struct dgnn_domain *d, const struct dgnn_node_result *from, struct dgnn_result *to,
                       struct dgnn_error *error)
{
    const int64_t *departure = d->departure.data, *real = d->real.data;
    int64_t width = domain_width(d, &from->form);
    double *rows = d->moving_in.data;
    domain_pack(d, from, rows);
    if (!d->all_home) {
        DGNN_TRY(dgnn_transport_alltoallv(d->comm, rows, dgnn_domain_counts(d, DGNN_DOMAIN_ARRIVE),
                                          d->moving_out.data, dgnn_domain_counts(d, DGNN_DOMAIN_DEPART),
                                          width * (int64_t)sizeof(double), error));
        rows = d->moving_out.data;
    }
    DGNN_TRY(domain_totals(d, from, to, error));
    DGNN_TRY(dgnn_exchange_settle(d->features, error));
    DGNN_TRY(dgnn_exchange_settle(d->geometry, error));
    domain_clear(d, from, to);
    if (d->replicated) {
        return domain_gather(d, from, rows, to, error);
    }
    for (int64_t k = 0; k < d->nreal; k++) {
        domain_spread(d, from, rows + width * k, real[departure[k]], to);
    }
    return DGNN_OK;
}

void dgnn_domain_free(struct dgnn_domain *d)
{
    struct dgnn_buffer *all[] = {
        &d->statements, &d->real,          &d->wrapped,   &d->fractions,       &d->departure, &d->built_types,
        &d->built_ids,  &d->built_wrapped, &d->counts,    &d->moving_out,      &d->moving_in, &d->arrival,
        &d->positions,  &d->types,         &d->ids,       &d->aparam,          &d->back,      &d->gather,
        &d->spins,      &d->places,        &d->displaced, &d->built_displaced, &d->totals};
    domain_forget(d);
    dgnn_bricks_free(&d->bricks);
    dgnn_halo_free(&d->halo);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        dgnn_buffer_free(all[i]);
    }
}
