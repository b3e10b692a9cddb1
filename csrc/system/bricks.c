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

int dgnn_bricks_reserve(struct dgnn_bricks *b, struct dgnn_error *error)
{
    int64_t nrank = bricks_parts(b, 3), ncut = 0, place[3];
    for (int k = 0; k < 3; k++) {
        place[k] = ncut;
        ncut += bricks_parts(b, k) * (b->grid[k] - 1);
    }
    DGNN_TRY(dgnn_buffer_reserve(&b->cuts, (ncut + 1) * (int64_t)sizeof(double), "bricks", error));
    for (int k = 0; k < 3; k++) {
        b->cut[k] = (double *)b->cuts.data + place[k];
    }
    return dgnn_buffer_reserve(&b->counts,
                               (nrank + 1) * bricks_parts(b, 2) * BRICKS_BINS * (int64_t)sizeof(int32_t), "bricks",
                               error);
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

static void bricks_count(const struct dgnn_bricks *b, int axis, int64_t n, const double *fractions, int32_t *counts)
{
    double width = b->high[axis] - b->low[axis];
    memset(counts, 0, sizeof(*counts) * (size_t)(bricks_parts(b, axis) * BRICKS_BINS));
    for (int64_t i = 0; i < n; i++) {
        const double *f = fractions + 3 * i;
        double bin = width > 0 ? floor((f[axis] - b->low[axis]) / width * BRICKS_BINS) : 0;
        bin = bin < 0 ? 0 : bin > BRICKS_BINS - 1 ? BRICKS_BINS - 1 : bin;
        counts[bricks_part(b, axis, f) * BRICKS_BINS + (int64_t)bin]++;
    }
}

/* The cuts of one box from the counts in it; evenly spaced in an empty one. */
static void bricks_place(const struct dgnn_bricks *b, int axis, const int64_t *counts, double *cut)
{
    int64_t total = 0, below = 0, bin = 0;
    int32_t n = b->grid[axis];
    for (int64_t i = 0; i < BRICKS_BINS; i++) {
        total += counts[i];
    }
    for (int32_t c = 1; c < n; c++) {
        double goal = (double)total * c / n, place;
        while (bin < BRICKS_BINS - 1 && (double)(below + counts[bin]) < goal) {
            below += counts[bin++];
        }
        place = total ? (double)bin + (goal - (double)below) / (double)counts[bin] : (double)BRICKS_BINS * c / n;
        cut[c - 1] = b->low[axis] + place / BRICKS_BINS * (b->high[axis] - b->low[axis]);
    }
}

static int bricks_cut_axis(struct dgnn_bricks *b, int axis, int64_t n, const double *fractions,
                           struct dgnn_comm *comm, struct dgnn_error *error)
{
    int64_t parts = bricks_parts(b, axis), nrank = dgnn_transport_nrank(comm), size = parts * BRICKS_BINS;
    int32_t *own = b->counts.data, *all = own + size;
    if (b->grid[axis] == 1) {
        return DGNN_OK;
    }
    bricks_count(b, axis, n, fractions, own);
    DGNN_TRY(dgnn_transport_allgather(comm, own, size * (int64_t)sizeof(*own), all, error));
    for (int64_t part = 0; part < parts; part++) {
        int64_t sum[BRICKS_BINS] = {0};
        for (int64_t r = 0; r < nrank; r++) {
            for (int64_t i = 0; i < BRICKS_BINS; i++) {
                sum[i] += all[r * size + part * BRICKS_BINS + i];
            }
        }
        bricks_place(b, axis, sum, b->cut[axis] + part * (b->grid[axis] - 1));
    }
    return DGNN_OK;
}

int dgnn_bricks_cut(struct dgnn_bricks *b, int64_t n, const double *fractions, struct dgnn_comm *comm,
                    struct dgnn_error *error)
{
    for (int axis = 0; axis < 3; axis++) {
        DGNN_TRY(bricks_cut_axis(b, axis, n, fractions, comm, error));
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
    dgnn_buffer_free(&b->counts);
}
