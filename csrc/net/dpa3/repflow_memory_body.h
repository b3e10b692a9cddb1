#include "base/real.h"

/* What an evaluation works in: counts of edges and angles, memory, and how stages run on threads. */

/* One layer's kept arrays. */
struct REAL(repflow_kept) {
    real *node;           /* nnode x n: input of the layer */
    real *centre;         /* nowned x (n + m + e + e + a) */
    real *neighbour_part; /* nnode x (m + e) */
    real *moment;         /* nowned x 3 x (e + n) */
    real *symmetric;      /* nowned x n, before the activation */
    real *edge;           /* nedge x e: input of the layer */
    real *edge_middle;    /* sequential: after the edge's own update */
    real *edge_last;      /* sequential: after the angles' message */
    real *edge_pre;       /* as in the block; NULL: not kept */
    real *angle;          /* nangle x a: input; layer 0 has none */
    real *angle_next;     /* where the layer's angle update goes */
    real *angle_pre;
    real *angle_linear2_pre;
    struct dgnn_repflow_updates updates;
};

/* One side of backward (net/parts/descriptor.h): what the gradient, or a column of its moments, is kept in.
 */
struct REAL(repflow_side) {
    double *d_edge_switch, *d_direction, *d_angle_switch, *d_unit, *d_edge_input;
    double *edge_gradient;  /* of the graph's edges */
    real *d_node;           /* nnode x n */
    real *d_node_rows;      /* nnode x n, rows_stride apart: what goes back over ranks */
    real *d_neighbour_part; /* threads x nnode x (m + e + n) */
    real *d_centre;         /* nowned x (n + m + e + e + a) */
    real *d_edge_centre;    /* nowned x (m + e) */
    real *d_message;        /* nowned x m; of the gradient: the message's own place */
    real *d_symmetric;      /* the gradient's: in the layer's own place; else threads x ROWS x n */
    real *d_moment;         /* nowned x 3 x (e + n) */
    real *d_edge[2];        /* nedge x e */
    real *d_angle;          /* nangle x a */
    struct REAL(dgnn_repflow_edges) edges;
};

struct REAL(repflow_state) {
    const struct REAL(dgnn_repflow) * f;
    const struct dgnn_graph *graph;
    struct dgnn_profile *profile;
    int64_t nowned, nnode, nedge, nangle, nangle_linear2;
    int64_t nwith_energy; /* centres whose last features are used, the first ones: others need a layer less */
    int keep_edge_pre, keep_angle_pre;
    int threads;
    int64_t *bound;                        /* threads + 1: centres */
    int64_t *used_bound;                   /* the same of the last layer */
    struct REAL(dgnn_repflow_edges) edges; /* as the sides' own, without what they add to */
    int64_t *first, *angle_first, *angle_linear2_first;
    int32_t *angle_count, *neighbour;
    int8_t *sees_ghosts; /* nowned: is a neighbour a row that messages bring? */
    int64_t *graph_edge; /* nedge: the edge in the graph */
    real *edge_switch, *direction, *angle_switch, *cosine, *edge_input;
    real *displacement; /* nedge x 3, with moments */
    double *unit;
    double *type_row;                  /* (ntypes + 1) x n_dim: type embedding plus charge and spin */
    struct REAL(repflow_kept) * layer; /* nlayer + 1: the last has edges alone, where they are wanted */
    real *message;                     /* nowned x m; also its gradient */
    real *node_last;                   /* nowned x n */
    real *gram;                        /* threads x GRAM_ROWS x axis (e + n) */
    int32_t sides;                     /* of backward */
    int64_t rows_stride;               /* sides x n */
    struct REAL(repflow_side) side[DGNN_SIDES];
    char *scratch; /* threads x scratch_size */
    int64_t scratch_size;
};

enum {
    REAL(REPFLOW_ROWS) = 32,                      /* nodes done together where a matrix is shared */
    REAL(REPFLOW_PIECE) = 8 * REAL(REPFLOW_ROWS), /* nodes between two questions whether to stop */
    REAL(REPFLOW_TRIAL) = 64 /* owned nodes, the fewest that can show what is faster to keep */
};

/* What evaluations write. */
struct REAL(repflow_workspace) {
    const struct REAL(dgnn_repflow) * f;
    struct REAL(repflow_state) state; /* of the evaluation under way */
    struct dgnn_buffer memory;        /* of its arrays */
    struct dgnn_recompute_trial trial;
};

