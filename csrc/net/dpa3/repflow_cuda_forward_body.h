#include "base/real.h"

/* Forward: which kernels make up a stage. */

/* A kernel runs over the items of some rows; each row has width of them. */
static void REAL(cuda_launch_rows_of)(struct REAL(cuda_workspace) * w, enum dgnn_kernel kernel,
                                      const struct REAL(dgnn_kernel_repflow) * argument,
                                      struct REAL(cuda_part) rows, int64_t width)
{
    struct REAL(dgnn_kernel_repflow) own = *argument;
    own.begin = rows.first * width;
    own.count = rows.count * width;
    dgnn_cuda_queue_launch(&w->queue, kernel, DGNN_REAL_BITS, own.count, &own);
}

static void REAL(cuda_launch)(struct REAL(cuda_workspace) * w, enum dgnn_kernel kernel,
                              const struct REAL(dgnn_kernel_repflow) * argument, int64_t count)
{
    REAL(cuda_launch_rows_of)(w, kernel, argument, (struct REAL(cuda_part)){.count = count}, 1);
}

/* Tensor cores have tiles of 64 x 64, and work on 8 columns of rows and of weights at a time, as our padding
 * allows.
 */
static void REAL(cuda_product)(struct REAL(cuda_workspace) * w, struct REAL(dgnn_kernel_product) product)
{
    int64_t ntile = (product.nrow + 63) / 64 * ((product.ncol + 63) / 64);
    product.count = product.nrow * product.ncol;
    if (dgnn_cuda_device_has_tensor_products(w->queue.device) && product.ncol % 8 == 0 &&
        product.depth % 8 == 0) {
        dgnn_cuda_queue_launch_tiles(&w->queue, DGNN_KERNEL_product_tensor, DGNN_REAL_BITS, ntile, &product);
    } else {
        dgnn_cuda_queue_launch(&w->queue, DGNN_KERNEL_product, DGNN_REAL_BITS, product.count, &product);
    }
}

/* What a layer's kernels take. */
static struct REAL(dgnn_kernel_repflow) REAL(cuda_of_layer)(const struct REAL(cuda_workspace) * w, int64_t l)
{
    const struct REAL(cuda_kept) *kept = &w->layer[l];
    const struct REAL(dgnn_repflow_weights) *weights = &w->weights->layer[l];
    const struct dgnn_repflow_updates updates = dgnn_driver_updates(w->weights->host->settings, l);
    int is_last = l + 1 == w->weights->host->nlayer;
    struct REAL(dgnn_kernel_repflow) k = w->all;
    k.with_node = 1;
    k.with_edge = updates.with_edge;
    k.with_angle = updates.with_angle;
    k.keep_node = weights->keep_node;
    k.keep_edge = weights->block.keep_edge;
    k.keep_angle = weights->block.keep_angle;
    k.weight_self = weights->weight_self;
    k.weight_symmetric = weights->weight_symmetric;
    k.weight_message = weights->weight_message;
    k.weight_edge_self = weights->block.weight_edge_self;
    k.weight_edge_angle = weights->block.weight_edge_angle;
    k.weight_angle = weights->block.weight_angle;
    k.node = kept->node;
    k.next_node = is_last ? w->node_last : w->layer[l + 1].node;
    k.centre = kept->centre;
    k.neighbour_part = kept->neighbour_part;
    k.moment = kept->moment;
    k.symmetric = kept->symmetric;
    k.edge_state = kept->edge;
    k.next_edge = is_last ? NULL : w->layer[l + 1].edge;
    k.angle_state = kept->angle;
    k.next_angle = w->layer[l + 1].angle;
    k.angle_linear2_pre = kept->angle_linear2_pre;
    return k;
}

/* The layer's row for edges that form no angle; NULL: they get nothing, or what the angles' kernels give
 * them. */
static const real *REAL(cuda_without_angle)(const struct REAL(cuda_workspace) * w, int64_t l)
{
    int has = dgnn_driver_updates(w->weights->host->settings, l).with_angle_edge && w->all.smooth;
    return has ? w->weights->layer[l].block.without_angle_term : NULL;
}

