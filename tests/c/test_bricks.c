/* Who owns an atom on the faces of bricks and of the cell, or outside of it: one rank, the same on all, and
 * for each of its images. And: bricks have equal work, whoever passes the atoms. */
#include "system/bricks.h"

#include "check.h"
#include "random.h"
#include "ranks.h"

enum { MAX_RANKS = 90, NSEED = 512, NPOINT = 3136 }; /* points: for each of 32 worlds, 100,352 in all */

struct world {
    struct dgnn_cell cell;
    int32_t grid[3], nrank;
    double reach;          /* 0: all are near, so that all know all cuts */
    double (*fraction)[3]; /* NSEED atoms, which the cuts are made for */
    int64_t *cost;         /* of each, or NULL */
    struct dgnn_bricks bricks[MAX_RANKS];
    int status[MAX_RANKS];
};

/* Multiples of 2^-20: with lattice vectors that are binary fractions too, each place and its image a thousand
 * cells away is exact. */
static double coarse(double fraction)
{
    return round(fraction * 0x1p20) * 0x1p-20;
}

static void world_cut(struct ranks_rank *rank)
{
    struct world *w = rank->data;
    struct dgnn_bricks *b = &w->bricks[rank->rank];
    struct dgnn_error error;
    int32_t begin = NSEED * rank->rank / w->nrank, n = NSEED * (rank->rank + 1) / w->nrank - begin;
    for (int k = 0; k < 3; k++) {
        b->low[k] = 0;
        b->high[k] = 1;
    }
    b->reach = w->reach > 0 ? w->reach : 1000;
    int status = dgnn_bricks_choose(b, &w->cell, 1.0, w->nrank, w->grid, &error);
    status = status ? status : dgnn_bricks_reserve(b, &error);
    const int64_t *cost = w->cost ? w->cost + begin : NULL;
    w->status[rank->rank] = status
                                ? status
                                : dgnn_bricks_cut(b, &(struct dgnn_bricks_atoms){n, w->fraction[begin], cost},
                                                  rank->comm, &error);
}

/* The cuts of all ranks are the same bits; then they are made coarse, if wanted. */
static void world_make(struct world *w, int is_coarse)
{
    ranks_run(w->nrank, 60, world_cut, w);
    for (int32_t r = 0; r < w->nrank; r++) {
        int64_t boxes = 1;
        CHECK(w->status[r] == DGNN_OK);
        for (int k = 0; k < 3; k++) {
            int64_t n = boxes * (w->grid[k] - 1);
            CHECK(!n || !memcmp(w->bricks[r].cut[k], w->bricks[0].cut[k], sizeof(double) * (size_t)n));
            boxes *= w->grid[k];
            for (int64_t c = 0; c < n && is_coarse && r == w->nrank - 1; c++) {
                w->bricks[0].cut[k][c] = coarse(w->bricks[0].cut[k][c]);
            }
        }
    }
}

static double on_axis(const struct world *w, int axis, const double *cut, uint64_t *seed)
{
    static const double places[] = {0, -0.0, 0.5, 1 - 0x1p-20};
    int32_t n = w->grid[axis] - 1;
    int64_t kind = random_below(seed, 8);
    if (kind >= 4 && n) {
        return cut[random_below(seed, n)];
    }
    return kind < 4 ? places[kind] : coarse(random_uniform(seed) * 0.999);
}

/* A place on faces of the bricks and of the cell, or none. */
static void point_make(const struct world *w, uint64_t *seed, double f[3])
{
    int64_t box = 0;
    for (int k = 0; k < 3; k++) {
        const double *cut = w->bricks[0].cut[k] + box * (w->grid[k] - 1);
        f[k] = on_axis(w, k, cut, seed);
        int32_t part = 0;
        while (part < w->grid[k] - 1 && cut[part] <= f[k]) {
            part++;
        }
        box = box * w->grid[k] + part;
    }
}

/* Of the bricks, each with its lower faces and without its upper ones: how many have the place; *rank: the
 * last of them. */
