#include "base/real.h"

/* The CPU's filling of the stages (stages.h): loops over threads, each with its own centres or rows. */

static int REAL(repflow_cpu_load)(void *settings, void **weights, struct dgnn_error *error)
{
    struct REAL(dgnn_repflow) *loaded = NULL;
    DGNN_TRY(REAL(dgnn_repflow_load)(settings, &loaded, error));
    *weights = loaded;
    return DGNN_OK;
}

static void REAL(repflow_cpu_free)(void *weights)
{
    REAL(dgnn_repflow_free)(weights);
}

static int REAL(repflow_cpu_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                                     struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(repflow_workspace) *workspace = of;
    DGNN_TRY(REAL(repflow_reserve)(workspace, evaluation, error));
    *profile = workspace->state.profile;
    struct REAL(repflow_state) *w = &workspace->state;
    return REAL(dgnn_repflow_type_rows)(w->f, evaluation->charge_spin, (real *)w->scratch, w->type_row,
                                        error);
}

/* Node of layer l, and the gradient that goes back. */
static struct dgnn_rows REAL(repflow_cpu_rows)(void *of, int32_t buffer, int64_t l)
{
    const struct REAL(repflow_state) *w = &((struct REAL(repflow_workspace) *)of)->state;
    int is_node = buffer == DGNN_REPFLOW_AT_NODE;
    return (struct dgnn_rows){.data = is_node ? w->layer[l].node : w->side[0].d_node_rows,
                              .width = is_node ? w->f->n : w->rows_stride,
                              .item_size = sizeof(real)};
}

static void REAL(repflow_cpu_begin)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_workspace) *workspace = of;
    (void)call;
    workspace->state.went_backward = 0;
    dgnn_recompute_trial_start(&workspace->trial, workspace->state.profile);
}

/* R[c][k] = moment_scale sum_j w_j h_jk e_jc of a centre's edges, w the switch and h the direction
 * (deepmd/dpmodel/descriptor/repflows.py: _cal_hg, of the last edges). */
static void REAL(repflow_cpu_rotation)(const struct REAL(repflow_state) * w, double *rotation)
{
    int64_t width = w->f->settings->edge_width, e = w->f->e;
    const real *edge = w->layer[w->f->nlayer].edge;
    memset(rotation, 0, sizeof(double) * (size_t)(w->nowned * width * 3));
    for (int64_t i = 0; i < w->nowned; i++) {
        for (int64_t j = w->first[i]; j < w->first[i + 1]; j++) {
            const real *h = w->direction + 3 * j;
            double factor = (double)(w->edges.moment_scale * w->edge_switch[j]);
            for (int64_t k = 0; k < 3 * width; k++) {
                rotation[i * 3 * width + k] += factor * (double)(h[k % 3] * edge[j * e + k / 3]);
            }
        }
    }
}

/* A rotation matrix has no moments. */
static void REAL(repflow_cpu_rotation_backward)(struct REAL(repflow_state) * w, const double *gradient)
{
    struct REAL(repflow_side) *side = &w->side[0];
    int64_t width = w->f->settings->edge_width, e = w->f->e;
    const real *edge = w->layer[w->f->nlayer].edge;
    double scale = (double)w->edges.moment_scale;
    for (int64_t i = 0; i < w->nowned; i++) {
        const double *d = gradient + i * 3 * width;
        for (int64_t j = w->first[i]; j < w->first[i + 1]; j++) {
            const real *h = w->direction + 3 * j;
            double sw = (double)w->edge_switch[j], d_h[3] = {0};
            for (int64_t k = 0; k < 3 * width; k++) {
                double by_edge = scale * sw * (double)h[k % 3] * d[k];
                side->d_edge[1][j * e + k / 3] += (real)by_edge;
                d_h[k % 3] += scale * d[k] * (double)edge[j * e + k / 3];
            }
            for (int k = 0; k < 3; k++) {
                side->d_direction[3 * j + k] += sw * d_h[k];
                side->d_edge_switch[j] += (double)h[k] * d_h[k];
            }
        }
    }
}

