/* The nodes of spin models with virtual atoms (deepmd/dpmodel/model/spin_model.py). Each atom gets a second,
 * virtual node. Its position is the atom's plus scale times spin, and its type is the atom's plus the number
 * of types. After this step no code knows of spins.
 *
 * The nodes are made of atoms, owned ones and ghosts, with their spins. Rows are laid out as in
 * comm/spin_rows.h: real owned nodes, virtual owned nodes, then the two rows of each ghost. So owned rows
 * come first. A message that carries one row in a plan of atoms carries two rows in the plan that
 * dgnn_spin_plan or dgnn_spin_swaps makes of it. The steps on many ranks are:
 *
 *     nodes of atoms with ghosts     positions and spins of ghosts come through the plan of atoms
 *     dgnn_spin_nodes_update         nodes.exchange is over the doubled plan
 *     graph and net                  on the nodes
 *     dgnn_gradient_forces           on the nodes, for magnetic forces
 *     dgnn_spin_nodes_join           then forces again, and virials, on the joined graph
 *     dgnn_spin_nodes_return         results of atoms; ghosts' go to their owners by the plan of atoms
 *
 * The halo is the cutoff plus twice the largest displacement, which is scale times spin.
 *
 * Virtual nodes of atoms without spin are nodes too: they take places of sel before their pairs are excluded.
 */
#ifndef DGNN_SYSTEM_SPIN_NODES_H
#define DGNN_SYSTEM_SPIN_NODES_H

#include "geom/graph.h"
#include "system/nodes.h"

struct dgnn_spin_scheme {
    int32_t is_native;   /* 1: the network takes the spins themselves; nodes are atoms, there are no virtual
                            ones, and scale is 0 */
    int32_t ntypes;      /* types of atoms; nodes have twice as many */
    const double *scale; /* ntypes: Angstrom per unit of spin; 0 for types without spin */
};

/* Zero it before its first use; free it with dgnn_spin_nodes_free. */
struct dgnn_spin_nodes {
    struct dgnn_nodes nodes; /* real and virtual nodes, two for each atom */

    /* The rest belongs to spin_nodes.c. */
    int64_t nowned, natom;      /* owned atoms, and all rows of atoms */
    struct dgnn_buffer block;   /* all arrays of the nodes */
    struct dgnn_buffer vectors; /* of the joined graph's edges */
    struct dgnn_buffer results; /* of atoms */
    double *displacement;       /* rows x 3, from the real atom; 0 for real nodes: the graph's offset */
};

static inline void dgnn_spin_nodes_displacement(const struct dgnn_spin_scheme *scheme, int32_t type,
                                                const double spin[3], double displacement[3])
{
    for (int c = 0; c < 3; c++) {
        displacement[c] = scheme->scale[type] * spin[c];
    }
}

/* Makes the nodes. atoms->spins must have a spin for each row. The virtual row of a ghost image stands beside
 * the image and belongs to the owner's virtual node. A host's lists are doubled by dgnn_spin_neighbours.
 * Positions are wrapped before, so that a virtual node stays beside its atom. The nodes get the atoms' cell,
 * first_type, may_reuse and exchange; aparam of virtual nodes is 0. Memory is allocated to grow only. Errors:
 * MEMORY, INPUT (too many atoms for row numbers). */
int dgnn_spin_nodes_update(struct dgnn_spin_nodes *spin_nodes, const struct dgnn_spin_scheme *scheme,
                           const struct dgnn_nodes *atoms, int64_t dim_aparam, struct dgnn_error *error);

/* Reserves the memory of join and return, for a graph of these nodes. Errors: MEMORY. */
int dgnn_spin_nodes_prepare(struct dgnn_spin_nodes *spin_nodes, const struct dgnn_graph *graph,
                            int want_atom_virial, struct dgnn_error *error);

/* From nodes to atoms, once the nodes' own forces are known: real_graph is the graph with displacements
 * between the real atoms of both nodes in place of vectors, which virials are made of, spins being held fixed
 * under strain. Edges between the two nodes of one atom join nothing then: their gradients are cleared, so
 * that the huge ones of a nearly zero spin need not cancel. edge_gradient: sides x nedge x 3 (descriptor.h).
 * After prepare; valid until the next call. */
void dgnn_spin_nodes_join(struct dgnn_spin_nodes *spin_nodes, const struct dgnn_graph *graph, int32_t sides,
                          double *edge_gradient, struct dgnn_graph *real_graph);

/* Makes results of atoms from results of nodes, after prepare. Energies, forces and virials of an atom's two
 * nodes are added. nodes->forces must be those of the joined edges, and nodes->forces_mag the forces of all
 * edges. An atom's forces_mag = its virtual node's force times the type's scale = -dE/dspin. The arrays in
 * *atoms belong to the first argument and are valid until the next call. energy has a row for each owned
 * atom, the others have rows for ghosts too; atom_virial is NULL where the nodes' is. */
void dgnn_spin_nodes_return(struct dgnn_spin_nodes *spin_nodes, const struct dgnn_spin_scheme *scheme,
                            const struct dgnn_node_result *nodes, struct dgnn_node_result *atoms);

void dgnn_spin_nodes_free(struct dgnn_spin_nodes *spin_nodes);

#endif
