#include "base/real.h"

#include "net/dpa4c/dpa4c_paper_body.h"

/* Of the evaluation under way. */
struct REAL(dpa4c_workspace) {
    const struct REAL(dpa4c) * descriptor;
    int32_t *slot;    /* ntypes: of a type that is present, in the pair table; -1 */
    int32_t npresent; /* 0: there is no table */
    double charge_spin[2];
    int64_t nchunk, row_max, centre_max;
    const int64_t *chunk; /* nchunk + 1: centres [chunk[c], chunk[c + 1]) */
    int64_t scratch_bytes;
    struct dgnn_buffer slots, pair, tail, table_scratch, chunks, scratch;
};

/* A thread's scratch: the chunk that it is at. */
struct REAL(dpa4c_chunk) {
    int64_t nrow; /* edges of the chunk that count, and the place where they are remembered */
    int64_t *counted;
    int64_t *edge;     /* nrow: of the graph */
    int32_t *centre;   /* nrow: from the chunk's first on */
    int32_t *pair_row; /* nrow */
    double *vector;    /* nrow x 3; backward: dE/dvector */
    double *distance, *d_distance;
    real *unit, *envelope, *slope, *d_envelope;
    real *coefficient, *d_coefficient; /* nrow x coefficient_stride */
    real *phi, *spin_phi;
    double *spin; /* nrow x 3: the neighbours', masked, over the reference */
    real *moment, *d_moment;
    double *norm, *d_norm;         /* centres x 2 */
    double *own_spin, *d_own_spin; /* centres x 3 */
    void *edges_scratch, *readout_scratch;
};

/* ---------------------------------------------------------------- workspace */

static void REAL(dpa4c_workspace_free)(void *of)
{
    struct REAL(dpa4c_workspace) *w = of;
    if (w) {
        dgnn_buffer_free(&w->slots);
        dgnn_buffer_free(&w->pair);
        dgnn_buffer_free(&w->tail);
        dgnn_buffer_free(&w->table_scratch);
        dgnn_buffer_free(&w->chunks);
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

static int REAL(dpa4c_workspace_create)(const void *weights, void **out, struct dgnn_error *error)
{
    struct REAL(dpa4c_workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->descriptor = weights;
    *out = w;
    return DGNN_OK;
}

/* ---------------------------------------------------------------- tables of the types that are present */

/* Gives a slot to each type of the graph that has none, in the order of types. Is there a new one? */
static int REAL(dpa4c_slots)(struct REAL(dpa4c_workspace) * w, const struct dgnn_graph *graph)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    int fresh = 0;
    for (int64_t i = 0; i < graph->nnode; i++) {
        fresh |= w->slot[graph->type[i]] < 0;
        w->slot[graph->type[i]] = w->slot[graph->type[i]] < 0 ? 0 : w->slot[graph->type[i]];
    }
    w->npresent = fresh ? 0 : w->npresent;
    for (int32_t t = 0; t < d->settings->ntypes && fresh; t++) {
        w->slot[t] = w->slot[t] < 0 ? -1 : w->npresent++;
    }
    return fresh;
}

/* A row of the pair table, padded. */
static void REAL(dpa4c_pair_row)(const struct REAL(dpa4c_workspace) * w, int32_t a, int32_t b,
                                 const double *bias, double *scratch, real *row)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dgnn_dpa4c_shape *s = &d->paper.shape;
    int64_t n = s->channels, spins = s->nspin ? s->width[2] : 0;
    double *values = scratch;
    dgnn_dpa4c_pair(d->settings, a, b, bias, scratch + d->settings->weights.pair_width, values);
    memset(row, 0, sizeof(real) * (size_t)s->pair_stride);
    for (int64_t part = 0; part < 2 + s->modes; part++) {
        for (int64_t c = 0; c < n; c++) {
            row[part * s->channel_stride + c] = (real)values[part * n + c];
        }
    }
    row += (2 + s->modes) * s->channel_stride;
    for (int64_t c = 0; c < spins; c++) {
        row[c] = (real)values[(2 + s->modes) * n + c];
        row[s->line + c] = (real)values[(2 + s->modes) * n + spins + c];
    }
}

/* All rows, and the last part of each type's descriptor. scratch: as the caller reserves it. */
static int REAL(dpa4c_fill_tables)(struct REAL(dpa4c_workspace) * w, double *scratch,
                                   struct dgnn_error *error)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dpa4c_settings *s = d->settings;
    int64_t n = s->shape.channels, npresent = w->npresent;
    double *shift = scratch, *bias = shift + n, *rest = bias + 2 * s->weights.pair_hidden;
    real *tail = w->tail.data, *pair = w->pair.data;
    memset(shift, 0, sizeof(double) * (size_t)n);
    if (s->weights.charge[0]) {
        DGNN_TRY(dgnn_dpa4c_charge(s, w->charge_spin, rest, shift, bias, error));
    }
    for (int32_t a = 0; a < s->ntypes; a++) {
        for (int64_t c = 0; c < n; c++) {
            tail[a * n + c] = (real)(s->weights.type_table[a * n + c] + shift[c]);
        }
        for (int32_t b = 0; b < s->ntypes && w->slot[a] >= 0; b++) {
            if (w->slot[b] >= 0) {
                REAL(dpa4c_pair_row)(w, a, b, s->weights.charge[0] ? bias : NULL, rest,
                                     pair +
                                         (w->slot[a] * npresent + w->slot[b]) * d->paper.shape.pair_stride);
            }
        }
    }
    return DGNN_OK;
}