/* ---------------------------------------------------------------- edges */

static int64_t REAL(cuda_edge_columns)(const struct REAL(dgnn_kernel_repflow) * k, int64_t *from)
{
    *from = k->with_node ? 0 : k->m;
    return (k->with_edge ? k->m + k->e : k->m) - *from;
}

/* edge_pre of edge_state, in the columns of with_node and with_edge. */
static void REAL(cuda_edge_pre)(struct REAL(cuda_workspace) * w, int64_t l,
                                const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_matrix) *edge = &w->weights->layer[l].block.edge;
    int64_t from, ncol = REAL(cuda_edge_columns)(k, &from);
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_edge_start, k, k->nedge * ncol);
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = k->nedge,
                                                             .ncol = ncol,
                                                             .depth = k->e,
                                                             .rows = k->edge_state,
                                                             .row_stride = k->e,
                                                             .weights = edge->data + from,
                                                             .weight_stride = edge->stride,
                                                             .out = k->edge_pre + from,
                                                             .out_stride = k->m + k->e,
                                                             .accumulate = 1});
}

static void REAL(cuda_edge_forward)(struct REAL(cuda_workspace) * w, int64_t l,
                                    const struct REAL(dgnn_kernel_repflow) * k)
{
    REAL(cuda_edge_pre)(w, l, k);
    if (k->with_node) {
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_edge_message, k, k->nowned * k->m);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_edge_moment, k, k->nowned * (k->e + k->n));
    }
    if (k->with_edge) {
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_edge_update, k, k->nedge * k->e);
    }
}

/* ---------------------------------------------------------------- angles */

static int64_t REAL(cuda_angle_columns)(const struct REAL(dgnn_kernel_repflow) * k, int64_t *from)
{
    *from = k->with_edge ? 0 : k->e;
    return (k->with_angle ? k->e + k->a : k->e) - *from;
}

/* angle_pre of angle_state and edge_state, in the columns of with_edge and with_angle, of a chunk. */
static void REAL(cuda_angle_pre)(struct REAL(cuda_workspace) * w, int64_t l,
                                 const struct REAL(cuda_chunk) * chunk,
                                 const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_matrix) *pair = &w->weights->layer[l].block.pair,
                                   *angle = &w->weights->layer[l].block.angle;
    int64_t from, ncol = REAL(cuda_angle_columns)(k, &from), wide = k->e + k->a;
    REAL(cuda_product)(w,
                       (struct REAL(dgnn_kernel_product)){.nrow = chunk->pair.count,
                                                          .ncol = 2 * wide,
                                                          .depth = pair->nrow,
                                                          .rows = k->edge_state,
                                                          .row_stride = k->e,
                                                          .row_index = k->pair_edge + chunk->pair.first,
                                                          .weights = pair->data,
                                                          .weight_stride = pair->stride,
                                                          .out = k->pair_rows + chunk->pair.first * 2 * wide,
                                                          .out_stride = 2 * wide});
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_angle_start, k, chunk->angle, ncol);
    REAL(cuda_product)(w,
                       (struct REAL(dgnn_kernel_product)){.nrow = chunk->angle.count,
                                                          .ncol = ncol,
                                                          .depth = k->a,
                                                          .rows = k->angle_state + chunk->angle.first * k->a,
                                                          .row_stride = k->a,
                                                          .weights = angle->data + from,
                                                          .weight_stride = angle->stride,
                                                          .out = k->angle_pre + from,
                                                          .out_stride = wide,
                                                          .accumulate = 1});
}