static void REAL(repflow_cpu_output)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_workspace) *workspace = of;
    dgnn_recompute_trial_stop(&workspace->trial, workspace->state.profile);
    REAL(repflow_output)(&workspace->state, call->output);
    if (call->evaluation->rotation) {
        REAL(repflow_cpu_rotation)(&workspace->state, call->evaluation->rotation);
    }
}

static void REAL(repflow_cpu_d_output)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_workspace) *workspace = of;
    struct REAL(repflow_state) *w = &workspace->state;
    const struct REAL(dgnn_repflow) *f = workspace->f;
    const struct dgnn_dpa3_settings *s = f->settings;
    int64_t width = s->node_width, stride = width * (s->own.concat_output_tebd ? 2 : 1);
    dgnn_recompute_trial_start(&workspace->trial, w->profile);
    if (w->went_backward) { /* else forward left them so */
        REAL(repflow_run)(w, call->layer, REAL(repflow_clear_scalars));
    }
    w->went_backward = 1;
    for (int32_t k = 0; k < w->sides; k++) { /* moments start from zero */
        struct REAL(repflow_side) *side = &w->side[k];
        memset(side->d_node, 0, sizeof(real) * (size_t)(w->nnode * f->n));
        if (s->is_sequential || s->wants_rotation) { /* else the last layer's edges have no gradient */
            memset(side->d_edge[1], 0, sizeof(real) * (size_t)(w->nedge * f->e));
        }
        side->edge_gradient = call->evaluation->edge_gradient + 3 * k * dgnn_graph_nedge(w->graph);
    }
    for (int64_t i = 0; i < w->nowned; i++) {
        for (int64_t c = 0; c < width; c++) {
            w->side[0].d_node[i * f->n + c] = (real)call->output_gradient[i * stride + c];
        }
    }
    if (call->evaluation->rotation) {
        REAL(repflow_cpu_rotation_backward)(w, call->evaluation->rotation_gradient);
    }
}

static void REAL(repflow_cpu_end)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_workspace) *workspace = of;
    (void)call;
    dgnn_recompute_trial_stop(&workspace->trial, workspace->state.profile);
    if (!dgnn_stop_skips()) {
        dgnn_recompute_trial_end(&workspace->trial);
    }
}

/* The gradient of edges that was made is the one that is taken next. */
static void REAL(repflow_cpu_swap)(struct REAL(repflow_state) * w)
{
    for (int32_t k = 0; k < w->sides; k++) {
        real *swap = w->side[k].d_edge[0];
        w->side[k].d_edge[0] = w->side[k].d_edge[1];
        w->side[k].d_edge[1] = swap;
    }
}

/* ---------------------------------------------------------------- buffers */

static void REAL(repflow_list_layer)(const struct REAL(repflow_state) * w, int64_t l, struct dgnn_places *to)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(repflow_kept) *k = &w->layer[l];
    int64_t size = sizeof(real), a = w->nangle, ncentre = l + 1 < f->nlayer ? w->nowned : w->nwith_energy;
    int64_t nedge = w->first[ncentre], with_angles = l + 2 < f->nlayer ? w->nowned : w->nwith_energy;
    int64_t nangle = w->angle_first[with_angles], nangle_linear2 = w->angle_linear2_first[with_angles];
    dgnn_backend_list(to, DGNN_REPFLOW_AT_NODE, l, k->node, (struct dgnn_place_rows){w->nnode, w->nowned},
                      f->n * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_CENTRE_ROWS, l, k->centre,
                      (struct dgnn_place_rows){ncentre, ncentre}, f->layer[l].centre.ncol * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_NEIGHBOUR_PART, l, k->neighbour_part,
                      (struct dgnn_place_rows){w->nnode, w->nnode}, (f->m + f->e) * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_MOMENT, l, k->moment, (struct dgnn_place_rows){ncentre, ncentre},
                      3 * (f->e + f->n) * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_SYMMETRIC, l, k->symmetric,
                      (struct dgnn_place_rows){ncentre, ncentre}, f->n * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_EDGE, l, k->edge, (struct dgnn_place_rows){nedge, nedge},
                      f->e * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_EDGE_MIDDLE, l, k->edge_middle,
                      (struct dgnn_place_rows){nedge, nedge}, f->e * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_EDGE_LAST, l, k->edge_last, (struct dgnn_place_rows){nedge, nedge},
                      f->e * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_EDGE_PRE, l, k->edge_pre, (struct dgnn_place_rows){nedge, nedge},
                      (f->m + f->e) * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_ANGLE, l, k->angle, (struct dgnn_place_rows){a, a}, f->a * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_ANGLE_NEXT, l, k->angle_next, (struct dgnn_place_rows){a, a},
                      f->a * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_ANGLE_PRE, l, k->angle_pre,
                      (struct dgnn_place_rows){nangle, nangle}, (f->e + f->a) * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_ANGLE_LINEAR2_PRE, l, k->angle_linear2_pre,
                      (struct dgnn_place_rows){nangle_linear2, nangle_linear2}, f->e * size);
}

