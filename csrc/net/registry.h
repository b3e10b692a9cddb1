/* The descriptors that dgnn knows. */
#ifndef DGNN_NET_REGISTRY_H
#define DGNN_NET_REGISTRY_H

#include "net/descr.h"

extern const struct dgnn_descriptor_kind dgnn_dpa1;
extern const struct dgnn_descriptor_kind dgnn_dpa2;
extern const struct dgnn_descriptor_kind dgnn_dpa3;
extern const struct dgnn_descriptor_kind dgnn_hybrid;
extern const struct dgnn_descriptor_kind dgnn_se_a;
extern const struct dgnn_descriptor_kind dgnn_dpa1_se_atten;
extern const struct dgnn_descriptor_kind dgnn_dpa1_se_atten_v2;
extern const struct dgnn_descriptor_kind dgnn_se_a_e2;
extern const struct dgnn_descriptor_kind dgnn_se_r_e2;
extern const struct dgnn_descriptor_kind dgnn_se_r;
extern const struct dgnn_descriptor_kind dgnn_se_t_tebd;
extern const struct dgnn_descriptor_kind dgnn_se_t;
extern const struct dgnn_descriptor_kind dgnn_se_t_at;
extern const struct dgnn_descriptor_kind dgnn_se_t_3be;

#endif
