/* Virtual atoms of spin models: where they are, which rows they have, and how their forces come home. */
#include "comm/spin_rows.h"
#include "system/spin_nodes.h"

#include "check.h"

/* Two owned atoms and two ghosts of types 0 (scale 0.5), 1 (no spin). */
static const double positions[12] = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3};
static const double spins[12] = {0, 0, 1, 9, 9, 9, 1, 0, 0, 0, -2, 0};
static const int32_t types[4] = {0, 1, 0, 0};
static const int64_t ids[4] = {7, 3, INT64_MAX, 0};
static const int64_t labels[4] = {10, 11, 12, 13};
static const double aparam[4] = {1, 2, 3, 4};
static const double scale[2] = {0.5, 0};
static const struct dgnn_spin_scheme scheme = {.ntypes = 2, .scale = scale};

static struct dgnn_nodes make_atoms(void)
{
    return (struct dgnn_nodes){.nowned = 2,
                               .nnode = 4,
                               .nrow = 4,
                               .positions = positions,
                               .types = types,
                               .ids = ids,
                               .labels = labels,
                               .aparam = aparam,
                               .spins = spins,
                               .first_type = 1,
                               .may_reuse = 1};
}

/* Owned rows first, real and virtual; a ghost's two side by side, as dgnn_spin_plan sends them. */
static void test_rows(void)
{
    struct dgnn_error error = {0};
    struct dgnn_nodes atoms = make_atoms();
    struct dgnn_spin_nodes m = {0};
    static const int32_t expected_types[8] = {0, 1, 2, 3, 0, 2, 0, 2};
    static const int64_t expected_labels[8] = {10, 11, 10, 11, 12, 12, 13, 13};
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &atoms, 2, &error), DGNN_OK, "");
    CHECK(m.nodes.nowned == 4 && m.nodes.nnode == 8 && m.nodes.first_type == 1 && m.nodes.may_reuse == 1);
    CHECK(!m.nodes.exchange && !m.nodes.spins);
    for (int row = 0; row < 8; row++) {
        CHECK(m.nodes.types[row] == expected_types[row] && m.nodes.labels[row] == expected_labels[row]);
        CHECK(m.nodes.may_overlap[row] == (expected_types[row] >= 2));
    }
    for (int64_t i = 0; i < 4; i++) {
        int64_t real = dgnn_spin_real(i, 2), other = dgnn_spin_virtual(i, 2);
        for (int c = 0; c < 3; c++) {
            CHECK(m.nodes.positions[3 * real + c] == positions[3 * i + c]);
            CHECK(m.nodes.positions[3 * other + c] ==
                  positions[3 * i + c] + scale[types[i]] * spins[3 * i + c]);
        }
        CHECK(m.nodes.ids[real] == ids[i] && m.nodes.ids[other] == ids[i] && real < other);
    }
    CHECK(m.nodes.aparam[0] == 1 && m.nodes.aparam[3] == 4 && m.nodes.aparam[4] == 0 &&
          m.nodes.aparam[7] == 0);
    dgnn_spin_nodes_free(&m);
}

/* Images of owned atoms: rows of their own place and spin, of their owner's nodes; and a host's lists. */
static void test_images(void)
{
    struct dgnn_error error = {0};
    struct dgnn_nodes atoms = make_atoms();
    struct dgnn_spin_nodes m = {0};
    static const int32_t owner[4] = {0, 1, 0, 1}, list[2] = {2, 0}, doubled[8] = {2, 4, 5, 3, 0, 2, 0, 4};
    static const int64_t first[3] = {0, 1, 2}, doubled_first[5] = {0, 3, 6, 9, 12};
    static const int32_t expected_owner[8] = {0, 1, 2, 3, 0, 2, 1, 3},
                         expected_types[8] = {0, 1, 2, 3, 0, 2, 1, 3};
    atoms.nnode = 2;
    atoms.owner = owner;
    atoms.list_first = first;
    atoms.list_row = list;
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &atoms, 0, &error), DGNN_OK, "");
    CHECK(m.nodes.nowned == 4 && m.nodes.nnode == 4 && m.nodes.nrow == 8);
    for (int row = 0; row < 8; row++) {
        CHECK(m.nodes.owner[row] == expected_owner[row] && m.nodes.types[row] == expected_types[row]);
        CHECK(m.nodes.list_row[row] == doubled[row]);
    }
    for (int i = 0; i < 5; i++) {
        CHECK(m.nodes.list_first[i] == doubled_first[i]);
    }
    CHECK(m.nodes.positions[3 * 5] == 0.5 && m.nodes.positions[3 * 5 + 1] == 2); /* the image's own spin */
    dgnn_spin_nodes_free(&m);
}

