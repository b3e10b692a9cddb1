#include "io/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dgnn_source_open(const char *path, struct dgnn_source *source, struct dgnn_error *error)
{
    struct stat info;
    /* O_NONBLOCK: a FIFO without a writer is refused below, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return dgnn_status_set_errno(error, errno, "%s: cannot open", path);
    }
    int errnum = fstat(fd, &info)        ? errno
                 : S_ISDIR(info.st_mode) ? EISDIR
                 : S_ISREG(info.st_mode) ? 0
                                         : EINVAL;
    if (errnum) {
        close(fd);
        return dgnn_status_set_errno(error, errnum, "%s: not a regular file", path);
    }
    *source = (struct dgnn_source){.name = path, .fd = fd, .length = info.st_size};
    return DGNN_OK;
}

void dgnn_source_memory(const char *name, const void *data, size_t length, struct dgnn_source *source)
{
    *source = (struct dgnn_source){.name = name,
                                   .bytes = data ? data : (const void *)"",
                                   .fd = -1,
                                   .length = data ? (int64_t)length : 0};
}

void dgnn_source_close(struct dgnn_source *source)
{
    if (source->fd >= 0) {
        close(source->fd);
        source->fd = -1;
    }
}

int dgnn_source_read(const struct dgnn_source *source, int64_t offset, void *out, int64_t nbytes,
                     struct dgnn_error *error)
{
    int64_t done = 0;
    if (offset < 0 || nbytes < 0 || offset > source->length || nbytes > source->length - offset) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: the archive points beyond its own end",
                               source->name);
    }
    if (source->bytes) {
        memcpy(out, source->bytes + offset, (size_t)nbytes);
        return DGNN_OK;
    }
    while (done < nbytes) {
        ssize_t got = pread(source->fd, (char *)out + done, (size_t)(nbytes - done), offset + done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return dgnn_status_set_errno(error, got < 0 ? errno : EIO, "%s: cannot read at byte %lld%s",
                                         source->name, (long long)(offset + done),
                                         got < 0 ? "" : " (the file has shrunk)");
        }
        done += got;
    }
    return DGNN_OK;
}

int dgnn_source_unchanged(const struct dgnn_source *source, struct dgnn_error *error)
{
    struct stat info;
    if (source->bytes) {
        return DGNN_OK;
    }
    if (fstat(source->fd, &info)) {
        return dgnn_status_set_errno(error, errno, "%s: cannot look at the file", source->name);
    }
    if (info.st_size != source->length) {
        return dgnn_status_set_errno(error, EIO, "%s: the file changed while it was read", source->name);
    }
    return DGNN_OK;
}
