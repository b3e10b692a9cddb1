#include "base/real.h"

/* Backward: which kernels make up a stage. What the sides share, as numbers before activations, is made once.
 */

/* What a layer's kernels take for one side. */
static struct REAL(dgnn_kernel_repflow)
    REAL(cuda_of_side)(const struct REAL(cuda_workspace) * w, const struct REAL(dgnn_kernel_repflow) * layer,
                       int32_t number)
{
    const struct REAL(cuda_side) *side = &w->side[number];
    struct REAL(dgnn_kernel_repflow) k = *layer;
    k.is_first = number == 0;
    k.column = number - 1;
    k.d_edge_switch = side->d_scalars;
    k.d_angle_switch = side->d_scalars + k.nedge;
    k.d_edge_input = side->d_scalars + 2 * k.nedge;
    k.d_direction = side->d_scalars + 3 * k.nedge;
    k.d_unit = side->d_scalars + 6 * k.nedge;
    k.edge_gradient = side->edge_gradient;
    k.d_node = side->d_node;
    k.d_node_rows = w->d_node_rows + number * k.n;
    k.d_centre = side->d_centre;
    k.d_message = side->d_message;
    k.d_moment = side->d_moment;
    k.d_edge_state = side->d_edge[0];
    k.d_next_edge = side->d_edge[1];
    k.d_edge_pre = side->d_edge_pre;
    k.d_angle = side->d_angle;
    k.first_d_edge_pre = w->side[0].d_edge_pre;
    k.first_d_moment = w->side[0].d_moment;
    return k;
}

/* The gradient of edges that was made is the one that is taken next. */
static void REAL(cuda_swap)(struct REAL(cuda_workspace) * w)
{
    for (int32_t k = 0; k < w->sides; k++) {
        real *swap = w->side[k].d_edge[0];
        w->side[k].d_edge[0] = w->side[k].d_edge[1];
        w->side[k].d_edge[1] = swap;
    }
}

/* ---------------------------------------------------------------- nodes */

static void REAL(cuda_stage_d_output)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    int64_t size = sizeof(real), nedge = w->all.nedge;
    dgnn_cuda_queue_upload(&w->queue, w->output_gradient, call->output_gradient,
                           w->all.nowned * w->all.output_width * (int64_t)sizeof(double));
    for (int32_t side = 0; side < w->sides; side++) { /* moments start from zero */
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &w->all, side);
        k.output_gradient = w->output_gradient;
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_output, &k, k.nnode * k.n);
        dgnn_cuda_queue_clear(&w->queue, w->side[side].d_edge[1], nedge * k.e * size);
    }
}

static void REAL(cuda_stage_d_node)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_matrix) *symmetric = &w->weights->layer[call->layer].symmetric_transposed;
    const struct REAL(dgnn_kernel_repflow) layer = REAL(cuda_of_layer)(w, call->layer);
    int64_t width = layer.axis * (layer.e + layer.n);
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &layer, side);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_node, &k, k.nowned * k.n);
        REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = k.nowned,
                                                                 .ncol = width,
                                                                 .depth = k.n,
                                                                 .rows = k.d_symmetric,
                                                                 .row_stride = k.n,
                                                                 .weights = symmetric->data,
                                                                 .weight_stride = symmetric->stride,
                                                                 .out = k.d_gram,
                                                                 .out_stride = width});
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_moment, &k, k.nowned * 3 * (k.e + k.n));
    }
}

/* What neighbours' rows get is summed by each row, so there is nothing to clear. */
static void REAL(cuda_stage_d_clear)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    (void)w;
    (void)call;
}

