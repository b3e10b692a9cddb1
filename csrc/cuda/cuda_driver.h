/* The part of NVIDIA's driver (libcuda.so.1) that dgnn calls. It is opened when a device is asked for: dgnn
 * is built without CUDA and does not need it. The few types are declared here: handles are pointers,
 * addresses are numbers. */
#ifndef DGNN_CUDA_DRIVER_H
#define DGNN_CUDA_DRIVER_H

#include "base/status.h"

/* Memory of a device. */
typedef unsigned long long dgnn_cuda_address;

/* Each entry returns 0, or an error's number (docs.nvidia.com/cuda/cuda-driver-api). */
#define DGNN_CUDA_ENTRIES(X)                                                                                 \
    X(cuInit, (unsigned flags))                                                                              \
    X(cuDriverGetVersion, (int *version))                                                                    \
    X(cuGetErrorName, (int code, const char **name))                                                         \
    X(cuGetErrorString, (int code, const char **text))                                                       \
    X(cuDeviceGetCount, (int *count))                                                                        \
    X(cuDeviceGet, (int *device, int ordinal))                                                               \
    X(cuDeviceGetName, (char *name, int length, int device))                                                 \
    X(cuDeviceGetAttribute, (int *value, int attribute, int device))                                         \
    X(cuDevicePrimaryCtxRetain, (void **context, int device))                                                \
    X(cuDevicePrimaryCtxRelease_v2, (int device))                                                            \
    X(cuCtxPushCurrent_v2, (void *context))                                                                  \
    X(cuCtxPopCurrent_v2, (void **context))                                                                  \
    X(cuModuleLoadData, (void **module, const void *image))                                                  \
    X(cuModuleUnload, (void *module))                                                                        \
    X(cuModuleGetFunction, (void **function, void *module, const char *name))                                \
    X(cuMemGetInfo_v2, (size_t *free, size_t *all))                                                          \
    X(cuMemAlloc_v2, (dgnn_cuda_address * address, size_t nbytes))                                           \
    X(cuMemFree_v2, (dgnn_cuda_address address))                                                             \
    X(cuMemAllocHost_v2, (void **address, size_t nbytes))                                                    \
    X(cuMemFreeHost, (void *address))                                                                        \
    X(cuStreamCreate, (void **stream, unsigned flags))                                                       \
    X(cuStreamSynchronize, (void *stream))                                                                   \
    X(cuStreamDestroy_v2, (void *stream))                                                                    \
    X(cuMemcpyHtoDAsync_v2, (dgnn_cuda_address to, const void *from, size_t nbytes, void *stream))           \
    X(cuMemcpyDtoHAsync_v2, (void *to, dgnn_cuda_address from, size_t nbytes, void *stream))                 \
    X(cuMemcpyDtoDAsync_v2, (dgnn_cuda_address to, dgnn_cuda_address from, size_t nbytes, void *stream))     \
    X(cuMemsetD8Async, (dgnn_cuda_address to, unsigned char value, size_t nbytes, void *stream))             \
    X(cuLaunchKernel, (void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,      \
                       unsigned bz, unsigned shared, void *stream, void **arguments, void **extra))

struct dgnn_cuda_driver {
#define DGNN_CUDA_ENTRY(name, arguments) int(*name) arguments;
    DGNN_CUDA_ENTRIES(DGNN_CUDA_ENTRY)
#undef DGNN_CUDA_ENTRY
};

/* Errors that mean something to dgnn, as the driver numbers them. */
enum { DGNN_CUDA_NO_MEMORY = 2, DGNN_CUDA_NO_DEVICE = 100 };

/* The process's driver, opened and started at the first call. Errors: UNSUPPORTED, with what is missing: the
 * library, an entry of it, a device, or a version of CUDA_DRIVER_LEAST at least. */
int dgnn_cuda_driver_open(const struct dgnn_cuda_driver **driver, struct dgnn_error *error);

/* OK for code 0; else an error that says what was done and the driver's words. Memory that does not suffice
 * is MEMORY, all else is SYSTEM. */
int dgnn_cuda_driver_check(const struct dgnn_cuda_driver *driver, int code, const char *what,
                           struct dgnn_error *error);

#endif
