/* Every instance of the table of operations that this machine can run, against the reference. */
#include <stdlib.h>

#include "check.h"
#include "ops/table.h"
#include "random.h"

static const char *const ops_names[] = {"linear", "tanh",      "relu",       "relu6",     "gelu",    "softplus", "sigmoid",
                                        "silu",   "silut:3.0", "silut:10.0", "silut:0.5", "custom_silu:1.5"};
enum { OPS_NACTIVATION = sizeof(ops_names) / sizeof(ops_names[0]) };
static uint64_t ops_seed = 1;
static int ops_first_layer; /* differences: cosine x weight instead of angle features */
static char ops_where[160]; /* what is tested, for messages */

/* Units of rounding that a block may lose against the reference: sums of at most 100 terms in another order, each
 * rounded, then activations (bounds in ops_test.inc), and a few of these one after another. */
static const double ops_limit32 = 1e-5, ops_limit64 = 1e-12;
static double ops_worst32, ops_worst64;

/* Kinds of rows: (m | e), (e | a), twice (e | a), e. */
enum { OPS_COLUMNS_EDGE, OPS_COLUMNS_ANGLE, OPS_COLUMNS_PAIR, OPS_COLUMNS_E };

static void ops_judge(const char *name, double error, int bits)
{
    double limit = bits == 32 ? ops_limit32 : ops_limit64, *worst = bits == 32 ? &ops_worst32 : &ops_worst64;
    *worst = error > *worst ? error : *worst;
    check_count(error <= limit, __FILE__, __LINE__, name);
    if (!(error <= limit)) {
        fprintf(stderr, "    %s, %s: %g is over %g\n", ops_where, name, error, limit);
    }
}

static void ops_compare_double(const char *name, const double *ours, const double *theirs, int64_t n, int bits)
{
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < n; i++) {
        scale = fabs(theirs[i]) > scale ? fabs(theirs[i]) : scale;
        worst = !(fabs(ours[i] - theirs[i]) <= worst) ? fabs(ours[i] - theirs[i]) : worst;
    }
    ops_judge(name, worst / scale, bits);
}

#define DGNN_REAL_BITS 32
#include "ops_case.inc"
#include "ops_test.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops_case.inc"
#include "ops_test.inc"
#include "ops_difference.inc"

static void test_reference_is_complete(void)
{
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (dgnn_cpu_usable(cpu)) {
            CHECK(dgnn_select_ops_f32(cpu)->cpu == cpu && dgnn_select_ops_f64(cpu)->cpu == cpu);
        }
    }
    CHECK(dgnn_reference_ops_f64.cpu == DGNN_CPU_REFERENCE);
}

int main(void)
{
    test_reference_is_complete();
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (dgnn_cpu_usable(cpu)) {
            ops_test_table_f32(dgnn_select_ops_f32(cpu), dgnn_cpu_name(cpu));
            ops_test_table_f64(dgnn_select_ops_f64(cpu), dgnn_cpu_name(cpu));
        }
    }

    ops_test_differences();
    printf("blocks against the reference: float32 %.2g, float64 %.2g of the largest number\n", ops_worst32,
           ops_worst64);
    return check_report();
}
