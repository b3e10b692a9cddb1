/* The model, as the files of this room share it. */
#ifndef DGNN_MODEL_MODEL_H
#define DGNN_MODEL_MODEL_H

#include <stdatomic.h>

#include "base/cpu.h"
#include "geom/graphbuild.h"
#include "geom/order.h"
#include "io/archive.h"
#include "net/energy/linear.h"
#include "system/domain.h"
#include "system/ghosted.h"
#include "system/magnetic.h"
#include "system/serial.h"

struct dgnn_model {
    atomic_int busy;
    struct dgnn_archive archive; /* values of the loaded parts point into it */
    int32_t ntypes;     /* of atoms */
    int32_t node_types; /* of nodes: twice as many in a spin model */
    const char **type_map; /* node_types names, those of atoms first */
    int32_t is_spin;
    int32_t has_virtual; /* spins are virtual atoms, not the descriptor's own matter */
    struct dgnn_magnetic_scheme spin; /* of a spin model; owns its scale */
    struct dgnn_linear *linear;
    struct dgnn_atomic_properties properties;
    const char *semantics_from; /* what chose between dense and graph, in words */
    int32_t dense;
    int32_t memory;
    int32_t radial;
    int32_t threads;
    enum dgnn_cpu cpu;
    double skin;
    char *description;

    struct dgnn_serial serial;
    struct dgnn_magnetic magnetic;
    struct dgnn_domain domain;
    struct dgnn_ghosted_nodes ghosted;
    struct dgnn_nlist list;
    struct dgnn_graph_builder builder;
    struct dgnn_order order;
    int32_t ordered; /* does net see the graph in that order? */
    struct dgnn_profile *profile; /* of this call; NULL: nothing is measured */
    struct dgnn_buffer energy, forces, forces_mag, atom_virial, edge_gradient, ordered_rows, spin_gradient;
};

#endif
