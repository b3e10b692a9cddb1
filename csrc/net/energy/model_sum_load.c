#include <string.h>

#include "net/energy/model_sum_parts.h"
#include "net/params/params.h"

struct load_params {
#include "net/params/params_fields.h"
#include "net/params/linear.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_rows[] = {
#define DGNN_PARAM_STRUCT struct load_params
#include "net/params/params_rows.h"
#include "net/params/linear.def"
#include "net/params/params_end.h"
};

struct load_zbl_params {
#include "net/params/params_fields.h"
#include "net/params/zbl.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param load_zbl_rows[] = {
#define DGNN_PARAM_STRUCT struct load_zbl_params
#include "net/params/params_rows.h"
#include "net/params/zbl.def"
#include "net/params/params_end.h"
};

/* ---------------------------------------------------------------- parts */

/* A sum inside a sum, while it is loaded: its parts become parts of the outermost. */
struct load_level {
    int32_t ntypes;              /* of this level */
    const char *const *type_map; /* its names */
    const int32_t *type_of;      /* outermost ntypes: this level's type */
    double weight;               /* of this level in the outermost */
};

/* The number in names of each type of the level above. */
static int load_map_types(const struct dgnn_value *list, const struct load_level *above, int32_t ntypes,
                          const char *const *names, int32_t *type_of, struct dgnn_error *error)
{
    for (int32_t t = 0; t < above->ntypes; t++) {
        int32_t found = -1;
        for (int32_t k = 0; k < ntypes; k++) {
            found = strcmp(above->type_map[t], names[k]) ? found : k;
        }
        if (found < 0) {
            return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, list,
                                     "type '%s' of the whole model is not there", above->type_map[t]);
        }
        type_of[t] = found;
    }
    return DGNN_OK;
}

static int load_check_part(const struct dgnn_value *value, const struct dgnn_model_sum_part *part,
                           struct dgnn_error *error)
{
    if (!part->properties.descriptor.mixed_types) {
        return dgnn_value_refuse(
            error, DGNN_ERROR_UNSUPPORTED, value,
            "descriptor '%s' tells the types of neighbours apart; deepmd-kit does not evaluate "
            "it in a sum of models either",
            part->properties.descriptor_type);
    }
    if (part->properties.fitting.output != DGNN_OUTPUT_ENERGY) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                 "a fitting of type '%s' in a sum of models; expected energies",
                                 dgnn_output_name(part->properties.fitting.output));
    }
    if (part->properties.descriptor.has_native_spin) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                 "descriptor '%s' takes spins; dgnn does not evaluate "
                                 "it in a sum of models",
                                 part->properties.descriptor_type);
    }
    return DGNN_OK;
}

/* What a part needs to know of the sum's types. */
static int load_set_types(struct dgnn_model_sum *l, struct dgnn_model_sum_part *part,
                          const struct load_level *level, struct dgnn_error *error)
{
    int same = level->ntypes == l->ntypes;
    part->dropped = dgnn_alloc_zeroed(level->ntypes, 1);
    part->type_of = dgnn_alloc(l->ntypes, sizeof(*part->type_of));
    if (!part->dropped || !part->type_of) {
        return dgnn_status_no_memory(error, "types of a part", l->ntypes * 5);
    }
    for (int32_t t = 0; t < l->ntypes; t++) {
        part->type_of[t] = level->type_of[t];
        part->dropped[level->type_of[t]] = l->dropped[t];
        same &= level->type_of[t] == t;
    }
    if (same) {
        dgnn_alloc_free(part->type_of);
        part->type_of = NULL;
    }
    return DGNN_OK;
}

static int load_next(const struct dgnn_value *value, const struct load_level *level, struct dgnn_model_sum *l,
                     struct dgnn_model_sum_part **part, struct dgnn_error *error)
{
    if (l->npart == DGNN_MODEL_SUM_MAX_PARTS) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, value, "more than 64 models are added up");
    }
    *part = &l->part[l->npart++];
    (*part)->weight = level->weight;
    return DGNN_OK;
}

