/* Any description of a border or a direct plan is refused in words, or is one: then it survives being
 * renumbered, doubled, compared with what other ranks say of theirs, and used. Borders are also judged by the
 * contract as docs/exchange.md has it, written down a second time here.
 *
 * Input is a sequence of numbers: a byte, or 0x80 and four bytes. What comes after its end is 0. */
#include "../walk.h"

#include "base/alloc.h"
#include "comm/check.h"
#include "comm/spin_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_ROWS = 300, MOST_PARTS = 24, WIDTH = 3 };

static const uint8_t *input;
static size_t input_left;
static struct dgnn_error error;

static int32_t next(void)
{
    int32_t value = 0;
    if (input_left == 0) {
        return 0;
    }
    input_left--;
    value = (int8_t)*input++;
    if (value == -128 && input_left >= 4) {
        memcpy(&value, input, 4);
        input += 4;
        input_left -= 4;
    }
    return value;
}

/* count numbers without anything after their end, so that the sanitizer sees a read beyond it; NULL where
 * nobody has so many. */
static int32_t *next_array(int64_t count)
{
    if (count < 0 || count > MOST_ROWS) {
        return NULL;
    }
    int32_t *array = malloc((size_t)count * sizeof(*array) + (count == 0));
    for (int64_t i = 0; i < count; i++) {
        array[i] = next();
    }
    return array;
}

/* ------------------------------------------------------------------ other ranks */

struct message {
    char *data;
    int64_t nbytes;
    int incoming;
};

static int64_t messages_live;

static int peer_create(void *data, int64_t nbytes, int incoming, void **request)
{
    struct message *message = malloc(sizeof(*message));
    *message = (struct message){data, nbytes, incoming};
    *request = message;
    messages_live++;
    return DGNN_OK;
}

static int peer_send(void *context, const void *data, int64_t nbytes, int32_t to, int32_t tag, void **request,
                     struct dgnn_error *failure)
{
    (void)context, (void)to, (void)tag, (void)failure;
    return peer_create((void *)(uintptr_t)data, nbytes, 0, request);
}

static int peer_receive(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag, void **request,
                        struct dgnn_error *failure)
{
    (void)context, (void)from, (void)tag, (void)failure;
    return peer_create(data, nbytes, 1, request);
}

/* What is sent is read, and what is received written. */
static int peer_start(void *context, void *request, struct dgnn_error *failure)
{
    (void)context, (void)failure;
    struct message *message = request;
    volatile char sink = 0;
    for (int64_t i = 0; i < message->nbytes; i++) {
        if (message->incoming) {
            message->data[i] = 0;
        } else {
            sink = (char)(sink + message->data[i]);
        }
    }
    return DGNN_OK;
}

static int peer_wait(void *context, void **requests, int64_t count, double deadline,
                     struct dgnn_error *failure)
{
    (void)context, (void)requests, (void)count, (void)deadline, (void)failure;
    return DGNN_OK;
}

static void peer_free(void *context, void *request)
{
    (void)context;
    free(request);
    messages_live--;
}

/* The others show what this rank shows. */
static int peer_gather(void *context, const void *in, int64_t nbytes, void *out, double deadline,
                       struct dgnn_error *failure)
{
    (void)deadline, (void)failure;
    for (int32_t r = 0; r < *(int32_t *)context; r++) {
        memcpy((char *)out + r * nbytes, in, (size_t)nbytes);
    }
    return DGNN_OK;
}

/* And agree with it: what it says is the largest, as the smallest. */
static int peer_reduce(void *context, int64_t *values, int64_t nvalue, int32_t reduction, double deadline,
                       struct dgnn_error *failure)
{
    (void)values, (void)nvalue, (void)deadline, (void)failure;
    for (int64_t i = 0; i < nvalue && reduction == DGNN_REDUCE_SUM; i++) {
        values[i] *= *(int32_t *)context;
    }
    return DGNN_OK;
}

static int32_t peer_me; /* this rank */

/* The others tell any numbers; this rank tells itself what it sends. */
static int peer_exchange(void *context, const void *send, const int64_t *send_count,
                         const int64_t *send_place, void *receive, const int64_t *count, const int64_t *place,
                         double deadline, struct dgnn_error *failure)
{
    (void)deadline, (void)failure;
    for (int32_t r = 0; r < *(int32_t *)context; r++) {
        WALK_REQUIRE(r != peer_me || count[r] == send_count[r]);
        if (!count[r]) {
            continue; /* then receive may be NULL */
        }
        if (r == peer_me) {
            memcpy((char *)receive + place[r], (const char *)send + send_place[r], (size_t)count[r]);
            continue;
        }
        memset((char *)receive + place[r], 0, (size_t)count[r]);
        for (int64_t i = 0; i + 8 <= count[r]; i += 8) {
            int64_t told = next();
            memcpy((char *)receive + place[r] + i, &told, sizeof(told));
        }
    }
    return DGNN_OK;
}

