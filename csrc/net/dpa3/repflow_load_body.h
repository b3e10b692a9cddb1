#include "base/real.h"

/* The layers of the archive that one RepFlow layer is made of. */
struct REAL(repflow_parts) {
    struct REAL(dgnn_layer) self, symmetric, node_edge, edge_self, angle_edge, angle_linear2, angle_self,
        compress_node, compress_edge;
};

static void REAL(repflow_free_parts)(struct REAL(repflow_parts) * p)
{
    struct REAL(dgnn_layer) * all[] = {&p->self,       &p->symmetric,     &p->node_edge,
                                       &p->edge_self,  &p->angle_edge,    &p->angle_linear2,
                                       &p->angle_self, &p->compress_node, &p->compress_edge};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        REAL(dgnn_layer_free)(all[i]);
    }
}

static int REAL(repflow_load_part)(const struct dgnn_value *value, const char *name, int64_t nin,
                                   int64_t nout, struct dgnn_dpa3_settings *settings,
                                   struct REAL(dgnn_layer) * layer, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, name);
    DGNN_TRY(REAL(dgnn_layer_load)(&member, nin, nout, layer, error));
    settings->parameters += REAL(dgnn_layer_parameters)(layer);
    if (layer->activation.kind != DGNN_ACTIVATION_LINEAR || layer->residual || layer->idt) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &member, "expected a plain affine layer");
    }
    return DGNN_OK;
}

/* Features of a node and of an edge that go into angles. */
static void REAL(repflow_angle_widths)(const struct dgnn_repflow_params *r, int64_t *node, int64_t *edge)
{
    *node = r->a_compress_rate ? r->a_dim / r->a_compress_rate : r->n_dim;
    *edge = r->a_compress_rate ? r->a_dim / (2 * r->a_compress_rate) * r->a_compress_e_rate : r->e_dim;
}

static int REAL(repflow_load_angle_parts)(const struct dgnn_value *value, struct dgnn_dpa3_settings *s,
                                          struct REAL(repflow_parts) * p, struct dgnn_error *error)
{
    const struct dgnn_repflow_params *r = &s->repflow;
    int64_t node_width, edge_width;
    REAL(repflow_angle_widths)(r, &node_width, &edge_width);
    if (r->a_compress_rate && !r->a_compress_use_split) {
        DGNN_TRY(REAL(repflow_load_part)(value, "a_compress_n_linear", r->n_dim, node_width, s,
                                         &p->compress_node, error));
        DGNN_TRY(REAL(repflow_load_part)(value, "a_compress_e_linear", r->e_dim, edge_width, s,
                                         &p->compress_edge, error));
    }
    int64_t width = r->a_dim + node_width + 2 * edge_width;
    DGNN_TRY(REAL(repflow_load_part)(value, "edge_angle_linear1", width, r->e_dim, s, &p->angle_edge, error));
    DGNN_TRY(REAL(repflow_load_part)(value, "edge_angle_linear2", r->e_dim, r->e_dim, s, &p->angle_linear2,
                                     error));
    return REAL(repflow_load_part)(value, "angle_self_linear", width, r->a_dim, s, &p->angle_self, error);
}

static int REAL(repflow_load_parts)(const struct dgnn_value *value, struct dgnn_dpa3_settings *s,
                                    struct REAL(repflow_parts) * p, struct dgnn_error *error)
{
    const struct dgnn_repflow_params *r = &s->repflow;
    int64_t n = r->n_dim, e = r->e_dim;
    DGNN_TRY(repflow_check_layer(value, s, error));
    DGNN_TRY(REAL(repflow_load_part)(value, "node_self_mlp", n, n, s, &p->self, error));
    DGNN_TRY(REAL(repflow_load_part)(value, "node_sym_linear", r->axis_neuron * (n + e), n, s, &p->symmetric,
                                     error));
    DGNN_TRY(REAL(repflow_load_part)(value, "node_edge_linear", 2 * n + e, r->n_multi_edge_message * n, s,
                                     &p->node_edge, error));
    DGNN_TRY(REAL(repflow_load_part)(value, "edge_self_linear", 2 * n + e, e, s, &p->edge_self, error));
    return r->update_angle ? REAL(repflow_load_angle_parts)(value, s, p, error) : DGNN_OK;
}

/* A block of an archive's matrix, and where it goes. */
struct REAL(repflow_copy) {
    const struct REAL(dgnn_matrix) * from;
    int64_t from_row, nrow, from_column, ncol;
    struct REAL(dgnn_matrix) * to;
    int64_t to_row, to_column;
};

