#include "convert/states.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ reading */

struct states_builder {
    struct dgnn_states *state;
    struct dgnn_buffer entries; /* names as offsets + 1 until the text stands still */
    int64_t nentry;
    struct dgnn_error *error;
};

static int states_add(struct states_builder *b, const char *name, struct dgnn_pickled value)
{
    struct dgnn_text *names = &b->state->names;
    int64_t size = sizeof(struct dgnn_states_entry), offset = names->length;
    if ((b->nentry + 1) * size > b->entries.capacity) {
        DGNN_TRY(dgnn_buffer_extend(&b->entries, (2 * b->nentry + 64) * size, b->nentry * size,
                                    "the names of a checkpoint", b->error));
    }
    DGNN_TRY(dgnn_text_add(names, b->error, "%s%c", name, 0));
    ((struct dgnn_states_entry *)b->entries.data)[b->nentry++] =
        (struct dgnn_states_entry){.name = (const char *)(uintptr_t)(offset + 1), .value = value};
    return DGNN_OK;
}

enum { STATE_NAME_MAX = 512 };

/* Adds a member's name to path; its length there, or -1: too long for any name that dgnn knows. */
static int64_t states_join(char *path, int64_t used, struct dgnn_pickled key)
{
    int64_t length;
    if (dgnn_pickled_kind(key) != DGNN_PICKLE_STRING) {
        return -1;
    }
    const char *name = dgnn_pickled_string(key, &length);
    if (used + length + 2 > STATE_NAME_MAX) {
        return -1;
    }
    memcpy(path + used, name, (size_t)length);
    path[used + length] = 0;
    return used + length;
}

/* Recursion is bounded by DGNN_LIMIT_DEPTH, the number of steps by DGNN_LIMIT_EXPANDED. */
static int states_walk(struct states_builder *b, struct dgnn_pickled object, char *path, int64_t used)
{
    struct dgnn_pickle_item item;
    dgnn_pickled_begin(object, &item);
    while (dgnn_pickled_next(object, &item)) {
        enum dgnn_pickle_kind kind = dgnn_pickled_kind(item.value);
        int64_t length = states_join(path, used, item.key);
        if (length >= 0 && kind == DGNN_PICKLE_TENSOR) {
            DGNN_TRY(states_add(b, path, item.value));
        } else if (length >= 0 && kind == DGNN_PICKLE_OBJECT) {
            path[length] = '.';
            path[length + 1] = 0;
            DGNN_TRY(states_walk(b, item.value, path, length + 1));
        }
        path[used] = 0;
    }
    return DGNN_OK;
}

static int states_walk_flat(struct states_builder *b, struct dgnn_pickled dict)
{
    char path[STATE_NAME_MAX] = "";
    size_t prefix = strlen(b->state->prefix);
    struct dgnn_pickle_item item;
    dgnn_pickled_begin(dict, &item);
    while (dgnn_pickled_next(dict, &item)) {
        if (dgnn_pickled_kind(item.value) == DGNN_PICKLE_TENSOR && states_join(path, 0, item.key) >= 0 &&
            !strncmp(path, b->state->prefix, prefix)) {
            DGNN_TRY(states_add(b, path + prefix, item.value));
        }
    }
    return DGNN_OK;
}

static int states_compare(const void *a, const void *b)
{
    return strcmp(((const struct dgnn_states_entry *)a)->name, ((const struct dgnn_states_entry *)b)->name);
}

static int states_sort(struct dgnn_states *state, struct dgnn_error *error)
{
    for (int64_t i = 0; i < state->nentry; i++) {
        state->entries[i].name = state->names.data + (uintptr_t)state->entries[i].name - 1;
    }
    if (state->nentry) { /* of none there is no array, which qsort asks for */
        qsort(state->entries, (size_t)state->nentry, sizeof(*state->entries), states_compare);
    }
    for (int64_t i = 1; i < state->nentry; i++) {
        if (!states_compare(&state->entries[i - 1], &state->entries[i])) {
            return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %s%.300s: the same name twice",
                                   state->checkpoint->name, state->prefix, state->entries[i].name);
        }
    }
    return DGNN_OK;
}

int dgnn_states_read(struct dgnn_checkpoint *checkpoint, struct dgnn_pickled dict, const char *prefix,
                     struct dgnn_states *state, struct dgnn_error *error)
{
    char path[STATE_NAME_MAX] = "";
    *state = (struct dgnn_states){.checkpoint = checkpoint, .prefix = prefix};
    struct states_builder builder = {.state = state, .error = error};
    int flat = dgnn_pickled_kind(dict) == DGNN_PICKLE_DICT;
    int status = flat ? states_walk_flat(&builder, dict) : states_walk(&builder, dict, path, 0);
    state->entries = builder.entries.data;
    state->nentry = builder.nentry;
    status = status ? status : states_sort(state, error);
    if (status) {
        dgnn_states_free(state);
    }
    return status;
}

void dgnn_states_free(struct dgnn_states *state)
{
    dgnn_alloc_free(state->entries);
    dgnn_text_free(&state->names);
    *state = (struct dgnn_states){0};
}

/* ------------------------------------------------------------------ looking */

