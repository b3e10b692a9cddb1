/* Weights of the repformer block. */
#include "base/real.h"

static void REAL(repformer_map_free)(struct REAL(dgnn_repformer_map) * map)
{
    REAL(dgnn_layer_matrix_free)(&map->w);
    REAL(dgnn_layer_matrix_free)(&map->transposed);
}

static int REAL(repformer_map_make)(int64_t nrow, int64_t ncol, struct REAL(dgnn_repformer_map) * map,
                                    struct dgnn_error *error)
{
    return REAL(dgnn_layer_matrix)(nrow, dgnn_table_pad(ncol, REAL_LANES), &map->w, error);
}

/* After w is filled. The transpose's columns are padded too, so that rows that it makes have zeros there. */
static int REAL(repformer_map_turn)(struct REAL(dgnn_repformer_map) * map, struct dgnn_error *error)
{
    int64_t nrow = map->w.nrow, ncol = map->w.ncol;
    DGNN_TRY(REAL(dgnn_layer_matrix)(ncol, dgnn_table_pad(nrow, REAL_LANES), &map->transposed, error));
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = 0; c < ncol; c++) {
            map->transposed.data[c * map->transposed.stride + r] = map->w.data[r * map->w.stride + c];
        }
    }
    return DGNN_OK;
}

static int REAL(repformer_row)(int64_t n, real **out, struct dgnn_error *error)
{
    *out = dgnn_alloc_zeroed(dgnn_table_pad(n, REAL_LANES), sizeof(real));
    return *out ? DGNN_OK : dgnn_status_no_memory(error, "weights", n * (int64_t)sizeof(real));
}

/* A layer that is nothing but a product and perhaps a bias. */
static int REAL(repformer_plain)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                 struct REAL(dgnn_layer) * layer, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_load)(value, nin, nout, layer, error));
    if (layer->activation.kind == DGNN_ACTIVATION_LINEAR && !layer->idt && !layer->residual) {
        return DGNN_OK;
    }
    REAL(dgnn_layer_free)(layer);
    return dgnn_value_refuse(
        error, DGNN_ERROR_UNSUPPORTED, value,
        "has an activation, a time step or a skip connection, which deepmd-kit never gives it");
}

/* An affine map with padded columns. bias: NULL where there must be none. */
static int REAL(repformer_affine)(const struct dgnn_value *value, int64_t nin, int64_t nout,
                                  struct REAL(dgnn_repformer_map) * map, real **bias, int64_t *parameters,
                                  struct dgnn_error *error)
{
    struct REAL(dgnn_layer) layer;
    DGNN_TRY(REAL(repformer_plain)(value, nin, nout, &layer, error));
    int status = REAL(repformer_map_make)(nin, nout, map, error);
    if (!status) {
        for (int64_t r = 0; r < nin; r++) {
            memcpy(map->w.data + r * map->w.stride, layer.w.data + r * layer.w.stride,
                   sizeof(real) * (size_t)nout);
        }
        status = REAL(repformer_map_turn)(map, error);
    }
    if (!status && bias) {
        status = REAL(repformer_row)(nout, bias, error);
        if (!status && layer.bias) {
            memcpy(*bias, layer.bias, sizeof(real) * (size_t)nout);
        }
    }
    *parameters += REAL(dgnn_layer_parameters)(&layer);
    REAL(dgnn_layer_free)(&layer);
    return status;
}

/* ---------------------------------------------------------------- attentions */

/* One head's product of two weights: out[a][b] = scale sum_k left[a][column of k] right[b][column of k], or
 * with right_rows right[row of k][b]. */
struct REAL(repformer_fold) {
    const struct REAL(dgnn_matrix) * left, *right;
    int64_t n;                       /* terms */
    int64_t left_first, left_step;   /* columns of left */
    int64_t right_first, right_step; /* columns of right, or rows with right_rows */
    int right_rows;
    double scale;
    int64_t na, nb;
};

static double REAL(repformer_fold_at)(const struct REAL(repformer_fold) * fold, int64_t a, int64_t b)
{
    double sum = 0;
    for (int64_t k = 0; k < fold->n; k++) {
        int64_t place = fold->right_first + k * fold->right_step;
        double l = (double)fold->left->data[a * fold->left->stride + fold->left_first + k * fold->left_step];
        double r = (double)(fold->right_rows ? fold->right->data[place * fold->right->stride + b]
                                             : fold->right->data[b * fold->right->stride + place]);
        sum += l * r;
    }
    return sum * fold->scale;
}

