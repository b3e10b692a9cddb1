/* Spin models on every grid of 1 to 8 ranks, through compute and over a host's rows, against one rank. Atoms
 * move and spins turn between steps: a little, so that lists stay, then much. What must have happened on the
 * way is counted. */
#include "domain_random.h"
#include "ghosted_case.h"

/* Ranks that passed no atoms, whose atoms were all NULL, that had ghosts alone; ranks' steps with a new
 * decomposition and with the old one. */
struct seen {
    int64_t empty, null, ghosts_alone, rebuilt, reused;
};

static struct call grid_call(struct test_models *m, struct system_case *s, const int32_t grid[3],
                             uint64_t *seed)
{
    struct call c = {.models = m, .s = s, .bad_rank = -1, .nrank = grid[0] * grid[1] * grid[2]};
    memcpy(c.grid, grid, sizeof(c.grid));
    const struct system_kind kind = {.density = 0.05, .skew = random_below(seed, 2) ? 0.4 : 0};
    system_create(s, 40, &kind, m->serial->ntypes, seed);
    system_parameters(s, m->serial->properties.fitting.dim_fparam, m->serial->properties.fitting.dim_aparam,
                      seed);
    system_spins(s, 1, seed);
    c.owner = calloc((size_t)s->n, sizeof(*c.owner));
    c.with_ids = (int32_t)random_below(seed, 2);
    random_steps(&c, seed);
    return c;
}

/* Rank 0 passes nothing, or the last one only NULL atoms, or both, or neither. */
static void test_compute(struct test_models *m, const int32_t grid[3], int64_t turn, struct seen *seen)
{
    struct tolerance t = {1e-11, 1e-13};
    struct system_case s = {0};
    uint64_t seed = 900 + (uint64_t)turn;
    struct call c = grid_call(m, &s, grid, &seed);
    int empty = c.nrank > 1 && turn % 2 == 0, null = turn % 4 > 1;
    for (int64_t i = 0; i < s.n; i++) {
        c.owner[i] = (int32_t)(empty + random_below(&seed, c.nrank - empty));
        s.types[i] = null && c.owner[i] == c.nrank - 1 ? -1 : s.types[i];
    }
    call_run(&c);
    double share = call_check(&c, &t);
    if (!(share <= 1)) {
        fprintf(stderr, "grid %d %d %d: %g of the tolerance\n", grid[0], grid[1], grid[2], share);
    }
    CHECK(share <= 1);
    seen->empty += empty;
    seen->null += null;
    for (int32_t r = 0; r < c.nrank; r++) {
        CHECK(c.counts_good[r] && c.reused[r][1]);
        seen->reused += c.reused[r][1];
        seen->rebuilt += !c.reused[r][2];
    }
    call_free(&c);
    system_free(&s);
    free(c.owner);
    free(c.step);
    free(c.turn);
}

static void test_ghosted(struct test_models *m, const int32_t grid[3], int64_t turn, struct seen *seen)
{
    struct tolerance t = {1e-11, 1e-13};
    struct system_case s = {0};
    struct ghosted_call c = {
        .models = m, .kind = turn % 2 ? PLAN_DIRECT : PLAN_BORDER, .add = (int32_t)(turn / 2 % 2)};
    enum thinning thin = (enum thinning)(turn % 4);
    case_make(&s, &c, grid, thin, 700 + (uint64_t)turn);
    ghosted_run(&c);
    double share = ghosted_compare(&c, &t);
    if (!(share <= 1)) {
        fprintf(stderr, "rows on grid %d %d %d, thinning %d: %g of the tolerance\n", grid[0], grid[1],
                grid[2], thin, share);
    }
    CHECK(share <= 1);
    for (int32_t r = 0; r < c.world->nrank; r++) {
        const struct brick_rank *b = &c.world->rank[r];
        seen->ghosts_alone += b->nowned == 0 && b->nnode > 0;
    }
    case_end(&c);
}

static void test_model(const char *name, int64_t nlayer)
{
    struct test_models m = models_load(name, 0.5, nlayer);
    struct seen seen = {0};
    int64_t ngrid = 0;
    CHECK(m.serial->is_spin);
    for (int32_t nrank = 1; nrank <= MAX_RANKS; nrank++) {
        for (int32_t a = 1; a <= nrank; a++) {
            for (int32_t b = 1; b <= nrank / a; b++) {
                if (nrank % (a * b) == 0) {
                    const int32_t grid[3] = {a, b, nrank / (a * b)};
                    test_compute(&m, grid, ngrid, &seen);
                    test_ghosted(&m, grid, ngrid, &seen);
                    ngrid++;
                }
            }
        }
    }
    printf("%s: %lld grids; ranks without atoms %lld, with NULL ones %lld, with ghosts alone %lld; steps "
           "with old lists"
           " %lld, with new ones %lld\n",
           name, (long long)ngrid, (long long)seen.empty, (long long)seen.null, (long long)seen.ghosts_alone,
           (long long)seen.reused, (long long)seen.rebuilt);
    CHECK(ngrid == 38 && seen.empty > 10 && seen.null > 10 && seen.ghosts_alone > 10);
    CHECK(seen.reused > 100 && seen.rebuilt > 100);
    models_free(&m);
}

int main(void)
{
    test_model("spin_three", 2); /* two magnetic types of three */
    test_model("spin_dpa2", 3);
    test_model("spin_se_e2_a_fparam", 1);
    return check_report();
}
