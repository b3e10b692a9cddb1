/* Ranks as threads, and the communicator on top: agreement, sums, deadlines, ranks that stop early. Run it
 * under ThreadSanitizer too. */
#include "check.h"

#include <time.h>

#include "base/alloc.h"
#include "random.h"
#include "ranks.h"

static struct dgnn_error error;

enum { RANKS = 4 };

/* What each rank found; checked when all have ended. */
struct outcome {
    int status[RANKS][4];
    char message[RANKS][4][300];
    double seconds[RANKS];
    int64_t wrong[RANKS];
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void note(struct outcome *o, int32_t rank, int step, int status, const struct dgnn_error *local)
{
    o->status[rank][step] = status;
    snprintf(o->message[rank][step], sizeof(o->message[0][0]), "%.299s", status ? local->message : "");
}

#define CHECK_STEP(o, rank, step, expected, text)                                                            \
    do {                                                                                                     \
        strcpy(error.message, (o).message[rank][step]);                                                      \
        CHECK_TEXT((o).status[rank][step], expected, error.message, text, #o);                               \
    } while (0)

/* ------------------------------------------------------------------ messages */

enum { ROUNDS = 500 };

/* A ring with persistent requests, and two messages of one tag to the same rank, which arrive in order. */
static void ring_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    int64_t out[2] = {0}, in[2] = {0};
    void *request[4] = {NULL};
    int32_t next = (rank->rank + 1) % rank->nrank, previous = (rank->rank + rank->nrank - 1) % rank->nrank;
    int status = DGNN_OK;
    for (int i = 0; i < 2 && !status; i++) {
        status = dgnn_transport_receive_create(rank->comm, &in[i], 8, previous, 1, &request[i], &local);
        status = status
                     ? status
                     : dgnn_transport_send_create(rank->comm, &out[i], 8, next, 1, &request[2 + i], &local);
    }
    for (int64_t round = 0; round < ROUNDS && !status; round++) {
        out[0] = 1000 * round + rank->rank;
        out[1] = -out[0];
        for (int i = 0; i < 4 && !status; i++) {
            status = dgnn_transport_start(rank->comm, request[i], &local);
        }
        status = status ? status : dgnn_transport_wait(rank->comm, request, 4, &local);
        o->wrong[rank->rank] += in[0] != 1000 * round + previous || in[1] != -in[0];
    }
    note(o, rank->rank, 0, status, &local);
    for (int i = 0; i < 4; i++) {
        dgnn_transport_request_free(rank->comm, &request[i]);
    }
}

static void test_ring(void)
{
    for (int32_t nrank = 1; nrank <= RANKS; nrank++) { /* 1: messages to the rank itself */
        struct outcome o = {0};
        ranks_run(nrank, 20, ring_body, &o);
        for (int32_t r = 0; r < nrank; r++) {
            CHECK_STEP(o, r, 0, DGNN_OK, "");
            CHECK(o.wrong[r] == 0);
        }
    }
}

static void test_request_misuse(void)
{
    struct dgnn_comm *comm;
    void *request = NULL;
    char byte = 0;
    CHECK_STATUS(dgnn_comm_create_threads(0, 1, &comm, &error), DGNN_ERROR_INPUT, "nrank is 0");
    CHECK_STATUS(dgnn_comm_create_threads(1, 0.2, &comm, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_transport_send_create(comm, &byte, 1, 1, 1, &request, &error), DGNN_ERROR_INPUT,
                 "rank 1 of 1");
    CHECK_STATUS(dgnn_transport_send_create(comm, &byte, -1, 0, 1, &request, &error), DGNN_ERROR_INPUT,
                 "-1 bytes");
    CHECK_STATUS(dgnn_transport_send_create(comm, &byte, 1, 0, 1, &request, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_OK, "");
    CHECK_STATUS(dgnn_transport_start(comm, request, &error), DGNN_ERROR_INTERNAL,
                 "before it was waited for");
    dgnn_transport_request_free(comm, &request); /* under way: withdrawn */
    dgnn_comm_free(comm);
    dgnn_comm_free(NULL);
}

/* ------------------------------------------------------------------ collectives */

/* Of ranks [first, end): the largest power of two of them, then the rest. */
static double sum_in_tree(int32_t first, int32_t end, int k)
{
    int32_t half = 1;
    while (2 * half < end - first) {
        half *= 2;
    }
    return end - first == 1 ? 1.0 / (3 + first * 70 + k)
                            : sum_in_tree(first, first + half, k) + sum_in_tree(first + half, end, k);
}

/* With the message library's all-reduce, and without, in dgnn's tree: 70 values go through it in two parts.
 */
static int reductions_good(struct dgnn_comm *comm, int *status, struct dgnn_error *local)
{
    int good = comm->transport.node_nrank == comm->transport.nrank &&
               comm->transport.node_rank == comm->transport.rank;
    int32_t me = comm->transport.rank, n = comm->transport.nrank;
    struct dgnn_transport whole = comm->transport;
    for (int with = 0; with < 2; with++) {
        int64_t values[3][70];
        for (int k = 0; k < 70; k++) {
            values[0][k] = values[1][k] = (k % 2 ? -1 : 1) * (me + 1) * (int64_t)k;
            values[2][k] = (int64_t)k * (me + 1);
        }
        comm->transport.allreduce = with ? whole.allreduce : NULL;
        for (int32_t what = DGNN_REDUCE_MAX; what <= DGNN_REDUCE_SUM; what++) {
            *status = *status
                          ? *status
                          : dgnn_transport_reduce(comm, values[what], 70, (enum dgnn_reduction)what, local);
        }
        for (int k = 0; k < 70; k++) {
            good &= values[0][k] == (k % 2 ? -1 : n) * (int64_t)k &&
                    values[1][k] == (k % 2 ? -n : 1) * (int64_t)k;
            good &= values[2][k] == (int64_t)k * n * (n + 1) / 2;
        }
    }
    comm->transport = whole;
    dgnn_comm_counts(comm, &(struct dgnn_comm_count){0}, 1);
    return good;
}

static void collective_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    double values[70], expected[70];
    int64_t send[RANKS], receive[RANKS];
    int status = DGNN_OK;
    for (int k = 0; k < 70; k++) {
        values[k] = 1.0 / (3 + rank->rank * 70 + k);
        expected[k] = sum_in_tree(0, rank->nrank, k);
    }
    o->wrong[rank->rank] += !reductions_good(rank->comm, &status, &local);
    status = status ? status : dgnn_transport_sum(rank->comm, values, 70, &local);
    o->wrong[rank->rank] += memcmp(values, expected, sizeof(values)) != 0;
    for (int32_t r = 0; r < rank->nrank; r++) {
        send[r] = 10 * rank->rank + r;
    }
    status = status ? status : dgnn_transport_alltoall(rank->comm, send, receive, &local);
    for (int32_t r = 0; r < rank->nrank; r++) {
        o->wrong[rank->rank] += receive[r] != 10 * r + rank->rank;
    }
    note(o, rank->rank, 0, status, &local);
    struct dgnn_comm_count count;
    dgnn_comm_counts(rank->comm, &count, 1);
    /* One number goes to each other rank; two chunks of sums to one rank above, and to those below. */
    int64_t tree = rank->rank > 0;
    for (int32_t d = 1; d < rank->nrank && rank->rank % (2 * d) == 0; d *= 2) {
        tree += rank->rank + d < rank->nrank;
    }
    o->wrong[rank->rank] += count.other_messages != rank->nrank - 1 + 2 * tree || count.forward_messages != 0;
    o->wrong[rank->rank] += count.bytes != 8 * (rank->nrank - 1) + 70 * 8 * tree;
    dgnn_comm_counts(rank->comm, &count, 0);
    o->wrong[rank->rank] += count.other_messages != 0;
}

static void test_collectives(void)
{
    for (int32_t nrank = 1; nrank <= RANKS; nrank++) {
        struct outcome o = {0};
        ranks_run(nrank, 20, collective_body, &o);
        for (int32_t r = 0; r < nrank; r++) {
            CHECK_STEP(o, r, 0, DGNN_OK, "");
            CHECK(o.wrong[r] == 0);
        }
    }
    double value = 3;
    CHECK_STATUS(dgnn_transport_sum(NULL, &value, 1, &error), DGNN_OK, "");
    CHECK(value == 3);
    error.message[0] = 0;
    CHECK(dgnn_transport_agree(NULL, "test", DGNN_ERROR_INPUT, &error) == DGNN_ERROR_INPUT);
}

/* ------------------------------------------------------------------ numbers for other ranks */

enum { POST_RANKS = 73, POST_KINDS = 5 };

struct post {
    int status[POST_RANKS];
    int64_t wrong[POST_RANKS], most[POST_RANKS];
};

/* What one rank has for another: nothing, something for few or for rank 0, or for all. */
static int64_t post_number(int kind, int64_t from, int64_t to)
{
    int64_t some = (int64_t)(random_hash((uint64_t)(1000 * from + to)) >> 1) - INT64_MAX / 2;
    return kind == 0   ? 0
           : kind == 1 ? some * (some % 16 == 0)
           : kind == 2 ? some * (to == 0)
           : kind == 3 ? some * (from == 1)
                       : some;
}

static void post_body(struct ranks_rank *rank)
{
    struct post *post = rank->data;
    struct dgnn_error local = {0};
    struct dgnn_comm_count count;
    int64_t send[POST_RANKS], receive[POST_RANKS];
    for (int kind = 0; kind < POST_KINDS; kind++) {
        for (int32_t r = 0; r < rank->nrank; r++) {
            send[r] = post_number(kind, rank->rank, r);
            receive[r] = -1;
        }
        int status = dgnn_transport_alltoall(rank->comm, send, receive, &local);
        post->status[rank->rank] |= status;
        dgnn_comm_counts(rank->comm, &count, 1);
        post->most[rank->rank] =
            count.bytes > post->most[rank->rank] && kind < 2 ? count.bytes : post->most[rank->rank];
        for (int32_t r = 0; r < rank->nrank; r++) {
            post->wrong[rank->rank] += receive[r] != post_number(kind, r, rank->rank);
        }
    }
}

/* As many ranks as have a number of one, two and three digits, and some between. */
static void test_post(void)
{
    static const int32_t ranks[] = {1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 63, 64, 65, 72, POST_RANKS};
    for (size_t k = 0; k < sizeof(ranks) / sizeof(ranks[0]); k++) {
        struct post post = {{0}, {0}, {0}};
        ranks_run(ranks[k], 60, post_body, &post);
        for (int32_t r = 0; r < ranks[k]; r++) {
            CHECK(post.status[r] == DGNN_OK && post.wrong[r] == 0);
            CHECK(post.most[r] < 72 * 8 || ranks[k] < 64); /* less than a number for each rank */
        }
    }
}

/* ------------------------------------------------------------------ agreement */

static void agree_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    int status = DGNN_OK;
    char text[900];
    memset(text, 'x', sizeof(text));
    text[899] = 0;
    if (rank->rank >= 1) { /* three fail, each in its own way; rank 1 is heard */
        status = rank->rank == 1 ? dgnn_status_set_errno(&local, 2, "opening a file") : DGNN_ERROR_MEMORY;
    }
    note(o, rank->rank, 0, dgnn_transport_agree(rank->comm, "compute", status, &local), &local);
    o->wrong[rank->rank] += local.system_errno != 2;
    const char *operation = rank->rank == 2 ? "compute_ghosted" : "compute";
    note(o, rank->rank, 1, dgnn_transport_agree(rank->comm, operation, DGNN_OK, &local), &local);
    note(o, rank->rank, 2, dgnn_transport_agree(rank->comm, "compute", DGNN_OK, &local), &local);
    status = rank->rank == 3 ? dgnn_status_set(&local, DGNN_ERROR_INPUT, "%s", text) : DGNN_OK;
    dgnn_transport_agree(rank->comm, "a name of an operation that is longer than there is room", status,
                         &local);
    o->wrong[rank->rank] += strlen(local.message) != strlen("rank 3: ") + DGNN_TRANSPORT_MESSAGE_LENGTH - 1;
}

static void test_agreement(void)
{
    struct outcome o = {0};
    ranks_run(RANKS, 20, agree_body, &o);
    for (int32_t r = 0; r < RANKS; r++) {
        CHECK_STEP(o, r, 0, DGNN_ERROR_SYSTEM, "rank 1: opening a file: No such file");
        CHECK_STEP(o, r, 1, DGNN_ERROR_INPUT, "rank 2 is in compute_ghosted while rank 0 is in compute");
        CHECK_STEP(o, r, 2, DGNN_OK, "");
        CHECK(o.wrong[r] == 0);
    }
}

/* One rank believes that it is a step ahead. */
static void out_of_step_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    rank->comm->sequence += rank->rank == 1;
    note(o, rank->rank, 0, dgnn_transport_agree(rank->comm, "compute", DGNN_OK, &local), &local);
    note(o, rank->rank, 1, dgnn_transport_agree(rank->comm, "compute", DGNN_OK, &local), &local);
}

