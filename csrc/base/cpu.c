#include "base/cpu.h"

#include "base/status.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const cpu_names[DGNN_CPU_COUNT] = {"reference", "portable", "neon", "avx2", "avx512"};

const char *dgnn_cpu_name(enum dgnn_cpu cpu)
{
    return cpu_names[cpu];
}

static int cpu_present(enum dgnn_cpu cpu)
{
    switch (cpu) {
    case DGNN_CPU_REFERENCE:
    case DGNN_CPU_PORTABLE:
        return 1;
#if defined(__x86_64__)
    case DGNN_CPU_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case DGNN_CPU_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
    case DGNN_CPU_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}

/* Is name one of the comma-separated names in DGNN_DISABLE_CPU? */
static int cpu_disabled(const char *name)
{
    const char *list = getenv("DGNN_DISABLE_CPU");
    size_t length = strlen(name);
    while (list && *list) {
        size_t item = strcspn(list, ",");
        if (item == length && !strncmp(list, name, length)) {
            return 1;
        }
        list += item;
        list += *list == ',';
    }
    return 0;
}

int dgnn_cpu_usable(enum dgnn_cpu cpu)
{
    return cpu == DGNN_CPU_REFERENCE || (cpu_present(cpu) && !cpu_disabled(cpu_names[cpu]));
}

static int cpu_check_names(struct dgnn_error *error)
{
    const char *list = getenv("DGNN_DISABLE_CPU");
    while (list && *list) {
        size_t item = strcspn(list, ",");
        int known = item == 0;
        for (int cpu = DGNN_CPU_PORTABLE; cpu < DGNN_CPU_COUNT; cpu++) {
            known |= strlen(cpu_names[cpu]) == item && !strncmp(list, cpu_names[cpu], item);
        }
        if (!known) {
            return dgnn_status_set(
                error, DGNN_ERROR_INPUT,
                "DGNN_DISABLE_CPU: '%.*s' is not an instruction set; known: portable, neon, avx2, avx512",
                (int)item, list);
        }
        list += item;
        list += *list == ',';
    }
    return DGNN_OK;
}

int dgnn_cpu_best(enum dgnn_cpu *cpu, struct dgnn_error *error)
{
    DGNN_TRY(cpu_check_names(error));
    *cpu = DGNN_CPU_REFERENCE;
    for (int candidate = DGNN_CPU_PORTABLE; candidate < DGNN_CPU_COUNT; candidate++) {
        if (dgnn_cpu_usable((enum dgnn_cpu)candidate)) {
            *cpu = (enum dgnn_cpu)candidate;
        }
    }
    return DGNN_OK;
}

/* Ranks that a launcher started on this node, as it says in the environment; 1 where there is none. */
static long cpu_local_ranks(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
                                        "MV2_COMM_WORLD_LOCAL_SIZE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        long count = value ? strtol(value, NULL, 10) : 0;
        if (count > 0) {
            return count;
        }
    }
    return 1;
}

int dgnn_cpu_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    int cores = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);
#else
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
    return cores < 1 ? 1 : cores;
}

int dgnn_cpu_threads(void)
{
    const char *setting = getenv("OMP_NUM_THREADS");
    long threads = setting ? strtol(setting, NULL, 10) : 0;
    if (threads < 1) {
        threads = dgnn_cpu_cores();
        if (threads == sysconf(_SC_NPROCESSORS_ONLN)) { /* not bound: the ranks share all cores */
            threads /= cpu_local_ranks();
        }
    }
    return threads < 1 ? 1 : threads > 1024 ? 1024 : (int)threads;
}
