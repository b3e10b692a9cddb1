/* Refusals of comm, geom and io that other tests don't come by, a row for each: what was given, the status,
 * and what the message says. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "check.h"
#include "comm/exchange_create.h"
#include "comm/spin_rows.h"
#include "geom/candidates.h"
#include "geom/graphbuild.h"
#include "io/archive.h"
#include "zipmaker.h"

static struct dgnn_error error;

#define COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

/* ------------------------------------------------------------------ comm */

static const int32_t one_rank[1] = {1};
static const int64_t none_first[2] = {0, 0};

static void test_plans(void)
{
    struct dgnn_direct d = {.nneighbour = 1, .rank = one_rank, .send_first = none_first};
    struct dgnn_plan *plan = NULL;
    struct dgnn_exchange *exchange = NULL;
    struct dgnn_comm *comm[3];
    CHECK_STATUS(dgnn_plan_create(&d, 1, 1, 0, 2, &plan, &error), DGNN_ERROR_INPUT,
                 "recv_first are needed for 1 neighbours");
    d.send_first = NULL;
    CHECK_STATUS(dgnn_plan_create(&d, 1, 1, 0, 2, &plan, &error), DGNN_ERROR_INPUT,
                 "send_first and recv_first");
    d.rank = NULL;
    CHECK_STATUS(dgnn_plan_create(&d, 1, 1, 0, 2, &plan, &error), DGNN_ERROR_INPUT, "rank, send_first");
    d = (struct dgnn_direct){
        .nneighbour = 1, .rank = one_rank, .send_first = none_first, .recv_first = none_first};
    CHECK_STATUS(dgnn_plan_create(&d, 1, 1, 0, 2, &plan, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_direct(plan, NULL, DGNN_EXCHANGE_FEATURES, &exchange, &error),
                 DGNN_ERROR_INPUT, "a plan for rank 0 of 2 needs a communicator");
    CHECK_STATUS(dgnn_comm_create_threads(3, 1, comm, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_direct(plan, comm[0], DGNN_EXCHANGE_FEATURES, &exchange, &error),
                 DGNN_ERROR_INPUT, "a plan for rank 0 of 2 is used with rank 0 of 3");
    CHECK(!exchange);
    for (int r = 0; r < 3; r++) {
        dgnn_comm_free(comm[r]);
    }
    dgnn_plan_free(plan);
}

/* One rank's error is its own: no "rank 0:" before it. */
static void test_one_rank(void)
{
    struct dgnn_comm *comm = NULL;
    CHECK_STATUS(dgnn_comm_create_threads(0, 1, &comm, &error), DGNN_ERROR_INPUT, "nrank is 0");
    CHECK_STATUS(dgnn_comm_create_threads(1, 1, &comm, &error), DGNN_OK, "");
    dgnn_status_set(&error, DGNN_ERROR_INPUT, "what went wrong");
    CHECK(dgnn_transport_agree(comm, "a step", DGNN_ERROR_INPUT, &error) == DGNN_ERROR_INPUT);
    CHECK(!strcmp(error.message, "what went wrong"));
    CHECK(dgnn_transport_agree(comm, "a step", DGNN_OK, &error) == DGNN_OK);
    dgnn_comm_free(comm);
}

/* Each allocation of the swaps of a spin model's rows fails once. */
static void test_spin_swaps(void)
{
    const struct dgnn_border border = {0};
    struct dgnn_swaps *atoms = NULL, *rows = NULL;
    int64_t live = dgnn_alloc_live(), nth = 0;
    int status;
    CHECK_STATUS(dgnn_swaps_create(&border, 1, 1, 0, 1, &atoms, &error), DGNN_OK, "");
    do {
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_spin_swaps(atoms, &rows, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_OK || status == DGNN_ERROR_MEMORY);
    } while (status && nth < 100);
    CHECK(nth > 4 && nth < 100 && rows->nowned == 2);
    dgnn_swaps_free(atoms);
    dgnn_swaps_free(rows);
    CHECK(dgnn_alloc_live() == live);
}

/* ------------------------------------------------------------------ geom */

static void test_lists(void)
{
    const double positions[6] = {0, 0, 0, 1, 0, 0};
    struct dgnn_cell cell;
    const struct dgnn_nlist_input good = {
        .ncentre = 2, .nrow = 2, .positions = positions, .cell = &cell, .cutoff = 2, .threads = 1};
    struct dgnn_nlist_input rows[] = {good, good, good, good, good, good, good, good};
    struct dgnn_nlist list = {0};
    rows[0].ncentre = -1;
    rows[1].ncentre = 3;
    rows[2].nrow = (int64_t)1 << 31;
    rows[3].threads = 0;
    rows[4].cutoff = 0;
    rows[5].cutoff = INFINITY;
    rows[6].skin = -1;
    rows[7].skin = NAN;
    CHECK_STATUS(dgnn_candidates_reserve(&list.candidates, INT64_MAX / 4, 8, "candidates", &error),
                 DGNN_ERROR_MEMORY, "out of memory: candidates");
    CHECK_STATUS(dgnn_candidates_reserve(&list.candidates, INT64_MAX / 8, 7, "candidates", &error),
                 DGNN_ERROR_MEMORY, "out of memory: candidates");
    CHECK_STATUS(dgnn_cell_set(&cell, NULL, NULL, &error), DGNN_OK, "");
    for (size_t k = 0; k < COUNT(rows); k++) {
        CHECK_STATUS(dgnn_nlist_update(&list, &rows[k], &error),
                     k < 4 ? DGNN_ERROR_INTERNAL : DGNN_ERROR_INPUT,
                     k < 4 ? "neighbour list of" : "expected a positive and a non-negative number");
        CHECK(dgnn_nlist_npair(&list) == 0);
    }
    CHECK_STATUS(dgnn_nlist_update(&list, &good, &error), DGNN_OK, "");
    CHECK(dgnn_nlist_npair(&list) == 2);
    dgnn_nlist_free(&list);
}

static void test_graphs(void)
{
    const int64_t first[3] = {0, 0, 0}, sel[2] = {1, 1};
    const int32_t types[2] = {0, 1}, bad_types[2] = {0, 2}, low_types[2] = {-1, 0};
    const int32_t owners[3] = {0, 1, 1}, bad_owners[3] = {0, 1, 2}, moved[3] = {1, 1, 0},
                  low_owners[3] = {0, 1, -1};
    const struct dgnn_nlist list = {.ncentre = 2, .nrow = 2, .first = first},
                            empty = {.ncentre = 2, .nrow = 2},
                            wide = {.ncentre = 2, .nrow = 3, .first = first};
    const struct {
        const struct dgnn_nlist *list;
        int64_t nnode, nsel;
        const int32_t *types, *owners;
        int status;
        const char *text;
    } rows[] = {
        {&list, 2, 1, types, NULL, DGNN_OK, ""},
        {&wide, 2, 1, types, owners, DGNN_OK, ""},
        {&list, 2, 2, types, NULL, DGNN_ERROR_INTERNAL, "sel has 2 entries for 2 types, mixed"},
        {&empty, 2, 1, types, NULL, DGNN_ERROR_INTERNAL, "graph of 2 nodes over a list of 2 centres, 2 rows"},
        {&list, 1, 1, types, NULL, DGNN_ERROR_INTERNAL, "graph of 1 nodes"},
        {&wide, 2, 1, types, NULL, DGNN_ERROR_INTERNAL, "3 rows"},
        {&list, 2, 1, bad_types, NULL, DGNN_ERROR_INPUT, "node 1 has type 2; expected 0 to 1"},
        {&list, 2, 1, low_types, NULL, DGNN_ERROR_INPUT, "node 0 has type -1"},
        {&wide, 2, 1, types, bad_owners, DGNN_ERROR_INPUT, "row 2 is mapped to node 2; expected the node"},
        {&wide, 2, 1, types, low_owners, DGNN_ERROR_INPUT, "row 2 is mapped to node -1"},
        {&wide, 2, 1, types, moved, DGNN_ERROR_INPUT, "row 0 is mapped to node 1; expected itself"}};
    struct dgnn_graph_builder builder = {0};
    for (size_t k = 0; k < COUNT(rows); k++) {
        struct dgnn_graph_rules rules = {
            .dense = 1, .mixed_types = 1, .ntypes = 2, .nsel = rows[k].nsel, .sel = sel};
        struct dgnn_graph_input input = {
            .list = rows[k].list, .nnode = rows[k].nnode, .type = rows[k].types, .owner = rows[k].owners};
        CHECK_STATUS(dgnn_graph_build(&builder, &input, &rules, &error), rows[k].status, rows[k].text);
    }
    struct dgnn_graph_rules each = {.dense = 1, .ntypes = 2, .nsel = 1, .sel = sel};
    struct dgnn_graph_input input = {.list = &list, .nnode = 2, .type = types};
    CHECK_STATUS(dgnn_graph_build(&builder, &input, &each, &error), DGNN_ERROR_INTERNAL,
                 "sel has 1 entries for 2 types");
    dgnn_graph_builder_free(&builder);
}

/* ------------------------------------------------------------------ io */

static struct zip_maker zip;

#define MODEL "{\"model\":{\"type\":\"standard\"}}"

static void zip_begin(const char *name, const char *text, int method)
{
    zip.length = zip.directory_length = zip.count = zip.previous = 0;
    zip_add(&zip, &(struct zip_entry){.name = name, .data = text, .size = strlen(text), .method = method});
}

static int read_zip(void)
{
    struct dgnn_archive archive = {0};
    int status = dgnn_archive_read_memory("model.pt2", zip.bytes, zip.length, &archive, &error);
    dgnn_archive_free(&archive);
    return status;
}

/* A byte of the records at the end, counted from the last one: 22 bytes, before them 20 and 56 with 64-bit
 * places. */
static void test_directory_ends(void)
{
    static const struct {
        int wide, from_end;
        unsigned char value;
        const char *text;
    } rows[] = {{0, 18, 1, "several disks"},
                {0, 16, 1, "several disks"},
                {0, 12, 2, "several disks"},
                {0, 22, 'X', "cut off, or something follows"},
                {0, 2, 1, "cut off, or something follows"},
                {1, 42, 'X', "64-bit directory is missing"},
                {1, 34, 1, "64-bit directory is missing"},
                {1, 98, 'X', "64-bit directory is missing"},
                {1, 94, 45, "64-bit directory is missing"},
                {1, 82, 1, "several disks"},
                {1, 74, 2, "several disks"},
                {1, 59, 1, "several disks"},
                {1, 54, 255, "a directory beyond 32 MiB"},
                {1, 51, 255, "a directory beyond 32 MiB"},
                {1, 46, 255, "not where its end says"},
                {1, 43, 255, "not where its end says"}};
    for (int wide = 0; wide < 2; wide++) {
        zip_begin("extra/model.json", MODEL, 0);
        (void)(wide ? zip_end64(&zip, 0, ZIP_NARROW_FULL, "") : zip_end(&zip, 0, 0, ""));
        CHECK_STATUS(read_zip(), DGNN_OK, "");
    }
    for (size_t k = 0; k < COUNT(rows); k++) {
        zip_begin("extra/model.json", MODEL, 0);
        (void)(rows[k].wide ? zip_end64(&zip, 0, ZIP_NARROW_FULL, "") : zip_end(&zip, 0, 0, ""));
        zip.bytes[zip.length - (size_t)rows[k].from_end] = rows[k].value;
        CHECK_STATUS(read_zip(), DGNN_ERROR_FORMAT, rows[k].text);
    }
    zip_begin("extra/model.json", MODEL, 0);
    zip_end64(&zip, 0, ZIP_NARROW_FULL, "");
    memmove(zip.bytes, zip.bytes + zip.length - 70, 70); /* no room for the records that it promises */
    memcpy(zip.bytes, "PK\3\4", 4);
    zip.length = 70;
    CHECK_STATUS(read_zip(), DGNN_ERROR_FORMAT, "64-bit directory is missing");
}

static void test_packed(void)
{
#define INDEX(format, digest)                                                                                \
    "{\"format\":" format ",\"version\":1,\"digest\":" digest ",\"nbytes\":0,\"arrays\":[]}"
#define DIGEST "\"0123456789abcdef0123456789abcdef\""
    static const char *const rows[][2] = {
        {INDEX("\"other\"", DIGEST), "format: expected \"dgnn\""},
        {INDEX("1", DIGEST), "format: expected a string"},
        {INDEX("\"dgnn\"", "1"), "digest: expected a string"},
        {INDEX("\"dgnn\"", "\"0123\""), "digest: expected 32 hexadecimal digits"},
        {INDEX("\"dgnn\"", "\"0123456789ABCDEF0123456789abcdef\""), "expected 32 hexadecimal digits"},
        {INDEX("\"dgnn\"", DIGEST), "digest"},
    };
    for (size_t k = 0; k < COUNT(rows); k++) {
        zip_begin("dgnn/arrays.json", rows[k][0], 0);
        zip_add(&zip, &(struct zip_entry){.name = "dgnn/arrays.bin", .data = "", .size = 0});
        zip_add(&zip, &(struct zip_entry){.name = "dgnn/model.json", .data = MODEL, .size = strlen(MODEL)});
        zip_end(&zip, 0, 0, "");
        CHECK_STATUS(read_zip(), DGNN_ERROR_FORMAT, rows[k][1]);
    }
    zip_begin("dgnn/arrays.json", rows[5][0], 0);
    zip_add(&zip, &(struct zip_entry){.name = "dgnn/arrays.bin", .data = "12345678", .size = 8, .method = 8});
    zip_add(&zip, &(struct zip_entry){.name = "dgnn/model.json", .data = MODEL, .size = strlen(MODEL)});
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(), DGNN_ERROR_FORMAT, "must be stored without compression");
}

/* Sizes beyond 4 GiB, of a member and of a file with holes. */
static void test_large(void)
{
    struct dgnn_archive archive = {0};
    char path[] = P_tmpdir "/dgnn_test_XXXXXX";
    unsigned char size[8];
    size_t length = 0;
    zip_put(size, &length, strlen(MODEL), 8);
    zip.length = zip.directory_length = zip.count = zip.previous = 0;
    zip_add(&zip,
            &(struct zip_entry){.name = "extra/model.json", .data = MODEL, .size = strlen(MODEL), .wide = 1});
    zip_end(&zip, 0, 0, "");
    CHECK_STATUS(read_zip(), DGNN_OK, "");
    for (size_t i = 0; i + 8 < zip.length;
         i++) { /* the uncompressed size comes first, before the packed one */
        if (!memcmp(zip.bytes + i, size, 8) && !memcmp(zip.bytes + i + 8, size, 8)) {
            zip.bytes[i + 5] = 1;
        }
    }
    CHECK_STATUS(read_zip(), DGNN_ERROR_FORMAT, "larger than 4 GiB");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "{", 1) == 1 && !ftruncate(fd, ((off_t)4 << 30) + 1));
    CHECK_STATUS(dgnn_archive_read(path, &archive, &error), DGNN_ERROR_FORMAT, "larger than 4 GiB");
    CHECK(!close(fd) && !unlink(path));
    struct dgnn_tree *tree = NULL;
    const struct dgnn_tree_arrays arrays = {(const struct dgnn_array *)size, SIZE_MAX};
    CHECK_STATUS(dgnn_tree_parse("tree", "{}", 2, &arrays, &tree, &error), DGNN_ERROR_FORMAT,
                 "arrays; at most");
}

int main(void)
{
    int64_t live = dgnn_alloc_live();
    test_plans();
    test_one_rank();
    test_spin_swaps();
    test_lists();
    test_graphs();
    test_directory_ends();
    test_packed();
    test_large();
    CHECK(dgnn_alloc_live() == live);
    return check_report();
}
