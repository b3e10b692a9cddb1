/* Weights of the repformer block: from the archive's layout into padded matrices, of which those that always
 * follow each other become one. They are folded in float64; repformer_load_body.h casts them. */
#include <math.h>
#include <string.h>

#include "net/dpa2/repformer.h"

struct repformer_variable_params {
#include "net/params/params_fields.h"
#include "net/params/objects/repformer_variable.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_variable_rows[] = {
#define DGNN_PARAM_STRUCT struct repformer_variable_params
#include "net/params/params_rows.h"
#include "net/params/objects/repformer_variable.def"
#include "net/params/params_end.h"
};

struct repformer_map_params {
#include "net/params/params_fields.h"
#include "net/params/objects/attention_pair.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_map_rows[] = {
#define DGNN_PARAM_STRUCT struct repformer_map_params
#include "net/params/params_rows.h"
#include "net/params/objects/attention_pair.def"
#include "net/params/params_end.h"
};

struct repformer_apply_params {
#include "net/params/params_fields.h"
#include "net/params/objects/attention_value.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_apply_rows[] = {
#define DGNN_PARAM_STRUCT struct repformer_apply_params
#include "net/params/params_rows.h"
#include "net/params/objects/attention_value.def"
#include "net/params/params_end.h"
};

struct repformer_equivariant_params {
#include "net/params/params_fields.h"
#include "net/params/objects/attention_vector.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_equivariant_rows[] = {
#define DGNN_PARAM_STRUCT struct repformer_equivariant_params
#include "net/params/params_rows.h"
#include "net/params/objects/attention_vector.def"
#include "net/params/params_end.h"
};

struct repformer_local_params {
#include "net/params/params_fields.h"
#include "net/params/objects/attention_node.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_local_rows[] = {
#define DGNN_PARAM_STRUCT struct repformer_local_params
#include "net/params/params_rows.h"
#include "net/params/objects/attention_node.def"
#include "net/params/params_end.h"
};

#define REPFORMER_COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

/* Of smooth attention's logits; deepmd-kit makes no other, and the tables refuse one. */
#define REPFORMER_SHIFT 20.0

enum { REPFORMER_HIDDEN_MAX = 1 << 16 };

/* ---------------------------------------------------------------- a layer, placed */

enum { REPFORMER_PARTS_MAX = 12, REPFORMER_MAPS = 8, REPFORMER_ROWS = 11 };

/* A layer in float64, without transposes, and what it is made of. */
struct repformer_placed {
    struct dgnn_repformer_layer_params params;
    struct dgnn_layer_f64 part[REPFORMER_PARTS_MAX]; /* the archive's */
    int64_t npart;
    struct dgnn_repformer_layer_f64 layer;
};

static void repformer_layer_free_f64(struct dgnn_repformer_layer_f64 *layer); /* repformer_load_body.h */
static void repformer_members_f64(struct dgnn_repformer_layer_f64 *layer,
                                  struct dgnn_repformer_map_f64 *maps[REPFORMER_MAPS],
                                  double **rows[REPFORMER_ROWS]);

static void repformer_free_placed(struct repformer_placed *to)
{
    for (int64_t k = 0; k < to->npart; k++) {
        dgnn_layer_free_f64(&to->part[k]);
    }
    repformer_layer_free_f64(&to->layer);
}

/* What a layer is loaded for. */
struct repformer_load {
    const struct dgnn_repformer_shape *shape;
    const struct dgnn_repformer_context *context;
    int64_t lanes;
    int32_t dtype;
    struct dgnn_error *error;
};

static int64_t repformer_pad(const struct repformer_load *l, int64_t width)
{
    return dgnn_table_pad(width, l->lanes);
}

static int repformer_map(const struct repformer_load *l, int64_t nrow, int64_t ncol,
                         struct dgnn_matrix_f64 *map)
{
    return dgnn_layer_matrix_f64(nrow, repformer_pad(l, ncol), map, l->error);
}

static int repformer_row(const struct repformer_load *l, int64_t n, double **row)
{
    *row = dgnn_alloc_zeroed(n, sizeof(double));
    return *row ? DGNN_OK : dgnn_status_no_memory(l->error, "weights", n * (int64_t)sizeof(double));
}

