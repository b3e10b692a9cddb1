#include "system/serial.h"

#include <stdlib.h>
#include <string.h>

#include "system/input.h"
#include "system/results.h"

static int serial_reserve(struct dgnn_serial *s, const struct dgnn_system *system, int64_t nnode,
                          int64_t dim_aparam, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_buffer_reserve(&s->atom, nnode * (int64_t)sizeof(int64_t), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->positions, 3 * nnode * (int64_t)sizeof(double), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->ids, nnode * (int64_t)sizeof(int64_t), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&s->spins, system->spins ? 3 * nnode * (int64_t)sizeof(double) : 0, "spins",
                                 error));
    return dgnn_buffer_reserve(&s->aparam, nnode * dim_aparam * (int64_t)sizeof(double), "atoms", error);
}

/* Are the types those of the last call? Then rows mean the same atoms, as far as the caller lets us know. */
static int serial_same_types(struct dgnn_serial *s, const struct dgnn_system *system,
                             struct dgnn_error *error, int32_t *same)
{
    size_t nbytes = sizeof(int32_t) * (size_t)system->natoms;
    *same = s->natoms == system->natoms && nbytes && s->wrapped_types.data &&
            !memcmp(s->wrapped_types.data, system->types, nbytes);
    s->natoms = 0; /* unless this call ends well */
    DGNN_TRY(dgnn_buffer_reserve(&s->wrapped_types, (int64_t)nbytes, "atoms", error));
    memcpy(s->wrapped_types.data, system->types, nbytes);
    return DGNN_OK;
}

static void serial_fill(struct dgnn_serial *s, const struct dgnn_system *system, int64_t dim_aparam)
{
    int64_t *atom = s->atom.data, *ids = s->ids.data, node = 0;
    double *positions = s->positions.data, *aparam = s->aparam.data, *spins = s->spins.data;
    int32_t *types = s->types.data;
    for (int64_t i = 0; i < system->natoms; i++) {
        if (system->types[i] < 0) {
            continue;
        }
        atom[node] = i;
        ids[node] = system->ids ? system->ids[i] : i;
        types[node] = system->types[i];
        memcpy(positions + 3 * node, system->coords + 3 * i, 3 * sizeof(double));
        if (dim_aparam) {
            memcpy(aparam + dim_aparam * node, system->aparam + dim_aparam * i,
                   sizeof(double) * (size_t)dim_aparam);
        }
        if (system->spins) {
            memcpy(spins + 3 * node, system->spins + 3 * i, 3 * sizeof(double));
        }
        node++;
    }
}

/* ids must differ: they decide ties, and a pair of equal ones has no order. */
static int serial_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int serial_check_distinct(struct dgnn_serial *s, int64_t n, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_buffer_reserve(&s->sorted_ids, n * (int64_t)sizeof(int64_t), "ids", error));
    int64_t *sorted = s->sorted_ids.data;
    memcpy(sorted, s->ids.data, sizeof(*sorted) * (size_t)n);
    qsort(sorted, (size_t)n, sizeof(*sorted), serial_compare);
    for (int64_t i = 1; i < n; i++) {
        if (sorted[i] == sorted[i - 1]) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "ids: %lld is there more than once; expected distinct ids",
                                   (long long)sorted[i]);
        }
    }
    return DGNN_OK;
}

int dgnn_serial_update(struct dgnn_serial *s, const struct dgnn_system *system, int32_t ntypes,
                       int64_t dim_aparam, struct dgnn_error *error)
{
    struct dgnn_nodes *nodes = &s->nodes;
    int64_t nnode;
    int32_t same;
    DGNN_TRY(dgnn_input_check(system, ntypes, &nnode, error));
    DGNN_TRY(dgnn_cell_set(&nodes->cell, system->box, system->pbc, error));
    DGNN_TRY(serial_same_types(s, system, error, &same));
    DGNN_TRY(dgnn_buffer_reserve(&s->types, nnode * (int64_t)sizeof(int32_t), "atoms", error));
    DGNN_TRY(serial_reserve(s, system, nnode, dim_aparam, error));
    serial_fill(s, system, dim_aparam);
    if (system->ids) {
        DGNN_TRY(serial_check_distinct(s, nnode, error));
    }
    struct dgnn_cell_wrapped wrapped = {.positions = s->positions.data, .labels = s->atom.data};
    DGNN_TRY(dgnn_cell_wrap(&nodes->cell, nnode, s->positions.data, &wrapped, error));
    nodes->nowned = nodes->nnode = nodes->nrow = nnode;
    nodes->positions = s->positions.data;
    nodes->types = s->types.data;
    nodes->ids = s->ids.data;
    nodes->labels = s->atom.data;
    nodes->aparam = s->aparam.data;
    nodes->spins = system->spins ? s->spins.data : NULL;
    nodes->first_type = system->natoms ? system->types[0] : -1;
    nodes->may_reuse = same;
    s->natoms = system->natoms;
    return DGNN_OK;
}

static void serial_spread(const struct dgnn_serial *s, const double *from, int64_t width, double *to)
{
    const int64_t *atom = s->atom.data;
    if (!to) {
        return;
    }
    memset(to, 0, sizeof(double) * (size_t)(width * s->natoms));
    for (int64_t r = 0; from && r < s->nodes.nnode; r++) {
        memcpy(to + width * atom[r], from + width * r, sizeof(double) * (size_t)width);
    }
}

int dgnn_serial_prepare(struct dgnn_serial *s, const struct dgnn_node_form *form, struct dgnn_error *error)
{
    return dgnn_buffer_reserve(&s->totals, dgnn_results_ntotal(form) * (int64_t)sizeof(double), "totals",
                               error);
}

void dgnn_serial_return(const struct dgnn_serial *s, const struct dgnn_node_result *from,
                        struct dgnn_result *to)
{
    to->energy = 0;
    for (int64_t r = 0; from->energy && r < s->nodes.nowned; r++) {
        to->energy += from->energy[r];
    }
    if (from->output) {
        dgnn_results_total(from, s->nodes.nowned, s->totals.data);
        dgnn_results_set_total(&from->form, s->totals.data, to);
        serial_spread(s, from->output, from->form.width, to->atom_output);
        serial_spread(s, from->output_forces, 9, to->output_forces);
    }
    memcpy(to->virial, from->virial, sizeof(to->virial));
    to->ntruncated = from->ntruncated;
    to->nangle_truncated = from->nangle_truncated;
    serial_spread(s, from->energy, 1, to->atom_energy);
    serial_spread(s, from->forces, 3, to->forces);
    serial_spread(s, from->forces_mag, 3, to->forces_mag);
    serial_spread(s, from->atom_virial, 9, to->atom_virial);
    for (int k = 0; k < DGNN_FEATURES_KINDS; k++) {
        serial_spread(s, from->features.rows[k], from->features.width[k], dgnn_results_features(to, k));
    }
}

void dgnn_serial_free(struct dgnn_serial *s)
{
    struct dgnn_buffer *all[] = {&s->atom,  &s->positions,     &s->types,      &s->ids,   &s->aparam,
                                 &s->spins, &s->wrapped_types, &s->sorted_ids, &s->totals};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        dgnn_buffer_free(all[i]);
    }
}
