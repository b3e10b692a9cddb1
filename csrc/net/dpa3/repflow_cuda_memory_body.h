#include "base/real.h"

/* Weights and workspaces of a device. Pointers to real, and all in struct dgnn_kernel_repflow, are the
 * device's. */

/* ---------------------------------------------------------------- weights */

struct REAL(cuda_weights) {
    struct REAL(dgnn_repflow) * host;
    struct dgnn_cuda_queue queue;
    struct dgnn_cuda_buffer memory;
    struct REAL(dgnn_repflow_weights) * layer; /* as the host's, but for their pointers */
    const real *edge_weight, *edge_bias, *angle_weight;
    const double *statistics; /* ntypes x 8 */
    int64_t nangle_at_a_time; /* about so many: of angle_pre */
};

/* Its place on the device, where it is put if there is memory. */
static void *REAL(cuda_put)(struct REAL(cuda_weights) * w, struct dgnn_arena *arena, const void *host,
                            int64_t nbytes)
{
    void *place = dgnn_arena_take(arena, nbytes, 1);
    if (place && host) {
        dgnn_cuda_queue_upload(&w->queue, place, host, nbytes);
    }
    return place;
}

static struct REAL(dgnn_matrix) REAL(cuda_put_matrix)(struct REAL(cuda_weights) * w, struct dgnn_arena *arena,
                                                      const struct REAL(dgnn_matrix) * host)
{
    struct REAL(dgnn_matrix) matrix = *host;
    matrix.data = REAL(cuda_put)(w, arena, host->data, host->nrow * host->stride * (int64_t)sizeof(real));
    return matrix;
}

static void REAL(cuda_put_matrices)(struct REAL(cuda_weights) * w, struct dgnn_arena *arena,
                                    const struct REAL(dgnn_repflow_weights) * from,
                                    struct REAL(dgnn_repflow_weights) * to)
{
    const struct REAL(dgnn_repflow_layer) *b = &from->block;
    to->centre = REAL(cuda_put_matrix)(w, arena, &from->centre);
    to->centre_transposed = REAL(cuda_put_matrix)(w, arena, &from->centre_transposed);
    to->neighbour_part = REAL(cuda_put_matrix)(w, arena, &from->neighbour_part);
    to->neighbour_part_transposed = REAL(cuda_put_matrix)(w, arena, &from->neighbour_part_transposed);
    to->symmetric = REAL(cuda_put_matrix)(w, arena, &from->symmetric);
    to->symmetric_transposed = REAL(cuda_put_matrix)(w, arena, &from->symmetric_transposed);
    to->block.edge = REAL(cuda_put_matrix)(w, arena, &b->edge);
    to->block.edge_transposed = REAL(cuda_put_matrix)(w, arena, &b->edge_transposed);
    to->block.pair = REAL(cuda_put_matrix)(w, arena, &b->pair);
    to->block.pair_transposed = REAL(cuda_put_matrix)(w, arena, &b->pair_transposed);
    to->block.angle = REAL(cuda_put_matrix)(w, arena, &b->angle);
    to->block.angle_transposed = REAL(cuda_put_matrix)(w, arena, &b->angle_transposed);
    to->block.angle_linear2 = REAL(cuda_put_matrix)(w, arena, &b->angle_linear2);
    to->block.angle_linear2_transposed = REAL(cuda_put_matrix)(w, arena, &b->angle_linear2_transposed);
}

static void REAL(cuda_put_layer)(struct REAL(cuda_weights) * w, struct dgnn_arena *arena, int64_t l)
{
    const struct REAL(dgnn_repflow_weights) *from = &w->host->layer[l];
    const int64_t n = w->host->n * (int64_t)sizeof(real), e = w->host->e * (int64_t)sizeof(real);
    const int64_t a = w->host->a * (int64_t)sizeof(real), m = w->host->m * (int64_t)sizeof(real);
    struct REAL(dgnn_repflow_weights) to = *from;
    REAL(cuda_put_matrices)(w, arena, from, &to);
    to.rows = to.without_angle_term = NULL;
    to.centre_bias = REAL(cuda_put)(w, arena, from->centre_bias, n + m + e + e + a);
    to.symmetric_bias = REAL(cuda_put)(w, arena, from->symmetric_bias, n);
    to.weight_self = REAL(cuda_put)(w, arena, from->weight_self, n);
    to.weight_symmetric = REAL(cuda_put)(w, arena, from->weight_symmetric, n);
    to.weight_message = REAL(cuda_put)(w, arena, from->weight_message, m);
    to.block.angle_linear2_bias = REAL(cuda_put)(w, arena, from->block.angle_linear2_bias, e);
    to.block.weight_edge_self = REAL(cuda_put)(w, arena, from->block.weight_edge_self, e);
    to.block.weight_edge_angle = REAL(cuda_put)(w, arena, from->block.weight_edge_angle, e);
    to.block.weight_angle = REAL(cuda_put)(w, arena, from->block.weight_angle, a);
    to.block.without_angle_term = REAL(cuda_put)(w, arena, from->block.without_angle_term, e);
    w->layer[l] = to;
}

