/* se_e2_r (deepmd/dpmodel/descriptor/se_r.py): distances only,
 *
 *     D = 1/5 sum_slots N_t(s) / sel
 *
 * with s the switch over the distance, less and over the statistics of the neighbour's type, and a network
 * for each type of neighbour. The list is dense, and every slot counts: an empty one has -mean/deviation for
 * s, one of an excluded pair has 0. */
#include <string.h>

#include "base/arena.h"
#include "net/local/edge_batches.h"
#include "net/parts/backend.h"
#include "net/parts/embedding.h"
#include "net/parts/environment.h"
#include "net/params/params.h"
#include "net/local/local.h"

enum { SE_R_CHUNK_ROWS = 256 };

struct se_r_params {
#include "net/params/params_fields.h"
#include "net/params/se_r.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param se_r_params[] = {
#define DGNN_PARAM_STRUCT struct se_r_params
#include "net/params/params_rows.h"
#include "net/params/se_r.def"
#include "net/params/params_end.h"
};

enum { SE_R_NPARAM = sizeof(se_r_params) / sizeof(se_r_params[0]) };

/* What both element types share. */
struct se_r_settings {
    struct se_r_params params;
    struct dgnn_environment environment;
    int32_t *group; /* ntypes x ntypes: the neighbour's type, or -1 for excluded pairs */
    int64_t *sel;   /* ntypes */
    int64_t nnei;   /* their sum */
    int64_t dim_out;
    int64_t parameters;
    struct dgnn_compression compression;
    int32_t ntypes;
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

/* Stages and buffers (net/parts/backend.h), chunk of centres by chunk. */
enum se_r_stage { SE_R_EMBED, SE_R_SUM, SE_R_D_EDGES, SE_R_STAGES };
enum se_r_buffer { SE_R_AT_G, SE_R_AT_SLOPES };

static const struct dgnn_stage_rule se_r_rules[SE_R_STAGES] = {
    [SE_R_EMBED] = {.name = "embed",
                    .phase = DGNN_PHASE_FORWARD,
                    .write = DGNN_BIT(SE_R_AT_G) | DGNN_BIT(SE_R_AT_SLOPES)},
    [SE_R_SUM] = {.name = "sum",
                  .phase = DGNN_PHASE_FORWARD,
                  .read = DGNN_BIT(SE_R_AT_G),
                  .write = DGNN_BIT(DGNN_AT_OUTPUT),
                  .whole = DGNN_BIT(DGNN_AT_OUTPUT)},
    [SE_R_D_EDGES] = {.name = "d_edges",
                      .phase = DGNN_PHASE_BACKWARD,
                      .read = DGNN_BIT(SE_R_AT_SLOPES) | DGNN_BIT(DGNN_AT_OUTPUT_GRADIENT),
                      .change = DGNN_BIT(DGNN_AT_EDGE_GRADIENT)}};

static const struct dgnn_driver se_r_driver = {
    .nstage = SE_R_STAGES, .rule = se_r_rules, .nforward = 2, .again = DGNN_BIT(SE_R_EMBED)};

#define LOCAL_NAME     se_r
#define DGNN_REAL_BITS 32
#include "net/local/se_r_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/se_r_body.h"

#include "net/parts/descriptor_glue.h"

/* ---------------------------------------------------------------- settings */

static int se_r_load_lists(const struct dgnn_value *value, struct se_r_settings *s, struct dgnn_error *error)
{
    s->environment = (struct dgnn_environment){.cutoff = s->params.rcut,
                                               .switch_start = s->params.rcut_smth,
                                               .protection = s->params.env_protection,
                                               .width = 1,
                                               .ntypes = s->ntypes};
    DGNN_TRY(dgnn_environment_load_types(&s->environment, value, &s->params.sel, &s->sel, error));
    for (int32_t t = 0; t < s->ntypes; t++) {
        s->nnei += s->sel[t];
    }
    return dgnn_edge_batches_neighbours(&s->params.exclude_types, s->ntypes, &s->group, error);
}

static int se_r_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              const struct dgnn_descriptor_kind *kind, struct se_r_settings *s,
                              struct dgnn_error *error)
{
    (void)kind;
    DGNN_TRY(dgnn_params_load(value, se_r_params, SE_R_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_compression_load(&s->params.compress, DGNN_COMPRESSION_NETWORKS, context->compressed,
                                   &s->compression, error));
    DGNN_TRY(dgnn_params_same_int(&s->params.ntypes, context->ntypes, "the model's type_map", error));
    return se_r_load_lists(value, s, error);
}

/* ---------------------------------------------------------------- the kinds */

static void se_r_free_settings(struct se_r_settings *s)
{
    dgnn_environment_free(&s->environment);
    dgnn_alloc_free(s->sel);
    dgnn_alloc_free(s->group);
}

static int se_r_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return se_r_load_kind(value, context, &dgnn_se_r, descriptor, error);
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

static int se_r_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    const struct se_r_settings *s = &((const struct se_r *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(se_r_params, SE_R_NPARAM, &s->params, text, error));
    DGNN_TRY(dgnn_compression_describe(&s->compression, text, error));
    return dgnn_environment_describe_sel(s->sel, s->ntypes, text, error);
}

static const char *const se_r_aliases[] = {"se_r", NULL};

const struct dgnn_descriptor_kind dgnn_se_r = {
    .type = "se_e2_r",
    .aliases = se_r_aliases,
    .load = se_r_load,
    .free = se_r_free,
    .properties = se_r_properties,
    .describe = se_r_describe,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
};
