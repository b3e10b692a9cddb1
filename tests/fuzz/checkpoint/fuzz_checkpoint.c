/* Any bytes given as a checkpoint give a model's tree or a status.
 *
 * CRCs stop most mutants of a ZIP, and random numbers of elements most others: so the input is the pickle
 * alone, and the target packs it with every storage that it names, of the very length that it says, as long
 * as there is room. What describes a pair table is that of the seeds', which no bound lets pass otherwise.
 *
 * With DGNN_FUZZ_SAYS in the environment it says of each input what became of it, on standard output. */
#define ZIP_MAKER_BYTES (1 << 18)
#include "../pack.h"
#include "../walk.h"

#include "base/alloc.h"
#include "convert/convert.h"

#include <stdio.h>

enum { STORAGES_MAX = 1000, STORAGE_MAX = 1 << 15, ROOM_KEPT = 1 << 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char storage_names[STORAGES_MAX][64];
static int nstorage;

/* Numbers near 0.1, or truths, as many bytes as any storage has. */
static const unsigned char *storage_bytes(int32_t dtype, int64_t item_size)
{
    static const unsigned char tenth[] = {0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f};
    static unsigned char bytes[9][STORAGE_MAX], made[9];
    int64_t k = dtype == '?' ? 0 : item_size;
    for (int64_t i = 0; i < STORAGE_MAX && !made[k]; i++) {
        bytes[k][i] = k ? tenth[i % k] : (unsigned char)(i % 2);
    }
    made[k] = 1;
    return bytes[k];
}

/* rmin, hh, nspline, ntypes: of a tensor whose name ends with tab_info. */
static const double table_info[4] = {0.02, 0.02, 8, 2};

static int is_table_info(struct dgnn_pickled key, const struct dgnn_pickle_tensor *tensor)
{
    static const char end[] = "tab_info";
    int64_t length = 0, most = sizeof(end) - 1;
    const char *name =
        dgnn_pickled_kind(key) == DGNN_PICKLE_STRING ? dgnn_pickled_string(key, &length) : NULL;
    return length >= most && !memcmp(name + length - most, end, (size_t)most) && tensor->dtype == 'd' &&
           tensor->nelement == 4;
}

static void add_storage(struct dgnn_pickled key, struct dgnn_pickled value)
{
    struct dgnn_pickle_tensor tensor;
    char name[64];
    dgnn_pickled_tensor(value, &tensor);
    snprintf(name, sizeof(name), "x/data/%.*s", tensor.storage_length > 40 ? 40 : (int)tensor.storage_length,
             tensor.storage);
    int known = nstorage == STORAGES_MAX || tensor.nelement > STORAGE_MAX / tensor.item_size;
    for (int i = 0; i < nstorage && !known; i++) {
        known = !strcmp(storage_names[i], name);
    }
    size_t size = known ? 0 : (size_t)(tensor.nelement * tensor.item_size);
    if (known || pack_zip.length + pack_zip.directory_length + size + ROOM_KEPT > sizeof(pack_zip.bytes) ||
        pack_zip.directory_length + ROOM_KEPT > sizeof(pack_zip.directory)) {
        return;
    }
    memcpy(storage_names[nstorage], name, sizeof(name));
    const void *bytes = is_table_info(key, &tensor) ? (const void *)table_info
                                                    : storage_bytes(tensor.dtype, tensor.item_size);
    zip_add(&pack_zip, &(struct zip_entry){.name = storage_names[nstorage++], .data = bytes, .size = size});
}

static void add_storages(struct dgnn_pickled key, struct dgnn_pickled value)
{
    struct dgnn_pickle_item item;
    if (dgnn_pickled_kind(value) == DGNN_PICKLE_TENSOR) {
        add_storage(key, value);
    }
    dgnn_pickled_begin(value, &item);
    while (dgnn_pickled_next(value, &item)) {
        add_storages(item.key, item.value);
    }
}

static void pack_checkpoint(const uint8_t *data, size_t size)
{
    struct dgnn_pickle *pickle = NULL;
    pack_zip.length = pack_zip.directory_length = pack_zip.count = 0;
    nstorage = 0;
    zip_add(&pack_zip, &(struct zip_entry){.name = "x/data.pkl", .data = data, .size = size});
    if (!dgnn_pickle_read("fuzz", data, (int64_t)size, &pickle, NULL)) {
        add_storages((struct dgnn_pickled){.pickle = pickle, .node = -1}, dgnn_pickle_root(pickle));
        dgnn_pickle_free(pickle);
    }
    zip_end64(&pack_zip, 0, ZIP_NARROW_SAME, "");
}

static void check_status(int status, const struct dgnn_error *error)
{
    WALK_REQUIRE(status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED ||
                 status == DGNN_ERROR_INPUT);
    WALK_REQUIRE(error->status == status && error->message[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dgnn_archive archive = {0};
    struct dgnn_text heads = {0};
    struct dgnn_error error = {0};
    if (size > ZIP_MAKER_BYTES / 2) {
        return 0;
    }
    pack_checkpoint(data, size);
    struct dgnn_archive_bytes bytes = {.name = "fuzz", .data = pack_zip.bytes, .length = pack_zip.length};
    /* A head of those that want one; of one input in sixteen in any case. */
    int status = dgnn_convert_open_memory(&bytes, size % 16 ? NULL : "water", &archive, &error);
    if (status == DGNN_ERROR_INPUT) {
        check_status(status, &error);
        status = dgnn_convert_open_memory(&bytes, size % 16 ? "water" : NULL, &archive, &error);
    }
    if (getenv("DGNN_FUZZ_SAYS")) {
        printf("%s\n", status ? error.message : "read");
        fflush(stdout);
    }
    if (status) {
        check_status(status, &error);
        WALK_REQUIRE(!archive.model && !archive.metadata);
    } else {
        struct dgnn_value root = dgnn_tree_root(archive.model);
        walk_tensors(&root);
        dgnn_archive_free(&archive);
    }
    /* The list of heads reads as much again of the same bytes by the same code: of one input in four. */
    status = size % 4 ? DGNN_OK : dgnn_convert_heads_memory(&bytes, &heads, &error);
    if (status) {
        check_status(status, &error);
    }
    dgnn_text_free(&heads);
    WALK_REQUIRE(dgnn_alloc_live() == 0);
    return 0;
}
