#include "geom/uncontracted.h"

#include "geom/cell.h"

#include <math.h>
#include <string.h>

/* Below this share of the product of the lengths a volume is rounding error. */
#define CELL_SINGULAR 1e-9
/* Lattice planes closer than this (Angstrom) are those of a sheared cell: an atom a thousand Angstrom from
 * the origin is as many cells out as keep their precision. */
#define CELL_THIN     1e-3
/* Each shortens a vector to half at least, or is among the last few. */
#define CELL_ROUNDS   200

static void cell_cross(const double a[3], const double b[3], double out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

static double cell_dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static double cell_length(const double a[3])
{
    return sqrt(cell_dot(a, a));
}

static void cell_open(struct dgnn_cell *cell)
{
    *cell = (struct dgnn_cell){
        .h = {1, 0, 0, 0, 1, 0, 0, 0, 1}, .inverse = {1, 0, 0, 0, 1, 0, 0, 0, 1}, .spacing = {1, 1, 1}};
}

static int cell_check_numbers(const double *box, struct dgnn_error *error)
{
    for (int k = 0; k < 9; k++) {
        if (!isfinite(box[k]) || fabs(box[k]) > DGNN_CELL_MAX_COORDINATE) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "box[%d][%d] is %g; expected a finite number of at most %g A", k / 3,
                                   k % 3, box[k], DGNN_CELL_MAX_COORDINATE);
        }
    }
    return DGNN_OK;
}

/* Fills area (area[k]: the cross product of the other two vectors) and *determinant. Returns the volume as a
 * share of the product of the lengths, NaN where one is zero. */
static double cell_measure(const double *h, double area[3][3], double *determinant)
{
    double lengths = 1;
    for (int k = 0; k < 3; k++) {
        cell_cross(h + 3 * ((k + 1) % 3), h + 3 * ((k + 2) % 3), area[k]);
        lengths *= cell_length(h + 3 * k);
    }
    *determinant = cell_dot(h, area[0]);
    return fabs(*determinant) / lengths;
}

/* Makes row k of h as short as a multiple of the lattice vector v makes it. The new row is rounded once, as
 * fma is exact before that: what cancels leaves no error of the long vectors' size. Returns whether it became
 * shorter. */
static int cell_shorten(double *h, int k, const double v[3])
{
    double next[3], *row = h + 3 * k;
    double times = -rint(cell_dot(row, v) / cell_dot(v, v));
    for (int c = 0; c < 3; c++) {
        next[c] = fma(times, v[c], row[c]);
    }
    if (!(cell_dot(next, next) < cell_dot(row, row))) {
        return 0;
    }
    memcpy(row, next, sizeof next);
    return 1;
}

/* Other vectors of the same lattice, each as short as multiples of the others and of their sum and difference
 * make it. Only periodic directions may be added: along the others there is no lattice. */
static void cell_reduce(double *h, const int32_t pbc[3])
{
    int changed = 1;
    for (int round = 0; changed && round < CELL_ROUNDS; round++) {
        changed = 0;
        for (int k = 0; k < 3; k++) {
            int a = (k + 1) % 3, b = (k + 2) % 3;
            changed |= pbc[a] && cell_shorten(h, k, h + 3 * a);
            changed |= pbc[b] && cell_shorten(h, k, h + 3 * b);
            for (int sign = -1; pbc[a] && pbc[b] && sign <= 1; sign += 2) {
                const double sum[3] = {h[3 * a] + sign * h[3 * b], h[3 * a + 1] + sign * h[3 * b + 1],
                                       h[3 * a + 2] + sign * h[3 * b + 2]};
                changed |= cell_shorten(h, k, sum);
            }
        }
    }
}

/* The least distance of lattice planes along the directions asked for. */
static double cell_thickness(double area[3][3], double determinant, const int32_t along[3])
{
    double least = INFINITY;
    for (int k = 0; k < 3; k++) {
        least = along[k] ? fmin(least, fabs(determinant) / cell_length(area[k])) : least;
    }
    return least;
}

/* h: the box, or a reduced one where that is so sheared that its volume drowns in rounding, or that atoms in
 * reach of each other lie too many cells apart. Returns 0 where it is singular; area is then the box's. What
 * is left of a reduced one must be well above the rounding of the long vectors. */
static int cell_lattice(const double *box, const int32_t pbc[3], double h[9], double area[3][3],
                        double *determinant)
{
    static const int32_t all[3] = {1, 1, 1};
    double longest = fmax(fmax(cell_length(box), cell_length(box + 3)), cell_length(box + 6));
    memcpy(h, box, 9 * sizeof *h);
    int sound = cell_measure(h, area, determinant) > CELL_SINGULAR;
    if (sound && cell_thickness(area, *determinant, pbc) > CELL_THIN) {
        return 1;
    }
    cell_reduce(h, pbc);
    if (cell_measure(h, area, determinant) > CELL_SINGULAR &&
        cell_thickness(area, *determinant, all) > CELL_SINGULAR * longest) {
        return 1;
    }
    memcpy(h, box, 9 * sizeof *h);
    cell_measure(h, area, determinant);
    return sound;
}

