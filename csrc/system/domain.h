/* Nodes of a system whose atoms are spread over ranks: each rank passes atoms, and space decides who computes
 * them.
 *
 * An atom has a passing rank, which has it from the caller and wants its results, and a computing rank, whose
 * brick it is in. It moves between them by its place in two lists: departures of the one, arrivals of the
 * other. Owned rows are along a curve that fills the brick (geom/order.h), ghost rows by (owner, its row), so
 * rows do not depend on who passed an atom.
 *
 * Bricks hold equal work, as the model counts it from each atom's neighbours: these are found with bricks of
 * equally many atoms, which are then cut anew. So bricks depend on the places of atoms alone, not on earlier
 * calls.
 *
 * While the atoms are the same and none moved further than half the skin, the bricks' atoms, the ghosts and
 * the plan stay, and only positions travel.
 *
 * Of a spin model, nodes are atoms with spins, for system/magnetic.h. Ghosts are the atoms whose real or
 * virtual nodes may be in reach of a real or virtual one here; a virtual node's motion counts as an atom's.
 * Spins travel with positions, and magnetic forces with forces; nodes.exchange moves both nodes' rows. */
#ifndef DGNN_SYSTEM_DOMAIN_H
#define DGNN_SYSTEM_DOMAIN_H

#include "comm/exchange_create.h"
#include "system/bricks.h"
#include "system/halo.h"
#include "system/magnetic.h"
#include "system/results.h"
#include "system/word.h"

struct dgnn_domain_input {
    const struct dgnn_system *system;
    uint64_t model[2]; /* digest of the archive */
    int32_t dtype, dense, ntypes, nmodel;
    int64_t dim_aparam;
    const struct dgnn_magnetic_scheme *spin; /* of a spin model, else NULL */
    double cutoff, skin;
    int32_t threads;
    int32_t want_atom_virial, want_derivatives;
    int64_t nfeature; /* numbers of features of an atom, of the model that gives most */
    /* What an atom costs with n neighbours at these distances, nearest first. NULL: all cost the same. */
    double (*work)(const void *of, int64_t n, const double *distance);
    const void *work_of;
};

/* Zero it before its first use. */
struct dgnn_domain {
    struct dgnn_nodes nodes;
    int32_t want_atom_virial, want_derivatives; /* by any rank */
    int64_t nfeature;                           /* as in the input; the same on all ranks */
    int32_t reused;                             /* did the last update keep who computes what? */

    /* The rest belongs to domain.c and domain_build.c. */
    int32_t valid;
    struct dgnn_comm *comm;      /* retained */
    struct dgnn_system part;     /* what this rank passes; of a replicated system, its slice */
    int64_t slice;               /* the first atom of that */
    int32_t replicated, grid[3]; /* as they were asked for at the last build */
    double skin;
    struct dgnn_cell cell;
    struct dgnn_word_summary summary;
    struct dgnn_bricks bricks;
    struct dgnn_halo halo;
    int32_t has_spins, has_virtual; /* virtual: nodes are not atoms */
    struct dgnn_plan *plan;         /* of atoms */
    struct dgnn_plan *node_plan;    /* of a spin model: of real and virtual rows */
    struct dgnn_exchange *features; /* nodes.exchange */
    struct dgnn_exchange *geometry;

    /* Passing. */
    int64_t natoms, nreal;        /* of the last call; without NULL atoms */
    int64_t built_natoms;         /* of the last build */
    struct dgnn_buffer words;     /* nrank struct dgnn_word */
    struct dgnn_buffer real;      /* nreal int64: atom */
    struct dgnn_buffer wrapped;   /* nreal x 3 */
    struct dgnn_buffer fractions; /* nreal x 3 */
    struct dgnn_buffer departure; /* nreal int64: index into real, by computing rank */
    struct dgnn_buffer displaced; /* nreal x 3: virtual atoms, from their real ones */
    struct dgnn_buffer built_types, built_ids, built_wrapped, built_displaced;
    /* Both. */
    int32_t all_home;          /* every atom of every rank is computed where it is passed */
    struct dgnn_buffer counts; /* nrank int64, several: see domain_build.h */
    struct dgnn_buffer moving_out, moving_in;
    /* Computing. */
    struct dgnn_buffer arrival; /* nowned int32: row, in the order of arrival */
    struct dgnn_buffer positions, types, ids, aparam, spins;
    struct dgnn_buffer places; /* of a spin model, nnode x 6: positions and spins, as they travel to ghosts */
    struct dgnn_buffer gather; /* of a replicated system: the results of this rank's slice */
    struct dgnn_buffer back;   /* nnode rows of results, ghosts' to be sent home */
    struct dgnn_buffer totals; /* of answers that are no energies */
};

/* Collective. status and *error: how this rank's own checks of the call went. The same answer on all ranks.
 * Errors: INPUT, MEMORY, COMM. */
int dgnn_domain_update(struct dgnn_domain *domain, const struct dgnn_domain_input *input,
                       struct dgnn_comm *comm, int status, struct dgnn_error *error);

/* Local: the memory of what follows, for a model's answers. Errors: MEMORY. */
int dgnn_domain_prepare(struct dgnn_domain *domain, const struct dgnn_node_form *form,
                        struct dgnn_error *error);

/* Collective: what ghost rows hold is added to their owners' forces, magnetic forces and virials. Errors:
 * COMM. */
int dgnn_domain_add(struct dgnn_domain *domain, struct dgnn_node_result *result, struct dgnn_error *error);

/* Collective: results to the rank and place that atoms came from; totals to all. NULL atoms get zeros.
 * Errors: COMM. */
int dgnn_domain_return(struct dgnn_domain *domain, const struct dgnn_node_result *from,
                       struct dgnn_result *to, struct dgnn_error *error);

void dgnn_domain_free(struct dgnn_domain *domain);

#endif
