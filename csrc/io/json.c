/* cJSON takes its memory from process-wide hooks. Ours look at a thread-local arena: while this thread
 * parses, nodes come from that arena and are never freed singly; at all other times, and for whoever else
 * uses cJSON in this process, the hooks are malloc and free. A tree then costs few blocks, and is freed
 * without a walk. */
#include "io/json.h"

#include "base/alloc.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_CHUNK_FIRST = 16 << 10, JSON_CHUNK_LAST = 1 << 20 };

struct json_chunk {
    struct json_chunk *next;
    size_t used;
    size_t size;
    size_t padding; /* blocks begin at multiples of 16 */
};

struct dgnn_json {
    struct json_chunk *chunk; /* the newest first */
    cJSON *root;
    int out_of_memory;
};

static _Thread_local struct dgnn_json *json_parsing;

static void *json_take(struct dgnn_json *json, size_t size)
{
    struct json_chunk *chunk = json->chunk;
    if (size > PTRDIFF_MAX / 2) {
        return NULL;
    }
    size = (size + 15) & ~(size_t)15;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t wanted = chunk ? 2 * chunk->size : JSON_CHUNK_FIRST;
        wanted = wanted > JSON_CHUNK_LAST ? JSON_CHUNK_LAST : wanted;
        wanted = wanted < size ? size : wanted;
        chunk = dgnn_alloc((int64_t)(sizeof(*chunk) + wanted), 1);
        if (!chunk) {
            json->out_of_memory = 1;
            return NULL;
        }
        *chunk = (struct json_chunk){.next = json->chunk, .size = wanted};
        json->chunk = chunk;
    }
    void *block = (char *)(chunk + 1) + chunk->used;
    chunk->used += size;
    return block;
}

static void *json_hook_malloc(size_t size)
{
    return json_parsing ? json_take(json_parsing, size) : malloc(size);
}

static void json_hook_free(void *block)
{
    if (!json_parsing) {
        free(block);
    }
}

static void json_set_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = json_hook_malloc, .free_fn = json_hook_free};
    cJSON_InitHooks(&hooks);
}

int dgnn_json_parse(const char *name, const char *text, size_t length, struct dgnn_json **json,
                    struct dgnn_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, json_set_hooks);
    struct dgnn_json *made = dgnn_alloc_zeroed(1, sizeof(*made));
    if (!made) {
        return dgnn_status_no_memory(error, "a JSON tree", (int64_t)sizeof(*made));
    }
    json_parsing = made;
    made->root = cJSON_ParseWithLengthOpts(text, length + 1, NULL, 1);
    json_parsing = NULL;
    if (!made->root) {
        int status = made->out_of_memory ? dgnn_status_no_memory(error, "a JSON tree", (int64_t)length)
                                         : dgnn_status_set(error, DGNN_ERROR_FORMAT,
                                                           "%s: cJSON cannot read this JSON text", name);
        dgnn_json_free(made);
        return status;
    }
    *json = made;
    return DGNN_OK;
}

void dgnn_json_free(struct dgnn_json *json)
{
    if (json) {
        for (struct json_chunk *chunk = json->chunk; chunk;) {
            struct json_chunk *next = chunk->next;
            dgnn_alloc_free(chunk);
            chunk = next;
        }
        dgnn_alloc_free(json);
    }
}

void *dgnn_json_root(const struct dgnn_json *json)
{
    return json->root;
}

enum dgnn_value_kind dgnn_json_kind(const void *node)
{
    const cJSON *item = node;
    switch (item ? item->type & 0xff : cJSON_Invalid) {
    case cJSON_NULL:
        return DGNN_VALUE_NULL;
    case cJSON_False:
    case cJSON_True:
        return DGNN_VALUE_BOOL;
    case cJSON_Number:
        return DGNN_VALUE_NUMBER;
    case cJSON_String:
        return DGNN_VALUE_STRING;
    case cJSON_Array:
        return DGNN_VALUE_LIST;
    case cJSON_Object:
        return DGNN_VALUE_OBJECT;
    case cJSON_Raw:
        return DGNN_VALUE_TENSOR; /* set by dgnn_json_set_tensor only: cJSON does not parse to this type */
    default:
        return DGNN_VALUE_ABSENT;
    }
}

const char *dgnn_json_key(const void *node)
{
    return ((const cJSON *)node)->string;
}

const char *dgnn_json_string(const void *node)
{
    return ((const cJSON *)node)->valuestring;
}

double dgnn_json_number(const void *node)
{
    return ((const cJSON *)node)->valuedouble;
}

int dgnn_json_true(const void *node)
{
    return ((const cJSON *)node)->type == cJSON_True;
}

void *dgnn_json_first(const void *node)
{
    return ((const cJSON *)node)->child;
}

void *dgnn_json_next(const void *node)
{
    return ((const cJSON *)node)->next;
}

void *dgnn_json_member(const void *node, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(node, key);
}

int dgnn_json_index(struct dgnn_json *json, void *node, struct dgnn_error *error)
{
    cJSON *item = node;
    int count = cJSON_GetArraySize(item);
    if (count == 0) {
        return DGNN_OK;
    }
    cJSON **items = json_take(json, (size_t)count * sizeof(*items));
    if (!items) {
        return dgnn_status_no_memory(error, "a JSON list", (int64_t)count * (int64_t)sizeof(*items));
    }
    int i = 0;
    for (cJSON *child = item->child; child; child = child->next) {
        items[i++] = child;
    }
    /* Fields that cJSON leaves unused in lists and objects; the tree is never given back to cJSON. */
    item->valuestring = (char *)items;
    item->valueint = count;
    return DGNN_OK;
}

int64_t dgnn_json_count(const void *node)
{
    return ((const cJSON *)node)->valueint;
}

void *const *dgnn_json_items(const void *node)
{
    return (void *const *)(void *)((const cJSON *)node)->valuestring;
}

void dgnn_json_set_number(void *node, double value)
{
    ((cJSON *)node)->valuedouble = value;
}

void dgnn_json_set_tensor(void *node, int32_t index)
{
    cJSON *item = node;
    item->type = cJSON_Raw;
    item->valueint = index;
    item->valuestring = NULL;
}

int32_t dgnn_json_tensor(const void *node)
{
    return ((const cJSON *)node)->valueint;
}