static void REAL(cuda_stage_d_neighbour_part)(struct REAL(cuda_workspace) * w,
                                              const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_matrix) *part = &w->weights->layer[call->layer].neighbour_part_transposed;
    const struct REAL(dgnn_kernel_repflow) layer = REAL(cuda_of_layer)(w, call->layer);
    int64_t from, used = REAL(cuda_edge_columns)(&layer, &from);
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &layer, side);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_neighbour_part, &k, k.nnode * used);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_node_part, &k, k.nnode * k.n);
        REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = k.nnode,
                                                                 .ncol = k.n,
                                                                 .depth = used,
                                                                 .rows = k.d_neighbour_part,
                                                                 .row_stride = k.m + k.e,
                                                                 .weights = part->data,
                                                                 .weight_stride = part->stride,
                                                                 .out = k.d_node_rows,
                                                                 .out_stride = k.rows_stride,
                                                                 .accumulate = 1});
    }
}

static void REAL(cuda_stage_d_rows)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    (void)call;
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &w->all, side);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_rows, &k, k.nowned * k.n);
    }
}

static void REAL(cuda_stage_d_centre)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_matrix) *centre = &w->weights->layer[call->layer].centre_transposed;
    for (int32_t side = 0; side < w->sides; side++) {
        REAL(cuda_product)(w,
                           (struct REAL(dgnn_kernel_product)){.nrow = w->all.nowned,
                                                              .ncol = w->all.n,
                                                              .depth = REAL(cuda_centre_used)(w, call->layer),
                                                              .rows = w->side[side].d_centre,
                                                              .row_stride = w->all.centre_width,
                                                              .weights = centre->data,
                                                              .weight_stride = centre->stride,
                                                              .out = w->side[side].d_node,
                                                              .out_stride = w->all.n,
                                                              .accumulate = 1});
    }
}

/* ---------------------------------------------------------------- edges */

/* Of one side, after cuda_edge_pre with the same columns. */
static void REAL(cuda_edge_backward)(struct REAL(cuda_workspace) * w, int64_t l,
                                     const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_matrix) *edge = &w->weights->layer[l].block.edge_transposed;
    int64_t from, ncol = REAL(cuda_edge_columns)(k, &from);
    if (k->with_node) { /* of edge_pre, whose memory d_edge_pre then takes */
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_edge_scalars, k, k->nedge);
    }
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_edge_pre, k, k->nedge * ncol);
    REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_edge_state, k, k->nedge * k->e);
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = k->nedge,
                                                             .ncol = k->e,
                                                             .depth = ncol,
                                                             .rows = k->d_edge_pre + from,
                                                             .row_stride = k->m + k->e,
                                                             .weights = edge->data + from * edge->stride,
                                                             .weight_stride = edge->stride,
                                                             .out = k->d_edge_state,
                                                             .out_stride = k->e,
                                                             .accumulate = 1});
    if (l > 0) {
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_centre_edges, k, k->nowned * ncol);
    }
}

static void REAL(cuda_stage_d_edges)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_kernel_repflow) layer = REAL(cuda_of_layer)(w, call->layer);
    const struct dgnn_repflow_updates updates = dgnn_driver_updates(w->weights->host->settings, call->layer);
    REAL(cuda_edge_pre)(w, call->layer, &layer);
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &layer, side);
        k.edge_given = updates.with_angle_edge;
        REAL(cuda_edge_backward)(w, call->layer, &k);
    }
    REAL(cuda_swap)(w);
}

/* ---------------------------------------------------------------- angles */

/* The angles' message to edges, of one side: d_reduced, and what edges hold before the angles' own part. */
static void REAL(cuda_linear2_backward)(struct REAL(cuda_workspace) * w, int64_t l,
                                        const struct REAL(cuda_chunk) * chunk,
                                        const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_matrix) *linear2 = &w->weights->layer[l].block.angle_linear2_transposed;
    int64_t place = chunk->linear2.first * k->e;
    if (k->with_edge) {
        REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_angle_linear2, k, chunk->linear2, k->e);
        REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = chunk->linear2.count,
                                                                 .ncol = k->e,
                                                                 .depth = k->e,
                                                                 .rows = k->d_angle_linear2 + place,
                                                                 .row_stride = k->e,
                                                                 .weights = linear2->data,
                                                                 .weight_stride = linear2->stride,
                                                                 .out = k->d_reduced + place,
                                                                 .out_stride = k->e});
    }
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_angle_edges, k, chunk->edge, k->e);
}

