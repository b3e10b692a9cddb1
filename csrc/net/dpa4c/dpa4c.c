#include "net/dpa4c/dpa4c_settings.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "net/parts/backend.h"
#include "net/parts/layer.h"

static const struct dgnn_param dpa4c_rows[] = {
#define DGNN_PARAM_STRUCT struct dpa4c_params
#include "net/params/params_rows.h"
#include "net/params/dpa4c.def"
#include "net/params/params_end.h"
};

/* deepmd-kit's own number for a descriptor that takes all neighbours. */
enum { DPA4C_SEL = 999999 };

enum { DPA4C_NPARAM = sizeof(dpa4c_rows) / sizeof(dpa4c_rows[0]) };

/* Stages and buffers (net/parts/backend.h), chunk of centres by chunk. */
enum dpa4c_stage {
    DPA4C_GEOMETRY,
    DPA4C_MOMENTS,
    DPA4C_READOUT,
    DPA4C_D_READOUT,
    DPA4C_D_MOMENTS,
    DPA4C_D_GEOMETRY,
    DPA4C_STAGES
};
enum dpa4c_buffer {
    DPA4C_AT_EDGES, /* those that count: what geometry makes of them, and of spins */
    DPA4C_AT_COEFFICIENTS,
    DPA4C_AT_RADIAL,
    DPA4C_AT_MOMENTS,
    DPA4C_AT_SPINS,   /* of the centres */
    DPA4C_AT_VECTORS, /* then their gradients */
    DPA4C_AT_D_MOMENTS,
    DPA4C_AT_D_COEFFICIENTS,
    DPA4C_AT_D_EDGES,
    DPA4C_AT_D_SPINS
};

static const struct dgnn_stage_rule dpa4c_rules[DPA4C_STAGES] = {
    [DPA4C_GEOMETRY] = {.name = "geometry",
                        .phase = DGNN_PHASE_FORWARD,
                        .write = DGNN_BIT(DPA4C_AT_EDGES) | DGNN_BIT(DPA4C_AT_COEFFICIENTS) |
                                 DGNN_BIT(DPA4C_AT_SPINS) | DGNN_BIT(DPA4C_AT_VECTORS)},
    [DPA4C_MOMENTS] = {.name = "moments",
                       .phase = DGNN_PHASE_FORWARD,
                       .read = DGNN_BIT(DPA4C_AT_EDGES) | DGNN_BIT(DPA4C_AT_COEFFICIENTS),
                       .write = DGNN_BIT(DPA4C_AT_RADIAL) | DGNN_BIT(DPA4C_AT_MOMENTS)},
    [DPA4C_READOUT] = {.name = "readout",
                       .phase = DGNN_PHASE_FORWARD,
                       .read = DGNN_BIT(DPA4C_AT_MOMENTS) | DGNN_BIT(DPA4C_AT_SPINS),
                       .write = DGNN_BIT(DGNN_AT_OUTPUT),
                       .whole = DGNN_BIT(DGNN_AT_OUTPUT)},
    [DPA4C_D_READOUT] = {.name = "d_readout",
                         .phase = DGNN_PHASE_BACKWARD,
                         .read = DGNN_BIT(DPA4C_AT_MOMENTS) | DGNN_BIT(DPA4C_AT_SPINS) |
                                 DGNN_BIT(DGNN_AT_OUTPUT_GRADIENT),
                         .write = DGNN_BIT(DPA4C_AT_D_MOMENTS) | DGNN_BIT(DPA4C_AT_D_SPINS)},
    [DPA4C_D_MOMENTS] = {.name = "d_moments",
                         .phase = DGNN_PHASE_BACKWARD,
                         .read = DGNN_BIT(DPA4C_AT_EDGES) | DGNN_BIT(DPA4C_AT_COEFFICIENTS) |
                                 DGNN_BIT(DPA4C_AT_RADIAL) | DGNN_BIT(DPA4C_AT_D_MOMENTS),
                         .write = DGNN_BIT(DPA4C_AT_D_COEFFICIENTS) | DGNN_BIT(DPA4C_AT_D_EDGES)},
    [DPA4C_D_GEOMETRY] = {.name = "d_geometry",
                          .phase = DGNN_PHASE_BACKWARD,
                          .read = DGNN_BIT(DPA4C_AT_EDGES) | DGNN_BIT(DPA4C_AT_D_SPINS),
                          .change = DGNN_BIT(DPA4C_AT_VECTORS) | DGNN_BIT(DPA4C_AT_D_COEFFICIENTS) |
                                    DGNN_BIT(DPA4C_AT_D_EDGES) | DGNN_BIT(DGNN_AT_EDGE_GRADIENT)}};

static const struct dgnn_driver dpa4c_driver = {.nstage = DPA4C_STAGES,
                                                .rule = dpa4c_rules,
                                                .nforward = 3,
                                                .again = DGNN_BIT(DPA4C_GEOMETRY) | DGNN_BIT(DPA4C_MOMENTS)};

