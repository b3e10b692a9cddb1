#include "base/real.h"

/* Geometry and forward, in the memory of net/dpa3/repflow_memory_body.h, which comes before it. */

/* ---------------------------------------------------------------- geometry */

/* s(r)/r and s(r) d/r^2, less the average, over the deviation (deepmd/dpmodel/utils/env_mat.py). */
static void REAL(repflow_edge_geometry)(struct REAL(repflow_state) * w, int64_t i, int64_t from, int64_t edge)
{
    const struct dgnn_dpa3_settings *s = w->f->settings;
    const struct dgnn_repflow_params *r = &s->repflow;
    const double *d = w->graph->vector + 3 * from;
    double distance = w->graph->distance[from], protectd = distance + s->own.env_protection, slope;
    const double *average = s->average + 4 * w->graph->type[i],
                 *deviation = s->deviation + 4 * w->graph->type[i];
    double sw = repflow_switch(distance, r->e_rcut_smth, r->e_rcut, r->use_exp_switch, &slope);
    w->neighbour[edge] = w->graph->neighbour[from];
    w->graph_edge[edge] = from;
    w->edge_switch[edge] = (real)sw;
    w->edge_input[edge] =
        (real)(r->edge_init_use_dist ? distance : (sw / protectd - average[0]) / deviation[0]);
    w->angle_switch[edge] =
        (real)repflow_switch(distance, r->a_rcut_smth, r->a_rcut, r->use_exp_switch, &slope);
    for (int c = 0; c < 3; c++) {
        w->direction[3 * edge + c] =
            (real)((d[c] * sw / (protectd * protectd) - average[1 + c]) / deviation[1 + c]);
        w->unit[3 * edge + c] = d[c] / (distance + 1e-6);
    }
    if (w->displacement) {
        double displacement[3];
        dgnn_graph_displacement(w->graph, i, from, displacement);
        for (int c = 0; c < 3; c++) {
            w->displacement[3 * edge + c] = (real)displacement[c];
        }
    }
}

/* What backward adds to, of some centres' edges. */
static void REAL(repflow_clear_scalars)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                        int thread)
{
    int64_t first = w->first[begin];
    size_t nedge = (size_t)(w->first[end] - first);
    (void)l;
    (void)thread;
    for (int32_t k = 0; k < w->sides; k++) {
        const struct REAL(repflow_side) *side = &w->side[k];
        memset(side->d_edge_switch + first, 0, sizeof(double) * nedge);
        memset(side->d_edge_input + first, 0, sizeof(double) * nedge);
        memset(side->d_direction + 3 * first, 0, sizeof(double) * 3 * nedge);
        memset(side->d_angle_switch + first, 0, sizeof(double) * nedge);
        memset(side->d_unit + 3 * first, 0, sizeof(double) * 3 * nedge);
    }
}

static void REAL(repflow_geometry)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                   int thread)
{
    for (int64_t i = begin; i < end; i++) {
        int64_t edge = w->first[i], count = w->angle_count[i];
        for (int64_t j = w->graph->first[i]; j < w->graph->first[i + 1]; j++) {
            if (!REAL(repflow_is_excluded)(w, i, j)) {
                REAL(repflow_edge_geometry)(w, i, j, edge++);
            }
        }
        const double *unit = w->unit + 3 * w->first[i];
        real *cosine = w->cosine + w->angle_first[i];
        for (int64_t j = 0; j < count; j++) {
            for (int64_t k = 0; k < count; k++) {
                cosine[j * count + k] =
                    (real)((unit[3 * j] * unit[3 * k] + unit[3 * j + 1] * unit[3 * k + 1] +
                            unit[3 * j + 2] * unit[3 * k + 2]) *
                           w->edges.cosine_scale);
            }
        }
        REAL(repflow_clear_scalars)(w, l, i, i + 1, thread);
    }
}

