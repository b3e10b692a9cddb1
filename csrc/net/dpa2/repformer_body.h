/* Evaluation of the repformer block: rooms, the pairs' start, and the layers around the exchange of g1. */
#include "base/real.h"

/* ---------------------------------------------------------------- workspace */

int REAL(dgnn_repformer_workspace_create)(const struct REAL(dgnn_repformer) * block,
                                          struct REAL(dgnn_repformer_workspace) * w, struct dgnn_error *error)
{
    int64_t count = block->nlayer;
    *w = (struct REAL(dgnn_repformer_workspace)){.block = block};
    w->g1 = dgnn_alloc_zeroed(3 * (count + 1), sizeof(real *));
    w->pair_kept = dgnn_alloc_zeroed(count, sizeof(*w->pair_kept));
    w->node_kept = dgnn_alloc_zeroed(count, sizeof(*w->node_kept));
    if (!w->g1 || !w->pair_kept || !w->node_kept) {
        return dgnn_status_no_memory(error, "layers", count * (int64_t)sizeof(*w->node_kept));
    }
    w->g2 = w->g1 + count + 1;
    w->h2 = w->g2 + count + 1;
    return DGNN_OK;
}

void REAL(dgnn_repformer_workspace_free)(struct REAL(dgnn_repformer_workspace) * w)
{
    dgnn_alloc_free(w->g1);
    dgnn_alloc_free(w->pair_kept);
    dgnn_alloc_free(w->node_kept);
    dgnn_pair_list_free(&w->list);
    dgnn_buffer_free(&w->buffer);
    dgnn_buffer_free(&w->scratch);
}

/* ---------------------------------------------------------------- rooms */

/* Centres that the last layer sees: whole chunks. */
static int64_t REAL(repformer_used)(const struct REAL(dgnn_repformer_workspace) * w)
{
    return w->nchunk_with_energy ? dgnn_pair_list_chunk_end(&w->list, w->nchunk_with_energy - 1) : 0;
}

static void REAL(repformer_layout)(struct REAL(dgnn_repformer_workspace) * w, struct dgnn_arena *arena)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    int64_t g1 = list->nnode * block->ng1p, g2 = list->npair * block->ng2p, h2 = list->npair * 4;
    w->sw = dgnn_arena_take(arena, list->npair, sizeof(double));
    w->start_slope = dgnn_arena_take(arena, list->ncentre * block->ng1p, sizeof(real));
    w->embedding_slope = dgnn_arena_take(arena, g2, sizeof(real));
    for (int64_t l = 0; l <= block->nlayer; l++) {
        const struct dgnn_repformer_switches *before = l ? &block->layer[l - 1].s : NULL;
        w->g1[l] = dgnn_arena_take(arena, g1, sizeof(real));
        w->g2[l] = !before || before->has_pair ? dgnn_arena_take(arena, g2, sizeof(real)) : w->g2[l - 1];
        w->h2[l] = !before || before->has_vector ? dgnn_arena_take(arena, h2, sizeof(real)) : w->h2[l - 1];
    }
    for (int64_t l = 0; l < block->nlayer && block->context.keep; l++) {
        REAL(repformer_pair_layout)(&block->layer[l], block->ng2p, list->npair,
                                    list->square_first[list->nchunk], arena, &w->pair_kept[l]);
        int64_t ncentre = l + 1 < block->nlayer ? list->ncentre : REAL(repformer_used)(w);
        REAL(repformer_node_layout)(block, &block->layer[l], ncentre, list->first[ncentre], arena,
                                    &w->node_kept[l]);
    }
    w->group = REAL(repformer_group)(w);
    for (int32_t side = 0; side < w->sides; side++) {
        REAL(repformer_lay_side)(w, &w->side[side], arena);
    }
    if (w->sides > 1) {
        w->displacement = dgnn_arena_take(arena, list->npair * 3, sizeof(real));
        w->summed = dgnn_arena_take(arena, list->nnode, sizeof(*w->summed));
    }
    for (int k = 0; k < 2; k++) {
        w->d_rows[k] = w->has_rows ? dgnn_arena_take(arena, w->sides * g1, sizeof(real)) : NULL;
    }
}