static void REAL(repflow_list_scalars)(const struct REAL(repflow_state) * w, struct dgnn_places *to)
{
    int64_t size = sizeof(real), e = w->nedge;
    real *const made[] = {w->edge_switch, w->angle_switch, w->edge_input};
    for (int k = 0; k < 3; k++) {
        dgnn_backend_list(to, DGNN_REPFLOW_AT_SCALARS, -1, made[k], (struct dgnn_place_rows){e, e}, size);
    }
    dgnn_backend_list(to, DGNN_REPFLOW_AT_SCALARS, -1, w->direction, (struct dgnn_place_rows){e, e},
                      3 * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_SCALARS, -1, w->unit, (struct dgnn_place_rows){e, e},
                      3 * sizeof(double));
    dgnn_backend_list(to, DGNN_REPFLOW_AT_SCALARS, -1, w->cosine,
                      (struct dgnn_place_rows){w->nangle, w->nangle}, size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_SCALARS, -1, w->displacement, (struct dgnn_place_rows){e, e},
                      3 * size);
}

/* What a side has for each edge and angle. */
static void REAL(repflow_list_side_edges)(const struct REAL(repflow_state) * w,
                                          const struct REAL(repflow_side) * side, struct dgnn_places *to)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct dgnn_place_rows edges = {w->nedge, w->nedge}, angles = {w->nangle, w->nangle};
    double *const scalars[] = {side->d_edge_switch, side->d_angle_switch, side->d_edge_input};
    int64_t size = sizeof(real);
    for (int q = 0; q < 3; q++) {
        dgnn_backend_list(to, DGNN_REPFLOW_AT_D_SCALARS, -1, scalars[q], edges, sizeof(double));
    }
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_SCALARS, -1, side->d_direction, edges, 3 * sizeof(double));
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_SCALARS, -1, side->d_unit, edges, 3 * sizeof(double));
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_EDGE_OUT, -1, side->d_edge[0], edges, f->e * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_EDGE_IN, -1, side->d_edge[1], edges, f->e * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_ANGLE, -1, side->d_angle, angles, f->a * size);
}

/* ... and for each node. The gradient's d_message is the message itself, and its rows are those of all sides.
 * Moments' d_message goes by the message's number, of which forward promises the message alone. */
static void REAL(repflow_list_side)(const struct REAL(repflow_state) * w, int32_t k, struct dgnn_places *to)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(repflow_side) *side = &w->side[k];
    int64_t size = sizeof(real), n = w->nowned, wide = f->m + f->e, all = w->threads * w->nnode;
    const struct dgnn_place_rows nodes = {w->nnode, n}, rows = {w->nnode, w->nnode}, owned = {n, n};
    REAL(repflow_list_side_edges)(w, side, to);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_NODE_SUM, -1, side->d_node, nodes, f->n * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_NODE_ROWS, -1, k ? NULL : side->d_node_rows, rows,
                      w->rows_stride * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_MESSAGE, -1, k ? side->d_message : NULL,
                      (struct dgnn_place_rows){n, 0}, f->m * size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, side->d_symmetric,
                      (struct dgnn_place_rows){w->threads * REAL(REPFLOW_ROWS), 0}, f->n * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_ACCUMULATORS, -1, side->d_neighbour_part,
                      (struct dgnn_place_rows){all, all}, (wide + f->n) * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_CENTRE_ROWS, -1, side->d_centre, owned,
                      f->layer[0].centre.ncol * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_EDGE_ROWS, -1, side->d_edge_centre, owned, wide * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_D_MOMENT, -1, side->d_moment, owned, 3 * (f->e + f->n) * size);
}

