/* A host's neighbour lists of all kinds, at random: refused in the words of a plain reading of them, or the
 * same pairs, to the bit; and through compute_ghosted, the result of the same lists in another order. */
#include "geom/uncontracted.h"

#include <stdlib.h>

#include "geom/nlist.h"

#include "check.h"
#include "random.h"

enum { MAX_ROWS = 8, NLISTS = 100000, NCALLS = 2000 };

struct given {
    int64_t ncentre, nrow;
    double x[MAX_ROWS][3];
    int64_t ids[MAX_ROWS], first[MAX_ROWS + 1];
    int32_t row[MAX_ROWS * MAX_ROWS];
};

static const double cutoff = 5; /* also of the model that is called */

/* Each row once with some chance, shuffled, as hosts do. */
static int64_t given_sound(const struct given *g, int64_t centre, int32_t *row, uint64_t *seed)
{
    int64_t n = 0;
    int64_t chance = 1 + random_below(seed, 4);
    for (int64_t j = 0; j < g->nrow; j++) {
        if (j != centre && random_below(seed, 4) < chance) {
            int64_t at = random_below(seed, n + 1);
            row[n++] = row[at];
            row[at] = (int32_t)j;
        }
    }
    return n;
}

/* One fault of a list, or none where there's no room for it. */
static void given_spoil(struct given *g, uint64_t *seed)
{
    static const int32_t outside[] = {-1, INT32_MIN, INT32_MAX, 0, 1};
    int64_t total = g->first[g->ncentre], i = random_below(seed, g->ncentre),
            k = random_below(seed, total + 1);
    int32_t far = outside[random_below(seed, 5)];
    switch (random_below(seed, 6)) {
    case 0:
        g->row[k] = (int32_t)i;
        break; /* the centre, where k is its own */
    case 1:
        g->row[k] = g->row[random_below(seed, total + 1)];
        break; /* twice, if of one centre */
    case 2:
        g->row[k] = far < 0 || far > 1 ? far : (int32_t)g->nrow + far;
        break;
    case 3:
        g->first[i] += random_below(seed, 5) - 2;
        break;
    case 4:
        memcpy(g->x[i], g->x[random_below(seed, g->nrow)], sizeof(g->x[i]));
        break; /* at one place */
    default:
        g->row[k] = (int32_t)random_below(seed, g->nrow);
        break;
    }
}

static void given_make(struct given *g, uint64_t *seed)
{
    memset(g, 0, sizeof(*g));
    g->nrow = 1 + random_below(seed, MAX_ROWS);
    g->ncentre = 1 + random_below(seed, g->nrow);
    for (int64_t i = 0; i < g->nrow; i++) {
        for (int k = 0; k < 3;
             k++) { /* coarse, so that distances tie; by rows, so that places are distinct */
            g->x[i][k] = (double)random_below(seed, 5) + 4e-3 * (double)(i >> k & 1);
        }
        g->ids[i] = (7 * i + 3) % 8;
    }
    for (int64_t i = 0; i < g->ncentre; i++) {
        g->first[i + 1] = g->first[i] + given_sound(g, i, g->row + g->first[i], seed);
    }
    if (random_below(seed, 2)) {
        given_spoil(g, seed);
    }
}

/* ------------------------------------------------------------------ a plain reading */

struct pair {
    double squared, vector[3];
    int64_t id;
    int32_t row;
};

static int pair_compare(const void *left, const void *right)
{
    const struct pair *a = left, *b = right;
    if (a->squared != b->squared) {
        return a->squared < b->squared ? -1 : 1;
    }
    return (a->id > b->id) - (a->id < b->id);
}

/* What the message must say of the lists, NULL: nothing is wrong with them. */
static const char *given_fault(const struct given *g)
{
    if (g->first[0] != 0) {
        return "neighbour_first[0]";
    }
    for (int64_t i = 0; i < g->ncentre; i++) {
        int64_t n = g->first[i + 1] - g->first[i];
        if (n < 0 || n > g->nrow - 1) {
            return "has neighbours from";
        }
    }
    for (int64_t i = 0; i < g->ncentre; i++) {
        for (int64_t k = g->first[i]; k < g->first[i + 1]; k++) {
            if (g->row[k] < 0 || g->row[k] >= g->nrow) {
                return "expected rows below";
            }
            if (g->row[k] == i) {
                return "the atom itself";
            }
            for (int64_t l = g->first[i]; l < k; l++) {
                if (g->row[l] == g->row[k]) {
                    return "twice";
                }
            }
        }
    }
    return NULL;
}

