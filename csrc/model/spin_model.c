#include "model/spin_model.h"

#include <string.h>

#include "net/params/params.h"

struct spin_model_params {
#include "net/params/params_fields.h"
#include "net/params/spin.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param spin_model_rows[] = {
#define DGNN_PARAM_STRUCT struct spin_model_params
#include "net/params/params_rows.h"
#include "net/params/spin.def"
#include "net/params/params_end.h"
};

struct spin_model_object_params {
#include "net/params/params_fields.h"
#include "net/params/objects/spin_model.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param spin_model_object_rows[] = {
#define DGNN_PARAM_STRUCT struct spin_model_object_params
#include "net/params/params_rows.h"
#include "net/params/objects/spin_model.def"
#include "net/params/params_end.h"
};

static int spin_model_has_type(const struct dgnn_value *model, const char *wanted)
{
    struct dgnn_value member = dgnn_value_member(model, "type");
    const char *type;
    return !dgnn_value_string(&member, &type, NULL) && !strcmp(type, wanted);
}

int dgnn_spin_model_is(const struct dgnn_value *model)
{
    return spin_model_has_type(model, "spin_ener");
}

int dgnn_spin_model_is_native(const struct dgnn_value *model)
{
    return spin_model_has_type(model, "native_spin");
}

int dgnn_spin_model_check_native(const struct dgnn_value *model, int32_t ntypes, struct dgnn_error *error)
{
    struct dgnn_value spin = dgnn_value_member(model, "spin"),
                      backbone = dgnn_value_member(model, "backbone_type");
    struct spin_model_params params;
    const char *type = "standard";
    int64_t count;
    int flag;
    if (dgnn_value_kind(&backbone) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&backbone, &type, error));
    }
    if (strcmp(type, "standard")) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &backbone,
                                 "of models with native spins dgnn has 'standard' only");
    }
    DGNN_TRY(dgnn_params_load(&spin, spin_model_rows, sizeof(spin_model_rows) / sizeof(spin_model_rows[0]),
                              &params, error));
    DGNN_TRY(dgnn_value_list(&params.use_spin, &count, error));
    for (int64_t t = 0; t < count; t++) {
        struct dgnn_value item = dgnn_value_item(&params.use_spin, t);
        DGNN_TRY(dgnn_value_bool(&item, &flag, error));
    }
    return count == ntypes ? DGNN_OK
                           : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params.use_spin,
                                               "expected a flag for each type");
}

/* The scale of magnetic type k, the nth of them: deepmd-kit takes one number for all, for each type or for
 * each magnetic type; it writes one for each type. */
static int spin_model_scale(const struct dgnn_value *list, int64_t ntypes, int64_t k, int64_t n,
                            double *scale, struct dgnn_error *error)
{
    int64_t count;
    if (dgnn_value_kind(list) == DGNN_VALUE_NUMBER) {
        return dgnn_value_double(list, scale, error);
    }
    DGNN_TRY(dgnn_value_list(list, &count, error));
    struct dgnn_value item = dgnn_value_item(list, count == ntypes ? k : n);
    return dgnn_value_double(&item, scale, error);
}

static int spin_model_fill(const struct spin_model_params *params, int64_t ntypes, double *scale,
                           struct dgnn_error *error)
{
    int64_t nmagnetic = 0;
    int spin_nodes;
    for (int64_t t = 0; t < ntypes; t++) {
        struct dgnn_value item = dgnn_value_item(&params->use_spin, t);
        DGNN_TRY(dgnn_value_bool(&item, &spin_nodes, error));
        if (spin_nodes) {
            DGNN_TRY(spin_model_scale(&params->virtual_scale, ntypes, t, nmagnetic++, &scale[t], error));
        }
    }
    int64_t count = dgnn_value_count(&params->virtual_scale);
    if (dgnn_value_kind(&params->virtual_scale) == DGNN_VALUE_LIST && count != ntypes && count != nmagnetic) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params->virtual_scale,
                                 "expected one number for each type");
    }
    return DGNN_OK;
}

int dgnn_spin_model_load(const struct dgnn_value *model, int32_t node_types, double **scale,
                         struct dgnn_error *error)
{
    struct spin_model_object_params object;
    struct spin_model_params params;
    int64_t ntypes;
    DGNN_TRY(dgnn_params_load(model, spin_model_object_rows,
                              sizeof(spin_model_object_rows) / sizeof(spin_model_object_rows[0]), &object,
                              error));
    DGNN_TRY(dgnn_params_load(&object.spin, spin_model_rows,
                              sizeof(spin_model_rows) / sizeof(spin_model_rows[0]), &params, error));
    DGNN_TRY(dgnn_value_list(&params.use_spin, &ntypes, error));
    if (ntypes < 1 || node_types != 2 * ntypes) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params.use_spin,
                                 "the backbone's type map doesn't have twice as many types");
    }
    if (dgnn_value_kind(&params.virtual_scale) == DGNN_VALUE_NULL) {
        return dgnn_value_refuse(
            error, DGNN_ERROR_UNSUPPORTED, &params.virtual_scale,
            "null: a native spin model has the type native_spin; this one needs a scale");
    }
    double *found = dgnn_alloc_zeroed(ntypes, sizeof(*found));
    if (!found) {
        return dgnn_status_no_memory(error, "scales of spins", ntypes * 8);
    }
    int status = spin_model_fill(&params, ntypes, found, error);
    if (status) {
        dgnn_alloc_free(found);
        return status;
    }
    *scale = found;
    return DGNN_OK;
}
