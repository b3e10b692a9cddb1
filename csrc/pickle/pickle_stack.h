/* The pickle machine's state: bytes, stack, memo, and the values that it makes. A part of io/pickle.c. */
enum { PICKLE_MARK = -1, PICKLE_SMALL = 256 };

struct pickle_reader {
    struct dgnn_pickle *pickle;
    const char *name;
    const unsigned char *bytes;
    int64_t length, at; /* at: behind the operation's first byte */
    struct dgnn_buffer stack, memo;
    int64_t depth; /* of the stack */
    int64_t nmemo;
    int64_t nnode, nlink;
    int32_t constant[3]; /* None, False, True; -1: not yet made */
    int32_t small[PICKLE_SMALL];
    struct dgnn_error *error;
};

/* ------------------------------------------------------------------ small things */

static int pickle_fail(struct pickle_reader *r, const char *what)
{
    return dgnn_status_set(r->error, DGNN_ERROR_FORMAT, "%s: byte %lld: %s", r->name, (long long)r->at - 1,
                           what);
}

static uint64_t pickle_get(const unsigned char *bytes, int width)
{
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static int pickle_take(struct pickle_reader *r, int64_t nbytes, const unsigned char **bytes)
{
    if (nbytes > r->length - r->at) {
        return pickle_fail(r, "the pickle ends inside of an operation");
    }
    *bytes = r->bytes + r->at;
    r->at += nbytes;
    return DGNN_OK;
}

/* Up to and without a newline, which is passed over. */
static int pickle_line(struct pickle_reader *r, const char **text, int64_t *length)
{
    const unsigned char *start = r->bytes + r->at;
    const unsigned char *end = memchr(start, '\n', (size_t)(r->length - r->at));
    if (!end || end - start > 1000) {
        return pickle_fail(r, "a name without end");
    }
    *text = (const char *)start;
    *length = end - start;
    r->at += *length + 1;
    return DGNN_OK;
}

static struct dgnn_pickle_node *pickle_node(struct pickle_reader *r, int32_t node)
{
    return (struct dgnn_pickle_node *)r->pickle->node_buffer.data + node;
}

static struct dgnn_pickle_link *pickle_link(struct pickle_reader *r, int32_t link)
{
    return (struct dgnn_pickle_link *)r->pickle->link_buffer.data + link;
}

/* Room for one more of size bytes each. */
static int pickle_reserve(struct dgnn_buffer *buffer, int64_t count, int64_t size, struct dgnn_error *error)
{
    if ((count + 1) * size <= buffer->capacity) {
        return DGNN_OK;
    }
    return dgnn_buffer_extend(buffer, (count + count / 2 + 64) * size, count * size, "the values of a pickle",
                              error);
}

static int pickle_make(struct pickle_reader *r, enum dgnn_pickle_kind kind, int32_t *made)
{
    if (r->nnode >= DGNN_LIMIT_PICKLED) {
        return pickle_fail(r, "more values than dgnn reads");
    }
    DGNN_TRY(pickle_reserve(&r->pickle->node_buffer, r->nnode, sizeof(struct dgnn_pickle_node), r->error));
    *made = (int32_t)r->nnode++;
    *pickle_node(r, *made) = (struct dgnn_pickle_node){.kind = (int32_t)kind, .first = -1, .last = -1};
    return DGNN_OK;
}

static int pickle_append(struct pickle_reader *r, int32_t owner, int32_t key, int32_t value)
{
    if (r->nlink >= DGNN_LIMIT_PICKLED) {
        return pickle_fail(r, "more members than dgnn reads");
    }
    DGNN_TRY(pickle_reserve(&r->pickle->link_buffer, r->nlink, sizeof(struct dgnn_pickle_link), r->error));
    int32_t link = (int32_t)r->nlink++;
    struct dgnn_pickle_node *node = pickle_node(r, owner);
    *pickle_link(r, link) = (struct dgnn_pickle_link){.key = key, .value = value, .next = -1};
    if (node->last >= 0) {
        pickle_link(r, node->last)->next = link;
    } else {
        node->first = link;
    }
    node->last = link;
    node->count++;
    return DGNN_OK;
}

static int pickle_push(struct pickle_reader *r, int32_t node)
{
    if (r->depth >= DGNN_LIMIT_PICKLED) {
        return pickle_fail(r, "more values at once than dgnn reads");
    }
    DGNN_TRY(pickle_reserve(&r->stack, r->depth, sizeof(int32_t), r->error));
    ((int32_t *)r->stack.data)[r->depth++] = node;
    return DGNN_OK;
}

static int pickle_pop(struct pickle_reader *r, int32_t *node)
{
    if (r->depth == 0 || ((int32_t *)r->stack.data)[r->depth - 1] == PICKLE_MARK) {
        return pickle_fail(r, "an operation without its value");
    }
    *node = ((int32_t *)r->stack.data)[--r->depth];
    return DGNN_OK;
}

static int pickle_push_new(struct pickle_reader *r, enum dgnn_pickle_kind kind, int32_t *made)
{
    DGNN_TRY(pickle_make(r, kind, made));
    return pickle_push(r, *made);
}

/* Where the values behind the last mark begin. */
static int pickle_find_mark(struct pickle_reader *r, int64_t *first)
{
    const int32_t *stack = r->stack.data;
    int64_t at = r->depth;
    while (at > 0 && stack[at - 1] != PICKLE_MARK) {
        at--;
    }
    *first = at;
    return at > 0 ? DGNN_OK : pickle_fail(r, "an operation without its mark");
}

static enum dgnn_pickle_kind pickle_kind(struct pickle_reader *r, int32_t node)
{
    return (enum dgnn_pickle_kind)pickle_node(r, node)->kind;
}
