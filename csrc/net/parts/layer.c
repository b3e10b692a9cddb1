#include "net/parts/layer.h"

#include <string.h>

#include "net/params/params.h"

static int layer_shape_error(const struct dgnn_value *value, const char *what, int64_t found, int64_t expected,
                             struct dgnn_error *error)
{
    char path[256];
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %s is %lld, expected %lld",
                           dgnn_value_path(value, path, sizeof(path)), what, (long long)found, (long long)expected);
}

/* What the members of a Layer say beside its arrays. */
static int layer_settings(const struct dgnn_value *value, struct dgnn_activation *activation, int *resnet,
                          struct dgnn_error *error)
{
    struct dgnn_value function = dgnn_value_member(value, "activation_function");
    struct dgnn_value flag = dgnn_value_member(value, "resnet");
    const char *name = NULL;
    DGNN_TRY(dgnn_value_object(value, error));
    DGNN_TRY(dgnn_params_version(value, 1, 2, 1, error));
    if (dgnn_value_kind(&function) != DGNN_VALUE_NULL && dgnn_value_kind(&function) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_string(&function, &name, error));
    }
    *resnet = 0;
    if (dgnn_value_kind(&flag) != DGNN_VALUE_ABSENT) {
        DGNN_TRY(dgnn_value_bool(&flag, resnet, error));
    }
    return dgnn_params_activation(name, value, activation, error);
}

#define DGNN_REAL_BITS 32
#include "net/parts/layer_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/layer_body.h"
