/* Opens whatever holds a model: archives that io reads, and torch's checkpoints and TorchScript archives,
 * whose names of tensors become the tree that the others have. */
#ifndef DGNN_CONVERT_CONVERT_H
#define DGNN_CONVERT_CONVERT_H

#include "base/text.h"
#include "io/archive.h"

/* head: NULL, or which model of a checkpoint with several. Errors: as dgnn_archive_read; INPUT for a head
 * that is not there, or several and none chosen; UNSUPPORTED for settings or tensors that dgnn does not know.
 */
int dgnn_convert_open(const char *path, const char *head, struct dgnn_archive *archive,
                      struct dgnn_error *error);
int dgnn_convert_open_memory(const struct dgnn_archive_bytes *bytes, const char *head,
                             struct dgnn_archive *archive, struct dgnn_error *error);

/* {"name": {"type_map": [...], "elements": [...] or null, "alias_of": null or "name"}, ...}, {} where there
 * are none. */
int dgnn_convert_heads(const char *path, struct dgnn_text *text, struct dgnn_error *error);
int dgnn_convert_heads_memory(const struct dgnn_archive_bytes *bytes, struct dgnn_text *text,
                              struct dgnn_error *error);

#endif
