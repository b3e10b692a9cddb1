/* The outer object of a spin model: {"type": "spin_ener", "backbone_model", "spin"} (deepmd/utils/spin.py). */
#ifndef DGNN_MODEL_SPINMODEL_H
#define DGNN_MODEL_SPINMODEL_H

#include "io/tree.h"
#include "system/magnetic.h"

/* Is the object one? */
int dgnn_spinmodel_is(const struct dgnn_value *model);

/* scale: ntypes of atoms, allocated (dgnn_alloc_free); 0 for types without spin. FORMAT where it isn't made for a
 * backbone of node_types types; UNSUPPORTED, by name, for a spin scheme without virtual atoms. */
int dgnn_spinmodel_load(const struct dgnn_value *model, int32_t node_types, double **scale,
                        struct dgnn_error *error);

#endif
