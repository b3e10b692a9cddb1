#include "convert/heads.h"

#include <stdio.h>
#include <string.h>

/* Changes, insertions and deletions from a to b, of at most 63 characters. */
static int heads_distance(const char *a, const char *b)
{
    int row[64], n = (int)strlen(b);
    n = n < 63 ? n : 63;
    for (int j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (int i = 0; a[i] && i < 63; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 1; j <= n; j++) {
            int other = diagonal + ((a[i] | 0x20) != (b[j - 1] | 0x20));
            diagonal = row[j];
            row[j] = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = row[j] < other ? row[j] : other;
        }
    }
    return row[n];
}

/* The names and aliases that a walk over model_dict meets. */
struct heads_search {
    const char *wanted;
    const char *nearest;
    int distance;
    int64_t found; /* which member, or -1 */
};

static void heads_meet(struct heads_search *search, const char *name, int64_t index)
{
    int distance = heads_distance(search->wanted, name);
    if (!strcmp(search->wanted, name)) {
        search->found = index;
    }
    if (distance < search->distance) {
        search->distance = distance;
        search->nearest = name;
    }
}

static int heads_search(const struct dgnn_value *dict, struct heads_search *search, struct dgnn_error *error)
{
    int64_t count = dgnn_value_count(dict);
    for (int64_t k = 0; k < count; k++) {
        struct dgnn_value item = dgnn_value_item(dict, k);
        struct dgnn_value aliases = dgnn_value_member(&item, "model_branch_alias");
        heads_meet(search, item.name, k);
        for (int64_t j = 0; j < dgnn_value_count(&aliases); j++) {
            struct dgnn_value alias = dgnn_value_item(&aliases, j);
            const char *name;
            DGNN_TRY(dgnn_value_string(&alias, &name, error));
            heads_meet(search, name, k);
        }
    }
    return DGNN_OK;
}

/* "A, B, C", cut where there is no room. */
static void heads_list(const struct dgnn_value *dict, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int64_t k = 0; k < dgnn_value_count(dict); k++) {
        struct dgnn_value item = dgnn_value_item(dict, k);
        size_t length = strlen(item.name);
        if (used + length + 8 > size) {
            snprintf(text + used, size - used, ", ...");
            return;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%s", k ? ", " : "", item.name);
    }
}

int dgnn_heads_none(const char *file, const char *head, struct dgnn_error *error)
{
    return dgnn_status_set(error, DGNN_ERROR_INPUT,
                           "%s: head '%.100s': this file holds one model without heads; leave "
                           "head out",
                           file, head);
}

int dgnn_heads_choose(const struct dgnn_value *settings, const char *head, struct dgnn_heads_choice *choice,
                      struct dgnn_error *error)
{
    char list[400], path[300];
    *choice =
        (struct dgnn_heads_choice){.params = *settings, .dict = dgnn_value_member(settings, "model_dict")};
    dgnn_value_path(settings, path, sizeof(path));
    path[strcspn(path, ":")] = 0;
    if (dgnn_value_kind(&choice->dict) == DGNN_VALUE_ABSENT) {
        return head ? dgnn_heads_none(path, head, error) : DGNN_OK;
    }
    DGNN_TRY(dgnn_value_object(&choice->dict, error));
    int64_t count = dgnn_value_count(&choice->dict);
    heads_list(&choice->dict, list, sizeof(list));
    if (!head && count != 1) {
        struct dgnn_value first = dgnn_value_item(&choice->dict, 0);
        return dgnn_status_set(
            error, DGNN_ERROR_INPUT,
            "%s has several heads: %s; choose one: dgnn.Model.load(\"%s\", head=\"%.60s\")", path, list, path,
            count ? first.name : "");
    }
    struct heads_search search = {
        .wanted = head ? head : "", .nearest = "", .distance = 1000, .found = head ? -1 : 0};
    if (head) {
        DGNN_TRY(heads_search(&choice->dict, &search, error));
    }
    if (search.found < 0) {
        return dgnn_status_set(error, DGNN_ERROR_INPUT,
                               "%s: head '%.100s': there is none of that name; did you mean "
                               "'%.100s'? Heads: %s",
                               path, head, search.nearest, list);
    }
    choice->params = dgnn_value_item(&choice->dict, search.found);
    choice->name = choice->params.name;
    return DGNN_OK;
}