static int REAL(dpa4c_tables)(struct REAL(dpa4c_workspace) * w, const struct dgnn_evaluation *evaluation,
                              struct dgnn_error *error)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dpa4c_settings *s = d->settings;
    const double *charge_spin = evaluation->charge_spin ? evaluation->charge_spin : s->default_charge_spin;
    int64_t n = s->shape.channels, hidden = s->weights.pair_hidden, count;
    int64_t nscratch =
        n + 2 * hidden + 2 * n + 2 * hidden + 2 * s->weights.pair_width + 3 * n + 2 * s->weights.hidden;
    if (!w->slot) {
        DGNN_TRY(dgnn_buffer_reserve(&w->slots, s->ntypes * (int64_t)sizeof(int32_t), "types", error));
        DGNN_TRY(dgnn_buffer_reserve(&w->tail, s->ntypes * n * (int64_t)sizeof(real), "types", error));
        DGNN_TRY(dgnn_buffer_reserve(&w->table_scratch, nscratch * (int64_t)sizeof(double), "types", error));
        w->slot = w->slots.data;
        memset(w->slot, -1, sizeof(int32_t) * (size_t)s->ntypes);
    }
    int other =
        s->weights.charge[0] && (w->charge_spin[0] != charge_spin[0] || w->charge_spin[1] != charge_spin[1]);
    int fresh = REAL(dpa4c_slots)(w, evaluation->graph);
    if (!fresh && !other) {
        return DGNN_OK;
    }
    if (!dgnn_alloc_checked((int64_t)w->npresent * w->npresent,
                            d->paper.shape.pair_stride * (int64_t)sizeof(real), 0, &count)) {
        count = INT64_MAX;
    }
    memcpy(w->charge_spin, charge_spin, sizeof(w->charge_spin));
    int status = dgnn_buffer_reserve(&w->pair, count, "the table of pairs of types", error);
    status = status ? status : REAL(dpa4c_fill_tables)(w, w->table_scratch.data, error);
    if (status) { /* of no type */
        memset(w->slot, -1, sizeof(int32_t) * (size_t)s->ntypes);
        w->npresent = 0;
    }
    return status;
}

/* ---------------------------------------------------------------- chunks and memory */

enum { REAL(DPA4C_CHUNK_ROWS) = 2048, REAL(DPA4C_CHUNK_CENTRES) = 64 };

