#include "net/energy/fitting.h"

#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "base/stop.h"
#include "net/energy/fitting_kinds.h"
#include "net/energy/glu.h"
#include "net/parts/layer.h"

/* Computed in float64 whatever the archive's precision: it costs a hundredth of a model, and energies of
 * float32 models then lose nothing after the descriptor. */
enum { FITTING_ROWS = 128 }; /* atoms that go through the network together */

struct dgnn_fitting {
    struct dgnn_fitting_own own;
    int32_t threads;
    int32_t ntypes;
    int64_t nnet;
    struct dgnn_network_f64 *net; /* nnet; of a sezm_ener fitting NULL, and */
    struct dgnn_glu *glu;         /* nnet */
    int32_t modulates;
    const struct dgnn_ops_f64 *ops;
    double *bias;     /* ntypes x the network's width */
    uint8_t *dropped; /* ntypes: exclude_types */
    double *fparam_average, *fparam_scale, *aparam_average, *aparam_scale, *case_embedding, *default_fparam;
    int64_t width, width_kept, width_max; /* of the networks */
    int64_t width_hidden;                 /* of what goes into their last layers; 0: none, or they differ */
    int64_t parameters;
};

struct dgnn_fitting_workspace {
    const struct dgnn_fitting *fitting;
    struct dgnn_buffer scratch; /* threads x fitting_scratch_bytes */
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
    const struct dgnn_glu_case of = {f->own.params.dim_case_embd, f->case_embedding, f->modulates};
    struct dgnn_glu *glu = dgnn_alloc_zeroed(count, sizeof(*glu));
    if (!glu) {
        return dgnn_status_no_memory(error, "networks", count * (int64_t)sizeof(*glu));
    }
    f->glu = glu;
    f->nnet = count;
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        DGNN_TRY(dgnn_glu_load(&item, f->width, &of, &glu[k], error));
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
        DGNN_TRY(dgnn_network_load_f64(&item, f->width, f->own.net_width, &net[k], error));
        DGNN_TRY(dgnn_network_same_f64(&net[k], net[k].nlayer - 1, value, "neuron", error));
        fitting_widths(f, dgnn_network_parameters_f64(&net[k]), net[k].width_kept, net[k].width_max);
    }
    return DGNN_OK;
}

/* A thread's scratch memory for one batch. */
struct fitting_batch {
    int64_t *row;   /* FITTING_ROWS: atoms */
    double *input;  /* FITTING_ROWS x width; its gradient after backward */
    double *output; /* FITTING_ROWS x the network's width */
    double *seed;   /* as output: the gradient by it */
    double *kept;
    double *scratch;
};

static void fitting_lay(struct dgnn_arena *arena, const struct dgnn_fitting *f, struct fitting_batch *b)
{
    b->row = dgnn_arena_take(arena, FITTING_ROWS, sizeof(*b->row));
    b->input = dgnn_arena_take(arena, FITTING_ROWS * f->width, sizeof(double));
    b->output = dgnn_arena_take(arena, FITTING_ROWS * f->own.net_width, sizeof(double));
    b->seed = dgnn_arena_take(arena, FITTING_ROWS * f->own.net_width, sizeof(double));
    b->kept = dgnn_arena_take(arena, FITTING_ROWS * f->width_kept, sizeof(double));
    b->scratch = dgnn_arena_take(arena, 3 * FITTING_ROWS * f->width_max, sizeof(double));
}

static void fitting_fill(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t atom,
                         double *row)
{
    const double *fparam = in->fparam ? in->fparam : f->default_fparam;
    for (int64_t c = 0; c < f->own.params.dim_descrpt; c++) {
        *row++ = in->descriptor[atom * f->own.params.dim_descrpt + c];
    }
    for (int64_t c = 0; c < f->own.params.numb_fparam; c++) {
        *row++ = ((fparam[c] - f->fparam_average[c]) * f->fparam_scale[c]);
    }
    for (int64_t c = 0; c < f->own.params.numb_aparam; c++) {
        *row++ =
            ((in->aparam[atom * f->own.params.numb_aparam + c] - f->aparam_average[c]) * f->aparam_scale[c]);
    }
    for (int64_t c = 0; c < f->own.params.dim_case_embd && !f->modulates; c++) {
        *row++ = f->case_embedding[c];
    }
}

