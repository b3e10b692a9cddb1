/* One strict pass over a JSON text, before cJSON sees it.
 *
 * It checks all of JSON's grammar and dgnn's limits, parses every {"@class": "np.ndarray", ...} straight into
 * a tensor, and leaves a reduced text in which each array and each number is a placeholder number: what cJSON
 * then reads is small, has no fractions (whose reading depends on the locale) and nothing that cJSON could
 * choke on. */
#ifndef DGNN_IO_SCAN_H
#define DGNN_IO_SCAN_H

#include "base/alloc.h"
#include "base/tensor.h"

struct dgnn_scan_array {
    int64_t start; /* the text that it stands for: the member's value */
    int64_t end;
    struct dgnn_tensor tensor; /* owned, where owned */
    int32_t owned;             /* parsed from the text; else one of the arrays given */
};

struct dgnn_scan_placeholder {
    double number;
    int32_t array; /* into arrays, or -1: a number */
};

struct dgnn_scan {
    struct dgnn_scan_array *arrays; /* in text order */
    int64_t narrays;
    struct dgnn_scan_placeholder *placeholders;
    int64_t nplaceholder;
    char *text; /* reduced, zero-terminated */
    int64_t length;
};

struct dgnn_scan_input {
    const char *name; /* for messages */
    const char *text;
    int64_t length;
    const struct dgnn_tensor *given; /* what @index refers to */
    int64_t ngiven;
};

/* Errors: FORMAT, UNSUPPORTED (an element type), MEMORY. On failure nothing stays allocated. */
int dgnn_scan_text(const struct dgnn_scan_input *input, struct dgnn_scan *scan, struct dgnn_error *error);
/* Frees what is still owned: take a tensor over by clearing its owned. */
void dgnn_scan_free(struct dgnn_scan *scan);

#endif
