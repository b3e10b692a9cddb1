#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dgnn_status_name(int32_t status)
{
    static const char *const names[] = {"DGNN_OK",
                                        "DGNN_ERROR_FORMAT",
                                        "DGNN_ERROR_UNSUPPORTED",
                                        "DGNN_ERROR_INPUT",
                                        "DGNN_ERROR_COMM",
                                        "DGNN_ERROR_MEMORY",
                                        "DGNN_ERROR_SYSTEM",
                                        "DGNN_ERROR_BUSY",
                                        "DGNN_ERROR_INTERNAL",
                                        "DGNN_ERROR_INTERRUPTED"};
    if (status < 0 || (size_t)status >= sizeof(names) / sizeof(names[0])) {
        return "DGNN_ERROR_UNKNOWN";
    }
    return names[status];
}

const char *dgnn_version(void)
{
    return DGNN_VERSION;
}

int dgnn_status_set(struct dgnn_error *error, int status, const char *format, ...)
{
    if (error) {
        va_list args;
        error->status = status;
        error->system_errno = 0;
        va_start(args, format);
        vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
    }
    return status;
}

int dgnn_status_set_errno(struct dgnn_error *error, int errnum, const char *format, ...)
{
    if (error) {
        va_list args;
        error->status = DGNN_ERROR_SYSTEM;
        error->system_errno = errnum;
        va_start(args, format);
        vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
        size_t used = strlen(error->message);
        snprintf(error->message + used, sizeof(error->message) - used, ": %s", strerror(errnum));
    }
    return DGNN_ERROR_SYSTEM;
}

int dgnn_status_no_memory(struct dgnn_error *error, const char *what, int64_t nbytes)
{
    return dgnn_status_set(error, DGNN_ERROR_MEMORY, "out of memory: %s needs %.1f MiB", what,
                           (double)nbytes / (1024.0 * 1024.0));
}

void dgnn_status_note(struct dgnn_failure *failure, int status, const struct dgnn_error *error)
{
    if (status && !failure->status) {
        failure->status = status;
        failure->error = *error;
    }
}

int dgnn_status_failed(const struct dgnn_failure *failure, struct dgnn_error *error)
{
    if (failure->status && error) {
        *error = failure->error;
    }
    return failure->status;
}
