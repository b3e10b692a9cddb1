#include "io/libzip.h"

#ifdef DGNN_LIBZIP_INSIDE /* a wheel has libzip in it, without a cryptography library */

int dgnn_libzip_get(const struct dgnn_libzip **libzip, struct dgnn_error *error)
{
#define LIBZIP_INSIDE(name) .name = zip_##name,
    static const struct dgnn_libzip functions = {LIBZIP_FUNCTIONS(LIBZIP_INSIDE)};
#undef LIBZIP_INSIDE
    (void)error;
    *libzip = &functions;
    return DGNN_OK;
}

#else

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t libzip_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct dgnn_libzip libzip_functions;
static int libzip_loaded;

/* glibc tells in words only why it failed: these are those for no memory. */
static int libzip_fail(struct dgnn_error *error)
{
    const char *said = dlerror(), *reason = said ? said : "no reason given";
    return strstr(reason, "failed to map segment") || strstr(reason, "annot allocate memory")
               ? dgnn_status_set(error, DGNN_ERROR_MEMORY, "out of memory while loading libzip: %s", reason)
               : dgnn_status_set_errno(error, ELIBACC, "a ZIP archive needs libzip: %s", reason);
}

/* A failure may pass (no memory, no descriptor left), so the next archive tries again. */
static int libzip_load(struct dgnn_error *error)
{
    void *library = dlopen(DGNN_LIBZIP, RTLD_NOW | RTLD_LOCAL);
    int found = library != NULL;
#define LIBZIP_FIND(name)                                                                                    \
    found = found && (*(void **)&libzip_functions.name = dlsym(library, "zip_" #name)) != NULL;
    LIBZIP_FUNCTIONS(LIBZIP_FIND)
#undef LIBZIP_FIND
    libzip_loaded = found;
    int status = found ? DGNN_OK : libzip_fail(error);
    if (library && !found) {
        dlclose(library);
    }
    return status;
}

int dgnn_libzip_get(const struct dgnn_libzip **libzip, struct dgnn_error *error)
{
    pthread_mutex_lock(&libzip_mutex);
    int status = libzip_loaded ? DGNN_OK : libzip_load(error);
    pthread_mutex_unlock(&libzip_mutex);
    *libzip = status ? NULL : &libzip_functions;
    return status;
}

#endif
