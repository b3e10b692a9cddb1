#include "net/energy/fitting.h"

#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "base/stop.h"
#include "net/energy/glu.h"
#include "net/parts/layer.h"
#include "net/params/params.h"

struct fitting_params {
#include "net/params/params_fields.h"
#include "net/params/fitting.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param fitting_rows[] = {
#define DGNN_PARAM_STRUCT struct fitting_params
#include "net/params/params_rows.h"
#include "net/params/fitting.def"
#include "net/params/params_end.h"
};

/* Computed in float64 whatever the archive's precision: it costs a hundredth of a model, and energies of
 * float32 models then lose nothing after the descriptor. */
enum { FITTING_ROWS = 64 }; /* atoms that go through the network together */

struct dgnn_fitting {
    struct fitting_params params;
    int32_t threads;
    int32_t ntypes;
    int64_t nnet;
    struct dgnn_network_f64 *net; /* nnet; of a sezm_ener fitting NULL, and */
    struct dgnn_glu *glu;         /* nnet */
    int32_t is_glu, modulates;
    const struct dgnn_ops_f64 *ops;
    double *bias;     /* ntypes */
    uint8_t *dropped; /* ntypes: exclude_types */
    double *fparam_average, *fparam_scale, *aparam_average, *aparam_scale, *case_embedding, *default_fparam;
    int64_t width, width_kept, width_max; /* of the networks */
    int64_t width_hidden;                 /* of what goes into their last layers; 0: none, or they differ */
    int64_t parameters;
};

struct dgnn_fitting_workspace {
    const struct dgnn_fitting *fitting;
    struct dgnn_buffer scratch; /* threads x fitting_room */
};

static void fitting_widths(struct dgnn_fitting *f, int64_t parameters, int64_t width_kept, int64_t width_max)
{
    f->parameters += parameters;
    f->width_kept = width_kept > f->width_kept ? width_kept : f->width_kept;
    f->width_max = width_max > f->width_max ? width_max : f->width_max;
}

static int fitting_load_glu(struct dgnn_fitting *f, const struct dgnn_value *list, struct dgnn_error *error)
{
    int64_t count = dgnn_value_count(list);
    struct dgnn_glu *glu = dgnn_alloc_zeroed(count, sizeof(*glu));
    if (!glu) {
        return dgnn_status_no_memory(error, "networks", count * (int64_t)sizeof(*glu));
    }
    f->glu = glu;
    f->nnet = count;
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        DGNN_TRY(dgnn_glu_load(&item, f->width, f->modulates, f->params.dim_case_embd, f->case_embedding,
                               &glu[k], error));
        fitting_widths(f, glu[k].parameters, glu[k].width_kept, glu[k].width_max);
    }
    return DGNN_OK;
}

/* value: the fitting net's object. */
static int fitting_load_each(struct dgnn_fitting *f, const struct dgnn_value *value,
                             const struct dgnn_value *list, struct dgnn_error *error)
{
    int64_t count = dgnn_value_count(list);
    struct dgnn_network_f64 *net = dgnn_alloc_zeroed(count, sizeof(*net));
    if (!net) {
        return dgnn_status_no_memory(error, "networks", count * (int64_t)sizeof(*net));
    }
    f->net = net;
    f->nnet = count;
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        DGNN_TRY(dgnn_network_load_f64(&item, f->width, 1, &net[k], error));
        DGNN_TRY(dgnn_network_same_f64(&net[k], net[k].nlayer - 1, value, "neuron", error));
        fitting_widths(f, dgnn_network_parameters_f64(&net[k]), net[k].width_kept, net[k].width_max);
    }
    return DGNN_OK;
}

/* A thread's room for one batch. */
struct fitting_batch {
    int64_t *row;   /* FITTING_ROWS: atoms */
    double *input;  /* FITTING_ROWS x width; its gradient after backward */
    double *output; /* FITTING_ROWS */
    double *one;    /* FITTING_ROWS ones: dE/doutput */
    double *kept;
    double *work;
};

