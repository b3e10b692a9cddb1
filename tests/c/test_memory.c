/* Every allocation failing once, while a model is loaded and while it computes: a clear error, nothing
 * leaked, and the model still usable. Small models of several kinds. */
#include "base/alloc.h"
#include "check.h"
#include "random.h"

enum { NATOMS = 9 };

static double memory_coords[3 * NATOMS];
static int32_t memory_types[NATOMS];
static const double memory_box[9] = {6, 0, 0, 0.5, 6, 0, 0, 0, 7};

static void memory_make_system(void)
{
    uint64_t seed = 5;
    for (int i = 0; i < NATOMS; i++) {
        memory_types[i] = i % 2;
        for (int d = 0; d < 3; d++) {
            memory_coords[3 * i + d] = 2.0 * (d == 0   ? i % 3
                                              : d == 1 ? i / 3 % 3
                                                       : i % 2) +
                                       random_uniform(&seed);
        }
    }
}

static int memory_compute(struct dgnn_model *model, double *forces, double *energy, struct dgnn_error *error)
{
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = NATOMS,
                                 .coords = memory_coords,
                                 .types = memory_types,
                                 .box = memory_box,
                                 .pbc = {1, 1, 1}};
    struct dgnn_result result = {.size = sizeof(result), .forces = forces};
    int status = dgnn_model_compute(model, &system, NULL, &result, error);
    *energy = result.energy;
    return status;
}

/* A descriptor that nobody knows: its message lists those that are, which takes memory too. */
static void test_unknown_descriptor(void)
{
    static const char json[] =
        "{\"model\": {\"@class\": \"Model\", \"type\": \"standard\", \"type_map\": [\"O\"], "
        "\"@variables\": {}, \"descriptor\": {\"type\": \"unheard_of\"}, \"fitting\": {}}}";
    static const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_model *model = NULL;
    struct dgnn_error error;
    int64_t live = dgnn_alloc_live(), nth = 0;
    int status;
    do {
        dgnn_alloc_fail_at(++nth, 0);
        status = dgnn_model_load_tree("unknown", json, strlen(json), NULL, 0, &options, &model, &error);
        dgnn_alloc_fail_at(0, 0);
        CHECK(status == DGNN_ERROR_MEMORY || status == DGNN_ERROR_UNSUPPORTED);
        CHECK(dgnn_alloc_live() == live);
    } while (status == DGNN_ERROR_MEMORY && nth < 200);
    CHECK(status == DGNN_ERROR_UNSUPPORTED &&
          strstr(error.message, "descriptor 'unheard_of' is not supported; supported: dpa3"));
    CHECK(nth > 10 && nth < 200);
}

/* How many allocations a load makes, each of which then fails. */
static void test_load(const char *path, const struct dgnn_load_options *options)
{
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    int64_t live = dgnn_alloc_live(), before = dgnn_alloc_count();
    CHECK_STATUS(dgnn_model_load(path, options, &model, &error), DGNN_OK, "");
    int64_t count = dgnn_alloc_count() - before, clean = 1, told = 1;
    dgnn_model_free(model);
    CHECK(dgnn_alloc_live() == live);
    CHECK(count > 50);
    for (int64_t k = 1; k <= count; k += count > 600 ? count / 300 : 1) {
        model = NULL;
        error.message[0] = 0;
        dgnn_alloc_fail_at(k, 0);
        int status = dgnn_model_load(path, options, &model, &error);
        dgnn_alloc_fail_at(0, 0);
        told &= status == DGNN_ERROR_MEMORY && !model && strstr(error.message, "memory");
        clean &= dgnn_alloc_live() == live;
        if (status != DGNN_ERROR_MEMORY) {
            fprintf(stderr, "    %s, allocation %lld of a load: %s %s\n", path, (long long)k,
                    dgnn_status_name(status), error.message);
            dgnn_model_free(model);
        }
    }
    CHECK(told);
    CHECK(clean);
}

static void test_compute(const char *path, const struct dgnn_load_options *options)
{
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    double forces[3 * NATOMS], first[3 * NATOMS], energy, again;
    int64_t live = dgnn_alloc_live();
    CHECK_STATUS(dgnn_model_load(path, options, &model, &error), DGNN_OK, "");
    int64_t before = dgnn_alloc_count();
    CHECK_STATUS(memory_compute(model, first, &energy, &error), DGNN_OK, "");
    int64_t count = dgnn_alloc_count() - before, told = 1, usable = 1;
    CHECK(count > 5);
    before = dgnn_alloc_count();
    CHECK_STATUS(memory_compute(model, forces, &again, &error), DGNN_OK, "");
    CHECK(dgnn_alloc_count() == before); /* the second call needs nothing */
    dgnn_model_free(model);
    CHECK(dgnn_alloc_live() == live);
    for (int64_t k = 1; k <= count; k++) {
        model = NULL;
        CHECK_STATUS(dgnn_model_load(path, options, &model, &error), DGNN_OK, "");
        dgnn_alloc_fail_at(k, 0);
        int status = memory_compute(model, forces, &again, &error);
        dgnn_alloc_fail_at(0, 0);
        told &= status == DGNN_ERROR_MEMORY && strstr(error.message, "memory");
        usable &= memory_compute(model, forces, &again, &error) == DGNN_OK && again == energy &&
                  !memcmp(forces, first, sizeof(forces));
        if (status != DGNN_ERROR_MEMORY) {
            fprintf(stderr, "    %s, allocation %lld of a computation: %s\n", path, (long long)k,
                    dgnn_status_name(status));
        }
        dgnn_model_free(model);
    }
    CHECK(told);
    CHECK(usable);
    CHECK(dgnn_alloc_live() == live);
    printf("%s: %lld allocations of a computation\n", path, (long long)count);
}

int main(void)
{
    static const char *const cases[] = {"dpa3_one_layer",     "dpa3_compress_sequential", "dpa3_fitting_each",
                                        "dpa3_training_only", "se_e3_tebd_silu",          "se_atten_v2_all"};
    char path[256];
    memory_make_system();
    test_unknown_descriptor();
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct dgnn_load_options options = {
            .size = sizeof(options), .threads = 1 + (int32_t)(c % 2), .skin = -1};
        snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", cases[c]);
        test_load(path, &options);
        test_compute(path, &options);
    }
    return check_report();
}
