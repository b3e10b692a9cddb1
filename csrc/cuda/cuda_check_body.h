#include "base/real.h"

/* Numbers of a product, and what is made of them. */
struct REAL(check_numbers) {
    real rows[CHECK_ROWS * CHECK_DEPTH], weights[CHECK_DEPTH * CHECK_COLUMNS];
    real out[CHECK_ROWS * CHECK_COLUMNS];
};

/* Is each number within the limit, of the sum of its terms' sizes? Plain TF32 is 5e-4 away. */
static int REAL(check_is_right)(const struct REAL(check_numbers) * n)
{
    const double limit = DGNN_REAL_BITS == 32 ? 2e-6 : 1e-14;
    int right = 1;
    for (int t = 0; t < CHECK_ROWS * CHECK_COLUMNS; t++) {
        double sum = 0, size = 0;
        for (int k = 0; k < CHECK_DEPTH; k++) {
            double term = (double)n->rows[t / CHECK_COLUMNS * CHECK_DEPTH + k] *
                          (double)n->weights[k * CHECK_COLUMNS + t % CHECK_COLUMNS];
            sum += term;
            size += fabs(term);
        }
        right &= fabs((double)n->out[t] - sum) <= limit * size; /* also false for NaN */
    }
    return right;
}

static int REAL(check_product)(struct dgnn_cuda_queue *queue, struct dgnn_cuda_buffer *memory, int *right,
                               struct dgnn_error *error)
{
    uint32_t seed = 1;
    struct REAL(check_numbers) *n = dgnn_alloc(1, sizeof(*n)), *device;
    if (!n) {
        return dgnn_status_no_memory(error, "a test of the device", sizeof(*n));
    }
    for (int k = 0; k < CHECK_ROWS * CHECK_DEPTH; k++) {
        n->rows[k] = (real)check_number(&seed);
    }
    for (int k = 0; k < CHECK_DEPTH * CHECK_COLUMNS; k++) {
        n->weights[k] = (real)check_number(&seed);
    }
    int status = dgnn_cuda_buffer_reserve(queue, memory, sizeof(*n), "a test of the device", error);
    if (!status) {
        device = (struct REAL(check_numbers) *)memory->data;
        const struct REAL(dgnn_kernel_product) product = {.nrow = CHECK_ROWS,
                                                          .ncol = CHECK_COLUMNS,
                                                          .depth = CHECK_DEPTH,
                                                          .rows = device->rows,
                                                          .row_stride = CHECK_DEPTH,
                                                          .weights = device->weights,
                                                          .weight_stride = CHECK_COLUMNS,
                                                          .out = device->out,
                                                          .out_stride = CHECK_COLUMNS};
        dgnn_cuda_queue_upload(queue, device, n, sizeof(*n));
        dgnn_cuda_queue_launch_tiles(queue, DGNN_KERNEL_product_tensor, DGNN_REAL_BITS, 4, &product);
        dgnn_cuda_queue_download(queue, n->out, device->out, sizeof(n->out));
        status = dgnn_cuda_queue_wait(queue, error);
    }
    *right = !status && REAL(check_is_right)(n);
    dgnn_alloc_free(n);
    return status;
}
