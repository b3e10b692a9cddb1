/* From who owns each ghost to a direct plan with one row for each remote atom: dgnn_direct_from_owners. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/sized.h"
#include "comm/transport.h"

#define OWNERS_OPERATION "direct_from_owners"

/* What the caller gets; it begins with what he sees of it. */
struct owners_plan {
    struct dgnn_ghost_plan seen;
    struct dgnn_direct direct;
    int64_t *mapping, *send_first, *recv_first;
    int32_t *rank, *send_row, *recv_row;
};

/* A remote ghost. */
struct owners_ghost {
    int32_t rank, row, ghost; /* its owner, the row there, the row here */
};

/* What is needed while the plan is made. */
struct owners_state {
    struct owners_ghost *ghost; /* nremote, in order of owners */
    int64_t nremote;
    int32_t *wanted;           /* rows of owners, each once, in that order */
    int64_t *nwanted, *nasked; /* nrank: by this rank from each, and by each from this rank */
};

static int owners_check(const struct dgnn_owners *in, int32_t nrank, struct dgnn_error *error)
{
    if (in->nlocal < 0 || in->nall < in->nlocal || in->nall > INT32_MAX ||
        (in->nall > in->nlocal && (!in->rank || !in->row))) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "owners: %lld owned of %lld rows; expected 0 <= nlocal <= nall < 2^31, with rank and row of "
            "each ghost",
            (long long)in->nlocal, (long long)in->nall);
    }
    for (int64_t k = 0; k < in->nall - in->nlocal; k++) {
        if (in->rank[k] < 0 || in->rank[k] >= nrank || in->row[k] < 0) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "owners: ghost row %lld belongs to row %d of rank %d; expected a row of a rank in [0, %d)",
                (long long)(in->nlocal + k), in->row[k], in->rank[k], nrank);
        }
    }
    return DGNN_OK;
}

static int owners_allocate(struct owners_plan *p, struct owners_state *w, const struct dgnn_owners *in,
                           int32_t nrank, struct dgnn_error *error)
{
    int64_t nghost = in->nall - in->nlocal;
    p->mapping = dgnn_alloc(in->nall, sizeof(*p->mapping));
    p->send_first = dgnn_alloc_zeroed(nrank + 1, sizeof(*p->send_first));
    p->recv_first = dgnn_alloc_zeroed(nrank + 1, sizeof(*p->recv_first));
    p->rank = dgnn_alloc(nrank, sizeof(*p->rank));
    p->recv_row = dgnn_alloc(nghost, sizeof(*p->recv_row));
    w->ghost = dgnn_alloc(nghost, sizeof(*w->ghost));
    w->wanted = dgnn_alloc(nghost, sizeof(*w->wanted));
    w->nwanted = dgnn_alloc_zeroed(nrank, sizeof(*w->nwanted));
    w->nasked = dgnn_alloc_zeroed(nrank, sizeof(*w->nasked));
    if (!p->mapping || !p->send_first || !p->recv_first || !p->rank || !p->recv_row || !w->ghost ||
        !w->wanted || !w->nwanted || !w->nasked) {
        return dgnn_status_no_memory(error, "a plan of ghosts", 32 * (in->nall + nrank));
    }
    return DGNN_OK;
}

static int owners_order(const void *left, const void *right)
{
    const struct owners_ghost *a = left, *b = right;
    return a->rank != b->rank ? (a->rank > b->rank) - (a->rank < b->rank)
           : a->row != b->row ? (a->row > b->row) - (a->row < b->row)
                              : (a->ghost > b->ghost) - (a->ghost < b->ghost);
}

/* The first ghost of each remote atom stands for it; the others, and ghosts of own atoms, are images. */
static int owners_map(struct owners_plan *p, struct owners_state *w, const struct dgnn_owners *in, int32_t me,
                      struct dgnn_error *error)
{
    int64_t nwanted = 0;
    for (int64_t i = 0; i < in->nall; i++) {
        int64_t k = i - in->nlocal;
        p->mapping[i] = i;
        if (k >= 0 && in->rank[k] != me) {
            w->ghost[w->nremote++] = (struct owners_ghost){in->rank[k], in->row[k], (int32_t)i};
        } else if (k >= 0) {
            p->mapping[i] = in->row[k];
            if (in->row[k] >= in->nlocal) {
                return dgnn_status_set(
                    error, DGNN_ERROR_INPUT,
                    "owners: ghost row %lld belongs to row %d of rank %d, which is this rank; expected a "
                    "row below nlocal, %lld",
                    (long long)i, in->row[k], me, (long long)in->nlocal);
            }
        }
    }
    qsort(w->ghost, (size_t)w->nremote, sizeof(*w->ghost), owners_order);
    for (int64_t k = 0; k < w->nremote; k++) {
        const struct owners_ghost *g = &w->ghost[k];
        if (k == 0 || g->rank != g[-1].rank || g->row != g[-1].row) {
            p->recv_row[nwanted] = g->ghost;
            w->wanted[nwanted++] = g->row;
            w->nwanted[g->rank]++;
        }
        p->mapping[g->ghost] = p->recv_row[nwanted - 1];
    }
    p->seen.nremote = nwanted;
    return DGNN_OK;
}

