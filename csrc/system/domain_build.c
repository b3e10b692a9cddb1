/* Steps of a build, each collective one after an agreement that all ranks have its memory: choose and cut
 * bricks, move atoms to the rank of their brick, order them, find who needs which, weigh them by their
 * neighbours, cut and move again, make the plan. */
#include "system/domain_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/spin_rows.h"
#include "geom/nlist.h"
#include "geom/order.h"
#include "system/distinct.h"

/* What is known of an atom until the next build. */
struct build_atom {
    int64_t id;
    int32_t type;
    int32_t arrival; /* of an atom that arrived; of one that is sent, 0 */
};

/* Memory of one build. */
struct build {
    struct dgnn_domain *d;
    const struct dgnn_domain_input *in;
    int32_t nrank, me;
    struct build_atom *out, *arrived, *ghost_out, *ghost;
    int64_t *ids;              /* nreal, to check */
    uint64_t *key;             /* nowned: along the curve */
    struct dgnn_nlist list;    /* of atoms that are weighed */
    double *send_position;     /* of ghosts, x 3 */
    int64_t *weighed;          /* nowned: cost, in the order of arrival */
    int64_t *returned, *cost;  /* nreal: cost, by departure and by real */
    struct dgnn_halo_box *box; /* nrank: of ranks whose bricks are near; others' are empty */
    int64_t *near;             /* nrank: 1 for these, else 0 */
    char *told, *heard;        /* a box for each rank, packed */
    struct dgnn_direct direct; /* points to the rest */
    int32_t *neighbour, *recv_row;
    int64_t *send_first, *recv_first;
};

/* block: a pointer of any type, to NULL or to the memory that this takes the place of. */
static int build_alloc(void *block, int64_t count, size_t size, const char *what, struct dgnn_error *error)
{
    void *before, *made = dgnn_alloc(count, size);
    memcpy(&before, block, sizeof(before));
    dgnn_alloc_free(before);
    memcpy(block, &made, sizeof(made));
    return made ? DGNN_OK : dgnn_status_no_memory(error, what, count * (int64_t)size);
}

static int64_t build_sum(const int64_t *counts, int32_t n)
{
    int64_t sum = 0;
    for (int32_t r = 0; r < n; r++) {
        sum += counts[r];
    }
    return sum;
}

/* How near an atom must be to another's brick to be a ghost there. Each of two nodes is at most the largest
 * displacement away from its atom. */
static double build_reach(const struct build *b, double cutoff)
{
    return cutoff + b->in->skin + 2 * b->d->summary.displacement;
}

/* Bytes that move with an atom. */
static int64_t build_moving(const struct build *b)
{
    return ((b->d->has_spins ? 6 : 3) + b->in->dim_aparam) * (int64_t)sizeof(double);
}

/* ------------------------------------------------------------------ departure */

static int build_choose(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    memcpy(d->bricks.low, d->summary.low, sizeof(d->bricks.low));
    memcpy(d->bricks.high, d->summary.high, sizeof(d->bricks.high));
    d->bricks.reach = build_reach(b, b->in->cutoff);
    DGNN_TRY(dgnn_bricks_choose(&d->bricks, &d->cell, d->bricks.reach, b->nrank, d->part.grid, error));
    DGNN_TRY(dgnn_bricks_reserve(&d->bricks, error));
    DGNN_TRY(build_alloc(&b->out, d->nreal, sizeof(*b->out), "atoms", error));
    DGNN_TRY(build_alloc(&b->ids, d->nreal, sizeof(*b->ids), "atoms", error));
    DGNN_TRY(build_alloc(&b->box, b->nrank, sizeof(*b->box), "bricks", error));
    DGNN_TRY(build_alloc(&b->near, b->nrank, sizeof(*b->near), "bricks", error));
    DGNN_TRY(build_alloc(&b->told, b->nrank, sizeof(*b->box), "bricks", error));
    DGNN_TRY(build_alloc(&b->heard, b->nrank, sizeof(*b->box), "bricks", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->departure, d->nreal * (int64_t)sizeof(int64_t), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->moving_out, d->nreal * build_moving(b), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->built_displaced,
                                 d->has_spins ? 3 * d->nreal * (int64_t)sizeof(double) : 0, "atoms", error));
    return dgnn_buffer_reserve(&d->built_wrapped, 3 * d->nreal * (int64_t)sizeof(double), "atoms", error);
}

