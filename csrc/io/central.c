/* Field places are those of PKWARE's APPNOTE.TXT 6.3.10: 4.3.12 (directory entries), 4.3.14 to 4.3.16 (its
 * end), 4.5.3 (sizes of 64 bits). */
#include "io/central.h"

#include "base/alloc.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

enum { CENTRAL_ENTRY = 46, CENTRAL_LOCAL = 30, CENTRAL_END = 22, CENTRAL_LOCATOR = 20, CENTRAL_END64 = 56 };

/* Where the directory is. */
struct central_place {
    int64_t start;
    int64_t nbytes;
    int64_t nentries;
    int64_t end; /* where the records that end the archive begin */
};

struct central_span {
    int64_t start;
    int64_t end; /* at least: the local header may have a longer extra field */
};

static uint64_t central_get(const unsigned char *bytes, int width)
{
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static int central_fail(const struct dgnn_source *source, const char *what, struct dgnn_error *error)
{
    return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: not a sound ZIP archive: %s", source->name, what);
}

/* Is the 32-bit field full, or the same number as the 64-bit one? */
static int central_agrees(uint64_t narrow, int width, uint64_t wide)
{
    return narrow == ~UINT64_C(0) >> (64 - 8 * width) || narrow == wide;
}

/* The 64-bit record and its locator, which end at place->end; end is the 32-bit record. */
static int central_find64(const struct dgnn_source *source, const unsigned char *end,
                          struct central_place *place, struct dgnn_error *error)
{
    unsigned char locator[CENTRAL_LOCATOR], wide[CENTRAL_END64];
    place->end -= CENTRAL_LOCATOR + CENTRAL_END64;
    if (place->end < 0) {
        return central_fail(source, "its 64-bit directory is missing", error);
    }
    DGNN_TRY(dgnn_source_read(source, place->end, wide, sizeof(wide), error));
    DGNN_TRY(dgnn_source_read(source, place->end + CENTRAL_END64, locator, sizeof(locator), error));
    if (memcmp(locator, "PK\6\7", 4) || memcmp(wide, "PK\6\6", 4) ||
        central_get(locator + 8, 8) != (uint64_t)place->end ||
        central_get(wide + 4, 8) != CENTRAL_END64 - 12) {
        return central_fail(source, "its 64-bit directory is missing", error);
    }
    if (central_get(wide + 24, 8) != central_get(wide + 32, 8) || central_get(wide + 16, 8) ||
        central_get(locator + 4, 4) || central_get(locator + 16, 4) > 1) {
        return central_fail(source, "it is part of several disks", error);
    }
    if (!central_agrees(central_get(end + 10, 2), 2, central_get(wide + 32, 8)) ||
        !central_agrees(central_get(end + 12, 4), 4, central_get(wide + 40, 8)) ||
        !central_agrees(central_get(end + 16, 4), 4, central_get(wide + 48, 8))) {
        return central_fail(source, "its two ends contradict each other", error);
    }
    place->nentries = (int64_t)central_get(wide + 32, 8);
    place->nbytes = (int64_t)central_get(wide + 40, 8);
    place->start = (int64_t)central_get(wide + 48, 8);
    return DGNN_OK;
}

/* Does the 64-bit locator stand before the record at place->end? Writers may leave one where nothing needs
 * it, as PyTorch's always does. */
static int central_has64(const struct dgnn_source *source, const unsigned char *end,
                         const struct central_place *place, int *has, struct dgnn_error *error)
{
    unsigned char mark[4] = {0};
    if (place->end >= CENTRAL_LOCATOR) {
        DGNN_TRY(dgnn_source_read(source, place->end - CENTRAL_LOCATOR, mark, sizeof(mark), error));
    }
    *has = !memcmp(mark, "PK\6\7", 4) || central_get(end + 10, 2) == 0xffff ||
           central_get(end + 12, 4) == 0xffffffff || central_get(end + 16, 4) == 0xffffffff;
    return DGNN_OK;
}

/* The record that ends the archive: the only one whose comment is all that follows it. A second one (a
 * comment that looks like an end) would be another way to read the file. */
static int central_find_end(const struct dgnn_source *source, unsigned char *end, struct central_place *place,
                            struct dgnn_error *error)
{
    enum { COMMENT_MAX = 65535 };
    int64_t length = source->length < CENTRAL_END + COMMENT_MAX ? source->length : CENTRAL_END + COMMENT_MAX;
    int found = 0;
    unsigned char *tail = dgnn_alloc(length, 1);
    if (!tail) {
        return dgnn_status_no_memory(error, "the end of a ZIP archive", length);
    }
    int status = dgnn_source_read(source, source->length - length, tail, length, error);
    for (int64_t i = length - CENTRAL_END; i >= 0 && !status && found < 2; i--) {
        if (tail[i] == 'P' && !memcmp(tail + i, "PK\5\6", 4) &&
            (int64_t)central_get(tail + i + 20, 2) == length - CENTRAL_END - i) {
            found++;
            memcpy(end, tail + i, CENTRAL_END);
            place->end = source->length - length + i;
        }
    }
    dgnn_alloc_free(tail);
    DGNN_TRY(status);
    return found == 1
               ? DGNN_OK
               : central_fail(source,
                              found ? "it has two ends" : "it is cut off, or something follows its directory",
                              error);
}

static int central_find(const struct dgnn_source *source, struct central_place *place,
                        struct dgnn_error *error)
{
    unsigned char end[CENTRAL_END];
    int has64 = 0;
    if (source->length < CENTRAL_END) {
        return central_fail(source, "it is too short", error);
    }
    DGNN_TRY(central_find_end(source, end, place, error));
    /* Full numbers of disks: the 64-bit record has them. */
    if (!central_agrees(central_get(end + 4, 2), 2, 0) || !central_agrees(central_get(end + 6, 2), 2, 0) ||
        central_get(end + 8, 2) != central_get(end + 10, 2)) {
        return central_fail(source, "it is part of several disks", error);
    }
    place->nentries = (int64_t)central_get(end + 10, 2);
    place->nbytes = (int64_t)central_get(end + 12, 4);
    place->start = (int64_t)central_get(end + 16, 4);
    DGNN_TRY(central_has64(source, end, place, &has64, error));
    if (has64) {
        DGNN_TRY(central_find64(source, end, place, error));
    } else if (central_get(end + 4, 4)) {
        return central_fail(source, "it is part of several disks", error);
    }
    if (place->nentries < 0 || place->nentries > DGNN_LIMIT_ENTRIES || place->nbytes < 0 ||
        place->nbytes > DGNN_LIMIT_DIRECTORY) {
        return central_fail(source, "more than 65535 members, or a directory beyond 32 MiB", error);
    }
    if (place->start < 0 || place->start > place->end || place->nbytes != place->end - place->start) {
        return central_fail(source, "its directory is not where its end says", error);
    }
    return DGNN_OK;
}

/* The 64-bit value that the extra field holds in place of a full 32-bit one. */
static int central_wide(const unsigned char *extra, int64_t length, int *place, uint64_t *value)
{
    if (*value != 0xffffffff) {
        return 1;
    }
    while (length >= 4) {
        int64_t size = (int64_t)central_get(extra + 2, 2);
        if (size > length - 4) {
            return 0;
        }
        if (central_get(extra, 2) == 1) {
            if (*place + 8 > size) {
                return 0;
            }
            *value = central_get(extra + 4 + *place, 8);
            *place += 8;
            return 1;
        }
        extra += 4 + size;
        length -= 4 + size;
    }
    return 0;
}

/* One entry at bytes, of which left are in the directory; *used is its size. */
static int central_entry(const struct dgnn_source *source, const unsigned char *bytes, int64_t left,
                         struct central_span *span, int64_t *used, struct dgnn_error *error)
{
    if (left < CENTRAL_ENTRY || memcmp(bytes, "PK\1\2", 4)) {
        return central_fail(source, "its directory has fewer entries than it says", error);
    }
    int64_t name = (int64_t)central_get(bytes + 28, 2);
    int64_t extra = (int64_t)central_get(bytes + 30, 2);
    uint64_t unpacked = central_get(bytes + 24, 4);
    uint64_t packed = central_get(bytes + 20, 4);
    uint64_t start = central_get(bytes + 42, 4);
    int place = 0;
    *used = CENTRAL_ENTRY + name + extra + (int64_t)central_get(bytes + 32, 2);
    if (*used > left) {
        return central_fail(source, "its directory has fewer entries than it says", error);
    }
    if (memchr(bytes + CENTRAL_ENTRY, 0, (size_t)name)) {
        return central_fail(source, "a member's name has a zero byte", error);
    }
    const unsigned char *wide = bytes + CENTRAL_ENTRY + name;
    if (!central_wide(wide, extra, &place, &unpacked) || !central_wide(wide, extra, &place, &packed) ||
        !central_wide(wide, extra, &place, &start) || start > INT64_MAX / 4 || packed > INT64_MAX / 4) {
        return central_fail(source, "a member's size or place is damaged", error);
    }
    span->start = (int64_t)start;
    span->end = (int64_t)(start + packed) + CENTRAL_LOCAL + name;
    return DGNN_OK;
}

static int central_compare(const void *a, const void *b)
{
    int64_t first = ((const struct central_span *)a)->start;
    int64_t second = ((const struct central_span *)b)->start;
    return (first > second) - (first < second);
}

static int central_check_spans(const struct dgnn_source *source, const struct central_place *place,
                               const unsigned char *directory, struct central_span *spans,
                               struct dgnn_error *error)
{
    int64_t at = 0;
    for (int64_t i = 0; i < place->nentries; i++) {
        int64_t used = 0;
        DGNN_TRY(central_entry(source, directory + at, place->nbytes - at, &spans[i], &used, error));
        at += used;
    }
    if (at != place->nbytes) {
        return central_fail(source, "its directory has more entries than it says", error);
    }
    qsort(spans, (size_t)place->nentries, sizeof(*spans), central_compare);
    if (place->nentries > 0 && spans[0].start != 0) {
        return central_fail(source, "something precedes its first member", error);
    }
    for (int64_t i = 0; i < place->nentries; i++) {
        int64_t limit = i + 1 < place->nentries ? spans[i + 1].start : place->start;
        if (spans[i].end > limit) {
            return central_fail(source, "its members overlap", error);
        }
    }
    return DGNN_OK;
}

int dgnn_central_check(const struct dgnn_source *source, struct dgnn_error *error)
{
    struct central_place place = {0};
    DGNN_TRY(central_find(source, &place, error));
    unsigned char *directory = dgnn_alloc(place.nbytes, 1);
    struct central_span *spans = dgnn_alloc(place.nentries, sizeof(*spans));
    int status = directory && spans ? DGNN_OK : dgnn_status_no_memory(error, "a ZIP directory", place.nbytes);
    status = status ? status : dgnn_source_read(source, place.start, directory, place.nbytes, error);
    status = status ? status : central_check_spans(source, &place, directory, spans, error);
    dgnn_alloc_free(spans);
    dgnn_alloc_free(directory);
    return status;
}