static int point_owners(const struct world *w, const double f[3], int32_t *rank, double *nearest)
{
    int owners = 0;
    *nearest = 1;
    for (int32_t r = 0; r < w->nrank; r++) {
        const struct dgnn_bricks *b = &w->bricks[0];
        int32_t last = b->grid[2], middle = b->grid[1],
                part[3] = {r / last / middle, r / last % middle, r % last};
        int64_t box = 0;
        int inside = 1;
        for (int k = 0; k < 3; k++) {
            const double *cut = b->cut[k] + box * (b->grid[k] - 1);
            double low = part[k] ? cut[part[k] - 1] : -INFINITY,
                   high = part[k] < b->grid[k] - 1 ? cut[part[k]] : INFINITY;
            inside = inside && low <= f[k] && f[k] < high;
            *nearest = fmin(*nearest, fmin(fabs(f[k] - low), fabs(f[k] - high)));
            box = box * b->grid[k] + part[k];
        }
        for (int k = 0; k < 3; k++) {
            *nearest = w->cell.pbc[k] ? fmin(*nearest, fmin(fabs(f[k]), fabs(f[k] - 1))) : *nearest;
        }
        *rank = inside ? r : *rank;
        owners += inside;
    }
    return owners;
}

/* The fraction of the image of f that is shift cells away, wrapped; twice changes nothing. */
static int image_wrap(const struct world *w, const double f[3], const double shift[3], double fraction[3])
{
    double x[3] = {0}, again[3];
    struct dgnn_error error;
    struct dgnn_cell_wrapped wrapped = {.positions = x, .fractions = fraction};
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 3; c++) {
            x[c] += (f[k] + shift[k]) * w->cell.h[3 * k + c];
        }
    }
    int status = dgnn_cell_wrap(&w->cell, 1, x, &wrapped, &error);
    wrapped.fractions = again;
    status = status ? status : dgnn_cell_wrap(&w->cell, 1, x, &wrapped, &error);
    for (int k = 0; k < 3; k++) {
        status =
            status ? status : w->cell.pbc[k] && (fraction[k] < 0 || fraction[k] >= 1 || signbit(fraction[k]));
        status = status ? status
                        : fabs(again[k] - fraction[k]) > 1e-12 && fabs(again[k] - fraction[k]) < 1 - 1e-12;
    }
    return status;
}

struct tally {
    int64_t count[MAX_RANKS], faces, moved;
};

/* The number of things wrong. */
static int point_check(const struct world *w, int is_exact, uint64_t *seed, struct tally *t)
{
    static const double out[] = {0, 1, -1, 1000, -1000};
    double f[3], image[3], shift[3], nearest, ignored;
    int32_t owner = -1, expected = -1;
    point_make(w, seed, f);
    int wrong = image_wrap(w, f, (const double[3]){0, 0, 0}, image) != 0;
    owner = dgnn_bricks_rank(&w->bricks[0], image);
    wrong += point_owners(w, image, &expected, &nearest) != 1 || owner != expected || owner < 0 ||
             owner >= w->nrank;
    for (int32_t r = 1; r < w->nrank && !is_exact; r++) {
        wrong += dgnn_bricks_rank(&w->bricks[r], image) != owner;
    }
    t->count[wrong ? 0 : owner]++;
    t->faces += nearest < 1e-12;
    for (int k = 0; k < 3; k++) {
        shift[k] = w->cell.pbc[k] ? out[random_below(seed, 5)] : 0;
    }
    wrong += image_wrap(w, f, shift, image) != 0;
    int moved = dgnn_bricks_rank(&w->bricks[0], image) != owner;
    wrong += point_owners(w, image, &expected, &ignored) != 1;
    t->moved += moved;
    return wrong + (moved && (is_exact || nearest > 1e-11));
}