static void test_out_of_step(void)
{
    struct outcome o = {0};
    ranks_run(3, 20, out_of_step_body, &o);
    for (int32_t r = 0; r < 3; r++) {
        CHECK_STEP(o, r, 0, DGNN_ERROR_COMM,
                   "out of step: rank 1 is in compute (call 0, step 2), rank 0 in compute (call 0, step 1)");
        CHECK_STEP(o, r, 1, DGNN_ERROR_COMM,
                   "failed earlier and is not used again; the first failure was: the ranks");
    }
}

/* Rank 1 left a call that it had begun, and comes to the next one; before it, all vote. */
static void shifted_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    for (int call = 0; call < 2 + (rank->rank == 1); call++) {
        int32_t vote = rank->rank == 1 ? 3 : rank->rank;
        o->wrong[rank->rank] += dgnn_comm_begin(rank->comm, &local) != DGNN_OK;
        if (call == 1 && rank->rank == 1) {
            continue;
        }
        int status = dgnn_comm_vote(rank->comm, "compute", DGNN_OK, &vote, &local);
        note(o, rank->rank, call > 0, status, &local);
        o->wrong[rank->rank] += !status && vote != 3;
    }
}

static void test_shifted(void)
{
    struct outcome o = {0};
    ranks_run(3, 20, shifted_body, &o);
    for (int32_t r = 0; r < 3; r++) {
        CHECK_STEP(o, r, 0, DGNN_OK, "");
        CHECK_STEP(o, r, 1, DGNN_ERROR_COMM,
                   "out of step: rank 1 is in compute (call 3, step 2), rank 0 in compute (call 2, step 2)");
        CHECK(o.wrong[r] == 0);
    }
}