int dgnn_cell_set(struct dgnn_cell *cell, const double *box, const int32_t pbc[3], struct dgnn_error *error)
{
    cell_open(cell);
    if (!box) {
        return DGNN_OK;
    }
    DGNN_TRY(cell_check_numbers(box, error));
    double area[3][3], h[9], determinant;
    if (!cell_lattice(box, pbc, h, area, &determinant)) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "box is singular: its volume is %g A^3, the product of its lengths %g; rows "
                               "(%g, %g, %g), (%g, %g, %g), (%g, %g, %g). Pass no box for an open system",
                               fabs(cell_dot(box, area[0])),
                               cell_length(box) * cell_length(box + 3) * cell_length(box + 6), box[0], box[1],
                               box[2], box[3], box[4], box[5], box[6], box[7], box[8]);
    }
    memcpy(cell->h, h, sizeof cell->h);
    cell->volume = fabs(determinant);
    cell->has_box = 1;
    for (int k = 0; k < 3; k++) {
        cell->pbc[k] = pbc[k] != 0;
        cell->spacing[k] = cell->volume / sqrt(cell_dot(area[k], area[k]));
        for (int c = 0; c < 3; c++) {
            cell->inverse[3 * c + k] = area[k][c] / determinant;
        }
    }
    return DGNN_OK;
}

int dgnn_cell_same(const struct dgnn_cell *a, const struct dgnn_cell *b)
{
    return a->has_box == b->has_box && !memcmp(a->pbc, b->pbc, sizeof a->pbc) &&
           !memcmp(a->h, b->h, sizeof a->h);
}

void dgnn_cell_fraction(const struct dgnn_cell *cell, const double position[3], double fraction[3])
{
    for (int k = 0; k < 3; k++) {
        fraction[k] = position[0] * cell->inverse[k] + position[1] * cell->inverse[3 + k] +
                      position[2] * cell->inverse[6 + k];
    }
}

/* Splits a fraction into cells and the rest. (-0 gives a rest of +0.) */
static double cell_split(double *fraction)
{
    double wrap = floor(*fraction);
    double rest = *fraction - wrap;
    if (rest >= 1) { /* a tiny negative fraction rounds up to 1: the atom stays, as one on the boundary */
        rest = 0;
        wrap += 1;
    }
    *fraction = rest;
    return wrap;
}

static int cell_too_far(int64_t atom, int axis, double cells, struct dgnn_error *error)
{
    return dgnn_status_set(
        error, DGNN_ERROR_INPUT,
        "coords[%lld] lies %.6g cells out along lattice vector %d; at most %d keep their precision",
        (long long)atom, cells, axis, DGNN_CELL_MAX_WRAP);
}

static int cell_check_position(int64_t atom, const double *x, struct dgnn_error *error)
{
    for (int c = 0; c < 3; c++) {
        if (!(fabs(x[c]) <= DGNN_CELL_MAX_COORDINATE)) { /* also true for NaN */
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "coords[%lld][%d] is %g; expected a finite number of at most %g A",
                                   (long long)atom, c, x[c], DGNN_CELL_MAX_COORDINATE);
        }
    }
    return DGNN_OK;
}

static int cell_wrap_one(const struct dgnn_cell *cell, int64_t atom, double x[3], int32_t wrap[3],
                         double fraction[3], struct dgnn_error *error)
{
    double shift[3] = {0, 0, 0};
    DGNN_TRY(cell_check_position(atom, x, error));
    dgnn_cell_fraction(cell, x, fraction);
    for (int k = 0; k < 3; k++) {
        double cells = cell->pbc[k] ? cell_split(&fraction[k]) : 0;
        if (fabs(cells) > DGNN_CELL_MAX_WRAP) {
            return cell_too_far(atom, k, cells, error);
        }
        wrap[k] = (int32_t)cells;
        for (int c = 0; c < 3; c++) {
            shift[c] += cells * cell->h[3 * k + c];
        }
    }
    if (wrap[0] | wrap[1] | wrap[2]) {
        for (int c = 0; c < 3; c++) {
            x[c] -= shift[c];
        }
    }
    return DGNN_OK;
}

int dgnn_cell_wrap(const struct dgnn_cell *cell, int64_t n, const double *positions,
                   const struct dgnn_cell_wrapped *wrapped, struct dgnn_error *error)
{
    for (int64_t i = 0; i < n; i++) {
        double x[3] = {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]};
        double fraction[3];
        int32_t wrap[3];
        DGNN_TRY(cell_wrap_one(cell, wrapped->labels ? wrapped->labels[i] : i, x, wrap, fraction, error));
        memcpy(wrapped->positions + 3 * i, x, sizeof x);
        if (wrapped->wraps) {
            memcpy(wrapped->wraps + 3 * i, wrap, sizeof wrap);
        }
        if (wrapped->fractions) {
            memcpy(wrapped->fractions + 3 * i, fraction, sizeof fraction);
        }
    }
    return DGNN_OK;
}
