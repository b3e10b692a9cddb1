#include "net/local/triples.h"

#include <string.h>

#define DGNN_REAL_BITS 32
#include "net/local/triples_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/triples_body.h"
