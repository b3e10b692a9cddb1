#include "model/metadata.h"

#include <stdio.h>
#include <string.h>

#include "net/params/params.h"

struct metadata_params {
#include "net/params/params_fields.h"
#include "net/params/objects/metadata.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param metadata_rows[] = {
#define DGNN_PARAM_STRUCT struct metadata_params
#include "net/params/params_rows.h"
#include "net/params/objects/metadata.def"
#include "net/params/params_end.h"
};

static int metadata_contradicts(const struct dgnn_value *member, const char *model_says,
                                struct dgnn_error *error)
{
    return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, member, "contradicts model.json, which says %s",
                             model_says);
}

static int metadata_check_types(const struct dgnn_value *root, const struct dgnn_metadata_facts *facts,
                                struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(root, "type_map");
    int64_t count;
    const char *name;
    if (dgnn_value_kind(&list) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(&list, &count, error));
    if (count != facts->ntypes) {
        return metadata_contradicts(&list, "another number of types", error);
    }
    for (int64_t t = 0; t < count; t++) {
        struct dgnn_value item = dgnn_value_item(&list, t);
        DGNN_TRY(dgnn_value_string(&item, &name, error));
        if (strcmp(name, facts->type_map[t])) {
            return metadata_contradicts(&item, facts->type_map[t], error);
        }
    }
    return DGNN_OK;
}

static int metadata_check_number(const struct dgnn_value *root, const char *name, double expected,
                                 struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(root, name);
    double found;
    char text[32];
    if (dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_double(&member, &found, error));
    snprintf(text, sizeof(text), "%.12g", expected);
    return found == expected ? DGNN_OK : metadata_contradicts(&member, text, error);
}

static int metadata_check_flag(const struct dgnn_value *root, const char *name, int expected,
                               struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(root, name);
    int found;
    if (dgnn_value_kind(&member) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_bool(&member, &found, error));
    return !found == !expected ? DGNN_OK : metadata_contradicts(&member, expected ? "true" : "false", error);
}

static int metadata_check_sel(const struct dgnn_value *root, const struct dgnn_descriptor_properties *d,
                              struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(root, "sel");
    int64_t count, found;
    char text[32];
    if (dgnn_value_kind(&list) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(&list, &count, error));
    if (count != d->nsel) {
        return metadata_contradicts(&list, "another number of them", error);
    }
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(&list, k);
        DGNN_TRY(dgnn_value_int(&item, &found, error));
        if (found != d->sel[k]) {
            snprintf(text, sizeof(text), "%lld", (long long)d->sel[k]);
            return metadata_contradicts(&item, text, error);
        }
    }
    return DGNN_OK;
}

/* Sets bit in both places of each pair in the matrix, node_types x node_types. */
static int metadata_mark_pairs(const struct dgnn_value *list, int32_t node_types, uint8_t bit,
                               uint8_t *matrix, struct dgnn_error *error)
{
    int64_t count, length, pair[2];
    DGNN_TRY(dgnn_value_list(list, &count, error));
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        DGNN_TRY(dgnn_value_list(&item, &length, error));
        for (int i = 0; i < 2; i++) {
            struct dgnn_value type = dgnn_value_item(&item, i);
            DGNN_TRY(dgnn_value_int(&type, &pair[i], error));
            if (length != 2 || pair[i] < 0 || pair[i] >= node_types) {
                return dgnn_value_refuse(error, DGNN_ERROR_FORMAT, &item,
                                         "expected two types, each in [0, %d)", node_types);
            }
        }
        matrix[pair[0] * node_types + pair[1]] |= bit;
        matrix[pair[1] * node_types + pair[0]] |= bit;
    }
    return DGNN_OK;
}

static int metadata_compare_pairs(const struct dgnn_value *lists, int32_t node_types, uint8_t *matrix,
                                  struct dgnn_error *error)
{
    char text[64];
    for (int i = 0; i < 2; i++) {
        DGNN_TRY(metadata_mark_pairs(&lists[i], node_types, (uint8_t)(1 << i), matrix, error));
    }
    for (int64_t k = 0; k < (int64_t)node_types * node_types; k++) {
        if (matrix[k] == 1 || matrix[k] == 2) {
            snprintf(text, sizeof(text), "that types %d and %d are%s excluded", (int)(k / node_types),
                     (int)(k % node_types), matrix[k] == 1 ? "" : " not");
            return metadata_contradicts(&lists[1], text, error);
        }
    }
    return DGNN_OK;
}