/* The network's numbers become an atom's answer, and the seed of its gradient. Rows of atoms that the fitting
 * excludes are zeros. */
static void fitting_answer(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t atom,
                           double *y, double *seed, const struct dgnn_fitting_answer *to)
{
    const struct dgnn_fitting_own *own = &f->own;
    int64_t n = own->net_width, width = 3 * own->dim_rotation;
    int32_t type = in->type[atom];
    double *answer = to->output + atom * own->width, weight = in->weight ? in->weight[atom] : 1;
    const double *rotation = in->rotation ? in->rotation + atom * width : NULL;
    if (f->dropped[type]) {
        memset(answer, 0, sizeof(double) * (size_t)own->width);
        weight = 0;
    } else {
        for (int64_t c = 0; c < n; c++) {
            y[c] += f->bias[type * n + c];
        }
        own->kind->answer(own, type, y, rotation, answer);
    }
    if (!to->gradient) {
        return;
    }
    if (!own->kind->derive) {
        seed[0] = weight;
        return;
    }
    double *d_rotation = to->rotation_gradient + atom * width;
    own->kind->derive(own, y, rotation, in->seed, seed, d_rotation);
    for (int64_t c = 0; c < n; c++) {
        seed[c] *= weight;
    }
    for (int64_t c = 0; c < width; c++) {
        d_rotation[c] *= weight;
    }
}

/* What went into the last layer of network k, whose forward was the last to use the batch. */
static void fitting_keep_hidden(const struct dgnn_fitting *f, int64_t k, int64_t count,
                                const struct fitting_batch *b, double *last_layer)
{
    int64_t width = f->width_hidden;
    const double *hidden = f->own.kind->is_gated ? dgnn_glu_hidden(&f->glu[k], count, b->scratch)
                                                 : dgnn_network_hidden_f64(&f->net[k], count, b->scratch);
    for (int64_t r = 0; r < count; r++) {
        memcpy(last_layer + b->row[r] * width, hidden + r * width, sizeof(double) * (size_t)width);
    }
}

static void fitting_run(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t k,
                        int64_t count, const struct fitting_batch *b, const struct dgnn_fitting_answer *to)
{
    int64_t width = f->own.params.dim_descrpt, n = f->own.net_width;
    struct dgnn_network_rows_f64 rows = {.nrow = count,
                                         .x = b->input,
                                         .x_stride = f->width,
                                         .y = b->output,
                                         .dy = b->seed,
                                         .dx = b->input,
                                         .kept = b->kept,
                                         .scratch = b->scratch};
    for (int64_t r = 0; r < count; r++) {
        fitting_fill(f, in, b->row[r], b->input + r * f->width);
    }
    if (f->own.kind->is_gated) {
        dgnn_glu_forward(f->ops, &f->glu[k], &rows);
    } else {
        dgnn_network_forward_f64(f->ops, &f->net[k], &rows);
    }
    if (in->last_layer) {
        fitting_keep_hidden(f, k, count, b, in->last_layer);
    }
    for (int64_t r = 0; r < count; r++) {
        fitting_answer(f, in, b->row[r], b->output + r * n, b->seed + r * n, to);
    }
    if (to->gradient) {
        if (f->own.kind->is_gated) {
            dgnn_glu_backward(f->ops, &f->glu[k], &rows);
        } else {
            dgnn_network_backward_f64(f->ops, &f->net[k], &rows);
        }
        for (int64_t r = 0; r < count; r++) {
            for (int64_t c = 0; c < width; c++) {
                to->gradient[b->row[r] * width + c] = b->input[r * f->width + c];
            }
        }
    }
}

/* Atoms [begin, end), in batches that share a network. */
static void fitting_range(const struct dgnn_fitting *f, const struct dgnn_fitting_input *in, int64_t begin,
                          int64_t end, const struct fitting_batch *b, const struct dgnn_fitting_answer *to)
{
    for (int64_t k = 0; k < f->nnet; k++) {
        int64_t count = 0;
        for (int64_t i = begin; i < end && !(i % FITTING_ROWS == 0 && dgnn_stop_skips()); i++) {
            if (f->nnet == 1 || in->type[i] == k) {
                b->row[count++] = i;
            }
            if (count == FITTING_ROWS || (count && i + 1 == end)) {
                fitting_run(f, in, k, count, b, to);
                count = 0;
            }
        }
    }
}

