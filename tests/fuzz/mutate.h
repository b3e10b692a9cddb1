/* A mutator for JSON: most mutants of libFuzzer's own end at the parser. Half of the time a number, a word or
 * a string is replaced by another one; else libFuzzer does what it does. */
#ifndef DGNN_TESTS_MUTATE_H
#define DGNN_TESTS_MUTATE_H

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static const char *const mutate_values[] = {"0",
                                            "1",
                                            "2",
                                            "3",
                                            "4",
                                            "8",
                                            "-1",
                                            "0.5",
                                            "1e-300",
                                            "1e300",
                                            "65",
                                            "1000000",
                                            "2147483647",
                                            "2147483648",
                                            "4294967297",
                                            "9223372036854775807",
                                            "-9223372036854775808",
                                            "1e999",
                                            "null",
                                            "true",
                                            "false",
                                            "[]",
                                            "{}",
                                            "[1]",
                                            "[1,2]",
                                            "[[0,1]]",
                                            "[[0]]",
                                            "\"\"",
                                            "\"x\"",
                                            "\"none\"",
                                            "\"tanh\"",
                                            "\"float32\"",
                                            "\"strip\"",
                                            "\"concat\"",
                                            "{\"@class\":\"np.ndarray\",\"@index\":0}"};

static inline int mutate_in_token(uint8_t c)
{
    return isalnum(c) || c == '-' || c == '+' || c == '.' || c == '_';
}

/* The bounds of the value or name around place. */
static inline void mutate_token(const uint8_t *data, size_t size, size_t place, size_t *from, size_t *to)
{
    *from = *to = place;
    while (*from > 0 && mutate_in_token(data[*from - 1])) {
        (*from)--;
    }
    while (*to < size && mutate_in_token(data[*to])) {
        (*to)++;
    }
    if (*from > 0 && *to < size && data[*from - 1] == '"' && data[*to] == '"') {
        (*from)--;
        (*to)++;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size_t from, to;
    if (size == 0 || seed % 2) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    seed /= 2;
    mutate_token(data, size, (seed >> 8) % size, &from, &to);
    const size_t nvalue = sizeof(mutate_values) / sizeof(*mutate_values);
    const char *value = mutate_values[seed % nvalue];
    size_t length = strlen(value);
    if (from == to || size - (to - from) + length > max_size) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    memmove(data + from + length, data + to, size - to);
    memcpy(data + from, value, length);
    return size - (to - from) + length;
}

#endif
