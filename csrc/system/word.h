/* What each rank shows the others when a call begins: what must be the same on all, and what they decide
 * together. */
#ifndef DGNN_SYSTEM_WORD_H
#define DGNN_SYSTEM_WORD_H

#include "comm/transport.h"
#include "geom/cell.h"

struct dgnn_word {
    /* The same on all ranks. */
    uint64_t model[2]; /* digest of the archive */
    int32_t dtype, dense, nmodel;
    double skin;
    int32_t has_box, pbc[3];
    double box[9];
    uint64_t fparam[2], charge_spin[2];
    int32_t grid[3];
    int32_t replicated;
    int32_t request; /* of struct dgnn_system, without what is a thread's own matter */
    int32_t plan_kind, add_ghost_forces, same_list; /* a host's ghosts */
    uint64_t whole[2];                              /* replicated: digest of the atoms */
    /* Each rank's own. */
    int32_t has_ids; /* -1: no atoms, so it does not matter */
    int64_t natoms;
    int64_t first_id; /* the lowest, NULL atoms included; without ids 0 */
    int32_t first_type;
    int32_t may_reuse;   /* are the atoms those of the last call, and none moved too far? */
    double displacement; /* Angstrom: the largest of a virtual atom from its real one */
    int32_t want_atom_virial, want_derivatives;
    double low[3], high[3]; /* of the fractions of atoms that are not NULL; low > high without any */
};

/* What the words of all ranks say together. */
struct dgnn_word_summary {
    int64_t first_id; /* of this rank's first atom, where atoms are numbered over the ranks */
    int32_t has_ids;
    int32_t first_type; /* of the frame's first atom; -1 for NULL or no atom */
    int32_t may_reuse;
    int32_t want_atom_virial, want_derivatives;
    double displacement;
    double low[3], high[3];
};

void dgnn_word_system(struct dgnn_word *word, const struct dgnn_system *system, const struct dgnn_cell *cell);

/* Digests of the whole system that a replicated call passes. */
void dgnn_word_whole(struct dgnn_word *word, const struct dgnn_system *system);

/* Collective. all: nrank words, for the call's use. INPUT, the same on all ranks, names what the ranks do not
 * agree on. */
int dgnn_word_share(const struct dgnn_word *word, struct dgnn_comm *comm, struct dgnn_word *all,
                    struct dgnn_word_summary *summary, struct dgnn_error *error);

#endif
