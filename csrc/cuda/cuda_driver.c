#include "cuda/cuda_driver.h"

#include <dlfcn.h>
#include <pthread.h>

/* Of CUDA, as cuDriverGetVersion tells it: drivers from 525 on. */
enum { CUDA_DRIVER_LEAST = 12000 };

static pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dgnn_cuda_driver driver_opened; /* written once, before driver_is_open */
static int driver_is_open;

static int driver_find(void *library, struct dgnn_cuda_driver *driver, struct dgnn_error *error)
{
    static const char *const names[] = {
#define DRIVER_NAME(name, arguments) #name,
        DGNN_CUDA_ENTRIES(DRIVER_NAME)
#undef DRIVER_NAME
    };
    void **entry = (void **)driver;
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        entry[k] = dlsym(library, names[k]);
        if (!entry[k]) {
            return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                                   "device 'cuda': the driver libcuda.so.1 has no %s: it is too old; dgnn "
                                   "needs NVIDIA's driver 525 or newer",
                                   names[k]);
        }
    }
    return DGNN_OK;
}

static int driver_start(const struct dgnn_cuda_driver *driver, struct dgnn_error *error)
{
    int version = 0, code = driver->cuInit(0);
    if (code == DGNN_CUDA_NO_DEVICE) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "device 'cuda': the driver finds no device (cuInit: CUDA_ERROR_NO_DEVICE); CUDA_VISIBLE_DEVICES "
            "may hide it; use device 'cpu'");
    }
    DGNN_TRY(dgnn_cuda_driver_check(driver, code, "cuInit", error));
    DGNN_TRY(
        dgnn_cuda_driver_check(driver, driver->cuDriverGetVersion(&version), "cuDriverGetVersion", error));
    if (version < CUDA_DRIVER_LEAST) {
        return dgnn_status_set(
            error, DGNN_ERROR_UNSUPPORTED,
            "device 'cuda': the driver is for CUDA %d.%d; dgnn needs one for 12.0 or newer "
            "(NVIDIA's driver 525)",
            version / 1000, version % 1000 / 10);
    }
    return DGNN_OK;
}

static int driver_open(struct dgnn_error *error)
{
    struct dgnn_cuda_driver found;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return dgnn_status_set(error, DGNN_ERROR_UNSUPPORTED,
                               "device 'cuda': no CUDA driver on this machine (%s); use device 'cpu'",
                               dlerror());
    }
    int status = driver_find(library, &found, error);
    status = status ? status : driver_start(&found, error);
    if (status) {
        dlclose(library); /* who brings a driver later may ask again */
        return status;
    }
    driver_opened = found;
    driver_is_open = 1;
    return DGNN_OK;
}

int dgnn_cuda_driver_open(const struct dgnn_cuda_driver **driver, struct dgnn_error *error)
{
    pthread_mutex_lock(&driver_lock);
    int status = driver_is_open ? DGNN_OK : driver_open(error);
    pthread_mutex_unlock(&driver_lock);
    *driver = &driver_opened;
    return status;
}

int dgnn_cuda_driver_check(const struct dgnn_cuda_driver *driver, int code, const char *what,
                           struct dgnn_error *error)
{
    const char *name = NULL, *text = NULL;
    if (!code) {
        return DGNN_OK;
    }
    driver->cuGetErrorName(code, &name);
    driver->cuGetErrorString(code, &text);
    return dgnn_status_set(error, code == DGNN_CUDA_NO_MEMORY ? DGNN_ERROR_MEMORY : DGNN_ERROR_SYSTEM,
                           "device 'cuda': %s: %s (%s)", what,
                           name ? name : "an error that the driver does not name",
                           text ? text : "no words for it");
}
