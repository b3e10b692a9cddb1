#include "comm/plan.h"

#include "base/arena.h"
#include "comm/rows.h"

#include <string.h>

/* ------------------------------------------------------------------ is it a plan? */

/* Names the plan in messages. */
struct plan_context {
    const struct dgnn_direct *direct;
    int64_t nowned;
    int64_t nnode;
    int32_t me;
    int32_t nrank;
};

static int plan_sizes_valid(const struct plan_context *c, struct dgnn_error *error)
{
    if (c->nowned < 0 || c->nnode < c->nowned || c->nnode > INT32_MAX) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "direct plan: %lld owned of %lld rows, expected 0 <= owned <= all < 2^31",
                               (long long)c->nowned, (long long)c->nnode);
    }
    const struct dgnn_direct *d = c->direct;
    if (d->nneighbour < 0 || d->nneighbour > c->nrank) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "direct plan: nneighbour is %d, expected 0 to the number of ranks, %d",
                               d->nneighbour, c->nrank);
    }
    if (d->nneighbour > 0 && (!d->rank || !d->send_first || !d->recv_first)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "direct plan: rank, send_first and recv_first are needed for %d neighbours",
                               d->nneighbour);
    }
    return DGNN_OK;
}

static int plan_ranks_valid(const struct plan_context *c, struct dgnn_error *error)
{
    for (int32_t n = 0; n < c->direct->nneighbour; n++) {
        int32_t rank = c->direct->rank[n];
        if (rank < 0 || rank >= c->nrank) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "direct plan: rank[%d] is %d, expected a rank in [0, %d)", n, rank,
                                   c->nrank);
        }
        for (int32_t m = 0; m < n; m++) {
            if (c->direct->rank[m] == rank) {
                return dgnn_status_set(
                    error, DGNN_ERROR_INPUT,
                    "direct plan: rank[%d] and rank[%d] are both %d, expected each neighbour once", m, n,
                    rank);
            }
        }
    }
    return DGNN_OK;
}

/* One CSR half of the plan: first, its name and that of the rows. */
static int plan_csr_valid(const struct plan_context *c, const int64_t *first, const int32_t *row,
                          const char *name, struct dgnn_error *error)
{
    int32_t n = c->direct->nneighbour;
    if (n > 0 && first[0] != 0) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "direct plan: %s_first[0] is %lld, expected 0", name,
                               (long long)first[0]);
    }
    for (int32_t i = 0; i < n; i++) {
        if (first[i + 1] < first[i] || first[i + 1] - first[i] > INT32_MAX) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "direct plan: %s_first of neighbour %d (rank %d) goes from %lld to %lld, expected 0 to 2^31 "
                "- 1 rows",
                name, i, c->direct->rank[i], (long long)first[i], (long long)first[i + 1]);
        }
    }
    if (n > 0 && first[n] > 0 && !row) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "direct plan: %s_row is missing, expected %lld rows",
                               name, (long long)first[n]);
    }
    return DGNN_OK;
}

/* Rows that are sent must be owned, and rows that are received ghosts. */
static int plan_rows_in(const struct plan_context *c, int received, struct dgnn_error *error)
{
    const int64_t *first = received ? c->direct->recv_first : c->direct->send_first;
    const int32_t *row = received ? c->direct->recv_row : c->direct->send_row;
    int64_t low = received ? c->nowned : 0, high = received ? c->nnode : c->nowned;
    for (int32_t n = 0; n < c->direct->nneighbour; n++) {
        for (int64_t k = first[n]; k < first[n + 1]; k++) {
            if (row[k] < low || row[k] >= high) {
                return dgnn_status_set(
                    error, DGNN_ERROR_INPUT,
                    "direct plan: neighbour %d (rank %d): %s_row[%lld] is %d, expected a row in [%lld, %lld)",
                    n, c->direct->rank[n], received ? "recv" : "send", (long long)k, row[k], (long long)low,
                    (long long)high);
            }
        }
    }
    return DGNN_OK;
}

