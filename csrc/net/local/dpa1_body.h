/* What an evaluation of DPA1 writes, its memory, and forward; after net/local/dpa1_load_body.h. */
#include "base/real.h"

/* What an evaluation writes. */
struct REAL(dpa1_workspace) {
    const struct REAL(dpa1) * d;
    struct dgnn_edge_batches rows;
    real *empty;         /* ntypes x 4 x stride: what one empty slot adds to gr */
    int64_t *place;      /* nchunk + 1: bytes in kept where each chunk's store begins */
    int64_t store_bytes; /* of the largest chunk */
    int64_t kept_bytes, scratch_bytes;
    int32_t keep; /* are stores kept from forward to backward? */
    struct dgnn_buffer shared, kept, scratch;
};

/* What backward needs of a chunk. Rows are the chunk's, row_stride a whole number of lines. */
struct REAL(dpa1_store) {
    int64_t nrow, row_stride;
    real *row;         /* 4 x row_stride */
    real *edge_switch; /* nrow */
    real *direction;   /* 3 x row_stride; with attention */
    real *g;           /* nrow x stride; without attention */
    real *tangent;     /* nrow x stride: of the embedding, by its scalar */
    real *by_switch;   /* nrow x stride: of the embedding, by the switch; strip and smooth */
    real *gr;          /* centres x 4 x stride */
    struct REAL(dgnn_attention_kept) * layer;
};

/* Scratch memory of a thread. */
struct REAL(dpa1_scratch) {
    real *input;     /* rows x inputs */
    real *embedding; /* dgnn_embedding_scratch */
    real *g[2];      /* rows x stride */
    real *attention;
    real *d_gr;        /* 4 x stride */
    real *moment;      /* dgnn_moment_scratch */
    real *d_row;       /* rows x 4 */
    real *transposed;  /* rows x 4: the environment's, one after the other */
    real *d_switch;    /* rows */
    real *d_direction; /* 3 x rows padded */
    void *store;       /* of a chunk, where stores are not kept */
};

/* ---------------------------------------------------------------- memory */

