/* Weights of the repformer block in this element type. */
#include "base/real.h"

static void REAL(repformer_members)(struct REAL(dgnn_repformer_layer) * layer,
                                    struct REAL(dgnn_repformer_map) * maps[REPFORMER_MAPS],
                                    real **rows[REPFORMER_ROWS])
{
    struct REAL(dgnn_repformer_map) *const all_maps[REPFORMER_MAPS] = {
        &layer->common,  &layer->self,       &layer->pair,      &layer->conv,
        &layer->product, &layer->pair_heads, &layer->node_form, &layer->node_value};
    real **const all_rows[REPFORMER_ROWS] = {
        &layer->common_bias, &layer->self_bias,  &layer->pair_bias,     &layer->pair_attn_bias,
        &layer->norm_scale,  &layer->norm_shift, &layer->vector_weight, &layer->node_attn_bias,
        &layer->g1.factor,   &layer->g2.factor,  &layer->h2.factor};
    memcpy(maps, all_maps, sizeof(all_maps));
    memcpy(rows, all_rows, sizeof(all_rows));
}

static int REAL(repformer_cast)(const struct repformer_load *l, struct dgnn_repformer_layer_f64 *from,
                                struct REAL(dgnn_repformer_layer) * layer)
{
    struct dgnn_repformer_map_f64 *from_maps[REPFORMER_MAPS];
    struct REAL(dgnn_repformer_map) * maps[REPFORMER_MAPS];
    double **from_rows[REPFORMER_ROWS];
    real **rows[REPFORMER_ROWS];
    int64_t ng1 = l->shape->ng1, ng2 = l->shape->ng2;
    const int64_t widths[REPFORMER_ROWS] = {ng1,
                                            ng1,
                                            ng2,
                                            ng2,
                                            ng2,
                                            ng2,
                                            from->s.pair_heads,
                                            ng1,
                                            repformer_nfactor(&from->g1),
                                            repformer_nfactor(&from->g2),
                                            repformer_nfactor(&from->h2)};
    layer->s = from->s;
    layer->common_width = from->common_width;
    layer->norm_epsilon = from->norm_epsilon;
    layer->parameters = from->parameters;
    layer->g1 = (struct REAL(dgnn_repformer_update)){(real)from->g1.start, from->g1.n, from->g1.width, NULL};
    layer->g2 = (struct REAL(dgnn_repformer_update)){(real)from->g2.start, from->g2.n, from->g2.width, NULL};
    layer->h2 = (struct REAL(dgnn_repformer_update)){(real)from->h2.start, from->h2.n, from->h2.width, NULL};
    repformer_members_f64(from, from_maps, from_rows);
    REAL(repformer_members)(layer, maps, rows);
    for (int k = 0; k < REPFORMER_MAPS; k++) {
        if (from_maps[k]->w.data) {
            DGNN_TRY(REAL(dgnn_layer_cast)(&from_maps[k]->w, &maps[k]->w, &maps[k]->transposed, l->error));
        }
    }
    for (int k = 0; k < REPFORMER_ROWS; k++) {
        if (*from_rows[k]) {
            DGNN_TRY(REAL(dgnn_layer_cast_row)(*from_rows[k], widths[k], rows[k], l->error));
        }
    }
    return DGNN_OK;
}

static void REAL(repformer_layer_free)(struct REAL(dgnn_repformer_layer) * layer)
{
    struct REAL(dgnn_repformer_map) * maps[REPFORMER_MAPS];
    real **rows[REPFORMER_ROWS];
    REAL(repformer_members)(layer, maps, rows);
    for (int k = 0; k < REPFORMER_MAPS; k++) {
        REAL(dgnn_layer_matrix_free)(&maps[k]->w);
        REAL(dgnn_layer_matrix_free)(&maps[k]->transposed);
    }
    for (int k = 0; k < REPFORMER_ROWS; k++) {
        dgnn_alloc_free(*rows[k]);
    }
}

static int REAL(repformer_load_layer)(const struct repformer_load *l, const struct dgnn_value *value,
                                      int last, struct REAL(dgnn_repformer_layer) * layer)
{
    struct repformer_placed placed = {0};
    int status = repformer_place(l, value, last, &placed);
    status = status ? status : REAL(repformer_cast)(l, &placed.layer, layer);
    repformer_free_placed(&placed);
    return status;
}

static int REAL(repformer_load_block)(const struct repformer_load *l, const struct dgnn_value *variable,
                                      struct REAL(dgnn_repformer) * block)
{
    struct dgnn_value embedding = dgnn_value_member(variable, "g2_embd"), layers;
    DGNN_TRY(repformer_load_statistics(l, variable, &block->environment, &block->activation));
    DGNN_TRY(REAL(dgnn_layer_load_affine)(&embedding, 1, l->shape->ng2, &block->embedding, l->error));
    DGNN_TRY(repformer_list(l, variable, &layers));
    block->parameters = REAL(dgnn_layer_parameters)(&block->embedding);
    block->layer = dgnn_alloc_zeroed(l->shape->nlayer, sizeof(*block->layer));
    if (!block->layer) {
        return dgnn_status_no_memory(l->error, "layers", l->shape->nlayer * (int64_t)sizeof(*block->layer));
    }
    block->nlayer = l->shape->nlayer;
    for (int64_t k = 0; k < block->nlayer; k++) {
        struct dgnn_value item = dgnn_value_item(&layers, k);
        DGNN_TRY(REAL(repformer_load_layer)(l, &item, k + 1 == block->nlayer, &block->layer[k]));
        block->parameters += block->layer[k].parameters;
    }
    return DGNN_OK;
}

int REAL(dgnn_repformer_load)(const struct dgnn_repformer_shape *shape, const struct dgnn_value *variable,
                              const struct dgnn_repformer_context *context,
                              struct REAL(dgnn_repformer) * block, struct dgnn_error *error)
{
    const struct repformer_load l = {shape, context, REAL_LANES, REAL_DTYPE, error};
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
    int status = REAL(repformer_load_block)(&l, variable, block);
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