/* A layer of the archive that is nothing but a product, or with bias a product and perhaps a bias. */
static int repformer_part(const struct repformer_load *l, const struct dgnn_value *value,
                          const int64_t size[2], int bias, struct repformer_placed *to,
                          const struct dgnn_layer_f64 **part)
{
    struct dgnn_layer_f64 *layer = &to->part[to->npart];
    DGNN_TRY(dgnn_layer_load_plain(value, size[0], size[1], l->dtype, layer, l->error));
    to->npart++;
    to->layer.parameters += dgnn_layer_parameters_f64(layer);
    *part = layer;
    return bias || !layer->bias ? DGNN_OK
                                : dgnn_value_refuse(l->error, DGNN_ERROR_UNSUPPORTED, value,
                                                    "has a bias, which deepmd-kit never gives it");
}

/* The bias of a part as a row of its own. */
static int repformer_bias(const struct repformer_load *l, const struct dgnn_layer_f64 *part, double **row)
{
    DGNN_TRY(repformer_row(l, part->w.ncol, row));
    if (part->bias) {
        memcpy(*row, part->bias, sizeof(double) * (size_t)part->w.ncol);
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- attentions */

/* Width and heads of an attention must be the layer's. */
static int repformer_attention_check(const struct dgnn_value *value, int64_t input, int64_t heads,
                                     const int64_t expected[2], struct dgnn_error *error)
{
    if (input == expected[0] && heads == expected[1]) {
        return DGNN_OK;
    }
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                             "input_dim %lld, head_num %lld: expected %lld and %lld", (long long)input,
                             (long long)heads, (long long)expected[0], (long long)expected[1]);
}

static int repformer_hidden_check(const struct dgnn_value *value, int64_t hidden, struct dgnn_error *error)
{
    return hidden >= 1 && hidden <= REPFORMER_HIDDEN_MAX
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "hidden_dim is %lld, expected 1 to 65536",
                                   (long long)hidden);
}

static const char repformer_owner[] = "the layer";

static int repformer_map_load(const struct dgnn_value *value, int64_t input,
                              const struct dgnn_repformer_switches *s, struct repformer_map_params *params,
                              struct dgnn_error *error)
{
    const int64_t expected[2] = {input, s->pair_heads};
    DGNN_TRY(dgnn_params_load(value, repformer_map_rows, REPFORMER_COUNT(repformer_map_rows), params, error));
    DGNN_TRY(repformer_attention_check(value, params->input_dim, params->head_num, expected, error));
    DGNN_TRY(repformer_hidden_check(value, params->hidden_dim, error));
    DGNN_TRY(dgnn_params_same_bool(&params->has_gate, s->has_gate, repformer_owner, error));
    return dgnn_params_same_bool(&params->smooth, s->smooth, repformer_owner, error);
}

static int repformer_apply_load(const struct dgnn_value *value, int64_t input, int64_t heads,
                                struct repformer_apply_params *params, struct dgnn_error *error)
{
    const int64_t expected[2] = {input, heads};
    DGNN_TRY(
        dgnn_params_load(value, repformer_apply_rows, REPFORMER_COUNT(repformer_apply_rows), params, error));
    return repformer_attention_check(value, params->input_dim, params->head_num, expected, error);
}

static int repformer_equivariant_load(const struct dgnn_value *value, int64_t input, int64_t heads,
                                      struct repformer_equivariant_params *params, struct dgnn_error *error)
{
    const int64_t expected[2] = {input, heads};
    DGNN_TRY(dgnn_params_load(value, repformer_equivariant_rows, REPFORMER_COUNT(repformer_equivariant_rows),
                              params, error));
    return repformer_attention_check(value, params->input_dim, params->head_num, expected, error);
}

static int repformer_local_load(const struct dgnn_value *value, int64_t input,
                                const struct dgnn_repformer_switches *s,
                                struct repformer_local_params *params, struct dgnn_error *error)
{
    const int64_t expected[2] = {input, s->node_heads};
    DGNN_TRY(
        dgnn_params_load(value, repformer_local_rows, REPFORMER_COUNT(repformer_local_rows), params, error));
    DGNN_TRY(repformer_attention_check(value, params->input_dim, params->head_num, expected, error));
    DGNN_TRY(repformer_hidden_check(value, params->hidden_dim, error));
    return dgnn_params_same_bool(&params->smooth, s->smooth, repformer_owner, error);
}

