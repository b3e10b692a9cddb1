/* se_e3_tebd (deepmd/dpmodel/descriptor/se_t_tebd.py): the angles at a centre, with type embeddings,
 *
 *     D = 1/sel^2 sum_{j, k} x_jk N(x_jk, T_j, T_k),                        concat
 *     D = 1/sel^2 sum_{j, k} x_jk N(x_jk) (1 + w_j w_k M(T_j, T_k))         strip (w 1 where not smooth)
 *
 * with x_jk = u_j . u_k and u the vector part of the environment's row. The list is dense; empty slots count
 * only where the mean of u is not 0, and then have the type of the frame's first atom. */
#include <string.h>

#include "net/local/edge_batches.h"
#include "net/parts/environment.h"
#include "net/params/params.h"
#include "net/local/local.h"
#include "net/local/triples.h"
#include "net/parts/typeembed.h"

struct se_t_tebd_params {
#include "net/params/params_fields.h"
#include "net/params/se_t_tebd.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param se_t_tebd_params[] = {
#define DGNN_PARAM_STRUCT struct se_t_tebd_params
#include "net/params/params_rows.h"
#include "net/params/se_t_tebd.def"
#include "net/params/params_end.h"
};

enum { SE_T_TEBD_NPARAM = sizeof(se_t_tebd_params) / sizeof(se_t_tebd_params[0]) };

/* What both element types share. */
struct se_t_tebd_settings {
    struct se_t_tebd_params params;
    struct dgnn_environment environment;
    double *table;  /* (ntypes + 1) x tebd_dim */
    int32_t *group; /* ntypes x ntypes: the neighbour's type, or -1 for excluded pairs */
    int64_t sel[1];
    int64_t dim_out;
    int64_t parameters;
    struct dgnn_compression compression;
    int32_t ntypes;
    int32_t strip;
    int32_t has_mean; /* of the vector part: is any not 0? Then empty slots count */
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

/* Stages and buffers (net/parts/backend.h), centre by centre. */
enum se_t_tebd_stage {
    SE_T_TEBD_ROWS,
    SE_T_TEBD_TRIPLES,
    SE_T_TEBD_D_TRIPLES,
    SE_T_TEBD_D_EDGES,
    SE_T_TEBD_STAGES
};
enum se_t_tebd_buffer { SE_T_TEBD_AT_ROWS, SE_T_TEBD_AT_D_ROWS };

static const struct dgnn_stage_rule se_t_tebd_rules[SE_T_TEBD_STAGES] = {
    [SE_T_TEBD_ROWS] = {.name = "rows", .phase = DGNN_PHASE_FORWARD, .write = DGNN_BIT(SE_T_TEBD_AT_ROWS)},
    [SE_T_TEBD_TRIPLES] = {.name = "triples",
                           .phase = DGNN_PHASE_FORWARD,
                           .read = DGNN_BIT(SE_T_TEBD_AT_ROWS),
                           .write = DGNN_BIT(DGNN_AT_OUTPUT),
                           .whole = DGNN_BIT(DGNN_AT_OUTPUT)},
    [SE_T_TEBD_D_TRIPLES] = {.name = "d_triples",
                             .phase = DGNN_PHASE_BACKWARD,
                             .read = DGNN_BIT(SE_T_TEBD_AT_ROWS) | UINT64_C(1) << DGNN_AT_OUTPUT_GRADIENT,
                             .write = DGNN_BIT(SE_T_TEBD_AT_D_ROWS)},
    [SE_T_TEBD_D_EDGES] = {.name = "d_edges",
                           .phase = DGNN_PHASE_BACKWARD,
                           .read = DGNN_BIT(SE_T_TEBD_AT_D_ROWS),
                           .change = DGNN_BIT(DGNN_AT_EDGE_GRADIENT)}};

static const struct dgnn_driver se_t_tebd_driver = {
    .nstage = SE_T_TEBD_STAGES, .rule = se_t_tebd_rules, .nforward = 2, .again = DGNN_BIT(SE_T_TEBD_ROWS)};

#define LOCAL_NAME     se_t_tebd
#define DGNN_REAL_BITS 32
#include "net/local/se_t_tebd_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/se_t_tebd_body.h"

#include "net/parts/descriptor_glue.h"

/* ---------------------------------------------------------------- settings */

static int se_t_tebd_load_mode(struct se_t_tebd_settings *s, const struct dgnn_value *value,
                               struct dgnn_error *error)
{
    const char *mode = s->params.tebd_input_mode;
    if (mode && strcmp(mode, "strip") && strcmp(mode, "concat")) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                 "tebd_input_mode is '%s'; dgnn evaluates 'concat' and 'strip'", mode);
    }
    s->strip = mode && !strcmp(mode, "strip");
    return DGNN_OK;
}

