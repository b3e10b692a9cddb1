#include "base/real.h"

/* What goes to a device in each step, and what comes back: rows' positions, and what backward makes of edges'
 * gradients. Ghosts are rows as others: their positions came with the ranks' exchange, and their forces go
 * back with it. */

static int64_t REAL(cuda_virial_parts)(const struct REAL(cuda_workspace) * w)
{
    return (w->lists.nowned + DGNN_VIRIAL_CENTRES - 1) / DGNN_VIRIAL_CENTRES;
}

static int64_t REAL(cuda_virial_sums)(const struct REAL(cuda_workspace) * w)
{
    return (REAL(cuda_virial_parts)(w) + DGNN_VIRIAL_PARTS - 1) / DGNN_VIRIAL_PARTS;
}

/* The host has room for what comes back: sums over rows, or edges' gradients. */
static void REAL(cuda_lay_host_rows)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w)
{
    int64_t nrow = w->lists.nrow, size = sizeof(double);
    w->gradients = dgnn_arena_take(arena, w->has_sums ? 0 : 3 * w->sides * w->lists.nedge, (size_t)size);
    w->host_sums.forces = dgnn_arena_take(arena, w->has_sums ? 3 * nrow : 0, (size_t)size);
    w->host_sums.virial =
        dgnn_arena_take(arena, w->has_sums ? 9 * REAL(cuda_virial_sums)(w) : 0, (size_t)size);
    w->host_sums.atom_virial = dgnn_arena_take(arena, w->has_atom_virial ? 9 * nrow : 0, (size_t)size);
}

static void REAL(cuda_lay_rows_of_device)(struct dgnn_arena *arena, struct REAL(cuda_workspace) * w,
                                          int want_gradient)
{
    struct REAL(dgnn_kernel_rows) *k = &w->rows;
    int64_t nrow = w->lists.nrow, nedge = w->lists.nedge, has_sums = w->has_sums && want_gradient;
    int64_t nvirial = w->has_atom_virial && want_gradient ? 9 * nrow : 0;
    k->position = dgnn_arena_take(arena, 3 * nrow, sizeof(double));
    k->offset = w->has_offset ? dgnn_arena_take(arena, 3 * nrow, sizeof(double)) : NULL;
    k->vector = dgnn_arena_take(arena, 3 * nedge, sizeof(double));
    k->displacement = w->sides > 1 ? dgnn_arena_take(arena, 3 * nedge, sizeof(real)) : NULL;
    k->edge_gradient = dgnn_arena_take(arena, want_gradient ? 3 * w->sides * nedge : 0, sizeof(double));
    k->forces = dgnn_arena_take(arena, has_sums ? 3 * nrow : 0, sizeof(double));
    k->virial_part = dgnn_arena_take(arena, has_sums ? 9 * REAL(cuda_virial_parts)(w) : 0, sizeof(double));
    k->virial = dgnn_arena_take(arena, has_sums ? 9 * REAL(cuda_virial_sums)(w) : 0, sizeof(double));
    k->atom_virial = dgnn_arena_take(arena, nvirial, sizeof(double));
    w->all.vector = k->vector;
    w->all.displacement = k->displacement;
}

/* The kernels' argument gets its counts and lists once the arrays have their places. */
static void REAL(cuda_set_rows)(struct REAL(cuda_workspace) * w, const struct dgnn_graph *g)
{
    const struct REAL(dgnn_kernel_repflow) *all = &w->all;
    struct REAL(dgnn_kernel_rows) *k = &w->rows;
    k->nowned = w->lists.nowned;
    k->nrow = w->lists.nrow;
    k->nedge = w->lists.nedge;
    k->npart = REAL(cuda_virial_parts)(w);
    memcpy(k->cell, g->cell, sizeof(k->cell));
    k->edge_centre = all->edge_centre;
    k->first = all->first;
    k->shift = REAL(cuda_list)(w, w->lists.shift);
    k->row = REAL(cuda_list)(w, w->lists.row);
    k->row_first = REAL(cuda_list)(w, w->lists.row_first);
    k->row_edge = REAL(cuda_list)(w, w->lists.row_edge);
    k->edge_moment = w->sides > 1 ? k->edge_gradient + 3 * k->nedge : NULL;
}