/* Entry a's term k is at[a * step + k * term]. */
struct repformer_entries {
    const double *at;
    int64_t step, term;
};

/* One head's product of two weights: to[a][b] = scale sum_k left(a, k) right(b, k). */
struct repformer_fold {
    struct repformer_entries left, right;
    int64_t nterm, width;
    double scale;
};

static void repformer_fold(const struct repformer_fold *fold, double *to, int64_t stride)
{
    const struct repformer_entries *left = &fold->left, *right = &fold->right;
    for (int64_t a = 0; a < fold->width; a++) {
        for (int64_t b = 0; b < fold->width; b++) {
            double sum = 0;
            for (int64_t k = 0; k < fold->nterm; k++) {
                sum +=
                    left->at[a * left->step + k * left->term] * right->at[b * right->step + k * right->term];
            }
            to[a * stride + b] = sum * fold->scale;
        }
    }
}

/* Queries and keys of the pairs' attention: columns (hidden, heads of queries then keys), heads fastest. */
static int repformer_pair_form(const struct repformer_load *l, const struct dgnn_value *value,
                               struct repformer_placed *to)
{
    struct dgnn_repformer_switches *s = &to->layer.s;
    struct dgnn_matrix_f64 *map = &to->layer.pair_heads.w;
    struct repformer_map_params attention;
    const struct dgnn_layer_f64 *both;
    int64_t ng2 = l->shape->ng2, heads = s->pair_heads;
    DGNN_TRY(repformer_map_load(value, ng2, s, &attention, l->error));
    s->pair_shift = REPFORMER_SHIFT;
    const int64_t size[2] = {ng2, attention.hidden_dim * 2 * heads};
    DGNN_TRY(repformer_part(l, &attention.mapqk, size, 0, to, &both));
    for (int64_t h = 0; h < heads; h++) {
        struct repformer_fold fold = {.left = {both->w.data + h, both->w.stride, 2 * heads},
                                      .right = {both->w.data + heads + h, both->w.stride, 2 * heads},
                                      .nterm = attention.hidden_dim,
                                      .width = ng2,
                                      .scale = 1 / sqrt((double)attention.hidden_dim)};
        repformer_fold(&fold, map->data + h * repformer_pad(l, ng2), map->stride);
    }
    return DGNN_OK;
}

/* Values and the map of heads of the pairs' attention: columns, then rows, (g2, heads), heads fastest. */
static int repformer_pair_value(const struct repformer_load *l, const struct dgnn_value *value,
                                struct repformer_placed *to)
{
    struct dgnn_matrix_f64 *map = &to->layer.pair_heads.w;
    struct repformer_apply_params attention;
    const struct dgnn_layer_f64 *left, *right;
    int64_t ng2 = l->shape->ng2, heads = to->layer.s.pair_heads;
    const int64_t sizes[2][2] = {{ng2, ng2 * heads}, {ng2 * heads, ng2}};
    DGNN_TRY(repformer_apply_load(value, ng2, heads, &attention, l->error));
    DGNN_TRY(repformer_part(l, &attention.mapv, sizes[0], 0, to, &left));
    DGNN_TRY(repformer_part(l, &attention.head_map, sizes[1], 1, to, &right));
    for (int64_t h = 0; h < heads; h++) {
        struct repformer_fold fold = {
            .left = {left->w.data + h, left->w.stride, heads},
            .right = {right->w.data + h * right->w.stride, 1, heads * right->w.stride},
            .nterm = ng2,
            .width = ng2,
            .scale = 1};
        repformer_fold(&fold, map->data + (heads + h) * repformer_pad(l, ng2), map->stride);
    }
    return repformer_bias(l, right, &to->layer.pair_attn_bias);
}

static int repformer_norm(const struct repformer_load *l, const struct dgnn_value *value,
                          struct repformer_placed *to)
{
    struct dgnn_layer_norm norm;
    int64_t ng2 = l->shape->ng2;
    int status = dgnn_layer_norm_load(value, ng2, &norm, l->error);
    to->layer.norm_epsilon = norm.epsilon;
    to->layer.parameters += 2 * ng2;
    to->layer.norm_scale = norm.scale;
    to->layer.norm_shift = norm.shift;
    return status;
}