static void REAL(repflow_cpu_places)(void *of, int64_t chunk, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(repflow_state) *w = &((struct REAL(repflow_workspace) *)of)->state;
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t size = sizeof(real), n = w->nowned;
    (void)chunk;
    (void)thread;
    for (int64_t l = 0; l < f->nlayer; l++) {
        REAL(repflow_list_layer)(w, l, to);
    }
    REAL(repflow_list_scalars)(w, to);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_MESSAGE, -1, w->message, (struct dgnn_place_rows){n, n},
                      f->m * size);
    dgnn_backend_list(to, DGNN_REPFLOW_AT_NODE_LAST, -1, w->node_last, (struct dgnn_place_rows){n, n},
                      f->n * size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, w->scratch, (struct dgnn_place_rows){w->threads, 0},
                      w->scratch_size);
    dgnn_backend_list(to, DGNN_AT_SCRATCH, -1, w->gram,
                      (struct dgnn_place_rows){w->threads * REAL(REPFLOW_ROWS), 0},
                      f->axis * (f->e + f->n) * size);
    for (int32_t k = 0; k < w->sides; k++) {
        REAL(repflow_list_side)(w, k, to);
    }
}

/* ---------------------------------------------------------------- stages */

/* A stage over centres, and one over node rows. */
#define REPFLOW_CPU_CENTRES(name, body)                                                                      \
    static void REAL(repflow_cpu_##name)(void *of, const struct dgnn_stage_call *call)                       \
    {                                                                                                        \
        REAL(repflow_run)(&((struct REAL(repflow_workspace) *)of)->state, call->layer, REAL(body));          \
    }
#define REPFLOW_CPU_ROWS(name, body)                                                                         \
    static void REAL(repflow_cpu_##name)(void *of, const struct dgnn_stage_call *call)                       \
    {                                                                                                        \
        REAL(repflow_run_nodes)(&((struct REAL(repflow_workspace) *)of)->state, call->layer, REAL(body));    \
    }

REPFLOW_CPU_CENTRES(geometry, repflow_geometry)
REPFLOW_CPU_ROWS(first_nodes, repflow_first_nodes)
REPFLOW_CPU_CENTRES(first_edges, repflow_first_edges)
REPFLOW_CPU_CENTRES(centre, repflow_centre)
REPFLOW_CPU_CENTRES(angles, repflow_angles)
REPFLOW_CPU_CENTRES(sequence, repflow_sequence)
REPFLOW_CPU_CENTRES(node, repflow_node)
REPFLOW_CPU_CENTRES(d_node, repflow_d_node)
REPFLOW_CPU_ROWS(d_clear, repflow_clear_accumulators)
REPFLOW_CPU_ROWS(d_neighbour_part, repflow_d_neighbour_part)
REPFLOW_CPU_CENTRES(d_centre, repflow_d_centre)
REPFLOW_CPU_CENTRES(d_angles, repflow_angles_backward)
REPFLOW_CPU_ROWS(d_rows, repflow_d_rows)
REPFLOW_CPU_CENTRES(d_geometry, repflow_geometry_backward)

#undef REPFLOW_CPU_CENTRES
#undef REPFLOW_CPU_ROWS

static void REAL(repflow_cpu_neighbour_part)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_state) *w = &((struct REAL(repflow_workspace) *)of)->state;
    REAL(repflow_run_rows)(w, call->layer, call->part == DGNN_STAGE_OUTSIDE ? w->nowned : 0,
                           call->part == DGNN_STAGE_INSIDE ? w->nowned : w->nnode,
                           REAL(repflow_neighbour_part));
}

