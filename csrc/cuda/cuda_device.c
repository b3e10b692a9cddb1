#include "cuda/cuda_device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cuda/cuda_check.h"
#include "cuda/cuda_kernels.h"

enum {
    DEVICE_MOST = 64, /* in a process */
    DEVICE_NAME = 96,
    DEVICE_LEAST = 80,           /* compute capability 8.0 */
    DEVICE_THREADS = 128,        /* of a block: as kernels/kernel.h says */
    DEVICE_BLOCKS = 1 << 20,     /* of a launch; each thread goes on to further items */
    DEVICE_ATTRIBUTE_MAJOR = 75, /* CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR */
    DEVICE_ATTRIBUTE_MINOR = 76,
    DEVICE_STREAM_ALONE = 1 /* CU_STREAM_NON_BLOCKING */
};

struct dgnn_cuda_device {
    const struct dgnn_cuda_driver *driver;
    int32_t ordinal, users;
    int handle;
    void *context, *module;
    char name[DEVICE_NAME];
    pid_t process;
    int has_tensor_products;
    void *kernel[DGNN_KERNEL_COUNT][2];
};

static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dgnn_cuda_device *device_opened[DEVICE_MOST];

/* ---------------------------------------------------------------- opening */

static int device_check(const struct dgnn_cuda_device *d, int code, const char *what,
                        struct dgnn_error *error)
{
    return dgnn_cuda_driver_check(d->driver, code, what, error);
}

static int device_find_kernels(struct dgnn_cuda_device *d, struct dgnn_error *error)
{
    static const char *const names[] = {
#define K(name) #name,
#include "cuda/kernel_list.h"
#undef K
    };
    for (int k = 0; k < DGNN_KERNEL_COUNT; k++) {
        for (int type = 0; type < 2; type++) {
            char name[64];
            snprintf(name, sizeof(name), "%s_f%d", names[k], 32 << type);
            int code = d->driver->cuModuleGetFunction(&d->kernel[k][type], d->module, name);
            DGNN_TRY(device_check(d, code, name, error));
        }
    }
    return DGNN_OK;
}

/* The kernels for this chip; the context is the thread's. */
static int device_load(struct dgnn_cuda_device *d, int32_t architecture, struct dgnn_error *error)
{
    struct dgnn_cuda_kernels kernels;
    const void *image = NULL;
    DGNN_TRY(dgnn_cuda_kernels_read(&kernels, error));
    int status = dgnn_cuda_kernels_image(&kernels, architecture, &image, error);
    if (!status) {
        status =
            device_check(d, d->driver->cuModuleLoadData(&d->module, image), "loading the kernels", error);
    }
    dgnn_cuda_kernels_free(&kernels);
    return status ? status : device_find_kernels(d, error);
}

static int device_prepare(struct dgnn_cuda_device *d, struct dgnn_error *error)
{
    int major = 0, minor = 0;
    const struct dgnn_cuda_driver *driver = d->driver;
    DGNN_TRY(device_check(d, driver->cuDeviceGet(&d->handle, d->ordinal), "cuDeviceGet", error));
    DGNN_TRY(
        device_check(d, driver->cuDeviceGetName(d->name, DEVICE_NAME, d->handle), "cuDeviceGetName", error));
    DGNN_TRY(device_check(d, driver->cuDeviceGetAttribute(&major, DEVICE_ATTRIBUTE_MAJOR, d->handle),
                          "cuDeviceGetAttribute", error));
    DGNN_TRY(device_check(d, driver->cuDeviceGetAttribute(&minor, DEVICE_ATTRIBUTE_MINOR, d->handle),
                          "cuDeviceGetAttribute", error));
    if (10 * major + minor < DEVICE_LEAST) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "device 'cuda:%d': %s has compute capability %d.%d; dgnn needs 8.0 or newer "
                               "(A100, RTX 30)",
                               d->ordinal, d->name, major, minor);
    }
    DGNN_TRY(device_check(d, driver->cuDevicePrimaryCtxRetain(&d->context, d->handle), "opening the device",
                          error));
    int status = device_check(d, driver->cuCtxPushCurrent_v2(d->context), "cuCtxPushCurrent", error);
    if (!status) {
        void *context;
        status = device_load(d, 10 * major + minor, error);
        driver->cuCtxPopCurrent_v2(&context);
    }
    return status;
}

