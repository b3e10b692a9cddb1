/* The nodes of a system whose atoms are spread over ranks. Each rank passes atoms, and an atom's position
 * decides which rank computes it.
 *
 * An atom has a passing rank, which got it from the caller and needs its results, and a computing rank, in
 * whose brick it is. It moves between them by its place in two lists: departures of the passing rank,
 * arrivals of the computing rank. Owned rows follow a curve that fills the brick (geom/order.h); ghost rows
 * are ordered by (owner, the owner's row). So the order of rows does not depend on which rank passed an atom.
 *
 * Bricks have equal cost. The model tells an atom's cost from its neighbours, which are found with bricks of
 * equally many atoms; the bricks are then cut again. So bricks depend on the positions alone, and not on
 * earlier calls.
 *
 * While the atoms are the same and none moved further than half the skin, the bricks' atoms, the ghosts and
 * the plan stay, and only positions travel.
 *
 * In a spin model, nodes are atoms with spins, which system/spin_nodes.h turns into real and virtual nodes.
 * Ghosts are the atoms of which one node may be near a node of this rank. The motion of a virtual node counts
 * like that of an atom. Spins travel with positions, and magnetic forces with forces; nodes.exchange moves
 * the rows of both nodes. */
#ifndef DGNN_SYSTEM_DOMAIN_H
#define DGNN_SYSTEM_DOMAIN_H

#include "comm/exchange_create.h"
#include "system/bricks.h"
#include "system/halo.h"
#include "system/spin_nodes.h"
#include "system/results.h"
#include "system/rank_statement.h"

struct dgnn_domain_input {
    const struct dgnn_system *system;
    uint64_t model[2]; /* digest of the archive */
    int32_t dtype, dense, ntypes, nmodel;
    int64_t dim_aparam;
    const struct dgnn_spin_scheme *spin; /* of a spin model; NULL for others */
    double cutoff, skin;
    int32_t threads;
    int32_t want_atom_virial, want_derivatives;
    int64_t nfeature; /* numbers of features of an atom, of the model that gives most */
    /* Returns the cost of an atom with n neighbours at these distances, nearest first. NULL: all atoms cost
     * the same. */
    double (*cost)(const void *of, int64_t n, const double *distance);
    const void *cost_of;
};

/* Zero it before its first use. */
struct dgnn_domain {
    struct dgnn_nodes nodes;
    int32_t want_atom_virial, want_derivatives; /* 1: a rank wants it */
    int64_t nfeature;                           /* as in the input; the same on all ranks */
    int32_t reused;                             /* 1: the last update kept the atoms of each brick */

    /* The rest belongs to domain.c and domain_build.c. */
    int32_t valid;
    struct dgnn_comm *comm;      /* retained */
    struct dgnn_system part;     /* the atoms that this rank passes; its slice of a replicated system */
    int32_t replicated, grid[3]; /* the arguments of the last build */
    double skin;
    struct dgnn_cell cell;
    struct dgnn_rank_statement_summary summary;
    struct dgnn_bricks bricks;
    struct dgnn_halo halo;
    int32_t has_spins, has_virtual; /* virtual: nodes are not atoms */
    struct dgnn_plan *plan;         /* of atoms */
    struct dgnn_plan *node_plan;    /* of a spin model: of real and virtual rows */
    struct dgnn_exchange *features; /* nodes.exchange */
    struct dgnn_exchange *geometry;

    /* Passing. */
    int64_t natoms, nreal;         /* natoms of the last call; nreal without NULL atoms */
    int64_t built_natoms;          /* of the last build */
    struct dgnn_buffer statements; /* nrank struct dgnn_rank_statement */
    struct dgnn_buffer real;       /* nreal int64: index of each atom */
    struct dgnn_buffer wrapped;    /* nreal x 3 */
    struct dgnn_buffer fractions;  /* nreal x 3 */
    struct dgnn_buffer departure;  /* nreal int64: index into real, by computing rank */
    struct dgnn_buffer displaced;  /* nreal x 3: virtual atoms, relative to their real ones */
    struct dgnn_buffer built_types, built_ids, built_wrapped, built_displaced;
    /* Both. */
    int32_t all_home;          /* 1: each rank computes the atoms that it passes */
    struct dgnn_buffer counts; /* nrank int64 for each enum dgnn_domain_count (domain_build.h) */
    struct dgnn_buffer moving_out, moving_in;
    /* Computing. */
    struct dgnn_buffer arrival; /* nowned int32: row, in the order of arrival */
    struct dgnn_buffer positions, types, ids, aparam, spins;
    struct dgnn_buffer places; /* nnode x 6 in a spin model: positions and spins, as they travel to ghosts */
    struct dgnn_buffer gather; /* results of this rank's slice of a replicated system */
    struct dgnn_buffer back;   /* nnode rows of results, from which ghosts' are sent to their owners */
    struct dgnn_buffer totals; /* of answers that are no energies */
};

/* Updates the nodes; collective. status and *error say whether this rank's own checks of the call failed. All
 * ranks return the same status. Errors: INPUT, MEMORY, COMM. */
int dgnn_domain_update(struct dgnn_domain *domain, const struct dgnn_domain_input *input,
                       struct dgnn_comm *comm, int status, struct dgnn_error *error);

/* Local: the memory of what follows, for a model's answers. Errors: MEMORY. */
int dgnn_domain_prepare(struct dgnn_domain *domain, const struct dgnn_node_form *form,
                        struct dgnn_error *error);

/* Adds the ghost rows' forces, magnetic forces and virials to their owners' rows; collective. Errors: COMM.
 */
int dgnn_domain_add(struct dgnn_domain *domain, struct dgnn_node_result *result, struct dgnn_error *error);

/* Returns results to the rank and place that each atom came from, and totals to all ranks; collective. NULL
 * atoms get zeros. Errors: COMM. */
int dgnn_domain_return(struct dgnn_domain *domain, const struct dgnn_node_result *from,
                       struct dgnn_result *to, struct dgnn_error *error);

void dgnn_domain_free(struct dgnn_domain *domain);

#endif