/* Gradients of the edge's scalars and vectors to its vector d. */
static void REAL(repflow_edge_geometry_backward)(const struct REAL(repflow_state) * w,
                                                 const struct REAL(repflow_side) * side, int64_t edge,
                                                 int64_t i)
{
    double *gradient = side->edge_gradient + 3 * w->graph_edge[edge];
    const struct dgnn_dpa3_settings *s = w->f->settings;
    const struct dgnn_repflow_params *r = &s->repflow;
    const double *d = w->graph->vector + 3 * w->graph_edge[edge];
    const double *deviation = s->deviation + 4 * w->graph->type[i];
    double distance = w->graph->distance[w->graph_edge[edge]], p = distance + s->own.env_protection, slope;
    double u = distance + 1e-6, angle_slope;
    double sw = repflow_switch(distance, r->e_rcut_smth, r->e_rcut, r->use_exp_switch, &slope);
    repflow_switch(distance, r->a_rcut_smth, r->a_rcut, r->use_exp_switch, &angle_slope);
    double radial = side->d_edge_switch[edge] * slope + side->d_angle_switch[edge] * angle_slope;
    radial +=
        side->d_edge_input[edge] * (r->edge_init_use_dist ? 1.0 : (slope / p - sw / (p * p)) / deviation[0]);
    double along = 0, along_unit = 0;
    for (int c = 0; c < 3; c++) {
        along += side->d_direction[3 * edge + c] / deviation[1 + c] * d[c];
        along_unit += side->d_unit[3 * edge + c] * d[c];
    }
    radial += along * (slope / (p * p) - 2 * sw / (p * p * p)) - along_unit / (u * u);
    for (int c = 0; c < 3; c++) {
        gradient[c] += radial * d[c] / distance +
                       side->d_direction[3 * edge + c] / deviation[1 + c] * sw / (p * p) +
                       side->d_unit[3 * edge + c] / u;
    }
}

static void REAL(repflow_geometry_backward)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                            int64_t end, int thread)
{
    (void)l;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        for (int64_t j = w->first[i]; j < w->first[i + 1]; j++) {
            for (int32_t k = 0; k < w->sides; k++) {
                REAL(repflow_edge_geometry_backward)(w, &w->side[k], j, i);
            }
        }
    }
}

/* ---------------------------------------------------------------- initial features */

int REAL(dgnn_repflow_type_rows)(const struct REAL(dgnn_repflow) * f, const double *charge_spin, real *joined,
                                 double *rows, struct dgnn_error *error)
{
    const struct dgnn_dpa3_settings *s = f->settings;
    int64_t width = s->node_width, nrow = s->ntypes + 1;
    memcpy(rows, s->type_table, sizeof(double) * (size_t)(nrow * width));
    if (!s->charge_table) {
        return DGNN_OK;
    }
    charge_spin = charge_spin ? charge_spin : s->default_charge_spin;
    double charge = trunc(charge_spin[0]) + 100, spin = trunc(charge_spin[1]);
    if (!(charge >= 0 && charge <= 199 && spin >= 0 && spin <= 99)) {
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "charge_spin: charge %g and spin %g; the charge must be in [-100, 99], the spin in "
            "[0, 99]",
            charge_spin[0], charge_spin[1]);
    }
    for (int64_t c = 0; c < width; c++) {
        joined[c] = (real)s->charge_table[(int64_t)charge * width + c];
        joined[width + c] = (real)s->spin_table[(int64_t)spin * width + c];
    }
    struct REAL(dgnn_layer_rows)
        mixed = {.nrow = 1, .x = joined, .x_stride = 2 * width, .y = joined + 2 * width, .y_stride = width};
    REAL(dgnn_layer_forward)(f->ops, &f->mix, &mixed);
    f->ops->activate(&s->activation, width, joined + 2 * width, joined + 2 * width, NULL);
    for (int64_t r = 0; r < nrow; r++) {
        for (int64_t c = 0; c < width; c++) {
            rows[r * width + c] += (double)joined[2 * width + c];
        }
    }
    return DGNN_OK;
}

static void REAL(repflow_first_nodes)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                      int thread)
{
    const struct dgnn_dpa3_settings *s = w->f->settings;
    int64_t n = w->f->n, width = s->node_width;
    (void)l;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        real *row = w->layer[0].node + i * n;
        memset(row, 0, sizeof(real) * (size_t)n);
        for (int64_t c = 0; c < width; c++) {
            row[c] = (real)w->type_row[w->graph->type[i] * width + c];
        }
        w->f->ops->activate(&s->activation, width, row, row, NULL);
    }
}

