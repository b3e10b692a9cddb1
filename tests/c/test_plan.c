/* Plans: what is refused and in which words, NULL atoms, doubled lists, and thousands of damaged plans on
 * ranks that are threads. DGNN_TEST_MUTATIONS: how many (default 12000 of borders and 6000 of direct plans).
 */
#include "check.h"

#include "base/alloc.h"
#include "comm/check.h"
#include "comm/spin_rows.h"
#include "brick.h"
#include "random.h"
#include "ranks.h"

static struct dgnn_error error;

/* ------------------------------------------------------------------ words */

static void test_border_words(void)
{
    int32_t send[2] = {1, 0}, recv[2] = {1, 0}, sendnum[2] = {1, 2}, recvnum[2] = {2, 2}, first[2] = {3, 5};
    int32_t list0[] = {2}, list1[] = {0, 4};
    const int32_t *lists[] = {list0, list1};
    struct dgnn_border b = {2, send, recv, sendnum, recvnum, lists, first};
#define BORDER(text) CHECK_STATUS(dgnn_swaps_valid(&b, 3, 7, 0, 2, &error), DGNN_ERROR_INPUT, text)
#define WITH(lvalue, value, text)                                                                            \
    do {                                                                                                     \
        int32_t kept = (lvalue);                                                                             \
        (lvalue) = (value);                                                                                  \
        BORDER(text);                                                                                        \
        (lvalue) = kept;                                                                                     \
    } while (0)
    CHECK_STATUS(dgnn_swaps_valid(&b, 3, 7, 0, 2, &error), DGNN_OK, "");
    WITH(b.nswap, -1, "border: nswap is -1");
    WITH(sendnum[0], -3, ": swap 0: sendnum is -3");
    WITH(recvnum[1], -3, ": swap 1: recvnum is -3");
    WITH(recvnum[1], INT32_MAX, "swap 1: recvnum is 2147483647");
    WITH(recvnum[0], 1, "swap 1: firstrecv is 5, expected 4");
    WITH(first[0], 4, "swap 0: firstrecv is 4, expected 3");
    WITH(list1[1], 5, "swap 1: sendlist[1] is row 5, expected one in [0, 5)");
    WITH(list0[0], -1, "swap 0: sendlist[0] is row -1");
    WITH(send[0], 2, "swap 0: sendproc is 2, expected a rank in [0, 2)");
    WITH(recv[0], -1, "swap 0: recvproc is -1");
    WITH(send[1], 1, "swap 1: sendproc is 1 and recvproc 0, expected both or neither");
    WITH(sendnum[1], 1, "swap 1 is with the rank itself: sendnum is 1 and recvnum 2");
    CHECK_STATUS(dgnn_swaps_valid(&b, 3, 8, 0, 2, &error), DGNN_ERROR_INPUT,
                 "4 rows in all, expected one for each of "
                 "the 5");
    CHECK_STATUS(dgnn_swaps_valid(&b, 8, 7, 0, 2, &error), DGNN_ERROR_INPUT, "8 owned of 7 rows");
    lists[0] = NULL;
    BORDER("swap 0: sendlist is missing, expected 1 rows");
    b.sendnum = NULL;
    BORDER("sendlist are needed for 2 swaps");
}

