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

static int REAL(embedding_load)(const struct dgnn_value *value, const struct dgnn_embedding_shape *shape,
                                struct REAL(dgnn_embedding) * embedding, struct dgnn_error *error)
{
    struct dgnn_value networks;
    const uint8_t *needed = shape->needed;
    int64_t ntypes = shape->ntypes, count = shape->ndim == 0   ? 1
                                            : shape->ndim == 1 ? ntypes
                                                               : ntypes * ntypes;
    DGNN_TRY(dgnn_layer_collection(value, shape->ndim, ntypes, "embedding_network", &networks, error));
    embedding->network = dgnn_alloc_zeroed(count, sizeof(*embedding->network));
    if (!embedding->network) {
        return dgnn_status_no_memory(error, "networks", count * (int64_t)sizeof(*embedding->network));
    }
    embedding->nnetwork = count;
    for (int64_t n = 0; n < count; n++) {
        struct dgnn_value item = dgnn_value_item(&networks, n);
        DGNN_TRY(REAL(embedding_load_network)(&item, shape->nin, !needed || needed[n], n, embedding, error));
    }
    return DGNN_OK;
}

int REAL(dgnn_embedding_load)(const struct dgnn_value *value, const struct dgnn_embedding_shape *shape,
                              struct REAL(dgnn_embedding) * embedding, struct dgnn_error *error)
{
    *embedding = (struct REAL(dgnn_embedding)){0};
    int status = REAL(embedding_load)(value, shape, embedding, error);
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

static void REAL(embedding_free_tables)(struct REAL(dgnn_embedding) * embedding)
{
    for (int64_t n = 0; embedding->table && n < embedding->nnetwork; n++) {
        dgnn_alloc_free(embedding->table[n].coefficients);
    }
    dgnn_alloc_free(embedding->table);
    embedding->table = NULL;
}

void REAL(dgnn_embedding_free)(struct REAL(dgnn_embedding) * embedding)
{
    for (int64_t n = 0; n < embedding->nnetwork; n++) {
        REAL(dgnn_network_free)(&embedding->network[n]);
    }
    REAL(embedding_free_tables)(embedding);
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

/* All columns of a row by the row's piece. */
static void REAL(embedding_pieces)(const struct REAL(dgnn_ops) * ops,
                                   const struct REAL(dgnn_embedding_table) * table,
                                   const struct REAL(dgnn_embedding_rows) * rows)
{
    int64_t piece[EMBEDDING_BLOCK];
    real t[EMBEDDING_BLOCK], beyond[EMBEDDING_BLOCK];
    struct REAL(dgnn_polynomials) polynomials = {.nrow = rows->nrow,
                                                 .coefficients = table->coefficients,
                                                 .piece = piece,
                                                 .t = t,
                                                 .beyond = beyond,
                                                 .y = rows->y,
                                                 .tangent = rows->tangent,
                                                 .stride = rows->stride};
    for (int64_t r = 0; r < rows->nrow; r++) {
        struct dgnn_pieces_place place =
            dgnn_pieces_find(&table->pieces, (double)rows->x[r * rows->x_stride]);
        piece[r] = place.piece;
        t[r] = (real)place.t;
        beyond[r] = (real)place.beyond;
    }
    ops->polynomials(&polynomials);
}

void REAL(dgnn_embedding_forward)(const struct REAL(dgnn_ops) * ops,
                                  const struct REAL(dgnn_embedding) * embedding, int64_t n,
                                  const struct REAL(dgnn_embedding_rows) * rows)
{
    const struct REAL(dgnn_embedding_table) *table = embedding->table ? &embedding->table[n] : NULL;
    for (int64_t r = 0; r < rows->nrow; r += EMBEDDING_BLOCK) {
        struct REAL(dgnn_embedding_rows) block = *rows;
        block.nrow = rows->nrow - r < EMBEDDING_BLOCK ? rows->nrow - r : EMBEDDING_BLOCK;
        block.x += r * rows->x_stride;
        block.y += r * rows->stride;
        block.tangent = rows->tangent ? rows->tangent + r * rows->stride : NULL;
        if (table) {
            REAL(embedding_pieces)(ops, table, &block);
        } else {
            REAL(embedding_block)(ops, &embedding->network[n], &block);
        }
    }
}

/* ---------------------------------------------------------------- a compressed model's tables */

/* From rows of six numbers for each output, as the archive has them, to six rows of outputs. */
static int REAL(embedding_load_coefficients)(const struct dgnn_tensor *numbers, int64_t width,
                                             struct REAL(dgnn_embedding_table) * table,
                                             struct dgnn_error *error)
{
    int64_t stride = dgnn_table_pad(width, REAL_LANES), count = table->pieces.count, each = 6 * width;
    real *row = dgnn_alloc(each, sizeof(real));
    table->coefficients = dgnn_alloc_zeroed(count, 6 * sizeof(real) * (size_t)stride);
    if (!row || !table->coefficients) {
        dgnn_alloc_free(row);
        return dgnn_status_no_memory(error, "a compressed model's table",
                                     count * 6 * stride * (int64_t)sizeof(real));
    }
    for (int64_t piece = 0; piece < count; piece++) {
        struct dgnn_tensor part = *numbers;
        part.shape[0] = 1;
        part.data = (const char *)numbers->data + piece * each * dgnn_tensor_item_size(numbers->dtype);
        REAL(dgnn_layer_convert)(&part, row);
        for (int64_t k = 0; k < each; k++) {
            table->coefficients[(piece * 6 + k % 6) * stride + k / 6] = row[k];
        }
    }
    dgnn_alloc_free(row);
    return DGNN_OK;
}

static int REAL(embedding_load_table)(const struct dgnn_compression *compression,
                                      const struct dgnn_compression_table *which,
                                      struct REAL(dgnn_embedding_table) * table, struct dgnn_error *error)
{
    struct dgnn_tensor numbers;
    DGNN_TRY(dgnn_compression_pieces(compression, which, &table->pieces, &numbers, error));
    return table->pieces.count ? REAL(embedding_load_coefficients)(&numbers, which->width, table, error)
                               : DGNN_OK;
}

/* The largest difference of a table from its network, in each piece at three places. */
static double REAL(embedding_difference)(const struct REAL(dgnn_embedding) * embedding, int64_t n,
                                         real *memory)
{
    const struct dgnn_pieces *pieces = &embedding->table[n].pieces;
    int64_t stride = dgnn_table_pad(embedding->nout, REAL_LANES);
    real x[3], *network = memory, *table = memory + 3 * stride;
    struct REAL(dgnn_embedding_rows)
        rows = {.nrow = 3, .x = x, .x_stride = 1, .stride = stride, .scratch = memory + 6 * stride};
    double most = 0;
    for (int64_t piece = 0; piece < pieces->count; piece++) {
        for (int k = 0; k < 3; k++) {
            x[k] =
                (real)(dgnn_pieces_begin(pieces, piece) + 0.25 * (k + 1) * dgnn_pieces_length(pieces, piece));
        }
        rows.y = network;
        REAL(embedding_block)(&REAL(dgnn_reference_ops), &embedding->network[n], &rows);
        rows.y = table;
        REAL(embedding_pieces)(&REAL(dgnn_reference_ops), &embedding->table[n], &rows);
        for (int64_t c = 0; c < 3 * stride; c++) {
            most = dgnn_compression_farthest(most, (double)(table[c] - network[c]));
        }
    }
    return most;
}

static int REAL(embedding_compare)(struct dgnn_compression *compression,
                                   const struct REAL(dgnn_embedding) * embedding, struct dgnn_error *error)
{
    int64_t each = 6 * dgnn_table_pad(embedding->nout, REAL_LANES) + REAL(dgnn_embedding_scratch)(embedding);
    real *memory = dgnn_alloc(each, sizeof(real));
    if (!memory) {
        return dgnn_status_no_memory(error, "a comparison", each * (int64_t)sizeof(real));
    }
    for (int64_t n = 0; n < embedding->nnetwork; n++) {
        if (embedding->table[n].coefficients && embedding->network[n].nlayer) {
            compression->difference =
                fmax(compression->difference, REAL(embedding_difference)(embedding, n, memory));
        }
    }
    dgnn_alloc_free(memory);
    return DGNN_OK;
}

static int REAL(embedding_load_tables)(struct dgnn_compression *compression, int32_t symmetric,
                                       const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                                       struct dgnn_error *error)
{
    for (int64_t n = 0; n < embedding->nnetwork; n++) {
        struct dgnn_compression_table which = {
            .n = n, .width = embedding->nout, .symmetric = symmetric, .needed = !needed || needed[n]};
        DGNN_TRY(REAL(embedding_load_table)(compression, &which, &embedding->table[n], error));
        compression->nrow += embedding->table[n].pieces.count;
    }
    return compression->evaluated == DGNN_COMPRESSED_COMPARE
               ? REAL(embedding_compare)(compression, embedding, error)
               : DGNN_OK;
}

int REAL(dgnn_embedding_load_tables)(struct dgnn_compression *compression, int32_t symmetric,
                                     const uint8_t *needed, struct REAL(dgnn_embedding) * embedding,
                                     struct dgnn_error *error)
{
    if (!compression->is_there || !compression->has_tables) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_same_count(&compression->tables, embedding->nnetwork, "the networks", error));
    DGNN_TRY(dgnn_params_same_count(&compression->infos, embedding->nnetwork, "the networks", error));
    embedding->table = dgnn_alloc_zeroed(embedding->nnetwork, sizeof(*embedding->table));
    if (!embedding->table) {
        return dgnn_status_no_memory(error, "tables",
                                     embedding->nnetwork * (int64_t)sizeof(*embedding->table));
    }
    DGNN_TRY(REAL(embedding_load_tables)(compression, symmetric, needed, embedding, error));
    if (!dgnn_compression_uses_tables(compression)) { /* they were looked at all the same */
        REAL(embedding_free_tables)(embedding);
    }
    return DGNN_OK;
}

int REAL(dgnn_embedding_load_factors)(struct dgnn_compression *compression,
                                      const struct REAL(dgnn_embedding_factors) * f, struct dgnn_error *error)
{
    const int64_t shape[2] = {f->one_side ? f->ntypes : f->ntypes * f->ntypes, f->width};
    struct dgnn_tensor tensor;
    if (!compression->is_there || !compression->has_types) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_tensor_shaped(&compression->factors, 2, shape, &tensor, error));
    real *rows = dgnn_alloc(shape[0], sizeof(real) * (size_t)f->width);
    if (!rows) {
        return dgnn_status_no_memory(error, "type embeddings", shape[0] * f->width * (int64_t)sizeof(real));
    }
    REAL(dgnn_layer_convert)(&tensor, rows);
    for (int64_t k = 0; k < f->ntypes * f->ntypes * f->width && compression->evaluated != DGNN_COMPRESSED_NET;
         k++) {
        int64_t pair = k / f->width, c = k % f->width;
        real *to = f->rows + pair * f->stride + c,
             from = rows[(f->one_side ? pair % f->ntypes : pair) * f->width + c];
        compression->difference = dgnn_compression_farthest(compression->difference, (double)(*to - from));
        *to = from;
    }
    dgnn_alloc_free(rows);
    return DGNN_OK;
}