/* Bytes of a thread's scratch: the most that a phase of a layer takes. */
static int64_t REAL(repformer_scratch)(const struct REAL(dgnn_repformer_workspace) * w)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t most = 0;
    for (int64_t l = 0; l < block->nlayer; l++) {
        struct REAL(repformer_pair_scratch) pair;
        struct REAL(repformer_node_scratch) node;
        struct REAL(dgnn_repformer_pair_kept) pair_kept;
        struct REAL(dgnn_repformer_node_kept) node_kept;
        struct dgnn_arena first = {0}, second = {0};
        REAL(repformer_pair_scratch)(w, block->layer[l].pair_heads.w.ncol, &first, &pair);
        REAL(repformer_node_scratch)(w, &block->layer[l], &second, &node);
        if (!block->context.keep) {
            REAL(repformer_pair_layout)(&block->layer[l], block->ng2p, w->list.chunk_max, w->list.square_max,
                                        &first, &pair_kept);
            REAL(repformer_node_layout)(block, &block->layer[l], DGNN_PAIR_LIST_CHUNK, w->list.chunk_max,
                                        &second, &node_kept);
        }
        most = first.used > most ? first.used : most;
        most = second.used > most ? second.used : most;
    }
    return most;
}

static int REAL(repformer_reserve)(struct REAL(dgnn_repformer_workspace) * w, struct dgnn_error *error)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    struct dgnn_arena arena = {0};
    REAL(repformer_layout)(w, &arena);
    DGNN_TRY(dgnn_buffer_reserve(&w->buffer, arena.used, "features of DPA2's layers", error));
    arena = (struct dgnn_arena){.base = w->buffer.data};
    REAL(repformer_layout)(w, &arena);
    w->scratch_size = REAL(repformer_scratch)(w);
    return dgnn_buffer_reserve_each(&w->scratch, w->scratch_size, block->context.threads,
                                    "scratch of DPA2's layers", error);
}

/* ---------------------------------------------------------------- chunks */

static void REAL(repformer_pair_phase)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_pair_scratch) scratch;
    REAL(repformer_pair_scratch)(c->w, REAL(repformer_heads_width)(c), &c->scratch, &scratch);
    struct REAL(dgnn_repformer_pair_kept) kept = REAL(repformer_pair_kept)(c);
    REAL(repformer_pair_forward)(c, &kept, &scratch);
}

static void REAL(repformer_node_phase)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_node_scratch) scratch;
    REAL(repformer_node_scratch)(c->w, c->layer, &c->scratch, &scratch);
    struct REAL(dgnn_repformer_node_kept) kept = REAL(repformer_node_kept)(c);
    REAL(repformer_node_forward)(c, &kept, &scratch);
}

static void REAL(repformer_pair_phase_back)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_pair_scratch) scratch;
    REAL(repformer_pair_scratch)(c->w, REAL(repformer_heads_width)(c), &c->scratch, &scratch);
    struct REAL(dgnn_repformer_pair_kept) kept = REAL(repformer_pair_kept)(c);
    if (!c->w->block->context.keep) {
        c->again = 1;
        REAL(repformer_pair_forward)(c, &kept, &scratch);
    }
    struct REAL(dgnn_repformer_workspace) view = *c->w;
    struct REAL(repformer_chunk) own = *c;
    own.w = &view;
    for (int32_t side = 0; side < view.sides; side++) {
        view.d = &c->w->side[side];
        REAL(repformer_pair_backward)(&own, &kept, &scratch);
    }
}