static void REAL(repflow_cpu_edges)(void *of, const struct dgnn_stage_call *call)
{
    REAL(repflow_stage) *const bodies[] = {[DGNN_STAGE_ALL] = REAL(repflow_edges),
                                           [DGNN_STAGE_INSIDE] = REAL(repflow_edges_inside),
                                           [DGNN_STAGE_OUTSIDE] = REAL(repflow_edges_outside)};
    REAL(repflow_run)(&((struct REAL(repflow_workspace) *)of)->state, call->layer, bodies[call->part]);
}

static void REAL(repflow_cpu_d_edges)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_state) *w = &((struct REAL(repflow_workspace) *)of)->state;
    REAL(repflow_run)(w, call->layer, REAL(repflow_edges_backward));
    REAL(repflow_cpu_swap)(w);
}

static void REAL(repflow_cpu_d_sequence)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_state) *w = &((struct REAL(repflow_workspace) *)of)->state;
    REAL(repflow_run)(w, call->layer, REAL(repflow_sequence_backward));
    REAL(repflow_cpu_swap)(w);
}

static void REAL(repflow_cpu_d_first_edges)(void *of, const struct dgnn_stage_call *call)
{
    struct REAL(repflow_state) *w = &((struct REAL(repflow_workspace) *)of)->state;
    REAL(repflow_cpu_swap)(w);
    REAL(repflow_run)(w, call->layer, REAL(repflow_first_edges_backward));
}

const struct dgnn_backend REAL(dgnn_repflow_cpu) = {
    .name = "cpu",
    .load = REAL(repflow_cpu_load),
    .free = REAL(repflow_cpu_free),
    .cost = REAL(repflow_cpu_centre_cost),
    .workspace_create = REAL(repflow_workspace_create),
    .workspace_free = REAL(repflow_workspace_free),
    .reserve = REAL(repflow_cpu_reserve),
    .rows = REAL(repflow_cpu_rows),
    .places = REAL(repflow_cpu_places),
    .stage = {[DGNN_REPFLOW_BEGIN] = REAL(repflow_cpu_begin),
              [DGNN_REPFLOW_GEOMETRY] = REAL(repflow_cpu_geometry),
              [DGNN_REPFLOW_FIRST_NODES] = REAL(repflow_cpu_first_nodes),
              [DGNN_REPFLOW_FIRST_EDGES] = REAL(repflow_cpu_first_edges),
              [DGNN_REPFLOW_CENTRE] = REAL(repflow_cpu_centre),
              [DGNN_REPFLOW_NEIGHBOUR_PART] = REAL(repflow_cpu_neighbour_part),
              [DGNN_REPFLOW_ANGLES] = REAL(repflow_cpu_angles),
              [DGNN_REPFLOW_EDGES] = REAL(repflow_cpu_edges),
              [DGNN_REPFLOW_SEQUENCE] = REAL(repflow_cpu_sequence),
              [DGNN_REPFLOW_NODE] = REAL(repflow_cpu_node),
              [DGNN_REPFLOW_OUTPUT] = REAL(repflow_cpu_output),
              [DGNN_REPFLOW_D_OUTPUT] = REAL(repflow_cpu_d_output),
              [DGNN_REPFLOW_D_NODE] = REAL(repflow_cpu_d_node),
              [DGNN_REPFLOW_D_CLEAR] = REAL(repflow_cpu_d_clear),
              [DGNN_REPFLOW_D_EDGES] = REAL(repflow_cpu_d_edges),
              [DGNN_REPFLOW_D_SEQUENCE] = REAL(repflow_cpu_d_sequence),
              [DGNN_REPFLOW_D_NEIGHBOUR_PART] = REAL(repflow_cpu_d_neighbour_part),
              [DGNN_REPFLOW_D_CENTRE] = REAL(repflow_cpu_d_centre),
              [DGNN_REPFLOW_D_ANGLES] = REAL(repflow_cpu_d_angles),
              [DGNN_REPFLOW_D_ROWS] = REAL(repflow_cpu_d_rows),
              [DGNN_REPFLOW_D_FIRST_EDGES] = REAL(repflow_cpu_d_first_edges),
              [DGNN_REPFLOW_D_GEOMETRY] = REAL(repflow_cpu_d_geometry),
              [DGNN_REPFLOW_END] = REAL(repflow_cpu_end)},
};
