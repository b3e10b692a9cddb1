/* Bricks and halos: balance, ghosts no more than atoms within reach, and none missing in skewed cells. */
#include <float.h>
#include <malloc.h>

#include "check.h"
#include "geom/order.h"
#include "ranks.h"
#include "system/domain.h"
#include "system_case.h"

/* ------------------------------------------------------------------ a large box of water's density */

enum { BOX_ATOMS = 12288, BOX_RANKS = 8 };

struct large {
    struct dgnn_system system; /* of what follows */
    double *x;
    int32_t *types;
    double cutoff, skin;
    struct dgnn_domain domain[BOX_RANKS];
    int32_t status[BOX_RANKS];
};

static void large_body(struct ranks_rank *rank)
{
    struct large *l = rank->data;
    struct dgnn_error error;
    int64_t begin = l->system.natoms * rank->rank / rank->nrank,
            end = l->system.natoms * (rank->rank + 1) / rank->nrank;
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

/* Rows, balance and ghosts of all ranks. */
static void large_check(const struct large *l, int32_t nrank, const int32_t grid[3])
{
    int64_t total = 0;
    for (int32_t r = 0; r < nrank; r++) {
        const struct dgnn_domain *d = &l->domain[r];
        int64_t ghosts = d->nodes.nnode - d->nodes.nowned, within = large_within(l, d);
        CHECK(l->status[r] == DGNN_OK);
        CHECK(!memcmp(d->bricks.grid, grid, sizeof(d->bricks.grid)));
        CHECK(ghosts >= within && (double)ghosts <= 1.05 * (double)within);
        double share = (double)l->system.natoms / nrank;
        CHECK_NEAR((double)d->nodes.nowned, share, 0.02 * share);
        total += d->nodes.nowned;
        uint64_t *key = calloc((size_t)d->nodes.nowned, sizeof(*key));
        dgnn_order_curve(d->nodes.positions, d->nodes.nowned, key);
        for (int64_t i = 0; i < d->nodes.nowned;
             i++) { /* rows are along the curve, by id where it does not tell */
            CHECK((int64_t)(key[i] & UINT32_MAX) == i);
            CHECK(!i || key[i] >> 32 != key[i - 1] >> 32 || d->nodes.ids[i] > d->nodes.ids[i - 1]);
        }
        free(key);
    }
    CHECK(total == l->system.natoms);
}

static void large_create(struct large *l, int64_t natoms, const double lengths[3])
{
    double *box = calloc(9, sizeof(*box));
    for (int k = 0; k < 3; k++) {
        box[4 * k] = lengths[k];
    }
    l->system = (struct dgnn_system){.size = sizeof(l->system),
                                     .natoms = natoms,
                                     .coords = l->x = calloc((size_t)(3 * natoms), sizeof(double)),
                                     .types = l->types = calloc((size_t)natoms, sizeof(int32_t)),
                                     .box = box,
                                     .pbc = {1, 1, 1}};
}

static void large_free(struct large *l)
{
    for (int32_t r = 0; r < BOX_RANKS; r++) {
        dgnn_domain_free(&l->domain[r]);
    }
    free((void *)(uintptr_t)l->system.box);
    free(l->x);
    free(l->types);
}

static void test_large(int32_t nrank, int32_t forced, const int32_t expected[3], const double stretch[3])
{
    uint64_t seed = 5;
    struct large l = {.cutoff = 6};
    const double lengths[3] = {49.7 * stretch[0], 49.7 * stretch[1], 49.7 * stretch[2]};
    large_create(&l, BOX_ATOMS, lengths);
    for (int64_t i = 0; i < 3 * BOX_ATOMS; i++) {
        l.x[i] = system_between(&seed, 0, lengths[i % 3]);
    }
    if (forced) {
        memcpy(l.system.grid, expected, sizeof(l.system.grid));
    }
    ranks_run(nrank, 60, large_body, &l);
    large_check(&l, nrank, expected);
    large_free(&l);
}

/* ------------------------------------------------------------------ water, 8:1:1 */

/* Molecules on a lattice of 3.107 Angstrom, shaken, each turned at random; passed in no order of space. */
static void large_water(struct large *l, int64_t across, int64_t along)
{
    const double spacing = 3.107, lengths[3] = {spacing * along, spacing * across, spacing * across};
    int64_t nmolecule = along * across * across;
    uint64_t seed = 9;
    large_create(l, 3 * nmolecule, lengths);
    for (int64_t k = 0; k < nmolecule; k++) {
        int64_t site = k * 1543 % nmolecule;
        const int64_t place[3] = {site / (across * across), site / across % across, site % across};
        for (int atom = 0; atom < 3; atom++) {
            double direction[3], length = 0;
            for (int c = 0; c < 3; c++) {
                direction[c] = system_between(&seed, -1, 1);
                length += direction[c] * direction[c];
                l->x[9 * k + 3 * atom + c] =
                    atom ? l->x[9 * k + c] : spacing * ((double)place[c] + system_between(&seed, 0.35, 0.65));
            }
            for (int c = 0; c < 3 && atom; c++) {
                l->x[9 * k + 3 * atom + c] += 0.96 * direction[c] / sqrt(length);
            }
            l->types[3 * k + atom] = atom > 0;
        }
    }
}

/* The address sanitizer's count, else glibc's. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

static int64_t bytes_allocated(void)
{
    if (__sanitizer_get_current_allocated_bytes) {
        return (int64_t)__sanitizer_get_current_allocated_bytes();
    }
    struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

/* Bytes that a rank holds after the update. */
static double water_bytes(int32_t nrank, int64_t along)
{
    struct large l = {.cutoff = 6};
    large_water(&l, 8, along);
    int64_t before = bytes_allocated();
    ranks_run(nrank, 60, large_body, &l);
    int64_t bytes = bytes_allocated() - before;
    int64_t ghosts = 0, within = 0, sent = 0;
    large_check(&l, nrank, (const int32_t[]){nrank, 1, 1});
    for (int32_t r = 0; r < nrank; r++) {
        const struct dgnn_plan *plan = l.domain[r].plan;
        ghosts += plan->nnode - plan->nowned;
        within += large_within(&l, &l.domain[r]);
        sent += plan->nneighbour;
        CHECK(plan->nneighbour == (nrank > 2 ? 2 : 1));
        for (int32_t n = 0; n < plan->nneighbour; n++) { /* of slabs, the two beside this one */
            int32_t away = (plan->rank[n] - r + nrank) % nrank;
            CHECK(away == 1 || away == nrank - 1);
            CHECK(plan->send_first[n + 1] > plan->send_first[n] &&
                  plan->recv_first[n + 1] > plan->recv_first[n]);
        }
    }
    printf("water 8:1:1, %lld atoms, %d ranks: ghosts %.2f %% above the atoms in reach, %.1f messages for "
           "each rank and "
           "layer, %.0f kB for each rank\n",
           (long long)l.system.natoms, nrank, 100 * ((double)ghosts / (double)within - 1),
           (double)sent / nrank, (double)bytes / nrank / 1e3);
    large_free(&l);
    return (double)bytes / nrank;
}

static void test_water(void)
{
    double eight = water_bytes(8, 64), four = water_bytes(4, 64);
    CHECK_NEAR(eight, water_bytes(4, 32), 0.03 * eight); /* half of the box on half of the ranks */
    CHECK_NEAR(four, water_bytes(2, 32), 0.03 * four);
}

/* ------------------------------------------------------------------ halos by brute force */

/* Least distance between two sets of points over images: what must be found. */
static int near_any(const struct dgnn_cell *cell, const double *x, const double *others, int64_t n,
                    double reach)
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

/* Every atom near one of another rank's atoms is found; every one found is near the other rank's box, by
 * sampling. */
static void test_skewed(uint64_t seed)
{
    struct system_case s = {0};
    struct dgnn_cell cell;
    struct dgnn_error error;
    struct dgnn_halo halo = {0};
    struct dgnn_halo_box box[2];
    enum { N = 24 };
    const struct system_kind kind = {.density = 0.05, .skew = system_between(&seed, 0, 1)};
    system_create(&s, 2 * N, &kind, 2, &seed);
    CHECK_STATUS(dgnn_cell_set(&cell, s.box, s.pbc, &error), DGNN_OK, "");
    struct dgnn_cell_wrapped wrapped = {.positions = s.x};
    CHECK_STATUS(dgnn_cell_wrap(&cell, 2 * N, s.x, &wrapped, &error), DGNN_OK, "");
    for (int64_t i = 0; i < 2 * N; i++) { /* the second half keeps to a corner */
        for (int c = 0; c < 3; c++) {
            s.x[3 * i + c] *= i < N ? 1 : 0.4;
        }
    }
    struct dgnn_halo_input input = {.cell = &cell,
                                    .reach = system_between(&seed, 0.5, 4),
                                    .n = N,
                                    .positions = s.x,
                                    .nbox = 2,
                                    .box = box};
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
    test_water();
    for (uint64_t k = 0; k < 12; k++) {
        test_skewed(1000 * k);
    }
    return check_report();
}
