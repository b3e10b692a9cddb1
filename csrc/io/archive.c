#include "io/archive.h"

#include "base/alloc.h"
#include "io/central.h"
#include "io/libzip.h"
#include "io/limits.h"
#include "io/packed.h"
#include "io/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The members that dgnn reads. */
enum archive_role {
    ARCHIVE_MODEL = 0,
    ARCHIVE_METADATA,
    ARCHIVE_PACKED_MODEL,
    ARCHIVE_PACKED_METADATA,
    ARCHIVE_PACKED_INDEX,
    ARCHIVE_PACKED_BYTES,
    ARCHIVE_NROLE
};

static const char *const archive_names[ARCHIVE_NROLE] = {"extra/model.json", "extra/metadata.json",
                                                         "dgnn/model.json",  "dgnn/metadata.json",
                                                         "dgnn/arrays.json", "dgnn/arrays.bin"};

/* libzip's way to our bytes. */
struct archive_feed {
    const struct dgnn_libzip *libzip;
    const struct dgnn_source *source;
    int64_t offset;
    zip_error_t zip_error;
    struct dgnn_error error; /* of the last failed read; status 0: none */
};

struct archive_reader {
    const char *name;
    const struct dgnn_libzip *libzip;
    zip_t *zip;
    struct archive_feed feed;
    int64_t member[ARCHIVE_NROLE]; /* index in the ZIP, or -1 */
    char prefix[128];              /* what stands before "extra/" */
    struct dgnn_archive *archive;
    struct dgnn_error *error;
};

/* ------------------------------------------------------------------ libzip on our bytes */

static zip_int64_t archive_feed_read(struct archive_feed *feed, void *data, zip_uint64_t length)
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

static zip_int64_t archive_feed_seek(struct archive_feed *feed, void *data, zip_uint64_t length)
{
    zip_int64_t offset = feed->libzip->source_seek_compute_offset(
        (zip_uint64_t)feed->offset, (zip_uint64_t)feed->source->length, data, length, &feed->zip_error);
    if (offset < 0) {
        return -1;
    }
    feed->offset = offset;
    return 0;
}

