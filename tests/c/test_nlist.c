/* The oracle is a sum over images without any cleverness; order and bits must agree with it exactly. */
#include "geom/uncontracted.h"

#include <stdlib.h>

#include "geom/pairvector.h"

#include "nlist_case.h"

/* ------------------------------------------------------------------ oracle */

struct pair {
    double squared;
    int64_t id;
    int32_t shift[3];
    int32_t row;
    double vector[3];
};

static int compare_pairs(const void *left, const void *right)
{
    const struct pair *a = left;
    const struct pair *b = right;
    if (a->squared != b->squared) {
        return a->squared < b->squared ? -1 : 1;
    }
    if (a->id != b->id) {
        return a->id < b->id ? -1 : 1;
    }
    for (int k = 0; k < 3; k++) {
        if (a->shift[k] != b->shift[k]) {
            return a->shift[k] < b->shift[k] ? -1 : 1;
        }
    }
    return 0;
}

static void oracle_ranges(const struct system *system, int32_t range[3])
{
    for (int k = 0; k < 3; k++) {
        double low = 0;
        double high = 0;
        for (int64_t i = 0; i < system->n; i++) {
            double f[3];
            dgnn_cell_fraction(&system->cell, system->positions + 3 * i, f);
            low = fmin(low, f[k]);
            high = fmax(high, f[k]);
        }
        range[k] = system->cell.pbc[k]
                       ? (int32_t)ceil(system->cutoff / system->cell.spacing[k] + high - low) + 1
                       : 0;
    }
}

static int64_t oracle_centre(const struct system *system, int64_t i, const int32_t range[3], struct pair *out)
{
    const double *h = system->cell.h;
    const double *x = system->positions;
    int64_t count = 0;
    struct pair pair;
    for (int64_t j = 0; j < system->n; j++) {
        for (int32_t a = -range[0]; a <= range[0]; a++) {
            for (int32_t b = -range[1]; b <= range[1]; b++) {
                for (int32_t c = -range[2]; c <= range[2]; c++) {
                    pair = (struct pair){.id = system->ids[j], .shift = {a, b, c}, .row = (int32_t)j};
                    for (int k = 0; k < 3; k++) {
                        pair.vector[k] =
                            x[3 * j + k] + (a * h[k] + b * h[3 + k] + c * h[6 + k]) - x[3 * i + k];
                        pair.squared += pair.vector[k] * pair.vector[k];
                    }
                    if (sqrt(pair.squared) <= system->cutoff && !(i == j && !a && !b && !c)) {
                        if (out) {
                            out[count] = pair;
                        }
                        count++;
                    }
                }
            }
        }
    }
    return count;
}

/* The number of entries that differ from the oracle's, and the pairs seen. */
static int64_t differences(const struct system *system, const struct dgnn_nlist *list, int64_t *npair)
{
    int32_t range[3];
    int64_t wrong = 0;
    oracle_ranges(system, range);
    for (int64_t i = 0; i < system->ncentre; i++) {
        int64_t n = oracle_centre(system, i, range, NULL);
        struct pair *pairs = malloc((size_t)(n + 1) * sizeof *pairs);
        oracle_centre(system, i, range, pairs);
        qsort(pairs, (size_t)n, sizeof *pairs, compare_pairs);
        if (list->first[i + 1] - list->first[i] != n) {
            wrong += 1000;
            free(pairs);
            continue;
        }
        for (int64_t k = 0; k < n; k++) {
            int64_t e = list->first[i] + k;
            wrong += pairs[k].row != list->neighbour[e];
            wrong += memcmp(pairs[k].shift, list->shift + 3 * e, sizeof pairs[k].shift) != 0;
            wrong += memcmp(pairs[k].vector, list->vector + 3 * e, sizeof pairs[k].vector) != 0;
            wrong += sqrt(pairs[k].squared) != list->distance[e];
        }
        *npair += n;
        free(pairs);
    }
    return wrong;
}

/* ------------------------------------------------------------------ random systems */

static void test_random(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_error error;
    int64_t npair = 0;
    int64_t empty = 0;
    for (int trial = 0; trial < 600; trial++) {
        struct system system;
        int small = trial % 3 == 0;
        make_cell(&system, trial % 5, trial / 5 % 8, small ? 1.5 : 6, small ? 3.5 : 14);
        fill(&system, small ? pick(5) : pick(40), -1, 2);
        system.ncentre = trial % 4 ? system.n : pick(system.n + 1);
        system.cutoff = uniform(1, small ? 5 : 8);
        struct dgnn_nlist_input input = input_of(&system, trial % 2 ? uniform(0, 1.5) : 0, 0);
        CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
        CHECK(differences(&system, &list, &npair) == 0);
        CHECK(!list.reused && list.rebuilds == trial + 1);
        empty += dgnn_nlist_npair(&list) == 0;
    }
    printf("%d random pairs, %d empty lists\n", (int)npair, (int)empty);
    CHECK(npair > 30000);
    CHECK(empty > 5 && empty < 300);
    dgnn_nlist_free(&list);
}

