/* DPA4C's entries of every instance of the table of operations that this machine can run, against the
 * reference. */
#include <stdlib.h>

#include "ops_dpa4c.h"

#define DGNN_REAL_BITS 32
#include "ops_dpa4c_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops_dpa4c_body.h"

int main(void)
{
    char names[128] = "";
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (cpu != DGNN_CPU_REFERENCE && dgnn_cpu_usable(cpu)) {
            strcat(strcat(names, *names ? ", " : ""), dgnn_cpu_name(cpu));
            ops_test_dpa4c_f32(dgnn_select_ops_f32(cpu), dgnn_cpu_name(cpu));
            ops_test_dpa4c_f64(dgnn_select_ops_f64(cpu), dgnn_cpu_name(cpu));
        }
    }
    printf("%s: DPA4C's blocks against the reference: float32 %.2g, float64 %.2g of the largest number\n",
           names, ops_worst32, ops_worst64);
    return check_report();
}