static void peer_leave(void *context)
{
    (void)context;
}

static struct dgnn_comm *peers(int32_t rank, int32_t *nrank)
{
    const struct dgnn_transport transport = {.size = sizeof(transport),
                                             .context = nrank,
                                             .rank = rank,
                                             .nrank = *nrank,
                                             .send_create = peer_send,
                                             .receive_create = peer_receive,
                                             .start = peer_start,
                                             .wait = peer_wait,
                                             .request_free = peer_free,
                                             .allgather = peer_gather,
                                             .alltoallv = peer_exchange,
                                             .free = peer_leave,
                                             .allreduce = peer_reduce};
    struct dgnn_comm *comm = NULL;
    peer_me = rank;
    WALK_REQUIRE(!dgnn_comm_create(&transport, 1, &comm, NULL));
    return comm;
}

/* ------------------------------------------------------------------ using a plan */

static double *make_rows(int64_t nowned, int64_t nnode)
{
    double *rows = malloc((size_t)(nnode * WIDTH) * sizeof(*rows) + 1);
    for (int64_t i = 0; i < nnode * WIDTH; i++) {
        rows[i] = i < nowned * WIDTH ? (double)(i + 1) : NAN;
    }
    return rows;
}

/* Forward and reverse. With peers, their rows are zeros; alone, each ghost must get an owner's row whole, and
 * the gradients come home to the last bit: they are small whole numbers. */
static void use(struct dgnn_exchange *exchange, int64_t nowned, int64_t nnode, int alone)
{
    double *rows = make_rows(nowned, nnode);
    WALK_REQUIRE(!dgnn_exchange_forward_begin(exchange, rows, WIDTH, sizeof(*rows), &error));
    WALK_REQUIRE(!dgnn_exchange_forward_end(exchange, &error));
    for (int64_t i = nowned; i < nnode; i++) {
        int64_t owner = (int64_t)(rows[i * WIDTH] - 1) / WIDTH;
        WALK_REQUIRE(!isnan(rows[i * WIDTH]));
        WALK_REQUIRE(!alone || (owner >= 0 && owner < nowned &&
                                !memcmp(rows + i * WIDTH, rows + owner * WIDTH, WIDTH * sizeof(*rows))));
    }
    for (int64_t i = 0; i < nnode * WIDTH; i++) {
        rows[i] = 1;
    }
    WALK_REQUIRE(!dgnn_exchange_reverse_begin(exchange, rows, WIDTH, sizeof(*rows), &error));
    WALK_REQUIRE(!dgnn_exchange_reverse_end(exchange, &error));
    WALK_REQUIRE(!dgnn_exchange_settle(exchange, &error));
    double sum = 0;
    for (int64_t i = 0; i < nnode * WIDTH; i++) {
        sum += rows[i];
    }
    WALK_REQUIRE(!alone || sum == (double)(nnode * WIDTH));
    free(rows);
}

/* New numbers of the rows that stay; *kept_owned and *kept: how many. */
static int32_t *drop_rows(int64_t nowned, int64_t nnode, int64_t *kept_owned, int64_t *kept)
{
    int32_t *new_row = malloc((size_t)nnode * sizeof(*new_row) + 1);
    *kept = 0;
    for (int64_t i = 0; i < nnode; i++) {
        *kept_owned = i <= nowned ? *kept : *kept_owned;
        new_row[i] = next() % 3 == 1 ? -1 : (int32_t)(*kept)++;
    }
    *kept_owned = nowned == nnode ? *kept : *kept_owned;
    return new_row;
}

/* ------------------------------------------------------------------ borders */

struct case_of_border {
    struct dgnn_border border;
    int64_t nowned, nnode;
    int32_t me, nrank;
    const int32_t *lists[MOST_PARTS];
};

static int border_is_sound(const struct case_of_border *c)
{
    const struct dgnn_border *b = &c->border;
    int64_t rows = c->nowned;
    int sound = c->nowned >= 0 && c->nowned <= c->nnode && b->nswap >= 0;
    for (int32_t s = 0; s < b->nswap && sound; s++) {
        int self = b->sendproc[s] == c->me;
        sound = b->sendnum[s] >= 0 && b->recvnum[s] >= 0 && (!b->firstrecv || b->firstrecv[s] == rows) &&
                b->sendproc[s] >= 0 && b->sendproc[s] < c->nrank && b->recvproc[s] >= 0 &&
                b->recvproc[s] < c->nrank && self == (b->recvproc[s] == c->me) &&
                (!self || b->sendnum[s] == b->recvnum[s]) && b->sendlist[s];
        for (int32_t k = 0; sound && k < b->sendnum[s]; k++) {
            sound = b->sendlist[s][k] >= 0 && b->sendlist[s][k] < rows;
        }
        rows += sound ? b->recvnum[s] : 0;
        sound = sound && rows <= c->nnode;
    }
    return sound && rows == c->nnode;
}

