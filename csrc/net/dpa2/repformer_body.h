/* Evaluation of the repformer block: rooms, the pairs' start, and the layers around the exchange of g1. */
#include "base/real.h"

/* ---------------------------------------------------------------- rooms */

/* Centres that the last layer sees: whole chunks. */
static int64_t REAL(repformer_used)(const struct REAL(dgnn_repformer) * block)
{
    return block->nused ? dgnn_sublist_chunk_end(&block->list, block->nused - 1) : 0;
}

static void REAL(repformer_layout)(struct REAL(dgnn_repformer) * block, struct dgnn_arena *arena)
{
    const struct dgnn_sublist *list = &block->list;
    int64_t g1 = list->nnode * block->ng1p, g2 = list->npair * block->ng2p, h2 = list->npair * 4;
    block->sw = dgnn_arena_take(arena, list->npair, sizeof(double));
    block->start_slope = dgnn_arena_take(arena, list->ncentre * block->ng1p, sizeof(real));
    block->embedding_slope = dgnn_arena_take(arena, g2, sizeof(real));
    for (int64_t l = 0; l <= block->nlayer; l++) {
        const struct dgnn_repformer_switches *before = l ? &block->layer[l - 1].s : NULL;
        block->g1[l] = dgnn_arena_take(arena, g1, sizeof(real));
        block->g2[l] =
            !before || before->has_pair ? dgnn_arena_take(arena, g2, sizeof(real)) : block->g2[l - 1];
        block->h2[l] =
            !before || before->has_vector ? dgnn_arena_take(arena, h2, sizeof(real)) : block->h2[l - 1];
    }
    for (int64_t l = 0; l < block->nlayer && block->context.keep; l++) {
        REAL(repformer_pair_layout)(&block->layer[l], block->ng2p, list->npair,
                                    list->square_first[list->nchunk], arena, &block->pair_kept[l]);
        int64_t ncentre = l + 1 < block->nlayer ? list->ncentre : REAL(repformer_used)(block);
        REAL(repformer_node_layout)(block, &block->layer[l], ncentre, list->first[ncentre], arena,
                                    &block->node_kept[l]);
    }
    for (int k = 0; k < 2; k++) {
        block->d_g1[k] = dgnn_arena_take(arena, g1, sizeof(real));
        block->d_g2[k] = dgnn_arena_take(arena, g2, sizeof(real));
        block->d_h2[k] = dgnn_arena_take(arena, h2, sizeof(real));
    }
    block->d_sw = dgnn_arena_take(arena, list->npair, sizeof(double));
    block->d_neighbour = dgnn_arena_take(arena, list->npair * block->ng1p, sizeof(real));
}

/* Bytes of a thread's scratch: the most that a phase of a layer takes. */
static int64_t REAL(repformer_scratch)(const struct REAL(dgnn_repformer) * block)
{
    int64_t most = 0;
    for (int64_t l = 0; l < block->nlayer; l++) {
        struct REAL(repformer_pair_rooms) pair;
        struct REAL(repformer_node_rooms) node;
        struct REAL(dgnn_repformer_pair_kept) pair_kept;
        struct REAL(dgnn_repformer_node_kept) node_kept;
        struct dgnn_arena first = {0}, second = {0};
        REAL(repformer_pair_rooms)(block, block->layer[l].pair_heads.w.ncol, &first, &pair);
        REAL(repformer_node_rooms)(block, &block->layer[l], &second, &node);
        if (!block->context.keep) {
            REAL(repformer_pair_layout)(&block->layer[l], block->ng2p, block->list.chunk_max,
                                        block->list.square_max, &first, &pair_kept);
            REAL(repformer_node_layout)(block, &block->layer[l], DGNN_SUBLIST_CHUNK, block->list.chunk_max,
                                        &second, &node_kept);
        }
        most = first.used > most ? first.used : most;
        most = second.used > most ? second.used : most;
    }
    return most;
}