static void REAL(repflow_first_edges)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                      int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    (void)l;
    (void)thread;
    for (int64_t j = w->first[begin]; j < w->first[end]; j++) {
        real *row = w->layer[0].edge + j * f->e;
        for (int64_t c = 0; c < f->e; c++) {
            row[c] = w->edge_input[j] * f->edge_weight[c] + f->edge_bias[c];
        }
        if (!f->settings->repflow.edge_init_use_dist) {
            f->ops->activate(&f->settings->activation, f->settings->edge_width, row, row, NULL);
        }
    }
}

static void REAL(repflow_first_edges_backward)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                               int64_t end, int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct dgnn_activation *act = &f->settings->activation;
    (void)l;
    real *row = (real *)(w->scratch + thread * w->scratch_size), *slope = row + f->e;
    for (int64_t j = w->first[begin]; j < w->first[end]; j++) {
        for (int64_t c = 0; c < f->e; c++) {
            row[c] = w->edge_input[j] * f->edge_weight[c] + f->edge_bias[c];
            slope[c] = 1;
        }
        if (!f->settings->repflow.edge_init_use_dist) {
            f->ops->activate(act, f->e, row, row, slope);
        }
        for (int32_t k = 0; k < w->sides; k++) {
            double sum = 0;
            for (int64_t c = 0; c < f->e; c++) {
                sum += (double)(w->side[k].d_edge[0][j * f->e + c] * slope[c] * f->edge_weight[c]);
            }
            w->side[k].d_edge_input[j] += sum;
        }
    }
}

/* ---------------------------------------------------------------- nodes, forward */

/* How many of a layer's columns a result depends on: those of edges' and angles' own updates come last. */
static int64_t REAL(repflow_neighbour_part_used)(const struct REAL(repflow_state) * w, int64_t l)
{
    return w->f->m + (w->layer[l].updates.with_edge ? w->f->e : 0);
}

static int64_t REAL(repflow_centre_used)(const struct REAL(repflow_state) * w, int64_t l, int64_t begin)
{
    const struct dgnn_repflow_updates *updates = REAL(repflow_updates)(w, l, begin);
    const struct REAL(dgnn_repflow) *f = w->f;
    return f->n + f->m + (updates->with_edge ? f->e : 0) + (updates->with_angle_edge ? f->e : 0) +
           (updates->with_angle ? f->a : 0);
}

static void REAL(repflow_centre)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread)
{
    const struct REAL(dgnn_repflow_weights) *layer = &w->f->layer[l];
    int64_t width = layer->centre.ncol;
    struct REAL(dgnn_matrix) used = layer->centre;
    used.ncol = REAL(repflow_centre_used)(w, l, begin);
    (void)thread;
    w->f->ops->product(end - begin, w->layer[l].node + begin * w->f->n, w->f->n, &used, layer->centre_bias,
                       w->layer[l].centre + begin * width, width, 0);
}

static void REAL(repflow_neighbour_part)(struct REAL(repflow_state) * w, int64_t l, int64_t begin,
                                         int64_t end, int thread)
{
    struct REAL(dgnn_matrix) used = w->f->layer[l].neighbour_part;
    int64_t width = used.ncol;
    used.ncol = REAL(repflow_neighbour_part_used)(w, l);
    (void)thread;
    w->f->ops->product(end - begin, w->layer[l].node + begin * w->f->n, w->f->n, &used, NULL,
                       w->layer[l].neighbour_part + begin * width, width, 0);
}

/* N' = keep N + w_self act(self) + w_sym act(symmetric) + sum over heads w_h M_h. */
static void REAL(repflow_node_row)(struct REAL(repflow_state) * w, int64_t l, int64_t i, real *value,
                                   real *next)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(dgnn_repflow_weights) *layer = &f->layer[l];
    const struct dgnn_activation *act = &f->settings->activation;
    int64_t n = f->n;
    const real *old = w->layer[l].node + i * n, *message = w->message + i * f->m;
    f->ops->activate(act, n, w->layer[l].centre + i * layer->centre.ncol, value, NULL);
    f->ops->activate(act, n, w->layer[l].symmetric + i * n, value + n, NULL);
    for (int64_t c = 0; c < n; c++) {
        real sum = layer->keep_node * old[c] + layer->weight_self[c] * value[c] +
                   layer->weight_symmetric[c] * value[n + c];
        for (int64_t h = 0; h < f->heads; h++) {
            sum += layer->weight_message[h * n + c] * message[h * n + c];
        }
        next[c] = sum;
    }
}

