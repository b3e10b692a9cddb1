/* Calls of compute on ranks that are threads, seen from outside, and their comparison with one rank. */
#ifndef DGNN_TESTS_DOMAIN_CASE_H
#define DGNN_TESTS_DOMAIN_CASE_H

#include "check.h"
#include "model/pool.h"
#include "ranks.h"
#include "system_case.h"

enum { MAX_RANKS = 8 };

/* ------------------------------------------------------------------ models */

struct test_models {
    struct dgnn_model *serial;
    struct dgnn_model *rank[MAX_RANKS];
    int64_t nlayer;
};

static inline struct dgnn_model *load(const char *name, double skin)
{
    char path[256];
    struct dgnn_error error;
    struct dgnn_model *model = NULL;
    struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = skin};
    snprintf(path, sizeof(path), "tests/data/cases/%s/model.pt2", name);
    CHECK_STATUS(dgnn_model_load(path, &options, &model, &error), DGNN_OK, "");
    return model;
}

static inline struct test_models models_load(const char *name, double skin, int64_t nlayer)
{
    struct test_models m = {.serial = load(name, 0), .nlayer = nlayer};
    for (int r = 0; r < MAX_RANKS; r++) {
        m.rank[r] = load(name, skin);
    }
    return m;
}

static inline void models_free(struct test_models *m)
{
    dgnn_model_free(m->serial);
    for (int r = 0; r < MAX_RANKS; r++) {
        dgnn_model_free(m->rank[r]);
    }
}

/* ------------------------------------------------------------------ one collective call, seen from outside
 */

enum ablation { ABLATE_NOTHING, ABLATE_FORWARD, ABLATE_REVERSE };

struct call {
    struct test_models *models;
    struct system_case *s;
    int32_t nrank;
    int32_t *owner; /* n: the rank that passes each atom */
    int32_t with_ids, replicated, grid[3], nstep;
    double (*step)[3];  /* nstep x n: moves before each step */
    double (*turn)[3];  /* nstep x n: spins at each step; NULL: the system's */
    int64_t first_atom; /* compute_ghosted: the first atom of the first rank that has one; 0: by ids */
    enum ablation ablation;
    struct dgnn_result *result;           /* nstep: of all atoms, in the system's order */
    struct dgnn_result *whole[MAX_RANKS]; /* replicated: nstep */
    double energy[MAX_RANKS][4], virial[MAX_RANKS][4][9];
    int32_t status[MAX_RANKS], reused[MAX_RANKS][4], kept[MAX_RANKS][4];
    int64_t nghost[MAX_RANKS];
    int32_t counts_good[MAX_RANKS];
    char message[MAX_RANKS][DGNN_MESSAGE_LENGTH];
    /* Faults. */
    int32_t bad_rank; /* -1: none */
    void (*spoil)(struct dgnn_system *system);
    int32_t other_model;
    int64_t fail_at; /* the allocation that fails, over all ranks; 0: none */
};

/* The atoms that a rank passes: its own, last first where the rank is odd. */
static inline int64_t call_atoms(const struct call *c, int32_t rank, int64_t *atom)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->s->n; i++) {
        int64_t k = rank % 2 ? c->s->n - 1 - i : i;
        if (c->replicated || c->owner[k] == rank) {
            atom[n++] = c->replicated ? i : k;
        }
    }
    return n;
}

/* Messages that the last call should have sent from this rank: one for each neighbour and row. */
static inline int call_counts_good(const struct dgnn_model *m, int64_t nlayer, struct dgnn_comm *comm)
{
    const struct dgnn_plan *plan = dgnn_pool_session(m->pool)->division[0].domain.plan;
    struct dgnn_comm_count count;
    int64_t to = 0, from = 0;
    for (int32_t k = 0; k < plan->nneighbour; k++) {
        to += plan->send_first[k + 1] > plan->send_first[k];
        from += plan->recv_first[k + 1] > plan->recv_first[k];
    }
    dgnn_comm_counts(comm, &count, 1);
    return count.position_messages == to && count.force_messages == from &&
           count.forward_messages == (nlayer - 1) * to && count.reverse_messages == (nlayer - 1) * from;
}

/* ------------------------------------------------------------------ ablations */

/* Messages of one kind bring zeros. The receives of this thread's rank. */
enum { MAX_RECEIVES = 8192 };
struct ablated {
    enum ablation what;
    struct dgnn_transport inner;
    struct {
        void *request, *data;
        int64_t nbytes;
    } receive[MAX_RECEIVES];
    int nreceive;
};
static _Thread_local struct ablated *ablated;