static void REAL(cuda_put_all)(struct REAL(cuda_weights) * w, struct dgnn_arena *arena,
                               const double *statistics)
{
    const struct REAL(dgnn_repflow) *f = w->host;
    int64_t size = sizeof(real);
    w->edge_weight = REAL(cuda_put)(w, arena, f->edge_weight, f->e * size);
    w->edge_bias = REAL(cuda_put)(w, arena, f->edge_bias, f->e * size);
    w->angle_weight = REAL(cuda_put)(w, arena, f->angle_weight, f->a * size);
    w->statistics = REAL(cuda_put)(w, arena, statistics, 8 * f->settings->ntypes * (int64_t)sizeof(double));
    for (int64_t l = 0; l < f->nlayer; l++) {
        REAL(cuda_put_layer)(w, arena, l);
    }
}

static int REAL(cuda_upload_weights)(struct REAL(cuda_weights) * w, const double *statistics,
                                     struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    REAL(cuda_put_all)(w, &arena, statistics);
    dgnn_cuda_queue_enter(&w->queue);
    int status = dgnn_cuda_buffer_reserve(&w->queue, &w->memory, arena.used, "weights", error);
    if (!status) {
        arena = (struct dgnn_arena){.base = w->memory.data};
        REAL(cuda_put_all)(w, &arena, statistics);
        status = dgnn_cuda_queue_wait(&w->queue, error);
    }
    dgnn_cuda_queue_leave(&w->queue);
    return status;
}

static void REAL(repflow_cuda_free)(void *weights)
{
    struct REAL(cuda_weights) *w = weights;
    if (w) {
        dgnn_cuda_buffer_free(&w->queue, &w->memory);
        dgnn_cuda_queue_free(&w->queue);
        REAL(dgnn_repflow_free)(w->host);
        dgnn_alloc_free(w->layer);
        dgnn_alloc_free(w);
    }
}

static int REAL(cuda_load_into)(struct dgnn_dpa3_settings *s, struct REAL(cuda_weights) * w,
                                struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_repflow_load)(s, &w->host, error));
    DGNN_TRY(cuda_angles_at_a_time(&w->nangle_at_a_time, error));
    DGNN_TRY(dgnn_cuda_device_queue(s->device, &w->queue, error));
    w->layer = dgnn_alloc_zeroed(w->host->nlayer, sizeof(*w->layer));
    double *statistics = dgnn_alloc(8 * (int64_t)s->ntypes, sizeof(double));
    if (!w->layer || !statistics) {
        dgnn_alloc_free(statistics);
        return dgnn_status_no_memory(error, "weights", w->host->nlayer * (int64_t)sizeof(*w->layer));
    }
    for (int64_t k = 0; k < 8 * (int64_t)s->ntypes; k++) {
        statistics[k] = (k & 4 ? s->deviation : s->average)[k / 8 * 4 + k % 4];
    }
    int status = REAL(cuda_upload_weights)(w, statistics, error);
    dgnn_alloc_free(statistics);
    return status;
}

static int REAL(repflow_cuda_load)(void *settings, void **weights, struct dgnn_error *error)
{
    struct REAL(cuda_weights) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "weights", sizeof(*w));
    }
    int status = REAL(cuda_load_into)(settings, w, error);
    if (status) {
        REAL(repflow_cuda_free)(w);
        return status;
    }
    *weights = w;
    return DGNN_OK;
}