static void REAL(repflow_copy)(struct REAL(repflow_copy) c)
{
    for (int64_t r = 0; r < c.nrow; r++) {
        memcpy(c.to->data + (c.to_row + r) * c.to->stride + c.to_column,
               c.from->data + (c.from_row + r) * c.from->stride + c.from_column,
               sizeof(real) * (size_t)c.ncol);
    }
}

/* The same with the compression folded in: to = compress * block of from. */
static void REAL(repflow_fold)(const struct REAL(dgnn_matrix) * compress, struct REAL(repflow_copy) c)
{
    for (int64_t r = 0; r < compress->nrow; r++) {
        for (int64_t col = 0; col < c.ncol; col++) {
            double sum = 0;
            for (int64_t k = 0; k < c.nrow; k++) {
                sum += (double)compress->data[r * compress->stride + k] *
                       (double)c.from->data[(c.from_row + k) * c.from->stride + c.from_column + col];
            }
            c.to->data[(c.to_row + r) * c.to->stride + c.to_column + col] = (real)sum;
        }
    }
}

/* Node and pair parts of one linear over angles: rows of w are angle | node | edge ik | edge ij. */
static void REAL(repflow_place_angle)(const struct REAL(dgnn_repflow) * f,
                                      const struct REAL(repflow_parts) * p,
                                      const struct REAL(dgnn_matrix) * w, int64_t column,
                                      struct REAL(dgnn_repflow_weights) * to)
{
    int64_t node = f->angle_node, edge = f->angle_edge, a = f->settings->repflow.a_dim,
            start = f->n + f->m + f->e;
    struct REAL(repflow_copy) angle = {w, 0, a, 0, w->ncol, &to->block.angle, 0, column};
    struct REAL(repflow_copy) centre = {w, a, node, 0, w->ncol, &to->centre, 0, start + column};
    struct REAL(repflow_copy) ik = {w, a + node, edge, 0, w->ncol, &to->block.pair, 0, f->e + f->a + column};
    struct REAL(repflow_copy) ij = {w, a + node + edge, edge, 0, w->ncol, &to->block.pair, 0, column};
    REAL(repflow_copy)(angle);
    if (p->compress_node.w.data) {
        REAL(repflow_fold)(&p->compress_node.w, centre);
        REAL(repflow_fold)(&p->compress_edge.w, ik);
        REAL(repflow_fold)(&p->compress_edge.w, ij);
    } else {
        REAL(repflow_copy)(centre);
        REAL(repflow_copy)(ik);
        REAL(repflow_copy)(ij);
    }
}

/* One linear over edges: rows of w are centre | neighbour | edge; ncol columns of it from from_column go to
 * column. */
static void REAL(repflow_place_edge)(const struct REAL(dgnn_repflow) * f, const struct REAL(dgnn_matrix) * w,
                                     int64_t from_column, int64_t ncol, int64_t column,
                                     struct REAL(dgnn_repflow_weights) * to)
{
    int64_t n = f->settings->repflow.n_dim, e = f->settings->repflow.e_dim;
    REAL(repflow_copy)(
        (struct REAL(repflow_copy)){w, 0, n, from_column, ncol, &to->centre, 0, f->n + column});
    REAL(repflow_copy)(
        (struct REAL(repflow_copy)){w, n, n, from_column, ncol, &to->neighbour_part, 0, column});
    REAL(repflow_copy)(
        (struct REAL(repflow_copy)){w, 2 * n, e, from_column, ncol, &to->block.edge, 0, column});
}

static void REAL(repflow_place)(const struct REAL(dgnn_repflow) * f, const struct REAL(repflow_parts) * p,
                                struct REAL(dgnn_repflow_weights) * to)
{
    const struct dgnn_repflow_params *r = &f->settings->repflow;
    int64_t n = r->n_dim, e = r->e_dim;
    REAL(repflow_copy)((struct REAL(repflow_copy)){&p->self.w, 0, n, 0, n, &to->centre, 0, 0});
    for (int64_t h = 0; h < f->heads; h++) {
        REAL(repflow_place_edge)(f, &p->node_edge.w, h * n, n, h * f->n, to);
    }
    REAL(repflow_place_edge)(f, &p->edge_self.w, 0, e, f->m, to);
    for (int64_t q = 0; q < f->axis; q++) {
        const struct REAL(dgnn_matrix) *w = &p->symmetric.w;
        REAL(repflow_copy)((struct REAL(repflow_copy)){w, q * e, e, 0, n, &to->symmetric, q * f->e, 0});
        REAL(repflow_copy)((struct REAL(repflow_copy)){w, f->axis * e + q * n, n, 0, n, &to->symmetric,
                                                       f->axis * f->e + q * f->n, 0});
    }
    if (r->update_angle) {
        REAL(repflow_place_angle)(f, p, &p->angle_edge.w, 0, to);
        REAL(repflow_place_angle)(f, p, &p->angle_self.w, f->e, to);
        REAL(repflow_copy)(
            (struct REAL(repflow_copy)){&p->angle_linear2.w, 0, e, 0, e, &to->block.angle_linear2, 0, 0});
    }
}

