/* DPA1 (Zhang et al., npj Comput Mater 10, 94 (2024); deepmd/dpmodel/descriptor/{dpa1,se_atten_v2}.py), also
 * under the names se_atten and se_atten_v2 (tebd_input_mode strip, smooth):
 *
 *     g_j = N(s_j, T_j, T_i)                       concat
 *     g_j = N(s_j) (1 + w_j M(T_j, T_i))           strip (w_j 1 where not smooth)
 *     attention among the g of a centre, layer by layer
 *     gr = sum_j r_j g_j / sel, D = gr^T gr_<
 *
 * with r_j = (s_j, ...) the environment's row. A dense centre's empty slots have the row -mean/deviation and
 * the type of the frame's first atom; all of a centre's are alike, so one stands for them. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "net/parts/attention_load.h"
#include "net/parts/backend.h"
#include "net/parts/embedding.h"
#include "net/parts/environment.h"
#include "net/parts/moment.h"
#include "net/params/params.h"
#include "net/local/local.h"
#include "net/local/edge_batches.h"
#include "net/parts/typeembed.h"

/* Rows of a chunk: enough for the products to be efficient. */
enum { DPA1_CHUNK_ROWS = 96 };

struct dpa1_params {
#include "net/params/params_fields.h"
#include "net/params/dpa1.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param dpa1_params[] = {
#define DGNN_PARAM_STRUCT struct dpa1_params
#include "net/params/params_rows.h"
#include "net/params/dpa1.def"
#include "net/params/params_end.h"
};

enum { DPA1_NPARAM = sizeof(dpa1_params) / sizeof(dpa1_params[0]) };

/* What both element types share. */
struct dpa1_settings {
    struct dpa1_params params;
    struct dgnn_environment environment;
    double *table;  /* (ntypes + 1) x tebd_dim */
    int32_t *group; /* ntypes x ntypes: 0, or -1 for excluded pairs */
    int64_t sel[1];
    int64_t dim_out, dim_rotation;
    int64_t parameters;
    struct dgnn_compression compression;
    int32_t ntypes;
    int32_t strip;
    int32_t has_mean; /* is any mean not 0? Then empty slots count */
    int32_t dtype, memory, threads;
    enum dgnn_cpu cpu;
};

/* Inputs of a network that takes type embeddings, after the scalar. */
static int64_t dpa1_type_inputs(const struct dpa1_settings *s)
{
    return s->params.tebd_dim * (s->params.type_one_side ? 1 : 2);
}

/* The direction is row[1..3] over its length, or over 1e-12 where that is shorter. Where the statistics don't
 * turn the row away from the vector, the length and with it the switch drop out, which matters: near the
 * cutoff the quotient of two numbers that vanish has no digits left. */
static void dpa1_d_direction(const struct dgnn_environment *environment,
                             const struct dgnn_environment_edge *edge, const double *row,
                             const double *d_direction, double *d_row, double *gradient)
{
    const double *mean = dgnn_environment_mean(environment, edge->type, 0);
    const double *scale = dgnn_environment_scale(environment, edge->type, 0);
    const double *vector = edge->vector, distance = edge->distance;
    double length = sqrt(row[1] * row[1] + row[2] * row[2] + row[3] * row[3]), along = 0;
    int parallel =
        !mean[1] && !mean[2] && !mean[3] && scale[1] == scale[2] && scale[1] == scale[3] && scale[1] > 0;
    if (length <= 1e-12) {
        for (int a = 0; a < 3; a++) {
            d_row[a + 1] += d_direction[a] / 1e-12;
        }
        return;
    }
    for (int a = 0; a < 3; a++) {
        along += d_direction[a] * (parallel ? vector[a] / distance : row[a + 1] / length);
    }
    for (int a = 0; a < 3; a++) {
        if (parallel) {
            gradient[a] += (d_direction[a] - along * vector[a] / distance) / distance;
        } else {
            d_row[a + 1] += (d_direction[a] - along * row[a + 1] / length) / length;
        }
    }
}

/* Stages and buffers (net/parts/backend.h), chunk of centres by chunk. */
enum dpa1_stage { DPA1_GEOMETRY, DPA1_EMBED, DPA1_ATTEND, DPA1_MOMENT, DPA1_D_CENTRES, DPA1_STAGES };
enum dpa1_buffer { DPA1_AT_ROWS, DPA1_AT_G, DPA1_AT_SLOPES, DPA1_AT_ATTENTION, DPA1_AT_MOMENT };

