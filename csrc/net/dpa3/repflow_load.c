/* Weights of the RepFlow layers: from the archive's layout into the padded, merged matrices of the blocks. */
#include <math.h>
#include <string.h>

#include "net/dpa3/dpa3.h"

struct repflow_variable_params {
#include "net/params/params_fields.h"
#include "net/params/objects/repflow_variable.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repflow_variable_params[] = {
#define DGNN_PARAM_STRUCT struct repflow_variable_params
#include "net/params/params_rows.h"
#include "net/params/objects/repflow_variable.def"
#include "net/params/params_end.h"
};

enum { REPFLOW_VARIABLE_NPARAM = sizeof(repflow_variable_params) / sizeof(repflow_variable_params[0]) };

/* Parts for angles, which are there exactly where the settings ask for them. */
static int repflow_check_parts(const struct dgnn_repflow_layer_params *layer,
                               const struct dgnn_repflow_params *r, struct dgnn_error *error)
{
    static const char no_angle[] = "update_angle is false",
                      no_compression[] = "nothing is compressed linearly";
    if (!r->update_angle) {
        DGNN_TRY(dgnn_params_unused(&layer->edge_angle_linear1, no_angle, error));
        DGNN_TRY(dgnn_params_unused(&layer->edge_angle_linear2, no_angle, error));
        DGNN_TRY(dgnn_params_unused(&layer->angle_self_linear, no_angle, error));
    }
    if (!r->update_angle || !r->a_compress_rate || r->a_compress_use_split) {
        DGNN_TRY(dgnn_params_unused(&layer->a_compress_n_linear, no_compression, error));
        DGNN_TRY(dgnn_params_unused(&layer->a_compress_e_linear, no_compression, error));
    }
    return DGNN_OK;
}

/* Residual weights: rows of "@variables", as many as the layer has updates, with res_residual only. */
static int repflow_check_residuals(const struct dgnn_value *value, const struct dgnn_dpa3_settings *s,
                                   struct dgnn_error *error)
{
    static const char *const names[] = {"n_residual", "e_residual", "a_residual"};
    const int64_t rows[] = {2 + s->repflow.n_multi_edge_message, s->repflow.update_angle ? 2 : 1,
                            s->repflow.update_angle};
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    for (int k = 0; k < 3; k++) {
        struct dgnn_value list = dgnn_value_member(&variables, names[k]);
        int absent = dgnn_value_kind(&list) == DGNN_VALUE_ABSENT;
        if (s->style != DGNN_DPA3_RESIDUAL && dgnn_value_count(&list)) {
            return dgnn_params_unused(&list, "update_style is not res_residual", error);
        }
        if (s->style == DGNN_DPA3_RESIDUAL && !(absent && !rows[k])) {
            DGNN_TRY(dgnn_params_same_count(&list, rows[k], "the settings", error));
        }
    }
    return DGNN_OK;
}

static int repflow_check_layer(const struct dgnn_value *value, const struct dgnn_dpa3_settings *settings,
                               struct dgnn_error *error)
{
    struct dgnn_repflow_layer_params layer;
    DGNN_TRY(dgnn_dpa3_layer(value, settings, &layer, error));
    DGNN_TRY(repflow_check_parts(&layer, &settings->repflow, error));
    return repflow_check_residuals(value, settings, error);
}

#define DGNN_REAL_BITS 32
#include "net/dpa3/repflow_load_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa3/repflow_load_body.h"