/* Ranks get the same atoms as with the CPU's stages. */
static double REAL(repflow_cuda_cost)(const void *weights, int64_t nedge, int64_t nangle_edge)
{
    const struct REAL(cuda_weights) *w = weights;
    return REAL(dgnn_repflow_cpu).cost(w->host, nedge, nangle_edge);
}

/* ---------------------------------------------------------------- workspaces */

/* One layer's kept arrays, as struct repflow_kept has them. */
struct REAL(cuda_kept) {
    real *node, *centre, *neighbour_part, *moment, *symmetric;
    real *edge, *edge_middle, *edge_last;
    real *angle; /* what comes in */
    real *angle_linear2_pre;
    real *host_node; /* the copy that messages see */
};

/* One side of backward. */
struct REAL(cuda_side) {
    double *d_scalars; /* nedge x 9: switch, angle switch, input, then direction, then unit */
    double *edge_gradient;
    real *d_node, *d_message, *d_moment, *d_centre, *d_edge[2], *d_edge_pre, *d_angle;
};

/* Rows [first, first + count). */
struct REAL(cuda_part) {
    int64_t first, count;
};

/* Centres whose angles are done together, with what is theirs: angle_pre has room for that. */
struct REAL(cuda_chunk) {
    struct REAL(cuda_part) centre, edge, pair, angle, linear2;
};

/* What an evaluation writes. */
struct REAL(cuda_workspace) {
    const struct REAL(cuda_weights) * weights;
    struct dgnn_cuda_queue queue;
    const struct dgnn_evaluation *evaluation;
    struct dgnn_edge_lists lists;
    int32_t has_lists;                                         /* are they on the device? */
    int32_t has_types;                                         /* are the rows of types? */
    struct dgnn_cuda_buffer lists_memory, memory, rows_memory; /* the last is the host's */
    struct dgnn_buffer host;        /* what is copied to the device, or comes from it */
    double *type_row;               /* host: of now, then those on the device */
    real *joined;                   /* host: 3 n_dim, for these */
    double *gradients;              /* host: sides x nedge x 3, without has_sums */
    struct dgnn_row_sums host_sums; /* host: with has_sums; virial: some sums of parts */
    int32_t has_sums;               /* are sums over rows made here? */
    int32_t has_atom_virial;        /* also of each row */
    int32_t has_offset;             /* are displacements wanted, of nodes that are no atoms? */
    struct REAL(cuda_kept) * layer; /* host: nlayer + 1 */
    int32_t sides;
    int64_t rows_stride;
    int64_t last_angle; /* the last layer whose angles come from the one before it; 0: there is none */
    real *node_last, *d_node_rows, *host_rows;
    struct REAL(cuda_side) side[DGNN_SIDES];
    double *output, *output_gradient;     /* device */
    struct REAL(dgnn_kernel_repflow) all; /* what all kernels take */
    struct REAL(dgnn_kernel_rows) rows;
};

static void REAL(repflow_cuda_workspace_free)(void *of)
{
    struct REAL(cuda_workspace) *w = of;
    if (w) {
        dgnn_cuda_buffer_free(&w->queue, &w->lists_memory);
        dgnn_cuda_buffer_free(&w->queue, &w->memory);
        dgnn_cuda_buffer_free(&w->queue, &w->rows_memory);
        dgnn_cuda_queue_free(&w->queue);
        dgnn_edge_lists_free(&w->lists);
        dgnn_buffer_free(&w->host);
        dgnn_alloc_free(w);
    }
}

