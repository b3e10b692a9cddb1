/* se_e3 (deepmd/dpmodel/descriptor/se_t.py): the angles at a centre,
 *
 *     D = sum_{t <= t'} 1/(sel_t sel_t') sum_{j in t, k in t'} x_jk N_tt'(x_jk),  x_jk = u_j . u_k
 *
 * with u the vector part of the environment's row and a network for each pair of types. The list is dense; empty slots
 * count only where the mean of u is not 0, those of excluded pairs never. */
#include <string.h>

#include "base/parallel.h"
#include "net/edgerows.h"
#include "net/environment.h"
#include "net/params.h"
#include "net/registry.h"
#include "net/triples.h"

struct se_t_params {
#include "net/params_fields.inc"
#include "net/params_se_t.def"
#include "net/params_end.inc"
};

static const struct dgnn_param se_t_params[] = {
#define DGNN_PARAM_STRUCT struct se_t_params
#include "net/params_rows.inc"
#include "net/params_se_t.def"
#include "net/params_end.inc"
};

enum { SE_T_NPARAM = sizeof(se_t_params) / sizeof(se_t_params[0]) };

/* What both element types share. */
struct se_t_settings {
    struct se_t_params params;
    struct dgnn_environment environment;
    int32_t *group;  /* ntypes x ntypes: the neighbour's type, or -1 for excluded pairs */
    int64_t *sel;    /* ntypes */
    int64_t dim_out;
    int64_t parameters;
    int32_t ntypes;
    int32_t has_mean; /* of the vector part */
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

#define DGNN_REAL_BITS 32
#include "net/se_t.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/se_t.inc"

struct se_t {
    struct dgnn_descriptor_base base;
    struct se_t_settings settings;
    struct se_t_f32 *f32; /* one of the two */
    struct se_t_f64 *f64;
};

/* ---------------------------------------------------------------- settings */

static int se_t_load_lists(const struct dgnn_value *value, struct se_t_settings *s, struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    s->sel = dgnn_alloc(s->ntypes, sizeof(int64_t));
    if (!s->sel) {
        return dgnn_status_no_memory(error, "sel", s->ntypes * (int64_t)sizeof(int64_t));
    }
    s->environment = (struct dgnn_environment){.cutoff = s->params.rcut,
                                               .smooth = s->params.rcut_smth,
                                               .protection = s->params.env_protection,
                                               .width = 4,
                                               .ntypes = s->ntypes,
                                               .nsection = s->ntypes};
    DGNN_TRY(dgnn_environment_sel(&s->params.sel, s->ntypes, s->sel, error));
    DGNN_TRY(dgnn_environment_load(&s->environment, &variables, s->sel, error));
    s->has_mean = dgnn_environment_has_mean(&s->environment, 1);
    DGNN_TRY(dgnn_edgerows_groups(&s->params.exclude_types, s->ntypes, &s->group, error));
    for (int64_t p = 0; p < (int64_t)s->ntypes * s->ntypes; p++) {
        if (s->group[p] >= 0) {
            s->group[p] = (int32_t)(p % s->ntypes);
        }
    }
    return DGNN_OK;
}

static int se_t_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              struct se_t_settings *s, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_params_version(value, 1, 3, 1, error));
    DGNN_TRY(dgnn_params_load(value, se_t_params, SE_T_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_params_precision(s->params.precision, value, &s->dtype, error));
    if (context->dtype != DGNN_DTYPE_ARCHIVE) {
        s->dtype = context->dtype;
    }
    s->memory = context->memory;
    s->threads = context->threads;
    s->cpu = context->cpu;
    s->ntypes = context->ntypes;
    return se_t_load_lists(value, s, error);
}

/* ---------------------------------------------------------------- the kinds */

static void se_t_free(struct dgnn_descriptor *descriptor)
{
    struct se_t *d = (struct se_t *)descriptor;
    se_t_free_f32(d->f32);
    se_t_free_f64(d->f64);
    dgnn_environment_free(&d->settings.environment);
    dgnn_alloc_free(d->settings.group);
    dgnn_alloc_free(d->settings.sel);
    dgnn_alloc_free(d);
}

static int se_t_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context, struct se_t *d,
                          struct dgnn_error *error)
{
    DGNN_TRY(se_t_load_settings(value, context, &d->settings, error));
    if (d->settings.dtype == DGNN_DTYPE_FLOAT32) {
        return se_t_load_f32(&d->settings, &d->f32, error);
    }
    return se_t_load_f64(&d->settings, &d->f64, error);
}

static int se_t_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    struct se_t *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->base.kind = &dgnn_se_t;
    int status = se_t_load_into(value, context, d, error);
    if (status) {
        se_t_free((struct dgnn_descriptor *)d);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)d;
    return DGNN_OK;
}

static void se_t_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct se_t_settings *s = &((const struct se_t *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->params.rcut,
        .nsel = s->ntypes,
        .sel = s->sel,
        .dim_out = s->dim_out,
        .parameters = s->parameters,
        .dtype = s->dtype,
    };
}

static int se_t_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text, struct dgnn_error *error)
{
    const struct se_t_settings *s = &((const struct se_t *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(se_t_params, SE_T_NPARAM, &s->params, text, error));
    return dgnn_environment_describe_sel(s->sel, s->ntypes, text, error);
}

static int se_t_forward(struct dgnn_descriptor *descriptor, const struct dgnn_evaluation *evaluation, double *output,
                        struct dgnn_error *error)
{
    struct se_t *d = (struct se_t *)descriptor;
    return d->f32 ? se_t_forward_f32(d->f32, evaluation, output, error)
                  : se_t_forward_f64(d->f64, evaluation, output, error);
}

static int se_t_backward(struct dgnn_descriptor *descriptor, const struct dgnn_evaluation *evaluation,
                         const double *output_gradient, struct dgnn_error *error)
{
    struct se_t *d = (struct se_t *)descriptor;
    (void)error;
    if (d->f32) {
        se_t_backward_f32(d->f32, evaluation, output_gradient);
    } else {
        se_t_backward_f64(d->f64, evaluation, output_gradient);
    }
    return DGNN_OK;
}

#define SE_T_KIND(name)                                                                                       \
    {                                                                                                         \
        .type = name, .load = se_t_load, .free = se_t_free, .properties = se_t_properties,                    \
        .describe = se_t_describe, .forward = se_t_forward, .backward = se_t_backward                         \
    }

const struct dgnn_descriptor_kind dgnn_se_t = SE_T_KIND("se_e3");
const struct dgnn_descriptor_kind dgnn_se_t_at = SE_T_KIND("se_at");
const struct dgnn_descriptor_kind dgnn_se_t_3be = SE_T_KIND("se_a_3be");