static const struct dgnn_stage_rule dpa1_rules[DPA1_STAGES] = {
    [DPA1_GEOMETRY] = {.name = "geometry", .phase = DGNN_PHASE_FORWARD, .write = DGNN_BIT(DPA1_AT_ROWS)},
    [DPA1_EMBED] = {.name = "embed",
                    .phase = DGNN_PHASE_FORWARD,
                    .read = DGNN_BIT(DPA1_AT_ROWS),
                    .write = DGNN_BIT(DPA1_AT_G) | DGNN_BIT(DPA1_AT_SLOPES)},
    [DPA1_ATTEND] = {.name = "attend",
                     .phase = DGNN_PHASE_FORWARD,
                     .read = DGNN_BIT(DPA1_AT_ROWS),
                     .change = DGNN_BIT(DPA1_AT_G),
                     .write = DGNN_BIT(DPA1_AT_ATTENTION)},
    [DPA1_MOMENT] = {.name = "moment",
                     .phase = DGNN_PHASE_FORWARD,
                     .read = DGNN_BIT(DPA1_AT_ROWS) | DGNN_BIT(DPA1_AT_G),
                     .write = DGNN_BIT(DPA1_AT_MOMENT) | DGNN_BIT(DGNN_AT_OUTPUT),
                     .whole = DGNN_BIT(DPA1_AT_MOMENT) | DGNN_BIT(DGNN_AT_OUTPUT)},
    [DPA1_D_CENTRES] = {.name = "d_centres",
                        .phase = DGNN_PHASE_BACKWARD,
                        .read = DGNN_BIT(DPA1_AT_ROWS) | DGNN_BIT(DPA1_AT_SLOPES) |
                                DGNN_BIT(DPA1_AT_ATTENTION) | DGNN_BIT(DPA1_AT_MOMENT) |
                                DGNN_BIT(DGNN_AT_OUTPUT_GRADIENT),
                        .change = DGNN_BIT(DPA1_AT_G) | DGNN_BIT(DGNN_AT_EDGE_GRADIENT)}};

static const struct dgnn_driver dpa1_driver = {.nstage = DPA1_STAGES,
                                               .rule = dpa1_rules,
                                               .nforward = 4,
                                               .again = DGNN_BIT(DPA1_GEOMETRY) | DGNN_BIT(DPA1_EMBED) |
                                                        DGNN_BIT(DPA1_ATTEND) | DGNN_BIT(DPA1_MOMENT)};

#define LOCAL_NAME     dpa1
#define DGNN_REAL_BITS 32
#include "net/local/dpa1_load_body.h"
#include "net/local/dpa1_body.h"
#include "net/local/dpa1_backward_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/dpa1_load_body.h"
#include "net/local/dpa1_body.h"
#include "net/local/dpa1_backward_body.h"

#include "net/parts/descriptor_glue.h"

/* ---------------------------------------------------------------- settings */

static int dpa1_load_mode(struct dpa1_settings *s, const struct dgnn_value *value, int second,
                          struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "tebd_input_mode");
    const char *mode = second ? "strip" : s->params.tebd_input_mode;
    if (second) {
        DGNN_TRY(dgnn_params_same_string(&member, mode, "the type se_atten_v2", error));
    }
    if (mode && strcmp(mode, "strip") && strcmp(mode, "concat")) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                 "tebd_input_mode is '%s'; dgnn evaluates 'concat' and 'strip'", mode);
    }
    s->strip = mode && !strcmp(mode, "strip");
    return DGNN_OK;
}

static int dpa1_check(const struct dpa1_settings *s, const struct dgnn_value *value,
                      const struct dgnn_load_context *context, struct dgnn_error *error)
{
    const int64_t limit = 1 << 16;
    if (s->params.ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "ntypes is not the length of the model's type_map");
    }
    if (s->params.tebd_dim < 1 || s->params.tebd_dim > limit || s->params.axis_neuron < 1 ||
        s->params.axis_neuron > limit || s->params.attn < 1 || s->params.attn > limit) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "tebd_dim, axis_neuron and attn must be in [1, 65536]");
    }
    return DGNN_OK;
}

static int dpa1_load_environment(struct dpa1_settings *s, const struct dgnn_value *value,
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
    s->has_mean = dgnn_environment_has_mean(&s->environment, 0);
    return DGNN_OK;
}

