#include "net/dpa2/repinit.h"

#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/arena.h"
#include "net/parts/moment.h"

static int32_t repinit_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

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