/* As many centres as have so many edges; bounds depend on the graph alone. */
static int REAL(dpa4c_make_chunks)(struct REAL(dpa4c_workspace) * w, const struct dgnn_graph *graph,
                                   struct dgnn_error *error)
{
    DGNN_TRY(
        dgnn_buffer_reserve(&w->chunks, (graph->nowned + 1) * (int64_t)sizeof(int64_t), "chunks", error));
    int64_t *chunk = w->chunks.data;
    w->chunk = chunk;
    w->nchunk = w->row_max = w->centre_max = 0;
    chunk[0] = 0;
    for (int64_t i = 0; i < graph->nowned;) {
        int64_t begin = i++;
        while (i < graph->nowned && i - begin < REAL(DPA4C_CHUNK_CENTRES) &&
               graph->first[i + 1] - graph->first[begin] <= REAL(DPA4C_CHUNK_ROWS)) {
            i++;
        }
        int64_t nrow = graph->first[i] - graph->first[begin];
        chunk[++w->nchunk] = i;
        w->row_max = nrow > w->row_max ? nrow : w->row_max;
        w->centre_max = i - begin > w->centre_max ? i - begin : w->centre_max;
    }
    return DGNN_OK;
}

static void REAL(dpa4c_chunk_layout)(struct dgnn_arena *arena, const struct REAL(dpa4c_workspace) * w,
                                     struct REAL(dpa4c_chunk) * c)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dgnn_dpa4c_shape *s = &d->paper.shape;
    int64_t n = w->row_max, m = w->centre_max, spins = s->nspin ? n : 0;
    size_t moment = sizeof(real) * (size_t)s->moment_stride,
           coefficient = sizeof(real) * (size_t)s->coefficient_stride;
    c->counted = dgnn_arena_take(arena, 1, sizeof(*c->counted));
    c->edge = dgnn_arena_take(arena, n, sizeof(*c->edge));
    c->centre = dgnn_arena_take(arena, n, sizeof(*c->centre));
    c->pair_row = dgnn_arena_take(arena, n, sizeof(*c->pair_row));
    c->vector = dgnn_arena_take(arena, n, 3 * sizeof(double));
    c->distance = dgnn_arena_take(arena, n, sizeof(double));
    c->d_distance = dgnn_arena_take(arena, n, sizeof(double));
    c->unit = dgnn_arena_take(arena, n, 3 * sizeof(real));
    c->envelope = dgnn_arena_take(arena, n, sizeof(real));
    c->slope = dgnn_arena_take(arena, n, sizeof(real));
    c->d_envelope = dgnn_arena_take(arena, n, sizeof(real));
    c->coefficient = dgnn_arena_take(arena, n, coefficient);
    c->d_coefficient = dgnn_arena_take(arena, n, coefficient);
    c->phi = dgnn_arena_take(arena, n, 2 * sizeof(real) * (size_t)s->channel_stride);
    c->spin_phi = dgnn_arena_take(arena, spins, 2 * sizeof(real) * (size_t)s->line);
    c->spin = dgnn_arena_take(arena, spins, 3 * sizeof(double));
    c->moment = dgnn_arena_take(arena, m, moment);
    c->d_moment = dgnn_arena_take(arena, m, moment);
    c->norm = dgnn_arena_take(arena, m, 2 * sizeof(double));
    c->d_norm = dgnn_arena_take(arena, m, 2 * sizeof(double));
    c->own_spin = dgnn_arena_take(arena, m, 3 * sizeof(double));
    c->d_own_spin = dgnn_arena_take(arena, m, 3 * sizeof(double));
    c->edges_scratch = dgnn_arena_take(arena, d->ops->dpa4c_scratch(&d->paper.radial), 1);
    c->readout_scratch = dgnn_arena_take(arena, d->ops->dpa4c_readout_scratch(&d->paper.readout), 1);
}

static int REAL(dpa4c_reserve)(void *of, const struct dgnn_evaluation *evaluation,
                               struct dgnn_profile **profile, struct dgnn_error *error)
{
    struct REAL(dpa4c_workspace) *w = of;
    const struct REAL(dpa4c) *d = w->descriptor;
    struct dgnn_arena arena = {0};
    struct REAL(dpa4c_chunk) chunk;
    (void)profile;
    DGNN_TRY(REAL(dpa4c_tables)(w, evaluation, error));
    DGNN_TRY(REAL(dpa4c_make_chunks)(w, evaluation->graph, error));
    REAL(dpa4c_chunk_layout)(&arena, w, &chunk);
    w->scratch_bytes = arena.used;
    return dgnn_buffer_reserve_each(&w->scratch, arena.used, d->settings->threads, "edges of a chunk", error);
}

