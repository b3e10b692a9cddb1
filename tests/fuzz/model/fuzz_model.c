/* The whole loader: any tree gives a model or a status, and a model that was loaded can be described and computed with.
 * Input is the text of a model.json, which no CRC protects. */
#include "../walk.h"

#include "base/alloc.h"
#include "dgnn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compute(struct dgnn_model *model)
{
    const double coords[] = {0, 0, 0, 0, 0, 1.1, 0.9, 0.2, 0};
    const int32_t types[] = {0, -1, 0};
    double forces[9];
    struct dgnn_system system = {.size = sizeof(system), .natoms = 3, .coords = coords, .types = types};
    struct dgnn_result result = {.size = sizeof(result), .forces = forces};
    struct dgnn_error error;
    int status = dgnn_model_compute(model, &system, NULL, &result, &error);
    WALK_REQUIRE(status == DGNN_OK || (status != DGNN_ERROR_INTERNAL && error.message[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    int status = dgnn_model_load_tree("fuzz", (const char *)data, size, NULL, 0, &options, &model, &error);
    if (status) {
        WALK_REQUIRE(status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED || status == DGNN_ERROR_MEMORY);
        WALK_REQUIRE(error.message[0] && !model);
    } else {
        WALK_REQUIRE(dgnn_model_describe(model)[0] == '{');
        compute(model);
        dgnn_model_free(model);
    }
    WALK_REQUIRE(dgnn_alloc_live() == 0);
    return 0;
}
