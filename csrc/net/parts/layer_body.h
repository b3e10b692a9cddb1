#include "base/real.h"

int REAL(dgnn_layer_matrix)(int64_t nrow, int64_t ncol, struct REAL(dgnn_matrix) * matrix,
                            struct dgnn_error *error)
{
    int64_t stride = dgnn_table_pad(ncol, REAL_LANES), count;
    *matrix = (struct REAL(dgnn_matrix)){.nrow = nrow, .ncol = ncol, .stride = stride};
    if (dgnn_alloc_checked(nrow, stride, 0, &count)) {
        matrix->data = dgnn_alloc_zeroed(count, sizeof(real));
    }
    return matrix->data ? DGNN_OK
                        : dgnn_status_no_memory(error, "weights", nrow * stride * (int64_t)sizeof(real));
}

int REAL(dgnn_layer_matrix_transposed)(const struct REAL(dgnn_matrix) * from,
                                       struct REAL(dgnn_matrix) * matrix, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_matrix)(from->ncol, from->nrow, matrix, error));
    for (int64_t r = 0; r < from->nrow; r++) {
        for (int64_t c = 0; c < from->ncol; c++) {
            matrix->data[c * matrix->stride + r] = from->data[r * from->stride + c];
        }
    }
    return DGNN_OK;
}

void REAL(dgnn_layer_matrix_free)(struct REAL(dgnn_matrix) * matrix)
{
    dgnn_alloc_free(matrix->data);
    *matrix = (struct REAL(dgnn_matrix)){0};
}

int REAL(dgnn_layer_cast)(const struct dgnn_matrix_f64 *from, struct REAL(dgnn_matrix) * matrix,
                          struct REAL(dgnn_matrix) * transposed, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_matrix)(from->nrow, from->ncol, matrix, error));
    for (int64_t r = 0; r < from->nrow; r++) {
        for (int64_t c = 0; c < from->ncol; c++) {
            matrix->data[r * matrix->stride + c] = (real)from->data[r * from->stride + c];
        }
    }
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(matrix, transposed, error));
    matrix->ncol = matrix->stride;
    transposed->ncol = transposed->stride;
    return DGNN_OK;
}

int REAL(dgnn_layer_cast_row)(const double *from, int64_t n, real **out, struct dgnn_error *error)
{
    int64_t padded = dgnn_table_pad(n, REAL_LANES);
    *out = dgnn_alloc_zeroed(padded, sizeof(real));
    if (!*out) {
        return dgnn_status_no_memory(error, "weights", padded * (int64_t)sizeof(real));
    }
    for (int64_t c = 0; c < n; c++) {
        (*out)[c] = (real)from[c];
    }
    return DGNN_OK;
}

/* All numbers of a tensor. */
void REAL(dgnn_layer_convert)(const struct dgnn_tensor *tensor, real *out)
{
#if DGNN_REAL_BITS == 32
    dgnn_tensor_to_float(tensor, out);
#else
    dgnn_tensor_to_double(tensor, out);
#endif
}

/* A row of n numbers, padded with zeros, or NULL where the member is null or absent. */
static int REAL(layer_load_row)(const struct dgnn_value *variables, const char *name, int64_t n, real **out,
                                struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(variables, name);
    struct dgnn_tensor tensor;
    if (dgnn_value_kind(&member) == DGNN_VALUE_NULL || dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_row(&member, n, &tensor, error));
    *out = dgnn_alloc_zeroed(dgnn_table_pad(n, REAL_LANES), sizeof(real));
    if (!*out) {
        return dgnn_status_no_memory(error, "weights", n * (int64_t)sizeof(real));
    }
    REAL(dgnn_layer_convert)(&tensor, *out);
    return DGNN_OK;
}

