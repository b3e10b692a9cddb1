#include "system/bricks.h"

#include <math.h>
#include <string.h>

#define BRICKS_SLACK 1e-8

enum {
    BRICKS_BINS = 512, /* of a histogram; cuts lie between their edges by linear interpolation */
    BRICKS_TREE = 8 /* in the tree of ranks, one and the next seven have the next larger one's first above */
};

/* ------------------------------------------------------------------ the grid */

/* The fraction of the cell within reach of one of the grid's bricks, outside of it. Compared with a margin,
 * so that noise in the extents does not choose between equals. */
static double bricks_ghosts(const struct dgnn_bricks *b, const struct dgnn_cell *cell, double reach,
                            const int32_t grid[3])
{
    double inner = 1, outer = 1;
    for (int k = 0; k < 3; k++) {
        double whole = b->high[k] - b->low[k], margin = 2 * reach / cell->spacing[k];
        whole = whole > 1e-3 * margin ? whole : 1e-3 * margin; /* a flat layer still has two sides */
        double part = whole / grid[k];
        inner *= part;
        outer *= grid[k] == 1 || part + margin > whole ? whole : part + margin;
    }
    return outer - inner;
}

/* Larger than the reach, as rounding moves the faces of boxes of atoms. */
static void bricks_set_margins(struct dgnn_bricks *b, const struct dgnn_cell *cell)
{
    for (int k = 0; k < 3; k++) {
        double size = 1 + fmax(fabs(b->low[k]), fabs(b->high[k]));
        b->margin[k] = (1 + BRICKS_SLACK) * b->reach / cell->spacing[k] + BRICKS_SLACK * size;
        b->pbc[k] = cell->pbc[k];
    }
}