static void REAL(repformer_node_phase_back)(struct REAL(repformer_chunk) * c)
{
    struct REAL(repformer_node_scratch) scratch;
    REAL(repformer_node_scratch)(c->w, c->layer, &c->scratch, &scratch);
    struct REAL(dgnn_repformer_node_kept) kept = REAL(repformer_node_kept)(c);
    if (!c->w->block->context.keep) {
        c->again = 1;
        REAL(repformer_node_forward)(c, &kept, &scratch);
    }
    struct REAL(dgnn_repformer_workspace) view = *c->w;
    struct REAL(repformer_chunk) own = *c;
    own.w = &view;
    for (int32_t side = 0; side < view.sides; side++) {
        view.d = &c->w->side[side];
        REAL(repformer_node_backward)(&own, &kept, &scratch);
    }
}

/* A phase of layer l, over chunks from begin on. */
struct REAL(repformer_phase) {
    struct REAL(dgnn_repformer_workspace) * w;
    int64_t l, begin;
    void (*run)(struct REAL(repformer_chunk) *);
};

static void REAL(repformer_phase_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_phase) *phase = of;
    struct REAL(dgnn_repformer_workspace) *w = phase->w;
    const struct dgnn_pair_list *list = &w->list;
    int64_t chunk = phase->begin + part;
    int64_t begin = dgnn_pair_list_chunk_begin(chunk), end = dgnn_pair_list_chunk_end(list, chunk);
    char *own = (char *)w->scratch.data + w->scratch_size * thread;
    struct REAL(repformer_chunk) c = {.w = w,
                                      .layer = &w->block->layer[phase->l],
                                      .index = phase->l,
                                      .begin = begin,
                                      .end = end,
                                      .pair = list->first[begin],
                                      .npair = list->first[end] - list->first[begin],
                                      .scratch = {.base = own}};
    phase->run(&c);
}

/* Chunks that a stage is to do: all, or those with nodes whose output is used. */
static int64_t REAL(repformer_chunks)(const struct REAL(dgnn_repformer_workspace) * w,
                                      const struct dgnn_stage_call *call)
{
    return call->part == DGNN_STAGE_USED ? w->nchunk_with_energy : w->list.nchunk;
}

/* Runs a phase of a layer over its chunks. They write only what is their own, so their order does not matter.
 */
static void REAL(repformer_run)(struct REAL(dgnn_repformer_workspace) * w, const struct dgnn_stage_call *call,
                                void (*phase)(struct REAL(repformer_chunk) *))
{
    struct REAL(repformer_phase) region = {w, call->layer, 0, phase};
    dgnn_parallel_run(w->block->context.threads, REAL(repformer_chunks)(w, call), REAL(repformer_phase_part),
                      &region);
}

/* The last layer's gradients where it was left out. */
static void REAL(repformer_clear_unused)(struct REAL(dgnn_repformer_workspace) * w)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    int64_t from = REAL(repformer_used)(w), pair = list->first[from], npair = list->npair - pair;
    for (int32_t k = 0; k < w->sides; k++) {
        const struct REAL(dgnn_repformer_side) *side = &w->side[k];
        memset(side->g1[0] + from * block->ng1p, 0,
               sizeof(real) * (size_t)((list->ncentre - from) * block->ng1p));
        if (k == 0) {
            memset(side->neighbour + pair * block->ng1p, 0, sizeof(real) * (size_t)(npair * block->ng1p));
        }
        memset(side->g2[0] + pair * block->ng2p, 0, sizeof(real) * (size_t)(npair * block->ng2p));
        memset(side->h2[0] + pair * 4, 0, sizeof(real) * (size_t)(npair * 4));
    }
}

/* ---------------------------------------------------------------- the pairs' start */

