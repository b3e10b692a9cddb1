/* Nodes of rows that a host code distributed, ghosts among them: each ghost row is an image at its own place.
 *
 * What brings features to ghosts: a border's swaps, a direct plan, or, where all owners are on this rank, a
 * mapping, and then ghosts are no nodes at all but images of owned ones. With a plan and a mapping, ghosts
 * are images of owned nodes and of those ghosts that the plan brings, one for each remote atom. Nodes are
 * numbered first, images follow. NULL rows are dropped, from plans by both of their ends.
 *
 * Of a spin model, nodes are atoms with the host's spins, ghosts' too, for system/magnetic.h; nodes.exchange
 * moves both nodes' rows. */
#ifndef DGNN_SYSTEM_GHOSTED_H
#define DGNN_SYSTEM_GHOSTED_H

#include "comm/exchange_create.h"
#include "system/results.h"
#include "system/word.h"

struct dgnn_ghosted_input {
    const struct dgnn_ghosted *system;
    uint64_t model[2]; /* digest of the archive */
    int32_t dtype, dense, ntypes, nmodel;
    int64_t dim_aparam;
    double skin;
    int32_t needs_plan;  /* does the model pass messages? */
    int32_t has_spins;   /* is it a spin model? */
    int32_t has_virtual; /* are its spins virtual atoms? */
    int32_t want_atom_virial, want_derivatives;
};

/* Zero it before its first use. */
struct dgnn_ghosted_nodes {
    struct dgnn_nodes nodes;
    int32_t want_atom_virial, want_derivatives; /* by any rank */

    /* The rest belongs to ghosted.c. */
    int32_t valid; /* may the next call be of the same list? */
    int32_t kind;  /* what brings features */
    int32_t add, has_spins, has_virtual, mapped;
    struct dgnn_comm *comm; /* retained */
    int64_t nlocal, nall;
    int64_t ndistinct; /* rows that are no images */
    struct dgnn_plan *plan;
    struct dgnn_swaps *swaps;
    struct dgnn_plan *node_plan; /* of a spin model: of real and virtual rows */
    struct dgnn_swaps *node_swaps;
    struct dgnn_exchange *features, *geometry;
    struct dgnn_buffer words;
    struct dgnn_buffer host_types; /* nall, of the last list */
    struct dgnn_buffer new_row;    /* nall int32: row without NULL atoms, or -1 */
    struct dgnn_buffer row;        /* nrow int64: the host's row */
    struct dgnn_buffer order;      /* nall int32: the host's rows, images last */
    struct dgnn_buffer place; /* nall int32: where a row stands in this order; ghosted_new_rows writes over it
                               */
    struct dgnn_buffer received; /* int32: the plan's ghost rows in this order, with a mapping */
    struct dgnn_buffer owner;    /* nrow int32, with a mapping */
    struct dgnn_buffer ids;      /* nrow int64, with a mapping: the owner decides ties */
    struct dgnn_buffer positions, types, aparam, spins;
    struct dgnn_buffer list_first, list_row;
    int32_t has_list;
    struct dgnn_buffer back;   /* nnode rows of results; before, types */
    struct dgnn_buffer totals; /* of answers that are no energies */
};

/* Collective where comm is given. status and *error as for dgnn_domain_update. Errors: INPUT, MEMORY, COMM.
 */
int dgnn_ghosted_update(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *input,
                        struct dgnn_comm *comm, int status, struct dgnn_error *error);

/* Local: the memory of what follows, for a model's answers. Errors: MEMORY. */
int dgnn_ghosted_prepare(struct dgnn_ghosted_nodes *g, const struct dgnn_node_form *form,
                         struct dgnn_error *error);

/* Sends ghosts' forces (magnetic forces, virials) home where the host wants that; sums what a mean is over.
 * Collective with a communicator. Errors: COMM. */
int dgnn_ghosted_add(struct dgnn_ghosted_nodes *g, struct dgnn_node_result *result, struct dgnn_error *error);

/* This rank's share into the host's rows; NULL rows get zeros. */
void dgnn_ghosted_return(const struct dgnn_ghosted_nodes *g, const struct dgnn_node_result *from,
                         struct dgnn_result *to);

void dgnn_ghosted_free(struct dgnn_ghosted_nodes *g);

#endif
