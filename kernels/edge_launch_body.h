static __global__ void __launch_bounds__(KERNEL_THREADS) REAL(edge_forward)(struct REAL(kernel_edge) block, int64_t begin)
{
    __shared__ real weight[KERNEL_DEPTH * KERNEL_THREADS];
    __shared__ real state[KERNEL_EDGES * KERNEL_DEPTH];
    REAL(kernel_edge_centre)(&block, begin + blockIdx.x, weight, state);
}

extern "C" int REAL(dgnn_device_edge_forward)(struct dgnn_device *device, const struct REAL(dgnn_edge_block) * block,
                                              int64_t begin, int64_t end, struct dgnn_error *error)
{
    if (end > begin) {
        REAL(edge_forward)<<<(unsigned)(end - begin), KERNEL_THREADS, 0, device->stream>>>(
            REAL(kernel_edge_flat)(block), begin);
    }
    return device_check(cudaGetLastError(), "the edge block", error);
}