static int REAL(repflow_workspace_create)(const void *weights, void **workspace, struct dgnn_error *error)
{
    struct REAL(repflow_workspace) *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*made));
    }
    made->f = weights;
    *workspace = made;
    return DGNN_OK;
}

static void REAL(repflow_workspace_free)(void *of)
{
    struct REAL(repflow_workspace) *workspace = of;
    if (workspace) {
        dgnn_buffer_free(&workspace->memory);
        dgnn_alloc_free(workspace);
    }
}

/* Runs stage for each thread's part. Parts and their order are fixed, so results repeat bit for bit. */
typedef void REAL(repflow_stage)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread);

/* One stage on all threads: each does its own part, so memory that a thread touched stays its own. */
struct REAL(repflow_region) {
    struct REAL(repflow_state) * w;
    int64_t l;
    REAL(repflow_stage) * stage;
    const int64_t *bound; /* of centres, threads + 1; or ... */
    int64_t first, last;  /* ... of rows */
};

/* In pieces, so that a wish to end the call is heard in between. */
static void REAL(repflow_run_pieces)(const struct REAL(repflow_region) * region, int64_t begin, int64_t end,
                                     int t)
{
    for (int64_t i = begin; i < end && !dgnn_stop_skips(); i += REAL(REPFLOW_PIECE)) {
        region->stage(region->w, region->l, i, end - i < REAL(REPFLOW_PIECE) ? end : i + REAL(REPFLOW_PIECE),
                      t);
    }
}

static void REAL(repflow_run_part)(void *of, int64_t t, int32_t thread)
{
    const struct REAL(repflow_region) *region = of;
    struct REAL(repflow_state) *w = region->w;
    int64_t begin = region->bound[t], end = region->bound[t + 1];
    int64_t middle = w->nwith_energy < begin ? begin : w->nwith_energy < end ? w->nwith_energy : end;
    (void)thread;
    REAL(repflow_run_pieces)(region, begin, middle, (int)t);
    REAL(repflow_run_pieces)(region, middle, end, (int)t);
}

static void REAL(repflow_run_rows_part)(void *of, int64_t t, int32_t thread)
{
    const struct REAL(repflow_region) *region = of;
    int64_t count = region->last - region->first, threads = region->w->threads;
    (void)thread;
    region->stage(region->w, region->l, region->first + count * t / threads,
                  region->first + count * (t + 1) / threads, (int)t);
}

static void REAL(repflow_run)(struct REAL(repflow_state) * w, int64_t l, REAL(repflow_stage) * stage)
{
    const int64_t *bound = l + 1 < w->f->nlayer ? w->bound : w->used_bound;
    struct REAL(repflow_region) region = {.w = w, .l = l, .stage = stage, .bound = bound};
    dgnn_parallel_run(w->threads, w->threads, REAL(repflow_run_part), &region);
}

/* What reaches the energy of centres from begin on: those whose last features are not used are a layer ahead.
 */
static const struct dgnn_repflow_updates *REAL(repflow_updates)(const struct REAL(repflow_state) * w,
                                                                int64_t l, int64_t begin)
{
    return &w->layer[begin >= w->nwith_energy && l + 1 < w->f->nlayer ? l + 1 : l].updates;
}

/* The same over the node rows [first, last). */
static void REAL(repflow_run_rows)(struct REAL(repflow_state) * w, int64_t l, int64_t first, int64_t last,
                                   REAL(repflow_stage) * stage)
{
    struct REAL(repflow_region) region = {.w = w, .l = l, .stage = stage, .first = first, .last = last};
    dgnn_parallel_run(w->threads, w->threads, REAL(repflow_run_rows_part), &region);
}

/* Over all node rows, ghosts among them. */
static void REAL(repflow_run_nodes)(struct REAL(repflow_state) * w, int64_t l, REAL(repflow_stage) * stage)
{
    REAL(repflow_run_rows)(w, l, 0, w->nnode, stage);
}

/* ---------------------------------------------------------------- counts and memory */

static int REAL(repflow_is_excluded)(const struct REAL(repflow_state) * w, int64_t i, int64_t edge)
{
    const struct dgnn_graph *g = w->graph;
    return w->f->settings->excluded[g->type[i] * w->f->settings->ntypes + g->type[g->neighbour[edge]]];
}

/* Edges that exclude_types leaves (their slots still count against a_sel), and how many of them form angles.
 */