static struct REAL(dpa4c_chunk)
    REAL(dpa4c_chunk_of_thread)(const struct REAL(dpa4c_workspace) * w, int thread)
{
    struct dgnn_arena arena = {.base = (char *)w->scratch.data + w->scratch_bytes * thread};
    struct REAL(dpa4c_chunk) chunk;
    REAL(dpa4c_chunk_layout)(&arena, w, &chunk);
    return chunk;
}

/* ---------------------------------------------------------------- a chunk */

/* The edges that count, in the graph's order. Returns how many. */
static int64_t REAL(dpa4c_gather)(const struct REAL(dpa4c_workspace) * w,
                                  const struct dgnn_evaluation *evaluation, int64_t c,
                                  const struct REAL(dpa4c_chunk) * chunk)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dgnn_graph *graph = evaluation->graph;
    const struct dpa4c_settings *s = d->settings;
    int64_t begin = w->chunk[c], end = w->chunk[c + 1], n = 0;
    for (int64_t i = begin; i < end; i++) {
        int32_t a = graph->type[i];
        const uint8_t *excluded = s->excluded + (int64_t)a * s->ntypes;
        for (int64_t e = graph->first[i]; e < graph->first[i + 1]; e++) {
            int32_t b = graph->type[graph->neighbour[e]];
            if (excluded[b] || graph->distance[e] >= s->params.rcut) {
                continue;
            }
            chunk->edge[n] = e;
            chunk->centre[n] = (int32_t)(i - begin);
            chunk->pair_row[n] = w->slot[a] * w->npresent + w->slot[b];
            memcpy(chunk->vector + 3 * n, graph->vector + 3 * e, 3 * sizeof(double));
            n++;
        }
    }
    /* The padding of coefficients is multiplied, by zeros: it must be numbers. */
    memset(chunk->coefficient, 0, sizeof(real) * (size_t)(n * d->paper.shape.coefficient_stride));
    return n;
}

static struct REAL(dgnn_dpa4c_geometry)
    REAL(dpa4c_geometry)(const struct REAL(dpa4c_workspace) * w, const struct REAL(dpa4c_chunk) * c)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    return (struct REAL(dgnn_dpa4c_geometry)){.shape = &d->paper.shape,
                                              .cutoff = d->settings->params.rcut,
                                              .nedge = c->nrow,
                                              .vector = c->vector,
                                              .distance = c->distance,
                                              .unit = c->unit,
                                              .envelope = c->envelope,
                                              .slope = c->slope,
                                              .coefficient = c->coefficient,
                                              .d_coefficient = c->d_coefficient,
                                              .d_distance = c->d_distance,
                                              .d_envelope = c->d_envelope,
                                              .d_vector = c->vector};
}

static struct REAL(dgnn_dpa4c_edges)
    REAL(dpa4c_edges)(const struct REAL(dpa4c_workspace) * w, const struct REAL(dpa4c_chunk) * c)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    return (struct REAL(dgnn_dpa4c_edges)){.shape = &d->paper.shape,
                                           .radial = &d->paper.radial,
                                           .pair = w->pair.data,
                                           .nedge = c->nrow,
                                           .distance = c->distance,
                                           .centre = c->centre,
                                           .pair_row = c->pair_row,
                                           .envelope = c->envelope,
                                           .slope = c->slope,
                                           .coefficient = c->coefficient,
                                           .phi = c->phi,
                                           .spin_phi = c->spin_phi,
                                           .moment = c->moment,
                                           .d_moment = c->d_moment,
                                           .d_coefficient = c->d_coefficient,
                                           .d_distance = c->d_distance,
                                           .scratch = c->edges_scratch};
}

static struct REAL(dgnn_dpa4c_atoms)
    REAL(dpa4c_atoms)(const struct REAL(dpa4c_workspace) * w, const struct dgnn_evaluation *evaluation,
                      int64_t c, const struct REAL(dpa4c_chunk) * chunk)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    int64_t begin = w->chunk[c];
    return (struct REAL(dgnn_dpa4c_atoms)){.readout = &d->paper.readout,
                                           .natom = w->chunk[c + 1] - begin,
                                           .type = evaluation->graph->type + begin,
                                           .moment = chunk->moment,
                                           .norm = chunk->norm,
                                           .tail = w->tail.data,
                                           .spin = chunk->own_spin,
                                           .d_moment = chunk->d_moment,
                                           .d_norm = chunk->d_norm,
                                           .d_spin = chunk->d_own_spin,
                                           .scratch = chunk->readout_scratch};
}