static int plan_ghosts_once(const struct plan_context *c, struct dgnn_error *error)
{
    const struct dgnn_direct *d = c->direct;
    int64_t nghost = c->nnode - c->nowned;
    int64_t nrecv = d->nneighbour > 0 ? d->recv_first[d->nneighbour] : 0;
    if (nrecv != nghost) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "direct plan: recv_first counts %lld rows, expected one for each of the %lld ghosts",
            (long long)nrecv, (long long)nghost);
    }
    char *seen = dgnn_alloc_zeroed(nghost, 1);
    if (!seen) {
        return dgnn_status_no_memory(error, "the check of a direct plan", nghost);
    }
    int status = DGNN_OK;
    for (int64_t k = 0; k < nrecv && !status; k++) {
        char *ghost = seen + (d->recv_row[k] - c->nowned);
        if (*ghost) {
            status = dgnn_status_set(error, DGNN_ERROR_INPUT,
                                     "direct plan: recv_row[%lld]: ghost row %d comes a second time",
                                     (long long)k, d->recv_row[k]);
        }
        *ghost = 1;
    }
    dgnn_alloc_free(seen);
    return status;
}

static int plan_self_valid(const struct plan_context *c, struct dgnn_error *error)
{
    const struct dgnn_direct *d = c->direct;
    for (int32_t n = 0; n < d->nneighbour; n++) {
        int64_t sent = d->send_first[n + 1] - d->send_first[n];
        int64_t received = d->recv_first[n + 1] - d->recv_first[n];
        if (d->rank[n] == c->me && sent != received) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "direct plan: neighbour %d is the rank itself: send_first counts %lld rows, recv_first %lld, "
                "expected the same",
                n, (long long)sent, (long long)received);
        }
    }
    return DGNN_OK;
}

int dgnn_plan_valid(const struct dgnn_direct *direct, int64_t nowned, int64_t nnode, int32_t me,
                    int32_t nrank, struct dgnn_error *error)
{
    const struct plan_context c = {direct, nowned, nnode, me, nrank};
    const struct dgnn_direct *d = direct;
    DGNN_TRY(plan_sizes_valid(&c, error));
    DGNN_TRY(plan_ranks_valid(&c, error));
    DGNN_TRY(plan_csr_valid(&c, d->send_first, d->send_row, "send", error));
    DGNN_TRY(plan_csr_valid(&c, d->recv_first, d->recv_row, "recv", error));
    DGNN_TRY(plan_rows_in(&c, 0, error));
    DGNN_TRY(plan_rows_in(&c, 1, error));
    DGNN_TRY(plan_ghosts_once(&c, error));
    return plan_self_valid(&c, error);
}

/* ------------------------------------------------------------------ making one */

/* The arrays of a plan while they are written. */
struct plan_arrays {
    struct dgnn_plan *plan;
    int32_t *rank;
    int64_t *send_first;
    int32_t *send_row;
    int64_t *recv_first;
    int32_t *recv_row;
    int8_t *contiguous;
};

static void plan_layout(struct dgnn_arena *arena, struct plan_arrays *a, int64_t nneighbour, int64_t nsend,
                        int64_t nrecv)
{
    a->plan = dgnn_arena_take(arena, 1, sizeof(*a->plan));
    a->rank = dgnn_arena_take(arena, nneighbour, sizeof(*a->rank));
    a->send_first = dgnn_arena_take(arena, nneighbour + 1, sizeof(*a->send_first));
    a->send_row = dgnn_arena_take(arena, nsend, sizeof(*a->send_row));
    a->recv_first = dgnn_arena_take(arena, nneighbour + 1, sizeof(*a->recv_first));
    a->recv_row = dgnn_arena_take(arena, nrecv, sizeof(*a->recv_row));
    a->contiguous = dgnn_arena_take(arena, nneighbour, sizeof(*a->contiguous));
}