static int REAL(repformer_reserve)(struct REAL(dgnn_repformer) * block, struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    int64_t total;
    REAL(repformer_layout)(block, &arena);
    DGNN_TRY(dgnn_buffer_reserve(&block->buffer, arena.used, "features of DPA2's layers", error));
    arena = (struct dgnn_arena){.base = block->buffer.data};
    REAL(repformer_layout)(block, &arena);
    block->scratch_size = REAL(repformer_scratch)(block);
    if (!dgnn_alloc_checked(block->scratch_size, block->context.threads, 0, &total)) {
        total = INT64_MAX;
    }
    return dgnn_buffer_reserve(&block->scratch, total, "scratch of DPA2's layers", error);
}

/* ---------------------------------------------------------------- chunks */

static void REAL(repformer_pair_phase)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_pair_rooms) rooms;
    REAL(repformer_pair_rooms)(c->block, REAL(repformer_heads_width)(c), &c->scratch, &rooms);
    struct REAL(dgnn_repformer_pair_kept) kept = REAL(repformer_pair_kept)(c);
    REAL(repformer_pair_forward)(c, &kept, &rooms);
}

static void REAL(repformer_node_phase)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_node_rooms) rooms;
    REAL(repformer_node_rooms)(c->block, c->layer, &c->scratch, &rooms);
    struct REAL(dgnn_repformer_node_kept) kept = REAL(repformer_node_kept)(c);
    REAL(repformer_node_forward)(c, &kept, &rooms);
}

static void REAL(repformer_pair_phase_back)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_pair_rooms) rooms;
    REAL(repformer_pair_rooms)(c->block, REAL(repformer_heads_width)(c), &c->scratch, &rooms);
    struct REAL(dgnn_repformer_pair_kept) kept = REAL(repformer_pair_kept)(c);
    if (!c->block->context.keep) {
        REAL(repformer_pair_forward)(c, &kept, &rooms);
    }
    REAL(repformer_pair_backward)(c, &kept, &rooms);
}

static void REAL(repformer_node_phase_back)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_node_rooms) rooms;
    REAL(repformer_node_rooms)(c->block, c->layer, &c->scratch, &rooms);
    struct REAL(dgnn_repformer_node_kept) kept = REAL(repformer_node_kept)(c);
    if (!c->block->context.keep) {
        REAL(repformer_node_forward)(c, &kept, &rooms);
    }
    REAL(repformer_node_backward)(c, &kept, &rooms);
}

/* Runs a phase of layer l over all chunks, or, from layer last on, over those with nodes whose output is used. Chunks
 * write only what is their own, so their order does not matter. */
static void REAL(repformer_run)(struct REAL(dgnn_repformer) * block, int64_t l, int64_t last,
                                void (*phase)(struct REAL(repformer_chunk) *))
{
    const struct dgnn_sublist *list = &block->list;
    int64_t nchunk = l < last ? list->nchunk : block->nused;
    int32_t threads = block->context.threads;
    (void)threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t chunk = 0; chunk < nchunk; chunk++) {
        int64_t begin = dgnn_sublist_chunk_begin(chunk), end = dgnn_sublist_chunk_end(list, chunk);
        char *room = (char *)block->scratch.data + block->scratch_size * repformer_thread();
        struct REAL(repformer_chunk) c = {.block = block,
                                          .layer = &block->layer[l],
                                          .index = l,
                                          .begin = begin,
                                          .end = end,
                                          .pair = list->first[begin],
                                          .npair = list->first[end] - list->first[begin],
                                          .scratch = {.base = room}};
        phase(&c);
    }
}

/* Pairs of nodes whose output is not used are of no more use a layer before the last; what the nodes' phase adds to
 * them there needs them nevertheless. */
static void REAL(repformer_run_pairs)(struct REAL(dgnn_repformer) * block, int64_t l,
                                      void (*phase)(struct REAL(repformer_chunk) *))
{
    const struct dgnn_repformer_switches *s = &block->layer[l].s;
    if (s->has_pair) {
        REAL(repformer_run)(block, l, block->nlayer - (s->has_product ? 1 : 2), phase);
    }
}

