#include "exchange_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "comm/check.h"
#include "random.h"

/* ------------------------------------------------------------------ items */

static double case_item(const void *rows, const struct dgnn_rows_shape *shape, int64_t k)
{
    return shape->item_size == 4 ? (double)((const float *)rows)[k] : ((const double *)rows)[k];
}

static void case_set(void *rows, const struct dgnn_rows_shape *shape, int64_t k, double value)
{
    if (shape->item_size == 4) {
        ((float *)rows)[k] = (float)value;
    } else {
        ((double *)rows)[k] = value;
    }
}

/* Both signs, 20 binary orders of magnitude. */
static double case_random(uint64_t seed, int64_t a, int64_t b, int64_t c)
{
    uint64_t h =
        random_hash(random_hash(random_hash(random_hash(seed) + (uint64_t)a) + (uint64_t)b) + (uint64_t)c);
    double mantissa = (double)(h >> 11) * 0x1p-52 - 1.0;
    return ldexp(mantissa, (int)(h % 20) - 10);
}

static double case_integer(uint64_t seed, int64_t rank, int64_t row, int64_t column)
{
    return (double)(random_hash(random_hash(random_hash(seed + (uint64_t)rank) + (uint64_t)row) +
                                (uint64_t)column) %
                    17) -
           8.0;
}

static const struct brick_rank *case_rank(const struct exchange_case *c)
{
    return &c->world->rank[c->rank];
}

void exchange_case_fill_forward(const struct exchange_case *c, void *rows)
{
    const struct brick_rank *r = case_rank(c);
    int64_t width = c->shape.width;
    for (int64_t i = 0; i < r->nnode; i++) {
        for (int64_t j = 0; j < width; j++) {
            double value = i < r->nowned ? case_random(c->seed, 0, r->id[i], j) : NAN;
            case_set(rows, &c->shape, i * width + j, value);
        }
    }
}

int64_t exchange_case_wrong_forward(const struct exchange_case *c, const void *rows)
{
    const struct brick_rank *r = case_rank(c);
    int64_t width = c->shape.width;
    int64_t wrong = 0;
    for (int64_t i = 0; i < r->nnode; i++) {
        for (int64_t j = 0; j < width; j++) {
            double item; /* room for either size */
            case_set(&item, &c->shape, 0, case_random(c->seed, 0, r->id[i], j));
            wrong += memcmp((const char *)rows + (i * width + j) * c->shape.item_size, &item,
                            (size_t)c->shape.item_size) != 0;
        }
    }
    return wrong;
}

void exchange_case_fill_reverse(const struct exchange_case *c, void *rows)
{
    int64_t width = c->shape.width;
    for (int64_t k = 0; k < case_rank(c)->nnode * width; k++) {
        case_set(rows, &c->shape, k, case_integer(c->seed, c->rank, k / width, k % width));
    }
}

int64_t exchange_case_wrong_reverse(const struct exchange_case *c, const void *rows)
{
    const struct brick_rank *mine = case_rank(c);
    int64_t width = c->shape.width;
    double *expected = calloc((size_t)(mine->nnode * width + 1), sizeof(double));
    for (int32_t r = 0; r < c->world->nrank; r++) {
        const struct brick_rank *other = &c->world->rank[r];
        for (int64_t i = 0; i < other->nnode; i++) {
            if (c->world->owner[other->id[i]] != c->rank) {
                continue;
            }
            double *sum = expected + c->world->owner_row[other->id[i]] * width;
            for (int64_t j = 0; j < width; j++) {
                sum[j] += case_integer(c->seed, r, i, j);
            }
        }
    }
    int64_t wrong = 0;
    for (int64_t k = 0; k < mine->nnode * width; k++) {
        wrong += case_item(rows, &c->shape, k) != expected[k];
    }
    free(expected);
    return wrong;
}

/* ------------------------------------------------------------------ one exchange */

/* The plan of either kind with its exchange. */
struct case_plan {
    struct dgnn_plan *plan;
    struct dgnn_swaps *swaps;
    struct dgnn_exchange *exchange;
};

static void case_plan_free(struct case_plan *p)
{
    dgnn_exchange_free(p->exchange);
    dgnn_plan_free(p->plan);
    dgnn_swaps_free(p->swaps);
}

static int case_plan_create(const struct exchange_case *c, enum exchange_case_kind kind,
                            struct dgnn_comm *comm, struct case_plan *p, struct dgnn_error *error)
{
    const struct brick_rank *r = case_rank(c);
    int32_t nrank = c->world->nrank;
    int status;
    if (kind == EXCHANGE_CASE_DIRECT) {
        struct dgnn_direct direct;
        brick_direct(c->world, c->rank, &direct);
        status = dgnn_plan_create(&direct, r->nowned, r->nnode, c->rank, nrank, &p->plan, error);
        brick_direct_free(&direct);
        DGNN_TRY(dgnn_check_plan(comm, "case", p->plan, status, error));
        status = dgnn_exchange_create_direct(p->plan, comm, DGNN_EXCHANGE_FEATURES, &p->exchange, error);
    } else {
        status = dgnn_swaps_create(&r->border, r->nowned, r->nnode, c->rank, nrank, &p->swaps, error);
        DGNN_TRY(dgnn_check_swaps(comm, "case", p->swaps, status, error));
        status = dgnn_exchange_create_swaps(p->swaps, comm, DGNN_EXCHANGE_FEATURES, &p->exchange, error);
    }
    DGNN_TRY(dgnn_transport_agree(comm, "case", status, error));
    return dgnn_check_rows(comm, "case", p->exchange,
                           &(struct dgnn_check_values){.what = "id", .value = r->id}, error);
}

