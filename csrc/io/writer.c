#include "io/writer.h"

#include "io/packed.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------ JSON */

static int writer_array(const struct dgnn_value *value, struct dgnn_text *text, struct dgnn_buffer *tensors,
                        int64_t *narrays, struct dgnn_error *error)
{
    struct dgnn_tensor tensor;
    DGNN_TRY(dgnn_value_tensor(value, &tensor, error));
    if (tensors) {
        int64_t used = *narrays * (int64_t)sizeof(tensor);
        int64_t wanted = used + (int64_t)sizeof(tensor);
        wanted = wanted > tensors->capacity ? 2 * wanted : wanted;
        DGNN_TRY(dgnn_buffer_extend(tensors, wanted, used, "a list of arrays", error));
        ((struct dgnn_tensor *)tensors->data)[*narrays] = tensor;
    }
    return dgnn_text_add(text, error,
                         "{\"@class\": \"np.ndarray\", \"@is_variable\": true, \"@index\": %lld}",
                         (long long)(*narrays)++);
}

static int writer_members(const struct dgnn_value *value, struct dgnn_text *text, struct dgnn_buffer *tensors,
                          int64_t *narrays, struct dgnn_error *error)
{
    int is_object = dgnn_value_kind(value) == DGNN_VALUE_OBJECT;
    DGNN_TRY(dgnn_text_add(text, error, is_object ? "{" : "["));
    for (int64_t i = 0; i < dgnn_value_count(value); i++) {
        struct dgnn_value item = dgnn_value_item(value, i);
        if (i > 0) {
            DGNN_TRY(dgnn_text_add(text, error, ", "));
        }
        if (is_object) {
            DGNN_TRY(dgnn_text_add_quoted(text, item.name, error));
            DGNN_TRY(dgnn_text_add(text, error, ": "));
        }
        DGNN_TRY(dgnn_writer_json(&item, text, tensors, narrays, error));
    }
    return dgnn_text_add(text, error, is_object ? "}" : "]");
}

int dgnn_writer_json(const struct dgnn_value *value, struct dgnn_text *text, struct dgnn_buffer *tensors,
                     int64_t *narrays, struct dgnn_error *error)
{
    double number;
    int truth;
    const char *string;
    switch (dgnn_value_kind(value)) {
    case DGNN_VALUE_BOOL:
        DGNN_TRY(dgnn_value_bool(value, &truth, error));
        return dgnn_text_add(text, error, truth ? "true" : "false");
    case DGNN_VALUE_NUMBER:
        DGNN_TRY(dgnn_value_double(value, &number, error));
        return dgnn_text_add_number(text, number, error);
    case DGNN_VALUE_STRING:
        DGNN_TRY(dgnn_value_string(value, &string, error));
        return dgnn_text_add_quoted(text, string, error);
    case DGNN_VALUE_TENSOR:
        return writer_array(value, text, tensors, narrays, error);
    case DGNN_VALUE_LIST:
    case DGNN_VALUE_OBJECT:
        return writer_members(value, text, tensors, narrays, error);
    default:
        return dgnn_text_add(text, error, "null");
    }
}

/* ------------------------------------------------------------------ the parts of the archive */

struct writer_parts {
    struct dgnn_text model;
    struct dgnn_text metadata; /* data NULL: none */
    struct dgnn_text index;
    struct dgnn_buffer tensors;
    int64_t narrays;
    int64_t nbytes; /* of arrays.bin */
};

static const char *writer_dtype(int32_t dtype)
{
    switch (dtype) {
    case 'd':
        return "float64";
    case 'f':
        return "float32";
    case 'l':
        return "int64";
    case 'i':
        return "int32";
    default:
        return "bool";
    }
}

static int64_t writer_tensor_bytes(const struct dgnn_tensor *tensor)
{
    return dgnn_tensor_size(tensor) * dgnn_tensor_item_size(tensor->dtype);
}

static int64_t writer_align(int64_t place)
{
    return (place + DGNN_PACKED_ALIGNMENT - 1) / DGNN_PACKED_ALIGNMENT * DGNN_PACKED_ALIGNMENT;
}

/* arrays.json after its head, and nbytes. */
static int writer_index_arrays(struct writer_parts *parts, struct dgnn_text *text, struct dgnn_error *error)
{
    const struct dgnn_tensor *tensors = parts->tensors.data;
    for (int64_t k = 0; k < parts->narrays; k++) {
        int64_t offset = writer_align(parts->nbytes);
        DGNN_TRY(dgnn_text_add(text, error, "%s{\"dtype\": \"%s\", \"shape\": [", k > 0 ? ", " : "",
                               writer_dtype(tensors[k].dtype)));
        for (int d = 0; d < tensors[k].ndim; d++) {
            DGNN_TRY(dgnn_text_add(text, error, "%s%lld", d > 0 ? ", " : "", (long long)tensors[k].shape[d]));
        }
        DGNN_TRY(dgnn_text_add(text, error, "], \"offset\": %lld}", (long long)offset));
        parts->nbytes = offset + writer_tensor_bytes(&tensors[k]);
    }
    return DGNN_OK;
}