static int REAL(repflow_cuda_workspace_create)(const void *weights, void **workspace,
                                               struct dgnn_error *error)
{
    struct REAL(cuda_workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->weights = weights;
    w->rows_memory.is_host = 1;
    int status = dgnn_cuda_device_queue(w->weights->queue.device, &w->queue, error);
    if (status) {
        REAL(repflow_cuda_workspace_free)(w);
        return status;
    }
    *workspace = w;
    return DGNN_OK;
}

/* ---------------------------------------------------------------- memory of an evaluation */

/* Where one of the lists' arrays is on the device. */
static const void *REAL(cuda_list)(const struct REAL(cuda_workspace) * w, const void *array)
{
    const struct dgnn_buffer *block = &w->lists.block[w->lists.current];
    return w->lists_memory.data + ((const char *)array - (const char *)block->data);
}

static struct REAL(cuda_part) REAL(cuda_part_of)(const int64_t *first, const struct REAL(cuda_part) * centre)
{
    int64_t from = first[centre->first];
    return (struct REAL(cuda_part)){from, first[centre->first + centre->count] - from};
}

/* The chunk after this one, which begins as zeros. 0: there is none. */
static int REAL(cuda_next_chunk)(const struct REAL(cuda_workspace) * w, struct REAL(cuda_chunk) * chunk)
{
    const struct dgnn_edge_lists *lists = &w->lists;
    struct REAL(cuda_part) *centre = &chunk->centre;
    centre->first += centre->count;
    centre->count = 0;
    while (centre->first + centre->count < lists->nowned) {
        int64_t after = lists->angle_first[centre->first + centre->count + 1];
        if (centre->count && after - lists->angle_first[centre->first] > w->weights->nangle_at_a_time) {
            break;
        }
        centre->count++;
    }
    chunk->edge = REAL(cuda_part_of)(lists->first, centre);
    chunk->pair = REAL(cuda_part_of)(lists->pair_first, centre);
    chunk->angle = REAL(cuda_part_of)(lists->angle_first, centre);
    chunk->linear2 = REAL(cuda_part_of)(lists->angle_linear2_first, centre);
    return centre->count > 0;
}

static int64_t REAL(cuda_most_angles)(const struct REAL(cuda_workspace) * w)
{
    struct REAL(cuda_chunk) chunk = {0};
    int64_t most = 0;
    while (REAL(cuda_next_chunk)(w, &chunk)) {
        most = chunk.angle.count > most ? chunk.angle.count : most;
    }
    return most;
}

#include "net/dpa3/repflow_cuda_rows_body.h"

static void REAL(cuda_lay_host)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    int64_t types = (f->settings->ntypes + 1) * f->settings->node_width;
    w->type_row = dgnn_arena_take(arena, 2 * types, sizeof(double));
    w->joined = dgnn_arena_take(arena, 3 * f->settings->node_width, sizeof(real));
    w->layer = dgnn_arena_take(arena, f->nlayer + 1, sizeof(*w->layer));
    REAL(cuda_lay_host_rows)(arena, w);
}

static void REAL(cuda_lay_rows)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    for (int64_t l = 1; l < f->nlayer; l++) {
        w->layer[l].host_node = dgnn_arena_take(arena, w->lists.nnode * f->n, sizeof(real));
    }
    w->host_rows = dgnn_arena_take(arena, w->lists.nnode * w->rows_stride, sizeof(real));
}

static void REAL(cuda_lay_geometry)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w)
{
    const struct dgnn_dpa3_settings *s = w->weights->host->settings;
    struct REAL(dgnn_kernel_repflow) *k = &w->all;
    int64_t nedge = w->lists.nedge;
    k->type_row = dgnn_arena_take(arena, (s->ntypes + 1) * s->node_width, sizeof(double));
    k->unit = dgnn_arena_take(arena, 3 * nedge, sizeof(double));
    k->edge_switch = dgnn_arena_take(arena, nedge, sizeof(real));
    k->angle_switch = dgnn_arena_take(arena, nedge, sizeof(real));
    k->edge_input = dgnn_arena_take(arena, nedge, sizeof(real));
    k->direction = dgnn_arena_take(arena, 3 * nedge, sizeof(real));
    k->angle_pair = dgnn_arena_take(arena, w->lists.nangle, sizeof(*k->angle_pair));
    w->output = dgnn_arena_take(arena, w->lists.nowned * k->output_width, sizeof(double));
    w->output_gradient = dgnn_arena_take(arena, w->lists.nowned * k->output_width, sizeof(double));
}

