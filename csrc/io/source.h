/* The bytes of an archive, from a file that is opened once, or from memory. */
#ifndef DGNN_IO_SOURCE_H
#define DGNN_IO_SOURCE_H

#include "base/status.h"

struct dgnn_source {
    const char *name;           /* for messages; borrowed */
    const unsigned char *bytes; /* borrowed, or NULL: read from fd */
    int fd;
    int64_t length; /* of the file when it was opened */
};

/* A regular file, read-only. Error: SYSTEM with errno (EISDIR for a folder, EINVAL for other things). */
int dgnn_source_open(const char *path, struct dgnn_source *source, struct dgnn_error *error);
void dgnn_source_memory(const char *name, const void *data, size_t length, struct dgnn_source *source);
void dgnn_source_close(struct dgnn_source *source);

/* Exactly nbytes from offset on. Errors: FORMAT (beyond the end), SYSTEM (also where the file has shrunk). */
int dgnn_source_read(const struct dgnn_source *source, int64_t offset, void *out, int64_t nbytes,
                     struct dgnn_error *error);
/* Is the file as long as when it was opened? Error: SYSTEM. */
int dgnn_source_unchanged(const struct dgnn_source *source, struct dgnn_error *error);

#endif
