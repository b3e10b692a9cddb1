#include "convert/spin_settings.h"

#include <stdio.h>
#include <string.h>

struct spin_settings_types {
    struct dgnn_value type_map;
    int64_t n;
    unsigned char *uses; /* n */
    int64_t nspin;
};

static int spin_settings_type_of(const struct spin_settings_types *types, const struct dgnn_value *item,
                                 int64_t *type, struct dgnn_error *error)
{
    const char *name, *other;
    if (dgnn_value_kind(item) == DGNN_VALUE_NUMBER) {
        DGNN_TRY(dgnn_value_int(item, type, error));
    } else {
        DGNN_TRY(dgnn_value_string(item, &name, error));
        for (*type = 0; *type < types->n; ++*type) {
            struct dgnn_value symbol = dgnn_value_item(&types->type_map, *type);
            DGNN_TRY(dgnn_value_string(&symbol, &other, error));
            if (!strcmp(name, other)) {
                break;
            }
        }
    }
    char path[300];
    return *type >= 0 && *type < types->n
               ? DGNN_OK
               : dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: no type of type_map",
                                 dgnn_value_path(item, path, sizeof(path)));
}

/* A boolean for each type, or the types or symbols of those with spins. */
static int spin_settings_read_uses(struct spin_settings_types *types, const struct dgnn_value *list,
                                   struct dgnn_error *error)
{
    int64_t count;
    char path[300];
    DGNN_TRY(dgnn_value_list(list, &count, error));
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(list, k);
        int64_t type = k;
        int use = 1;
        if (dgnn_value_kind(&item) == DGNN_VALUE_BOOL) {
            DGNN_TRY(dgnn_value_bool(&item, &use, error));
            if (count != types->n) {
                return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: expected one boolean for each type",
                                       dgnn_value_path(list, path, sizeof(path)));
            }
        } else {
            DGNN_TRY(spin_settings_type_of(types, &item, &type, error));
        }
        types->uses[type] = (unsigned char)use;
    }
    for (int64_t t = 0; t < types->n; t++) {
        types->nspin += types->uses[t];
    }
    return DGNN_OK;
}

static int spin_settings_define_text(struct dgnn_emit *emit, struct dgnn_emit_settings *s, const char *name,
                                     struct dgnn_text *text)
{
    int status = dgnn_emit_define(emit, s, name, text->data ? text->data : "");
    dgnn_text_free(text);
    return status;
}

static int spin_settings_define_uses(struct dgnn_emit *emit, struct dgnn_emit_settings *s, const char *name,
                                     const struct spin_settings_types *types)
{
    struct dgnn_text text = {0};
    int status = DGNN_OK;
    for (int64_t t = 0; t < types->n && !status; t++) {
        status = dgnn_text_add(&text, emit->error, "%s%s", t ? ", " : "[", types->uses[t] ? "true" : "false");
    }
    status = status ? status : dgnn_text_add(&text, emit->error, "]");
    if (status) {
        dgnn_text_free(&text);
        return status;
    }
    return spin_settings_define_text(emit, s, name, &text);
}

/* One number for all types, or a list for each type or each with a spin. */
static int spin_settings_scale_text(const struct spin_settings_types *types, const struct dgnn_value *scale,
                                    struct dgnn_text *text, struct dgnn_error *error)
{
    int list = dgnn_value_kind(scale) == DGNN_VALUE_LIST;
    int64_t count = dgnn_value_count(scale), next = 0;
    char path[300];
    if (list && count != types->n && count != types->nspin) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT,
                               "%s: expected one number for each type, or each with a spin",
                               dgnn_value_path(scale, path, sizeof(path)));
    }
    for (int64_t t = 0; t < types->n; t++) {
        double value = 0;
        if (!list) {
            DGNN_TRY(dgnn_value_double(scale, &value, error));
        } else if (count == types->n || types->uses[t]) {
            struct dgnn_value item = dgnn_value_item(scale, count == types->n ? t : next++);
            DGNN_TRY(dgnn_value_double(&item, &value, error));
        }
        DGNN_TRY(dgnn_text_add(text, error, t ? ", " : "["));
        DGNN_TRY(dgnn_text_add_number(text, value, error));
    }
    return dgnn_text_add(text, error, "]");
}

