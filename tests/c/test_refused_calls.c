/* Refusals of options, metadata and calls that other tests don't come by, a row for each: what was given, the
 * status, and what the message says. */
#include <stdlib.h>

#include "base/alloc.h"
#include "check.h"
#include "io/archive.h"
#include "model/metadata.h"
#include "model/model.h"

static struct dgnn_error error;

#define COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

static struct dgnn_tree *parse(const char *name, const char *json)
{
    struct dgnn_tree *tree = NULL;
    CHECK_STATUS(dgnn_tree_parse(name, json, strlen(json), NULL, &tree, &error), DGNN_OK, "");
    return tree;
}

static const struct dgnn_load_options plain = {.size = sizeof(plain), .threads = 1, .skin = 0};

static int load(const char *name, const struct dgnn_load_options *options, struct dgnn_model **model)
{
    char path[256];
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    return dgnn_model_load(path, options, model, &error);
}

static void test_options(void)
{
    struct dgnn_load_options rows[13];
    struct dgnn_model *model = NULL;
    for (size_t k = 0; k < COUNT(rows); k++) {
        rows[k] = plain;
    }
    static const char *const numbers[] = {"dtype: found", "memory: found", "semantics: found",
                                          "threads: found", "skin: found"};
    rows[0].dtype = -1;
    rows[1].dtype = 3;
    rows[2].memory = -1;
    rows[3].memory = 2;
    rows[4].semantics = -1;
    rows[5].semantics = 3;
    rows[6].threads = -1;
    rows[7].threads = 1025;
    rows[8].skin = 101;
    rows[9].skin = INFINITY;
    rows[10].device = "cuda";
    rows[11].device = "";
    rows[12].semantics = DGNN_SEMANTICS_GRAPH;
    for (size_t k = 0; k < COUNT(rows); k++) {
        int status = k == 10 ? DGNN_ERROR_UNSUPPORTED : DGNN_ERROR_INPUT;
        CHECK_STATUS(load("se_e2_r", &rows[k], &model), status,
                     k < 10    ? numbers[k / 2]
                     : k == 10 ? "device"
                     : k == 11 ? "device: found ''"
                               : "descriptor 'se_e2_r' has the dense form");
    }
    CHECK_STATUS(load("spin_dpa3", &rows[12], &model), DGNN_ERROR_INPUT,
                 "'dpa3' with virtual atoms has the dense form only");
    CHECK_STATUS(dgnn_model_load(NULL, NULL, &model, &error), DGNN_ERROR_INPUT, "path and model");
    CHECK_STATUS(dgnn_model_load("x", NULL, NULL, &error), DGNN_ERROR_INPUT, "path and model");
    CHECK_STATUS(dgnn_model_load_tree("tree", "{", 1, NULL, 0, NULL, &model, &error), DGNN_ERROR_FORMAT,
                 "tree");
    CHECK_STATUS(dgnn_model_load_memory("bytes", "PK", 2, NULL, &model, &error), DGNN_ERROR_FORMAT, "bytes");
    CHECK(!model);
    dgnn_model_free(NULL);
}