static void REAL(cuda_angle_message)(struct REAL(cuda_workspace) * w, int64_t l,
                                     const struct REAL(cuda_chunk) * chunk,
                                     const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_repflow_layer) *block = &w->weights->layer[l].block;
    int64_t place = chunk->linear2.first * k->e;
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_angle_reduce, k, chunk->linear2, k->e);
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = chunk->linear2.count,
                                                             .ncol = k->e,
                                                             .depth = k->e,
                                                             .rows = k->reduced + place,
                                                             .row_stride = k->e,
                                                             .weights = block->angle_linear2.data,
                                                             .weight_stride = block->angle_linear2.stride,
                                                             .bias = block->angle_linear2_bias,
                                                             .out = k->angle_linear2_pre + place,
                                                             .out_stride = k->e});
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_angle_to_edge, k, chunk->linear2, k->e);
}

static void REAL(cuda_angle_forward)(struct REAL(cuda_workspace) * w, int64_t l,
                                     const struct REAL(dgnn_kernel_repflow) * all)
{
    struct REAL(cuda_chunk) chunk = {0};
    struct REAL(dgnn_kernel_repflow) k = *all;
    while (REAL(cuda_next_chunk)(w, &chunk)) {
        k.angle_base = chunk.angle.first;
        REAL(cuda_angle_pre)(w, l, &chunk, &k);
        if (k.with_edge) {
            REAL(cuda_angle_message)(w, l, &chunk, &k);
        }
        if (k.with_angle) {
            REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_angle_update, &k, chunk.angle, k.a);
        }
    }
}

/* ---------------------------------------------------------------- stages */

static void REAL(cuda_stage_begin)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct dgnn_graph *g = call->evaluation->graph;
    const struct dgnn_dpa3_settings *s = w->weights->host->settings;
    int64_t types = (s->ntypes + 1) * s->node_width, size = sizeof(double);
    w->evaluation = call->evaluation;
    if (!w->has_lists) {
        dgnn_cuda_queue_upload(&w->queue, w->lists_memory.data, w->lists.block[w->lists.current].data,
                               w->lists.nupload);
    }
    if (!w->has_types) {
        memcpy(w->type_row + types, w->type_row, sizeof(double) * (size_t)types);
        dgnn_cuda_queue_upload(&w->queue, (void *)w->all.type_row, w->type_row + types, types * size);
    }
    w->has_lists = w->has_types = 1;
    REAL(cuda_begin_rows)(w, g);
}

/* Layer 0's, whose place layer 1's take (cuda_lay_layers): backward makes them again. */
static void REAL(cuda_first_angles)(struct REAL(cuda_workspace) * w)
{
    struct REAL(dgnn_kernel_repflow) k = w->all;
    k.angle_state = w->layer[0].angle;
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_first_angles, &k, k.nangle * k.a);
}

static void REAL(cuda_stage_geometry)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = w->all;
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_geometry, &k, k.nedge);
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_angle_index, &k, k.npair);
    REAL(cuda_first_angles)(w);
    for (int32_t side = 0; side < w->sides && call->evaluation->want_gradient; side++) {
        dgnn_cuda_queue_clear(&w->queue, w->side[side].d_scalars, 9 * k.nedge * (int64_t)sizeof(double));
    }
}

static void REAL(cuda_stage_first_nodes)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_layer)(w, 0);
    (void)call;
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_first_nodes, &k, k.nnode * k.n);
}

static void REAL(cuda_stage_first_edges)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_layer)(w, 0);
    (void)call;
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_first_edges, &k, k.nedge * k.e);
}

/* How many of a layer's columns a result depends on: those of edges' and angles' own updates come last. */
static int64_t REAL(cuda_centre_used)(const struct REAL(cuda_workspace) * w, int64_t l)
{
    const struct dgnn_repflow_updates updates = dgnn_driver_updates(w->weights->host->settings, l);
    const struct REAL(dgnn_kernel_repflow) *k = &w->all;
    return k->n + k->m + (updates.with_edge ? k->e : 0) + (updates.with_angle_edge ? k->e : 0) +
           (updates.with_angle ? k->a : 0);
}

