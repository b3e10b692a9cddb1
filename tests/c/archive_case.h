/* Small archives of one model, made in memory and read. */
#ifndef DGNN_TESTS_ARCHIVE_CASE_H
#define DGNN_TESTS_ARCHIVE_CASE_H

#include "check.h"
#include "zipmaker.h"

#include "io/archive.h"

static struct dgnn_error error;
static struct zip_maker zip;

#define WEIGHT   "{\"@class\":\"np.ndarray\",\"@is_variable\":true,\"dtype\":\"float64\",\"value\":[1.5,2]}"
#define MODEL    "{\"model\":{\"type\":\"standard\",\"w\":" WEIGHT "},\"software\":\"deepmd-kit\"}"
#define METADATA "{\"type_map\":[\"O\",\"H\"],\"rcut\":6.0}"

static inline struct zip_entry text_entry(const char *name, const char *text)
{
    return (struct zip_entry){.name = name, .data = text, .size = strlen(text)};
}

static inline void zip_add_text(const char *name, const char *text, int method)
{
    struct zip_entry entry = text_entry(name, text);
    entry.method = method;
    zip_add(&zip, &entry);
}

static inline void zip_begin(void)
{
    zip.length = zip.directory_length = zip.count = zip.previous = 0;
}

static inline int read_bytes(const void *bytes, size_t length, struct dgnn_archive *archive)
{
    void *copy = malloc(length + !length); /* exact, for AddressSanitizer */
    memcpy(copy, bytes, length);
    int status = dgnn_archive_read_memory("folder/model.pt2", copy, length, archive, &error);
    free(copy);
    return status;
}

static inline int read_zip(struct dgnn_archive *archive)
{
    return read_bytes(zip.bytes, zip.length, archive);
}

static inline void check_good(const struct dgnn_archive *archive)
{
    struct dgnn_value root = dgnn_tree_root(archive->model);
    struct dgnn_value model = dgnn_value_member(&root, "model");
    struct dgnn_value w = dgnn_value_member(&model, "w");
    struct dgnn_tensor tensor = {0};
    int64_t n;
    CHECK(!dgnn_value_tensor(&w, &tensor, &error) && tensor.shape[0] == 2 &&
          ((const double *)tensor.data)[0] == 1.5);
    CHECK_STATUS(dgnn_value_int(&w, &n, &error), DGNN_ERROR_FORMAT,
                 "model.w: expected an integer, found an array");
}

#endif