static int fitting_load_default(struct dgnn_fitting *f, struct dgnn_error *error)
{
    const struct dgnn_value *list = &f->own.params.default_fparam;
    int64_t count;
    if (dgnn_value_kind(list) == DGNN_VALUE_ABSENT || dgnn_value_kind(list) == DGNN_VALUE_NULL) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(list, &count, error));
    if (count != f->own.params.numb_fparam) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, list, "its length is not numb_fparam");
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

static int fitting_check_atom_energies(const struct dgnn_value *list, struct dgnn_error *error)
{
    int64_t count;
    if (dgnn_value_kind(list) > DGNN_VALUE_NULL) {
        DGNN_TRY(dgnn_value_list(list, &count, error));
    }
    for (int64_t i = 0; i < dgnn_value_count(list); i++) {
        struct dgnn_value item = dgnn_value_item(list, i);
        if (dgnn_value_kind(&item) != DGNN_VALUE_NULL) {
            return dgnn_value_refuse(
                error, DGNN_ERROR_UNSUPPORTED, list,
                "fits shifted to the energies of isolated atoms (atom_ener) are not supported");
        }
    }
    return DGNN_OK;
}

static int fitting_load_networks(struct dgnn_fitting *f, const struct dgnn_value *value,
                                 struct dgnn_error *error)
{
    struct dgnn_value list;
    int is_gated = f->own.kind->is_gated;
    DGNN_TRY(dgnn_layer_collection(&f->own.params.nets, f->own.params.mixed_types ? 0 : 1, f->ntypes,
                                   is_gated ? "sezm_fitting_network" : "fitting_network", &list, error));
    f->width = f->own.params.dim_descrpt + f->own.params.numb_fparam + f->own.params.numb_aparam +
               (f->modulates ? 0 : f->own.params.dim_case_embd);
    DGNN_TRY(is_gated ? fitting_load_glu(f, &list, error) : fitting_load_each(f, value, &list, error));
    for (int64_t k = 0; k < f->nnet; k++) {
        int64_t own =
            is_gated ? dgnn_glu_hidden_width(&f->glu[k]) : dgnn_network_hidden_width_f64(&f->net[k]);
        f->width_hidden = k == 0 || own == f->width_hidden ? own : 0;
    }
    return DGNN_OK;
}

static int fitting_check_counts(const struct dgnn_fitting_params *p, const struct dgnn_value *value,
                                const struct dgnn_load_context *context, struct dgnn_error *error)
{
    const int64_t limit = 1 << 24;
    if (p->ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "ntypes is not the length of the model's type_map");
    }
    if (p->dim_descrpt < 1 || p->dim_descrpt > limit || p->numb_fparam < 0 || p->numb_fparam > limit ||
        p->numb_aparam < 0 || p->numb_aparam > limit || p->dim_case_embd < 0 || p->dim_case_embd > limit) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "a width is negative or too large");
    }
    return DGNN_OK;
}