static int load_standard(const struct dgnn_value *value, const struct dgnn_load_context *context,
                         const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    struct dgnn_model_sum_part *part = NULL;
    DGNN_TRY(load_next(value, level, l, &part, error));
    DGNN_TRY(dgnn_atomic_load(value, context, &part->atomic, error));
    dgnn_atomic_properties(part->atomic, &part->properties);
    if (!l->is_sum) {
        return DGNN_OK;
    }
    DGNN_TRY(load_check_part(value, part, error));
    return load_set_types(l, part, level, error);
}

static int load_table(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    struct dgnn_model_sum_part *part = NULL;
    DGNN_TRY(load_next(value, level, l, &part, error));
    DGNN_TRY(dgnn_pairtab_load(value, context, &part->table, error));
    dgnn_pairtab_properties(part->table, &part->properties.descriptor);
    return load_set_types(l, part, level, error);
}

/* ---------------------------------------------------------------- loading */

static int load_any(const struct dgnn_value *value, const struct dgnn_load_context *context,
                    const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error);

/* Fills scratch (above->ntypes + l->ntypes) and goes on a level further in. */
static int load_below(const struct dgnn_value *value, const struct dgnn_load_context *context,
                      const struct load_level *above, double weight, struct dgnn_model_sum *l,
                      struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(value, "type_map");
    struct dgnn_load_context own = *context;
    const char **names;
    DGNN_TRY(dgnn_params_type_map(&list, &own.ntypes, &names, error));
    own.type_map = names;
    int32_t *type_of = dgnn_alloc(above->ntypes + l->ntypes, sizeof(*type_of));
    int status = type_of ? load_map_types(&list, above, own.ntypes, names, type_of, error)
                         : dgnn_status_no_memory(error, "a type map", (above->ntypes + l->ntypes) * 4);
    if (!status) {
        int32_t *through = type_of + above->ntypes;
        for (int32_t t = 0; t < l->ntypes; t++) {
            through[t] = type_of[above->type_of ? above->type_of[t] : t];
        }
        struct load_level level = {own.ntypes, names, through, above->weight * weight};
        status = load_any(value, &own, &level, l, error);
    }
    dgnn_alloc_free(type_of);
    dgnn_alloc_free(names);
    return status;
}

/* The weight of model k of n. */
static int load_weight(const struct dgnn_value *weights, int64_t k, int64_t n, double *weight,
                       struct dgnn_error *error)
{
    enum dgnn_value_kind kind = dgnn_value_kind(weights);
    const char *name = "mean";
    int64_t count;
    if (kind == DGNN_VALUE_LIST) {
        struct dgnn_value item = dgnn_value_item(weights, k);
        DGNN_TRY(dgnn_value_list(weights, &count, error));
        return count == n ? dgnn_value_double(&item, weight, error)
                          : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, weights,
                                              "expected one weight for each model");
    }
    if (kind != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(weights, &name, error));
    }
    *weight = strcmp(name, "mean") ? 1 : 1.0 / (double)n;
    return !strcmp(name, "mean") || !strcmp(name, "sum")
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, weights,
                                   "expected \"sum\", \"mean\" or a list of numbers");
}

static int load_models(const struct load_params *params, const struct dgnn_load_context *context,
                       const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    int64_t count;
    double weight;
    DGNN_TRY(dgnn_value_list(&params->models, &count, error));
    if (count < 1) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params->models, "expected at least one model");
    }
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(&params->models, k);
        DGNN_TRY(load_weight(&params->weights, k, count, &weight, error));
        DGNN_TRY(load_below(&item, context, level, weight, l, error));
    }
    return DGNN_OK;
}

static int load_own(const struct dgnn_value *value, const struct dgnn_value *dropped,
                    const struct dgnn_value *pairs, struct dgnn_model_sum *l, struct dgnn_error *error);