static void device_free(struct dgnn_cuda_device *d)
{
    void *context;
    if (d->module && d->process == getpid() && !d->driver->cuCtxPushCurrent_v2(d->context)) {
        d->driver->cuModuleUnload(d->module);
        d->driver->cuCtxPopCurrent_v2(&context);
    }
    if (d->context && d->process == getpid()) {
        d->driver->cuDevicePrimaryCtxRelease_v2(d->handle);
    }
    dgnn_alloc_free(d);
}

static int device_try_products(struct dgnn_cuda_device *d, struct dgnn_error *error)
{
    const char *wanted = getenv("DGNN_CUDA_PRODUCTS");
    if (wanted && !strcmp(wanted, "plain")) {
        return DGNN_OK;
    }
    return dgnn_cuda_check_products(d, &d->has_tensor_products, error);
}

static int device_open(const struct dgnn_cuda_driver *driver, int32_t ordinal,
                       struct dgnn_cuda_device **device, struct dgnn_error *error)
{
    struct dgnn_cuda_device *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a device", sizeof(*d));
    }
    d->driver = driver;
    d->ordinal = ordinal;
    d->process = getpid();
    int status = device_prepare(d, error);
    status = status ? status : device_try_products(d, error);
    if (status) {
        device_free(d);
        return status;
    }
    *device = d;
    return DGNN_OK;
}

int dgnn_cuda_device_count(int32_t *count, struct dgnn_error *error)
{
    const struct dgnn_cuda_driver *driver;
    int found = 0;
    DGNN_TRY(dgnn_cuda_driver_open(&driver, error));
    DGNN_TRY(dgnn_cuda_driver_check(driver, driver->cuDeviceGetCount(&found), "cuDeviceGetCount", error));
    if (found < 1) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED, "device 'cuda': the driver finds no device");
    }
    *count = found < DEVICE_MOST ? found : DEVICE_MOST;
    return DGNN_OK;
}

int dgnn_cuda_device_open(int32_t ordinal, struct dgnn_cuda_device **device, struct dgnn_error *error)
{
    const struct dgnn_cuda_driver *driver;
    int32_t count = 0;
    DGNN_TRY(dgnn_cuda_device_count(&count, error));
    DGNN_TRY(dgnn_cuda_driver_open(&driver, error));
    if (ordinal < 0 || ordinal >= count) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT, "device 'cuda:%d': there %s %d, numbered from 0",
                               ordinal, count == 1 ? "is" : "are", count);
    }
    pthread_mutex_lock(&device_lock);
    struct dgnn_cuda_device **place = &device_opened[ordinal];
    int status = *place ? DGNN_OK : device_open(driver, ordinal, place, error);
    if (!status) {
        (*place)->users++;
        *device = *place;
    }
    pthread_mutex_unlock(&device_lock);
    return status;
}

void dgnn_cuda_device_close(struct dgnn_cuda_device *d)
{
    if (!d) {
        return;
    }
    pthread_mutex_lock(&device_lock);
    if (!--d->users) {
        device_opened[d->ordinal] = NULL;
        device_free(d);
    }
    pthread_mutex_unlock(&device_lock);
}

const char *dgnn_cuda_device_name(const struct dgnn_cuda_device *device)
{
    return device->name;
}

int dgnn_cuda_device_has_tensor_products(const struct dgnn_cuda_device *device)
{
    return device->has_tensor_products;
}

int32_t dgnn_cuda_device_ordinal(const struct dgnn_cuda_device *device)
{
    return device->ordinal;
}

/* ---------------------------------------------------------------- queues */

/* Keeps what failed first; returns code. */
static int device_keep(struct dgnn_cuda_queue *q, int code, const char *what)
{
    if (code && !q->status) {
        q->status = device_check(q->device, code, what, &q->error);
    }
    return code;
}

