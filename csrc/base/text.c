#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int text_reserve(struct dgnn_text *text, int64_t extra, struct dgnn_error *error)
{
    int64_t needed = text->length + extra + 1;
    if (needed <= text->capacity) {
        return DGNN_OK;
    }
    char *data = dgnn_alloc(2 * needed, 1);
    if (!data) {
        return dgnn_status_no_memory(error, "a description", needed);
    }
    if (text->data) {
        memcpy(data, text->data, (size_t)text->length);
    }
    dgnn_alloc_free(text->data);
    text->data = data;
    text->capacity = 2 * needed;
    text->data[text->length] = 0;
    return DGNN_OK;
}

int dgnn_text_add(struct dgnn_text *text, struct dgnn_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    DGNN_TRY(text_reserve(text, length, error));
    va_start(args, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, args);
    va_end(args);
    text->length += length;
    return DGNN_OK;
}

int dgnn_text_add_quoted(struct dgnn_text *text, const char *string, struct dgnn_error *error)
{
    DGNN_TRY(dgnn_text_add(text, error, "\""));
    for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
        if (*c < 0x20) {
            DGNN_TRY(dgnn_text_add(text, error, "\\u%04x", *c));
        } else if (*c == '"' || *c == '\\') {
            DGNN_TRY(dgnn_text_add(text, error, "\\%c", *c));
        } else {
            DGNN_TRY(dgnn_text_add(text, error, "%c", *c));
        }
    }
    return dgnn_text_add(text, error, "\"");
}

/* As an integer where it is one, else with 17 digits. */
int dgnn_text_add_number(struct dgnn_text *text, double number, struct dgnn_error *error)
{
    char digits[48], plain[48];
    size_t length = 0;
    if (!isfinite(number)) {
        return dgnn_text_add(text, error, "null");
    }
    if (number == floor(number) && fabs(number) < 9007199254740992.0 && !signbit(number)) {
        return dgnn_text_add(text, error, "%lld", (long long)number);
    }
    snprintf(digits, sizeof(digits), "%.17g", number);
    for (const char *c = digits; *c; c++) {
        if (strchr("0123456789+-e", *c)) {
            plain[length++] = *c;
        } else if (length == 0 || plain[length - 1] != '.') {
            plain[length++] = '.';
        }
    }
    plain[length] = 0;
    return dgnn_text_add(text, error, "%s", plain);
}

void dgnn_text_free(struct dgnn_text *text)
{
    dgnn_alloc_free(text->data);
    *text = (struct dgnn_text){0};
}