static int writer_make_parts(const struct dgnn_archive *archive, struct writer_parts *parts,
                             struct dgnn_error *error)
{
    struct dgnn_value model = dgnn_tree_root(archive->model);
    struct dgnn_text list = {0};
    DGNN_TRY(dgnn_writer_json(&model, &parts->model, &parts->tensors, &parts->narrays, error));
    if (archive->metadata) {
        struct dgnn_value metadata = dgnn_tree_root(archive->metadata);
        DGNN_TRY(dgnn_writer_json(&metadata, &parts->metadata, &parts->tensors, &parts->narrays, error));
    }
    int status = writer_index_arrays(parts, &list, error);
    if (!status) {
        status = dgnn_text_add(&parts->index, error,
                               "{\"format\": \"dgnn\", \"version\": %d, \"digest\": \"%016llx%016llx\", "
                               "\"nbytes\": %lld, \"arrays\": [%s]}",
                               DGNN_PACKED_VERSION, (unsigned long long)archive->digest[0],
                               (unsigned long long)archive->digest[1], (long long)parts->nbytes,
                               list.data ? list.data : "");
    }
    dgnn_text_free(&list);
    return status;
}

static void writer_free_parts(struct writer_parts *parts)
{
    dgnn_text_free(&parts->model);
    dgnn_text_free(&parts->metadata);
    dgnn_text_free(&parts->index);
    dgnn_buffer_free(&parts->tensors);
}

/* ------------------------------------------------------------------ ZIP, stored members only */

enum { WRITER_NAME = 32, WRITER_MEMBERS = 4 };

/* Of a symbolic link's target, and how many may follow one another. */
enum { WRITER_LINK = 4096, WRITER_LINKS = 40 };

struct writer_member {
    char name[WRITER_NAME];
    uint32_t crc;
    int64_t nbytes;
    int64_t start; /* of its local header */
};

struct writer_file {
    const char *path;
    int fd;
    int64_t place;
    struct writer_member members[WRITER_MEMBERS];
    int nmember;
    uint32_t crc_table[256];
    struct dgnn_error *error;
};

static void writer_make_table(uint32_t table[256])
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        table[byte] = crc;
    }
}

static uint32_t writer_crc(const struct writer_file *file, uint32_t crc, const void *data, int64_t nbytes)
{
    crc = ~crc;
    for (int64_t i = 0; i < nbytes; i++) {
        crc = file->crc_table[(crc ^ ((const unsigned char *)data)[i]) & 0xff] ^ crc >> 8;
    }
    return ~crc;
}

static int writer_write(struct writer_file *file, const void *data, int64_t nbytes)
{
    const char *bytes = data;
    file->place += nbytes;
    while (nbytes > 0) {
        ssize_t done = write(file->fd, bytes, (size_t)nbytes);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return dgnn_status_set_errno(file->error, errno, "%s: cannot write", file->path);
        }
        bytes += done;
        nbytes -= done;
    }
    return DGNN_OK;
}

/* Little-endian fields, whose widths in bytes are the digits of widths. Returns the bytes used. */
static int64_t writer_pack(unsigned char *out, const char *widths, const uint64_t *fields)
{
    int64_t used = 0;
    for (int i = 0; widths[i]; i++) {
        for (int byte = 0; byte < widths[i] - '0'; byte++) {
            out[used++] = (unsigned char)(fields[i] >> 8 * byte);
        }
    }
    return used;
}

/* 1980-01-01, 00:00: the same model gives the same file. */
#define WRITER_DATE 0x00210000u

/* The local header, padded by an extra field so that the data begins at a multiple of 64. */
static int writer_begin_member(struct writer_file *file, const char *name, uint32_t crc, int64_t nbytes)
{
    unsigned char head[30 + WRITER_NAME + 4 + DGNN_PACKED_ALIGNMENT] = {0};
    struct writer_member *member = &file->members[file->nmember++];
    int64_t length = (int64_t)strlen(name);
    int64_t data = writer_align(file->place + 30 + length + 4);
    uint64_t extra = (uint64_t)(data - file->place - 30 - length);
    *member = (struct writer_member){.crc = crc, .nbytes = nbytes, .start = file->place};
    snprintf(member->name, sizeof(member->name), "%s", name);
    if (data > UINT32_MAX - 4096 - nbytes) {
        return dgnn_status_set(file->error, DGNN_ERROR_UNSUPPORTED,
                               "%s: the archive would be larger than 4 GiB", file->path);
    }
    const uint64_t fields[] = {
        0x04034b50, 20, 0, 0, WRITER_DATE, crc, (uint64_t)nbytes, (uint64_t)nbytes, (uint64_t)length, extra};
    int64_t used = writer_pack(head, "4222444422", fields);
    memcpy(head + used, name, (size_t)length);
    writer_pack(head + used + length, "22", (const uint64_t[]){0xd935, extra - 4});
    return writer_write(file, head, used + length + (int64_t)extra);
}

