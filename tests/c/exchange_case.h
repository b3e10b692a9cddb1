/* What an exchange must do with the rows of a world, checked on one rank. Used with ranks as threads and
 * under MPI. */
#ifndef DGNN_TESTS_EXCHANGE_CASE_H
#define DGNN_TESTS_EXCHANGE_CASE_H

#include "brick.h"
#include "comm/exchange_create.h"
#include "comm/rows.h"

enum exchange_case_kind { EXCHANGE_CASE_SWAPS = 0, EXCHANGE_CASE_DIRECT = 1 };

/* Rows of one rank. Items are functions of atom (or rank and row), column and seed, so that each rank knows
 * what each other rank has. */
struct exchange_case {
    const struct brick_world *world;
    int32_t rank;
    struct dgnn_rows_shape shape;
    uint64_t seed;
};

/* Owned rows get their atom's items, of all magnitudes; ghosts are NaN. */
void exchange_case_fill_forward(const struct exchange_case *c, void *rows);
/* Items that are not, bit for bit, their atom's. */
int64_t exchange_case_wrong_forward(const struct exchange_case *c, const void *rows);

/* Small integers, which add up exactly in any order. */
void exchange_case_fill_reverse(const struct exchange_case *c, void *rows);
/* Owned items that are not the sum of all rows of their atom, and ghost items that are not zero. */
int64_t exchange_case_wrong_reverse(const struct exchange_case *c, const void *rows);

struct exchange_case_outcome {
    int status;
    struct dgnn_error error;
    int64_t wrong_forward;
    int64_t wrong_reverse;
    double adjoint;  /* |<v, Fx> - <Bv, x>| over the sum of the terms' magnitudes, of all ranks together */
    int64_t unequal; /* bytes in which a second reverse of random rows differs from the first */
    uint64_t digest; /* of the bits of that reverse */
    int64_t allocations; /* of the second round, where this rank is alone in counting */
    struct dgnn_comm_count count;
};

/* Plan, checks among the ranks, exchange and all of the above; collective. */
void exchange_case_run(const struct exchange_case *c, enum exchange_case_kind kind, struct dgnn_comm *comm,
                       struct exchange_case_outcome *outcome);

#define CHECK_ROWS(rows, ...)                                                                                \
    do {                                                                                                     \
        const double expected[] = {__VA_ARGS__};                                                             \
        CHECK(memcmp((rows), expected, sizeof(expected)) == 0);                                              \
    } while (0)

#endif