/* Many equal distances: fcc and simple cubic crystals, whose order ids and shifts alone decide. */
static void test_ties(void)
{
    static const double corner[12] = {0, 0, 0, 0, 2, 2, 2, 0, 2, 2, 2, 0};
    struct dgnn_nlist list = {0};
    struct dgnn_error error;
    int64_t npair = 0;
    for (int trial = 0; trial < 20; trial++) {
        struct system system = {.n = trial % 2 ? 4 : 1, .cutoff = 8};
        system.ncentre = system.n;
        double box[9] = {4, 0, 0, 0, 4, 0, 0, 0, 4};
        CHECK(!dgnn_cell_set(&system.cell, box, (int32_t[3]){1, trial % 3 != 0, 1}, NULL));
        for (int k = 0; k < 12; k++) {
            system.positions[k] = corner[k] + 4.0 * (double)pick(3);
        }
        wrap(&system);
        shuffle_ids(&system);
        struct dgnn_nlist_input input = input_of(&system, 0.5, 0);
        CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
        CHECK(differences(&system, &list, &npair) == 0);
    }
    CHECK(npair > 3000);
    /* Exactly at the cutoff is inside. */
    struct system system = {.n = 1, .ncentre = 1, .cutoff = 4};
    CHECK(!dgnn_cell_set(&system.cell, (double[9]){4, 0, 0, 0, 4, 0, 0, 0, 4}, (int32_t[3]){1, 1, 1}, NULL));
    struct dgnn_nlist_input input = input_of(&system, 0, 0);
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
    CHECK(dgnn_nlist_npair(&list) == 6);
    dgnn_nlist_free(&list);
}

/* ------------------------------------------------------------------ reuse */

static void move(struct system *system, double step, int rewrap)
{
    for (int64_t i = 0; i < system->n; i++) {
        int jump[3] = {0, 0, 0};
        for (int k = 0; rewrap && k < 3; k++) {
            jump[k] = system->cell.pbc[k] ? (int)pick(5) - 2 : 0;
        }
        for (int c = 0; c < 3; c++) {
            const double *h = system->cell.h;
            system->positions[3 * i + c] +=
                uniform(-step, step) + (jump[0] * h[c] + jump[1] * h[3 + c] + jump[2] * h[6 + c]);
        }
    }
}

static void test_reuse(void)
{
    struct dgnn_nlist fresh = {0};
    struct dgnn_error error;
    int64_t nreused = 0;
    int64_t nwrapped = 0;
    int64_t npair = 0;
    int64_t rebuilds = 0;
    for (int trial = 0; trial < 40; trial++) {
        struct dgnn_nlist list = {0};
        struct system system;
        make_cell(&system, trial % 5, trial / 5 % 8, trial % 3 ? 5 : 2.5, trial % 3 ? 9 : 4);
        fill(&system, 1 + pick(trial % 3 ? 20 : 6), 0, 1);
        system.ncentre = system.n;
        system.cutoff = uniform(2, 5);
        for (int step = 0; step < 50; step++) {
            struct dgnn_nlist_input input = input_of(&system, 0.5, step > 0);
            CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
            input.may_reuse = 0;
            CHECK_STATUS(dgnn_nlist_update(&fresh, &input, &error), DGNN_OK, "");
            CHECK(!fresh.reused && same_lists(&list, &fresh));
            nreused += list.reused;
            if (step == 49) {
                CHECK(differences(&system, &list, &npair) == 0);
            }
            struct system before = system;
            move(&system, 0.05, step % 5 == 1);
            if (step % 4) {
                struct system moved = system;
                wrap(&system);
                nwrapped += memcmp(&moved.positions, &system.positions, sizeof moved.positions) != 0;
            }
            CHECK(system.n == 0 || memcmp(before.positions, system.positions, sizeof before.positions));
        }
        rebuilds += list.rebuilds;
        dgnn_nlist_free(&list);
    }
    printf("reused %d of 2000 updates, %d searches, %d with atoms wrapped\n", (int)nreused, (int)rebuilds,
           (int)nwrapped);
    CHECK(nreused + rebuilds == 2000);
    CHECK(nreused > 1400 && rebuilds > 80 && nwrapped > 300);
    dgnn_nlist_free(&fresh);
}

