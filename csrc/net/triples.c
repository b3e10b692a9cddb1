#include "net/triples.h"

#include <string.h>

#define DGNN_REAL_BITS 32
#include "net/triples.inc"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/triples.inc"
