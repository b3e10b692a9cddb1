#include "net/energy/glu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "net/params/params.h"

enum { GLU_MOST_LAYERS = 64 };

struct glu_params {
#include "net/params/params_fields.h"
#include "net/params/objects/glu.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param glu_rows[] = {
#define DGNN_PARAM_STRUCT struct glu_params
#include "net/params/params_rows.h"
#include "net/params/objects/glu.def"
#include "net/params/params_end.h"
};

/* What loading shares. */
struct glu_load {
    const struct dgnn_value *value;
    struct dgnn_value variables;
    struct glu_params params;
    const struct dgnn_glu_case *of;
    double *code; /* ncode: of the case; NULL without modulation */
    int64_t ncode;
    int64_t *nread; /* arrays that were read: a network has no others */
    struct dgnn_glu *glu;
    struct dgnn_error *error;
};

/* A variable as float64, allocated. */
static int glu_array(const struct glu_load *l, const char *name, int ndim, const int64_t *shape, double **out)
{
    struct dgnn_value member = dgnn_value_member(&l->variables, name);
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_value_tensor_shaped(&member, ndim, shape, &tensor, l->error));
    int64_t count = dgnn_tensor_size(&tensor);
    *out = dgnn_alloc(count, sizeof(double));
    if (!*out) {
        return dgnn_status_no_memory(l->error, "weights", count * 8);
    }
    dgnn_tensor_to_double(&tensor, *out);
    ++*l->nread;
    return DGNN_OK;
}

/* ---------------------------------------------------------------- the case */

/* code = act(case w_1) w_2, 4 numbers for each of the descriptor's. */
static int glu_encode_with(struct glu_load *l, const struct dgnn_activation *activation, int64_t hidden,
                           const double *first, const double *second)
{
    double *unit = dgnn_alloc_zeroed(hidden + l->ncode, sizeof(double));
    if (!unit) {
        return dgnn_status_no_memory(l->error, "the code of a case", (hidden + l->ncode) * 8);
    }
    for (int64_t h = 0; h < hidden; h++) {
        for (int64_t k = 0; k < l->of->n; k++) {
            unit[h] += l->of->embedding[k] * first[k * hidden + h];
        }
        unit[h] = dgnn_activation_value(activation, unit[h], NULL);
    }
    l->code = dgnn_alloc_zeroed(l->ncode, sizeof(double));
    for (int64_t h = 0; h < hidden && l->code; h++) {
        for (int64_t c = 0; c < l->ncode; c++) {
            l->code[c] += unit[h] * second[h * l->ncode + c];
        }
    }
    dgnn_alloc_free(unit);
    return l->code ? DGNN_OK : dgnn_status_no_memory(l->error, "the code of a case", l->ncode * 8);
}

static int glu_encode(struct glu_load *l)
{
    int64_t hidden = 32 * ((4 * l->of->n + 31) / 32);
    double *first = NULL, *second = NULL;
    l->ncode = 4 * l->params.descriptor_dim;
    int status = glu_array(l, "case_film.case_layer1.matrix", 2, (int64_t[]){l->of->n, hidden}, &first);
    status = status ? status
                    : glu_array(l, "case_film.case_layer2.matrix", 2, (int64_t[]){hidden, l->ncode}, &second);
    status = status ? status : glu_encode_with(l, &l->glu->activation, hidden, first, second);
    dgnn_alloc_free(first);
    dgnn_alloc_free(second);
    return status;
}

/* scale: 1 + e^a tanh gamma, then shift: e^b tanh beta, of the n numbers of target k. */
static int glu_target(const struct glu_load *l, int64_t k, int64_t n, double *scale)
{
    double *project = NULL, *strength[2] = {NULL, NULL};
    char name[64];
    const int64_t count = l->glu->nhidden + 1;
    snprintf(name, sizeof(name), "case_film.projectors.%d", (int)k);
    int status = glu_array(l, name, 2, (int64_t[]){l->ncode, 2 * n}, &project);
    status = status ? status
                    : glu_array(l, "case_film.adam_case_film_scale_strength_log", 1, &count, &strength[0]);
    status = status ? status
                    : glu_array(l, "case_film.adam_case_film_shift_strength_log", 1, &count, &strength[1]);
    for (int64_t c = 0; c < 2 * n && !status; c++) {
        double sum = 0;
        for (int64_t r = 0; r < l->ncode; r++) {
            sum += l->code[r] * project[r * 2 * n + c];
        }
        scale[c] = (c < n) + exp(strength[c >= n][k]) * tanh(sum);
    }
    dgnn_alloc_free(project);
    dgnn_alloc_free(strength[0]);
    dgnn_alloc_free(strength[1]);
    return status;
}

/* Layer k takes x scale + shift in its first n inputs: (x scale + shift) w + b = x (scale w) + (b + shift w).
 */