/* Each thing that must bring about a new search does so. */
static void test_reuse_refused(void)
{
    struct dgnn_nlist list = {0};
    struct system system;
    make_cell(&system, 1, 7, 8, 9);
    fill(&system, 20, 0, 1);
    system.ncentre = 20;
    system.cutoff = 4;
    struct dgnn_nlist_input input = input_of(&system, 0.5, 1);
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && list.reused);
    system.positions[7] += 0.249;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && list.reused);
    system.positions[7] += 0.002;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    input.cutoff = 4.1;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    input.ncentre = 19;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    input.skin = 0.6;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    system.cell.pbc[1] = 0;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    system.cell.h[4] *= 1 + 1e-15;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && list.reused);
    input.may_reuse = 0;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    input.may_reuse = 1;
    input.skin = 0;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused);
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && !list.reused && list.rebuilds == 10);
    dgnn_nlist_free(&list);
}

/* ------------------------------------------------------------------ bricks with ghosts see the same bits */

static void check_brick(const struct system *all, const struct dgnn_nlist *whole, double low, double high)
{
    struct system brick = {.cell = all->cell, .cutoff = all->cutoff};
    int64_t row_of[MAX_ATOMS]; /* brick row of each atom */
    int64_t atom_of[MAX_ATOMS];
    struct dgnn_nlist list = {0};
    for (int ghosts = 0; ghosts < 2; ghosts++) {
        for (int64_t i = 0; i < all->n; i++) {
            double f[3];
            dgnn_cell_fraction(&all->cell, all->positions + 3 * i, f);
            if ((f[0] >= low && f[0] < high) == ghosts) {
                continue;
            }
            row_of[i] = brick.n;
            atom_of[brick.n] = i;
            brick.ids[brick.n] = all->ids[i];
            memcpy(brick.positions + 3 * brick.n++, all->positions + 3 * i, 3 * sizeof(double));
        }
        brick.ncentre = ghosts ? brick.ncentre : brick.n;
    }
    struct dgnn_nlist_input input = input_of(&brick, 0.3, 0);
    CHECK(!dgnn_nlist_update(&list, &input, NULL));
    int64_t wrong = 0;
    for (int64_t r = 0; r < brick.ncentre; r++) {
        int64_t from = whole->first[atom_of[r]];
        int64_t n = whole->first[atom_of[r] + 1] - from;
        wrong += list.first[r + 1] - list.first[r] != n;
        for (int64_t k = 0; !wrong && k < n; k++) {
            wrong += list.neighbour[list.first[r] + k] != row_of[whole->neighbour[from + k]];
        }
        if (!wrong) {
            wrong += memcmp(list.vector + 3 * list.first[r], whole->vector + 3 * from, (size_t)n * 24) != 0;
            wrong += memcmp(list.shift + 3 * list.first[r], whole->shift + 3 * from, (size_t)n * 12) != 0;
        }
    }
    CHECK(wrong == 0);
    dgnn_nlist_free(&list);
}

static void test_bricks(void)
{
    struct dgnn_nlist list = {0};
    for (int trial = 0; trial < 40; trial++) {
        struct system system;
        make_cell(&system, trial % 4, trial % 8, 6, 20);
        fill(&system, MAX_ATOMS, 0, 1);
        system.ncentre = system.n;
        system.cutoff = 4;
        struct dgnn_nlist_input input = input_of(&system, 0.5, 0);
        CHECK(!dgnn_nlist_update(&list, &input, NULL) && dgnn_nlist_npair(&list) > 0);
        check_brick(&system, &list, -INFINITY, 0.3);
        check_brick(&system, &list, 0.3, 0.7);
        check_brick(&system, &list, 0.7, INFINITY);
    }
    dgnn_nlist_free(&list);
}

/* ------------------------------------------------------------------ far molecules, memory, threads */

