/* The three-body block: output_m = sum_jk e_jk g_m(e_jk, types of j and k) / nsel^2 over all pairs of
 * neighbours, e_jk = r_j . r_k, r the last three numbers of a row. Pairs are columns here and features rows,
 * so that narrow layers work on long vectors; they are done in blocks of a few j. With strip g (1 + t s_j
 * s_k). */
#include "base/real.h"

/* Columns that a block has at least, where a centre has that many. */
enum { REAL(repinit_columns) = 512 };

struct REAL(repinit_three_scratch) {
    real *row;               /* n x 4 */
    real *transposed;        /* 3 x n padded */
    real *weight;            /* n padded: how often a slot counts, zeros in the padding */
    real *sw;                /* n padded */
    int32_t *type;           /* n padded */
    real *e, *d_e;           /* n x n padded */
    real *both;              /* a block's columns: weights, then switches, of j times those of k */
    real *layer[5];          /* width x columns: values and tangents in turn, slopes */
    real *value, *by_switch; /* ng x n x n padded, where nothing is kept */
    real *output;            /* ng */
};

/* Slots of a centre: neighbours, and one for all that are empty. */
static int64_t REAL(repinit_three_slots)(const struct REAL(dgnn_repinit_workspace) * w, int64_t n)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    return n + (w->dense && block->has_empty && n < block->context.nsel);
}

static int64_t REAL(repinit_three_square)(const struct REAL(dgnn_repinit_workspace) * w, int64_t n)
{
    int64_t total = REAL(repinit_three_slots)(w, n);
    return total * dgnn_table_pad(total, REAL_LANES);
}

/* Rows j of a block. */
static int64_t REAL(repinit_three_step)(int64_t np)
{
    return np >= REAL(repinit_columns) ? 1 : REAL(repinit_columns) / (np > 0 ? np : 1);
}

static void REAL(repinit_three_scratch)(const struct REAL(dgnn_repinit_workspace) * w,
                                        struct dgnn_arena *arena,
                                        struct REAL(repinit_three_scratch) * scratch)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t n = w->list.row_max + 1, np = dgnn_table_pad(n, REAL_LANES);
    int64_t most = np > REAL(repinit_columns) ? np : REAL(repinit_columns);
    int64_t kept = block->context.keep ? 0 : block->ng * n * np;
    scratch->row = dgnn_arena_take(arena, 4 * n, sizeof(real));
    scratch->transposed = dgnn_arena_take(arena, 3 * np, sizeof(real));
    scratch->weight = dgnn_arena_take(arena, np, sizeof(real));
    scratch->sw = dgnn_arena_take(arena, np, sizeof(real));
    scratch->type = dgnn_arena_take(arena, np, sizeof(int32_t));
    scratch->e = dgnn_arena_take(arena, n * np, sizeof(real));
    scratch->d_e = dgnn_arena_take(arena, n * np, sizeof(real));
    scratch->both = dgnn_arena_take(arena, 2 * most, sizeof(real));
    for (int k = 0; k < 5; k++) {
        scratch->layer[k] = dgnn_arena_take(arena, block->embedding.width_max * most, sizeof(real));
    }
    scratch->value = dgnn_arena_take(arena, kept, sizeof(real));
    scratch->by_switch = dgnn_arena_take(arena, kept, sizeof(real));
    scratch->output = dgnn_arena_take(arena, block->ng, sizeof(real));
}

static void REAL(repinit_three_layout)(struct REAL(dgnn_repinit_workspace) * w, struct dgnn_arena *arena)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    const struct dgnn_pair_list *list = &w->list;
    int64_t square = 0;
    w->place = dgnn_arena_take(arena, list->ncentre + 1, sizeof(int64_t));
    for (int64_t i = 0; i < list->ncentre; i++) {
        if (w->place) {
            w->place[i] = square * block->ng;
        }
        square += REAL(repinit_three_square)(w, list->first[i + 1] - list->first[i]);
    }
    int64_t kept = block->context.keep ? square * block->ng : 0;
    w->row = dgnn_arena_take(arena, list->npair * 4, sizeof(real));
    w->sw = dgnn_arena_take(arena, list->npair, sizeof(real));
    w->value = dgnn_arena_take(arena, kept, sizeof(real));
    w->nvalue = kept;
    w->nspare = block->context.strip && block->context.smooth ? kept : 0;
    w->by_switch = dgnn_arena_take(arena, w->nspare, sizeof(real));
}

int REAL(dgnn_repinit_prepare_three)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                     struct dgnn_error *error)
{
    struct REAL(repinit_three_scratch) scratch;
    struct dgnn_arena arena = {0};
    DGNN_TRY(REAL(repinit_build)(w, graph, error));
    REAL(repinit_three_scratch)(w, &arena, &scratch);
    return REAL(repinit_reserve)(w, REAL(repinit_three_layout), arena.used, error);
}