static int load_sum(const struct dgnn_value *value, const struct dgnn_load_context *context,
                    const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    struct load_params params;
    struct dgnn_value variables = dgnn_value_member(value, "@variables");
    DGNN_TRY(dgnn_value_object(&variables, error)); /* without it deepmd-kit makes a bias of the parts' */
    DGNN_TRY(dgnn_params_load(value, load_rows, sizeof(load_rows) / sizeof(load_rows[0]), &params, error));
    if (!l->is_sum) { /* the outermost: bias and exclusions of sums inside it do not count, as in deepmd-kit
                       */
        DGNN_TRY(load_own(value, &params.atom_exclude_types, &params.pair_exclude_types, l, error));
    }
    return load_models(&params, context, level, l, error);
}

/* What a sum of any kind has of its own. */
static int load_own(const struct dgnn_value *value, const struct dgnn_value *dropped,
                    const struct dgnn_value *pairs, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    l->is_sum = 1;
    DGNN_TRY(dgnn_atomic_load_statistics(value, l->ntypes, 1, &l->bias, &l->spread, error));
    DGNN_TRY(dgnn_params_types(dropped, l->ntypes, &l->dropped, error));
    return dgnn_params_pairs(pairs, l->ntypes, &l->pair_exclude, &l->any_pair, error);
}

/* Two parts, a net's and a table. */
static int load_zbl(const struct dgnn_value *value, const struct dgnn_load_context *context,
                    const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    struct load_zbl_params params;
    int64_t count;
    if (l->is_sum) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                 "a model of type 'zbl' in a sum of models; it is supported alone");
    }
    DGNN_TRY(dgnn_params_load(value, load_zbl_rows, sizeof(load_zbl_rows) / sizeof(load_zbl_rows[0]), &params,
                              error));
    DGNN_TRY(load_own(value, &params.atom_exclude_types, &params.pair_exclude_types, l, error));
    l->is_zbl = 1;
    l->zbl = (struct dgnn_zbl){.rmin = params.sw_rmin, .rmax = params.sw_rmax, .alpha = params.smin_alpha};
    DGNN_TRY(dgnn_zbl_check(&l->zbl, value, error));
    DGNN_TRY(dgnn_value_list(&params.models, &count, error));
    for (int64_t k = 0; k < count && k < 2; k++) {
        struct dgnn_value item = dgnn_value_item(&params.models, k);
        DGNN_TRY(load_below(&item, context, level, 1, l, error));
    }
    if (count != 2 || l->npart != 2 || !l->part[0].atomic || !l->part[1].table) {
        return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &params.models,
                                 "expected two models, one with a net and then a pairtab");
    }
    l->zbl.part = l->part[1].properties.descriptor.sel[0] >= l->part[0].properties.descriptor.sel[0];
    return DGNN_OK;
}

static int load_any(const struct dgnn_value *value, const struct dgnn_load_context *context,
                    const struct load_level *level, struct dgnn_model_sum *l, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "type");
    const char *type;
    DGNN_TRY(dgnn_value_object(value, error));
    DGNN_TRY(dgnn_value_string(&member, &type, error));
    if (!strcmp(type, "standard") || (!strcmp(type, "native_spin") && !l->is_sum)) {
        return load_standard(value, context, level, l, error);
    }
    if (!strcmp(type, "linear") || !strcmp(type, "linear_ener")) {
        return load_sum(value, context, level, l, error);
    }
    if (!strcmp(type, "pairtab") && l->is_sum) {
        return load_table(value, context, level, l, error);
    }
    if (!strcmp(type, "zbl")) {
        return load_zbl(value, context, level, l, error);
    }
    return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &member,
                             "models of type '%s' are not supported; supported: standard, linear_ener, "
                             "zbl, spin_ener, pairtab (in a "
                             "sum), native_spin (not in a sum)",
                             type);
}

int dgnn_model_sum_load_parts(const struct dgnn_value *value, const struct dgnn_load_context *context,
                              struct dgnn_model_sum *l, struct dgnn_error *error)
{
    struct load_level outermost = {context->ntypes, context->type_map, NULL, 1};
    return load_any(value, context, &outermost, l, error);
}
