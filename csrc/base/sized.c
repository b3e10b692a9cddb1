#include "base/sized.h"

#include <string.h>

static size_t sized_common(const struct dgnn_sized *kind, const void *theirs)
{
    size_t size;
    memcpy(&size, theirs, sizeof(size));
    return size < kind->length ? size : kind->length;
}

int dgnn_sized_read(const struct dgnn_sized *kind, const void *theirs, void *own, struct dgnn_error *error)
{
    size_t size = sized_common(kind, theirs);
    if (size < kind->least) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "%s: its size is %zu, expected at least %zu; set size to sizeof the struct",
                               kind->name, size, kind->least);
    }
    memcpy((char *)own + sizeof(size_t), (const char *)theirs + sizeof(size_t), size - sizeof(size_t));
    memcpy(own, &kind->length, sizeof(size_t));
    return DGNN_OK;
}

void dgnn_sized_write(const struct dgnn_sized *kind, const void *own, void *theirs)
{
    size_t size = sized_common(kind, theirs);
    if (size > sizeof(size_t)) {
        memcpy((char *)theirs + sizeof(size_t), (const char *)own + sizeof(size_t), size - sizeof(size_t));
    }
}