static int REAL(repflow_make_matrices)(const struct REAL(dgnn_repflow) * f,
                                       struct REAL(dgnn_repflow_weights) * to, struct dgnn_error *error)
{
    int64_t n = f->n, e = f->e, a = f->a, m = f->m;
    /* the first features of an edge where angles see no more; a linear compression is folded in */
    int64_t seen = f->settings->repflow.a_compress_use_split ? dgnn_table_pad(f->angle_edge, REAL_LANES) : e;
    DGNN_TRY(REAL(dgnn_layer_matrix)(n, n + m + e + e + a, &to->centre, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(n, m + e, &to->neighbour_part, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(f->axis * (e + n), n, &to->symmetric, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(e, m + e, &to->block.edge, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(seen, 2 * (e + a), &to->block.pair, error));
    DGNN_TRY(REAL(dgnn_layer_matrix)(a, e + a, &to->block.angle, error));
    return REAL(dgnn_layer_matrix)(e, e, &to->block.angle_linear2, error);
}

static int REAL(repflow_make_transposed)(struct REAL(dgnn_repflow_weights) * to, struct dgnn_error *error)
{
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(&to->centre, &to->centre_transposed, error));
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(&to->neighbour_part, &to->neighbour_part_transposed, error));
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(&to->symmetric, &to->symmetric_transposed, error));
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(&to->block.edge, &to->block.edge_transposed, error));
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(&to->block.pair, &to->block.pair_transposed, error));
    DGNN_TRY(REAL(dgnn_layer_matrix_transposed)(&to->block.angle, &to->block.angle_transposed, error));
    return REAL(dgnn_layer_matrix_transposed)(&to->block.angle_linear2, &to->block.angle_linear2_transposed,
                                              error);
}

static void REAL(repflow_free_weights)(struct REAL(dgnn_repflow_weights) * to)
{
    struct REAL(dgnn_matrix) * all[] = {&to->centre,
                                        &to->centre_transposed,
                                        &to->neighbour_part,
                                        &to->neighbour_part_transposed,
                                        &to->symmetric,
                                        &to->symmetric_transposed,
                                        &to->block.edge,
                                        &to->block.edge_transposed,
                                        &to->block.pair,
                                        &to->block.pair_transposed,
                                        &to->block.angle,
                                        &to->block.angle_transposed,
                                        &to->block.angle_linear2,
                                        &to->block.angle_linear2_transposed};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        REAL(dgnn_layer_matrix_free)(all[i]);
    }
    dgnn_alloc_free(to->rows);
}

/* Residual weights: item index of the list name, or, in the other styles, one number. */
static int REAL(repflow_residual)(const struct dgnn_value *value, const char *name, int64_t index,
                                  int64_t width, double constant, real *out, struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value list = dgnn_value_member(&variables, name);
    struct dgnn_value item = dgnn_value_item(&list, index);
    struct dgnn_tensor tensor;
    if (constant > 0) {
        for (int64_t c = 0; c < width; c++) {
            out[c] = (real)constant;
        }
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_params_row(&item, width, &tensor, error));
#if DGNN_REAL_BITS == 32
    dgnn_tensor_to_float(&tensor, out);
#else
    dgnn_tensor_to_double(&tensor, out);
#endif
    return DGNN_OK;
}

/* The factor of the old features, and the weight of updates where it is one number (0: residual vectors). */
static void REAL(repflow_style)(enum dgnn_dpa3_style style, int64_t nupdate, real *keep, double *constant)
{
    *keep = style == DGNN_DPA3_AVERAGE ? (real)(1.0 / sqrt((double)(nupdate + 1))) : 1;
    *constant = style == DGNN_DPA3_AVERAGE     ? 1.0 / sqrt((double)(nupdate + 1))
                : style == DGNN_DPA3_INCREMENT ? 1.0 / sqrt((double)nupdate)
                                               : 0.0;
}

