/* Bricks and halos: balance, ghosts no more than atoms within reach, and none missing in skewed cells. */
#include <float.h>

#include "check.h"
#include "ranks.h"
#include "system/domain.h"
#include "system_case.h"

/* ------------------------------------------------------------------ a large box of water's density */

enum { BOX_ATOMS = 12288, BOX_RANKS = 8 };

struct large {
    struct dgnn_system system;
    double cutoff, skin;
    struct dgnn_domain domain[BOX_RANKS];
    int32_t status[BOX_RANKS];
};

static void large_body(struct ranks_rank *rank)
{
    struct large *l = rank->data;
    struct dgnn_error error;
    int64_t begin = l->system.natoms * rank->rank / rank->nrank, end = l->system.natoms * (rank->rank + 1) / rank->nrank;
    struct dgnn_system mine = l->system;
    mine.coords += 3 * begin;
    mine.types += begin;
    mine.natoms = end - begin;
    struct dgnn_domain_input input = {
        .system = &mine, .dtype = 2, .ntypes = 2, .cutoff = l->cutoff, .skin = l->skin};
    l->status[rank->rank] = dgnn_domain_update(&l->domain[rank->rank], &input, rank->comm, DGNN_OK, &error);
}

/* Atoms of other ranks within the cutoff of the box around a rank's atoms; the cell is rectangular. */
static int64_t large_within(const struct large *l, const struct dgnn_domain *d)
{
    double low[3] = {DBL_MAX, DBL_MAX, DBL_MAX}, high[3] = {-DBL_MAX, -DBL_MAX, -DBL_MAX};
    int64_t within = 0;
    for (int64_t i = 0; i < d->nodes.nowned; i++) {
        for (int k = 0; k < 3; k++) {
            low[k] = fmin(low[k], d->nodes.positions[3 * i + k]);
            high[k] = fmax(high[k], d->nodes.positions[3 * i + k]);
        }
    }
    for (int64_t j = 0; j < l->system.natoms; j++) {
        double square = 0;
        for (int k = 0; k < 3; k++) {
            double edge = l->system.box[4 * k], least = DBL_MAX;
            for (int image = -1; image <= 1; image++) {
                double x = l->system.coords[3 * j + k] + image * edge;
                least = fmin(least, fmax(0, fmax(low[k] - x, x - high[k])));
            }
            square += least * least;
        }
        within += square <= l->cutoff * l->cutoff;
    }
    return within - d->nodes.nowned;
}

static void test_large(int32_t nrank, int32_t forced, const int32_t expected[3], const double stretch[3])
{
    uint64_t seed = 5;
    struct large l = {.cutoff = 6};
    double *x = calloc(3 * BOX_ATOMS, sizeof(*x)), box[9] = {0};
    int32_t *types = calloc(BOX_ATOMS, sizeof(*types));
    for (int k = 0; k < 3; k++) {
        box[4 * k] = 49.7 * stretch[k];
    }
    for (int64_t i = 0; i < 3 * BOX_ATOMS; i++) {
        x[i] = system_between(&seed, 0, box[4 * (i % 3)]);
    }
    l.system = (struct dgnn_system){
        .size = sizeof(l.system), .natoms = BOX_ATOMS, .coords = x, .types = types, .box = box, .pbc = {1, 1, 1}};
    if (forced) {
        memcpy(l.system.grid, expected, sizeof(l.system.grid));
    }
    ranks_run(nrank, 60, large_body, &l);
    int64_t total = 0;
    for (int32_t r = 0; r < nrank; r++) {
        const struct dgnn_domain *d = &l.domain[r];
        int64_t ghosts = d->nodes.nnode - d->nodes.nowned, within = large_within(&l, d);
        CHECK(l.status[r] == DGNN_OK);
        CHECK(!memcmp(d->bricks.grid, expected, sizeof(d->bricks.grid)));
        CHECK(ghosts >= within && (double)ghosts <= 1.05 * (double)within);
        CHECK_NEAR((double)d->nodes.nowned, (double)BOX_ATOMS / nrank, 0.02 * BOX_ATOMS / nrank);
        total += d->nodes.nowned;
        for (int64_t i = 1; i < d->nodes.nowned; i++) {
            CHECK(d->nodes.ids[i] > d->nodes.ids[i - 1]);
        }
    }
    CHECK(total == BOX_ATOMS);
    for (int32_t r = 0; r < nrank; r++) {
        dgnn_domain_free(&l.domain[r]);
    }
    free(x);
    free(types);
}

