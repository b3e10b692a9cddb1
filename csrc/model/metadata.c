#include "model/metadata.h"

#include <stdio.h>
#include <string.h>

static int metadata_contradicts(const struct dgnn_value *member, const char *model_says, struct dgnn_error *error)
{
    char path[256];
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: contradicts model.json, which says %s",
                           dgnn_value_path(member, path, sizeof(path)), model_says);
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

static int metadata_check_flag(const struct dgnn_value *root, const char *name, int expected, struct dgnn_error *error)
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

/* The pairs of types of one item. */
static int metadata_pair(const struct dgnn_value *item, int32_t ntypes, int64_t pair[2], struct dgnn_error *error)
{
    int64_t count;
    DGNN_TRY(dgnn_value_list(item, &count, error));
    for (int k = 0; k < 2; k++) {
        struct dgnn_value type = dgnn_value_item(item, k);
        DGNN_TRY(dgnn_value_int(&type, &pair[k], error));
        if (count != 2 || pair[k] < 0 || pair[k] >= ntypes) {
            return metadata_contradicts(item, "pairs of its types", error);
        }
    }
    return DGNN_OK;
}

static int metadata_check_pairs(const struct dgnn_value *root, const struct dgnn_metadata_facts *facts,
                                struct dgnn_error *error)
{
    struct dgnn_value list = dgnn_value_member(root, "pair_exclude_types");
    const uint8_t *excluded = facts->properties->pair_exclude;
    int64_t count, pair[2], ntypes = facts->ntypes, nmodel = 0, nlisted = 0;
    if (dgnn_value_kind(&list) == DGNN_VALUE_ABSENT) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_value_list(&list, &count, error));
    for (int64_t k = 0; k < ntypes * ntypes; k++) {
        nmodel += excluded && excluded[k] ? 1 : 0;
    }
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(&list, k);
        DGNN_TRY(metadata_pair(&item, facts->ntypes, pair, error));
        if (!excluded || !excluded[pair[0] * ntypes + pair[1]]) {
            return metadata_contradicts(&item, "that this pair is not excluded", error);
        }
        nlisted += pair[0] == pair[1] ? 1 : 2;
    }
    return nlisted >= nmodel ? DGNN_OK : metadata_contradicts(&list, "more pairs", error);
}

static int metadata_check_semantics(const struct dgnn_value *root, int32_t *semantics, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(root, "lower_input_kind");
    const char *kind = "nlist";
    char path[256];
    if (dgnn_value_kind(&member) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&member, &kind, error));
    }
    if (strcmp(kind, "nlist") && strcmp(kind, "graph")) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED, "%s: '%s' is not supported; supported: nlist, graph",
                               dgnn_value_path(&member, path, sizeof(path)), kind);
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
    DGNN_TRY(dgnn_value_object(&root, error));
    DGNN_TRY(metadata_check_types(&root, facts, error));
    DGNN_TRY(metadata_check_number(&root, "rcut", d->cutoff, error));
    DGNN_TRY(metadata_check_sel(&root, d, error));
    DGNN_TRY(metadata_check_number(&root, "nnei", (double)nnei, error));
    DGNN_TRY(metadata_check_number(&root, "dim_fparam", (double)facts->properties->fitting.dim_fparam, error));
    DGNN_TRY(metadata_check_number(&root, "dim_aparam", (double)facts->properties->fitting.dim_aparam, error));
    DGNN_TRY(metadata_check_number(&root, "dim_chg_spin", d->dim_charge_spin, error));
    DGNN_TRY(metadata_check_flag(&root, "is_spin", facts->is_spin, error));
    DGNN_TRY(metadata_check_flag(&root, "mixed_types", d->mixed_types, error));
    DGNN_TRY(metadata_check_flag(&root, "has_message_passing", d->has_message_passing, error));
    DGNN_TRY(metadata_check_pairs(&root, facts, error));
    return metadata_check_semantics(&root, semantics, error);
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