static int glu_modulate(const struct glu_load *l, int64_t k, int64_t n)
{
    struct dgnn_matrix_f64 *w = &l->glu->w[k];
    double *scale = dgnn_alloc(2 * n, sizeof(double));
    if (!scale) {
        return dgnn_status_no_memory(l->error, "the case's factors", n * 16);
    }
    int status = glu_target(l, k, n, scale);
    for (int64_t r = 0; r < n && !status; r++) {
        for (int64_t c = 0; c < w->ncol; c++) {
            l->glu->bias[k][c] += scale[n + r] * w->data[r * w->stride + c];
            w->data[r * w->stride + c] *= scale[r];
        }
    }
    dgnn_alloc_free(scale);
    return status;
}

/* ---------------------------------------------------------------- loading */

/* Layer k: matrix and bias by name (bias NULL: there is none). */
static int glu_load_layer(const struct glu_load *l, int64_t k, int64_t nin, int64_t nout, const char *matrix,
                          const char *bias)
{
    struct dgnn_glu *g = l->glu;
    double *w = NULL;
    int64_t modulated = k ? nin : l->params.descriptor_dim;
    DGNN_TRY(dgnn_layer_matrix_f64(nin, nout, &g->w[k], l->error));
    DGNN_TRY(glu_array(l, matrix, 2, (int64_t[]){nin, nout}, &w));
    for (int64_t r = 0; r < nin; r++) {
        memcpy(g->w[k].data + r * g->w[k].stride, w + r * nout, sizeof(double) * (size_t)nout);
    }
    dgnn_alloc_free(w);
    if (bias) {
        DGNN_TRY(glu_array(l, bias, 1, &nout, &g->bias[k]));
    } else {
        g->bias[k] = dgnn_alloc_zeroed(nout, sizeof(double));
        if (!g->bias[k]) {
            return dgnn_status_no_memory(l->error, "weights", nout * 8);
        }
    }
    if (l->code) {
        DGNN_TRY(glu_modulate(l, k, modulated));
    }
    g->parameters += nin * nout + (bias ? nout : 0);
    int64_t widest = nin > nout ? nin : nout;
    g->width_max = widest > g->width_max ? widest : g->width_max;
    return dgnn_layer_matrix_transposed_f64(&g->w[k], &g->w_transposed[k], l->error);
}

static int glu_load_layers(const struct glu_load *l)
{
    struct dgnn_glu *g = l->glu;
    int64_t nin = g->nin, n;
    char matrix[64], bias[64];
    for (int64_t k = 0; k < g->nhidden; k++) {
        struct dgnn_value item = dgnn_value_item(&l->params.neuron, k);
        DGNN_TRY(dgnn_value_int(&item, &n, l->error));
        if (n < 1 || n > (1 << 16)) {
            return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, &item, "a width must be in [1, 65536]");
        }
        snprintf(matrix, sizeof(matrix), "hidden_layers.%d.linear.matrix", (int)k);
        snprintf(bias, sizeof(bias), "hidden_layers.%d.linear.bias", (int)k);
        DGNN_TRY(glu_load_layer(l, k, nin, 2 * n, matrix, bias));
        g->width_kept += 3 * n;
        nin = n;
    }
    return glu_load_layer(l, g->nhidden, nin, 1, "output_layer.matrix",
                          l->params.bias_out ? "output_layer.bias" : NULL);
}

static int glu_load_into(struct glu_load *l, int64_t nin)
{
    struct dgnn_glu *g = l->glu;
    DGNN_TRY(dgnn_value_object(l->value, l->error));
    DGNN_TRY(
        dgnn_params_load(l->value, glu_rows, sizeof(glu_rows) / sizeof(glu_rows[0]), &l->params, l->error));
    DGNN_TRY(dgnn_params_activation(l->params.activation_function, l->value, &g->activation, l->error));
    DGNN_TRY(dgnn_value_list(&l->params.neuron, &g->nhidden, l->error));
    l->variables = dgnn_value_member(l->value, "@variables");
    l->params.descriptor_dim = l->params.descriptor_dim < 0 ? nin : l->params.descriptor_dim;
    g->nin = nin;
    if (l->params.in_dim != nin || l->params.descriptor_dim > nin || g->nhidden > GLU_MOST_LAYERS) {
        return dgnn_value_refuse(
            l->error, DGNN_ERROR_FORMAT, l->value,
            "in_dim is not the width of the fitting's input, descriptor_dim larger, or there are more "
            "than 64 layers");
    }
    int says = l->params.case_film_embd && l->params.dim_case_embd > 0;
    if (says != l->of->modulates || (says && l->params.dim_case_embd != l->of->n)) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, l->value,
                                 "case_film_embd or dim_case_embd is not the fitting's");
    }
    g->w = dgnn_alloc_zeroed(g->nhidden + 1, sizeof(*g->w));
    g->w_transposed = dgnn_alloc_zeroed(g->nhidden + 1, sizeof(*g->w));
    g->bias = dgnn_alloc_zeroed(g->nhidden + 1, sizeof(*g->bias));
    if (!g->w || !g->w_transposed || !g->bias) {
        return dgnn_status_no_memory(l->error, "layers", (g->nhidden + 1) * 100);
    }
    if (says) {
        DGNN_TRY(glu_encode(l));
    }
    DGNN_TRY(glu_load_layers(l));
    int64_t again = says ? 2 * g->nhidden : 0; /* the strengths are read for each target */
    return *l->nread - again == dgnn_value_count(&l->variables)
               ? DGNN_OK
               : dgnn_status_set(l->error, DGNN_ERROR_UNSUPPORTED, "%s: has arrays that no layer of it takes",
                                 dgnn_value_path(&l->variables, (char[256]){0}, 256));
}

