#include "net/dpa2/repformer.h"

#include <math.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/arena.h"

static const struct dgnn_param repformer_params[] = {
#define DGNN_PARAM_STRUCT struct dgnn_repformer_params
#include "net/params/params_rows.h"
#include "net/params/repformer.def"
#include "net/params/params_end.h"
};

struct repformer_layer_params {
#include "net/params/params_fields.h"
#include "net/params/repformer_layer.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repformer_layer_params[] = {
#define DGNN_PARAM_STRUCT struct repformer_layer_params
#include "net/params/params_rows.h"
#include "net/params/repformer_layer.def"
#include "net/params/params_end.h"
};

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
    char path[256];
    for (size_t k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
        if (bounds[k].value < 1 || bounds[k].value > bounds[k].most) {
            return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %s is %lld, expected 1 to %lld",
                                   dgnn_value_path(args, path, sizeof(path)), bounds[k].name,
                                   (long long)bounds[k].value, (long long)bounds[k].most);
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
                                 const struct repformer_layer_params *layer, int last, int32_t smooth,
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
        return dgnn_status_set(
            error, DGNN_ERROR_FORMAT,
            "%s: dimensions, activation or smooth are not those of repformer_args, axis_neuron is "
            "wider than the features, or a number of heads is not in [1, 4096]",
            dgnn_value_path(value, path, sizeof(path)));
    }
    if (last && layer->update_chnnl_2) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "%s.update_chnnl_2: dgnn evaluates models whose last layer leaves pairs as they are",
            dgnn_value_path(value, path, sizeof(path)));
    }
    return DGNN_OK;
}

static void repformer_switches(const struct repformer_layer_params *p, struct dgnn_repformer_switches *s)
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

static int32_t repformer_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* Members of the attentions, which are objects with a few settings of their own. */
struct repformer_attention {
    int64_t input, hidden, heads;
    double shift;
};

static int repformer_attention_load(const struct dgnn_value *value, int64_t input, int64_t heads,
                                    int want_hidden, struct repformer_attention *out,
                                    struct dgnn_error *error)
{
    struct dgnn_value in = dgnn_value_member(value, "input_dim"), head = dgnn_value_member(value, "head_num");
    struct dgnn_value hidden = dgnn_value_member(value, "hidden_dim"),
                      shift = dgnn_value_member(value, "attnw_shift");
    char path[256];
    DGNN_TRY(dgnn_value_object(value, error));
    DGNN_TRY(dgnn_params_version(value, 1, 1, 1, error));
    DGNN_TRY(dgnn_value_int(&in, &out->input, error));
    DGNN_TRY(dgnn_value_int(&head, &out->heads, error));
    out->hidden = 1;
    out->shift = 20;
    if (want_hidden) {
        DGNN_TRY(dgnn_value_int(&hidden, &out->hidden, error));
        if (dgnn_value_kind(&shift) != DGNN_VALUE_ABSENT) {
            DGNN_TRY(dgnn_value_double(&shift, &out->shift, error));
        }
    }
    if (out->input != input || out->heads != heads || out->hidden < 1 || out->hidden > REPFORMER_WIDTH_MAX) {
        return dgnn_status_set(
            error, DGNN_ERROR_FORMAT,
            "%s: input_dim %lld, head_num %lld, hidden_dim %lld: expected %lld, %lld and 1 to 65536",
            dgnn_value_path(value, path, sizeof(path)), (long long)out->input, (long long)out->heads,
            (long long)out->hidden, (long long)input, (long long)heads);
    }
    return DGNN_OK;
}

/* A boolean member of an attention that must be what the layer says. */
static int repformer_attention_flag(const struct dgnn_value *value, const char *name, int32_t expected,
                                    struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, name);
    char path[256];
    int flag;
    DGNN_TRY(dgnn_value_bool(&member, &flag, error));
    if (flag != expected) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: differs from the layer's setting",
                               dgnn_value_path(&member, path, sizeof(path)));
    }
    return DGNN_OK;
}

#define DGNN_REAL_BITS 32
#include "net/dpa2/repformer_load_body.h"
#include "net/dpa2/repformer_pair_body.h"
#include "net/dpa2/repformer_node_body.h"
#include "net/dpa2/repformer_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repformer_load_body.h"
#include "net/dpa2/repformer_pair_body.h"
#include "net/dpa2/repformer_node_body.h"
#include "net/dpa2/repformer_body.h"
