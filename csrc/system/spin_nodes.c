#include "system/spin_nodes.h"

#include <string.h>

#include "base/arena.h"
#include "comm/spin_rows.h"

/* Angstrom: far above what rounding leaves of an atom's displacement from itself, far below any lattice
 * vector. */
#define SPIN_NODES_CLOSE 1e-4

/* The arrays of nodes, as this file writes them. */
struct spin_nodes_rows {
    double *positions, *displacement, *aparam;
    int32_t *types, *owner, *list_row;
    int64_t *ids, *labels, *list_first;
    uint8_t *may_overlap;
};

static void spin_nodes_layout(struct dgnn_arena *arena, const struct dgnn_nodes *atoms, int64_t dim_aparam,
                              struct spin_nodes_rows *r)
{
    int64_t n = 2 * atoms->nrow, nlisted = atoms->list_first ? atoms->list_first[atoms->nowned] : 0;
    r->positions = dgnn_arena_take(arena, n, 3 * sizeof(*r->positions));
    r->displacement = dgnn_arena_take(arena, n, 3 * sizeof(*r->displacement));
    r->aparam = dgnn_arena_take(arena, 2 * atoms->nowned * dim_aparam, sizeof(*r->aparam));
    r->types = dgnn_arena_take(arena, n, sizeof(*r->types));
    r->ids = dgnn_arena_take(arena, n, sizeof(*r->ids));
    r->labels = dgnn_arena_take(arena, n, sizeof(*r->labels));
    r->may_overlap = dgnn_arena_take(arena, n, sizeof(*r->may_overlap));
    r->owner = atoms->owner ? dgnn_arena_take(arena, n, sizeof(*r->owner)) : NULL;
    r->list_first = NULL;
    r->list_row = NULL;
    if (atoms->list_first) {
        r->list_first = dgnn_arena_take(arena, 2 * atoms->nowned + 1, sizeof(*r->list_first));
        r->list_row = dgnn_arena_take(arena, 2 * (atoms->nowned + 2 * nlisted), sizeof(*r->list_row));
    }
}

/* An atom's two nodes share its id, so that between equal distances its images stay together, the real node
 * before the virtual one: of a spin of zero sel takes or leaves both, as in deepmd-kit. */
static void spin_nodes_fill_atom(const struct dgnn_spin_scheme *scheme, const struct dgnn_nodes *atoms,
                                 int64_t i, const struct spin_nodes_rows *r)
{
    int64_t real = dgnn_spin_real(i, atoms->nowned), other = dgnn_spin_virtual(i, atoms->nowned);
    int64_t id = atoms->ids ? atoms->ids[i] : i;
    int32_t owner = atoms->owner ? atoms->owner[i] : (int32_t)i, type = atoms->types[owner];
    dgnn_spin_nodes_displacement(scheme, type, atoms->spins + 3 * i, r->displacement + 3 * other);
    for (int c = 0; c < 3; c++) {
        r->positions[3 * real + c] = atoms->positions[3 * i + c];
        r->positions[3 * other + c] = atoms->positions[3 * i + c] + r->displacement[3 * other + c];
        r->displacement[3 * real + c] = 0;
    }
    r->types[real] = type;
    r->types[other] = type + scheme->ntypes;
    if (r->owner) {
        r->owner[real] = (int32_t)dgnn_spin_real(owner, atoms->nowned);
        r->owner[other] = (int32_t)dgnn_spin_virtual(owner, atoms->nowned);
    }
    r->ids[real] = r->ids[other] = id;
    r->labels[real] = r->labels[other] = atoms->labels ? atoms->labels[i] : i;
    r->may_overlap[real] = 0;
    r->may_overlap[other] = 1;
}

static void spin_nodes_set_nodes(struct dgnn_spin_nodes *m, const struct dgnn_nodes *atoms,
                                 const struct spin_nodes_rows *r)
{
    m->displacement = r->displacement;
    m->nodes = *atoms;
    m->nodes.nowned = 2 * m->nowned;
    m->nodes.nnode = 2 * atoms->nnode;
    m->nodes.nrow = 2 * atoms->nrow;
    m->nodes.positions = r->positions;
    m->nodes.types = r->types;
    m->nodes.ids = r->ids;
    m->nodes.labels = r->labels;
    m->nodes.may_overlap = r->may_overlap;
    m->nodes.aparam = r->aparam;
    m->nodes.owner = r->owner;
    m->nodes.list_first = r->list_first;
    m->nodes.list_row = r->list_row;
    m->nodes.spins = NULL;
}

int dgnn_spin_nodes_update(struct dgnn_spin_nodes *m, const struct dgnn_spin_scheme *scheme,
                           const struct dgnn_nodes *atoms, int64_t dim_aparam, struct dgnn_error *error)
{
    struct spin_nodes_rows rows;
    struct dgnn_arena arena = {0};
    if (atoms->nrow > INT32_MAX / 2) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "%lld atoms with spins; expected at most %d on one rank",
                               (long long)atoms->nrow, INT32_MAX / 2);
    }
    m->nowned = atoms->nowned;
    m->natom = atoms->nrow;
    spin_nodes_layout(&arena, atoms, dim_aparam, &rows);
    DGNN_TRY(dgnn_buffer_reserve(&m->block, arena.used, "virtual atoms", error));
    arena = (struct dgnn_arena){.base = m->block.data};
    spin_nodes_layout(&arena, atoms, dim_aparam, &rows);
    for (int64_t i = 0; i < atoms->nrow; i++) {
        spin_nodes_fill_atom(scheme, atoms, i, &rows);
    }
    if (dim_aparam && m->nowned) {
        size_t nbytes = sizeof(double) * (size_t)(m->nowned * dim_aparam);
        memcpy(rows.aparam, atoms->aparam, nbytes);
        memset((char *)rows.aparam + nbytes, 0, nbytes);
    }
    if (atoms->list_first) {
        dgnn_spin_neighbours(atoms->list_first, atoms->list_row, m->nowned, rows.list_first, rows.list_row);
    }
    spin_nodes_set_nodes(m, atoms, &rows);
    return DGNN_OK;
}