static zip_int64_t archive_feed_call(void *context, void *data, zip_uint64_t length, zip_source_cmd_t command)
{
    struct archive_feed *feed = context;
    switch (command) {
    case ZIP_SOURCE_OPEN:
        feed->offset = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return archive_feed_read(feed, data, length);
    case ZIP_SOURCE_SEEK:
        return archive_feed_seek(feed, data, length);
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
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE,
            ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    default:
        feed->libzip->error_set(&feed->zip_error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* libzip's error as a status. member may be NULL. */
static int archive_zip_fail(struct archive_reader *reader, const char *member, zip_error_t *zip_error)
{
    if (reader->feed.error.status) {
        return dgnn_status_set_errno(reader->error, reader->feed.error.system_errno, "%s: cannot read",
                                     reader->name);
    }
    enum { ZLIB_MEMORY = -4 }; /* zlib's Z_MEM_ERROR, which libzip passes on */
    const struct dgnn_libzip *libzip = reader->libzip;
    int code = libzip->error_code_zip(zip_error);
    if (code == ZIP_ER_MEMORY || (code == ZIP_ER_ZLIB && libzip->error_code_system(zip_error) == ZLIB_MEMORY)) {
        return dgnn_status_set(reader->error, DGNN_ERROR_MEMORY, "%s: out of memory while reading",
                               reader->name);
    }
    const char *what = code == ZIP_ER_EXISTS ? "two members have the same name" : libzip->error_strerror(zip_error);
    return member ? dgnn_status_set(reader->error, DGNN_ERROR_FORMAT, "%s: %s: damaged: %s", reader->name,
                                    member, what)
                  : dgnn_status_set(reader->error, DGNN_ERROR_FORMAT, "%s: not a sound ZIP archive: %s",
                                    reader->name, what);
}

static int archive_zip_open(struct archive_reader *reader)
{
    const struct dgnn_libzip *libzip = reader->libzip;
    zip_error_t zip_error;
    libzip->error_init(&zip_error);
    libzip->error_init(&reader->feed.zip_error);
    zip_source_t *bytes = libzip->source_function_create(archive_feed_call, &reader->feed, &zip_error);
    if (bytes) {
        reader->zip = libzip->open_from_source(bytes, ZIP_RDONLY | ZIP_CHECKCONS, &zip_error);
    }
    int status = reader->zip ? DGNN_OK : archive_zip_fail(reader, NULL, &zip_error);
    if (bytes && !reader->zip) {
        libzip->source_free(bytes);
    }
    libzip->error_fini(&zip_error);
    return status;
}

/* ------------------------------------------------------------------ which members */

static int archive_ends_with(const char *text, size_t length, const char *end)
{
    size_t n = strlen(end);
    return length >= n && !memcmp(text + length - n, end, n);
}

/* The role of a member by its exact name; ARCHIVE_NROLE: none. "extra/NAME" counts at the root and in any
 * folder, since readers of these archives differ in what they take. */
static enum archive_role archive_role_of(const char *name, size_t length)
{
    for (int role = 0; role < ARCHIVE_NROLE; role++) {
        size_t n = strlen(archive_names[role]);
        int extra = role == ARCHIVE_MODEL || role == ARCHIVE_METADATA;
        if (archive_ends_with(name, length, archive_names[role]) &&
            (length == n || (extra && name[length - n - 1] == '/'))) {
            return (enum archive_role)role;
        }
    }
    return ARCHIVE_NROLE;
}

static int archive_refuse(struct archive_reader *reader, const char *member, const char *what)
{
    return dgnn_status_set(reader->error, DGNN_ERROR_FORMAT, "%s: %.200s: %s", reader->name, member, what);
}

/* deepmd-kit's members must lie in one folder: "X/extra/" or "extra/". */
static int archive_check_prefix(struct archive_reader *reader, const char *name, enum archive_role role)
{
    size_t length = strlen(name) - strlen(archive_names[role]);
    if (length >= sizeof(reader->prefix) || length == 1 || (length > 0 && memchr(name, '/', length - 1))) {
        return archive_refuse(reader, name, "expected extra/ at the root of the archive, or in one folder");
    }
    enum archive_role other = role == ARCHIVE_MODEL ? ARCHIVE_METADATA : ARCHIVE_MODEL;
    if (reader->member[other] >= 0 &&
        (strlen(reader->prefix) != length || memcmp(reader->prefix, name, length))) {
        return archive_refuse(reader, name, "model.json and metadata.json lie in different folders");
    }
    memcpy(reader->prefix, name, length);
    reader->prefix[length] = 0;
    return DGNN_OK;
}

static int archive_is_file(const struct archive_reader *reader, int64_t index)
{
    zip_uint8_t system;
    zip_uint32_t attributes;
    if (reader->libzip->file_get_external_attributes(reader->zip, (zip_uint64_t)index, 0, &system, &attributes)) {
        return 0;
    }
    uint32_t type = attributes >> 16 & S_IFMT;
    return !(attributes & 0x10) && (system != ZIP_OPSYS_UNIX || type == 0 || type == S_IFREG);
}

static int archive_take_name(struct archive_reader *reader, int64_t index, const char *name)
{
    size_t length = strlen(name);
    int folder = length > 0 && name[length - 1] == '/';
    enum archive_role role = archive_role_of(name, length - (size_t)folder);
    struct dgnn_archive *archive = reader->archive;
    archive->has_compiled |= strstr(name, "/aotinductor/") || archive_ends_with(name, length, ".so") ||
                             archive_ends_with(name, length, ".cubin") ||
                             archive_ends_with(name, length, "serialized_exported_program.json") ||
                             (strstr(name, "/models/") && archive_ends_with(name, length, ".json"));
    archive->has_nested |= archive_ends_with(name, length, "/forward_lower_with_comm.pt2");
    if (role == ARCHIVE_NROLE) {
        return DGNN_OK;
    }
    if (folder || !archive_is_file(reader, index)) {
        return archive_refuse(reader, name, "a folder or a link where a file is expected");
    }
    if (reader->member[role] >= 0) {
        return archive_refuse(reader, name, "there are two members for this");
    }
    if (role == ARCHIVE_MODEL || role == ARCHIVE_METADATA) {
        DGNN_TRY(archive_check_prefix(reader, name, role));
    }
    reader->member[role] = index;
    return DGNN_OK;
}

static int archive_list(struct archive_reader *reader)
{
    zip_int64_t count = reader->libzip->get_num_entries(reader->zip, 0);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = reader->libzip->get_name(reader->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        if (!name) {
            return archive_zip_fail(reader, NULL, reader->libzip->get_error(reader->zip));
        }
        DGNN_TRY(archive_take_name(reader, i, name));
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ reading a member */

static int archive_check_stat(struct archive_reader *reader, enum archive_role role, zip_stat_t *info)
{
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    const char *member = archive_names[role];
    if (reader->libzip->stat_index(reader->zip, (zip_uint64_t)reader->member[role], 0, info) ||
        (info->valid & needed) != needed) {
        return archive_zip_fail(reader, member, reader->libzip->get_error(reader->zip));
    }
    if (info->encryption_method != ZIP_EM_NONE) {
        return archive_refuse(reader, member, "it is encrypted");
    }
    if (info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE) {
        return archive_refuse(reader, member, "compressed by another method than deflate");
    }
    if (role == ARCHIVE_PACKED_BYTES && info->comp_method != ZIP_CM_STORE) {
        return archive_refuse(reader, member, "it must be stored without compression");
    }
    if (info->size > (zip_uint64_t)DGNN_LIMIT_MEMBER) {
        return archive_refuse(reader, member, "larger than 4 GiB");
    }
    if (info->size > 1024 && info->size / DGNN_LIMIT_RATIO > info->comp_size) {
        return archive_refuse(reader, member, "compressed more than 1100 to 1");
    }
    return DGNN_OK;
}

/* To the end: only there is the CRC compared. The buffer grows with what has really come. */
static int archive_read_stream(struct archive_reader *reader, const char *member, zip_file_t *file,
                               int64_t size, struct dgnn_buffer *buffer)
{
    int64_t done = 0;
    for (;;) {
        int64_t room = size < DGNN_LIMIT_TRUSTED || done > size / 2 ? size : 2 * done;
        room = room < DGNN_LIMIT_TRUSTED && size >= DGNN_LIMIT_TRUSTED ? DGNN_LIMIT_TRUSTED : room;
        DGNN_TRY(dgnn_buffer_extend(buffer, room + 1, done, "a member of an archive", reader->error));
        /* One byte more than is expected, so that the end shows. */
        zip_int64_t got = reader->libzip->fread(file, (char *)buffer->data + done, (zip_uint64_t)(room + 1 - done));
        if (got < 0) {
            return archive_zip_fail(reader, member, reader->libzip->file_get_error(file));
        }
        done += got;
        if (done > size || (got == 0 && done != size)) {
            return archive_refuse(reader, member, "its length is not what the archive says");
        }
        if (got == 0) {
            return DGNN_OK;
        }
    }
}

static int archive_read_member(struct archive_reader *reader, enum archive_role role,
                               struct dgnn_buffer *buffer, int64_t *nbytes)
{
    zip_stat_t info;
    DGNN_TRY(archive_check_stat(reader, role, &info));
    zip_file_t *file = reader->libzip->fopen_index(reader->zip, (zip_uint64_t)reader->member[role], 0);
    if (!file) {
        return archive_zip_fail(reader, archive_names[role], reader->libzip->get_error(reader->zip));
    }
    *nbytes = (int64_t)info.size;
    int status = archive_read_stream(reader, archive_names[role], file, *nbytes, buffer);
    reader->libzip->fclose(file);
    reader->archive->nbytes += *nbytes;
    return status;
}

/* ------------------------------------------------------------------ members to trees */

static int archive_check_object(const struct dgnn_tree *tree, const char *member, struct dgnn_error *error)
{
    struct dgnn_value root = dgnn_tree_root(tree);
    DGNN_TRY(dgnn_value_object(&root, error));
    struct dgnn_value model = member ? dgnn_value_member(&root, member) : root;
    return dgnn_value_object(&model, error);
}

static const char *archive_last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The tree of one JSON member; where the archive has none, *tree stays NULL. */
static int archive_read_tree(struct archive_reader *reader, enum archive_role role,
                             const struct dgnn_packed *packed, struct dgnn_tree **tree)
{
    struct dgnn_buffer buffer = {0};
    char name[256];
    int64_t nbytes = 0;
    if (reader->member[role] < 0) {
        return DGNN_OK;
    }
    int status = archive_read_member(reader, role, &buffer, &nbytes);
    if (!status) {
        snprintf(name, sizeof(name), "%.150s: %s", archive_last_component(reader->name),
                 archive_last_component(archive_names[role]));
        status = dgnn_tree_parse(name, buffer.data, (size_t)nbytes, packed ? packed->arrays : NULL,
                                 packed ? (size_t)packed->narrays : 0, tree, reader->error);
    }
    dgnn_buffer_free(&buffer);
    int is_model = role == ARCHIVE_MODEL || role == ARCHIVE_PACKED_MODEL;
    return status ? status : archive_check_object(*tree, is_model ? "model" : NULL, reader->error);
}

static int archive_no_model(struct archive_reader *reader)
{
    static const char advice[] =
        "re-export it with deepmd-kit 3.2 or later, which puts model.json into the archive: 'dp --pt-expt "
        "freeze -c "
        "CHECKPOINT.pt -o model.pt2', or 'dp convert-backend FROZEN_MODEL model.pt2'";
    if (reader->archive->has_compiled) {
        return dgnn_status_set(
            reader->error, DGNN_ERROR_UNSUPPORTED,
            "%s: this archive holds a compiled program and no model.json (so does what 'dp --pt "
            "freeze' writes for DPA4/SeZM, which dgnn does not evaluate); %s",
            reader->name, advice);
    }
    return dgnn_status_set(
        reader->error, DGNN_ERROR_FORMAT,
        "%s: this ZIP archive has no extra/model.json; if it is a checkpoint or a .pth, %s", reader->name,
        advice);
}

void dgnn_archive_set_digest(struct dgnn_archive *archive)
{
    struct dgnn_digest digest;
    struct dgnn_value root = dgnn_tree_root(archive->model);
    struct dgnn_value model = dgnn_value_member(&root, "model");
    dgnn_digest_begin(&digest);
    dgnn_value_digest(&model, &digest);
    if (archive->metadata) {
        struct dgnn_value metadata = dgnn_tree_root(archive->metadata);
        dgnn_value_digest(&metadata, &digest);
    }
    dgnn_digest_end(&digest, archive->digest);
}

static int archive_read_packed_trees(struct archive_reader *reader, const struct dgnn_packed *packed)
{
    DGNN_TRY(archive_read_tree(reader, ARCHIVE_PACKED_MODEL, packed, &reader->archive->model));
    DGNN_TRY(archive_read_tree(reader, ARCHIVE_PACKED_METADATA, packed, &reader->archive->metadata));
    dgnn_archive_set_digest(reader->archive);
    if (memcmp(reader->archive->digest, packed->digest, sizeof(packed->digest))) {
        return archive_refuse(reader, "dgnn/arrays.json", "the digest is not that of the model");
    }
    return DGNN_OK;
}

static int archive_read_packed(struct archive_reader *reader)
{
    struct dgnn_tree *index = NULL;
    struct dgnn_buffer bytes = {0};
    struct dgnn_packed packed = {0};
    int64_t nbytes = 0;
    snprintf(reader->archive->format, sizeof(reader->archive->format), "dgnn");
    if (reader->member[ARCHIVE_PACKED_MODEL] < 0 || reader->member[ARCHIVE_PACKED_BYTES] < 0 ||
        reader->member[ARCHIVE_MODEL] >= 0) {
        return archive_refuse(
            reader, "dgnn/arrays.json",
            "dgnn/model.json or dgnn/arrays.bin is missing beside it, or extra/model.json is there");
    }
    int status = archive_read_tree(reader, ARCHIVE_PACKED_INDEX, NULL, &index);
    status = status ? status : archive_read_member(reader, ARCHIVE_PACKED_BYTES, &bytes, &nbytes);
    status = status ? status : dgnn_packed_open(index, bytes.data, nbytes, &packed, reader->error);
    status = status ? status : archive_read_packed_trees(reader, &packed);
    dgnn_packed_free(&packed);
    dgnn_buffer_free(&bytes);
    dgnn_tree_free(index);
    return status;
}

static int archive_read_members(struct archive_reader *reader)
{
    DGNN_TRY(archive_list(reader));
    if (reader->member[ARCHIVE_PACKED_INDEX] >= 0) {
        return archive_read_packed(reader);
    }
    snprintf(reader->archive->format, sizeof(reader->archive->format), "pt2");
    if (reader->member[ARCHIVE_MODEL] < 0) {
        return archive_no_model(reader);
    }
    DGNN_TRY(archive_read_tree(reader, ARCHIVE_MODEL, NULL, &reader->archive->model));
    DGNN_TRY(archive_read_tree(reader, ARCHIVE_METADATA, NULL, &reader->archive->metadata));
    dgnn_archive_set_digest(reader->archive);
    return DGNN_OK;
}

static int archive_read_zip(const struct dgnn_source *source, struct dgnn_archive *archive,
                            struct dgnn_error *error)
{
    struct archive_reader reader = {
        .name = source->name, .feed = {.source = source}, .archive = archive, .error = error};
    for (int role = 0; role < ARCHIVE_NROLE; role++) {
        reader.member[role] = -1;
    }
    DGNN_TRY(dgnn_central_check(source, error));
    DGNN_TRY(dgnn_libzip_get(&reader.libzip, error));
    reader.feed.libzip = reader.libzip;
    DGNN_TRY(archive_zip_open(&reader));
    int status = archive_read_members(&reader);
    reader.libzip->discard(reader.zip);
    return status;
}

/* ------------------------------------------------------------------ which kind of file */

static int archive_read_json(const struct dgnn_source *source, struct dgnn_archive *archive,
                             struct dgnn_error *error)
{
    if (source->length > DGNN_LIMIT_MEMBER) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: larger than 4 GiB", source->name);
    }
    char *text = dgnn_alloc(source->length, 1);
    if (!text) {
        return dgnn_status_no_memory(error, "a JSON text", source->length);
    }
    snprintf(archive->format, sizeof(archive->format), "json");
    archive->nbytes = source->length;
    int status = dgnn_source_read(source, 0, text, source->length, error);
    if (!status) {
        status = dgnn_tree_parse(archive_last_component(source->name), text, (size_t)source->length, NULL, 0,
                                 &archive->model, error);
    }
    dgnn_alloc_free(text);
    DGNN_TRY(status);
    DGNN_TRY(archive_check_object(archive->model, "model", error));
    dgnn_archive_set_digest(archive);
    return DGNN_OK;
}

static int archive_read_any(const struct dgnn_source *source, struct dgnn_archive *archive,
                            struct dgnn_error *error)
{
    char head[64];
    size_t length = source->length < (int64_t)sizeof(head) ? (size_t)source->length : sizeof(head);
    DGNN_TRY(dgnn_source_read(source, 0, head, (int64_t)length, error));
    size_t space = 0;
    while (space < length && strchr(" \t\r\n", head[space]) && head[space]) {
        space++;
    }
    if (length >= 4 && (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4))) {
        return archive_read_zip(source, archive, error);
    }
    if (space < length && head[space] == '{') {
        return archive_read_json(source, archive, error);
    }
    const char *hint = "";
    if (length >= 8 && !memcmp(head, "\x89HDF\r\n\x1a\n", 8)) {
        hint = "; it is HDF5, as deepmd-kit's .dp: load that through the Python package";
    } else if (length >= 3 && !memcmp(head, "\xef\xbb\xbf", 3)) {
        hint = "; it begins with a byte order mark, which JSON does not have";
    } else if (length == 0) {
        hint = "; it is empty";
    }
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: neither a ZIP archive nor JSON%s", source->name,
                           hint);
}

static int archive_read_source(struct dgnn_source *source, struct dgnn_archive *archive,
                               struct dgnn_error *error)
{
    *archive = (struct dgnn_archive){0};
    int status = archive_read_any(source, archive, error);
    status = status ? status : dgnn_source_unchanged(source, error);
    dgnn_source_close(source);
    if (status) {
        dgnn_archive_free(archive);
    }
    return status;
}

int dgnn_archive_read(const char *path, struct dgnn_archive *archive, struct dgnn_error *error)
{
    struct dgnn_source source;
    DGNN_TRY(dgnn_source_open(path, &source, error));
    return archive_read_source(&source, archive, error);
}

int dgnn_archive_read_memory(const char *name, const void *data, size_t length, struct dgnn_archive *archive,
                             struct dgnn_error *error)
{
    struct dgnn_source source;
    dgnn_source_memory(name, data, length, &source);
    return archive_read_source(&source, archive, error);
}

void dgnn_archive_free(struct dgnn_archive *archive)
{
    dgnn_tree_free(archive->model);
    dgnn_tree_free(archive->metadata);
    *archive = (struct dgnn_archive){0};
}
