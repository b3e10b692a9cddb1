/* Collectives out of a transport's alltoallv, whose messages are those of the pairs that have something for
 * one another. In each of these a rank has a number of partners that grows with the logarithm of the ranks.
 */
#include "comm/transport_inside.h"

#include <string.h>

/* ------------------------------------------------------------------ a number for each rank */

/* Where there are more ranks than this, numbers travel by way of other ranks. A rank that is k away, in
 * digits of this base, is reached in a step for each digit: units, eights, ... */
enum { COLLECT_BASE = 8 };

/* A number on its way. */
struct collect_letter {
    int32_t from, to;
    int64_t number;
};

/* Held by a rank after the step of units of m: letters of the m ranks up to it, each for one of the ranks
 * that are a multiple of m away. These are fewer than twice the ranks: m (nrank / m + 1), and nrank where m
 * is not smaller. */
struct collect_post {
    int64_t me, nrank, unit;
    int64_t *to, *from;                              /* nrank: 1 for a partner of this step */
    int64_t *out, *in;                               /* nrank: letters for and from each */
    int64_t told[COLLECT_BASE], heard[COLLECT_BASE]; /* of these, the partners', packed */
    struct collect_letter *held, *sent;              /* 2 nrank each */
    int64_t nheld;
};

_Static_assert(4 * sizeof(int64_t) + 4 * sizeof(struct collect_letter) <= DGNN_TRANSPORT_SCRATCH,
               "letters must fit into the scratch block");

static struct collect_post collect_begin(const struct dgnn_comm *comm)
{
    struct collect_post p = {.me = comm->transport.rank, .nrank = comm->transport.nrank, .unit = 1};
    p.to = comm->scratch;
    p.from = p.to + p.nrank;
    p.out = p.from + p.nrank;
    p.in = p.out + p.nrank;
    p.held = (struct collect_letter *)(void *)(p.in + p.nrank);
    p.sent = p.held + 2 * p.nrank;
    return p;
}

static int64_t collect_next(const struct collect_post *p, int32_t to)
{
    int64_t away = (to - p->me + p->nrank) % p->nrank;
    return (p->me + away / p->unit % COLLECT_BASE * p->unit) % p->nrank;
}

/* Letters that go on in this step, in the order of ranks, away from those that stay. */
static void collect_sort(struct collect_post *p)
{
    int64_t *place = p->in, sum = 0, stay = 0;
    memset(p->out, 0, (size_t)p->nrank * sizeof(*p->out));
    for (int64_t k = 0; k < p->nheld; k++) {
        p->out[collect_next(p, p->held[k].to)]++;
    }
    p->out[p->me] = 0;
    for (int64_t r = 0; r < p->nrank; r++) {
        place[r] = sum;
        sum += p->out[r];
    }
    for (int64_t k = 0; k < p->nheld; k++) {
        int64_t next = collect_next(p, p->held[k].to);
        *(next == p->me ? &p->held[stay++] : &p->sent[place[next]++]) = p->held[k];
    }
    p->nheld = stay;
}

static int collect_step(struct dgnn_comm *comm, struct collect_post *p, struct dgnn_error *error)
{
    int64_t npartner = 0, nheard = 0;
    collect_sort(p);
    memset(p->to, 0, 2 * (size_t)p->nrank * sizeof(*p->to));
    for (int64_t away = p->unit; away < p->nrank && away < COLLECT_BASE * p->unit; away += p->unit) {
        p->to[(p->me + away) % p->nrank] = 1;
        p->from[(p->me - away + p->nrank) % p->nrank] = 1;
    }
    for (int64_t r = 0; r < p->nrank; r++) {
        if (p->to[r]) {
            p->told[npartner++] = p->out[r];
        }
    }
    DGNN_TRY(dgnn_transport_alltoallv(comm, p->told, p->to, p->heard, p->from, sizeof(int64_t), error));
    for (int64_t r = 0; r < p->nrank; r++) {
        p->in[r] = p->from[r] ? p->heard[nheard++] : 0;
    }
    DGNN_TRY(
        dgnn_transport_alltoallv(comm, p->sent, p->out, p->held + p->nheld, p->in, sizeof(*p->held), error));
    for (int64_t r = 0; r < p->nrank; r++) {
        p->nheld += p->in[r];
    }
    return DGNN_OK;
}

static int collect_travel(struct dgnn_comm *comm, const int64_t *send, int64_t *receive,
                          struct dgnn_error *error)
{
    struct collect_post p = collect_begin(comm);
    for (int64_t r = 0; r < p.nrank; r++) {
        receive[r] = r == p.me ? send[r] : 0;
        if (r != p.me && send[r]) {
            p.held[p.nheld++] = (struct collect_letter){(int32_t)p.me, (int32_t)r, send[r]};
        }
    }
    for (; p.unit < p.nrank; p.unit *= COLLECT_BASE) {
        DGNN_TRY(collect_step(comm, &p, error));
    }
    for (int64_t k = 0; k < p.nheld; k++) {
        receive[p.held[k].from] = p.held[k].number;
    }
    return DGNN_OK;
}

int dgnn_transport_alltoall(struct dgnn_comm *comm, const int64_t *send, int64_t *receive,
                            struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    if (nrank > COLLECT_BASE) {
        return collect_travel(comm, send, receive, error);
    }
    int64_t one[COLLECT_BASE] = {1, 1, 1, 1, 1, 1, 1, 1};
    return dgnn_transport_alltoallv(comm, send, one, receive, one, sizeof(int64_t), error);
}

/* ------------------------------------------------------------------ rounds of one message */

/* A round in which each rank sends to one rank at most and hears from one: -1 for none. */
struct collect_round {
    int32_t to, from;
    const void *out;
    void *in;
    int64_t nbytes;
};