static void REAL(repformer_start_pair)(struct REAL(dgnn_repformer_workspace) * w,
                                       const struct dgnn_graph *graph, int64_t i, int64_t pair)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t e = w->list.edge[pair];
    const double *vector = graph->vector + 3 * e;
    double row[4], inverse = 1 / block->environment.cutoff;
    real *g2 = w->g2[0] + pair * block->ng2p, *h2 = w->h2[0] + 4 * pair;
    const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
    w->sw[pair] = dgnn_environment_row(&block->environment, &edge, row);
    if (block->direct) {
        row[0] = graph->distance[e] * inverse;
        for (int d = 0; d < 3; d++) {
            row[1 + d] = vector[d] * inverse;
        }
    }
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

/* What the parts of the loops over centres and over nodes share. */
struct REAL(repformer_rows) {
    struct REAL(dgnn_repformer_workspace) * w;
    const struct dgnn_evaluation *evaluation;
    int64_t end; /* pairs before it have their moments */
};

enum { REAL(REPFORMER_PART) = 16 }; /* centres, or nodes, that a thread does at a time */

static void REAL(repformer_start_centre)(struct REAL(dgnn_repformer_workspace) * w,
                                         const struct dgnn_graph *graph, int64_t i)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t first = w->list.first[i], end = w->list.first[i + 1];
    for (int64_t pair = first; pair < end; pair++) {
        REAL(repformer_start_pair)(w, graph, i, pair);
    }
    for (int64_t pair = first; pair < end && w->sides > 1; pair++) {
        double displacement[3];
        dgnn_graph_displacement(graph, i, w->list.edge[pair], displacement);
        for (int d = 0; d < 3; d++) {
            w->displacement[3 * pair + d] = (real)displacement[d];
        }
    }
    real *g2 = w->g2[0] + first * block->ng2p;
    block->ops->activate(&block->activation, (end - first) * block->ng2p, g2, g2,
                         w->embedding_slope + first * block->ng2p);
    for (int64_t pair = first; pair < end; pair++) {
        for (int64_t k = block->ng2; k < block->ng2p; k++) {
            w->g2[0][pair * block->ng2p + k] = 0;
        }
    }
}

static void REAL(repformer_start_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_rows) *rows = of;
    int64_t end = dgnn_parallel_end(rows->w->list.ncentre, part, REAL(REPFORMER_PART));
    (void)thread;
    for (int64_t i = part * REAL(REPFORMER_PART); i < end; i++) {
        REAL(repformer_start_centre)(rows->w, rows->evaluation->graph, i);
    }
}

static void REAL(repformer_run_rows)(struct REAL(dgnn_repformer_workspace) * w,
                                     const struct dgnn_evaluation *evaluation, int64_t n,
                                     dgnn_parallel_part *part)
{
    struct REAL(repformer_rows) rows = {.w = w, .evaluation = evaluation};
    dgnn_parallel_run(w->block->context.threads, dgnn_parallel_parts(n, REAL(REPFORMER_PART)), part, &rows);
}

static void REAL(repformer_start_pair_backward)(const struct REAL(dgnn_repformer_workspace) * w,
                                                const struct dgnn_graph *graph, int64_t i, int64_t pair,
                                                double *gradient)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t e = w->list.edge[pair];
    const double *vector = graph->vector + 3 * e;
    double d_row[4] = {0, 0, 0, 0}, inverse = 1 / block->environment.cutoff;
    const real *d_g2 = w->d->g2[1] + pair * block->ng2p, *slope = w->embedding_slope + pair * block->ng2p;
    for (int64_t k = 0; k < block->ng2; k++) {
        d_row[0] += (double)(d_g2[k] * slope[k] * block->embedding.w.data[k]);
    }
    for (int d = 0; d < 3; d++) {
        d_row[1 + d] = (double)w->d->h2[1][4 * pair + d];
    }
    if (block->direct) {
        for (int d = 0; d < 3; d++) {
            gradient[3 * e + d] += (d_row[0] / graph->distance[e] * vector[d] + d_row[1 + d]) * inverse;
        }
        memset(d_row, 0, sizeof(d_row));
    }
    const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
    dgnn_environment_backward(&block->environment, &edge, d_row, w->d->sw[pair], gradient + 3 * e);
}

