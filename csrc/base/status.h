/* The one way to report an error: a status and a message. */
#ifndef DGNN_BASE_STATUS_H
#define DGNN_BASE_STATUS_H

#include "dgnn.h"

/* Fills *error, which may be NULL, and returns status. The message is cut at DGNN_MESSAGE_LENGTH. */
int dgnn_status_set(struct dgnn_error *error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As dgnn_status_set with DGNN_ERROR_SYSTEM. errnum is stored, and its text is appended to the message. */
int dgnn_status_set_errno(struct dgnn_error *error, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reports a failed allocation of nbytes for what. Returns DGNN_ERROR_MEMORY. */
int dgnn_status_no_memory(struct dgnn_error *error, const char *what, int64_t nbytes);

/* The first failure of several, where work goes on after it. Zero it before. */
struct dgnn_failure {
    int status;
    struct dgnn_error error;
};

/* Keeps status, if it is the first that is none of DGNN_OK. */
void dgnn_status_note(struct dgnn_failure *failure, int status, const struct dgnn_error *error);

/* Its status, with its message in *error. */
int dgnn_status_failed(const struct dgnn_failure *failure, struct dgnn_error *error);

/* Returns from the calling function with the status of expr if it failed. */
#define DGNN_TRY(expr)                                                                                       \
    do {                                                                                                     \
        int dgnn_status_ = (expr);                                                                           \
        if (dgnn_status_) {                                                                                  \
            return dgnn_status_;                                                                             \
        }                                                                                                    \
    } while (0)

#endif
