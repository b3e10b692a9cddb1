#include "base/real.h"

static int REAL(attention_load_cast)(const struct attention_load_placed *from,
                                     struct REAL(dgnn_attention_layer) * layer, struct dgnn_error *error)
{
    layer->width = from->width;
    layer->epsilon = (real)from->norm.epsilon;
    layer->scale = (real)from->scale;
    layer->normalize = from->gated.normalize;
    layer->smooth = from->gated.smooth;
    layer->angular = from->gated.dotr;
    for (int part = 0; part < 3; part++) {
        const struct dgnn_layer_f64 *in = &from->in[part];
        layer->columns[part] = in->w.ncol;
        DGNN_TRY(REAL(dgnn_layer_cast)(&in->w, &layer->in[part], &layer->in_transposed[part], error));
        DGNN_TRY(REAL(dgnn_layer_cast_row)(in->bias, in->w.ncol, &layer->in_bias[part], error));
    }
    DGNN_TRY(REAL(dgnn_layer_cast)(&from->out.w, &layer->out, &layer->out_transposed, error));
    DGNN_TRY(REAL(dgnn_layer_cast_row)(from->out.bias, from->width, &layer->out_bias, error));
    DGNN_TRY(REAL(dgnn_layer_cast_row)(from->norm.scale, from->width, &layer->norm_weight, error));
    return REAL(dgnn_layer_cast_row)(from->norm.shift, from->width, &layer->norm_bias, error);
}

static int REAL(attention_load_layer)(const struct dgnn_value *value,
                                      const struct dgnn_attention_shape *shape,
                                      struct REAL(dgnn_attention_layer) * layer, int64_t *parameters,
                                      struct dgnn_error *error)
{
    struct attention_load_placed placed = {.width = shape->width, .dtype = REAL_DTYPE};
    int status = attention_load_place(value, shape, &placed, error);
    status = status ? status : REAL(attention_load_cast)(&placed, layer, error);
    *parameters += placed.parameters;
    attention_load_free(&placed);
    return status;
}

static int REAL(attention_load_layers)(const struct dgnn_value *value,
                                       const struct dgnn_attention_shape *shape,
                                       struct REAL(dgnn_attention) * attention, struct dgnn_error *error)
{
    struct dgnn_value layers;
    int64_t count = shape->nlayer;
    DGNN_TRY(attention_load_list(value, shape, &layers, error));
    attention->layer = dgnn_alloc_zeroed(count, sizeof(*attention->layer));
    if (!attention->layer) {
        return dgnn_status_no_memory(error, "attention layers", count * (int64_t)sizeof(*attention->layer));
    }
    attention->nlayer = count;
    for (int64_t l = 0; l < count; l++) {
        struct dgnn_value item = dgnn_value_item(&layers, l);
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
