#include "net/energy/atomic.h"

#include <string.h>

#include "base/parallel.h"
#include "base/stop.h"
#include "base/text.h"
#include "net/energy/registry.h"
#include "net/params/params.h"

struct atomic_params {
#include "net/params/params_fields.h"
#include "net/params/model.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param atomic_rows[] = {
#define DGNN_PARAM_STRUCT struct atomic_params
#include "net/params/params_rows.h"
#include "net/params/model.def"
#include "net/params/params_end.h"
};

struct dgnn_atomic {
    struct dgnn_descriptor *descriptor;
    struct dgnn_fitting *fitting;
    int32_t ntypes;
    int64_t dim_descriptor;
    int64_t width;         /* of an atom's answer */
    int64_t dim_rotation;  /* rows of the descriptor's rotation matrix; 0: not used */
    double *bias, *spread; /* ntypes x width: out_bias, out_std */
    uint8_t *dropped;      /* ntypes: atom_exclude_types */
    uint8_t *pair_exclude; /* ntypes x ntypes */
    uint8_t *pair_own;     /* as that, without those of centres that have no energy */
    int32_t any_pair, any_own, threads;
};

struct dgnn_atomic_workspace {
    const struct dgnn_atomic *atomic;
    struct dgnn_descriptor_workspace *descriptor;
    struct dgnn_fitting_workspace *fitting;
    struct dgnn_buffer rows;     /* the descriptor's output, then its gradient: of all nodes, or of the chunks
                                    that threads are at */
    struct dgnn_buffer gradient; /* of answers with several seeds: the gradient, as the output is used again
                                  */
    struct dgnn_buffer rotation; /* nowned x dim_rotation x 3 twice: the descriptor's, and the gradient by it
                                  */
};

/* A statistic is 1 x ntypes x width; where there is none it is start, as in deepmd-kit. */
static int atomic_load_statistic(const struct dgnn_value *variables, const char *name, const int64_t shape[3],
                                 double start, double *out, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(variables, name);
    struct dgnn_tensor tensor;
    for (int64_t k = 0; k < shape[1] * shape[2]; k++) {
        out[k] = start;
    }
    if (dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_tensor_shaped(&member, 3, shape, &tensor, error));
    dgnn_tensor_to_double(&tensor, out);
    return DGNN_OK;
}

int dgnn_atomic_load_statistics(const struct dgnn_value *model, int32_t ntypes, int64_t width, double **bias,
                                double **spread, struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(model, "@variables");
    const int64_t shape[3] = {1, ntypes, width};
    *bias = dgnn_alloc_zeroed(ntypes * width, sizeof(double));
    *spread = dgnn_alloc_zeroed(ntypes * width, sizeof(double));
    if (!*bias || !*spread) {
        return dgnn_status_no_memory(error, "a bias", ntypes * width * 16);
    }
    if (dgnn_value_kind(&variables) != DGNN_VALUE_ABSENT) { /* a tree from before models had statistics */
        DGNN_TRY(dgnn_value_object(&variables, error));
    }
    DGNN_TRY(atomic_load_statistic(&variables, "out_std", shape, 1, *spread, error));
    return atomic_load_statistic(&variables, "out_bias", shape, 0, *bias, error);
}

/* A property is scaled by out_std: a model that has statistics but not this one would answer with other
 * numbers. */
static int atomic_check_spread(const struct dgnn_value *model, const struct dgnn_fitting_properties *fitting,
                               struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(model, "@variables"),
                      spread = dgnn_value_member(&variables, "out_std");
    int has_statistics = dgnn_value_kind(&variables) != DGNN_VALUE_ABSENT;
    if (fitting->output == DGNN_OUTPUT_PROPERTY && has_statistics &&
        dgnn_value_kind(&spread) == DGNN_VALUE_ABSENT) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &spread, "missing; a property is scaled by it");
    }
    return DGNN_OK;
}

int dgnn_atomic_exclude_idle(const struct dgnn_descriptor_properties *descriptor, int32_t ntypes,
                             const uint8_t *dropped, uint8_t *pair_exclude)
{
    int any = 0;
    for (int64_t t = 0; t < ntypes && !descriptor->has_message_passing; t++) {
        if (dropped[t]) {
            memset(pair_exclude + t * ntypes, 1, (size_t)ntypes);
            any = 1;
        }
    }
    return any;
}

