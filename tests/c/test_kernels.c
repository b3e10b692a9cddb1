/* The CPU twins of the device kernels (kernels/), which have the kernels' own bodies, against the reference.
 */
#include "ops_frame.h"

#include "../../kernels/common.cuh"

#define DGNN_REAL_BITS 32
#include "ops_case_body.h"
#include "../../kernels/edge_body.h"
#include "kernels_test_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops_case_body.h"
#include "../../kernels/edge_body.h"
#include "kernels_test_body.h"

int main(void)
{
    test_activations_f32();
    test_activations_f64();
    test_edges_f32();
    test_edges_f64();
    printf("twins against the reference: float32 %.2g, float64 %.2g of the largest number\n", ops_worst32,
           ops_worst64);
    return check_report();
}