static void test_direct_words(void)
{
    int32_t rank[2] = {2, 0}, send_row[3] = {0, 1, 1}, recv_row[3] = {4, 2, 3};
    int64_t send_first[3] = {0, 2, 3}, recv_first[3] = {0, 2, 3};
    struct dgnn_direct d = {2, rank, send_first, send_row, recv_first, recv_row};
#define DIRECT(text) CHECK_STATUS(dgnn_plan_valid(&d, 2, 5, 0, 3, &error), DGNN_ERROR_INPUT, text)
#define BUT(lvalue, value, text)                                                                             \
    do {                                                                                                     \
        int64_t kept = (lvalue);                                                                             \
        (lvalue) = (value);                                                                                  \
        DIRECT(text);                                                                                        \
        (lvalue) = kept;                                                                                     \
    } while (0)
    CHECK_STATUS(dgnn_plan_valid(&d, 2, 5, 0, 3, &error), DGNN_OK, "");
    BUT(d.nneighbour, 4, ": nneighbour is 4");
    BUT(rank[0], 3, "rank[0] is 3, expected a rank in [0, 3)");
    BUT(rank[0], 0, "rank[0] and rank[1] are both 0");
    BUT(send_first[0], 1, "send_first[0] is 1, expected 0");
    BUT(recv_first[1], 4, "recv_first of neighbour 1 (rank 0) goes from 4 to 3");
    BUT(send_row[1], 2, "neighbour 0 (rank 2): send_row[1] is 2, expected a row in [0, 2)");
    BUT(recv_row[2], 1, "neighbour 1 (rank 0): recv_row[2] is 1, expected a row in [2, 5)");
    BUT(recv_row[2], 4, "recv_row[2]: ghost row 4 comes a second time");
    BUT(send_first[1], 1, "neighbour 1 is the rank itself: send_first counts 2 rows, recv_first 1");
    CHECK_STATUS(dgnn_plan_valid(&d, 2, 6, 0, 3, &error), DGNN_ERROR_INPUT,
                 "3 rows, expected one for each of the 4");
    CHECK_STATUS(dgnn_plan_valid(&d, 6, 5, 0, 3, &error), DGNN_ERROR_INPUT, "direct plan: 6 owned of 5 rows");
    CHECK_STATUS(dgnn_plan_valid(&d, -1, 5, 0, 3, &error), DGNN_ERROR_INPUT, "direct plan: -1 owned");
    CHECK_STATUS(dgnn_plan_valid(&d, 1, INT64_MAX, 0, 3, &error), DGNN_ERROR_INPUT, "all < 2^31");
    d.recv_row = NULL;
    DIRECT("recv_row is missing");
}

/* ------------------------------------------------------------------ golden vectors */

static void test_g5_doubled_list(void)
{
    const int64_t first[] = {0, 3, 6};
    const int32_t neighbour[] = {1, 2, -1, 0, 2, -1};
    const int32_t expected[] = {2, 1, 4, -1, 3, 5, -1, 3, 0, 4, -1, 2, 5, -1,
                                0, 1, 4, -1, 3, 5, -1, 1, 0, 4, -1, 2, 5, -1};
    int64_t out_first[5];
    int32_t out[28];
    dgnn_spin_neighbours(first, neighbour, 2, out_first, out);
    CHECK(memcmp(out, expected, sizeof(expected)) == 0);
    for (int i = 0; i < 5; i++) {
        CHECK(out_first[i] == 7 * i);
    }
}

/* Rows of the lists, and the windows of the same atoms on one rank each: the contract's windows overlap,
 * which no plan may, so they are counted apart. */
