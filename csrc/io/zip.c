#include "io/zip.h"

#include "io/central.h"
#include "io/libzip.h"
#include "base/limits.h"

#include <sys/stat.h>

/* libzip's way to our bytes. */
struct zip_feed {
    const struct dgnn_libzip *libzip;
    const struct dgnn_source *source;
    int64_t offset;
    zip_error_t zip_error;
    struct dgnn_error error; /* of the last failed read; status 0: none */
};

struct dgnn_zip {
    const char *name;
    const struct dgnn_libzip *libzip;
    zip_t *zip;
    struct zip_feed feed;
};

/* ------------------------------------------------------------------ libzip on our bytes */

static zip_int64_t zip_feed_read(struct zip_feed *feed, void *data, zip_uint64_t length)
{
    int64_t left = feed->source->length - feed->offset;
    int64_t nbytes = length < (zip_uint64_t)left ? (int64_t)length : left;
    if (dgnn_source_read(feed->source, feed->offset, data, nbytes, &feed->error)) {
        feed->libzip->error_set(&feed->zip_error, ZIP_ER_READ, feed->error.system_errno);
        return -1;
    }
    feed->offset += nbytes;
    return nbytes;
}

static zip_int64_t zip_feed_seek(struct zip_feed *feed, void *data, zip_uint64_t length)
{
    zip_int64_t offset = feed->libzip->source_seek_compute_offset(
        (zip_uint64_t)feed->offset, (zip_uint64_t)feed->source->length, data, length, &feed->zip_error);
    if (offset < 0) {
        return -1;
    }
    feed->offset = offset;
    return 0;
}

static zip_int64_t zip_feed_call(void *context, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct zip_feed *feed = context;
    switch (command) {
    case ZIP_SOURCE_OPEN:
        feed->offset = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return zip_feed_read(feed, data, length);
    case ZIP_SOURCE_SEEK:
        return zip_feed_seek(feed, data, length);
    case ZIP_SOURCE_TELL:
        return feed->offset;
    case ZIP_SOURCE_STAT:
        feed->libzip->stat_init(data);
        ((zip_stat_t *)data)->valid = ZIP_STAT_SIZE;
        ((zip_stat_t *)data)->size = (zip_uint64_t)feed->source->length;
        return sizeof(zip_stat_t);
    case ZIP_SOURCE_ERROR:
        return feed->libzip->error_to_data(&feed->zip_error, data, length);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_SUPPORTS:
        return feed->libzip->source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
            ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    default:
        feed->libzip->error_set(&feed->zip_error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* libzip's error as a status. member may be NULL. */
static int zip_fail(struct dgnn_zip *zip, const char *member, zip_error_t *zip_error,
                    struct dgnn_error *error)
{
    if (zip->feed.error.status) {
        if (error) {
            *error = zip->feed.error;
        }
        return zip->feed.error.status;
    }
    enum { ZLIB_MEMORY = -4 }; /* zlib's Z_MEM_ERROR, which libzip passes on */
    const struct dgnn_libzip *libzip = zip->libzip;
    int code = libzip->error_code_zip(zip_error);
    if (code == ZIP_ER_MEMORY ||
        (code == ZIP_ER_ZLIB && libzip->error_code_system(zip_error) == ZLIB_MEMORY)) {
        return dgnn_status_set(error, DGNN_ERROR_MEMORY, "%s: out of memory while reading", zip->name);
    }
    const char *what =
        code == ZIP_ER_EXISTS ? "two members have the same name" : libzip->error_strerror(zip_error);
    return member ? dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %s: damaged: %s", zip->name, member, what)
                  : dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: not a sound ZIP archive: %s", zip->name,
                                    what);
}

static int zip_begin(struct dgnn_zip *zip, struct dgnn_error *error)
{
    const struct dgnn_libzip *libzip = zip->libzip;
    zip_error_t zip_error;
    libzip->error_init(&zip_error);
    libzip->error_init(&zip->feed.zip_error);
    zip_source_t *bytes = libzip->source_function_create(zip_feed_call, &zip->feed, &zip_error);
    if (bytes) {
        zip->zip = libzip->open_from_source(bytes, ZIP_RDONLY | ZIP_CHECKCONS, &zip_error);
    }
    int status = zip->zip ? DGNN_OK : zip_fail(zip, NULL, &zip_error, error);
    if (bytes && !zip->zip) {
        libzip->source_free(bytes);
    }
    libzip->error_fini(&zip_error);
    return status;
}

int dgnn_zip_open(const struct dgnn_source *source, struct dgnn_zip **zip, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_central_check(source, error));
    struct dgnn_zip *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "an archive", sizeof(*made));
    }
    made->name = source->name;
    made->feed.source = source;
    int status = dgnn_libzip_get(&made->libzip, error);
    made->feed.libzip = made->libzip;
    status = status ? status : zip_begin(made, error);
    if (status) {
        dgnn_alloc_free(made);
        return status;
    }
    *zip = made;
    return DGNN_OK;
}