static inline int ablated_receive_create(void *context, void *data, int64_t nbytes, int32_t from, int32_t tag,
                                         void **request, struct dgnn_error *error)
{
    int status = ablated->inner.receive_create(context, data, nbytes, from, tag, request, error);
    int hit = (ablated->what == ABLATE_FORWARD && tag == DGNN_TAG_FORWARD) ||
              (ablated->what == ABLATE_REVERSE && tag == DGNN_TAG_REVERSE);
    if (hit && ablated->nreceive < MAX_RECEIVES) {
        ablated->receive[ablated->nreceive].request = *request;
        ablated->receive[ablated->nreceive].data = data;
        ablated->receive[ablated->nreceive++].nbytes = nbytes;
    }
    return status;
}

static inline int ablated_wait(void *context, void **requests, int64_t n, double deadline,
                               struct dgnn_error *error)
{
    int status = ablated->inner.wait(context, requests, n, deadline, error);
    for (int64_t k = 0; k < n; k++) {
        for (int r = 0; r < ablated->nreceive && requests[k]; r++) {
            if (ablated->receive[r].request == requests[k]) {
                memset(ablated->receive[r].data, 0, (size_t)ablated->receive[r].nbytes);
            }
        }
    }
    return status;
}

/* Another request may get its memory. */
static inline void ablated_free(void *context, void *request)
{
    for (int r = 0; r < ablated->nreceive; r++) {
        if (ablated->receive[r].request == request) {
            ablated->receive[r] = ablated->receive[--ablated->nreceive];
            break;
        }
    }
    ablated->inner.request_free(context, request);
}

static inline void ablate(struct dgnn_comm *comm, enum ablation what)
{
    ablated = calloc(1, sizeof(*ablated));
    ablated->what = what;
    ablated->inner = comm->transport;
    comm->transport.receive_create = ablated_receive_create;
    comm->transport.wait = ablated_wait;
    comm->transport.request_free = ablated_free;
}

/* ------------------------------------------------------------------ the ranks */

struct passed {
    int64_t n, *atom, *ids;
    double *x, *spins, *aparam;
    int32_t *types;
};

static inline struct passed passed_create(int64_t n)
{
    size_t capacity = (size_t)n + 1;
    return (struct passed){.atom = calloc(capacity, 8),
                           .ids = calloc(capacity, 8),
                           .x = calloc(capacity, 24),
                           .spins = calloc(capacity, 24),
                           .aparam = calloc(capacity * 8, 8),
                           .types = calloc(capacity, 4)};
}

static inline void passed_free(struct passed *p)
{
    free(p->atom), free(p->ids), free(p->x), free(p->spins), free(p->aparam), free(p->types);
}

static inline void passed_fill(const struct call *c, int step, struct passed *p)
{
    const struct system_case *s = c->s;
    for (int64_t k = 0; k < p->n; k++) {
        int64_t i = p->atom[k];
        for (int d = 0; d < 3; d++) {
            p->x[3 * k + d] = s->x[3 * i + d] + (c->step ? c->step[step * s->n + i][d] : 0);
            p->spins[3 * k + d] = c->turn        ? c->turn[step * s->n + i][d]
                                  : s->has_spins ? s->spins[3 * i + d]
                                                 : 0;
        }
        p->types[k] = s->types[i];
        p->ids[k] = s->ids[i];
        for (int64_t d = 0; d < s->dim_aparam; d++) {
            p->aparam[k * s->dim_aparam + d] = s->aparam[i * s->dim_aparam + d];
        }
    }
}

static inline struct dgnn_system call_system(const struct call *c, const struct passed *p)
{
    const struct system_case *s = c->s;
    struct dgnn_system system = {.size = sizeof(system),
                                 .natoms = p->n,
                                 .coords = p->x,
                                 .types = p->types,
                                 .box = s->has_box ? s->box : NULL,
                                 .fparam = s->dim_fparam ? s->fparam : NULL,
                                 .nfparam = s->dim_fparam,
                                 .aparam = s->dim_aparam ? p->aparam : NULL,
                                 .naparam = s->dim_aparam,
                                 .spins = s->has_spins && p->n ? p->spins : NULL,
                                 .ids = c->with_ids ? p->ids : NULL,
                                 .replicated = c->replicated};
    memcpy(system.pbc, s->pbc, sizeof(system.pbc));
    memcpy(system.grid, c->grid, sizeof(system.grid));
    return system;
}

