/* compute with a communicator against one rank: random systems, decompositions and splits. */
#include "domain_random.h"

/* What the comparison must find. */
static void test_ablations(void)
{
    struct test_models m = models_load("dpa3_base", 0.5, 3);
    struct tolerance t = {1e-11, 1e-13};
    for (uint64_t k = 0; k < 4; k++) {
        CHECK(random_case(&m, 77 + 1000 * k, &t, 64, ABLATE_NOTHING) <= 1);
        CHECK(random_case(&m, 77 + 1000 * k, &t, 64, ABLATE_FORWARD) > 1e3);
        CHECK(random_case(&m, 77 + 1000 * k, &t, 64, ABLATE_REVERSE) > 1e3);
    }
    models_free(&m);
}

int main(int argc, char **argv)
{
    int scale = argc > 1 ? atoi(argv[1]) : 3; /* 100 systems each */
    struct tolerance f64 = {1e-11, 1e-13}, f32 = {1e-5, 1e-6};
    test_random("dpa3_base", 0.5, 3, 40 * scale, 1, 512, f64);
    test_random("dpa3_small_sel", 0, 3, 20 * scale, 2, 128, f64);
    test_random("dpa3_fparam_aparam", 0.5, 3, 20 * scale, 3, 128, f64);
    test_random("dpa3_f32", 0.5, 3, 20 * scale, 4, 256, f32);
    test_ablations();
    return check_report();
}