/* A model's type, its spin object and its descriptor say the same of native spins. */
static int atomic_check_spin(const struct dgnn_value *value, const struct atomic_params *params,
                             int has_native_spin, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "type");
    const char *type;
    DGNN_TRY(dgnn_value_string(&member, &type, error));
    int native = !strcmp(type, "native_spin");
    int says = dgnn_value_kind(&params->spin) > DGNN_VALUE_NULL ||
               dgnn_value_kind(&params->backbone_type) > DGNN_VALUE_NULL;
    if (!native && says) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "spin and backbone_type belong to models of type native_spin");
    }
    if (native && !has_native_spin) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params->descriptor,
                                 "the model has native spins, but its descriptor takes none");
    }
    if (!native && has_native_spin) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params->descriptor,
                                 "the descriptor takes spins, but the model is not of type native_spin");
    }
    return DGNN_OK;
}

/* The rotation matrix that the fitting takes is what the descriptor hands out. */
static int atomic_check_rotation(const struct dgnn_value *fitting, const struct dgnn_atomic_properties *p,
                                 struct dgnn_error *error)
{
    if (p->fitting.dim_rotation && !p->descriptor.dim_rotation) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, fitting,
                                 "descriptor '%s' has no rotation matrix, which a fitting of this type takes",
                                 p->descriptor_type);
    }
    return p->fitting.dim_rotation && p->fitting.dim_rotation != p->descriptor.dim_rotation
               ? dgnn_value_refuse(error, DGNN_ERROR_FORMAT, fitting,
                                   "embedding_width is not that of the descriptor's rotation matrix")
               : DGNN_OK;
}

static int atomic_load_parts(const struct atomic_params *params, const struct dgnn_load_context *context,
                             struct dgnn_atomic *a, struct dgnn_error *error)
{
    struct dgnn_load_context own = *context;
    own.wants_rotation = dgnn_fitting_takes_rotation(&params->fitting);
    DGNN_TRY(dgnn_registry_load(&params->descriptor, &own, &a->descriptor, error));
    return dgnn_fitting_load(&params->fitting, context, &a->fitting, error);
}

static int atomic_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context,
                            struct dgnn_atomic *a, struct dgnn_error *error)
{
    struct atomic_params params;
    struct dgnn_atomic_properties p;
    a->ntypes = context->ntypes;
    a->threads = context->threads;
    DGNN_TRY(
        dgnn_params_load(value, atomic_rows, sizeof(atomic_rows) / sizeof(atomic_rows[0]), &params, error));
    DGNN_TRY(dgnn_params_types(&params.atom_exclude_types, a->ntypes, &a->dropped, error));
    DGNN_TRY(dgnn_params_pairs(&params.pair_exclude_types, a->ntypes, &a->pair_exclude, &a->any_pair, error));
    DGNN_TRY(atomic_load_parts(&params, context, a, error));
    dgnn_atomic_properties(a, &p);
    a->dim_descriptor = p.descriptor.dim_out;
    a->width = p.fitting.width;
    a->dim_rotation = p.fitting.dim_rotation;
    DGNN_TRY(atomic_check_spin(value, &params, p.descriptor.has_native_spin, error));
    DGNN_TRY(atomic_check_rotation(&params.fitting, &p, error));
    DGNN_TRY(atomic_check_spread(value, &p.fitting, error));
    DGNN_TRY(dgnn_atomic_load_statistics(value, a->ntypes, a->width, &a->bias, &a->spread, error));
    a->any_own = a->any_pair;
    a->pair_own = dgnn_alloc((int64_t)a->ntypes * a->ntypes, 1);
    if (!a->pair_own) {
        return dgnn_status_no_memory(error, "excluded pairs", (int64_t)a->ntypes * a->ntypes);
    }
    memcpy(a->pair_own, a->pair_exclude, (size_t)a->ntypes * (size_t)a->ntypes);
    a->any_pair |= dgnn_atomic_exclude_idle(&p.descriptor, a->ntypes, a->dropped, a->pair_exclude);
    if (p.descriptor.dim_out != p.fitting.dim_descriptor) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params.fitting,
                                 "dim_descrpt is not the width of the descriptor");
    }
    return DGNN_OK;
}

int dgnn_atomic_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_atomic **atomic, struct dgnn_error *error)
{
    struct dgnn_atomic *a = dgnn_alloc_zeroed(1, sizeof(*a));
    if (!a) {
        return dgnn_status_no_memory(error, "a model", sizeof(*a));
    }
    int status = atomic_load_into(value, context, a, error);
    if (status) {
        dgnn_atomic_free(a);
        return status;
    }
    *atomic = a;
    return DGNN_OK;
}

