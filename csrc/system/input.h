/* Checks of the atoms that a caller passes, in the caller's own numbers. */
#ifndef DGNN_SYSTEM_INPUT_H
#define DGNN_SYSTEM_INPUT_H

#include "base/status.h"

/* Types in [-1, ntypes), finite coordinates (of atoms that are not NULL), ids of at least 0. *nreal: atoms
 * that are not NULL. Errors: INPUT. */
int dgnn_input_check(const struct dgnn_system *system, int32_t ntypes, int64_t *nreal,
                     struct dgnn_error *error);

#endif
