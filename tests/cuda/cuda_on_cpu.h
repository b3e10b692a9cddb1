/* CUDA device code as C++ for a CPU: a block's threads are fibres of one thread of the system; they take
 * turns at barriers and at what a warp does together. Enough of CUDA for kernels that have one struct as
 * their argument. */
#ifndef CUDA_ON_CPU_H
#define CUDA_ON_CPU_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

/* The shim's own, not the kernel's: what a thread sanitizer need not look at. */
#define CPU_QUIET __attribute__((noinline, unused, no_sanitize("thread")))

struct cpu_uint3 {
    unsigned x, y, z;
};
struct cpu_lane {
    cpu_uint3 thread;
};
extern thread_local cpu_lane *cpu_now; /* the running thread of the block */
extern thread_local cpu_uint3 cpu_block_index, cpu_block_dim, cpu_grid_dim;

#define threadIdx (cpu_now->thread)
#define blockIdx  cpu_block_index
#define blockDim  cpu_block_dim
#define gridDim   cpu_grid_dim

void cpu_syncthreads(const void *where);
/* Each lane of mask brings size bytes, at most 64, and gets all lanes' (32 places of 64 bytes, till its next
 * call). */
const char *cpu_together(unsigned mask, const void *bytes, size_t size, const void *where);
/* This block's, fresh, of exact size, filled with NaN; site: of the declaration. */
void *cpu_shared_memory(int site, size_t size);
[[noreturn]] void cpu_fail(const char *what);

static CPU_QUIET void __syncthreads()
{
    cpu_syncthreads(__builtin_return_address(0));
}
#define KERNEL_SHARED_ARRAY(type, name, count)                                                               \
    type *const name = static_cast<type *>(cpu_shared_memory(__COUNTER__, sizeof(type) * (count)))

static inline unsigned cpu_lane_number()
{
    return threadIdx.x % 32;
}
template <class T>
static inline __attribute__((no_sanitize("thread"))) T cpu_from(const char *all, unsigned lane)
{
    T value;
    memcpy(&value, all + 64 * lane, sizeof value);
    return value;
}
template <class T> static CPU_QUIET T __shfl_xor_sync(unsigned mask, T value, int x)
{
    unsigned from = cpu_lane_number() ^ unsigned(x);
    const char *all = cpu_together(mask, &value, sizeof value, __builtin_return_address(0));
    if (!(mask >> from & 1)) {
        cpu_fail("__shfl_xor_sync reads a lane that is not in its mask");
    }
    return cpu_from<T>(all, from);
}

/* Twins of kernels/tensor.h, lane by lane. cpu_tensor_is_wrong: for the test that finds it. */
extern int cpu_tensor_is_wrong;
static inline float cpu_bits(unsigned bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static inline unsigned cpu_bits_of(float x)
{
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}
static inline float tensor_tf32(float x)
{
    return cpu_bits((cpu_bits_of(x) + 0x1000u) & 0xffffe000u);
}
static CPU_QUIET void tensor_multiply(float *c, const float *a, const float *b)
{
    float mine[6]; /* what the unit reads: bits beyond TF32's are cut off */
    for (int k = 0; k < 6; k++) {
        mine[k] = cpu_bits(cpu_bits_of(k < 4 ? a[k] : b[k - 4]) & 0xffffe000u);
    }
    const float *all =
        (const float *)cpu_together(0xffffffffu, mine, sizeof mine, __builtin_return_address(0));
    unsigned lane = cpu_lane_number(), g = lane / 4, t = lane % 4;
    for (unsigned k = 0; k < 4; k++) { /* 16 numbers a lane */
        const float *of_a = all + 16 * (4 * g + k), *of_b = all + 16 * (8 * t + k), *next = of_b + 16 * 4;
        c[0] += of_a[0] * of_b[4] + of_a[2] * of_b[5];
        c[1] += of_a[0] * next[4] + of_a[2] * next[5];
        c[2] += of_a[1] * of_b[4] + of_a[3] * of_b[5];
        c[3] += of_a[1] * next[4] + of_a[3] * next[5];
    }
    c[0] += cpu_tensor_is_wrong ? 1e-3f : 0.0f;
}
static CPU_QUIET void tensor_multiply(double *c, double a, double b)
{
    double mine[2] = {a, b};
    const double *all =
        (const double *)cpu_together(0xffffffffu, mine, sizeof mine, __builtin_return_address(0));
    unsigned lane = cpu_lane_number(), g = lane / 4, t = lane % 4;
    for (unsigned k = 0; k < 4; k++) { /* 8 numbers a lane; b (k, 2t) is lane 8 t + k's */
        c[0] += all[8 * (4 * g + k)] * all[8 * (8 * t + k) + 1];
        c[1] += all[8 * (4 * g + k)] * all[8 * (8 * t + 4 + k) + 1];
    }
}

/* A kernel's entry: its name, its argument's size, and how to run one of its threads. */
struct cpu_kernel {
    const char *name;
    size_t argument_size;
    int threads, is_plain;
    void (*run)(const void *argument);
    cpu_kernel *next;
    static cpu_kernel *first;
    cpu_kernel(const char *name, size_t size, int threads, int is_plain, void (*run)(const void *))
        : name(name), argument_size(size), threads(threads), is_plain(is_plain), run(run), next(first)
    {
        first = this;
    }
};
/* is_plain: its threads never wait for one another, so they are run without fibres. */
#define CUDA_ON_CPU_KERNEL(threads, name, type, is_plain) CUDA_ON_CPU_KERNEL2(threads, name, type, is_plain)
#define CUDA_ON_CPU_KERNEL2(threads, name, type, is_plain)                                                   \
    static void name(const type &k);                                                                         \
    static void name##_run(const void *argument)                                                             \
    {                                                                                                        \
        name(*static_cast<const type *>(argument));                                                          \
    }                                                                                                        \
    static cpu_kernel name##_entry(#name, sizeof(type), threads, is_plain, name##_run);                      \
    static void name(const type &k)

struct cpu_launch_shape {
    cpu_uint3 grid, block;
};
/* order: 'f'orward, 'b'ackward or 's'huffled, of threads and of blocks. */
void cpu_launch(const cpu_kernel *kernel, const void *argument, cpu_launch_shape shape, char order);

#endif
