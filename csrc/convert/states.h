/* The tensors of one model in a checkpoint, by their names in the state. */
#ifndef DGNN_CONVERT_STATES_H
#define DGNN_CONVERT_STATES_H

#include "io/checkpoint.h"

struct dgnn_states_entry {
    const char *name; /* without the prefix */
    struct dgnn_pickled value;
    int32_t used; /* did a table take it? */
};

struct dgnn_states {
    struct dgnn_checkpoint *checkpoint;
    const char *prefix;                /* as "model.Default."; borrowed */
    struct dgnn_states_entry *entries; /* sorted by name */
    int64_t nentry;
    struct dgnn_text names;
};

/* The tensors of a flat dict whose names begin with prefix; of an object, all below it, named with dots.
 * Errors: FORMAT (a name twice), MEMORY. On failure nothing stays. */
int dgnn_states_read(struct dgnn_checkpoint *checkpoint, struct dgnn_pickled dict, const char *prefix,
                     struct dgnn_states *state, struct dgnn_error *error);
void dgnn_states_free(struct dgnn_states *state);

/* NULL: none of that name. */
struct dgnn_states_entry *dgnn_states_find(const struct dgnn_states *state, const char *name);
/* Is there a tensor with that name, or below it? */
int dgnn_states_has(const struct dgnn_states *state, const char *name);
/* Is there a tensor of that name, and has it any elements? */
int dgnn_states_has_elements(const struct dgnn_states *state, const char *name);
/* Reads it and notes that it was used. Errors: as dgnn_checkpoint_tensor; FORMAT where it is missing. */
int dgnn_states_tensor(const struct dgnn_states *state, const char *name, struct dgnn_tensor *tensor,
                       struct dgnn_error *error);

/* Everything was used, or has no part in results by a table of names. Errors: UNSUPPORTED, with the name. */
int dgnn_states_check_used(const struct dgnn_states *state, struct dgnn_error *error);

#endif