static void test_far(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_nlist near = {0};
    struct dgnn_error error;
    struct system system;
    int64_t npair = 0;
    make_cell(&system, 4, 0, 1, 1);
    fill(&system, 40, 0, 1);
    system.ncentre = 40;
    system.cutoff = 5;
    struct dgnn_nlist_input input = input_of(&system, 0.5, 0);
    CHECK(!dgnn_nlist_update(&near, &input, NULL));
    int64_t bytes_near = near.images.capacity + near.image_scratch.capacity;
    for (int trial = 0; trial < 3; trial++) {
        /* All far away; then in two heaps; then one atom at the end of the world. */
        for (int64_t i = 0; i < 40; i++) {
            double move_to[3] = {5000, i % 2 ? 5000 : -9000, i == 3 ? 9e7 : 0};
            system.positions[3 * i] += move_to[trial];
        }
        CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
        CHECK(differences(&system, &list, &npair) == 0);
        CHECK(list.images.capacity + list.image_scratch.capacity <= bytes_near);
    }
    /* A molecule in a huge periodic box needs no more than one in the open. */
    double box[9] = {1e5, 0, 0, 3e4, 1e5, 0, 0, 0, 1e5};
    CHECK(!dgnn_cell_set(&system.cell, box, (int32_t[3]){1, 1, 1}, NULL));
    fill(&system, 40, 0.5, 0.50005);
    CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
    CHECK(differences(&system, &list, &npair) == 0 && dgnn_nlist_npair(&list) > 100);
    CHECK(list.images.capacity + list.image_scratch.capacity <= bytes_near);
    CHECK(npair > 1000);
    dgnn_nlist_free(&list);
    dgnn_nlist_free(&near);
}

static void test_allocations(void)
{
    struct dgnn_nlist list = {0};
    struct system system;
    make_cell(&system, 1, 7, 9, 9.5);
    fill(&system, MAX_ATOMS, 0, 1);
    system.ncentre = system.n;
    system.cutoff = 5;
    struct dgnn_nlist_input input = input_of(&system, 0.3, 0);
    input.threads = 2;
    CHECK(!dgnn_nlist_update(&list, &input, NULL));
    int64_t before = dgnn_alloc_count();
    for (int step = 0; step < 50; step++) {
        move(&system, 0.03, step % 7 == 0);
        wrap(&system);
        input.may_reuse = 1;
        CHECK(!dgnn_nlist_update(&list, &input, NULL));
    }
    CHECK(dgnn_alloc_count() == before);
    CHECK(list.rebuilds > 3 && list.rebuilds < 50);
    input.ncentre = input.nrow = 10;
    CHECK(!dgnn_nlist_update(&list, &input, NULL) && dgnn_alloc_count() == before);
    dgnn_nlist_free(&list);
}

/* Whichever allocation fails: a clear status, nothing leaked, and the list works afterwards. */
static void test_out_of_memory(void)
{
    struct dgnn_error error;
    struct system system;
    int64_t npair = 0;
    int failures = 0;
    make_cell(&system, 2, 7, 6, 7);
    fill(&system, 20, 0, 1);
    system.ncentre = system.n;
    system.cutoff = 4;
    int64_t live = dgnn_alloc_live();
    for (int64_t k = 1; k < 100; k++) {
        struct dgnn_nlist list = {0};
        struct dgnn_nlist_input input = input_of(&system, 0.5, 1);
        dgnn_alloc_fail_at(k, 0);
        int status = dgnn_nlist_update(&list, &input, &error);
        dgnn_alloc_fail_at(0, 0);
        if (status) {
            CHECK(status == DGNN_ERROR_MEMORY && dgnn_nlist_npair(&list) == 0);
            failures++;
        }
        CHECK_STATUS(dgnn_nlist_update(&list, &input, &error), DGNN_OK, "");
        CHECK(list.reused == !status && differences(&system, &list, &npair) == 0);
        dgnn_nlist_free(&list);
        if (!status) {
            break;
        }
    }
    CHECK(failures == 13);
    CHECK(dgnn_alloc_live() == live);
}

/* a * b + c must be rounded twice whatever the compiler was told. volatile stores force that here. */
static void test_not_contracted(void)
{
    int wrong = 0;
    int fused_differs = 0;
    for (int trial = 0; trial < 1000; trial++) {
        double x[3] = {uniform(-9, 9), uniform(-9, 9), uniform(-9, 9)};
        double h[9];
        int32_t s[3] = {3 + (int32_t)pick(9), 5, -7};
        double image[3];
        for (int k = 0; k < 9; k++) {
            h[k] = uniform(-9, 9);
        }
        dgnn_pairvector_image(x, s, h, image);
        for (int c = 0; c < 3; c++) {
            volatile double a = s[0] * h[c];
            volatile double b = s[1] * h[3 + c];
            volatile double d = s[2] * h[6 + c];
            volatile double sum = a + b;
            sum = sum + d;
            wrong += image[c] != x[c] + sum;
            fused_differs += image[c] != x[c] + fma(s[2], h[6 + c], fma(s[1], h[3 + c], a));
        }
    }
    CHECK(wrong == 0);
    CHECK(fused_differs > 100);
}

int main(void)
{
    test_not_contracted();
    test_random();
    test_ties();
    test_reuse();
    test_reuse_refused();
    test_bricks();
    test_far();
    test_allocations();
    test_out_of_memory();
    return check_report();
}
