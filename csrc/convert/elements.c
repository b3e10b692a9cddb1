#include "convert/elements.h"

#include <math.h>
#include <string.h>

static int elements_noted(const struct dgnn_value *observed, const char *symbol)
{
    int64_t count = dgnn_value_count(observed);
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(observed, k);
        const char *name;
        if (!dgnn_value_string(&item, &name, NULL) && !strcmp(name, symbol)) {
            return 1;
        }
    }
    return 0;
}

static int elements_biased(const struct dgnn_tensor *bias, int64_t type)
{
    int64_t width = bias->ndim == 3 ? bias->shape[2] : 0;
    for (int64_t k = type * width; k < (type + 1) * width; k++) {
        double value = bias->dtype == 'd' ? ((const double *)bias->data)[k] : ((const float *)bias->data)[k];
        if (fabs(value) > 1e-6) {
            return 1;
        }
    }
    return 0;
}

int dgnn_elements_json(const struct dgnn_elements_source *source, struct dgnn_text *text,
                       struct dgnn_error *error)
{
    struct dgnn_value observed = dgnn_value_member(&source->info, "observed_type");
    const struct dgnn_tensor *bias = source->out_bias;
    int noted = dgnn_value_kind(&observed) == DGNN_VALUE_LIST;
    int64_t ntypes = source->ntypes, count = 0;
    int usable = bias && bias->ndim == 3 && bias->shape[0] == 1 && bias->shape[1] >= ntypes &&
                 (bias->dtype == 'd' || bias->dtype == 'f');
    int64_t before = text->length;
    for (int64_t t = 0; t < ntypes; t++) {
        const char *symbol = source->type_map[t];
        if (!(noted ? elements_noted(&observed, symbol) : usable && elements_biased(bias, t))) {
            continue;
        }
        DGNN_TRY(dgnn_text_add(text, error, count++ ? ", " : "["));
        DGNN_TRY(dgnn_text_add_quoted(text, symbol, error));
    }
    return dgnn_text_add(text, error, text->length > before ? "]" : noted ? "[]" : "null");
}