/* ------------------------------------------------------------------ ranks that stop early */

/* Rank 1 leaves before an agreement, and frees its communicator; the others hear of it at the deadline. */
static void leaver_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    if (rank->rank == 1) {
        dgnn_comm_free(rank->comm);
        rank->comm = NULL;
        return;
    }
    double began = seconds();
    note(o, rank->rank, 0, dgnn_transport_agree(rank->comm, "compute", DGNN_OK, &local), &local);
    o->seconds[rank->rank] = seconds() - began;
    note(o, rank->rank, 1, dgnn_transport_agree(rank->comm, "compute", DGNN_OK, &local), &local);
}

static void test_leaver(void)
{
    struct outcome o = {0};
    ranks_run(RANKS, 0.3, leaver_body, &o);
    for (int32_t r = 0; r < RANKS; r++) {
        if (r != 1) {
            CHECK_STEP(o, r, 0, DGNN_ERROR_COMM, "in compute: ");
            CHECK(o.seconds[r] < 2);
            CHECK_STEP(o, r, 1, DGNN_ERROR_COMM, "failed earlier");
        }
    }
}

/* A message that nobody sends, one that nobody receives, and one of another length. */
static void lost_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    double data[4] = {0};
    void *request[3] = {NULL};
    int status = DGNN_OK;
    double began = seconds();
    if (rank->rank == 0) {
        status = dgnn_transport_receive_create(rank->comm, data, 8, 1, 1, &request[0], &local);
        status = status ? status
                        : dgnn_transport_receive_create(rank->comm, data + 1, 8, 2, 1, &request[2], &local);
        status = status ? status : dgnn_transport_start(rank->comm, request[2], &local);
    } else if (rank->rank == 1) {
        status = dgnn_transport_send_create(rank->comm, data, 8, 0, 2, &request[0], &local);
    } else if (rank->rank == 2) {
        status = dgnn_transport_send_create(rank->comm, data, 16, 3, 1, &request[0], &local);
    } else {
        status = dgnn_transport_receive_create(rank->comm, data, 32, 2, 1, &request[0], &local);
    }
    status = status ? status : dgnn_transport_start(rank->comm, request[0], &local);
    status = status ? status : dgnn_transport_wait(rank->comm, request, 3, &local);
    note(o, rank->rank, 0, status, &local);
    o->seconds[rank->rank] = seconds() - began;
    for (int i = 0; i < 3; i++) {
        dgnn_transport_request_free(rank->comm, &request[i]);
    }
}

