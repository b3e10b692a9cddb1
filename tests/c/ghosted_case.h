/* Calls of compute_ghosted on bricks, with a six-way border, a direct plan, a mapping or both, against one
 * rank. */
#ifndef DGNN_TESTS_GHOSTED_CASE_H
#define DGNN_TESTS_GHOSTED_CASE_H

#include "brick.h"
#include "domain_case.h"
#include "exchange_ablated.h"

enum plan_kind { PLAN_BORDER, PLAN_DIRECT, PLAN_MAPPING, PLAN_OWNERS };

struct ghosted_call {
    struct test_models *models;
    struct system_case *s;
    struct brick_world *world;
    int64_t natoms; /* 0: 48, far from one another */
    enum plan_kind kind;
    int32_t add, alone; /* alone: without a communicator */
    int32_t with_list;
    int64_t first;     /* the atom whose type empty slots carry */
    double (*step)[3]; /* 2 x n: none, then a small move of the same list */
    double (*turn)[3]; /* 2 x n: spins, then after a small turn */
    double reach;      /* of ghosts and of lists */
    struct dgnn_result result[2];
    int32_t status[MAX_RANKS];
    int64_t nghosts[MAX_RANKS], nremote[MAX_RANKS]; /* rows that were brought, and of the plan from owners */
    double energy[MAX_RANKS][2], virial[MAX_RANKS][2][9];
    double *forces[MAX_RANKS][2], *forces_mag[MAX_RANKS][2], *atom_virial[MAX_RANKS][2];
    char message[MAX_RANKS][DGNN_MESSAGE_LENGTH];
    void (*spoil)(struct dgnn_ghosted *g);
    int32_t bad_rank;
    int32_t ablates; /* the second call's exchanges go wrong */
    enum swaps_ablation ablation;
};

/* All pairs within a distance of rows, for each owned row; a -1 at the end of each. */
static inline void list_make(const struct brick_rank *b, const double *x, double reach, int64_t **first,
                             int32_t **row)
{
    *first = calloc((size_t)b->nowned + 1, sizeof(**first));
    *row = calloc((size_t)(b->nowned * (b->nnode + 1)) + 1, sizeof(**row));
    int64_t n = 0;
    for (int64_t i = 0; i < b->nowned; i++) {
        for (int64_t j = b->nnode - 1; j >= 0; j--) { /* the order must not matter */
            double square = 0;
            for (int c = 0; c < 3; c++) {
                square += (x[3 * j + c] - x[3 * i + c]) * (x[3 * j + c] - x[3 * i + c]);
            }
            if (j != i && square <= reach * reach) {
                (*row)[n++] = (int32_t)j;
            }
        }
        (*row)[n++] = -1;
        (*first)[i + 1] = n;
    }
}

/* A plan of one row for each remote atom, as a host makes it once for a list. */
static inline void ghosted_owners(struct ghosted_call *c, const struct ranks_rank *rank,
                                  struct dgnn_ghost_plan **plan, struct dgnn_error *error)
{
    const struct brick_rank *b = &c->world->rank[rank->rank];
    size_t nghost = (size_t)(b->nnode - b->nowned);
    int32_t *owner = calloc(2 * nghost + 1, sizeof(*owner)), *row = owner + nghost;
    for (int64_t i = b->nowned; i < b->nnode; i++) {
        owner[i - b->nowned] = c->world->owner[b->id[i]];
        row[i - b->nowned] = (int32_t)c->world->owner_row[b->id[i]];
    }
    struct dgnn_owners owners = {
        .size = sizeof(owners), .nlocal = b->nowned, .nall = b->nnode, .rank = owner, .row = row};
    c->status[rank->rank] = dgnn_direct_from_owners(&owners, c->alone ? NULL : rank->comm, plan, error);
    c->nremote[rank->rank] = *plan ? (*plan)->nremote : -1;
    free(owner);
}

/* What a rank passes. */
struct ghosted_rows {
    double *x, *spins, *aparam;
    int32_t *types, *row;
    int64_t *mapping, *first;
    struct dgnn_direct direct;
    struct dgnn_ghost_plan *plan;
};

static inline void ghosted_rows_create(struct ghosted_rows *g, size_t n)
{
    *g = (struct ghosted_rows){.x = calloc(n, 24),
                               .spins = calloc(n, 24),
                               .aparam = calloc(n * 8, 8),
                               .types = calloc(n, 4),
                               .mapping = calloc(n, 8)};
}

static inline void ghosted_rows_free(struct ghosted_rows *g)
{
    brick_direct_free(&g->direct);
    dgnn_ghost_plan_free(g->plan);
    free(g->x), free(g->spins), free(g->aparam), free(g->types), free(g->mapping), free(g->first),
        free(g->row);
}

