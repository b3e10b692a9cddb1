/* Every family of descriptors on many ranks, against one: compute with random splits and compute_ghosted on
 * bricks. */
#include "domain_random.h"
#include "ghosted_case.h"

struct family {
    const char *name;
    double skin;
    int exchanges; /* rows go to ghosts this often in an evaluation */
    int64_t largest_n;
    struct tolerance tolerance;
};

#define FLOAT64 {1e-11, 1e-13}
#define FLOAT32 {1e-5, 1e-6}

static const struct family families[] = {
    {"dpa1_attn2", 0.5, 0, 128, FLOAT64},
    {"dpa1_attn2_graph", 0, 0, 128, FLOAT64},
    {"dpa1_davg", 0.5, 0, 96, FLOAT64}, /* empty slots carry the first atom's type */
    {"dpa1_small_sel", 0, 0, 96, FLOAT64},
    {"dpa1_f32", 0.5, 0, 96, FLOAT32},
    {"se_atten_v2", 0.5, 0, 96, FLOAT64},
    {"se_e2_a", 0.5, 0, 128, FLOAT64},
    {"se_e2_a_small_sel", 0, 0, 96, FLOAT64},
    {"se_e2_a_f32", 0.5, 0, 96, FLOAT32},
    {"se_e2_r", 0.5, 0, 128, FLOAT64},
    {"se_e3", 0.5, 0, 96, FLOAT64},
    {"se_e3_tebd", 0.5, 0, 96, FLOAT64},
    {"dpa2_base", 0.5, 2, 96, FLOAT64},
    {"dpa2_davg", 0, 2, 96, FLOAT64}, /* as dpa1_davg */
    {"dpa2_all_updates", 0.5, 2, 96, FLOAT64},
    {"dpa2_four_layers", 0, 4, 64, FLOAT64},
    {"dpa2_graph_deep_graph", 0.5, 2, 96, FLOAT64},
    {"dpa2_f32", 0.5, 2, 96, FLOAT32},
    {"hybrid_local", 0.5, 0, 96, FLOAT64},
    {"hybrid_small_sel", 0, 2, 96, FLOAT64},
    {"hybrid_two_rcut", 0.5, 2, 96, FLOAT64},
    {"hybrid_two_messages", 0.5, 4, 64, FLOAT64}, /* dpa3 and dpa2 */
    {"hybrid_dpa3_nested", 0.5, 2, 64, FLOAT64},
    {"hybrid_dpa3_twice", 0.5, 1, 64, FLOAT64}, /* two cutoffs, pair_exclude_types */
    {"hybrid_nested", 0, 1, 64, FLOAT64},       /* one message-passing child, local ones two levels down */
    {"hybrid_nested_local", 0.5, 0, 96, FLOAT64},
    {"hybrid_f32", 0.5, 1, 64, FLOAT32},
    {"linear_dpa1_graph", 0.5, 0, 96, FLOAT64},
    {"linear_dpa1", 0, 0, 96, FLOAT64},         /* two cutoffs */
    {"linear_dpa3_twice", 0.5, 2, 64, FLOAT64}, /* type maps that differ */
    {"linear_dpa3_sum", 0.5, 1, 64, FLOAT64},   /* types and pairs that parts leave out */
    {"linear_sum", 0, 1, 64, FLOAT64},
    {"linear_weights", 0.5, 4, 64, FLOAT64}, /* dpa3, dpa1 and dpa2 */
    {"spin_dpa3", 0.5, 1, 96, FLOAT64},
    {"spin_dpa3_both", 0.5, 1, 96, FLOAT64},
    {"spin_three", 0.5, 1, 96, FLOAT64},
    {"spin_small_sel", 0, 1, 96, FLOAT64},
    {"spin_fparam", 0.5, 1, 64, FLOAT64},
    {"spin_dpa2", 0.5, 2, 64, FLOAT64},
    {"spin_dpa1", 0.5, 0, 96, FLOAT64},
    {"spin_se_e2_a", 0.5, 0, 96, FLOAT64},
    {"spin_f32", 0.5, 1, 96, FLOAT32},
};

enum { RANDOM_SYSTEMS = 10 }; /* of each family; test_many_families has 30 */

