#include "net/parts/layer.h"

#include <string.h>

#include "net/params/params.h"

static int layer_shape_error(const struct dgnn_value *value, const char *what, int64_t found,
                             int64_t expected, struct dgnn_error *error)
{
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "%s is %lld, expected %lld", what,
                             (long long)found, (long long)expected);
}

struct layer_params {
#include "net/params/params_fields.h"
#include "net/params/objects/layer.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param layer_rows[] = {
#define DGNN_PARAM_STRUCT struct layer_params
#include "net/params/params_rows.h"
#include "net/params/objects/layer.def"
#include "net/params/params_end.h"
};

struct layer_network_params {
#include "net/params/params_fields.h"
#include "net/params/objects/network.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param layer_network_rows[] = {
#define DGNN_PARAM_STRUCT struct layer_network_params
#include "net/params/params_rows.h"
#include "net/params/objects/network.def"
#include "net/params/params_end.h"
};

struct layer_fitting_params {
#include "net/params/params_fields.h"
#include "net/params/objects/network_fitting.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param layer_fitting_rows[] = {
#define DGNN_PARAM_STRUCT struct layer_fitting_params
#include "net/params/params_rows.h"
#include "net/params/objects/network_fitting.def"
#include "net/params/params_end.h"
};

struct layer_collection_params {
#include "net/params/params_fields.h"
#include "net/params/objects/collection.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param layer_collection_rows[] = {
#define DGNN_PARAM_STRUCT struct layer_collection_params
#include "net/params/params_rows.h"
#include "net/params/objects/collection.def"
#include "net/params/params_end.h"
};

struct layer_norm_params {
#include "net/params/params_fields.h"
#include "net/params/objects/norm.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param layer_norm_rows[] = {
#define DGNN_PARAM_STRUCT struct layer_norm_params
#include "net/params/params_rows.h"
#include "net/params/objects/norm.def"
#include "net/params/params_end.h"
};

#define LAYER_COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

/* What the members of a Layer say beside its arrays, and that they say what the arrays do. */
static int layer_settings(const struct dgnn_value *value, struct dgnn_activation *activation, int32_t *resnet,
                          struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value bias = dgnn_value_member(&variables, "b"), idt = dgnn_value_member(&variables, "idt");
    struct layer_params params;
    DGNN_TRY(dgnn_params_load(value, layer_rows, LAYER_COUNT(layer_rows), &params, error));
    DGNN_TRY(
        dgnn_params_same_bool(&params.bias, dgnn_value_kind(&bias) > DGNN_VALUE_NULL, "@variables.b", error));
    DGNN_TRY(dgnn_params_same_bool(&params.use_timestep, dgnn_value_kind(&idt) > DGNN_VALUE_NULL,
                                   "@variables.idt", error));
    *resnet = params.resnet;
    return dgnn_params_activation(params.activation_function, value, activation, error);
}

/* n numbers of a member, or value where it does not count. */
static int layer_norm_row(const struct dgnn_value *member, int64_t n, int counts, double value, double **row,
                          struct dgnn_error *error)
{
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_params_row(member, n, &tensor, error));
    *row = dgnn_alloc(n, sizeof(double));
    if (!*row) {
        return dgnn_status_no_memory(error, "weights", n * (int64_t)sizeof(double));
    }
    for (int64_t c = 0; c < n; c++) {
        (*row)[c] = value;
    }
    if (counts) {
        dgnn_tensor_to_double(&tensor, *row);
    }
    return DGNN_OK;
}

int dgnn_layer_norm_load(const struct dgnn_value *value, int64_t n, struct dgnn_layer_norm *norm,
                         struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value weight = dgnn_value_member(&variables, "w"), bias = dgnn_value_member(&variables, "b");
    struct layer_norm_params params;
    *norm =
        (struct dgnn_layer_norm){.epsilon = 1e-5, .has_weights = dgnn_value_kind(&bias) != DGNN_VALUE_NULL};
    DGNN_TRY(dgnn_params_load(value, layer_norm_rows, LAYER_COUNT(layer_norm_rows), &params, error));
    if (dgnn_value_kind(&params.eps) > DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_double(&params.eps, &norm->epsilon, error));
    }
    DGNN_TRY(layer_norm_row(&weight, n, norm->has_weights, 1, &norm->scale, error));
    return layer_norm_row(norm->has_weights ? &bias : &weight, n, norm->has_weights, 0, &norm->shift, error);
}