void dgnn_cuda_queue_enter(struct dgnn_cuda_queue *q)
{
    if (q->device->process ==
        getpid()) { /* even where something failed: there may be something to wait for */
        q->is_entered =
            !device_keep(q, q->device->driver->cuCtxPushCurrent_v2(q->device->context), "cuCtxPushCurrent");
    } else if (!q->status) {
        q->status = dgnn_status_set(
            &q->error, DGNN_ERROR_SYSTEM,
            "device 'cuda:%d': it was opened before this process was forked, and a device does "
            "not outlive that; load the model after the fork",
            q->device->ordinal);
    }
}

void dgnn_cuda_queue_leave(struct dgnn_cuda_queue *q)
{
    void *context;
    if (q->is_entered) {
        device_keep(q, q->device->driver->cuCtxPopCurrent_v2(&context), "cuCtxPopCurrent");
        q->is_entered = 0;
    }
}

int dgnn_cuda_device_queue(struct dgnn_cuda_device *device, struct dgnn_cuda_queue *q,
                           struct dgnn_error *error)
{
    *q = (struct dgnn_cuda_queue){.device = device};
    dgnn_cuda_queue_enter(q);
    if (!q->status) {
        device_keep(q, device->driver->cuStreamCreate(&q->stream, DEVICE_STREAM_ALONE), "cuStreamCreate");
    }
    dgnn_cuda_queue_leave(q);
    return dgnn_cuda_queue_status(q, error);
}

void dgnn_cuda_queue_free(struct dgnn_cuda_queue *q)
{
    void *context;
    if (q->stream && q->device->process == getpid() &&
        !q->device->driver->cuCtxPushCurrent_v2(q->device->context)) {
        q->device->driver->cuStreamDestroy_v2(q->stream);
        q->device->driver->cuCtxPopCurrent_v2(&context);
    }
    *q = (struct dgnn_cuda_queue){0};
}

void dgnn_cuda_queue_upload(struct dgnn_cuda_queue *q, void *to, const void *from, int64_t nbytes)
{
    if (!q->status && nbytes > 0) {
        q->bytes_up += nbytes;
        device_keep(q,
                    q->device->driver->cuMemcpyHtoDAsync_v2((dgnn_cuda_address)(uintptr_t)to, from,
                                                            (size_t)nbytes, q->stream),
                    "a copy to the device");
    }
}

void dgnn_cuda_queue_download(struct dgnn_cuda_queue *q, void *to, const void *from, int64_t nbytes)
{
    if (!q->status && nbytes > 0) {
        q->bytes_down += nbytes;
        device_keep(q,
                    q->device->driver->cuMemcpyDtoHAsync_v2(to, (dgnn_cuda_address)(uintptr_t)from,
                                                            (size_t)nbytes, q->stream),
                    "a copy from the device");
    }
}

void dgnn_cuda_queue_copy(struct dgnn_cuda_queue *q, void *to, const void *from, int64_t nbytes)
{
    if (!q->status && nbytes > 0) {
        device_keep(q,
                    q->device->driver->cuMemcpyDtoDAsync_v2((dgnn_cuda_address)(uintptr_t)to,
                                                            (dgnn_cuda_address)(uintptr_t)from,
                                                            (size_t)nbytes, q->stream),
                    "a copy on the device");
    }
}

void dgnn_cuda_queue_clear(struct dgnn_cuda_queue *q, void *data, int64_t nbytes)
{
    if (!q->status && nbytes > 0) {
        device_keep(q,
                    q->device->driver->cuMemsetD8Async((dgnn_cuda_address)(uintptr_t)data, 0, (size_t)nbytes,
                                                       q->stream),
                    "clearing memory of the device");
    }
}