/* The first entry whose name is not before this one. */
static int64_t states_lower(const struct dgnn_states *state, const char *name)
{
    int64_t low = 0, high = state->nentry;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (strcmp(state->entries[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct dgnn_states_entry *dgnn_states_find(const struct dgnn_states *state, const char *name)
{
    int64_t at = states_lower(state, name);
    return at < state->nentry && !strcmp(state->entries[at].name, name) ? &state->entries[at] : NULL;
}

int dgnn_states_has(const struct dgnn_states *state, const char *name)
{
    char below[STATE_NAME_MAX + 2];
    size_t length = strlen(name);
    if (dgnn_states_find(state, name) || length >= STATE_NAME_MAX) {
        return length < STATE_NAME_MAX;
    }
    memcpy(below, name, length);
    memcpy(below + length, ".", 2);
    int64_t at = states_lower(state, below);
    return at < state->nentry && !strncmp(state->entries[at].name, below, length + 1);
}

static int states_is_empty(struct dgnn_pickled value)
{
    struct dgnn_pickle_tensor tensor;
    dgnn_pickled_tensor(value, &tensor);
    for (int32_t d = 0; d < tensor.ndim; d++) {
        if (tensor.shape[d] == 0) {
            return 1;
        }
    }
    return 0;
}

int dgnn_states_has_elements(const struct dgnn_states *state, const char *name)
{
    const struct dgnn_states_entry *entry = dgnn_states_find(state, name);
    return entry && !states_is_empty(entry->value);
}

int dgnn_states_tensor(const struct dgnn_states *state, const char *name, struct dgnn_tensor *tensor,
                       struct dgnn_error *error)
{
    struct dgnn_states_entry *entry = dgnn_states_find(state, name);
    if (!entry) {
        return dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: %s%.300s: missing in the state",
                               state->checkpoint->name, state->prefix, name);
    }
    entry->used = 1;
    return dgnn_checkpoint_tensor(state->checkpoint, entry->value, name, tensor, error);
}

/* ------------------------------------------------------------------ what is left */

enum states_skip {
    STATES_SKIP_ALWAYS, /* it has no part in results, or is another name of what was read */
    STATES_SKIP_EMPTY   /* only where it holds nothing */
};

/* One part of a dotted name, or some that follow one another. */
static const struct {
    const char *part;
    enum states_skip skip;
} states_skipped[] = {
    {"_networks", STATES_SKIP_ALWAYS},     /* pt, pt_expt: the networks again */
    {"nets.networks", STATES_SKIP_ALWAYS}, /* pt_expt: a gated fitting's, a third time */
    {"min_nbor_dist", STATES_SKIP_ALWAYS}, /* statistics of the training data */
    {"_min_nbor_dist", STATES_SKIP_ALWAYS},
    {"type_mask", STATES_SKIP_ALWAYS}, /* made from exclude_types */
    {"out_std", STATES_SKIP_ALWAYS},
    {"default_fparam_tensor", STATES_SKIP_ALWAYS}, /* default_fparam again */
    {"nlist_cut_idx", STATES_SKIP_ALWAYS},         /* pt_expt's hybrids: made from sel */
    {"mapping_list", STATES_SKIP_ALWAYS},          /* pt_expt's sums: made from type_map */
    {"graph_lower_disabled", STATES_SKIP_ALWAYS},  /* read where semantics are chosen */
    {"angular_channel_index", STATES_SKIP_ALWAYS}, /* DPA4C's constants, which follow from its widths */
    {"angular_harmonic_index", STATES_SKIP_ALWAYS},
    {"gram_index", STATES_SKIP_ALWAYS},
    {"gram_scale", STATES_SKIP_ALWAYS},
    {"bispectrum_coupling", STATES_SKIP_ALWAYS},
    {"probe_index", STATES_SKIP_ALWAYS},
    {"probe_scale", STATES_SKIP_ALWAYS},
    {"vector_gram_index", STATES_SKIP_ALWAYS},
    {"vector_gram_scale", STATES_SKIP_ALWAYS},
    {"quadrupole_gram_index", STATES_SKIP_ALWAYS},
    {"quadrupole_gram_scale", STATES_SKIP_ALWAYS},
    {"spin_mask", STATES_SKIP_ALWAYS}, /* made from use_spin and virtual_scale */
    {"virtual_scale_mask", STATES_SKIP_ALWAYS},
    {"econf_tebd", STATES_SKIP_ALWAYS}, /* configurations of electrons, made from type_map */
    {"nsels", STATES_SKIP_ALWAYS},      /* pt's sums: sel and cutoffs again */
    {"rcuts", STATES_SKIP_ALWAYS},
    {"zbl_weight", STATES_SKIP_ALWAYS},   /* TorchScript: what the last evaluation left */
    {"bias_dos", STATES_SKIP_ALWAYS},     /* what bias_atom_e began with */
    {"sec", STATES_SKIP_ALWAYS},          /* pt's se_e2_r: ends of the sections of sel */
    {"compress_info", STATES_SKIP_EMPTY}, /* tables of a compressed model */
    {"compress_data", STATES_SKIP_EMPTY},
    {"type_embd_data", STATES_SKIP_EMPTY},
};

static int states_has_part(const char *name, const char *part)
{
    size_t length = strlen(part);
    for (const char *at = name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
        if (!strncmp(at, part, length) && (!at[length] || at[length] == '.')) {
            return 1;
        }
    }
    return 0;
}

int dgnn_states_check_used(const struct dgnn_states *state, struct dgnn_error *error)
{
    for (int64_t i = 0; i < state->nentry; i++) {
        const struct dgnn_states_entry *entry = &state->entries[i];
        int known = entry->used;
        for (size_t k = 0; k < sizeof(states_skipped) / sizeof(states_skipped[0]) && !known; k++) {
            known = states_has_part(entry->name, states_skipped[k].part) &&
                    (states_skipped[k].skip == STATES_SKIP_ALWAYS || states_is_empty(entry->value));
        }
        if (!known) {
            return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                   "%s: %s%.300s: a tensor that dgnn does not know in a model of this kind",
                                   state->checkpoint->name, state->prefix, entry->name);
        }
    }
    return DGNN_OK;
}
