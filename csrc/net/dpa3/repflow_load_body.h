#include "base/real.h"

/* A layer's matrices, in the order of enum repflow_matrix, and their transposes. */
static void REAL(repflow_matrices)(struct REAL(dgnn_repflow_weights) * to,
                                   struct REAL(dgnn_matrix) * matrices[REPFLOW_MATRICES][2])
{
    struct REAL(dgnn_matrix) *const all[REPFLOW_MATRICES][2] = {
        [REPFLOW_CENTRE] = {&to->centre, &to->centre_transposed},
        [REPFLOW_NEIGHBOUR] = {&to->neighbour_part, &to->neighbour_part_transposed},
        [REPFLOW_GRAM] = {&to->symmetric, &to->symmetric_transposed},
        [REPFLOW_EDGE] = {&to->block.edge, &to->block.edge_transposed},
        [REPFLOW_PAIR] = {&to->block.pair, &to->block.pair_transposed},
        [REPFLOW_ANGLE] = {&to->block.angle, &to->block.angle_transposed},
        [REPFLOW_LINEAR2] = {&to->block.angle_linear2, &to->block.angle_linear2_transposed},
    };
    memcpy(matrices, all, sizeof(all));
}

static const real *REAL(repflow_take)(const real **rows, int64_t n)
{
    *rows += n;
    return *rows - n;
}

static int REAL(repflow_cast)(const struct REAL(dgnn_repflow) * f, const struct repflow_placed *from,
                              struct REAL(dgnn_repflow_weights) * to, struct dgnn_error *error)
{
    struct REAL(dgnn_matrix) * matrices[REPFLOW_MATRICES][2];
    struct REAL(dgnn_repflow_layer) *block = &to->block;
    REAL(repflow_matrices)(to, matrices);
    for (int k = 0; k < REPFLOW_MATRICES; k++) {
        DGNN_TRY(REAL(dgnn_layer_cast)(&from->matrix[k], matrices[k][0], matrices[k][1], error));
    }
    DGNN_TRY(REAL(dgnn_layer_cast_row)(from->rows, from->nrow, &to->rows, error));
    const real *rows = to->rows;
    to->centre_bias = REAL(repflow_take)(&rows, f->n + f->m + 2 * f->e + f->a);
    to->symmetric_bias = REAL(repflow_take)(&rows, f->n);
    block->angle_linear2_bias = REAL(repflow_take)(&rows, f->e);
    to->weight_self = REAL(repflow_take)(&rows, f->n);
    to->weight_symmetric = REAL(repflow_take)(&rows, f->n);
    to->weight_message = REAL(repflow_take)(&rows, f->m);
    block->weight_edge_self = REAL(repflow_take)(&rows, f->e);
    block->weight_edge_angle = REAL(repflow_take)(&rows, f->e);
    block->weight_angle = rows;
    to->keep_node = (real)from->keep[0];
    block->keep_edge = (real)from->keep[1];
    block->keep_angle = (real)from->keep[2];
    block->n = f->n;
    block->e = f->e;
    block->a = f->a;
    block->m = f->m;
    block->activation = f->settings->activation;
    block->without_angle_term = to->without_angle_term = dgnn_alloc(f->e, sizeof(real));
    if (!to->without_angle_term) {
        return dgnn_status_no_memory(error, "weights", f->e * (int64_t)sizeof(real));
    }
    f->ops->activate(&block->activation, f->e, block->angle_linear2_bias, to->without_angle_term, NULL);
    for (int64_t c = 0; c < f->e; c++) {
        to->without_angle_term[c] *= block->weight_edge_angle[c];
    }
    return DGNN_OK;
}

static int REAL(repflow_load_layer)(const struct REAL(dgnn_repflow) * f, const struct dgnn_value *value,
                                    const struct repflow_layout *w, struct dgnn_dpa3_settings *settings,
                                    struct REAL(dgnn_repflow_weights) * to, struct dgnn_error *error)
{
    struct repflow_placed placed = {0};
    int status = repflow_load_layer(value, w, settings, &placed, error);
    status = status ? status : REAL(repflow_cast)(f, &placed, to, error);
    repflow_free_placed(&placed);
    return status;
}

static int REAL(repflow_load_all)(struct dgnn_dpa3_settings *s, const struct repflow_layout *w,
                                  struct REAL(dgnn_repflow) * f, struct dgnn_error *error)
{
    struct dgnn_value layers;
    double *rows = NULL;
    int64_t n = s->repflow.n_dim;
    int64_t nlayer;
    DGNN_TRY(repflow_list(s, &layers, &nlayer, error));
    f->layer = dgnn_alloc_zeroed(nlayer, sizeof(*f->layer));
    if (!f->layer) {
        return dgnn_status_no_memory(error, "layers", nlayer * (int64_t)sizeof(*f->layer));
    }
    f->nlayer = nlayer;
    int status = repflow_load_embeddings(w, s, &rows, error);
    status = status ? status : REAL(dgnn_layer_cast_row)(rows, 2 * f->e + f->a, &f->rows, error);
    dgnn_alloc_free(rows);
    DGNN_TRY(status);
    f->edge_weight = f->rows;
    f->edge_bias = f->rows + f->e;
    f->angle_weight = f->rows + 2 * f->e;
    for (int64_t l = 0; l < f->nlayer; l++) {
        struct dgnn_value item = dgnn_value_item(&layers, l);
        DGNN_TRY(REAL(repflow_load_layer)(f, &item, w, s, &f->layer[l], error));
    }
    return s->own.add_chg_spin_ebd ? REAL(dgnn_layer_load)(&s->own.mix_cs_mlp, 2 * n, n, &f->mix, error)
                                   : DGNN_OK;
}

int REAL(dgnn_repflow_load)(struct dgnn_dpa3_settings *settings, struct REAL(dgnn_repflow) * *repflow,
                            struct dgnn_error *error)
{
    struct repflow_layout w = repflow_layout(&settings->repflow, REAL_LANES, REAL_DTYPE);
    struct REAL(dgnn_repflow) *f = dgnn_alloc_zeroed(1, sizeof(*f));
    if (!f) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*f));
    }
    f->settings = settings;
    f->ops = REAL(dgnn_select_ops)(settings->cpu);
    f->n = w.n;
    f->e = w.e;
    f->a = w.a;
    f->m = w.m;
    f->heads = w.heads;
    f->axis = w.axis;
    f->angle_node = w.angle_node;
    f->angle_edge = w.angle_edge;
    int status = REAL(repflow_load_all)(settings, &w, f, error);
    if (status) {
        REAL(dgnn_repflow_free)(f);
        return status;
    }
    *repflow = f;
    return DGNN_OK;
}

void REAL(dgnn_repflow_free)(struct REAL(dgnn_repflow) * f)
{
    if (!f) {
        return;
    }
    for (int64_t l = 0; l < f->nlayer; l++) {
        struct REAL(dgnn_matrix) * matrices[REPFLOW_MATRICES][2];
        REAL(repflow_matrices)(&f->layer[l], matrices);
        for (int k = 0; k < REPFLOW_MATRICES; k++) {
            REAL(dgnn_layer_matrix_free)(matrices[k][0]);
            REAL(dgnn_layer_matrix_free)(matrices[k][1]);
        }
        dgnn_alloc_free(f->layer[l].rows);
        dgnn_alloc_free(f->layer[l].without_angle_term);
    }
    dgnn_alloc_free(f->layer);
    dgnn_alloc_free(f->rows);
    REAL(dgnn_layer_free)(&f->mix);
    dgnn_alloc_free(f);
}
