/* Random systems for tests of models on many ranks. */
#ifndef DGNN_TESTS_SYSTEM_CASE_H
#define DGNN_TESTS_SYSTEM_CASE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dgnn.h"
#include "random.h"

enum system_shape { SYSTEM_GAS, SYSTEM_SLAB, SYSTEM_CLUSTER, SYSTEM_SHAPES };

struct system_case {
    int64_t n;
    double *x; /* n x 3; some outside of the cell */
    int32_t *types;
    int64_t *ids; /* distinct, in no order */
    double box[9];
    int32_t has_box;
    int32_t pbc[3];
    double *aparam;
    int64_t dim_aparam;
    double *spins; /* n x 3 */
    int32_t has_spins;
    double fparam[8];
    int64_t dim_fparam;
};

static inline double system_between(uint64_t *seed, double low, double high)
{
    return low + (high - low) * random_uniform(seed);
}

/* Least distance of atom i from those before, over nearby images. */
static inline double system_nearest(const struct system_case *s, int64_t i, int images)
{
    double nearest = INFINITY;
    int range = s->has_box ? images : 0;
    for (int64_t j = 0; j <= i; j++) {
        for (int a = -range; a <= range; a++) {
            for (int b = -range; b <= range; b++) {
                for (int c = -range; c <= range; c++) {
                    if (j == i && !a && !b && !c) {
                        continue;
                    }
                    double square = 0;
                    for (int k = 0; k < 3; k++) {
                        double d = s->x[3 * j + k] - s->x[3 * i + k] + a * s->box[k] + b * s->box[3 + k] +
                                   c * s->box[6 + k];
                        square += d * d;
                    }
                    nearest = square < nearest ? square : nearest;
                }
            }
        }
    }
    return sqrt(nearest);
}

static inline void system_place(struct system_case *s, int64_t i, enum system_shape shape, uint64_t *seed)
{
    double f[3];
    for (int tries = 0; tries < 400; tries++) {
        for (int k = 0; k < 3; k++) {
            f[k] = system_between(seed, 0, 1);
        }
        if (shape == SYSTEM_SLAB) {
            f[2] = system_between(seed, 0.4, 0.6);
        }
        for (int k = 0; k < 3; k++) {
            f[k] = shape == SYSTEM_CLUSTER ? 0.3 + 0.35 * f[k] : f[k];
        }
        for (int k = 0; k < 3; k++) {
            s->x[3 * i + k] = f[0] * s->box[k] + f[1] * s->box[3 + k] + f[2] * s->box[6 + k];
        }
        if (system_nearest(s, i, 1) > 0.7) {
            return;
        }
    }
}

/* About what density (atoms per cubic Angstrom); skew > 0: a triclinic cell. */
struct system_kind {
    double density, skew;
    enum system_shape shape;
};

static inline void system_create(struct system_case *s, int64_t n, const struct system_kind *kind,
                                 int32_t ntypes, uint64_t *seed)
{
    double skew = kind->skew;
    double edge = cbrt((double)(n ? n : 1) / kind->density);
    s->n = n;
    s->has_box = 1;
    s->x = calloc((size_t)n + 1, 3 * sizeof(double));
    s->types = calloc((size_t)n + 1, sizeof(int32_t));
    s->ids = calloc((size_t)n + 1, sizeof(int64_t));
    memset(s->box, 0, sizeof(s->box));
    for (int k = 0; k < 3; k++) {
        s->pbc[k] = random_below(seed, 4) > 0;
        s->box[4 * k] = edge * system_between(seed, 0.7, 1.4);
    }
    if (kind->shape == SYSTEM_SLAB) {
        s->box[8] *= 3;
    }
    s->box[3] = skew * edge * system_between(seed, -1, 1);
    s->box[6] = skew * edge * system_between(seed, -1, 1);
    s->box[7] = skew * edge * system_between(seed, -1, 1);
    for (int64_t i = 0; i < n; i++) {
        s->types[i] = (int32_t)random_below(seed, ntypes);
        s->ids[i] = 1000 - 7 * i + 100000 * random_below(seed, 2);
        s->ids[i] = s->ids[i] < 0 ? 10000000 + i : s->ids[i];
        system_place(s, i, kind->shape, seed);
    }
    for (int64_t i = 0; i < n; i++) { /* where the cell repeats, images are as good */
        for (int k = 0; k < 3; k++) {
            double cells = s->pbc[k] ? (double)(random_below(seed, 5) - 2) : 0;
            for (int c = 0; c < 3; c++) {
                s->x[3 * i + c] += cells * s->box[3 * k + c];
            }
        }
    }
}

static inline void system_parameters(struct system_case *s, int64_t dim_fparam, int64_t dim_aparam,
                                     uint64_t *seed)
{
    s->dim_fparam = dim_fparam;
    s->dim_aparam = dim_aparam;
    s->aparam = calloc((size_t)(s->n * dim_aparam) + 1, sizeof(double));
    for (int64_t k = 0; k < s->n * dim_aparam; k++) {
        s->aparam[k] = system_between(seed, -1, 1);
    }
    for (int64_t k = 0; k < dim_fparam; k++) {
        s->fparam[k] = system_between(seed, -1, 1);
    }
}

/* A spin whose virtual atom is not so near that the model is singular: at zero, magnetic forces amplify
 * rounding. */
static inline void system_spin(double spin[3], uint64_t *seed)
{
    double square = 0, length = system_between(seed, 0.6, 1.4);
    while (square < 0.05 || square > 1) {
        square = 0;
        for (int c = 0; c < 3; c++) {
            spin[c] = system_between(seed, -1, 1);
            square += spin[c] * spin[c];
        }
    }
    for (int c = 0; c < 3; c++) {
        spin[c] *= length / sqrt(square);
    }
}

static inline void system_spins(struct system_case *s, int32_t has_spins, uint64_t *seed)
{
    s->has_spins = has_spins;
    s->spins = calloc((size_t)s->n + 1, 3 * sizeof(double));
    for (int64_t i = 0; i < s->n && has_spins; i++) {
        system_spin(s->spins + 3 * i, seed);
    }
}

static inline void system_free(struct system_case *s)
{
    free(s->spins);
    free(s->x);
    free(s->types);
    free(s->ids);
    free(s->aparam);
}

/* Arrays of a result of n atoms. */
static inline void system_result_create(struct dgnn_result *r, int64_t n)
{
    *r = (struct dgnn_result){.size = sizeof(*r)};
    r->forces = calloc((size_t)n + 1, 3 * sizeof(double));
    r->forces_mag = calloc((size_t)n + 1, 3 * sizeof(double));
    r->atom_energy = calloc((size_t)n + 1, sizeof(double));
    r->atom_virial = calloc((size_t)n + 1, 9 * sizeof(double));
}

static inline void system_result_free(struct dgnn_result *r)
{
    free(r->forces);
    free(r->forces_mag);
    free(r->atom_energy);
    free(r->atom_virial);
}

#endif
