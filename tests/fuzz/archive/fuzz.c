/* Any bytes give an archive or a status. CRCs stop most mutants of a ZIP; the tree has its own target. */
#include "../walk.h"

#include "base/alloc.h"
#include "io/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
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
    return 0;
}