static void REAL(cuda_lay_layer)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w, int64_t l)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    const struct dgnn_repflow_updates updates = dgnn_driver_updates(f->settings, l);
    const struct dgnn_edge_lists *lists = &w->lists;
    struct REAL(cuda_kept) *kept = &w->layer[l];
    int64_t n = lists->nowned, nlinear2 = updates.with_angle_edge ? lists->nangle_linear2 : 0;
    kept->node = dgnn_arena_take(arena, lists->nnode * f->n, sizeof(real));
    kept->centre = dgnn_arena_take(arena, n * w->all.centre_width, sizeof(real));
    kept->neighbour_part = dgnn_arena_take(arena, lists->nnode * (f->m + f->e), sizeof(real));
    kept->moment = dgnn_arena_take(arena, n * 3 * (f->e + f->n), sizeof(real));
    kept->symmetric = dgnn_arena_take(arena, n * f->n, sizeof(real));
    if (l == 0 || !f->settings->is_sequential) {
        kept->edge = dgnn_arena_take(arena, lists->nedge * f->e, sizeof(real));
    } else {
        kept->edge = w->layer[l - 1].edge_last;
    }
    if (f->settings->is_sequential) {
        kept->edge_middle = dgnn_arena_take(arena, lists->nedge * f->e, sizeof(real));
        kept->edge_last = dgnn_arena_take(arena, lists->nedge * f->e, sizeof(real));
    }
    kept->angle_linear2_pre = dgnn_arena_take(arena, nlinear2 * f->e, sizeof(real));
    w->layer[l + 1].angle =
        dgnn_arena_take(arena, updates.with_angle ? lists->nangle * f->a : 0, sizeof(real));
}

/* An angle's own update goes by numbers, so layer 1's take the place of layer 0's, which backward makes again
 * of cosines. The gradient of the last ones takes their place, chunk by chunk (cuda_lay_side). */
static void REAL(cuda_lay_layers)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    w->last_angle = 0;
    for (int64_t l = 0; l < f->nlayer; l++) {
        REAL(cuda_lay_layer)(arena, w, l);
        w->last_angle = dgnn_driver_updates(f->settings, l).with_angle ? l + 1 : w->last_angle;
    }
    w->layer[0].angle =
        w->last_angle > 0 ? w->layer[1].angle : dgnn_arena_take(arena, w->lists.nangle * f->a, sizeof(real));
}

static void REAL(cuda_lay_side)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w, int32_t k)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    const struct dgnn_edge_lists *lists = &w->lists;
    struct REAL(cuda_side) *side = &w->side[k];
    int64_t n = lists->nowned, nedge = lists->nedge;
    side->d_scalars = dgnn_arena_take(arena, 9 * nedge, sizeof(double));
    side->edge_gradient = arena->base ? (double *)w->rows.edge_gradient + 3 * k * nedge : NULL;
    side->d_node = dgnn_arena_take(arena, lists->nnode * f->n, sizeof(real));
    side->d_message = dgnn_arena_take(arena, n * f->m, sizeof(real));
    side->d_moment = dgnn_arena_take(arena, n * 3 * (f->e + f->n), sizeof(real));
    side->d_centre = dgnn_arena_take(arena, n * w->all.centre_width, sizeof(real));
    side->d_edge[0] = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
    side->d_edge[1] = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
    side->d_edge_pre =
        w->sides > 1 ? dgnn_arena_take(arena, nedge * (f->m + f->e), sizeof(real)) : w->all.edge_pre;
    side->d_angle = k == 0 && w->last_angle > 1 ? w->layer[w->last_angle].angle
                                                : dgnn_arena_take(arena, lists->nangle * f->a, sizeof(real));
}

/* What nothing is kept in from one stage to the next. */
static void REAL(cuda_lay_scratch)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w,
                                   int want_gradient)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    const struct dgnn_edge_lists *lists = &w->lists;
    struct REAL(dgnn_kernel_repflow) *k = &w->all;
    int64_t n = lists->nowned, wide = f->e + f->a, back = want_gradient ? 1 : 0;
    k->message = dgnn_arena_take(arena, n * f->m, sizeof(real));
    k->gram = dgnn_arena_take(arena, n * f->axis * (f->e + f->n), sizeof(real));
    k->edge_pre = dgnn_arena_take(arena, lists->nedge * (f->m + f->e), sizeof(real));
    int64_t nangle = REAL(cuda_most_angles)(w);
    k->angle_pre = dgnn_arena_take(arena, nangle * wide, sizeof(real));
    k->pair_rows = dgnn_arena_take(arena, lists->npair * 2 * wide, sizeof(real));
    k->reduced = dgnn_arena_take(arena, lists->nangle_linear2 * f->e, sizeof(real));
    k->d_gram = k->gram;
    k->d_pair = k->pair_rows;
    k->d_angle_linear2 = k->reduced;
    k->d_symmetric = dgnn_arena_take(arena, back * n * f->n, sizeof(real));
    k->d_neighbour_part = dgnn_arena_take(arena, back * lists->nnode * (f->m + f->e), sizeof(real));
    k->d_reduced = dgnn_arena_take(arena, back * lists->nangle_linear2 * f->e, sizeof(real));
    k->d_angle_pre = w->sides > 1 ? dgnn_arena_take(arena, back * nangle * wide, sizeof(real)) : k->angle_pre;
    k->angle_value = dgnn_arena_take(arena, back * lists->nangle, sizeof(double));
    w->d_node_rows = dgnn_arena_take(arena, back * lists->nnode * w->rows_stride, sizeof(real));
    w->node_last = dgnn_arena_take(arena, n * f->n, sizeof(real));
}

