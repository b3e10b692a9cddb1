/* What tests of operations share: names of activations, seeds, and the judgement of differences. */
#ifndef DGNN_TESTS_OPS_FRAME_H
#define DGNN_TESTS_OPS_FRAME_H

#include "base/alloc.h"
#include "check.h"
#include "ops/table.h"
#include "random.h"

static const char *const ops_names[] = {"linear",    "tanh",       "relu",      "relu6",
                                        "gelu",      "softplus",   "sigmoid",   "silu",
                                        "silut:3.0", "silut:10.0", "silut:0.5", "custom_silu:1.5"};
enum { OPS_NACTIVATION = sizeof(ops_names) / sizeof(ops_names[0]) };
static uint64_t ops_seed = 1;
static struct {
    int64_t ncentre, edges, angles;
} ops_uniform __attribute__((unused)); /* ncentre > 0: all centres have the same counts */
static int ops_first_layer
    __attribute__((unused)); /* differences: cosine x weight instead of angle features */
static char ops_where[160];  /* what is tested, for messages */

/* Units of rounding that a block may lose against the reference: sums of at most 100 terms in another order,
 * each rounded, then activations (bounds in ops_test_body.h), and a few of these one after another. */
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

static void ops_compare_double(const char *name, const double *ours, const double *theirs, int64_t n,
                               int bits)
{
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < n; i++) {
        scale = fabs(theirs[i]) > scale ? fabs(theirs[i]) : scale;
        worst = check_larger(worst, fabs(ours[i] - theirs[i]));
    }
    ops_judge(name, worst / scale, bits);
}

#endif
