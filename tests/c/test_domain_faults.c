/* What goes wrong on one rank is told on all, as the same error, and the models go on. */
#include <time.h>

#include "domain_case.h"

static struct call case_create(struct test_models *m, struct system_case *s, int32_t nrank, int64_t n,
                               uint64_t seed)
{
    struct call c = {.models = m, .s = s, .nrank = nrank, .nstep = 1, .bad_rank = -1, .with_ids = 1};
    system_create(s, n, &(struct system_kind){.density = 0.08}, 2, &seed);
    system_parameters(s, m->serial->properties.fitting.dim_fparam, m->serial->properties.fitting.dim_aparam,
                      &seed);
    system_spins(s, m->serial->is_spin, &seed);
    c.owner = calloc((size_t)n, sizeof(*c.owner));
    for (int64_t i = 0; i < n; i++) {
        c.owner[i] = (int32_t)random_below(&seed, nrank);
    }
    return c;
}

/* The same class and message on all ranks. Frees what the call left. */
static void check_told(struct call *c, int32_t status, const char *text)
{
    for (int32_t r = 0; r < c->nrank; r++) {
        CHECK_TEXT(c->status[r], status, c->message[r], text, text);
        CHECK(!status || !strcmp(c->message[r], c->message[0]));
        c->status[r] = 0;
    }
    call_free(c);
}

/* A call that succeeds. Frees the case. */
static void check_recovery(struct call *c)
{
    struct tolerance t = {1e-11, 1e-13};
    call_run(c);
    CHECK(call_check(c, &t) <= 1);
    call_free(c);
    free(c->owner);
    system_free(c->s);
}

static void check_fault(struct call *c, int32_t status, const char *text)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    call_run(c);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((double)(end.tv_sec - begin.tv_sec) < 5);
    check_told(c, status, text);
    c->spoil = NULL;
    c->other_model = 0;
    check_recovery(c);
}

static void spoil_type(struct dgnn_system *s)
{
    ((int32_t *)(uintptr_t)s->types)[0] = 5;
}

static void spoil_coordinate(struct dgnn_system *s)
{
    ((double *)(uintptr_t)s->coords)[4] = NAN;
}

static void spoil_far(struct dgnn_system *s)
{
    ((double *)(uintptr_t)s->coords)[3] = 1e300;
}

static void spoil_count(struct dgnn_system *s)
{
    s->natoms = -1;
}

static void spoil_no_box(struct dgnn_system *s)
{
    s->box = NULL;
}

static double other_box[9];
static void spoil_box(struct dgnn_system *s)
{
    memcpy(other_box, s->box, sizeof(other_box));
    other_box[0] += 1e-9;
    s->box = other_box;
}

static void spoil_pbc(struct dgnn_system *s)
{
    s->pbc[1] = !s->pbc[1];
}

static void spoil_grid(struct dgnn_system *s)
{
    s->grid[0] = 3;
    s->grid[1] = s->grid[2] = 1;
}

static void spoil_ids(struct dgnn_system *s)
{
    s->ids = NULL;
}

static void spoil_negative(struct dgnn_system *s)
{
    ((int64_t *)(uintptr_t)s->ids)[1] = -4;
}

static void spoil_twice(struct dgnn_system *s)
{
    ((int64_t *)(uintptr_t)s->ids)[1] = s->ids[0];
}

static void spoil_replicated(struct dgnn_system *s)
{
    s->replicated = 1;
}

static void spoil_charge(struct dgnn_system *s)
{
    static const double charge_spin[2] = {1, 2};
    s->charge_spin = charge_spin;
}

static void spoil_fparam(struct dgnn_system *s)
{
    static double other[2]; /* the ranks of this test share one array */
    other[0] = s->fparam[0] + 1;
    other[1] = s->fparam[1];
    s->fparam = other;
}

static void spoil_overlap(struct dgnn_system *s)
{
    memcpy((double *)(uintptr_t)s->coords, s->coords + 3, 3 * sizeof(double));
}

static void spoil_no_spins(struct dgnn_system *s)
{
    s->spins = NULL;
}

static void spoil_spin(struct dgnn_system *s)
{
    ((double *)(uintptr_t)s->spins)[4] = NAN;
}

static void spoil_turn(struct dgnn_system *s)
{
    ((double *)(uintptr_t)s->spins)[4] += 1e-9;
}

struct fault {
    void (*spoil)(struct dgnn_system *system);
    const char *text;
};