static void REAL(cuda_lay)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w, int want_gradient)
{
    REAL(cuda_lay_geometry)(arena, w);
    REAL(cuda_lay_rows_of_device)(arena, w, want_gradient);
    REAL(cuda_lay_layers)(arena, w);
    REAL(cuda_lay_scratch)(arena, w, want_gradient);
    for (int32_t k = 0; k < w->sides && want_gradient; k++) {
        REAL(cuda_lay_side)(arena, w, k);
    }
}

/* Sizes and options, which no kernel changes. */
static struct REAL(dgnn_kernel_repflow)
    REAL(cuda_sizes)(const struct REAL(cuda_workspace) * w, const struct dgnn_evaluation *evaluation)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    const struct dgnn_dpa3_settings *s = f->settings;
    const struct dgnn_repflow_params *r = &s->repflow;
    double reduce = r->use_dynamic_sel ? r->sel_reduce_factor : 1;
    double e_sel = (double)r->e_sel / reduce, a_sel = (double)s->angle_sel / reduce;
    return (struct REAL(dgnn_kernel_repflow)){
        .nowned = w->lists.nowned,
        .nwith_energy = w->lists.nowned - evaluation->nwithout_energy,
        .nnode = w->lists.nnode,
        .nedge = w->lists.nedge,
        .npair = w->lists.npair,
        .nangle = w->lists.nangle,
        .nangle_linear2 = w->lists.nangle_linear2,
        .n = f->n,
        .e = f->e,
        .a = f->a,
        .m = f->m,
        .heads = f->heads,
        .axis = f->axis,
        .centre_width = f->layer[0].centre.ncol,
        .width = s->node_width,
        .output_width = s->node_width * (s->own.concat_output_tebd ? 2 : 1),
        .rows_stride = w->rows_stride,
        .smooth = r->smooth_edge_update,
        .is_exponential = r->use_exp_switch,
        .starts_from_distance = dgnn_repflow_starts_from_numbers(s, 0),
        .edge_start = r->e_rcut_smth,
        .edge_cutoff = r->e_rcut,
        .angle_start = r->a_rcut_smth,
        .angle_cutoff = r->a_rcut,
        .protection = s->own.env_protection,
        .cosine_scale = (1 - 1e-6) / sqrt(M_PI),
        .message_scale = (real)(1.0 / e_sel),
        .moment_scale = (real)(1.0 / sqrt(e_sel)),
        .angle_scale = (real)(1.0 / sqrt(a_sel)),
        .activation = s->activation,
        .statistics = w->weights->statistics,
        .edge_weight = w->weights->edge_weight,
        .edge_bias = w->weights->edge_bias,
        .angle_weight = w->weights->angle_weight,
    };
}

