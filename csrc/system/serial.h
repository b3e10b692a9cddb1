/* The nodes of a system on one rank: all atoms except NULL atoms, in the caller's order. */
#ifndef DGNN_SYSTEM_SERIAL_H
#define DGNN_SYSTEM_SERIAL_H

#include "system/results.h"

/* The caller zeroes it before its first use. */
struct dgnn_serial {
    struct dgnn_nodes nodes;
    int64_t natoms;          /* of the last call */
    struct dgnn_buffer atom; /* nnode int64: index of each node's atom */
    struct dgnn_buffer positions, types, ids, aparam, spins;
    struct dgnn_buffer sorted_ids;
    struct dgnn_buffer totals;        /* of answers that are no energies */
    struct dgnn_buffer wrapped_types; /* types of the last call, which tell whether rows stand for the same
                                         atoms */
};

/* Updates the nodes, with dim_aparam columns of system->aparam. Errors: INPUT (a coordinate, a type, the
 * box), MEMORY. */
int dgnn_serial_update(struct dgnn_serial *serial, const struct dgnn_system *system, int32_t ntypes,
                       int64_t dim_aparam, struct dgnn_error *error);

/* The memory of return. Errors: MEMORY. */
int dgnn_serial_prepare(struct dgnn_serial *serial, const struct dgnn_node_form *form,
                        struct dgnn_error *error);

/* Writes results of nodes into the caller's arrays. NULL atoms get zeros. */
void dgnn_serial_return(const struct dgnn_serial *serial, const struct dgnn_node_result *from,
                        struct dgnn_result *to);

void dgnn_serial_free(struct dgnn_serial *serial);

#endif