/* ---------------------------------------------------------------- the block */

int REAL(dgnn_repformer_prepare)(struct REAL(dgnn_repformer_workspace) * w,
                                 const struct dgnn_evaluation *evaluation, struct dgnn_error *error)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    struct dgnn_pair_list_rule rule = {.cutoff = block->environment.cutoff,
                                       .nsel = block->nsel,
                                       .excluded = block->context.excluded,
                                       .ntypes = block->context.ntypes,
                                       .lanes = REAL_LANES,
                                       .want_reverse = 1};
    w->dense = evaluation->graph->dense;
    int64_t nwithout_energy = block->context.wants_rotation ? 0 : evaluation->nwithout_energy;
    w->sides = dgnn_evaluation_sides(evaluation);
    w->has_rows = w->sides > 1 && evaluation->exchange;
    w->nchunk_with_energy =
        (evaluation->graph->nowned - nwithout_energy + DGNN_PAIR_LIST_CHUNK - 1) / DGNN_PAIR_LIST_CHUNK;
    DGNN_TRY(dgnn_pair_list_build(evaluation->graph, &rule, &w->list, error));
    return REAL(repformer_reserve)(w, error);
}

struct dgnn_rows REAL(dgnn_repformer_rows)(const struct REAL(dgnn_repformer_workspace) * w, int32_t buffer,
                                           int64_t l)
{
    int is_gradient = buffer != DGNN_DPA2_AT_G1, place = buffer == DGNN_DPA2_AT_D_G1_OUT ? 0 : 1;
    real *back = w->has_rows ? w->d_rows[place] : w->side[0].g1[place];
    return (struct dgnn_rows){.data = is_gradient ? back : w->g1[l],
                              .width = w->block->ng1p * (is_gradient ? w->sides : 1),
                              .item_size = sizeof(real)};
}

/* ---------------------------------------------------------------- stages: forward */

void REAL(dgnn_repformer_first_nodes)(struct REAL(dgnn_repformer_workspace) * w,
                                      const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    (void)call;
    block->ops->activate(&block->activation, w->list.ncentre * block->ng1p, w->g1[0], w->g1[0],
                         w->start_slope);
    for (int64_t i = 0; i < w->list.ncentre; i++) {
        for (int64_t k = block->ng1; k < block->ng1p; k++) {
            w->g1[0][i * block->ng1p + k] = 0;
        }
    }
}

void REAL(dgnn_repformer_first_pairs)(struct REAL(dgnn_repformer_workspace) * w,
                                      const struct dgnn_stage_call *call)
{
    REAL(repformer_run_rows)(w, call->evaluation, w->list.ncentre, REAL(repformer_start_part));
}

void REAL(dgnn_repformer_pairs)(struct REAL(dgnn_repformer_workspace) * w, const struct dgnn_stage_call *call)
{
    REAL(repformer_run)(w, call, REAL(repformer_pair_phase));
}

void REAL(dgnn_repformer_nodes)(struct REAL(dgnn_repformer_workspace) * w, const struct dgnn_stage_call *call)
{
    REAL(repformer_run)(w, call, REAL(repformer_node_phase));
}

static void REAL(repformer_rotation_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_rows) *rows = of;
    int64_t end = dgnn_parallel_end(rows->w->list.ncentre, part, REAL(REPFORMER_PART));
    (void)thread;
    for (int64_t i = part * REAL(REPFORMER_PART); i < end; i++) {
        REAL(repformer_rotation)(rows->w, i, rows->evaluation->rotation);
    }
}

static void REAL(repformer_rotation_backward_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_rows) *rows = of;
    int64_t end = dgnn_parallel_end(rows->w->list.ncentre, part, REAL(REPFORMER_PART));
    (void)thread;
    for (int64_t i = part * REAL(REPFORMER_PART); i < end; i++) {
        REAL(repformer_rotation_backward)(rows->w, i, rows->evaluation->rotation_gradient);
    }
}

