#include "net/parts/attention_load.h"

#include <math.h>
#include <string.h>

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

static const char attention_load_descriptor[] = "the descriptor";

/* Finds the list of layers. What the attention repeats of the descriptor must agree with it. */
static int attention_load_list(const struct dgnn_value *value, const struct dgnn_attention_shape *shape,
                               struct dgnn_value *layers, struct dgnn_error *error)
{
    const char *what = attention_load_descriptor;
    struct attention_load_params params;
    DGNN_TRY(dgnn_params_load(value, attention_load_params, ATTENTION_LOAD_NPARAM, &params, error));
    DGNN_TRY(dgnn_params_same_int(&params.layer_num, shape->nlayer, what, error));
    DGNN_TRY(dgnn_params_same_int(&params.nnei, shape->slots, what, error));
    DGNN_TRY(dgnn_params_same_int(&params.embed_dim, shape->width, what, error));
    DGNN_TRY(dgnn_params_same_int(&params.hidden_dim, shape->hidden, what, error));
    DGNN_TRY(dgnn_params_same_bool(&params.dotr, shape->angular, what, error));
    *layers = params.attention_layers;
    return dgnn_params_same_count(layers, shape->nlayer, what, error);
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

/* ---------------------------------------------------------------- a layer in float64 */

/* Of struct dgnn_attention_layer: what the archive has, and what is made of it. */
struct attention_load_placed {
    int64_t width;
    int32_t dtype; /* of the network */
    struct attention_load_gated_params gated;
    struct dgnn_layer_f64 joint, out_part; /* the archive's projections */
    struct dgnn_layer_f64 in[3], out; /* query, key and value, rotated, and the way back from the value */
    struct dgnn_layer_norm norm;
    double scale;
    int64_t parameters;
};

static void attention_load_free(struct attention_load_placed *to)
{
    struct dgnn_layer_f64 *all[] = {&to->joint, &to->out_part, &to->in[0], &to->in[1], &to->in[2], &to->out};
    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
        dgnn_layer_free_f64(all[k]);
    }
    dgnn_alloc_free(to->norm.scale);
    dgnn_alloc_free(to->norm.shift);
}

static int attention_load_make(int64_t nrow, int64_t ncol, struct dgnn_layer_f64 *layer,
                               struct dgnn_error *error)
{
    DGNN_TRY(dgnn_layer_matrix_f64(nrow, ncol, &layer->w, error));
    layer->bias = dgnn_alloc_zeroed(ncol, sizeof(double));
    return layer->bias ? DGNN_OK : dgnn_status_no_memory(error, "weights", ncol * (int64_t)sizeof(double));
}

/* The first ncol of the rotated columns. rows: those of a matrix, then of its bias, stride apart. */
static int attention_load_columns(const double *rows, int64_t stride, int64_t ncol, int64_t width,
                                  struct dgnn_layer_f64 *in, struct dgnn_error *error)
{
    DGNN_TRY(attention_load_make(width, ncol, in, error));
    for (int64_t r = 0; r < width; r++) {
        memcpy(in->w.data + r * in->w.stride, rows + r * stride, sizeof(double) * (size_t)ncol);
    }
    memcpy(in->bias, rows + width * stride, sizeof(double) * (size_t)ncol);
    return DGNN_OK;
}

/* rows (width + 1, hidden apart): the matrix of a part of the joint projection, and its bias below. */
static void attention_load_take(const struct dgnn_layer_f64 *joint, int64_t hidden, int part, double *rows)
{
    size_t size = sizeof(double) * (size_t)hidden;
    for (int64_t r = 0; r < joint->w.nrow; r++) {
        memcpy(rows + r * hidden, joint->w.data + r * joint->w.stride + part * hidden, size);
    }
    memset(rows + joint->w.nrow * hidden, 0, size);
    if (joint->bias) {
        memcpy(rows + joint->w.nrow * hidden, joint->bias + part * hidden, size);
    }
}

/* Query and key, rotated so that the query's matrix with its bias below is lower triangular. scratch: 2
 * (width + 1) + 1 rows. */