void dgnn_atomic_free(struct dgnn_atomic *a)
{
    if (!a) {
        return;
    }
    dgnn_registry_free(a->descriptor);
    dgnn_fitting_free(a->fitting);
    dgnn_alloc_free(a->bias);
    dgnn_alloc_free(a->spread);
    dgnn_alloc_free(a->dropped);
    dgnn_alloc_free(a->pair_exclude);
    dgnn_alloc_free(a->pair_own);
    dgnn_alloc_free(a);
}

void dgnn_atomic_properties(const struct dgnn_atomic *a, struct dgnn_atomic_properties *p)
{
    dgnn_descriptor_kind(a->descriptor)->properties(a->descriptor, &p->descriptor);
    dgnn_fitting_properties(a->fitting, &p->fitting);
    p->descriptor_type = dgnn_descriptor_kind(a->descriptor)->type;
    p->dropped = a->dropped;
    p->pair_exclude = a->any_pair ? a->pair_exclude : NULL;
    p->pair_exclude_own = a->any_own ? a->pair_own : NULL;
}

struct dgnn_descriptor *dgnn_atomic_descriptor(const struct dgnn_atomic *a)
{
    return a->descriptor;
}

/* The fitting net multiplies and adds once for each of its numbers forward and once backward, in float64. */
double dgnn_atomic_cost(const struct dgnn_atomic *a, int64_t n, const double *distance)
{
    struct dgnn_atomic_properties p;
    dgnn_atomic_properties(a, &p);
    int32_t nets = p.descriptor.mixed_types ? 1 : a->ntypes,
            float64_cost = p.descriptor.dtype == DGNN_DTYPE_FLOAT32 ? 2 : 1;
    return dgnn_descriptor_cost(a->descriptor, n, distance) +
           4.0 * (double)(p.fitting.parameters * float64_cost / nets);
}

int dgnn_atomic_describe(const struct dgnn_atomic *a, struct dgnn_text *text, struct dgnn_error *error)
{
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(a->descriptor);
    DGNN_TRY(dgnn_text_add(text, error, "\"descriptor\": {\"type\": \"%s\", ", kind->type));
    DGNN_TRY(kind->describe(a->descriptor, text, error));
    return dgnn_text_add(text, error, "}");
}

void dgnn_atomic_workspace_free(struct dgnn_atomic_workspace *w)
{
    if (!w) {
        return;
    }
    dgnn_descriptor_kind(w->atomic->descriptor)->workspace_free(w->descriptor);
    dgnn_fitting_workspace_free(w->fitting);
    dgnn_buffer_free(&w->rows);
    dgnn_buffer_free(&w->gradient);
    dgnn_buffer_free(&w->rotation);
    dgnn_alloc_free(w);
}

int dgnn_atomic_workspace_create(const struct dgnn_atomic *a, struct dgnn_atomic_workspace **workspace,
                                 struct dgnn_error *error)
{
    struct dgnn_atomic_workspace *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->atomic = a;
    int status = dgnn_descriptor_kind(a->descriptor)->workspace_create(a->descriptor, &w->descriptor, error);
    status = status ? status : dgnn_fitting_workspace_create(a->fitting, &w->fitting, error);
    if (status) {
        dgnn_atomic_workspace_free(w);
        return status;
    }
    *workspace = w;
    return DGNN_OK;
}

static int atomic_drops(const struct dgnn_atomic *a, const struct dgnn_atomic_input *input, int32_t type)
{
    return a->dropped[type] || (input->dropped && input->dropped[type]);
}

/* What the descriptor sees: the last nodes may have no energy, as a spin model's virtual ones. Who asks for
 * rows of the descriptor gets them of all. */
static struct dgnn_evaluation atomic_evaluation(const struct dgnn_atomic_workspace *w,
                                                const struct dgnn_evaluation *evaluation)
{
    const struct dgnn_atomic *a = w->atomic;
    struct dgnn_evaluation own = *evaluation;
    const struct dgnn_graph *graph = evaluation->graph;
    double *rotation = a->dim_rotation ? w->rotation.data : NULL;
    int wants_all = evaluation->descriptor || evaluation->last_layer;
    own.rotation = rotation;
    own.rotation_gradient = rotation ? rotation + graph->nowned * 3 * a->dim_rotation : NULL;
    own.nwithout_energy = 0;
    while (!wants_all && own.nwithout_energy < graph->nowned &&
           a->dropped[graph->type[graph->nowned - 1 - own.nwithout_energy]]) {
        own.nwithout_energy++;
    }
    return own;
}