/* Masked spins over their reference, and the coefficients of the spins' rows: |s|^2, is there one, s, (s.u)
 * u, B_2(s). */
static void REAL(dpa4c_spins)(const struct REAL(dpa4c_workspace) * w,
                              const struct dgnn_evaluation *evaluation, int64_t c,
                              const struct REAL(dpa4c_chunk) * chunk)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dgnn_graph *graph = evaluation->graph;
    const struct dgnn_dpa4c_shape *shape = &d->paper.shape;
    const double *factor = d->settings->weights.spin_factor;
    int64_t begin = w->chunk[c], end = w->chunk[c + 1];
    for (int64_t i = begin; i < end; i++) {
        for (int k = 0; k < 3; k++) {
            chunk->own_spin[3 * (i - begin) + k] = factor[graph->type[i]] * evaluation->spins[3 * i + k];
        }
    }
    for (int64_t r = 0; r < chunk->nrow; r++) {
        int64_t j = graph->neighbour[chunk->edge[r]];
        real *row = chunk->coefficient + r * shape->coefficient_stride + shape->spin_begin;
        const real *u = chunk->unit + 3 * r;
        double *s = chunk->spin + 3 * r, by = factor[graph->type[j]], along = 0, quadrupole[5];
        for (int k = 0; k < 3; k++) {
            s[k] = by * evaluation->spins[3 * j + k];
            along += s[k] * u[k];
        }
        dgnn_dpa4c_quadrupole(s, quadrupole);
        row[0] = (real)(s[0] * s[0] + s[1] * s[1] + s[2] * s[2]);
        row[1] = by != 0;
        for (int k = 0; k < 3; k++) {
            row[2 + k] = (real)s[k];
            row[5 + k] = (real)(along * u[k]);
        }
        for (int k = 0; k < 5; k++) {
            row[8 + k] = (real)quadrupole[k];
        }
    }
}

/* After the edges' own gradients, to which what comes through (s.u) u is added. */
static void REAL(dpa4c_spins_backward)(const struct REAL(dpa4c_workspace) * w,
                                       const struct dgnn_evaluation *evaluation, int64_t c,
                                       const struct REAL(dpa4c_chunk) * chunk)
{
    const struct REAL(dpa4c) *d = w->descriptor;
    const struct dgnn_graph *graph = evaluation->graph;
    const struct dgnn_dpa4c_shape *shape = &d->paper.shape;
    const double *factor = d->settings->weights.spin_factor;
    int64_t begin = w->chunk[c], end = w->chunk[c + 1];
    for (int64_t i = begin; i < end; i++) {
        for (int k = 0; k < 3; k++) {
            evaluation->node_spin_gradient[3 * i + k] +=
                factor[graph->type[i]] * chunk->d_own_spin[3 * (i - begin) + k];
        }
    }
    for (int64_t r = 0; r < chunk->nrow; r++) {
        int64_t e = chunk->edge[r], j = graph->neighbour[e];
        const real *row = chunk->d_coefficient + r * shape->coefficient_stride + shape->spin_begin;
        const double *s = chunk->spin + 3 * r;
        double u[3], w[5], d_s[3] = {0}, d_u[3], along = 0, by_u = 0, radial = 0;
        for (int k = 0; k < 3; k++) {
            u[k] = chunk->unit[3 * r + k];
            along += s[k] * u[k];
            by_u += row[5 + k] * u[k];
        }
        for (int k = 0; k < 5; k++) {
            w[k] = row[8 + k];
        }
        dgnn_dpa4c_quadrupole_gradient(s, w, d_s);
        for (int k = 0; k < 3; k++) {
            d_s[k] += 2 * s[k] * row[0] + row[2 + k] + by_u * u[k];
            d_u[k] = row[5 + k] * along + s[k] * by_u;
            radial += d_u[k] * u[k];
        }
        for (int k = 0; k < 3; k++) {
            evaluation->edge_spin_gradient[3 * e + k] += factor[graph->type[j]] * d_s[k];
            evaluation->edge_gradient[3 * e + k] += (d_u[k] - radial * u[k]) / chunk->distance[r];
        }
    }
}

