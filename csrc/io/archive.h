/* Archives: the bytes of named members, checked to their end. The only room that knows ZIP. */
#ifndef DGNN_IO_ARCHIVE_H
#define DGNN_IO_ARCHIVE_H

#include "io/tree.h"

/* What a file holds, as far as dgnn reads it. */
struct dgnn_archive {
    struct dgnn_tree *model;    /* model.json; never NULL after success */
    struct dgnn_tree *metadata; /* metadata.json, or NULL where the archive has none */
    int32_t has_compiled;       /* are there compiled members, which dgnn leaves alone? */
    int32_t has_nested;         /* is there a nested forward_lower_with_comm.pt2? */
    int64_t nbytes;             /* of the members that were read, uncompressed */
    char format[16];            /* "pt2", "json", "dgnn" */
};

/* Errors: SYSTEM (open, read), FORMAT, UNSUPPORTED, MEMORY. On failure nothing stays allocated. */
int dgnn_archive_read(const char *path, struct dgnn_archive *archive, struct dgnn_error *error);
/* The same from bytes; name is used in messages. */
int dgnn_archive_read_memory(const char *name, const void *data, size_t length, struct dgnn_archive *archive,
                             struct dgnn_error *error);
void dgnn_archive_free(struct dgnn_archive *archive);

#endif