static void test_g6_remap(void)
{
    const int32_t new_row[] = {0, 1, 2, 3, -1, 4, 5, -1, 6, -1};
    const int32_t zero[2] = {0}, num[] = {3, 4}, list0[] = {2, 4, 5}, list1[] = {6, 7, 8, 9};
    const int32_t *const lists[] = {list0, list1};
    const int32_t other[] = {1, 1}, none[] = {0, 0};
    struct dgnn_swaps *swaps, *kept;
    /* The lists alone: every row is owned. */
    const struct dgnn_border sends = {2, other, other, num, none, lists, NULL};
    CHECK_STATUS(dgnn_swaps_create(&sends, 10, 10, 0, 2, &swaps, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_swaps_remap(swaps, new_row, &kept, &error), DGNN_OK, "");
    CHECK(kept->nowned == 7 && kept->nnode == 7 && kept->send_first[1] == 2 && kept->send_first[2] == 4);
    const int32_t expected[] = {2, 4, 5, 6};
    CHECK(memcmp(kept->send_row, expected, sizeof(expected)) == 0);
    dgnn_swaps_free(kept);
    dgnn_swaps_free(swaps);
    /* The windows [6, 8) and then [8, 10), and [7, 10) on its own. */
    for (int32_t from = 6; from < 8; from++) {
        const int32_t recvnum[] = {from == 6 ? 2 : 3, from == 6 ? 2 : 0};
        const struct dgnn_border receives = {2, other, other, none, recvnum, lists, NULL};
        CHECK_STATUS(dgnn_swaps_create(&receives, from, 10, 0, 2, &swaps, &error), DGNN_OK, "");
        CHECK_STATUS(dgnn_swaps_remap(swaps, new_row, &kept, &error), DGNN_OK, "");
        CHECK(kept->recv_first[1] - kept->recv_first[0] == 1);
        dgnn_swaps_free(kept);
        dgnn_swaps_free(swaps);
    }
    const int32_t overlap[] = {6, 7}, windows[] = {2, 3};
    const struct dgnn_border bad = {2, zero, zero, windows, windows, lists, overlap};
    CHECK_STATUS(dgnn_swaps_valid(&bad, 6, 10, 0, 1, &error), DGNN_ERROR_INPUT, "firstrecv is 7, expected 8");
}

/* ------------------------------------------------------------------ NULL atoms on ranks */

struct null_job {
    const struct brick_world *world;
    uint64_t seed;
    int status[8];
    int64_t wrong[8];
};

static int null_atom(const struct null_job *job, int64_t id)
{
    return random_hash(job->seed + (uint64_t)id) % 3 == 0;
}

/* Ids of the atoms that are left travel over remapped plans. */
static int null_check(const struct null_job *job, const struct brick_rank *r, struct dgnn_exchange *x,
                      int64_t *rows, int64_t *wrong, struct dgnn_error *local)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->nnode; i++) {
        if (!null_atom(job, r->id[i])) {
            rows[n++] = i < r->nowned ? r->id[i] : -1;
        }
    }
    DGNN_TRY(dgnn_exchange_forward_begin(x, rows, 1, 8, local));
    DGNN_TRY(dgnn_exchange_forward_end(x, local));
    DGNN_TRY(dgnn_exchange_settle(x, local));
    n = 0;
    for (int64_t i = 0; i < r->nnode; i++) {
        if (!null_atom(job, r->id[i])) {
            *wrong += rows[n++] != r->id[i];
        }
    }
    return DGNN_OK;
}

static void null_body(struct ranks_rank *rank)
{
    struct null_job *job = rank->data;
    const struct brick_rank *r = &job->world->rank[rank->rank];
    struct dgnn_error local;
    struct dgnn_direct direct;
    struct dgnn_plan *plan = NULL, *plan_kept = NULL;
    struct dgnn_swaps *swaps = NULL, *swaps_kept = NULL;
    struct dgnn_exchange *x[2] = {NULL};
    int64_t *rows = malloc((size_t)(r->nnode + 1) * sizeof(*rows));
    int32_t *new_row = malloc((size_t)(r->nnode + 1) * sizeof(*new_row));
    int32_t left = 0;
    for (int64_t i = 0; i < r->nnode; i++) {
        new_row[i] = null_atom(job, r->id[i]) ? -1 : left++;
    }
    brick_direct(job->world, rank->rank, &direct);
    int status = dgnn_plan_create(&direct, r->nowned, r->nnode, rank->rank, rank->nrank, &plan, &local);
    status = status ? status : dgnn_plan_remap(plan, new_row, &plan_kept, &local);
    status = dgnn_check_plan(rank->comm, "null", plan_kept, status, &local);
    status =
        status ? status
               : dgnn_swaps_create(&r->border, r->nowned, r->nnode, rank->rank, rank->nrank, &swaps, &local);
    status = status ? status : dgnn_swaps_remap(swaps, new_row, &swaps_kept, &local);
    status = dgnn_check_swaps(rank->comm, "null", swaps_kept, status, &local);
    status = status ? status : dgnn_exchange_create_direct(plan_kept, rank->comm, 0, &x[0], &local);
    status = status ? status : dgnn_exchange_create_swaps(swaps_kept, rank->comm, 0, &x[1], &local);
    for (int kind = 0; kind < 2 && !status; kind++) {
        status = null_check(job, r, x[kind], rows, &job->wrong[rank->rank], &local);
    }
    job->status[rank->rank] = status;
    dgnn_exchange_free(x[0]);
    dgnn_exchange_free(x[1]);
    dgnn_plan_free(plan);
    dgnn_plan_free(plan_kept);
    dgnn_swaps_free(swaps);
    dgnn_swaps_free(swaps_kept);
    brick_direct_free(&direct);
    free(rows);
    free(new_row);
}

