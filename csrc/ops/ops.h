/* The table of operations: one for each element type and instruction set. A plain-C reference fills every
 * entry, and so does each faster instance. net calls through the table and nothing else. */
#ifndef DGNN_OPS_OPS_H
#define DGNN_OPS_OPS_H

#include "base/cpu.h"
#include "ops/activation_kinds.h"

/* name as deepmd-kit writes it, in any case: "tanh", "silut:10.0", "none", ... UNSUPPORTED for others. */
int dgnn_activation_parse(const char *name, struct dgnn_activation *activation, struct dgnn_error *error);

/* deepmd-kit has two forms of GELU: its layers use torch's; the descriptors that apply an activation
 * themselves (DPA3's and DPA2's layers) round sqrt(2/pi) to float32, which shows at 1e-9. This makes
 * activation the second. */
void dgnn_activation_as_descriptor(struct dgnn_activation *activation);

/* Value and slope in float64, from libm: the reference. slope may be NULL. */
double dgnn_activation_value(const struct dgnn_activation *activation, double x, double *slope);

#endif