static void REAL(repflow_node)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                               int thread)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(dgnn_repflow_weights) *layer = &f->layer[l];
    int64_t n = f->n, width = f->axis * (f->e + n);
    const struct dgnn_gram_shape shape = {f->axis, f->e, n};
    real *gram = w->gram + thread * REAL(REPFLOW_ROWS) * width;
    real *next = l + 1 < f->nlayer ? w->layer[l + 1].node : w->node_last;
    for (int64_t i = begin; i < end; i += REAL(REPFLOW_ROWS)) {
        int64_t rows = end - i < REAL(REPFLOW_ROWS) ? end - i : REAL(REPFLOW_ROWS);
        f->ops->gram_forward(&shape, rows, w->layer[l].moment + i * 3 * (f->e + n), gram);
        f->ops->product(rows, gram, width, &layer->symmetric, layer->symmetric_bias,
                        w->layer[l].symmetric + i * n, n, 0);
        for (int64_t r = 0; r < rows; r++) {
            REAL(repflow_node_row)(w, l, i + r, gram, next + (i + r) * n);
        }
    }
}

/* ---------------------------------------------------------------- blocks */

static struct REAL(dgnn_edge_block) REAL(repflow_edge_block)(const struct REAL(repflow_state) * w, int64_t l)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(repflow_kept) *kept = &w->layer[l];
    int first = dgnn_repflow_starts_from_numbers(f->settings, l);
    return (struct REAL(dgnn_edge_block)){
        .edges = &w->edges,
        .layer = &f->layer[l].block,
        .centre = kept->centre + f->n,
        .centre_stride = f->layer[l].centre.ncol,
        .neighbour_part = kept->neighbour_part,
        .neighbour_part_stride = f->m + f->e,
        .node = kept->node,
        .node_stride = f->n,
        .state = kept->edge,
        .first_input = first ? w->edge_input : NULL,
        .first_weight = f->edge_weight,
        .first_bias = f->edge_bias,
        .pre = kept->edge_pre,
        .message = w->message,
        .moment = kept->moment,
    };
}

static struct REAL(dgnn_angle_block)
    REAL(repflow_angle_block)(const struct REAL(repflow_state) * w, int64_t l)
{
    const struct REAL(dgnn_repflow) *f = w->f;
    const struct REAL(repflow_kept) *kept = &w->layer[l];
    return (struct REAL(dgnn_angle_block)){
        .edges = &w->edges,
        .layer = &f->layer[l].block,
        .first_weight = l == 0 ? f->angle_weight : NULL,
        .centre = kept->centre + f->n + f->m + f->e,
        .centre_stride = f->layer[l].centre.ncol,
        .edge_state = kept->edge,
        .state = kept->angle,
        .pre = kept->angle_pre,
        .angle_linear2_pre = kept->angle_linear2_pre,
        .next = kept->angle_next,
    };
}

static void REAL(repflow_angles)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                 int thread)
{
    struct REAL(dgnn_angle_block) block = REAL(repflow_angle_block)(w, l);
    block.with_edge = REAL(repflow_updates)(w, l, begin)->with_angle_edge;
    block.with_angle = REAL(repflow_updates)(w, l, begin)->with_angle;
    block.next_edge = w->layer[l + 1].edge;
    if (block.with_edge) {
        w->f->ops->angle_forward(&block, begin, end, w->scratch + thread * w->scratch_size);
    }
}

/* What edges that form no angle get for the angles' message; NULL: nothing, or what the angle block gives
 * them. */
static const real *REAL(repflow_without_angle_term)(const struct REAL(repflow_state) * w, int with_angle_edge,
                                                    int64_t l)
{
    return with_angle_edge && w->edges.smooth ? w->f->layer[l].block.without_angle_term : NULL;
}

