/* se_e2_a (Zhang et al., NeurIPS 2018; deepmd/dpmodel/descriptor/se_e2_a.py):
 *
 *     gr = sum_j r_j N(s_j) / sel,  D = gr^T gr_<
 *
 * with r_j = (s_j, ...) the environment's row, less and over the statistics of the neighbour's type, and a
 * network for each type of neighbour or for each pair of types. The list is dense: each type has its own
 * slots, and an empty one has the row -mean/deviation. */
#include <string.h>

#include "base/arena.h"
#include "net/parts/backend.h"
#include "net/parts/embedding.h"
#include "net/parts/environment.h"
#include "net/parts/moment.h"
#include "net/params/params.h"
#include "net/local/edge_batches.h"
#include "net/local/local.h"

enum { SE_A_CHUNK_ROWS = 256 };

struct se_a_params {
#include "net/params/params_fields.h"
#include "net/params/se_a.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param se_a_params[] = {
#define DGNN_PARAM_STRUCT struct se_a_params
#include "net/params/params_rows.h"
#include "net/params/se_a.def"
#include "net/params/params_end.h"
};

enum { SE_A_NPARAM = sizeof(se_a_params) / sizeof(se_a_params[0]) };

/* What both element types share. */
struct se_a_settings {
    struct se_a_params params;
    struct dgnn_environment environment;
    int32_t *group; /* ntypes x ntypes: the network, or -1 for excluded pairs */
    int64_t *sel;   /* ntypes */
    int64_t nnei;   /* their sum */
    int64_t ngroup; /* networks */
    int64_t dim_out, dim_rotation;
    int64_t parameters;
    struct dgnn_compression compression;
    int32_t ntypes;
    int32_t has_mean;
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

/* The network of a pair of types, excluded or not. */
static int64_t se_a_network(const struct se_a_settings *s, int64_t centre, int64_t neighbour)
{
    return s->params.type_one_side ? neighbour : centre + neighbour * s->ntypes;
}

/* Stages and buffers (net/parts/backend.h), chunk of centres by chunk. */
enum se_a_stage { SE_A_GEOMETRY, SE_A_EMBED, SE_A_MOMENT, SE_A_D_MOMENT, SE_A_D_EDGES, SE_A_STAGES };
enum se_a_buffer { SE_A_AT_ROWS, SE_A_AT_G, SE_A_AT_MOMENT, SE_A_AT_D_MOMENT };

static const struct dgnn_stage_rule se_a_rules[SE_A_STAGES] = {
    [SE_A_GEOMETRY] = {.name = "geometry",
                       .phase = DGNN_PHASE_FORWARD,
                       .write = DGNN_BIT(SE_A_AT_ROWS),
                       .whole = DGNN_BIT(SE_A_AT_ROWS)},
    [SE_A_EMBED] = {.name = "embed",
                    .phase = DGNN_PHASE_FORWARD,
                    .read = DGNN_BIT(SE_A_AT_ROWS),
                    .change = DGNN_BIT(SE_A_AT_G)},
    [SE_A_MOMENT] = {.name = "moment",
                     .phase = DGNN_PHASE_FORWARD,
                     .read = DGNN_BIT(SE_A_AT_ROWS) | DGNN_BIT(SE_A_AT_G),
                     .write = DGNN_BIT(SE_A_AT_MOMENT) | DGNN_BIT(DGNN_AT_OUTPUT),
                     .whole = DGNN_BIT(SE_A_AT_MOMENT) | DGNN_BIT(DGNN_AT_OUTPUT)},
    [SE_A_D_MOMENT] = {.name = "d_moment",
                       .phase = DGNN_PHASE_BACKWARD,
                       .read = DGNN_BIT(SE_A_AT_MOMENT) | DGNN_BIT(DGNN_AT_OUTPUT_GRADIENT),
                       .write = DGNN_BIT(SE_A_AT_D_MOMENT),
                       .whole = DGNN_BIT(SE_A_AT_D_MOMENT)},
    [SE_A_D_EDGES] = {.name = "d_edges",
                      .phase = DGNN_PHASE_BACKWARD,
                      .read = DGNN_BIT(SE_A_AT_ROWS) | DGNN_BIT(SE_A_AT_G) | DGNN_BIT(SE_A_AT_D_MOMENT),
                      .change = DGNN_BIT(DGNN_AT_EDGE_GRADIENT)}};

static const struct dgnn_driver se_a_driver = {
    .nstage = SE_A_STAGES, .rule = se_a_rules, .nforward = 3, .again = DGNN_BIT(SE_A_EMBED)};

#define LOCAL_NAME     se_a
#define DGNN_REAL_BITS 32
#include "net/local/se_a_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/se_a_body.h"

#include "net/parts/descriptor_glue.h"

/* ---------------------------------------------------------------- settings */

static int se_a_load_lists(const struct dgnn_value *value, struct se_a_settings *s, struct dgnn_error *error)
{
    s->environment = (struct dgnn_environment){.cutoff = s->params.rcut,
                                               .switch_start = s->params.rcut_smth,
                                               .protection = s->params.env_protection,
                                               .width = 4,
                                               .ntypes = s->ntypes};
    DGNN_TRY(dgnn_environment_load_types(&s->environment, value, &s->params.sel, &s->sel, error));
    s->has_mean = dgnn_environment_has_mean(&s->environment, 0);
    for (int32_t t = 0; t < s->ntypes; t++) {
        s->nnei += s->sel[t];
    }
    DGNN_TRY(dgnn_edge_batches_groups(&s->params.exclude_types, s->ntypes, &s->group, error));
    for (int64_t p = 0; p < (int64_t)s->ntypes * s->ntypes; p++) {
        if (s->group[p] >= 0) {
            s->group[p] = (int32_t)se_a_network(s, p / s->ntypes, p % s->ntypes);
        }
    }
    s->ngroup = s->params.type_one_side ? s->ntypes : (int64_t)s->ntypes * s->ntypes;
    return DGNN_OK;
}

static int se_a_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              const struct dgnn_descriptor_kind *kind, struct se_a_settings *s,
                              struct dgnn_error *error)
{
    (void)kind;
    DGNN_TRY(dgnn_params_load(value, se_a_params, SE_A_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_compression_load(&s->params.compress, DGNN_COMPRESSION_NETWORKS, context->compressed,
                                   &s->compression, error));
    DGNN_TRY(dgnn_params_same_int(&s->params.ntypes, context->ntypes, "the model's type_map", error));
    return se_a_load_lists(value, s, error);
}

/* ---------------------------------------------------------------- the kinds */

static void se_a_free_settings(struct se_a_settings *s)
{
    dgnn_environment_free(&s->environment);
    dgnn_alloc_free(s->sel);
    dgnn_alloc_free(s->group);
}

static int se_a_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return se_a_load_kind(value, context, &dgnn_se_a, descriptor, error);
}

static void se_a_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct se_a_settings *s = &((const struct se_a *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->params.rcut,
        .nsel = s->ntypes,
        .sel = s->sel,
        .dim_out = s->dim_out,
        .dim_rotation = s->dim_rotation,
        .parameters = s->parameters,
        .dtype = s->dtype,
    };
}

static int se_a_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    const struct se_a_settings *s = &((const struct se_a *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(se_a_params, SE_A_NPARAM, &s->params, text, error));
    DGNN_TRY(dgnn_compression_describe(&s->compression, text, error));
    return dgnn_environment_describe_sel(s->sel, s->ntypes, text, error);
}

static const char *const se_a_aliases[] = {"se_a", NULL};

const struct dgnn_descriptor_kind dgnn_se_a = {
    .type = "se_e2_a",
    .aliases = se_a_aliases,
    .load = se_a_load,
    .free = se_a_free,
    .properties = se_a_properties,
    .describe = se_a_describe,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
};
