#include "base/real.h"

/* The CPU's filling of the stages (stages.h): loops over threads, each with its own centres or rows. */

static int REAL(repflow_cpu_load)(struct dgnn_dpa3_settings *settings, void **weights,
                                  struct dgnn_error *error)
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
    *profile = workspace->work.profile;
    return REAL(repflow_type_rows)(&workspace->work, evaluation->charge_spin, error);
}

static struct dgnn_repflow_rows REAL(repflow_cpu_node_rows)(void *of, int64_t l)
{
    const struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    return (struct dgnn_repflow_rows){w->layer[l].node, w->f->n, sizeof(real)};
}

static struct dgnn_repflow_rows REAL(repflow_cpu_gradient_rows)(void *of)
{
    const struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    return (struct dgnn_repflow_rows){w->side[0].d_node_rows, w->rows_stride, sizeof(real)};
}

static void REAL(repflow_cpu_forward_begin)(void *of)
{
    struct REAL(repflow_workspace) *workspace = of;
    dgnn_keeping_start(&workspace->keeping, workspace->work.profile);
}

static void REAL(repflow_cpu_forward_end)(void *of, double *output)
{
    struct REAL(repflow_workspace) *workspace = of;
    dgnn_keeping_stop(&workspace->keeping, workspace->work.profile);
    REAL(repflow_output)(&workspace->work, output);
}

static void REAL(repflow_cpu_backward_begin)(void *of, const struct dgnn_evaluation *evaluation,
                                             const double *output_gradient)
{
    struct REAL(repflow_workspace) *workspace = of;
    struct REAL(repflow_work) *w = &workspace->work;
    const struct REAL(dgnn_repflow) *f = workspace->f;
    const struct dgnn_dpa3_settings *s = f->settings;
    int64_t width = s->node_width, stride = width * (s->own.concat_output_tebd ? 2 : 1);
    dgnn_keeping_start(&workspace->keeping, w->profile);
    for (int32_t k = 0; k < w->sides; k++) { /* moments start from zero */
        struct REAL(repflow_side) *side = &w->side[k];
        memset(side->d_node, 0, sizeof(real) * (size_t)(w->nnode * f->n));
        memset(side->d_edge[1], 0, sizeof(real) * (size_t)(w->nedge * f->e));
        side->edge_gradient = evaluation->edge_gradient + 3 * k * dgnn_graph_nedge(w->graph);
    }
    for (int64_t i = 0; i < w->nowned; i++) {
        for (int64_t c = 0; c < width; c++) {
            w->side[0].d_node[i * f->n + c] = (real)output_gradient[i * stride + c];
        }
    }
}

static void REAL(repflow_cpu_backward_end)(void *of)
{
    struct REAL(repflow_workspace) *workspace = of;
    dgnn_keeping_stop(&workspace->keeping, workspace->work.profile);
    if (!dgnn_stop_skips()) {
        dgnn_keeping_end(&workspace->keeping);
    }
}

/* The gradient of edges that was made is the one that is taken next. */
static void REAL(repflow_cpu_swap)(struct REAL(repflow_work) * w)
{
    for (int32_t k = 0; k < w->sides; k++) {
        real *swap = w->side[k].d_edge[0];
        w->side[k].d_edge[0] = w->side[k].d_edge[1];
        w->side[k].d_edge[1] = swap;
    }
}

/* ---------------------------------------------------------------- buffers */

struct REAL(repflow_listing) {
    struct dgnn_repflow_place *places;
    int32_t count;
};

/* n rows of width items, of which those of the first owned are owned nodes'; nothing where there is no
 * memory. */
static void REAL(repflow_list)(struct REAL(repflow_listing) * to, enum dgnn_repflow_buffer buffer, int64_t l,
                               void *data, int64_t n, int64_t owned, int64_t item)
{
    if (data && n * item > 0) {
        to->places[to->count++] = (struct dgnn_repflow_place){buffer, l, data, n * item, owned * item};
    }
}