static int64_t build_id(const struct dgnn_domain *d, int64_t atom)
{
    return d->summary.has_ids ? d->part.ids[atom] : d->summary.first_id + atom;
}

/* Who computes my atoms: departures ordered by rank, then as they were passed. place: nrank numbers of
 * scratch. */
static void build_depart(struct build *b, int64_t *place)
{
    struct dgnn_domain *d = b->d;
    const double *fractions = d->fractions.data;
    const int64_t *real = d->real.data;
    int64_t *departure = d->departure.data, *count = dgnn_domain_counts(d, DGNN_DOMAIN_DEPART), sum = 0;
    memset(count, 0, sizeof(*count) * (size_t)b->nrank);
    for (int64_t r = 0; r < d->nreal; r++) {
        count[dgnn_bricks_rank(&d->bricks, fractions + 3 * r)]++;
    }
    for (int32_t rank = 0; rank < b->nrank; rank++) {
        place[rank] = sum;
        sum += count[rank];
    }
    for (int64_t r = 0; r < d->nreal; r++) {
        int64_t k = place[dgnn_bricks_rank(&d->bricks, fractions + 3 * r)]++;
        departure[k] = r;
        b->ids[r] = build_id(d, real[r]);
        b->out[k] = (struct build_atom){b->ids[r], d->part.types[real[r]], 0};
    }
}

/* ------------------------------------------------------------------ arrival */