/* Of a step. */
static inline void ghosted_rows_fill(const struct ghosted_call *c, const struct brick_rank *b, int step,
                                     struct ghosted_rows *g)
{
    const struct system_case *s = c->s;
    for (int64_t i = 0; i < b->nnode; i++) {
        for (int d = 0; d < 3; d++) {
            g->x[3 * i + d] = b->x[i][d] + c->step[step * s->n + b->id[i]][d];
            g->spins[3 * i + d] = c->turn[step * s->n + b->id[i]][d];
        }
        g->types[i] = s->types[b->id[i]];
        g->mapping[i] = c->world->owner_row[b->id[i]];
        for (int64_t d = 0; d < s->dim_aparam && i < b->nowned; d++) {
            g->aparam[s->dim_aparam * i + d] = s->aparam[s->dim_aparam * b->id[i] + d];
        }
    }
    if (c->with_list && step == 0) {
        list_make(b, g->x, c->reach - 0.1, &g->first, &g->row);
    }
}

static inline struct dgnn_ghosted ghosted_arguments(const struct ghosted_call *c, const struct brick_rank *b,
                                                    int step, const struct ghosted_rows *g)
{
    const struct system_case *s = c->s;
    return (struct dgnn_ghosted){.size = sizeof(struct dgnn_ghosted),
                                 .nlocal = b->nowned,
                                 .nall = b->nnode,
                                 .coords = g->x,
                                 .types = g->types,
                                 .spins = s->has_spins && b->nnode ? g->spins : NULL,
                                 .fparam = s->dim_fparam ? s->fparam : NULL,
                                 .nfparam = s->dim_fparam,
                                 .aparam = s->dim_aparam ? g->aparam : NULL,
                                 .naparam = s->dim_aparam,
                                 .border = c->kind == PLAN_BORDER ? &b->border : NULL,
                                 .direct = g->plan                  ? g->plan->direct
                                           : c->kind == PLAN_DIRECT ? &g->direct
                                                                    : NULL,
                                 .mapping = g->plan                   ? g->plan->mapping
                                            : c->kind == PLAN_MAPPING ? g->mapping
                                                                      : NULL,
                                 .neighbour_first = g->first,
                                 .neighbour = g->row,
                                 .same_list = step,
                                 .add_ghost_forces = c->add};
}

/* Keeps what a rank was told. */
static inline void ghosted_take(struct ghosted_call *c, int32_t rank, int step, struct dgnn_result *own)
{
    const struct brick_rank *b = &c->world->rank[rank];
    c->energy[rank][step] = own->energy;
    c->nghosts[rank] = own->nghosts;
    memcpy(c->virial[rank][step], own->virial, sizeof(own->virial));
    for (int64_t i = 0; i < b->nowned; i++) {
        c->result[step].atom_energy[b->id[i]] = own->atom_energy[i];
    }
    c->forces[rank][step] = own->forces;
    c->forces_mag[rank][step] = own->forces_mag;
    c->atom_virial[rank][step] = own->atom_virial;
    free(own->atom_energy);
}

static inline void ghosted_body(struct ranks_rank *rank)
{
    struct ghosted_call *c = rank->data;
    const struct brick_rank *b = &c->world->rank[rank->rank];
    struct dgnn_model *model = c->models->rank[rank->rank];
    struct dgnn_error error = {0};
    struct ghosted_rows rows;
    ghosted_rows_create(&rows, (size_t)b->nnode + 1);
    brick_direct(c->world, rank->rank, &rows.direct);
    if (c->kind == PLAN_OWNERS) {
        ghosted_owners(c, rank, &rows.plan, &error);
    }
    for (int step = 0; step < 2 && !c->status[rank->rank]; step++) {
        struct dgnn_result own = {0};
        ghosted_rows_fill(c, b, step, &rows);
        struct dgnn_ghosted g = ghosted_arguments(c, b, step, &rows);
        if (c->spoil && c->bad_rank == rank->rank) {
            c->spoil(&g);
        }
        if (c->ablates && step == 1) {
            const struct dgnn_session *session = dgnn_pool_session(model->pool);
            exchange_ablate(session->ghosted.features, c->ablation);
            exchange_ablate(session->ghosted.geometry, c->ablation);
        }
        system_result_create(&own, b->nnode);
        c->status[rank->rank] =
            dgnn_model_compute_ghosted(model, &g, c->alone ? NULL : rank->comm, &own, &error);
        ghosted_take(c, rank->rank, step, &own);
    }
    snprintf(c->message[rank->rank], DGNN_MESSAGE_LENGTH, "%s", error.message);
    ghosted_rows_free(&rows);
}