/* The pairs of one centre within the cutoff, in order. */
static int64_t given_pairs(const struct given *g, int64_t i, struct pair *pairs)
{
    int64_t n = 0;
    for (int64_t k = g->first[i]; k < g->first[i + 1]; k++) {
        int32_t j = g->row[k];
        struct pair p = {.id = g->ids[j], .row = j};
        for (int c = 0; c < 3; c++) {
            p.vector[c] = g->x[j][c] - g->x[i][c];
            p.squared += p.vector[c] * p.vector[c];
        }
        if (sqrt(p.squared) <= cutoff) {
            pairs[n++] = p;
        }
    }
    qsort(pairs, (size_t)n, sizeof(*pairs), pair_compare);
    return n;
}

static int given_overlaps(const struct given *g)
{
    struct pair pairs[MAX_ROWS];
    for (int64_t i = 0; i < g->ncentre; i++) {
        if (given_pairs(g, i, pairs) && pairs[0].squared == 0) {
            return 1;
        }
    }
    return 0;
}

static int given_same(const struct given *g, const struct dgnn_nlist *list)
{
    struct pair pairs[MAX_ROWS];
    int64_t k = 0;
    for (int64_t i = 0; i < g->ncentre; i++) {
        int64_t n = given_pairs(g, i, pairs);
        if (list->first[i] != k || list->first[i + 1] != k + n) {
            return 0;
        }
        for (int64_t l = 0; l < n; l++, k++) {
            if (list->neighbour[k] != pairs[l].row || list->distance[k] != sqrt(pairs[l].squared) ||
                memcmp(list->vector + 3 * k, pairs[l].vector, sizeof(pairs[l].vector)) != 0 ||
                list->shift[3 * k] || list->shift[3 * k + 1] || list->shift[3 * k + 2]) {
                return 0;
            }
        }
    }
    return list->ncentre == g->ncentre && list->nrow == g->nrow;
}

/* ------------------------------------------------------------------ the tests */

static const char *const faults[] = {
    "neighbour_first[0]",      "has neighbours from", "expected rows below", "the atom itself", "twice",
    "expected distinct places"};
enum { NFAULT = sizeof(faults) / sizeof(*faults) };

/* NFAULT: a valid list. */
static int fault_number(const char *fault)
{
    int k = 0;
    while (k < NFAULT && (!fault || strcmp(faults[k], fault))) {
        k++;
    }
    return k;
}

static void test_lists(void)
{
    struct dgnn_nlist list = {0};
    struct dgnn_cell cell;
    struct dgnn_error error;
    struct given g;
    uint64_t seed = 5;
    int64_t seen[NFAULT + 1] = {0}, wrong = 0, pairs = 0;
    CHECK_STATUS(dgnn_cell_set(&cell, NULL, NULL, &error), DGNN_OK, "");
    for (int trial = 0; trial < NLISTS; trial++) {
        given_make(&g, &seed);
        struct dgnn_nlist_input input = {.ncentre = g.ncentre,
                                         .nrow = g.nrow,
                                         .positions = g.x[0],
                                         .ids = g.ids,
                                         .cell = &cell,
                                         .cutoff = cutoff,
                                         .threads = 1};
        const char *fault = given_fault(&g);
        fault = fault ? fault : given_overlaps(&g) ? "expected distinct places" : NULL;
        int status = dgnn_nlist_update_given(&list, &input, g.first, g.row, &error);
        if (fault) {
            wrong +=
                status != DGNN_ERROR_INPUT || !strstr(error.message, fault) || dgnn_nlist_npair(&list) != 0;
        } else {
            wrong += status != DGNN_OK || !given_same(&g, &list);
            pairs += dgnn_nlist_npair(&list);
        }
        seen[fault_number(fault)]++;
    }
    CHECK(wrong == 0);
    for (int k = 0; k <= NFAULT; k++) {
        printf("%lld lists: %s\n", (long long)seen[k], k < NFAULT ? faults[k] : "valid");
        CHECK(seen[k] > NLISTS / 1000);
    }
    CHECK(seen[NFAULT] > NLISTS / 3 && pairs > NLISTS);
    dgnn_nlist_free(&list);
}