static void fitting_lay(struct dgnn_arena *arena, const struct dgnn_fitting *f, struct fitting_batch *b)
{
    b->row = dgnn_arena_take(arena, FITTING_ROWS, sizeof(*b->row));
    b->input = dgnn_arena_take(arena, FITTING_ROWS * f->width, sizeof(double));
    b->output = dgnn_arena_take(arena, FITTING_ROWS, sizeof(double));
    b->one = dgnn_arena_take(arena, FITTING_ROWS, sizeof(double));
    b->kept = dgnn_arena_take(arena, FITTING_ROWS * f->width_kept, sizeof(double));
    b->work = dgnn_arena_take(arena, 3 * FITTING_ROWS * f->width_max, sizeof(double));
}

static void fitting_fill(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t atom,
                         double *row)
{
    const double *fparam = in->fparam ? in->fparam : f->default_fparam;
    for (int64_t c = 0; c < f->params.dim_descrpt; c++) {
        *row++ = in->descriptor[atom * f->params.dim_descrpt + c];
    }
    for (int64_t c = 0; c < f->params.numb_fparam; c++) {
        *row++ = ((fparam[c] - f->fparam_average[c]) * f->fparam_scale[c]);
    }
    for (int64_t c = 0; c < f->params.numb_aparam; c++) {
        *row++ = ((in->aparam[atom * f->params.numb_aparam + c] - f->aparam_average[c]) * f->aparam_scale[c]);
    }
    for (int64_t c = 0; c < f->params.dim_case_embd && !f->modulates; c++) {
        *row++ = f->case_embedding[c];
    }
}

/* What went into the last layer of network k, whose forward was the last to use the batch. */
static void fitting_keep_hidden(const struct dgnn_fitting *f, int64_t k, int64_t count,
                                const struct fitting_batch *b, double *last_layer)
{
    int64_t width = f->width_hidden;
    const double *hidden = f->is_glu ? dgnn_glu_hidden(&f->glu[k], count, b->work)
                                     : dgnn_network_hidden_f64(&f->net[k], count, b->work);
    for (int64_t r = 0; r < count; r++) {
        memcpy(last_layer + b->row[r] * width, hidden + r * width, sizeof(double) * (size_t)width);
    }
}

static void fitting_run(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t k,
                        int64_t count, const struct fitting_batch *b, double *energy, double *gradient)
{
    const struct dgnn_ops_f64 *ops = f->ops;
    int64_t width = f->params.dim_descrpt;
    for (int64_t r = 0; r < count; r++) {
        fitting_fill(f, in, b->row[r], b->input + r * f->width);
        b->one[r] = f->dropped[in->type[b->row[r]]] ? 0 : 1;
    }
    if (f->is_glu) {
        dgnn_glu_forward(ops, &f->glu[k], count, b->input, b->output, b->kept, b->work);
    } else {
        dgnn_network_forward_f64(ops, &f->net[k], count, b->input, f->width, b->output, b->kept, b->work);
    }
    if (in->last_layer) {
        fitting_keep_hidden(f, k, count, b, in->last_layer);
    }
    for (int64_t r = 0; r < count; r++) {
        int32_t type = in->type[b->row[r]];
        energy[b->row[r]] = f->dropped[type] ? 0 : b->output[r] + f->bias[type];
    }
    if (gradient) {
        if (f->is_glu) {
            dgnn_glu_backward(ops, &f->glu[k], count, b->one, b->input, b->kept, b->work);
        } else {
            dgnn_network_backward_f64(ops, &f->net[k], count, b->one, b->input, b->kept, b->work);
        }
        for (int64_t r = 0; r < count; r++) {
            for (int64_t c = 0; c < width; c++) {
                gradient[b->row[r] * width + c] = b->input[r * f->width + c];
            }
        }
    }
}

/* Atoms [begin, end), in batches that share a network. */
static void fitting_range(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t begin,
                          int64_t end, const struct fitting_batch *b, double *energy, double *gradient)
{
    for (int64_t k = 0; k < f->nnet; k++) {
        int64_t count = 0;
        for (int64_t i = begin; i < end && !(i % FITTING_ROWS == 0 && dgnn_stop_skips()); i++) {
            if (f->nnet == 1 || in->type[i] == k) {
                b->row[count++] = i;
            }
            if (count == FITTING_ROWS || (count && i + 1 == end)) {
                fitting_run(f, in, k, count, b, energy, gradient);
                count = 0;
            }
        }
    }
}

