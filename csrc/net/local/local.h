/* The descriptors without message passing: DPA1 and the se_* family. */
#ifndef DGNN_NET_LOCAL_H
#define DGNN_NET_LOCAL_H

#include "net/parts/descriptor.h"

extern const struct dgnn_descriptor_kind dgnn_dpa1;
extern const struct dgnn_descriptor_kind dgnn_dpa1_se_atten_v2;
extern const struct dgnn_descriptor_kind dgnn_se_a;
extern const struct dgnn_descriptor_kind dgnn_se_r;
extern const struct dgnn_descriptor_kind dgnn_se_t;
extern const struct dgnn_descriptor_kind dgnn_se_t_tebd;

#endif
