/* Writes dgnn's own archive (.dgnn; its form is described in io/packed.h). */
#ifndef DGNN_IO_WRITER_H
#define DGNN_IO_WRITER_H

#include "base/text.h"
#include "io/archive.h"

/* Whatever happens, path is then the old file or the new one, whole: the archive is written to
 * PATH.tmp.PID.RANDOM in the same folder, synced, read back and compared by digest, renamed, and the folder
 * is synced. Symbolic links stay, and what they lead to is replaced; a file that was there leaves its
 * permissions to the new one (not its owner, hard links and access lists). On failure the temporary file is
 * removed; one that a killed process left behind is never read. archive->digest need not be set. Errors:
 * SYSTEM (also where path is no regular file), UNSUPPORTED (larger than 4 GiB), MEMORY. */
int dgnn_writer_save(const char *path, const struct dgnn_archive *archive, struct dgnn_error *error);

/* The value as JSON text: array k as {"@class": "np.ndarray", "@is_variable": true, "@index": k}, where k
 * counts on from *narrays, which the call advances. tensors (may be NULL) grows by a struct dgnn_tensor for
 * each; their data belongs to the tree. */
int dgnn_writer_json(const struct dgnn_value *value, struct dgnn_text *text, struct dgnn_buffer *tensors,
                     int64_t *narrays, struct dgnn_error *error);

#endif
