#include "brick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

static void *brick_zeroed(int64_t count, size_t size)
{
    void *block = calloc(count > 0 ? (size_t)count : 1, size);
    if (!block) {
        abort();
    }
    return block;
}

static void *brick_grow(void *block, int64_t count, size_t size)
{
    block = realloc(block, (size_t)count * size);
    if (!block) {
        abort();
    }
    return block;
}

/* ------------------------------------------------------------------ the world */

static struct brick_world *brick_world_create(int32_t nrank, int64_t natoms, int32_t nswap)
{
    struct brick_world *world = brick_zeroed(1, sizeof(*world));
    world->nrank = nrank;
    world->natoms = natoms;
    world->rank = brick_zeroed(nrank, sizeof(*world->rank));
    world->owner = brick_zeroed(natoms, sizeof(*world->owner));
    world->owner_row = brick_zeroed(natoms, sizeof(*world->owner_row));
    for (int32_t r = 0; r < nrank; r++) {
        struct brick_rank *rank = &world->rank[r];
        rank->sendproc = brick_zeroed(nswap, sizeof(int32_t));
        rank->recvproc = brick_zeroed(nswap, sizeof(int32_t));
        rank->sendnum = brick_zeroed(nswap, sizeof(int32_t));
        rank->recvnum = brick_zeroed(nswap, sizeof(int32_t));
        rank->firstrecv = brick_zeroed(nswap, sizeof(int32_t));
        rank->sendlist = brick_zeroed(nswap, sizeof(*rank->sendlist));
        rank->border =
            (struct dgnn_border){nswap,          rank->sendproc, rank->recvproc,
                                 rank->sendnum,  rank->recvnum,  (const int32_t *const *)rank->sendlist,
                                 rank->firstrecv};
    }
    return world;
}

void brick_free(struct brick_world *world)
{
    for (int32_t r = 0; r < world->nrank; r++) {
        struct brick_rank *rank = &world->rank[r];
        for (int32_t s = 0; s < rank->border.nswap; s++) {
            free(rank->sendlist[s]);
        }
        free(rank->sendproc);
        free(rank->recvproc);
        free(rank->sendnum);
        free(rank->recvnum);
        free(rank->firstrecv);
        free(rank->sendlist);
        free(rank->x);
        free(rank->id);
        free(rank->shift);
    }
    free(world->rank);
    free(world->owner);
    free(world->owner_row);
    free(world);
}

static void brick_add_row(struct brick_rank *rank, const double x[3], int64_t id, const int32_t shift[3])
{
    if (rank->nnode == rank->capacity) {
        rank->capacity = 2 * rank->capacity + 16;
        rank->x = brick_grow(rank->x, rank->capacity, sizeof(*rank->x));
        rank->id = brick_grow(rank->id, rank->capacity, sizeof(*rank->id));
        rank->shift = brick_grow(rank->shift, rank->capacity, sizeof(*rank->shift));
    }
    memcpy(rank->x[rank->nnode], x, 3 * sizeof(double));
    memcpy(rank->shift[rank->nnode], shift, 3 * sizeof(int32_t));
    rank->id[rank->nnode] = id;
    rank->nnode++;
}

static void brick_add_owned(struct brick_world *world, int32_t r, const double x[3], int64_t id)
{
    const int32_t none[3] = {0};
    world->owner[id] = r;
    world->owner_row[id] = world->rank[r].nnode;
    brick_add_row(&world->rank[r], x, id, none);
    world->rank[r].nowned++;
}

/* Delivers swap s on all ranks at once: send lists and ranks are there. shift: of what each rank sends. */
static void brick_deliver(struct brick_world *world, int32_t s, const int32_t (*shift)[3],
                          const double box[3])
{
    /* Rows are taken as they were when the swap began, though ranks receive one after the other. */
    for (int32_t r = 0; r < world->nrank; r++) {
        world->rank[r].firstrecv[s] = (int32_t)world->rank[r].nnode;
    }
    for (int32_t r = 0; r < world->nrank; r++) {
        struct brick_rank *to = &world->rank[r];
        const struct brick_rank *from = &world->rank[to->recvproc[s]];
        const int32_t *by = shift[to->recvproc[s]];
        to->recvnum[s] = from->sendnum[s];
        for (int32_t k = 0; k < from->sendnum[s]; k++) {
            int32_t row = from->sendlist[s][k];
            double x[3];
            int32_t image[3];
            for (int d = 0; d < 3; d++) {
                x[d] = from->x[row][d] + by[d] * box[d];
                image[d] = from->shift[row][d] + by[d];
            }
            brick_add_row(to, x, from->id[row], image);
        }
    }
}

/* ------------------------------------------------------------------ bricks */