static void check_swaps(const struct dgnn_swaps *swaps, int64_t nowned, int64_t nnode)
{
    WALK_REQUIRE(swaps->nowned == nowned && swaps->nnode == nnode);
    WALK_REQUIRE(swaps->recv_first[0] == nowned && swaps->recv_first[swaps->nswap] == nnode &&
                 swaps->send_first[0] == 0);
    for (int32_t s = 0; s < swaps->nswap; s++) {
        WALK_REQUIRE(swaps->recv_first[s] <= swaps->recv_first[s + 1]);
        WALK_REQUIRE(swaps->needs[s] >= -1 && swaps->needs[s] < s);
        WALK_REQUIRE(swaps->needed_by[s] > s && swaps->needed_by[s] <= swaps->nswap);
        for (int64_t k = swaps->send_first[s]; k < swaps->send_first[s + 1]; k++) {
            WALK_REQUIRE(swaps->send_row[k] >= 0 && swaps->send_row[k] < swaps->recv_first[s]);
        }
    }
}

static void use_swaps(const struct dgnn_swaps *swaps, struct dgnn_comm *comm)
{
    struct dgnn_exchange *exchange = NULL;
    int alone = 1;
    for (int32_t s = 0; s < swaps->nswap; s++) {
        alone = alone && swaps->send_rank[s] == swaps->me;
    }
    WALK_REQUIRE(!dgnn_exchange_create_swaps(swaps, comm, DGNN_EXCHANGE_FEATURES, &exchange, &error));
    use(exchange, swaps->nowned, swaps->nnode, alone);
    dgnn_exchange_free(exchange);
}

static void accepted_swaps(const struct dgnn_swaps *swaps, struct dgnn_comm *comm)
{
    struct dgnn_swaps *other = NULL;
    int64_t kept_owned = 0, kept = 0;
    check_swaps(swaps, swaps->nowned, swaps->nnode);
    int status = dgnn_check_swaps(comm, "fuzz", swaps, DGNN_OK, &error);
    WALK_REQUIRE(!status || (status == DGNN_ERROR_INPUT && comm));
    use_swaps(swaps, comm);
    int32_t *new_row = drop_rows(swaps->nowned, swaps->nnode, &kept_owned, &kept);
    WALK_REQUIRE(!dgnn_swaps_remap(swaps, new_row, &other, &error));
    free(new_row);
    check_swaps(other, kept_owned, kept);
    dgnn_swaps_free(other);
    WALK_REQUIRE(!dgnn_spin_swaps(swaps, &other, &error));
    check_swaps(other, 2 * swaps->nowned, 2 * swaps->nnode);
    use_swaps(other, comm);
    dgnn_swaps_free(other);
}

static void fuzz_border(struct case_of_border *c, struct dgnn_comm *comm)
{
    struct dgnn_swaps *swaps = NULL;
    int32_t nswap = next(), has_first = next();
    int32_t count = nswap < 0 ? 0 : nswap % MOST_PARTS;
    int32_t *sendproc = next_array(count), *recvproc = next_array(count), *sendnum = next_array(count);
    int32_t *recvnum = next_array(count), *firstrecv = has_first % 2 ? next_array(count) : NULL;
    for (int32_t s = 0; s < count; s++) {
        c->lists[s] = next_array(sendnum[s]);
    }
    c->border = (struct dgnn_border){
        nswap < 0 ? nswap : count, sendproc, recvproc, sendnum, recvnum, c->lists, firstrecv};
    int status = dgnn_swaps_create(&c->border, c->nowned, c->nnode, c->me, c->nrank, &swaps, &error);
    WALK_REQUIRE(status == (border_is_sound(c) ? DGNN_OK : DGNN_ERROR_INPUT));
    WALK_REQUIRE(!status || (!swaps && !strncmp(error.message, "border: ", 8)));
    if (!status && c->nnode <= MOST_ROWS) {
        accepted_swaps(swaps, comm);
    }
    dgnn_swaps_free(swaps);
    for (int32_t s = 0; s < count; s++) {
        free((void *)(uintptr_t)c->lists[s]);
    }
    free(sendproc), free(recvproc), free(sendnum), free(recvnum), free(firstrecv);
}

/* ------------------------------------------------------------------ direct plans */

