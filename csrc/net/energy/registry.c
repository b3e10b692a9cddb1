#include "net/energy/registry.h"

#include <string.h>

#include "base/text.h"
#include "net/dpa2/dpa2.h"
#include "net/dpa3/dpa3.h"
#include "net/dpa4c/dpa4c_settings.h"
#include "net/local/local.h"

static const struct dgnn_descriptor_kind *const registry_kinds[] = {
    &dgnn_dpa3, &dgnn_dpa2, &dgnn_dpa1,      &dgnn_dpa1_se_atten_v2, &dgnn_se_a,
    &dgnn_se_r, &dgnn_se_t, &dgnn_se_t_tebd, &dgnn_hybrid,           &dgnn_dpa4c,
};

enum { REGISTRY_NKIND = sizeof(registry_kinds) / sizeof(registry_kinds[0]) };

static int registry_has_name(const struct dgnn_descriptor_kind *kind, const char *type)
{
    const char *const *alias = kind->aliases;
    while (alias && *alias && strcmp(*alias, type)) {
        alias++;
    }
    return !strcmp(kind->type, type) || (alias && *alias);
}

static int registry_list(struct dgnn_text *known, struct dgnn_error *error)
{
    for (int k = 0; k < REGISTRY_NKIND; k++) {
        const char *const *alias = registry_kinds[k]->aliases;
        DGNN_TRY(dgnn_text_add(known, error, "%s%s", k ? ", " : "", registry_kinds[k]->type));
        for (; alias && *alias; alias++) {
            DGNN_TRY(dgnn_text_add(known, error, ", %s", *alias));
        }
    }
    return DGNN_OK;
}

static int registry_unknown(const struct dgnn_value *value, const char *type, struct dgnn_error *error)
{
    struct dgnn_text known = {0};
    int status = registry_list(&known, error);
    status = status ? status
                    : dgnn_value_refuse(error, DGNN_ERROR_UNSUPPORTED, value,
                                        "descriptor '%s' is not supported; supported: %s", type, known.data);
    dgnn_text_free(&known);
    return status;
}

/* What runs on a device is one family, and its hybrids; what needs the rotation matrix is not there yet. */
static int registry_check_device(const struct dgnn_value *value, const struct dgnn_descriptor_kind *kind,
                                 const struct dgnn_load_context *context, struct dgnn_error *error)
{
    if (context->device && (!kind->runs_on_device || context->wants_rotation)) {
        return dgnn_value_refuse(
            error, DGNN_ERROR_UNSUPPORTED, value, "%s '%s' does not run on a device yet; use device 'cpu'",
            kind->runs_on_device ? "what dipoles and polarisabilities need of descriptor" : "descriptor",
            kind->type);
    }
    return DGNN_OK;
}

int dgnn_registry_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                       struct dgnn_descriptor **descriptor, struct dgnn_error *error)
{
    struct dgnn_value member = dgnn_value_member(value, "type");
    const char *type;
    DGNN_TRY(dgnn_value_string(&member, &type, error));
    for (int k = 0; k < REGISTRY_NKIND; k++) {
        if (registry_has_name(registry_kinds[k], type)) {
            DGNN_TRY(registry_check_device(value, registry_kinds[k], context, error));
            return registry_kinds[k]->load(value, context, descriptor, error);
        }
    }
    return registry_unknown(value, type, error);
}

void dgnn_registry_free(struct dgnn_descriptor *descriptor)
{
    if (descriptor) {
        dgnn_descriptor_kind(descriptor)->free(descriptor);
    }
}

int dgnn_registry_join_angles(struct dgnn_descriptor_properties *all,
                              const struct dgnn_descriptor_properties *own, struct dgnn_angle_limit **angle,
                              struct dgnn_error *error)
{
    struct dgnn_angle_limit *joined = dgnn_alloc(all->nangle + own->nangle, sizeof(*joined));
    if (!joined) {
        return dgnn_status_no_memory(error, "limits of angles", own->nangle * (int64_t)sizeof(*joined));
    }
    for (int32_t k = 0; k < all->nangle; k++) {
        joined[k] = all->angle[k];
    }
    for (int32_t k = 0; k < own->nangle; k++) {
        joined[all->nangle + k] = own->angle[k];
    }
    dgnn_alloc_free(*angle);
    all->angle = *angle = joined;
    all->nangle += own->nangle;
    return DGNN_OK;
}
