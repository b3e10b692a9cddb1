/* A rank's statement: what each rank tells the others when a call begins. One part must be the same on all
 * ranks; from the other part the ranks decide something together. */
#ifndef DGNN_SYSTEM_RANK_STATEMENT_H
#define DGNN_SYSTEM_RANK_STATEMENT_H

#include "comm/transport.h"
#include "geom/cell.h"

struct dgnn_rank_statement {
    /* This part must be the same on all ranks. */
    uint64_t model[2]; /* digest of the archive */
    int32_t dtype, dense, nmodel;
    double skin;
    int32_t has_box, pbc[3];
    double box[9];
    uint64_t fparam[2], charge_spin[2];
    int32_t grid[3];
    int32_t replicated;
    int32_t request; /* of struct dgnn_system, without what is a thread's own matter */
    int32_t plan_kind, add_ghost_forces, same_list; /* of a call with a host's ghosts */
    uint64_t whole[2];                              /* digest of the atoms of a replicated system */
    /* This part is each rank's own. */
    int32_t has_ids; /* -1: the rank has no atoms */
    int64_t natoms;
    int64_t first_id; /* the lowest id, NULL atoms included; 0 without ids */
    int32_t first_type;
    int32_t may_reuse;   /* 1: the atoms are those of the last call, and none moved too far */
    double displacement; /* Angstrom: the largest distance of a virtual atom from its real one */
    int32_t want_atom_virial, want_derivatives;
    double low[3],
        high[3]; /* bounds of the atoms' fractions, NULL atoms excluded; low > high without atoms */
};

/* What the statements of all ranks say together. */
struct dgnn_rank_statement_summary {
    int64_t first_id; /* id of this rank's first atom, where the call numbers atoms over the ranks */
    int32_t has_ids;
    int32_t first_type; /* of the frame's first atom; -1 for NULL or no atom */
    int32_t may_reuse;
    int32_t want_atom_virial, want_derivatives;
    double displacement;
    double low[3], high[3];
};

void dgnn_rank_statement_system(struct dgnn_rank_statement *statement, const struct dgnn_system *system,
                                const struct dgnn_cell *cell);

/* Fills in the digest of the whole system that a replicated call passes. */
void dgnn_rank_statement_whole(struct dgnn_rank_statement *statement, const struct dgnn_system *system);

/* Exchanges the statements and sums them up; collective. all is scratch memory for nrank statements. Errors:
 * COMM; INPUT, the same on all ranks, which names what the ranks do not agree on. */
int dgnn_rank_statement_share(const struct dgnn_rank_statement *statement, struct dgnn_comm *comm,
                              struct dgnn_rank_statement *all, struct dgnn_rank_statement_summary *summary,
                              struct dgnn_error *error);

#endif