static void test_lost_messages(void)
{
    struct outcome o = {0};
    ranks_run(RANKS, 0.3, lost_body, &o);
    CHECK_STEP(o, 0, 0, DGNN_ERROR_COMM, "rank 0 waited 0.3 s for a message from rank 1 (tag 1)");
    CHECK_STEP(o, 1, 0, DGNN_ERROR_COMM, "rank 1 waited 0.3 s for a message to rank 0 (tag 2)");
    CHECK_STEP(o, 2, 0, DGNN_ERROR_COMM, "rank 2 sent rank 3 a message of 16 bytes where 32 were expected");
    CHECK_STEP(o, 3, 0, DGNN_ERROR_COMM, "rank 2 sent rank 3 a message of 16 bytes where 32 were expected");
    CHECK(o.seconds[0] >= 0.29 && o.seconds[0] < 2 && o.seconds[3] < 0.29);
}

/* Ranks that gather different amounts, or that disagree about what goes between them. */
static void mismatch_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    char in[16] = {0}, out[16 * RANKS];
    int64_t count[RANKS] = {1, 1, 1, 1};
    if (o->wrong[0] == 0) {
        note(o, rank->rank, 0, dgnn_transport_allgather(rank->comm, in, rank->rank == 2 ? 8 : 4, out, &local),
             &local);
    } else {
        int64_t expected[RANKS] = {1, 1, rank->rank == 1 ? 2 : 1, 1};
        int status = dgnn_transport_alltoallv(rank->comm, in, count, out, expected, 1, &local);
        note(o, rank->rank, 0, status, &local);
    }
}