/* From the gradient of angle_pre to those of angles and, in layer 0, of the edges' directions. */
static void REAL(cuda_angle_state_backward)(struct REAL(cuda_workspace) * w, int64_t l,
                                            const struct REAL(cuda_chunk) * chunk,
                                            const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_matrix) *angle = &w->weights->layer[l].block.angle_transposed;
    int64_t from, ncol = REAL(cuda_angle_columns)(k, &from);
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_angle_state, k, chunk->angle, k->a);
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = chunk->angle.count,
                                                             .ncol = k->a,
                                                             .depth = ncol,
                                                             .rows = k->d_angle_pre + from,
                                                             .row_stride = k->e + k->a,
                                                             .weights = angle->data + from * angle->stride,
                                                             .weight_stride = angle->stride,
                                                             .out = k->d_angle + chunk->angle.first * k->a,
                                                             .out_stride = k->a,
                                                             .accumulate = 1});
    if (k->angles_are_first) {
        REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_cosine, k, chunk->angle, 1);
        REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_unit, k, chunk->pair, 1);
    }
}

/* Of one side and a chunk, after cuda_angle_pre with the same columns. pair_rows become d_pair, and angle_pre
 * d_angle_pre where there is one side, so no angle_pre is made after it without new ones. */
static void REAL(cuda_angle_backward_chunk)(struct REAL(cuda_workspace) * w, int64_t l,
                                            const struct REAL(cuda_chunk) * chunk,
                                            const struct REAL(dgnn_kernel_repflow) * k)
{
    const struct REAL(dgnn_matrix) *pair = &w->weights->layer[l].block.pair_transposed;
    int64_t from, ncol = REAL(cuda_angle_columns)(k, &from), wide = k->e + k->a;
    REAL(cuda_linear2_backward)(w, l, chunk, k);
    if (k->with_edge) {
        REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_angle_value, k, chunk->angle, 1);
        REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_angle_switch, k, chunk->pair, 1);
    }
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_angle_pre, k, chunk->angle, ncol);
    REAL(cuda_angle_state_backward)(w, l, chunk, k);
    REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_pair, k, chunk->pair, 2 * wide);
    REAL(cuda_product)(w, (struct REAL(dgnn_kernel_product)){.nrow = chunk->pair.count,
                                                             .ncol = pair->ncol,
                                                             .depth = 2 * wide,
                                                             .rows = k->d_pair + chunk->pair.first * 2 * wide,
                                                             .row_stride = 2 * wide,
                                                             .weights = pair->data,
                                                             .weight_stride = pair->stride,
                                                             .out = k->d_edge_state,
                                                             .out_stride = k->e,
                                                             .out_index = k->pair_edge + chunk->pair.first,
                                                             .accumulate = 1});
    if (l > 0) {
        REAL(cuda_launch_rows_of)(w, DGNN_KERNEL_repflow_d_centre_angles, k, chunk->centre, ncol);
    }
}

/* All sides' gradients are made chunk by chunk, each from angle_pre, which is made anew of the layer's state.
 */
static void REAL(cuda_angle_backward)(struct REAL(cuda_workspace) * w, int64_t l,
                                      const struct REAL(dgnn_kernel_repflow) * all)
{
    struct REAL(cuda_chunk) chunk = {0};
    struct REAL(dgnn_kernel_repflow) layer = *all;
    while (REAL(cuda_next_chunk)(w, &chunk)) {
        layer.angle_base = chunk.angle.first;
        REAL(cuda_angle_pre)(w, l, &chunk, &layer);
        for (int32_t side = 0; side < w->sides; side++) {
            struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &layer, side);
            REAL(cuda_angle_backward_chunk)(w, l, &chunk, &k);
        }
    }
}

static void REAL(cuda_stage_d_angles)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_layer)(w, call->layer);
    k.angle_given = k.with_angle;
    k.angles_are_first = call->layer == 0;
    if (call->layer == 0) {
        REAL(cuda_first_angles)(w);
    }
    REAL(cuda_angle_backward)(w, call->layer, &k);
}

