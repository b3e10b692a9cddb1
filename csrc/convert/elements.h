/* The elements that a model saw in training. */
#ifndef DGNN_CONVERT_ELEMENTS_H
#define DGNN_CONVERT_ELEMENTS_H

#include "base/text.h"
#include "io/tree.h"

struct dgnn_elements_source {
    const char *const *type_map; /* of atoms */
    int64_t ntypes;
    struct dgnn_value info;             /* "info" of the settings, or absent */
    const struct dgnn_tensor *out_bias; /* (1, types, any), or NULL */
};

/* Adds a JSON list of symbols, in the order of type_map: those in info.observed_type, which deepmd-kit's
 * training notes; else, as deepmd-kit itself does, those whose out_bias is not zero (beyond 1e-6); null where
 * neither says anything. Error: MEMORY. */
int dgnn_elements_json(const struct dgnn_elements_source *source, struct dgnn_text *text,
                       struct dgnn_error *error);

#endif
