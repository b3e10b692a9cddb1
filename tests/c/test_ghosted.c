/* compute_ghosted on bricks with a six-way border, a direct plan, a mapping and both, against one rank. */
#include "ghosted_case.h"

/* ------------------------------------------------------------------ faults */

static void spoil_no_plan(struct dgnn_ghosted *g)
{
    g->border = NULL;
}

static int32_t spoiled_numbers[64];
static struct dgnn_border spoiled_border;

static void spoil_count(struct dgnn_ghosted *g)
{
    spoiled_border = *g->border;
    memcpy(spoiled_numbers, g->border->sendnum, sizeof(int32_t) * (size_t)g->border->nswap);
    spoiled_numbers[0]--;
    spoiled_border.sendnum = spoiled_numbers;
    g->border = &spoiled_border;
}

static void spoil_null(struct dgnn_ghosted *g)
{
    ((int32_t *)(uintptr_t)g->types)[g->nlocal] = -1; /* NULL at one end only */
}

static void spoil_type(struct dgnn_ghosted *g)
{
    ((int32_t *)(uintptr_t)g->types)[g->nlocal] = 1 - g->types[g->nlocal];
}

static void spoil_owners(struct dgnn_ghosted *g)
{
    for (int64_t i = 0; i < g->nlocal; i++) {
        ((int32_t *)(uintptr_t)g->types)[i] = 1 - g->types[i];
    }
}

static void spoil_same(struct dgnn_ghosted *g)
{
    g->same_list = 1;
}

static void spoil_nan(struct dgnn_ghosted *g)
{
    ((double *)(uintptr_t)g->coords)[1] = NAN;
}

static void spoil_add(struct dgnn_ghosted *g)
{
    g->add_ghost_forces = 1;
}

static void spoil_no_spins(struct dgnn_ghosted *g)
{
    g->spins = NULL;
}

static void spoil_ghost_spin(struct dgnn_ghosted *g)
{
    ((double *)(uintptr_t)g->spins)[3 * g->nlocal + 2] = INFINITY;
}

static void spoil_border_too(struct dgnn_ghosted *g)
{
    static struct dgnn_border border;
    g->border = &border;
}

/* The last ghost is an image in cells of this size. */
static void spoil_image(struct dgnn_ghosted *g)
{
    int64_t *mapping = (int64_t *)(uintptr_t)g->mapping, last = g->nall - 1;
    while (mapping[last] == last) {
        last--;
    }
    ((int32_t *)(uintptr_t)g->types)[last] = 1 - g->types[last];
}

static void spoil_chain(struct dgnn_ghosted *g)
{
    int64_t *mapping = (int64_t *)(uintptr_t)g->mapping, last = g->nall - 1;
    while (mapping[last] == last) {
        last--;
    }
    mapping[mapping[last] == 0 ? 1 : 0] = last;
}

static void spoil_between(struct dgnn_ghosted *g)
{
    int64_t *mapping = (int64_t *)(uintptr_t)g->mapping, row = g->nlocal;
    while (mapping[row] != row) {
        row++;
    }
    mapping[row] = g->nall;
}

static void spoil_stands(struct dgnn_ghosted *g)
{
    int64_t *mapping = (int64_t *)(uintptr_t)g->mapping, row = g->nlocal;
    while (mapping[row] == row) {
        row++;
    }
    mapping[row] = row; /* an image, which the plan does not bring */
}

static void spoil_received(struct dgnn_ghosted *g)
{
    int64_t row = g->nlocal;
    while (g->mapping[row] == row) {
        row++;
    }
    ((int32_t *)(uintptr_t)g->direct->recv_row)[0] = (int32_t)row;
}

static void test_faults(void)
{
    static const struct {
        void (*spoil)(struct dgnn_ghosted *);
        const char *text;
        const char *model; /* NULL: dpa3_base */
        enum plan_kind kind;
    } faults[] = {
        {spoil_no_spins, "rank 1: spins: found none", "spin_dpa3", PLAN_BORDER},
        {spoil_ghost_spin, "rank 1: spins: that of ghost row", "spin_dpa3", PLAN_BORDER},
        {spoil_no_plan, "rank 1: border: this model passes messages", NULL, PLAN_BORDER},
        {spoil_count, "border: swap 0", NULL, PLAN_BORDER},
        {spoil_null, "rank 1: types: ghost row ", NULL, PLAN_BORDER},
        {spoil_null, "rank 1: types: ghost row ", NULL, PLAN_DIRECT},
        {spoil_type, "rank 1: types: ghost row ", NULL, PLAN_BORDER},
        {spoil_type, "rank 1: types: ghost row ", NULL, PLAN_DIRECT},
        {spoil_owners, "rank 0: types: ghost row ", NULL, PLAN_BORDER},
        {spoil_same, "rank 1: same_list: ", NULL, PLAN_BORDER},
        {spoil_nan, "rank 1: coords: atom 0 has y = nan", NULL, PLAN_BORDER},
        {spoil_add, "ghost_forces: rank 1 has another than rank 0", NULL, PLAN_BORDER},
        {spoil_border_too, "rank 1: border: found with a direct plan", NULL, PLAN_DIRECT},
        {spoil_image, "rank 1: mapping: row", NULL, PLAN_OWNERS},
        {spoil_chain, "expected itself, as it is owned", NULL, PLAN_OWNERS},
        {spoil_between, "expected itself, or the row that stands for its atom", NULL, PLAN_OWNERS},
        {spoil_stands, "of the ", NULL, PLAN_OWNERS},
        {spoil_received, "recv_row[0] is", NULL, PLAN_OWNERS},
        {spoil_type, "types: ghost row ", NULL, PLAN_DIRECT},
        {spoil_same, "rank 1: same_list: ", NULL, PLAN_OWNERS},
    };
    struct tolerance t = {1e-11, 1e-13};
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
        struct test_models m = models_load(faults[k].model ? faults[k].model : "dpa3_base", 0.5, 3);
        struct system_case s = {0};
        struct ghosted_call c = {
            .models = &m, .kind = faults[k].kind, .spoil = faults[k].spoil, .bad_rank = 1};
        case_make(&s, &c, (const int32_t[]){2, 2, 1}, ALL_REAL, 5);
        ghosted_run(&c);
        for (int32_t r = 0; r < 4; r++) {
            CHECK_TEXT(c.status[r], DGNN_ERROR_INPUT, c.message[r], faults[k].text, "fault");
            CHECK(!strcmp(c.message[r], c.message[0]));
            c.status[r] = 0;
        }
        ghosted_free(&c);
        c.spoil = NULL;
        ghosted_run(&c);
        CHECK(ghosted_compare(&c, &t) <= 1);
        case_end(&c);
        models_free(&m);
    }
}

