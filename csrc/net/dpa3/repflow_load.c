/* Weights of the RepFlow layers: from the archive's layout into the padded, merged matrices of the blocks.
 * They are folded and placed in float64; repflow_load_body.h casts them. */
#include <math.h>
#include <string.h>

#include "net/dpa3/dpa3.h"

struct repflow_variable_params {
#include "net/params/params_fields.h"
#include "net/params/objects/repflow_variable.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repflow_variable_params[] = {
#define DGNN_PARAM_STRUCT struct repflow_variable_params
#include "net/params/params_rows.h"
#include "net/params/objects/repflow_variable.def"
#include "net/params/params_end.h"
};

enum { REPFLOW_VARIABLE_NPARAM = sizeof(repflow_variable_params) / sizeof(repflow_variable_params[0]) };

/* Parts for angles, which are there exactly where the settings ask for them. */
static int repflow_check_parts(const struct dgnn_repflow_layer_params *layer,
                               const struct dgnn_repflow_params *r, struct dgnn_error *error)
{
    static const char no_angle[] = "update_angle is false",
                      no_compression[] = "nothing is compressed linearly";
    if (!r->update_angle) {
        DGNN_TRY(dgnn_params_unused(&layer->edge_angle_linear1, no_angle, error));
        DGNN_TRY(dgnn_params_unused(&layer->edge_angle_linear2, no_angle, error));
        DGNN_TRY(dgnn_params_unused(&layer->angle_self_linear, no_angle, error));
    }
    if (!r->update_angle || !r->a_compress_rate || r->a_compress_use_split) {
        DGNN_TRY(dgnn_params_unused(&layer->a_compress_n_linear, no_compression, error));
        DGNN_TRY(dgnn_params_unused(&layer->a_compress_e_linear, no_compression, error));
    }
    return DGNN_OK;
}

/* Residual weights with res_residual: a list of rows for each update of an item's features. */
struct repflow_residuals {
    const char *name;
    int64_t count, width;
};

static void repflow_residuals(const struct dgnn_repflow_params *r, struct repflow_residuals residuals[3])
{
    residuals[0] = (struct repflow_residuals){"n_residual", 2 + r->n_multi_edge_message, r->n_dim};
    residuals[1] = (struct repflow_residuals){"e_residual", r->update_angle ? 2 : 1, r->e_dim};
    residuals[2] = (struct repflow_residuals){"a_residual", r->update_angle, r->a_dim};
}

/* The lists have as many rows as the layer has updates, with res_residual only. */
static int repflow_check_residuals(const struct dgnn_value *value, const struct dgnn_dpa3_settings *s,
                                   struct dgnn_error *error)
{
    struct repflow_residuals residuals[3];
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    repflow_residuals(&s->repflow, residuals);
    for (int k = 0; k < 3; k++) {
        struct dgnn_value list = dgnn_value_member(&variables, residuals[k].name);
        int absent = dgnn_value_kind(&list) == DGNN_VALUE_ABSENT;
        if (s->style != DGNN_DPA3_RESIDUAL && dgnn_value_count(&list)) {
            return dgnn_params_unused(&list, "update_style is not res_residual", error);
        }
        if (s->style == DGNN_DPA3_RESIDUAL && !(absent && !residuals[k].count)) {
            DGNN_TRY(dgnn_params_same_count(&list, residuals[k].count, "the settings", error));
        }
    }
    return DGNN_OK;
}

static int repflow_check_layer(const struct dgnn_value *value, const struct dgnn_dpa3_settings *settings,
                               struct dgnn_error *error)
{
    struct dgnn_repflow_layer_params layer;
    DGNN_TRY(dgnn_dpa3_layer(value, settings, &layer, error));
    DGNN_TRY(repflow_check_parts(&layer, &settings->repflow, error));
    return repflow_check_residuals(value, settings, error);
}

/* ---------------------------------------------------------------- the archive's layers */

/* Widths of what is placed. All but those that go into angles are padded to lanes. */
struct repflow_layout {
    int64_t lanes;
    int32_t dtype;
    int64_t n, e, a, m, heads, axis;
    int64_t angle_node, angle_edge; /* features of a node and of an edge that go into angles */
};

