#include "base/real.h"

/* What the descriptors without message passing share, for an element type. A body includes it once it has
 * struct NAME (settings and ops), struct NAME_workspace (d, rows, scratch and scratch_bytes),
 * NAME_load_networks and NAME_free, with LOCAL_NAME defined as its prefix, NAME here. It defines NAME_load,
 * NAME_workspace_create, NAME_chunks and NAME_thread_arena. */
#define LOCAL_TYPE_OF(name)       REAL(name)
#define LOCAL_PART_OF(name, part) REAL(name##_##part)
#define LOCAL_REAL_OF(name, part) LOCAL_PART_OF(name, part)
#define LOCAL_REAL(part)          LOCAL_REAL_OF(LOCAL_NAME, part)

static int LOCAL_REAL(load)(void *settings, void **out, struct dgnn_error *error)
{
    struct LOCAL_TYPE_OF(LOCAL_NAME) *d = dgnn_alloc_zeroed(1, sizeof(*d));
    if (!d) {
        return dgnn_status_no_memory(error, "a descriptor", sizeof(*d));
    }
    d->settings = settings;
    d->ops = REAL(dgnn_select_ops)(d->settings->cpu);
    int status = LOCAL_REAL(load_networks)(d, error);
    if (status) {
        LOCAL_REAL(free)(d);
        return status;
    }
    *out = d;
    return DGNN_OK;
}

static int LOCAL_REAL(workspace_create)(const void *weights, void **out, struct dgnn_error *error)
{
    struct LOCAL_REAL(workspace) *w = dgnn_alloc_zeroed(1, sizeof(*w));
    if (!w) {
        return dgnn_status_no_memory(error, "a workspace", sizeof(*w));
    }
    w->d = weights;
    *out = w;
    return DGNN_OK;
}

static int64_t LOCAL_REAL(chunks)(const void *of, const int64_t **first)
{
    const struct LOCAL_REAL(workspace) *w = of;
    *first = w->rows.chunk;
    return w->rows.nchunk;
}

/* A thread's part of the scratch memory. */
static struct dgnn_arena LOCAL_REAL(thread_arena)(const struct LOCAL_REAL(workspace) * w, int32_t thread)
{
    return (struct dgnn_arena){.base = (char *)w->scratch.data + w->scratch_bytes * thread};
}

#undef LOCAL_TYPE_OF
#undef LOCAL_PART_OF
#undef LOCAL_REAL_OF
#undef LOCAL_REAL