/* The last layer's gradients where it was left out. */
static void REAL(repformer_clear_unused)(struct REAL(dgnn_repformer) * block)
{
    const struct dgnn_sublist *list = &block->list;
    int64_t from = REAL(repformer_used)(block), pair = list->first[from], npair = list->npair - pair;
    memset(block->d_g1[0] + from * block->ng1p, 0, sizeof(real) * (size_t)((list->ncentre - from) * block->ng1p));
    memset(block->d_neighbour + pair * block->ng1p, 0, sizeof(real) * (size_t)(npair * block->ng1p));
    memset(block->d_g2[0] + pair * block->ng2p, 0, sizeof(real) * (size_t)(npair * block->ng2p));
    memset(block->d_h2[0] + pair * 4, 0, sizeof(real) * (size_t)(npair * 4));
}

/* ---------------------------------------------------------------- the pairs' start */

static void REAL(repformer_start_pair)(struct REAL(dgnn_repformer) * block, const struct dgnn_graph *graph,
                                       int64_t i, int64_t pair)
{
    int64_t e = block->list.edge[pair];
    const double *vector = graph->vector + 3 * e;
    double row[4], w, inverse = 1 / block->environment.cutoff;
    real *g2 = block->g2[0] + pair * block->ng2p, *h2 = block->h2[0] + 4 * pair;
    w = dgnn_environment_row(&block->environment, graph->type[i], 0, vector, graph->distance[e], row);
    if (block->direct) {
        row[0] = graph->distance[e] * inverse;
        for (int d = 0; d < 3; d++) {
            row[1 + d] = vector[d] * inverse;
        }
    }
    block->sw[pair] = w;
    for (int d = 0; d < 3; d++) {
        h2[d] = (real)row[1 + d];
    }
    h2[3] = 0;
    for (int64_t k = 0; k < block->ng2; k++) {
        g2[k] = (real)row[0] * block->embedding.w.data[k] +
                (block->embedding.bias ? block->embedding.bias[k] : 0);
    }
    for (int64_t k = block->ng2; k < block->ng2p; k++) {
        g2[k] = 0;
    }
}

static void REAL(repformer_start_pairs)(struct REAL(dgnn_repformer) * block, const struct dgnn_graph *graph)
{
    const struct dgnn_sublist *list = &block->list;
    int32_t threads = block->context.threads;
    (void)threads;
#pragma omp parallel for schedule(dynamic, 16) num_threads(threads)
    for (int64_t i = 0; i < list->ncentre; i++) {
        int64_t first = list->first[i], end = list->first[i + 1];
        for (int64_t pair = first; pair < end; pair++) {
            REAL(repformer_start_pair)(block, graph, i, pair);
        }
        real *g2 = block->g2[0] + first * block->ng2p;
        block->ops->activate(&block->activation, (end - first) * block->ng2p, g2, g2,
                             block->embedding_slope + first * block->ng2p);
        for (int64_t pair = first; pair < end; pair++) {
            for (int64_t k = block->ng2; k < block->ng2p; k++) {
                block->g2[0][pair * block->ng2p + k] = 0;
            }
        }
    }
}

static void REAL(repformer_start_pair_backward)(const struct REAL(dgnn_repformer) * block,
                                                const struct dgnn_graph *graph, int64_t i, int64_t pair,
                                                double *gradient)
{
    int64_t e = block->list.edge[pair];
    const double *vector = graph->vector + 3 * e;
    double d_row[4] = {0, 0, 0, 0}, inverse = 1 / block->environment.cutoff;
    const real *d_g2 = block->d_g2[1] + pair * block->ng2p,
               *slope = block->embedding_slope + pair * block->ng2p;
    for (int64_t k = 0; k < block->ng2; k++) {
        d_row[0] += (double)(d_g2[k] * slope[k] * block->embedding.w.data[k]);
    }
    for (int d = 0; d < 3; d++) {
        d_row[1 + d] = (double)block->d_h2[1][4 * pair + d];
    }
    if (block->direct) {
        for (int d = 0; d < 3; d++) {
            gradient[3 * e + d] += (d_row[0] / graph->distance[e] * vector[d] + d_row[1 + d]) * inverse;
        }
        memset(d_row, 0, sizeof(d_row));
    }
    dgnn_environment_backward(&block->environment, graph->type[i], 0, vector, graph->distance[e], d_row,
                              block->d_sw[pair], gradient + 3 * e);
}