int dgnn_bricks_choose(struct dgnn_bricks *b, const struct dgnn_cell *cell, double reach, int32_t nrank,
                       const int32_t wanted[3], struct dgnn_error *error)
{
    double least = INFINITY;
    bricks_set_margins(b, cell);
    if (wanted[0] || wanted[1] || wanted[2]) {
        memcpy(b->grid, wanted, sizeof b->grid);
        if (wanted[0] < 1 || wanted[1] < 1 || wanted[2] < 1 ||
            (double)wanted[0] * wanted[1] * wanted[2] != (double)nrank) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "grid: found %d x %d x %d; the communicator has %d ranks, and their product must "
                "be that",
                wanted[0], wanted[1], wanted[2], nrank);
        }
        return DGNN_OK;
    }
    for (int32_t i = nrank; i >= 1; i--) {
        for (int32_t j = nrank / i; j >= 1 && nrank % i == 0; j--) {
            const int32_t grid[3] = {i, j, nrank / i / j};
            if (nrank / i % j == 0 && bricks_ghosts(b, cell, reach, grid) < 0.995 * least) {
                least = bricks_ghosts(b, cell, reach, grid);
                memcpy(b->grid, grid, sizeof b->grid);
            }
        }
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ the cuts */

/* Work in a bin of the box that a rank cuts. */
struct bricks_item {
    int64_t bin, cost;
};

/* Boxes that axis k cuts. */
static int64_t bricks_parts(const struct dgnn_bricks *b, int axis)
{
    int64_t parts = 1;
    for (int k = 0; k < axis; k++) {
        parts *= b->grid[k];
    }
    return parts;
}

int dgnn_bricks_reserve(struct dgnn_bricks *b, struct dgnn_error *error)
{
    int64_t nrank = bricks_parts(b, 3), most = 0, ncut = 0, place[3];
    for (int k = 0; k < 3; k++) {
        place[k] = ncut;
        ncut += bricks_parts(b, k) * (b->grid[k] - 1);
        most = b->grid[k] > most ? b->grid[k] : most;
    }
    DGNN_TRY(dgnn_buffer_reserve(&b->cuts, (ncut + 1) * (int64_t)sizeof(double), "bricks", error));
    for (int k = 0; k < 3; k++) {
        b->cut[k] = (double *)b->cuts.data + place[k];
    }
    DGNN_TRY(dgnn_buffer_reserve(&b->sums, BRICKS_BINS * (int64_t)sizeof(int64_t), "bricks", error));
    DGNN_TRY(dgnn_buffer_reserve(&b->items, BRICKS_TREE * BRICKS_BINS * (int64_t)sizeof(struct bricks_item),
                                 "bricks", error));
    DGNN_TRY(dgnn_buffer_reserve(&b->sent_cuts, 2 * nrank * most * (int64_t)sizeof(double), "bricks", error));
    return dgnn_buffer_reserve(&b->counts, 3 * nrank * (int64_t)sizeof(int64_t), "bricks", error);
}

/* How many of the cuts lie at or below the place. */
static int32_t bricks_index(const double *cut, int32_t n, double place)
{
    int32_t below = 0;
    while (below < n && cut[below] <= place) {
        below++;
    }
    return below;
}

/* The box of axis k's cuts that a place is in, from the cuts of the axes before. */
static int64_t bricks_part(const struct dgnn_bricks *b, int axis, const double fraction[3])
{
    int64_t part = 0;
    for (int k = 0; k < axis; k++) {
        int32_t n = b->grid[k] - 1;
        part = part * b->grid[k] + bricks_index(b->cut[k] + part * n, n, fraction[k]);
    }
    return part;
}

/* ------------------------------------------------------------------ who is near */

/* A box is in one part of each axis's cuts: part is its number after those of axis. */
static void bricks_interval(const struct dgnn_bricks *b, int axis, int64_t part, double side[2])
{
    int64_t n = b->grid[axis], i = part % n;
    const double *cut = b->cut[axis] + part / n * (n - 1);
    side[0] = i > 0 ? cut[i - 1] : b->low[axis];
    side[1] = i < n - 1 ? cut[i] : b->high[axis];
}

/* Of two boxes of the cuts before axis. The cuts of both are known where the boxes that they cut are near,
 * and others are not looked at. All ranks compare in one order, so that they round alike. */
static int bricks_parts_near(const struct dgnn_bricks *b, int axis, int64_t one, int64_t other)
{
    int64_t first = one < other ? one : other, second = one < other ? other : one;
    for (int k = 0; k < axis; k++) {
        double f[2], s[2];
        int64_t each = bricks_parts(b, axis) / bricks_parts(b, k + 1);
        if (first / each == second / each) {
            continue;
        }
        bricks_interval(b, k, first / each, f);
        bricks_interval(b, k, second / each, s);
        double from = s[0] - b->margin[k] - f[1], to = s[1] + b->margin[k] - f[0];
        if (b->pbc[k] ? ceil(from) > floor(to) : from > 0 || to < 0) {
            return 0;
        }
    }
    return 1;
}

int dgnn_bricks_near(const struct dgnn_bricks *b, int32_t me, int32_t other)
{
    return bricks_parts_near(b, 3, me, other);
}

/* ------------------------------------------------------------------ cuts of parts */

/* The rank that cuts a part, its first one: another for each, in the order of parts. */
static int32_t bricks_cutter(int64_t part, int64_t parts, int64_t nrank)
{
    return (int32_t)(part * nrank / parts);
}

static int64_t bricks_bin(const struct dgnn_bricks *b, int axis, const double fraction[3])
{
    double width = b->high[axis] - b->low[axis];
    double bin = width > 0 ? floor((fraction[axis] - b->low[axis]) / width * BRICKS_BINS) : 0;
    return bin < 0 ? 0 : bin > BRICKS_BINS - 1 ? BRICKS_BINS - 1 : (int64_t)bin;
}

/* What a cut along one axis takes, and who sends how much to whom. */
struct bricks_axis {
    int axis;
    int64_t parts, nrank, mine; /* mine: the part that this rank cuts, or -1 */
    int64_t *out, *in, *place;  /* nrank */
};

static struct bricks_axis bricks_begin(const struct dgnn_bricks *b, int axis, const struct dgnn_comm *comm)
{
    struct bricks_axis a = {
        .axis = axis, .parts = bricks_parts(b, axis), .nrank = dgnn_transport_nrank(comm), .mine = -1};
    a.out = b->counts.data;
    a.in = a.out + a.nrank;
    a.place = a.in + a.nrank;
    for (int64_t part = 0; part < a.parts; part++) {
        a.mine = bricks_cutter(part, a.parts, a.nrank) == dgnn_transport_rank(comm) ? part : a.mine;
    }
    memset(a.out, 0, 2 * (size_t)a.nrank * sizeof(*a.out));
    return a;
}

static int bricks_reserve_items(struct dgnn_bricks *b, const struct bricks_axis *a, int64_t n,
                                struct dgnn_error *error)
{
    int64_t arriving = 0;
    for (int64_t r = 0; r < a->nrank; r++) {
        arriving += a->in[r];
    }
    return dgnn_buffer_reserve(&b->items, (n + arriving) * (int64_t)sizeof(struct bricks_item), "bricks",
                               error);
}

/* The atoms' cost goes to those who cut their parts. */
static int bricks_send_cost(struct dgnn_bricks *b, const struct bricks_axis *a,
                            const struct dgnn_bricks_atoms *atoms, struct dgnn_comm *comm,
                            struct dgnn_error *error)
{
    struct bricks_item *item = b->items.data;
    int64_t next = 0;
    for (int64_t r = 0; r < a->nrank; r++) {
        a->place[r] = next;
        next += a->out[r];
    }
    for (int64_t i = 0; i < atoms->n; i++) {
        const double *f = atoms->fractions + 3 * i;
        int32_t to = bricks_cutter(bricks_part(b, a->axis, f), a->parts, a->nrank);
        item[a->place[to]++] =
            (struct bricks_item){bricks_bin(b, a->axis, f), atoms->cost ? atoms->cost[i] : 1};
    }
    return dgnn_transport_alltoallv(comm, item, a->out, item + atoms->n, a->in, sizeof(*item), error);
}

/* The cuts of one box from the cost in it; evenly spaced in an empty one. */
static void bricks_place(const struct dgnn_bricks *b, int axis, const int64_t *sums, double *cut)
{
    int64_t total = 0, below = 0, bin = 0;
    int32_t n = b->grid[axis];
    for (int64_t i = 0; i < BRICKS_BINS; i++) {
        total += sums[i];
    }
    for (int32_t c = 1; c < n; c++) {
        double goal = (double)total * c / n, place;
        while (bin < BRICKS_BINS - 1 && (double)(below + sums[bin]) < goal) {
            below += sums[bin++];
        }
        place =
            total ? (double)bin + (goal - (double)below) / (double)sums[bin] : (double)BRICKS_BINS * c / n;
        cut[c - 1] = b->low[axis] + place / BRICKS_BINS * (b->high[axis] - b->low[axis]);
    }
}

/* Who has which cuts: the rank that cuts a part tells those who passed atoms in it, and the ranks of parts
 * near it; each of these knows that it will hear. */
static void bricks_count_cuts(const struct dgnn_bricks *b, const struct bricks_axis *a, int64_t me)
{
    int64_t ncut = b->grid[a->axis] - 1, own = me * a->parts / a->nrank;
    for (int64_t r = 0; r < a->nrank; r++) {
        int64_t part = r * a->parts / a->nrank; /* that the rank is in */
        int is_near = bricks_parts_near(b, a->axis, own, part),
            cuts = bricks_cutter(part, a->parts, a->nrank) == r;
        int64_t out = a->mine >= 0 && (is_near || a->in[r]) ? ncut : 0;
        a->in[r] = cuts && (is_near || a->out[r]) ? ncut : 0;
        a->out[r] = out;
    }
}

/* The part that this rank cuts, from the cost that came. */
static int bricks_send_cuts(struct dgnn_bricks *b, const struct bricks_axis *a, int64_t n,
                            struct dgnn_comm *comm, struct dgnn_error *error)
{
    const struct bricks_item *item = (const struct bricks_item *)b->items.data + n;
    int64_t *sums = b->sums.data, ncut = b->grid[a->axis] - 1, arrived = 0;
    double *sent_cuts = b->sent_cuts.data, *to = sent_cuts;
    memset(sums, 0, BRICKS_BINS * sizeof(*sums));
    for (int64_t r = 0; r < a->nrank; r++) {
        arrived += a->in[r];
    }
    for (int64_t k = 0; k < arrived; k++) {
        sums[item[k].bin] += item[k].cost;
    }
    bricks_count_cuts(b, a, dgnn_transport_rank(comm));
    if (a->mine >= 0) {
        bricks_place(b, a->axis, sums, sent_cuts);
    }
    for (int64_t r = 0; r < a->nrank; r++) {
        if (a->out[r] && to != sent_cuts) {
            memcpy(to, sent_cuts, (size_t)ncut * sizeof(*sent_cuts));
        }
        to += a->out[r];
    }
    double *heard = sent_cuts + a->nrank * ncut;
    DGNN_TRY(dgnn_transport_alltoallv(comm, sent_cuts, a->out, heard, a->in, sizeof(*sent_cuts), error));
    for (int64_t part = 0; part < a->parts; part++) {
        if (a->in[bricks_cutter(part, a->parts, a->nrank)]) {
            memcpy(b->cut[a->axis] + part * ncut, heard, (size_t)ncut * sizeof(*heard));
            heard += ncut;
        }
    }
    return DGNN_OK;
}

static int bricks_cut_parts(struct dgnn_bricks *b, int axis, const struct dgnn_bricks_atoms *atoms,
                            struct dgnn_comm *comm, struct dgnn_error *error)
{
    struct bricks_axis a = bricks_begin(b, axis, comm);
    for (int64_t i = 0; i < atoms->n; i++) {
        a.out[bricks_cutter(bricks_part(b, axis, atoms->fractions + 3 * i), a.parts, a.nrank)]++;
    }
    DGNN_TRY(dgnn_transport_alltoall(comm, a.out, a.in, error));
    DGNN_TRY(dgnn_transport_agree(comm, "compute", bricks_reserve_items(b, &a, atoms->n, error), error));
    DGNN_TRY(bricks_send_cost(b, &a, atoms, comm, error));
    return bricks_send_cuts(b, &a, atoms->n, comm, error);
}

/* ------------------------------------------------------------------ the first cut, of all atoms */

/* A rank's place in the tree at step 1, 8, 64, ...: the rank above it (-1: none), or the ranks below. */
struct bricks_tree {
    int64_t above, nbelow, below[BRICKS_TREE - 1];
};

static struct bricks_tree bricks_climb(int64_t me, int64_t nrank, int64_t step)
{
    struct bricks_tree tree = {.above = -1};
    int64_t place = me % (BRICKS_TREE * step);
    if (place % step == 0 && place > 0) {
        tree.above = me - place;
    }
    for (int64_t r = me + step; place == 0 && r < me + BRICKS_TREE * step && r < nrank; r += step) {
        tree.below[tree.nbelow++] = r;
    }
    return tree;
}

/* Sums over the ranks below, without empty bins, as most are where a rank has few atoms. */
static int bricks_sum_step(struct dgnn_bricks *b, const struct bricks_axis *a, const struct bricks_tree *tree,
                           struct dgnn_comm *comm, struct dgnn_error *error)
{
    struct bricks_item *item = b->items.data, *heard = item + BRICKS_BINS;
    int64_t *sums = b->sums.data, n = 0, heard_n[BRICKS_TREE], arrived = 0;
    memset(a->out, 0, 2 * (size_t)a->nrank * sizeof(*a->out));
    for (int64_t bin = 0; tree->above >= 0 && bin < BRICKS_BINS; bin++) {
        item[n] = (struct bricks_item){bin, sums[bin]};
        n += sums[bin] != 0;
    }
    if (tree->above >= 0) {
        a->out[tree->above] = 1;
    }
    for (int64_t k = 0; k < tree->nbelow; k++) {
        a->in[tree->below[k]] = 1;
    }
    DGNN_TRY(dgnn_transport_alltoallv(comm, &n, a->out, heard_n, a->in, sizeof(n), error));
    if (tree->above >= 0) {
        a->out[tree->above] = n;
    }
    for (int64_t k = 0; k < tree->nbelow; k++) {
        a->in[tree->below[k]] = heard_n[k];
        arrived += heard_n[k];
    }
    DGNN_TRY(dgnn_transport_alltoallv(comm, item, a->out, heard, a->in, sizeof(*item), error));
    for (int64_t k = 0; k < arrived; k++) {
        sums[heard[k].bin] += heard[k].cost;
    }
    return DGNN_OK;
}

static int bricks_spread_step(struct dgnn_bricks *b, const struct bricks_axis *a,
                              const struct bricks_tree *tree, struct dgnn_comm *comm,
                              struct dgnn_error *error)
{
    int64_t ncut = b->grid[a->axis] - 1;
    double *sent_cuts = b->sent_cuts.data, *cut = b->cut[a->axis];
    memset(a->out, 0, 2 * (size_t)a->nrank * sizeof(*a->out));
    for (int64_t k = 0; k < tree->nbelow; k++) {
        memcpy(sent_cuts + k * ncut, cut, (size_t)ncut * sizeof(*cut));
        a->out[tree->below[k]] = ncut;
    }
    if (tree->above >= 0) {
        a->in[tree->above] = ncut;
    }
    return dgnn_transport_alltoallv(comm, sent_cuts, a->out, cut, a->in, sizeof(*sent_cuts), error);
}

static int bricks_cut_whole(struct dgnn_bricks *b, int axis, const struct dgnn_bricks_atoms *atoms,
                            struct dgnn_comm *comm, struct dgnn_error *error)
{
    struct bricks_axis a = bricks_begin(b, axis, comm);
    int64_t me = dgnn_transport_rank(comm), *sums = b->sums.data, step = 1;
    memset(sums, 0, BRICKS_BINS * sizeof(*sums));
    for (int64_t i = 0; i < atoms->n; i++) {
        sums[bricks_bin(b, axis, atoms->fractions + 3 * i)] += atoms->cost ? atoms->cost[i] : 1;
    }
    for (; step < a.nrank; step *= BRICKS_TREE) {
        const struct bricks_tree tree = bricks_climb(me, a.nrank, step);
        DGNN_TRY(bricks_sum_step(b, &a, &tree, comm, error));
    }
    if (me == 0) {
        bricks_place(b, axis, sums, b->cut[axis]);
    }
    for (step /= BRICKS_TREE; step >= 1; step /= BRICKS_TREE) {
        const struct bricks_tree tree = bricks_climb(me, a.nrank, step);
        DGNN_TRY(bricks_spread_step(b, &a, &tree, comm, error));
    }
    return DGNN_OK;
}

static int bricks_cut_axis(struct dgnn_bricks *b, int axis, const struct dgnn_bricks_atoms *atoms,
                           struct dgnn_comm *comm, struct dgnn_error *error)
{
    if (b->grid[axis] == 1) {
        return DGNN_OK;
    }
    return bricks_parts(b, axis) == 1 ? bricks_cut_whole(b, axis, atoms, comm, error)
                                      : bricks_cut_parts(b, axis, atoms, comm, error);
}

int dgnn_bricks_cut(struct dgnn_bricks *b, const struct dgnn_bricks_atoms *atoms, struct dgnn_comm *comm,
                    struct dgnn_error *error)
{
    for (int axis = 0; axis < 3; axis++) {
        DGNN_TRY(bricks_cut_axis(b, axis, atoms, comm, error));
    }
    return DGNN_OK;
}

int32_t dgnn_bricks_rank(const struct dgnn_bricks *b, const double fraction[3])
{
    return (int32_t)bricks_part(b, 3, fraction);
}

void dgnn_bricks_free(struct dgnn_bricks *b)
{
    dgnn_buffer_free(&b->cuts);
    dgnn_buffer_free(&b->sums);
    dgnn_buffer_free(&b->items);
    dgnn_buffer_free(&b->sent_cuts);
    dgnn_buffer_free(&b->counts);
}
