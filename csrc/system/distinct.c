#include "system/distinct.h"

#include <stdlib.h>
#include <string.h>

struct distinct_state {
    int64_t *send_count, *receive_count, *place; /* nrank each, one block */
    int64_t *out, *in;
    int64_t nin;
};

static int32_t distinct_rank(int64_t id, int32_t nrank)
{
    uint64_t hash = (uint64_t)id * 0x9e3779b97f4a7c15u;
    return (int32_t)((hash >> 32) % (uint64_t)nrank);
}

static int distinct_compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int distinct_reserve(struct distinct_state *w, int32_t nrank, int64_t n, struct dgnn_error *error)
{
    w->send_count = dgnn_alloc_zeroed(3 * (int64_t)nrank, sizeof(int64_t));
    w->out = dgnn_alloc(n, sizeof(int64_t));
    if (!w->send_count || !w->out) {
        return dgnn_status_no_memory(error, "ids", 8 * (n + 3 * (int64_t)nrank));
    }
    w->receive_count = w->send_count + nrank;
    w->place = w->receive_count + nrank;
    return DGNN_OK;
}

static void distinct_pack(struct distinct_state *w, int32_t nrank, int64_t n, const int64_t *ids)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        w->send_count[distinct_rank(ids[i], nrank)]++;
    }
    for (int32_t r = 0; r < nrank; r++) {
        w->place[r] = sum;
        sum += w->send_count[r];
    }
    for (int64_t i = 0; i < n; i++) {
        w->out[w->place[distinct_rank(ids[i], nrank)]++] = ids[i];
    }
}

static int distinct_receive(struct distinct_state *w, int32_t nrank, struct dgnn_error *error)
{
    for (int32_t r = 0; r < nrank; r++) {
        w->nin += w->receive_count[r];
    }
    w->in = dgnn_alloc(w->nin, sizeof(int64_t));
    return w->in ? DGNN_OK : dgnn_status_no_memory(error, "ids", 8 * w->nin);
}

static int distinct_look(struct distinct_state *w, struct dgnn_error *error)
{
    qsort(w->in, (size_t)w->nin, sizeof(*w->in), distinct_compare);
    for (int64_t i = 1; i < w->nin; i++) {
        if (w->in[i] == w->in[i - 1]) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "ids: %lld is there more than once among the ranks' atoms",
                                   (long long)w->in[i]);
        }
    }
    return DGNN_OK;
}

static int distinct_check(struct dgnn_comm *comm, const char *operation, int64_t n, const int64_t *ids,
                          struct distinct_state *w, struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    DGNN_TRY(dgnn_transport_agree(comm, operation, distinct_reserve(w, nrank, n, error), error));
    distinct_pack(w, nrank, n, ids);
    DGNN_TRY(dgnn_transport_alltoall(comm, w->send_count, w->receive_count, error));
    DGNN_TRY(dgnn_transport_agree(comm, operation, distinct_receive(w, nrank, error), error));
    DGNN_TRY(dgnn_transport_alltoallv(comm, w->out, w->send_count, w->in, w->receive_count, sizeof(int64_t),
                                      error));
    return dgnn_transport_agree(comm, operation, distinct_look(w, error), error);
}

int dgnn_distinct_check(struct dgnn_comm *comm, const char *operation, int64_t n, const int64_t *ids,
                        struct dgnn_error *error)
{
    struct distinct_state state = {0};
    int status = distinct_check(comm, operation, n, ids, &state, error);
    dgnn_alloc_free(state.send_count);
    dgnn_alloc_free(state.out);
    dgnn_alloc_free(state.in);
    return status;
}