static void REAL(repflow_list_layer)(const struct REAL(repflow_work) * w, int64_t l,
                                     struct REAL(repflow_listing) * to)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(repflow_kept) *k = &w->layer[l];
    int64_t size = sizeof(real), a = w->nangle, ncentre = l + 1 < f->nlayer ? w->nowned : w->nused;
    int64_t nedge = w->first[ncentre], with_angles = l + 2 < f->nlayer ? w->nowned : w->nused;
    int64_t nangle = w->angle_first[with_angles], nsecond = w->second_first[with_angles];
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_NODE, l, k->node, w->nnode, w->nowned, f->n * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_CENTRE_ROWS, l, k->centre, ncentre, ncentre,
                       f->layer[l].centre.ncol * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_OTHER_ROWS, l, k->other, w->nnode, w->nnode, (f->m + f->e) * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_MOMENT, l, k->moment, ncentre, ncentre, 3 * (f->e + f->n) * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_SYMMETRIC, l, k->symmetric, ncentre, ncentre, f->n * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_EDGE, l, k->edge, nedge, nedge, f->e * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_EDGE_MIDDLE, l, k->edge_middle, nedge, nedge, f->e * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_EDGE_LAST, l, k->edge_last, nedge, nedge, f->e * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_EDGE_PRE, l, k->edge_pre, nedge, nedge, (f->m + f->e) * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_ANGLE, l, k->angle, a, a, f->a * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_ANGLE_NEXT, l, k->angle_next, a, a, f->a * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_ANGLE_PRE, l, k->angle_pre, nangle, nangle, (f->e + f->a) * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_SECOND_PRE, l, k->second_pre, nsecond, nsecond, f->e * size);
}

static void REAL(repflow_list_scalars)(const struct REAL(repflow_work) * w, struct REAL(repflow_listing) * to)
{
    int64_t size = sizeof(real), e = w->nedge;
    real *const made[] = {w->edge_switch, w->angle_switch, w->edge_input};
    for (int k = 0; k < 3; k++) {
        REAL(repflow_list)(to, DGNN_REPFLOW_AT_SCALARS, -1, made[k], e, e, size);
    }
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_SCALARS, -1, w->direction, e, e, 3 * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_SCALARS, -1, w->unit, e, e, 3 * sizeof(double));
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_SCALARS, -1, w->cosine, w->nangle, w->nangle, size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_SCALARS, -1, w->displacement, e, e, 3 * size);
}

static void REAL(repflow_list_side)(const struct REAL(repflow_work) * w, int32_t k,
                                    struct REAL(repflow_listing) * to)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(repflow_side) *side = &w->side[k];
    double *const scalars[] = {side->d_edge_switch, side->d_angle_switch, side->d_edge_input};
    int64_t size = sizeof(real), n = w->nowned, wide = f->m + f->e, all = w->threads * w->nnode, e = w->nedge;
    for (int q = 0; q < 3; q++) {
        REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_SCALARS, -1, scalars[q], e, e, sizeof(double));
    }
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_SCALARS, -1, side->d_direction, e, e, 3 * sizeof(double));
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_SCALARS, -1, side->d_unit, e, e, 3 * sizeof(double));
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_NODE_SUM, -1, side->d_node, w->nnode, n, f->n * size);
    if (k == 0) {
        REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_NODE_ROWS, -1, side->d_node_rows, w->nnode, w->nnode,
                           w->rows_stride * size);
    } else {
        REAL(repflow_list)(to, DGNN_REPFLOW_AT_MESSAGE, -1, side->d_message, n, n, f->m * size);
        REAL(repflow_list)(to, DGNN_REPFLOW_AT_SCRATCH, -1, side->d_symmetric,
                           w->threads * REAL(REPFLOW_ROWS), 0, f->n * size);
    }
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_ACCUMULATORS, -1, side->d_other, all, all, (wide + f->n) * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_CENTRE_ROWS, -1, side->d_centre, n, n,
                       f->layer[0].centre.ncol * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_EDGE_ROWS, -1, side->d_edge_centre, n, n, wide * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_MOMENT, -1, side->d_moment, n, n, 3 * (f->e + f->n) * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_EDGE_OUT, -1, side->d_edge[0], e, e, f->e * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_EDGE_IN, -1, side->d_edge[1], e, e, f->e * size);
    REAL(repflow_list)(to, DGNN_REPFLOW_AT_D_ANGLE, -1, side->d_angle, w->nangle, w->nangle, f->a * size);
}