static void REAL(repformer_fold_into)(const struct REAL(repformer_fold) * fold, real *out, int64_t stride)
{
    for (int64_t a = 0; a < fold->na; a++) {
        for (int64_t b = 0; b < fold->nb; b++) {
            out[a * stride + b] = (real)REAL(repformer_fold_at)(fold, a, b);
        }
    }
}

/* Queries and keys of the pairs' attention: columns (hidden, heads of queries then keys), heads fastest. */
static int REAL(repformer_pair_form)(const struct dgnn_value *value,
                                     struct REAL(dgnn_repformer_layer) * layer, int64_t ng2,
                                     struct dgnn_error *error)
{
    struct repformer_map_params attention;
    struct REAL(dgnn_layer) weights;
    int64_t heads = layer->s.pair_heads, pad = dgnn_table_pad(ng2, REAL_LANES);
    DGNN_TRY(repformer_map_load(value, ng2, &layer->s, &attention, error));
    layer->s.pair_shift = REPFORMER_SHIFT;
    DGNN_TRY(REAL(repformer_plain)(&attention.mapqk, ng2, attention.hidden_dim * 2 * heads, &weights, error));
    for (int64_t h = 0; h < heads; h++) {
        struct REAL(repformer_fold) fold = {.left = &weights.w,
                                            .right = &weights.w,
                                            .n = attention.hidden_dim,
                                            .left_first = h,
                                            .left_step = 2 * heads,
                                            .right_first = heads + h,
                                            .right_step = 2 * heads,
                                            .scale = 1 / sqrt((double)attention.hidden_dim),
                                            .na = ng2,
                                            .nb = ng2};
        REAL(repformer_fold_into)(&fold, layer->pair_heads.w.data + h * pad, layer->pair_heads.w.stride);
    }
    layer->parameters += REAL(dgnn_layer_parameters)(&weights);
    REAL(dgnn_layer_free)(&weights);
    return DGNN_OK;
}

/* Values and the map of heads of the pairs' attention: columns, then rows, (g2, heads), heads fastest. */
static int REAL(repformer_pair_value)(const struct dgnn_value *value,
                                      struct REAL(dgnn_repformer_layer) * layer, int64_t ng2,
                                      struct dgnn_error *error)
{
    struct repformer_apply_params attention;
    struct REAL(dgnn_layer) left, right;
    int64_t heads = layer->s.pair_heads, pad = dgnn_table_pad(ng2, REAL_LANES);
    DGNN_TRY(repformer_apply_load(value, ng2, heads, &attention, error));
    DGNN_TRY(REAL(repformer_row)(ng2, &layer->pair_attn_bias, error));
    DGNN_TRY(REAL(repformer_plain)(&attention.mapv, ng2, ng2 * heads, &left, error));
    int status = REAL(repformer_plain)(&attention.head_map, ng2 * heads, ng2, &right, error);
    for (int64_t h = 0; h < heads && !status; h++) {
        struct REAL(repformer_fold) fold = {.left = &left.w,
                                            .right = &right.w,
                                            .n = ng2,
                                            .left_first = h,
                                            .left_step = heads,
                                            .right_first = h,
                                            .right_step = heads,
                                            .right_rows = 1,
                                            .scale = 1,
                                            .na = ng2,
                                            .nb = ng2};
        REAL(repformer_fold_into)(&fold, layer->pair_heads.w.data + (heads + h) * pad,
                                  layer->pair_heads.w.stride);
    }
    if (!status) {
        if (right.bias) {
            memcpy(layer->pair_attn_bias, right.bias, sizeof(real) * (size_t)ng2);
        }
        layer->parameters += REAL(dgnn_layer_parameters)(&left) + REAL(dgnn_layer_parameters)(&right);
        REAL(dgnn_layer_free)(&right);
    }
    REAL(dgnn_layer_free)(&left);
    return status;
}

