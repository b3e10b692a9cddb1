#ifndef DGNN_NET_TYPEEMBED_H
#define DGNN_NET_TYPEEMBED_H
#include "io/tree.h"
int dgnn_typeembed_load_f64(const struct dgnn_value *value, int32_t ntypes, const char *const *type_map, int64_t width, double **table, struct dgnn_error *error);
#endif