static void test_faults(void)
{
    static const struct fault faults[] = {
        {spoil_type, "rank 1: types: atom 0 has type 5"},
        {spoil_coordinate, "rank 1: coords: atom 1 has y = nan"},
        {spoil_far, "rank 1: coords[1][0] is 1e+300"},
        {spoil_count, "rank 1: natoms: -1"},
        {spoil_no_box, "box: rank 1 has another than rank 0"},
        {spoil_box, "box: rank 1 has another than rank 0"},
        {spoil_pbc, "pbc: rank 1 has another than rank 0"},
        {spoil_grid, "grid: rank 1 has another than rank 0"},
        {spoil_ids, "ids: rank 0 passes ids and rank 1 none"},
        {spoil_negative, "rank 1: ids: atom 1 has id -4"},
        {spoil_twice, "is there more than once among the ranks' atoms"},
        {spoil_replicated, "replicated: rank 1 has another than rank 0"},
        {spoil_charge, "rank 1: charge_spin: this model takes none"},
        {spoil_overlap, "expected distinct places"},
    };
    struct test_models m = models_load("dpa3_base", 0.5, 3);
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
        for (int32_t nrank = 2; nrank <= 5; nrank += 3) {
            struct system_case s = {0};
            struct call c = case_create(&m, &s, nrank, 40, 11 + k);
            c.bad_rank = 1;
            c.spoil = faults[k].spoil;
            c.with_ids = faults[k].spoil != spoil_replicated;
            check_fault(&c, DGNN_ERROR_INPUT, faults[k].text);
        }
    }
    models_free(&m);
}

/* Parameters, and a copy of a replicated system, that differ. */
static void test_differences(void)
{
    struct test_models m = models_load("dpa3_fparam_aparam", 0.5, 3);
    struct system_case s = {0};
    struct call c = case_create(&m, &s, 4, 40, 3);
    c.bad_rank = 2;
    c.spoil = spoil_fparam;
    check_fault(&c, DGNN_ERROR_INPUT, "fparam: rank 2 has another than rank 0");
    c = case_create(&m, &s, 4, 40, 3);
    c.bad_rank = 2;
    c.replicated = 1;
    c.spoil = spoil_overlap;
    check_fault(&c, DGNN_ERROR_INPUT, "whole system (replicated: coords, types, spins, ids, aparam): rank 2");
    models_free(&m);
}

static void test_spins(void)
{
    static const struct fault faults[] = {
        {spoil_no_spins, "rank 1: spins: found none; this is a spin model"},
        {spoil_spin, "rank 1: spins: atom 1 has nan in column 1; expected a finite number"},
        {spoil_turn, "whole system (replicated: coords, types, spins, ids, aparam): rank 1"},
    };
    struct test_models m = models_load("spin_dpa3", 0.5, 2);
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
        struct system_case s = {0};
        struct call c = case_create(&m, &s, 3, 30, 17 + k);
        c.bad_rank = 1;
        c.spoil = faults[k].spoil;
        c.replicated = faults[k].spoil == spoil_turn;
        check_fault(&c, DGNN_ERROR_INPUT, faults[k].text);
    }
    models_free(&m);
}

static void test_grid(void)
{
    struct test_models m = models_load("dpa3_base", 0.5, 3);
    struct system_case s = {0};
    struct call c = case_create(&m, &s, 4, 40, 3);
    c.grid[0] = c.grid[1] = c.grid[2] = 2;
    call_run(&c);
    check_told(&c, DGNN_ERROR_INPUT, "grid: found 2 x 2 x 2; the communicator has 4 ranks");
    memset(c.grid, 0, sizeof(c.grid));
    check_recovery(&c);
    models_free(&m);
}

static void test_other_model(void)
{
    struct test_models m = models_load("dpa3_base", 0.5, 3);
    struct system_case s = {0};
    dgnn_model_free(m.rank[7]);
    m.rank[7] = load("dpa3_tanh", 0.5);
    struct call c = case_create(&m, &s, 3, 40, 3);
    c.bad_rank = 1;
    c.other_model = 1;
    check_fault(&c, DGNN_ERROR_INPUT, "model: rank 1 has another than rank 0");
    dgnn_model_free(m.rank[7]);
    m.rank[7] = load("dpa3_base", 0.25);
    c = case_create(&m, &s, 3, 40, 3);
    c.bad_rank = 2;
    c.other_model = 1;
    check_fault(&c, DGNN_ERROR_INPUT, "skin of the model: rank 2 has another than rank 0");
    models_free(&m);
}