static int REAL(repformer_norm)(const struct dgnn_value *value, struct REAL(dgnn_repformer_layer) * layer,
                                int64_t ng2, struct dgnn_error *error)
{
    struct dgnn_layer_norm norm;
    DGNN_TRY(dgnn_layer_norm_load(value, ng2, &norm, error));
    layer->norm_epsilon = norm.epsilon;
    layer->parameters += 2 * ng2;
    DGNN_TRY(REAL(repformer_row)(ng2, &layer->norm_scale, error));
    DGNN_TRY(REAL(repformer_row)(ng2, &layer->norm_shift, error));
    for (int64_t c = 0; c < ng2; c++) {
        layer->norm_scale[c] = 1;
    }
    if (norm.has_weights) {
        REAL(dgnn_layer_convert)(&norm.weight, layer->norm_scale);
        REAL(dgnn_layer_convert)(&norm.bias, layer->norm_shift);
    }
    return DGNN_OK;
}

static int REAL(repformer_vector)(const struct dgnn_value *value, struct REAL(dgnn_repformer_layer) * layer,
                                  int64_t ng2, struct dgnn_error *error)
{
    struct repformer_equivariant_params attention;
    struct REAL(dgnn_layer) weights;
    int64_t heads = layer->s.pair_heads;
    DGNN_TRY(repformer_equivariant_load(value, ng2, heads, &attention, error));
    DGNN_TRY(REAL(repformer_row)(heads, &layer->vector_weight, error));
    DGNN_TRY(REAL(repformer_plain)(&attention.head_map, heads, 1, &weights, error));
    for (int64_t h = 0; h < heads; h++) {
        layer->vector_weight[h] = weights.w.data[h * weights.w.stride];
    }
    layer->parameters += heads;
    REAL(dgnn_layer_free)(&weights);
    return DGNN_OK;
}

static int REAL(repformer_pair_attention)(const struct repformer_layer_params *p, int64_t ng2,
                                          struct REAL(dgnn_repformer_layer) * layer, struct dgnn_error *error)
{
    int64_t heads = layer->s.pair_heads, pad = dgnn_table_pad(ng2, REAL_LANES);
    DGNN_TRY(REAL(repformer_map_make)(ng2, (layer->s.has_pair_attn ? 2 : 1) * heads * pad, &layer->pair_heads,
                                      error));
    DGNN_TRY(REAL(repformer_pair_form)(&p->attn2g_map, layer, ng2, error));
    if (layer->s.has_pair_attn) {
        DGNN_TRY(REAL(repformer_pair_value)(&p->attn2_mh_apply, layer, ng2, error));
        DGNN_TRY(REAL(repformer_norm)(&p->attn2_lm, layer, ng2, error));
    }
    if (layer->s.has_vector) {
        DGNN_TRY(REAL(repformer_vector)(&p->attn2_ev_apply, layer, ng2, error));
    }
    return REAL(repformer_map_turn)(&layer->pair_heads, error);
}

/* Queries: columns (hidden, heads); keys and values: (hidden then g1, heads); heads fastest. Rows of the map
 * of heads: (heads, g1). */
static void REAL(repformer_node_fold)(const struct REAL(dgnn_layer) * weights, int64_t hidden, int64_t ng1,
                                      struct REAL(dgnn_repformer_layer) * layer)
{
    int64_t heads = layer->s.node_heads, pad = dgnn_table_pad(ng1, REAL_LANES);
    for (int64_t h = 0; h < heads; h++) {
        struct REAL(repformer_fold) form = {.left = &weights[0].w,
                                            .right = &weights[1].w,
                                            .n = hidden,
                                            .left_first = h,
                                            .left_step = heads,
                                            .right_first = h,
                                            .right_step = heads,
                                            .scale = 1 / sqrt((double)hidden),
                                            .na = ng1,
                                            .nb = ng1};
        struct REAL(repformer_fold) value = {.left = &weights[1].w,
                                             .right = &weights[2].w,
                                             .n = ng1,
                                             .left_first = hidden * heads + h,
                                             .left_step = heads,
                                             .right_first = h * ng1,
                                             .right_step = 1,
                                             .right_rows = 1,
                                             .scale = 1,
                                             .na = ng1,
                                             .nb = ng1};
        REAL(repformer_fold_into)(&form, layer->node_form.w.data + h * pad, layer->node_form.w.stride);
        REAL(repformer_fold_into)(&value, layer->node_value.w.data + h * pad * layer->node_value.w.stride,
                                  layer->node_value.w.stride);
    }
}

