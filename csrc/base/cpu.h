/* Which instruction sets may be used. */
#ifndef DGNN_BASE_CPU_H
#define DGNN_BASE_CPU_H

struct dgnn_error; /* dgnn.h; the kernels, which take minutes to compile, do not depend on it */

/* From the plainest up; the reference is plain C without vectors, the portable one vectors of 16 bytes. */
enum dgnn_cpu {
    DGNN_CPU_REFERENCE = 0,
    DGNN_CPU_PORTABLE,
    DGNN_CPU_NEON,
    DGNN_CPU_AVX2,
    DGNN_CPU_AVX512,
    DGNN_CPU_COUNT
};

const char *dgnn_cpu_name(enum dgnn_cpu cpu); /* "reference", "portable", "neon", "avx2", "avx512" */

/* Is it in this machine, and not named in DGNN_DISABLE_CPU (names separated by commas)? */
int dgnn_cpu_usable(enum dgnn_cpu cpu);

/* The best usable one. An unknown name in DGNN_DISABLE_CPU is DGNN_ERROR_INPUT. */
int dgnn_cpu_best(enum dgnn_cpu *cpu, struct dgnn_error *error);

/* OMP_NUM_THREADS where it is a positive number, else the cores this process may use, or its share of them
 * where a launcher started several ranks here without binding them; 1 to 1024. */
int dgnn_cpu_threads(void);

/* The cores that this process may use, at least 1. Opens no file. */
int dgnn_cpu_cores(void);

#endif