static void REAL(repinit_three_place)(const struct REAL(dgnn_repinit_workspace) * w, int64_t i,
                                      struct REAL(repinit_three_scratch) * scratch)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    if (block->context.keep) {
        scratch->value = w->value + w->place[i];
        scratch->by_switch = w->by_switch + (block->context.strip && block->context.smooth ? w->place[i] : 0);
    }
}

/* Everything about a centre's slots but the network: rows, weights, types, switches, e. Returns the slots. */
static int64_t REAL(repinit_three_slots_of)(const struct REAL(dgnn_repinit_workspace) * w,
                                            const struct dgnn_graph *graph, int64_t i,
                                            const struct REAL(repinit_three_scratch) * scratch)
{
    const struct REAL(dgnn_repinit) *block = w->block;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first;
    int64_t total = REAL(repinit_three_slots)(w, n), np = dgnn_table_pad(total, REAL_LANES);
    for (int64_t j = 0; j < np; j++) {
        scratch->weight[j] = j < n;
        scratch->type[j] = j < n ? graph->type[w->list.neighbour[first + j]] : 0;
        scratch->sw[j] = j < n ? w->sw[first + j] : 0;
    }
    memcpy(scratch->row, w->row + 4 * first, sizeof(real) * (size_t)(4 * n));
    if (total > n) {
        scratch->weight[n] = (real)REAL(repinit_empty)(w, graph, i, scratch->row + 4 * n);
        scratch->type[n] = w->first_type;
    }
    for (int d = 0; d < 3; d++) {
        for (int64_t j = 0; j < np; j++) {
            scratch->transposed[d * np + j] = j < total ? scratch->row[4 * j + 1 + d] : 0;
        }
    }
    struct REAL(dgnn_matrix) columns = {.nrow = 3, .ncol = np, .stride = np, .data = scratch->transposed};
    block->ops->product(total, scratch->row + 1, 4, &columns, NULL, scratch->e, np, 0);
    return total;
}

/* ---------------------------------------------------------------- the network, transposed */

/* A constant input k (from 1 on) of the network for types a and b. */
static real REAL(repinit_three_constant)(const struct REAL(dgnn_repinit) * block, int64_t k, int32_t a,
                                         int32_t b)
{
    int64_t width = block->context.tebd_width;
    return k - 1 < width ? block->tebd[a * width + k - 1] : block->tebd[b * width + k - 1 - width];
}

/* Values and tangents after the activation: time step, slope and the skip connection of the first layer, for
 * the columns of rows [begin, begin + step). */
static void REAL(repinit_three_first)(const struct REAL(dgnn_repinit) * block, int64_t begin, int64_t step,
                                      int64_t np, const struct REAL(repinit_three_scratch) * scratch)
{
    const struct REAL(dgnn_layer) *layer = &block->embedding.network[0].layer[0];
    int64_t width = layer->w.ncol, nin = layer->w.nrow, columns = step * np;
    int32_t ntypes = block->context.ntypes + 1;
    const real *e = scratch->e + begin * np;
    real *value = scratch->layer[0], *tangent = scratch->layer[1], *slope = scratch->layer[4];
    for (int64_t c = 0; c < width; c++) {
        for (int64_t j = 0; j < step; j++) {
            const real *start = block->start + scratch->type[begin + j] * ntypes * width + c;
            for (int64_t k = 0; k < np; k++) {
                value[c * columns + j * np + k] =
                    layer->w.data[c] * e[j * np + k] + start[scratch->type[k] * width];
            }
        }
    }
    block->ops->activate(&layer->activation, width * columns, value, value, slope);
    for (int64_t c = 0; c < width; c++) {
        real idt = layer->idt ? layer->idt[c] : 1, along = idt * layer->w.data[c];
        int64_t skip = c % nin;
        for (int64_t p = c * columns; p < (c + 1) * columns; p++) {
            value[p] *= idt;
            tangent[p] = slope[p] * along;
        }
        for (int64_t p = 0; p < columns && c < layer->residual * nin; p++) {
            value[c * columns + p] +=
                skip == 0 ? e[p]
                          : REAL(repinit_three_constant)(block, skip, scratch->type[begin + p / np],
                                                         scratch->type[p % np]);
            tangent[c * columns + p] += skip == 0;
        }
    }
}