static void test_null_on_ranks(void)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct brick_world *world =
            brick_create_random(1 + (int32_t)(seed % 8), (int32_t)(seed % 9), 50 + seed);
        struct null_job job = {.world = world, .seed = seed * 1000};
        ranks_run(world->nrank, 20, null_body, &job);
        for (int32_t r = 0; r < world->nrank; r++) {
            CHECK(job.status[r] == DGNN_OK && job.wrong[r] == 0);
        }
        brick_free(world);
    }
}

/* ------------------------------------------------------------------ damaged plans */

enum { MUTATIONS = 50, MAX_ROWS = 400 };

/* One rank's border or direct plan with one thing wrong in it. */
struct mutant {
    int32_t rank;
    int64_t nowned;
    int64_t nnode;
    struct dgnn_border border;
    int32_t sendproc[16], recvproc[16], sendnum[16], recvnum[16], firstrecv[16];
    int32_t rows[16][16];
    const int32_t *lists[16];
    struct dgnn_direct direct;
    int32_t neighbour[8], send_row[MAX_ROWS], recv_row[MAX_ROWS];
    int64_t send_first[10], recv_first[10];
};

struct mutant_job {
    const struct brick_world *world;
    int direct;
    struct mutant mutant[MUTATIONS + 1]; /* the last one is sound: the communicator is usable after all that
                                          */
    int status[8][MUTATIONS + 1];
    char message[8][MUTATIONS + 1][256];
};

static void mutant_copy(const struct brick_world *world, int32_t rank, struct mutant *m)
{
    const struct brick_rank *r = &world->rank[rank];
    memset(m, 0, sizeof(*m));
    m->rank = rank;
    m->nowned = r->nowned;
    m->nnode = r->nnode;
    m->border = (struct dgnn_border){r->border.nswap, m->sendproc, m->recvproc, m->sendnum,
                                     m->recvnum,      m->lists,    m->firstrecv};
    for (int32_t s = 0; s < r->border.nswap; s++) {
        m->sendproc[s] = r->sendproc[s];
        m->recvproc[s] = r->recvproc[s];
        m->sendnum[s] = r->sendnum[s];
        m->recvnum[s] = r->recvnum[s];
        m->firstrecv[s] = r->firstrecv[s];
        memcpy(m->rows[s], r->sendlist[s], (size_t)r->sendnum[s] * sizeof(int32_t));
    }
    for (int32_t s = 0; s < 16; s++) {
        m->lists[s] = m->rows[s];
    }
    struct dgnn_direct d;
    brick_direct(world, rank, &d);
    memcpy(m->neighbour, d.rank, (size_t)d.nneighbour * sizeof(int32_t));
    memcpy(m->send_first, d.send_first, (size_t)(d.nneighbour + 1) * sizeof(int64_t));
    memcpy(m->recv_first, d.recv_first, (size_t)(d.nneighbour + 1) * sizeof(int64_t));
    memcpy(m->send_row, d.send_row, (size_t)d.send_first[d.nneighbour] * sizeof(int32_t));
    memcpy(m->recv_row, d.recv_row, (size_t)d.recv_first[d.nneighbour] * sizeof(int32_t));
    m->direct = (struct dgnn_direct){d.nneighbour, m->neighbour,  m->send_first,
                                     m->send_row,  m->recv_first, m->recv_row};
    brick_direct_free(&d);
}