/* ---------------------------------------------------------------- networks */

/* The members of an EmbeddingNetwork, or of a FittingNetwork. Members of the other one are absent. */
struct layer_said {
    int is_fitting;
    struct dgnn_value in_dim, out_dim, bias, bias_out, layers;
};

static int layer_said_fitting(const struct dgnn_value *value)
{
    struct dgnn_value class = dgnn_value_member(value, "@class"), width = dgnn_value_member(value, "out_dim");
    const char *name;
    if (dgnn_value_kind(&class) == DGNN_VALUE_ABSENT) {
        return dgnn_value_kind(&width) != DGNN_VALUE_ABSENT;
    }
    return !dgnn_value_string(&class, &name, NULL) && !strcmp(name, "FittingNetwork");
}

static int layer_said_load(const struct dgnn_value *value, struct layer_said *said, struct dgnn_error *error)
{
    struct dgnn_value absent = {.tree = value->tree, .parent = value};
    struct layer_fitting_params f;
    struct layer_network_params e;
    if (layer_said_fitting(value)) {
        DGNN_TRY(dgnn_params_load(value, layer_fitting_rows, LAYER_COUNT(layer_fitting_rows), &f, error));
        *said = (struct layer_said){1, f.in_dim, f.out_dim, absent, f.bias_out, f.layers};
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_load(value, layer_network_rows, LAYER_COUNT(layer_network_rows), &e, error));
    *said = (struct layer_said){0, e.in_dim, absent, e.bias, absent, e.layers};
    return DGNN_OK;
}

/* What a network's class makes of a layer: one that is not the last of a FittingNetwork adds its input where
 * the widths let it; that one is affine. */
static int layer_check_class(const struct dgnn_value *network, const struct dgnn_value *layer, int affine,
                             int resnet, struct dgnn_error *error)
{
    struct dgnn_value class = dgnn_value_member(network, "@class");
    if (dgnn_value_kind(&class) == DGNN_VALUE_ABSENT || resnet == !affine) {
        return DGNN_OK;
    }
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, layer,
                             "its resnet is %s; in this layer of such a network it is %s",
                             resnet ? "true" : "false", affine ? "false" : "true");
}

int dgnn_layer_collection(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, const char *type,
                          struct dgnn_value *networks, struct dgnn_error *error)
{
    struct layer_collection_params params;
    int64_t count, expected = 1;
    for (int64_t d = 0; d < ndim; d++) {
        expected *= ntypes;
    }
    DGNN_TRY(
        dgnn_params_load(value, layer_collection_rows, LAYER_COUNT(layer_collection_rows), &params, error));
    DGNN_TRY(dgnn_params_same_int(&params.ndim, ndim, "the settings", error));
    DGNN_TRY(dgnn_params_same_int(&params.ntypes, ntypes, "the model's types", error));
    DGNN_TRY(dgnn_params_same_string(&params.network_type, type, "where it stands", error));
    DGNN_TRY(dgnn_value_list(&params.networks, &count, error));
    if (count != expected) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "%lld networks; expected %lld for %lld types in %lld dimensions",
                                 (long long)count, (long long)expected, (long long)ntypes, (long long)ndim);
    }
    *networks = params.networks;
    return DGNN_OK;
}

#define DGNN_REAL_BITS 32
#include "net/parts/layer_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/layer_body.h"

/* ---------------------------------------------------------------- float64 for loaders */

static void layer_round(int64_t n, double *row)
{
    for (int64_t c = 0; c < n; c++) {
        row[c] = (double)(float)row[c];
    }
}

int dgnn_layer_load_plain(const struct dgnn_value *value, int64_t nin, int64_t nout, int32_t dtype,
                          struct dgnn_layer_f64 *layer, struct dgnn_error *error)
{
    *layer = (struct dgnn_layer_f64){0};
    int status = layer_load_numbers_f64(value, nin, nout, layer, error);
    if (status) {
        dgnn_layer_free_f64(layer);
        return status;
    }
    DGNN_TRY(layer_check_affine_f64(value, layer, error));
    if (dtype == DGNN_DTYPE_FLOAT32) {
        layer_round(layer->w.nrow * layer->w.stride, layer->w.data);
        layer_round(layer->bias ? layer->w.ncol : 0, layer->bias);
    }
    return DGNN_OK;
}