/* All but the transpose. */
static int REAL(layer_load_numbers)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                    struct REAL(dgnn_layer) * layer, struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value w = dgnn_value_member(&variables, "w");
    struct dgnn_tensor tensor;
    DGNN_TRY(layer_settings(value, &layer->activation, &layer->resnet, error));
    DGNN_TRY(dgnn_value_tensor_shaped(&w, 2, (int64_t[]){nin, nout}, &tensor, error));
    nin = tensor.shape[0];
    nout = tensor.shape[1];
    DGNN_TRY(REAL(dgnn_layer_matrix)(nin, nout, &layer->w, error));
    for (int64_t r = 0; r < nin; r++) {
        struct dgnn_tensor row = tensor;
        row.ndim = 1;
        row.shape[0] = nout;
        row.data = (const char *)tensor.data + r * nout * dgnn_tensor_item_size(tensor.dtype);
        REAL(dgnn_layer_convert)(&row, layer->w.data + r * layer->w.stride);
    }
    DGNN_TRY(REAL(layer_load_row)(&variables, "b", nout, &layer->bias, error));
    DGNN_TRY(REAL(layer_load_row)(&variables, "idt", nout, &layer->idt, error));
    layer->residual = !layer->resnet ? 0 : nout == nin ? 1 : nout == 2 * nin ? 2 : 0;
    return DGNN_OK;
}

int REAL(dgnn_layer_load)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                          struct REAL(dgnn_layer) * layer, struct dgnn_error *error)
{
    *layer = (struct REAL(dgnn_layer)){0};
    int status = REAL(layer_load_numbers)(value, nin, nout, layer, error);
    status = status ? status : REAL(dgnn_layer_matrix_transposed)(&layer->w, &layer->w_transposed, error);
    if (status) {
        REAL(dgnn_layer_free)(layer);
    }
    return status;
}

/* Frees a layer that is refused. */
static int REAL(layer_check_affine)(const struct dgnn_value *value, struct REAL(dgnn_layer) * layer,
                                    struct dgnn_error *error)
{
    if (layer->activation.kind == DGNN_ACTIVATION_LINEAR && !layer->idt && !layer->residual) {
        return DGNN_OK;
    }
    REAL(dgnn_layer_free)(layer);
    return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                             "expected a plain affine layer: it has an activation, a time step or a skip "
                             "connection, which deepmd-kit never gives it");
}

int REAL(dgnn_layer_load_affine)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                 struct REAL(dgnn_layer) * layer, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_load)(value, nin, nout, layer, error));
    return REAL(layer_check_affine)(value, layer, error);
}

void REAL(dgnn_layer_free)(struct REAL(dgnn_layer) * layer)
{
    REAL(dgnn_layer_matrix_free)(&layer->w);
    REAL(dgnn_layer_matrix_free)(&layer->w_transposed);
    dgnn_alloc_free(layer->bias);
    dgnn_alloc_free(layer->idt);
    *layer = (struct REAL(dgnn_layer)){0};
}

int64_t REAL(dgnn_layer_parameters)(const struct REAL(dgnn_layer) * layer)
{
    return layer->w.nrow * layer->w.ncol + (layer->bias ? layer->w.ncol : 0) +
           (layer->idt ? layer->w.ncol : 0);
}

void REAL(dgnn_layer_forward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_layer) * layer,
                              const struct REAL(dgnn_layer_rows) * rows)
{
    int64_t nin = layer->w.nrow, nout = layer->w.ncol;
    ops->product(rows->nrow, rows->x, rows->x_stride, &layer->w, layer->bias, rows->y, rows->y_stride, 0);
    for (int64_t r = 0; r < rows->nrow; r++) {
        const real *x = rows->x + r * rows->x_stride;
        real *row = rows->y + r * rows->y_stride, *slope = rows->slope ? rows->slope + r * nout : NULL;
        ops->activate(&layer->activation, nout, row, row, slope);
        for (int64_t c = 0; c < nout && layer->idt; c++) {
            row[c] *= layer->idt[c];
            if (slope) {
                slope[c] *= layer->idt[c];
            }
        }
        for (int64_t copy = 0; copy < layer->residual; copy++) {
            for (int64_t c = 0; c < nin; c++) {
                row[copy * nin + c] += x[c];
            }
        }
    }
}