/* cell 0 and 1 are exact; in 2 a place on a face may round to either side of it. Returns images that did. */
static int64_t test_world(int cell, const int32_t grid[3], uint64_t seed)
{
    static const double boxes[3][9] = {{8, 0, 0, 0, 4, 0, 0, 0, 16},
                                       {8, 0, 0, 2, 4, 0, -1, 1, 16},
                                       {7.3, 0, 0, 1.1, 6.9, 0, -0.7, 0.9, 8.1}};
    int32_t pbc[3], open = random_below(&seed, 2) ? (int32_t)random_below(&seed, 8) : 0;
    struct world w = {.grid = {grid[0], grid[1], grid[2]}, .nrank = grid[0] * grid[1] * grid[2]};
    struct dgnn_error error;
    struct tally tally = {{0}, 0, 0};
    int64_t sum = 0, wrong = 0;
    for (int k = 0; k < 3; k++) {
        pbc[k] = !(open >> k & 1);
    }
    CHECK_STATUS(dgnn_cell_set(&w.cell, boxes[cell], pbc, &error), DGNN_OK, "");
    w.fraction = calloc(NSEED, sizeof(*w.fraction));
    for (int i = 0; i < NSEED; i++) {
        for (int k = 0; k < 3; k++) {
            w.fraction[i][k] = random_uniform(&seed);
        }
    }
    world_make(&w, cell < 2);
    for (int i = 0; i < NPOINT; i++) {
        wrong += point_check(&w, cell < 2, &seed, &tally);
    }
    for (int32_t r = 0; r < w.nrank; r++) {
        CHECK(tally.count[r] > 0);
        sum += tally.count[r];
        dgnn_bricks_free(&w.bricks[r]);
    }
    CHECK(wrong == 0);
    CHECK(sum == NPOINT && tally.faces > NPOINT / 2);
    free(w.fraction);
    return tally.moved;
}

/* The most work of a rank over the mean. */
static double cost_most(const struct world *w, const int64_t *cost)
{
    int64_t sum[MAX_RANKS] = {0}, all = 0, most = 0;
    for (int i = 0; i < NSEED; i++) {
        sum[dgnn_bricks_rank(&w->bricks[0], w->fraction[i])] += cost[i];
        all += cost[i];
    }
    for (int32_t r = 0; r < w->nrank; r++) {
        most = sum[r] > most ? sum[r] : most;
    }
    return (double)(most * w->nrank) / (double)all;
}

/* A third of the atoms cost twenty times as much as the others, and lie together. */
static void test_cost(const int32_t grid[3], uint64_t seed)
{
    static const double box[9] = {8, 0, 0, 0, 8, 0, 0, 0, 8};
    static const int32_t pbc[3] = {1, 1, 1};
    static double fraction[2][NSEED][3];
    static int64_t cost[2][NSEED];
    struct world w[3];
    struct dgnn_error error;
    for (int i = 0; i < NSEED; i++) {
        int last = NSEED - 1 - i;
        for (int k = 0; k < 3; k++) {
            fraction[0][i][k] = fraction[1][last][k] = random_uniform(&seed);
        }
        cost[0][i] = cost[1][last] =
            fraction[0][i][0] + fraction[0][i][1] + fraction[0][i][2] < 1.3 ? 2000000000 : 100000000;
    }
    for (int k = 0; k < 3; k++) { /* with work; the same atoms passed by others; without */
        w[k] = (struct world){.grid = {grid[0], grid[1], grid[2]},
                              .nrank = grid[0] * grid[1] * grid[2],
                              .fraction = fraction[k % 2],
                              .cost = k < 2 ? cost[k] : NULL};
        CHECK_STATUS(dgnn_cell_set(&w[k].cell, box, pbc, &error), DGNN_OK, "");
        world_make(&w[k], 0);
    }
    int64_t boxes = 1;
    for (int k = 0; k < 3; k++) {
        CHECK(!memcmp(w[0].bricks[0].cut[k], w[1].bricks[0].cut[k],
                      sizeof(double) * (size_t)(boxes * (grid[k] - 1))));
        boxes *= grid[k];
    }
    CHECK(cost_most(&w[0], cost[0]) < 1.1);
    CHECK(cost_most(&w[2], cost[0]) > 1.3);
    for (int k = 0; k < 3; k++) {
        for (int32_t r = 0; r < w[k].nrank; r++) {
            dgnn_bricks_free(&w[k].bricks[r]);
        }
    }
}

/* ------------------------------------------------------------------ who knows what */

/* The interval of axis k that a rank's brick has, from the cuts of a rank that knows all. */
static void brick_side(const struct dgnn_bricks *b, int32_t rank, int axis, double side[2])
{
    int32_t last = b->grid[2], middle = b->grid[1],
            part[3] = {rank / last / middle, rank / last % middle, rank % last};
    int64_t box = 0;
    for (int k = 0; k < axis; k++) {
        box = box * b->grid[k] + part[k];
    }
    const double *cut = b->cut[axis] + box * (b->grid[axis] - 1);
    side[0] = part[axis] > 0 ? cut[part[axis] - 1] : b->low[axis];
    side[1] = part[axis] < b->grid[axis] - 1 ? cut[part[axis]] : b->high[axis];
}

