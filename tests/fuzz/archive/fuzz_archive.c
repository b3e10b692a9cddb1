/* Any bytes give an archive or a status.
 *
 * CRCs stop most mutants of a ZIP before anything is read. So input that begins with 'D' is not an archive
 * but the four members of a .dgnn, and with 'M' the two of a .pt2, separated by bytes 0xff, which the target
 * packs first. */
#include "../pack.h"
#include "../walk.h"

#include "base/alloc.h"
#include "io/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const void *data, size_t size)
{
    struct dgnn_archive archive;
    struct dgnn_error error = {0};
    int status = dgnn_archive_read_memory("fuzz", data, size, &archive, &error);
    if (status) {
        WALK_REQUIRE(status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED);
        WALK_REQUIRE(error.status == status && error.message[0]);
        WALK_REQUIRE(!archive.model && !archive.metadata);
    } else {
        struct dgnn_value root = dgnn_tree_root(archive.model);
        walk_value(&root);
        dgnn_archive_free(&archive);
    }
    WALK_REQUIRE(dgnn_alloc_live() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && size < 60000 && (data[0] == 'D' || data[0] == 'M')) {
        pack(data + 1, size - 1, data[0] == 'D' ? pack_dgnn : pack_pt2, data[0] == 'D' ? 4 : 2);
        check(pack_zip.bytes, pack_zip.length);
    } else {
        check(data, size);
    }
    return 0;
}
