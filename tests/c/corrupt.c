/* Loads a file that was damaged in every way of a kind, and counts what came of it:
 *
 *     corrupt FILE [STEP]      every STEP-th (1: each)
 *
 * prints a line for each kind: its name, cases, refused, the same model, another model. Ends with 1 where an
 * error has no message or a wrong status, or where something stays allocated. */
#include "base/alloc.h"
#include "dgnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512 };

struct sample {
    unsigned char *bytes;
    size_t size;
    char *digest; /* of the whole file */
};

struct count {
    int64_t cases, refused, same, other;
};

/* The digest of the model and what else was read, in the description; NULL where loading failed, as it may.
 */
static char *load(const unsigned char *bytes, size_t size)
{
    static const struct dgnn_load_options options = {.size = sizeof(options), .threads = 1, .skin = -1};
    struct dgnn_model *model = NULL;
    struct dgnn_error error = {0};
    int64_t live = dgnn_alloc_live();
    char *digest = NULL;
    int status = dgnn_model_load_memory("corrupt", bytes, size, &options, &model, &error);
    if (!status) {
        const char *found = strstr(dgnn_model_describe(model), "\"digest\": \"");
        digest = found ? strndup(found, 60) : NULL;
        dgnn_model_free(model);
    }
    int told = status ? (status == DGNN_ERROR_FORMAT || status == DGNN_ERROR_UNSUPPORTED) && error.message[0]
                      : !!digest;
    if (!told || dgnn_alloc_live() != live) {
        printf("%s: %s, %lld blocks left\n", dgnn_status_name(status), error.message,
               (long long)(dgnn_alloc_live() - live));
        exit(1);
    }
    return digest;
}

static void try(const struct sample *s, const unsigned char *bytes, size_t size, struct count *count)
{
    char *digest = load(bytes, size);
    count->cases++;
    count->refused += !digest;
    count->same += digest && !strcmp(digest, s->digest);
    count->other += digest && strcmp(digest, s->digest);
    free(digest);
}

static void report(const char *name, const struct count *count)
{
    printf("%s %lld %lld %lld %lld\n", name, (long long)count->cases, (long long)count->refused,
           (long long)count->same, (long long)count->other);
}

/* A copy that ends where the data does, so that a sanitizer sees a read beyond it. */
static void cut(const struct sample *s, size_t step)
{
    struct count count = {0};
    for (size_t size = 0; size < s->size; size += step) {
        unsigned char *copy = malloc(size + !size);
        memcpy(copy, s->bytes, size);
        try(s, copy, size, &count);
        free(copy);
    }
    report("cut", &count);
}

static void flip(const struct sample *s, unsigned char *copy, size_t step)
{
    struct count count = {0};
    for (size_t bit = 0; bit < 8 * s->size; bit += step) {
        copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
        try(s, copy, s->size, &count);
        copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    report("flip", &count);
}

static void set(const struct sample *s, unsigned char *copy, size_t step, int value)
{
    struct count count = {0};
    for (size_t i = 0; i < s->size; i += step) {
        if (copy[i] != value) {
            copy[i] = (unsigned char)value;
            try(s, copy, s->size, &count);
            copy[i] = s->bytes[i];
        }
    }
    report(value ? "ff" : "00", &count);
}

/* Blocks as file systems lose them: the rest is zeros, or two of them change places. */
static void tear(const struct sample *s, unsigned char *copy)
{
    struct count zeros = {0}, swaps = {0};
    for (size_t from = 0; from < s->size; from += BLOCK) {
        memset(copy + from, 0, s->size - from);
        try(s, copy, s->size, &zeros);
        memcpy(copy, s->bytes, s->size);
        for (size_t to = from + BLOCK; to + BLOCK <= s->size; to += BLOCK) {
            memcpy(copy + from, s->bytes + to, BLOCK);
            memcpy(copy + to, s->bytes + from, BLOCK);
            try(s, copy, s->size, &swaps);
            memcpy(copy, s->bytes, s->size);
        }
    }
    report("zeros", &zeros);
    report("swaps", &swaps);
}

int main(int argc, char **argv)
{
    struct sample s = {.bytes = malloc(1 << 20)};
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t step = argc > 2 ? (size_t)atoi(argv[2]) : 1;
    s.size = file ? fread(s.bytes, 1, 1 << 20, file) : 0;
    s.digest = s.size > 0 ? load(s.bytes, s.size) : NULL;
    if (!s.digest || step < 1) {
        printf("corrupt: the file does not load\n");
        return 1;
    }
    fclose(file);
    unsigned char *copy = malloc(s.size);
    memcpy(copy, s.bytes, s.size);
    cut(&s, step);
    flip(&s, copy, step);
    set(&s, copy, step, 0);
    set(&s, copy, step, 0xff);
    tear(&s, copy);
    free(copy);
    free(s.bytes);
    free(s.digest);
    return 0;
}
