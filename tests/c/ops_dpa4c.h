/* DPA4C with random weights, for tests of its operations: what both element types share. */
#ifndef DGNN_TESTS_OPS_DPA4C_H
#define DGNN_TESTS_OPS_DPA4C_H

#include "net/dpa4c/dpa4c_settings.h"
#include "net/parts/layer.h"
#include "ops_frame.h"

enum { OPS_DPA4C_TYPES = 3, OPS_DPA4C_PAIRS = OPS_DPA4C_TYPES * OPS_DPA4C_TYPES };

/* All arrays of a case, to be freed. */
struct ops_room {
    void *block[96];
    int n;
};

static void *ops_room_take(struct ops_room *room, int64_t count, size_t size)
{
    void *block = dgnn_alloc_zeroed(count, size);
    CHECK(block != NULL && room->n < 96);
    room->block[room->n++] = block;
    return block;
}

static void ops_room_free(struct ops_room *room)
{
    for (int b = 0; b < room->n; b++) {
        dgnn_alloc_free(room->block[b]);
    }
}

static double *ops_room_random(struct ops_room *room, int64_t n, double from, double to)
{
    double *x = ops_room_take(room, n, sizeof(double));
    for (int64_t i = 0; i < n; i++) {
        x[i] = from + (to - from) * random_uniform(&ops_seed);
    }
    return x;
}

struct ops_dpa4c_options {
    int64_t channels, lmax, modes, nradial;
    int spins, gaussian, table;
};

static double *ops_dpa4c_random(int64_t n, double from, double to)
{
    double *x = dgnn_alloc(n, sizeof(double));
    CHECK(x != NULL);
    for (int64_t i = 0; i < n; i++) {
        x[i] = from + (to - from) * random_uniform(&ops_seed);
    }
    return x;
}

/* Each number is a sum of n products: they stay near 1. */
static double *ops_dpa4c_matrix(int64_t n, int64_t nout)
{
    return ops_dpa4c_random(n * nout, -1 / sqrt((double)n), 1 / sqrt((double)n));
}

static void ops_dpa4c_weights(struct dpa4c_settings *s)
{
    struct dgnn_dpa4c_weights *w = &s->weights;
    const struct dgnn_dpa4c_shape *shape = &s->shape;
    int64_t n = s->params.n_radial;
    w->hidden = 8 * ((8 * shape->channels + 23) / 24);
    w->frequency = ops_dpa4c_random(n, 0, 0.01);
    for (int64_t k = 0; k < n; k++) {
        w->frequency[k] += s->gaussian ? s->params.rcut * (double)k / (double)n
                                       : 3.1415926535897931 * (double)(k + 1) / s->params.rcut;
    }
    w->radial[0] = ops_dpa4c_matrix(n, 2 * w->hidden);
    w->radial[1] = ops_dpa4c_matrix(w->hidden, shape->channels);
    w->mode = shape->modes ? ops_dpa4c_matrix(w->hidden, shape->modes) : NULL;
    for (int64_t l = 1; l <= shape->lmax; l++) {
        if (l <= 2) {
            w->alignment[l] = ops_dpa4c_matrix(shape->width[l], shape->width[l]);
        }
        if (shape->width[l] != shape->rank[l]) {
            w->probe[l] = ops_dpa4c_matrix(shape->width[l], shape->rank[l]);
        }
    }
    w->mean = ops_dpa4c_random(shape->dim_out, -1, 1);
    w->deviation = ops_dpa4c_random(shape->dim_out, 0.5, 2);
    w->spin_weight = ops_dpa4c_random(2 * s->ntypes, -1, 1);
    w->spin_gate = 0.7;
}

static void ops_dpa4c_settings(const struct ops_dpa4c_options *o, struct dpa4c_settings *s)
{
    struct dgnn_error error;
    *s =
        (struct dpa4c_settings){.ntypes = OPS_DPA4C_TYPES, .gaussian = o->gaussian, .radial_table = o->table};
    s->params.rcut = 5;
    s->params.ntypes = OPS_DPA4C_TYPES;
    s->params.channels = o->channels;
    s->params.lmax = o->lmax;
    s->params.radial_modes = o->modes;
    s->params.n_radial = o->nradial;
    CHECK_STATUS(dgnn_dpa4c_set_widths(s, o->spins, &error), DGNN_OK, "");
    ops_dpa4c_weights(s);
}

static void ops_dpa4c_free(struct dpa4c_settings *s)
{
    dgnn_dpa4c_free_weights(&s->weights);
    dgnn_alloc_free(s->coupling);
}

#endif
