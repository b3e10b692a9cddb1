#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DGNN_ALLOC_ALIGNMENT 64
/* Large blocks start on huge pages: the kernel then maps them with 2 MiB pages where it may. */
#define DGNN_ALLOC_HUGE      (4 << 20)

static _Thread_local int64_t alloc_needed;
static _Thread_local int32_t alloc_lays_out;

static atomic_llong alloc_count;
static atomic_llong alloc_live;
static atomic_llong alloc_countdown; /* 0: off */
static atomic_int alloc_persistent;

static int alloc_must_fail(void)
{
    long long left = atomic_load(&alloc_countdown);
    if (left == 0) {
        return 0;
    }
    left = atomic_fetch_sub(&alloc_countdown, 1);
    if (left > 1) {
        return 0;
    }
    atomic_store(&alloc_countdown, atomic_load(&alloc_persistent) ? 1 : 0);
    return 1;
}

void *dgnn_alloc(int64_t count, size_t size)
{
    int64_t nbytes;
    void *block = NULL;
    if (!dgnn_alloc_checked(count, (int64_t)size, DGNN_ALLOC_ALIGNMENT, &nbytes) || alloc_must_fail()) {
        return NULL;
    }
    size_t alignment = nbytes >= DGNN_ALLOC_HUGE ? (size_t)2 << 20 : DGNN_ALLOC_ALIGNMENT;
    if (posix_memalign(&block, alignment, (size_t)nbytes)) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (nbytes >= DGNN_ALLOC_HUGE) {
        (void)madvise(block, (size_t)nbytes / alignment * alignment, MADV_HUGEPAGE);
    }
#endif
    atomic_fetch_add(&alloc_count, 1);
    atomic_fetch_add(&alloc_live, 1);
    return block;
}

void *dgnn_alloc_zeroed(int64_t count, size_t size)
{
    void *block = dgnn_alloc(count, size);
    if (block) {
        memset(block, 0, (size_t)count * size);
    }
    return block;
}

void dgnn_alloc_free(void *block)
{
    if (block) {
        atomic_fetch_sub(&alloc_live, 1);
        free(block);
    }
}

char *dgnn_alloc_string(const char *text)
{
    size_t length = strlen(text) + 1;
    char *copy = dgnn_alloc((int64_t)length, 1);
    if (copy) {
        memcpy(copy, text, length);
    }
    return copy;
}

int dgnn_alloc_checked(int64_t a, int64_t b, int64_t c, int64_t *out)
{
    int64_t product;
    if (a < 0 || b < 0 || c < 0 || __builtin_mul_overflow(a, b, &product)) {
        return 0;
    }
    return !__builtin_add_overflow(product, c, out);
}

int64_t dgnn_alloc_count(void)
{
    return atomic_load(&alloc_count);
}

int64_t dgnn_alloc_live(void)
{
    return atomic_load(&alloc_live);
}

void dgnn_alloc_fail_at(int64_t nth, int persistent)
{
    atomic_store(&alloc_persistent, persistent);
    atomic_store(&alloc_countdown, nth);
}

int64_t dgnn_buffer_needed(void)
{
    return alloc_needed;
}

void dgnn_buffer_lay_out(int32_t on)
{
    alloc_lays_out = on;
}

static void buffer_need(struct dgnn_buffer *buffer, int64_t nbytes)
{
    if (nbytes > buffer->needed) {
        alloc_needed += nbytes - buffer->needed;
        buffer->needed = nbytes;
    }
}

/* Addresses without memory, or NULL. */
static void *buffer_map(int64_t nbytes)
{
#ifdef MAP_NORESERVE
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (alloc_lays_out && nbytes >= DGNN_ALLOC_HUGE) {
        void *data = mmap(NULL, (size_t)nbytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        return data == MAP_FAILED ? NULL : data;
    }
#endif
    (void)nbytes;
    return NULL;
}

static void buffer_drop(struct dgnn_buffer *buffer)
{
    if (buffer->is_mapped) {
        (void)munmap(buffer->data, (size_t)buffer->capacity);
    } else {
        dgnn_alloc_free(buffer->data);
    }
}

int dgnn_buffer_extend(struct dgnn_buffer *buffer, int64_t nbytes, int64_t nkeep, const char *what,
                       struct dgnn_error *error)
{
    if (nbytes <= buffer->capacity && buffer->data) {
        buffer_need(buffer, nbytes);
        return DGNN_OK;
    }
    /* Some room to grow, so that a slowly growing system does not reallocate at each call. */
    int64_t capacity = buffer->data && nbytes < INT64_MAX / 2 ? nbytes + nbytes / 8 : nbytes;
    void *mapped = buffer_map(capacity), *data = mapped ? mapped : dgnn_alloc(capacity, 1);
    if (!data) {
        return dgnn_status_no_memory(error, what, nbytes);
    }
    if (nkeep > 0) {
        memcpy(data, buffer->data, (size_t)nkeep);
    }
    buffer_drop(buffer);
    buffer->data = data;
    buffer->capacity = capacity;
    buffer->is_mapped = mapped != NULL;
    buffer_need(buffer, nbytes);
    return DGNN_OK;
}

int dgnn_buffer_reserve(struct dgnn_buffer *buffer, int64_t nbytes, const char *what,
                        struct dgnn_error *error)
{
    return dgnn_buffer_extend(buffer, nbytes, 0, what, error);
}

int dgnn_buffer_reserve_each(struct dgnn_buffer *buffer, int64_t nbytes, int64_t count, const char *what,
                             struct dgnn_error *error)
{
    int64_t total;
    if (!dgnn_alloc_checked(nbytes, count, 0, &total)) {
        total = INT64_MAX;
    }
    return dgnn_buffer_reserve(buffer, total, what, error);
}

void dgnn_buffer_free(struct dgnn_buffer *buffer)
{
    buffer_drop(buffer);
    alloc_needed -= buffer->needed;
    *buffer = (struct dgnn_buffer){0};
}
