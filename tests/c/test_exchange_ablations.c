/* The tests of the tests of an exchange: whatever is wrong with it, the check that random plans go through
 * finds it. */
#include "check.h"

#include <stdlib.h>

#include "exchange_case.h"

enum ablation {
    ABLATION_NONE = 0,
    ABLATION_IDENTITY,      /* the forward exchange does nothing */
    ABLATION_GATHER_FIRST,  /* all lists are packed before anything is received */
    ABLATION_DROP_LAST,     /* the last swap is left out */
    ABLATION_FORWARD_ORDER, /* the reverse exchange runs swaps in forward order */
    ABLATION_NOT_CLEARED,   /* ghost rows keep their gradients */
    ABLATION_COUNT
};

/* A sequential swap exchange of doubles on all ranks at once, with something wrong in it. */
static void ablated_forward(const struct brick_world *world, int64_t width, enum ablation ablation,
                            double **rows)
{
    int32_t nswap = world->rank[0].border.nswap - (ablation == ABLATION_DROP_LAST);
    double **stale = calloc((size_t)world->nrank, sizeof(*stale));
    for (int32_t r = 0; r < world->nrank; r++) {
        size_t nbytes = (size_t)(world->rank[r].nnode * width) * sizeof(double);
        stale[r] = malloc(nbytes + 1);
        memcpy(stale[r], rows[r], nbytes);
    }
    double **from = ablation == ABLATION_GATHER_FIRST ? stale : rows;
    for (int32_t s = 0; s < nswap && ablation != ABLATION_IDENTITY; s++) {
        for (int32_t r = 0; r < world->nrank; r++) {
            const struct brick_rank *sender = &world->rank[r];
            int32_t to = sender->sendproc[s];
            dgnn_rows_copy(rows[to] + world->rank[to].firstrecv[s] * width, NULL, from[r],
                           sender->sendlist[s], sender->sendnum[s], width * (int64_t)sizeof(double));
        }
    }
    for (int32_t r = 0; r < world->nrank; r++) {
        free(stale[r]);
    }
    free(stale);
}

static void ablated_reverse(const struct brick_world *world, int64_t width, enum ablation ablation,
                            double **rows)
{
    int32_t nswap = world->rank[0].border.nswap;
    const struct dgnn_rows_shape shape = {width, 8};
    for (int32_t i = 0; i < nswap; i++) {
        int32_t s = ablation == ABLATION_FORWARD_ORDER ? i : nswap - 1 - i;
        for (int32_t r = 0; r < world->nrank && !(ablation == ABLATION_DROP_LAST && s == nswap - 1); r++) {
            const struct brick_rank *owner = &world->rank[r];
            int32_t from = owner->sendproc[s];
            dgnn_rows_add(rows[r], owner->sendlist[s], rows[from] + world->rank[from].firstrecv[s] * width,
                          NULL, owner->sendnum[s], &shape);
        }
    }
    for (int32_t r = 0; r < world->nrank && ablation != ABLATION_NOT_CLEARED; r++) {
        const struct brick_rank *rank = &world->rank[r];
        memset(rows[r] + rank->nowned * width, 0,
               (size_t)((rank->nnode - rank->nowned) * width) * sizeof(double));
    }
}

/* Does the check that random plans go through find something? */
static int ablation_found(const struct brick_world *world, enum ablation ablation, uint64_t seed)
{
    int64_t width = 3;
    int64_t wrong = 0;
    double **rows = calloc((size_t)world->nrank, sizeof(*rows));
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t r = 0; r < world->nrank; r++) {
            const struct exchange_case c = {world, r, {width, 8}, seed};
            rows[r] = malloc((size_t)(world->rank[r].nnode * width) * sizeof(double) + 1);
            (pass ? exchange_case_fill_reverse : exchange_case_fill_forward)(&c, rows[r]);
        }
        (pass ? ablated_reverse : ablated_forward)(world, width, ablation, rows);
        for (int32_t r = 0; r < world->nrank; r++) {
            const struct exchange_case c = {world, r, {width, 8}, seed};
            wrong += (pass ? exchange_case_wrong_reverse : exchange_case_wrong_forward)(&c, rows[r]);
            free(rows[r]);
        }
    }
    free(rows);
    return wrong > 0;
}

/* Worlds in which each of the faults matters: rows are relayed, and the last swap carries some. */
static int ablation_matters(const struct brick_world *world)
{
    int32_t nswap = world->rank[0].border.nswap;
    int64_t relayed = 0;
    int64_t last = 0;
    for (int32_t r = 0; r < world->nrank; r++) {
        const struct brick_rank *rank = &world->rank[r];
        for (int32_t s = 0; s < nswap; s++) {
            last += s == nswap - 1 ? rank->sendnum[s] : 0;
            for (int32_t k = 0; k < rank->sendnum[s]; k++) {
                relayed += rank->sendlist[s][k] >= rank->nowned;
            }
        }
    }
    return relayed > 0 && last > 0;
}

static void test_ablations(void)
{
    int64_t found[ABLATION_COUNT] = {0};
    int64_t worlds = 0;
    for (uint64_t seed = 0; worlds < 200; seed++) {
        struct brick_world *world =
            brick_create_random(1 + (int32_t)(seed % 8), 2 + (int32_t)(seed % 9), 7777 + seed);
        if (ablation_matters(world)) {
            worlds++;
            for (int a = 0; a < ABLATION_COUNT; a++) {
                found[a] += ablation_found(world, a, seed);
            }
        }
        brick_free(world);
    }
    CHECK(found[ABLATION_NONE] == 0);
    for (int a = 1; a < ABLATION_COUNT; a++) {
        CHECK(found[a] == worlds);
    }
}

int main(void)
{
    test_ablations();
    return check_report();
}