static int REAL(repformer_node_attention)(const struct repformer_layer_params *p, int64_t ng1,
                                          struct REAL(dgnn_repformer_layer) * layer, struct dgnn_error *error)
{
    int64_t heads = layer->s.node_heads, pad = dgnn_table_pad(ng1, REAL_LANES);
    struct REAL(dgnn_layer) weights[3];
    memset(weights, 0, sizeof(weights));
    struct repformer_local_params attention;
    DGNN_TRY(repformer_local_load(&p->loc_attn, ng1, &layer->s, &attention, error));
    const struct dgnn_value *parts[3] = {&attention.mapq, &attention.mapkv, &attention.head_map};
    layer->s.node_shift = REPFORMER_SHIFT;
    DGNN_TRY(REAL(repformer_map_make)(ng1, heads * pad, &layer->node_form, error));
    DGNN_TRY(REAL(repformer_map_make)(heads * pad, ng1, &layer->node_value, error));
    DGNN_TRY(REAL(repformer_row)(ng1, &layer->node_attn_bias, error));
    int64_t nin[3] = {ng1, ng1, ng1 * heads};
    int64_t nout[3] = {attention.hidden_dim * heads, (attention.hidden_dim + ng1) * heads, ng1};
    int status = DGNN_OK;
    for (int k = 0; k < 3 && !status; k++) {
        status = REAL(repformer_plain)(parts[k], nin[k], nout[k], &weights[k], error);
    }
    if (!status) {
        REAL(repformer_node_fold)(weights, attention.hidden_dim, ng1, layer);
        if (weights[2].bias) {
            memcpy(layer->node_attn_bias, weights[2].bias, sizeof(real) * (size_t)ng1);
        }
    }
    for (int k = 0; k < 3; k++) {
        layer->parameters += REAL(dgnn_layer_parameters)(&weights[k]);
        REAL(dgnn_layer_free)(&weights[k]);
    }
    DGNN_TRY(status);
    DGNN_TRY(REAL(repformer_map_turn)(&layer->node_form, error));
    return REAL(repformer_map_turn)(&layer->node_value, error);
}

/* ---------------------------------------------------------------- updates */

/* Residual weights: a list of n rows of width numbers. */
static int REAL(repformer_residual)(const struct dgnn_value *list, int64_t width,
                                    struct REAL(dgnn_repformer_update) * update, struct dgnn_error *error)
{
    int64_t count;
    if (update->n == 0 && dgnn_value_kind(list) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(list, &count, error));
    if (count != update->n) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, list,
                                 "%lld rows, expected one for each of %lld updates", (long long)count,
                                 (long long)update->n);
    }
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        struct dgnn_tensor tensor;
        DGNN_TRY(dgnn_params_row(&item, width, &tensor, error));
#if DGNN_REAL_BITS == 32
        dgnn_tensor_to_float(&tensor, update->factor + k * update->width);
#else
        dgnn_tensor_to_double(&tensor, update->factor + k * update->width);
#endif
    }
    return DGNN_OK;
}

static int REAL(repformer_update)(const struct dgnn_value *value, const char *style, const char *name,
                                  int64_t n, int64_t width, struct REAL(dgnn_repformer_update) * update,
                                  struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value list = dgnn_value_member(&variables, name);
    double each = 1;
    *update =
        (struct REAL(dgnn_repformer_update)){.start = 1, .n = n, .width = dgnn_table_pad(width, REAL_LANES)};
    DGNN_TRY(REAL(repformer_row)((n ? n : 1) * update->width, &update->factor, error));
    if (!strcmp(style, "res_residual")) {
        return REAL(repformer_residual)(&list, width, update, error);
    }
    if (!strcmp(style, "res_avg")) {
        each = 1 / sqrt((double)(n + 1));
        update->start = (real)each;
    } else if (!strcmp(style, "res_incr")) {
        each = n ? 1 / sqrt((double)n) : 0;
    } else {
        return dgnn_value_refuse(
            error, DGNN_ERROR_UNSUPPORTED, value,
            "updates join as '%s', which is not known; known: res_avg, res_incr, res_residual", style);
    }
    for (int64_t k = 0; k < n; k++) {
        for (int64_t c = 0; c < width; c++) {
            update->factor[k * update->width + c] = (real)each;
        }
    }
    return DGNN_OK;
}