static void REAL(repflow_count)(struct REAL(repflow_state) * w)
{
    const struct dgnn_dpa3_settings *s = w->f->settings;
    const struct dgnn_repflow_params *r = &s->repflow;
    const struct dgnn_graph *g = w->graph;
    int64_t nedge = 0, nangle = 0, nangle_linear2 = 0, edge_max = 0, angle_max = 0;
    for (int64_t i = 0; i < w->nowned; i++) {
        int64_t count = 0, before = nedge;
        w->first[i] = nedge;
        w->angle_first[i] = nangle;
        w->angle_linear2_first[i] = nangle_linear2;
        w->sees_ghosts[i] = 0;
        for (int64_t j = g->first[i]; j < g->first[i + 1]; j++) {
            if (!REAL(repflow_is_excluded)(w, i, j)) {
                nedge++;
                w->sees_ghosts[i] |= g->neighbour[j] >= w->nowned;
                count += s->has_angles && j - g->first[i] < s->angle_sel && g->distance[j] < s->angle.cutoff;
            }
        }
        w->angle_count[i] = (int32_t)count;
        nangle += count * count;
        nangle_linear2 += r->smooth_edge_update ? count : nedge - before;
        edge_max = nedge - before > edge_max ? nedge - before : edge_max;
        angle_max = count > angle_max ? count : angle_max;
    }
    w->first[w->nowned] = w->nedge = nedge;
    w->angle_first[w->nowned] = w->nangle = nangle;
    w->angle_linear2_first[w->nowned] = w->nangle_linear2 = nangle_linear2;
    w->edges.edge_count_max = edge_max;
    w->edges.angle_count_max = angle_max;
}

static struct repflow_widths REAL(repflow_widths)(const struct REAL(dgnn_repflow) * f)
{
    return (struct repflow_widths){.n = (double)f->n,
                                   .e = (double)f->e,
                                   .a = f->settings->has_angles ? (double)f->a : 0,
                                   .m = (double)f->m,
                                   .axis = (double)f->axis,
                                   .node_part = (double)f->angle_node,
                                   .edge_part = (double)f->layer[0].block.pair.nrow};
}

static struct repflow_costs REAL(repflow_costs)(const struct REAL(dgnn_repflow) * f)
{
    const struct dgnn_dpa3_settings *s = f->settings;
    struct repflow_widths w = REAL(repflow_widths)(f);
    double smooth = s->repflow.smooth_edge_update ? 1 : 0;
    const struct repflow_counts node = {.nowned = 1}, edge = {.nedge = 1, .nangle_linear2 = 1 - smooth};
    const struct repflow_counts angle_edge = {.nangle_edge = 1, .nangle_linear2 = smooth},
                                angle = {.nangle = 1};
    return (struct repflow_costs){.node = repflow_cost(s, &w, f->nlayer, &node),
                                  .edge = repflow_cost(s, &w, f->nlayer, &edge),
                                  .angle_edge = repflow_cost(s, &w, f->nlayer, &angle_edge),
                                  .angle = repflow_cost(s, &w, f->nlayer, &angle)};
}

static double REAL(repflow_centre_cost)(const struct repflow_costs *c, int64_t nedge, int64_t nangle_edge)
{
    double angles = (double)nangle_edge;
    return c->node + c->edge * (double)nedge + (c->angle_edge + c->angle * angles) * angles;
}

static double REAL(repflow_cpu_centre_cost)(const void *weights, int64_t nedge, int64_t nangle_edge)
{
    struct repflow_costs costs = REAL(repflow_costs)(weights);
    return REAL(repflow_centre_cost)(&costs, nedge, nangle_edge);
}

/* Bounds of contiguous parts of the first n centres, one for each thread, of about equal cost. */
static void REAL(repflow_partition)(const struct REAL(repflow_state) * w, int64_t n, int64_t *bound)
{
    struct repflow_costs costs = REAL(repflow_costs)(w->f);
    double total = 0, sum = 0;
    int64_t i = 0;
    for (int64_t k = 0; k < n; k++) {
        total += REAL(repflow_centre_cost)(&costs, w->first[k + 1] - w->first[k], w->angle_count[k]);
    }
    for (int t = 0; t < w->threads; t++) {
        bound[t] = i;
        double goal = total * (t + 1) / w->threads;
        while (i < n && sum < goal) {
            sum += REAL(repflow_centre_cost)(&costs, w->first[i + 1] - w->first[i], w->angle_count[i]);
            i++;
        }
    }
    bound[w->threads] = n;
}

/* What a call multiplies, at two operations each; backward does each product of forward once, but those of
 * layer 0's nodes, which depend on types alone. */
