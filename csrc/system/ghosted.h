/* The nodes of rows that a host code distributed. Each ghost row is an image at its own position.
 *
 * Ghosts get their features in one of three ways: from a border's swaps, from a direct plan, or from a
 * mapping where all owners are on this rank. With a mapping alone, ghosts are no nodes but images of owned
 * nodes. With a plan and a mapping, ghosts are images of owned nodes or of those ghosts that the plan brings,
 * one for each remote atom. Nodes are numbered first, images follow. NULL rows are dropped; both ends of a
 * plan drop them.
 *
 * In a spin model, nodes are atoms with the host's spins, also of ghosts, which system/spin_nodes.h turns
 * into real and virtual nodes; nodes.exchange moves the rows of both nodes. */
#ifndef DGNN_SYSTEM_GHOSTED_H
#define DGNN_SYSTEM_GHOSTED_H

#include "comm/exchange_create.h"
#include "system/results.h"
#include "system/rank_statement.h"

/* What brings features to ghosts. */
enum dgnn_ghosted_kind {
    DGNN_GHOSTED_NOTHING = 0,
    DGNN_GHOSTED_BORDER,
    DGNN_GHOSTED_DIRECT,
    DGNN_GHOSTED_MAPPING
};

struct dgnn_ghosted_input {
    const struct dgnn_ghosted *system;
    uint64_t model[2]; /* digest of the archive */
    int32_t dtype, dense, ntypes, nmodel;
    int64_t dim_aparam;
    double skin;
    int32_t needs_plan;  /* 1: the model passes messages */
    int32_t has_spins;   /* 1: a spin model */
    int32_t has_virtual; /* 1: its spins are virtual atoms */
    int32_t want_atom_virial, want_derivatives;
};

/* Zero it before its first use. */
struct dgnn_ghosted_nodes {
    struct dgnn_nodes nodes;
    int32_t want_atom_virial, want_derivatives; /* by any rank */

    /* The rest belongs to ghosted.c and ghosted_results.c. */
    int32_t valid; /* 1: the next call may be of the same list */
    enum dgnn_ghosted_kind kind;
    int32_t add, has_spins, has_virtual, mapped;
    struct dgnn_comm *comm; /* retained */
    int64_t nlocal, nall;
    int64_t ndistinct; /* how many rows are no images */
    struct dgnn_plan *plan;
    struct dgnn_swaps *swaps;
    struct dgnn_plan *node_plan; /* in a spin model, the plan of real and virtual rows */
    struct dgnn_swaps *node_swaps;
    struct dgnn_exchange *features, *geometry;
    struct dgnn_buffer statements;
    struct dgnn_buffer host_types; /* nall, of the last list */
    struct dgnn_buffer new_row;    /* nall int32: row without NULL atoms, or -1 */
    struct dgnn_buffer row;        /* nrow int64: the host's row */
    struct dgnn_buffer order;      /* nall int32: the host's rows, images last */
    struct dgnn_buffer place;      /* nall int32: each row's place in order; ghosted_new_rows overwrites it */
    struct dgnn_buffer received;   /* int32: with a mapping, the plan's ghost rows by their places in order */
    struct dgnn_buffer owner;      /* nrow int32: with a mapping, the node of each row */
    struct dgnn_buffer ids;        /* nrow int64: with a mapping, ids after the owners, which decide ties */
    struct dgnn_buffer positions, types, aparam, spins;
    struct dgnn_buffer list_first, list_row;
    int32_t has_list;
    struct dgnn_buffer back;   /* nnode rows of results; during an update, types */
    struct dgnn_buffer totals; /* of answers that are no energies */
};

/* Updates the nodes; collective where comm is given. status and *error are as for dgnn_domain_update. Errors:
 * INPUT, MEMORY, COMM. */
int dgnn_ghosted_update(struct dgnn_ghosted_nodes *g, const struct dgnn_ghosted_input *input,
                        struct dgnn_comm *comm, int status, struct dgnn_error *error);

/* Local: the memory of what follows, for a model's answers. Errors: MEMORY. */
int dgnn_ghosted_prepare(struct dgnn_ghosted_nodes *g, const struct dgnn_node_form *form,
                         struct dgnn_error *error);

/* Sends ghosts' forces (magnetic forces, virials) home where the host wants that; sums what a mean is over.
 * Collective with a communicator. Errors: COMM. */
int dgnn_ghosted_add(struct dgnn_ghosted_nodes *g, struct dgnn_node_result *result, struct dgnn_error *error);

/* Writes this rank's share into the host's rows. NULL rows get zeros. */
void dgnn_ghosted_return(const struct dgnn_ghosted_nodes *g, const struct dgnn_node_result *from,
                         struct dgnn_result *to);

void dgnn_ghosted_free(struct dgnn_ghosted_nodes *g);

#endif
