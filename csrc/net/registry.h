/* The descriptors that dgnn knows. */
#ifndef DGNN_NET_REGISTRY_H
#define DGNN_NET_REGISTRY_H

#include "net/descr.h"

extern const struct dgnn_descriptor_kind dgnn_dpa2;
extern const struct dgnn_descriptor_kind dgnn_dpa3;

#endif
