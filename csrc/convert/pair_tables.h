/* Tables of pair energies, beside a net in a zbl and in sums: from a checkpoint's tensors to the tree. */
#ifndef DGNN_CONVERT_PAIR_TABLES_H
#define DGNN_CONVERT_PAIR_TABLES_H

#include "convert/emit.h"

/* A model of type pairtab. Its splines are those of the state: the settings have only the name of the file
 * that they were made of, which is not read. scope->prefix: of its atomic model, as "atomic_model.models.1.";
 * scope->variables: "type_map". rcut, sel: numbers of JSON. Errors: FORMAT (what a tensor is, and what was
 * expected), and as dgnn_emit_template. */
int dgnn_pair_tables_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *rcut,
                          const char *sel);

#endif
