/* Writes a model's tree, in the form that deepmd-kit's serialize() gives, from templates: a family's table is
 * the tree itself, with marks where values of the checkpoint go.
 *
 * A template is JSON with ' in place of ". Marks, whose names of tensors may have alternatives (a|b: the
 * first that is there; pt's name, then pt_expt's):
 *
 *   $name$                    a variable of the scope
 *   ?path=default?            a setting of the model's parameters; without "=default" it must be there
 *   ^names^  &names&          a tensor; & gives null where there is none
 *   !names!                   a tensor as one row of numbers, whatever its shape
 *   *names*                   a list of tensors names.0, names.1, ... (without the brackets)
 *   %names;act;resnet%        a layer: names.matrix or .w, .bias or .b, .idt; act: $variable or a word
 *   ~key=names;act;resnet~    as a member with its comma, where the layer is there
 *   #names;type;ndim#         a collection of networks names.0, names.1, ...; uses neuron, activation,
 * resnet_dt
 */
#ifndef DGNN_CONVERT_EMIT_H
#define DGNN_CONVERT_EMIT_H

#include "convert/states.h"
#include "io/tree.h"

struct dgnn_emit {
    const struct dgnn_states *state;
    struct dgnn_text text;
    struct dgnn_buffer arrays; /* struct dgnn_array; data belongs to the checkpoint */
    int64_t narrays;
    struct dgnn_error *error;
};

struct dgnn_emit_variable {
    const char *name;
    const char *text; /* JSON */
    const struct dgnn_emit_variable *next;
};

struct dgnn_emit_scope {
    const struct dgnn_value *params;            /* the settings that ?path? looks in */
    const char *prefix;                         /* of names of tensors */
    const struct dgnn_emit_variable *variables; /* "precision", "ntypes" and "type_map" are always there */
};

/* A scope that grows: each variable's text is a template. outer is as it was before. */
enum { DGNN_EMIT_VARIABLES = 32 };
struct dgnn_emit_settings {
    struct dgnn_emit_scope scope, outer;
    struct dgnn_emit_variable variables[DGNN_EMIT_VARIABLES];
    struct dgnn_text texts[DGNN_EMIT_VARIABLES];
    int32_t count;
};
int dgnn_emit_define(struct dgnn_emit *emit, struct dgnn_emit_settings *settings, const char *name,
                     const char *template);
/* The list at path in the settings, twice: the second time with suffix behind its strings. It is text of the
 * file, which no template sees. */
int dgnn_emit_define_doubled(struct dgnn_emit *emit, struct dgnn_emit_settings *settings, const char *name,
                             const char *path, const char *suffix);
void dgnn_emit_undefine(struct dgnn_emit_settings *settings);
/* The template of a precision, by its one name for each; never the text of a file, whose marks would count.
 */
const char *dgnn_emit_precision(const char *json);

/* Errors: FORMAT (a setting or a tensor that is missing, with its path), and as dgnn_checkpoint_tensor. */
int dgnn_emit_template(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *template);
void dgnn_emit_free(struct dgnn_emit *emit);

/* The JSON of a variable, or NULL. */
const char *dgnn_emit_variable(const struct dgnn_emit_scope *scope, const char *name);
/* prefix and the first of the alternatives that is in the state (else the last), in name. */
int dgnn_emit_name(const struct dgnn_emit *emit, const struct dgnn_emit_scope *scope, const char *names,
                   char *name, struct dgnn_error *error);
enum { DGNN_EMIT_NAME_MAX = 512 };

/* The length of axis of the matrix of a layer, or -1. */
int64_t dgnn_emit_width(const struct dgnn_emit *emit, const char *layer, int axis);

/* names.layers.0, ... as JSON. */
struct dgnn_emit_network {
    const char *name;
    const char *type; /* "embedding_network" or "fitting_network" */
};
int dgnn_emit_network(struct dgnn_emit *emit, const struct dgnn_emit_scope *scope,
                      const struct dgnn_emit_network *network);

#endif
