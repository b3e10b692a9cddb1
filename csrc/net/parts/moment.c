#include "net/parts/moment.h"

#include <string.h>

#define DGNN_REAL_BITS 32
#include "net/parts/moment_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/moment_body.h"
