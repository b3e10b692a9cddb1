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

#define DGNN_REAL_BITS 32
#include "net/dpa2/repinit_load_body.h"
#include "net/dpa2/repinit_pair_body.h"
#include "net/dpa2/repinit_three_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/dpa2/repinit_load_body.h"
#include "net/dpa2/repinit_pair_body.h"
#include "net/dpa2/repinit_three_body.h"
