#include "system/input.h"

#include <math.h>

static int input_check_types(const struct dgnn_system *system, int32_t ntypes, int64_t *nreal,
                             struct dgnn_error *error)
{
    *nreal = 0;
    for (int64_t i = 0; i < system->natoms; i++) {
        int32_t type = system->types[i];
        if (type < -1 || type >= ntypes) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "types: atom %lld has type %d; expected -1 (NULL) or an index below %d",
                                   (long long)i, type, ntypes);
        }
        *nreal += type >= 0;
    }
    return DGNN_OK;
}

/* The wrap's message counts rows; the caller counts atoms. */
static int input_check_coords(const struct dgnn_system *system, struct dgnn_error *error)
{
    for (int64_t i = 0; i < system->natoms; i++) {
        for (int c = 0; c < 3 && system->types[i] >= 0; c++) {
            if (!isfinite(system->coords[3 * i + c])) {
                return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                       "coords: atom %lld has %c = %g; expected a finite number",
                                       (long long)i, "xyz"[c], system->coords[3 * i + c]);
            }
        }
    }
    return DGNN_OK;
}

static int input_check_ids(const struct dgnn_system *system, struct dgnn_error *error)
{
    for (int64_t i = 0; system->ids && i < system->natoms; i++) {
        if (system->ids[i] < 0) {
            return dgnn_status_set(error, DGNN_ERROR_INPUT,
                                   "ids: atom %lld has id %lld; expected an id of at least 0", (long long)i,
                                   (long long)system->ids[i]);
        }
    }
    return DGNN_OK;
}

int dgnn_input_check(const struct dgnn_system *system, int32_t ntypes, int64_t *nreal,
                     struct dgnn_error *error)
{
    DGNN_TRY(input_check_types(system, ntypes, nreal, error));
    DGNN_TRY(input_check_coords(system, error));
    return input_check_ids(system, error);
}