static int plan_allocate(struct plan_arrays *a, int64_t nneighbour, int64_t nsend, int64_t nrecv,
                         struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    plan_layout(&arena, a, nneighbour, nsend, nrecv);
    arena.base = dgnn_alloc(arena.used, 1);
    if (!arena.base) {
        return dgnn_status_no_memory(error, "a direct plan", arena.used);
    }
    arena.used = 0;
    plan_layout(&arena, a, nneighbour, nsend, nrecv);
    *a->plan = (struct dgnn_plan){.nneighbour = (int32_t)nneighbour,
                                  .rank = a->rank,
                                  .send_first = a->send_first,
                                  .send_row = a->send_row,
                                  .recv_first = a->recv_first,
                                  .recv_row = a->recv_row,
                                  .contiguous = a->contiguous};
    a->send_first[0] = 0;
    a->recv_first[0] = 0;
    return DGNN_OK;
}

/* Last step of each maker: the arrays are written. */
static void plan_finish(struct plan_arrays *a, int64_t nowned, int64_t nnode, int32_t me, int32_t nrank)
{
    a->plan->nowned = nowned;
    a->plan->nnode = nnode;
    a->plan->me = me;
    a->plan->nrank = nrank;
    for (int32_t n = 0; n < a->plan->nneighbour; n++) {
        a->contiguous[n] = 1;
        for (int64_t k = a->recv_first[n] + 1; k < a->recv_first[n + 1]; k++) {
            if (a->recv_row[k] != a->recv_row[k - 1] + 1) {
                a->contiguous[n] = 0;
            }
        }
    }
}

int dgnn_plan_create(const struct dgnn_direct *direct, int64_t nowned, int64_t nnode, int32_t me,
                     int32_t nrank, struct dgnn_plan **plan, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_plan_valid(direct, nowned, nnode, me, nrank, error));
    struct plan_arrays a;
    size_t n = (size_t)direct->nneighbour;
    size_t nsend = n ? (size_t)direct->send_first[n] : 0;
    size_t nrecv = n ? (size_t)direct->recv_first[n] : 0;
    DGNN_TRY(plan_allocate(&a, (int64_t)n, (int64_t)nsend, (int64_t)nrecv, error));
    if (n > 0) {
        memcpy(a.rank, direct->rank, n * sizeof(*a.rank));
        memcpy(a.send_first, direct->send_first, (n + 1) * sizeof(*a.send_first));
        memcpy(a.recv_first, direct->recv_first, (n + 1) * sizeof(*a.recv_first));
    }
    if (nsend > 0) {
        memcpy(a.send_row, direct->send_row, nsend * sizeof(*a.send_row));
    }
    if (nrecv > 0) {
        memcpy(a.recv_row, direct->recv_row, nrecv * sizeof(*a.recv_row));
    }
    plan_finish(&a, nowned, nnode, me, nrank);
    *plan = a.plan;
    return DGNN_OK;
}

/* ------------------------------------------------------------------ NULL atoms */

int dgnn_plan_remap(const struct dgnn_plan *plan, const int32_t *new_row, struct dgnn_plan **remapped,
                    struct dgnn_error *error)
{
    struct plan_arrays a;
    int32_t n = plan->nneighbour;
    int64_t sent = 0, received = 0;
    DGNN_TRY(plan_allocate(&a, n, plan->send_first[n], plan->recv_first[n], error));
    for (int32_t i = 0; i < n; i++) {
        a.rank[i] = plan->rank[i];
        const int32_t *out = plan->send_row + plan->send_first[i], *in = plan->recv_row + plan->recv_first[i];
        sent += dgnn_rows_keep(out, dgnn_plan_nsend(plan, i), new_row, a.send_row + sent);
        received += dgnn_rows_keep(in, dgnn_plan_nrecv(plan, i), new_row, a.recv_row + received);
        a.send_first[i + 1] = sent;
        a.recv_first[i + 1] = received;
    }
    int64_t nowned = dgnn_rows_count_kept(new_row, 0, plan->nowned);
    int64_t nghost = dgnn_rows_count_kept(new_row, plan->nowned, plan->nnode);
    plan_finish(&a, nowned, nowned + nghost, plan->me, plan->nrank);
    *remapped = a.plan;
    return DGNN_OK;
}

void dgnn_plan_free(struct dgnn_plan *plan)
{
    /* The struct is the head of the one block. */
    dgnn_alloc_free(plan);
}
