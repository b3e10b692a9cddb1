/* What deepmd-kit makes of a spin model's settings: twice the types, of which the second half are virtual
 * atoms. */
#ifndef DGNN_CONVERT_SPIN_SETTINGS_H
#define DGNN_CONVERT_SPIN_SETTINGS_H

#include "convert/emit.h"

/* Defines "type_map", "ntypes", "exclude", "protection", "sel", "atom_exclude", "pair_exclude", "use_spin"
 * and "virtual_scale" in settings, whose scope has the model's. expt: of the pt_expt backend. Errors: FORMAT,
 * MEMORY. */
int dgnn_spin_settings_define(struct dgnn_emit *emit, struct dgnn_emit_settings *settings, int expt);

/* Of a model whose spins are inputs of the descriptor: "native_spin" alone, a boolean for each type. Errors:
 * FORMAT, MEMORY. */
int dgnn_spin_settings_define_native(struct dgnn_emit *emit, struct dgnn_emit_settings *settings);

#endif
