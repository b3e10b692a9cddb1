/* A ZIP archive's directory, checked for what libzip does not check: where the members lie. */
#ifndef DGNN_IO_CENTRAL_H
#define DGNN_IO_CENTRAL_H

#include "io/source.h"

/* The archive must begin with its first member and end with its directory, its end records and a comment,
 * where it has one. 64-bit end records are read wherever they are, and agree with the 32-bit one; nothing
 * else in the file may look like its end. Members must not overlap; there are at most DGNN_LIMIT_ENTRIES;
 * names have no zero bytes. So there is one way to read it. Errors: FORMAT, UNSUPPORTED (several disks),
 * SYSTEM, MEMORY. */
int dgnn_central_check(const struct dgnn_source *source, struct dgnn_error *error);

#endif
