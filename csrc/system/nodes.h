/* Nodes: what a system becomes before net sees it. NULL atoms are gone, virtual atoms are there, owners and
 * ghosts are decided. One rank (serial.c), many ranks and a host's rows are three ways to make them. */
#ifndef DGNN_SYSTEM_NODES_H
#define DGNN_SYSTEM_NODES_H

#include "base/alloc.h"
#include "comm/exchange.h"
#include "geom/cell.h"

struct dgnn_nodes {
    int64_t nowned, nnode;     /* owned nodes are rows [0, nowned), ghosts follow */
    int64_t nrow;              /* places: nnode, or more where rows are images of owned nodes */
    const int32_t *owner;      /* nrow: the node of each row; NULL: rows are nodes */
    const int64_t *list_first; /* nowned + 1: a host's neighbour lists; NULL: they are searched */
    const int32_t *list_row;
    const double *positions;    /* nrow x 3, wrapped */
    const int32_t *types;       /* nnode, in [0, ntypes) */
    const int64_t *ids;         /* nrow, or NULL: the row */
    const int64_t *labels;      /* nrow: what messages call the row's atom */
    const uint8_t *may_overlap; /* nrow, or NULL: rows that may sit on another's place */
    const double *aparam;       /* nowned x dim_aparam */
    const double *spins; /* nrow x 3, or NULL; atoms only, before system/magnetic.h makes nodes of them */
    struct dgnn_cell cell;
    int32_t first_type;             /* of the frame's first atom, -1: NULL, or no atom */
    int32_t may_reuse;              /* rows stand for the atoms of the last call */
    struct dgnn_exchange *exchange; /* of nodes, virtual ones among them; NULL: no ghosts */
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
    double *forces;  /* nrow x 3; ghost rows hold what belongs to their owners */
    double *forces_mag;       /* nrow x 3, or NULL; spin models only, see system/magnetic.h */
    double *atom_virial;      /* nrow x 9, or NULL */
    double virial[9];         /* of this rank's edges */
    int64_t ntruncated;       /* of this rank's centres */
    int64_t nangle_truncated; /* as ntruncated */
    struct dgnn_features features;
};

#endif