static int collect_pass(struct dgnn_comm *comm, const struct collect_round *round, struct dgnn_error *error)
{
    int32_t nrank = comm->transport.nrank;
    int64_t *send = comm->scratch, *receive = send + nrank;
    memset(send, 0, 2 * (size_t)nrank * sizeof(*send));
    if (round->to >= 0) {
        send[round->to] = round->nbytes;
    }
    if (round->from >= 0) {
        receive[round->from] = round->nbytes;
    }
    return dgnn_transport_alltoallv(comm, round->out, send, round->in, receive, 1, error);
}

/* After the round of distance d, each rank has the sum of itself and the 2 d - 1 ranks below. */
int dgnn_transport_scan(struct dgnn_comm *comm, int64_t value, int64_t *before, struct dgnn_error *error)
{
    int32_t me = dgnn_transport_rank(comm), nrank = dgnn_transport_nrank(comm);
    int64_t all = value;
    for (int64_t d = 1; d < nrank; d *= 2) {
        int64_t below = 0;
        const struct collect_round round = {.to = me + d < nrank ? (int32_t)(me + d) : -1,
                                            .from = me >= d ? (int32_t)(me - d) : -1,
                                            .out = &all,
                                            .in = &below,
                                            .nbytes = sizeof(all)};
        DGNN_TRY(collect_pass(comm, &round, error));
        all += below;
    }
    *before = all - value;
    return DGNN_OK;
}

/* ------------------------------------------------------------------ up a tree and down again */

/* The binary tree. At distance d = 1, 2, 4, ... each rank whose number is an odd multiple of d has its place
 * below the rank d lower. -1: none. */
static int32_t collect_above(int64_t me, int64_t d)
{
    return me % (2 * d) == d ? (int32_t)(me - d) : -1;
}

static int32_t collect_below(int64_t me, int64_t d, int64_t nrank)
{
    return me % (2 * d) == 0 && me + d < nrank ? (int32_t)(me + d) : -1;
}

enum { COLLECT_AT_ONCE = 64 };

/* Numbers of 8 bytes, and what a rank makes of its own and of those that it hears. */
struct collect_numbers {
    void *values;
    int64_t n;
    void (*take)(void *values, const void *heard, int64_t n);
};

static void collect_take_sum(void *values, const void *heard, int64_t n)
{
    double *own = values, other;
    for (int64_t k = 0; k < n; k++) {
        memcpy(&other, (const char *)heard + k * (int64_t)sizeof(other), sizeof(other));
        own[k] += other;
    }
}

static void collect_take_count(void *values, const void *heard, int64_t n)
{
    int64_t *own = values;
    const int64_t *other = heard;
    for (int64_t k = 0; k < n; k++) {
        own[k] += other[k];
    }
}

static void collect_take_max(void *values, const void *heard, int64_t n)
{
    int64_t *own = values;
    const int64_t *other = heard;
    for (int64_t k = 0; k < n; k++) {
        own[k] = own[k] > other[k] ? own[k] : other[k];
    }
}

static void collect_take_min(void *values, const void *heard, int64_t n)
{
    int64_t *own = values;
    const int64_t *other = heard;
    for (int64_t k = 0; k < n; k++) {
        own[k] = own[k] < other[k] ? own[k] : other[k];
    }
}

/* At most COLLECT_AT_ONCE numbers. */
static int collect_tree(struct dgnn_comm *comm, const struct collect_numbers *numbers,
                        struct dgnn_error *error)
{
    int64_t heard[COLLECT_AT_ONCE];
    int64_t me = comm->transport.rank, nrank = comm->transport.nrank, d = 1;
    struct collect_round round = {
        .out = numbers->values, .in = heard, .nbytes = numbers->n * (int64_t)sizeof(*heard)};
    for (; d < nrank; d *= 2) {
        round.to = collect_above(me, d);
        round.from = collect_below(me, d, nrank);
        DGNN_TRY(collect_pass(comm, &round, error));
        if (round.from >= 0) {
            numbers->take(numbers->values, heard, numbers->n);
        }
    }
    for (d /= 2; d >= 1; d /= 2) {
        round.to = collect_below(me, d, nrank);
        round.from = collect_above(me, d);
        DGNN_TRY(collect_pass(comm, &round, error));
        if (round.from >= 0) {
            memcpy(numbers->values, heard, (size_t)round.nbytes);
        }
    }
    return DGNN_OK;
}

int dgnn_transport_sum(struct dgnn_comm *comm, double *values, int64_t nvalue, struct dgnn_error *error)
{
    for (int64_t start = 0; comm && start < nvalue; start += COLLECT_AT_ONCE) {
        int64_t left = nvalue - start;
        const struct collect_numbers numbers = {
            values + start, left < COLLECT_AT_ONCE ? left : COLLECT_AT_ONCE, collect_take_sum};
        DGNN_TRY(collect_tree(comm, &numbers, error));
    }
    return DGNN_OK;
}

int dgnn_transport_reduce_in_tree(struct dgnn_comm *comm, int64_t *values, int64_t nvalue,
                                  enum dgnn_reduction reduction, struct dgnn_error *error)
{
    for (int64_t start = 0; start < nvalue; start += COLLECT_AT_ONCE) {
        int64_t left = nvalue - start;
        const struct collect_numbers numbers = {values + start,
                                                left < COLLECT_AT_ONCE ? left : COLLECT_AT_ONCE,
                                                reduction == DGNN_REDUCE_SUM   ? collect_take_count
                                                : reduction == DGNN_REDUCE_MAX ? collect_take_max
                                                                               : collect_take_min};
        DGNN_TRY(collect_tree(comm, &numbers, error));
    }
    return DGNN_OK;
}
