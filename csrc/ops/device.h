/* What a device backend (kernels/) offers the core: memory, and blocks of the table of operations over
 * centres. No type of the device's own language is in it. The functions are in a build with the backend only;
 * dgnn's own build has none, and dgnn_model_load says so. */
#ifndef DGNN_OPS_DEVICE_H
#define DGNN_OPS_DEVICE_H

#include "base/status.h"
#include "ops/table.h"

struct dgnn_device; /* one device and its stream; not for two threads at once */

/* The device with this number; INPUT where there is none. Freed with dgnn_device_free. */
int dgnn_device_create(int32_t ordinal, struct dgnn_device **device, struct dgnn_error *error);
void dgnn_device_free(struct dgnn_device *device); /* NULL is allowed */

/* Memory on the device, aligned to 256 bytes; MEMORY where it does not suffice. */
int dgnn_device_alloc(struct dgnn_device *device, int64_t nbytes, void **address, struct dgnn_error *error);
void dgnn_device_free(struct dgnn_device *device, void *address);

/* To and from the device; back when the copy is done. */
int dgnn_device_upload(struct dgnn_device *device, void *to, const void *from, int64_t nbytes,
                       struct dgnn_error *error);
int dgnn_device_download(struct dgnn_device *device, void *to, const void *from, int64_t nbytes,
                         struct dgnn_error *error);

/* edge_forward of the table over the centres [begin, end). The structs are the host's, the arrays that they
 * point to are the device's. pre receives the numbers before the activations. */
int dgnn_device_edge_forward_f32(struct dgnn_device *device, const struct dgnn_edge_block_f32 *block,
                                 int64_t begin, int64_t end, struct dgnn_error *error);
int dgnn_device_edge_forward_f64(struct dgnn_device *device, const struct dgnn_edge_block_f64 *block,
                                 int64_t begin, int64_t end, struct dgnn_error *error);

#endif
