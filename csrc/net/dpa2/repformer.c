#include "net/dpa2/repformer.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"

static const struct dgnn_param repformer_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_repformer_params
#include "net/params/params_rows.h"
#include "net/params/repformer.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_layer_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_repformer_layer_params
#include "net/params/params_rows.h"
#include "net/params/repformer_layer.def"
#include "net/params/params_end.h"
};

#define REPFORMER_COUNT(rows) (sizeof(rows) / sizeof(rows[0]))

/* Widths and heads are bounded, so that their products cannot overflow. */
enum { REPFORMER_WIDTH_MAX = 1 << 16, REPFORMER_HEADS_MAX = 1 << 12 };

/* Protection of 1 / neighbours where sums are not smooth. */
static const double repformer_epsilon = 1e-4;

static int repformer_check_bounds(const struct dgnn_value *args, const struct dgnn_repformer_params *params,
                                  struct dgnn_error *error)
{
    const struct {
        const char *name;
        int64_t value, most;
    } bounds[] = {{"nsel", params->nsel, 1 << 24},
                  {"nlayers", params->nlayers, 1024},
                  {"g1_dim", params->g1_dim, REPFORMER_WIDTH_MAX},
                  {"g2_dim", params->g2_dim, REPFORMER_WIDTH_MAX}};
    for (size_t k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
        if (bounds[k].value < 1 || bounds[k].value > bounds[k].most) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, args, "%s is %lld, expected 1 to %lld",
                                     bounds[k].name, (long long)bounds[k].value, (long long)bounds[k].most);
        }
    }
    return DGNN_OK;
}

int dgnn_repformer_params_load(const struct dgnn_value *args, struct dgnn_repformer_params *params,
                               struct dgnn_repformer_shape *shape, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_params_load(args, repformer_params, sizeof(repformer_params) / sizeof(repformer_params[0]),
                              params, error));
    DGNN_TRY(repformer_check_bounds(args, params, error));
    *shape = (struct dgnn_repformer_shape){
        .params = params,
        .cutoff = params->rcut,
        .switch_start = params->rcut_smth,
        .slots = params->nsel,
        .nlayer = params->nlayers,
        .ng1 = params->g1_dim,
        .ng2 = params->g2_dim,
        .direct = params->direct_dist,
        .centred = params->set_davg_zero,
        .activation = params->activation_function ? params->activation_function : "none"};
    return DGNN_OK;
}

int dgnn_repformer_params_describe(const struct dgnn_repformer_params *params, struct dgnn_text *text,
                                   struct dgnn_error *error)
{
    return dgnn_params_describe(repformer_params, sizeof(repformer_params) / sizeof(repformer_params[0]),
                                params, text, error);
}

/* A layer's members must say what the block's arguments say, or the block would not be one. */
static int repformer_check_layer(const struct dgnn_value *value, const struct dgnn_repformer_shape *block,
                                 const struct dgnn_repformer_layer_params *layer, int last, int32_t smooth,
                                 struct dgnn_error *error)
{
    char path[256];
    int same = layer->g1_dim == block->ng1 && layer->g2_dim == block->ng2 &&
               !strcmp(layer->activation_function ? layer->activation_function : "none", block->activation) &&
               layer->smooth == smooth && layer->attn1_nhead >= 1 &&
               layer->attn1_nhead <= REPFORMER_HEADS_MAX && layer->attn2_nhead >= 1 &&
               layer->attn2_nhead <= REPFORMER_HEADS_MAX && layer->axis_neuron >= 1 &&
               layer->axis_neuron <= layer->g1_dim && layer->axis_neuron <= layer->g2_dim;
    if (!same) {
        return dgnn_value_refuse(
            error, DGNN_ERROR_FORMAT, value,
            "dimensions, activation or smooth are not those of repformer_args, axis_neuron is "
            "wider than the features, or a number of heads is not in [1, 4096]");
    }
    if (last && layer->update_chnnl_2) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "%s.update_chnnl_2: dgnn evaluates models whose last layer leaves pairs as they are",
            dgnn_value_path(value, path, sizeof(path)));
    }
    return DGNN_OK;
}

static void repformer_switches(const struct dgnn_repformer_layer_params *p, struct dgnn_repformer_switches *s)
{
    *s = (struct dgnn_repformer_switches){
        .has_pair = p->update_chnnl_2,
        .has_conv = p->update_g1_has_conv,
        .has_drrd = p->update_g1_has_drrd,
        .has_grrg = p->update_g1_has_grrg,
        .has_attn = p->update_g1_has_attn,
        .has_product = p->update_chnnl_2 && p->update_g2_has_g1g1,
        .has_pair_attn = p->update_chnnl_2 && p->update_g2_has_attn,
        .has_vector = p->update_chnnl_2 && p->update_h2,
        .has_gate = p->attn2_has_gate,
        .smooth = p->smooth,
        .conv_out = p->g1_out_conv,
        .self_out = p->g1_out_mlp,
        .root = p->use_sqrt_nnei,
        .node_heads = p->attn1_nhead,
        .pair_heads = p->attn2_nhead,
        .axis = p->axis_neuron,
        .style = p->update_style ? p->update_style : "null",
    };
}