void REAL(dgnn_layer_backward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_layer) * layer,
                               const struct REAL(dgnn_layer_rows) * rows)
{
    int64_t nin = layer->w.nrow, nout = layer->w.ncol;
    for (int64_t r = 0; r < rows->nrow; r++) {
        for (int64_t c = 0; c < nout; c++) {
            rows->scratch[r * nout + c] = rows->dy[r * rows->y_stride + c] * rows->slope[r * nout + c];
        }
    }
    ops->product(rows->nrow, rows->scratch, nout, &layer->w_transposed, NULL, rows->dx, rows->x_stride,
                 rows->accumulate);
    for (int64_t r = 0; r < rows->nrow; r++) {
        for (int64_t copy = 0; copy < layer->residual; copy++) {
            for (int64_t c = 0; c < nin; c++) {
                rows->dx[r * rows->x_stride + c] += rows->dy[r * rows->y_stride + copy * nin + c];
            }
        }
    }
}

static int REAL(network_load_layers)(const struct dgnn_value *layers, int64_t nin, int64_t nout,
                                     struct REAL(dgnn_network) * network, struct dgnn_error *error)
{
    int64_t count;
    DGNN_TRY(dgnn_value_list(layers, &count, error));
    if (count < 1) {
        return layer_shape_error(layers, "the number of layers", count, 1, error);
    }
    network->layer = dgnn_alloc_zeroed(count, sizeof(*network->layer));
    if (!network->layer) {
        return dgnn_status_no_memory(error, "layers", count * (int64_t)sizeof(*network->layer));
    }
    network->nlayer = count;
    for (int64_t l = 0; l < count; l++) {
        struct dgnn_value item = dgnn_value_item(layers, l);
        struct REAL(dgnn_layer) *layer = &network->layer[l];
        DGNN_TRY(REAL(dgnn_layer_load)(&item, nin, l + 1 == count ? nout : -1, layer, error));
        int64_t wider = layer->w.nrow > layer->w.ncol ? layer->w.nrow : layer->w.ncol;
        network->width_max = wider > network->width_max ? wider : network->width_max;
        network->width_kept += layer->w.ncol;
        nin = layer->w.ncol;
    }
    network->nin = network->layer[0].w.nrow;
    network->nout = nin;
    return DGNN_OK;
}

int REAL(dgnn_network_same)(const struct REAL(dgnn_network) * network, int64_t nhidden,
                            const struct dgnn_value *owner, const char *neuron, struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(owner, neuron);
    struct dgnn_value function = dgnn_value_member(owner, "activation_function");
    int has_list = dgnn_value_kind(&list) != DGNN_VALUE_ABSENT;
    DGNN_TRY(has_list ? dgnn_params_same_count(&list, nhidden, "the layers", error) : DGNN_OK);
    for (int64_t l = 0; l < nhidden; l++) {
        struct dgnn_value width = dgnn_value_item(&list, l);
        const struct REAL(dgnn_layer) *layer = &network->layer[l];
        DGNN_TRY(dgnn_params_same_int(&width, layer->w.ncol, "the layers", error));
        DGNN_TRY(dgnn_params_same_activation(&function, &layer->activation, "the layers", error));
    }
    return DGNN_OK;
}

/* A network is what it says and its class. */
static int REAL(network_check)(const struct dgnn_value *value, const struct layer_said *said,
                               const struct REAL(dgnn_network) * network, struct dgnn_error *error)
{
    static const char layers[] = "the layers";
    int64_t nhidden = network->nlayer - said->is_fitting;
    DGNN_TRY(dgnn_params_same_int(&said->in_dim, network->nin, layers, error));
    DGNN_TRY(dgnn_params_same_int(&said->out_dim, network->nout, layers, error));
    DGNN_TRY(REAL(dgnn_network_same)(network, nhidden, value, "neuron", error));
    for (int64_t l = 0; l < network->nlayer; l++) {
        const struct REAL(dgnn_layer) *layer = &network->layer[l];
        struct dgnn_value item = dgnn_value_item(&said->layers, l);
        int affine = l == nhidden;
        DGNN_TRY(layer_check_class(value, &item, affine, layer->resnet, error));
        DGNN_TRY(dgnn_params_same_bool(affine ? &said->bias_out : &said->bias, layer->bias != NULL, layers,
                                       error));
        if (affine && layer->activation.kind != DGNN_ACTIVATION_LINEAR) {
            struct dgnn_value function = dgnn_value_member(&item, "activation_function");
            return dgnn_params_unused(&function, "the last layer of a FittingNetwork is affine", error);
        }
    }
    return DGNN_OK;
}