/* compute_ghosted takes -1 for an empty place, so it reads a sound CSR without those. */
static void given_close_up(struct given *g)
{
    int64_t count = 0, from = 0;
    for (int64_t i = 0; i < g->ncentre; i++) {
        if (g->first[0] != 0 || g->first[i + 1] < g->first[i]) {
            return;
        }
    }
    for (int64_t i = 0; i < g->ncentre; i++) {
        for (int64_t k = from; k < g->first[i + 1]; k++) {
            g->row[count] = g->row[k];
            count += g->row[k] != -1;
        }
        from = g->first[i + 1];
        g->first[i + 1] = count;
    }
}

/* Forces of these lists; a list that names the pairs within the cutoff, in their order, must give the same
 * bits. */
static int call(struct dgnn_model *model, const struct given *g, const int64_t *first, const int32_t *row,
                struct dgnn_result *result, struct dgnn_error *error)
{
    static const int32_t types[MAX_ROWS] = {0, 1, 1, 0, 1, 1, 0, 1};
    struct dgnn_ghosted system = {.size = sizeof(system),
                                  .nlocal = g->ncentre,
                                  .nall = g->nrow,
                                  .coords = g->x[0],
                                  .types = types,
                                  .neighbour_first = first,
                                  .neighbour = row};
    error->message[0] = 0;
    return dgnn_model_compute_ghosted(model, &system, NULL, result, error);
}

static int call_agrees(struct dgnn_model *model, const struct given *g, const struct dgnn_result *got)
{
    double forces[MAX_ROWS][3];
    struct dgnn_result want = {.size = sizeof(want), .forces = forces[0]};
    struct dgnn_error error;
    struct pair pairs[MAX_ROWS];
    int64_t first[MAX_ROWS + 1] = {0};
    int32_t row[MAX_ROWS * MAX_ROWS];
    for (int64_t i = 0; i < g->ncentre; i++) {
        int64_t n = given_pairs(g, i, pairs);
        for (int64_t k = 0; k < n; k++) {
            row[first[i] + k] = pairs[k].row;
        }
        first[i + 1] = first[i] + n;
    }
    return call(model, g, first, row, &want, &error) == DGNN_OK && want.energy == got->energy &&
           !memcmp(forces, got->forces, sizeof(forces[0]) * (size_t)g->nrow);
}

static void test_calls(void)
{
    struct dgnn_model *model = NULL;
    struct dgnn_load_options options = {.size = sizeof(options), .threads = 1};
    struct dgnn_error error;
    struct given g;
    uint64_t seed = 6;
    int64_t valid = 0, refused = 0, wrong = 0;
    CHECK_STATUS(dgnn_model_load("tests/data/cases/se_e2_a/model.pt2", &options, &model, &error), DGNN_OK,
                 "");
    for (int trial = 0; trial < NCALLS; trial++) {
        double forces[MAX_ROWS][3];
        struct dgnn_result result = {.size = sizeof(result), .forces = forces[0]};
        given_make(&g, &seed);
        int status = call(model, &g, g.first, g.row, &result, &error);
        given_close_up(&g);
        int bad = given_fault(&g) || given_overlaps(&g);
        wrong += bad ? status != DGNN_ERROR_INPUT || !error.message[0]
                     : status || !call_agrees(model, &g, &result);
        valid += !bad;
        refused += bad;
    }
    CHECK(wrong == 0);
    CHECK(valid > NCALLS / 3 && refused > NCALLS / 10);
    dgnn_model_free(model);
}

int main(void)
{
    test_lists();
    test_calls();
    return check_report();
}
