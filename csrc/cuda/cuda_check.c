#include "cuda/cuda_check.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "cuda/kernel_arguments.h"

/* Rows and columns that do not fill their tiles, and more than one of these. */
enum { CHECK_ROWS = 70, CHECK_DEPTH = 24, CHECK_COLUMNS = 72 };

/* Numbers in [-1, 1), the same at each call. */
static double check_number(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 23) - 1;
}

#define DGNN_REAL_BITS 32
#include "cuda/cuda_check_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "cuda/cuda_check_body.h"

int dgnn_cuda_check_products(struct dgnn_cuda_device *device, int *right, struct dgnn_error *error)
{
    struct dgnn_cuda_queue queue;
    struct dgnn_cuda_buffer memory = {0};
    int right_f32 = 0, right_f64 = 0;
    DGNN_TRY(dgnn_cuda_device_queue(device, &queue, error));
    dgnn_cuda_queue_enter(&queue);
    int status = check_product_f32(&queue, &memory, &right_f32, error);
    status = status ? status : check_product_f64(&queue, &memory, &right_f64, error);
    dgnn_cuda_queue_leave(&queue);
    dgnn_cuda_buffer_free(&queue, &memory);
    dgnn_cuda_queue_free(&queue);
    *right = right_f32 && right_f64;
    return status;
}