static struct repflow_layout repflow_layout(const struct dgnn_repflow_params *r, int64_t lanes, int32_t dtype)
{
    int64_t n = dgnn_table_pad(r->n_dim, lanes), rate = r->a_compress_rate;
    return (struct repflow_layout){
        .lanes = lanes,
        .dtype = dtype,
        .n = n,
        .e = dgnn_table_pad(r->e_dim, lanes),
        .a = dgnn_table_pad(r->a_dim, lanes),
        .m = r->n_multi_edge_message * n,
        .heads = r->n_multi_edge_message,
        .axis = r->axis_neuron,
        .angle_node = rate ? r->a_dim / rate : r->n_dim,
        .angle_edge = rate ? r->a_dim / (2 * rate) * r->a_compress_e_rate : r->e_dim,
    };
}

/* Parts of a layer. One that the settings have no use for stays zeroed. */
enum repflow_part {
    REPFLOW_SELF,
    REPFLOW_SYMMETRIC,
    REPFLOW_NODE_EDGE,
    REPFLOW_EDGE_SELF,
    REPFLOW_COMPRESS_NODE,
    REPFLOW_COMPRESS_EDGE,
    REPFLOW_ANGLE_EDGE,
    REPFLOW_ANGLE_LINEAR2,
    REPFLOW_ANGLE_SELF,
    REPFLOW_PARTS
};

