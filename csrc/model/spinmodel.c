#include "model/spinmodel.h"

#include <string.h>

#include "net/params/params.h"

struct spinmodel_params {
#include "net/params/params_fields.h"
#include "net/params/spin.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param spinmodel_rows[] = {
#define DGNN_PARAM_STRUCT struct spinmodel_params
#include "net/params/params_rows.h"
#include "net/params/spin.def"
#include "net/params/params_end.h"
};

struct spinmodel_object_params {
#include "net/params/params_fields.h"
#include "net/params/objects/spinmodel.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param spinmodel_object_rows[] = {
#define DGNN_PARAM_STRUCT struct spinmodel_object_params
#include "net/params/params_rows.h"
#include "net/params/objects/spinmodel.def"
#include "net/params/params_end.h"
};

static int spinmodel_bad(const struct dgnn_value *where, int status, const char *problem,
                         struct dgnn_error *error)
{
    char path[256];
    return dgnn_status_set(error, status, "%s: %s", dgnn_value_path(where, path, sizeof(path)), problem);
}

static int spinmodel_has_type(const struct dgnn_value *model, const char *wanted)
{
    struct dgnn_value member = dgnn_value_member(model, "type");
    const char *type;
    return !dgnn_value_string(&member, &type, NULL) && !strcmp(type, wanted);
}

int dgnn_spinmodel_is(const struct dgnn_value *model)
{
    return spinmodel_has_type(model, "spin_ener");
}

int dgnn_spinmodel_is_native(const struct dgnn_value *model)
{
    return spinmodel_has_type(model, "native_spin");
}

int dgnn_spinmodel_check_native(const struct dgnn_value *model, int32_t ntypes, struct dgnn_error *error)
{
    struct dgnn_value spin = dgnn_value_member(model, "spin"),
                      backbone = dgnn_value_member(model, "backbone_type");
    struct spinmodel_params params;
    const char *type = "standard";
    int64_t count;
    int flag;
    if (dgnn_value_kind(&backbone) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&backbone, &type, error));
    }
    if (strcmp(type, "standard")) {
        return spinmodel_bad(&backbone, DGNN_ERROR_UNSUPPORTED,
                             "of models with native spins dgnn has 'standard' only", error);
    }
    DGNN_TRY(dgnn_params_load(&spin, spinmodel_rows, sizeof(spinmodel_rows) / sizeof(spinmodel_rows[0]),
                              &params, error));
    DGNN_TRY(dgnn_value_list(&params.use_spin, &count, error));
    for (int64_t t = 0; t < count; t++) {
        struct dgnn_value item = dgnn_value_item(&params.use_spin, t);
        DGNN_TRY(dgnn_value_bool(&item, &flag, error));
    }
    return count == ntypes
               ? DGNN_OK
               : spinmodel_bad(&params.use_spin, DGNN_ERROR_FORMAT, "expected a flag for each type", error);
}

/* The scale of magnetic type k, the nth of them: deepmd-kit takes one number for all, for each type or for
 * each magnetic type; it writes one for each type. */
static int spinmodel_scale(const struct dgnn_value *list, int64_t ntypes, int64_t k, int64_t n, double *scale,
                           struct dgnn_error *error)
{
    int64_t count;
    if (dgnn_value_kind(list) == DGNN_VALUE_NUMBER) {
        return dgnn_value_double(list, scale, error);
    }
    DGNN_TRY(dgnn_value_list(list, &count, error));
    struct dgnn_value item = dgnn_value_item(list, count == ntypes ? k : n);
    return dgnn_value_double(&item, scale, error);
}

static int spinmodel_fill(const struct spinmodel_params *params, int64_t ntypes, double *scale,
                          struct dgnn_error *error)
{
    int64_t nmagnetic = 0;
    int magnetic;
    for (int64_t t = 0; t < ntypes; t++) {
        struct dgnn_value item = dgnn_value_item(&params->use_spin, t);
        DGNN_TRY(dgnn_value_bool(&item, &magnetic, error));
        if (magnetic) {
            DGNN_TRY(spinmodel_scale(&params->virtual_scale, ntypes, t, nmagnetic++, &scale[t], error));
        }
    }
    int64_t count = dgnn_value_count(&params->virtual_scale);
    if (dgnn_value_kind(&params->virtual_scale) == DGNN_VALUE_LIST && count != ntypes && count != nmagnetic) {
        return spinmodel_bad(&params->virtual_scale, DGNN_ERROR_FORMAT, "expected one number for each type",
                             error);
    }
    return DGNN_OK;
}

int dgnn_spinmodel_load(const struct dgnn_value *model, int32_t node_types, double **scale,
                        struct dgnn_error *error)
{
    struct spinmodel_object_params object;
    struct spinmodel_params params;
    int64_t ntypes;
    DGNN_TRY(dgnn_params_load(model, spinmodel_object_rows,
                              sizeof(spinmodel_object_rows) / sizeof(spinmodel_object_rows[0]), &object,
                              error));
    DGNN_TRY(dgnn_params_load(&object.spin, spinmodel_rows,
                              sizeof(spinmodel_rows) / sizeof(spinmodel_rows[0]), &params, error));
    DGNN_TRY(dgnn_value_list(&params.use_spin, &ntypes, error));
    if (ntypes < 1 || node_types != 2 * ntypes) {
        return spinmodel_bad(&params.use_spin, DGNN_ERROR_FORMAT,
                             "the backbone's type map doesn't have twice as many types", error);
    }
    if (dgnn_value_kind(&params.virtual_scale) == DGNN_VALUE_NULL) {
        return spinmodel_bad(&params.virtual_scale, DGNN_ERROR_UNSUPPORTED,
                             "null: a native spin model has the type native_spin; this one needs a scale",
                             error);
    }
    double *found = dgnn_alloc_zeroed(ntypes, sizeof(*found));
    if (!found) {
        return dgnn_status_no_memory(error, "scales of spins", ntypes * 8);
    }
    int status = spinmodel_fill(&params, ntypes, found, error);
    if (status) {
        dgnn_alloc_free(found);
        return status;
    }
    *scale = found;
    return DGNN_OK;
}