static int repformer_vector(const struct repformer_load *l, const struct dgnn_value *value,
                            struct repformer_placed *to)
{
    struct repformer_equivariant_params attention;
    const struct dgnn_layer_f64 *weights;
    const int64_t size[2] = {to->layer.s.pair_heads, 1};
    DGNN_TRY(repformer_equivariant_load(value, l->shape->ng2, size[0], &attention, l->error));
    DGNN_TRY(repformer_part(l, &attention.head_map, size, 0, to, &weights));
    DGNN_TRY(repformer_row(l, size[0], &to->layer.vector_weight));
    for (int64_t h = 0; h < size[0]; h++) {
        to->layer.vector_weight[h] = weights->w.data[h * weights->w.stride];
    }
    return DGNN_OK;
}

static int repformer_pair_attention(const struct repformer_load *l, struct repformer_placed *to)
{
    const struct dgnn_repformer_layer_params *p = &to->params;
    const struct dgnn_repformer_switches *s = &to->layer.s;
    int64_t ng2 = l->shape->ng2, n = (s->has_pair_attn ? 2 : 1) * s->pair_heads * repformer_pad(l, ng2);
    DGNN_TRY(repformer_map(l, ng2, n, &to->layer.pair_heads.w));
    DGNN_TRY(repformer_pair_form(l, &p->attn2g_map, to));
    if (s->has_pair_attn) {
        DGNN_TRY(repformer_pair_value(l, &p->attn2_mh_apply, to));
        DGNN_TRY(repformer_norm(l, &p->attn2_lm, to));
    }
    return s->has_vector ? repformer_vector(l, &p->attn2_ev_apply, to) : DGNN_OK;
}

/* Queries: columns (hidden, heads); keys and values: (hidden then g1, heads); heads fastest. Rows of the map
 * of heads: (heads, g1). */
static void repformer_node_fold(const struct repformer_load *l, const struct dgnn_layer_f64 *const part[3],
                                int64_t hidden, struct repformer_placed *to)
{
    struct dgnn_matrix_f64 *form = &to->layer.node_form.w, *value = &to->layer.node_value.w;
    const struct dgnn_matrix_f64 *q = &part[0]->w, *kv = &part[1]->w, *join = &part[2]->w;
    int64_t heads = to->layer.s.node_heads, ng1 = l->shape->ng1, pad = repformer_pad(l, ng1);
    for (int64_t h = 0; h < heads; h++) {
        struct repformer_fold logits = {.left = {q->data + h, q->stride, heads},
                                        .right = {kv->data + h, kv->stride, heads},
                                        .nterm = hidden,
                                        .width = ng1,
                                        .scale = 1 / sqrt((double)hidden)};
        struct repformer_fold values = {.left = {kv->data + hidden * heads + h, kv->stride, heads},
                                        .right = {join->data + h * ng1 * join->stride, 1, join->stride},
                                        .nterm = ng1,
                                        .width = ng1,
                                        .scale = 1};
        repformer_fold(&logits, form->data + h * pad, form->stride);
        repformer_fold(&values, value->data + h * pad * value->stride, value->stride);
    }
}

static int repformer_node_attention(const struct repformer_load *l, struct repformer_placed *to)
{
    struct dgnn_repformer_switches *s = &to->layer.s;
    struct repformer_local_params attention;
    const struct dgnn_layer_f64 *part[3];
    int64_t ng1 = l->shape->ng1, heads = s->node_heads, n = heads * repformer_pad(l, ng1);
    DGNN_TRY(repformer_local_load(&to->params.loc_attn, ng1, s, &attention, l->error));
    s->node_shift = REPFORMER_SHIFT;
    const struct dgnn_value *values[3] = {&attention.mapq, &attention.mapkv, &attention.head_map};
    const int64_t sizes[3][2] = {
        {ng1, attention.hidden_dim * heads}, {ng1, (attention.hidden_dim + ng1) * heads}, {ng1 * heads, ng1}};
    for (int k = 0; k < 3; k++) {
        DGNN_TRY(repformer_part(l, values[k], sizes[k], k == 2, to, &part[k]));
    }
    DGNN_TRY(repformer_map(l, ng1, n, &to->layer.node_form.w));
    DGNN_TRY(repformer_map(l, n, ng1, &to->layer.node_value.w));
    repformer_node_fold(l, part, attention.hidden_dim, to);
    return repformer_bias(l, part[2], &to->layer.node_attn_bias);
}