static int REAL(repflow_load_residuals)(const struct REAL(dgnn_repflow) * f, const struct dgnn_value *value,
                                        struct REAL(dgnn_repflow_weights) * to, real *row,
                                        struct dgnn_error *error)
{
    const struct dgnn_repflow_params *r = &f->settings->repflow;
    double node, edge, angle;
    REAL(repflow_style)(f->settings->style, 2 + f->heads, &to->keep_node, &node);
    REAL(repflow_style)(f->settings->style, r->update_angle ? 2 : 1, &to->block.keep_edge, &edge);
    REAL(repflow_style)(f->settings->style, 1, &to->block.keep_angle, &angle);
    DGNN_TRY(REAL(repflow_residual)(value, "n_residual", 0, r->n_dim, node, row, error));
    to->weight_self = row;
    row += f->n;
    DGNN_TRY(REAL(repflow_residual)(value, "n_residual", 1, r->n_dim, node, row, error));
    to->weight_symmetric = row;
    row += f->n;
    to->weight_message = row;
    for (int64_t h = 0; h < f->heads; h++, row += f->n) {
        DGNN_TRY(REAL(repflow_residual)(value, "n_residual", 2 + h, r->n_dim, node, row, error));
    }
    DGNN_TRY(REAL(repflow_residual)(value, "e_residual", 0, r->e_dim, edge, row, error));
    to->block.weight_edge_self = row;
    row += f->e;
    to->block.weight_edge_angle = row;
    to->block.weight_angle = row + f->e;
    if (r->update_angle) {
        DGNN_TRY(REAL(repflow_residual)(value, "e_residual", 1, r->e_dim, edge, row, error));
        DGNN_TRY(REAL(repflow_residual)(value, "a_residual", 0, r->a_dim, angle, row + f->e, error));
    }
    real *without_angle_term = row + f->e + f->a;
    f->ops->activate(&f->settings->activation, f->e, to->block.angle_linear2_bias, without_angle_term, NULL);
    for (int64_t c = 0; c < f->e; c++) {
        without_angle_term[c] *= row[c];
    }
    to->block.without_angle_term = without_angle_term;
    return DGNN_OK;
}

static void REAL(repflow_bias)(const struct REAL(dgnn_layer) * layer, int64_t from, int64_t ncol, real *out)
{
    if (layer->bias) {
        memcpy(out, layer->bias + from, sizeof(real) * (size_t)ncol);
    }
}

static int REAL(repflow_load_rows)(const struct REAL(dgnn_repflow) * f, const struct dgnn_value *value,
                                   const struct REAL(repflow_parts) * p,
                                   struct REAL(dgnn_repflow_weights) * to, struct dgnn_error *error)
{
    const struct dgnn_repflow_params *r = &f->settings->repflow;
    int64_t n = f->n, e = f->e, a = f->a, m = f->m, centre = n + m + e + e + a;
    to->rows = dgnn_alloc_zeroed(centre + n + e + (2 * n + m + 3 * e + a), sizeof(real));
    if (!to->rows) {
        return dgnn_status_no_memory(error, "weights", centre * (int64_t)sizeof(real));
    }
    real *bias = to->rows;
    REAL(repflow_bias)(&p->self, 0, r->n_dim, bias);
    for (int64_t h = 0; h < f->heads; h++) {
        REAL(repflow_bias)(&p->node_edge, h * r->n_dim, r->n_dim, bias + n + h * n);
    }
    REAL(repflow_bias)(&p->edge_self, 0, r->e_dim, bias + n + m);
    REAL(repflow_bias)(&p->angle_edge, 0, r->e_dim, bias + n + m + e);
    REAL(repflow_bias)(&p->angle_self, 0, r->a_dim, bias + n + m + e + e);
    REAL(repflow_bias)(&p->symmetric, 0, r->n_dim, bias + centre);
    REAL(repflow_bias)(&p->angle_linear2, 0, r->e_dim, bias + centre + n);
    to->centre_bias = bias;
    to->symmetric_bias = bias + centre;
    to->block.angle_linear2_bias = bias + centre + n;
    return REAL(repflow_load_residuals)(f, value, to, bias + centre + n + e, error);
}

static int REAL(repflow_load_layer)(const struct REAL(dgnn_repflow) * f, const struct dgnn_value *value,
                                    struct dgnn_dpa3_settings *settings,
                                    struct REAL(dgnn_repflow_weights) * to, struct dgnn_error *error)
{
    struct REAL(repflow_parts) parts = {0};
    to->block.n = f->n;
    to->block.e = f->e;
    to->block.a = f->a;
    to->block.m = f->m;
    to->block.activation = settings->activation;
    int status = REAL(repflow_load_parts)(value, settings, &parts, error);
    status = status ? status : REAL(repflow_make_matrices)(f, to, error);
    if (!status) {
        REAL(repflow_place)(f, &parts, to);
        status = REAL(repflow_make_transposed)(to, error);
    }
    status = status ? status : REAL(repflow_load_rows)(f, value, &parts, to, error);
    REAL(repflow_free_parts)(&parts);
    return status;
}

