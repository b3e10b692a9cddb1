/* Structs of dgnn.h that begin with their size: those of a caller who knows fewer members are read as far as
 * they go, and never written beyond. What a longer one has beyond this library's is left alone. */
#ifndef DGNN_BASE_SIZED_H
#define DGNN_BASE_SIZED_H

#include "base/status.h"

/* own becomes theirs as far as that goes, and keeps beyond it what it has; its own size stays. least: what
 * each caller has. name is used in messages. Errors: INPUT, where theirs is shorter than least. */
struct dgnn_sized {
    const char *name;
    size_t least, length; /* length: of own */
};
int dgnn_sized_take(const struct dgnn_sized *kind, const void *theirs, void *own, struct dgnn_error *error);

/* theirs becomes own as far as it goes; its size stays. */
void dgnn_sized_give(const struct dgnn_sized *kind, const void *own, void *theirs);

/* Up to and with a member. */
#define DGNN_SIZED_TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

#endif
