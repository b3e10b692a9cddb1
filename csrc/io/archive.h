/* Archives: the bytes of named members, checked to their end. The only room that knows ZIP.
 *
 * Any bytes give an archive or a status. Nothing in an archive is executed, no member is written anywhere,
 * and no other file is opened. What is refused, and the limits, are in base/limits.h, io/central.h and
 * io/scan.h. */
#ifndef DGNN_IO_ARCHIVE_H
#define DGNN_IO_ARCHIVE_H

#include "io/checkpoint.h"
#include "io/tree.h"

/* What a file holds, as far as dgnn reads it. */
struct dgnn_archive {
    struct dgnn_tree *model;    /* model.json; after success NULL only where a converter left it so */
    struct dgnn_tree *metadata; /* metadata.json, or NULL where the archive has none */
    int32_t has_compiled;       /* are there compiled members, which dgnn leaves alone? */
    int32_t has_nested;         /* is there a nested forward_lower_with_comm.pt2? */
    int64_t nbytes;             /* of the members that were read, uncompressed */
    uint64_t digest[2]; /* of model and metadata, however they are stored: do all ranks have the same? */
    char format[16];    /* "pt2", "json", "dgnn", "pt", "pth" */
};

/* Turns torch's own files into a model's tree: io reads them, but does not know what the names in them mean.
 * convert fills archive->model, and metadata where it knows some, from a checkpoint that is closed after the
 * call. */
struct dgnn_archive_converter {
    int (*convert)(void *context, struct dgnn_checkpoint *checkpoint, struct dgnn_archive *archive,
                   struct dgnn_error *error);
    void *context;
};

struct dgnn_archive_bytes {
    const char *name; /* used in messages */
    const void *data;
    size_t length;
};

/* .pt2 (and .pte): a ZIP with X/extra/model.json or extra/model.json, and metadata.json beside it where there
 * is one; .json: the text of such a model.json; .dgnn: see io/packed.h; .pt and .pth, which torch writes,
 * where there is a converter (else NULL). What the file is called makes no difference. Errors: SYSTEM (open,
 * read), FORMAT, UNSUPPORTED, MEMORY, and the converter's. On failure nothing stays allocated. */
int dgnn_archive_convert(const char *path, const struct dgnn_archive_converter *converter,
                         struct dgnn_archive *archive, struct dgnn_error *error);
int dgnn_archive_convert_memory(const struct dgnn_archive_bytes *bytes,
                                const struct dgnn_archive_converter *converter, struct dgnn_archive *archive,
                                struct dgnn_error *error);
/* Without a converter. */
int dgnn_archive_read(const char *path, struct dgnn_archive *archive, struct dgnn_error *error);
int dgnn_archive_read_memory(const char *name, const void *data, size_t length, struct dgnn_archive *archive,
                             struct dgnn_error *error);
void dgnn_archive_free(struct dgnn_archive *archive);

/* For an archive that was put together from trees: digest from model and metadata. */
void dgnn_archive_set_digest(struct dgnn_archive *archive);

#endif