/* ---------------------------------------------------------------- the block */

/* The rows that each layer sends, and those of its gradient. */
static int REAL(repformer_prepare_exchange)(struct REAL(dgnn_repformer) * block, struct dgnn_exchange *exchange,
                                            struct dgnn_error *error)
{
    int64_t width = block->ng1p;
    for (int64_t l = 0; l < block->nlayer; l++) {
        if (REAL(repformer_sees_nodes)(&block->layer[l])) {
            DGNN_TRY(dgnn_exchange_prepare(exchange, block->g1[l], width, sizeof(real), error));
        }
    }
    DGNN_TRY(dgnn_exchange_prepare(exchange, block->d_g1[0], width, sizeof(real), error));
    return dgnn_exchange_prepare(exchange, block->d_g1[1], width, sizeof(real), error);
}

int REAL(dgnn_repformer_prepare)(struct REAL(dgnn_repformer) * block, const struct dgnn_evaluation *evaluation,
                                 struct dgnn_error *error)
{
    struct dgnn_sublist_rule rule = {.cutoff = block->environment.cutoff,
                                     .nsel = block->nsel,
                                     .excluded = block->context.excluded,
                                     .ntypes = block->context.ntypes,
                                     .lanes = REAL_LANES,
                                     .want_reverse = 1};
    block->dense = evaluation->graph->dense;
    block->nused = (evaluation->graph->nowned - evaluation->nidle + DGNN_SUBLIST_CHUNK - 1) / DGNN_SUBLIST_CHUNK;
    DGNN_TRY(dgnn_sublist_build(evaluation->graph, &rule, &block->list, error));
    DGNN_TRY(REAL(repformer_reserve)(block, error));
    return REAL(repformer_prepare_exchange)(block, evaluation->exchange, error);
}

real *REAL(dgnn_repformer_input)(struct REAL(dgnn_repformer) * block)
{
    return block->g1[0];
}

int REAL(dgnn_repformer_forward)(struct REAL(dgnn_repformer) * block,
                                 const struct dgnn_evaluation *evaluation, const real **output,
                                 struct dgnn_error *error)
{
    int64_t n = block->list.ncentre * block->ng1p;
    block->ops->activate(&block->activation, n, block->g1[0], block->g1[0], block->start_slope);
    for (int64_t i = 0; i < block->list.ncentre; i++) {
        for (int64_t k = block->ng1; k < block->ng1p; k++) {
            block->g1[0][i * block->ng1p + k] = 0;
        }
    }
    REAL(repformer_start_pairs)(block, evaluation->graph);
    for (int64_t l = 0; l < block->nlayer; l++) {
        const struct REAL(dgnn_repformer_layer) *layer = &block->layer[l];
        struct dgnn_exchange *exchange = REAL(repformer_sees_nodes)(layer) ? evaluation->exchange : NULL;
        dgnn_profile_end(evaluation->profile, DGNN_PHASE_FORWARD);
        DGNN_TRY(dgnn_exchange_forward_begin(exchange, block->g1[l], block->ng1p, sizeof(real), error));
        dgnn_profile_end(evaluation->profile, DGNN_PHASE_MESSAGES);
        REAL(repformer_run_pairs)(block, l, REAL(repformer_pair_phase));
        dgnn_profile_end(evaluation->profile, DGNN_PHASE_FORWARD);
        DGNN_TRY(dgnn_exchange_forward_end(exchange, error));
        dgnn_profile_end(evaluation->profile, DGNN_PHASE_MESSAGES);
        REAL(repformer_run)(block, l, block->nlayer - 1, REAL(repformer_node_phase));
    }
    int64_t used = REAL(repformer_used)(block) * block->ng1p;
    memset(block->g1[block->nlayer] + used, 0, sizeof(real) * (size_t)(n - used));
    *output = block->g1[block->nlayer];
    return DGNN_OK;
}