/* ---------------------------------------------------------------- stages */

static int64_t REAL(dpa4c_chunks)(const void *of, const int64_t **first)
{
    const struct REAL(dpa4c_workspace) *w = of;
    *first = w->chunk;
    return w->nchunk;
}

static void REAL(dpa4c_places)(void *of, int64_t c, int32_t thread, struct dgnn_places *to)
{
    const struct REAL(dpa4c_workspace) *w = of;
    const struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_chunk_of_thread)(w, thread);
    const struct dgnn_dpa4c_shape *s = &w->descriptor->paper.shape;
    int64_t size = sizeof(real), wide = s->coefficient_stride * size, moment = s->moment_stride * size;
    const struct dgnn_place_rows rows = {w->row_max, 0}, spins = {s->nspin ? w->row_max : 0, 0};
    const struct dgnn_place_rows centres = {w->centre_max, w->chunk[c + 1] - w->chunk[c]};
    dgnn_backend_list(to, DPA4C_AT_EDGES, -1, chunk.distance, rows, sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_EDGES, -1, chunk.unit, rows, 3 * size);
    dgnn_backend_list(to, DPA4C_AT_EDGES, -1, chunk.envelope, rows, size);
    dgnn_backend_list(to, DPA4C_AT_EDGES, -1, chunk.slope, rows, size);
    dgnn_backend_list(to, DPA4C_AT_VECTORS, -1, chunk.vector, rows, 3 * sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_COEFFICIENTS, -1, chunk.coefficient, rows, wide);
    dgnn_backend_list(to, DPA4C_AT_RADIAL, -1, chunk.phi, rows, 2 * s->channel_stride * size);
    dgnn_backend_list(to, DPA4C_AT_RADIAL, -1, chunk.spin_phi, spins, 2 * s->line * size);
    dgnn_backend_list(to, DPA4C_AT_MOMENTS, -1, chunk.moment, centres, moment);
    dgnn_backend_list(to, DPA4C_AT_MOMENTS, -1, chunk.norm, centres, 2 * sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_SPINS, -1, chunk.own_spin, centres, 3 * sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_EDGES, -1, chunk.spin, spins, 3 * sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_D_MOMENTS, -1, chunk.d_moment, centres, moment);
    dgnn_backend_list(to, DPA4C_AT_D_MOMENTS, -1, chunk.d_norm, centres, 2 * sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_D_SPINS, -1, chunk.d_own_spin, centres, 3 * sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_D_COEFFICIENTS, -1, chunk.d_coefficient, rows, wide);
    dgnn_backend_list(to, DPA4C_AT_D_EDGES, -1, chunk.d_distance, rows, sizeof(double));
    dgnn_backend_list(to, DPA4C_AT_D_EDGES, -1, chunk.d_envelope, rows, size);
}

/* The chunk that the thread is at, whose edges are counted. */
static struct REAL(dpa4c_chunk)
    REAL(dpa4c_counted)(const struct REAL(dpa4c_workspace) * w, const struct dgnn_stage_call *call)
{
    struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_chunk_of_thread)(w, call->thread);
    chunk.nrow = *chunk.counted;
    return chunk;
}

static void REAL(dpa4c_stage_geometry)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(dpa4c_workspace) *w = of;
    const struct REAL(dpa4c) *d = w->descriptor;
    struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_chunk_of_thread)(w, call->thread);
    *chunk.counted = chunk.nrow = REAL(dpa4c_gather)(w, call->evaluation, call->chunk, &chunk);
    struct REAL(dgnn_dpa4c_geometry) geometry = REAL(dpa4c_geometry)(w, &chunk);
    d->ops->dpa4c_geometry_forward(&geometry);
    if (d->paper.shape.nspin) {
        REAL(dpa4c_spins)(w, call->evaluation, call->chunk, &chunk);
    }
}

