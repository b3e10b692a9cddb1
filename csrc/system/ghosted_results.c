/* Results of a host's rows: what ghosts give to their owners, and where the host has each row. */
#include <string.h>

#include "system/ghosted.h"

static struct dgnn_results_shape ghosted_shape(const struct dgnn_ghosted_nodes *g,
                                               const struct dgnn_node_form *form)
{
    return dgnn_results_shape(form, g->has_spins, g->want_atom_virial);
}

int dgnn_ghosted_prepare(struct dgnn_ghosted_nodes *g, const struct dgnn_node_form *form,
                         struct dgnn_error *error)
{
    int64_t width = ghosted_shape(g, form).width;
    DGNN_TRY(dgnn_buffer_reserve(&g->totals, dgnn_results_ntotal(form) * (int64_t)sizeof(double), "totals",
                                 error));
    return width ? dgnn_exchange_prepare(g->geometry, g->back.data, width, sizeof(double), error) : DGNN_OK;
}

/* Images' rows are added to those of the nodes that they are images of. */
static void ghosted_to_nodes(struct dgnn_ghosted_nodes *g, double *rows, int64_t width)
{
    const int32_t *owner = g->owner.data;
    for (int64_t r = g->nodes.nnode; r < g->nodes.nrow; r++) {
        for (int64_t c = 0; c < width; c++) {
            rows[width * owner[r] + c] += rows[width * r + c];
            rows[width * r + c] = 0;
        }
    }
}

static void ghosted_images_add(struct dgnn_ghosted_nodes *g, struct dgnn_node_result *r)
{
    double *rows[4] = {r->forces, r->forces_mag, r->atom_virial, r->output_forces};
    const int64_t width[4] = {3, 3, 9, 9};
    for (int k = 0; k < 4; k++) {
        if (rows[k]) {
            ghosted_to_nodes(g, rows[k], width[k]);
        }
    }
}

static int ghosted_send_home(struct dgnn_ghosted_nodes *g, struct dgnn_node_result *r,
                             struct dgnn_error *error)
{
    struct dgnn_results_shape shape = ghosted_shape(g, &r->form);
    double *back = g->back.data;
    if (!shape.width) {
        return DGNN_OK;
    }
    for (int64_t i = 0; i < g->nodes.nnode; i++) {
        dgnn_results_pack(r, &shape, i, back + shape.width * i);
    }
    DGNN_TRY(dgnn_exchange_reverse_begin(g->geometry, back, shape.width, sizeof(double), error));
    DGNN_TRY(dgnn_exchange_reverse_end(g->geometry, error));
    DGNN_TRY(dgnn_exchange_settle(g->geometry, error)); /* the host gets ghosts' rows, too: zeros */
    dgnn_results_unpack(back, &shape, g->nodes.nnode, r);
    return DGNN_OK;
}

int dgnn_ghosted_add(struct dgnn_ghosted_nodes *g, struct dgnn_node_result *r, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_exchange_settle(g->features, error));
    if (r->form.is_mean) {
        DGNN_TRY(dgnn_transport_sum(g->comm, &r->ncounted, 1, error));
    }
    if (!g->add || g->kind == DGNN_GHOSTED_NOTHING) {
        return DGNN_OK;
    }
    if (g->mapped) {
        ghosted_images_add(g, r);
    }
    return g->kind == DGNN_GHOSTED_MAPPING ? DGNN_OK : ghosted_send_home(g, r, error);
}

static void ghosted_spread(const struct dgnn_ghosted_nodes *g, const double *from, int64_t nrow,
                           int64_t width, int64_t nhost, double *to)
{
    const int64_t *row = g->row.data;
    if (!to) {
        return;
    }
    memset(to, 0, sizeof(double) * (size_t)(width * nhost));
    for (int64_t r = 0; from && r < nrow; r++) {
        memcpy(to + width * row[r], from + width * r, sizeof(double) * (size_t)width);
    }
}

void dgnn_ghosted_return(const struct dgnn_ghosted_nodes *g, const struct dgnn_node_result *from,
                         struct dgnn_result *to)
{
    to->energy = 0;
    for (int64_t r = 0; from->energy && r < g->nodes.nowned; r++) {
        to->energy += from->energy[r];
    }
    if (from->output) {
        dgnn_results_total(from, g->nodes.nowned, g->totals.data);
        dgnn_results_set_total(&from->form, g->totals.data, to);
        ghosted_spread(g, from->output, g->nodes.nowned, from->form.width, g->nlocal, to->atom_output);
        ghosted_spread(g, from->output_forces, g->nodes.nrow, 9, g->nall, to->output_forces);
    }
    memcpy(to->virial, from->virial, sizeof(to->virial));
    to->ntruncated = from->ntruncated;
    to->nangle_truncated = from->nangle_truncated;
    ghosted_spread(g, from->energy, g->nodes.nowned, 1, g->nlocal, to->atom_energy);
    ghosted_spread(g, from->forces, g->nodes.nrow, 3, g->nall, to->forces);
    ghosted_spread(g, from->forces_mag, g->nodes.nrow, 3, g->nall, to->forces_mag);
    ghosted_spread(g, from->atom_virial, g->nodes.nrow, 9, g->nall, to->atom_virial);
    for (int k = 0; k < DGNN_FEATURES_KINDS; k++) {
        ghosted_spread(g, from->features.rows[k], g->nodes.nowned, from->features.width[k], g->nlocal,
                       dgnn_results_features(to, k));
    }
}