#define DGNN_REAL_BITS 32
#include "net/dpa4c/dpa4c_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa4c/dpa4c_body.h"

#define LOCAL_NAME dpa4c
#include "net/parts/descriptor_glue.h"

/* ---------------------------------------------------------------- settings */

static int dpa4c_load_settings(const struct dgnn_value *value, const struct dgnn_load_context *context,
                               const struct dgnn_descriptor_kind *kind, struct dpa4c_settings *s,
                               struct dgnn_error *error)
{
    int32_t any;
    (void)kind;
    DGNN_TRY(dgnn_params_load(value, dpa4c_rows, DPA4C_NPARAM, &s->params, error));
    if (s->params.ntypes != context->ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value,
                                 "ntypes is %lld, but the model's type_map has %d names",
                                 (long long)s->params.ntypes, context->ntypes);
    }
    s->sel[0] = DPA4C_SEL;
    s->radial_table = context->radial == DGNN_RADIAL_TABLE;
    s->is_compressed = dgnn_value_kind(&s->params.compress) == DGNN_VALUE_OBJECT;
    DGNN_TRY(dgnn_params_pairs(&s->params.exclude_types, s->ntypes, &s->excluded, &any, error));
    DGNN_TRY(dgnn_dpa4c_set_shape(s, value, error));
    return dgnn_dpa4c_load_weights(s, error);
}

static void dpa4c_free_settings(struct dpa4c_settings *s)
{
    dgnn_dpa4c_free_weights(&s->weights);
    dgnn_alloc_free(s->coupling);
    dgnn_alloc_free(s->excluded);
}

/* ---------------------------------------------------------------- the kind */

static int dpa4c_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    return dpa4c_load_kind(value, context, &dgnn_dpa4c, descriptor, error);
}

static void dpa4c_properties(const struct dgnn_descriptor *descriptor, struct dgnn_descriptor_properties *p)
{
    const struct dpa4c_settings *s = &((const struct dpa4c *)descriptor)->settings;
    *p = (struct dgnn_descriptor_properties){
        .cutoff = s->params.rcut,
        .mixed_types = 1,
        .nsel = 1,
        .sel = s->sel,
        .dim_out = s->shape.dim_out,
        .parameters = s->parameters,
        .dtype = s->dtype,
        /* A compressed model's tables are of its default charge, and it takes no other. */
        .dim_charge_spin =
            s->params.add_chg_spin_ebd && !(s->is_compressed && s->has_default_charge_spin) ? 2 : 0,
        .default_charge_spin = s->has_default_charge_spin ? s->default_charge_spin : NULL,
        .has_graph_form = 1,
        .has_native_spin = s->shape.nspin != 0,
        .note = s->is_compressed
                    ? "The tables of deepmd-kit's compression are not used: the weights, which stand beside "
                      "them, are."
                    : NULL,
    };
}

static int dpa4c_describe(const struct dgnn_descriptor *descriptor, struct dgnn_text *text,
                          struct dgnn_error *error)
{
    const struct dpa4c_settings *s = &((const struct dpa4c *)descriptor)->settings;
    DGNN_TRY(dgnn_params_describe(dpa4c_rows, DPA4C_NPARAM, &s->params, text, error));
    return dgnn_text_add(text, error, ", \"dim_out\": %lld, \"radial\": \"%s\"", (long long)s->shape.dim_out,
                         s->radial_table ? "table" : "exact");
}

/* Both rows of an edge, value and slope, go through the radial net; or through six knots of its table. */
static double dpa4c_cost(const struct dgnn_descriptor *descriptor, int64_t n, const double *distance)
{
    const struct dpa4c_settings *s = &((const struct dpa4c *)descriptor)->settings;
    double hidden = (double)s->weights.hidden, wide = (double)(s->shape.channels + s->shape.modes);
    double net = s->radial_table ? 12 * wide : 2 * hidden * (2 * (double)s->params.n_radial + wide);
    return (net + 8 * wide * (1 + (double)s->shape.modes)) *
           (double)dgnn_descriptor_within(n, distance, s->params.rcut);
}

static const char *const dpa4c_aliases[] = {"DPA4C", NULL};

const struct dgnn_descriptor_kind dgnn_dpa4c = {
    .type = "dpa4c",
    .aliases = dpa4c_aliases,
    .load = dpa4c_load,
    .free = dpa4c_free,
    .properties = dpa4c_properties,
    .describe = dpa4c_describe,
    .cost = dpa4c_cost,
    .workspace_create = dgnn_backend_workspace_create,
    .workspace_free = dgnn_backend_workspace_free,
    .prepare = dgnn_backend_prepare,
    .forward = dgnn_backend_forward,
    .backward = dgnn_backend_backward,
    .by_chunk = &dgnn_backend_by_chunk,
};
