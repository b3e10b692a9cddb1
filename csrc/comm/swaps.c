#include "comm/swaps.h"

#include "base/arena.h"
#include "comm/rows.h"

/* ------------------------------------------------------------------ is it a plan? */

struct swaps_context {
    const struct dgnn_border *border;
    int64_t nowned;
    int64_t nnode;
    int32_t me;
    int32_t nrank;
};

static int swaps_sizes_valid(const struct swaps_context *c, struct dgnn_error *error)
{
    const struct dgnn_border *b = c->border;
    if (c->nowned < 0 || c->nnode < c->nowned || c->nnode > INT32_MAX) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "border: %lld owned of %lld rows, expected 0 <= owned <= all < 2^31",
                               (long long)c->nowned, (long long)c->nnode);
    }
    if (b->nswap < 0) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "border: nswap is %d, expected 0 or more", b->nswap);
    }
    if (b->nswap > 0 && (!b->sendproc || !b->recvproc || !b->sendnum || !b->recvnum || !b->sendlist)) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: sendproc, recvproc, sendnum, recvnum and sendlist are needed for %d swaps", b->nswap);
    }
    return DGNN_OK;
}

/* V1 of one swap; *offset: its first row, and then the next one's. */
static int swaps_counts_valid(const struct swaps_context *c, int32_t s, int64_t *offset,
                              struct dgnn_error *error)
{
    const struct dgnn_border *b = c->border;
    if (b->sendnum[s] < 0 || b->recvnum[s] < 0) {
        const char *name = b->sendnum[s] < 0 ? "sendnum" : "recvnum";
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "border: swap %d: %s is %d, expected 0 or more", s,
                               name, b->sendnum[s] < 0 ? b->sendnum[s] : b->recvnum[s]);
    }
    if (b->firstrecv && b->firstrecv[s] != *offset) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: swap %d: firstrecv is %d, expected %lld, the row after the rows received before", s,
            b->firstrecv[s], (long long)*offset);
    }
    *offset += b->recvnum[s];
    if (*offset > c->nnode) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: swap %d: recvnum is %d, which goes %lld rows beyond the %lld there are", s,
            b->recvnum[s], (long long)(*offset - c->nnode), (long long)c->nnode);
    }
    return DGNN_OK;
}

/* V3 of one swap. */
static int swaps_ranks_valid(const struct swaps_context *c, int32_t s, struct dgnn_error *error)
{
    const struct dgnn_border *b = c->border;
    const int32_t rank[2] = {b->sendproc[s], b->recvproc[s]};
    for (int i = 0; i < 2; i++) {
        if (rank[i] < 0 || rank[i] >= c->nrank) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "border: swap %d: %s is %d, expected a rank in [0, %d)", s,
                                   i ? "recvproc" : "sendproc", rank[i], c->nrank);
        }
    }
    if ((rank[0] == c->me) != (rank[1] == c->me)) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: swap %d: sendproc is %d and recvproc %d, expected both or neither to be the rank itself",
            s, rank[0], rank[1]);
    }
    if (rank[0] == c->me && b->sendnum[s] != b->recvnum[s]) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: swap %d is with the rank itself: sendnum is %d and recvnum %d, expected the same", s,
            b->sendnum[s], b->recvnum[s]);
    }
    return DGNN_OK;
}

/* V2 of one swap; below: rows that exist by then. */
static int swaps_list_valid(const struct swaps_context *c, int32_t s, int64_t below, struct dgnn_error *error)
{
    const struct dgnn_border *b = c->border;
    if (b->sendnum[s] > 0 && !b->sendlist[s]) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "border: swap %d: sendlist is missing, expected %d rows", s, b->sendnum[s]);
    }
    for (int32_t k = 0; k < b->sendnum[s]; k++) {
        int32_t row = b->sendlist[s][k];
        if (row < 0 || row >= below) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "border: swap %d: sendlist[%d] is row %d, expected one in [0, %lld), owned or received "
                "before",
                s, k, row, (long long)below);
        }
    }
    return DGNN_OK;
}

int dgnn_swaps_valid(const struct dgnn_border *border, int64_t nowned, int64_t nnode, int32_t me,
                     int32_t nrank, struct dgnn_error *error)
{
    const struct swaps_context c = {border, nowned, nnode, me, nrank};
    DGNN_TRY(swaps_sizes_valid(&c, error));
    int64_t offset = nowned;
    for (int32_t s = 0; s < border->nswap; s++) {
        int64_t below = offset;
        DGNN_TRY(swaps_counts_valid(&c, s, &offset, error));
        DGNN_TRY(swaps_ranks_valid(&c, s, error));
        DGNN_TRY(swaps_list_valid(&c, s, below, error));
    }
    if (offset != nnode) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "border: recvnum counts %lld rows in all, expected one for each of the %lld ghosts",
            (long long)(offset - nowned), (long long)(nnode - nowned));
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ making one */

/* The arrays of the swaps while they are written. */
struct swaps_arrays {
    struct dgnn_swaps *swaps;
    int32_t *send_rank;
    int32_t *recv_rank;
    int64_t *send_first;
    int32_t *send_row;
    int64_t *recv_first;
    int32_t *needs;
    int32_t *needed_by;
};

