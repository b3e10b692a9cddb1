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
    real *d_symmetric;      /* threads x ROWS x n; NULL: in the layer's own place */
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
    int alternate; /* are features of edges and angles kept at every other layer only? */
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
    real *edge_between;                /* with alternate: edges of the layers that do not keep them */
    real *angle_linear2_between;       /* with alternate: of those that backward goes through twice */
    real *angle_between;               /* with alternate: threads x the most angles of a centre x a */
    real *angle_last; /* where the last angle features are, if the gradient's share that place */
    int shares_angle;
    real *message;       /* nowned x m; also its gradient */
    real *node_last;     /* nowned x n */
    real *gram;          /* threads x GRAM_ROWS x axis (e + n) */
    int32_t sides;       /* of backward */
    int64_t rows_stride; /* sides x n */
    int went_backward;   /* since forward: what backward adds to is no longer clear */
    struct REAL(repflow_side) side[DGNN_SIDES];
    char *scratch; /* threads x scratch_size */
    int64_t scratch_size;
};

enum {
    REAL(REPFLOW_ROWS) = 32,                      /* nodes done together where a matrix is shared */
    REAL(REPFLOW_PIECE) = 8 * REAL(REPFLOW_ROWS), /* nodes between two questions whether to stop */
    REAL(REPFLOW_TRIAL) = 64, /* owned nodes, the fewest that can show what is faster to keep */
    REAL(REPFLOW_DEEP) = 8    /* layers, of which features are kept in any case: a deeper model with small
                                 memory makes every other layer's again */
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
            .nangle_linear2 = (double)(w->angle_linear2_first[set[k + 1]] - w->angle_linear2_first[set[k]]),
            .ahead = k};
        for (int64_t i = set[k]; i < set[k + 1]; i++) {
            counts.nangle_edge += w->angle_count[i];
        }
        repflow_count_products(f->settings, &widths, f->nlayer, &counts, sides, w->profile);
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