static int build_reserve_owned(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    int64_t n = build_sum(dgnn_domain_counts(d, DGNN_DOMAIN_ARRIVE), b->nrank);
    if (n > INT32_MAX) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "one rank would compute %lld atoms; at most 2^31 - 1 can be", (long long)n);
    }
    d->nodes.nowned = n;
    DGNN_TRY(build_alloc(&b->arrived, n, sizeof(*b->arrived), "atoms", error));
    DGNN_TRY(build_alloc(&b->key, n, sizeof(*b->key), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->moving_in, n * build_moving(b), "atoms", error));
    DGNN_TRY(
        dgnn_buffer_reserve(&d->spins, d->has_spins ? 3 * n * (int64_t)sizeof(double) : 0, "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->arrival, n * (int64_t)sizeof(int32_t), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->positions, 3 * n * (int64_t)sizeof(double), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->types, n * (int64_t)sizeof(int32_t), "atoms", error));
    DGNN_TRY(dgnn_buffer_reserve(&d->ids, n * (int64_t)sizeof(int64_t), "atoms", error));
    return dgnn_buffer_reserve(&d->aparam, n * b->in->dim_aparam * (int64_t)sizeof(double), "atoms", error);
}

static int build_compare(const void *a, const void *b)
{
    int64_t x = ((const struct build_atom *)a)->id, y = ((const struct build_atom *)b)->id;
    return (x > y) - (x < y);
}

/* Numbers of an atom in the messages that move atoms. */
static int64_t build_width(const struct dgnn_domain *d, int64_t dim_aparam)
{
    return 3 + (d->has_spins ? 3 : 0) + dim_aparam;
}

/* What arrived, or would have. */
static const double *build_arrivals(const struct dgnn_domain *d)
{
    return d->all_home ? d->moving_out.data : d->moving_in.data;
}

/* By id first, so that the curve's ties do not depend on who passed an atom. */
static void build_order(struct build *b)
{
    struct dgnn_domain *d = b->d;
    const double *in = build_arrivals(d);
    int64_t n = d->nodes.nowned, width = build_width(d, b->in->dim_aparam), *ids = d->ids.data;
    int32_t *types = d->types.data, *arrival = d->arrival.data;
    double *positions = d->positions.data;
    for (int64_t k = 0; k < n; k++) {
        b->arrived[k].arrival = (int32_t)k;
    }
    qsort(b->arrived, (size_t)n, sizeof(*b->arrived), build_compare);
    for (int64_t k = 0; k < n; k++) {
        memcpy(positions + 3 * k, in + width * b->arrived[k].arrival, 3 * sizeof(double));
    }
    dgnn_order_curve(positions, n, b->key);
    for (int64_t row = 0; row < n; row++) {
        const struct build_atom *atom = &b->arrived[b->key[row] & UINT32_MAX];
        ids[row] = atom->id;
        types[row] = atom->type;
        arrival[atom->arrival] = (int32_t)row;
    }
}

static int build_carry(struct dgnn_domain *d, int64_t dim_aparam, struct dgnn_error *error)
{
    const double *wrapped = d->wrapped.data;
    const int64_t *departure = d->departure.data, *real = d->real.data;
    int64_t nspin = d->has_spins ? 3 : 0, width = build_width(d, dim_aparam);
    size_t extra = sizeof(double) * (size_t)dim_aparam, vector = 3 * sizeof(double);
    double *out = d->moving_out.data;
    for (int64_t k = 0; k < d->nreal; k++) {
        memcpy(out + width * k, wrapped + 3 * departure[k], vector);
        if (nspin) {
            memcpy(out + width * k + 3, d->part.spins + 3 * real[departure[k]], vector);
        }
        if (extra) {
            memcpy(out + width * k + 3 + nspin, d->part.aparam + dim_aparam * real[departure[k]], extra);
        }
    }
    if (d->all_home) {
        return DGNN_OK;
    }
    return dgnn_transport_alltoallv(d->comm, out, dgnn_domain_counts(d, DGNN_DOMAIN_DEPART),
                                    d->moving_in.data, dgnn_domain_counts(d, DGNN_DOMAIN_ARRIVE),
                                    width * (int64_t)sizeof(double), error);
}

static void build_settle(struct dgnn_domain *d, int64_t dim_aparam)
{
    const double *in = build_arrivals(d);
    const int32_t *arrival = d->arrival.data;
    int64_t nspin = d->has_spins ? 3 : 0, width = build_width(d, dim_aparam);
    size_t extra = sizeof(double) * (size_t)dim_aparam, vector = 3 * sizeof(double);
    double *positions = d->positions.data, *spins = d->spins.data, *aparam = d->aparam.data;
    for (int64_t k = 0; k < d->nodes.nowned; k++) {
        memcpy(positions + 3 * (int64_t)arrival[k], in + width * k, vector);
        if (nspin) {
            memcpy(spins + 3 * (int64_t)arrival[k], in + width * k + 3, vector);
        }
        if (extra) {
            memcpy(aparam + dim_aparam * arrival[k], in + width * k + 3 + nspin, extra);
        }
    }
}

int dgnn_domain_build_bring(struct dgnn_domain *d, int64_t dim_aparam, struct dgnn_error *error)
{
    DGNN_TRY(build_carry(d, dim_aparam, error));
    build_settle(d, dim_aparam);
    return DGNN_OK;
}

/* cost: nreal, or NULL where all cost the same. */
static int build_move(struct build *b, const int64_t *cost, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    int64_t *depart = dgnn_domain_counts(d, DGNN_DOMAIN_DEPART),
            *arrive = dgnn_domain_counts(d, DGNN_DOMAIN_ARRIVE);
    const struct dgnn_bricks_atoms atoms = {.n = d->nreal, .fractions = d->fractions.data, .cost = cost};
    DGNN_TRY(dgnn_bricks_cut(&d->bricks, &atoms, d->comm, error));
    build_depart(b, arrive);
    DGNN_TRY(dgnn_transport_alltoall(d->comm, depart, arrive, error));
    DGNN_TRY(dgnn_transport_agree(d->comm, "compute", build_reserve_owned(b, error), error));
    DGNN_TRY(dgnn_transport_alltoallv(d->comm, b->out, depart, b->arrived, arrive, sizeof(*b->out), error));
    d->all_home = 0;
    DGNN_TRY(build_carry(d, b->in->dim_aparam, error));
    build_order(b);
    build_settle(d, b->in->dim_aparam);
    return DGNN_OK;
}

/* ------------------------------------------------------------------ ghosts */

/* Ranks whose bricks are near tell one another: mine are nrank items of at most a box's size, of which each
 * of them gets its own (stride 0: all get the first); all: theirs, by rank. */
static int build_tell_near(struct build *b, const void *mine, int64_t stride, void *all, size_t size,
                           struct dgnn_error *error)
{
    size_t n = 0;
    for (int32_t r = 0; r < b->nrank; r++) {
        if (b->near[r]) {
            memcpy(b->told + size * n++, (const char *)mine + stride * r, size);
        }
    }
    DGNN_TRY(dgnn_transport_alltoallv(b->d->comm, b->told, b->near, b->heard, b->near, (int64_t)size, error));
    memset(all, 0, size * (size_t)b->nrank);
    n = 0;
    for (int32_t r = 0; r < b->nrank; r++) {
        if (b->near[r]) {
            memcpy((char *)all + size * (size_t)r, b->heard + size * n++, size);
        }
    }
    return DGNN_OK;
}

/* Boxes of the ranks that may be near, and whether atoms need to move at all. */
static int build_share_boxes(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    int64_t away = d->nreal - dgnn_domain_counts(d, DGNN_DOMAIN_DEPART)[b->me];
    struct dgnn_halo_box mine;
    memset(&mine, 0, sizeof(mine));
    dgnn_halo_box(&d->cell, d->nodes.nowned, d->positions.data, &mine);
    for (int32_t r = 0; r < b->nrank; r++) {
        b->near[r] = r != b->me && dgnn_bricks_near(&d->bricks, b->me, r);
    }
    DGNN_TRY(build_tell_near(b, &mine, 0, b->box, sizeof(mine), error));
    b->box[b->me] = mine;
    DGNN_TRY(dgnn_transport_reduce(d->comm, &away, 1, DGNN_REDUCE_MAX, error));
    d->all_home = away == 0;
    return DGNN_OK;
}

/* What my rows' ghosts need to know. */
static int build_find_ghosts(struct build *b, double reach, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    const struct dgnn_halo_input input = {.cell = &d->cell,
                                          .reach = reach,
                                          .n = d->nodes.nowned,
                                          .positions = d->positions.data,
                                          .me = b->me,
                                          .nbox = b->nrank,
                                          .box = b->box};
    const int64_t *ids = d->ids.data;
    const int32_t *types = d->types.data;
    DGNN_TRY(dgnn_halo_find(&d->halo, &input, error));
    DGNN_TRY(build_alloc(&b->ghost_out, d->halo.first[b->nrank], sizeof(*b->ghost_out), "ghosts", error));
    for (int64_t k = 0; k < d->halo.first[b->nrank]; k++) {
        b->ghost_out[k] = (struct build_atom){ids[d->halo.row[k]], types[d->halo.row[k]], 0};
    }
    for (int32_t r = 0; r < b->nrank; r++) {
        dgnn_domain_counts(d, DGNN_DOMAIN_SEND)[r] = d->halo.first[r + 1] - d->halo.first[r];
    }
    return DGNN_OK;
}

static int build_reserve_ghosts(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    int64_t nowned = d->nodes.nowned;
    int64_t nghost = build_sum(dgnn_domain_counts(d, DGNN_DOMAIN_RECEIVE), b->nrank), n = nowned + nghost;
    if (n > INT32_MAX) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "one rank would have %lld rows; at most 2^31 - 1 can be", (long long)n);
    }
    d->nodes.nnode = n;
    DGNN_TRY(dgnn_buffer_extend(&d->positions, 3 * n * (int64_t)sizeof(double),
                                3 * nowned * (int64_t)sizeof(double), "ghosts", error));
    DGNN_TRY(dgnn_buffer_extend(&d->types, n * (int64_t)sizeof(int32_t), nowned * (int64_t)sizeof(int32_t),
                                "ghosts", error));
    DGNN_TRY(dgnn_buffer_extend(&d->ids, n * (int64_t)sizeof(int64_t), nowned * (int64_t)sizeof(int64_t),
                                "ghosts", error));
    if (d->has_spins) {
        DGNN_TRY(dgnn_buffer_extend(&d->spins, 3 * n * (int64_t)sizeof(double),
                                    3 * nowned * (int64_t)sizeof(double), "ghosts", error));
        DGNN_TRY(dgnn_buffer_reserve(&d->places, 6 * n * (int64_t)sizeof(double), "ghosts", error));
    }
    /* of energies and atomic virials: the widest rows of results */
    int64_t width = dgnn_results_shape(&(struct dgnn_node_form){0}, d->has_spins, 1).width;
    DGNN_TRY(dgnn_buffer_reserve(&d->back, width * n * (int64_t)sizeof(double), "ghosts", error));
    DGNN_TRY(build_alloc(&b->ghost, nghost, sizeof(*b->ghost), "ghosts", error));
    DGNN_TRY(build_alloc(&b->neighbour, b->nrank, sizeof(*b->neighbour), "ghosts", error));
    DGNN_TRY(build_alloc(&b->send_first, b->nrank + 1, sizeof(*b->send_first), "ghosts", error));
    DGNN_TRY(build_alloc(&b->recv_first, b->nrank + 1, sizeof(*b->recv_first), "ghosts", error));
    return build_alloc(&b->recv_row, nghost, sizeof(*b->recv_row), "ghosts", error);
}