/* ------------------------------------------------------------------ the tests of the tests */

/* The comparison with one rank, of a whole model: each fault of the exchange is far beyond the tolerance.
 * Gradients of ghosts' features that are not cleared are written over, never read; forces that are not
 * cleared count twice. */
static void test_ablations(const char *name)
{
    struct test_models m = models_load(name, 0.5, 3);
    struct tolerance t = {1e-11, 1e-13};
    for (int32_t ablation = SWAPS_RIGHT; ablation < SWAPS_ABLATIONS; ablation++) {
        for (int32_t add = 0; add < 2; add++) {
            struct system_case s = {0};
            struct ghosted_call c = {
                .models = &m, .add = add, .ablates = 1, .ablation = (enum swaps_ablation)ablation};
            case_make(&s, &c, (const int32_t[]){2, 2, 1}, ALL_REAL, 3);
            ghosted_run(&c);
            double share = ghosted_compare(&c, &t);
            printf("%s, %s, ghost forces %s: %.3g of the tolerance\n", name, swaps_ablation_names[ablation],
                   add ? "added" : "returned", share);
            int harmless = ablation == SWAPS_RIGHT || (ablation == SWAPS_NOT_CLEARED && !add);
            CHECK(harmless ? share <= 1 : share > 1e3);
            case_end(&c);
        }
    }
    models_free(&m);
}

/* One row for each remote atom, in a cell whose images are all around: of 192 atoms on two ranks, which own
 * 96 each, 96. */
static void test_one_row(const char *name, struct tolerance t)
{
    struct test_models m = models_load(name, 0.5, 3);
    struct system_case s = {0};
    struct ghosted_call c = {.models = &m, .kind = PLAN_OWNERS, .add = 1, .natoms = 192};
    uint64_t seed = 9;
    case_make(&s, &c, (const int32_t[]){2, 1, 1}, ALL_REAL, seed);
    while (c.world->rank[0].nowned != 96) {
        case_end(&c);
        case_make(&s, &c, (const int32_t[]){2, 1, 1}, ALL_REAL, ++seed);
    }
    ghosted_run(&c);
    CHECK(ghosted_compare(&c, &t) <= 1);
    CHECK(case_rows_good(&c));
    for (int32_t r = 0; r < 2; r++) {
        const struct brick_rank *b = &c.world->rank[r];
        printf("%s, 192 atoms, rank %d of 2: %lld own, %lld ghosts, %lld rows of remote atoms\n", name, r,
               (long long)b->nowned, (long long)(b->nnode - b->nowned), (long long)c.nghosts[r]);
        CHECK(c.nghosts[r] <= 96 && b->nnode - b->nowned > 4 * c.nghosts[r]);
    }
    case_end(&c);
    models_free(&m);
}

int main(void)
{
    test_bricks("dpa3_base", 1, (struct tolerance){1e-11, 1e-13});
    test_bricks("dpa3_fparam_aparam", 3, (struct tolerance){1e-11, 1e-13});
    test_bricks("dpa3_f32", 3, (struct tolerance){1e-5, 1e-6});
    test_bricks("dpa2_base", 3, (struct tolerance){1e-11, 1e-13});
    test_bricks("spin_dpa3", 3, (struct tolerance){1e-11, 1e-13});
    test_bricks("spin_fparam", 3, (struct tolerance){1e-11, 1e-13});
    test_bricks("dpa4c_spin", 3, (struct tolerance){1e-11, 1e-13});
    test_one_row("dpa3_base", (struct tolerance){1e-11, 1e-13});
    test_one_row("dpa3_f32", (struct tolerance){1e-5, 1e-6});
    test_faults();
    test_ablations("dpa3_base");
    test_ablations("spin_dpa3");
    return check_report();
}
