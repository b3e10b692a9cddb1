#include "base/real.h"

static int REAL(attention_load_affine_layer)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                             struct REAL(dgnn_layer) * layer, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_load)(value, nin, nout, layer, error));
    int affine = layer->activation.kind == DGNN_ACTIVATION_LINEAR && !layer->idt && !layer->residual;
    int status = attention_load_affine(value, affine, error);
    if (status) {
        REAL(dgnn_layer_free)(layer);
    }
    return status;
}

/* n zeros, padded. */
static int REAL(attention_load_row)(int64_t n, real **out, struct dgnn_error *error)
{
    int64_t padded = dgnn_table_pad(n, REAL_LANES);
    *out = dgnn_alloc_zeroed(padded, sizeof(real));
    return *out ? DGNN_OK : dgnn_status_no_memory(error, "weights", padded * (int64_t)sizeof(real));
}

/* Makes its pads columns like others. */
static void REAL(attention_load_widen)(struct REAL(dgnn_matrix) * matrix)
{
    matrix->ncol = matrix->stride;
}

/* The matrix and its transpose for products over whole lines. */
static int REAL(attention_load_transposed)(struct REAL(dgnn_matrix) * matrix,
                                           struct REAL(dgnn_matrix) * transposed, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(matrix, transposed, error));
    REAL(attention_load_widen)(matrix);
    REAL(attention_load_widen)(transposed);
    return DGNN_OK;
}

/* Query (0), key (1) or value (2): the first of the rotated columns. rows: those of its matrix, then its
 * bias, stride apart. */
static int REAL(attention_load_part)(const double *rows, int64_t stride,
                                     struct REAL(dgnn_attention_layer) * layer, int part,
                                     struct dgnn_error *error)
{
    struct REAL(dgnn_matrix) *in = &layer->in[part];
    DGNN_TRY(REAL(dgnn_layer_matrix)(layer->width, layer->columns[part], in, error));
    DGNN_TRY(REAL(attention_load_row)(layer->columns[part], &layer->in_bias[part], error));
    for (int64_t c = 0; c < layer->columns[part]; c++) {
        for (int64_t r = 0; r < layer->width; r++) {
            in->data[r * in->stride + c] = (real)rows[r * stride + c];
        }
        layer->in_bias[part][c] = (real)rows[layer->width * stride + c];
    }
    return REAL(attention_load_transposed)(in, &layer->in_transposed[part], error);
}

/* rows (width + 1, hidden apart): the matrix of a part of the joint projection, and its bias below. */
static void REAL(attention_load_take)(const struct REAL(dgnn_layer) * joint, int64_t hidden, int part,
                                      double *rows)
{
    for (int64_t c = 0; c < hidden; c++) {
        for (int64_t r = 0; r < joint->w.nrow; r++) {
            rows[r * hidden + c] = (double)joint->w.data[r * joint->w.stride + part * hidden + c];
        }
        rows[joint->w.nrow * hidden + c] = joint->bias ? (double)joint->bias[part * hidden + c] : 0;
    }
}

/* Query and key, rotated so that the query's matrix with its bias below is lower triangular. scratch: 2
 * (width + 1) + 1 rows. */
static int REAL(attention_load_split)(const struct REAL(dgnn_layer) * joint, int64_t hidden, double *scratch,
                                      struct REAL(dgnn_attention_layer) * layer, struct dgnn_error *error)
{
    int64_t n = layer->width + 1;
    double *key = scratch + n * hidden, *reflector = key + n * hidden;
    REAL(attention_load_take)(joint, hidden, 0, scratch);
    REAL(attention_load_take)(joint, hidden, 1, key);
    attention_load_triangular(n, 2 * n, hidden, scratch, reflector);
    layer->columns[0] = hidden < n ? hidden : n;
    layer->columns[1] = layer->normalize ? hidden : layer->columns[0];
    DGNN_TRY(REAL(attention_load_part)(scratch, hidden, layer, 0, error));
    return REAL(attention_load_part)(key, hidden, layer, 1, error);
}

