/* Calls every getter on every value of a tree: whatever was accepted must also be readable. */
#ifndef DGNN_TESTS_WALK_H
#define DGNN_TESTS_WALK_H

#include "io/tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WALK_REQUIRE(cond)                                                                                   \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static inline void walk_tensor(const struct dgnn_value *value)
{
    struct dgnn_tensor tensor;
    WALK_REQUIRE(!dgnn_value_tensor(value, &tensor, NULL));
    int64_t size = dgnn_tensor_size(&tensor);
    WALK_REQUIRE(size >= 0 && tensor.data && dgnn_tensor_item_size(tensor.dtype) > 0);
    for (int64_t i = 0; i < size; i++) {
        if (tensor.dtype == 'd') {
            WALK_REQUIRE(isfinite(((const double *)tensor.data)[i]));
        } else if (tensor.dtype == 'f') {
            WALK_REQUIRE(isfinite(((const float *)tensor.data)[i]));
        } else if (tensor.dtype == '?') {
            WALK_REQUIRE(((const unsigned char *)tensor.data)[i] <= 1);
        }
    }
    WALK_REQUIRE(!dgnn_value_tensor_shaped(value, tensor.ndim, tensor.shape, &tensor, NULL));
}

/* The numbers of all tensors, and all names; what getters say of a wrong kind is the tree's own target's
 * business, and two thirds of the time. */
__attribute__((unused)) static void walk_tensors(const struct dgnn_value *value)
{
    if (dgnn_value_kind(value) == DGNN_VALUE_TENSOR) {
        walk_tensor(value);
    }
    for (int64_t i = 0; i < dgnn_value_count(value); i++) {
        struct dgnn_value item = dgnn_value_item(value, i);
        WALK_REQUIRE(!item.name || strlen(item.name) < SIZE_MAX);
        walk_tensors(&item);
    }
}

/* Returns the number of values. */
__attribute__((unused)) static int64_t walk_value(const struct dgnn_value *value)
{
    struct dgnn_error error;
    char path[300];
    int64_t integer, count = 0;
    double number;
    int truth;
    const char *text;
    enum dgnn_value_kind kind = dgnn_value_kind(value);
    int matches = 0;
    matches += !dgnn_value_double(value, &number, &error) && kind == DGNN_VALUE_NUMBER && isfinite(number);
    matches += !dgnn_value_bool(value, &truth, &error) && kind == DGNN_VALUE_BOOL;
    matches +=
        !dgnn_value_string(value, &text, &error) && kind == DGNN_VALUE_STRING && strlen(text) < SIZE_MAX;
    matches += !dgnn_value_object(value, &error) && kind == DGNN_VALUE_OBJECT;
    matches += !dgnn_value_list(value, &count, &error) && kind == DGNN_VALUE_LIST;
    WALK_REQUIRE(matches == (kind != DGNN_VALUE_NULL && kind != DGNN_VALUE_TENSOR));
    WALK_REQUIRE(kind != DGNN_VALUE_ABSENT);
    WALK_REQUIRE(strlen(dgnn_value_path(value, path, sizeof(path))) < sizeof(path));
    dgnn_value_int(value, &integer, &error);
    if (kind == DGNN_VALUE_TENSOR) {
        walk_tensor(value);
    }
    int64_t total = 1;
    for (int64_t i = 0; i < dgnn_value_count(value); i++) {
        struct dgnn_value item = dgnn_value_item(value, i);
        if (kind == DGNN_VALUE_OBJECT) {
            struct dgnn_value again = dgnn_value_member(value, item.name);
            WALK_REQUIRE(again.node == item.node); /* no name twice */
        }
        total += walk_value(&item);
    }
    return total;
}

#endif
