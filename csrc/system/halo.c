#include "system/halo.h"

#include <math.h>
#include <string.h>

/* Boxes are larger by this, so that rounding loses no atom. */
#define HALO_SLACK 1e-10

/* The search for one box. */
struct halo_search {
    const struct dgnn_halo_input *input;
    const struct dgnn_halo_box *box;
    double metric[9];          /* h h^T: squared length of a step in fractions */
    double margin[3];          /* reach, in fractions */
    double limit;              /* reach squared */
    int32_t first[3], last[3]; /* lattice shifts that bring my atoms near the box */
};

void dgnn_halo_box(const struct dgnn_cell *cell, int64_t n, const double *positions,
                   struct dgnn_halo_box *box)
{
    *box = (struct dgnn_halo_box){{0, 0, 0}, {0, 0, 0}, n};
    for (int64_t i = 0; i < n; i++) {
        double fraction[3];
        dgnn_cell_fraction(cell, positions + 3 * i, fraction);
        for (int k = 0; k < 3; k++) {
            box->low[k] = i == 0 || fraction[k] < box->low[k] ? fraction[k] : box->low[k];
            box->high[k] = i == 0 || fraction[k] > box->high[k] ? fraction[k] : box->high[k];
        }
    }
}

/* ------------------------------------------------------------------ from a point to a box */

static double halo_square(const double metric[9], const double d[3])
{
    double sum = 0;
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            sum += metric[3 * a + b] * d[a] * d[b];
        }
    }
    return sum;
}

/* Sets the steps along the free axes to those of least length, where the others are fixed. False: not within
 * the box. */
static int halo_relax(const double metric[9], const int axis[3], int nfree, const double low[3],
                      const double high[3], double d[3])
{
    double a[3][4];
    for (int i = 0; i < nfree; i++) {
        a[i][nfree] = 0;
        for (int k = 0; k < 3; k++) {
            int is_free = 0;
            for (int j = 0; j < nfree; j++) {
                is_free |= axis[j] == k;
            }
            a[i][nfree] -= is_free ? 0 : metric[3 * axis[i] + k] * d[k];
        }
        for (int j = 0; j < nfree; j++) {
            a[i][j] = metric[3 * axis[i] + axis[j]];
        }
    }
    for (int i = 0; i < nfree; i++) { /* the metric is positive definite: no pivoting */
        for (int j = i + 1; j < nfree; j++) {
            double factor = a[j][i] / a[i][i];
            for (int k = i; k <= nfree; k++) {
                a[j][k] -= factor * a[i][k];
            }
        }
    }
    for (int i = nfree - 1; i >= 0; i--) {
        double value = a[i][nfree];
        for (int j = i + 1; j < nfree; j++) {
            value -= a[i][j] * d[axis[j]];
        }
        value /= a[i][i];
        if (value < low[axis[i]] - HALO_SLACK || value > high[axis[i]] + HALO_SLACK) {
            return 0;
        }
        d[axis[i]] = value;
    }
    return 1;
}

/* Is a point of the box within the limit? Steps to the box lie between low and high along each axis. The
 * nearest point is the relaxed one of some face, edge or corner: all 27 are tried. */
static int halo_is_near(const struct halo_search *s, const double low[3], const double high[3])
{
    double d[3];
    for (int k = 0; k < 3; k++) {
        d[k] = low[k] > 0 ? low[k] : high[k] < 0 ? high[k] : 0;
    }
    const double *m = s->metric;
    if (halo_square(m, d) <= s->limit) {
        return 1;
    }
    if (m[1] == 0 && m[2] == 0 && m[5] == 0) {
        return 0; /* of a rectangular cell that was the nearest point */
    }
    for (int which = 0; which < 27; which++) {
        int axis[3], nfree = 0;
        for (int k = 0, rest = which; k < 3; k++, rest /= 3) {
            d[k] = rest % 3 == 1 ? low[k] : high[k];
            if (rest % 3 == 0) {
                axis[nfree++] = k;
            }
        }
        if (halo_relax(m, axis, nfree, low, high, d) && halo_square(m, d) <= s->limit) {
            return 1;
        }
    }
    return 0;
}