/* Layers of version 1 that are older than these settings have none of them. */
static int repformer_old_layer(const struct dgnn_value *value, struct dgnn_repformer_layer_params *p,
                               struct dgnn_error *error)
{
    const struct {
        const char *name;
        int32_t *setting;
    } later[] = {{"use_sqrt_nnei", &p->use_sqrt_nnei},
                 {"g1_out_conv", &p->g1_out_conv},
                 {"g1_out_mlp", &p->g1_out_mlp}};
    struct dgnn_value version = dgnn_value_member(value, "@version");
    int64_t number;
    DGNN_TRY(dgnn_value_int(&version, &number, error));
    for (size_t k = 0; number < 2 && k < sizeof(later) / sizeof(later[0]); k++) {
        struct dgnn_value member = dgnn_value_member(value, later[k].name);
        if (dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
            *later[k].setting = 0;
        }
    }
    return DGNN_OK;
}

/* What a layer repeats. The last layer leaves pairs alone, and deepmd-kit then writes that nothing updates
 * them. */
static int repformer_check_repeats(const struct dgnn_value *value,
                                   const struct dgnn_repformer_layer_params *layer,
                                   const struct dgnn_repformer_params *args, int32_t ntypes,
                                   struct dgnn_error *error)
{
    static const char *const last_but[] = {"update_g2_has_g1g1", "update_g2_has_attn", "update_h2", NULL};
    static const char what[] = "the block";
    const struct dgnn_params_filled own = {repformer_layer_params, REPFORMER_COUNT(repformer_layer_params),
                                           layer};
    const struct dgnn_params_filled block = {repformer_params, REPFORMER_COUNT(repformer_params), args};
    int64_t sel;
    DGNN_TRY(dgnn_params_agree(value, &own, &block, layer->update_chnnl_2 ? NULL : last_but, error));
    DGNN_TRY(dgnn_params_same_double(&layer->rcut, args->rcut, what, error));
    DGNN_TRY(dgnn_params_same_double(&layer->rcut_smth, args->rcut_smth, what, error));
    DGNN_TRY(dgnn_params_same_int(&layer->ntypes, ntypes, "the descriptor", error));
    if (dgnn_value_kind(&layer->sel) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_environment_sel(&layer->sel, 1, &sel, error));
    return sel == args->nsel ? DGNN_OK
                             : dgnn_params_unused(&layer->sel, "contradicts nsel of the block", error);
}

/* Parts of a layer that its settings do not ask for. */
static int repformer_check_parts(const struct dgnn_repformer_layer_params *p,
                                 const struct dgnn_repformer_switches *s, struct dgnn_error *error)
{
    const struct {
        int is_used;
        const struct dgnn_value *part;
        const char *why;
    } parts[] = {{s->has_pair, &p->linear2, "update_chnnl_2 is false"},
                 {s->has_conv, &p->proj_g1g2, "update_g1_has_conv is false"},
                 {s->has_product, &p->proj_g1g1g2, "pairs get no product of their nodes' features"},
                 {s->has_pair_attn || s->has_vector, &p->attn2g_map, "pairs do not attend"},
                 {s->has_pair_attn, &p->attn2_mh_apply, "pairs do not attend"},
                 {s->has_pair_attn, &p->attn2_lm, "pairs do not attend"},
                 {s->has_vector, &p->attn2_ev_apply, "update_h2 is false"},
                 {s->has_attn, &p->loc_attn, "update_g1_has_attn is false"},
                 {s->self_out, &p->g1_self_mlp, "g1_out_mlp is false"}};
    for (size_t k = 0; k < REPFORMER_COUNT(parts); k++) {
        DGNN_TRY(parts[k].is_used ? DGNN_OK : dgnn_params_unused(parts[k].part, parts[k].why, error));
    }
    return DGNN_OK;
}

int dgnn_repformer_layer_settings(const struct dgnn_value *value, const struct dgnn_repformer_shape *shape,
                                  const struct dgnn_repformer_context *context, int last,
                                  struct dgnn_repformer_layer_settings *settings, struct dgnn_error *error)
{
    struct dgnn_repformer_layer_params *p = &settings->params;
    DGNN_TRY(
        dgnn_params_load(value, repformer_layer_params, REPFORMER_COUNT(repformer_layer_params), p, error));
    DGNN_TRY(repformer_old_layer(value, p, error));
    DGNN_TRY(repformer_check_layer(value, shape, p, last, context->smooth, error));
    repformer_switches(p, &settings->switches);
    DGNN_TRY(repformer_check_repeats(value, p, shape->params, context->ntypes, error));
    return repformer_check_parts(p, &settings->switches, error);
}

#define DGNN_REAL_BITS 32
#include "net/dpa2/repformer_chunk_body.h"
#include "net/dpa2/repformer_pair_body.h"
#include "net/dpa2/repformer_pair_backward_body.h"
#include "net/dpa2/repformer_node_body.h"
#include "net/dpa2/repformer_node_backward_body.h"
#include "net/dpa2/repformer_rotation_body.h"
#include "net/dpa2/repformer_side_body.h"
#include "net/dpa2/repformer_body.h"
#include "net/dpa2/repformer_places_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repformer_chunk_body.h"
#include "net/dpa2/repformer_pair_body.h"
#include "net/dpa2/repformer_pair_backward_body.h"
#include "net/dpa2/repformer_node_body.h"
#include "net/dpa2/repformer_node_backward_body.h"
#include "net/dpa2/repformer_rotation_body.h"
#include "net/dpa2/repformer_side_body.h"
#include "net/dpa2/repformer_body.h"
#include "net/dpa2/repformer_places_body.h"
