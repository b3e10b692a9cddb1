/* Each block of the table of operations against its own bound, for every instruction set that runs here.
 *
 * usage: bench_ops [MILLISECONDS for each line (50) [CENTRES (48) [BLOCK [INSTRUCTION-SET]]]]: only lines of
 * that name
 *
 * Random data with water's numbers of edges and angles and the widths of deepmd-kit's six-layer DPA3, one
 * thread, processor time, the best of several runs. "bound" is the time that a block's products need at the
 * rate of a plain product of 256 columns with 256 ("gemm"), and its activations at the rate of "activate",
 * one after the other; what is kept of forward, gathers and sums come on top of that. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops_frame.h"

struct bench_line {
    const char *name;
    double flop, activations; /* of one run */
};

static double bench_budget_s = 0.05;
static const char *bench_only; /* the one block that is wanted; NULL: all */

static double bench_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds of the fastest of several runs, each of so many calls that reading the clock is nothing beside
 * them. */
static double bench_best(void (*run)(void *), void *context, double budget_s)
{
    double best = 1e30, begin = bench_now(), now = begin;
    int64_t ncall = 1;
    for (int i = 0; i < 2 || now - begin < budget_s; i++) {
        double start = bench_now();
        for (int64_t call = 0; call < ncall; call++) {
            run(context);
        }
        now = bench_now();
        best = (now - start) / (double)ncall < best ? (now - start) / (double)ncall : best;
        ncall = now - start < 5e-5 && ncall < 1 << 20 ? 2 * ncall : ncall;
    }
    return best;
}

/* Measures and prints a line; rates: of gemm and of activate, each second. */
static void bench_line(const char *set, int bits, const struct bench_line *line, void (*run)(void *),
                       void *context, const double *rates)
{
    if (bench_only && strcmp(bench_only, line->name)) {
        return;
    }
    double seconds = bench_best(run, context, bench_budget_s),
           bound = line->flop / rates[0] + line->activations / rates[1];
    printf("%-9s f%d  %-34s %9.1f %8.1f %6.2f %9.1f %6.2f\n", set, bits, line->name, 1e6 * seconds,
           1e-9 * line->flop / seconds, line->flop / seconds / rates[0], 1e6 * bound, bound / seconds);
}

#define DGNN_REAL_BITS 32
#include "ops_case_body.h"
#include "../../benchmarks/bench_ops_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "ops_case_body.h"
#include "../../benchmarks/bench_ops_body.h"

int main(int argc, char **argv)
{
    bench_budget_s = argc > 1 ? 1e-3 * atof(argv[1]) : bench_budget_s;
    ops_uniform.ncentre = argc > 2 ? atoi(argv[2]) : 48;
    bench_only = argc > 3 ? argv[3] : NULL;
    ops_uniform.edges = 90;
    ops_uniform.angles = 27;
    printf("%-9s %-4s %-34s %9s %8s %6s %9s %6s\n", "", "", "centres of 90 edges, 27 in angles", "us",
           "GFLOP/s", "/gemm", "bound/us", "share");
    for (enum dgnn_cpu cpu = 0; cpu < DGNN_CPU_COUNT; cpu++) {
        if (dgnn_cpu_usable(cpu) && (argc < 5 || !strcmp(argv[4], dgnn_cpu_name(cpu)))) {
            bench_table_f32(dgnn_select_ops_f32(cpu), dgnn_cpu_name(cpu));
            bench_table_f64(dgnn_select_ops_f64(cpu), dgnn_cpu_name(cpu));
        }
    }
    return check_failed > 0;
}