static int halo_has_image(const struct halo_search *s, const double *position)
{
    double fraction[3], low[3], high[3];
    dgnn_cell_fraction(s->input->cell, position, fraction);
    int32_t shift[3];
    for (shift[0] = s->first[0]; shift[0] <= s->last[0]; shift[0]++) {
        for (shift[1] = s->first[1]; shift[1] <= s->last[1]; shift[1]++) {
            for (shift[2] = s->first[2]; shift[2] <= s->last[2]; shift[2]++) {
                int may = 1;
                for (int k = 0; k < 3; k++) {
                    low[k] = s->box->low[k] - fraction[k] - shift[k];
                    high[k] = s->box->high[k] - fraction[k] - shift[k];
                    may &= low[k] <= s->margin[k] && high[k] >= -s->margin[k];
                }
                if (may && halo_is_near(s, low, high)) {
                    return 1;
                }
            }
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ all boxes */

/* False: no shift brings the two boxes near each other. */
static int halo_begin(struct halo_search *s, const struct dgnn_halo_input *input,
                      const struct dgnn_halo_box *box)
{
    const struct dgnn_cell *cell = input->cell;
    const struct dgnn_halo_box *mine = &input->box[input->me];
    int may = box->natoms > 0 && mine->natoms > 0 && box != mine;
    *s = (struct halo_search){.input = input, .box = box};
    s->limit = input->reach * input->reach * (1 + HALO_SLACK);
    for (int a = 0; a < 3; a++) {
        for (int b = 0; b < 3; b++) {
            for (int c = 0; c < 3; c++) {
                s->metric[3 * a + b] += cell->h[3 * a + c] * cell->h[3 * b + c];
            }
        }
        s->margin[a] = input->reach / cell->spacing[a] * (1 + HALO_SLACK) + HALO_SLACK;
    }
    for (int k = 0; k < 3 && may; k++) {
        double from = box->low[k] - s->margin[k] - mine->high[k],
               to = box->high[k] + s->margin[k] - mine->low[k];
        s->first[k] = cell->pbc[k] ? (int32_t)ceil(from) : 0;
        s->last[k] = cell->pbc[k] ? (int32_t)floor(to) : 0;
        may = s->first[k] <= s->last[k] && from <= s->last[k] && to >= s->first[k];
    }
    return may;
}

int dgnn_halo_find(struct dgnn_halo *halo, const struct dgnn_halo_input *input, struct dgnn_error *error)
{
    int64_t count = 0;
    DGNN_TRY(
        dgnn_buffer_reserve(&halo->firsts, (input->nbox + 1) * (int64_t)sizeof(int64_t), "halos", error));
    int64_t *first = halo->firsts.data;
    for (int32_t b = 0; b < input->nbox; b++) {
        struct halo_search search;
        first[b] = count;
        if (!halo_begin(&search, input, &input->box[b])) {
            continue;
        }
        DGNN_TRY(dgnn_buffer_extend(&halo->rows, (count + input->n) * (int64_t)sizeof(int32_t),
                                    count * (int64_t)sizeof(int32_t), "halos", error));
        int32_t *row = halo->rows.data;
        for (int64_t i = 0; i < input->n; i++) {
            if (halo_has_image(&search, input->positions + 3 * i)) {
                row[count++] = (int32_t)i;
            }
        }
    }
    first[input->nbox] = count;
    halo->first = first;
    halo->row = halo->rows.data;
    return DGNN_OK;
}

void dgnn_halo_free(struct dgnn_halo *halo)
{
    dgnn_buffer_free(&halo->firsts);
    dgnn_buffer_free(&halo->rows);
}