static int REAL(cuda_reserve_lists)(struct REAL(cuda_workspace) * w, struct dgnn_error *error)
{
    const struct dgnn_edge_lists *lists = &w->lists;
    struct REAL(dgnn_kernel_repflow) *k = &w->all;
    const char *before = w->lists_memory.data;
    DGNN_TRY(dgnn_cuda_buffer_reserve(&w->queue, &w->lists_memory, lists->nupload,
                                      "lists of edges and angles", error));
    w->has_lists = w->has_lists && !lists->is_new && w->lists_memory.data == before;
    k->first = REAL(cuda_list)(w, lists->first);
    k->pair_first = REAL(cuda_list)(w, lists->pair_first);
    k->angle_first = REAL(cuda_list)(w, lists->angle_first);
    k->angle_linear2_first = REAL(cuda_list)(w, lists->angle_linear2_first);
    k->reverse_first = REAL(cuda_list)(w, lists->reverse_first);
    k->edge_centre = REAL(cuda_list)(w, lists->edge_centre);
    k->neighbour = REAL(cuda_list)(w, lists->neighbour);
    k->reverse_edge = REAL(cuda_list)(w, lists->reverse_edge);
    k->pair_edge = REAL(cuda_list)(w, lists->pair_edge);
    k->type = REAL(cuda_list)(w, lists->type);
    return DGNN_OK;
}

static int REAL(cuda_reserve_all)(struct REAL(cuda_workspace) * w, const struct dgnn_evaluation *evaluation,
                                  struct dgnn_error *error)
{
    struct dgnn_arena arena = {0};
    const char *before = w->memory.data;
    DGNN_TRY(REAL(cuda_reserve_lists)(w, error));
    REAL(cuda_lay)(&arena, w, evaluation->want_gradient);
    DGNN_TRY(dgnn_cuda_buffer_reserve(&w->queue, &w->memory, arena.used, "the features of edges and angles",
                                      error));
    w->has_types = w->has_types && w->memory.data == before;
    arena = (struct dgnn_arena){.base = w->memory.data};
    REAL(cuda_lay)(&arena, w, evaluation->want_gradient);
    REAL(cuda_set_rows)(w, evaluation->graph);
    if (evaluation->exchange) {
        arena = (struct dgnn_arena){0};
        REAL(cuda_lay_rows)(&arena, w);
        DGNN_TRY(dgnn_cuda_buffer_reserve(&w->queue, &w->rows_memory, arena.used, "rows that ranks exchange",
                                          error));
        arena = (struct dgnn_arena){.base = w->rows_memory.data};
        REAL(cuda_lay_rows)(&arena, w);
    }
    return DGNN_OK;
}

/* The rows of types, and whether those on the device are other ones. */
static int REAL(cuda_type_rows)(struct REAL(cuda_workspace) * w, const struct dgnn_evaluation *evaluation,
                                struct dgnn_error *error)
{
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    int64_t count = (f->settings->ntypes + 1) * f->settings->node_width;
    DGNN_TRY(REAL(dgnn_repflow_type_rows)(f, evaluation->charge_spin, w->joined, w->type_row, error));
    w->has_types = w->has_types && !memcmp(w->type_row, w->type_row + count, sizeof(double) * (size_t)count);
    return DGNN_OK;
}

static int REAL(repflow_cuda_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                                      struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(cuda_workspace) *w = of;
    const struct REAL(dgnn_repflow) *f = w->weights->host;
    struct dgnn_arena arena = {0};
    const void *before = w->host.data;
    (void)profile;
    w->sides = dgnn_evaluation_sides(evaluation);
    w->rows_stride = w->sides * f->n;
    w->has_sums = evaluation->row_sums != NULL;
    w->has_atom_virial = w->has_sums && evaluation->row_sums->atom_virial;
    w->has_offset = w->sides > 1 && evaluation->graph->offset;
    DGNN_TRY(dgnn_edge_lists_build(&w->lists, f->settings, evaluation->graph, error));
    w->has_lists = w->has_lists && !w->lists.is_new;
    w->all = REAL(cuda_sizes)(w, evaluation);
    REAL(cuda_lay_host)(&arena, w);
    DGNN_TRY(dgnn_buffer_reserve(&w->host, arena.used, "the gradients of edges", error));
    w->has_types = w->has_types && w->host.data == before;
    arena = (struct dgnn_arena){.base = w->host.data};
    REAL(cuda_lay_host)(&arena, w);
    memset(w->layer, 0, sizeof(*w->layer) * (size_t)(f->nlayer + 1));
    dgnn_cuda_queue_enter(&w->queue);
    int status = dgnn_cuda_queue_status(&w->queue, error);
    status = status ? status : REAL(cuda_reserve_all)(w, evaluation, error);
    dgnn_cuda_queue_leave(&w->queue);
    return status ? status : REAL(cuda_type_rows)(w, evaluation, error);
}
