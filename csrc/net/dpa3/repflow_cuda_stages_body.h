#include "base/real.h"

/* The table of stages, and rows that ranks exchange. */

/* Waits. */
static void REAL(cuda_stage_end)(struct REAL(cuda_workspace) * w, const struct dgnn_stage_call *call)
{
    dgnn_cuda_queue_complete(&w->queue);
    if (!w->queue.status) {
        REAL(cuda_add_rows)(w, call->evaluation);
    }
}

static struct dgnn_rows REAL(repflow_cuda_rows)(void *of, int32_t buffer, int64_t l)
{
    const struct REAL(cuda_workspace) *w = of;
    int is_node = buffer == DGNN_REPFLOW_AT_NODE;
    return (struct dgnn_rows){.place = DGNN_PLACE_DEVICE,
                              .data = is_node ? w->layer[l].host_node : w->host_rows,
                              .width = is_node ? w->all.n : w->rows_stride,
                              .item_size = sizeof(real)};
}

static void REAL(repflow_cuda_move_rows)(void *of, int32_t buffer, int64_t l, enum dgnn_rows_step step)
{
    struct REAL(cuda_workspace) *w = of;
    int is_node = buffer == DGNN_REPFLOW_AT_NODE;
    struct dgnn_rows rows = REAL(repflow_cuda_rows)(of, buffer, l);
    char *host = rows.data, *device = (char *)(is_node ? w->layer[l].node : w->d_node_rows);
    int64_t row = rows.width * rows.item_size, owned = w->all.nowned * row, all = w->all.nnode * row;
    dgnn_cuda_queue_enter(&w->queue);
    switch (step) {
    case DGNN_ROWS_FORWARD_BEGIN:
        dgnn_cuda_queue_download(&w->queue, host, device, owned);
        dgnn_cuda_queue_complete(&w->queue);
        break;
    case DGNN_ROWS_FORWARD_END:
        dgnn_cuda_queue_upload(&w->queue, device + owned, host + owned, all - owned);
        break;
    case DGNN_ROWS_REVERSE_BEGIN:
        dgnn_cuda_queue_download(&w->queue, host, device, all);
        dgnn_cuda_queue_complete(&w->queue);
        break;
    case DGNN_ROWS_REVERSE_END:
        dgnn_cuda_queue_upload(&w->queue, device, host, owned);
        dgnn_cuda_queue_complete(&w->queue); /* the next exchange may write the copy */
        break;
    }
    dgnn_cuda_queue_leave(&w->queue);
}

/* Nothing of an evaluation is under way when it returns. */
static int REAL(repflow_cuda_finish)(void *of, struct dgnn_error *error)
{
    struct REAL(cuda_workspace) *w = of;
    dgnn_cuda_queue_enter(&w->queue);
    int status = dgnn_cuda_queue_wait(&w->queue, error);
    dgnn_cuda_queue_leave(&w->queue);
    if (status) {
        w->has_lists = w->has_types = 0;
    }
    return status;
}

#define REPFLOW_CUDA_STAGES(X)                                                                               \
    X(begin)                                                                                                 \
    X(geometry)                                                                                              \
    X(first_nodes)                                                                                           \
    X(first_edges)                                                                                           \
    X(centre)                                                                                                \
    X(neighbour_part)                                                                                        \
    X(angles)                                                                                                \
    X(edges)                                                                                                 \
    X(sequence)                                                                                              \
    X(node)                                                                                                  \
    X(output)                                                                                                \
    X(d_output)                                                                                              \
    X(d_node)                                                                                                \
    X(d_clear)                                                                                               \
    X(d_edges)                                                                                               \
    X(d_sequence)                                                                                            \
    X(d_neighbour_part)                                                                                      \
    X(d_centre)                                                                                              \
    X(d_angles)                                                                                              \
    X(d_rows)                                                                                                \
    X(d_first_edges)                                                                                         \
    X(d_geometry)                                                                                            \
    X(end)

#define REPFLOW_CUDA_STAGE(name)                                                                             \
    static void REAL(repflow_cuda_##name)(void *of, const struct dgnn_stage_call *call)                      \
    {                                                                                                        \
        struct REAL(cuda_workspace) *w = of;                                                                 \
        dgnn_cuda_queue_enter(&w->queue);                                                                    \
        REAL(cuda_stage_##name)(w, call);                                                                    \
        dgnn_cuda_queue_leave(&w->queue);                                                                    \
    }
REPFLOW_CUDA_STAGES(REPFLOW_CUDA_STAGE)
#undef REPFLOW_CUDA_STAGE
#undef REPFLOW_CUDA_STAGES

const struct dgnn_backend REAL(dgnn_repflow_cuda) = {
    .name = "cuda",
    .load = REAL(repflow_cuda_load),
    .free = REAL(repflow_cuda_free),
    .cost = REAL(repflow_cuda_cost),
    .workspace_create = REAL(repflow_cuda_workspace_create),
    .workspace_free = REAL(repflow_cuda_workspace_free),
    .reserve = REAL(repflow_cuda_reserve),
    .rows = REAL(repflow_cuda_rows),
    .move_rows = REAL(repflow_cuda_move_rows),
    .finish = REAL(repflow_cuda_finish),
    .stage = {[DGNN_REPFLOW_BEGIN] = REAL(repflow_cuda_begin),
              [DGNN_REPFLOW_GEOMETRY] = REAL(repflow_cuda_geometry),
              [DGNN_REPFLOW_FIRST_NODES] = REAL(repflow_cuda_first_nodes),
              [DGNN_REPFLOW_FIRST_EDGES] = REAL(repflow_cuda_first_edges),
              [DGNN_REPFLOW_CENTRE] = REAL(repflow_cuda_centre),
              [DGNN_REPFLOW_NEIGHBOUR_PART] = REAL(repflow_cuda_neighbour_part),
              [DGNN_REPFLOW_ANGLES] = REAL(repflow_cuda_angles),
              [DGNN_REPFLOW_EDGES] = REAL(repflow_cuda_edges),
              [DGNN_REPFLOW_SEQUENCE] = REAL(repflow_cuda_sequence),
              [DGNN_REPFLOW_NODE] = REAL(repflow_cuda_node),
              [DGNN_REPFLOW_OUTPUT] = REAL(repflow_cuda_output),
              [DGNN_REPFLOW_D_OUTPUT] = REAL(repflow_cuda_d_output),
              [DGNN_REPFLOW_D_NODE] = REAL(repflow_cuda_d_node),
              [DGNN_REPFLOW_D_CLEAR] = REAL(repflow_cuda_d_clear),
              [DGNN_REPFLOW_D_EDGES] = REAL(repflow_cuda_d_edges),
              [DGNN_REPFLOW_D_SEQUENCE] = REAL(repflow_cuda_d_sequence),
              [DGNN_REPFLOW_D_NEIGHBOUR_PART] = REAL(repflow_cuda_d_neighbour_part),
              [DGNN_REPFLOW_D_CENTRE] = REAL(repflow_cuda_d_centre),
              [DGNN_REPFLOW_D_ANGLES] = REAL(repflow_cuda_d_angles),
              [DGNN_REPFLOW_D_ROWS] = REAL(repflow_cuda_d_rows),
              [DGNN_REPFLOW_D_FIRST_EDGES] = REAL(repflow_cuda_d_first_edges),
              [DGNN_REPFLOW_D_GEOMETRY] = REAL(repflow_cuda_d_geometry),
              [DGNN_REPFLOW_END] = REAL(repflow_cuda_end)},
};
