/* A CUDA device behind ops/device.h. */
#include <new>

extern "C" {
#include "ops/device.h"
}
#include "device.cuh"

extern "C" int dgnn_device_create(int32_t ordinal, struct dgnn_device **device, struct dgnn_error *error)
{
    struct dgnn_device *made = new (std::nothrow) dgnn_device();
    if (!made) {
        return dgnn_status_no_memory(error, "a device", sizeof(*made));
    }
    made->ordinal = ordinal;
    cudaError_t found = cudaSetDevice(ordinal);
    found = found == cudaSuccess ? cudaStreamCreate(&made->stream) : found;
    if (found != cudaSuccess) {
        delete made;
        return device_check(found, "the device", error);
    }
    *device = made;
    return DGNN_OK;
}

extern "C" void dgnn_device_free(struct dgnn_device *device)
{
    if (device) {
        cudaStreamDestroy(device->stream);
        delete device;
    }
}

extern "C" int dgnn_device_alloc(struct dgnn_device *device, int64_t nbytes, void **address, struct dgnn_error *error)
{
    (void)device;
    return device_check(cudaMalloc(address, (size_t)(nbytes > 0 ? nbytes : 1)), "memory", error);
}

extern "C" void dgnn_device_free(struct dgnn_device *device, void *address)
{
    (void)device;
    cudaFree(address);
}

extern "C" int dgnn_device_upload(struct dgnn_device *device, void *to, const void *from, int64_t nbytes,
                                  struct dgnn_error *error)
{
    cudaError_t found = cudaMemcpyAsync(to, from, (size_t)nbytes, cudaMemcpyHostToDevice, device->stream);
    return device_check(found == cudaSuccess ? cudaStreamSynchronize(device->stream) : found, "a copy", error);
}

extern "C" int dgnn_device_download(struct dgnn_device *device, void *to, const void *from, int64_t nbytes,
                                    struct dgnn_error *error)
{
    cudaError_t found = cudaMemcpyAsync(to, from, (size_t)nbytes, cudaMemcpyDeviceToHost, device->stream);
    return device_check(found == cudaSuccess ? cudaStreamSynchronize(device->stream) : found, "a copy", error);
}