/* Between begin and end of a forward exchange, owned rows may be read. */
static int case_forward(struct dgnn_exchange *x, const struct exchange_case *c, void *rows,
                        struct dgnn_error *error)
{
    DGNN_TRY(dgnn_exchange_forward_begin(x, rows, c->shape.width, c->shape.item_size, error));
    return dgnn_exchange_forward_end(x, error);
}

static int case_reverse(struct dgnn_exchange *x, const struct exchange_case *c, void *rows,
                        struct dgnn_error *error)
{
    DGNN_TRY(dgnn_exchange_reverse_begin(x, rows, c->shape.width, c->shape.item_size, error));
    DGNN_TRY(dgnn_exchange_reverse_end(x, error));
    return dgnn_exchange_settle(x, error);
}

static void case_fill_random(const struct exchange_case *c, void *rows, uint64_t which)
{
    for (int64_t k = 0; k < case_rank(c)->nnode * c->shape.width; k++) {
        case_set(rows, &c->shape, k, case_random(c->seed + which, c->rank, k, 1));
    }
}

/* <v, Fx> and <Bv, x> of this rank, and the magnitudes of their terms. */
struct case_adjoint {
    double forward;
    double reverse;
    double magnitude;
};

static int case_run_adjoint(struct dgnn_exchange *x, const struct exchange_case *c, void *rows, void *other,
                            struct case_adjoint *a, struct dgnn_error *error)
{
    int64_t n = case_rank(c)->nnode * c->shape.width;
    int64_t nowned = case_rank(c)->nowned * c->shape.width;
    double *input = malloc((size_t)(n + 1) * sizeof(double));
    case_fill_random(c, rows, 1);
    case_fill_random(c, other, 2);
    for (int64_t k = 0; k < n; k++) {
        input[k] = case_item(rows, &c->shape, k);
    }
    int status = case_forward(x, c, rows, error);
    for (int64_t k = 0; k < n; k++) {
        double term = case_item(rows, &c->shape, k) * case_item(other, &c->shape, k);
        a->forward += term;
        a->magnitude += fabs(term);
    }
    status = status ? status : case_reverse(x, c, other, error);
    for (int64_t k = 0; k < nowned; k++) {
        a->reverse += case_item(other, &c->shape, k) * input[k];
    }
    free(input);
    return status;
}

static int case_run_repeat(struct dgnn_exchange *x, const struct exchange_case *c, void *rows, void *other,
                           struct exchange_case_outcome *outcome)
{
    int64_t nbytes = case_rank(c)->nnode * dgnn_rows_bytes(&c->shape);
    case_fill_random(c, rows, 3);
    case_fill_random(c, other, 3);
    DGNN_TRY(case_reverse(x, c, rows, &outcome->error));
    int64_t before = dgnn_alloc_count();
    DGNN_TRY(case_reverse(x, c, other, &outcome->error));
    outcome->allocations = dgnn_alloc_count() - before;
    for (int64_t k = 0; k < nbytes; k++) {
        outcome->unequal += ((const char *)rows)[k] != ((const char *)other)[k];
        outcome->digest = random_hash(outcome->digest + ((const unsigned char *)rows)[k]);
    }
    return DGNN_OK;
}

static int case_run_all(struct dgnn_exchange *x, const struct exchange_case *c, struct dgnn_comm *comm,
                        struct exchange_case_outcome *outcome)
{
    size_t nbytes = (size_t)(case_rank(c)->nnode * dgnn_rows_bytes(&c->shape)) + 1;
    void *rows = malloc(nbytes);
    void *other = malloc(nbytes);
    struct case_adjoint a = {0};
    exchange_case_fill_forward(c, rows);
    int status = case_forward(x, c, rows, &outcome->error);
    outcome->wrong_forward = exchange_case_wrong_forward(c, rows);
    if (!status) {
        exchange_case_fill_reverse(c, rows);
        status = case_reverse(x, c, rows, &outcome->error);
        outcome->wrong_reverse = exchange_case_wrong_reverse(c, rows);
    }
    status = status ? status : case_run_adjoint(x, c, rows, other, &a, &outcome->error);
    status = status ? status : case_run_repeat(x, c, rows, other, outcome);
    if (!status) {
        double sums[3] = {a.forward, a.reverse, a.magnitude};
        status = dgnn_transport_sum(comm, sums, 3, &outcome->error);
        outcome->adjoint = fabs(sums[0] - sums[1]) / (sums[2] > 0 ? sums[2] : 1);
    }
    free(rows);
    free(other);
    return status;
}

void exchange_case_run(const struct exchange_case *c, enum exchange_case_kind kind, struct dgnn_comm *comm,
                       struct exchange_case_outcome *outcome)
{
    struct case_plan p = {0};
    *outcome = (struct exchange_case_outcome){0};
    outcome->status = case_plan_create(c, kind, comm, &p, &outcome->error);
    if (!outcome->status) {
        if (comm) {
            dgnn_comm_counts(comm, &outcome->count, 1);
        }
        outcome->status = case_run_all(p.exchange, c, comm, outcome);
        if (comm) {
            dgnn_comm_counts(comm, &outcome->count, 0);
        }
    }
    case_plan_free(&p);
}