static void test_join(void)
{
    struct dgnn_error error = {0};
    struct dgnn_nodes atoms = make_atoms();
    struct dgnn_spin_nodes m = {0};
    struct dgnn_graph joined;
    /* From row 0 (real 0): to its virtual node, to an image of that, and to the virtual node of ghost 2. */
    static const int64_t first[5] = {0, 3, 3, 4, 4};
    static const int32_t neighbour[4] = {2, 2, 5, 0};
    static const double vector[12] = {0, 0, 0.5, 6, 0, 0.5, 0.5, 2, 0, 0, 0, -0.5};
    double gradient[12] = {1e16, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4};
    struct dgnn_graph graph = {
        .nowned = 4, .nnode = 8, .first = first, .neighbour = neighbour, .vector = vector};
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &atoms, 0, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_spin_nodes_prepare(&m, &graph, 0, &error), DGNN_OK, "");
    dgnn_spin_nodes_join(&m, &graph, 1, gradient, &joined);
    CHECK(joined.vector[0] == 0 && joined.vector[2] == 0 && gradient[0] == 0 && gradient[2] == 0);
    CHECK(joined.vector[3] == 6 && joined.vector[5] == 0 && gradient[3] == 2);
    CHECK(joined.vector[6] == 0 && joined.vector[7] == 2 && gradient[6] == 3);
    CHECK(joined.vector[11] == 0 && gradient[9] == 0);
    CHECK(joined.first == first && joined.neighbour == neighbour && graph.vector == vector);
    dgnn_spin_nodes_free(&m);
}

static void test_return(void)
{
    struct dgnn_error error = {0};
    struct dgnn_nodes atoms = make_atoms();
    struct dgnn_spin_nodes m = {0};
    double energy[4] = {1, 2, 10, 20}, forces[24], pulls[24], virial[72];
    for (int k = 0; k < 72; k++) {
        virial[k] = k;
        forces[k % 24] = k % 24;
        pulls[k % 24] = 100 + k % 24;
    }
    struct dgnn_node_result of_nodes = {
        .energy = energy, .forces = forces, .forces_mag = pulls, .atom_virial = virial, .virial = {5}};
    struct dgnn_node_result r;
    static const int64_t no_edges[5] = {0};
    struct dgnn_graph graph = {.nowned = 4, .nnode = 8, .first = no_edges};
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &atoms, 0, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_spin_nodes_prepare(&m, &graph, 1, &error), DGNN_OK, "");
    dgnn_spin_nodes_return(&m, &scheme, &of_nodes, &r);
    CHECK(r.energy[0] == 11 && r.energy[1] == 22 && r.virial[0] == 5);
    for (int64_t i = 0; i < 4; i++) {
        int64_t real = dgnn_spin_real(i, 2), other = dgnn_spin_virtual(i, 2);
        CHECK(r.forces[3 * i + 1] == forces[3 * real + 1] + forces[3 * other + 1]);
        CHECK(r.forces_mag[3 * i + 2] == (types[i] ? 0 : 0.5 * pulls[3 * other + 2]));
        CHECK(r.atom_virial[9 * i + 8] == virial[9 * real + 8] + virial[9 * other + 8]);
    }
    of_nodes.atom_virial = NULL;
    dgnn_spin_nodes_return(&m, &scheme, &of_nodes, &r);
    CHECK(r.atom_virial == NULL && r.energy[1] == 22);
    dgnn_spin_nodes_free(&m);
}

static void test_limits(void)
{
    struct dgnn_error error = {0};
    struct dgnn_nodes atoms = make_atoms(), none = {.first_type = -1};
    struct dgnn_spin_nodes m = {0};
    struct dgnn_node_result nothing = {0}, r;
    static const int64_t no_edges[1] = {0};
    struct dgnn_graph empty = {.first = no_edges};
    int64_t live = dgnn_alloc_live();
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &none, 1, &error), DGNN_OK, "");
    CHECK(m.nodes.nnode == 0 && m.nodes.first_type == -1);
    CHECK_STATUS(dgnn_spin_nodes_prepare(&m, &empty, 1, &error), DGNN_OK, "");
    dgnn_spin_nodes_return(&m, &scheme, &nothing, &r);
    atoms.nrow = 1 << 30;
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &atoms, 0, &error), DGNN_ERROR_INPUT,
                 "1073741824 atoms with spins");
    atoms.nrow = 4;
    dgnn_spin_nodes_free(&m);
    m = (struct dgnn_spin_nodes){0};
    dgnn_alloc_fail_at(1, 0);
    CHECK_STATUS(dgnn_spin_nodes_update(&m, &scheme, &atoms, 0, &error), DGNN_ERROR_MEMORY, "virtual atoms");
    dgnn_alloc_fail_at(0, 0);
    dgnn_spin_nodes_free(&m);
    CHECK(dgnn_alloc_live() == live);
}

int main(void)
{
    test_rows();
    test_images();
    test_join();
    test_return();
    test_limits();
    return check_report();
}
