/* A string that grows. The caller zeroes it before its first use. */
#ifndef DGNN_BASE_TEXT_H
#define DGNN_BASE_TEXT_H

#include "base/alloc.h"

struct dgnn_text {
    char *data; /* zero-terminated; NULL until something was added */
    int64_t length;
    int64_t capacity;
};

int dgnn_text_add(struct dgnn_text *text, struct dgnn_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds a JSON number that reads back to the same bits, whatever the locale; null where it is not finite. */
int dgnn_text_add_number(struct dgnn_text *text, double number, struct dgnn_error *error);
/* Adds a JSON string with its quotes. */
int dgnn_text_add_quoted(struct dgnn_text *text, const char *string, struct dgnn_error *error);
void dgnn_text_free(struct dgnn_text *text);

#endif
