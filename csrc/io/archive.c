#include "io/archive.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "io/packed.h"
#include "io/source.h"
#include "io/zip.h"

#include <stdio.h>
#include <string.h>

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

struct archive_reader {
    const char *name;
    struct dgnn_zip *zip;
    int64_t member[ARCHIVE_NROLE]; /* index in the ZIP, or -1 */
    char prefix[128];              /* what stands before "extra/" */
    char pickle_prefix[128];       /* what stands before "data.pkl", with its slash; empty: there is none */
    const struct dgnn_archive_converter *converter;
    struct dgnn_archive *archive;
    struct dgnn_error *error;
};

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
    if (folder || !dgnn_zip_is_file(reader->zip, index)) {
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

/* torch's files: the first X/data.pkl, which only counts where there is no model.json. */
static void archive_note_pickle(struct archive_reader *reader, const char *name)
{
    const char *slash = strchr(name, '/');
    size_t length = slash ? (size_t)(slash - name) + 1 : 0;
    if (slash && !strcmp(slash, "/data.pkl") && !reader->pickle_prefix[0] &&
        length < sizeof(reader->pickle_prefix)) {
        memcpy(reader->pickle_prefix, name, length);
        reader->pickle_prefix[length] = 0;
    }
}

static int archive_list(struct archive_reader *reader)
{
    int64_t count = dgnn_zip_count(reader->zip);
    for (int64_t i = 0; i < count; i++) {
        struct dgnn_error error = {0};
        const char *name = dgnn_zip_name(reader->zip, i, &error);
        if (!name) {
            return dgnn_status_set(reader->error, error.status, "%s", error.message);
        }
        archive_note_pickle(reader, name);
        DGNN_TRY(archive_take_name(reader, i, name));
    }
    return DGNN_OK;
}

/* ------------------------------------------------------------------ reading a member */

static int archive_read_member(struct archive_reader *reader, enum archive_role role,
                               struct dgnn_buffer *buffer, int64_t *nbytes)
{
    struct dgnn_zip_want want = {
        .label = archive_names[role], .index = reader->member[role], .stored = role == ARCHIVE_PACKED_BYTES};
    DGNN_TRY(dgnn_zip_read(reader->zip, &want, buffer, nbytes, reader->error));
    reader->archive->nbytes += *nbytes;
    return DGNN_OK;
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
        const struct dgnn_tree_arrays arrays = {packed ? packed->arrays : NULL,
                                                packed ? (size_t)packed->narrays : 0};
        status = dgnn_tree_parse(name, buffer.data, (size_t)nbytes, &arrays, tree, reader->error);
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

static int archive_read_checkpoint(struct archive_reader *reader)
{
    struct dgnn_checkpoint checkpoint;
    DGNN_TRY(dgnn_checkpoint_open(archive_last_component(reader->name), reader->zip, reader->pickle_prefix,
                                  &checkpoint, reader->error));
    snprintf(reader->archive->format, sizeof(reader->archive->format),
             checkpoint.is_torchscript ? "pth" : "pt");
    int status =
        reader->converter->convert(reader->converter->context, &checkpoint, reader->archive, reader->error);
    reader->archive->nbytes += checkpoint.nread;
    dgnn_checkpoint_close(&checkpoint);
    if (!status && reader->archive->model) {
        dgnn_archive_set_digest(reader->archive);
    }
    return status;
}

static int archive_read_members(struct archive_reader *reader)
{
    DGNN_TRY(archive_list(reader));
    if (reader->member[ARCHIVE_MODEL] < 0 && reader->pickle_prefix[0] && reader->converter &&
        reader->member[ARCHIVE_PACKED_INDEX] < 0) {
        return archive_read_checkpoint(reader);
    }
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

static int archive_read_zip(const struct dgnn_source *source, const struct dgnn_archive_converter *converter,
                            struct dgnn_archive *archive, struct dgnn_error *error)
{
    struct archive_reader reader = {
        .name = source->name, .converter = converter, .archive = archive, .error = error};
    for (int role = 0; role < ARCHIVE_NROLE; role++) {
        reader.member[role] = -1;
    }
    DGNN_TRY(dgnn_zip_open(source, &reader.zip, error));
    int status = archive_read_members(&reader);
    dgnn_zip_close(reader.zip);
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
        status = dgnn_tree_parse(archive_last_component(source->name), text, (size_t)source->length, NULL,
                                 &archive->model, error);
    }
    dgnn_alloc_free(text);
    DGNN_TRY(status);
    DGNN_TRY(archive_check_object(archive->model, "model", error));
    dgnn_archive_set_digest(archive);
    return DGNN_OK;
}

static int archive_read_any(const struct dgnn_source *source, const struct dgnn_archive_converter *converter,
                            struct dgnn_archive *archive, struct dgnn_error *error)
{
    char head[64];
    size_t length = source->length < (int64_t)sizeof(head) ? (size_t)source->length : sizeof(head);
    DGNN_TRY(dgnn_source_read(source, 0, head, (int64_t)length, error));
    size_t space = 0;
    while (space < length && strchr(" \t\r\n", head[space]) && head[space]) {
        space++;
    }
    if (length >= 4 && (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4))) {
        return archive_read_zip(source, converter, archive, error);
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

static int archive_read_source(struct dgnn_source *source, const struct dgnn_archive_converter *converter,
                               struct dgnn_archive *archive, struct dgnn_error *error)
{
    *archive = (struct dgnn_archive){0};
    int status = archive_read_any(source, converter, archive, error);
    status = status ? status : dgnn_source_unchanged(source, error);
    dgnn_source_close(source);
    if (status) {
        dgnn_archive_free(archive);
    }
    return status;
}

int dgnn_archive_convert(const char *path, const struct dgnn_archive_converter *converter,
                         struct dgnn_archive *archive, struct dgnn_error *error)
{
    struct dgnn_source source;
    DGNN_TRY(dgnn_source_open(path, &source, error));
    return archive_read_source(&source, converter, archive, error);
}

int dgnn_archive_convert_memory(const struct dgnn_archive_bytes *bytes,
                                const struct dgnn_archive_converter *converter, struct dgnn_archive *archive,
                                struct dgnn_error *error)
{
    struct dgnn_source source;
    dgnn_source_memory(bytes->name, bytes->data, bytes->length, &source);
    return archive_read_source(&source, converter, archive, error);
}

int dgnn_archive_read(const char *path, struct dgnn_archive *archive, struct dgnn_error *error)
{
    return dgnn_archive_convert(path, NULL, archive, error);
}

int dgnn_archive_read_memory(const char *name, const void *data, size_t length, struct dgnn_archive *archive,
                             struct dgnn_error *error)
{
    struct dgnn_archive_bytes bytes = {.name = name, .data = data, .length = length};
    return dgnn_archive_convert_memory(&bytes, NULL, archive, error);
}

void dgnn_archive_free(struct dgnn_archive *archive)
{
    dgnn_tree_free(archive->model);
    dgnn_tree_free(archive->metadata);
    *archive = (struct dgnn_archive){0};
}
