/* Sizes that no memory has: arithmetic that is checked, against 128 bits, and counts of atoms and rows, which
 * are refused before an array of theirs is read. */
#include "base/alloc.h"
#include "check.h"
#include "random.h"

static struct dgnn_error error;

/* Of any magnitude, and near powers of two. */
static int64_t any_size(uint64_t *seed)
{
    uint64_t bits = random_next(seed), size = bits >> random_below(seed, 64);
    if (bits % 4 == 0) {
        size = (1ull << random_below(seed, 64)) + (uint64_t)random_below(seed, 3) - 1;
    }
    return (int64_t)size;
}

static void test_arithmetic(void)
{
    uint64_t seed = 1;
    int64_t wrong = 0, fit = 0;
    for (int i = 0; i < 1000000; i++) {
        int64_t a = any_size(&seed), b = any_size(&seed), c = any_size(&seed), got = -1;
        __int128 exact = (__int128)a * b + c;
        int expected = a >= 0 && b >= 0 && c >= 0 && exact <= INT64_MAX;
        int good = dgnn_alloc_checked(a, b, c, &got);
        wrong += good != expected || (good && got != (int64_t)exact);
        fit += good;
    }
    CHECK(wrong == 0 && fit > 100000 && fit < 900000);
}

static void test_allocation(void)
{
    static const int64_t counts[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX / 8 + 1, (int64_t)1 << 62};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        CHECK(!dgnn_alloc(counts[i], 8));
        CHECK(!dgnn_alloc_zeroed(counts[i], 8));
    }
    CHECK(dgnn_alloc_live() == 0);
}

static void test_counts(void)
{
    static const int64_t counts[] = {-1,
                                     INT64_MIN,
                                     (int64_t)1 << 31,
                                     (int64_t)1 << 32,
                                     ((int64_t)1 << 32) + 1,
                                     INT64_MAX / 3,
                                     INT64_MAX / 3 + 1,
                                     INT64_MAX};
    static const double coords[3] = {0}, spins[3] = {1, 1, 1}, box[9] = {9, 0, 0, 0, 9, 0, 0, 0, 9};
    static const int32_t types[1] = {0};
    static const char *const paths[] = {"tests/data/cases/dpa3_base/model.pt2",
                                        "tests/data/cases/spin_dpa3/model.pt2"};
    for (int k = 0; k < 2; k++) {
        struct dgnn_model *model = NULL;
        struct dgnn_result result = {.size = sizeof(result)};
        CHECK_STATUS(dgnn_model_load(paths[k], NULL, &model, &error), DGNN_OK, "");
        struct dgnn_system system = {.size = sizeof(system),
                                     .natoms = 1,
                                     .coords = coords,
                                     .types = types,
                                     .box = box,
                                     .pbc = {1, 1, 1},
                                     .spins = k ? spins : NULL};
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            system.natoms = counts[i];
            CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_ERROR_INPUT,
                         "natoms");
            struct dgnn_ghosted rows = {.size = sizeof(rows),
                                        .nlocal = counts[i],
                                        .nall = 1,
                                        .coords = coords,
                                        .types = types,
                                        .spins = k ? spins : NULL};
            CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, NULL, &result, &error), DGNN_ERROR_INPUT,
                         "nlocal");
            rows.nlocal = 0;
            rows.nall = counts[i];
            CHECK_STATUS(dgnn_model_compute_ghosted(model, &rows, NULL, &result, &error), DGNN_ERROR_INPUT,
                         "nlocal");
        }
        system.natoms = 1;
        CHECK_STATUS(dgnn_model_compute(model, &system, NULL, &result, &error), DGNN_OK, "");
        dgnn_model_free(model);
    }
}

int main(void)
{
    test_arithmetic();
    test_allocation();
    test_counts();
    return check_report();
}
