/* Random systems, decompositions and splits of one model: compute with a communicator against one rank. */
#ifndef DGNN_TESTS_DOMAIN_RANDOM_H
#define DGNN_TESTS_DOMAIN_RANDOM_H

#include "domain_case.h"

/* ------------------------------------------------------------------ random cases */

static inline void random_owners(struct call *c, uint64_t *seed)
{
    int64_t mode = random_below(seed, 5);
    for (int64_t i = 0; i < c->s->n; i++) {
        int32_t any = (int32_t)random_below(seed, c->nrank);
        c->owner[i] = mode == 0   ? (int32_t)(c->nrank - 1)
                      : mode == 1 ? (int32_t)(i * c->nrank / c->s->n)
                                  : any;
        if (mode == 2 && c->owner[i] == 0) {
            c->owner[i] = c->nrank - 1; /* rank 0 passes nothing */
        }
    }
}

static inline void random_null(struct call *c, uint64_t *seed)
{
    int64_t mode = random_below(seed, 4);
    int32_t rank = (int32_t)random_below(seed, c->nrank);
    for (int64_t i = 0; i < c->s->n; i++) {
        int null = mode == 1 ? random_below(seed, 5) == 0 : mode == 2 ? c->owner[i] == rank : 0;
        c->s->types[i] = null ? -1 : c->s->types[i];
    }
}

static inline void random_grid(struct call *c, uint64_t *seed)
{
    if (random_below(seed, 2)) {
        int32_t left = c->nrank;
        for (int k = 0; k < 2; k++) {
            do {
                c->grid[k] = 1 + (int32_t)random_below(seed, left);
            } while (left % c->grid[k]);
            left /= c->grid[k];
        }
        c->grid[2] = left;
    }
}

/* A move within half a skin of 0.5 from where the list was built, then one beyond; spins turn likewise, now
 * and then while atoms rest. */
static inline void random_steps(struct call *c, uint64_t *seed)
{
    int64_t n = c->s->n;
    double far = c->s->has_spins && random_below(seed, 2) ? 0 : 0.6;
    c->nstep = 3;
    c->step = calloc((size_t)(3 * n + 1), sizeof(*c->step));
    c->turn = calloc((size_t)(3 * n + 1), sizeof(*c->turn));
    for (int64_t i = 0; i < n; i++) {
        system_spin(c->turn[2 * n + i], seed);
        for (int d = 0; d < 3; d++) {
            c->step[n + i][d] = system_between(seed, -0.1, 0.1);
            c->step[2 * n + i][d] = system_between(seed, -far, far);
            double spin = c->s->spins[3 * i + d];
            c->turn[i][d] = spin;
            c->turn[n + i][d] = spin + system_between(seed, -0.1, 0.1);
        }
    }
}

static inline double random_case(struct test_models *m, uint64_t seed, const struct tolerance *t,
                                 int64_t largest_n, enum ablation ablation)
{
    struct system_case s = {0};
    struct call c = {.models = m, .s = &s, .bad_rank = -1, .nstep = 1, .ablation = ablation};
    int64_t n = (int64_t)(2 * exp(random_uniform(&seed) * log((double)largest_n / 2)));
    double density = system_between(&seed, 0.01, 0.13),
           skew = random_below(&seed, 3) ? 0 : system_between(&seed, 0.1, 0.7);
    enum system_shape shape =
        random_below(&seed, 2) ? SYSTEM_GAS : (enum system_shape)random_below(&seed, SYSTEM_SHAPES);
    c.nrank = ablation ? 4 : 1 + (int32_t)random_below(&seed, MAX_RANKS);
    n = ablation ? 64 : n;
    const struct system_kind kind = {shape == SYSTEM_GAS ? density : density / 3, skew, shape};
    system_create(&s, n, &kind, m->serial->ntypes, &seed);
    s.has_box = random_below(&seed, 8) > 0;
    system_parameters(&s, m->serial->properties.fitting.dim_fparam, m->serial->properties.fitting.dim_aparam,
                      &seed);
    system_spins(&s, m->serial->is_spin, &seed);
    c.owner = calloc((size_t)n, sizeof(*c.owner));
    c.with_ids = (int32_t)random_below(&seed, 2);
    c.replicated = random_below(&seed, 6) == 0;
    random_owners(&c, &seed);
    random_null(&c, &seed);
    random_grid(&c, &seed);
    if (!ablation && random_below(&seed, 3) == 0) {
        random_steps(&c, &seed);
    }
    call_run(&c);
    double worst = call_check(&c, t);
    for (int32_t r = 0; r < c.nrank && !ablation; r++) {
        CHECK(c.counts_good[r]);
        CHECK(c.nstep == 1 || c.reused[r][1] == (m->rank[0]->skin > 0));
    }
    call_free(&c);
    system_free(&s);
    free(c.owner);
    free(c.step);
    free(c.turn);
    return worst;
}

/* A number that is none, in one quantity, is beyond any tolerance. */
static inline void test_comparison(void)
{
    static double zero[45], none[45] = {[4] = NAN};
    struct tolerance t = {1, 1};
    for (int bad = 0; bad <= 6; bad++) {
        struct dgnn_result want = {
            .forces = zero, .forces_mag = zero, .atom_energy = zero, .atom_virial = zero};
        struct dgnn_result got = {.forces = bad == 1 ? none : zero,
                                  .forces_mag = bad == 2 ? none : zero,
                                  .atom_energy = bad == 3 ? none : zero,
                                  .atom_virial = bad == 4 ? none : zero};
        double share = compare(&got, bad == 5 ? NAN : 0, bad == 6 ? none : zero, &want, 5, &t);
        CHECK((share <= 1) == (bad == 0));
    }
}

struct random_systems {
    const char *name;
    double skin;
    int64_t nlayer, largest_n;
    int count;
    uint64_t seed;
    struct tolerance tolerance;
};

static inline void test_random(const struct random_systems *of)
{
    const char *name = of->name;
    const struct tolerance t = of->tolerance;
    const uint64_t seed = of->seed;
    struct test_models m = models_load(name, of->skin, of->nlayer);
    double worst = 0;
    for (int k = 0; k < of->count; k++) {
        double share = random_case(&m, seed + 1000 * (uint64_t)k, &t, of->largest_n, ABLATE_NOTHING);
        if (!(share <= 1)) {
            fprintf(stderr, "%s, seed %llu: %g of the tolerance\n", name,
                    (unsigned long long)(seed + 1000 * (uint64_t)k), share);
        }
        CHECK(share <= 1);
        worst = check_larger(worst, share);
    }
    double forward = 0, reverse = 0; /* what crosses between ranks matters, in one of these */
    for (uint64_t k = 0; k < 2; k++) {
        forward = fmax(forward, random_case(&m, seed + 1000 * k, &t, 64, ABLATE_FORWARD));
        reverse = fmax(reverse, random_case(&m, seed + 1000 * k, &t, 64, ABLATE_REVERSE));
    }
    CHECK(forward > 10 && reverse > 10);
    printf("%s: %d systems, worst %.3g of the tolerance; without what comes forward %.1e, back %.1e\n", name,
           of->count, worst, forward, reverse);
    models_free(&m);
}

#endif
