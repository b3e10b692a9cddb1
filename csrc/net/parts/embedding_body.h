#include "base/real.h"

static int REAL(embedding_load_network)(const struct dgnn_value *item, int64_t nin, int needed, int64_t n,
                                        struct REAL(dgnn_embedding) * embedding, struct dgnn_error *error)
{
    struct REAL(dgnn_network) *network = &embedding->network[n];
    if (!needed && dgnn_value_kind(item) == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    DGNN_TRY(REAL(dgnn_network_load)(item, nin, embedding->nout ? embedding->nout : -1, network, error));
    embedding->nout = network->nout;
    embedding->parameters += REAL(dgnn_network_parameters)(network);
    if (network->width_max > embedding->width_max) {
        embedding->width_max = network->width_max;
    }
    return DGNN_OK;
}

static int REAL(embedding_load)(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, int64_t nin,
                                const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                                struct dgnn_error *error)
{
    struct dgnn_value networks;
    int64_t count = ndim == 0 ? 1 : ndim == 1 ? ntypes : ntypes * ntypes;
    DGNN_TRY(dgnn_layer_collection(value, ndim, ntypes, "embedding_network", &networks, error));
    embedding->network = dgnn_alloc_zeroed(count, sizeof(*embedding->network));
    if (!embedding->network) {
        return dgnn_status_no_memory(error, "networks", count * (int64_t)sizeof(*embedding->network));
    }
    embedding->nnetwork = count;
    for (int64_t n = 0; n < count; n++) {
        struct dgnn_value item = dgnn_value_item(&networks, n);
        DGNN_TRY(REAL(embedding_load_network)(&item, nin, !needed || needed[n], n, embedding, error));
    }
    return DGNN_OK;
}

int REAL(dgnn_embedding_load)(const struct dgnn_value *value, int64_t ndim, int64_t ntypes, int64_t nin,
                              const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                              struct dgnn_error *error)
{
    *embedding = (struct REAL(dgnn_embedding)){0};
    int status = REAL(embedding_load)(value, ndim, ntypes, nin, needed, embedding, error);
    if (status) {
        REAL(dgnn_embedding_free)(embedding);
    }
    return status;
}

int REAL(dgnn_embedding_same)(const struct REAL(dgnn_embedding) * embedding, const struct dgnn_value *owner,
                              const char *neuron, struct dgnn_error *error)
{
    for (int64_t n = 0; n < embedding->nnetwork; n++) {
        const struct REAL(dgnn_network) *network = &embedding->network[n];
        if (network->nlayer) {
            DGNN_TRY(REAL(dgnn_network_same)(network, network->nlayer, owner, neuron, error));
        }
    }
    return DGNN_OK;
}

void REAL(dgnn_embedding_free)(struct REAL(dgnn_embedding) * embedding)
{
    for (int64_t n = 0; n < embedding->nnetwork; n++) {
        REAL(dgnn_network_free)(&embedding->network[n]);
    }
    dgnn_alloc_free(embedding->network);
    *embedding = (struct REAL(dgnn_embedding)){0};
}

void REAL(dgnn_embedding_clear)(struct REAL(dgnn_embedding) * embedding, int64_t n)
{
    for (int64_t l = 0; l < embedding->network[n].nlayer; l++) {
        struct REAL(dgnn_layer) *layer = &embedding->network[n].layer[l];
        size_t nout = sizeof(real) * (size_t)layer->w.ncol;
        memset(layer->w.data, 0, sizeof(real) * (size_t)(layer->w.nrow * layer->w.stride));
        memset(layer->w_transposed.data, 0,
               sizeof(real) * (size_t)(layer->w_transposed.nrow * layer->w_transposed.stride));
        if (layer->bias) {
            memset(layer->bias, 0, nout);
        }
        if (layer->idt) {
            memset(layer->idt, 0, nout);
        }
    }
}

int64_t REAL(dgnn_embedding_scratch)(const struct REAL(dgnn_embedding) * embedding)
{
    /* two rooms for values, two for tangents */
    return 4 * EMBEDDING_BLOCK * dgnn_table_pad(embedding->width_max, REAL_LANES);
}

static void REAL(embedding_clear_pads)(int64_t nrow, int64_t width, int64_t stride, real *rows)
{
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = width; c < stride; c++) {
            rows[r * stride + c] = 0;
        }
    }
}

static void REAL(embedding_block)(const struct REAL(dgnn_ops) * ops,
                                  const struct REAL(dgnn_network) * network,
                                  const struct REAL(dgnn_embedding_rows) * rows)
{
    int64_t n = rows->nrow, block = n * dgnn_table_pad(network->width_max, REAL_LANES);
    struct REAL(dgnn_embed) step = {.nrow = n, .x = rows->x, .x_stride = rows->x_stride};
    for (int64_t l = 0; l < network->nlayer; l++) {
        const struct REAL(dgnn_layer) *layer = &network->layer[l];
        int last = l + 1 == network->nlayer;
        /* Pads are columns like others: what they hold is not zero after some activations, but no weight of
         * the next layer takes it up. */
        struct REAL(dgnn_matrix) w = layer->w;
        w.ncol = step.stride = w.stride;
        step.activation = &layer->activation;
        step.nin = w.nrow;
        step.idt = layer->idt;
        step.residual = layer->residual;
        step.first_row = l ? NULL : w.data;
        step.y = last ? rows->y : rows->scratch + (l % 2) * block;
        step.tangent = !rows->tangent ? NULL : last ? rows->tangent : rows->scratch + (2 + l % 2) * block;
        ops->product(n, step.x, step.x_stride, &w, layer->bias, step.y, step.stride, 0);
        if (step.tangent && l) {
            ops->product(n, step.x_tangent, step.x_stride, &w, NULL, step.tangent, step.stride, 0);
        }
        ops->embed(&step);
        step.x = step.y;
        step.x_tangent = step.tangent;
        step.x_stride = step.stride;
    }
    REAL(embedding_clear_pads)(n, network->nout, rows->stride, rows->y);
    if (rows->tangent) {
        REAL(embedding_clear_pads)(n, network->nout, rows->stride, rows->tangent);
    }
}

void REAL(dgnn_embedding_forward)(const struct REAL(dgnn_ops) * ops,
                                  const struct REAL(dgnn_network) * network,
                                  const struct REAL(dgnn_embedding_rows) * rows)
{
    for (int64_t r = 0; r < rows->nrow; r += EMBEDDING_BLOCK) {
        struct REAL(dgnn_embedding_rows) block = *rows;
        block.nrow = rows->nrow - r < EMBEDDING_BLOCK ? rows->nrow - r : EMBEDDING_BLOCK;
        block.x += r * rows->x_stride;
        block.y += r * rows->stride;
        block.tangent = rows->tangent ? rows->tangent + r * rows->stride : NULL;
        REAL(embedding_block)(ops, network, &block);
    }
}
