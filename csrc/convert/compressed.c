#include "convert/compressed.h"

#include <stdio.h>

/* Does the list of tensors have elements? */
static int compressed_has_tables(const struct dgnn_emit *emit, const char *name)
{
    char element[DGNN_EMIT_NAME_MAX + 32];
    for (int k = 0;; k++) {
        snprintf(element, sizeof(element), "%s.%d", name, k);
        if (!dgnn_states_find(emit->state, element)) {
            return 0;
        }
        if (dgnn_states_has_elements(emit->state, element)) {
            return 1;
        }
    }
}

/* The list of tensors, or the tensor, is another name of what was read. */
static void compressed_known(const struct dgnn_emit *emit, const char *name)
{
    char element[DGNN_EMIT_NAME_MAX + 32];
    struct dgnn_states_entry *entry = dgnn_states_find(emit->state, name);
    for (int k = 0; entry || !k; k++) {
        if (entry) {
            entry->used = 1;
        }
        snprintf(element, sizeof(element), "%s.%d", name, k);
        entry = dgnn_states_find(emit->state, element);
    }
}

/* The name of a part of compression, in the descriptor itself or below: the first that has elements, or "".
 * pt_expt evaluates the descriptor's, and may have them below once more. */
static int compressed_name(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *below,
                           const char *part, char *names, size_t size)
{
    char name[DGNN_EMIT_NAME_MAX];
    int found = 0;
    for (int k = 0; k < 2; k++) {
        char own[64];
        snprintf(own, sizeof(own), "%s%s", k ? below : "", part);
        DGNN_TRY(dgnn_emit_name(emit, scope, own, name, emit->error));
        if (found && below[0]) {
            compressed_known(emit, name);
        } else if (!found) {
            found = compressed_has_tables(emit, name) || dgnn_states_has_elements(emit->state, name);
            snprintf(names, size, "%s", own);
        }
    }
    names[0] = found ? names[0] : 0;
    return DGNN_OK;
}

int dgnn_compressed_emit(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *below,
                         int typed, int *found)
{
    char tables[64], infos[64], types[64], template[256];
    DGNN_TRY(compressed_name(emit, scope, below, "compress_data", tables, sizeof(tables)));
    DGNN_TRY(compressed_name(emit, scope, below, "compress_info", infos, sizeof(infos)));
    DGNN_TRY(compressed_name(emit, scope, below, "type_embd_data", types, sizeof(types)));
    *found = tables[0] ? 2 : types[0] ? 1 : 0;
    if (!*found) {
        return DGNN_OK;
    }
    snprintf(template, sizeof(template), ", 'compress': {%s'@variables': {",
             !typed      ? ""
             : tables[0] ? "'geo_compress': true, "
                         : "'geo_compress': false, ");
    DGNN_TRY(dgnn_emit_template(emit, scope, template));
    if (tables[0]) {
        snprintf(template, sizeof(template), "'compress_data': [*%s*], 'compress_info': [*%s*]%s", tables,
                 infos, types[0] ? ", " : "");
        DGNN_TRY(dgnn_emit_template(emit, scope, template));
    }
    if (types[0]) {
        snprintf(template, sizeof(template), "'type_embd_data': ^%s^", types);
        DGNN_TRY(dgnn_emit_template(emit, scope, template));
    }
    return dgnn_text_add(&emit->text, emit->error, "}}");
}
