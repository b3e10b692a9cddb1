/* cJSON behind a few calls: one text to a tree of nodes, whose memory is one arena. Nodes are opaque. */
#ifndef DGNN_IO_JSON_H
#define DGNN_IO_JSON_H

#include "io/tree.h"

struct dgnn_json;

/* text holds length bytes and a zero after them. Errors: FORMAT, MEMORY. */
int dgnn_json_parse(const char *name, const char *text, size_t length, struct dgnn_json **json,
                    struct dgnn_error *error);
void dgnn_json_free(struct dgnn_json *json);
void *dgnn_json_root(const struct dgnn_json *json);

enum dgnn_value_kind dgnn_json_kind(const void *node);
const char *dgnn_json_key(const void *node);    /* of a member, unescaped */
const char *dgnn_json_string(const void *node); /* of a string, unescaped */
double dgnn_json_number(const void *node);
int dgnn_json_true(const void *node);
void *dgnn_json_first(const void *node); /* the first member or element, or NULL */
void *dgnn_json_next(const void *node);
void *dgnn_json_member(const void *node, const char *key); /* by exact name, or NULL */

/* Makes count and item constant-time for a list or object. Error: MEMORY. */
int dgnn_json_index(struct dgnn_json *json, void *node, struct dgnn_error *error);
int64_t dgnn_json_count(const void *node);
void *const *dgnn_json_items(const void *node);

void dgnn_json_set_number(void *node, double value);
/* An object becomes a tensor, which is number index of its tree. */
void dgnn_json_set_tensor(void *node, int32_t index);
int32_t dgnn_json_tensor(const void *node);

#endif