static int spin_settings_define_scale(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                      const struct spin_settings_types *types, const struct dgnn_value *spin)
{
    struct dgnn_value scale = dgnn_value_member(spin, "virtual_scale");
    struct dgnn_text text = {0};
    int status = spin_settings_scale_text(types, &scale, &text, emit->error);
    if (status) {
        dgnn_text_free(&text);
        return status;
    }
    return spin_settings_define_text(emit, s, "virtual_scale", &text);
}

/* Virtual atoms of types without a spin are no neighbours. */
static int spin_settings_define_pairs(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                      const struct spin_settings_types *types)
{
    struct dgnn_text text = {0};
    struct dgnn_value pairs = dgnn_value_member(s->scope.params, "pair_exclude_types");
    const char *separator = "";
    int status = dgnn_text_add(&text, emit->error, "[");
    for (int64_t t = 0; t < types->n; t++) {
        for (int64_t other = 0; !types->uses[t] && other < 2 * types->n && !status; other++) {
            status = dgnn_text_add(&text, emit->error, "%s[%lld, %lld]", separator, (long long)(types->n + t),
                                   (long long)other);
            separator = ", ";
        }
    }
    for (int64_t k = 0; k < dgnn_value_count(&pairs) && !status; k++) {
        struct dgnn_value pair = dgnn_value_item(&pairs, k);
        struct dgnn_value a = dgnn_value_item(&pair, 0), b = dgnn_value_item(&pair, 1);
        int64_t first = 0, second = 0;
        status = dgnn_value_int(&a, &first, emit->error);
        status = status ? status : dgnn_value_int(&b, &second, emit->error);
        status = status ? status
                        : dgnn_text_add(&text, emit->error, "%s[%lld, %lld]", separator, (long long)first,
                                        (long long)second);
        separator = ", ";
    }
    status = status ? status : dgnn_text_add(&text, emit->error, "]");
    status = status ? status : dgnn_emit_define(emit, s, "exclude", text.data);
    status = status ? status : dgnn_emit_define(emit, s, "pair_exclude", text.data);
    dgnn_text_free(&text);
    return status;
}

/* All virtual atoms have no energy. */
static int spin_settings_define_atoms(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                      const struct spin_settings_types *types)
{
    struct dgnn_text text = {0};
    struct dgnn_value atoms = dgnn_value_member(s->scope.params, "atom_exclude_types");
    int status = dgnn_text_add(&text, emit->error, "[");
    for (int64_t t = 0; t < types->n && !status; t++) {
        status = dgnn_text_add(&text, emit->error, "%s%lld", t ? ", " : "", (long long)(types->n + t));
    }
    for (int64_t k = 0; k < dgnn_value_count(&atoms) && !status; k++) {
        struct dgnn_value item = dgnn_value_item(&atoms, k);
        int64_t type = 0;
        status = dgnn_value_int(&item, &type, emit->error);
        status = status            ? status
                 : type < types->n ? dgnn_text_add(&text, emit->error, ", %lld", (long long)type)
                                   : DGNN_OK;
    }
    status = status ? status : dgnn_text_add(&text, emit->error, "]");
    if (status) {
        dgnn_text_free(&text);
        return status;
    }
    return spin_settings_define_text(emit, s, "atom_exclude", &text);
}

static int spin_settings_define_descriptor(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int expt)
{
    struct dgnn_value descriptor = dgnn_value_member(s->scope.params, "descriptor");
    struct dgnn_value protection = dgnn_value_member(&descriptor, "env_protection");
    struct dgnn_value type = dgnn_value_member(&descriptor, "type");
    double value = 0;
    const char *name = "";
    if (dgnn_value_kind(&protection) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_double(&protection, &value, emit->error));
    }
    DGNN_TRY(dgnn_value_string(&type, &name, emit->error));
    /* pt takes 0 as "not given"; pt_expt does not. */
    DGNN_TRY(dgnn_emit_define(emit, s, "protection",
                              expt ? "?descriptor.env_protection=1e-06?"
                                   : (value == 0 ? "0.01" : "?descriptor.env_protection?")));
    return strcmp(name, "se_e2_a") ? DGNN_OK : dgnn_emit_define_doubled(emit, s, "sel", "descriptor.sel", "");
}

