/* Type embeddings (deepmd/dpmodel/utils/type_embed.py): a row of numbers for each type. They are the same in
 * all evaluations, so load computes them once, in float64. */
#ifndef DGNN_NET_TYPEEMBED_H
#define DGNN_NET_TYPEEMBED_H

#include "io/tree.h"

/* The length of an electronic configuration: two numbers for each orbital from 1s to 7p. */
enum { DGNN_TYPEEMBED_CONFIGURATION = 118 };

/* Loads an object of class TypeEmbedNet for ntypes types. type_map, ntypes symbols, is used where the
 * object's own is null. It may be NULL, since only electronic configurations need it. *table becomes (ntypes
 * + 1) x width; its last row is zeros, for NULL atoms and empty slots. The caller frees it with
 * dgnn_alloc_free. */
int dgnn_typeembed_load_f64(const struct dgnn_value *value, int32_t ntypes, const char *const *type_map,
                            int64_t width, double **table, struct dgnn_error *error);

/* Writes the electronic configuration of an element's ground state, in spin orbitals: 1/sqrt(118) for an
 * occupied one and -1/sqrt(118) for a vacant one. Subshells are ordered by n, then l, and filled by Hund's
 * rule, pairs first. Returns 0 for a symbol that is not an element up to Og, otherwise 1. */
int dgnn_typeembed_configuration(const char *symbol, double *row);

/* Refuses a type embedding whose use_econf_tebd differs from the descriptor's. An absent member is no
 * contradiction. */
int dgnn_typeembed_same(const struct dgnn_value *value, int32_t use_econf_tebd, struct dgnn_error *error);

#endif