static int REAL(repformer_updates)(const struct dgnn_value *value, int64_t ng1, int64_t ng2,
                                   struct REAL(dgnn_repformer_layer) * layer, struct dgnn_error *error)
{
    const struct dgnn_repformer_switches *s = &layer->s;
    const char *style = s->style;
    int64_t n1 = s->self_out + (s->has_conv && s->conv_out) + 1 + s->has_attn;
    int64_t n2 = s->has_pair ? 1 + s->has_product + s->has_pair_attn : 0;
    DGNN_TRY(REAL(repformer_update)(value, style, "g1_residual", n1, ng1, &layer->g1, error));
    DGNN_TRY(REAL(repformer_update)(value, style, "g2_residual", n2, ng2, &layer->g2, error));
    return REAL(repformer_update)(value, style, "h2_residual", s->has_vector, 1, &layer->h2, error);
}

/* ---------------------------------------------------------------- a layer, the block */

static int REAL(repformer_layer_maps)(const struct repformer_layer_params *p, int64_t ng1, int64_t ng2,
                                      struct REAL(dgnn_repformer_layer) * layer, struct dgnn_error *error)
{
    const struct dgnn_repformer_switches *s = &layer->s;
    int64_t *n = &layer->parameters;
    layer->common_width = (s->self_out ? 0 : ng1) + (s->has_conv && !s->conv_out ? ng2 : 0) +
                          (s->has_grrg ? s->axis * ng2 : 0) + (s->has_drrd ? s->axis * ng1 : 0);
    DGNN_TRY(REAL(repformer_affine)(&p->linear1, layer->common_width, ng1, &layer->common,
                                    &layer->common_bias, n, error));
    if (s->self_out) {
        DGNN_TRY(
            REAL(repformer_affine)(&p->g1_self_mlp, ng1, ng1, &layer->self, &layer->self_bias, n, error));
    }
    if (s->has_pair) {
        DGNN_TRY(REAL(repformer_affine)(&p->linear2, ng2, ng2, &layer->pair, &layer->pair_bias, n, error));
    }
    if (s->has_conv) {
        DGNN_TRY(REAL(repformer_affine)(&p->proj_g1g2, s->conv_out ? ng2 : ng1, s->conv_out ? ng1 : ng2,
                                        &layer->conv, NULL, n, error));
    }
    if (s->has_product) {
        DGNN_TRY(REAL(repformer_affine)(&p->proj_g1g1g2, ng1, ng2, &layer->product, NULL, n, error));
    }
    if (s->has_pair_attn || s->has_vector) {
        DGNN_TRY(REAL(repformer_pair_attention)(p, ng2, layer, error));
    }
    return s->has_attn ? REAL(repformer_node_attention)(p, ng1, layer, error) : DGNN_OK;
}

static void REAL(repformer_layer_free)(struct REAL(dgnn_repformer_layer) * layer)
{
    struct REAL(dgnn_repformer_map) * maps[] = {&layer->common,    &layer->self,      &layer->pair,
                                                &layer->conv,      &layer->product,   &layer->pair_heads,
                                                &layer->node_form, &layer->node_value};
    real *rows[] = {layer->common_bias, layer->self_bias,  layer->pair_bias,     layer->pair_attn_bias,
                    layer->norm_scale,  layer->norm_shift, layer->vector_weight, layer->node_attn_bias,
                    layer->g1.factor,   layer->g2.factor,  layer->h2.factor};
    for (size_t m = 0; m < sizeof(maps) / sizeof(maps[0]); m++) {
        REAL(repformer_map_free)(maps[m]);
    }
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        dgnn_alloc_free(rows[r]);
    }
}

static int REAL(repformer_layer_load)(const struct dgnn_value *value,
                                      const struct dgnn_repformer_shape *block, int last,
                                      const struct dgnn_repformer_context *context,
                                      struct REAL(dgnn_repformer_layer) * layer, struct dgnn_error *error)
{
    struct repformer_layer_params p;
    DGNN_TRY(dgnn_params_load(value, repformer_layer_params,
                              sizeof(repformer_layer_params) / sizeof(repformer_layer_params[0]), &p, error));
    DGNN_TRY(repformer_old_layer(value, &p, error));
    DGNN_TRY(repformer_check_layer(value, block, &p, last, context->smooth, error));
    repformer_switches(&p, &layer->s);
    DGNN_TRY(repformer_check_repeats(value, &p, block->params, context->ntypes, error));
    DGNN_TRY(repformer_check_parts(&p, &layer->s, error));
    DGNN_TRY(REAL(repformer_layer_maps)(&p, block->ng1, block->ng2, layer, error));
    return REAL(repformer_updates)(value, block->ng1, block->ng2, layer, error);
}