/* A TorchScript archive has the settings of the backbone, where deepmd-kit has done all this already. */
static int spin_settings_define_done(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    static const char *const rows[][2] = {{"exclude", "?pair_exclude_types=[]?"},
                                          {"pair_exclude", "?pair_exclude_types=[]?"},
                                          {"atom_exclude", "?atom_exclude_types=[]?"},
                                          {"protection", "?descriptor.env_protection=0.0?"}};
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        DGNN_TRY(dgnn_emit_define(emit, s, rows[k][0], rows[k][1]));
    }
    return DGNN_OK;
}

static int spin_settings_define_all(struct dgnn_emit *emit, struct dgnn_emit_settings *s,
                                    struct spin_settings_types *types, int expt)
{
    struct dgnn_value spin = dgnn_value_member(s->scope.params, "spin");
    struct dgnn_value uses = dgnn_value_member(&spin, "use_spin");
    struct dgnn_value first = dgnn_value_item(&uses, 0);
    char ntypes[32];
    int done = dgnn_value_kind(&first) == DGNN_VALUE_BOOL && types->n == 2 * dgnn_value_count(&uses);
    types->n = done ? types->n / 2 : types->n;
    DGNN_TRY(spin_settings_read_uses(types, &uses, emit->error));
    DGNN_TRY(spin_settings_define_uses(emit, s, "use_spin", types));
    DGNN_TRY(spin_settings_define_scale(emit, s, types, &spin));
    if (done) {
        return spin_settings_define_done(emit, s);
    }
    snprintf(ntypes, sizeof(ntypes), "%lld", (long long)(2 * types->n));
    DGNN_TRY(spin_settings_define_pairs(emit, s, types));
    DGNN_TRY(spin_settings_define_atoms(emit, s, types));
    DGNN_TRY(spin_settings_define_descriptor(emit, s, expt));
    DGNN_TRY(dgnn_emit_define_doubled(emit, s, "type_map", "type_map", "_spin"));
    return dgnn_emit_define(emit, s, "ntypes", ntypes);
}

static int spin_settings_make(struct dgnn_emit *emit, const struct dgnn_emit_settings *s,
                              struct spin_settings_types *types)
{
    *types = (struct spin_settings_types){.type_map = dgnn_value_member(s->scope.params, "type_map")};
    DGNN_TRY(dgnn_value_list(&types->type_map, &types->n, emit->error));
    types->uses = dgnn_alloc_zeroed(types->n, 1);
    return types->uses ? DGNN_OK : dgnn_status_no_memory(emit->error, "a spin model's types", types->n);
}

int dgnn_spin_settings_define(struct dgnn_emit *emit, struct dgnn_emit_settings *s, int expt)
{
    struct spin_settings_types types;
    DGNN_TRY(spin_settings_make(emit, s, &types));
    int status = spin_settings_define_all(emit, s, &types, expt);
    dgnn_alloc_free(types.uses);
    return status;
}

int dgnn_spin_settings_define_native(struct dgnn_emit *emit, struct dgnn_emit_settings *s)
{
    struct dgnn_value spin = dgnn_value_member(s->scope.params, "spin");
    struct dgnn_value uses = dgnn_value_member(&spin, "use_spin");
    struct spin_settings_types types;
    DGNN_TRY(spin_settings_make(emit, s, &types));
    int status = spin_settings_read_uses(&types, &uses, emit->error);
    status = status ? status : spin_settings_define_uses(emit, s, "native_spin", &types);
    dgnn_alloc_free(types.uses);
    return status;
}