/* Beside a model with the settings of test_metadata. */
static const struct {
    const char *json;
    int status;
    const char *text;
} metadata_rows[] = {
    {"{}", DGNN_OK, ""},
    {"{\"type_map\":[\"O\",\"H\"],\"rcut\":4,\"sel\":[10,20],\"nnei\":30,\"dim_fparam\":1,\"dim_aparam\":"
     "2,"
     "\"dim_chg_spin\":0,\"is_spin\":false,\"has_message_passing\":true,\"pair_exclude_types\":[[1,0]],"
     "\"lower_input_kind\":\"nlist\"}",
     DGNN_OK, ""},
    {"[]", DGNN_ERROR_FORMAT, "expected an object"},
    {"{\"type_map\":7}", DGNN_ERROR_FORMAT, "type_map: expected a list"},
    {"{\"type_map\":[\"O\"]}", DGNN_ERROR_FORMAT,
     "type_map: contradicts model.json, which says another number of types"},
    {"{\"type_map\":[\"O\",1]}", DGNN_ERROR_FORMAT, "type_map[1]: expected a string"},
    {"{\"type_map\":[\"H\",\"O\"]}", DGNN_ERROR_FORMAT, "type_map[0]: contradicts model.json, which says O"},
    {"{\"rcut\":4.5}", DGNN_ERROR_FORMAT, "rcut: contradicts model.json, which says 4"},
    {"{\"rcut\":\"4\"}", DGNN_ERROR_FORMAT, "rcut: expected a number"},
    {"{\"sel\":30}", DGNN_ERROR_FORMAT, "sel: expected a list"},
    {"{\"sel\":[30]}", DGNN_ERROR_FORMAT, "sel: contradicts model.json, which says another number of them"},
    {"{\"sel\":[10,\"a\"]}", DGNN_ERROR_FORMAT, "sel[1]: expected an integer"},
    {"{\"sel\":[10,21]}", DGNN_ERROR_FORMAT, "sel[1]: contradicts model.json, which says 20"},
    {"{\"nnei\":31}", DGNN_ERROR_FORMAT, "nnei: contradicts model.json, which says 30"},
    {"{\"dim_fparam\":0}", DGNN_ERROR_FORMAT, "dim_fparam: contradicts"},
    {"{\"dim_aparam\":0}", DGNN_ERROR_FORMAT, "dim_aparam: contradicts"},
    {"{\"dim_chg_spin\":2}", DGNN_ERROR_FORMAT, "dim_chg_spin: contradicts"},
    {"{\"is_spin\":true}", DGNN_ERROR_FORMAT, "is_spin: contradicts model.json, which says false"},
    {"{\"is_spin\":0}", DGNN_ERROR_FORMAT, "is_spin: expected a boolean"},
    {"{\"has_message_passing\":false}", DGNN_ERROR_FORMAT,
     "has_message_passing: contradicts model.json, which says true"},
    {"{\"pair_exclude_types\":7}", DGNN_ERROR_FORMAT, "pair_exclude_types: expected a list"},
    {"{\"pair_exclude_types\":[7]}", DGNN_ERROR_FORMAT, "pair_exclude_types[0]: expected a list"},
    {"{\"pair_exclude_types\":[[0,\"a\"]]}", DGNN_ERROR_FORMAT, "[0][1]: expected an integer"},
    {"{\"pair_exclude_types\":[[0]]}", DGNN_ERROR_FORMAT, "expected two types, each in [0, 2)"},
    {"{\"pair_exclude_types\":[[0,2]]}", DGNN_ERROR_FORMAT, "expected two types"},
    {"{\"pair_exclude_types\":[[-1,0]]}", DGNN_ERROR_FORMAT, "expected two types"},
    {"{\"pair_exclude_types\":[[0,1,1]]}", DGNN_ERROR_FORMAT, "expected two types"},
    {"{\"pair_exclude_types\":[]}", DGNN_ERROR_FORMAT, "which says that types 0 and 1 are excluded"},
    {"{\"pair_exclude_types\":[[0,1],[1,1]]}", DGNN_ERROR_FORMAT, "that types 1 and 1 are not excluded"},
    {"{\"lower_input_kind\":\"tree\"}", DGNN_ERROR_UNSUPPORTED, "lower_input_kind: 'tree' is not supported"},
    {"{\"lower_input_kind\":1}", DGNN_ERROR_FORMAT, "lower_input_kind: expected a string"},
};