/* ---------------------------------------------------------------- updates */

/* Numbers of an update's factor: at least one row. */
static int64_t repformer_nfactor(const struct dgnn_repformer_update_f64 *update)
{
    return (update->n ? update->n : 1) * update->width;
}

/* Residual weights: a list of rows of width numbers, one for each update. */
static int repformer_residual(const struct repformer_load *l, const struct dgnn_value *list, int64_t width,
                              struct dgnn_repformer_update_f64 *update)
{
    int64_t count;
    if (update->n == 0 && dgnn_value_kind(list) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(list, &count, l->error));
    if (count != update->n) {
        return dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, list,
                                 "%lld rows, expected one for each of %lld updates", (long long)count,
                                 (long long)update->n);
    }
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        struct dgnn_tensor tensor;
        DGNN_TRY(dgnn_params_row(&item, width, &tensor, l->error));
        dgnn_tensor_to_double(&tensor, update->factor + k * update->width);
    }
    return DGNN_OK;
}

/* Weights of n updates and of the old row: 1 / sqrt(n + 1) for all with res_avg; 1 / sqrt(n) and 1 with
 * res_incr; those of the list name and 1 with res_residual. */
static int repformer_update(const struct repformer_load *l, const struct dgnn_value *value, const char *name,
                            const char *style, int64_t width, struct dgnn_repformer_update_f64 *update)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value list = dgnn_value_member(&variables, name);
    int64_t n = update->n;
    double each = n ? 1 / sqrt((double)n) : 0;
    update->start = 1;
    update->width = repformer_pad(l, width);
    DGNN_TRY(repformer_row(l, repformer_nfactor(update), &update->factor));
    if (!strcmp(style, "res_residual")) {
        return repformer_residual(l, &list, width, update);
    }
    if (!strcmp(style, "res_avg")) {
        update->start = each = 1 / sqrt((double)(n + 1));
    } else if (strcmp(style, "res_incr")) {
        return dgnn_value_refuse(
            l->error, DGNN_ERROR_UNSUPPORTED, value,
            "updates join as '%s', which is not known; known: res_avg, res_incr, res_residual", style);
    }
    for (int64_t at = 0; at < n * update->width; at++) {
        update->factor[at] = at % update->width < width ? each : 0;
    }
    return DGNN_OK;
}

/* ---------------------------------------------------------------- a layer */

/* An affine map. bias: NULL where there must be none. */
static int repformer_affine(const struct repformer_load *l, const struct dgnn_value *value,
                            const int64_t size[2], struct repformer_placed *to, struct dgnn_matrix_f64 *map,
                            double **bias)
{
    const struct dgnn_layer_f64 *part;
    DGNN_TRY(repformer_part(l, value, size, bias != NULL, to, &part));
    DGNN_TRY(repformer_map(l, size[0], size[1], map));
    for (int64_t r = 0; r < part->w.nrow; r++) {
        memcpy(map->data + r * map->stride, part->w.data + r * part->w.stride,
               sizeof(double) * (size_t)part->w.ncol);
    }
    return bias ? repformer_bias(l, part, bias) : DGNN_OK;
}

