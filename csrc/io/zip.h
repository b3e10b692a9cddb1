/* The members of a ZIP archive, through libzip: listed, and read to their end, where the CRC is compared. */
#ifndef DGNN_IO_ZIP_H
#define DGNN_IO_ZIP_H

#include "base/alloc.h"
#include "io/source.h"

struct dgnn_zip;

/* source must live as long as the archive, and is checked by io/central.h. Errors: FORMAT, UNSUPPORTED,
 * SYSTEM, MEMORY. */
int dgnn_zip_open(const struct dgnn_source *source, struct dgnn_zip **zip, struct dgnn_error *error);
void dgnn_zip_close(struct dgnn_zip *zip);

int64_t dgnn_zip_count(const struct dgnn_zip *zip);
/* The name of member index, or NULL with *error. */
const char *dgnn_zip_name(struct dgnn_zip *zip, int64_t index, struct dgnn_error *error);
/* Neither a folder nor a link nor a device? */
int dgnn_zip_is_file(const struct dgnn_zip *zip, int64_t index);

/* All of member index: *nbytes of them in buffer. label names it in messages; stored: it must not be
 * compressed. Errors: FORMAT (damaged, encrypted, another compression than deflate, beyond a limit), SYSTEM,
 * MEMORY. */
struct dgnn_zip_want {
    const char *label;
    int64_t index;
    int32_t stored;
};
int dgnn_zip_read(struct dgnn_zip *zip, const struct dgnn_zip_want *want, struct dgnn_buffer *buffer,
                  int64_t *nbytes, struct dgnn_error *error);

#endif