static void REAL(dpa1_workspace_free)(void *of)
{
    struct REAL(dpa1_workspace) *w = of;
    if (w) {
        dgnn_edge_batches_free(&w->rows);
        dgnn_buffer_free(&w->shared);
        dgnn_buffer_free(&w->kept);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

#include "net/local/local_body.h"

static int REAL(dpa1_by_switch)(const struct REAL(dpa1) * d)
{
    return d->strip && d->settings->params.smooth_type_embedding;
}

/* Reals of all attention of a chunk: each centre's are a square of its edges. */
static int64_t REAL(dpa1_pairs)(const struct REAL(dpa1_workspace) * w, int64_t c)
{
    const struct REAL(dpa1) *d = w->d;
    int64_t sum = 0, begin = w->rows.group[c], end = w->rows.group[c + 1];
    while (begin < end && d->attention.nlayer) {
        int64_t next = dgnn_edge_batches_run(&w->rows, begin, end), n = next - begin;
        sum += n * dgnn_table_pad(n, REAL_LANES);
        begin = next;
    }
    return sum;
}

static void REAL(dpa1_store_layer)(struct dgnn_arena *arena, const struct REAL(dgnn_attention_layer) * layer,
                                   int64_t nrow, int64_t npair, struct REAL(dgnn_attention_kept) * kept)
{
    int64_t width = dgnn_table_pad(layer->width, REAL_LANES);
    for (int part = 0; part < 3; part++) {
        size_t line = sizeof(real) * (size_t)REAL(dgnn_attention_stride)(layer, part);
        kept->length[part] = dgnn_arena_take(arena, nrow, sizeof(real));
        kept->in[part] = dgnn_arena_take(arena, nrow, line);
    }
    kept->attention = dgnn_arena_take(arena, npair, sizeof(real));
    kept->normed = dgnn_arena_take(arena, nrow, sizeof(real) * (size_t)width);
    kept->deviation = dgnn_arena_take(arena, nrow, sizeof(real));
}

static void REAL(dpa1_store_layout)(struct dgnn_arena *arena, const struct REAL(dpa1_workspace) * w,
                                    int64_t c, struct REAL(dpa1_store) * store)
{
    const struct REAL(dpa1) *d = w->d;
    int64_t nrow = w->rows.group[c + 1] - w->rows.group[c], ncentre = w->rows.chunk[c + 1] - w->rows.chunk[c];
    int64_t pad = dgnn_table_pad(nrow, REAL_LANES), npair = REAL(dpa1_pairs)(w, c),
            nlayer = d->attention.nlayer;
    size_t line = sizeof(real) * (size_t)d->stride;
    *store = (struct REAL(dpa1_store)){.nrow = nrow, .row_stride = pad};
    store->row = dgnn_arena_take(arena, pad, 4 * sizeof(real));
    store->edge_switch = dgnn_arena_take(arena, nrow, sizeof(real));
    store->direction = dgnn_arena_take(arena, nlayer ? pad : 0, 3 * sizeof(real));
    store->g = dgnn_arena_take(arena, nlayer ? 0 : nrow, line);
    store->tangent = dgnn_arena_take(arena, nrow, line);
    store->by_switch = dgnn_arena_take(arena, REAL(dpa1_by_switch)(d) ? nrow : 0, line);
    store->gr = dgnn_arena_take(arena, ncentre, 4 * line);
    store->layer = dgnn_arena_take(arena, nlayer, sizeof(*store->layer));
    for (int64_t l = 0; l < nlayer; l++) {
        struct REAL(dgnn_attention_kept) kept;
        REAL(dpa1_store_layer)(arena, &d->attention.layer[l], nrow, npair, &kept);
        if (store->layer) {
            store->layer[l] = kept;
        }
    }
}

static void REAL(dpa1_scratch_layout)(struct dgnn_arena *arena, const struct REAL(dpa1_workspace) * w,
                                      struct REAL(dpa1_scratch) * scratch)
{
    const struct REAL(dpa1) *d = w->d;
    int64_t nrow = w->rows.row_max, pad = dgnn_table_pad(nrow, REAL_LANES), attention = 0;
    int64_t nlayer = d->attention.nlayer;
    size_t line = sizeof(real) * (size_t)d->stride;
    for (int64_t l = 0; l < nlayer; l++) {
        int64_t need = REAL(dgnn_attention_scratch)(&d->attention.layer[l], nrow);
        attention = need > attention ? need : attention;
    }
    scratch->input = dgnn_arena_take(arena, nrow, sizeof(real) * (size_t)REAL(dpa1_inputs)(d));
    scratch->embedding = dgnn_arena_take(arena, REAL(dgnn_embedding_scratch)(&d->embedding), sizeof(real));
    scratch->g[0] = dgnn_arena_take(arena, nrow, line);
    scratch->g[1] = dgnn_arena_take(arena, nrow, line);
    scratch->attention = dgnn_arena_take(arena, attention, sizeof(real));
    scratch->d_gr = dgnn_arena_take(arena, 4, line);
    scratch->moment = dgnn_arena_take(arena, REAL(dgnn_moment_scratch)(&d->shape), sizeof(real));
    scratch->d_row = dgnn_arena_take(arena, nrow, 4 * sizeof(real));
    scratch->transposed = dgnn_arena_take(arena, nlayer ? nrow : 0, 4 * sizeof(real));
    scratch->d_switch = dgnn_arena_take(arena, nrow, sizeof(real));
    scratch->d_direction = dgnn_arena_take(arena, pad, 3 * sizeof(real));
    scratch->store = dgnn_arena_take(arena, w->keep ? 0 : w->store_bytes, 1);
}

static struct REAL(dpa1_scratch)
    REAL(dpa1_scratch_of_thread)(const struct REAL(dpa1_workspace) * w, int32_t thread)
{
    struct REAL(dpa1_scratch) scratch;
    struct dgnn_arena arena = REAL(dpa1_thread_arena)(w, thread);
    REAL(dpa1_scratch_layout)(&arena, w, &scratch);
    return scratch;
}

static struct REAL(dpa1_store)
    REAL(dpa1_store_of_chunk)(const struct REAL(dpa1_workspace) * w, int64_t c, void *unkept)
{
    struct REAL(dpa1_store) store;
    struct dgnn_arena arena = {.base = w->keep ? (char *)w->kept.data + w->place[c] : unkept};
    REAL(dpa1_store_layout)(&arena, w, c, &store);
    return store;
}

static void REAL(dpa1_shared_layout)(struct dgnn_arena *arena, struct REAL(dpa1_workspace) * w)
{
    const struct REAL(dpa1) *d = w->d;
    w->empty = dgnn_arena_take(arena, d->settings->ntypes, 4 * sizeof(real) * (size_t)d->stride);
    w->place = dgnn_arena_take(arena, w->rows.nchunk + 1, sizeof(int64_t));
}

static int REAL(dpa1_reserve_stores)(struct REAL(dpa1_workspace) * w,
                                     const struct dgnn_evaluation *evaluation, struct dgnn_error *error)
{
    const struct REAL(dpa1) *d = w->d;
    struct dgnn_arena arena = {0};
    struct REAL(dpa1_store) store;
    struct REAL(dpa1_scratch) scratch;
    REAL(dpa1_shared_layout)(&arena, w);
    DGNN_TRY(dgnn_buffer_reserve(&w->shared, arena.used, "places of chunks", error));
    arena = (struct dgnn_arena){.base = w->shared.data};
    REAL(dpa1_shared_layout)(&arena, w);
    w->keep = evaluation->want_gradient && d->settings->memory == DGNN_MEMORY_FAST;
    w->store_bytes = 0;
    arena = (struct dgnn_arena){0};
    for (int64_t c = 0; c < w->rows.nchunk; c++) {
        w->place[c] = arena.used;
        REAL(dpa1_store_layout)(&arena, w, c, &store);
        int64_t bytes = arena.used - w->place[c];
        w->store_bytes = bytes > w->store_bytes ? bytes : w->store_bytes;
    }
    w->kept_bytes = w->keep ? arena.used : 0;
    DGNN_TRY(dgnn_buffer_reserve(&w->kept, w->kept_bytes, "intermediate results", error));
    arena = (struct dgnn_arena){0};
    REAL(dpa1_scratch_layout)(&arena, w, &scratch);
    w->scratch_bytes = arena.used;
    return dgnn_buffer_reserve_each(&w->scratch, w->scratch_bytes, d->settings->threads, "scratch of threads",
                                    error);
}

/* ---------------------------------------------------------------- forward */

/* g (stride) and, where wanted, its derivatives: the strip mode's second factor, in place. */
static void REAL(dpa1_apply_strip)(const struct REAL(dpa1) * d, const real *factor, real edge_switch, real *g,
                                   real *tangent, real *by_switch)
{
    real smooth = d->settings->params.smooth_type_embedding ? edge_switch : 1;
    for (int64_t c = 0; c < d->stride && by_switch; c++) {
        by_switch[c] = g[c] * factor[c];
    }
    for (int64_t c = 0; c < d->stride; c++) {
        g[c] *= 1 + smooth * factor[c];
    }
    for (int64_t c = 0; c < d->stride && tangent; c++) {
        tangent[c] *= 1 + smooth * factor[c];
    }
}

static const real *REAL(dpa1_strip_row)(const struct REAL(dpa1) * d, int64_t centre, int64_t neighbour)
{
    return d->strip + (centre * (d->settings->ntypes + 1) + neighbour) * d->stride;
}

/* What one empty slot of a centre of each type adds to gr. */
static void REAL(dpa1_empty_slots)(struct REAL(dpa1_workspace) * w, const struct dgnn_graph *graph,
                                   const struct REAL(dpa1_scratch) * scratch)
{
    const struct REAL(dpa1) *d = w->d;
    const struct dpa1_settings *s = d->settings;
    int64_t null = graph->first_type < 0 ? s->ntypes : graph->first_type;
    for (int32_t t = 0; t < s->ntypes; t++) {
        struct REAL(dgnn_embedding_rows)
            row = {.nrow = 1, .x = scratch->input, .x_stride = REAL(dpa1_inputs)(d)};
        double environment[4];
        dgnn_environment_empty_row(&s->environment, t, 0, environment);
        scratch->input[0] = (real)environment[0];
        if (!d->strip) {
            REAL(dpa1_types)(s, t, null, scratch->input + 1);
        }
        row.y = scratch->g[0];
        row.stride = d->stride;
        row.scratch = scratch->embedding;
        REAL(dgnn_embedding_forward)(d->ops, &d->embedding, 0, &row);
        if (d->strip) {
            REAL(dpa1_apply_strip)(d, REAL(dpa1_strip_row)(d, t, null), 0, row.y, NULL, NULL);
        }
        REAL(dgnn_attention_empty)(&d->attention, row.y);
        for (int64_t c = 0; c < 4 * d->stride; c++) {
            w->empty[t * 4 * d->stride + c] = (real)environment[c / d->stride] * row.y[c % d->stride];
        }
    }
}

/* Rows of the environment, switches and directions. */
static void REAL(dpa1_geometry)(const struct REAL(dpa1_workspace) * w, const struct dgnn_graph *graph,
                                int64_t begin, const struct REAL(dpa1_store) * store)
{
    const struct REAL(dpa1) *d = w->d;
    int64_t pad = store->row_stride;
    for (int64_t r = 0; r < store->nrow; r++) {
        int64_t e = w->rows.edge[begin + r];
        double row[4];
        const struct dgnn_environment_edge edge =
            dgnn_environment_edge(graph, w->rows.centre[begin + r], 0, e);
        store->edge_switch[r] = (real)dgnn_environment_row(&d->settings->environment, &edge, row);
        for (int a = 0; a < 4; a++) {
            store->row[a * pad + r] = (real)row[a];
        }
        if (d->attention.nlayer) {
            double length = sqrt(row[1] * row[1] + row[2] * row[2] + row[3] * row[3]);
            for (int a = 0; a < 3; a++) {
                store->direction[a * pad + r] = (real)(row[a + 1] / fmax(length, 1e-12));
            }
        }
    }
}

/* The embedding of all rows of a chunk. */
static void REAL(dpa1_embed)(const struct REAL(dpa1_workspace) * w, const struct dgnn_graph *graph,
                             int64_t begin, const struct REAL(dpa1_store) * store,
                             const struct REAL(dpa1_scratch) * scratch, real *g)
{
    const struct REAL(dpa1) *d = w->d;
    int64_t inputs = REAL(dpa1_inputs)(d), stride = d->stride;
    struct REAL(dgnn_embedding_rows) rows = {.nrow = store->nrow,
                                             .x = scratch->input,
                                             .x_stride = inputs,
                                             .y = g,
                                             .tangent = store->tangent,
                                             .stride = stride,
                                             .scratch = scratch->embedding};
    for (int64_t r = 0; r < store->nrow; r++) {
        int32_t centre = graph->type[w->rows.centre[begin + r]];
        int32_t neighbour = graph->type[graph->neighbour[w->rows.edge[begin + r]]];
        scratch->input[r * inputs] = store->row[r];
        if (!d->strip) {
            REAL(dpa1_types)(d->settings, centre, neighbour, scratch->input + r * inputs + 1);
        }
    }
    REAL(dgnn_embedding_forward)(d->ops, &d->embedding, 0, &rows);
    for (int64_t r = 0; r < store->nrow && d->strip; r++) {
        int32_t centre = graph->type[w->rows.centre[begin + r]];
        int32_t neighbour = graph->type[graph->neighbour[w->rows.edge[begin + r]]];
        REAL(dpa1_apply_strip)(d, REAL(dpa1_strip_row)(d, centre, neighbour), store->edge_switch[r],
                               g + r * stride, store->tangent ? store->tangent + r * stride : NULL,
                               store->tangent && REAL(dpa1_by_switch)(d) ? store->by_switch + r * stride
                                                                         : NULL);
    }
}

/* The block of layer l on n rows from first on (in the chunk), whose attention begins at pairs. */
static struct REAL(dgnn_attention_block)
    REAL(dpa1_block)(const struct REAL(dpa1) * d, const struct REAL(dpa1_store) * store, int64_t l,
                     int64_t first, int64_t n, int64_t pairs)
{
    const struct REAL(dgnn_attention_layer) *layer = &d->attention.layer[l];
    struct REAL(dgnn_attention_kept) kept = store->layer[l];
    for (int part = 0; part < 3; part++) {
        kept.length[part] += first;
        kept.in[part] += first * REAL(dgnn_attention_stride)(layer, part);
    }
    kept.attention += pairs;
    kept.normed += first * d->stride;
    kept.deviation += first;
    return (struct REAL(dgnn_attention_block)){.ops = d->ops,
                                               .layer = layer,
                                               .kept = kept,
                                               .n = n,
                                               .edge_switch = store->edge_switch + first,
                                               .direction = store->direction + first,
                                               .direction_stride = store->row_stride};
}

/* Empty slots of a centre with n rows, as the attention's denominator counts them: excluded edges are among
 * them. */
static int64_t REAL(dpa1_absent)(const struct REAL(dpa1) * d, const struct dgnn_graph *graph, int64_t n)
{
    return graph->dense && d->settings->sel[0] > n ? d->settings->sel[0] - n : 0;
}

/* Attention of all centres of a chunk: g[0] in, the returned one of g out. */
static real *REAL(dpa1_attend)(const struct REAL(dpa1_workspace) * w, const struct dgnn_graph *graph,
                               int64_t begin, const struct REAL(dpa1_store) * store,
                               const struct REAL(dpa1_scratch) * scratch)
{
    const struct REAL(dpa1) *d = w->d;
    int64_t pairs = 0, end = begin + store->nrow;
    for (int64_t r = begin; r < end;) {
        int64_t next = dgnn_edge_batches_run(&w->rows, r, end), n = next - r, first = r - begin;
        for (int64_t l = 0; l < d->attention.nlayer; l++) {
            struct REAL(dgnn_attention_block) block = REAL(dpa1_block)(d, store, l, first, n, pairs);
            block.nempty = REAL(dpa1_absent)(d, graph, n);
            block.x = scratch->g[l % 2] + first * d->stride;
            block.out = scratch->g[(l + 1) % 2] + first * d->stride;
            block.scratch = scratch->attention;
            d->ops->attention_forward(&block);
        }
        pairs += n * dgnn_table_pad(n, REAL_LANES);
        r = next;
    }
    return scratch->g[d->attention.nlayer % 2];
}

static void REAL(dpa1_write)(const struct REAL(dpa1) * d, int32_t type, const real *gr, double *output)
{
    const int64_t first = d->width * d->shape.axis, n = d->settings->dim_out - first;
    REAL(dgnn_moment_output)(&d->shape, gr, output);
    for (int64_t c = 0; c < n; c++) { /* the type's embedding, where the output ends in it */
        output[first + c] = d->settings->table[type * n + c];
    }
}

/* Rows, stores, and what empty slots add. */
static int REAL(dpa1_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                              struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(dpa1_workspace) *w = of;
    const struct dpa1_settings *s = w->d->settings;
    struct dgnn_edge_batches_rule rule = {
        .ntypes = s->ntypes, .ngroup = 1, .target = DPA1_CHUNK_ROWS, .group = s->group};
    (void)profile;
    DGNN_TRY(dgnn_edge_batches_make(&w->rows, evaluation->graph, &rule, error));
    w->rows.row_max = w->rows.row_max > 1 ? w->rows.row_max : 1; /* the empty slots' row */
    DGNN_TRY(REAL(dpa1_reserve_stores)(w, evaluation, error));
    struct REAL(dpa1_scratch) first = REAL(dpa1_scratch_of_thread)(w, 0);
    if (evaluation->graph->dense && s->has_mean) {
        REAL(dpa1_empty_slots)(w, evaluation->graph, &first);
    }
    return DGNN_OK;
}

/* A chunk on a thread. */
struct REAL(dpa1_chunk) {
    const struct REAL(dpa1_workspace) * w;
    const struct dgnn_graph *graph;
    int64_t begin, end; /* rows */
    struct REAL(dpa1_scratch) scratch;
    struct REAL(dpa1_store) store;
    real *first; /* where the embedding is, before attention */
};

static struct REAL(dpa1_chunk)
    REAL(dpa1_begin)(const void *of, int64_t c, int32_t thread, const struct dgnn_evaluation *evaluation)
{
    const struct REAL(dpa1_workspace) *w = of;
    struct REAL(dpa1_chunk) chunk = {.w = w,
                                     .graph = evaluation ? evaluation->graph : NULL,
                                     .begin = w->rows.group[c],
                                     .end = w->rows.group[c + 1],
                                     .scratch = REAL(dpa1_scratch_of_thread)(w, thread)};
    chunk.store = REAL(dpa1_store_of_chunk)(w, c, chunk.scratch.store);
    chunk.first = w->d->attention.nlayer ? chunk.scratch.g[0] : chunk.store.g;
    return chunk;
}

static void REAL(dpa1_list_attention)(const struct REAL(dpa1_chunk) * chunk, int64_t l, int64_t npair,
                                      struct dgnn_places *to)
{
    const struct REAL(dgnn_attention_layer) *layer = &chunk->w->d->attention.layer[l];
    const struct REAL(dgnn_attention_kept) *kept = &chunk->store.layer[l];
    int64_t size = sizeof(real), line = dgnn_table_pad(layer->width, REAL_LANES) * size;
    const struct dgnn_place_rows rows = {chunk->store.nrow, chunk->store.nrow}, pairs = {npair, npair};
    for (int part = 0; part < 3; part++) {
        dgnn_backend_list(to, DPA1_AT_ATTENTION, -1, kept->length[part], rows, size);
        dgnn_backend_list(to, DPA1_AT_ATTENTION, -1, kept->in[part], rows,
                          REAL(dgnn_attention_stride)(layer, part) * size);
    }
    dgnn_backend_list(to, DPA1_AT_ATTENTION, -1, kept->attention, pairs, size);
    dgnn_backend_list(to, DPA1_AT_ATTENTION, -1, kept->normed, rows, line);
    dgnn_backend_list(to, DPA1_AT_ATTENTION, -1, kept->deviation, rows, size);
}

static void REAL(dpa1_places)(void *of, int64_t c, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(dpa1_chunk) chunk = REAL(dpa1_begin)(of, c, thread, NULL);
    const struct REAL(dpa1_workspace) *w = of;
    const struct REAL(dpa1) *d = w->d;
    const struct REAL(dpa1_store) *store = &chunk.store;
    int64_t size = sizeof(real), line = d->stride * size, n = w->rows.chunk[c + 1] - w->rows.chunk[c];
    const struct dgnn_place_rows rows = {store->nrow, store->nrow}, centres = {n, n};
    const struct dgnn_place_rows padded = {store->row_stride, 0};
    dgnn_backend_list(to, DPA1_AT_ROWS, -1, store->row, padded, 4 * size);
    dgnn_backend_list(to, DPA1_AT_ROWS, -1, store->edge_switch, rows, size);
    dgnn_backend_list(to, DPA1_AT_ROWS, -1, d->attention.nlayer ? store->direction : NULL, padded, 3 * size);
    dgnn_backend_list(to, DPA1_AT_G, -1, chunk.first, rows, line);
    dgnn_backend_list(to, DPA1_AT_G, -1, d->attention.nlayer ? chunk.scratch.g[1] : NULL, rows, line);
    dgnn_backend_list(to, DPA1_AT_SLOPES, -1, store->tangent, rows, line);
    dgnn_backend_list(to, DPA1_AT_SLOPES, -1, REAL(dpa1_by_switch)(d) ? store->by_switch : NULL, rows, line);
    dgnn_backend_list(to, DPA1_AT_MOMENT, -1, store->gr, centres, 4 * line);
    for (int64_t l = 0; l < d->attention.nlayer; l++) {
        REAL(dpa1_list_attention)(&chunk, l, REAL(dpa1_pairs)(w, c), to);
    }
    if (w->keep) {
        int64_t nchunk = w->rows.nchunk, end = c + 1 < nchunk ? w->place[c + 1] : w->kept_bytes;
        dgnn_backend_list_others(to, w->kept.data, w->kept_bytes, w->place[c], end);
    }
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, chunk.scratch.d_row, rows, 4 * size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, chunk.scratch.d_switch, rows, size);
}

/* ---------------------------------------------------------------- stages: forward */

static void REAL(dpa1_stage_geometry)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dpa1_chunk) chunk = REAL(dpa1_begin)(of, call->chunk, call->thread, call->evaluation);
    REAL(dpa1_geometry)(chunk.w, chunk.graph, chunk.begin, &chunk.store);
}