/* ------------------------------------------------------------------ halos by brute force */

/* Least distance between two sets of points over images: what must be found. */
static int near_any(const struct dgnn_cell *cell, const double *x, const double *others, int64_t n, double reach)
{
    for (int64_t j = 0; j < n; j++) {
        for (int image = 0; image < 7 * 7 * 7; image++) {
            int s[3] = {image % 7 - 3, image / 7 % 7 - 3, image / 49 - 3};
            double square = 0;
            int skip = 0;
            for (int c = 0; c < 3; c++) {
                double d = x[c] - others[3 * j + c];
                for (int k = 0; k < 3; k++) {
                    skip |= s[k] && !cell->pbc[k];
                    d += s[k] * cell->h[3 * k + c];
                }
                square += d * d;
            }
            if (!skip && square <= reach * reach) {
                return 1;
            }
        }
    }
    return 0;
}

/* Every atom near one of another rank's atoms is found; every one found is near the other rank's box, by sampling. */
static void test_skewed(uint64_t seed)
{
    struct system_case s = {0};
    struct dgnn_cell cell;
    struct dgnn_error error;
    struct dgnn_halo halo = {0};
    struct dgnn_halo_box box[2];
    enum { N = 24 };
    system_create(&s, 2 * N, 0.05, system_between(&seed, 0, 1), 2, SYSTEM_GAS, &seed);
    CHECK_STATUS(dgnn_cell_set(&cell, s.box, s.pbc, &error), DGNN_OK, "");
    struct dgnn_cell_wrapped wrapped = {.positions = s.x};
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2 * N, s.x, &wrapped, &error), DGNN_OK, "");
    for (int64_t i = 0; i < 2 * N; i++) { /* the second half keeps to a corner */
        for (int c = 0; c < 3; c++) {
            s.x[3 * i + c] *= i < N ? 1 : 0.4;
        }
    }
    struct dgnn_halo_input input = {.cell = &cell, .reach = system_between(&seed, 0.5, 4), .n = N, .positions = s.x,
                                    .nbox = 2, .box = box};
    dgnn_halo_box(&cell, N, s.x, &box[0]);
    dgnn_halo_box(&cell, N, s.x + 3 * N, &box[1]);
    CHECK_STATUS(dgnn_halo_find(&halo, &input, &error), DGNN_OK, "");
    CHECK(halo.first[1] == 0);
    double *grid = calloc(3 * 21 * 21 * 21, sizeof(*grid)); /* points of the box, for the other way */
    int64_t ngrid = 0;
    for (int k = 0; k < 21 * 21 * 21; k++, ngrid++) {
        int g[3] = {k % 21, k / 21 % 21, k / 441};
        for (int a = 0; a < 3; a++) {
            double f = box[1].low[a] + (box[1].high[a] - box[1].low[a]) * g[a] / 20;
            for (int c = 0; c < 3; c++) {
                grid[3 * ngrid + c] += f * cell.h[3 * a + c];
            }
        }
    }
    int64_t k = 0;
    for (int64_t i = 0; i < N; i++) {
        int found = k < halo.first[2] && halo.row[k] == i;
        k += found;
        CHECK(found || !near_any(&cell, s.x + 3 * i, s.x + 3 * N, N, input.reach));
        CHECK(!found || near_any(&cell, s.x + 3 * i, grid, ngrid, input.reach + 0.6));
    }
    CHECK(k == halo.first[2]);
    free(grid);
    dgnn_halo_free(&halo);
    system_free(&s);
}

int main(void)
{
    /* A whole axis has no ghosts: slabs beat cubes where ranks are few. */
    test_large(8, 0, (const int32_t[]){4, 2, 1}, (const double[]){1, 1, 1});
    test_large(8, 1, (const int32_t[]){2, 2, 2}, (const double[]){1, 1, 1});
    test_large(4, 0, (const int32_t[]){4, 1, 1}, (const double[]){1, 1, 1});
    test_large(4, 1, (const int32_t[]){2, 2, 1}, (const double[]){1, 1, 1});
    test_large(6, 0, (const int32_t[]){1, 1, 6}, (const double[]){0.5, 0.4, 5});
    for (uint64_t k = 0; k < 12; k++) {
        test_skewed(1000 * k);
    }
    return check_report();
}