void dgnn_cuda_queue_launch_tiles(struct dgnn_cuda_queue *q, enum dgnn_kernel kernel, int32_t bits,
                                  int64_t ntile, const void *argument)
{
    void *function = q->device->kernel[kernel][bits == 64], *arguments[] = {(void *)argument};
    unsigned blocks = (unsigned)(ntile < DEVICE_BLOCKS ? ntile : DEVICE_BLOCKS);
    if (!q->status && ntile > 0) {
        q->launches++;
        device_keep(q,
                    q->device->driver->cuLaunchKernel(function, blocks, 1, 1, DEVICE_THREADS, 1, 1, 0,
                                                      q->stream, arguments, NULL),
                    "launching a kernel");
    }
}

void dgnn_cuda_queue_launch(struct dgnn_cuda_queue *q, enum dgnn_kernel kernel, int32_t bits, int64_t count,
                            const void *argument)
{
    dgnn_cuda_queue_launch_tiles(q, kernel, bits, (count + DEVICE_THREADS - 1) / DEVICE_THREADS, argument);
}

int dgnn_cuda_queue_status(struct dgnn_cuda_queue *q, struct dgnn_error *error)
{
    int status = q->status;
    if (status && error) {
        *error = q->error;
    }
    q->status = DGNN_OK;
    return status;
}

void dgnn_cuda_queue_complete(struct dgnn_cuda_queue *q)
{
    if (q->is_entered && q->stream) { /* even where something failed: copies to the host may be under way */
        q->waits++;
        device_keep(q, q->device->driver->cuStreamSynchronize(q->stream), "waiting for the device");
    }
}

int dgnn_cuda_queue_wait(struct dgnn_cuda_queue *q, struct dgnn_error *error)
{
    dgnn_cuda_queue_complete(q);
    return dgnn_cuda_queue_status(q, error);
}

/* ---------------------------------------------------------------- memory */

static void device_give(struct dgnn_cuda_queue *q, struct dgnn_cuda_buffer *b)
{
    if (b->data && b->is_host) {
        q->device->driver->cuMemFreeHost(b->data);
    } else if (b->data) {
        q->device->driver->cuMemFree_v2((dgnn_cuda_address)(uintptr_t)b->data);
    }
    b->data = NULL;
    b->capacity = 0;
}

static int device_no_memory(struct dgnn_cuda_queue *q, int64_t nbytes, const char *what,
                            struct dgnn_error *error)
{
    size_t free = 0, all = 0;
    q->device->driver->cuMemGetInfo_v2(&free, &all);
    return dgnn_status_set(
        error, DGNN_ERROR_MEMORY,
        "device 'cuda:%d': out of memory: %lld bytes for %s, of %s's %lld bytes %lld are free; "
        "use a smaller system, more devices, or device 'cpu'",
        q->device->ordinal, (long long)nbytes, what, q->device->name, (long long)all, (long long)free);
}

int dgnn_cuda_buffer_reserve(struct dgnn_cuda_queue *q, struct dgnn_cuda_buffer *b, int64_t nbytes,
                             const char *what, struct dgnn_error *error)
{
    dgnn_cuda_address address = 0;
    void *host = NULL;
    if (nbytes <= b->capacity) {
        return DGNN_OK;
    }
    DGNN_TRY(dgnn_cuda_queue_wait(q, error)); /* nothing under way knows the old block */
    device_give(q, b);
    int code = b->is_host ? q->device->driver->cuMemAllocHost_v2(&host, (size_t)nbytes)
                          : q->device->driver->cuMemAlloc_v2(&address, (size_t)nbytes);
    if (code == DGNN_CUDA_NO_MEMORY) {
        return device_no_memory(q, nbytes, what, error);
    }
    DGNN_TRY(device_check(q->device, code, what, error));
    b->data = b->is_host ? host : (char *)(uintptr_t)address;
    b->capacity = nbytes;
    return DGNN_OK;
}

void dgnn_cuda_buffer_free(struct dgnn_cuda_queue *q, struct dgnn_cuda_buffer *b)
{
    void *context;
    if (b->data && q->device && q->device->process == getpid() &&
        !q->device->driver->cuCtxPushCurrent_v2(q->device->context)) {
        device_give(q, b);
        q->device->driver->cuCtxPopCurrent_v2(&context);
    }
}
