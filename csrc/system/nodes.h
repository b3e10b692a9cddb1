/* Nodes: the form of a system that net sees. NULL atoms are dropped, virtual atoms are added, owners and
 * ghosts are decided. They are made of one rank's atoms (serial.h), of the atoms of many ranks (domain.h), or
 * of a host's rows (ghosted.h). */
#ifndef DGNN_SYSTEM_NODES_H
#define DGNN_SYSTEM_NODES_H

#include "base/alloc.h"
#include "comm/exchange.h"
#include "geom/cell.h"

struct dgnn_nodes {
    int64_t nowned, nnode;     /* owned nodes are rows [0, nowned), ghosts follow */
    int64_t nrow;              /* positions: nnode, or more where rows are images of nodes */
    const int32_t *owner;      /* nrow: the node of each row; NULL: rows are nodes */
    const int64_t *list_first; /* nowned + 1, CSR of a host's neighbour lists; NULL: neighbours are searched
                                */
    const int32_t *list_row;
    const double *positions;    /* nrow x 3, wrapped */
    const int32_t *types;       /* nnode, in [0, ntypes) */
    const int64_t *ids;         /* nrow; NULL: the row numbers */
    const int64_t *labels;      /* nrow: names of the rows' atoms in messages */
    const uint8_t *may_overlap; /* nrow; 1: the row may be at another row's place; NULL: none may */
    const double *aparam;       /* nowned x dim_aparam */
    const double *spins; /* nrow x 3, or NULL; spins of atoms, before system/spin_nodes.h makes nodes of them
                          */
    struct dgnn_cell cell;
    int32_t first_type; /* type of the frame's first atom; -1: it is a NULL atom, or there is no atom */
    int32_t may_reuse;  /* 1: rows stand for the atoms of the last call */
    struct dgnn_exchange *exchange; /* of all nodes, also virtual ones; NULL: there are no ghosts */
};

/* Rows of a network's inside: of the descriptor, and of the fitting net's last hidden layer. */
enum { DGNN_FEATURES_DESCRIPTOR = 0, DGNN_FEATURES_LAST_LAYER, DGNN_FEATURES_KINDS };
struct dgnn_features {
    int64_t width[DGNN_FEATURES_KINDS]; /* 0: not asked for */
    double *rows[DGNN_FEATURES_KINDS];  /* nowned x width; with virtual nodes, those of atoms first */
};

/* What a model's answers are. */
struct dgnn_node_form {
    int64_t width;           /* numbers of an atom's answer; 0: it is an energy, with forces */
    int32_t is_mean;         /* is the whole the mean over atoms that count, not the sum? */
    int32_t has_derivatives; /* are those of the first three numbers made? */
};

/* What is computed for nodes: energies and what belongs to them, or output; the other's are NULL. */
struct dgnn_node_result {
    struct dgnn_node_form form;
    int64_t nrow;             /* of the nodes; with output */
    double *output;           /* nowned x width */
    double *output_forces;    /* nrow x 9, as forces, with derivatives; or NULL */
    double output_virial[27]; /* of this rank's edges */
    double ncounted; /* owned nodes that count in a mean; of a host's rows, those of all ranks in the end */
    double *energy;  /* nowned */
    double *forces;  /* nrow x 3; ghost rows have what must be added to their owners' rows */
    double *forces_mag;       /* nrow x 3, or NULL; spin models only, see system/spin_nodes.h */
    double *atom_virial;      /* nrow x 9, or NULL */
    double virial[9];         /* of this rank's edges */
    int64_t ntruncated;       /* of this rank's centres */
    int64_t nangle_truncated; /* as ntruncated, of limits of angles */
    struct dgnn_features features;
};

#endif
