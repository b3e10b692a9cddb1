/* metadata.json: what deepmd-kit says of a model beside its weights. Read to choose the semantics and to
 * refuse archives whose halves disagree. */
#ifndef DGNN_MODEL_METADATA_H
#define DGNN_MODEL_METADATA_H

#include "net/energy/atomic.h"

struct dgnn_metadata_facts {
    int32_t ntypes;
    const char *const *type_map;
    int32_t is_spin;
    int32_t node_types;               /* of the network, whose excluded pairs are compared */
    const struct dgnn_value *network; /* the model's object, or a spin model's backbone */
    const struct dgnn_atomic_properties *properties;
};

/* metadata may be NULL: dense. FORMAT where it contradicts the model, naming the member; UNSUPPORTED for a
 * lower_input_kind that dgnn does not have. */
int dgnn_metadata_check(const struct dgnn_tree *metadata, const struct dgnn_metadata_facts *facts,
                        int32_t *semantics, struct dgnn_error *error);

/* A true member? Absent and NULL are false. */
int dgnn_metadata_flag(const struct dgnn_tree *metadata, const char *name);

#endif