static void REAL(repflow_count_flop)(const struct REAL(repflow_state) * w, int sides)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    struct repflow_widths widths = REAL(repflow_widths)(f);
    if (!w->profile) {
        return;
    }
    w->profile->kept |= w->keep_edge_pre * DGNN_KEPT_EDGES | w->keep_angle_pre * DGNN_KEPT_ANGLES;
    const int64_t set[3] = {0, w->nwith_energy, w->nowned}; /* those that are not used need a layer less */
    for (int k = 0; k < 2; k++) {
        struct repflow_counts counts = {
            .nowned = (double)(set[k + 1] - set[k]),
            .nedge = (double)(w->first[set[k + 1]] - w->first[set[k]]),
            .nangle = (double)(w->angle_first[set[k + 1]] - w->angle_first[set[k]]),
            .nangle_linear2 = (double)(w->angle_linear2_first[set[k + 1]] - w->angle_linear2_first[set[k]])};
        for (int64_t i = set[k]; i < set[k + 1]; i++) {
            counts.nangle_edge += w->angle_count[i];
        }
        repflow_count_products(f->settings, &widths, f->nlayer, &counts, k, sides, w->profile);
    }
}

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
    kept.edge = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
    if (sequential) {
        kept.edge_middle = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
        kept.edge_last = dgnn_arena_take(arena, nedge * f->e, sizeof(real));
    }
    /* Layer 0's rows are sums of a few rows (edges: where they start from the distance), sooner made anew
     * than read. */
    int again = l == 0 && !sequential;
    if (w->keep_edge_pre && !(again && repflow_starts_from_numbers(f->settings, l))) {
        kept.edge_pre = dgnn_arena_take(arena, nedge * (f->m + f->e), sizeof(real));
    }
    if (w->keep_angle_pre && kept.updates.with_angle_edge && !again) {
        kept.angle_pre = dgnn_arena_take(arena, nangle * (f->e + f->a), sizeof(real));
    }
    if (kept.updates.with_angle_edge) {
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
 * need them: always less than the numbers that are kept instead. */
static void REAL(repflow_lay_angles)(struct dgnn_arena *arena, struct REAL(repflow_state) * w)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    int keep = w->keep_angle_pre;
    real *rolling = keep ? dgnn_arena_take(arena, w->nangle * f->a, sizeof(real)) : NULL;
    real *before = NULL;
    for (int64_t l = 0; l < f->nlayer && f->settings->has_angles; l++) {
        int with_angle = dgnn_driver_updates(f->settings, l).with_angle;
        real *next = keep || !with_angle ? rolling : dgnn_arena_take(arena, w->nangle * f->a, sizeof(real));
        if (arena->base) {
            w->layer[l].angle = before;
            w->layer[l].angle_next = next;
        }
        before = next;
    }
}

static void REAL(repflow_lay_side)(struct dgnn_arena *arena, struct REAL(repflow_state) * w, int32_t k)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    struct REAL(repflow_side) *side = &w->side[k];
    side->d_node = dgnn_arena_take(arena, w->nnode * f->n, sizeof(real));
    if (k == 0) {
        side->d_node_rows = dgnn_arena_take(arena, w->nnode * w->rows_stride, sizeof(real));
        side->d_message = w->message;
    } else {
        side->d_node_rows = w->side[0].d_node_rows ? w->side[0].d_node_rows + k * f->n : NULL;
        side->d_message = dgnn_arena_take(arena, w->nowned * f->m, sizeof(real));
        side->d_symmetric = dgnn_arena_take(arena, w->threads * REAL(REPFLOW_ROWS) * f->n, sizeof(real));
    }
    side->d_neighbour_part =
        dgnn_arena_take(arena, w->threads * w->nnode * (f->m + f->e + f->n), sizeof(real));
    side->d_centre = dgnn_arena_take(arena, w->nowned * f->layer[0].centre.ncol, sizeof(real));
    side->d_edge_centre = dgnn_arena_take(arena, w->nowned * (f->m + f->e), sizeof(real));
    side->d_moment = dgnn_arena_take(arena, w->nowned * 3 * (f->e + f->n), sizeof(real));
    side->d_edge[0] = dgnn_arena_take(arena, w->nedge * f->e, sizeof(real));
    side->d_edge[1] = dgnn_arena_take(arena, w->nedge * f->e, sizeof(real));
    side->d_angle = dgnn_arena_take(arena, w->nangle * f->a, sizeof(real));
}