static int32_t brick_rank_at(const struct brick_grid *grid, const int32_t place[3])
{
    return (place[0] * grid->ranks[1] + place[1]) * grid->ranks[2] + place[2];
}

static void brick_place(const struct brick_grid *grid, int32_t rank, int32_t place[3])
{
    place[2] = rank % grid->ranks[2];
    place[1] = rank / grid->ranks[2] % grid->ranks[1];
    place[0] = rank / grid->ranks[2] / grid->ranks[1];
}

/* How often a dimension is swapped each way: a brick thinner than the cutoff hears of further bricks through
 * nearer ones. */
static int32_t brick_passes(const struct brick_grid *grid, int d)
{
    return (int32_t)(grid->cutoff * grid->ranks[d] / grid->box[d]) + 1;
}

/* One swap of one rank: way 0 sends to the lower neighbour, 1 to the upper. */
struct brick_step {
    int d;
    int way;
    int32_t pass;
};

static void brick_fill_list(const struct brick_grid *grid, struct brick_rank *rank, int32_t s,
                            const struct brick_step *step, int32_t place, const int64_t range[2])
{
    double width = grid->box[step->d] / grid->ranks[step->d];
    double low = place * width;
    double middle = low + 0.5 * width;
    int edge = step->way == 0 ? place == 0 : place == grid->ranks[step->d] - 1;
    rank->sendlist[s] = brick_zeroed(range[1] - range[0], sizeof(int32_t));
    if (edge && !grid->periodic[step->d]) {
        return;
    }
    for (int64_t i = range[0]; i < range[1]; i++) {
        double x = rank->x[i][step->d];
        /* Later passes hand on what came from the other side only. */
        int sent = step->way == 0 ? x <= low + grid->cutoff && (step->pass == 0 || x >= middle)
                                  : x >= low + width - grid->cutoff && (step->pass == 0 || x <= middle);
        if (sent) {
            rank->sendlist[s][rank->sendnum[s]++] = (int32_t)i;
        }
    }
}

/* Both ways of one pass. range: per rank, the rows that this pass sends from. */
static void brick_pass(struct brick_world *world, const struct brick_grid *grid, int32_t s, int d,
                       int32_t pass, int64_t (*range)[2])
{
    int32_t (*shift)[3] = brick_zeroed(world->nrank, sizeof(*shift));
    for (int way = 0; way < 2; way++, s++) {
        const struct brick_step step = {d, way, pass};
        for (int32_t r = 0; r < world->nrank; r++) {
            struct brick_rank *rank = &world->rank[r];
            int32_t place[3];
            int32_t n = grid->ranks[d];
            brick_place(grid, r, place);
            int32_t mine = place[d];
            int edge = way == 0 ? mine == 0 : mine == n - 1;
            memset(shift[r], 0, sizeof(shift[r]));
            shift[r][d] = edge ? (way == 0 ? 1 : -1) : 0;
            place[d] = (mine + n - 1) % n;
            int32_t lower = brick_rank_at(grid, place);
            place[d] = (mine + 1) % n;
            int32_t upper = brick_rank_at(grid, place);
            rank->sendproc[s] = way == 0 ? lower : upper;
            rank->recvproc[s] = way == 0 ? upper : lower;
            brick_fill_list(grid, rank, s, &step, mine, range[r]);
        }
        brick_deliver(world, s, (const int32_t (*)[3])shift, grid->box);
    }
    free(shift);
}

struct brick_world *brick_create(const struct brick_grid *grid, int64_t natoms, const double (*x)[3])
{
    int32_t nswap = 2 * (brick_passes(grid, 0) + brick_passes(grid, 1) + brick_passes(grid, 2));
    struct brick_world *world =
        brick_world_create(grid->ranks[0] * grid->ranks[1] * grid->ranks[2], natoms, nswap);
    for (int64_t i = 0; i < natoms; i++) {
        int32_t place[3];
        for (int d = 0; d < 3; d++) {
            place[d] = (int32_t)(x[i][d] / grid->box[d] * grid->ranks[d]);
            place[d] = place[d] < grid->ranks[d] ? place[d] : grid->ranks[d] - 1;
        }
        brick_add_owned(world, brick_rank_at(grid, place), x[i], i);
    }
    int64_t (*range)[2] = brick_zeroed(world->nrank, sizeof(*range));
    int32_t s = 0;
    for (int d = 0; d < 3; d++) {
        for (int32_t pass = 0; pass < brick_passes(grid, d); pass++, s += 2) {
            for (int32_t r = 0; r < world->nrank; r++) {
                range[r][0] = pass == 0 ? 0 : range[r][1];
                range[r][1] = world->rank[r].nnode;
            }
            brick_pass(world, grid, s, d, pass, range);
        }
    }
    free(range);
    return world;
}