static void REAL(cuda_stage_centre)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_repflow_weights) *weights = &w->weights->layer[call->layer];
    const struct REAL(cuda_kept) *kept = &w->layer[call->layer];
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = w->all.nowned,
                                                             .ncol = REAL(cuda_centre_used)(w, call->layer),
                                                             .depth = w->all.n,
                                                             .rows = kept->node,
                                                             .row_stride = w->all.n,
                                                             .weights = weights->centre.data,
                                                             .weight_stride = weights->centre.stride,
                                                             .bias = weights->centre_bias,
                                                             .out = kept->centre,
                                                             .out_stride = w->all.centre_width});
}

/* The driver's two parts hide messages behind owned nodes' work. Here all is done when the ghosts are there:
 * the queue works on the angles meanwhile. */
static void REAL(cuda_stage_neighbour_part)(struct REAL(cuda_workspace) * w,
                                            const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_matrix) *part = &w->weights->layer[call->layer].neighbour_part;
    const struct REAL(cuda_kept) *kept = &w->layer[call->layer];
    int with_edge = dgnn_driver_updates(w->weights->host->settings, call->layer).with_edge;
    if (call->part == DGNN_STAGE_INSIDE) {
        return;
    }
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = w->all.nnode,
                                                             .ncol = w->all.m + (with_edge ? w->all.e : 0),
                                                             .depth = w->all.n,
                                                             .rows = kept->node,
                                                             .row_stride = w->all.n,
                                                             .weights = part->data,
                                                             .weight_stride = part->stride,
                                                             .out = kept->neighbour_part,
                                                             .out_stride = w->all.m + w->all.e});
}

static void REAL(cuda_stage_angles)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_layer)(w, call->layer);
    REAL(cuda_angle_forward)(w, call->layer, &k);
}

static void REAL(cuda_stage_edges)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_layer)(w, call->layer);
    k.without_angle_term = REAL(cuda_without_angle)(w, call->layer);
    if (call->part != DGNN_STAGE_INSIDE) {
        REAL(cuda_edge_forward)(w, call->layer, &k);
    }
}

/* Edge self, angle self from the new edges, angle to edge from the new angles, nodes from the newest edges.
 */
static void REAL(cuda_stage_sequence)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(cuda_kept) *kept = &w->layer[call->layer];
    const struct REAL(dgnn_kernel_repflow) all = REAL(cuda_of_layer)(w, call->layer);
    struct REAL(dgnn_kernel_repflow) k = all;
    k.with_node = 0;
    k.next_edge = kept->edge_middle;
    REAL(cuda_edge_forward)(w, call->layer, &k);
    k = all;
    k.with_edge = 0;
    k.edge_state = kept->edge_middle;
    REAL(cuda_angle_forward)(w, call->layer, &k);
    k.without_angle_term = REAL(cuda_without_angle)(w, call->layer);
    k.next_edge = kept->edge_last;
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_edge_last, &k, k.nedge * k.e);
    k.with_edge = 1;
    k.with_angle = 0;
    k.angle_state = all.next_angle;
    REAL(cuda_angle_forward)(w, call->layer, &k);
    k = all;
    k.with_edge = 0;
    k.edge_state = kept->edge_last;
    REAL(cuda_edge_forward)(w, call->layer, &k);
}

static void REAL(cuda_stage_node)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_repflow_weights) *weights = &w->weights->layer[call->layer];
    struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_layer)(w, call->layer);
    int64_t width = k.axis * (k.e + k.n);
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_gram, &k, k.nowned * width);
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = k.nowned,
                                                             .ncol = k.n,
                                                             .depth = width,
                                                             .rows = k.gram,
                                                             .row_stride = width,
                                                             .weights = weights->symmetric.data,
                                                             .weight_stride = weights->symmetric.stride,
                                                             .bias = weights->symmetric_bias,
                                                             .out = k.symmetric,
                                                             .out_stride = k.n});
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_node_update, &k, k.nowned * k.n);
}

static void REAL(cuda_stage_output)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = w->all;
    int64_t count = k.nowned * k.output_width;
    k.node = w->node_last;
    k.output = w->output;
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_output, &k, count);
    dgnn_cuda_queue_download(&w->queue, call->output, w->output, count * (int64_t)sizeof(double));
}