static int repformer_place_maps(const struct repformer_load *l, struct repformer_placed *to)
{
    const struct dgnn_repformer_layer_params *p = &to->params;
    const struct dgnn_repformer_switches *s = &to->layer.s;
    int64_t ng1 = l->shape->ng1, ng2 = l->shape->ng2;
    to->layer.common_width = (s->self_out ? 0 : ng1) + (s->has_conv && !s->conv_out ? ng2 : 0) +
                             (s->has_grrg ? s->axis * ng2 : 0) + (s->has_drrd ? s->axis * ng1 : 0);
    const struct {
        int is_used;
        const struct dgnn_value *value;
        int64_t size[2];
        struct dgnn_matrix_f64 *map;
        double **bias; /* or NULL, where there must be none */
    } all[] = {
        {1, &p->linear1, {to->layer.common_width, ng1}, &to->layer.common.w, &to->layer.common_bias},
        {s->self_out, &p->g1_self_mlp, {ng1, ng1}, &to->layer.self.w, &to->layer.self_bias},
        {s->has_pair, &p->linear2, {ng2, ng2}, &to->layer.pair.w, &to->layer.pair_bias},
        {s->has_conv && s->conv_out, &p->proj_g1g2, {ng2, ng1}, &to->layer.conv.w, NULL},
        {s->has_conv && !s->conv_out, &p->proj_g1g2, {ng1, ng2}, &to->layer.conv.w, NULL},
        {s->has_product, &p->proj_g1g1g2, {ng1, ng2}, &to->layer.product.w, NULL},
    };
    for (size_t k = 0; k < REPFORMER_COUNT(all); k++) {
        DGNN_TRY(all[k].is_used ? repformer_affine(l, all[k].value, all[k].size, to, all[k].map, all[k].bias)
                                : DGNN_OK);
    }
    return DGNN_OK;
}

/* The caller frees what is placed, also after a failure. */
static int repformer_place(const struct repformer_load *l, const struct dgnn_value *value, int last,
                           struct repformer_placed *to)
{
    struct dgnn_repformer_layer_f64 *layer = &to->layer;
    struct dgnn_repformer_layer_settings settings;
    DGNN_TRY(dgnn_repformer_layer_settings(value, l->shape, l->context, last, &settings, l->error));
    const struct dgnn_repformer_switches *s = &settings.switches;
    to->params = settings.params;
    layer->s = settings.switches;
    layer->g1.n = s->self_out + (s->has_conv && s->conv_out) + 1 + s->has_attn;
    layer->g2.n = s->has_pair ? 1 + s->has_product + s->has_pair_attn : 0;
    layer->h2.n = s->has_vector;
    DGNN_TRY(repformer_place_maps(l, to));
    DGNN_TRY(s->has_pair_attn || s->has_vector ? repformer_pair_attention(l, to) : DGNN_OK);
    DGNN_TRY(s->has_attn ? repformer_node_attention(l, to) : DGNN_OK);
    DGNN_TRY(repformer_update(l, value, "g1_residual", s->style, l->shape->ng1, &layer->g1));
    DGNN_TRY(repformer_update(l, value, "g2_residual", s->style, l->shape->ng2, &layer->g2));
    return repformer_update(l, value, "h2_residual", s->style, 1, &layer->h2);
}

/* ---------------------------------------------------------------- around the layers */

static int repformer_load_statistics(const struct repformer_load *l, const struct dgnn_value *variable,
                                     struct dgnn_environment *environment, struct dgnn_activation *activation)
{
    struct dgnn_value statistics = dgnn_value_member(variable, "@variables");
    struct repformer_variable_params params;
    *environment = (struct dgnn_environment){.cutoff = l->shape->cutoff,
                                             .switch_start = l->shape->switch_start,
                                             .protection = l->context->protection,
                                             .width = 4,
                                             .ntypes = l->context->ntypes,
                                             .nsection = 1};
    DGNN_TRY(dgnn_params_load(variable, repformer_variable_rows, REPFORMER_COUNT(repformer_variable_rows),
                              &params, l->error));
    DGNN_TRY(dgnn_params_activation(l->shape->activation, variable, activation, l->error));
    dgnn_activation_as_descriptor(activation);
    return dgnn_environment_load(environment, &statistics, &l->shape->slots, l->error);
}

static int repformer_list(const struct repformer_load *l, const struct dgnn_value *variable,
                          struct dgnn_value *layers)
{
    int64_t count;
    *layers = dgnn_value_member(variable, "repformer_layers");
    DGNN_TRY(dgnn_value_list(layers, &count, l->error));
    return count == l->shape->nlayer
               ? DGNN_OK
               : dgnn_value_refuse(l->error, DGNN_ERROR_FORMAT, layers, "%lld layers, expected %lld",
                                   (long long)count, (long long)l->shape->nlayer);
}

#define DGNN_REAL_BITS 32
#include "net/dpa2/repformer_load_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repformer_load_body.h"