static int fitting_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                             struct dgnn_fitting *f, struct dgnn_error *error)
{
    const struct dgnn_fitting_kind *kind;
    int32_t precision; /* checked; see above */
    DGNN_TRY(dgnn_fitting_kind_find(value, &kind, error));
    f->own.kind = kind;
    f->own.ntypes = f->ntypes = context->ntypes;
    DGNN_TRY(dgnn_params_load(value, kind->rows, kind->nrow, &f->own.params, error));
    DGNN_TRY(fitting_check_counts(&f->own.params, value, context, error));
    f->modulates = f->own.params.case_film_embd && f->own.params.dim_case_embd > 0;
    if (f->own.params.case_film_embd && !f->own.kind->is_gated) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                 "case_film_embd: only fittings of type sezm_ener have it");
    }
    DGNN_TRY(kind->load(value, &f->own, error));
    f->threads = context->threads;
    f->ops = dgnn_select_ops_f64(context->cpu);
    DGNN_TRY(dgnn_params_precision(f->own.params.precision, value, &precision, error));
    DGNN_TRY(fitting_check_atom_energies(&f->own.params.atom_ener, error));
    DGNN_TRY(dgnn_fitting_load_row(value, "bias_atom_e", f->ntypes * f->own.net_width, &f->bias, error));
    DGNN_TRY(
        dgnn_fitting_load_row(value, "fparam_avg", f->own.params.numb_fparam, &f->fparam_average, error));
    DGNN_TRY(
        dgnn_fitting_load_row(value, "fparam_inv_std", f->own.params.numb_fparam, &f->fparam_scale, error));
    DGNN_TRY(
        dgnn_fitting_load_row(value, "aparam_avg", f->own.params.numb_aparam, &f->aparam_average, error));
    DGNN_TRY(
        dgnn_fitting_load_row(value, "aparam_inv_std", f->own.params.numb_aparam, &f->aparam_scale, error));
    DGNN_TRY(
        dgnn_fitting_load_row(value, "case_embd", f->own.params.dim_case_embd, &f->case_embedding, error));
    DGNN_TRY(fitting_load_default(f, error));
    DGNN_TRY(dgnn_params_types(&f->own.params.exclude_types, f->ntypes, &f->dropped, error));
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
    dgnn_fitting_own_free(&f->own);
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
        .dim_descriptor = f->own.params.dim_descrpt,
        .dim_fparam = f->own.params.numb_fparam,
        .dim_aparam = f->own.params.numb_aparam,
        .default_fparam = f->default_fparam,
        .parameters = f->parameters,
        .output = f->own.kind->output,
        .nseed = f->own.kind->nseed,
        .is_mean = f->own.params.intensive,
        .width = f->own.width,
        .dim_rotation = f->own.dim_rotation,
        .name = f->own.params.var_name ? f->own.params.var_name : dgnn_output_name(f->own.kind->output),
        .dim_last_layer = f->width_hidden,
    };
}

int dgnn_fitting_takes_rotation(const struct dgnn_value *value)
{
    const struct dgnn_fitting_kind *kind;
    return !dgnn_fitting_kind_find(value, &kind, NULL) && kind->takes_rotation;
}

void dgnn_fitting_finish(const struct dgnn_fitting *f, int32_t type, const double *bias, const double *spread,
                         double *answer)
{
    if (f->own.kind->finish) {
        f->own.kind->finish(&f->own, type, bias, spread, answer);
    }
}

/* Bytes of one thread's room. */
static int64_t fitting_scratch_bytes(const struct dgnn_fitting *f)
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
    return dgnn_buffer_reserve(&w->scratch, fitting_scratch_bytes(w->fitting) * w->fitting->threads,
                               "the fitting net", error);
}

/* One evaluation. */
struct fitting_job {
    const struct dgnn_fitting_workspace *workspace;
    const struct dgnn_fitting_input *input;
    const struct dgnn_fitting_answer *answer;
    int64_t scratch_bytes;
};

static void fitting_part(void *of, int64_t part, int32_t thread)
{
    const struct fitting_job *job = of;
    const struct dgnn_fitting *f = job->workspace->fitting;
    struct dgnn_arena own = {.base = (char *)job->workspace->scratch.data + part * job->scratch_bytes};
    struct fitting_batch b;
    int64_t n = job->input->n;
    (void)thread;
    fitting_lay(&own, f, &b);
    fitting_range(f, job->input, n * part / f->threads, n * (part + 1) / f->threads, &b, job->answer);
}

void dgnn_fitting_evaluate_part(struct dgnn_fitting_workspace *w, const struct dgnn_fitting_input *in,
                                int32_t thread, const struct dgnn_fitting_answer *answer)
{
    struct dgnn_arena own = {.base = (char *)w->scratch.data + thread * fitting_scratch_bytes(w->fitting)};
    struct fitting_batch b;
    fitting_lay(&own, w->fitting, &b);
    fitting_range(w->fitting, in, 0, in->n, &b, answer);
}

void dgnn_fitting_evaluate(struct dgnn_fitting_workspace *w, const struct dgnn_fitting_input *in,
                           const struct dgnn_fitting_answer *answer)
{
    struct fitting_job job = {w, in, answer, fitting_scratch_bytes(w->fitting)};
    dgnn_parallel_run(w->fitting->threads, w->fitting->threads, fitting_part, &job);
}