static int64_t atomic_chunk_most(const struct dgnn_atomic_workspace *w)
{
    const int64_t *first;
    int64_t n = dgnn_descriptor_kind(w->atomic->descriptor)->by_chunk->chunks(w->descriptor, &first),
            most = 0;
    for (int64_t c = 0; c < n; c++) {
        most = first[c + 1] - first[c] > most ? first[c + 1] - first[c] : most;
    }
    return most;
}

/* Is the answer differentiated more than once, after one forward of the descriptor? */
static int atomic_has_seeds(const struct dgnn_atomic_workspace *w, const struct dgnn_evaluation *evaluation)
{
    struct dgnn_atomic_properties p;
    dgnn_atomic_properties(w->atomic, &p);
    return p.fitting.nseed > 1 && evaluation->want_gradient;
}

int dgnn_atomic_prepare(struct dgnn_atomic_workspace *w, const struct dgnn_evaluation *evaluation,
                        struct dgnn_error *error)
{
    const struct dgnn_atomic *a = w->atomic;
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(a->descriptor);
    DGNN_TRY(dgnn_buffer_reserve(&w->rotation,
                                 6 * evaluation->graph->nowned * a->dim_rotation * (int64_t)sizeof(double),
                                 "rotation matrices", error));
    struct dgnn_evaluation own = atomic_evaluation(w, evaluation);
    DGNN_TRY(kind->prepare(a->descriptor, w->descriptor, &own, error));
    int64_t nrow = kind->by_chunk ? a->threads * atomic_chunk_most(w) : evaluation->graph->nowned;
    DGNN_TRY(dgnn_buffer_reserve(&w->rows, nrow * a->dim_descriptor * (int64_t)sizeof(double),
                                 "the descriptor", error));
    int64_t again = atomic_has_seeds(w, evaluation) ? nrow * a->dim_descriptor * (int64_t)sizeof(double) : 0;
    DGNN_TRY(dgnn_buffer_reserve(&w->gradient, again, "the gradient by the descriptor", error));
    return dgnn_fitting_prepare(w->fitting, error);
}

/* Answers of n atoms from the descriptor's rows, which become gradients: statistics, and atoms that have
 * none.
 */
static void atomic_finish(const struct dgnn_atomic *a, const struct dgnn_atomic_input *input, int64_t n,
                          const int32_t *type, const struct dgnn_fitting_answer *answer)
{
    for (int64_t i = 0; i < n; i++) {
        double *output = answer->output + i * a->width;
        if (!atomic_drops(a, input, type[i])) {
            if (!input->without_bias) {
                dgnn_fitting_finish(a->fitting, type[i], a->bias, a->spread, output);
            }
            continue;
        }
        memset(output, 0, sizeof(double) * (size_t)a->width);
        if (answer->gradient) {
            memset(answer->gradient + i * a->dim_descriptor, 0, sizeof(double) * (size_t)a->dim_descriptor);
        }
        if (answer->gradient && a->dim_rotation) {
            memset(answer->rotation_gradient + i * 3 * a->dim_rotation, 0,
                   sizeof(double) * (size_t)(3 * a->dim_rotation));
        }
    }
}

/* One evaluation by chunks. */
struct atomic_job {
    struct dgnn_atomic_workspace *workspace;
    const struct dgnn_evaluation *evaluation;
    const struct dgnn_atomic_input *input;
    const int64_t *first; /* of centres, of each chunk */
    double *output;
    int64_t each; /* numbers of a thread's rows */
};

