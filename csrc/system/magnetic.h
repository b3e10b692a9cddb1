/* Spin models (the virtual-atom scheme of deepmd/dpmodel/model/spin_model.py): each atom gets a second,
 * virtual node at its position plus scale times its spin, of its type plus the number of types. After this
 * step nothing knows of spins.
 *
 * It takes nodes of atoms, owned ones and ghosts, with their spins, and makes nodes of both kinds; rows are
 * laid out as comm/spin.h says: real owned, virtual owned, then each ghost's two rows side by side. So owned
 * rows stay first, and what a plan over atoms (dgnn_plan or dgnn_swaps) sends as one row, the plan that
 * dgnn_spin_plan or dgnn_spin_swaps makes of it sends as two in the same message. On many ranks:
 *
 *     nodes of atoms, ghosts included     positions and spins of ghosts come through the atoms' plan
 *     dgnn_magnetic_update                nodes.exchange is atoms', which is made over dgnn_spin_plan(atoms'
 * plan) graph and net, over nodes dgnn_gradient_forces, dgnn_magnetic_join, then forces again and virials,
 * over the joined graph dgnn_magnetic_return                forces and magnetic forces of atoms; ghosts' go
 * home by the atoms' plan
 *
 * The halo is the cutoff plus twice the largest displacement: scale times spin.
 *
 * Placeholders of atoms without spin are nodes too: they take places of sel before their pairs are excluded.
 */
#ifndef DGNN_SYSTEM_MAGNETIC_H
#define DGNN_SYSTEM_MAGNETIC_H

#include "geom/graph.h"
#include "system/nodes.h"

struct dgnn_magnetic_scheme {
    int32_t is_native; /* the network takes spins themselves: nodes are atoms, there is nothing virtual, scale
                          is 0 */
    int32_t ntypes;    /* of atoms; nodes have twice as many */
    const double *scale; /* ntypes: Angstrom per unit of spin; 0 for types without spin */
};

/* Zero it before its first use; free it with dgnn_magnetic_free. */
struct dgnn_magnetic {
    struct dgnn_nodes nodes; /* real and virtual: two for each atom */

    /* The rest belongs to magnetic.c. */
    int64_t nowned, natom;      /* atoms: owned, and all their rows */
    struct dgnn_buffer block;   /* all arrays of nodes */
    struct dgnn_buffer vectors; /* of edges, between real atoms */
    struct dgnn_buffer results; /* of atoms */
    double *displacement;       /* rows x 3, from the real atom; 0 for real nodes: the graph's offset */
};

static inline void dgnn_magnetic_displacement(const struct dgnn_magnetic_scheme *scheme, int32_t type,
                                              const double spin[3], double displacement[3])
{
    for (int c = 0; c < 3; c++) {
        displacement[c] = scheme->scale[type] * spin[c];
    }
}

/* atoms->spins must be there, a spin for each row: a ghost image's virtual row stands beside the image, and
 * belongs to its owner's virtual node. A host's lists are doubled as dgnn_spin_neighbours says. Positions are
 * wrapped already: a virtual node stays beside its atom. nodes takes over atoms' cell, first_type, may_reuse
 * and exchange; aparam of virtual nodes is 0. Errors: MEMORY, INPUT (more atoms than rows can be numbered).
 * Allocates only to grow. */
int dgnn_magnetic_update(struct dgnn_magnetic *magnetic, const struct dgnn_magnetic_scheme *scheme,
                         const struct dgnn_nodes *atoms, int64_t dim_aparam, struct dgnn_error *error);

/* All memory of join and return, for a graph of these nodes. Errors: MEMORY. */
int dgnn_magnetic_prepare(struct dgnn_magnetic *magnetic, const struct dgnn_graph *graph,
                          int want_atom_virial, struct dgnn_error *error);

/* From nodes to atoms, once the nodes' own forces are known: real_graph is the graph with displacements
 * between the real atoms of both nodes in place of vectors, which virials are made of, spins being held fixed
 * under strain. Edges between the two nodes of one atom join nothing then: their gradients are cleared, so
 * that the huge ones of a nearly zero spin need not cancel. edge_gradient: sides x nedge x 3 (descriptor.h).
 * After prepare; valid until the next call. */
void dgnn_magnetic_join(struct dgnn_magnetic *magnetic, const struct dgnn_graph *graph, int32_t sides,
                        double *edge_gradient, struct dgnn_graph *real_graph);

/* Results of nodes become results of atoms: energies, forces and virials of both nodes are added; nodes'
 * forces are those of joined edges, forces_mag those of all. An atom's forces_mag is its virtual node's times
 * the type's scale, -dE/dspin. The arrays in *atoms are magnetic's, valid until the next call: energy has a
 * row for each owned atom, the others for ghosts too; atom_virial is NULL where nodes' is. After prepare. */
void dgnn_magnetic_return(struct dgnn_magnetic *magnetic, const struct dgnn_magnetic_scheme *scheme,
                          const struct dgnn_node_result *nodes, struct dgnn_node_result *atoms);

void dgnn_magnetic_free(struct dgnn_magnetic *magnetic);

#endif
