/* Type embeddings (deepmd/dpmodel/utils/type_embed.py): a row of numbers for each type, the same in every
 * evaluation, so computed once, at load, in float64. */
#ifndef DGNN_NET_TYPEEMBED_H
#define DGNN_NET_TYPEEMBED_H

#include "io/tree.h"

/* Length of an electronic configuration: two numbers for each orbital of 1s to 7p. */
enum { DGNN_TYPEEMBED_CONFIGURATION = 118 };

/* value: an object of class TypeEmbedNet for ntypes types. type_map (ntypes symbols) stands in for the
 * object's own where that is null; it may be NULL, and only electronic configurations need one. *table:
 * (ntypes + 1) x width, allocated (dgnn_alloc_free); the last row is zeros: NULL atoms and empty slots. */
int dgnn_typeembed_load_f64(const struct dgnn_value *value, int32_t ntypes, const char *const *type_map,
                            int64_t width, double **table, struct dgnn_error *error);

/* The electronic configuration of an element in its ground state, in spin orbitals: subshells by n, then l,
 * each filled after Hund's rule, pairs first; 1/sqrt(118) for an occupied one, -1/sqrt(118) for a vacant one.
 * Returns 0 for a symbol that is no element up to Og. */
int dgnn_typeembed_configuration(const char *symbol, double *row);

/* Refuses a type embedding whose use_econf_tebd is not the descriptor's; absent is no contradiction. */
int dgnn_typeembed_same(const struct dgnn_value *value, int32_t use_econf_tebd, struct dgnn_error *error);

#endif
