/* The pickles that torch writes, read as data: a machine without a way out.
 *
 * It knows the operations that torch's own writers emit (protocol 2) and these globals by name: OrderedDict,
 * tensors and their storages, TorchScript's typed lists, and, as mere names, the classes of a TorchScript
 * archive
 * (__torch__.*). Anything else is refused with its name. Nothing is called and nothing imported; a storage is
 * a name and a number of elements.
 *
 * Limits are those of base/limits.h: DGNN_LIMIT_PICKLED values and links, nesting DGNN_LIMIT_DEPTH, no value
 * inside itself, DGNN_LIMIT_EXPANDED values where each is counted as often as it can be reached: sharing
 * cannot make a short file a huge tree. */
#ifndef DGNN_PICKLE_PICKLE_H
#define DGNN_PICKLE_PICKLE_H

#include "pickle/pickled.h"

/* bytes must live as long as the pickle; at most DGNN_LIMIT_PICKLE. name is used in messages. Errors: FORMAT,
 * UNSUPPORTED (a global that is none of those above), MEMORY. */
int dgnn_pickle_read(const char *name, const void *bytes, int64_t nbytes, struct dgnn_pickle **pickle,
                     struct dgnn_error *error);
void dgnn_pickle_free(struct dgnn_pickle *pickle);
struct dgnn_pickled dgnn_pickle_root(const struct dgnn_pickle *pickle);

#endif