/* One model on two ranks: each of them computes in a session of its own. */
static void test_shared_model(void)
{
    struct test_models m = models_load("dpa3_base", 0.5, 3);
    struct system_case s = {0};
    struct dgnn_model *own = m.rank[1];
    struct call c = case_create(&m, &s, 4, 40, 3);
    m.rank[1] = m.rank[3];
    check_recovery(&c);
    CHECK(dgnn_pool_count(m.rank[3]->pool) == 2);
    m.rank[1] = own;
    models_free(&m);
}

enum { REFUSAL_RANKS = 3 };

struct refusal {
    struct test_models *models;
    int status[REFUSAL_RANKS][4];
    char message[REFUSAL_RANKS][4][DGNN_MESSAGE_LENGTH];
};

/* Rank 1 cannot make the first call, and makes the next ones without arguments and as another call. */
static void refusal_body(struct ranks_rank *rank)
{
    static const double coords[6] = {0, 0, 0, 0, 0, 1.1};
    static const int32_t types[2] = {0, 1};
    struct refusal *out = rank->data;
    struct dgnn_model *model = out->models->rank[rank->rank];
    struct dgnn_system system = {
        .size = sizeof(system), .natoms = 2, .coords = coords, .types = types, .replicated = 1};
    for (int k = 0; k < 4; k++) {
        struct dgnn_result result = {.size = sizeof(result)};
        struct dgnn_error error = {0};
        int bad = rank->rank == 1;
        if (bad && k == 0) {
            dgnn_status_set(&error, DGNN_ERROR_SYSTEM, "the binding has no words");
            error.system_errno = 7;
            out->status[1][k] = dgnn_comm_agree(rank->comm, "compute", error.status, &error);
        } else if (bad && k == 1) {
            out->status[1][k] = dgnn_model_compute(model, &system, rank->comm, NULL, &error);
        } else if (bad && k == 2) {
            const struct dgnn_ghosted none = {.size = sizeof(none)};
            out->status[1][k] = dgnn_model_compute_ghosted(model, &none, rank->comm, &result, &error);
        } else {
            out->status[rank->rank][k] = dgnn_model_compute(model, &system, rank->comm, &result, &error);
        }
        snprintf(out->message[rank->rank][k], DGNN_MESSAGE_LENGTH, "%s", error.message);
    }
}

static void test_refusals(void)
{
    static const struct {
        int status;
        const char *text;
    } expected[4] = {
        {DGNN_ERROR_SYSTEM, "rank 1: the binding has no words"},
        {DGNN_ERROR_INPUT, "rank 1: dgnn_model_compute: an argument is NULL"},
        {DGNN_ERROR_INPUT,
         "rank 1 is in compute_ghosted while rank 0 is in compute: all ranks make the same calls"},
        {DGNN_OK, ""}};
    struct test_models m = models_load("dpa3_base", 0.5, 3);
    struct refusal out = {.models = &m};
    ranks_run(REFUSAL_RANKS, 20, refusal_body, &out);
    for (int32_t r = 0; r < REFUSAL_RANKS; r++) {
        for (int k = 0; k < 4; k++) {
            CHECK_TEXT(out.status[r][k], expected[k].status, out.message[r][k], expected[k].text, "refusal");
        }
    }
    struct dgnn_error error;
    CHECK_STATUS(dgnn_comm_agree(NULL, "compute", DGNN_OK, &error), DGNN_ERROR_INPUT, "an argument is NULL");
    models_free(&m);
}

/* Each allocation of a first call fails once, on whichever rank comes to it: all get MEMORY, and the next
 * call is right. */
static void test_memory(const char *name, int64_t nlayer)
{
    int failed = 1;
    for (int64_t k = 1; failed && k < 2000; k += 1 + k / 24) {
        struct test_models m = models_load(name, 0.5, nlayer);
        struct system_case s = {0};
        struct call c = case_create(&m, &s, 3, 12, 5);
        c.fail_at = k;
        call_run(&c);
        dgnn_alloc_fail_at(0, 0);
        failed = c.status[0] != 0;
        check_told(&c, failed ? DGNN_ERROR_MEMORY : DGNN_OK, "out of memory");
        c.fail_at = 0;
        check_recovery(&c);
        models_free(&m);
    }
    CHECK(!failed);
}

int main(void)
{
    test_faults();
    test_differences();
    test_spins();
    test_grid();
    test_other_model();
    test_shared_model();
    test_refusals();
    int64_t live = dgnn_alloc_live();
    test_memory("dpa3_fparam_aparam", 3);
    test_memory("spin_fparam", 2);
    CHECK(dgnn_alloc_live() == live);
    return check_report();
}
