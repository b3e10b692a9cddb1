#include "system/bricks.h"

#include <math.h>
#include <string.h>

enum { BRICKS_BINS = 512 }; /* of a histogram; cuts lie between their edges by linear interpolation */

/* ------------------------------------------------------------------ the grid */

/* The fraction of the cell within reach of one of the grid's bricks, outside of it. Compared with a margin, so that noise
 * in the extents does not choose between equals. */
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

int dgnn_bricks_choose(struct dgnn_bricks *b, const struct dgnn_cell *cell, double reach, int32_t nrank,
                       const int32_t wanted[3], struct dgnn_error *error)
{
    double least = INFINITY;
    if (wanted[0] || wanted[1] || wanted[2]) {
        memcpy(b->grid, wanted, sizeof b->grid);
        if (wanted[0] < 1 || wanted[1] < 1 || wanted[2] < 1 ||
            (double)wanted[0] * wanted[1] * wanted[2] != (double)nrank) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
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

/* Boxes that axis k cuts. */
static int64_t bricks_parts(const struct dgnn_bricks *b, int axis)
{
    int64_t parts = 1;
    for (int k = 0; k < axis; k++) {
        parts *= b->grid[k];
    }
    return parts;
}

/* Numbers of an axis's histograms that each rank sums, so that all ranks together sum all. */
static int64_t bricks_share(int64_t nbin, int64_t nrank)
{
    return (nbin + nrank - 1) / nrank;
}

int dgnn_bricks_reserve(struct dgnn_bricks *b, struct dgnn_error *error)
{
    int64_t nrank = bricks_parts(b, 3), most = 0, ncut = 0, place[3];
    for (int k = 0; k < 3; k++) {
        place[k] = ncut;
        ncut += bricks_parts(b, k) * (b->grid[k] - 1);
        most = b->grid[k] > 1 ? bricks_parts(b, k) * BRICKS_BINS : most;
    }
    DGNN_TRY(dgnn_buffer_reserve(&b->cuts, (ncut + 1) * (int64_t)sizeof(double), "bricks", error));
    for (int k = 0; k < 3; k++) {
        b->cut[k] = (double *)b->cuts.data + place[k];
    }
    int64_t shares = nrank * bricks_share(most, nrank);
    DGNN_TRY(dgnn_buffer_reserve(&b->sums, (most + 2 * shares) * (int64_t)sizeof(int64_t), "bricks", error));
    return dgnn_buffer_reserve(&b->shares, 2 * nrank * (int64_t)sizeof(int64_t), "bricks", error);
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

/* The work in each bin of each part. */
static void bricks_fill(const struct dgnn_bricks *b, int axis, int64_t n, const double *fractions, const int64_t *work,
                        int64_t *sums)
{
    double width = b->high[axis] - b->low[axis];
    memset(sums, 0, sizeof(*sums) * (size_t)(bricks_parts(b, axis) * BRICKS_BINS));
    for (int64_t i = 0; i < n; i++) {
        const double *f = fractions + 3 * i;
        double bin = width > 0 ? floor((f[axis] - b->low[axis]) / width * BRICKS_BINS) : 0;
        bin = bin < 0 ? 0 : bin > BRICKS_BINS - 1 ? BRICKS_BINS - 1 : bin;
        sums[bricks_part(b, axis, f) * BRICKS_BINS + (int64_t)bin] += work ? work[i] : 1;
    }
}

/* values: n whole numbers of this rank, with room after them. Returns their sums over the ranks in *total: each rank gets
 * its share of the bins from all, and all get its sums. */
static int bricks_add(const struct dgnn_bricks *b, int64_t *values, int64_t n, struct dgnn_comm *comm,
                      const int64_t **total, struct dgnn_error *error)
{
    int64_t nrank = dgnn_transport_nrank(comm), share = bricks_share(n, nrank), me = dgnn_transport_rank(comm);
    int64_t *received = values + n, *all = received + nrank * share, *out = b->shares.data, *in = out + nrank;
    for (int64_t r = 0; r < nrank; r++) {
        int64_t left = n - r * share;
        out[r] = left < 0 ? 0 : left < share ? left : share;
    }
    int64_t mine = out[me];
    for (int64_t r = 0; r < nrank; r++) {
        in[r] = mine;
    }
    DGNN_TRY(dgnn_transport_alltoallv(comm, values, out, received, in, sizeof(*values), error));
    for (int64_t k = 0; k < mine; k++) {
        values[k] = received[k];
        for (int64_t r = 1; r < nrank; r++) {
            values[k] += received[r * mine + k];
        }
    }
    *total = all;
    return dgnn_transport_allgather(comm, values, share * (int64_t)sizeof(*values), all, error);
}

/* The cuts of one box from the work in it; evenly spaced in an empty one. */
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
        place = total ? (double)bin + (goal - (double)below) / (double)sums[bin] : (double)BRICKS_BINS * c / n;
        cut[c - 1] = b->low[axis] + place / BRICKS_BINS * (b->high[axis] - b->low[axis]);
    }
}

static int bricks_cut_axis(struct dgnn_bricks *b, int axis, int64_t n, const double *fractions, const int64_t *work,
                           struct dgnn_comm *comm, struct dgnn_error *error)
{
    int64_t parts = bricks_parts(b, axis), *own = b->sums.data;
    const int64_t *total;
    if (b->grid[axis] == 1) {
        return DGNN_OK;
    }
    bricks_fill(b, axis, n, fractions, work, own);
    DGNN_TRY(bricks_add(b, own, parts * BRICKS_BINS, comm, &total, error));
    for (int64_t part = 0; part < parts; part++) {
        bricks_place(b, axis, total + part * BRICKS_BINS, b->cut[axis] + part * (b->grid[axis] - 1));
    }
    return DGNN_OK;
}

int dgnn_bricks_cut(struct dgnn_bricks *b, int64_t n, const double *fractions, const int64_t *work,
                    struct dgnn_comm *comm, struct dgnn_error *error)
{
    for (int axis = 0; axis < 3; axis++) {
        DGNN_TRY(bricks_cut_axis(b, axis, n, fractions, work, comm, error));
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
    dgnn_buffer_free(&b->shares);
}