/* A number of rows fewer or more in a window; locally all fits, so that only the other rank can tell. */
static void mutate_window(struct mutant *m, int32_t s, int32_t by)
{
    m->recvnum[s] += by;
    m->nnode += by;
    for (int32_t t = s + 1; t < m->border.nswap; t++) {
        m->firstrecv[t] += by;
    }
}

/* Of numbers of rows, and of ranks. */
static void mutate_numbers(struct mutant *m, int64_t kind, int32_t s, int32_t by, int32_t nrank,
                           uint64_t *state)
{
    static const int32_t wild[] = {-1, INT32_MIN, INT32_MAX};
    switch (kind) {
    case 0:
        m->sendnum[s] += 1;
        break;
    case 1:
        m->sendnum[s] -= 1;
        break;
    case 2:
        m->recvnum[s] += by;
        break;
    case 3:
        mutate_window(m, s, by);
        break;
    case 4:
        m->border.nswap += 1;
        m->firstrecv[m->border.nswap - 1] = (int32_t)m->nnode;
        m->sendproc[m->border.nswap - 1] = m->recvproc[m->border.nswap - 1] = m->rank;
        break;
    case 5:
        m->border.nswap -= 1;
        break;
    case 6:
        m->sendproc[s] = random_below(state, 2) ? nrank : wild[random_below(state, 3)];
        break;
    case 7:
        m->recvproc[s] = random_below(state, 2) ? nrank : wild[random_below(state, 3)];
        break;
    case 8:
        m->sendproc[s] = (m->sendproc[s] + 1 + (int32_t)random_below(state, nrank - 1)) % nrank;
        break;
    case 9:
        m->recvproc[s] = (m->recvproc[s] + 1 + (int32_t)random_below(state, nrank - 1)) % nrank;
        break;
    case 12:
        m->firstrecv[s] += by;
        break;
    case 13:
        m->nowned += by;
        break;
    default:
        m->nnode += by;
    }
}

/* Of the rows of swap s, of which some is one. False where this damage cannot be done here. */
static int mutate_rows(struct mutant *m, int64_t kind, int32_t s, int32_t t, int32_t some, uint64_t *state)
{
    static const int32_t wild[] = {-1, INT32_MIN, INT32_MAX};
    switch (kind) {
    case 10:
        m->rows[s][some] = m->firstrecv[s] + (int32_t)random_below(state, 4);
        return m->sendnum[s] > 0;
    case 11:
        m->rows[s][some] = wild[random_below(state, 3)];
        return m->sendnum[s] > 0;
    case 15:
        m->lists[s] = NULL;
        return m->sendnum[s] > 0;
    case 16:
        (random_below(state, 2) ? m->sendnum : m->recvnum)[s] = wild[random_below(state, 2)];
        return 1;
    default: {
        int32_t kept = m->sendnum[s];
        const int32_t *list = m->lists[s];
        m->sendnum[s] = m->sendnum[t];
        m->lists[s] = m->lists[t];
        m->sendnum[t] = kept;
        m->lists[t] = list;
        return m->sendnum[s] != m->sendnum[t];
    }
    }
}

/* False where this damage cannot be done here. */
static int mutate_border(struct mutant *m, int32_t nrank, uint64_t *state)
{
    int32_t s = (int32_t)random_below(state, m->border.nswap);
    int32_t t = (int32_t)random_below(state, m->border.nswap);
    int32_t some = m->sendnum[s] > 0 ? (int32_t)random_below(state, m->sendnum[s]) : 0;
    int32_t by = random_below(state, 2) ? 1 : -1;
    int64_t kind = random_below(state, 18);
    if (kind == 10 || kind == 11 || kind > 14) {
        return mutate_rows(m, kind, s, t, some, state);
    }
    mutate_numbers(m, kind, s, by, nrank, state);
    return 1;
}