static void spin_nodes_layout_results(struct dgnn_arena *arena, const struct dgnn_spin_nodes *m,
                                      int has_atom_virial, struct dgnn_node_result *r)
{
    r->energy = dgnn_arena_take(arena, m->nowned, sizeof(double));
    r->forces = dgnn_arena_take(arena, m->natom, 3 * sizeof(double));
    r->forces_mag = dgnn_arena_take(arena, m->natom, 3 * sizeof(double));
    r->atom_virial = has_atom_virial ? dgnn_arena_take(arena, m->natom, 9 * sizeof(double)) : NULL;
}

int dgnn_spin_nodes_prepare(struct dgnn_spin_nodes *m, const struct dgnn_graph *graph, int want_atom_virial,
                            struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    struct dgnn_node_result atoms;
    int64_t nedge = dgnn_graph_nedge(graph);
    spin_nodes_layout_results(&arena, m, want_atom_virial, &atoms);
    DGNN_TRY(
        dgnn_buffer_reserve(&m->vectors, 3 * nedge * (int64_t)sizeof(double), "edges between atoms", error));
    return dgnn_buffer_reserve(&m->results, arena.used, "results of atoms with spins", error);
}

/* Do an atom's own two nodes stand at both ends, in the same cell? */
static int spin_nodes_is_own(const struct dgnn_spin_nodes *m, int64_t centre, int64_t row,
                             const double vector[3])
{
    int64_t partner = centre < m->nowned ? centre + m->nowned : centre - m->nowned;
    double squared = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
    return row == partner && squared < SPIN_NODES_CLOSE * SPIN_NODES_CLOSE;
}

void dgnn_spin_nodes_join(struct dgnn_spin_nodes *m, const struct dgnn_graph *graph, int32_t sides,
                          double *edge_gradient, struct dgnn_graph *real_graph)
{
    double *vector = m->vectors.data;
    int64_t nedge = dgnn_graph_nedge(graph);
    const int32_t *row = graph->image ? graph->image : graph->neighbour;
    for (int64_t i = 0; i < graph->nowned; i++) {
        const double *from = m->displacement + 3 * i;
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            const double *to = m->displacement + 3 * (int64_t)row[e];
            for (int c = 0; c < 3; c++) {
                vector[3 * e + c] = graph->vector[3 * e + c] + from[c] - to[c];
            }
            if (spin_nodes_is_own(m, i, row[e], vector + 3 * e)) {
                memset(vector + 3 * e, 0, 3 * sizeof(*vector));
                for (int32_t side = 0; side < sides; side++) {
                    memset(edge_gradient + 3 * (side * nedge + e), 0, 3 * sizeof(*edge_gradient));
                }
            }
        }
    }
    *real_graph = *graph;
    real_graph->vector = vector;
    real_graph->offset = NULL;
}

/* Row i of atoms: the sum of its nodes' rows. */
static void spin_nodes_add(const struct dgnn_spin_nodes *m, const double *nodes, int64_t i, int width,
                           double *atoms)
{
    const double *real = nodes + width * dgnn_spin_real(i, m->nowned);
    const double *other = nodes + width * dgnn_spin_virtual(i, m->nowned);
    for (int c = 0; c < width; c++) {
        atoms[width * i + c] = real[c] + other[c];
    }
}

void dgnn_spin_nodes_return(struct dgnn_spin_nodes *m, const struct dgnn_spin_scheme *scheme,
                            const struct dgnn_node_result *nodes, struct dgnn_node_result *atoms)
{
    struct dgnn_arena arena = {.base = m->results.data};
    spin_nodes_layout_results(&arena, m, nodes->atom_virial != NULL, atoms);
    for (int64_t i = 0; i < m->nowned; i++) {
        spin_nodes_add(m, nodes->energy, i, 1, atoms->energy);
    }
    for (int64_t i = 0; i < m->natom; i++) {
        double scale = scheme->scale[m->nodes.types[dgnn_spin_real(i, m->nowned)]];
        const double *pull = nodes->forces_mag + 3 * dgnn_spin_virtual(i, m->nowned);
        spin_nodes_add(m, nodes->forces, i, 3, atoms->forces);
        for (int c = 0; c < 3; c++) {
            atoms->forces_mag[3 * i + c] = scale != 0 ? scale * pull[c] : 0;
        }
        if (atoms->atom_virial) {
            spin_nodes_add(m, nodes->atom_virial, i, 9, atoms->atom_virial);
        }
    }
    memcpy(atoms->virial, nodes->virial, sizeof(atoms->virial));
}

void dgnn_spin_nodes_free(struct dgnn_spin_nodes *m)
{
    dgnn_buffer_free(&m->block);
    dgnn_buffer_free(&m->vectors);
    dgnn_buffer_free(&m->results);
}
