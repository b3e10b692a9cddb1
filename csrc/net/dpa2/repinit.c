#include "net/dpa2/repinit.h"

#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "net/parts/moment.h"

/* Row of the type embedding: the last is that of no type. */
static int32_t repinit_type(int32_t type, int32_t ntypes)
{
    return type >= 0 ? type : ntypes;
}

struct repinit_variable_params {
#include "net/params/params_fields.h"
#include "net/params/objects/repinit_variable.def"
#include "net/params/params_end.h"
};

static const struct dgnn_param repinit_variable_rows[] = {
#define DGNN_PARAM_STRUCT struct repinit_variable_params
#include "net/params/params_rows.h"
#include "net/params/objects/repinit_variable.def"
#include "net/params/params_end.h"
};

enum { REPINIT_NVARIABLE = sizeof(repinit_variable_rows) / sizeof(repinit_variable_rows[0]) };

static int repinit_load_statistics(const struct dgnn_value *variable,
                                   const struct dgnn_repinit_context *context,
                                   struct dgnn_environment *environment, struct dgnn_error *error)
{
    struct dgnn_value statistics = dgnn_value_member(variable, "@variables");
    struct repinit_variable_params params;
    *environment = (struct dgnn_environment){.cutoff = context->cutoff,
                                             .switch_start = context->switch_start,
                                             .protection = context->protection,
                                             .width = 4,
                                             .ntypes = context->ntypes,
                                             .nsection = 1};
    DGNN_TRY(dgnn_params_load(variable, repinit_variable_rows, REPINIT_NVARIABLE, &params, error));
    if (!context->strip) {
        DGNN_TRY(dgnn_params_unused(&params.embeddings_strip, "tebd_input_mode is not strip", error));
    }
    return dgnn_environment_load(environment, &statistics, &context->nsel, error);
}

/* Is a mean of the columns [begin, 4) other than 0? */
static int repinit_has_mean(const struct dgnn_environment *environment, int begin)
{
    int any = 0;
    for (int64_t k = 0; k < 4 * environment->ntypes; k++) {
        any |= k % 4 >= begin && environment->mean[k] != 0;
    }
    return any;
}

static int repinit_check_axis(const struct dgnn_value *variable, int64_t axis, int64_t noutput,
                              struct dgnn_error *error)
{
    return axis >= 1 && axis <= noutput
               ? DGNN_OK
               : dgnn_value_refuse(error, DGNN_ERROR_FORMAT, variable,
                                   "axis_neuron is %lld; expected 1 to %lld, the outputs", (long long)axis,
                                   (long long)noutput);
}

#define DGNN_REAL_BITS 32
#include "net/dpa2/repinit_load_body.h"
#include "net/dpa2/repinit_pair_body.h"
#include "net/dpa2/repinit_three_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repinit_load_body.h"
#include "net/dpa2/repinit_pair_body.h"
#include "net/dpa2/repinit_three_body.h"
