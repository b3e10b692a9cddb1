/* Fittings and models: from a checkpoint's settings and tensors to the tree. */
#ifndef DGNN_CONVERT_FITTINGS_H
#define DGNN_CONVERT_FITTINGS_H

#include "convert/descriptors.h"

/* scope->params: the model's settings; scope->prefix: of its atomic model, as "atomic_model.";
 * scope->variables: "ntypes" and "type_map". Errors: UNSUPPORTED for a fitting of another kind, FORMAT. */
int dgnn_fittings_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                       const struct dgnn_descriptors_facts *facts);

/* Is the settings' fitting one of energies? */
int dgnn_fittings_is_energy(const struct dgnn_emit_scope *scope);

#endif
