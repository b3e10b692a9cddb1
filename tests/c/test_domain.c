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

/* Two atoms beyond cutoff and skin, one on each rank, whose virtual atoms come within reach as spins grow
 * towards each other: the decomposition must not stay, and each atom becomes a ghost. */
static void test_reach(void)
{
    struct test_models m = models_load("spin_dpa3_both", 0.5, 2);
    double x[6] = {1, 2, 3, 6.75, 2, 3}, spins[6] = {0.2, 0, 0, -0.2, 0, 0}, none[1] = {0};
    double turn[6][3] = {{0.2, 0, 0}, {-0.2, 0, 0}, {1.5, 0, 0}, {-1.5, 0, 0}, {1.4, 0.1, 0}, {-1.5, 0, 0.1}},
           rest[6][3] = {{0}};
    int32_t types[2] = {0, 0}, owner[2] = {1, 0};
    int64_t ids[2] = {0, 1};
    struct system_case s = {
        .n = 2, .x = x, .types = types, .ids = ids, .aparam = none, .spins = spins, .has_spins = 1};
    struct call c = {.models = &m,
                     .s = &s,
                     .nrank = 2,
                     .owner = owner,
                     .bad_rank = -1,
                     .nstep = 3,
                     .step = rest,
                     .turn = turn,
                     .grid = {2, 1, 1}};
    struct tolerance t = {1e-11, 1e-13};
    call_run(&c);
    CHECK(call_check(&c, &t) <= 1);
    for (int32_t r = 0; r < 2; r++) {
        CHECK(c.counts_good[r] && c.nghost[r] == 1 && !c.reused[r][1] && c.reused[r][2]);
    }
    CHECK(fabs(c.result[1].forces[0] + c.result[1].forces[3]) < 1e-11 && fabs(c.result[1].forces[0]) > 1e-7);
    call_free(&c);
    models_free(&m);
}

int main(int argc, char **argv)
{
    int scale = argc > 1 ? atoi(argv[1]) : 3; /* 100 systems each */
    struct tolerance f64 = {1e-11, 1e-13}, f32 = {1e-5, 1e-6};
    test_comparison();
    test_random(&(struct random_systems){"dpa3_base", 0.5, 3, 512, 40 * scale, 1, f64});
    test_random(&(struct random_systems){"dpa3_small_sel", 0, 3, 128, 20 * scale, 2, f64});
    test_random(&(struct random_systems){"dpa3_fparam_aparam", 0.5, 3, 128, 20 * scale, 3, f64});
    test_random(&(struct random_systems){"dpa3_f32", 0.5, 3, 256, 20 * scale, 4, f32});
    test_ablations();
    test_reach();
    return check_report();
}