void REAL(dgnn_repformer_output)(struct REAL(dgnn_repformer_workspace) * w,
                                 const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_repformer) *block = w->block;
    int64_t used = REAL(repformer_used)(w) * block->ng1p, n = w->list.ncentre * block->ng1p;
    memset(w->g1[call->layer] + used, 0, sizeof(real) * (size_t)(n - used));
    if (call->evaluation->rotation) {
        REAL(repformer_run_rows)(w, call->evaluation, w->list.ncentre, REAL(repformer_rotation_part));
    }
}

/* ---------------------------------------------------------------- stages: backward */

static void REAL(repformer_collect_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_rows) *rows = of;
    int64_t end = dgnn_parallel_end(rows->w->list.nnode, part, REAL(REPFORMER_PART));
    (void)thread;
    for (int64_t j = part * REAL(REPFORMER_PART); j < end; j++) {
        for (int32_t side = 0; side < rows->w->sides; side++) {
            REAL(repformer_collect_node)(rows->w, side, j);
        }
        REAL(repformer_move_rows)(rows->w, j, 0);
    }
}

static void REAL(repformer_swap)(real **pair)
{
    real *first = pair[0];
    pair[0] = pair[1];
    pair[1] = first;
}

void REAL(dgnn_repformer_d_output)(struct REAL(dgnn_repformer_workspace) * w,
                                   const struct dgnn_stage_call *call)
{
    const struct dgnn_pair_list *list = &w->list;
    for (int32_t side = 0; side < w->sides; side++) {
        if (side) { /* moments start from zero */
            memset(w->side[side].g1[1], 0, sizeof(real) * (size_t)(list->ncentre * w->block->ng1p));
        }
        memset(w->side[side].g2[1], 0, sizeof(real) * (size_t)(list->npair * w->block->ng2p));
        memset(w->side[side].h2[1], 0, sizeof(real) * (size_t)(list->npair * 4));
        memset(w->side[side].sw, 0, sizeof(double) * (size_t)list->npair);
    }
    if (call->evaluation->rotation) {
        REAL(repformer_run_rows)(w, call->evaluation, list->ncentre, REAL(repformer_rotation_backward_part));
    }
}

static void REAL(repformer_receive_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_rows) *rows = of;
    int64_t end = dgnn_parallel_end(rows->w->list.nnode, part, REAL(REPFORMER_PART));
    (void)thread;
    for (int64_t j = part * REAL(REPFORMER_PART); j < end; j++) {
        REAL(repformer_receive_node)(rows->w, rows->end, j);
    }
}

/* The phase of all sides, group of chunks by group: what a group's pairs have for their neighbours' moments
 * is added up before the next group takes its place. A layer that sees no other nodes has nothing for them.
 */
static void REAL(repformer_receive)(struct REAL(dgnn_repformer_workspace) * w,
                                    const struct dgnn_stage_call *call)
{
    const struct dgnn_pair_list *list = &w->list;
    int32_t threads = w->block->context.threads;
    int64_t nchunk = REAL(repformer_chunks)(w, call);
    int64_t nparts = REAL(repformer_sees_nodes)(&w->block->layer[call->layer])
                         ? dgnn_parallel_parts(list->nnode, REAL(REPFORMER_PART))
                         : 0;
    struct REAL(repformer_phase) region = {w, call->layer, 0, REAL(repformer_node_phase_back)};
    struct REAL(repformer_rows) rows = {.w = w, .evaluation = call->evaluation};
    memcpy(w->summed, list->reverse_first, sizeof(*w->summed) * (size_t)list->nnode);
    for (int32_t side = 1; side < w->sides; side++) {
        memset(w->side[side].received, 0, sizeof(real) * (size_t)(list->nnode * w->block->ng1p));
    }
    for (int64_t begin = 0; begin < nchunk; begin += w->group) {
        int64_t end = REAL(repformer_group_end)(w, begin), first;
        end = end < nchunk ? end : nchunk;
        rows.end = REAL(repformer_pairs_between)(w, begin, end, &first);
        rows.end += first;
        for (int32_t side = 1; side < w->sides; side++) {
            w->side[side].first_pair = first;
        }
        region.begin = begin;
        dgnn_parallel_run(threads, end - begin, REAL(repformer_phase_part), &region);
        dgnn_parallel_run(threads, nparts, REAL(repformer_receive_part), &rows);
    }
}