static void REAL(dpa4c_stage_moments)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(dpa4c_workspace) *w = of;
    const struct REAL(dpa4c) *d = w->descriptor;
    struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_counted)(w, call);
    struct REAL(dgnn_dpa4c_edges) edges = REAL(dpa4c_edges)(w, &chunk);
    int64_t ncentre = w->chunk[call->chunk + 1] - w->chunk[call->chunk];
    memset(chunk.moment, 0, sizeof(real) * (size_t)(ncentre * d->paper.shape.moment_stride));
    d->ops->dpa4c_forward(&edges);
    for (int64_t k = 0; k < 2 * ncentre; k++) {
        chunk.norm[k] = 0.25;
    }
    for (int64_t r = 0; r < chunk.nrow; r++) {
        double square = (double)chunk.envelope[r] * chunk.envelope[r];
        chunk.norm[2 * chunk.centre[r]] += square;
        chunk.norm[2 * chunk.centre[r] + 1] += square * square;
    }
    for (int64_t k = 0; k < 2 * ncentre; k++) {
        chunk.norm[k] = sqrt(chunk.norm[k]);
    }
}

static void REAL(dpa4c_stage_readout)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(dpa4c_workspace) *w = of;
    const struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_counted)(w, call);
    struct REAL(dgnn_dpa4c_atoms) atoms = REAL(dpa4c_atoms)(w, call->evaluation, call->chunk, &chunk);
    atoms.row = call->output;
    w->descriptor->ops->dpa4c_readout_forward(&atoms);
}

static void REAL(dpa4c_stage_d_readout)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(dpa4c_workspace) *w = of;
    struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_counted)(w, call);
    struct REAL(dgnn_dpa4c_atoms) atoms = REAL(dpa4c_atoms)(w, call->evaluation, call->chunk, &chunk);
    atoms.d_row = call->output_gradient;
    w->descriptor->ops->dpa4c_readout_backward(&atoms);
}

static void REAL(dpa4c_stage_d_moments)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(dpa4c_workspace) *w = of;
    struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_counted)(w, call);
    struct REAL(dgnn_dpa4c_edges) edges = REAL(dpa4c_edges)(w, &chunk);
    w->descriptor->ops->dpa4c_backward(&edges);
    for (int64_t r = 0; r < chunk.nrow; r++) {
        const double *d_norm = chunk.d_norm + 2 * chunk.centre[r];
        double chi = chunk.envelope[r];
        chunk.d_envelope[r] = (real)(chi * (d_norm[0] + 2 * chi * chi * d_norm[1]));
    }
}

static void REAL(dpa4c_stage_d_geometry)(void *of, const struct dgnn_stage_call *call)
{
    const struct REAL(dpa4c_workspace) *w = of;
    const struct REAL(dpa4c) *d = w->descriptor;
    struct REAL(dpa4c_chunk) chunk = REAL(dpa4c_counted)(w, call);
    struct REAL(dgnn_dpa4c_geometry) geometry = REAL(dpa4c_geometry)(w, &chunk);
    d->ops->dpa4c_geometry_backward(&geometry);
    for (int64_t r = 0; r < chunk.nrow; r++) {
        double *gradient = call->evaluation->edge_gradient + 3 * chunk.edge[r];
        for (int k = 0; k < 3; k++) {
            gradient[k] += chunk.vector[3 * r + k];
        }
    }
    if (d->paper.shape.nspin) {
        REAL(dpa4c_spins_backward)(w, call->evaluation, call->chunk, &chunk);
    }
}

static const struct dgnn_backend REAL(dpa4c_cpu) = {
    .name = "cpu",
    .load = REAL(dpa4c_load),
    .free = REAL(dpa4c_free),
    .workspace_create = REAL(dpa4c_workspace_create),
    .workspace_free = REAL(dpa4c_workspace_free),
    .reserve = REAL(dpa4c_reserve),
    .chunks = REAL(dpa4c_chunks),
    .places = REAL(dpa4c_places),
    .stage = {[DPA4C_GEOMETRY] = REAL(dpa4c_stage_geometry),
              [DPA4C_MOMENTS] = REAL(dpa4c_stage_moments),
              [DPA4C_READOUT] = REAL(dpa4c_stage_readout),
              [DPA4C_D_READOUT] = REAL(dpa4c_stage_d_readout),
              [DPA4C_D_MOMENTS] = REAL(dpa4c_stage_d_moments),
              [DPA4C_D_GEOMETRY] = REAL(dpa4c_stage_d_geometry)},
};
