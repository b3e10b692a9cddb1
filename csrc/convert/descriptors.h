/* Descriptors: from the settings and the tensors of a checkpoint to the tree. One table a family. */
#ifndef DGNN_CONVERT_DESCRIPTOR_H
#define DGNN_CONVERT_DESCRIPTOR_H

#include "convert/emit.h"

/* What else the model wants to know of its descriptor. */
struct dgnn_descriptors_facts {
    int32_t mixed_types; /* one network for all types? */
    int32_t graph;       /* does pt_expt evaluate it as a graph, without a fixed number of neighbours? */
    double rcut;         /* its outer cutoff, and the most neighbours within, of all types together; */
    int64_t sel;         /* 0: the settings do not say it in numbers */
};

/* scope->params: the descriptor's; scope->prefix: as "atomic_model.descriptor."; scope->variables: "ntypes"
 * and "type_map". Errors: UNSUPPORTED for a type that dgnn has not, FORMAT. */
int dgnn_descriptors_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                          struct dgnn_descriptors_facts *facts);

/* Neighbours of all types together: the sum of the integers of a setting's JSON, a number or a list. */
int64_t dgnn_descriptors_sum(const char *sel);

#endif