/* Rows of the atoms that were passed, to where they are in the system. */
static inline void passed_spread(const struct passed *p, const struct dgnn_result *own,
                                 struct dgnn_result *all)
{
    for (int64_t k = 0; k < p->n; k++) {
        int64_t i = p->atom[k];
        all->atom_energy[i] = own->atom_energy[k];
        memcpy(all->forces + 3 * i, own->forces + 3 * k, 3 * sizeof(double));
        memcpy(all->forces_mag + 3 * i, own->forces_mag + 3 * k, 3 * sizeof(double));
        memcpy(all->atom_virial + 9 * i, own->atom_virial + 9 * k, 9 * sizeof(double));
    }
}

static inline void call_keep(struct call *c, int32_t rank, int step, const struct passed *p,
                             const struct dgnn_result *own)
{
    passed_spread(p, own, c->replicated ? &c->whole[rank][step] : &c->result[step]);
    c->energy[rank][step] = own->energy;
    memcpy(c->virial[rank][step], own->virial, sizeof(own->virial));
}

static inline void call_body(struct ranks_rank *rank)
{
    struct call *c = rank->data;
    struct dgnn_error error = {0};
    struct dgnn_model *model = c->models->rank[c->other_model && rank->rank == c->bad_rank ? 7 : rank->rank];
    struct passed p = passed_create(c->s->n);
    if (c->ablation) {
        ablate(rank->comm, c->ablation);
    }
    p.n = call_atoms(c, rank->rank, p.atom);
    c->counts_good[rank->rank] = 1;
    for (int step = 0; step < c->nstep && !c->status[rank->rank]; step++) {
        struct dgnn_result own;
        passed_fill(c, step, &p);
        system_result_create(&own, p.n);
        struct dgnn_system system = call_system(c, &p);
        if (c->spoil && rank->rank == c->bad_rank) {
            c->spoil(&system);
        }
        dgnn_comm_counts(rank->comm, &(struct dgnn_comm_count){0}, 1);
        if (c->fail_at && rank->rank == 0) {
            dgnn_alloc_fail_at(c->fail_at, 0);
        }
        c->status[rank->rank] = dgnn_model_compute(model, &system, rank->comm, &own, &error);
        if (!c->status[rank->rank]) {
            c->counts_good[rank->rank] &= call_counts_good(model, c->models->nlayer, rank->comm);
            c->reused[rank->rank][step] = dgnn_pool_session(model->pool)->division[0].domain.reused;
            c->kept[rank->rank][step] = own.list_reused;
            c->nghost[rank->rank] = own.nghosts;
            call_keep(c, rank->rank, step, &p, &own);
        }
        system_result_free(&own);
    }
    snprintf(c->message[rank->rank], DGNN_MESSAGE_LENGTH, "%s", error.message);
    passed_free(&p);
    if (c->ablation) { /* the model keeps the communicator, whose functions stay */
        rank->comm->transport = ablated->inner;
        free(ablated);
    }
}

static inline void call_run(struct call *c)
{
    c->result = calloc((size_t)c->nstep, sizeof(*c->result));
    for (int step = 0; step < c->nstep; step++) {
        system_result_create(&c->result[step], c->s->n);
    }
    for (int32_t r = 0; r < c->nrank; r++) {
        c->whole[r] = calloc((size_t)c->nstep, sizeof(*c->result));
        for (int step = 0; step < c->nstep; step++) {
            system_result_create(&c->whole[r][step], c->replicated ? c->s->n : 0);
        }
    }
    if (c->nrank < 1) {
        abort();
    }
    ranks_run(c->nrank, 60, call_body, c);
}

static inline void call_free(struct call *c)
{
    for (int step = 0; step < c->nstep; step++) {
        system_result_free(&c->result[step]);
        for (int32_t r = 0; r < c->nrank; r++) {
            system_result_free(&c->whole[r][step]);
        }
    }
    for (int32_t r = 0; r < c->nrank; r++) {
        free(c->whole[r]);
    }
    free(c->result);
}

/* ------------------------------------------------------------------ comparison */

struct tolerance {
    double parts, energy;
};

static inline double largest(const double *a, int64_t n)
{
    double most = 1;
    for (int64_t k = 0; k < n; k++) {
        most = fabs(a[k]) > most ? fabs(a[k]) : most;
    }
    return most;
}

