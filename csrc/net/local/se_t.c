/* se_e3 (deepmd/dpmodel/descriptor/se_t.py): the angles at a centre,
 *
 *     D = sum_{t <= t'} 1/(sel_t sel_t') sum_{j in t, k in t'} x_jk N_tt'(x_jk),  x_jk = u_j . u_k
 *
 * with u the vector part of the environment's row and a network for each pair of types. The list is dense;
 * empty slots count only where the mean of u is not 0, those of excluded pairs never. */
#include <string.h>

#include "net/local/edge_batches.h"
#include "net/parts/environment.h"
#include "net/params/params.h"
#include "net/local/local.h"
#include "net/local/triples.h"

struct se_t_params {
#include "net/params/params_fields.h"
#include "net/params/se_t.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param se_t_params[] = {
#define DGNN_PARAM_STRUCT struct se_t_params
#include "net/params/params_rows.h"
#include "net/params/se_t.def"
#include "net/params/params_end.h"
};

enum { SE_T_NPARAM = sizeof(se_t_params) / sizeof(se_t_params[0]) };

/* What both element types share. */
struct se_t_settings {
    struct se_t_params params;
    struct dgnn_environment environment;
    int32_t *group; /* ntypes x ntypes: the neighbour's type, or -1 for excluded pairs */
    int64_t *sel;   /* ntypes */
    int64_t dim_out;
    int64_t parameters;
    struct dgnn_compression compression;
    int32_t ntypes;
    int32_t has_mean; /* of the vector part */
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

/* Stages and buffers (net/parts/backend.h), centre by centre. */
enum se_t_stage { SE_T_ROWS, SE_T_TRIPLES, SE_T_D_TRIPLES, SE_T_D_EDGES, SE_T_STAGES };
enum se_t_buffer { SE_T_AT_ROWS, SE_T_AT_D_ROWS };

static const struct dgnn_stage_rule se_t_rules[SE_T_STAGES] = {
    [SE_T_ROWS] = {.name = "rows", .phase = DGNN_PHASE_FORWARD, .write = DGNN_BIT(SE_T_AT_ROWS)},
    [SE_T_TRIPLES] = {.name = "triples",
                      .phase = DGNN_PHASE_FORWARD,
                      .read = DGNN_BIT(SE_T_AT_ROWS),
                      .write = DGNN_BIT(DGNN_AT_OUTPUT),
                      .whole = DGNN_BIT(DGNN_AT_OUTPUT)},
    [SE_T_D_TRIPLES] = {.name = "d_triples",
                        .phase = DGNN_PHASE_BACKWARD,
                        .read = DGNN_BIT(SE_T_AT_ROWS) | DGNN_BIT(DGNN_AT_OUTPUT_GRADIENT),
                        .write = DGNN_BIT(SE_T_AT_D_ROWS)},
    [SE_T_D_EDGES] = {.name = "d_edges",
                      .phase = DGNN_PHASE_BACKWARD,
                      .read = DGNN_BIT(SE_T_AT_D_ROWS),
                      .change = DGNN_BIT(DGNN_AT_EDGE_GRADIENT)}};

static const struct dgnn_driver se_t_driver = {
    .nstage = SE_T_STAGES, .rule = se_t_rules, .nforward = 2, .again = DGNN_BIT(SE_T_ROWS)};

#define LOCAL_NAME     se_t
#define DGNN_REAL_BITS 32
#include "net/local/se_t_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/se_t_body.h"

#include "net/parts/descriptor_glue.h"

/* ---------------------------------------------------------------- settings */

static int se_t_load_lists(const struct dgnn_value *value, struct se_t_settings *s, struct dgnn_error *error)
{
    s->environment = (struct dgnn_environment){.cutoff = s->params.rcut,
                                               .switch_start = s->params.rcut_smth,
                                               .protection = s->params.env_protection,
                                               .width = 4,
                                               .ntypes = s->ntypes};
    DGNN_TRY(dgnn_environment_load_types(&s->environment, value, &s->params.sel, &s->sel, error));
    s->has_mean = dgnn_environment_has_mean(&s->environment, 1);
    return dgnn_edge_batches_neighbours(&s->params.exclude_types, s->ntypes, &s->group, error);
}

static int se_t_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              const struct dgnn_descriptor_kind *kind, struct se_t_settings *s,
                              struct dgnn_error *error)
{
    (void)kind;
    DGNN_TRY(dgnn_params_load(value, se_t_params, SE_T_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_compression_load(&s->params.compress, DGNN_COMPRESSION_NETWORKS, context->compressed,
                                   &s->compression, error));
    DGNN_TRY(dgnn_params_same_int(&s->params.ntypes, context->ntypes, "the model's type_map", error));
    return se_t_load_lists(value, s, error);
}

/* ---------------------------------------------------------------- the kinds */

static void se_t_free_settings(struct se_t_settings *s)
{
    dgnn_environment_free(&s->environment);
    dgnn_alloc_free(s->sel);
    dgnn_alloc_free(s->group);
}

static int se_t_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return se_t_load_kind(value, context, &dgnn_se_t, descriptor, error);
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

static int se_t_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    const struct se_t_settings *s = &((const struct se_t *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(se_t_params, SE_T_NPARAM, &s->params, text, error));
    DGNN_TRY(dgnn_compression_describe(&s->compression, text, error));
    return dgnn_environment_describe_sel(s->sel, s->ntypes, text, error);
}

/* A network for each two neighbours. */
static double se_t_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct se_t_settings *s = &((const struct se_t *)descriptor)->settings;
    (void)distance;
    return 2.0 * (double)s->parameters * (double)n * (double)n;
}

static const char *const se_t_aliases[] = {"se_at", "se_a_3be", NULL};

const struct dgnn_descriptor_kind dgnn_se_t = {
    .type = "se_e3",
    .aliases = se_t_aliases,
    .load = se_t_load,
    .free = se_t_free,
    .properties = se_t_properties,
    .describe = se_t_describe,
    .cost = se_t_cost,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
};