static void check_plan(const struct dgnn_plan *plan, int64_t nowned, int64_t nnode)
{
    WALK_REQUIRE(plan->nowned == nowned && plan->nnode == nnode);
    WALK_REQUIRE(plan->recv_first[plan->nneighbour] == nnode - nowned);
    int64_t sum = 0;
    for (int64_t k = 0; k < plan->send_first[plan->nneighbour]; k++) {
        WALK_REQUIRE(plan->send_row[k] >= 0 && plan->send_row[k] < nowned);
    }
    for (int64_t k = 0; k < nnode - nowned; k++) {
        WALK_REQUIRE(plan->recv_row[k] >= nowned && plan->recv_row[k] < nnode);
        sum += plan->recv_row[k] - nowned - k;
    }
    WALK_REQUIRE(sum == 0);
}

static void use_plan(const struct dgnn_plan *plan, struct dgnn_comm *comm)
{
    struct dgnn_exchange *exchange = NULL;
    int alone = 1;
    for (int32_t n = 0; n < plan->nneighbour; n++) {
        alone = alone && plan->rank[n] == plan->me;
    }
    WALK_REQUIRE(!dgnn_exchange_create_direct(plan, comm, DGNN_EXCHANGE_GEOMETRY, &exchange, &error));
    use(exchange, plan->nowned, plan->nnode, alone);
    dgnn_exchange_free(exchange);
}

static void accepted_plan(const struct dgnn_plan *plan, struct dgnn_comm *comm)
{
    struct dgnn_plan *other = NULL;
    int64_t kept_owned = 0, kept = 0;
    check_plan(plan, plan->nowned, plan->nnode);
    int status = dgnn_check_plan(comm, "fuzz", plan, DGNN_OK, &error);
    WALK_REQUIRE(!status || (status == DGNN_ERROR_INPUT && comm));
    use_plan(plan, comm);
    int32_t *new_row = drop_rows(plan->nowned, plan->nnode, &kept_owned, &kept);
    WALK_REQUIRE(!dgnn_plan_remap(plan, new_row, &other, &error));
    free(new_row);
    check_plan(other, kept_owned, kept);
    dgnn_plan_free(other);
    WALK_REQUIRE(!dgnn_spin_plan(plan, &other, &error));
    check_plan(other, 2 * plan->nowned, 2 * plan->nnode);
    use_plan(other, comm);
    dgnn_plan_free(other);
}

/* count numbers; every other one that does not fit a byte has its upper half set too. */
static int64_t *next_wide_array(int64_t count)
{
    int32_t *narrow = next_array(count);
    int64_t *wide = narrow ? malloc((size_t)count * sizeof(*wide) + 1) : NULL;
    for (int64_t i = 0; wide && i < count; i++) {
        wide[i] = narrow[i] % 2 && (narrow[i] > 127 || narrow[i] < -127) ? narrow[i] * INT64_C(0x100000001)
                                                                         : narrow[i];
    }
    free(narrow);
    return wide;
}

static void fuzz_direct(const struct case_of_border *c, struct dgnn_comm *comm)
{
    struct dgnn_plan *plan = NULL;
    int32_t given = next();
    int32_t n = given < 0 ? 0 : given % MOST_PARTS;
    int32_t *rank = next_array(n);
    int64_t *send_first = next_wide_array(n + 1), *recv_first = next_wide_array(n + 1);
    int32_t *send_row = next_array(send_first[n]), *recv_row = next_array(recv_first[n]);
    const struct dgnn_direct direct = {
        given < 0 ? given : n, rank, send_first, send_row, recv_first, recv_row};
    int status = dgnn_plan_create(&direct, c->nowned, c->nnode, c->me, c->nrank, &plan, &error);
    WALK_REQUIRE(status == DGNN_OK || status == DGNN_ERROR_INPUT ||
                 (status == DGNN_ERROR_MEMORY && c->nnode > MOST_ROWS));
    WALK_REQUIRE(!status || (!plan && !strncmp(error.message, "direct plan: ", 13)));
    if (!status && c->nnode <= MOST_ROWS) {
        accepted_plan(plan, comm);
    }
    dgnn_plan_free(plan);
    free(rank), free(send_first), free(recv_first), free(send_row), free(recv_row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_left = size;
    struct case_of_border c = {0};
    int32_t kind = next();
    c.nrank = 1 + (next() & 3);
    c.me = (next() & 3) % c.nrank;
    c.nowned = next();
    c.nnode = next();
    struct dgnn_comm *comm = c.nrank > 1 ? peers(c.me, &c.nrank) : NULL;
    if (kind % 2 == 0) {
        fuzz_border(&c, comm);
    } else {
        fuzz_direct(&c, comm);
    }
    dgnn_comm_free(comm);
    WALK_REQUIRE(dgnn_alloc_live() == 0 && messages_live == 0);
    return 0;
}