real *REAL(dgnn_repformer_gradient)(struct REAL(dgnn_repformer) * block)
{
    return block->d_g1[1];
}

/* Gradients of neighbours' rows: each node adds what its pairs hold, in the order of the pairs. */
static void REAL(repformer_collect)(struct REAL(dgnn_repformer) * block)
{
    const struct dgnn_sublist *list = &block->list;
    int64_t width = block->ng1p;
    int32_t threads = block->context.threads;
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t j = 0; j < list->nnode; j++) {
        real *row = block->d_g1[0] + j * width;
        if (j >= list->ncentre) {
            memset(row, 0, sizeof(real) * (size_t)width);
        }
        for (int64_t r = list->reverse_first[j]; r < list->reverse_first[j + 1]; r++) {
            const real *from = block->d_neighbour + list->reverse[r] * width;
            for (int64_t k = 0; k < width; k++) {
                row[k] += from[k];
            }
        }
    }
}

static void REAL(repformer_swap)(real **pair)
{
    real *first = pair[0];
    pair[0] = pair[1];
    pair[1] = first;
}

static int REAL(repformer_layer_backward)(struct REAL(dgnn_repformer) * block,
                                          const struct dgnn_evaluation *evaluation, int64_t l,
                                          struct dgnn_error *error)
{
    const struct REAL(dgnn_repformer_layer) *layer = &block->layer[l];
    int sees = REAL(repformer_sees_nodes)(layer);
    struct dgnn_exchange *exchange = sees ? evaluation->exchange : NULL;
    REAL(repformer_run)(block, l, block->nlayer - 1, REAL(repformer_node_phase_back));
    if (l == block->nlayer - 1) {
        REAL(repformer_clear_unused)(block);
    }
    if (sees) {
        REAL(repformer_collect)(block);
    }
    dgnn_profile_end(evaluation->profile, DGNN_PHASE_BACKWARD);
    DGNN_TRY(dgnn_exchange_reverse_begin(exchange, block->d_g1[0], block->ng1p, sizeof(real), error));
    dgnn_profile_end(evaluation->profile, DGNN_PHASE_MESSAGES);
    REAL(repformer_run_pairs)(block, l, REAL(repformer_pair_phase_back));
    dgnn_profile_end(evaluation->profile, DGNN_PHASE_BACKWARD);
    DGNN_TRY(dgnn_exchange_reverse_end(exchange, error));
    dgnn_profile_end(evaluation->profile, DGNN_PHASE_MESSAGES);
    REAL(repformer_swap)(block->d_g1);
    REAL(repformer_swap)(block->d_g2);
    REAL(repformer_swap)(block->d_h2);
    return DGNN_OK;
}

int REAL(dgnn_repformer_backward)(struct REAL(dgnn_repformer) * block,
                                  const struct dgnn_evaluation *evaluation, const real **d_input,
                                  struct dgnn_error *error)
{
    const struct dgnn_sublist *list = &block->list;
    int32_t threads = block->context.threads;
    (void)threads;
    memset(block->d_g2[1], 0, sizeof(real) * (size_t)(list->npair * block->ng2p));
    memset(block->d_h2[1], 0, sizeof(real) * (size_t)(list->npair * 4));
    memset(block->d_sw, 0, sizeof(double) * (size_t)list->npair);
    for (int64_t l = block->nlayer - 1; l >= 0; l--) {
        DGNN_TRY(REAL(repformer_layer_backward)(block, evaluation, l, error));
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < list->ncentre; i++) {
        for (int64_t pair = list->first[i]; pair < list->first[i + 1]; pair++) {
            REAL(repformer_start_pair_backward)(block, evaluation->graph, i, pair, evaluation->edge_gradient);
        }
        for (int64_t k = i * block->ng1p; k < (i + 1) * block->ng1p; k++) {
            block->d_g1[1][k] *= block->start_slope[k];
        }
    }
    *d_input = block->d_g1[1];
    return DGNN_OK;
}