static int32_t REAL(repflow_cpu_places)(void *of, struct dgnn_repflow_place *places)
{
    const struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    const struct REAL(dgnn_repflow) *f = w->f;
    struct REAL(repflow_listing) to = {.places = places};
    int64_t size = sizeof(real), n = w->nowned;
    for (int64_t l = 0; l < f->nlayer; l++) {
        REAL(repflow_list_layer)(w, l, &to);
    }
    REAL(repflow_list_scalars)(w, &to);
    REAL(repflow_list)(&to, DGNN_REPFLOW_AT_MESSAGE, -1, w->message, n, n, f->m * size);
    REAL(repflow_list)(&to, DGNN_REPFLOW_AT_NODE_LAST, -1, w->node_last, n, n, f->n * size);
    REAL(repflow_list)(&to, DGNN_REPFLOW_AT_SCRATCH, -1, w->scratch, w->threads, 0, w->scratch_size);
    REAL(repflow_list)(&to, DGNN_REPFLOW_AT_SCRATCH, -1, w->gram, w->threads * REAL(REPFLOW_ROWS), 0,
                       f->axis * (f->e + f->n) * size);
    for (int32_t k = 0; k < w->sides; k++) {
        REAL(repflow_list_side)(w, k, &to);
    }
    return to.count;
}

/* ---------------------------------------------------------------- stages */

