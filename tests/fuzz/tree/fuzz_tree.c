/* Any text gives a tree or a status. The first byte says how many arrays are given beside the text. */
#include "../walk.h"

#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const double numbers[6] = {1, -2, 3e-300, 4, 5, 6};
    const struct dgnn_array arrays[2] = {{.dtype = 'd', .ndim = 2, .shape = {2, 3}, .data = numbers},
                                         {.dtype = 'd', .ndim = 0, .data = numbers}};
    struct dgnn_tree *tree;
    struct dgnn_error error = {0};
    if (size == 0) {
        return 0;
    }
    /* A copy without anything after its end, so that the sanitizer sees a read beyond it. */
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    const struct dgnn_tree_arrays given = {arrays, data[0] % 3};
    int status = dgnn_tree_parse("fuzz", text, size - 1, &given, &tree, &error);
    free(text);
    if (status) {
        WALK_REQUIRE(status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED);
        WALK_REQUIRE(error.status == status && !strncmp(error.message, "fuzz: ", 6));
    } else {
        struct dgnn_value root = dgnn_tree_root(tree);
        walk_value(&root);
        dgnn_tree_free(tree);
    }
    WALK_REQUIRE(dgnn_alloc_live() == 0);
    return 0;
}