/* By the largest of the gaps along the axes, in fractions, over images. */
static int bricks_touch(const struct world *w, const struct dgnn_bricks *b, int32_t one, int32_t other)
{
    for (int k = 0; k < 3; k++) {
        double a[2], c[2], gap = INFINITY;
        brick_side(b, one, k, a);
        brick_side(b, other, k, c);
        for (int shift = -3; shift <= 3; shift++) {
            double s = w->cell.pbc[k] ? shift : 0;
            gap = fmin(gap, fmax(fmax(c[0] + s - a[1], a[0] - c[1] - s), 0));
        }
        if (gap * w->cell.spacing[k] > w->reach) {
            return 0;
        }
    }
    return 1;
}

/* Ranks that know the cuts of near boxes alone have the bits of ranks that know all, where they look. spread:
 * atoms are passed by any rank; else by one whose share of the list lies together. */
static void test_near(const int32_t grid[3], double reach, int open, int is_spread, uint64_t seed)
{
    static const double box[9] = {20, 0, 0, 3, 18, 0, -2, 1, 22};
    const int32_t pbc[3] = {!(open & 1), !(open & 2), !(open & 4)};
    struct world all = {.grid = {grid[0], grid[1], grid[2]}, .nrank = grid[0] * grid[1] * grid[2]}, few;
    struct dgnn_error error;
    int64_t wrong = 0, near = 0;
    CHECK_STATUS(dgnn_cell_set(&all.cell, box, pbc, &error), DGNN_OK, "");
    all.fraction = calloc(NSEED, sizeof(*all.fraction));
    for (int i = 0; i < NSEED; i++) {
        for (int k = 0; k < 3; k++) {
            all.fraction[i][k] =
                k == 0 && !is_spread ? (i + random_uniform(&seed)) / NSEED : random_uniform(&seed);
        }
    }
    few = all;
    few.reach = reach;
    ranks_run(all.nrank, 60, world_cut, &all);
    ranks_run(few.nrank, 60, world_cut, &few);
    for (int32_t r = 0; r < few.nrank; r++) {
        wrong += few.status[r] != DGNN_OK || all.status[r] != DGNN_OK;
        for (int64_t i = (int64_t)NSEED * r / few.nrank; i < (int64_t)NSEED * (r + 1) / few.nrank; i++) {
            wrong += dgnn_bricks_rank(&few.bricks[r], few.fraction[i]) !=
                     dgnn_bricks_rank(&all.bricks[0], few.fraction[i]);
        }
        for (int32_t other = 0; other < few.nrank; other++) {
            int is_near = dgnn_bricks_near(&few.bricks[r], r, other);
            wrong += is_near != dgnn_bricks_near(&few.bricks[other], other, r);
            wrong += is_near != bricks_touch(&few, &all.bricks[0], r, other);
            near += is_near;
        }
    }
    CHECK(wrong == 0);
    CHECK(reach > 5 || near < (int64_t)few.nrank * few.nrank / 2);
    for (int32_t r = 0; r < few.nrank; r++) {
        dgnn_bricks_free(&few.bricks[r]);
        dgnn_bricks_free(&all.bricks[r]);
    }
    free(all.fraction);
}

int main(void)
{
    static const int32_t grids[][3] = {{2, 1, 1}, {1, 2, 2}, {2, 2, 2}, {3, 2, 1},
                                       {1, 1, 7}, {4, 2, 1}, {5, 1, 1}, {1, 8, 1}};
    int64_t moved[3] = {0};
    for (uint64_t k = 0; k < 32; k++) {
        int cell = (int)(k / 8) % 3;
        moved[cell] += test_world(cell, grids[k % 8], 1000 * (k + 1));
    }
    CHECK(moved[0] == 0 && moved[1] == 0 && moved[2] > 0);
    for (uint64_t k = 0; k < 8; k++) {
        test_cost(grids[k], k);
    }
    static const int32_t large[][3] = {{5, 6, 3}, {1, 9, 2}, {3, 1, 11}, {4, 4, 4}, {1, 1, 17}, {2, 2, 3}};
    for (uint64_t k = 0; k < 6; k++) {
        test_near(large[k], k == 5 ? 8 : 0.7, k % 2 ? 0 : (int)k + 1, k % 2 == 0, k);
    }
    return check_report();
}
