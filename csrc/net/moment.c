#include "net/moment.h"

#include <string.h>

#define DGNN_REAL_BITS 32
#include "net/moment.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/moment.inc"
