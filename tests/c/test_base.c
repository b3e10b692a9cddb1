/* base: status, processors, memory, arenas, text and tensors at their edges. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/tensor.h"
#include "base/text.h"
#include "check.h"
#include "ops/table.h"

static struct dgnn_error error;

#define COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

/* AddressSanitizer: a block that is too large is NULL, as elsewhere. */
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void test_status(void)
{
    CHECK(!strcmp(dgnn_status_name(DGNN_ERROR_BUSY), "DGNN_ERROR_BUSY"));
    CHECK(!strcmp(dgnn_status_name(-1), "DGNN_ERROR_UNKNOWN") &&
          !strcmp(dgnn_status_name(99), "DGNN_ERROR_UNKNOWN"));
    CHECK(dgnn_status_set(NULL, DGNN_ERROR_INPUT, "unheard") == DGNN_ERROR_INPUT);
    CHECK(dgnn_status_set_errno(NULL, 2, "unheard") == DGNN_ERROR_SYSTEM);
    CHECK(!strcmp(dgnn_version(), DGNN_VERSION));
}

static void test_cpu(void)
{
    static const char *const bad[] = {"sse", "avx", "avx5122", "reference", "avx2,sse2", ",x"};
    static const char *const good[] = {
        "", ",", "avx512", "avx512,avx2", "avx2,,avx512,", "avx512,avx2,neon,portable"};
    enum dgnn_cpu cpu;
    for (size_t k = 0; k < COUNT(bad); k++) {
        CHECK(!setenv("DGNN_DISABLE_CPU", bad[k], 1));
        CHECK_STATUS(dgnn_cpu_best(&cpu, &error), DGNN_ERROR_INPUT,
                     "is not an instruction set; known: portable");
    }
    for (size_t k = 0; k < COUNT(good); k++) {
        CHECK(!setenv("DGNN_DISABLE_CPU", good[k], 1));
        CHECK_STATUS(dgnn_cpu_best(&cpu, &error), DGNN_OK, "");
        CHECK(dgnn_cpu_usable(cpu) && (!strstr(good[k], dgnn_cpu_name(cpu)) || cpu == DGNN_CPU_REFERENCE));
        CHECK((cpu == DGNN_CPU_REFERENCE) == (k == 5));
        CHECK(dgnn_select_ops_f32(cpu)->cpu == cpu && dgnn_select_ops_f64(cpu)->cpu == cpu);
    }
    CHECK(!unsetenv("DGNN_DISABLE_CPU"));
}

static void test_threads(void)
{
    static const struct {
        const char *setting;
        int threads;
    } rows[] = {{"1", 1}, {"7", 7}, {"99999", 1024}};
    for (size_t k = 0; k < COUNT(rows); k++) {
        CHECK(!setenv("OMP_NUM_THREADS", rows[k].setting, 1));
        CHECK(dgnn_cpu_threads() == rows[k].threads);
    }
    CHECK(!setenv("OMP_NUM_THREADS", "none", 1));
    int all = dgnn_cpu_threads();
    CHECK(all >= 1 && !setenv("MPI_LOCALNRANKS", "100000", 1));
    int shared = dgnn_cpu_threads(); /* the same where this process is bound to some of the cores */
    CHECK((shared == 1 || shared == all) && !unsetenv("MPI_LOCALNRANKS") && !unsetenv("OMP_NUM_THREADS"));
}

static void test_memory(void)
{
    static const struct {
        int64_t a, b, c, product; /* -1: refused */
    } rows[] = {{2, 3, 4, 10},  {0, 0, 0, 0},          {-1, 3, 4, -1},        {2, -3, 4, -1},
                {2, 3, -4, -1}, {INT64_MAX, 2, 0, -1}, {INT64_MAX, 1, 1, -1}, {INT64_MAX, 1, 0, INT64_MAX}};
    struct dgnn_buffer buffer = {0};
    int64_t out, live = dgnn_alloc_live();
    for (size_t k = 0; k < COUNT(rows); k++) {
        int good = dgnn_alloc_checked(rows[k].a, rows[k].b, rows[k].c, &out);
        CHECK(good == (rows[k].product >= 0) && (!good || out == rows[k].product));
    }
    CHECK(!dgnn_alloc(INT64_MAX, 8) && !dgnn_alloc(-1, 8) && !dgnn_alloc((int64_t)1 << 60, 1));
    CHECK(!dgnn_alloc_zeroed(INT64_MAX / 2, 1) && dgnn_alloc_live() == live);
    CHECK_STATUS(dgnn_buffer_reserve(&buffer, 100, "rows", &error), DGNN_OK, "");
    memset(buffer.data, 7, 100);
    CHECK_STATUS(dgnn_buffer_reserve(&buffer, INT64_MAX - 64, "rows", &error), DGNN_ERROR_MEMORY,
                 "out of memory: rows");
    CHECK(((char *)buffer.data)[99] == 7); /* the old block is kept */
    CHECK_STATUS(dgnn_buffer_extend(&buffer, 5 << 20, 100, "rows", &error), DGNN_OK, "");
    CHECK(((char *)buffer.data)[99] == 7 && buffer.capacity > 5 << 20);
    CHECK((uintptr_t)buffer.data % ((size_t)2 << 20) == 0); /* large blocks begin at huge pages */
    dgnn_buffer_free(&buffer);
    CHECK(dgnn_alloc_live() == live);
}