int dgnn_glu_load(const struct dgnn_value *value, int64_t nin, const struct dgnn_glu_case *of,
                  struct dgnn_glu *glu, struct dgnn_error *error)
{
    int64_t nread = 0;
    *glu = (struct dgnn_glu){0};
    struct glu_load load = {.value = value, .of = of, .nread = &nread, .glu = glu, .error = error};
    int status = glu_load_into(&load, nin);
    dgnn_alloc_free(load.code);
    if (status) {
        dgnn_glu_free(glu);
    }
    return status;
}

void dgnn_glu_free(struct dgnn_glu *g)
{
    for (int64_t k = 0; k <= g->nhidden; k++) {
        if (g->w) {
            dgnn_layer_matrix_free_f64(&g->w[k]);
        }
        if (g->w_transposed) {
            dgnn_layer_matrix_free_f64(&g->w_transposed[k]);
        }
        if (g->bias) {
            dgnn_alloc_free(g->bias[k]);
        }
    }
    dgnn_alloc_free(g->w);
    dgnn_alloc_free(g->w_transposed);
    dgnn_alloc_free(g->bias);
    *g = (struct dgnn_glu){0};
}

/* ---------------------------------------------------------------- evaluation */

/* Kept of a layer, row after row: v, act(g), act'(g). */
void dgnn_glu_forward(const struct dgnn_ops_f64 *ops, const struct dgnn_glu *g,
                      const struct dgnn_network_rows_f64 *rows)
{
    const struct dgnn_matrix_f64 *last = &g->w[g->nhidden];
    double *pre = rows->scratch, *out = rows->scratch + rows->nrow * g->width_max, *kept = rows->kept;
    const double *x = rows->x;
    int64_t x_stride = rows->x_stride;
    for (int64_t k = 0; k < g->nhidden; k++) {
        int64_t n = g->w[k].ncol / 2;
        ops->product(rows->nrow, x, x_stride, &g->w[k], g->bias[k], pre, 2 * n, 0);
        for (int64_t r = 0; r < rows->nrow; r++) {
            double *value = kept + 3 * n * r, *row = pre + 2 * n * r;
            memcpy(value, row, sizeof(double) * (size_t)n);
            ops->activate(&g->activation, n, row + n, value + n, value + 2 * n);
            for (int64_t c = 0; c < n; c++) {
                out[n * r + c] = value[c] * value[n + c];
            }
        }
        kept += 3 * n * rows->nrow;
        x = out;
        x_stride = n;
    }
    ops->product(rows->nrow, x, x_stride, last, g->bias[g->nhidden], rows->y, 1, 0);
}

void dgnn_glu_backward(const struct dgnn_ops_f64 *ops, const struct dgnn_glu *g,
                       const struct dgnn_network_rows_f64 *rows)
{
    double *d_pre = rows->scratch, *d_out = rows->scratch + rows->nrow * g->width_max;
    const double *kept = rows->kept + rows->nrow * g->width_kept;
    for (int64_t k = g->nhidden; k >= 0; k--) {
        double *to = k ? d_out : rows->dx;
        const double *from = k == g->nhidden ? rows->dy : d_pre;
        int64_t n = g->w[k].nrow;
        ops->product(rows->nrow, from, g->w[k].ncol, &g->w_transposed[k], NULL, to, n, 0);
        kept -= k ? 3 * n * rows->nrow : 0;
        for (int64_t r = 0; r < rows->nrow && k; r++) {
            const double *value = kept + 3 * n * r, *d = d_out + n * r;
            for (int64_t c = 0; c < n; c++) {
                d_pre[2 * n * r + c] = d[c] * value[n + c];
                d_pre[2 * n * r + n + c] = d[c] * value[c] * value[2 * n + c];
            }
        }
    }
}

const double *dgnn_glu_hidden(const struct dgnn_glu *g, int64_t nrow, const double *scratch)
{
    return scratch + nrow * g->width_max;
}

int64_t dgnn_glu_hidden_width(const struct dgnn_glu *g)
{
    return g->nhidden ? g->w[g->nhidden].nrow : 0;
}