static int attention_load_split(double *scratch, struct attention_load_placed *to, struct dgnn_error *error)
{
    int64_t n = to->width + 1, hidden = to->gated.hidden_dim, columns = hidden < n ? hidden : n;
    double *key = scratch + n * hidden, *reflector = key + n * hidden;
    attention_load_take(&to->joint, hidden, 0, scratch);
    attention_load_take(&to->joint, hidden, 1, key);
    attention_load_triangular(n, 2 * n, hidden, scratch, reflector);
    DGNN_TRY(attention_load_columns(scratch, hidden, columns, to->width, &to->in[0], error));
    return attention_load_columns(key, hidden, to->gated.normalize ? hidden : columns, to->width, &to->in[1],
                                  error);
}

/* The value, rotated likewise, and the way back from it, whose transpose's rows turn with it. */
static int attention_load_value(double *scratch, struct attention_load_placed *to, struct dgnn_error *error)
{
    int64_t width = to->width, n = width + 1, hidden = to->gated.hidden_dim,
            columns = hidden < n ? hidden : n;
    const struct dgnn_layer_f64 *from = &to->out_part;
    double *back = scratch + n * hidden, *reflector = back + n * hidden;
    attention_load_take(&to->joint, hidden, 2, scratch);
    for (int64_t c = 0; c < width; c++) {
        for (int64_t h = 0; h < hidden; h++) {
            back[c * hidden + h] = from->w.data[h * from->w.stride + c];
        }
    }
    attention_load_triangular(n, n + width, hidden, scratch, reflector);
    DGNN_TRY(attention_load_columns(scratch, hidden, columns, width, &to->in[2], error));
    DGNN_TRY(attention_load_make(columns, width, &to->out, error));
    for (int64_t c = 0; c < width; c++) {
        for (int64_t h = 0; h < columns; h++) {
            to->out.w.data[h * to->out.w.stride + c] = back[c * hidden + h];
        }
        to->out.bias[c] = from->bias ? from->bias[c] : 0;
    }
    return DGNN_OK;
}

static int attention_load_rotated(struct attention_load_placed *to, struct dgnn_error *error)
{
    int64_t hidden = to->gated.hidden_dim, nrow = 2 * (to->width + 1) + 1;
    double *scratch = dgnn_alloc(nrow, sizeof(double) * (size_t)hidden);
    if (!scratch) {
        return dgnn_status_no_memory(error, "weights", nrow * hidden * (int64_t)sizeof(double));
    }
    int status = attention_load_split(scratch, to, error);
    status = status ? status : attention_load_value(scratch, to, error);
    dgnn_alloc_free(scratch);
    return status;
}

/* A projection of the archive, whose bias is there if the attention says so. */
static int attention_load_projection(const struct dgnn_value *value, const int64_t size[2], const char *name,
                                     struct attention_load_placed *to, struct dgnn_layer_f64 *layer,
                                     struct dgnn_error *error)
{
    DGNN_TRY(dgnn_layer_load_plain(value, size[0], size[1], to->dtype, layer, error));
    to->parameters += dgnn_layer_parameters_f64(layer);
    return dgnn_params_same_bool(&to->gated.bias, layer->bias != NULL, name, error);
}

/* The caller frees what is placed, also after a failure. */
static int attention_load_place(const struct dgnn_value *value, const struct dgnn_attention_shape *shape,
                                struct attention_load_placed *to, struct dgnn_error *error)
{
    struct attention_load_layer_params outer;
    DGNN_TRY(
        dgnn_params_load(value, attention_load_layer_params, ATTENTION_LOAD_LAYER_NPARAM, &outer, error));
    DGNN_TRY(attention_load_gated(&outer.attention_layer, &to->gated, &to->scale, error));
    DGNN_TRY(attention_load_same(&outer, &to->gated, shape, error));
    const int64_t in[2] = {to->width, 3 * to->gated.hidden_dim}, out[2] = {to->gated.hidden_dim, to->width};
    DGNN_TRY(attention_load_projection(&to->gated.in_proj, in, "in_proj", to, &to->joint, error));
    DGNN_TRY(attention_load_projection(&to->gated.out_proj, out, "out_proj", to, &to->out_part, error));
    DGNN_TRY(attention_load_rotated(to, error));
    DGNN_TRY(dgnn_layer_norm_load(&outer.attn_layer_norm, to->width, &to->norm, error));
    to->parameters += to->norm.has_weights ? 2 * to->width : 0;
    return DGNN_OK;
}

#define DGNN_REAL_BITS 32
#include "net/parts/attention_load_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/attention_load_body.h"
