#include "model/features.h"

enum {
    FEATURES_KNOWN = DGNN_REQUEST_DESCRIPTOR | DGNN_REQUEST_LAST_LAYER | DGNN_REQUEST_NO_FORCES |
    DGNN_REQUEST_ALONE
};

static void features_widths(const struct dgnn_model *m, int32_t request, int64_t *width)
{
    width[DGNN_FEATURES_DESCRIPTOR] =
        request & DGNN_REQUEST_DESCRIPTOR ? m->properties.descriptor.dim_out : 0;
    width[DGNN_FEATURES_LAST_LAYER] =
        request & DGNN_REQUEST_LAST_LAYER ? m->properties.fitting.dim_last_layer : 0;
}

int dgnn_features_check(const struct dgnn_session *s, int32_t request, struct dgnn_error *error)
{
    if (request & ~FEATURES_KNOWN) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "request: found %d; expected bits of %d", request,
                               FEATURES_KNOWN);
    }
    for (int32_t k = 0; k < s->ncall; k++) {
        int64_t width[DGNN_FEATURES_KINDS];
        features_widths(s->part[k].model, request, width);
        if (request & DGNN_REQUEST_DESCRIPTOR && !width[DGNN_FEATURES_DESCRIPTOR]) {
            return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                   "descriptor: this model is a sum of models, each with a descriptor of its "
                                   "own; deepmd-kit gives none of it either");
        }
        if (request & DGNN_REQUEST_LAST_LAYER && !width[DGNN_FEATURES_LAST_LAYER]) {
            return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                   "last_layer: expected one fitting net with a hidden layer, or one as wide "
                                   "for each type; this model is a sum of models, or has none");
        }
    }
    return DGNN_OK;
}

int64_t dgnn_features_most(const struct dgnn_session *s, int32_t request)
{
    int64_t most = 0;
    for (int32_t k = 0; k < s->ncall; k++) {
        int64_t width[DGNN_FEATURES_KINDS];
        features_widths(s->part[k].model, request, width);
        int64_t own = width[DGNN_FEATURES_DESCRIPTOR] + width[DGNN_FEATURES_LAST_LAYER];
        most = own > most ? own : most;
    }
    return most;
}

int dgnn_features_reserve(struct dgnn_session *s, int32_t request, int64_t nowned, struct dgnn_error *error)
{
    int64_t row = dgnn_features_most(s, request) * (int64_t)sizeof(double);
    return dgnn_buffer_reserve(&s->features, nowned * row, "descriptors", error);
}

struct dgnn_features dgnn_features_of(const struct dgnn_session *s, const struct dgnn_session_part *part,
                                      int32_t request, int64_t nowned)
{
    struct dgnn_features features = {.width = {0}};
    double *rows = s->features.data;
    features_widths(part->model, request, features.width);
    for (int k = 0; k < DGNN_FEATURES_KINDS; k++) {
        features.rows[k] = features.width[k] ? rows : NULL;
        rows += features.width[k] ? features.width[k] * nowned : 0;
    }
    return features;
}