static void test_family(const struct family *f, int scale)
{
    static const int32_t grids[][3] = {{1, 1, 1}, {2, 1, 1}, {2, 2, 1}, {2, 2, 2}};
    test_random(&(struct random_systems){.name = f->name,
                                         .skin = f->skin,
                                         .nlayer = f->exchanges + 1,
                                         .largest_n = f->largest_n,
                                         .count = RANDOM_SYSTEMS * scale,
                                         .seed = 7,
                                         .tolerance = f->tolerance});
    struct test_models m = models_load(f->name, f->skin, f->exchanges + 1);
    for (size_t g = 0; g < sizeof(grids) / sizeof(grids[0]); g++) {
        for (enum thinning thin = ALL_REAL; thin <= HALF_EMPTY; thin++) {
            test_case(&m, grids[g], PLAN_BORDER, thin, (int)(g + thin) % 4, &f->tolerance);
        }
    }
    models_free(&m);
}

/* ------------------------------------------------------------------ the first atom's type */

/* The atom of the lowest id, whichever rank passes it, or the first that a rank passes. */
static int64_t first_of(const struct call *c)
{
    int64_t first = 0, *ids = calloc((size_t)c->s->n, sizeof(*ids));
    call_ids(c, ids);
    for (int64_t i = 1; i < c->s->n; i++) {
        first = ids[i] < ids[first] ? i : first;
    }
    free(ids);
    return first;
}

/* An atom after the first in the system whose type is another than the given one. */
static int64_t another_type(const struct system_case *s, int32_t type)
{
    int64_t i = 1;
    while (s->types[i] == type) {
        i++;
    }
    return i;
}

/* compute: right with that atom's type in empty slots, and wrong with another's. */
static void test_first_in_compute(struct test_models *m, int32_t with_ids, int32_t type)
{
    struct tolerance t = FLOAT64;
    struct system_case s = {0};
    uint64_t seed = 5;
    int32_t owner[32];
    struct call c = {
        .models = m, .s = &s, .nrank = 4, .nstep = 1, .bad_rank = -1, .with_ids = with_ids, .owner = owner};
    system_create(&s, 32, &(struct system_kind){.density = 0.03}, 2, &seed);
    for (int i = 0; i < 32; i++) {
        owner[i] = 3 - i % 3; /* rank 0 passes none */
    }
    s.types[first_of(&c)] = type;
    call_run(&c);
    CHECK(call_check(&c, &t) <= 1);
    c.first_atom = another_type(&s, type);
    CHECK(call_check(&c, &t) > 1e3);
    call_free(&c);
    system_free(&s);
}

/* compute_ghosted: the first row of the first rank that has rows of its own. */
static void test_first_in_ghosted(struct test_models *m, int32_t type)
{
    struct tolerance t = FLOAT64;
    struct system_case s = {0};
    struct ghosted_call c = {.models = m, .kind = PLAN_BORDER, .add = 1};
    case_make(&s, &c, (const int32_t[]){2, 2, 1}, ALL_REAL, 7);
    c.first = ghosted_first(&c);
    s.types[c.first] = type;
    ghosted_run(&c);
    CHECK(ghosted_compare(&c, &t) <= 1);
    c.first = another_type(&s, type);
    CHECK(ghosted_compare(&c, &t) > 1e3);
    case_end(&c);
}

static void test_first_type(const char *name, int exchanges)
{
    struct test_models m = models_load(name, 0.5, exchanges + 1);
    for (int32_t type = -1; type < 2; type++) {
        test_first_in_compute(&m, 0, type);
        test_first_in_compute(&m, 1, type);
        test_first_in_ghosted(&m, type);
    }
    models_free(&m);
}

/* usage: test_family [SCALE [NAME]] */
int main(int argc, char **argv)
{
    for (size_t k = 0; k < sizeof(families) / sizeof(families[0]); k++) {
        if (argc < 3 || !strcmp(argv[2], families[k].name)) {
            test_family(&families[k], argc > 1 ? atoi(argv[1]) : 1);
        }
    }
    test_first_type("dpa1_davg", 0);
    test_first_type("dpa2_davg", 2);
    return check_report();
}