/* The largest difference, as a share of the tolerance. */
static inline double difference(const double *a, const double *b, int64_t n, double tolerance)
{
    double most = 0, scale = largest(b, n) * tolerance;
    for (int64_t k = 0; k < n; k++) {
        double d = fabs(a[k] - b[k]) / scale;
        most = d > most || d != d ? d : most;
    }
    return most;
}

/* The share of the tolerance that the worst quantity takes; over 1: failed. */
static inline double compare(const struct dgnn_result *got, double energy, const double *virial,
                             const struct dgnn_result *want, int64_t n, const struct tolerance *t)
{
    double magnitude = 0, worst;
    for (int64_t i = 0; i < n; i++) {
        magnitude += fabs(want->atom_energy[i]);
    }
    worst = fabs(energy - want->energy) / (t->energy * (magnitude > 1 ? magnitude : 1));
    worst = check_larger(worst, difference(virial, want->virial, 9, t->parts));
    worst = check_larger(worst, difference(got->forces, want->forces, 3 * n, t->parts));
    worst = check_larger(worst, difference(got->forces_mag, want->forces_mag, 3 * n, t->parts));
    worst = check_larger(worst, difference(got->atom_energy, want->atom_energy, n, t->parts));
    return check_larger(worst, difference(got->atom_virial, want->atom_virial, 9 * n, t->parts));
}

/* The atoms' ids as the ranks give them, or their numbers over the ranks. */
static inline void call_ids(const struct call *c, int64_t *ids)
{
    int64_t next = 0, *atom = calloc((size_t)c->s->n + 1, sizeof(*atom));
    memcpy(ids, c->s->ids, sizeof(*ids) * (size_t)c->s->n);
    for (int32_t r = 0; r < c->nrank && !c->with_ids; r++) {
        int64_t m = call_atoms(c, r, atom);
        for (int64_t k = 0; k < m; k++) {
            ids[atom[k]] = c->replicated ? atom[k] : next++;
        }
    }
    free(atom);
}

/* The whole system on one rank. The atom of the lowest id comes first, as empty slots know it on many ranks.
 */
static inline void serial_run(const struct call *c, int step, struct dgnn_result *want)
{
    struct dgnn_error error;
    struct dgnn_result own;
    struct passed p = passed_create(c->s->n);
    int64_t *ids = calloc((size_t)c->s->n + 1, 8), first = c->first_atom;
    p.n = c->s->n;
    call_ids(c, ids);
    for (int64_t i = 0; i < p.n; i++) {
        first = c->first_atom == 0 && ids[i] < ids[first] ? i : first;
    }
    for (int64_t i = 0; i < p.n; i++) {
        p.atom[i] = i == 0 ? first : i <= first ? i - 1 : i;
    }
    passed_fill(c, step, &p);
    for (int64_t i = 0; i < p.n; i++) {
        p.ids[i] = ids[p.atom[i]];
    }
    struct dgnn_system system = call_system(c, &p);
    system.replicated = 0;
    memset(system.grid, 0, sizeof(system.grid));
    system.ids = p.ids;
    system_result_create(&own, p.n);
    system_result_create(want, p.n);
    CHECK_STATUS(dgnn_model_compute(c->models->serial, &system, NULL, &own, &error), DGNN_OK, "");
    passed_spread(&p, &own, want);
    want->energy = own.energy;
    memcpy(want->virial, own.virial, sizeof(own.virial));
    system_result_free(&own);
    free(ids);
    passed_free(&p);
}

/* All ranks succeeded, agree bit for bit on totals, and every quantity is that of one rank. Returns the worst
 * share. */
static inline double call_check(struct call *c, const struct tolerance *t)
{
    double worst = 0;
    for (int32_t r = 0; r < c->nrank; r++) {
        if (c->status[r]) {
            fprintf(stderr, "rank %d: %s\n", r, c->message[r]);
            return INFINITY;
        }
    }
    for (int step = 0; step < c->nstep; step++) {
        struct dgnn_result want;
        serial_run(c, step, &want);
        for (int32_t r = 0; r < c->nrank; r++) {
            const struct dgnn_result *got = c->replicated ? &c->whole[r][step] : &c->result[step];
            worst =
                check_larger(worst, compare(got, c->energy[r][step], c->virial[r][step], &want, c->s->n, t));
            if (memcmp(&c->energy[r][step], &c->energy[0][step], sizeof(double)) ||
                memcmp(c->virial[r][step], c->virial[0][step], sizeof(want.virial))) {
                worst = INFINITY;
            }
        }
        system_result_free(&want);
    }
    return worst;
}

#endif
