/* The descriptors that dgnn knows, by name. */
#ifndef DGNN_NET_REGISTRY_H
#define DGNN_NET_REGISTRY_H

#include "net/parts/descriptor.h"

extern const struct dgnn_descriptor_kind dgnn_hybrid;

/* By the "type" member; UNSUPPORTED with the known names for others. */
int dgnn_registry_load(const struct dgnn_value *value, const struct dgnn_load_context *context,
                       struct dgnn_descriptor **descriptor, struct dgnn_error *error);
void dgnn_registry_free(struct dgnn_descriptor *descriptor); /* NULL is allowed */

/* Appends a part's limits of angles to those of the whole. angle: the memory of the whole's, NULL at first;
 * the owner frees it with dgnn_alloc_free. */
int dgnn_registry_join_angles(struct dgnn_descriptor_properties *all,
                              const struct dgnn_descriptor_properties *own, struct dgnn_angle_limit **angle,
                              struct dgnn_error *error);

#endif