/* Who needs which of my rows, and whose I need: the rows of all atoms within reach of another rank's. */
static int build_ghosts(struct build *b, double reach, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    int64_t *send = dgnn_domain_counts(d, DGNN_DOMAIN_SEND),
            *receive = dgnn_domain_counts(d, DGNN_DOMAIN_RECEIVE);
    int64_t nowned = d->nodes.nowned;
    DGNN_TRY(build_share_boxes(b, error));
    DGNN_TRY(dgnn_transport_agree(d->comm, "compute", build_find_ghosts(b, reach, error), error));
    DGNN_TRY(build_tell_near(b, send, sizeof(*send), receive, sizeof(*send), error));
    DGNN_TRY(dgnn_transport_agree(d->comm, "compute", build_reserve_ghosts(b, error), error));
    DGNN_TRY(
        dgnn_transport_alltoallv(d->comm, b->ghost_out, send, b->ghost, receive, sizeof(*b->ghost), error));
    int64_t *ids = d->ids.data;
    int32_t *types = d->types.data;
    for (int64_t row = nowned; row < d->nodes.nnode; row++) {
        ids[row] = b->ghost[row - nowned].id;
        types[row] = b->ghost[row - nowned].type;
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ cost */

static int build_reserve_weighing(struct build *b, struct dgnn_error *error)
{
    const struct dgnn_domain *d = b->d;
    DGNN_TRY(build_alloc(&b->send_position, d->halo.first[b->nrank], 3 * sizeof(double), "ghosts", error));
    DGNN_TRY(build_alloc(&b->weighed, d->nodes.nowned, sizeof(*b->weighed), "atoms", error));
    DGNN_TRY(build_alloc(&b->returned, d->nreal, sizeof(*b->returned), "atoms", error));
    return build_alloc(&b->cost, d->nreal, sizeof(*b->cost), "atoms", error);
}

static int build_bring_ghosts(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    double *positions = d->positions.data;
    for (int64_t k = 0; k < d->halo.first[b->nrank]; k++) {
        memcpy(b->send_position + 3 * k, positions + 3 * (int64_t)d->halo.row[k], 3 * sizeof(double));
    }
    return dgnn_transport_alltoallv(d->comm, b->send_position, dgnn_domain_counts(d, DGNN_DOMAIN_SEND),
                                    positions + 3 * d->nodes.nowned,
                                    dgnn_domain_counts(d, DGNN_DOMAIN_RECEIVE), 3 * sizeof(double), error);
}

/* Whole numbers, so that their sums do not depend on an order. */
static int build_count_cost(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    const int32_t *arrival = d->arrival.data;
    const struct dgnn_nlist_input input = {.ncentre = d->nodes.nowned,
                                           .nrow = d->nodes.nnode,
                                           .positions = d->positions.data,
                                           .ids = d->ids.data,
                                           .label = d->ids.data,
                                           .cell = &d->cell,
                                           .cutoff = b->in->cutoff,
                                           .threads = b->in->threads};
    DGNN_TRY(dgnn_nlist_update(&b->list, &input, error));
    for (int64_t k = 0; k < d->nodes.nowned; k++) {
        int64_t first = b->list.first[arrival[k]], n = b->list.first[arrival[k] + 1] - first;
        double cost = b->in->cost(b->in->cost_of, n, b->list.distance + first);
        b->weighed[k] = cost > 1 ? llround(fmin(cost, 1e12)) : 1;
    }
    return DGNN_OK;
}

/* The cost of the atoms that this rank passes. */
static int build_weigh(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    const int64_t *departure = d->departure.data;
    DGNN_TRY(build_ghosts(b, b->in->cutoff, error));
    DGNN_TRY(dgnn_transport_agree(d->comm, "compute", build_reserve_weighing(b, error), error));
    DGNN_TRY(build_bring_ghosts(b, error));
    DGNN_TRY(dgnn_transport_agree(d->comm, "compute", build_count_cost(b, error), error));
    DGNN_TRY(dgnn_transport_alltoallv(d->comm, b->weighed, dgnn_domain_counts(d, DGNN_DOMAIN_ARRIVE),
                                      b->returned, dgnn_domain_counts(d, DGNN_DOMAIN_DEPART),
                                      sizeof(*b->returned), error));
    for (int64_t k = 0; k < d->nreal; k++) {
        b->cost[departure[k]] = b->returned[k];
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ the plan */

/* Neighbours are the ranks with rows to send or to receive, in rank order. */
static int build_plan(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    int64_t nowned = d->nodes.nowned, sent = 0, received = 0;
    int32_t n = 0;
    for (int64_t row = nowned; row < d->nodes.nnode; row++) {
        b->recv_row[row - nowned] = (int32_t)row;
    }
    b->send_first[0] = b->recv_first[0] = 0;
    for (int32_t r = 0; r < b->nrank; r++) {
        int64_t send = dgnn_domain_counts(d, DGNN_DOMAIN_SEND)[r];
        int64_t receive = dgnn_domain_counts(d, DGNN_DOMAIN_RECEIVE)[r];
        if (send || receive) {
            b->neighbour[n++] = r;
            b->send_first[n] = sent += send;
            b->recv_first[n] = received += receive;
        }
    }
    b->direct = (struct dgnn_direct){.nneighbour = n,
                                     .rank = b->neighbour,
                                     .send_first = b->send_first,
                                     .send_row = d->halo.row,
                                     .recv_first = b->recv_first,
                                     .recv_row = b->recv_row};
    return dgnn_plan_create(&b->direct, nowned, d->nodes.nnode, b->me, b->nrank, &d->plan, error);
}

/* The plan, whose two ends hold the same counts, and its exchanges. The widest rows first: memory that moved
 * would cost the requests made before. */
static int build_exchanges(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    const struct dgnn_node_form energies = {0};
    int64_t widest = dgnn_results_shape(&energies, d->has_spins, 1).width;
    DGNN_TRY(build_plan(b, error));
    if (d->has_virtual) {
        DGNN_TRY(dgnn_spin_plan(d->plan, &d->node_plan, error));
    }
    DGNN_TRY(dgnn_exchange_create_direct(d->has_virtual ? d->node_plan : d->plan, d->comm,
                                         DGNN_EXCHANGE_FEATURES, &d->features, error));
    DGNN_TRY(dgnn_exchange_create_direct(d->plan, d->comm, DGNN_EXCHANGE_GEOMETRY, &d->geometry, error));
    DGNN_TRY(dgnn_exchange_prepare(d->geometry, d->back.data, widest, sizeof(double), error));
    return d->has_spins ? dgnn_exchange_prepare(d->geometry, d->places.data, 6, sizeof(double), error)
                        : dgnn_exchange_prepare(d->geometry, d->positions.data, 3, sizeof(double), error);
}

static int build_halo(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    DGNN_TRY(build_ghosts(b, build_reach(b, b->in->cutoff), error));
    return dgnn_transport_agree(d->comm, "compute", build_exchanges(b, error), error);
}

/* ------------------------------------------------------------------ all */

static int build_all(struct build *b, struct dgnn_error *error)
{
    struct dgnn_domain *d = b->d;
    DGNN_TRY(dgnn_transport_agree(d->comm, "compute", build_choose(b, error), error));
    DGNN_TRY(build_move(b, NULL, error));
    if (d->summary.has_ids) {
        DGNN_TRY(dgnn_distinct_check(d->comm, "compute", d->nreal, b->ids, error));
    }
    if (b->in->cost && b->nrank > 1) {
        DGNN_TRY(build_weigh(b, error));
        DGNN_TRY(build_move(b, b->cost, error));
    }
    return build_halo(b, error);
}

int dgnn_domain_build(struct dgnn_domain *d, const struct dgnn_domain_input *in, struct dgnn_error *error)
{
    struct build b = {
        .d = d, .in = in, .nrank = dgnn_transport_nrank(d->comm), .me = dgnn_transport_rank(d->comm)};
    int status = build_all(&b, error);
    void *blocks[] = {b.out,     b.arrived,   b.ghost_out, b.ghost,      b.ids,        b.key,
                      b.box,     b.neighbour, b.recv_row,  b.send_first, b.recv_first, b.send_position,
                      b.weighed, b.returned,  b.cost,      b.near,       b.told,       b.heard};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        dgnn_alloc_free(blocks[i]);
    }
    dgnn_nlist_free(&b.list);
    return status;
}
