/* The exchange against direct indexing: golden vectors, random plans on ranks that are threads.
 * DGNN_TEST_PLANS: how many random plans (default 4000). */
#include "check.h"

#include "base/alloc.h"
#include "comm/spin_rows.h"
#include "exchange_case.h"
#include "random.h"
#include "ranks.h"

static struct dgnn_error error;

/* ------------------------------------------------------------------ golden vectors */

static struct dgnn_exchange *golden_swaps(const struct dgnn_border *border, int64_t nowned, int64_t nnode,
                                          struct dgnn_swaps **swaps)
{
    struct dgnn_exchange *x = NULL;
    CHECK_STATUS(dgnn_swaps_create(border, nowned, nnode, 0, 1, swaps, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_swaps(*swaps, NULL, DGNN_EXCHANGE_FEATURES, &x, &error), DGNN_OK, "");
    return x;
}

static void golden_forward(struct dgnn_exchange *x, double *rows, int64_t width)
{
    CHECK_STATUS(dgnn_exchange_forward_begin(x, rows, width, 8, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_forward_end(x, &error), DGNN_OK, "");
}

static void golden_reverse(struct dgnn_exchange *x, double *rows, int64_t width)
{
    CHECK_STATUS(dgnn_exchange_reverse_begin(x, rows, width, 8, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_reverse_end(x, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_settle(x, &error), DGNN_OK, "");
}

static void test_g1_self_swap(void)
{
    const int32_t zero = 0, two = 2, list[] = {2, 0}, *const lists[] = {list};
    const struct dgnn_border border = {1, &zero, &zero, &two, &two, lists, NULL};
    struct dgnn_swaps *swaps;
    struct dgnn_exchange *x = golden_swaps(&border, 3, 5, &swaps);
    double rows[] = {1, 10, 2, 20, 3, 30, NAN, NAN, NAN, NAN};
    golden_forward(x, rows, 2);
    CHECK_ROWS(rows, 1, 10, 2, 20, 3, 30, 3, 30, 1, 10);
    double gradient[] = {1, 1, 2, 2, 3, 3, 10, 100, 20, 200};
    golden_reverse(x, gradient, 2);
    CHECK_ROWS(gradient, 21, 201, 2, 2, 13, 103, 0, 0, 0, 0);
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
}

static void test_g2_relay(void)
{
    const int32_t zero[2] = {0}, num[] = {1, 2}, first[] = {0},
                  second[] = {2, 1}, *const lists[] = {first, second};
    const struct dgnn_border border = {2, zero, zero, num, num, lists, NULL};
    struct dgnn_swaps *swaps;
    struct dgnn_exchange *x = golden_swaps(&border, 2, 5, &swaps);
    double rows[] = {1, 2, NAN, NAN, NAN};
    golden_forward(x, rows, 1);
    CHECK_ROWS(rows, 1, 2, 1, 1, 2);
    double gradient[] = {1, 2, 4, 8, 16};
    golden_reverse(x, gradient, 1);
    CHECK_ROWS(gradient, 13, 18, 0, 0, 0);
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
}

struct g3 {
    double rows[2][2];
    double gradient[2][2];
    int status[2];
};

static void g3_body(struct ranks_rank *rank)
{
    struct g3 *g3 = rank->data;
    struct dgnn_error local;
    const int32_t other = 1 - rank->rank, two = 2, none = 0, list[] = {1, 0}, *const lists[] = {list};
    const int first = rank->rank == 0;
    const struct dgnn_border border = {1,     &other, &other, first ? &two : &none, first ? &none : &two,
                                       lists, NULL};
    struct dgnn_swaps *swaps = NULL;
    struct dgnn_exchange *x = NULL;
    double *rows = g3->rows[rank->rank];
    double *gradient = g3->gradient[rank->rank];
    int status = dgnn_swaps_create(&border, first ? 2 : 0, 2, rank->rank, 2, &swaps, &local);
    status =
        status ? status : dgnn_exchange_create_swaps(swaps, rank->comm, DGNN_EXCHANGE_FEATURES, &x, &local);
    status = status ? status : dgnn_exchange_forward_begin(x, rows, 1, 8, &local);
    status = status ? status : dgnn_exchange_forward_end(x, &local);
    status = status ? status : dgnn_exchange_reverse_begin(x, gradient, 1, 8, &local);
    status = status ? status : dgnn_exchange_reverse_end(x, &local);
    g3->status[rank->rank] = status ? status : dgnn_exchange_settle(x, &local);
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
}

static void test_g3_two_ranks(void)
{
    struct g3 g3 = {{{5, 7}, {NAN, NAN}}, {{1, 2}, {10, 20}}, {-1, -1}};
    ranks_run(2, 10, g3_body, &g3);
    CHECK(g3.status[0] == 0 && g3.status[1] == 0);
    CHECK_ROWS(g3.rows[1], 7, 5);
    CHECK_ROWS(g3.gradient[0], 21, 12);
    CHECK_ROWS(g3.gradient[1], 0, 0);
}

static void test_g4_spin(void)
{
    const int32_t zero = 0, one = 1, list[] = {1}, *const lists[] = {list};
    const struct dgnn_border border = {1, &zero, &zero, &one, &one, lists, NULL};
    struct dgnn_swaps *atoms, *swaps;
    struct dgnn_exchange *x = NULL;
    CHECK_STATUS(dgnn_swaps_create(&border, 2, 3, 0, 1, &atoms, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_spin_swaps(atoms, &swaps, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_swaps(swaps, NULL, DGNN_EXCHANGE_FEATURES, &x, &error), DGNN_OK, "");
    double rows[] = {1, 2, 101, 102, NAN, NAN};
    golden_forward(x, rows, 1);
    CHECK_ROWS(rows, 1, 2, 101, 102, 2, 102);
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
    dgnn_swaps_free(atoms);
}

static void test_own_neighbour(void)
{
    const int64_t first[] = {0, 3};
    const int32_t me = 0, send_row[] = {1, 0, 1}, recv_row[] = {2, 3, 4};
    const struct dgnn_direct direct = {1, &me, first, send_row, first, recv_row};
    struct dgnn_plan *plan;
    struct dgnn_exchange *x = NULL;
    CHECK_STATUS(dgnn_plan_create(&direct, 2, 5, 0, 1, &plan, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_create_direct(plan, NULL, DGNN_EXCHANGE_FEATURES, &x, &error), DGNN_OK, "");
    double rows[] = {3, 4, NAN, NAN, NAN};
    golden_forward(x, rows, 1);
    CHECK_ROWS(rows, 3, 4, 4, 3, 4);
    double gradient[] = {1, 2, 4, 8, 16};
    golden_reverse(x, gradient, 1);
    CHECK_ROWS(gradient, 9, 22, 0, 0, 0);
    dgnn_exchange_free(x);
    dgnn_plan_free(plan);
}

static void test_misuse(void)
{
    const struct dgnn_border none = {0};
    struct dgnn_swaps *swaps;
    struct dgnn_exchange *x = golden_swaps(&none, 2, 2, &swaps);
    double rows[] = {1, 2};
    CHECK_STATUS(dgnn_exchange_forward_end(x, &error), DGNN_ERROR_INTERNAL, "not begun");
    CHECK_STATUS(dgnn_exchange_forward_begin(x, rows, 1, 3, &error), DGNN_ERROR_INTERNAL, "3 bytes");
    CHECK_STATUS(dgnn_exchange_forward_begin(x, rows, 0, 8, &error), DGNN_ERROR_INTERNAL, "0 items");
    CHECK_STATUS(dgnn_exchange_forward_begin(x, rows, 1, 8, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_reverse_begin(x, rows, 1, 8, &error), DGNN_ERROR_INTERNAL, "under way");
    CHECK_STATUS(dgnn_exchange_reverse_end(x, &error), DGNN_ERROR_INTERNAL, "not begun");
    CHECK_STATUS(dgnn_exchange_forward_end(x, &error), DGNN_OK, "");
    golden_reverse(x, rows, 1);
    CHECK_ROWS(rows, 1, 2); /* no swaps: unchanged */
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
    CHECK_STATUS(dgnn_exchange_forward_begin(NULL, rows, 1, 8, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_exchange_reverse_end(NULL, &error), DGNN_OK, "");
}

/* ------------------------------------------------------------------ G7: bricks */

/* Each image of each atom within the cutoff of the brick comes exactly once. */
static int64_t g7_expected_ghosts(const struct brick_grid *grid, const int32_t place[3], int64_t natoms,
                                  const double (*x)[3])
{
    int64_t count = 0;
    for (int64_t i = 0; i < natoms; i++) {
        int64_t images = 1;
        int inside = 1;
        for (int d = 0; d < 3; d++) {
            double width = grid->box[d] / grid->ranks[d];
            int64_t n = 0;
            for (int32_t shift = -9; shift <= 9; shift++) {
                double at = x[i][d] + shift * grid->box[d];
                n += (grid->periodic[d] || shift == 0) && at >= place[d] * width - grid->cutoff &&
                     at <= (place[d] + 1) * width + grid->cutoff;
            }
            inside = inside && x[i][d] >= place[d] * width && x[i][d] < (place[d] + 1) * width;
            images *= n;
        }
        count += images - inside;
    }
    return count;
}

static int64_t g7_wrong_places(const struct brick_grid *grid, const struct brick_rank *rank,
                               const double (*x)[3])
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < rank->nnode; i++) {
        for (int d = 0; d < 3; d++) {
            double expected = x[rank->id[i]][d] + rank->shift[i][d] * grid->box[d];
            wrong += !(fabs(rank->x[i][d] - expected) < 1e-9);
        }
    }
    return wrong;
}

static void case_body(struct ranks_rank *rank);

struct case_job {
    const struct brick_world *world;
    struct dgnn_rows_shape shape;
    uint64_t seed;
    enum exchange_case_kind kind;
    struct exchange_case_outcome outcome[8];
};

static void case_body(struct ranks_rank *rank)
{
    struct case_job *job = rank->data;
    const struct exchange_case c = {job->world, rank->rank, job->shape, job->seed};
    exchange_case_run(&c, job->kind, rank->comm, &job->outcome[rank->rank]);
}

/* 1 if everything was right on all ranks. */
static int case_job_right(struct case_job *job)
{
    int right = 1;
    ranks_run(job->world->nrank, 20, case_body, job);
    for (int32_t r = 0; r < job->world->nrank; r++) {
        const struct exchange_case_outcome *o = &job->outcome[r];
        double tolerance = job->shape.item_size == 8 ? 1e-14 : 1e-6;
        int good = o->status == DGNN_OK && o->wrong_forward == 0 && o->wrong_reverse == 0 &&
                   o->unequal == 0 && o->adjoint <= tolerance;
        if (!good) {
            fprintf(
                stderr,
                "rank %d of %d, seed %llu, kind %d: %s \"%s\" forward %lld reverse %lld adjoint %g unequal "
                "%lld\n",
                r, job->world->nrank, (unsigned long long)job->seed, job->kind, dgnn_status_name(o->status),
                o->status ? o->error.message : "", (long long)o->wrong_forward, (long long)o->wrong_reverse,
                o->adjoint, (long long)o->unequal);
        }
        right = right && good;
    }
    return right;
}

static const struct {
    struct brick_grid grid;
    int64_t natoms;
    int32_t nswap; /* by the contract; 0: none given */
} g7[] = {
    {{{1, 1, 1}, {6, 6, 6}, {1, 1, 1}, 2}, 12, 6},    {{{2, 1, 1}, {13, 13, 13}, {1, 1, 1}, 8}, 6, 8},
    {{{4, 1, 1}, {13, 13, 13}, {1, 1, 1}, 8}, 6, 10}, {{{2, 2, 2}, {13, 13, 13}, {1, 1, 1}, 8}, 6, 12},
    {{{2, 1, 1}, {30, 13, 13}, {1, 1, 1}, 8}, 6, 6},  {{{2, 2, 2}, {4, 4, 4}, {1, 1, 1}, 5}, 8, 18},
    {{{1, 1, 1}, {3, 3, 3}, {1, 1, 1}, 7}, 4, 18},    {{{4, 1, 1}, {13, 13, 13}, {0, 0, 0}, 8}, 30, 0},
    {{{2, 2, 1}, {9, 11, 7}, {1, 0, 1}, 4}, 40, 0},   {{{1, 2, 3}, {5, 6, 7}, {0, 1, 0}, 3}, 20, 0},
};

static void test_g7_bricks(void)
{
    for (size_t g = 0; g < sizeof(g7) / sizeof(g7[0]); g++) {
        const struct brick_grid *grid = &g7[g].grid;
        double x[64][3];
        uint64_t state = 100 + g;
        for (int64_t i = 0; i < g7[g].natoms; i++) {
            for (int d = 0; d < 3; d++) {
                x[i][d] = random_uniform(&state) * grid->box[d];
            }
        }
        struct brick_world *world = brick_create(grid, g7[g].natoms, (const double (*)[3])x);
        CHECK(g7[g].nswap == 0 || world->rank[0].border.nswap == g7[g].nswap);
        for (int32_t r = 0; r < world->nrank; r++) {
            const int32_t place[3] = {r / grid->ranks[2] / grid->ranks[1],
                                      r / grid->ranks[2] % grid->ranks[1], r % grid->ranks[2]};
            const struct brick_rank *rank = &world->rank[r];
            CHECK(rank->nnode - rank->nowned ==
                  g7_expected_ghosts(grid, place, g7[g].natoms, (const double (*)[3])x));
            CHECK(g7_wrong_places(grid, rank, (const double (*)[3])x) == 0);
        }
        for (int kind = 0; kind < 2; kind++) {
            struct case_job job = {.world = world, .shape = {3, 8}, .seed = g, .kind = kind};
            CHECK(case_job_right(&job));
        }
        brick_free(world);
    }
}

/* ------------------------------------------------------------------ random plans */

static struct brick_world *random_bricks(uint64_t *state)
{
    static const int32_t grids[][3] = {{1, 1, 1}, {2, 1, 1}, {1, 3, 1}, {2, 2, 1}, {4, 1, 1},
                                       {1, 1, 5}, {1, 2, 3}, {7, 1, 1}, {2, 2, 2}, {1, 4, 2}};
    struct brick_grid grid;
    memcpy(grid.ranks, grids[random_below(state, 10)], sizeof(grid.ranks));
    for (int d = 0; d < 3; d++) {
        grid.box[d] = 2 + 4 * random_uniform(state);
        grid.periodic[d] = random_below(state, 3) > 0;
    }
    grid.cutoff = 0.3 + 2.5 * random_uniform(state);
    int64_t natoms = random_below(state, 9);
    double x[8][3];
    for (int64_t i = 0; i < natoms; i++) {
        for (int d = 0; d < 3; d++) {
            x[i][d] = random_uniform(state) * grid.box[d];
        }
    }
    return brick_create(&grid, natoms, (const double (*)[3])x);
}

static void test_random_plans(int64_t nplan)
{
    static const int64_t widths[] = {1, 3, 64, 127, 128, 256};
    int64_t wrong = 0;
    int64_t relays = 0;
    for (int64_t i = 0; i < nplan; i++) {
        uint64_t state = (uint64_t)(1000 * i);
        struct brick_world *world = i % 2
                                        ? brick_create_random(1 + (int32_t)random_below(&state, 8),
                                                              (int32_t)random_below(&state, 10), (uint64_t)i)
                                        : random_bricks(&state);
        struct case_job job = {.world = world, .seed = (uint64_t)i, .kind = i / 2 % 2};
        job.shape.item_size = random_below(&state, 2) ? 8 : 4;
        /* Wide rows of large worlds would only take time. */
        job.shape.width = i % 2 ? widths[random_below(&state, 6)] : widths[random_below(&state, 2)];
        wrong += !case_job_right(&job);
        for (int32_t s = 0; s < world->rank[0].border.nswap; s++) {
            for (int32_t k = 0; k < world->rank[0].sendnum[s]; k++) {
                relays += world->rank[0].sendlist[s][k] >= world->rank[0].nowned;
            }
        }
        brick_free(world);
    }
    printf("random plans: %lld, wrong %lld, relayed rows on rank 0: %lld\n", (long long)nplan,
           (long long)wrong, (long long)relays);
    CHECK(wrong == 0);
    CHECK(relays > nplan / 10);
}

/* ------------------------------------------------------------------ counts, spin, memory */

/* Messages of a known border: two ranks, three swaps, one of them empty one way, one a self swap. */
static void test_counts(void)
{
    const double x[3][3] = {{1, 5, 5}, {4, 5, 5}, {9, 5, 5}};
    const struct brick_grid grid = {{2, 1, 1}, {10, 10, 10}, {1, 1, 1}, 2};
    struct brick_world *world = brick_create(&grid, 3, x);
    struct case_job job = {.world = world, .shape = {4, 8}, .kind = EXCHANGE_CASE_SWAPS};
    CHECK(case_job_right(&job));
    for (int32_t r = 0; r < 2; r++) {
        const struct dgnn_comm_count *count = &job.outcome[r].count;
        int64_t sent = 0, received = 0;
        for (int32_t s = 0; s < world->rank[r].border.nswap; s++) {
            sent += world->rank[r].sendproc[s] != r && world->rank[r].sendnum[s] > 0;
            received += world->rank[r].recvproc[s] != r && world->rank[r].recvnum[s] > 0;
        }
        /* exchange_case_run goes forward twice and back four times. */
        CHECK(count->forward_messages == 2 * sent);
        CHECK(count->reverse_messages == 4 * received);
        CHECK(count->position_messages == 0 && count->force_messages == 0);
        CHECK(sent + received > 0);
    }
    brick_free(world);
}

struct spin_job {
    const struct brick_world *world;
    int64_t wrong[8];
    int status[8];
};

/* Both rows of each atom arrive, through doubled swaps and through a doubled direct plan. */
static void spin_body(struct ranks_rank *rank)
{
    struct spin_job *job = rank->data;
    const struct brick_rank *r = &job->world->rank[rank->rank];
    struct dgnn_error local;
    struct dgnn_direct direct;
    struct dgnn_plan *plan = NULL, *plan_rows = NULL;
    struct dgnn_swaps *swaps = NULL, *swaps_rows = NULL;
    struct dgnn_exchange *x[2] = {NULL};
    double *rows = malloc((size_t)(2 * r->nnode + 1) * sizeof(double));
    brick_direct(job->world, rank->rank, &direct);
    int status = dgnn_plan_create(&direct, r->nowned, r->nnode, rank->rank, rank->nrank, &plan, &local);
    status = status ? status : dgnn_spin_plan(plan, &plan_rows, &local);
    status =
        status ? status
               : dgnn_swaps_create(&r->border, r->nowned, r->nnode, rank->rank, rank->nrank, &swaps, &local);
    status = status ? status : dgnn_spin_swaps(swaps, &swaps_rows, &local);
    status = status
                 ? status
                 : dgnn_exchange_create_direct(plan_rows, rank->comm, DGNN_EXCHANGE_FEATURES, &x[0], &local);
    status = status
                 ? status
                 : dgnn_exchange_create_swaps(swaps_rows, rank->comm, DGNN_EXCHANGE_FEATURES, &x[1], &local);
    for (int kind = 0; kind < 2 && !status; kind++) {
        for (int64_t i = 0; i < r->nnode; i++) {
            rows[dgnn_spin_real(i, r->nowned)] = i < r->nowned ? (double)r->id[i] : NAN;
            rows[dgnn_spin_virtual(i, r->nowned)] = i < r->nowned ? 1000.5 + (double)r->id[i] : NAN;
        }
        status = dgnn_exchange_forward_begin(x[kind], rows, 1, 8, &local);
        status = status ? status : dgnn_exchange_forward_end(x[kind], &local);
        status = status ? status : dgnn_exchange_settle(x[kind], &local);
        for (int64_t i = 0; i < r->nnode; i++) {
            job->wrong[rank->rank] += rows[dgnn_spin_real(i, r->nowned)] != (double)r->id[i];
            job->wrong[rank->rank] += rows[dgnn_spin_virtual(i, r->nowned)] != 1000.5 + (double)r->id[i];
        }
    }
    job->status[rank->rank] = status;
    dgnn_exchange_free(x[0]);
    dgnn_exchange_free(x[1]);
    dgnn_plan_free(plan);
    dgnn_plan_free(plan_rows);
    dgnn_swaps_free(swaps);
    dgnn_swaps_free(swaps_rows);
    brick_direct_free(&direct);
    free(rows);
}

static void test_spin_on_ranks(void)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct brick_world *world = brick_create_random(1 + (int32_t)(seed % 8), (int32_t)(seed % 7), seed);
        struct spin_job job = {.world = world};
        ranks_run(world->nrank, 20, spin_body, &job);
        for (int32_t r = 0; r < world->nrank; r++) {
            CHECK(job.status[r] == DGNN_OK && job.wrong[r] == 0);
        }
        brick_free(world);
    }
}

static void test_no_allocation_after_first_use(void)
{
    const double x[3][3] = {{1, 2, 3}, {3, 2, 1}, {2, 2, 2}};
    const struct brick_grid grid = {{1, 1, 1}, {4, 4, 4}, {1, 1, 1}, 3};
    struct brick_world *world = brick_create(&grid, 3, x);
    for (int kind = 0; kind < 2; kind++) {
        struct case_job job = {.world = world, .shape = {16, 4}, .kind = kind};
        CHECK(case_job_right(&job));
        CHECK(job.outcome[0].allocations == 0);
    }
    brick_free(world);
}

/* More arrays than lanes, a few of them often: the oldest lanes go, others are used again, with one width and
 * another, and the buffer moves under them. */
static void many_body(struct ranks_rank *rank)
{
    const struct brick_world *world = ((struct case_job *)rank->data)->world;
    struct exchange_case_outcome *outcome = &((struct case_job *)rank->data)->outcome[rank->rank];
    const struct brick_rank *r = &world->rank[rank->rank];
    struct dgnn_swaps *swaps = NULL;
    struct dgnn_exchange *x = NULL;
    enum { ARRAYS = DGNN_EXCHANGE_CHANNELS + 9 };
    double *rows = malloc((size_t)(ARRAYS * r->nnode * 8 + 1) * sizeof(double));
    int status =
        dgnn_swaps_create(&r->border, r->nowned, r->nnode, rank->rank, rank->nrank, &swaps, &outcome->error);
    status = status
                 ? status
                 : dgnn_exchange_create_swaps(swaps, rank->comm, DGNN_EXCHANGE_GEOMETRY, &x, &outcome->error);
    for (int i = 0; i < 3 * ARRAYS && !status; i++) {
        const struct exchange_case c = {world, rank->rank, {i % 2 ? 1 : 1 + i / 30, 8}, (uint64_t)i};
        double *these = rows + (i % 3 ? random_hash(i) % 4 : (uint64_t)i % ARRAYS) * r->nnode * 8;
        exchange_case_fill_forward(&c, these);
        status = dgnn_exchange_forward_begin(x, these, c.shape.width, 8, &outcome->error);
        status = status ? status : dgnn_exchange_forward_end(x, &outcome->error);
        outcome->wrong_forward += exchange_case_wrong_forward(&c, these);
    }
    outcome->status = status ? status : dgnn_exchange_settle(x, &outcome->error);
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
    free(rows);
}

static void test_many_arrays(void)
{
    struct brick_world *world = brick_create_random(3, 7, 4);
    struct case_job job = {.world = world};
    ranks_run(3, 20, many_body, &job);
    for (int32_t r = 0; r < 3; r++) {
        CHECK(job.outcome[r].status == DGNN_OK && job.outcome[r].wrong_forward == 0);
    }
    brick_free(world);
}

/* As many arrays as a network of 150 layers exchanges: once prepared, none of their requests is made again,
 * although the widest comes last and moves the buffer. */
static void layers_body(struct ranks_rank *rank)
{
    enum { LAYERS = 150 };
    const struct brick_world *world = ((struct case_job *)rank->data)->world;
    struct exchange_case_outcome *outcome = &((struct case_job *)rank->data)->outcome[rank->rank];
    const struct brick_rank *r = &world->rank[rank->rank];
    struct dgnn_swaps *swaps = NULL;
    struct dgnn_exchange *x = NULL;
    struct dgnn_error *local = &outcome->error;
    double *rows = malloc((size_t)(LAYERS * r->nnode * 8 + 1) * sizeof(double));
    int64_t before = 0;
    int status = dgnn_swaps_create(&r->border, r->nowned, r->nnode, rank->rank, rank->nrank, &swaps, local);
    status =
        status ? status : dgnn_exchange_create_swaps(swaps, rank->comm, DGNN_EXCHANGE_FEATURES, &x, local);
    for (int round = 0; round < 3 && !status; round++) {
        for (int i = 0; i < LAYERS && !status; i++) {
            status =
                dgnn_exchange_prepare(x, rows + i * r->nnode * 8, i < LAYERS - 1 ? 1 + i % 7 : 8, 8, local);
        }
        status = dgnn_transport_agree(rank->comm, "layers", status, local);
        before = round == 0 ? dgnn_alloc_count() : before;
        status = status ? status : dgnn_transport_agree(rank->comm, "layers", status, local);
        for (int i = 0; i < LAYERS && !status; i++) {
            const struct exchange_case c = {
                world, rank->rank, {i < LAYERS - 1 ? 1 + i % 7 : 8, 8}, (uint64_t)i};
            double *these = rows + i * r->nnode * 8;
            exchange_case_fill_forward(&c, these);
            status = dgnn_exchange_forward_begin(x, these, c.shape.width, 8, local);
            status = status ? status : dgnn_exchange_forward_end(x, local);
            outcome->wrong_forward += exchange_case_wrong_forward(&c, these);
        }
        status = status ? status : dgnn_exchange_settle(x, local);
    }
    status = status ? status : dgnn_transport_agree(rank->comm, "layers", status, local);
    outcome->allocations = dgnn_alloc_count() - before;
    outcome->status = status ? status : dgnn_transport_agree(rank->comm, "layers", status, local);
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
    free(rows);
}

static void test_many_layers(void)
{
    struct brick_world *world = brick_create_random(5, 7, 4);
    struct case_job job = {.world = world};
    ranks_run(world->nrank, 20, layers_body, &job);
    for (int32_t r = 0; r < world->nrank; r++) {
        CHECK_STATUS((error = job.outcome[r].error, job.outcome[r].status), DGNN_OK, "");
        CHECK(job.outcome[r].wrong_forward == 0 && job.outcome[r].allocations == 0);
    }
    CHECK(world->nrank > 1);
    brick_free(world);
}

/* Each allocation fails once: an error, nothing leaked. */
static void test_memory(void)
{
    const double x[2][3] = {{1, 2, 3}, {3, 2, 1}};
    const struct brick_grid grid = {{1, 1, 1}, {4, 4, 4}, {1, 1, 1}, 1.5};
    struct brick_world *world = brick_create(&grid, 2, x);
    const struct exchange_case c = {world, 0, {2, 8}, 1};
    for (int kind = 0; kind < 2; kind++) {
        int64_t live = dgnn_alloc_live();
        int64_t before = dgnn_alloc_count();
        struct exchange_case_outcome outcome;
        exchange_case_run(&c, kind, NULL, &outcome);
        CHECK(outcome.status == DGNN_OK && outcome.wrong_forward == 0 && outcome.wrong_reverse == 0);
        int64_t needed = dgnn_alloc_count() - before;
        for (int64_t k = 1; k <= needed; k++) {
            dgnn_alloc_fail_at(k, 0);
            exchange_case_run(&c, kind, NULL, &outcome);
            CHECK(outcome.status == DGNN_ERROR_MEMORY);
            CHECK(dgnn_alloc_live() == live);
        }
        dgnn_alloc_fail_at(0, 0);
    }
    brick_free(world);
}

int main(void)
{
    const char *plans = getenv("DGNN_TEST_PLANS");
    test_g1_self_swap();
    test_g2_relay();
    test_g3_two_ranks();
    test_g4_spin();
    test_own_neighbour();
    test_misuse();
    test_g7_bricks();
    test_random_plans(plans ? atoll(plans) : 4000);
    test_counts();
    test_spin_on_ranks();
    test_no_allocation_after_first_use();
    test_many_arrays();
    test_many_layers();
    test_memory();
    return check_report();
}
