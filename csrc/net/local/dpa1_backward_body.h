/* Backward of net/local/dpa1_body.h, after it, and the table of stages. */
/* ---------------------------------------------------------------- backward */

/* The embeddings that entered gr: after the last norm. */
static void REAL(dpa1_last)(const struct REAL(dgnn_attention_block) * block, int64_t stride, real *g)
{
    const struct REAL(dgnn_attention_layer) *layer = block->layer;
    for (int64_t r = 0; r < block->n; r++) {
        for (int64_t c = 0; c < stride; c++) {
            g[r * stride + c] =
                block->kept.normed[r * stride + c] * layer->norm_weight[c] + layer->norm_bias[c];
        }
    }
}

/* What gr gives for n rows from first on, whose embeddings are g. */
static struct REAL(dgnn_moment)
    REAL(dpa1_moment)(const struct REAL(dpa1) * d, const struct REAL(dpa1_store) * store, int64_t first,
                      int64_t n, const struct REAL(dpa1_scratch) * scratch, const real *g)
{
    return (struct REAL(dgnn_moment)){.nrow = n,
                                      .row = store->row + first,
                                      .row_step = 1,
                                      .row_stride = store->row_stride,
                                      .d_gr = scratch->d_gr,
                                      .stride = d->stride,
                                      .g = g,
                                      .d_row = scratch->d_row,
                                      .d_switch = scratch->d_switch};
}

/* Without attention: all that gr gives for a centre's rows. */
static void REAL(dpa1_plain_backward)(const struct REAL(dpa1) * d, const struct REAL(dpa1_store) * store,
                                      int64_t first, int64_t n, const struct REAL(dpa1_scratch) * scratch)
{
    struct REAL(dgnn_moment) moment =
        REAL(dpa1_moment)(d, store, first, n, scratch, store->g + first * d->stride);
    moment.tangent = store->tangent + first * d->stride;
    moment.by_switch = REAL(dpa1_by_switch)(d) ? store->by_switch + first * d->stride : NULL;
    d->ops->moment_backward(&moment);
}

/* d_g of the last layer's output. */
static void REAL(dpa1_d_last)(const struct REAL(dpa1) * d, const struct REAL(dpa1_store) * store,
                              int64_t first, int64_t n, const struct REAL(dpa1_scratch) * scratch, real *d_g)
{
    struct REAL(dgnn_matrix)
        d_gr = {.nrow = 4, .ncol = d->stride, .stride = d->stride, .data = scratch->d_gr};
    for (int64_t r = 0; r < n; r++) {
        for (int a = 0; a < 4; a++) {
            scratch->transposed[4 * r + a] = store->row[a * store->row_stride + first + r];
        }
    }
    d->ops->product(n, scratch->transposed, 4, &d_gr, NULL, d_g, d->stride, 0);
}

static void REAL(dpa1_attention_backward)(const struct REAL(dpa1_chunk) * chunk, int64_t first, int64_t n,
                                          int64_t pairs)
{
    const struct REAL(dpa1) *d = chunk->w->d;
    const struct REAL(dpa1_store) *store = &chunk->store;
    const struct REAL(dpa1_scratch) *scratch = &chunk->scratch;
    int64_t stride = d->stride, last = d->attention.nlayer - 1;
    struct REAL(dgnn_attention_block) block = REAL(dpa1_block)(d, store, last, first, n, pairs);
    real *d_g = scratch->g[0];
    struct REAL(dgnn_moment) moment = REAL(dpa1_moment)(d, store, first, n, scratch, scratch->g[1]);
    REAL(dpa1_last)(&block, stride, scratch->g[1]);
    d->ops->moment_backward(&moment);
    REAL(dpa1_d_last)(d, store, first, n, scratch, d_g);
    memset(scratch->d_direction, 0, 3 * sizeof(real) * (size_t)store->row_stride);
    for (int64_t l = last; l >= 0; l--) {
        block = REAL(dpa1_block)(d, store, l, first, n, pairs);
        block.nempty = REAL(dpa1_absent)(d, chunk->graph, n);
        block.d_out = block.d_x = d_g;
        block.d_edge_switch = scratch->d_switch;
        block.d_direction = scratch->d_direction;
        block.scratch = scratch->attention;
        d->ops->attention_backward(&block);
    }
    d->ops->row_products(n, stride, d_g, store->tangent + first * stride, scratch->d_row, 4);
    if (REAL(dpa1_by_switch)(d)) {
        d->ops->row_products(n, stride, d_g, store->by_switch + first * stride, scratch->d_switch, 1);
    }
}