static int mutate_direct(struct mutant *m, int32_t nrank, uint64_t *state)
{
    static const int32_t wild[] = {-1, INT32_MIN, INT32_MAX};
    int32_t n = (int32_t)random_below(state, m->direct.nneighbour);
    int32_t by = random_below(state, 2) ? 1 : -1;
    int64_t nsend = m->send_first[m->direct.nneighbour], nrecv = m->recv_first[m->direct.nneighbour];
    int64_t sent = nsend > 0 ? random_below(state, nsend) : 0,
            received = nrecv > 0 ? random_below(state, nrecv) : 0;
    switch (random_below(state, 13)) {
    case 0:
        m->send_first[n + 1] += by;
        return 1;
    case 1:
        m->recv_first[n + 1] += by;
        return 1;
    case 2:
        m->send_first[0] += by;
        return 1;
    case 3:
        m->neighbour[n] = random_below(state, 2) ? nrank : wild[random_below(state, 3)];
        return 1;
    case 4:
        m->neighbour[n] = (m->neighbour[n] + 1) % nrank;
        return 1;
    case 5:
        m->direct.nneighbour -= 1;
        return 1;
    case 6:
        m->send_row[sent] = (int32_t)m->nowned + (int32_t)random_below(state, 3);
        return nsend > 0;
    case 7:
        m->send_row[sent] = wild[random_below(state, 3)];
        return nsend > 0;
    case 8:
        m->recv_row[received] = (int32_t)m->nowned - 1;
        return nrecv > 0;
    case 9:
        m->recv_row[received] = (int32_t)m->nnode;
        return nrecv > 0;
    case 10:
        m->recv_row[received] = m->recv_row[nrecv > 1 ? (received + 1) % nrecv : 0];
        return nrecv > 1;
    case 11:
        m->nnode += by;
        return 1;
    default:
        m->nowned += by;
        return nrecv > 0;
    }
}

static void mutant_body(struct ranks_rank *rank)
{
    struct mutant_job *job = rank->data;
    static _Thread_local struct mutant mine;
    mutant_copy(job->world, rank->rank, &mine);
    for (int i = 0; i <= MUTATIONS; i++) {
        const struct mutant *m = job->mutant[i].rank == rank->rank ? &job->mutant[i] : &mine;
        struct dgnn_error local = {0};
        struct dgnn_swaps *swaps = NULL;
        struct dgnn_plan *plan = NULL;
        int status;
        if (job->direct) {
            status =
                dgnn_plan_create(&m->direct, m->nowned, m->nnode, rank->rank, rank->nrank, &plan, &local);
            status = dgnn_check_plan(rank->comm, "plan", plan, status, &local);
        } else {
            status =
                dgnn_swaps_create(&m->border, m->nowned, m->nnode, rank->rank, rank->nrank, &swaps, &local);
            status = dgnn_check_swaps(rank->comm, "plan", swaps, status, &local);
        }
        job->status[rank->rank][i] = status;
        snprintf(job->message[rank->rank][i], sizeof(job->message[0][0]), "%.255s",
                 status ? local.message : "");
        dgnn_swaps_free(swaps);
        dgnn_plan_free(plan);
    }
}

/* A world and MUTATIONS damaged forms of it: all refused, in the same words on all ranks. Returns how many
 * were made, 0 where the world has nothing to damage. */
static int mutants_of_world(struct mutant_job *job, uint64_t seed, int64_t *accepted, int64_t *unequal)
{
    uint64_t state = seed;
    struct brick_world *world = brick_create_random(2 + (int32_t)(seed % 7), 1 + (int32_t)(seed % 10), seed);
    int made = 0;
    job->world = world;
    for (int tries = 0; made < MUTATIONS && tries < 20 * MUTATIONS; tries++) {
        struct mutant *m = &job->mutant[made];
        mutant_copy(world, (int32_t)random_below(&state, world->nrank), m);
        if (job->direct) {
            made += m->direct.nneighbour > 0 && mutate_direct(m, world->nrank, &state);
        } else {
            made += mutate_border(m, world->nrank, &state);
        }
    }
    mutant_copy(world, 0, &job->mutant[MUTATIONS]);
    if (made == MUTATIONS) {
        ranks_run(world->nrank, 20, mutant_body, job);
        for (int32_t r = 0; r < world->nrank; r++) {
            for (int i = 0; i < MUTATIONS; i++) {
                *accepted += job->status[r][i] != DGNN_ERROR_INPUT;
                *unequal += strcmp(job->message[r][i], job->message[0][i]) != 0;
            }
            CHECK(job->status[r][MUTATIONS] == DGNN_OK);
        }
    }
    brick_free(world);
    return made == MUTATIONS ? made : 0;
}

