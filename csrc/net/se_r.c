/* se_e2_r (deepmd/dpmodel/descriptor/se_r.py): distances only,
 *
 *     D = 1/5 sum_slots N_t(s) / sel
 *
 * with s the switch over the distance, less and over the statistics of the neighbour's type, and a network for each
 * type of neighbour. The list is dense, and every slot counts: an empty one has -mean/deviation for s, one of an
 * excluded pair has 0. */
#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "net/edgerows.h"
#include "net/embedding.h"
#include "net/environment.h"
#include "net/params.h"
#include "net/registry.h"

enum { SE_R_CHUNK_ROWS = 256 };

struct se_r_params {
#include "net/params_fields.inc"
#include "net/params_se_r.def"
#include "net/params_end.inc"
};

static const struct dgnn_param se_r_params[] = {
#define DGNN_PARAM_STRUCT struct se_r_params
#include "net/params_rows.inc"
#include "net/params_se_r.def"
#include "net/params_end.inc"
};

enum { SE_R_NPARAM = sizeof(se_r_params) / sizeof(se_r_params[0]) };

/* What both element types share. */
struct se_r_settings {
    struct se_r_params params;
    struct dgnn_environment environment;
    int32_t *group;  /* ntypes x ntypes: the neighbour's type, or -1 for excluded pairs */
    int64_t *sel;    /* ntypes */
    int64_t nnei;    /* their sum */
    int64_t dim_out;
    int64_t parameters;
    int32_t ntypes;
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

#define DGNN_REAL_BITS 32
#include "net/se_r.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/se_r.inc"

struct se_r {
    struct dgnn_descriptor_base base;
    struct se_r_settings settings;
    struct se_r_f32 *f32; /* one of the two */
    struct se_r_f64 *f64;
};

/* ---------------------------------------------------------------- settings */

static int se_r_load_lists(const struct dgnn_value *value, struct se_r_settings *s, struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    s->sel = dgnn_alloc(s->ntypes, sizeof(int64_t));
    if (!s->sel) {
        return dgnn_status_no_memory(error, "sel", s->ntypes * (int64_t)sizeof(int64_t));
    }
    s->environment = (struct dgnn_environment){.cutoff = s->params.rcut,
                                               .smooth = s->params.rcut_smth,
                                               .protection = s->params.env_protection,
                                               .width = 1,
                                               .ntypes = s->ntypes,
                                               .nsection = s->ntypes};
    DGNN_TRY(dgnn_environment_sel(&s->params.sel, s->ntypes, s->sel, error));
    DGNN_TRY(dgnn_environment_load(&s->environment, &variables, s->sel, error));
    for (int32_t t = 0; t < s->ntypes; t++) {
        s->nnei += s->sel[t];
    }
    DGNN_TRY(dgnn_edgerows_groups(&s->params.exclude_types, s->ntypes, &s->group, error));
    for (int64_t p = 0; p < (int64_t)s->ntypes * s->ntypes; p++) {
        if (s->group[p] >= 0) {
            s->group[p] = (int32_t)(p % s->ntypes);
        }
    }
    return DGNN_OK;
}

static int se_r_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              struct se_r_settings *s, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_params_version(value, 1, 3, 1, error));
    DGNN_TRY(dgnn_params_load(value, se_r_params, SE_R_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_params_precision(s->params.precision, value, &s->dtype, error));
    if (context->dtype != DGNN_DTYPE_ARCHIVE) {
        s->dtype = context->dtype;
    }
    s->memory = context->memory;
    s->threads = context->threads;
    s->cpu = context->cpu;
    s->ntypes = context->ntypes;
    return se_r_load_lists(value, s, error);
}

/* ---------------------------------------------------------------- the kinds */

static void se_r_free(struct dgnn_descriptor *descriptor)
{
    struct se_r *d = (struct se_r *)descriptor;
    se_r_free_f32(d->f32);
    se_r_free_f64(d->f64);
    dgnn_environment_free(&d->settings.environment);
    dgnn_alloc_free(d->settings.group);
    dgnn_alloc_free(d->settings.sel);
    dgnn_alloc_free(d);
}

static int se_r_load_into(const struct dgnn_value *value, const struct dgnn_load_context *context, struct se_r *d,
                          struct dgnn_error *error)
{
    DGNN_TRY(se_r_load_settings(value, context, &d->settings, error));
    if (d->settings.dtype == DGNN_DTYPE_FLOAT32) {
        return se_r_load_f32(&d->settings, &d->f32, error);
    }
    return se_r_load_f64(&d->settings, &d->f64, error);
}

static int se_r_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    struct se_r *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->base.kind = &dgnn_se_r_e2;
    int status = se_r_load_into(value, context, d, error);
    if (status) {
        se_r_free((struct dgnn_descriptor *)d);
        return status;
    }
    *descriptor = (struct dgnn_descriptor *)d;
    return DGNN_OK;
}

static void se_r_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct se_r_settings *s = &((const struct se_r *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->params.rcut,
        .nsel = s->ntypes,
        .sel = s->sel,
        .dim_out = s->dim_out,
        .parameters = s->parameters,
        .dtype = s->dtype,
    };
}

static int se_r_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text, struct dgnn_error *error)
{
    const struct se_r_settings *s = &((const struct se_r *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(se_r_params, SE_R_NPARAM, &s->params, text, error));
    return dgnn_environment_describe_sel(s->sel, s->ntypes, text, error);
}

static int se_r_forward(struct dgnn_descriptor *descriptor, const struct dgnn_evaluation *evaluation, double *output,
                        struct dgnn_error *error)
{
    struct se_r *d = (struct se_r *)descriptor;
    return d->f32 ? se_r_forward_f32(d->f32, evaluation, output, error)
                  : se_r_forward_f64(d->f64, evaluation, output, error);
}

static int se_r_backward(struct dgnn_descriptor *descriptor, const struct dgnn_evaluation *evaluation,
                         const double *output_gradient, struct dgnn_error *error)
{
    struct se_r *d = (struct se_r *)descriptor;
    (void)error;
    if (d->f32) {
        se_r_backward_f32(d->f32, evaluation, output_gradient);
    } else {
        se_r_backward_f64(d->f64, evaluation, output_gradient);
    }
    return DGNN_OK;
}

#define SE_R_KIND(name)                                                                                       \
    {                                                                                                         \
        .type = name, .load = se_r_load, .free = se_r_free, .properties = se_r_properties,                    \
        .describe = se_r_describe, .forward = se_r_forward, .backward = se_r_backward                         \
    }

const struct dgnn_descriptor_kind dgnn_se_r_e2 = SE_R_KIND("se_e2_r");
const struct dgnn_descriptor_kind dgnn_se_r = SE_R_KIND("se_r");