static void test_arena(void)
{
    struct dgnn_arena arena = {0};
    CHECK(!dgnn_arena_take(&arena, 3, 8) && arena.used == 64);
    CHECK(!dgnn_arena_take(&arena, 0, 8) && arena.used == 64);
    CHECK(!dgnn_arena_take(&arena, INT64_MAX / 8 - 8, 8) && arena.used == INT64_MAX);
    CHECK(!dgnn_arena_take(&arena, 1, 8) && arena.used == INT64_MAX);
    arena = (struct dgnn_arena){0};
    CHECK(!dgnn_arena_take(&arena, INT64_MAX, 8) && arena.used == INT64_MAX);
}

/* Each allocation of a growing text fails once; what was there stays. */
static void test_text(void)
{
    static const char quoted[] = "a\tb\"c\\d, and enough of it that the text must grow at each kind \n\"\\x";
    struct dgnn_text whole = {0};
    CHECK_STATUS(dgnn_text_add_quoted(&whole, quoted, &error), DGNN_OK, "");
    CHECK(!strncmp(whole.data, "\"a\\u0009b\\\"c\\\\d, and", 20));
    for (size_t filled = 0; filled < 8; filled++) { /* so that it grows at other characters */
        int64_t nth = 0;
        int status;
        do {
            struct dgnn_text text = {0};
            CHECK_STATUS(dgnn_text_add(&text, &error, "%.*s", (int)filled, "12345678"), DGNN_OK, "");
            dgnn_alloc_fail_at(++nth, 0);
            status = dgnn_text_add_quoted(&text, quoted, &error);
            dgnn_alloc_fail_at(0, 0);
            CHECK(status == DGNN_ERROR_MEMORY ||
                  (status == DGNN_OK && !strcmp(text.data + filled, whole.data)));
            CHECK(!strncmp(text.data, "12345678", filled));
            dgnn_text_free(&text);
        } while (status && nth < 100);
        CHECK(nth > 1 && nth < 100);
    }
    dgnn_text_free(&whole);
}

static void test_tensors(void)
{
    static const double d[2] = {1.5, -2};
    static const float f[2] = {1.5f, -2};
    static const int32_t i[2] = {3, -2};
    static const int64_t l[2] = {3, -2};
    static const int8_t b[2] = {1, 0};
    const struct {
        int32_t dtype;
        int64_t item;
        const void *data;
        double first, second;
    } rows[] = {{'d', 8, d, 1.5, -2},
                {'f', 4, f, 1.5, -2},
                {'i', 4, i, 3, -2},
                {'l', 8, l, 3, -2},
                {'?', 1, b, 1, 0}};
    for (size_t k = 0; k < COUNT(rows); k++) {
        const struct dgnn_tensor tensor = {rows[k].dtype, 2, {2, 1}, rows[k].data};
        double wide[2];
        float narrow[2];
        dgnn_tensor_to_double(&tensor, wide);
        dgnn_tensor_to_float(&tensor, narrow);
        CHECK(wide[0] == rows[k].first && wide[1] == rows[k].second && (double)narrow[0] == wide[0]);
        CHECK(dgnn_tensor_item_size(rows[k].dtype) == rows[k].item && dgnn_tensor_size(&tensor) == 2);
    }
    CHECK(dgnn_tensor_item_size('x') == 0);
    CHECK(dgnn_tensor_size(&(struct dgnn_tensor){'d', 2, {-1, 1}, NULL}) == -1);
    CHECK(dgnn_tensor_size(&(struct dgnn_tensor){'d', 2, {INT64_MAX, 2}, NULL}) == -1);
    CHECK(dgnn_tensor_size(&(struct dgnn_tensor){'d', 0, {0}, NULL}) == 1);
}

int main(void)
{
    test_status();
    test_cpu();
    test_threads();
    test_memory();
    test_arena();
    test_text();
    test_tensors();
    return check_report();
}
