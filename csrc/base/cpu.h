/* The instruction sets and cores that this process may use. */
#ifndef DGNN_BASE_CPU_H
#define DGNN_BASE_CPU_H

struct dgnn_error; /* dgnn.h; the kernels, which take minutes to compile, do not depend on it */

/* Instruction sets, the simplest first. The reference is plain C without vectors; the portable set has
 * vectors of 16 bytes. */
enum dgnn_cpu {
    DGNN_CPU_REFERENCE = 0,
    DGNN_CPU_PORTABLE,
    DGNN_CPU_NEON,
    DGNN_CPU_AVX2,
    DGNN_CPU_AVX512,
    DGNN_CPU_COUNT
};

const char *dgnn_cpu_name(enum dgnn_cpu cpu); /* "reference", "portable", "neon", "avx2", "avx512" */

/* Returns 1 where the machine has the set and DGNN_DISABLE_CPU (names separated by commas) does not name it.
 */
int dgnn_cpu_usable(enum dgnn_cpu cpu);

/* Finds the best usable set. Errors: INPUT, for an unknown name in DGNN_DISABLE_CPU. */
int dgnn_cpu_best(enum dgnn_cpu *cpu, struct dgnn_error *error);

/* Returns the default number of threads, 1 to 1024: OMP_NUM_THREADS where it is a positive number, otherwise
 * the cores that this process may use. Where a launcher started several ranks on this machine without binding
 * them to cores, it is this rank's share of the cores. */
int dgnn_cpu_threads(void);

/* Returns the number of cores that this process may use, at least 1. It opens no file. */
int dgnn_cpu_cores(void);

#endif
