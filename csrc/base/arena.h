/* A workspace that is sized before it is used.
 *
 * The layout is one function that takes blocks in order. It runs twice: on an arena without a base, which
 * only measures, and, once that many bytes are reserved, on one with a base, which hands out the blocks:
 *
 *     struct dgnn_arena arena = {0};
 *     layout(&arena, &workspace);                       // arena.used is the size now
 *     DGNN_TRY(dgnn_buffer_reserve(&buffer, arena.used, "...", error));
 *     arena = (struct dgnn_arena){.base = buffer.data};
 *     layout(&arena, &workspace);
 */
#ifndef DGNN_BASE_ARENA_H
#define DGNN_BASE_ARENA_H

#include "base/alloc.h"

struct dgnn_arena {
    char *base;   /* NULL: measure only */
    int64_t used; /* bytes; INT64_MAX once a size overflowed, and then no reservation succeeds */
};

/* Returns count * size bytes, aligned to 64, or NULL while the arena measures. */
static inline void *dgnn_arena_take(struct dgnn_arena *arena, int64_t count, size_t size)
{
    int64_t nbytes;
    int64_t place = arena->used;
    if (!dgnn_alloc_checked(count, (int64_t)size, 63, &nbytes) ||
        __builtin_add_overflow(place, nbytes & ~(int64_t)63, &arena->used)) {
        arena->used = INT64_MAX;
        return NULL;
    }
    return arena->base ? arena->base + place : NULL;
}

#endif