static void test_mismatch(void)
{
    struct outcome o = {0};
    ranks_run(RANKS, 20, mismatch_body, &o);
    for (int32_t r = 0; r < RANKS; r++) {
        CHECK_STEP(o, r, 0, DGNN_ERROR_COMM, "ranks 0 and 2 are in different collectives");
    }
    o = (struct outcome){.wrong = {1}};
    ranks_run(RANKS, 20, mismatch_body, &o);
    for (int32_t r = 0; r < RANKS; r++) {
        CHECK_STEP(o, r, 0, DGNN_ERROR_COMM, "rank 2 sends 1 bytes to rank 1, which expects 2");
    }
}

/* Ranks that come late, but in time, and ranks that end in any order: 200 runs without a hang. */
static void late_body(struct ranks_rank *rank)
{
    struct outcome *o = rank->data;
    struct dgnn_error local = {0};
    uint64_t state = (uint64_t)o->seconds[0] * 64 + (uint64_t)rank->rank;
    double sum = 1;
    int status = DGNN_OK;
    for (int round = 0; round < 4 && !status; round++) {
        const struct timespec nap = {0, (long)random_below(&state, 300000)};
        nanosleep(&nap, NULL);
        status = dgnn_transport_sum(rank->comm, &sum, 1, &local);
    }
    note(o, rank->rank, 0, status, &local);
    o->wrong[rank->rank] = sum != rank->nrank * rank->nrank * rank->nrank * rank->nrank;
    if (random_below(&state, 2)) {
        dgnn_comm_free(rank->comm);
        rank->comm = NULL;
    }
}