/* A later layer: in (value and tangent) to out. */
static void REAL(repinit_three_layer)(const struct REAL(dgnn_repinit) * block,
                                      const struct REAL(dgnn_layer) * layer, int64_t columns, real *const *in,
                                      real *const *out, real *slope)
{
    int64_t nin = layer->w.nrow, nout = layer->w.ncol;
    struct REAL(dgnn_matrix) value = {.nrow = nin, .ncol = columns, .stride = columns, .data = in[0]};
    struct REAL(dgnn_matrix) tangent = {.nrow = nin, .ncol = columns, .stride = columns, .data = in[1]};
    for (int64_t c = 0; c < nout; c++) {
        for (int64_t p = c * columns; p < (c + 1) * columns; p++) {
            out[0][p] = layer->bias ? layer->bias[c] : 0;
        }
    }
    block->ops->product(nout, layer->w_transposed.data, layer->w_transposed.stride, &value, NULL, out[0],
                        columns, 1);
    block->ops->product(nout, layer->w_transposed.data, layer->w_transposed.stride, &tangent, NULL, out[1],
                        columns, 0);
    block->ops->activate(&layer->activation, nout * columns, out[0], out[0], slope);
    for (int64_t c = 0; c < nout; c++) {
        real idt = layer->idt ? layer->idt[c] : 1;
        int64_t from = c % nin * columns, at = c * columns;
        for (int64_t p = 0; p < columns; p++) {
            out[0][at + p] *= idt;
            out[1][at + p] *= slope[at + p] * idt;
        }
        for (int64_t p = 0; p < columns && c < layer->residual * nin; p++) {
            out[0][at + p] += in[0][from + p];
            out[1][at + p] += in[1][from + p];
        }
    }
}

/* What one block of columns adds to output, and what it keeps: value, d(e g)/de, and with strip by_switch,
 * d(e g)/d(s s), both times the weights. */
static void REAL(repinit_three_block)(const struct REAL(dgnn_repinit) * block, int64_t begin, int64_t step,
                                      int64_t np, const struct REAL(repinit_three_scratch) * scratch,
                                      real *output)
{
    const struct REAL(dgnn_network) *network = &block->embedding.network[0];
    int64_t columns = step * np, at = begin * np * block->ng;
    int32_t ntypes = block->context.ntypes + 1;
    int strip = block->context.strip, smooth = block->context.smooth;
    real *weight = scratch->both, *both = scratch->both + columns, *const *in = scratch->layer;
    const real *e = scratch->e + begin * np;
    REAL(repinit_three_first)(block, begin, step, np, scratch);
    for (int64_t l = 1; l < network->nlayer; l++) {
        real *const *out = scratch->layer + (l % 2 ? 2 : 0);
        REAL(repinit_three_layer)(block, &network->layer[l], columns, in, out, scratch->layer[4]);
        in = out;
    }
    for (int64_t j = 0; j < step; j++) {
        for (int64_t k = 0; k < np; k++) {
            weight[j * np + k] = scratch->weight[begin + j] * scratch->weight[k];
            both[j * np + k] = smooth ? scratch->sw[begin + j] * scratch->sw[k] : 1;
        }
    }
    for (int64_t m = 0; m < block->ng; m++) {
        const real *g = in[0] + m * columns, *tangent = in[1] + m * columns;
        real *value = scratch->value + at + m * columns, *by_switch = scratch->by_switch + at + m * columns,
             sum = 0;
        for (int64_t p = 0; p < columns && strip; p++) {
            int64_t pair = scratch->type[begin + p / np] * ntypes + scratch->type[p % np];
            real factor = block->type_factor[pair * block->ngp + m];
            if (smooth) {
                by_switch[p] = weight[p] * e[p] * g[p] * factor;
            }
            factor = 1 + factor * both[p];
            value[p] = weight[p] * factor * (g[p] + e[p] * tangent[p]);
            sum += weight[p] * factor * e[p] * g[p];
        }
        for (int64_t p = 0; p < columns && !strip; p++) {
            value[p] = weight[p] * (g[p] + e[p] * tangent[p]);
            sum += weight[p] * e[p] * g[p];
        }
        output[m] += sum;
    }
}

static void REAL(repinit_three_forward)(const struct REAL(repinit_job) * job, int64_t i,
                                        struct dgnn_arena arena)
{
    struct REAL(dgnn_repinit_workspace) *w = job->w;
    const struct REAL(dgnn_repinit) *block = w->block;
    struct REAL(repinit_three_scratch) scratch;
    real *output = job->output + i * job->stride, norm = 1 / (real)block->context.nsel;
    REAL(repinit_three_scratch)(w, &arena, &scratch);
    REAL(repinit_three_place)(w, i, &scratch);
    REAL(repinit_rows)(w, job->graph, i);
    int64_t total = REAL(repinit_three_slots_of)(w, job->graph, i, &scratch);
    int64_t np = dgnn_table_pad(total, REAL_LANES), most = REAL(repinit_three_step)(np);
    for (int64_t m = 0; m < block->ng; m++) {
        output[m] = 0;
    }
    for (int64_t begin = 0; begin < total; begin += most) {
        int64_t step = total - begin < most ? total - begin : most;
        REAL(repinit_three_block)(block, begin, step, np, &scratch, output);
    }
    for (int64_t m = 0; m < block->ng; m++) {
        output[m] *= norm * norm;
    }
}

