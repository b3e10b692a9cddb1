/* Devices, opened once in a process and shared by its models; and queues of work on them, one for each
 * workspace. */
#ifndef DGNN_CUDA_DEVICE_H
#define DGNN_CUDA_DEVICE_H

#include "cuda/cuda_driver.h"

/* Kernels; each is there for both element types. */
enum dgnn_kernel {
#define K(name) DGNN_KERNEL_##name,
#include "cuda/kernel_list.h"
#undef K
    DGNN_KERNEL_COUNT
};

struct dgnn_cuda_device; /* opaque */

/* The device with this number among those that the driver shows, and its kernels; the same one for each
 * caller, until all have closed it. Threads may call at once. Errors: UNSUPPORTED (no driver, no device, a
 * driver or chip that is too old, no kernels), INPUT (a number that is not there), MEMORY, SYSTEM. */
int dgnn_cuda_device_open(int32_t ordinal, struct dgnn_cuda_device **device, struct dgnn_error *error);
void dgnn_cuda_device_close(struct dgnn_cuda_device *device); /* NULL is allowed */

/* How many there are; errors as above. */
int dgnn_cuda_device_count(int32_t *count, struct dgnn_error *error);

const char *dgnn_cuda_device_name(const struct dgnn_cuda_device *device); /* as the driver names it */
int32_t dgnn_cuda_device_ordinal(const struct dgnn_cuda_device *device);

/* Are products made on its tensor cores? They are where these gave right numbers when the device was opened
 * (cuda_check.c), and the variable DGNN_CUDA_PRODUCTS does not say "plain". */
int dgnn_cuda_device_has_tensor_products(const struct dgnn_cuda_device *device);

/* ---------------------------------------------------------------- queues */

/* Work on a device in order. The first call that fails is kept, those after it do nothing, and the wait tells
 * of it: stages need no status of their own. One thread at a time. */
struct dgnn_cuda_queue {
    struct dgnn_cuda_device *device;
    void *stream;
    int32_t is_entered;
    int status; /* of the first that failed */
    struct dgnn_error error;
    /* Since it was made; for tests and benchmarks. */
    int64_t launches, bytes_up, bytes_down, waits;
};

/* Errors: MEMORY, SYSTEM. */
int dgnn_cuda_device_queue(struct dgnn_cuda_device *device, struct dgnn_cuda_queue *queue,
                           struct dgnn_error *error);
void dgnn_cuda_queue_free(struct dgnn_cuda_queue *queue); /* a zeroed one is allowed */

/* Between these the device is the thread's; a process that forked since the device was opened gets an error.
 */
void dgnn_cuda_queue_enter(struct dgnn_cuda_queue *queue);
void dgnn_cuda_queue_leave(struct dgnn_cuda_queue *queue);

/* Within enter and leave. The host's side stays as it is until the next wait. */
void dgnn_cuda_queue_upload(struct dgnn_cuda_queue *queue, void *to, const void *from, int64_t nbytes);
void dgnn_cuda_queue_download(struct dgnn_cuda_queue *queue, void *to, const void *from, int64_t nbytes);
void dgnn_cuda_queue_copy(struct dgnn_cuda_queue *queue, void *to, const void *from, int64_t nbytes);
void dgnn_cuda_queue_clear(struct dgnn_cuda_queue *queue, void *data, int64_t nbytes); /* zeros */

/* A kernel over count items, with its one argument, which is copied. bits: 32 or 64. */
void dgnn_cuda_queue_launch(struct dgnn_cuda_queue *queue, enum dgnn_kernel kernel, int32_t bits,
                            int64_t count, const void *argument);

/* The same of a kernel that goes by tiles, with a block for each. */
void dgnn_cuda_queue_launch_tiles(struct dgnn_cuda_queue *queue, enum dgnn_kernel kernel, int32_t bits,
                                  int64_t ntile, const void *argument);

/* Until all is done; what failed is kept, as by the calls above. */
void dgnn_cuda_queue_complete(struct dgnn_cuda_queue *queue);

/* The first failure since this was last asked. */
int dgnn_cuda_queue_status(struct dgnn_cuda_queue *queue, struct dgnn_error *error);
/* The same, once all is done. */
int dgnn_cuda_queue_wait(struct dgnn_cuda_queue *queue, struct dgnn_error *error);

/* ---------------------------------------------------------------- memory */

/* A block that only grows, on the device or, pinned, on the host. Zero it before its first use. */
struct dgnn_cuda_buffer {
    char *data;
    int64_t capacity;
    int32_t is_host;
};

/* At least nbytes; contents are lost when it grows, which waits for the queue. MEMORY says how much there is.
 */
int dgnn_cuda_buffer_reserve(struct dgnn_cuda_queue *queue, struct dgnn_cuda_buffer *buffer, int64_t nbytes,
                             const char *what, struct dgnn_error *error);
void dgnn_cuda_buffer_free(struct dgnn_cuda_queue *queue, struct dgnn_cuda_buffer *buffer);

#endif