static int fitting_bad(const struct dgnn_value *where, int status, const char *problem,
                       struct dgnn_error *error)
{
    char path[256];
    return dgnn_status_set(error, status, "%s: %s", dgnn_value_path(where, path, sizeof(path)), problem);
}

/* n numbers of "@variables", as double. */
static int fitting_load_row(const struct dgnn_value *value, const char *name, int64_t n, double **out,
                            struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    struct dgnn_value member = dgnn_value_member(&variables, name);
    struct dgnn_tensor tensor;
    if (n == 0) {
        return dgnn_params_unused(&member, "the fitting net has no such parameters", error);
    }
    DGNN_TRY(dgnn_value_tensor(&member, &tensor, error));
    if (dgnn_tensor_size(&tensor) != n) {
        return fitting_bad(&member, DGNN_ERROR_FORMAT, "wrong number of elements", error);
    }
    DGNN_TRY(dgnn_value_tensor_shaped(&member, tensor.ndim, tensor.shape, &tensor, error));
    *out = dgnn_alloc(n, sizeof(double));
    if (!*out) {
        return dgnn_status_no_memory(error, "fitting parameters", n * 8);
    }
    dgnn_tensor_to_double(&tensor, *out);
    return DGNN_OK;
}

static int fitting_load_default(struct dgnn_fitting *f, struct dgnn_error *error)
{
    const struct dgnn_value *list = &f->params.default_fparam;
    int64_t count;
    if (dgnn_value_kind(list) == DGNN_VALUE_ABSENT || dgnn_value_kind(list) == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(list, &count, error));
    if (count != f->params.numb_fparam) {
        return fitting_bad(list, DGNN_ERROR_FORMAT, "its length is not numb_fparam", error);
    }
    f->default_fparam = dgnn_alloc(count, sizeof(double));
    if (!f->default_fparam) {
        return dgnn_status_no_memory(error, "fitting parameters", count * 8);
    }
    for (int64_t i = 0; i < count; i++) {
        struct dgnn_value item = dgnn_value_item(list, i);
        DGNN_TRY(dgnn_value_double(&item, &f->default_fparam[i], error));
    }
    return DGNN_OK;
}

static int fitting_load_dropped(struct dgnn_fitting *f, struct dgnn_error *error)
{
    const struct dgnn_value *list = &f->params.exclude_types;
    int64_t count = 0, type;
    f->dropped = dgnn_alloc_zeroed(f->ntypes, 1);
    if (!f->dropped) {
        return dgnn_status_no_memory(error, "fitting parameters", f->ntypes);
    }
    if (dgnn_value_kind(list) != DGNN_VALUE_ABSENT && dgnn_value_kind(list) != DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_list(list, &count, error));
    }
    for (int64_t i = 0; i < count; i++) {
        struct dgnn_value item = dgnn_value_item(list, i);
        DGNN_TRY(dgnn_value_int(&item, &type, error));
        if (type < 0 || type >= f->ntypes) {
            return fitting_bad(&item, DGNN_ERROR_FORMAT, "not a type of the model", error);
        }
        f->dropped[type] = 1;
    }
    return DGNN_OK;
}

static int fitting_check_atom_energies(const struct dgnn_value *list, struct dgnn_error *error)
{
    int64_t count;
    if (dgnn_value_kind(list) > DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_list(list, &count, error));
    }
    for (int64_t i = 0; i < dgnn_value_count(list); i++) {
        struct dgnn_value item = dgnn_value_item(list, i);
        if (dgnn_value_kind(&item) != DGNN_VALUE_NULL) {
            return fitting_bad(list, DGNN_ERROR_UNSUPPORTED,
                               "fits shifted to the energies of isolated atoms (atom_ener) are not supported",
                               error);
        }
    }
    return DGNN_OK;
}