/* ---------------------------------------------------------------- in sequence */

/* Nodes from the newest edges: their gradient is added to that of these, which then holds for the angles'
 * steps, too. */
static void REAL(cuda_sequence_nodes)(struct REAL(cuda_workspace) * w, int64_t l,
                                      const struct REAL(dgnn_kernel_repflow) * layer)
{
    struct REAL(dgnn_kernel_repflow) step = *layer;
    step.with_edge = 0;
    step.edge_state = w->layer[l].edge_last;
    REAL(cuda_edge_pre)(w, l, &step);
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &step, side);
        k.d_edge_state = w->side[side].d_edge[1];
        k.edge_given = 1;
        REAL(cuda_edge_backward)(w, l, &k);
        dgnn_cuda_queue_copy(&w->queue, w->side[side].d_edge[0], w->side[side].d_edge[1],
                             k.nedge * k.e * (int64_t)sizeof(real));
    }
}

/* The angles' message to edges, from the new angles. */
static void REAL(cuda_sequence_message)(struct REAL(cuda_workspace) * w, int64_t l,
                                        const struct REAL(dgnn_kernel_repflow) * layer)
{
    struct REAL(dgnn_kernel_repflow) step = *layer;
    step.with_angle = 0;
    step.edge_state = w->layer[l].edge_middle;
    step.angle_state = layer->next_angle;
    step.edge_given = 1;
    step.angle_given = l + 1 < w->weights->host->nlayer;
    REAL(cuda_angle_backward)(w, l, &step);
}

/* The angles' own update; afterwards d_edge[1] is the gradient of the edges that they saw. */
static void REAL(cuda_sequence_angles)(struct REAL(cuda_workspace) * w, int64_t l,
                                       const struct REAL(dgnn_kernel_repflow) * layer)
{
    struct REAL(dgnn_kernel_repflow) step = *layer;
    step.with_edge = 0;
    step.edge_state = w->layer[l].edge_middle;
    step.edge_given = step.angle_given = 1;
    step.angles_are_first = l == 0;
    if (l == 0) {
        REAL(cuda_first_angles)(w);
    }
    REAL(cuda_angle_backward)(w, l, &step);
    for (int32_t side = 0; side < w->sides; side++) {
        dgnn_cuda_queue_copy(&w->queue, w->side[side].d_edge[1], w->side[side].d_edge[0],
                             step.nedge * step.e * (int64_t)sizeof(real));
    }
}

static void REAL(cuda_stage_d_sequence)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    const struct REAL(dgnn_kernel_repflow) layer = REAL(cuda_of_layer)(w, call->layer);
    struct REAL(dgnn_kernel_repflow) step = layer;
    REAL(cuda_sequence_nodes)(w, call->layer, &layer);
    REAL(cuda_sequence_message)(w, call->layer, &layer);
    REAL(cuda_sequence_angles)(w, call->layer, &layer);
    step.with_node = 0;
    REAL(cuda_edge_pre)(w, call->layer, &step);
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &step, side);
        REAL(cuda_edge_backward)(w, call->layer, &k);
    }
    REAL(cuda_swap)(w);
}

/* ---------------------------------------------------------------- geometry */

static void REAL(cuda_stage_d_first_edges)(struct REAL(cuda_workspace) * w,
                                           const struct dgnn_stage_call *call)
{
    (void)call;
    REAL(cuda_swap)(w);
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &w->all, side);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_first_edges, &k, k.nedge);
    }
}

static void REAL(cuda_stage_d_geometry)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    (void)call;
    for (int32_t side = 0; side < w->sides; side++) {
        struct REAL(dgnn_kernel_repflow) k = REAL(cuda_of_side)(w, &w->all, side);
        REAL(cuda_launch)(w, DGNN_KERNEL_repflow_d_geometry, &k, k.nedge);
    }
    REAL(cuda_end_rows)(w);
}