/* Rows of all ranks, summed over atoms: ghosts' rows are zero where they were sent home. */
static inline int ghosted_sum(const struct ghosted_call *c, int step, struct dgnn_result *all)
{
    int ghosts_zero = 1;
    size_t n = (size_t)c->s->n;
    all->energy = 0;
    memset(all->virial, 0, sizeof(all->virial));
    memset(all->forces, 0, 3 * n * sizeof(double));
    memset(all->forces_mag, 0, 3 * n * sizeof(double));
    memset(all->atom_virial, 0, 9 * n * sizeof(double));
    for (int32_t r = 0; r < c->world->nrank; r++) {
        const struct brick_rank *b = &c->world->rank[r];
        for (int64_t i = 0; i < b->nnode; i++) {
            for (int k = 0; k < 3; k++) {
                all->forces[3 * b->id[i] + k] += c->forces[r][step][3 * i + k];
                all->forces_mag[3 * b->id[i] + k] += c->forces_mag[r][step][3 * i + k];
                ghosts_zero &= i < b->nowned || c->forces[r][step][3 * i + k] == 0;
                ghosts_zero &= i < b->nowned || c->forces_mag[r][step][3 * i + k] == 0 || !c->add;
            }
            for (int k = 0; k < 9; k++) {
                all->atom_virial[9 * b->id[i] + k] += c->atom_virial[r][step][9 * i + k];
            }
        }
        all->energy += c->energy[r][step];
        for (int k = 0; k < 9; k++) {
            all->virial[k] += c->virial[r][step][k];
        }
    }
    return ghosts_zero;
}

static inline void ghosted_run(struct ghosted_call *c)
{
    for (int step = 0; step < 2; step++) {
        system_result_create(&c->result[step], c->s->n);
    }
    ranks_run(c->world->nrank, 60, ghosted_body, c);
}

static inline void ghosted_free(struct ghosted_call *c)
{
    for (int step = 0; step < 2; step++) {
        system_result_free(&c->result[step]);
        for (int32_t r = 0; r < c->world->nrank; r++) {
            free(c->forces[r][step]);
            free(c->forces_mag[r][step]);
            free(c->atom_virial[r][step]);
            c->forces[r][step] = c->forces_mag[r][step] = c->atom_virial[r][step] = NULL;
        }
    }
}

/* The first row of the first rank that has rows of its own. */
static inline int64_t ghosted_first(const struct ghosted_call *c)
{
    for (int32_t r = 0; r < c->world->nrank; r++) {
        if (c->world->rank[r].nowned) {
            return c->world->rank[r].id[0];
        }
    }
    return 0;
}

static inline double ghosted_compare(struct ghosted_call *c, const struct tolerance *t)
{
    double worst = 0;
    for (int32_t r = 0; r < c->world->nrank; r++) {
        if (c->status[r]) {
            fprintf(stderr, "rank %d: %s\n", r, c->message[r]);
            return INFINITY;
        }
    }
    for (int step = 0; step < 2; step++) {
        struct call one = {.models = c->models,
                           .s = c->s,
                           .nrank = 1,
                           .replicated = 1,
                           .step = c->step,
                           .turn = c->turn,
                           .first_atom = c->first};
        struct dgnn_result want;
        serial_run(&one, step, &want);
        if (ghosted_sum(c, step, &c->result[step]) != c->add && c->world->natoms > 0) {
            worst = INFINITY; /* ghosts' forces are zero where they were sent home, and only there */
        }
        worst = check_larger(worst, compare(&c->result[step], c->result[step].energy, c->result[step].virial,
                                            &want, c->s->n, t));
        system_result_free(&want);
    }
    return worst;
}

/* What a case leaves of its atoms. */
enum thinning { ALL_REAL, SOME_NULL, HALF_NULL, HALF_EMPTY };