static int owners_begin(struct owners_plan *p, struct owners_state *w, const struct dgnn_owners *in,
                        const struct dgnn_comm *comm, struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    if (!p) {
        return dgnn_status_no_memory(error, "a plan of ghosts", sizeof(*p));
    }
    DGNN_TRY(owners_check(in, nrank, error));
    DGNN_TRY(owners_allocate(p, w, in, nrank, error));
    return owners_map(p, w, in, dgnn_transport_rank(comm), error);
}

/* Do the others ask for rows that are there? */
static int owners_check_asked(const struct owners_plan *p, const struct owners_state *w, int64_t nlocal,
                              int32_t nrank, struct dgnn_error *error)
{
    int64_t k = 0;
    for (int32_t r = 0; r < nrank; r++) {
        for (int64_t end = k + w->nasked[r]; k < end; k++) {
            if (p->send_row[k] >= nlocal) {
                return dgnn_status_set(
                    error, DGNN_ERROR_INPUT,
                    "owners: rank %d has a ghost of row %d of this rank, which owns %lld rows", r,
                    p->send_row[k], (long long)nlocal);
            }
        }
    }
    return DGNN_OK;
}

static void owners_finish(struct owners_plan *p, const struct owners_state *w, int32_t nrank)
{
    int32_t n = 0;
    for (int32_t r = 0; r < nrank; r++) {
        if (w->nwanted[r] || w->nasked[r]) {
            p->rank[n] = r;
            p->send_first[n + 1] = p->send_first[n] + w->nasked[r];
            p->recv_first[n + 1] = p->recv_first[n] + w->nwanted[r];
            n++;
        }
    }
    p->direct = (struct dgnn_direct){.nneighbour = n,
                                     .rank = p->rank,
                                     .send_first = p->send_first,
                                     .send_row = p->send_row,
                                     .recv_first = p->recv_first,
                                     .recv_row = p->recv_row};
    p->seen.size = sizeof(p->seen);
    p->seen.direct = &p->direct;
    p->seen.mapping = p->mapping;
}

/* Collective, from an agreement on how each rank began. */
static int owners_ask(struct owners_plan *p, struct owners_state *w, const struct dgnn_owners *in,
                      struct dgnn_comm *comm, struct dgnn_error *error)
{
    int32_t nrank = dgnn_transport_nrank(comm);
    int64_t nasked = 0;
    DGNN_TRY(dgnn_transport_alltoall(comm, w->nwanted, w->nasked, error));
    for (int32_t r = 0; r < nrank; r++) {
        nasked += w->nasked[r];
    }
    p->send_row = dgnn_alloc(nasked, sizeof(*p->send_row));
    int status = p->send_row ? DGNN_OK : dgnn_status_no_memory(error, "a plan of ghosts", 4 * nasked);
    DGNN_TRY(dgnn_transport_agree(comm, OWNERS_OPERATION, status, error));
    DGNN_TRY(dgnn_transport_alltoallv(comm, w->wanted, w->nwanted, p->send_row, w->nasked, sizeof(int32_t),
                                      error));
    status = owners_check_asked(p, w, in->nlocal, nrank, error);
    DGNN_TRY(dgnn_transport_agree(comm, OWNERS_OPERATION, status, error));
    owners_finish(p, w, nrank);
    return DGNN_OK;
}

static int owners_make(const struct dgnn_owners *in, struct dgnn_comm *comm, struct dgnn_ghost_plan **plan,
                       struct dgnn_error *error)
{
    static const struct dgnn_sized kind = {"owners", sizeof(*in), sizeof(*in)};
    struct owners_state w = {0};
    struct dgnn_owners own = {0};
    struct owners_plan *p = dgnn_alloc_zeroed(1, sizeof(*p));
    int status = !in || !plan ? dgnn_status_set(error, DGNN_ERROR_INPUT,
                                                "dgnn_direct_from_owners: an argument is NULL")
                              : dgnn_sized_read(&kind, in, &own, error);
    status = status ? status : owners_begin(p, &w, &own, comm, error);
    status = dgnn_transport_agree(comm, OWNERS_OPERATION, status, error);
    status = status ? status : owners_ask(p, &w, &own, comm, error);
    dgnn_alloc_free(w.ghost);
    dgnn_alloc_free(w.wanted);
    dgnn_alloc_free(w.nwanted);
    dgnn_alloc_free(w.nasked);
    if (status) {
        dgnn_ghost_plan_free(p ? &p->seen : NULL);
    } else {
        *plan = &p->seen;
    }
    return status;
}

int dgnn_direct_from_owners(const struct dgnn_owners *owners, struct dgnn_comm *comm,
                            struct dgnn_ghost_plan **plan, struct dgnn_error *error)
{
    struct dgnn_error own = {0};
    error = error ? error : &own;
    DGNN_TRY(dgnn_transport_enter(comm, error));
    int status = owners_make(owners, comm, plan, error);
    dgnn_transport_leave(comm);
    return status;
}

void dgnn_ghost_plan_free(struct dgnn_ghost_plan *plan)
{
    struct owners_plan *p = (struct owners_plan *)plan;
    if (p) {
        dgnn_alloc_free(p->mapping);
        dgnn_alloc_free(p->send_first);
        dgnn_alloc_free(p->recv_first);
        dgnn_alloc_free(p->rank);
        dgnn_alloc_free(p->send_row);
        dgnn_alloc_free(p->recv_row);
        dgnn_alloc_free(p);
    }
}