static void test_metadata(void)
{
    static const char *const type_map[2] = {"O", "H"};
    static const int64_t sel[2] = {10, 20};
    struct dgnn_tree *model = parse("model.json", "{\"pair_exclude_types\":[[0,1]]}"),
                     *bad = parse("m", "{\"pair_exclude_types\":1}");
    struct dgnn_value network = dgnn_tree_root(model), bad_network = dgnn_tree_root(bad);
    struct dgnn_atomic_properties properties = {
        .descriptor = {.cutoff = 4, .nsel = 2, .sel = sel, .has_message_passing = 1},
        .fitting = {.dim_fparam = 1, .dim_aparam = 2}};
    struct dgnn_metadata_facts facts = {
        .ntypes = 2, .type_map = type_map, .node_types = 2, .network = &network, .properties = &properties};
    int32_t semantics;
    for (size_t k = 0; k < COUNT(metadata_rows); k++) {
        struct dgnn_tree *tree = parse("metadata.json", metadata_rows[k].json);
        CHECK_STATUS(dgnn_metadata_check(tree, &facts, &semantics, &error), metadata_rows[k].status,
                     metadata_rows[k].text);
        if (k == 1) {
            for (int nth = 1; nth < 3; nth++) {
                dgnn_alloc_fail_at(nth, 0);
                CHECK_STATUS(dgnn_metadata_check(tree, &facts, &semantics, &error),
                             nth == 1 ? DGNN_ERROR_MEMORY : DGNN_OK, "pairs of types");
                dgnn_alloc_fail_at(0, 0);
            }
            facts.network = &bad_network;
            CHECK_STATUS(dgnn_metadata_check(tree, &facts, &semantics, &error), DGNN_ERROR_FORMAT,
                         "m: pair_exclude_types");
            facts.network = &network;
        }
        dgnn_tree_free(tree);
    }
    CHECK_STATUS(dgnn_metadata_check(NULL, &facts, &semantics, &error), DGNN_OK, "");
    CHECK(semantics == DGNN_SEMANTICS_DENSE && !dgnn_metadata_flag(NULL, "is_spin"));
    dgnn_tree_free(model);
    dgnn_tree_free(bad);
}

/* Each allocation of reading a .json, and of a model's tree, fails once. */
static void test_memory(const struct dgnn_model *model)
{
    static const char json[] = "{\"model\":{\"type\":\"standard\"}}";
    struct dgnn_archive archive = {0};
    struct dgnn_model_tree tree = {.size = sizeof(tree)};
    int64_t live = dgnn_alloc_live(), nth = 0;
    int status;
    do {
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_archive_read_memory("model.json", json, strlen(json), &archive, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && dgnn_alloc_live() == live));
    } while (status && nth < 100);
    CHECK(nth > 4 && nth < 100);
    dgnn_archive_free(&archive);
    nth = 0;
    do {
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_model_tree(model, &tree, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && dgnn_alloc_live() == live));
    } while (status && nth < 100);
    CHECK(nth > 2 && nth < 100);
    dgnn_model_tree_free(&tree);
    CHECK(dgnn_alloc_live() == live);
}

/* ------------------------------------------------------------------ calls */

static const double coords[12] = {0, 0, 0, 1.5, 0, 0, 0, 1.5, 0, 1.5, 1.5, 0};
static const int32_t types[4] = {0, 1, 0, 1};
static const double parameters[4] = {0.1, 0.2, 0.3, 0.4}, bad_number[4] = {0.1, NAN, 0, 0};
static const int64_t twice[4] = {5, 7, 9, 7};

