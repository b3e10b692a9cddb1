/* The arrays of dgnn's own archive (.dgnn): one member of bytes, and one that says where each array lies.
 *
 * A .dgnn file is a ZIP archive of these members, the second stored, the others stored or deflated:
 *
 *   dgnn/arrays.json    {"format": "dgnn", "version": 1, "digest": 32 hex digits, "nbytes": N,
 *                        "arrays": [{"dtype": "float32", "shape": [2, 3], "offset": 0}, ...]}
 *   dgnn/arrays.bin     N bytes: little-endian, C order, each array at the next multiple of 64, zeros between
 *   dgnn/model.json     model.json, array k as {"@class": "np.ndarray", "@is_variable": true, "@index": k}
 *   dgnn/metadata.json  as in a .pt2, its arrays too by @index, counted on; missing where that has none
 *
 * The digest is that of dgnn_archive: a changed model is noticed when it is loaded. */
#ifndef DGNN_IO_PACKED_H
#define DGNN_IO_PACKED_H

#include "io/tree.h"

enum { DGNN_PACKED_VERSION = 1, DGNN_PACKED_ALIGNMENT = 64 };

struct dgnn_packed {
    struct dgnn_array *arrays; /* data points into the bytes given */
    int64_t narrays;
    uint64_t digest[2];
};

/* index is the tree of dgnn/arrays.json. Errors: FORMAT, UNSUPPORTED (a later version), MEMORY. */
int dgnn_packed_open(const struct dgnn_tree *index, const void *bytes, int64_t nbytes,
                     struct dgnn_packed *packed, struct dgnn_error *error);
void dgnn_packed_free(struct dgnn_packed *packed);

#endif
