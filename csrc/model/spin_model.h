/* Models with spins (deepmd/utils/spin.py): {"type": "spin_ener", "backbone_model", "spin"} has virtual
 * atoms; of
 * {"type": "native_spin", "spin", ...}, which is a standard model but for that, the descriptor takes the
 * spins. */
#ifndef DGNN_MODEL_SPIN_MODEL_H
#define DGNN_MODEL_SPIN_MODEL_H

#include "io/tree.h"
#include "system/spin_nodes.h"

/* Is the object one with virtual atoms? Is it one whose descriptor takes spins? */
int dgnn_spin_model_is(const struct dgnn_value *model);
int dgnn_spin_model_is_native(const struct dgnn_value *model);

/* Of a native one, of ntypes types: what its spin object says beside the descriptor. UNSUPPORTED for a
 * backbone_type other than standard, FORMAT for a use_spin that isn't a flag for each type. */
int dgnn_spin_model_check_native(const struct dgnn_value *model, int32_t ntypes, struct dgnn_error *error);

/* scale: ntypes of atoms, allocated (dgnn_alloc_free); 0 for types without spin. FORMAT where it isn't made
 * for a backbone of node_types types; UNSUPPORTED, by name, for a spin scheme without virtual atoms. */
int dgnn_spin_model_load(const struct dgnn_value *model, int32_t node_types, double **scale,
                         struct dgnn_error *error);

#endif
