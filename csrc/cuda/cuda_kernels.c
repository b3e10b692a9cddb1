#include "cuda/cuda_kernels.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { KERNELS_HEAD = 16, KERNELS_ROW = 24, KERNELS_MOST = 64, KERNELS_PATH = 4096 };

struct kernels_row {
    uint32_t kind, architecture;
    uint64_t offset, length;
};

/* Where the file is. Errors: UNSUPPORTED. */
static int kernels_path(char path[KERNELS_PATH], struct dgnn_error *error)
{
    const char *given = getenv("DGNN_CUDA_KERNELS");
    Dl_info info = {0};
    if (given && *given) {
        snprintf(path, KERNELS_PATH, "%s", given);
        return DGNN_OK;
    }
    if (!dladdr((const void *)(uintptr_t)&dgnn_cuda_kernels_read, &info) || !info.dli_fname) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "device 'cuda': where the library lies is not known; name the file of kernels "
                               "in DGNN_CUDA_KERNELS");
    }
    const char *slash = strrchr(info.dli_fname, '/');
    snprintf(path, KERNELS_PATH, "%.*sdgnn_kernels.bin", slash ? (int)(slash + 1 - info.dli_fname) : 0,
             info.dli_fname);
    return DGNN_OK;
}

static int kernels_load(FILE *file, const char *path, struct dgnn_cuda_kernels *kernels,
                        struct dgnn_error *error)
{
    if (fseek(file, 0, SEEK_END) || (kernels->length = ftell(file)) < 0 || fseek(file, 0, SEEK_SET)) {
        return dgnn_status_set_errno(error, errno, "%s: cannot be read", path);
    }
    kernels->bytes = dgnn_alloc(kernels->length + 1, 1);
    if (!kernels->bytes) {
        return dgnn_status_no_memory(error, "device kernels", kernels->length);
    }
    if (fread(kernels->bytes, 1, (size_t)kernels->length, file) != (size_t)kernels->length) {
        return dgnn_status_set(error, DGNN_ERROR_SYSTEM, "%s: cannot be read to its end", path);
    }
    return DGNN_OK;
}

static uint32_t kernels_number(const struct dgnn_cuda_kernels *kernels, int64_t place)
{
    uint32_t number;
    memcpy(&number, kernels->bytes + place, sizeof(number));
    return number;
}

static int kernels_row(const struct dgnn_cuda_kernels *kernels, int64_t k, struct kernels_row *row)
{
    const char *at = kernels->bytes + KERNELS_HEAD + k * KERNELS_ROW;
    uint64_t length = (uint64_t)kernels->length;
    memcpy(&row->kind, at, 4);
    memcpy(&row->architecture, at + 4, 4);
    memcpy(&row->offset, at + 8, 8);
    memcpy(&row->length, at + 16, 8);
    return row->offset < length && row->length < length - row->offset &&
           !kernels->bytes[row->offset + row->length];
}

static int kernels_check(const struct dgnn_cuda_kernels *kernels, const char *path, struct dgnn_error *error)
{
    struct kernels_row row;
    int64_t count = 0, ok = kernels->length >= KERNELS_HEAD && !memcmp(kernels->bytes, "DGNNCUBI", 8);
    if (ok && kernels_number(kernels, 8) != DGNN_KERNELS_VERSION) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "%s: kernels of version %u, for another dgnn; this one takes version %d", path,
                               kernels_number(kernels, 8), DGNN_KERNELS_VERSION);
    }
    count = ok ? kernels_number(kernels, 12) : 0;
    ok = ok && count <= KERNELS_MOST && kernels->length >= KERNELS_HEAD + count * KERNELS_ROW;
    for (int64_t k = 0; ok && k < count; k++) {
        ok = kernels_row(kernels, k, &row);
    }
    return ok ? DGNN_OK
              : dgnn_status_set(error, DGNN_ERROR_FORMAT, "%s: not a file of device kernels, or cut off",
                                path);
}

int dgnn_cuda_kernels_read(struct dgnn_cuda_kernels *kernels, struct dgnn_error *error)
{
    char path[KERNELS_PATH];
    *kernels = (struct dgnn_cuda_kernels){0};
    DGNN_TRY(kernels_path(path, error));
    FILE *file = fopen(path, "rb");
    if (!file) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "device 'cuda': this dgnn has no kernels for devices: %s: %s; wheels have them, "
            "and `make cubins` makes them",
            path, strerror(errno));
    }
    int status = kernels_load(file, path, kernels, error);
    fclose(file);
    status = status ? status : kernels_check(kernels, path, error);
    if (status) {
        dgnn_cuda_kernels_free(kernels);
    }
    return status;
}

void dgnn_cuda_kernels_free(struct dgnn_cuda_kernels *kernels)
{
    dgnn_alloc_free(kernels->bytes);
    *kernels = (struct dgnn_cuda_kernels){0};
}

/* How well it serves the chip; 0: not at all. */
static uint32_t kernels_fits(const struct kernels_row *row, uint32_t architecture)
{
    if (row->architecture > architecture) {
        return 0;
    }
    if (row->kind == DGNN_IMAGE_CUBIN) {
        return row->architecture / 10 == architecture / 10 ? 10000 + row->architecture : 0;
    }
    return row->kind == DGNN_IMAGE_PTX ? row->architecture : 0;
}

int dgnn_cuda_kernels_image(const struct dgnn_cuda_kernels *kernels, int32_t architecture, const void **image,
                            struct dgnn_error *error)
{
    uint32_t best = 0, fits;
    for (int64_t k = 0; k < kernels_number(kernels, 12); k++) {
        struct kernels_row row;
        fits = kernels_row(kernels, k, &row) ? kernels_fits(&row, (uint32_t)architecture) : 0;
        if (fits > best) {
            best = fits;
            *image = kernels->bytes + row.offset;
        }
    }
    return best ? DGNN_OK
                : dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                  "device 'cuda': there are no kernels for compute capability %d.%d",
                                  architecture / 10, architecture % 10);
}