void REAL(dgnn_repinit_forward_three)(struct REAL(dgnn_repinit_workspace) * w, const struct dgnn_graph *graph,
                                      real *output, int64_t stride)
{
    struct REAL(repinit_job) job = {
        .w = w, .centre = REAL(repinit_three_forward), .graph = graph, .output = output, .stride = stride};
    REAL(repinit_run)(&job);
}

/* ---------------------------------------------------------------- backward */

/* d_e of all columns (or of the switches' products), from what a block kept. */
static void REAL(repinit_three_collect)(const struct REAL(dgnn_repinit) * block, int64_t total, int64_t np,
                                        const real *kept, const real *d_output, real *d_e)
{
    int64_t most = REAL(repinit_three_step)(np);
    real norm = 1 / (real)block->context.nsel;
    memset(d_e, 0, sizeof(real) * (size_t)(total * np));
    for (int64_t begin = 0; begin < total; begin += most) {
        int64_t columns = (total - begin < most ? total - begin : most) * np;
        for (int64_t m = 0; m < block->ng; m++) {
            real d = d_output[m] * norm * norm;
            const real *from = kept + begin * np * block->ng + m * columns;
            for (int64_t p = 0; p < columns; p++) {
                d_e[begin * np + p] += d * from[p];
            }
        }
    }
}

static void REAL(repinit_three_backward)(const struct REAL(repinit_job) * job, int64_t i,
                                         struct dgnn_arena arena)
{
    struct REAL(dgnn_repinit_workspace) *w = job->w;
    const struct REAL(dgnn_repinit) *block = w->block;
    const struct dgnn_graph *graph = job->graph;
    struct REAL(repinit_three_scratch) scratch;
    int64_t first = w->list.first[i], n = w->list.first[i + 1] - first;
    const real *d_output = job->d_output + i * job->stride;
    int switched = block->context.strip && block->context.smooth;
    REAL(repinit_three_scratch)(w, &arena, &scratch);
    REAL(repinit_three_place)(w, i, &scratch);
    int64_t total = REAL(repinit_three_slots_of)(w, graph, i, &scratch),
            np = dgnn_table_pad(total, REAL_LANES);
    if (!block->context.keep) {
        int64_t most = REAL(repinit_three_step)(np);
        memset(scratch.output, 0, sizeof(real) * (size_t)block->ng);
        for (int64_t begin = 0; begin < total; begin += most) {
            int64_t step = total - begin < most ? total - begin : most;
            REAL(repinit_three_block)(block, begin, step, np, &scratch, scratch.output);
        }
    }
    REAL(repinit_three_collect)(block, total, np, scratch.value, d_output, scratch.d_e);
    if (switched) {
        REAL(repinit_three_collect)(block, total, np, scratch.by_switch, d_output, scratch.e);
    }
    for (int64_t j = 0; j < n; j++) {
        int64_t e = w->list.edge[first + j];
        double d_row[4] = {0, 0, 0, 0}, d_sw = 0;
        for (int64_t k = 0; k < total; k++) {
            double d = (double)(scratch.d_e[j * np + k] + scratch.d_e[k * np + j]);
            for (int a = 1; a < 4; a++) {
                d_row[a] += d * (double)scratch.row[4 * k + a];
            }
            d_sw += switched ? (double)((scratch.e[j * np + k] + scratch.e[k * np + j]) * scratch.sw[k]) : 0;
        }
        if (!REAL(repinit_excludes)(w, graph, i, first + j)) {
            const struct dgnn_environment_edge edge = dgnn_environment_edge(graph, i, 0, e);
            dgnn_environment_backward(&block->environment, &edge, d_row, d_sw, job->edge_gradient + 3 * e);
        }
    }
}

void REAL(dgnn_repinit_backward_three)(struct REAL(dgnn_repinit_workspace) * w,
                                       const struct dgnn_graph *graph, const real *d_output, int64_t stride,
                                       double *edge_gradient)
{
    struct REAL(repinit_job) job = {.w = w,
                                    .centre = REAL(repinit_three_backward),
                                    .graph = graph,
                                    .d_output = d_output,
                                    .stride = stride,
                                    .edge_gradient = edge_gradient};
    REAL(repinit_run)(&job);
}