int REAL(dgnn_network_load)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                            struct REAL(dgnn_network) * network, struct dgnn_error *error)
{
    struct layer_said said;
    *network = (struct REAL(dgnn_network)){0};
    DGNN_TRY(layer_said_load(value, &said, error));
    int status = REAL(network_load_layers)(&said.layers, nin, nout, network, error);
    status = status ? status : REAL(network_check)(value, &said, network, error);
    if (status) {
        REAL(dgnn_network_free)(network);
    }
    return status;
}

void REAL(dgnn_network_free)(struct REAL(dgnn_network) * network)
{
    for (int64_t l = 0; l < network->nlayer; l++) {
        REAL(dgnn_layer_free)(&network->layer[l]);
    }
    dgnn_alloc_free(network->layer);
    *network = (struct REAL(dgnn_network)){0};
}

int64_t REAL(dgnn_network_parameters)(const struct REAL(dgnn_network) * network)
{
    int64_t sum = 0;
    for (int64_t l = 0; l < network->nlayer; l++) {
        sum += REAL(dgnn_layer_parameters)(&network->layer[l]);
    }
    return sum;
}

void REAL(dgnn_network_forward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_network) * network,
                                const struct REAL(dgnn_network_rows) * rows)
{
    real *between[2] = {rows->scratch, rows->scratch + rows->nrow * network->width_max};
    struct REAL(dgnn_layer_rows)
        at = {.nrow = rows->nrow, .x = rows->x, .x_stride = rows->x_stride, .slope = rows->kept};
    for (int64_t l = 0; l < network->nlayer; l++) {
        const struct REAL(dgnn_layer) *layer = &network->layer[l];
        at.y = l + 1 == network->nlayer ? rows->y : between[l % 2];
        at.y_stride = layer->w.ncol;
        REAL(dgnn_layer_forward)(ops, layer, &at);
        at.slope += rows->nrow * layer->w.ncol;
        at.x = at.y;
        at.x_stride = at.y_stride;
    }
}

const real *REAL(dgnn_network_hidden)(const struct REAL(dgnn_network) * network, int64_t nrow,
                                      const real *scratch)
{
    return scratch + (network->nlayer % 2) * nrow * network->width_max;
}

int64_t REAL(dgnn_network_hidden_width)(const struct REAL(dgnn_network) * network)
{
    return network->nlayer > 1 ? network->layer[network->nlayer - 1].w.nrow : 0;
}

void REAL(dgnn_network_backward)(const struct REAL(dgnn_ops) * ops, const struct REAL(dgnn_network) * network,
                                 const struct REAL(dgnn_network_rows) * rows)
{
    int64_t size = rows->nrow * network->width_max;
    real *between[2] = {rows->scratch, rows->scratch + size};
    struct REAL(dgnn_layer_rows) at = {.nrow = rows->nrow,
                                       .dy = rows->dy,
                                       .slope = rows->kept + rows->nrow * network->width_kept,
                                       .scratch = rows->scratch + 2 * size};
    for (int64_t l = network->nlayer - 1; l >= 0; l--) {
        const struct REAL(dgnn_layer) *layer = &network->layer[l];
        at.slope -= rows->nrow * layer->w.ncol;
        at.y_stride = layer->w.ncol;
        at.dx = l == 0 ? rows->dx : between[l % 2];
        at.x_stride = layer->w.nrow;
        REAL(dgnn_layer_backward)(ops, layer, &at);
        at.dy = at.dx;
    }
}
