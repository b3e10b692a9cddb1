/* The ladder from instruction set to table. */
#include "ops/table.h"

const struct dgnn_ops_f32 *dgnn_select_ops_f32(enum dgnn_cpu cpu)
{
    (void)cpu;
    return &dgnn_reference_ops_f32;
}

const struct dgnn_ops_f64 *dgnn_select_ops_f64(enum dgnn_cpu cpu)
{
    (void)cpu;
    return &dgnn_reference_ops_f64;
}