static void REAL(cuda_launch_rows)(struct REAL(cuda_workspace) * w, enum dgnn_kernel kernel, int64_t count)
{
    struct REAL(dgnn_kernel_rows) k = w->rows;
    k.count = count;
    dgnn_cuda_queue_launch(&w->queue, kernel, DGNN_REAL_BITS, count, &k);
}

/* Positions go up, vectors are made of them. */
static void REAL(cuda_begin_rows)(struct REAL(cuda_workspace) * w, const struct dgnn_graph *g)
{
    int64_t nbytes = 3 * w->lists.nrow * (int64_t)sizeof(double);
    dgnn_cuda_queue_upload(&w->queue, (void *)w->rows.position, g->position, nbytes);
    if (w->has_offset) {
        dgnn_cuda_queue_upload(&w->queue, (void *)w->rows.offset, g->offset, nbytes);
    }
    REAL(cuda_launch_rows)(w, DGNN_KERNEL_edge_vector, w->lists.nedge);
}

/* Sums over rows are made of all sides' gradients of edges and come back; or the gradients themselves do. */
static void REAL(cuda_end_rows)(struct REAL(cuda_workspace) * w)
{
    const struct REAL(dgnn_kernel_rows) *k = &w->rows;
    int64_t size = sizeof(double), nsum = REAL(cuda_virial_sums)(w);
    if (!w->has_sums) {
        dgnn_cuda_queue_download(&w->queue, w->gradients, k->edge_gradient, 3 * w->sides * k->nedge * size);
        return;
    }
    REAL(cuda_launch_rows)(w, DGNN_KERNEL_row_force, 3 * k->nrow);
    REAL(cuda_launch_rows)(w, DGNN_KERNEL_virial_part, 9 * k->npart);
    REAL(cuda_launch_rows)(w, DGNN_KERNEL_virial_sum, 9 * nsum);
    dgnn_cuda_queue_download(&w->queue, w->host_sums.forces, k->forces, 3 * k->nrow * size);
    dgnn_cuda_queue_download(&w->queue, w->host_sums.virial, k->virial, 9 * nsum * size);
    if (w->has_atom_virial) {
        REAL(cuda_launch_rows)(w, DGNN_KERNEL_row_virial, 9 * k->nrow);
        dgnn_cuda_queue_download(&w->queue, w->host_sums.atom_virial, k->atom_virial, 9 * k->nrow * size);
    }
}

/* What came back is added to the evaluation's, once the queue is done. */
static void REAL(cuda_add_rows)(const struct REAL(cuda_workspace) * w,
                                const struct dgnn_evaluation *evaluation)
{
    const struct dgnn_edge_lists *lists = &w->lists;
    const struct dgnn_row_sums *sums = evaluation->row_sums;
    for (int64_t k = 0; k < 3 * lists->nedge * w->sides && !sums; k++) {
        int64_t side = k / (3 * lists->nedge), edge = lists->graph_edge[k / 3 % lists->nedge];
        evaluation->edge_gradient[3 * (side * lists->ngraph_edge + edge) + k % 3] += w->gradients[k];
    }
    for (int64_t k = 0; sums && k < 3 * lists->nrow; k++) {
        sums->forces[k] += sums->factor * w->host_sums.forces[k];
    }
    for (int64_t k = 0; sums && k < 9 * REAL(cuda_virial_sums)(w); k++) {
        sums->virial[k % 9] += sums->factor * w->host_sums.virial[k];
    }
    for (int64_t k = 0; sums && sums->atom_virial && k < 9 * lists->nrow; k++) {
        sums->atom_virial[k] += sums->factor * w->host_sums.atom_virial[k];
    }
}
