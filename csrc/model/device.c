#include "model/device.h"

#include <stdlib.h>
#include <string.h>

/* More than any machine has. */
enum { DEVICE_ORDINAL_MOST = 4096 };

/* A number in decimal and nothing else, at most most; -1: it is none. */
static int32_t device_number(const char *text, long most)
{
    char *end = NULL;
    if (!text || *text < '0' || *text > '9') {
        return -1;
    }
    long number = strtol(text, &end, 10);
    return *end || number > most ? -1 : (int32_t)number;
}

int dgnn_device_parse(const char *text, enum dgnn_device_kind *kind, int32_t *ordinal,
                      struct dgnn_error *error)
{
    const char *from = text ? "device" : "the variable DGNN_DEVICE";
    if (!text) {
        text = getenv("DGNN_DEVICE");
        text = text && *text ? text : "cpu";
    }
    *ordinal = -1;
    *kind = DGNN_DEVICE_CUDA;
    if (!strcmp(text, "cpu") || !strcmp(text, "auto")) {
        *kind = *text == 'c' ? DGNN_DEVICE_CPU : DGNN_DEVICE_AUTO;
        return DGNN_OK;
    }
    if (!strncmp(text, "cuda:", 5)) {
        *ordinal = device_number(text + 5, DEVICE_ORDINAL_MOST);
    }
    return !strcmp(text, "cuda") || *ordinal >= 0
               ? DGNN_OK
               : dgnn_status_set(error, DGNN_ERROR_INPUT,
                                 "%s: found '%.64s'; expected 'cpu', 'cuda', 'cuda:N' or 'auto'", from, text);
}

/* Of this process among those on its machine, as launchers say; 0: nobody does. */
static int32_t device_local_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
                                        "MV2_COMM_WORLD_LOCAL_RANK",  "PALS_LOCAL_RANKID",
                                        "FLUX_TASK_LOCAL_ID",         "SLURM_LOCALID"};
    int32_t rank = -1;
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]) && rank < 0; k++) {
        rank = device_number(getenv(names[k]), INT32_MAX);
    }
    return rank < 0 ? 0 : rank;
}

int dgnn_device_open(int32_t ordinal, struct dgnn_cuda_device **device, struct dgnn_error *error)
{
    int32_t count = 1;
    if (ordinal < 0) {
        DGNN_TRY(dgnn_cuda_device_count(&count, error));
        ordinal = device_local_rank() % count;
    }
    return dgnn_cuda_device_open(ordinal, device, error);
}