static int REAL(repformer_load_layers)(const struct dgnn_value *list,
                                       const struct dgnn_repformer_shape *shape,
                                       struct REAL(dgnn_repformer) * block, struct dgnn_error *error)
{
    int64_t count;
    DGNN_TRY(dgnn_value_list(list, &count, error));
    if (count != shape->nlayer) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, list, "%lld layers, expected %lld",
                                 (long long)count, (long long)shape->nlayer);
    }
    block->layer = dgnn_alloc_zeroed(count, sizeof(*block->layer));
    if (!block->layer) {
        return dgnn_status_no_memory(error, "layers", count * (int64_t)sizeof(*block->layer));
    }
    block->nlayer = count;
    for (int64_t l = 0; l < count; l++) {
        struct dgnn_value item = dgnn_value_item(list, l);
        DGNN_TRY(REAL(repformer_layer_load)(&item, shape, l + 1 == count, &block->context, &block->layer[l],
                                            error));
        block->parameters += block->layer[l].parameters;
    }
    return DGNN_OK;
}

static int REAL(repformer_load_block)(const struct dgnn_repformer_shape *shape,
                                      const struct dgnn_value *variable, struct REAL(dgnn_repformer) * block,
                                      struct dgnn_error *error)
{
    struct repformer_variable_params params;
    struct dgnn_value embedding = dgnn_value_member(variable, "g2_embd");
    struct dgnn_value layers = dgnn_value_member(variable, "repformer_layers");
    struct dgnn_value statistics = dgnn_value_member(variable, "@variables");
    block->environment = (struct dgnn_environment){.cutoff = shape->cutoff,
                                                   .switch_start = shape->switch_start,
                                                   .protection = block->context.protection,
                                                   .width = 4,
                                                   .ntypes = block->context.ntypes,
                                                   .nsection = 1};
    DGNN_TRY(dgnn_params_load(variable, repformer_variable_rows, REPFORMER_COUNT(repformer_variable_rows),
                              &params, error));
    DGNN_TRY(dgnn_params_activation(shape->activation, variable, &block->activation, error));
    dgnn_activation_as_descriptor(&block->activation);
    DGNN_TRY(dgnn_environment_load(&block->environment, &statistics, &shape->slots, error));
    DGNN_TRY(REAL(repformer_plain)(&embedding, 1, shape->ng2, &block->embedding, error));
    block->parameters = REAL(dgnn_layer_parameters)(&block->embedding);
    return REAL(repformer_load_layers)(&layers, shape, block, error);
}

int REAL(dgnn_repformer_load)(const struct dgnn_repformer_shape *shape, const struct dgnn_value *variable,
                              const struct dgnn_repformer_context *context,
                              struct REAL(dgnn_repformer) * block, struct dgnn_error *error)
{
    *block = (struct REAL(dgnn_repformer)){
        .ops = REAL(dgnn_select_ops)(context->cpu),
        .context = *context,
        .nsel = shape->slots,
        .ng1 = shape->ng1,
        .ng2 = shape->ng2,
        .ng1p = dgnn_table_pad(shape->ng1, REAL_LANES),
        .ng2p = dgnn_table_pad(shape->ng2, REAL_LANES),
        .direct = shape->direct,
    };
    int status = REAL(repformer_load_block)(shape, variable, block, error);
    if (status) {
        REAL(dgnn_repformer_free)(block);
    }
    return status;
}

void REAL(dgnn_repformer_free)(struct REAL(dgnn_repformer) * block)
{
    for (int64_t l = 0; l < block->nlayer; l++) {
        REAL(repformer_layer_free)(&block->layer[l]);
    }
    dgnn_environment_free(&block->environment);
    REAL(dgnn_layer_free)(&block->embedding);
    dgnn_alloc_free(block->layer);
    *block = (struct REAL(dgnn_repformer)){0};
}
