#include "base/real.h"

/* Where an evaluation's arrays are, and which of them it keeps. */

static void REAL(repflow_lay_counts)(struct dgnn_arena *arena, struct REAL(repflow_state) * w)
{
    w->bound = dgnn_arena_take(arena, w->threads + 1, sizeof(*w->bound));
    w->used_bound = dgnn_arena_take(arena, w->threads + 1, sizeof(*w->used_bound));
    w->first = dgnn_arena_take(arena, w->nowned + 1, sizeof(*w->first));
    w->angle_first = dgnn_arena_take(arena, w->nowned + 1, sizeof(*w->angle_first));
    w->angle_linear2_first = dgnn_arena_take(arena, w->nowned + 1, sizeof(*w->angle_linear2_first));
    w->angle_count = dgnn_arena_take(arena, w->nowned, sizeof(*w->angle_count));
    w->sees_ghosts = dgnn_arena_take(arena, w->nowned, sizeof(*w->sees_ghosts));
    w->layer = dgnn_arena_take(arena, w->f->nlayer + 1, sizeof(*w->layer));
}

static void REAL(repflow_lay_geometry)(struct dgnn_arena *arena, struct REAL(repflow_state) * w)
{
    int64_t nedge = w->nedge;
    w->neighbour = dgnn_arena_take(arena, nedge, sizeof(*w->neighbour));
    w->graph_edge = dgnn_arena_take(arena, nedge, sizeof(*w->graph_edge));
    w->edge_switch = dgnn_arena_take(arena, nedge, sizeof(real));
    w->direction = dgnn_arena_take(arena, 3 * nedge, sizeof(real));
    w->angle_switch = dgnn_arena_take(arena, nedge, sizeof(real));
    w->edge_input = dgnn_arena_take(arena, nedge, sizeof(real));
    w->cosine = dgnn_arena_take(arena, w->nangle, sizeof(real));
    w->displacement = w->sides > 1 ? dgnn_arena_take(arena, 3 * nedge, sizeof(real)) : NULL;
    w->unit = dgnn_arena_take(arena, 3 * nedge, sizeof(double));
    for (int32_t k = 0; k < w->sides; k++) {
        struct REAL(repflow_side) *side = &w->side[k];
        side->d_edge_switch = dgnn_arena_take(arena, nedge, sizeof(double));
        side->d_direction = dgnn_arena_take(arena, 3 * nedge, sizeof(double));
        side->d_angle_switch = dgnn_arena_take(arena, nedge, sizeof(double));
        side->d_unit = dgnn_arena_take(arena, 3 * nedge, sizeof(double));
        side->d_edge_input = dgnn_arena_take(arena, nedge, sizeof(double));
    }
    w->type_row =
        dgnn_arena_take(arena, (w->f->settings->ntypes + 1) * w->f->settings->node_width, sizeof(double));
}

/* Does a layer keep its features of edges and angles for backward? With alternate the last but one does, the
 * last whose angles reach the energy, and every other one below it. What the last layer reads is still there
 * when backward begins; those in between are made again, centre by centre, from the layer before
 * (repflow_backward_body.h). */
static int REAL(repflow_keeps)(const struct REAL(repflow_state) * w, int64_t l)
{
    return !w->alternate || (w->f->nlayer - l) % 2 == 0;
}

/* Arrays that layers share with alternate. Of the angles' second linear, those of a layer that makes the next
 * one's features again are made again as well. */
static void REAL(repflow_lay_between)(struct dgnn_arena *arena, struct REAL(repflow_state) * w,
                                      int want_gradient)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int64_t most = w->edges.angle_count_max * w->edges.angle_count_max;
    if (w->alternate) {
        w->edge_between = dgnn_arena_take(arena, w->nedge * f->e, sizeof(real));
        w->angle_linear2_between = dgnn_arena_take(arena, w->nangle_linear2 * f->e, sizeof(real));
    }
    if (w->alternate && want_gradient) {
        w->angle_between = dgnn_arena_take(arena, w->threads * most * f->a, sizeof(real));
    }
}