static int se_t_tebd_check(const struct se_t_tebd_settings *s, const struct dgnn_value *value,
                           const struct dgnn_load_context *context, struct dgnn_error *error)
{
    const int64_t limit = 1 << 16;
    if (s->params.ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "ntypes is not the length of the model's type_map");
    }
    if (s->params.tebd_dim < 1 || s->params.tebd_dim > limit) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "tebd_dim must be in [1, 65536]");
    }
    return DGNN_OK;
}

static int se_t_tebd_load_environment(struct se_t_tebd_settings *s, const struct dgnn_value *value,
                                      struct dgnn_error *error)
{
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    s->environment = (struct dgnn_environment){.cutoff = s->params.rcut,
                                               .switch_start = s->params.rcut_smth,
                                               .protection = s->params.env_protection,
                                               .width = 4,
                                               .ntypes = s->ntypes,
                                               .nsection = 1};
    DGNN_TRY(dgnn_environment_sel(&s->params.sel, 1, s->sel, error));
    DGNN_TRY(dgnn_environment_load(&s->environment, &variables, s->sel, error));
    s->has_mean = dgnn_environment_has_mean(&s->environment, 1);
    return DGNN_OK;
}

static int se_t_tebd_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                                   const struct dgnn_descriptor_kind *kind, struct se_t_tebd_settings *s,
                                   struct dgnn_error *error)
{
    (void)kind;
    DGNN_TRY(dgnn_params_load(value, se_t_tebd_params, SE_T_TEBD_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_compression_load(&s->params.compress, DGNN_COMPRESSION_BOTH, context->compressed,
                                   &s->compression, error));
    DGNN_TRY(se_t_tebd_load_mode(s, value, error));
    DGNN_TRY(dgnn_compression_needs(&s->compression, s->strip, "tebd_input_mode is not strip",
                                    &s->params.compress, error));
    DGNN_TRY(se_t_tebd_check(s, value, context, error));
    DGNN_TRY(se_t_tebd_load_environment(s, value, error));
    DGNN_TRY(dgnn_edge_batches_neighbours(&s->params.exclude_types, s->ntypes, &s->group, error));
    DGNN_TRY(dgnn_typeembed_same(&s->params.type_embedding, s->params.use_econf_tebd, error));
    return dgnn_typeembed_load_f64(&s->params.type_embedding, s->ntypes, context->type_map,
                                   s->params.tebd_dim, &s->table, error);
}

/* ---------------------------------------------------------------- the kinds */

static void se_t_tebd_free_settings(struct se_t_tebd_settings *s)
{
    dgnn_environment_free(&s->environment);
    dgnn_alloc_free(s->table);
    dgnn_alloc_free(s->group);
}

static int se_t_tebd_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                          struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return se_t_tebd_load_kind(value, context, &dgnn_se_t_tebd, descriptor, error);
}

static void se_t_tebd_properties(const struct dgnn_descriptor *descriptor,
                                 struct dgnn_descriptor_properties *p)
{
    const struct se_t_tebd_settings *s = &((const struct se_t_tebd *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->params.rcut,
        .mixed_types = 1,
        .nsel = 1,
        .sel = s->sel,
        .dim_out = s->dim_out,
        .parameters = s->parameters,
        .dtype = s->dtype,
        .uses_first_type = s->has_mean && (!s->strip || !s->params.smooth),
    };
}

static int se_t_tebd_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                              struct dgnn_error *error)
{
    const struct se_t_tebd_settings *s = &((const struct se_t_tebd *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(se_t_tebd_params, SE_T_TEBD_NPARAM, &s->params, text, error));
    DGNN_TRY(dgnn_compression_describe(&s->compression, text, error));
    return dgnn_environment_describe_sel(s->sel, 1, text, error);
}

/* A network for each two neighbours. */
static double se_t_tebd_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct se_t_tebd_settings *s = &((const struct se_t_tebd *)descriptor)->settings;
    (void)distance;
    return 2.0 * (double)s->parameters * (double)n * (double)n;
}

const struct dgnn_descriptor_kind dgnn_se_t_tebd = {
    .type = "se_e3_tebd",
    .load = se_t_tebd_load,
    .free = se_t_tebd_free,
    .properties = se_t_tebd_properties,
    .describe = se_t_tebd_describe,
    .cost = se_t_tebd_cost,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
};
