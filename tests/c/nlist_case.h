/* Random systems for the neighbour list. */
#ifndef DGNN_TESTS_NLIST_CASE_H
#define DGNN_TESTS_NLIST_CASE_H

#include <stdlib.h>

#include "geom/nlist.h"

#include "check.h"

enum { MAX_ATOMS = 64 };

static uint64_t random_state = 88172645463325252u;

static inline double uniform(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * ((double)(random_state >> 11) / 9007199254740992.0);
}

static inline int64_t pick(int64_t n)
{
    return (int64_t)uniform(0, (double)n);
}

struct system {
    struct dgnn_cell cell;
    double positions[3 * MAX_ATOMS]; /* wrapped */
    int64_t ids[MAX_ATOMS];
    int64_t n;
    int64_t ncentre;
    double cutoff;
};

static inline struct dgnn_nlist_input input_of(const struct system *system, double skin, int may_reuse)
{
    return (struct dgnn_nlist_input){.ncentre = system->ncentre,
                                     .nrow = system->n,
                                     .positions = system->positions,
                                     .ids = system->ids,
                                     .cell = &system->cell,
                                     .cutoff = system->cutoff,
                                     .skin = skin,
                                     .may_reuse = may_reuse,
                                     .threads = 1 + (int)pick(3)};
}

static inline void wrap(struct system *system)
{
    struct dgnn_cell_wrapped wrapped = {system->positions, NULL, NULL, NULL};
    CHECK(!dgnn_cell_wrap(&system->cell, system->n, system->positions, &wrapped, NULL));
}

static inline void shuffle_ids(struct system *system)
{
    for (int64_t i = 0; i < system->n; i++) {
        int64_t j = pick(i + 1);
        system->ids[i] = system->ids[j];
        system->ids[j] = 7 * i + 3;
    }
}

/* kind 0: orthorhombic, 1: triclinic, 2: strongly tilted, 3: left-handed, 4: no box. */
static inline void make_cell(struct system *system, int kind, int periodic, double smallest, double largest)
{
    double box[9] = {0};
    int32_t pbc[3] = {periodic & 1, periodic >> 1 & 1, periodic >> 2 & 1};
    for (int k = 0; k < 3; k++) {
        box[4 * k] = uniform(smallest, largest);
    }
    for (int k = 0; kind && k < 9; k++) {
        box[k] += k % 4 ? uniform(-1, 1) * (kind == 2 && k == 3 ? 40 : 0.4 * smallest) : 0;
    }
    if (kind == 3) {
        double row[3] = {box[0], box[1], box[2]};
        memcpy(box, box + 3, sizeof row);
        memcpy(box + 3, row, sizeof row);
    }
    CHECK(!dgnn_cell_set(&system->cell, kind == 4 ? NULL : box, pbc, NULL));
}

static inline void fill(struct system *system, int64_t n, double from, double to)
{
    system->n = n;
    for (int64_t i = 0; i < n; i++) {
        double f[3] = {uniform(from, to), uniform(from, to), uniform(from, to)};
        double scale = system->cell.has_box ? 1 : 12;
        for (int c = 0; c < 3; c++) {
            const double *h = system->cell.h;
            system->positions[3 * i + c] = scale * (f[0] * h[c] + f[1] * h[3 + c] + f[2] * h[6 + c]);
        }
    }
    shuffle_ids(system);
    wrap(system);
}

static inline int same_lists(const struct dgnn_nlist *a, const struct dgnn_nlist *b)
{
    size_t n = (size_t)dgnn_nlist_npair(a);
    return a->ncentre == b->ncentre && dgnn_nlist_npair(a) == dgnn_nlist_npair(b) &&
           !memcmp(a->first, b->first, (size_t)(a->ncentre + 1) * sizeof *a->first) &&
           !memcmp(a->neighbour, b->neighbour, n * sizeof *a->neighbour) &&
           !memcmp(a->shift, b->shift, n * 3 * sizeof *a->shift) &&
           !memcmp(a->vector, b->vector, n * 3 * sizeof *a->vector) &&
           !memcmp(a->distance, b->distance, n * sizeof *a->distance);
}

/* Moves all atoms; now and then a user moves some by whole lattice vectors, or wraps none of them. */

#endif