static void REAL(repflow_lay_state)(struct dgnn_arena *arena, struct REAL(repflow_state) * w,
                                    int want_gradient)
{
    const struct REAL(dgnn_repflow) *f = w->f;
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

static void REAL(repflow_set_edges)(struct REAL(repflow_state) * w)
{
    const struct dgnn_repflow_params *r = &w->f->settings->repflow;
    double e_sel = (double)r->e_sel, a_sel = (double)w->f->settings->angle_sel;
    if (r->use_dynamic_sel) {
        e_sel /= r->sel_reduce_factor;
        a_sel /= r->sel_reduce_factor;
    }
    w->edges = (struct REAL(dgnn_repflow_edges)){
        .ncentre = w->nowned,
        .first = w->first,
        .angle_count = w->angle_count,
        .angle_first = w->angle_first,
        .angle_linear2_first = w->angle_linear2_first,
        .neighbour = w->neighbour,
        .edge_switch = w->edge_switch,
        .direction = w->direction,
        .angle_switch = w->angle_switch,
        .unit = w->unit,
        .cosine = w->cosine,
        .cosine_scale = (1 - 1e-6) / sqrt(M_PI),
        .message_scale = (real)(1.0 / e_sel),
        .moment_scale = (real)(1.0 / sqrt(e_sel)),
        .angle_scale = (real)(1.0 / sqrt(a_sel)),
        .smooth = r->smooth_edge_update,
        .edge_count_max = w->edges.edge_count_max,
        .angle_count_max = w->edges.angle_count_max,
        .columns = w->sides - 1,
        .displacement = w->displacement,
    };
    for (int32_t k = 0; k < w->sides; k++) {
        struct REAL(repflow_side) *side = &w->side[k];
        side->edges = w->edges;
        side->edges.d_edge_switch = side->d_edge_switch;
        side->edges.d_direction = side->d_direction;
        side->edges.d_angle_switch = side->d_angle_switch;
        side->edges.d_unit = side->d_unit;
    }
}

static void REAL(repflow_set_kept)(struct REAL(repflow_state) * w, int32_t kept)
{
    w->keep_edge_pre = (kept & DGNN_KEPT_EDGES) != 0;
    w->keep_angle_pre = (kept & DGNN_KEPT_ANGLES) != 0 && w->f->settings->has_angles;
}

/* Chooses what is kept. Not on trial: systems whose blocks are soon done, and the sequence, whose edges and
 * angles share a stage. */
static void REAL(repflow_begin_trial)(struct REAL(repflow_workspace) * workspace,
                                      const struct dgnn_evaluation *evaluation)
{
    const struct REAL(dgnn_repflow) *f = workspace->f;
    struct REAL(repflow_state) *w = &workspace->state;
    struct dgnn_recompute_trial *trial = &workspace->trial;
    if (f->settings->memory == DGNN_MEMORY_FAST) {
        int enough =
            w->nowned >= REAL(REPFLOW_TRIAL) && evaluation->want_gradient && !f->settings->is_sequential;
        enough = enough && !evaluation->want_moments; /* not to be compared with those without */
        dgnn_recompute_trial_begin(trial, enough, w->nedge, w->nangle);
    }
    if (trial->is_measured && !w->profile) {
        dgnn_profile_start(&trial->profile);
        w->profile = &trial->profile;
    }
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
    REAL(repflow_begin_trial)(workspace, evaluation);
    w->edges.columns = sides - 1;
    w->scratch_size = f->ops->repflow_scratch(&w->edges, &f->layer[0].block);
    int64_t least = 4 * (f->n + f->e) * (int64_t)sizeof(real); /* for the initial features */
    w->scratch_size = dgnn_table_pad(w->scratch_size > least ? w->scratch_size : least, 64);
    int64_t kept = arena.used;
    arena = (struct dgnn_arena){.used = kept};
    REAL(repflow_set_kept)(w, workspace->trial.reserved);
    REAL(repflow_lay_geometry)(&arena, w);
    REAL(repflow_lay_state)(&arena, w, evaluation->want_gradient);
    DGNN_TRY(
        dgnn_buffer_extend(&workspace->memory, arena.used, kept, "the features of edges and angles", error));
    REAL(repflow_set_kept)(w, workspace->trial.kept);
    arena = (struct dgnn_arena){.base = workspace->memory.data};
    REAL(repflow_lay_counts)(&arena, w);
    REAL(repflow_lay_geometry)(&arena, w);
    REAL(repflow_lay_state)(&arena, w, evaluation->want_gradient);
    REAL(repflow_set_edges)(w);
    REAL(repflow_partition)(w, w->nowned, w->bound);
    REAL(repflow_partition)(w, w->nwith_energy, w->used_bound);
    REAL(repflow_count_flop)(w, evaluation->want_gradient ? sides : 0);
    return DGNN_OK;
}