static void test_mutations(int direct, int64_t wanted)
{
    static struct mutant_job job;
    int64_t made = 0, accepted = 0, unequal = 0;
    job.direct = direct;
    for (uint64_t seed = 1; made < wanted; seed++) {
        made += mutants_of_world(&job, seed, &accepted, &unequal);
    }
    printf("damaged %s: %lld, accepted %lld, told differently %lld\n", direct ? "direct plans" : "borders",
           (long long)made, (long long)accepted, (long long)unequal);
    CHECK(accepted == 0);
    CHECK(unequal == 0);
}

/* ------------------------------------------------------------------ a valid but wrong row */

struct wrong_row_job {
    struct brick_world *world;
    int status[2];
    char message[2][256];
};

static void wrong_row_body(struct ranks_rank *rank)
{
    struct wrong_row_job *job = rank->data;
    const struct brick_rank *r = &job->world->rank[rank->rank];
    struct dgnn_error local = {0};
    struct dgnn_swaps *swaps = NULL;
    struct dgnn_exchange *x = NULL;
    int status = dgnn_swaps_create(&r->border, r->nowned, r->nnode, rank->rank, rank->nrank, &swaps, &local);
    status = dgnn_check_swaps(rank->comm, "plan", swaps, status, &local);
    status =
        status ? status : dgnn_exchange_create_swaps(swaps, rank->comm, DGNN_EXCHANGE_GEOMETRY, &x, &local);
    const struct dgnn_check_values ids = {.what = "id", .value = r->id};
    status = status ? status : dgnn_check_rows(rank->comm, "plan", x, &ids, &local);
    job->status[rank->rank] = status;
    snprintf(job->message[rank->rank], sizeof(job->message[0]), "%.255s", status ? local.message : "");
    struct dgnn_comm_count count;
    dgnn_comm_counts(rank->comm, &count, 0);
    if (count.position_messages || count.forward_messages) {
        job->status[rank->rank] = -1; /* checks are no positions */
    }
    dgnn_exchange_free(x);
    dgnn_swaps_free(swaps);
}

static void test_wrong_row(void)
{
    const double x[4][3] = {{1, 1, 1}, {4, 1, 1}, {6, 1, 1}, {9, 1, 1}};
    const struct brick_grid grid = {{2, 1, 1}, {10, 10, 10}, {1, 1, 1}, 2};
    struct wrong_row_job job = {.world = brick_create(&grid, 4, x)};
    ranks_run(2, 20, wrong_row_body, &job);
    CHECK(job.status[0] == DGNN_OK && job.status[1] == DGNN_OK);
    struct brick_rank *first = &job.world->rank[0];
    CHECK(first->nowned == 2 && first->sendnum[0] > 0);
    first->sendlist[0][0] = 1 - first->sendlist[0][0];
    ranks_run(2, 20, wrong_row_body, &job);
    CHECK(job.status[0] == DGNN_ERROR_INPUT && job.status[1] == DGNN_ERROR_INPUT);
    CHECK(strstr(job.message[0], "rank 1: ids: ghost row 2 has id 0, but the plan brings an atom with id 1"));
    CHECK(strcmp(job.message[0], job.message[1]) == 0);
    brick_free(job.world);
}

int main(void)
{
    const char *given = getenv("DGNN_TEST_MUTATIONS");
    int64_t mutations = given ? atoll(given) : 12000;
    test_border_words();
    test_direct_words();
    test_g5_doubled_list();
    test_g6_remap();
    test_null_on_ranks();
    test_mutations(0, mutations);
    test_mutations(1, mutations / 2);
    test_wrong_row();
    CHECK(dgnn_alloc_live() == 0);
    return check_report();
}