static void test_late(void)
{
    for (int run = 0; run < 200; run++) {
        struct outcome o = {.seconds = {run}};
        int32_t nrank = 1 + run % RANKS;
        ranks_run(nrank, 20, late_body, &o);
        int good = 1;
        for (int32_t r = 0; r < nrank; r++) {
            good = good && o.status[r][0] == DGNN_OK && o.wrong[r] == 0;
        }
        CHECK(good);
    }
}

/* ------------------------------------------------------------------ making */

static int freed;

static void count_free(void *context)
{
    (void)context;
    freed++;
}

static void test_incomplete_transport(void)
{
    struct dgnn_transport transport = {.size = sizeof(transport), .nrank = 1, .free = count_free};
    struct dgnn_comm *comm;
    CHECK_STATUS(dgnn_comm_create(&transport, 0, &comm, &error), DGNN_ERROR_INPUT, "send_create is NULL");
    CHECK(freed == 1);
    transport.rank = 1;
    CHECK_STATUS(dgnn_comm_create(&transport, 0, &comm, &error), DGNN_ERROR_INPUT, "rank 1 of 1 is no rank");
    CHECK(freed == 2);
    transport.size = 8;
    CHECK_STATUS(dgnn_comm_create(&transport, 0, &comm, &error), DGNN_ERROR_INPUT, "its size is 8");
    CHECK(freed == 2); /* its free is beyond that size */
}

static void test_memory(void)
{
    struct dgnn_comm *comm[3];
    int64_t before = dgnn_alloc_count();
    CHECK_STATUS(dgnn_comm_create_threads(3, 1, comm, &error), DGNN_OK, "");
    int64_t needed = dgnn_alloc_count() - before;
    for (int r = 2; r >= 0; r--) {
        dgnn_comm_free(comm[r]);
    }
    for (int64_t k = 1; k <= needed; k++) {
        dgnn_alloc_fail_at(k, (int)(k % 2));
        CHECK_STATUS(dgnn_comm_create_threads(3, 1, comm, &error), DGNN_ERROR_MEMORY, "out of memory");
        dgnn_alloc_fail_at(0, 0);
        CHECK(dgnn_alloc_live() == 0);
    }
}

int main(void)
{
    test_ring();
    test_request_misuse();
    test_collectives();
    test_post();
    test_agreement();
    test_out_of_step();
    test_shifted();
    test_leaver();
    test_lost_messages();
    test_mismatch();
    test_late();
    test_incomplete_transport();
    test_memory();
    CHECK(dgnn_alloc_live() == 0);
    return check_report();
}