void REAL(dgnn_repformer_d_nodes)(struct REAL(dgnn_repformer_workspace) * w,
                                  const struct dgnn_stage_call *call)
{
    if (w->sides > 1) {
        REAL(repformer_receive)(w, call);
    } else {
        REAL(repformer_run)(w, call, REAL(repformer_node_phase_back));
    }
    if (call->part == DGNN_STAGE_USED) {
        REAL(repformer_clear_unused)(w);
    }
}

void REAL(dgnn_repformer_d_neighbours)(struct REAL(dgnn_repformer_workspace) * w,
                                       const struct dgnn_stage_call *call)
{
    REAL(repformer_run_rows)(w, call->evaluation, w->list.nnode, REAL(repformer_collect_part));
}

void REAL(dgnn_repformer_d_pairs)(struct REAL(dgnn_repformer_workspace) * w,
                                  const struct dgnn_stage_call *call)
{
    REAL(repformer_run)(w, call, REAL(repformer_pair_phase_back));
}

void REAL(dgnn_repformer_d_next)(struct REAL(dgnn_repformer_workspace) * w,
                                 const struct dgnn_stage_call *call)
{
    int sees = dgnn_repformer_sees_nodes(&w->block->layer[call->layer].s);
    for (int64_t j = 0; j < w->list.ncentre && sees; j++) {
        REAL(repformer_move_rows)(w, j, 1);
    }
    for (int32_t side = 0; side < w->sides; side++) {
        REAL(repformer_swap)(w->side[side].g1);
        REAL(repformer_swap)(w->side[side].g2);
        REAL(repformer_swap)(w->side[side].h2);
    }
    REAL(repformer_swap)(w->d_rows);
}

/* From the first layer's gradients to those of vectors and of the input. */
static void REAL(repformer_finish_side)(const struct REAL(repformer_rows) * rows, int32_t side, int64_t part)
{
    const struct dgnn_evaluation *evaluation = rows->evaluation;
    struct REAL(dgnn_repformer_workspace) *w = rows->w, view = *w;
    double *gradient = evaluation->edge_gradient + 3 * side * dgnn_graph_nedge(evaluation->graph);
    const struct REAL(dgnn_repformer) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    int64_t end = dgnn_parallel_end(list->ncentre, part, REAL(REPFORMER_PART));
    view.d = &w->side[side];
    for (int64_t i = part * REAL(REPFORMER_PART); i < end; i++) {
        for (int64_t pair = list->first[i]; pair < list->first[i + 1]; pair++) {
            REAL(repformer_start_pair_backward)(&view, evaluation->graph, i, pair, gradient);
        }
        for (int64_t k = i * block->ng1p; k < (i + 1) * block->ng1p; k++) {
            view.d->g1[1][k] *= w->start_slope[k];
        }
    }
}

static void REAL(repformer_finish_part)(void *of, int64_t part, int32_t thread)
{
    const struct REAL(repformer_rows) *rows = of;
    (void)thread;
    for (int32_t side = 0; side < rows->w->sides; side++) {
        REAL(repformer_finish_side)(rows, side, part);
    }
}

void REAL(dgnn_repformer_d_first_pairs)(struct REAL(dgnn_repformer_workspace) * w,
                                        const struct dgnn_stage_call *call)
{
    REAL(repformer_run_rows)(w, call->evaluation, w->list.ncentre, REAL(repformer_finish_part));
}