/* Row r of the centre whose rows begin at first: from row, switch and direction into the edge's gradient. */
static void REAL(dpa1_d_edge)(const struct REAL(dpa1_workspace) * w, const struct dgnn_evaluation *evaluation,
                              const struct REAL(dpa1_store) * store, int64_t begin, int64_t r,
                              const struct REAL(dpa1_scratch) * scratch)
{
    const struct REAL(dpa1) *d = w->d;
    const struct dgnn_graph *graph = evaluation->graph;
    int64_t e = w->rows.edge[begin + r], pad = store->row_stride;
    const struct dgnn_environment *environment = &d->settings->environment;
    const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, w->rows.centre[begin + r], 0, e);
    double d_row[4], row[4], d_direction[3];
    for (int a = 0; a < 4; a++) {
        d_row[a] = (double)scratch->d_row[4 * r + a];
    }
    if (d->attention.nlayer) {
        for (int a = 0; a < 3; a++) {
            d_direction[a] = (double)scratch->d_direction[a * pad + r];
        }
        dgnn_environment_row(environment, &edge, row);
        dpa1_d_direction(environment, &edge, row, d_direction, d_row, evaluation->edge_gradient + 3 * e);
    }
    dgnn_environment_backward(environment, &edge, d_row, (double)scratch->d_switch[r],
                              evaluation->edge_gradient + 3 * e);
}

/* All that a centre's rows get, centre by centre. */
static void REAL(dpa1_stage_d_centres)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dpa1_chunk) chunk = REAL(dpa1_begin)(of, call->chunk, call->thread, call->evaluation);
    const struct REAL(dpa1_workspace) *w = chunk.w;
    const struct REAL(dpa1) *d = w->d;
    const struct REAL(dpa1_scratch) *scratch = &chunk.scratch;
    int64_t first = w->rows.chunk[call->chunk], pairs = 0;
    for (int64_t r = chunk.begin; r < chunk.end;) {
        int64_t next = dgnn_edge_batches_run(&w->rows, r, chunk.end), n = next - r,
                i = w->rows.centre[r] - first;
        REAL(dgnn_moment_set_gradient)(&d->shape, call->output_gradient + i * d->settings->dim_out,
                                       1.0 / (double)d->settings->sel[0], scratch->moment);
        REAL(dgnn_moment_backward)(d->ops, &d->shape, chunk.store.gr + i * 4 * d->stride, scratch->d_gr,
                                   scratch->moment);
        if (call->evaluation->rotation) {
            REAL(dgnn_moment_rotation_backward)(
                &d->shape, call->evaluation->rotation_gradient + (first + i) * 3 * d->width,
                1.0 / (double)d->settings->sel[0], scratch->d_gr);
        }
        memset(scratch->d_switch, 0, sizeof(real) * (size_t)n);
        if (d->attention.nlayer) {
            REAL(dpa1_attention_backward)(&chunk, r - chunk.begin, n, pairs);
        } else {
            REAL(dpa1_plain_backward)(d, &chunk.store, r - chunk.begin, n, scratch);
        }
        for (int64_t k = 0; k < n; k++) {
            REAL(dpa1_d_edge)(w, call->evaluation, &chunk.store, r, k, scratch);
        }
        pairs += n * dgnn_table_pad(n, REAL_LANES);
        r = next;
    }
}

static const struct dgnn_backend REAL(dpa1_cpu) = {
    .name = "cpu",
    .load = REAL(dpa1_load),
    .free = REAL(dpa1_free),
    .keeps = 1,
    .workspace_create = REAL(dpa1_workspace_create),
    .workspace_free = REAL(dpa1_workspace_free),
    .reserve = REAL(dpa1_reserve),
    .chunks = REAL(dpa1_chunks),
    .places = REAL(dpa1_places),
    .stage = {[DPA1_GEOMETRY] = REAL(dpa1_stage_geometry),
              [DPA1_EMBED] = REAL(dpa1_stage_embed),
              [DPA1_ATTEND] = REAL(dpa1_stage_attend),
              [DPA1_MOMENT] = REAL(dpa1_stage_moment),
              [DPA1_D_CENTRES] = REAL(dpa1_stage_d_centres)},
};
