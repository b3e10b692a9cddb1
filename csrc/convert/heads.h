/* The heads of a checkpoint, and which of them is meant. */
#ifndef DGNN_CONVERT_HEADS_H
#define DGNN_CONVERT_HEADS_H

#include "base/text.h"
#include "io/tree.h"

/* The model in settings that head names, itself or as an alias, and its own name (NULL: one task, whose model
 * the settings are). head may be NULL: the only one. Errors: INPUT, with the list, the call and the nearest
 * name; FORMAT. */
struct dgnn_heads_choice {
    struct dgnn_value dict; /* model_dict, which params is a member of */
    struct dgnn_value params;
    const char *name;
};
int dgnn_heads_choose(const struct dgnn_value *settings, const char *head, struct dgnn_heads_choice *choice,
                      struct dgnn_error *error);

/* The error of a head asked of a file that has none. */
int dgnn_heads_none(const char *file, const char *head, struct dgnn_error *error);

#endif