static int fitting_load_networks(struct dgnn_fitting *f, const struct dgnn_value *value,
                                 struct dgnn_error *error)
{
    struct dgnn_value list;
    DGNN_TRY(dgnn_layer_collection(&f->params.nets, f->params.mixed_types ? 0 : 1, f->ntypes,
                                   f->is_glu ? "sezm_fitting_network" : "fitting_network", &list, error));
    f->width = f->params.dim_descrpt + f->params.numb_fparam + f->params.numb_aparam +
               (f->modulates ? 0 : f->params.dim_case_embd);
    DGNN_TRY(f->is_glu ? fitting_load_glu(f, &list, error) : fitting_load_each(f, value, &list, error));
    for (int64_t k = 0; k < f->nnet; k++) {
        int64_t own =
            f->is_glu ? dgnn_glu_hidden_width(&f->glu[k]) : dgnn_network_hidden_width_f64(&f->net[k]);
        f->width_hidden = k == 0 || own == f->width_hidden ? own : 0;
    }
    return DGNN_OK;
}

static int fitting_check_counts(const struct fitting_params *p, const struct dgnn_value *value,
                                const struct dgnn_load_context *context, struct dgnn_error *error)
{
    const int64_t limit = 1 << 24;
    if (p->ntypes != context->ntypes) {
        return fitting_bad(value, DGNN_ERROR_FORMAT, "ntypes is not the length of the model's type_map",
                           error);
    }
    if (p->dim_descrpt < 1 || p->dim_descrpt > limit || p->numb_fparam < 0 || p->numb_fparam > limit ||
        p->numb_aparam < 0 || p->numb_aparam > limit || p->dim_case_embd < 0 || p->dim_case_embd > limit) {
        return fitting_bad(value, DGNN_ERROR_FORMAT, "a width is negative or too large", error);
    }
    return DGNN_OK;
}

static int fitting_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                             struct dgnn_fitting *f, struct dgnn_error *error)
{
    struct dgnn_value type = dgnn_value_member(value, "type");
    const char *name;
    int32_t precision; /* checked; see above */
    DGNN_TRY(dgnn_value_string(&type, &name, error));
    f->is_glu = !strcmp(name, "sezm_ener") || !strcmp(name, "dpa4_ener");
    if (strcmp(name, "ener") && !f->is_glu) {
        char path[256];
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "%s: found '%s'; dgnn evaluates energies only: expected 'ener' or 'sezm_ener'",
                               dgnn_value_path(&type, path, sizeof(path)), name);
    }
    DGNN_TRY(dgnn_params_load(value, fitting_rows, sizeof(fitting_rows) / sizeof(fitting_rows[0]), &f->params,
                              error));
    DGNN_TRY(fitting_check_counts(&f->params, value, context, error));
    f->modulates = f->params.case_film_embd && f->params.dim_case_embd > 0;
    if (f->params.case_film_embd && !f->is_glu) {
        return fitting_bad(value, DGNN_ERROR_UNSUPPORTED,
                           "case_film_embd: only fittings of type sezm_ener have it", error);
    }
    f->ntypes = context->ntypes;
    f->threads = context->threads;
    f->ops = dgnn_select_ops_f64(context->cpu);
    DGNN_TRY(dgnn_params_precision(f->params.precision, value, &precision, error));
    DGNN_TRY(fitting_check_atom_energies(&f->params.atom_ener, error));
    DGNN_TRY(fitting_load_row(value, "bias_atom_e", f->ntypes, &f->bias, error));
    DGNN_TRY(fitting_load_row(value, "fparam_avg", f->params.numb_fparam, &f->fparam_average, error));
    DGNN_TRY(fitting_load_row(value, "fparam_inv_std", f->params.numb_fparam, &f->fparam_scale, error));
    DGNN_TRY(fitting_load_row(value, "aparam_avg", f->params.numb_aparam, &f->aparam_average, error));
    DGNN_TRY(fitting_load_row(value, "aparam_inv_std", f->params.numb_aparam, &f->aparam_scale, error));
    DGNN_TRY(fitting_load_row(value, "case_embd", f->params.dim_case_embd, &f->case_embedding, error));
    DGNN_TRY(fitting_load_default(f, error));
    DGNN_TRY(fitting_load_dropped(f, error));
    return fitting_load_networks(f, value, error);
}

int dgnn_fitting_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      struct dgnn_fitting **fitting, struct dgnn_error *error)
{
    struct dgnn_fitting *f = dgnn_alloc_zeroed(1, sizeof(*f));
    if (!f) {
        return dgnn_status_no_memory(error, "a fitting net", sizeof(*f));
    }
    int status = fitting_load_into(value, context, f, error);
    if (status) {
        dgnn_fitting_free(f);
        return status;
    }
    *fitting = f;
    return DGNN_OK;
}