/* Edge features: every layer's input, since the gradient of the moments needs it. */
static void REAL(repflow_lay_edges)(struct dgnn_arena *arena, struct REAL(repflow_state) * w, int64_t l)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    struct REAL(repflow_kept) kept = {0};
    int sequential = f->settings->is_sequential;
    int64_t ncentre = l + 1 < f->nlayer ? w->nowned : w->nwith_energy, nedge = w->first[ncentre];
    int64_t with_angles = l + 2 < f->nlayer ? w->nowned : w->nwith_energy;
    int64_t nangle = w->angle_first[with_angles], nangle_linear2 = w->angle_linear2_first[with_angles];
    kept.updates = dgnn_driver_updates(f->settings, l);
    kept.node = dgnn_arena_take(arena, w->nnode * f->n, sizeof(real));
    kept.centre = dgnn_arena_take(arena, ncentre * f->layer[l].centre.ncol, sizeof(real));
    kept.neighbour_part = dgnn_arena_take(arena, w->nnode * (f->m + f->e), sizeof(real));
    kept.moment = dgnn_arena_take(arena, ncentre * 3 * (f->e + f->n), sizeof(real));
    kept.symmetric = dgnn_arena_take(arena, ncentre * f->n, sizeof(real));
    kept.edge = w->edge_between;
    if (REAL(repflow_keeps)(w, l)) {
        kept.edge = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
    }
    if (sequential) {
        kept.edge_middle = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
        kept.edge_last = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
    }
    /* Layer 0's rows are sums of a few rows (edges: where they start from the distance), sooner made anew
     * than read. */
    int again = l == 0 && !sequential;
    if (w->keep_edge_pre && !(again && dgnn_repflow_starts_from_numbers(f->settings, l))) {
        kept.edge_pre = dgnn_arena_take(arena, nedge * (f->m + f->e), sizeof(real));
    }
    if (w->keep_angle_pre && kept.updates.with_angle_edge && !again) {
        kept.angle_pre = dgnn_arena_take(arena, nangle * (f->e + f->a), sizeof(real));
    }
    if (w->alternate && REAL(repflow_keeps)(w, l) && l + 2 < f->nlayer) {
        kept.angle_linear2_pre = w->angle_linear2_between;
    } else if (kept.updates.with_angle_edge) {
        kept.angle_linear2_pre = dgnn_arena_take(arena, nangle_linear2 * f->e, sizeof(real));
    }
    if (arena->base) {
        w->layer[l] = kept;
    }
}

/* The last layer's edges, of which the rotation matrix is made. */
static void REAL(repflow_lay_last_edges)(struct dgnn_arena *arena, struct REAL(repflow_state) * w)
{
    const struct dgnn_dpa3_settings *s = w->f->settings;
    int is_apart = s->wants_rotation && !s->is_sequential;
    real *edge = is_apart ? dgnn_arena_take(arena, w->nedge * w->f->e, sizeof(real)) : NULL;
    if (arena->base) {
        w->layer[w->f->nlayer] = (struct REAL(repflow_kept)){
            .edge = s->wants_rotation && s->is_sequential ? w->layer[w->f->nlayer - 1].edge_last : edge};
    }
}

/* Angle features: every layer's input, or one array that each layer updates in place where backward does not
 * need them: always less than the numbers that are kept instead. With alternate, a layer that does not keep
 * its features updates them in place. */
static void REAL(repflow_lay_angles)(struct dgnn_arena *arena, struct REAL(repflow_state) * w)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int keep = w->keep_angle_pre;
    real *rolling = keep ? dgnn_arena_take(arena, w->nangle * f->a, sizeof(real)) : NULL;
    real *before = NULL;
    w->shares_angle = keep;
    w->angle_last = rolling;
    for (int64_t l = 0; l < f->nlayer && f->settings->has_angles; l++) {
        int with_angle = dgnn_driver_updates(f->settings, l).with_angle;
        int in_place = l > 0 && !REAL(repflow_keeps)(w, l);
        real *next = keep || !with_angle ? rolling
                     : in_place          ? before
                                         : dgnn_arena_take(arena, w->nangle * f->a, sizeof(real));
        if (arena->base) {
            w->layer[l].angle = before;
            w->layer[l].angle_next = next;
        }
        if (with_angle && !keep && !f->settings->is_sequential) {
            w->shares_angle = 1;
            w->angle_last = next;
        }
        before = next;
    }
}

/* Answers that need the rotation matrix go backward several times after one forward, which then leaves alone
 * all that forward kept. */