static void swaps_layout(struct dgnn_arena *arena, struct swaps_arrays *a, int64_t nswap, int64_t nsend)
{
    a->swaps = dgnn_arena_take(arena, 1, sizeof(*a->swaps));
    a->send_rank = dgnn_arena_take(arena, nswap, sizeof(*a->send_rank));
    a->recv_rank = dgnn_arena_take(arena, nswap, sizeof(*a->recv_rank));
    a->send_first = dgnn_arena_take(arena, nswap + 1, sizeof(*a->send_first));
    a->send_row = dgnn_arena_take(arena, nsend, sizeof(*a->send_row));
    a->recv_first = dgnn_arena_take(arena, nswap + 1, sizeof(*a->recv_first));
    a->needs = dgnn_arena_take(arena, nswap, sizeof(*a->needs));
    a->needed_by = dgnn_arena_take(arena, nswap, sizeof(*a->needed_by));
}

static int swaps_allocate(struct swaps_arrays *a, int64_t nswap, int64_t nsend, struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    swaps_layout(&arena, a, nswap, nsend);
    arena.base = dgnn_alloc(arena.used, 1);
    if (!arena.base) {
        return dgnn_status_no_memory(error, "a border", arena.used);
    }
    arena.used = 0;
    swaps_layout(&arena, a, nswap, nsend);
    *a->swaps = (struct dgnn_swaps){.nswap = (int32_t)nswap,
                                    .send_rank = a->send_rank,
                                    .recv_rank = a->recv_rank,
                                    .send_first = a->send_first,
                                    .send_row = a->send_row,
                                    .recv_first = a->recv_first,
                                    .needs = a->needs,
                                    .needed_by = a->needed_by};
    a->send_first[0] = 0;
    return DGNN_OK;
}

/* The swap whose window has this ghost row. */
static int32_t swaps_bringer(const struct swaps_arrays *a, int64_t row)
{
    int32_t low = 0;
    int32_t high = a->swaps->nswap; /* recv_first[low] <= row < recv_first[high] */
    while (high - low > 1) {
        int32_t middle = low + (high - low) / 2;
        if (a->recv_first[middle] <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Last step of each maker: ranks, lists and windows are written. */
static void swaps_finish(struct swaps_arrays *a, int32_t me, int32_t nrank)
{
    struct dgnn_swaps *swaps = a->swaps;
    swaps->nowned = a->recv_first[0];
    swaps->nnode = a->recv_first[swaps->nswap];
    swaps->me = me;
    swaps->nrank = nrank;
    for (int32_t s = 0; s < swaps->nswap; s++) {
        a->needs[s] = -1;
        a->needed_by[s] = swaps->nswap;
    }
    for (int32_t s = 0; s < swaps->nswap; s++) {
        for (int64_t k = a->send_first[s]; k < a->send_first[s + 1]; k++) {
            if (a->send_row[k] < swaps->nowned) {
                continue;
            }
            int32_t bringer = swaps_bringer(a, a->send_row[k]);
            a->needs[s] = bringer > a->needs[s] ? bringer : a->needs[s];
            a->needed_by[bringer] = s < a->needed_by[bringer] ? s : a->needed_by[bringer];
        }
    }
}

int dgnn_swaps_create(const struct dgnn_border *border, int64_t nowned, int64_t nnode, int32_t me,
                      int32_t nrank, struct dgnn_swaps **swaps, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_swaps_valid(border, nowned, nnode, me, nrank, error));
    int64_t nsend = 0;
    for (int32_t s = 0; s < border->nswap; s++) {
        nsend += border->sendnum[s];
    }
    struct swaps_arrays a;
    DGNN_TRY(swaps_allocate(&a, border->nswap, nsend, error));
    a.recv_first[0] = nowned;
    for (int32_t s = 0; s < border->nswap; s++) {
        a.send_rank[s] = border->sendproc[s];
        a.recv_rank[s] = border->recvproc[s];
        a.send_first[s + 1] = a.send_first[s] + border->sendnum[s];
        a.recv_first[s + 1] = a.recv_first[s] + border->recvnum[s];
        for (int32_t k = 0; k < border->sendnum[s]; k++) {
            a.send_row[a.send_first[s] + k] = border->sendlist[s][k];
        }
    }
    swaps_finish(&a, me, nrank);
    *swaps = a.swaps;
    return DGNN_OK;
}

/* ------------------------------------------------------------------ NULL atoms */

int dgnn_swaps_remap(const struct dgnn_swaps *swaps, const int32_t *new_row, struct dgnn_swaps **remapped,
                     struct dgnn_error *error)
{
    struct swaps_arrays a;
    int64_t sent = 0;
    DGNN_TRY(swaps_allocate(&a, swaps->nswap, swaps->send_first[swaps->nswap], error));
    a.recv_first[0] = dgnn_rows_count_kept(new_row, 0, swaps->nowned);
    for (int32_t s = 0; s < swaps->nswap; s++) {
        const int32_t *list = swaps->send_row + swaps->send_first[s];
        a.send_rank[s] = swaps->send_rank[s];
        a.recv_rank[s] = swaps->recv_rank[s];
        sent += dgnn_rows_keep(list, dgnn_swaps_nsend(swaps, s), new_row, a.send_row + sent);
        a.send_first[s + 1] = sent;
        a.recv_first[s + 1] =
            a.recv_first[s] + dgnn_rows_count_kept(new_row, swaps->recv_first[s], swaps->recv_first[s + 1]);
    }
    swaps_finish(&a, swaps->me, swaps->nrank);
    *remapped = a.swaps;
    return DGNN_OK;
}

void dgnn_swaps_free(struct dgnn_swaps *swaps)
{
    /* The struct is the head of the one block. */
    dgnn_alloc_free(swaps);
}
