/* Where the buffers of the repformer block are, in the numbers of the driver (dpa2_stages.h). */
#include "base/real.h"

static void REAL(repformer_list_pairs_kept)(const struct REAL(dgnn_repformer_workspace) * w, int64_t l,
                                            struct dgnn_places *to)
{
    const struct REAL(dgnn_repformer_layer) *layer = &w->block->layer[l];
    const struct REAL(dgnn_repformer_pair_kept) *kept = &w->pair_kept[l];
    int64_t size = sizeof(real), npair = w->list.npair, square = w->list.square_first[w->list.nchunk];
    const struct dgnn_place_rows pairs = {npair, npair}, squares = {square, square};
    const int32_t buffer = DGNN_DPA2_AT_PAIRS_KEPT;
    dgnn_backend_list(to, buffer, l, kept->slope, pairs, w->block->ng2p * size);
    dgnn_backend_list(to, buffer, l, kept->heads, pairs, layer->pair_heads.w.ncol * size);
    dgnn_backend_list(to, buffer, l, kept->normed, pairs, w->block->ng2p * size);
    dgnn_backend_list(to, buffer, l, kept->spread, pairs, size);
    dgnn_backend_list(to, buffer, l, kept->logit, squares, layer->s.pair_heads * size);
    dgnn_backend_list(to, buffer, l, kept->weight, squares, layer->s.pair_heads * size);
}

static void REAL(repformer_list_nodes_kept)(const struct REAL(dgnn_repformer_workspace) * w, int64_t l,
                                            struct dgnn_places *to)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct REAL(dgnn_repformer_layer) *layer = &block->layer[l];
    const struct REAL(dgnn_repformer_node_kept) *kept = &w->node_kept[l];
    int64_t size = sizeof(real), n = l + 1 < block->nlayer ? w->list.ncentre : REAL(repformer_used)(w);
    int64_t npair = w->list.first[n], heads = REAL(repformer_heads_pad)(layer);
    const struct dgnn_place_rows pairs = {npair, npair}, centres = {n, n};
    const int32_t buffer = DGNN_DPA2_AT_NODES_KEPT;
    dgnn_backend_list(to, buffer, l, kept->common_slope, centres, block->ng1p * size);
    dgnn_backend_list(to, buffer, l, layer->s.self_out ? kept->self_slope : NULL, centres,
                      block->ng1p * size);
    dgnn_backend_list(to, buffer, l, layer->s.has_drrd ? kept->moment1 : NULL, centres,
                      3 * block->ng1p * size);
    dgnn_backend_list(to, buffer, l, layer->s.has_grrg ? kept->moment2 : NULL, centres,
                      3 * block->ng2p * size);
    dgnn_backend_list(to, buffer, l, kept->form, centres, layer->node_form.w.ncol * size);
    dgnn_backend_list(to, buffer, l, kept->logit, pairs, heads * size);
    dgnn_backend_list(to, buffer, l, kept->weight, pairs, heads * size);
}

static void REAL(repformer_list_gradients)(const struct REAL(dgnn_repformer_workspace) * w,
                                           const struct REAL(dgnn_repformer_side) * side,
                                           struct dgnn_places *to)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t size = sizeof(real), npair = w->list.npair;
    const struct dgnn_place_rows nodes = {w->list.nnode, w->list.ncentre}, pairs = {npair, npair};
    static const int32_t g1[2] = {DGNN_DPA2_AT_D_G1_OUT, DGNN_DPA2_AT_D_G1_IN};
    static const int32_t g2[2] = {DGNN_DPA2_AT_D_G2_OUT, DGNN_DPA2_AT_D_G2_IN};
    static const int32_t h2[2] = {DGNN_DPA2_AT_D_H2_OUT, DGNN_DPA2_AT_D_H2_IN};
    for (int k = 0; k < 2; k++) {
        dgnn_backend_list(to, g1[k], -1, side->g1[k], nodes, block->ng1p * size);
        dgnn_backend_list(to, g2[k], -1, side->g2[k], pairs, block->ng2p * size);
        dgnn_backend_list(to, h2[k], -1, side->h2[k], pairs, 4 * size);
    }
    dgnn_backend_list(to, DGNN_DPA2_AT_D_SWITCHES, -1, side->sw, pairs, sizeof(double));
    if (side == w->side) {
        dgnn_backend_list(to, DGNN_DPA2_AT_D_NEIGHBOURS, -1, side->neighbour, pairs, block->ng1p * size);
        return;
    }
    dgnn_backend_list(to, DGNN_DPA2_AT_D_RECEIVED, -1, side->received, nodes, block->ng1p * size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, side->neighbour, (struct dgnn_place_rows){side->npair, 0},
                      block->ng1p * size);
}

void REAL(dgnn_repformer_places)(const struct REAL(dgnn_repformer_workspace) * w, struct dgnn_places *to)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t size = sizeof(real), npair = w->list.npair, ncentre = w->list.ncentre;
    const struct dgnn_place_rows nodes = {w->list.nnode, ncentre}, pairs = {npair, npair};
    for (int64_t l = 0; l <= block->nlayer; l++) {
        dgnn_backend_list(to, DGNN_DPA2_AT_G1, l, w->g1[l], nodes, block->ng1p * size);
        dgnn_backend_list(to, DGNN_DPA2_AT_G2, l, w->g2[l], pairs, block->ng2p * size);
        dgnn_backend_list(to, DGNN_DPA2_AT_H2, l, w->h2[l], pairs, 4 * size);
    }
    for (int64_t l = 0; l < block->nlayer && block->context.keep; l++) {
        REAL(repformer_list_pairs_kept)(w, l, to);
        REAL(repformer_list_nodes_kept)(w, l, to);
    }
    dgnn_backend_list(to, DGNN_DPA2_AT_SWITCHES, -1, w->sw, pairs, sizeof(double));
    dgnn_backend_list(to, DGNN_DPA2_AT_SLOPES, -1, w->start_slope, (struct dgnn_place_rows){ncentre, ncentre},
                      block->ng1p * size);
    dgnn_backend_list(to, DGNN_DPA2_AT_PAIR_SLOPES, -1, w->embedding_slope, pairs, block->ng2p * size);
    for (int32_t side = 0; side < w->sides; side++) {
        REAL(repformer_list_gradients)(w, &w->side[side], to);
    }
    dgnn_backend_list(to, DGNN_DPA2_AT_SWITCHES, -1, w->displacement, pairs, 3 * size);
    dgnn_backend_list(to, DGNN_DPA2_AT_D_G1_OUT, -1, w->d_rows[0], nodes, w->sides * block->ng1p * size);
    dgnn_backend_list(to, DGNN_DPA2_AT_D_G1_IN, -1, w->d_rows[1], nodes, w->sides * block->ng1p * size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, w->scratch.data,
                      (struct dgnn_place_rows){block->context.threads, 0}, w->scratch_size);
}