static void REAL(repflow_lay_side)(struct dgnn_arena *arena, struct REAL(repflow_state) * w, int32_t k)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    struct REAL(repflow_side) *side = &w->side[k];
    int leaves_kept = f->settings->wants_rotation;
    side->d_node = dgnn_arena_take(arena, w->nnode * f->n, sizeof(real));
    if (k == 0) {
        side->d_node_rows = dgnn_arena_take(arena, w->nnode * w->rows_stride, sizeof(real));
        side->d_message = w->message;
    } else {
        side->d_node_rows = w->side[0].d_node_rows ? w->side[0].d_node_rows + k * f->n : NULL;
        side->d_message = dgnn_arena_take(arena, w->nowned * f->m, sizeof(real));
    }
    if (k || leaves_kept) {
        side->d_symmetric = dgnn_arena_take(arena, w->threads * REAL(REPFLOW_ROWS) * f->n, sizeof(real));
    }
    side->d_neighbour_part =
        dgnn_arena_take(arena, w->threads * w->nnode * (f->m + f->e + f->n), sizeof(real));
    side->d_centre = dgnn_arena_take(arena, w->nowned * f->layer[0].centre.ncol, sizeof(real));
    side->d_edge_centre = dgnn_arena_take(arena, w->nowned * (f->m + f->e), sizeof(real));
    side->d_moment = dgnn_arena_take(arena, w->nowned * 3 * (f->e + f->n), sizeof(real));
    side->d_edge[0] = dgnn_arena_take(arena, w->nedge * f->e, sizeof(real));
    side->d_edge[1] = dgnn_arena_take(arena, w->nedge * f->e, sizeof(real));
    /* The gradient's angles begin in the place of the last layer's: backward reads an angle there before it
     * writes it, or, where numbers are kept, not at all. */
    int is_there = k == 0 && w->shares_angle && (w->keep_angle_pre || !leaves_kept);
    side->d_angle = is_there ? w->angle_last : dgnn_arena_take(arena, w->nangle * f->a, sizeof(real));
}

static void REAL(repflow_lay_state)(struct dgnn_arena *arena, struct REAL(repflow_state) * w,
                                    int want_gradient)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    REAL(repflow_lay_between)(arena, w, want_gradient);
    for (int64_t l = 0; l < f->nlayer; l++) {
        REAL(repflow_lay_edges)(arena, w, l);
    }
    REAL(repflow_lay_last_edges)(arena, w);
    REAL(repflow_lay_angles)(arena, w);
    w->message = dgnn_arena_take(arena, w->nowned * f->m, sizeof(real));
    w->node_last = dgnn_arena_take(arena, w->nowned * f->n, sizeof(real));
    w->gram = dgnn_arena_take(arena, w->threads * REAL(REPFLOW_ROWS) * f->axis * (f->e + f->n), sizeof(real));
    w->scratch = dgnn_arena_take(arena, w->threads, (size_t)w->scratch_size);
    for (int32_t k = 0; k < w->sides && want_gradient; k++) {
        REAL(repflow_lay_side)(arena, w, k);
    }
}

/* What is kept: bits of enum dgnn_kept. alternate: and features at every other layer alone. */
static void REAL(repflow_set_kept)(struct REAL(repflow_state) * w, int32_t kept, int32_t alternate)
{
    w->keep_edge_pre = (kept & DGNN_KEPT_EDGES) != 0;
    w->keep_angle_pre = (kept & DGNN_KEPT_ANGLES) != 0 && w->f->settings->has_angles;
    w->alternate = alternate && !kept;
}

/* Bytes of all arrays, of which the counts take the first ones. */
static int64_t REAL(repflow_measure)(struct REAL(repflow_state) * w, int64_t counts, int want_gradient)
{
    struct dgnn_arena arena = {.used = counts};
    REAL(repflow_lay_geometry)(&arena, w);
    REAL(repflow_lay_state)(&arena, w, want_gradient);
    return arena.used;
}

/* May features be made again from the layer before? The sequence's edges are made in steps, a rotation matrix
 * reads the last ones, and without angles there is little to gain. */
static int REAL(repflow_may_alternate)(const struct dgnn_dpa3_settings *s)
{
    return s->has_angles && !s->is_sequential && !s->wants_rotation;
}

/* Chooses what is kept. Not on trial: systems whose blocks are soon done, and the sequence, whose edges and
 * angles share a stage. counts: bytes of the counts. */