static int writer_text_member(struct writer_file *file, const char *name, const struct dgnn_text *text)
{
    DGNN_TRY(writer_begin_member(file, name, writer_crc(file, 0, text->data, text->length), text->length));
    return writer_write(file, text->data, text->length);
}

static int writer_bytes_member(struct writer_file *file, const char *name, const struct writer_parts *parts)
{
    static const char zeros[DGNN_PACKED_ALIGNMENT];
    const struct dgnn_tensor *tensors = parts->tensors.data;
    uint32_t crc = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t place = 0;
        if (pass == 1) {
            DGNN_TRY(writer_begin_member(file, name, crc, parts->nbytes));
        }
        for (int64_t k = 0; k < parts->narrays; k++) {
            int64_t gap = writer_align(place) - place;
            int64_t nbytes = writer_tensor_bytes(&tensors[k]);
            if (pass == 0) {
                crc = writer_crc(file, writer_crc(file, crc, zeros, gap), tensors[k].data, nbytes);
            } else {
                DGNN_TRY(writer_write(file, zeros, gap));
                DGNN_TRY(writer_write(file, tensors[k].data, nbytes));
            }
            place += gap + nbytes;
        }
    }
    return DGNN_OK;
}

static int writer_directory(struct writer_file *file)
{
    int64_t start = file->place;
    for (int i = 0; i < file->nmember; i++) {
        const struct writer_member *member = &file->members[i];
        unsigned char entry[46 + WRITER_NAME];
        uint64_t nbytes = (uint64_t)member->nbytes;
        uint64_t length = strlen(member->name);
        const uint64_t fields[] = {
            0x02014b50, 3 << 8 | 20, 20, 0, 0, WRITER_DATE, member->crc,    nbytes,
            nbytes,     length,      0,  0, 0, 0,           0100644u << 16, (uint64_t)member->start};
        int64_t used = writer_pack(entry, "4222244442222244", fields);
        memcpy(entry + used, member->name, length);
        DGNN_TRY(writer_write(file, entry, used + (int64_t)length));
    }
    unsigned char end[22];
    uint64_t count = (uint64_t)file->nmember;
    const uint64_t fields[] = {0x06054b50,      0, 0, count, count, (uint64_t)(file->place - start),
                               (uint64_t)start, 0};
    return writer_write(file, end, writer_pack(end, "42222442", fields));
}

static int writer_members_to_file(struct writer_file *file, const struct writer_parts *parts)
{
    writer_make_table(file->crc_table);
    DGNN_TRY(writer_text_member(file, "dgnn/arrays.json", &parts->index));
    DGNN_TRY(writer_bytes_member(file, "dgnn/arrays.bin", parts));
    DGNN_TRY(writer_text_member(file, "dgnn/model.json", &parts->model));
    if (parts->metadata.data) {
        DGNN_TRY(writer_text_member(file, "dgnn/metadata.json", &parts->metadata));
    }
    DGNN_TRY(writer_directory(file));
    if (fsync(file->fd)) {
        return dgnn_status_set_errno(file->error, errno, "%s: cannot sync", file->path);
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ the file */

static int writer_verify(const char *path, const uint64_t digest[2], struct dgnn_error *error)
{
    struct dgnn_archive again;
    DGNN_TRY(dgnn_archive_read(path, &again, error));
    int same = !memcmp(again.digest, digest, sizeof(again.digest));
    dgnn_archive_free(&again);
    return same ? DGNN_OK
                : dgnn_status_set(error, DGNN_ERROR_INTERNAL, "%s: reads back as another model", path);
}

/* The rename itself must reach the disk. */
static int writer_sync_folder(const char *path, char *folder, struct dgnn_error *error)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    memcpy(folder, path, length);
    strcpy(folder + length, !slash ? "." : length == 0 ? "/" : "");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return dgnn_status_set_errno(error, errno, "%s: cannot open the folder", folder);
    }
    /* EINVAL: a file system without it. */
    int errnum = fsync(fd) && errno != EINVAL ? errno : 0;
    close(fd);
    return errnum ? dgnn_status_set_errno(error, errnum, "%s: cannot sync the folder", folder) : DGNN_OK;
}