/* The value, rotated likewise, and the way back from it, whose transpose's rows turn with it. */
static int REAL(attention_load_value)(const struct REAL(dgnn_layer) * joint,
                                      const struct REAL(dgnn_layer) * out, double *scratch,
                                      struct REAL(dgnn_attention_layer) * layer, struct dgnn_error *error)
{
    int64_t n = layer->width + 1, hidden = out->w.nrow;
    double *back = scratch + n * hidden, *reflector = back + n * hidden;
    REAL(attention_load_take)(joint, hidden, 2, scratch);
    for (int64_t c = 0; c < layer->width; c++) {
        for (int64_t h = 0; h < hidden; h++) {
            back[c * hidden + h] = (double)out->w.data[h * out->w.stride + c];
        }
    }
    attention_load_triangular(n, n + layer->width, hidden, scratch, reflector);
    layer->columns[2] = hidden < n ? hidden : n;
    DGNN_TRY(REAL(attention_load_part)(scratch, hidden, layer, 2, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(layer->columns[2], layer->width, &layer->out, error));
    DGNN_TRY(REAL(attention_load_row)(layer->width, &layer->out_bias, error));
    for (int64_t c = 0; c < layer->width; c++) {
        for (int64_t h = 0; h < layer->columns[2]; h++) {
            layer->out.data[h * layer->out.stride + c] = (real)back[c * hidden + h];
        }
        layer->out_bias[c] = out->bias ? out->bias[c] : 0;
    }
    return REAL(attention_load_transposed)(&layer->out, &layer->out_transposed, error);
}

static int REAL(attention_load_rotated)(const struct REAL(dgnn_layer) * joint,
                                        const struct REAL(dgnn_layer) * out,
                                        struct REAL(dgnn_attention_layer) * layer, struct dgnn_error *error)
{
    int64_t hidden = out->w.nrow, nrow = 2 * (layer->width + 1) + 1;
    double *scratch = dgnn_alloc(nrow, sizeof(double) * (size_t)hidden);
    if (!scratch) {
        return dgnn_status_no_memory(error, "weights", nrow * hidden * (int64_t)sizeof(double));
    }
    int status = REAL(attention_load_split)(joint, hidden, scratch, layer, error);
    status = status ? status : REAL(attention_load_value)(joint, out, scratch, layer, error);
    dgnn_alloc_free(scratch);
    return status;
}

static int REAL(attention_load_projections)(const struct attention_load_gated_params *params,
                                            struct REAL(dgnn_attention_layer) * layer, int64_t *parameters,
                                            struct dgnn_error *error)
{
    struct REAL(dgnn_layer) joint, out;
    int64_t hidden = params->hidden_dim;
    DGNN_TRY(REAL(attention_load_affine_layer)(&params->in_proj, layer->width, 3 * hidden, &joint, error));
    int status = REAL(attention_load_affine_layer)(&params->out_proj, hidden, layer->width, &out, error);
    if (!status) {
        status = dgnn_params_same_bool(&params->bias, joint.bias != NULL, "in_proj", error);
        status = status ? status : dgnn_params_same_bool(&params->bias, out.bias != NULL, "out_proj", error);
        *parameters += REAL(dgnn_layer_parameters)(&joint) + REAL(dgnn_layer_parameters)(&out);
        status = status ? status : REAL(attention_load_rotated)(&joint, &out, layer, error);
        REAL(dgnn_layer_free)(&out);
    }
    REAL(dgnn_layer_free)(&joint);
    return status;
}

/* An object of class LayerNorm: "eps", and "w" and "b", which count only together. */
static int REAL(attention_load_norm)(const struct dgnn_value *value,
                                     struct REAL(dgnn_attention_layer) * layer, int64_t *parameters,
                                     struct dgnn_error *error)
{
    struct dgnn_layer_norm norm;
    DGNN_TRY(dgnn_layer_norm_load(value, layer->width, &norm, error));
    layer->epsilon = (real)norm.epsilon;
    DGNN_TRY(REAL(attention_load_row)(layer->width, &layer->norm_weight, error));
    DGNN_TRY(REAL(attention_load_row)(layer->width, &layer->norm_bias, error));
    for (int64_t c = 0; c < layer->width; c++) {
        layer->norm_weight[c] = 1;
    }
    if (norm.has_weights) {
        *parameters += 2 * layer->width;
        REAL(dgnn_layer_convert)(&norm.weight, layer->norm_weight);
        REAL(dgnn_layer_convert)(&norm.bias, layer->norm_bias);
    }
    return DGNN_OK;
}

static int REAL(attention_load_layer)(const struct dgnn_value *value,
                                      const struct dgnn_attention_shape *shape,
                                      struct REAL(dgnn_attention_layer) * layer, int64_t *parameters,
                                      struct dgnn_error *error)
{
    struct attention_load_layer_params outer;
    struct attention_load_gated_params gated;
    double scale;
    DGNN_TRY(
        dgnn_params_load(value, attention_load_layer_params, ATTENTION_LOAD_LAYER_NPARAM, &outer, error));
    DGNN_TRY(attention_load_gated(&outer.attention_layer, &gated, &scale, error));
    DGNN_TRY(attention_load_same(&outer, &gated, shape, error));
    layer->width = shape->width;
    layer->scale = (real)scale;
    layer->normalize = gated.normalize;
    layer->smooth = gated.smooth;
    layer->angular = gated.dotr;
    DGNN_TRY(REAL(attention_load_projections)(&gated, layer, parameters, error));
    return REAL(attention_load_norm)(&outer.attn_layer_norm, layer, parameters, error);
}

static int REAL(attention_load_layers)(const struct dgnn_value *value,
                                       const struct dgnn_attention_shape *shape,
                                       struct REAL(dgnn_attention) * attention, struct dgnn_error *error)
{
    struct attention_load_params params;
    int64_t count = shape->nlayer;
    DGNN_TRY(dgnn_params_load(value, attention_load_params, ATTENTION_LOAD_NPARAM, &params, error));
    DGNN_TRY(attention_load_check(&params, shape, error));
    attention->layer = dgnn_alloc_zeroed(count, sizeof(*attention->layer));
    if (!attention->layer) {
        return dgnn_status_no_memory(error, "attention layers", count * (int64_t)sizeof(*attention->layer));
    }
    attention->nlayer = count;
    for (int64_t l = 0; l < count; l++) {
        struct dgnn_value item = dgnn_value_item(&params.attention_layers, l);
        struct REAL(dgnn_attention_layer) *layer = &attention->layer[l];
        DGNN_TRY(REAL(attention_load_layer)(&item, shape, layer, &attention->parameters, error));
        attention->smooth |= layer->smooth;
    }
    return DGNN_OK;
}

int REAL(dgnn_attention_load)(const struct dgnn_value *value, const struct dgnn_attention_shape *shape,
                              struct REAL(dgnn_attention) * attention, struct dgnn_error *error)
{
    *attention = (struct REAL(dgnn_attention)){0};
    int status = REAL(attention_load_layers)(value, shape, attention, error);
    if (status) {
        REAL(dgnn_attention_free)(attention);
    }
    return status;
}

void REAL(dgnn_attention_free)(struct REAL(dgnn_attention) * attention)
{
    for (int64_t l = 0; l < attention->nlayer; l++) {
        struct REAL(dgnn_attention_layer) *layer = &attention->layer[l];
        for (int part = 0; part < 3; part++) {
            REAL(dgnn_layer_matrix_free)(&layer->in[part]);
            REAL(dgnn_layer_matrix_free)(&layer->in_transposed[part]);
            dgnn_alloc_free(layer->in_bias[part]);
        }
        REAL(dgnn_layer_matrix_free)(&layer->out);
        REAL(dgnn_layer_matrix_free)(&layer->out_transposed);
        dgnn_alloc_free(layer->out_bias);
        dgnn_alloc_free(layer->norm_weight);
        dgnn_alloc_free(layer->norm_bias);
    }
    dgnn_alloc_free(attention->layer);
    *attention = (struct REAL(dgnn_attention)){0};
}

static void REAL(attention_load_empty_layer)(const struct REAL(dgnn_attention_layer) * layer, real *x)
{
    int64_t width = layer->width;
    real mean = 0, variance = 0;
    for (int64_t c = 0; c < width; c++) {
        x[c] += layer->out_bias[c];
        mean += x[c] / (real)width;
    }
    for (int64_t c = 0; c < width; c++) {
        variance += (x[c] - mean) * (x[c] - mean) / (real)width;
    }
    real inverse = 1 / (real)sqrt((double)(variance + layer->epsilon));
    for (int64_t c = 0; c < width; c++) {
        x[c] = (x[c] - mean) * inverse * layer->norm_weight[c] + layer->norm_bias[c];
    }
}

void REAL(dgnn_attention_empty)(const struct REAL(dgnn_attention) * attention, real *x)
{
    for (int64_t l = 0; l < attention->nlayer; l++) {
        REAL(attention_load_empty_layer)(&attention->layer[l], x);
    }
}