/* edge_embd (1 x e, with bias) and angle_embd (1 x a). */
static int REAL(repflow_load_embeddings)(struct REAL(dgnn_repflow) * f, struct dgnn_dpa3_settings *s,
                                         struct dgnn_error *error)
{
    const struct dgnn_value *variable = &s->own.repflow_variable;
    struct REAL(dgnn_layer) edge = {0}, angle = {0};
    int status = REAL(repflow_load_part)(variable, "edge_embd", 1, s->repflow.e_dim, s, &edge, error);
    status = status ? status
                    : REAL(repflow_load_part)(variable, "angle_embd", 1, s->repflow.a_dim, s, &angle, error);
    if (!status) {
        f->rows = dgnn_alloc_zeroed(2 * f->e + f->a, sizeof(real));
        status = f->rows ? DGNN_OK : dgnn_status_no_memory(error, "weights", f->e * (int64_t)sizeof(real));
    }
    if (!status) {
        f->edge_weight = f->rows;
        f->edge_bias = f->rows + f->e;
        f->angle_weight = f->rows + 2 * f->e;
        memcpy(f->rows, edge.w.data, sizeof(real) * (size_t)s->repflow.e_dim);
        REAL(repflow_bias)(&edge, 0, s->repflow.e_dim, f->rows + f->e);
        memcpy(f->rows + 2 * f->e, angle.w.data, sizeof(real) * (size_t)s->repflow.a_dim);
    }
    REAL(dgnn_layer_free)(&edge);
    REAL(dgnn_layer_free)(&angle);
    return status;
}

static int REAL(repflow_load_all)(struct dgnn_dpa3_settings *s, struct REAL(dgnn_repflow) * f,
                                  struct dgnn_error *error)
{
    struct repflow_variable_params variable;
    int64_t count, n = s->repflow.n_dim;
    DGNN_TRY(dgnn_params_load(&s->own.repflow_variable, repflow_variable_params, REPFLOW_VARIABLE_NPARAM,
                              &variable, error));
    struct dgnn_value layers = variable.repflow_layers;
    DGNN_TRY(dgnn_value_list(&layers, &count, error));
    if (count != s->repflow.nlayers) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &layers, "%lld layers, but nlayers is %lld",
                                 (long long)count, (long long)s->repflow.nlayers);
    }
    f->layer = dgnn_alloc_zeroed(count, sizeof(*f->layer));
    if (!f->layer) {
        return dgnn_status_no_memory(error, "layers", count * (int64_t)sizeof(*f->layer));
    }
    f->nlayer = count;
    DGNN_TRY(REAL(repflow_load_embeddings)(f, s, error));
    for (int64_t l = 0; l < count; l++) {
        struct dgnn_value item = dgnn_value_item(&layers, l);
        DGNN_TRY(REAL(repflow_load_layer)(f, &item, s, &f->layer[l], error));
    }
    if (s->own.add_chg_spin_ebd) {
        DGNN_TRY(REAL(dgnn_layer_load)(&s->own.mix_cs_mlp, 2 * n, n, &f->mix, error));
    }
    return DGNN_OK;
}

int REAL(dgnn_repflow_load)(struct dgnn_dpa3_settings *settings, struct REAL(dgnn_repflow) * *repflow,
                            struct dgnn_error *error)
{
    struct REAL(dgnn_repflow) *f = dgnn_alloc_zeroed(1, sizeof(*f));
    if (!f) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*f));
    }
    f->settings = settings;
    f->ops = REAL(dgnn_select_ops)(settings->cpu);
    f->n = dgnn_table_pad(settings->repflow.n_dim, REAL_LANES);
    f->e = dgnn_table_pad(settings->repflow.e_dim, REAL_LANES);
    f->a = dgnn_table_pad(settings->repflow.a_dim, REAL_LANES);
    f->heads = settings->repflow.n_multi_edge_message;
    f->axis = settings->repflow.axis_neuron;
    REAL(repflow_angle_widths)(&settings->repflow, &f->angle_node, &f->angle_edge);
    f->m = f->heads * f->n;
    int status = REAL(repflow_load_all)(settings, f, error);
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
        REAL(repflow_free_weights)(&f->layer[l]);
    }
    dgnn_alloc_free(f->layer);
    dgnn_alloc_free(f->rows);
    REAL(dgnn_layer_free)(&f->mix);
    dgnn_alloc_free(f);
}