/* ------------------------------------------------------------------ random swaps */

static void brick_random_permutation(int32_t *to, int32_t n, uint64_t *state)
{
    for (int32_t i = 0; i < n; i++) {
        to[i] = i;
    }
    for (int32_t i = n - 1; i > 0; i--) {
        int64_t j = random_below(state, i + 1);
        int32_t kept = to[i];
        to[i] = to[j];
        to[j] = kept;
    }
}

/* Rows among those that exist, every second one a ghost where there are any; now and then none at all. */
static void brick_random_list(struct brick_rank *rank, int32_t s, uint64_t *state)
{
    int64_t nghost = rank->nnode - rank->nowned;
    int32_t n = rank->nnode == 0 || random_below(state, 4) == 0 ? 0 : (int32_t)random_below(state, 7);
    rank->sendlist[s] = brick_zeroed(n, sizeof(int32_t));
    rank->sendnum[s] = n;
    for (int32_t k = 0; k < n; k++) {
        int ghost = nghost > 0 && (rank->nowned == 0 || random_below(state, 2));
        rank->sendlist[s][k] =
            (int32_t)(ghost ? rank->nowned + random_below(state, nghost) : random_below(state, rank->nowned));
    }
}

struct brick_world *brick_create_random(int32_t nrank, int32_t nswap, uint64_t seed)
{
    uint64_t state = random_hash(seed);
    const double nowhere[3] = {0};
    int64_t natoms = random_below(&state, 5 * nrank + 1);
    struct brick_world *world = brick_world_create(nrank, natoms, nswap);
    for (int64_t i = 0; i < natoms; i++) {
        brick_add_owned(world, (int32_t)random_below(&state, nrank), nowhere, i);
    }
    int32_t *to = brick_zeroed(nrank, sizeof(*to));
    int32_t (*shift)[3] = brick_zeroed(nrank, sizeof(*shift));
    for (int32_t s = 0; s < nswap; s++) {
        brick_random_permutation(to, nrank, &state);
        for (int32_t r = 0; r < nrank; r++) {
            world->rank[r].sendproc[s] = to[r];
            world->rank[to[r]].recvproc[s] = r;
        }
        for (int32_t r = 0; r < nrank; r++) {
            brick_random_list(&world->rank[r], s, &state);
        }
        brick_deliver(world, s, (const int32_t (*)[3])shift, nowhere);
    }
    free(to);
    free(shift);
    return world;
}

/* ------------------------------------------------------------------ direct plans */

/* Ghost rows of `rank` that `owner` owns, appended as ghost rows or as the owner's rows. */
static int64_t brick_direct_rows(const struct brick_world *world, int32_t rank, int32_t owner, int ghosts,
                                 int32_t *out)
{
    const struct brick_rank *r = &world->rank[rank];
    int64_t n = 0;
    for (int64_t i = r->nowned; i < r->nnode; i++) {
        if (world->owner[r->id[i]] == owner) {
            out[n++] = (int32_t)(ghosts ? i : world->owner_row[r->id[i]]);
        }
    }
    return n;
}

void brick_direct(const struct brick_world *world, int32_t rank, struct dgnn_direct *direct)
{
    int64_t total = 0;
    for (int32_t r = 0; r < world->nrank; r++) {
        total += world->rank[r].nnode;
    }
    int32_t *ranks = brick_zeroed(world->nrank, sizeof(*ranks));
    int64_t *send_first = brick_zeroed(world->nrank + 1, sizeof(*send_first));
    int64_t *recv_first = brick_zeroed(world->nrank + 1, sizeof(*recv_first));
    int32_t *send_row = brick_zeroed(total, sizeof(*send_row));
    int32_t *recv_row = brick_zeroed(total, sizeof(*recv_row));
    int32_t n = 0;
    for (int32_t r = 0; r < world->nrank; r++) {
        int64_t nsend = brick_direct_rows(world, r, rank, 0, send_row + send_first[n]);
        int64_t nrecv = brick_direct_rows(world, rank, r, 1, recv_row + recv_first[n]);
        if (nsend > 0 || nrecv > 0) {
            ranks[n] = r;
            send_first[n + 1] = send_first[n] + nsend;
            recv_first[n + 1] = recv_first[n] + nrecv;
            n++;
        }
    }
    *direct = (struct dgnn_direct){n, ranks, send_first, send_row, recv_first, recv_row};
}

void brick_direct_free(struct dgnn_direct *direct)
{
    free((void *)direct->rank);
    free((void *)direct->send_first);
    free((void *)direct->send_row);
    free((void *)direct->recv_first);
    free((void *)direct->recv_row);
}
