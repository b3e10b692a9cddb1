/* Runs a function on ranks that are threads of this process. Checks are made by the caller afterwards: the
 * counters of check.h belong to one thread. */
#ifndef DGNN_TESTS_RANKS_H
#define DGNN_TESTS_RANKS_H

#include <pthread.h>
#include <stdlib.h>

#include "comm/transport.h"

struct ranks_rank {
    int32_t rank;
    int32_t nrank;
    struct dgnn_comm *comm; /* the body may free it and set it to NULL */
    void *data;             /* the same for all */
    void (*body)(struct ranks_rank *rank);
    pthread_t thread;
};

static void *ranks_thread(void *argument)
{
    struct ranks_rank *rank = argument;
    rank->body(rank);
    return NULL;
}

static inline void ranks_run(int32_t nrank, double deadline_s, void (*body)(struct ranks_rank *rank),
                             void *data)
{
    struct dgnn_error error;
    struct dgnn_comm **comm = calloc((size_t)nrank, sizeof(*comm));
    struct ranks_rank *rank = calloc((size_t)nrank, sizeof(*rank));
    if (dgnn_comm_create_threads(nrank, deadline_s, comm, &error)) {
        abort();
    }
    for (int32_t r = 0; r < nrank; r++) {
        rank[r] = (struct ranks_rank){r, nrank, comm[r], data, body, 0};
        if (pthread_create(&rank[r].thread, NULL, ranks_thread, &rank[r])) {
            abort();
        }
    }
    for (int32_t r = 0; r < nrank; r++) {
        pthread_join(rank[r].thread, NULL);
        dgnn_comm_free(rank[r].comm);
    }
    free(comm);
    free(rank);
}

#endif