/* A stage over centres, and one over node rows. */
#define REPFLOW_CPU_CENTRES(name, body)                                                                      \
    static void REAL(repflow_cpu_##name)(void *of, int64_t l, enum dgnn_repflow_part part)                   \
    {                                                                                                        \
        (void)part;                                                                                          \
        REAL(repflow_run)(&((struct REAL(repflow_workspace) *)of)->work, l, REAL(body));                     \
    }
#define REPFLOW_CPU_ROWS(name, body)                                                                         \
    static void REAL(repflow_cpu_##name)(void *of, int64_t l, enum dgnn_repflow_part part)                   \
    {                                                                                                        \
        (void)part;                                                                                          \
        REAL(repflow_run_nodes)(&((struct REAL(repflow_workspace) *)of)->work, l, REAL(body));               \
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
REPFLOW_CPU_ROWS(d_other, repflow_d_other)
REPFLOW_CPU_CENTRES(d_centre, repflow_d_centre)
REPFLOW_CPU_CENTRES(d_angles, repflow_angles_backward)
REPFLOW_CPU_ROWS(d_rows, repflow_d_rows)
REPFLOW_CPU_CENTRES(d_geometry, repflow_geometry_backward)

#undef REPFLOW_CPU_CENTRES
#undef REPFLOW_CPU_ROWS

static void REAL(repflow_cpu_other)(void *of, int64_t l, enum dgnn_repflow_part part)
{
    struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    REAL(repflow_run_rows)(w, l, part == DGNN_REPFLOW_OUTSIDE ? w->nowned : 0,
                           part == DGNN_REPFLOW_INSIDE ? w->nowned : w->nnode, REAL(repflow_other));
}

static void REAL(repflow_cpu_edges)(void *of, int64_t l, enum dgnn_repflow_part part)
{
    REAL(repflow_stage) *const bodies[] = {[DGNN_REPFLOW_ALL] = REAL(repflow_edges),
                                           [DGNN_REPFLOW_INSIDE] = REAL(repflow_edges_inside),
                                           [DGNN_REPFLOW_OUTSIDE] = REAL(repflow_edges_outside)};
    REAL(repflow_run)(&((struct REAL(repflow_workspace) *)of)->work, l, bodies[part]);
}

static void REAL(repflow_cpu_d_edges)(void *of, int64_t l, enum dgnn_repflow_part part)
{
    struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    (void)part;
    REAL(repflow_run)(w, l, REAL(repflow_edges_backward));
    REAL(repflow_cpu_swap)(w);
}

static void REAL(repflow_cpu_d_sequence)(void *of, int64_t l, enum dgnn_repflow_part part)
{
    struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    (void)part;
    REAL(repflow_run)(w, l, REAL(repflow_sequence_backward));
    REAL(repflow_cpu_swap)(w);
}

static void REAL(repflow_cpu_d_first_edges)(void *of, int64_t l, enum dgnn_repflow_part part)
{
    struct REAL(repflow_work) *w = &((struct REAL(repflow_workspace) *)of)->work;
    (void)part;
    REAL(repflow_cpu_swap)(w);
    REAL(repflow_run)(w, l, REAL(repflow_first_edges_backward));
}

const struct dgnn_repflow_backend REAL(dgnn_repflow_cpu) = {
    .name = "cpu",
    .load = REAL(repflow_cpu_load),
    .free = REAL(repflow_cpu_free),
    .centre_work = REAL(repflow_centre_work),
    .workspace_create = REAL(repflow_workspace_create),
    .workspace_free = REAL(repflow_workspace_free),
    .reserve = REAL(repflow_cpu_reserve),
    .node_rows = REAL(repflow_cpu_node_rows),
    .gradient_rows = REAL(repflow_cpu_gradient_rows),
    .forward_begin = REAL(repflow_cpu_forward_begin),
    .forward_end = REAL(repflow_cpu_forward_end),
    .backward_begin = REAL(repflow_cpu_backward_begin),
    .backward_end = REAL(repflow_cpu_backward_end),
    .places = REAL(repflow_cpu_places),
    .stage = {[DGNN_REPFLOW_GEOMETRY] = REAL(repflow_cpu_geometry),
              [DGNN_REPFLOW_FIRST_NODES] = REAL(repflow_cpu_first_nodes),
              [DGNN_REPFLOW_FIRST_EDGES] = REAL(repflow_cpu_first_edges),
              [DGNN_REPFLOW_CENTRE] = REAL(repflow_cpu_centre),
              [DGNN_REPFLOW_OTHER] = REAL(repflow_cpu_other),
              [DGNN_REPFLOW_ANGLES] = REAL(repflow_cpu_angles),
              [DGNN_REPFLOW_EDGES] = REAL(repflow_cpu_edges),
              [DGNN_REPFLOW_SEQUENCE] = REAL(repflow_cpu_sequence),
              [DGNN_REPFLOW_NODE] = REAL(repflow_cpu_node),
              [DGNN_REPFLOW_D_NODE] = REAL(repflow_cpu_d_node),
              [DGNN_REPFLOW_D_CLEAR] = REAL(repflow_cpu_d_clear),
              [DGNN_REPFLOW_D_EDGES] = REAL(repflow_cpu_d_edges),
              [DGNN_REPFLOW_D_SEQUENCE] = REAL(repflow_cpu_d_sequence),
              [DGNN_REPFLOW_D_OTHER] = REAL(repflow_cpu_d_other),
              [DGNN_REPFLOW_D_CENTRE] = REAL(repflow_cpu_d_centre),
              [DGNN_REPFLOW_D_ANGLES] = REAL(repflow_cpu_d_angles),
              [DGNN_REPFLOW_D_ROWS] = REAL(repflow_cpu_d_rows),
              [DGNN_REPFLOW_D_FIRST_EDGES] = REAL(repflow_cpu_d_first_edges),
              [DGNN_REPFLOW_D_GEOMETRY] = REAL(repflow_cpu_d_geometry)},
};