static void REAL(repflow_begin_trial)(struct REAL(repflow_workspace) * workspace,
                                      const struct dgnn_evaluation *evaluation, int64_t counts)
{
    const struct dgnn_dpa3_settings *s = workspace->f->settings;
    struct REAL(repflow_state) *w = &workspace->state;
    struct dgnn_recompute_trial *trial = &workspace->trial;
    if (s->memory == DGNN_MEMORY_FAST) {
        int enough = w->nowned >= REAL(REPFLOW_TRIAL) && evaluation->want_gradient && !s->is_sequential;
        enough = enough && !evaluation->want_moments; /* not to be compared with those without */
        REAL(repflow_set_kept)(w, DGNN_KEPT_EDGES | DGNN_KEPT_ANGLES, 0);
        int is_new = REAL(repflow_measure)(w, counts, evaluation->want_gradient) > workspace->memory.capacity;
        const struct dgnn_recompute_trial_system system = {enough, is_new, w->nedge, w->nangle};
        dgnn_recompute_trial_begin(trial, &system);
    } else {
        trial->alternate = workspace->f->nlayer > REAL(REPFLOW_DEEP);
    }
    trial->alternate = trial->alternate && REAL(repflow_may_alternate)(s);
    if (trial->is_measured && !w->profile) {
        dgnn_profile_start(&trial->profile);
        w->profile = &trial->profile;
    }
}

/* Memory for this evaluation, and for what later ones of the trial may keep. */
static int REAL(repflow_reserve_state)(struct REAL(repflow_workspace) * workspace, int64_t counts,
                                       int want_gradient, struct dgnn_error *error)
{
    struct REAL(repflow_state) *w = &workspace->state;
    const struct dgnn_recompute_trial *trial = &workspace->trial;
    REAL(repflow_set_kept)(w, trial->reserved, 0);
    int64_t later = trial->reserved ? REAL(repflow_measure)(w, counts, want_gradient) : 0;
    REAL(repflow_set_kept)(w, trial->kept, trial->alternate);
    int64_t now = REAL(repflow_measure)(w, counts, want_gradient);
    DGNN_TRY(dgnn_buffer_extend(&workspace->memory, now > later ? now : later, counts,
                                "the features of edges and angles", error));
    struct dgnn_arena arena = {.base = workspace->memory.data};
    REAL(repflow_lay_counts)(&arena, w);
    REAL(repflow_lay_geometry)(&arena, w);
    REAL(repflow_lay_state)(&arena, w, want_gradient);
    return DGNN_OK;
}

static int REAL(repflow_reserve)(struct REAL(repflow_workspace) * workspace,
                                 const struct dgnn_evaluation *evaluation, struct dgnn_error *error)
{
    const struct REAL(dgnn_repflow) *f = workspace->f;
    struct REAL(repflow_state) *w = &workspace->state;
    struct dgnn_arena arena = {0};
    int32_t sides = dgnn_evaluation_sides(evaluation);
    int counts_all = f->settings->is_sequential || f->settings->wants_rotation;
    *w = (struct REAL(repflow_state)){.f = f,
                                      .sides = sides,
                                      .rows_stride = sides * f->n,
                                      .graph = evaluation->graph,
                                      .profile = evaluation->profile,
                                      .nowned = evaluation->graph->nowned,
                                      .nnode = evaluation->graph->nnode,
                                      .nwith_energy = evaluation->graph->nowned -
                                                      (counts_all ? 0 : evaluation->nwithout_energy),
                                      .threads = f->settings->threads};
    REAL(repflow_lay_counts)(&arena, w);
    DGNN_TRY(dgnn_buffer_reserve(&workspace->memory, arena.used, "the counts of edges and angles", error));
    arena = (struct dgnn_arena){.base = workspace->memory.data};
    REAL(repflow_lay_counts)(&arena, w);
    REAL(repflow_count)(w);
    w->edges.columns = sides - 1;
    w->scratch_size = f->ops->repflow_scratch(&w->edges, &f->layer[0].block);
    int64_t least = 4 * (f->n + f->e) * (int64_t)sizeof(real); /* for the initial features */
    w->scratch_size = dgnn_table_pad(w->scratch_size > least ? w->scratch_size : least, 64);
    REAL(repflow_begin_trial)(workspace, evaluation, arena.used);
    DGNN_TRY(REAL(repflow_reserve_state)(workspace, arena.used, evaluation->want_gradient, error));
    REAL(repflow_set_edges)(w);
    REAL(repflow_partition)(w, w->nowned, w->bound);
    REAL(repflow_partition)(w, w->nwith_energy, w->used_bound);
    REAL(repflow_count_flop)(w, evaluation->want_gradient ? sides : 0);
    return DGNN_OK;
}