static int dpa1_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              const struct dgnn_descriptor_kind *kind, struct dpa1_settings *s,
                              struct dgnn_error *error)
{
    DGNN_TRY(dgnn_params_load(value, dpa1_params, DPA1_NPARAM, &s->params, error));
    DGNN_TRY(dgnn_compression_load(&s->params.compress, DGNN_COMPRESSION_TYPES, context->compressed,
                                   &s->compression, error));
    DGNN_TRY(dpa1_load_mode(s, value, kind == &dgnn_dpa1_se_atten_v2, error));
    DGNN_TRY(dpa1_check(s, value, context, error));
    DGNN_TRY(dgnn_compression_needs(&s->compression, s->strip, "tebd_input_mode is not strip",
                                    &s->params.compress, error));
    DGNN_TRY(dgnn_compression_needs(&s->compression, !s->compression.has_tables || !s->params.attn_layer,
                                    "there are attention layers, with which geo_compress is false",
                                    &s->params.compress, error));
    DGNN_TRY(dpa1_load_environment(s, value, error));
    DGNN_TRY(dgnn_edge_batches_groups(&s->params.exclude_types, s->ntypes, &s->group, error));
    DGNN_TRY(dgnn_typeembed_same(&s->params.type_embedding, s->params.use_econf_tebd, error));
    return dgnn_typeembed_load_f64(&s->params.type_embedding, s->ntypes, context->type_map,
                                   s->params.tebd_dim, &s->table, error);
}

/* ---------------------------------------------------------------- the kinds */

static void dpa1_free_settings(struct dpa1_settings *s)
{
    dgnn_environment_free(&s->environment);
    dgnn_alloc_free(s->table);
    dgnn_alloc_free(s->group);
}

static int dpa1_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                     struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return dpa1_load_kind(value, context, &dgnn_dpa1, descriptor, error);
}

static int dpa1_load_se_atten_v2(const struct dgnn_value *value, const struct dgnn_load_context *context,
                                 struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return dpa1_load_kind(value, context, &dgnn_dpa1_se_atten_v2, descriptor, error);
}

static void dpa1_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct dpa1_settings *s = &((const struct dpa1 *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->params.rcut,
        .mixed_types = 1,
        .nsel = 1,
        .sel = s->sel,
        .dim_out = s->dim_out,
        .dim_rotation = s->dim_rotation,
        .parameters = s->parameters,
        .dtype = s->dtype,
        /* As in deepmd-kit, whose graph form has no model of which types alone are compressed. */
        .has_graph_form = !s->compression.is_there || s->compression.has_tables ||
                          s->compression.evaluated == DGNN_COMPRESSED_NET,
        .uses_first_type = s->has_mean && (!s->strip || !s->params.smooth_type_embedding),
    };
}

static int dpa1_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                         struct dgnn_error *error)
{
    const struct dpa1_settings *s = &((const struct dpa1 *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(dpa1_params, DPA1_NPARAM, &s->params, text, error));
    DGNN_TRY(dgnn_compression_describe(&s->compression, text, error));
    return dgnn_environment_describe_sel(s->sel, 1, text, error);
}

/* Each layer of attention multiplies each two neighbours' queries, keys and values. */
static double dpa1_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct dpa1_settings *s = &((const struct dpa1 *)descriptor)->settings;
    double edge = (double)s->parameters, two = 2.0 * (double)(s->params.attn_layer * s->params.attn);
    (void)distance;
    return 4.0 * (edge + two * (double)n) * (double)n;
}

#define DPA1_KIND(name, other_names, loader)                                                                 \
    {.type = name,                                                                                           \
     .aliases = other_names,                                                                                 \
     .load = loader,                                                                                         \
     .free = dpa1_free,                                                                                      \
     .properties = dpa1_properties,                                                                          \
     .describe = dpa1_describe,                                                                              \
     .cost = dpa1_cost,                                                                                      \
     .workspace_create = dgnn_backend_workspace_create,                                                      \
     .workspace_free = dgnn_backend_workspace_free,                                                          \
     .prepare = dgnn_backend_prepare,                                                                        \
     .forward = dgnn_backend_forward,                                                                        \
     .backward = dgnn_backend_backward}

static const char *const dpa1_aliases[] = {"se_atten", NULL};

const struct dgnn_descriptor_kind dgnn_dpa1 = DPA1_KIND("dpa1", dpa1_aliases, dpa1_load);
const struct dgnn_descriptor_kind dgnn_dpa1_se_atten_v2 =
    DPA1_KIND("se_atten_v2", NULL, dpa1_load_se_atten_v2);