/* The slopes where they are kept, or backward is next. */
static void REAL(dpa1_stage_embed)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dpa1_chunk) chunk = REAL(dpa1_begin)(of, call->chunk, call->thread, call->evaluation);
    chunk.store.tangent = chunk.w->keep || call->again ? chunk.store.tangent : NULL;
    REAL(dpa1_embed)(chunk.w, chunk.graph, chunk.begin, &chunk.store, &chunk.scratch, chunk.first);
}

static void REAL(dpa1_stage_attend)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dpa1_chunk) chunk = REAL(dpa1_begin)(of, call->chunk, call->thread, call->evaluation);
    if (chunk.w->d->attention.nlayer) {
        REAL(dpa1_attend)(chunk.w, chunk.graph, chunk.begin, &chunk.store, &chunk.scratch);
    }
}

/* gr of centre i, from its n rows from first on, whose embeddings after attention are those of g. */
static void REAL(dpa1_reduce)(const struct REAL(dpa1_chunk) * chunk, int64_t i, int64_t first, int64_t n,
                              const real *g, real *gr)
{
    const struct REAL(dpa1) *d = chunk->w->d;
    const struct dpa1_settings *s = d->settings;
    const struct dgnn_graph *graph = chunk->graph;
    int64_t vacant = s->sel[0] - (graph->first[i + 1] - graph->first[i]);
    const real *empty = chunk->w->empty + graph->type[i] * 4 * d->stride;
    real count = (real)(graph->dense && s->has_mean && vacant > 0 ? vacant : 0);
    for (int64_t c = 0; c < 4 * d->stride; c++) {
        gr[c] = count > 0 ? count * empty[c] : 0;
    }
    if (n) {
        const struct REAL(dgnn_moment) rows = {.nrow = n,
                                               .row = chunk->store.row + first,
                                               .row_stride = chunk->store.row_stride,
                                               .stride = d->stride,
                                               .g = g + first * d->stride};
        REAL(dgnn_moment_add)(d->ops, &rows, gr);
    }
    for (int64_t c = 0; c < 4 * d->stride; c++) {
        gr[c] *= (real)(1.0 / (double)s->sel[0]);
    }
}

static void REAL(dpa1_stage_moment)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(dpa1_chunk) chunk = REAL(dpa1_begin)(of, call->chunk, call->thread, call->evaluation);
    const struct REAL(dpa1_workspace) *w = chunk.w;
    const struct REAL(dpa1) *d = w->d;
    int64_t first = w->rows.chunk[call->chunk], r = chunk.begin, nlayer = d->attention.nlayer;
    const real *g = nlayer ? chunk.scratch.g[nlayer % 2] : chunk.first;
    for (int64_t i = first; i < w->rows.chunk[call->chunk + 1]; i++) {
        int64_t next =
            r < chunk.end && w->rows.centre[r] == i ? dgnn_edge_batches_run(&w->rows, r, chunk.end) : r;
        real *gr = chunk.store.gr + (i - first) * 4 * d->stride;
        REAL(dpa1_reduce)(&chunk, i, r - chunk.begin, next - r, g, gr);
        if (call->output) {
            REAL(dpa1_write)(d, chunk.graph->type[i], gr, call->output + (i - first) * d->settings->dim_out);
            if (call->evaluation->rotation) {
                REAL(dgnn_moment_rotation)(&d->shape, gr, call->evaluation->rotation + i * 3 * d->width);
            }
        }
        r = next;
    }
}