/* A chunk of centres, from its edges to their gradients. */
static void atomic_chunk(void *of, int64_t chunk, int32_t thread)
{
    const struct atomic_job *job = of;
    const struct dgnn_atomic *a = job->workspace->atomic;
    const struct dgnn_descriptor_chunks *by = dgnn_descriptor_kind(a->descriptor)->by_chunk;
    const struct dgnn_evaluation *own = job->evaluation;
    const struct dgnn_graph *graph = own->graph;
    struct dgnn_profile *profile = thread ? NULL : own->profile;
    int64_t begin = job->first[chunk], n = job->first[chunk + 1] - begin,
            last = graph->nowned - own->nwithout_energy;
    double *rows = (double *)job->workspace->rows.data + job->each * thread;
    struct dgnn_fitting_answer answer = {
        .output = job->output + begin * a->width,
        .gradient = own->want_gradient ? rows : NULL,
        .rotation_gradient = own->rotation ? own->rotation_gradient + begin * 3 * a->dim_rotation : NULL};
    struct dgnn_fitting_properties fit;
    dgnn_fitting_properties(a->fitting, &fit);
    by->forward(job->workspace->descriptor, own, chunk, thread, rows);
    if (own->descriptor && n) {
        memcpy(own->descriptor + begin * a->dim_descriptor, rows,
               sizeof(double) * (size_t)(n * a->dim_descriptor));
    }
    dgnn_profile_end(profile, DGNN_PHASE_FORWARD);
    struct dgnn_fitting_input fitting = {
        .n = begin + n < last ? n
             : begin < last   ? last - begin
                              : 0,
        .type = graph->type + begin,
        .descriptor = rows,
        .rotation = own->rotation ? own->rotation + begin * 3 * a->dim_rotation : NULL,
        .fparam = job->input->fparam,
        .aparam = job->input->aparam ? job->input->aparam + begin * fit.dim_aparam : NULL,
        .last_layer = own->last_layer ? own->last_layer + begin * fit.dim_last_layer : NULL,
        .weight = job->input->weight ? job->input->weight + begin : NULL,
        .seed = job->input->seed};
    dgnn_fitting_evaluate_part(job->workspace->fitting, &fitting, thread, &answer);
    atomic_finish(a, job->input, n, graph->type + begin, &answer);
    dgnn_profile_end(profile, DGNN_PHASE_FITTING);
    if (own->want_gradient) {
        by->backward(job->workspace->descriptor, own, chunk, thread, rows);
        dgnn_profile_end(profile, DGNN_PHASE_BACKWARD);
    }
}

int dgnn_atomic_evaluate(struct dgnn_atomic_workspace *w, const struct dgnn_evaluation *evaluation,
                         const struct dgnn_atomic_input *input, double *output, struct dgnn_error *error)
{
    const struct dgnn_atomic *a = w->atomic;
    const struct dgnn_descriptor_kind *kind = dgnn_descriptor_kind(a->descriptor);
    const struct dgnn_graph *graph = evaluation->graph;
    struct dgnn_evaluation own = atomic_evaluation(w, evaluation);
    double *rows = w->rows.data;
    if (kind->by_chunk) {
        struct atomic_job job = {.workspace = w, .evaluation = &own, .input = input, .output = output};
        int64_t n = kind->by_chunk->chunks(w->descriptor, &job.first);
        job.each = atomic_chunk_most(w) * a->dim_descriptor;
        dgnn_parallel_run(a->threads, n, atomic_chunk, &job);
        return dgnn_stop_check(error);
    }
    int has_seeds = atomic_has_seeds(w, evaluation);
    double *gradient = has_seeds ? w->gradient.data : rows;
    if (!has_seeds || !input->seed) {
        DGNN_TRY(kind->forward(a->descriptor, w->descriptor, &own, rows, error));
        DGNN_TRY(dgnn_stop_check(error));
        dgnn_profile_end(evaluation->profile, DGNN_PHASE_FORWARD);
    }
    if (own.descriptor && graph->nowned) {
        memcpy(own.descriptor, rows, sizeof(double) * (size_t)(graph->nowned * a->dim_descriptor));
    }
    struct dgnn_fitting_input fitting = {.n = graph->nowned - own.nwithout_energy,
                                         .type = graph->type,
                                         .descriptor = rows,
                                         .rotation = own.rotation,
                                         .fparam = input->fparam,
                                         .aparam = input->aparam,
                                         .last_layer = own.last_layer,
                                         .weight = input->weight,
                                         .seed = input->seed};
    struct dgnn_fitting_answer answer = {.output = output,
                                         .gradient = evaluation->want_gradient ? gradient : NULL,
                                         .rotation_gradient = own.rotation_gradient};
    dgnn_fitting_evaluate(w->fitting, &fitting, &answer);
    DGNN_TRY(dgnn_stop_check(error));
    atomic_finish(a, input, graph->nowned, graph->type, &answer);
    dgnn_profile_end(evaluation->profile, DGNN_PHASE_FITTING);
    if (evaluation->want_gradient) {
        DGNN_TRY(kind->backward(a->descriptor, w->descriptor, &own, gradient, error));
        dgnn_profile_end(evaluation->profile, DGNN_PHASE_BACKWARD);
    }
    return dgnn_stop_check(error);
}