static int repflow_load_parts(const struct dgnn_value *value, const struct repflow_layout *w,
                              struct dgnn_dpa3_settings *s, struct dgnn_layer_f64 *parts,
                              struct dgnn_error *error)
{
    const struct dgnn_repflow_params *r = &s->repflow;
    int64_t n = r->n_dim, e = r->e_dim, angle = r->a_dim + w->angle_node + 2 * w->angle_edge;
    int angles = r->update_angle, compresses = angles && r->a_compress_rate && !r->a_compress_use_split;
    const struct {
        const char *name;
        int64_t nin, nout;
        int is_used;
    } all[REPFLOW_PARTS] = {
        [REPFLOW_SELF] = {"node_self_mlp", n, n, 1},
        [REPFLOW_SYMMETRIC] = {"node_sym_linear", r->axis_neuron * (n + e), n, 1},
        [REPFLOW_NODE_EDGE] = {"node_edge_linear", 2 * n + e, w->heads * n, 1},
        [REPFLOW_EDGE_SELF] = {"edge_self_linear", 2 * n + e, e, 1},
        [REPFLOW_COMPRESS_NODE] = {"a_compress_n_linear", n, w->angle_node, compresses},
        [REPFLOW_COMPRESS_EDGE] = {"a_compress_e_linear", e, w->angle_edge, compresses},
        [REPFLOW_ANGLE_EDGE] = {"edge_angle_linear1", angle, e, angles},
        [REPFLOW_ANGLE_LINEAR2] = {"edge_angle_linear2", e, e, angles},
        [REPFLOW_ANGLE_SELF] = {"angle_self_linear", angle, r->a_dim, angles},
    };
    for (int k = 0; k < REPFLOW_PARTS; k++) {
        struct dgnn_value member = dgnn_value_member(value, all[k].name);
        if (all[k].is_used) {
            DGNN_TRY(dgnn_layer_load_plain(&member, all[k].nin, all[k].nout, w->dtype, &parts[k], error));
            s->parameters += dgnn_layer_parameters_f64(&parts[k]);
        }
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- a layer, placed */

enum repflow_matrix {
    REPFLOW_CENTRE,
    REPFLOW_NEIGHBOUR,
    REPFLOW_GRAM,
    REPFLOW_EDGE,
    REPFLOW_PAIR,
    REPFLOW_ANGLE,
    REPFLOW_LINEAR2,
    REPFLOW_MATRICES
};

/* Struct dgnn_repflow_weights in float64. */
struct repflow_placed {
    struct dgnn_matrix_f64 matrix[REPFLOW_MATRICES];
    /* biases: centre's (n | m | e | e | a), symmetric (n), linear2 (e); weights of updates: of the node (n |
     * n | m), the edge (e | e), the angle (a) */
    double *rows;
    int64_t nbias, nrow; /* numbers in the biases, and in all */
    double keep[3];      /* factor of the old features of a node, an edge and an angle */
};

static void repflow_free_placed(struct repflow_placed *to)
{
    for (int k = 0; k < REPFLOW_MATRICES; k++) {
        dgnn_layer_matrix_free_f64(&to->matrix[k]);
    }
    dgnn_alloc_free(to->rows);
}

static int repflow_make_placed(const struct repflow_layout *w, const struct dgnn_repflow_params *r,
                               struct repflow_placed *to, struct dgnn_error *error)
{
    int64_t n = w->n, e = w->e, a = w->a, m = w->m, centre = n + m + e + e + a;
    /* the first features of an edge where angles see no more; a linear compression is folded in */
    int64_t seen = r->a_compress_use_split ? dgnn_table_pad(w->angle_edge, w->lanes) : e;
    const int64_t sizes[REPFLOW_MATRICES][2] = {[REPFLOW_CENTRE] = {n, centre},
                                                [REPFLOW_NEIGHBOUR] = {n, m + e},
                                                [REPFLOW_GRAM] = {w->axis * (e + n), n},
                                                [REPFLOW_EDGE] = {e, m + e},
                                                [REPFLOW_PAIR] = {seen, 2 * (e + a)},
                                                [REPFLOW_ANGLE] = {a, e + a},
                                                [REPFLOW_LINEAR2] = {e, e}};
    for (int k = 0; k < REPFLOW_MATRICES; k++) {
        DGNN_TRY(dgnn_layer_matrix_f64(sizes[k][0], sizes[k][1], &to->matrix[k], error));
    }
    to->nbias = centre + n + e;
    to->nrow = to->nbias + 2 * n + m + 2 * e + a;
    to->rows = dgnn_alloc_zeroed(to->nrow, sizeof(double));
    return to->rows ? DGNN_OK : dgnn_status_no_memory(error, "weights", to->nrow * 8);
}

/* A block of an archive's matrix, and where it goes: to = block, or compress * block. */
struct repflow_copy {
    const struct dgnn_matrix_f64 *from;
    int64_t from_row, nrow, from_column, ncol;
    struct dgnn_matrix_f64 *to;
    int64_t to_row, to_column;
    const struct dgnn_matrix_f64 *compress;
};

static void repflow_copy(struct repflow_copy c)
{
    const double *from = c.from->data + c.from_row * c.from->stride + c.from_column;
    double *to = c.to->data + c.to_row * c.to->stride + c.to_column;
    for (int64_t r = 0; r < (c.compress ? c.compress->nrow : c.nrow); r++) {
        for (int64_t column = 0; column < c.ncol; column++) {
            double sum = c.compress ? 0 : from[r * c.from->stride + column];
            for (int64_t k = 0; c.compress && k < c.nrow; k++) {
                sum += c.compress->data[r * c.compress->stride + k] * from[k * c.from->stride + column];
            }
            to[r * c.to->stride + column] = sum;
        }
    }
}

/* Node and pair parts of one linear over angles: rows of from are angle | node | edge ik | edge ij. */
static void repflow_place_angle(const struct repflow_layout *w, int64_t a, const struct dgnn_layer_f64 *parts,
                                enum repflow_part part, int64_t column, struct repflow_placed *to)
{
    const struct dgnn_matrix_f64 *from = &parts[part].w, *node = &parts[REPFLOW_COMPRESS_NODE].w;
    const struct dgnn_matrix_f64 *edge = &parts[REPFLOW_COMPRESS_EDGE].w;
    struct dgnn_matrix_f64 *centre = &to->matrix[REPFLOW_CENTRE], *pair = &to->matrix[REPFLOW_PAIR];
    int64_t ik = a + w->angle_node, ij = ik + w->angle_edge, ncol = from->ncol, start = w->n + w->m + w->e;
    node = node->data ? node : NULL;
    edge = edge->data ? edge : NULL;
    repflow_copy((struct repflow_copy){from, 0, a, 0, ncol, &to->matrix[REPFLOW_ANGLE], 0, column, NULL});
    repflow_copy((struct repflow_copy){from, a, w->angle_node, 0, ncol, centre, 0, start + column, node});
    repflow_copy(
        (struct repflow_copy){from, ik, w->angle_edge, 0, ncol, pair, 0, w->e + w->a + column, edge});
    repflow_copy((struct repflow_copy){from, ij, w->angle_edge, 0, ncol, pair, 0, column, edge});
}

/* One linear over edges: rows of from are centre | neighbour | edge; ncol columns of it from from_column go
 * to column. */
static void repflow_place_edge(const struct repflow_layout *w, const struct dgnn_repflow_params *r,
                               struct repflow_copy copy, struct repflow_placed *to)
{
    struct dgnn_matrix_f64 *const targets[3] = {&to->matrix[REPFLOW_CENTRE], &to->matrix[REPFLOW_NEIGHBOUR],
                                                &to->matrix[REPFLOW_EDGE]};
    int64_t column = copy.to_column;
    for (int k = 0; k < 3; k++) {
        copy.from_row = k * r->n_dim;
        copy.nrow = k < 2 ? r->n_dim : r->e_dim;
        copy.to = targets[k];
        copy.to_column = k == 0 ? w->n + column : column;
        repflow_copy(copy);
    }
}

static void repflow_place(const struct repflow_layout *w, const struct dgnn_repflow_params *r,
                          const struct dgnn_layer_f64 *parts, struct repflow_placed *to)
{
    int64_t n = r->n_dim, e = r->e_dim;
    const struct dgnn_matrix_f64 *self = &parts[REPFLOW_SELF].w;
    const struct dgnn_matrix_f64 *symmetric = &parts[REPFLOW_SYMMETRIC].w;
    const struct dgnn_matrix_f64 *linear2 = &parts[REPFLOW_ANGLE_LINEAR2].w;
    struct dgnn_matrix_f64 *gram = &to->matrix[REPFLOW_GRAM];
    struct repflow_copy message = {.from = &parts[REPFLOW_NODE_EDGE].w, .ncol = n};
    struct repflow_copy edge = {.from = &parts[REPFLOW_EDGE_SELF].w, .ncol = e, .to_column = w->m};
    repflow_copy((struct repflow_copy){self, 0, n, 0, n, &to->matrix[REPFLOW_CENTRE], 0, 0, NULL});
    for (int64_t h = 0; h < w->heads; h++) {
        message.from_column = h * n;
        message.to_column = h * w->n;
        repflow_place_edge(w, r, message, to);
    }
    repflow_place_edge(w, r, edge, to);
    for (int64_t q = 0; q < w->axis; q++) {
        int64_t of_nodes = w->axis * e + q * n, to_nodes = w->axis * w->e + q * w->n;
        repflow_copy((struct repflow_copy){symmetric, q * e, e, 0, n, gram, q * w->e, 0, NULL});
        repflow_copy((struct repflow_copy){symmetric, of_nodes, n, 0, n, gram, to_nodes, 0, NULL});
    }
    if (r->update_angle) {
        repflow_place_angle(w, r->a_dim, parts, REPFLOW_ANGLE_EDGE, 0, to);
        repflow_place_angle(w, r->a_dim, parts, REPFLOW_ANGLE_SELF, w->e, to);
        repflow_copy((struct repflow_copy){linear2, 0, e, 0, e, &to->matrix[REPFLOW_LINEAR2], 0, 0, NULL});
    }
}

static void repflow_bias(const struct dgnn_layer_f64 *layer, int64_t from, int64_t ncol, double *out)
{
    if (layer->bias) {
        memcpy(out, layer->bias + from, sizeof(double) * (size_t)ncol);
    }
}

static void repflow_place_biases(const struct repflow_layout *w, const struct dgnn_repflow_params *r,
                                 const struct dgnn_layer_f64 *parts, struct repflow_placed *to)
{
    double *centre = to->rows, *edge = centre + w->n + w->m, *symmetric = edge + 2 * w->e + w->a;
    repflow_bias(&parts[REPFLOW_SELF], 0, r->n_dim, centre);
    for (int64_t h = 0; h < w->heads; h++) {
        repflow_bias(&parts[REPFLOW_NODE_EDGE], h * r->n_dim, r->n_dim, centre + w->n + h * w->n);
    }
    repflow_bias(&parts[REPFLOW_EDGE_SELF], 0, r->e_dim, edge);
    repflow_bias(&parts[REPFLOW_ANGLE_EDGE], 0, r->e_dim, edge + w->e);
    repflow_bias(&parts[REPFLOW_ANGLE_SELF], 0, r->a_dim, edge + 2 * w->e);
    repflow_bias(&parts[REPFLOW_SYMMETRIC], 0, r->n_dim, symmetric);
    repflow_bias(&parts[REPFLOW_ANGLE_LINEAR2], 0, r->e_dim, symmetric + w->n);
}

/* One update's weights: constant, or with res_residual those of the archive. */
static int repflow_residual(const struct dgnn_value *item, int64_t width, double constant, double *out,
                            struct dgnn_error *error)
{
    struct dgnn_tensor tensor;
    for (int64_t c = 0; c < width; c++) {
        out[c] = constant;
    }
    if (constant > 0) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_row(item, width, &tensor, error));
    dgnn_tensor_to_double(&tensor, out);
    return DGNN_OK;
}

/* Weights of n updates and the factor of the old features: 1 / sqrt(n + 1) for all with res_avg; 1 / sqrt(n)
 * and 1 with res_incr; those of the archive and 1 with res_residual. */
static int repflow_place_residuals(const struct dgnn_value *value, const struct repflow_layout *w,
                                   const struct dgnn_dpa3_settings *s, struct repflow_placed *to,
                                   struct dgnn_error *error)
{
    const int64_t strides[3] = {w->n, w->e, w->a};
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct repflow_residuals residuals[3];
    double *row = to->rows + to->nbias;
    repflow_residuals(&s->repflow, residuals);
    for (int k = 0; k < 3; k++) {
        struct dgnn_value list = dgnn_value_member(&variables, residuals[k].name);
        double n = (double)residuals[k].count, average = 1.0 / sqrt(n + 1);
        double constant = s->style == DGNN_DPA3_AVERAGE     ? average
                          : s->style == DGNN_DPA3_INCREMENT ? 1.0 / sqrt(n)
                                                            : 0.0;
        to->keep[k] = s->style == DGNN_DPA3_AVERAGE ? average : 1;
        for (int64_t i = 0; i < residuals[k].count; i++, row += strides[k]) {
            struct dgnn_value item = dgnn_value_item(&list, i);
            DGNN_TRY(repflow_residual(&item, residuals[k].width, constant, row, error));
        }
    }
    return DGNN_OK;
}

static int repflow_place_layer(const struct dgnn_value *value, const struct repflow_layout *w,
                               struct dgnn_dpa3_settings *s, struct dgnn_layer_f64 *parts,
                               struct repflow_placed *to, struct dgnn_error *error)
{
    DGNN_TRY(repflow_check_layer(value, s, error));
    DGNN_TRY(repflow_load_parts(value, w, s, parts, error));
    DGNN_TRY(repflow_make_placed(w, &s->repflow, to, error));
    repflow_place(w, &s->repflow, parts, to);
    repflow_place_biases(w, &s->repflow, parts, to);
    return repflow_place_residuals(value, w, s, to, error);
}

/* The caller frees what is placed, also after a failure. */
static int repflow_load_layer(const struct dgnn_value *value, const struct repflow_layout *w,
                              struct dgnn_dpa3_settings *s, struct repflow_placed *to,
                              struct dgnn_error *error)
{
    struct dgnn_layer_f64 parts[REPFLOW_PARTS] = {0};
    int status = repflow_place_layer(value, w, s, parts, to, error);
    for (int k = 0; k < REPFLOW_PARTS; k++) {
        dgnn_layer_free_f64(&parts[k]);
    }
    return status;
}

/* ---------------------------------------------------------------- around the layers */

/* edge_embd (1 x e, with bias) and angle_embd (1 x a): rows of e, e and a. */
static int repflow_load_embeddings(const struct repflow_layout *w, struct dgnn_dpa3_settings *s,
                                   double **rows, struct dgnn_error *error)
{
    static const char *const names[2] = {"edge_embd", "angle_embd"};
    const int64_t width[2] = {s->repflow.e_dim, s->repflow.a_dim}, count = 2 * w->e + w->a;
    *rows = dgnn_alloc_zeroed(count, sizeof(double));
    if (!*rows) {
        return dgnn_status_no_memory(error, "weights", count * 8);
    }
    for (int k = 0; k < 2; k++) {
        struct dgnn_value member = dgnn_value_member(&s->own.repflow_variable, names[k]);
        struct dgnn_layer_f64 layer;
        DGNN_TRY(dgnn_layer_load_plain(&member, 1, width[k], w->dtype, &layer, error));
        memcpy(*rows + 2 * k * w->e, layer.w.data, sizeof(double) * (size_t)width[k]);
        repflow_bias(&layer, 0, k ? 0 : width[0], *rows + w->e);
        s->parameters += dgnn_layer_parameters_f64(&layer);
        dgnn_layer_free_f64(&layer);
    }
    return DGNN_OK;
}

/* Finds the list of the block's layers, of which there are as many as the settings say. */
static int repflow_list(const struct dgnn_dpa3_settings *s, struct dgnn_value *layers, int64_t *nlayer,
                        struct dgnn_error *error)
{
    struct repflow_variable_params variable;
    DGNN_TRY(dgnn_params_load(&s->own.repflow_variable, repflow_variable_params, REPFLOW_VARIABLE_NPARAM,
                              &variable, error));
    *layers = variable.repflow_layers;
    DGNN_TRY(dgnn_value_list(layers, nlayer, error));
    return *nlayer == s->repflow.nlayers
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, layers, "%lld layers, but nlayers is %lld",
                                   (long long)*nlayer, (long long)s->repflow.nlayers);
}

#define DGNN_REAL_BITS 32
#include "net/dpa3/repflow_load_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa3/repflow_load_body.h"