static void test_systems(void)
{
    const struct dgnn_system good = {.size = sizeof(good), .natoms = 4, .coords = coords, .types = types};
    struct dgnn_system s[12];
    static const char *const texts[12] = {"natoms: -1",
                                          "natoms: 4 with coords NULL",
                                          "types NULL",
                                          "2147483648",
                                          "spins: given, but this is no spin model",
                                          "fparam: found 2 numbers",
                                          "aparam: found 3 numbers per atom; this model takes 0",
                                          "charge_spin: this model takes none",
                                          "ids: 7 is there more than once",
                                          "ids",
                                          "types",
                                          "coords"};
    static const int32_t high[4] = {0, 1, 2, 0};
    static const int64_t negative[4] = {1, 2, -3, 4};
    struct dgnn_result result = {.size = sizeof(result)};
    struct dgnn_model *model = NULL;
    for (size_t k = 0; k < COUNT(s); k++) {
        s[k] = good;
    }
    s[0].natoms = -1;
    s[1].coords = NULL;
    s[2].types = NULL;
    s[3].natoms = (int64_t)1 << 31;
    s[4].spins = coords;
    s[5].fparam = parameters;
    s[5].nfparam = 2;
    s[6].aparam = parameters;
    s[6].naparam = 3;
    s[7].charge_spin = parameters;
    s[8].ids = twice;
    s[9].ids = negative;
    s[10].types = high;
    s[11].coords = bad_number;
    CHECK_STATUS(load("dpa3_one_layer", &plain, &model), DGNN_OK, "");
    for (size_t k = 0; k < COUNT(s); k++) {
        CHECK_STATUS(dgnn_model_compute(model, &s[k], NULL, &result, &error), DGNN_ERROR_INPUT, texts[k]);
    }
    CHECK_STATUS(dgnn_model_compute(model, &good, NULL, &result, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute(NULL, &good, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK_STATUS(dgnn_model_compute(model, NULL, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK_STATUS(dgnn_model_compute(model, &good, NULL, NULL, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK(dgnn_model_compute(model, &s[0], NULL, &result, NULL) == DGNN_ERROR_INPUT);
    CHECK_STATUS(dgnn_model_save(NULL, "x", &error), DGNN_ERROR_INPUT, "model and path");
    CHECK_STATUS(dgnn_model_save(model, NULL, &error), DGNN_ERROR_INPUT, "model and path");
    CHECK_STATUS(dgnn_model_tree(model, NULL, &error), DGNN_ERROR_INPUT, "must not be NULL");
    CHECK_STATUS(dgnn_model_tree(model, &(struct dgnn_model_tree){.size = 8}, &error), DGNN_ERROR_INPUT,
                 "model tree: its size is 8");
    test_memory(model);
    dgnn_model_free(model);
}

/* Where an array of that name stands in a tree's text: its number. */
static size_t array_index(const char *json, const char *name)
{
    const char *member = strstr(json, name), *index = member ? strstr(member, "\"@index\":") : NULL;
    CHECK(index != NULL);
    return index ? (size_t)strtoull(index + strlen("\"@index\":"), NULL, 10) : 0;
}

/* A model of finite numbers whose energy of each atom is none. */
static struct dgnn_model *load_with_huge_bias(void)
{
    static const double huge[2] = {1.7e308, 1.7e308};
    struct dgnn_model *sound = NULL, *model = NULL;
    struct dgnn_model_tree tree = {.size = sizeof(tree)};
    CHECK_STATUS(load("dpa3_base", &plain, &sound), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_tree(sound, &tree, &error), DGNN_OK, "");
    tree.arrays[array_index(tree.json, "\"out_bias\"")].data = huge;
    tree.arrays[array_index(tree.json, "\"bias_atom_e\"")].data = huge;
    CHECK_STATUS(dgnn_model_load_tree("huge", tree.json, tree.json_length, tree.arrays, tree.narrays, &plain,
                                      &model, &error),
                 DGNN_OK, "");
    dgnn_model_tree_free(&tree);
    dgnn_model_free(sound);
    return model;
}

static void test_parameters(void)
{
    static const double charges[6][2] = {{-101, 0}, {100, 0}, {0, -1}, {0, 100}, {-100, 0}, {99, 99}};
    struct dgnn_system s = {.size = sizeof(s), .natoms = 4, .coords = coords, .types = types};
    struct dgnn_result result = {.size = sizeof(result)};
    struct dgnn_model *model = NULL;
    struct dgnn_comm *comm = NULL;
    CHECK_STATUS(load("dpa3_fparam_aparam", &plain, &model), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute(model, &s, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "fparam: found 0 numbers");
    s.fparam = bad_number;
    for (s.nfparam = 1; s.nfparam < 4; s.nfparam++) {
        int status = dgnn_model_compute(model, &s, NULL, &result, &error);
        CHECK(status == DGNN_ERROR_INPUT &&
              (strstr(error.message, "fparam: found") || strstr(error.message, "aparam: found 0")));
    }
    dgnn_model_free(model);
    model = load_with_huge_bias();
    s = (struct dgnn_system){.size = sizeof(s), .natoms = 4, .coords = coords, .types = types};
    CHECK_STATUS(dgnn_model_compute(model, &s, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "of atom 0 is not finite");
    CHECK_STATUS(dgnn_comm_create_threads(1, 1, &comm, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute(model, &s, comm, &result, &error), DGNN_ERROR_INPUT,
                 "of atom 0 is not finite");
    struct dgnn_ghosted rows = {
        .size = sizeof(rows), .nlocal = 4, .nall = 4, .coords = coords, .types = types};
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, comm, &result, &error), DGNN_ERROR_INPUT,
                 "is not finite");
    dgnn_model_free(model);
    CHECK_STATUS(load("dpa3_fparam_aparam", &plain, &model), DGNN_OK, "");
    s.nfparam = 2;
    s.naparam = 1;
    dgnn_comm_free(comm);
    s.fparam = s.aparam = parameters;
    CHECK_STATUS(dgnn_model_compute(model, &s, NULL, &result, &error), DGNN_OK, "");
    dgnn_model_free(model);
    CHECK_STATUS(load("dpa3_charge_spin", &plain, &model), DGNN_OK, "");
    s = (struct dgnn_system){.size = sizeof(s), .natoms = 4, .coords = coords, .types = types};
    CHECK_STATUS(dgnn_model_compute(model, &s, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "this model needs charge and spin");
    s.charge_spin = bad_number;
    CHECK_STATUS(dgnn_model_compute(model, &s, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "charge_spin: element 1");
    for (size_t k = 0; k < COUNT(charges); k++) {
        s.charge_spin = charges[k];
        CHECK_STATUS(dgnn_model_compute(model, &s, NULL, &result, &error), k < 4 ? DGNN_ERROR_INPUT : DGNN_OK,
                     "the charge must be in [-100, 99], the spin in [0, 99]");
    }
    dgnn_model_free(model);
}

static const int64_t mapping[4] = {0, 1, 0, 1}, moved[4] = {1, 1, 0, 1}, beyond[4] = {0, 1, 2, 1},
                     low[4] = {0, 1, -1, 1}, other_type[4] = {0, 1, 1, 0};
static const int64_t first[3] = {0, 1, 2}, late[3] = {1, 2, 3}, falling[3] = {0, 2, 1};
static const int32_t neighbour[2] = {1, 0}, far[2] = {1, 4}, below[2] = {-2, 0};
static const struct dgnn_border no_border = {0};
static const struct dgnn_direct no_direct = {0};
static const struct dgnn_ghosted good = {
    .size = sizeof(good), .nlocal = 2, .nall = 4, .coords = coords, .types = types, .mapping = mapping};

static const char *const ghosted_texts[17] = {"nlocal: -1 of 4 rows",
                                              "nlocal: 5 of 4 rows",
                                              "of 2147483648 rows",
                                              "with coords NULL",
                                              "with coords and types",
                                              "border: found with a mapping",
                                              "border: found with a direct plan",
                                              "this model passes messages, so its 2 ghosts need",
                                              "mapping: row 0 is mapped to row 1; expected itself",
                                              "mapping: row 2 is mapped to row 2; expected an owned row",
                                              "mapping: row 2 is mapped to row -1",
                                              "row 2 has type 0, but its owner, row 1, has type 1",
                                              "neighbours: 2 of them, but no rows",
                                              "expected a list from 0 upwards",
                                              "expected a list from 0 upwards",
                                              "names row 4; expected a row below 4",
                                              "names row -2"};

/* A fault in each, which the texts name. */
static void ghosted_rows(struct dgnn_ghosted *s)
{
    for (size_t k = 0; k < COUNT(ghosted_texts); k++) {
        s[k] = good;
        s[k].neighbour_first = k > 12 ? first : NULL;
        s[k].neighbour = k > 12 ? neighbour : NULL;
    }
    s[0].nlocal = -1;
    s[1].nlocal = 5;
    s[2].nall = (int64_t)1 << 31;
    s[3].coords = NULL;
    s[4].types = NULL;
    s[5].border = &no_border;
    s[6].border = &no_border;
    s[6].direct = &no_direct;
    s[6].mapping = NULL;
    s[7].mapping = NULL;
    s[8].mapping = moved;
    s[9].mapping = beyond;
    s[10].mapping = low;
    s[11].mapping = other_type;
    s[12].neighbour_first = first;
    s[13].neighbour_first = late;
    s[14].neighbour_first = falling;
    s[15].neighbour = far;
    s[16].neighbour = below;
}

static void test_ghosted(void)
{
    struct dgnn_ghosted s[COUNT(ghosted_texts)];
    struct dgnn_result result = {.size = sizeof(result)};
    struct dgnn_model *model = NULL;
    ghosted_rows(s);
    CHECK_STATUS(load("dpa3_one_layer", &plain, &model), DGNN_OK, "");
    for (size_t k = 0; k < COUNT(s); k++) {
        CHECK_STATUS(dgnn_model_compute_ghosted(model, &s[k], NULL, &result, &error), DGNN_ERROR_INPUT,
                     ghosted_texts[k]);
    }
    CHECK_STATUS(dgnn_model_compute_ghosted(NULL, &good, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK_STATUS(dgnn_model_compute_ghosted(model, NULL, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &good, NULL, NULL, &error), DGNN_ERROR_INPUT,
                 "an argument is NULL");
    CHECK(dgnn_model_compute_ghosted(model, &s[0], NULL, &result, NULL) == DGNN_ERROR_INPUT);
    dgnn_model_free(model);
    CHECK_STATUS(load("se_e2_a", &plain, &model), DGNN_OK, "");
    s[7].add_ghost_forces = 1;
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &s[7], NULL, &result, &error), DGNN_ERROR_INPUT,
                 "there is no way to the");
    s[7].add_ghost_forces = 0;
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &s[7], NULL, &result, &error), DGNN_OK, "");
    dgnn_model_free(model);
    CHECK_STATUS(load("spin_dpa3", &plain, &model), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &good, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "spins: found none; this is a spin model");
    s[0].nlocal = 0;
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &s[0], NULL, &result, &error), DGNN_ERROR_INPUT,
                 "expected a vector for each of 4 rows");
    dgnn_model_free(model);
}

/* ------------------------------------------------------------------ a host's rows on one rank */

static const double turns[12] = {0, 0, 1, 0.5, 0, 0, 0, 0, 1, 0.5, 0, 0};
static const int32_t zeros[1] = {0}, two[1] = {2}, rows_sent[2] = {0, 1}, ghosts[2] = {2, 3};
static const int32_t *const lists_sent[1] = {rows_sent};
static const int64_t all_rows[2] = {0, 2}, owners[4] = {0, 1, 0, 1};
static const int64_t list_first[3] = {0, 2, 4};
static const int32_t list_rows[4] = {1, 2, 0, 3};
static const struct dgnn_border self_border = {
    .nswap = 1, .sendproc = zeros, .recvproc = zeros, .sendnum = two, .recvnum = two, .sendlist = lists_sent};
static const struct dgnn_direct self_direct = {.nneighbour = 1,
                                               .rank = zeros,
                                               .send_first = all_rows,
                                               .send_row = rows_sent,
                                               .recv_first = all_rows,
                                               .recv_row = ghosts};

/* A border, a direct plan and a mapping, with lists of the host's and without. */
static struct dgnn_ghosted host_rows(int kind, int with_list, int with_spins)
{
    return (struct dgnn_ghosted){.size = sizeof(struct dgnn_ghosted),
                                 .nlocal = 2,
                                 .nall = 4,
                                 .coords = coords,
                                 .types = types,
                                 .spins = with_spins ? turns : NULL,
                                 .border = kind == 0 ? &self_border : NULL,
                                 .direct = kind == 1 ? &self_direct : NULL,
                                 .mapping = kind == 2 ? owners : NULL,
                                 .neighbour_first = with_list ? list_first : NULL,
                                 .neighbour = with_list ? list_rows : NULL,
                                 .add_ghost_forces = 1};
}

/* Each allocation of a first call fails once; the call after it has the result of a model that saw no
 * failure. */
static void sweep_host_rows(const char *name, const struct dgnn_ghosted *rows)
{
    double forces[12], virial[36], energy = 0;
    struct dgnn_result result = {.size = sizeof(result), .forces = forces, .atom_virial = virial};
    int64_t nth = 0;
    int status;
    do {
        struct dgnn_model *model = NULL;
        CHECK_STATUS(load(name, &plain, &model), DGNN_OK, "");
        if (!nth) {
            CHECK_STATUS(dgnn_model_compute_ghosted(model, rows, NULL, &result, &error), DGNN_OK, "");
            energy = result.energy;
        }
        dgnn_model_free(model);
        CHECK_STATUS(load(name, &plain, &model), DGNN_OK, "");
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_model_compute_ghosted(model, rows, NULL, &result, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || (status == DGNN_ERROR_MEMORY && strstr(error.message, "memory")));
        CHECK_STATUS(dgnn_model_compute_ghosted(model, rows, NULL, &result, &error), DGNN_OK, "");
        CHECK(result.energy == energy);
        dgnn_model_free(model);
    } while (status && nth < 500);
    CHECK(nth > 20 && nth < 500);
}

static void test_host_rows(void)
{
    for (int k = 0; k < 6; k++) {
        struct dgnn_ghosted rows = host_rows(k / 2, k % 2, 0), spins = host_rows(k / 2, k % 2, 1);
        sweep_host_rows("dpa3_one_layer", &rows);
        sweep_host_rows("spin_dpa3", &spins);
    }
}

/* same_list after a call of other rows. */
static void test_same_list(void)
{
    static const int32_t other[4] = {1, 1, 1, 1};
    struct dgnn_ghosted rows = host_rows(2, 0, 0), more = rows, fewer = rows, changed = rows;
    double forces[12];
    struct dgnn_result result = {.size = sizeof(result), .forces = forces};
    struct dgnn_load_options kept = plain;
    struct dgnn_model *model = NULL;
    kept.skin = 0.5;
    rows.same_list = more.same_list = fewer.same_list = changed.same_list = 1;
    more.nlocal = 4;
    fewer.nall = 2;
    changed.types = other;
    CHECK_STATUS(load("dpa3_one_layer", &kept, &model), DGNN_OK, "");
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "same_list: there is no earlier call");
    rows.same_list = 0;
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, NULL, &result, &error), DGNN_OK, "");
    rows.same_list = 1;
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, NULL, &result, &error), DGNN_OK, "");
    CHECK(result.list_reused);
    CHECK_STATUS(dgnn_model_compute_ghosted(model, &changed, NULL, &result, &error), DGNN_ERROR_INPUT,
                 "other types");
    for (int k = 0; k < 2; k++) {
        rows.same_list = 0;
        CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, NULL, &result, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_model_compute_ghosted(model, k ? &more : &fewer, NULL, &result, &error),
                     DGNN_ERROR_INPUT, "other numbers of rows");
    }
    dgnn_model_free(model);
}

int main(void)
{
    int64_t live = dgnn_alloc_live();
    test_options();
    test_metadata();
    test_systems();
    test_parameters();
    test_ghosted();
    test_host_rows();
    test_same_list();
    CHECK(dgnn_alloc_live() == live);
    return check_report();
}
