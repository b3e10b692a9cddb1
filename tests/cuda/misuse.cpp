/* Kernels with one mistake each, which the shim or a sanitizer must find: misuse NAME. "none" has none. */
#include "kernel.h"

struct misuse_argument {
    int64_t count;
    int which;
    float *out; /* 64 numbers */
};

KERNEL(misuse, misuse_argument)
{
    unsigned t = threadIdx.x;
    KERNEL_SHARED_ARRAY(float, shared, KERNEL_THREADS);
    if (k.which == 1) { /* two barriers where one is meant */
        if (t < 32) {
            __syncthreads();
        } else {
            __syncthreads();
            __syncthreads();
        }
    }
    if (k.which == 2 && t % 2) { /* half a warp */
        __shfl_xor_sync(0xffffffffu, 1.0f, 1);
    }
    if (k.which == 3 && t % 2) { /* a lane that is not in the mask */
        __shfl_xor_sync(0xaaaaaaaau, 1.0f, 1);
    }
    if (k.which != 4) { /* 4: shared memory that nobody wrote */
        shared[t] = (float)t;
    }
    if (k.which != 5) { /* 5: a race within a block */
        __syncthreads();
    }
    float other = shared[KERNEL_THREADS - 1 - t];
    if (k.which == 6) { /* a race between blocks */
        k.out[0] += other;
    }
    if (blockIdx.x == 0 && t < 64) {
        k.out[t + (k.which == 7 && t == 63)] = other; /* 7: one number too far */
    }
}

KERNEL_PLAIN(misuse_plain, misuse_argument)
{
    __syncthreads(); /* in a kernel that was said to have none */
    k.out[threadIdx.x % 64] = 0;
}

int main(int, char **given)
{
    static const char *const names[] = {"none", "barriers", "lanes", "mask", "unset", "race", "blocks", "overrun", "plain"};
    float *out = new float[64]();
    misuse_argument a = {0, 0, out};
    while (strcmp(names[a.which], given[1])) {
        a.which++;
    }
    for (cpu_kernel *kernel = cpu_kernel::first; kernel; kernel = kernel->next) {
        if (!strcmp(kernel->name, a.which == 8 ? "misuse_plain" : "misuse")) {
            cpu_launch(kernel, &a, {{2, 1, 1}, {KERNEL_THREADS, 1, 1}}, 'f');
        }
    }
    printf("%g\n", (double)out[5]);
    delete[] out;
}
