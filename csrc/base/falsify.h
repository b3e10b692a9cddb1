/* A fault for the tests of dgnn check. */
#ifndef DGNN_BASE_FALSIFY_H
#define DGNN_BASE_FALSIFY_H

#include "base/cpu.h"

#include "dgnn.h"

/* Makes the product in the table of kernels of one instruction set wrong, for models that are loaded from now
 * on; "" ends this. The shared library exports it for tests of its hosts, as dgnn_alloc_fail_at; it is not
 * part of dgnn.h. */
DGNN_API void dgnn_falsify(const char *name);

/* Returns 1 where the set is the one that was named. */
int dgnn_falsify_has(enum dgnn_cpu cpu);

#endif