void dgnn_zip_close(struct dgnn_zip *zip)
{
    if (zip) {
        zip->libzip->discard(zip->zip);
        dgnn_alloc_free(zip);
    }
}

/* ------------------------------------------------------------------ the list of members */

int64_t dgnn_zip_count(const struct dgnn_zip *zip)
{
    return zip->libzip->get_num_entries(zip->zip, 0);
}

const char *dgnn_zip_name(struct dgnn_zip *zip, int64_t index, struct dgnn_error *error)
{
    const char *name = zip->libzip->get_name(zip->zip, (zip_uint64_t)index, ZIP_FL_ENC_RAW);
    if (!name) {
        zip_fail(zip, NULL, zip->libzip->get_error(zip->zip), error);
    }
    return name;
}

int dgnn_zip_is_file(const struct dgnn_zip *zip, int64_t index)
{
    zip_uint8_t system;
    zip_uint32_t attributes;
    if (zip->libzip->file_get_external_attributes(zip->zip, (zip_uint64_t)index, 0, &system, &attributes)) {
        return 0;
    }
    uint32_t type = attributes >> 16 & S_IFMT;
    return !(attributes & 0x10) && (system != ZIP_OPSYS_UNIX || type == 0 || type == S_IFREG);
}

/* ------------------------------------------------------------------ reading a member */

static int zip_refuse(const struct dgnn_zip *zip, const char *member, const char *what,
                      struct dgnn_error *error)
{
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %.200s: %s", zip->name, member, what);
}

static int zip_check_stat(struct dgnn_zip *zip, const struct dgnn_zip_want *want, zip_stat_t *info,
                          struct dgnn_error *error)
{
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    const char *member = want->label;
    if (zip->libzip->stat_index(zip->zip, (zip_uint64_t)want->index, 0, info) ||
        (info->valid & needed) != needed) {
        return zip_fail(zip, member, zip->libzip->get_error(zip->zip), error);
    }
    if (info->encryption_method != ZIP_EM_NONE) {
        return zip_refuse(zip, member, "it is encrypted", error);
    }
    if (info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE) {
        return zip_refuse(zip, member, "compressed by another method than deflate", error);
    }
    if (want->stored && info->comp_method != ZIP_CM_STORE) {
        return zip_refuse(zip, member, "it must be stored without compression", error);
    }
    if (info->size > (zip_uint64_t)DGNN_LIMIT_MEMBER) {
        return zip_refuse(zip, member, "larger than 4 GiB", error);
    }
    if (info->size > 1024 && info->size / DGNN_LIMIT_RATIO > info->comp_size) {
        return zip_refuse(zip, member, "compressed more than 1100 to 1", error);
    }
    return DGNN_OK;
}

/* To the end: only there is the CRC compared. The buffer grows with what has really come. */
static int zip_read_stream(struct dgnn_zip *zip, const struct dgnn_zip_want *want, zip_file_t *file,
                           int64_t size, struct dgnn_buffer *buffer, struct dgnn_error *error)
{
    int64_t done = 0;
    for (;;) {
        int64_t capacity = size < DGNN_LIMIT_TRUSTED || done > size / 2 ? size : 2 * done;
        capacity =
            capacity < DGNN_LIMIT_TRUSTED && size >= DGNN_LIMIT_TRUSTED ? DGNN_LIMIT_TRUSTED : capacity;
        DGNN_TRY(dgnn_buffer_extend(buffer, capacity + 1, done, "a member of an archive", error));
        /* One byte more than is expected, so that the end shows. */
        zip_int64_t got =
            zip->libzip->fread(file, (char *)buffer->data + done, (zip_uint64_t)(capacity + 1 - done));
        if (got < 0) {
            return zip_fail(zip, want->label, zip->libzip->file_get_error(file), error);
        }
        done += got;
        if (done > size || (got == 0 && done != size)) {
            return zip_refuse(zip, want->label, "its length is not what the archive says", error);
        }
        if (got == 0) {
            return DGNN_OK;
        }
    }
}

int dgnn_zip_read(struct dgnn_zip *zip, const struct dgnn_zip_want *want, struct dgnn_buffer *buffer,
                  int64_t *nbytes, struct dgnn_error *error)
{
    zip_stat_t info;
    DGNN_TRY(zip_check_stat(zip, want, &info, error));
    zip_file_t *file = zip->libzip->fopen_index(zip->zip, (zip_uint64_t)want->index, 0);
    if (!file) {
        return zip_fail(zip, want->label, zip->libzip->get_error(zip->zip), error);
    }
    *nbytes = (int64_t)info.size;
    int status = zip_read_stream(zip, want, file, *nbytes, buffer, error);
    zip->libzip->fclose(file);
    return status;
}
