#include "net/parts/attention_load.h"

#include <math.h>

#include "net/params/params.h"

struct attention_load_params {
#include "net/params/params_fields.h"
#include "net/params/attention.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param attention_load_params[] = {
#define DGNN_PARAM_STRUCT struct attention_load_params
#include "net/params/params_rows.h"
#include "net/params/attention.def"
#include "net/params/params_end.h"
};

struct attention_load_layer_params {
#include "net/params/params_fields.h"
#include "net/params/attention_layer.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param attention_load_layer_params[] = {
#define DGNN_PARAM_STRUCT struct attention_load_layer_params
#include "net/params/params_rows.h"
#include "net/params/attention_layer.def"
#include "net/params/params_end.h"
};

struct attention_load_gated_params {
#include "net/params/params_fields.h"
#include "net/params/attention_gated.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param attention_load_gated_params[] = {
#define DGNN_PARAM_STRUCT struct attention_load_gated_params
#include "net/params/params_rows.h"
#include "net/params/attention_gated.def"
#include "net/params/params_end.h"
};

enum {
    ATTENTION_LOAD_NPARAM = sizeof(attention_load_params) / sizeof(attention_load_params[0]),
    ATTENTION_LOAD_LAYER_NPARAM = sizeof(attention_load_layer_params) /
        sizeof(attention_load_layer_params[0]),
    ATTENTION_LOAD_GATED_NPARAM = sizeof(attention_load_gated_params) / sizeof(attention_load_gated_params[0])
};

static int attention_load_gated(const struct dgnn_value *value, struct attention_load_gated_params *params,
                                double *scale, struct dgnn_error *error)
{
    DGNN_TRY(
        dgnn_params_load(value, attention_load_gated_params, ATTENTION_LOAD_GATED_NPARAM, params, error));
    enum dgnn_value_kind kind = dgnn_value_kind(&params->temperature);
    if (params->hidden_dim < 1 || params->hidden_dim > 1 << 16) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "hidden_dim is %lld, expected 1 to 65536",
                                 (long long)params->hidden_dim);
    }
    if (kind != DGNN_VALUE_NULL && kind != DGNN_VALUE_ABSENT) {
        return dgnn_value_double(&params->temperature, scale, error);
    }
    if (!(params->scaling_factor > 0)) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "scaling_factor is %g, expected a positive number", params->scaling_factor);
    }
    *scale = 1 / sqrt((double)params->hidden_dim * params->scaling_factor);
    return DGNN_OK;
}

/* The projections of deepmd-kit's attention are affine and no more. */
static int attention_load_affine(const struct dgnn_value *value, int affine, struct dgnn_error *error)
{
    return affine ? DGNN_OK
                  : dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                      "a projection with an activation, a time step or a residual");
}

static const char attention_load_descriptor[] = "the descriptor";

/* What the attention repeats of the descriptor. */
static int attention_load_check(const struct attention_load_params *params,
                                const struct dgnn_attention_shape *shape, struct dgnn_error *error)
{
    const char *what = attention_load_descriptor;
    DGNN_TRY(dgnn_params_same_int(&params->layer_num, shape->nlayer, what, error));
    DGNN_TRY(dgnn_params_same_int(&params->nnei, shape->slots, what, error));
    DGNN_TRY(dgnn_params_same_int(&params->embed_dim, shape->width, what, error));
    DGNN_TRY(dgnn_params_same_int(&params->hidden_dim, shape->hidden, what, error));
    DGNN_TRY(dgnn_params_same_bool(&params->dotr, shape->angular, what, error));
    return dgnn_params_same_count(&params->attention_layers, shape->nlayer, what, error);
}

/* What a layer and the attention inside it repeat. */
static int attention_load_same(const struct attention_load_layer_params *outer,
                               const struct attention_load_gated_params *gated,
                               const struct dgnn_attention_shape *shape, struct dgnn_error *error)
{
    const char *what = attention_load_descriptor;
    struct dgnn_value hidden = dgnn_value_member(&outer->attention_layer, "hidden_dim");
    struct dgnn_value dotr = dgnn_value_member(&outer->attention_layer, "dotr");
    DGNN_TRY(dgnn_params_same_int(&outer->nnei, shape->slots, what, error));
    DGNN_TRY(dgnn_params_same_int(&outer->embed_dim, shape->width, what, error));
    DGNN_TRY(dgnn_params_same_int(&outer->hidden_dim, shape->hidden, what, error));
    DGNN_TRY(dgnn_params_same_bool(&outer->dotr, shape->angular, what, error));
    DGNN_TRY(dgnn_params_same_int(&gated->nnei, shape->slots, what, error));
    DGNN_TRY(dgnn_params_same_int(&gated->embed_dim, shape->width, what, error));
    DGNN_TRY(dgnn_params_same_int(&hidden, shape->hidden, what, error));
    DGNN_TRY(dgnn_params_same_bool(&dotr, shape->angular, what, error));
    return gated->dotr == shape->angular
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &dotr,
                                   "missing, so it is false; by the descriptor it is true");
}

/* Reflects the columns from i on of the rows of a (n of them, stride apart) by v, which is 0 before i and
 * whose square is 2. */
static void attention_load_reflect(int64_t n, int64_t stride, int64_t i, const double *v, double *a)
{
    for (int64_t r = 0; r < n; r++) {
        double along = 0;
        for (int64_t c = i; c < stride; c++) {
            along += a[r * stride + c] * v[c];
        }
        for (int64_t c = i; c < stride; c++) {
            a[r * stride + c] -= along * v[c];
        }
    }
}

/* Turns the nrow rows of two matrices, one after the other, by the orthogonal matrix, a product of
 * Householder's reflections, that makes the first of them (n rows) lower triangular. v: ncol. */
static void attention_load_triangular(int64_t n, int64_t nrow, int64_t ncol, double *both, double *v)
{
    for (int64_t i = 0; i < n && i + 1 < ncol; i++) {
        double *row = both + i * ncol, square = 0;
        for (int64_t c = i; c < ncol; c++) {
            v[c] = row[c];
            square += row[c] * row[c];
        }
        double length = sqrt(square), first = v[i] + copysign(length, v[i]);
        double size = sqrt(square - v[i] * v[i] + first * first);
        v[i] = first;
        for (int64_t c = i; c < ncol && size > 0; c++) {
            v[c] *= M_SQRT2 / size;
        }
        if (size > 0) {
            attention_load_reflect(nrow, ncol, i, v, both);
        }
        for (int64_t c = i + 1; c < ncol; c++) {
            row[c] = 0;
        }
    }
}

#define DGNN_REAL_BITS 32
#include "net/parts/attention_load_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/attention_load_body.h"