static void REAL(repflow_edges)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                int thread)
{
    struct REAL(dgnn_edge_block) block = REAL(repflow_edge_block)(w, l);
    block.with_node = 1;
    block.with_edge = REAL(repflow_updates)(w, l, begin)->with_edge;
    block.next = block.with_edge ? w->layer[l + 1].edge : NULL;
    block.without_angle_term =
        REAL(repflow_without_angle_term)(w, REAL(repflow_updates)(w, l, begin)->with_angle_edge, l);
    w->f->ops->edge_forward(&block, begin, end, w->scratch + thread * w->scratch_size);
}

/* Of the centres that see ghosts, or of the others; whole runs of these at a time. */
static void REAL(repflow_edges_of)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                   int thread, int sees_ghosts)
{
    for (int64_t i = begin, next; i < end; i = next) {
        for (next = i + 1; next < end && w->sees_ghosts[next] == w->sees_ghosts[i]; next++) {}
        if (w->sees_ghosts[i] == sees_ghosts) {
            REAL(repflow_edges)(w, l, i, next, thread);
        }
    }
}

static void REAL(repflow_edges_inside)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                       int thread)
{
    REAL(repflow_edges_of)(w, l, begin, end, thread, 0);
}

static void REAL(repflow_edges_outside)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                        int thread)
{
    REAL(repflow_edges_of)(w, l, begin, end, thread, 1);
}

/* Edge self, angle self from the new edges, angle to edge from the new angles, nodes from the newest edges.
 */
static void REAL(repflow_sequence)(struct REAL(repflow_state) * w, int64_t l, int64_t begin, int64_t end,
                                   int thread)
{
    const struct REAL(repflow_kept) *kept = &w->layer[l];
    const struct REAL(dgnn_ops) *ops = w->f->ops;
    void *scratch = w->scratch + thread * w->scratch_size;
    int64_t e = w->f->e, from = w->first[begin] * e, count = (w->first[end] - w->first[begin]) * e;
    struct REAL(dgnn_edge_block) edge = REAL(repflow_edge_block)(w, l);
    struct REAL(dgnn_angle_block) angle = REAL(repflow_angle_block)(w, l);
    edge.with_edge = 1;
    edge.next = kept->edge_middle;
    ops->edge_forward(&edge, begin, end, scratch);
    angle.edge_state = kept->edge_middle;
    angle.with_angle = 1;
    ops->angle_forward(&angle, begin, end, scratch);
    const real *without_angle_term = REAL(repflow_without_angle_term)(w, 1, l);
    memcpy(kept->edge_last + from, kept->edge_middle + from, sizeof(real) * (size_t)count);
    for (int64_t i = begin; i < end && without_angle_term; i++) {
        for (int64_t j = w->first[i] + w->angle_count[i]; j < w->first[i + 1]; j++) {
            for (int64_t c = 0; c < e; c++) {
                kept->edge_last[j * e + c] += without_angle_term[c];
            }
        }
    }
    angle.with_angle = 0;
    angle.with_edge = 1;
    angle.first_weight = NULL;
    angle.state = kept->angle_next;
    angle.next_edge = kept->edge_last;
    ops->angle_forward(&angle, begin, end, scratch);
    edge.with_edge = 0;
    edge.with_node = 1;
    edge.state = kept->edge_last;
    edge.first_input = NULL;
    ops->edge_forward(&edge, begin, end, scratch);
    if (l + 1 < w->f->nlayer) {
        memcpy(w->layer[l + 1].edge + from, kept->edge_last + from, sizeof(real) * (size_t)count);
    }
}

/* ---------------------------------------------------------------- output */

static void REAL(repflow_output)(const struct REAL(repflow_state) * w, double *output)
{
    const struct dgnn_dpa3_settings *s = w->f->settings;
    int64_t width = s->node_width, stride = width * (s->own.concat_output_tebd ? 2 : 1);
    for (int64_t i = 0; i < w->nowned; i++) {
        for (int64_t c = 0; c < width; c++) {
            output[i * stride + c] = i < w->nwith_energy ? (double)w->node_last[i * w->f->n + c] : 0;
        }
        for (int64_t c = 0; c < width && s->own.concat_output_tebd; c++) {
            output[i * stride + width + c] = w->type_row[w->graph->type[i] * width + c];
        }
    }
}
