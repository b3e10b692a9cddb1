/* Structs of dgnn.h that begin with their size. The struct of an older caller has fewer members: it is read
 * as far as it goes, and nothing is written beyond its end. Members that only a newer caller knows are left
 * alone. */
#ifndef DGNN_BASE_SIZED_H
#define DGNN_BASE_SIZED_H

#include "base/status.h"

/* Copies the caller's struct theirs into own, as far as it goes. The members beyond keep their values, and
 * own keeps its size. Errors: INPUT, where theirs is shorter than kind->least; the message has kind->name. */
struct dgnn_sized {
    const char *name;
    size_t least, length; /* least: what every caller must have; length: of this library's struct */
};
int dgnn_sized_read(const struct dgnn_sized *kind, const void *theirs, void *own, struct dgnn_error *error);

/* Copies own into the caller's struct, as far as that goes. The caller's size stays. */
void dgnn_sized_write(const struct dgnn_sized *kind, const void *own, void *theirs);

/* The length of a struct up to a member, with that member. */
#define DGNN_SIZED_TO(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

#endif
