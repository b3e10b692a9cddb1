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

#define DGNN_REAL_BITS 32
#include "net/dpa2/repinit_load_body.h"
#include "net/dpa2/repinit_pair_body.h"
#include "net/dpa2/repinit_three_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repinit_load_body.h"
#include "net/dpa2/repinit_pair_body.h"
#include "net/dpa2/repinit_three_body.h"