/* The permissions of the file that is replaced, or -1: there is none. */
static int writer_old_mode(const char *path, int *mode, struct dgnn_error *error)
{
    struct stat info;
    *mode = -1;
    if (stat(path, &info)) {
        return errno == ENOENT ? DGNN_OK
                               : dgnn_status_set_errno(error, errno, "%s: cannot look at the file", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return dgnn_status_set_errno(error, S_ISDIR(info.st_mode) ? EISDIR : EINVAL, "%s: not a regular file",
                                     path);
    }
    *mode = (int)(info.st_mode & 07777);
    return DGNN_OK;
}

static int writer_write_temporary(const char *path, int mode, const struct writer_parts *parts,
                                  struct dgnn_error *error)
{
    struct writer_file file = {.path = path, .error = error};
    file.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
    if (file.fd < 0) {
        return dgnn_status_set_errno(error, errno, "%s: cannot create", path);
    }
    int status = writer_members_to_file(&file, parts);
    if (!status && mode >= 0 && fchmod(file.fd, (mode_t)mode)) {
        status = dgnn_status_set_errno(error, errno, "%s: cannot set its permissions", path);
    }
    if (close(file.fd) && !status) {
        status = dgnn_status_set_errno(error, errno, "%s: cannot close", path);
    }
    if (status) {
        unlink(path);
    }
    return status;
}

static int writer_replace(const char *path, char *temporary, const struct writer_parts *parts,
                          const uint64_t digest[2], struct dgnn_error *error)
{
    int mode;
    DGNN_TRY(writer_old_mode(path, &mode, error));
    DGNN_TRY(writer_write_temporary(temporary, mode, parts, error));
    int status = writer_verify(temporary, digest, error);
    if (!status && rename(temporary, path)) {
        status = dgnn_status_set_errno(error, errno, "%s: cannot rename %s to it", path, temporary);
    }
    if (status) {
        unlink(temporary);
        return status;
    }
    return writer_sync_folder(path, temporary, error);
}

/* One step along a symbolic link: *path (allocated) becomes what it points to; *more is 0 where it is no
 * link. */
static int writer_follow(char **path, int *more, struct dgnn_error *error)
{
    char target[WRITER_LINK];
    ssize_t length = readlink(*path, target, sizeof(target));
    *more = length >= 0;
    if (!*more) {
        return DGNN_OK; /* a file, or nothing: what is wrong with it is found out when it is replaced */
    }
    if (length == WRITER_LINK) {
        return dgnn_status_set_errno(error, ENAMETOOLONG, "%s: cannot follow this link", *path);
    }
    const char *slash = strrchr(*path, '/');
    int64_t folder = target[0] == '/' || !slash ? 0 : slash - *path + 1;
    char *next = dgnn_alloc(folder + length + 1, 1);
    if (!next) {
        return dgnn_status_no_memory(error, "a file name", folder + length + 1);
    }
    memcpy(next, *path, (size_t)folder);
    memcpy(next + folder, target, (size_t)length);
    next[folder + length] = 0;
    dgnn_alloc_free(*path);
    *path = next;
    return DGNN_OK;
}

/* *file: the path that symbolic links lead to, allocated, also on failure. */
static int writer_follow_all(const char *path, char **file, struct dgnn_error *error)
{
    int64_t length = (int64_t)strlen(path) + 1;
    int more = 1;
    *file = dgnn_alloc(length, 1);
    if (!*file) {
        return dgnn_status_no_memory(error, "a file name", length);
    }
    memcpy(*file, path, (size_t)length);
    for (int step = 0; more; step++) {
        if (step == WRITER_LINKS) {
            return dgnn_status_set_errno(error, ELOOP, "%s: cannot follow these links", path);
        }
        DGNN_TRY(writer_follow(file, &more, error));
    }
    return DGNN_OK;
}

static int writer_save(const char *path, const struct dgnn_archive *archive, struct dgnn_error *error)
{
    struct dgnn_archive whole = *archive;
    struct writer_parts parts = {0};
    uint64_t random = 0;
    size_t length = strlen(path) + 64;
    char *temporary = dgnn_alloc((int64_t)length, 1);
    if (!temporary) {
        return dgnn_status_no_memory(error, "a file name", (int64_t)length);
    }
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0) {
        random = (uintptr_t)temporary; /* O_EXCL refuses a name that is taken */
    }
    snprintf(temporary, length, "%s.tmp.%ld.%016llx", path, (long)getpid(), (unsigned long long)random);
    dgnn_archive_set_digest(&whole);
    int status = writer_make_parts(&whole, &parts, error);
    status = status ? status : writer_replace(path, temporary, &parts, whole.digest, error);
    writer_free_parts(&parts);
    dgnn_alloc_free(temporary);
    return status;
}

int dgnn_writer_save(const char *path, const struct dgnn_archive *archive, struct dgnn_error *error)
{
    char *file;
    int status = writer_follow_all(path, &file, error);
    status = status ? status : writer_save(file, archive, error);
    dgnn_alloc_free(file);
    return status;
}