static int metadata_check_pairs(const struct dgnn_value *root, const struct dgnn_metadata_facts *facts,
                                struct dgnn_error *error)
{
    const struct dgnn_value lists[] = {dgnn_value_member(facts->network, "pair_exclude_types"),
                                       dgnn_value_member(root, "pair_exclude_types")};
    if (dgnn_value_kind(&lists[0]) == DGNN_VALUE_ABSENT || dgnn_value_kind(&lists[1]) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    uint8_t *matrix = dgnn_alloc_zeroed((int64_t)facts->node_types * facts->node_types, 1);
    if (!matrix) {
        return dgnn_status_no_memory(error, "pairs of types", (int64_t)facts->node_types * facts->node_types);
    }
    int status = metadata_compare_pairs(lists, facts->node_types, matrix, error);
    dgnn_alloc_free(matrix);
    return status;
}

static int metadata_check_semantics(const struct dgnn_value *root, const char *kind, int32_t *semantics,
                                    struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(root, "lower_input_kind");
    if (strcmp(kind, "nlist") && strcmp(kind, "graph")) {
        return dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, &member,
                                 "'%s' is not supported; supported: nlist, graph", kind);
    }
    *semantics = strcmp(kind, "graph") ? DGNN_SEMANTICS_DENSE : DGNN_SEMANTICS_GRAPH;
    return DGNN_OK;
}

int dgnn_metadata_check(const struct dgnn_tree *metadata, const struct dgnn_metadata_facts *facts,
                        int32_t *semantics, struct dgnn_error *error)
{
    const struct dgnn_descriptor_properties *d = &facts->properties->descriptor;
    *semantics = DGNN_SEMANTICS_DENSE;
    if (!metadata) {
        return DGNN_OK;
    }
    struct dgnn_value root = dgnn_tree_root(metadata);
    int64_t nnei = 0;
    for (int32_t k = 0; k < d->nsel; k++) {
        nnei += d->sel[k];
    }
    struct metadata_params params;
    DGNN_TRY(dgnn_params_load(&root, metadata_rows, sizeof(metadata_rows) / sizeof(metadata_rows[0]), &params,
                              error));
    DGNN_TRY(metadata_check_types(&root, facts, error));
    DGNN_TRY(metadata_check_number(&root, "rcut", d->cutoff, error));
    DGNN_TRY(metadata_check_sel(&root, d, error));
    DGNN_TRY(metadata_check_number(&root, "nnei", (double)nnei, error));
    DGNN_TRY(
        metadata_check_number(&root, "dim_fparam", (double)facts->properties->fitting.dim_fparam, error));
    DGNN_TRY(
        metadata_check_number(&root, "dim_aparam", (double)facts->properties->fitting.dim_aparam, error));
    DGNN_TRY(metadata_check_number(&root, "dim_chg_spin", d->dim_charge_spin, error));
    DGNN_TRY(metadata_check_flag(&root, "is_spin", facts->is_spin, error));
    DGNN_TRY(metadata_check_flag(&root, "has_message_passing", d->has_message_passing, error));
    DGNN_TRY(metadata_check_flag(&root, "mixed_types", d->mixed_types, error));
    DGNN_TRY(metadata_check_flag(&root, "has_default_fparam",
                                 facts->properties->fitting.default_fparam != NULL, error));
    DGNN_TRY(metadata_check_flag(&root, "has_chg_spin_ebd", d->dim_charge_spin > 0, error));
    DGNN_TRY(metadata_check_flag(&root, "has_default_chg_spin", d->default_charge_spin != NULL, error));
    DGNN_TRY(metadata_check_pairs(&root, facts, error));
    return metadata_check_semantics(&root, params.lower_input_kind, semantics, error);
}

int dgnn_metadata_flag(const struct dgnn_tree *metadata, const char *name)
{
    int flag = 0;
    if (metadata) {
        struct dgnn_value root = dgnn_tree_root(metadata);
        struct dgnn_value member = dgnn_value_member(&root, name);
        if (dgnn_value_kind(&member) == DGNN_VALUE_BOOL) {
            (void)dgnn_value_bool(&member, &flag, NULL);
        }
    }
    return flag;
}