void dgnn_fitting_free(struct dgnn_fitting *f)
{
    if (!f) {
        return;
    }
    for (int64_t k = 0; k < f->nnet && f->net; k++) {
        dgnn_network_free_f64(&f->net[k]);
    }
    for (int64_t k = 0; k < f->nnet && f->glu; k++) {
        dgnn_glu_free(&f->glu[k]);
    }
    dgnn_alloc_free(f->net);
    dgnn_alloc_free(f->glu);
    dgnn_alloc_free(f->bias);
    dgnn_alloc_free(f->dropped);
    dgnn_alloc_free(f->fparam_average);
    dgnn_alloc_free(f->fparam_scale);
    dgnn_alloc_free(f->aparam_average);
    dgnn_alloc_free(f->aparam_scale);
    dgnn_alloc_free(f->case_embedding);
    dgnn_alloc_free(f->default_fparam);
    dgnn_alloc_free(f);
}

void dgnn_fitting_properties(const struct dgnn_fitting *f, struct dgnn_fitting_properties *p)
{
    *p = (struct dgnn_fitting_properties){
        .dim_descriptor = f->params.dim_descrpt,
        .dim_fparam = f->params.numb_fparam,
        .dim_aparam = f->params.numb_aparam,
        .default_fparam = f->default_fparam,
        .parameters = f->parameters,
        .dim_last_layer = f->width_hidden,
    };
}

/* Bytes of one thread's room. */
static int64_t fitting_room(const struct dgnn_fitting *f)
{
    struct dgnn_arena arena = {0};
    struct fitting_batch measured;
    fitting_lay(&arena, f, &measured);
    return arena.used;
}

int dgnn_fitting_workspace_create(const struct dgnn_fitting *f, struct dgnn_fitting_workspace **workspace,
                                  struct dgnn_error *error)
{
    struct dgnn_fitting_workspace *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->fitting = f;
    *workspace = w;
    return DGNN_OK;
}

void dgnn_fitting_workspace_free(struct dgnn_fitting_workspace *w)
{
    if (w) {
        dgnn_buffer_free(&w->scratch);
        dgnn_alloc_free(w);
    }
}

int dgnn_fitting_prepare(struct dgnn_fitting_workspace *w, struct dgnn_error *error)
{
    return dgnn_buffer_reserve(&w->scratch, fitting_room(w->fitting) * w->fitting->threads, "the fitting net",
                               error);
}

/* One evaluation. */
struct fitting_job {
    const struct dgnn_fitting_workspace *workspace;
    const struct dgnn_fitting_input *input;
    double *energy, *gradient;
    int64_t room;
};

static void fitting_part(void *of, int64_t part, int32_t thread)
{
    const struct fitting_job *job = of;
    const struct dgnn_fitting *f = job->workspace->fitting;
    struct dgnn_arena own = {.base = (char *)job->workspace->scratch.data + part * job->room};
    struct fitting_batch b;
    int64_t n = job->input->n;
    (void)thread;
    fitting_lay(&own, f, &b);
    fitting_range(f, job->input, n * part / f->threads, n * (part + 1) / f->threads, &b, job->energy,
                  job->gradient);
}

void dgnn_fitting_evaluate_part(struct dgnn_fitting_workspace *w, const struct dgnn_fitting_input *in,
                                int32_t thread, double *energy, double *gradient)
{
    struct dgnn_arena own = {.base = (char *)w->scratch.data + thread * fitting_room(w->fitting)};
    struct fitting_batch b;
    fitting_lay(&own, w->fitting, &b);
    fitting_range(w->fitting, in, 0, in->n, &b, energy, gradient);
}

void dgnn_fitting_evaluate(struct dgnn_fitting_workspace *w, const struct dgnn_fitting_input *in,
                           double *energy, double *gradient)
{
    struct fitting_job job = {w, in, energy, gradient, fitting_room(w->fitting)};
    dgnn_parallel_run(w->fitting->threads, w->fitting->threads, fitting_part, &job);
}