static inline void case_make(struct system_case *s, struct ghosted_call *c, const int32_t ranks[3],
                             enum thinning thin, uint64_t seed)
{
    int32_t is_spin = c->models->serial->is_spin;
    c->reach = is_spin ? 6.5 : 5.5; /* 5, and twice the longest displacement, and a move */
    struct brick_grid grid = {.cutoff = c->reach};
    const struct system_kind kind = {.density = c->natoms ? 0.1 : 0.03};
    system_create(s, c->natoms ? c->natoms : 48, &kind, c->models->serial->ntypes, &seed);
    for (int k = 0; k < 3;
         k++) { /* wide enough that a six-way border can be built; atoms back into the cell */
        for (int64_t i = 0; i < s->n; i++) {
            s->x[3 * i + k] -= floor(s->x[3 * i + k] / s->box[4 * k]) * s->box[4 * k];
            if (thin == HALF_EMPTY && k == 0) {
                s->x[3 * i] *= 0.45;
            }
        }
        s->pbc[k] = 1;
        grid.ranks[k] = ranks[k];
        grid.box[k] = s->box[4 * k];
        grid.periodic[k] = 1;
    }
    for (int64_t i = 0; i < s->n; i++) {
        int null = thin == SOME_NULL ? i % 4 == 0 : thin == HALF_NULL ? s->x[3 * i] < 0.5 * s->box[0] : 0;
        s->types[i] = null ? -1 : s->types[i];
    }
    system_parameters(s, c->models->serial->properties.fitting.dim_fparam,
                      c->models->serial->properties.fitting.dim_aparam, &seed);
    system_spins(s, is_spin, &seed);
    c->s = s;
    c->world = brick_create(&grid, s->n, (const double (*)[3])s->x);
    c->first = ghosted_first(c);
    c->step = calloc((size_t)(2 * s->n), sizeof(*c->step));
    c->turn = calloc((size_t)(2 * s->n), sizeof(*c->turn));
    for (int64_t i = s->n; i < 2 * s->n; i++) {
        for (int k = 0; k < 3; k++) {
            c->step[i][k] = system_between(&seed, -0.08, 0.08);
            double spin = s->spins[3 * (i - s->n) + k];
            c->turn[i - s->n][k] = spin;
            c->turn[i][k] = spin + system_between(&seed, -0.08, 0.08);
        }
    }
}

static inline void case_end(struct ghosted_call *c)
{
    ghosted_free(c);
    brick_free(c->world);
    system_free(c->s);
    free(c->step);
    free(c->turn);
}

/* Has each remote atom that is no NULL atom one row, and no other a row? */
static inline int case_rows_good(const struct ghosted_call *c)
{
    int good = 1;
    char *seen = calloc((size_t)c->s->n + 1, 1);
    for (int32_t r = 0; r < c->world->nrank; r++) {
        const struct brick_rank *b = &c->world->rank[r];
        int64_t remote = 0, left = 0;
        memset(seen, 0, (size_t)c->s->n);
        for (int64_t i = b->nowned; i < b->nnode; i++) {
            int is_new = c->world->owner[b->id[i]] != r && !seen[b->id[i]];
            seen[b->id[i]] |= (char)is_new;
            remote += is_new;
            left += is_new && c->s->types[b->id[i]] >= 0;
        }
        good &= c->nremote[r] == remote && c->nghosts[r] == left;
    }
    free(seen);
    return good;
}

static inline void test_case(struct test_models *m, const int32_t ranks[3], enum plan_kind kind,
                             enum thinning thin, int variant, const struct tolerance *t)
{
    struct system_case s = {0};
    struct ghosted_call c = {.models = m, .kind = kind, .add = variant & 1, .with_list = variant >> 1 & 1};
    c.alone = ranks[0] * ranks[1] * ranks[2] == 1 && variant < 2;
    case_make(&s, &c, ranks, thin, 31 + (uint64_t)(8 * variant + thin));
    ghosted_run(&c);
    double share = ghosted_compare(&c, t);
    if (!(share <= 1)) {
        fprintf(stderr, "grid %d %d %d, plan %d, thinning %d, variant %d: %g of the tolerance\n", ranks[0],
                ranks[1], ranks[2], kind, thin, variant, share);
    }
    CHECK(share <= 1);
    CHECK(kind != PLAN_OWNERS || case_rows_good(&c));
    case_end(&c);
}

/* variant_step 3: of the four pairs of ghost forces and lists, those that differ in both. */
static inline void test_bricks(const char *name, int variant_step, struct tolerance t)
{
    static const int32_t grids[][3] = {{1, 1, 1}, {2, 1, 1}, {4, 1, 1}, {2, 2, 1}, {2, 2, 2}};
    struct test_models m = models_load(name, 0.5, 3);
    for (size_t g = 0; g < sizeof(grids) / sizeof(grids[0]); g++) {
        for (enum thinning thin = ALL_REAL; thin <= HALF_EMPTY; thin++) {
            for (int variant = 0; variant < 4; variant += variant_step) {
                test_case(&m, grids[g], PLAN_BORDER, thin, variant, &t);
                test_case(&m, grids[g], PLAN_DIRECT, thin, variant, &t);
                if (g == 0) {
                    test_case(&m, grids[g], PLAN_MAPPING, thin, variant, &t);
                }
                if (variant % 3 == 0) {
                    test_case(&m, grids[g], PLAN_OWNERS, thin, variant, &t);
                }
            }
        }
    }
    models_free(&m);
}

#endif
