#include "net/parts/embedding.h"

#include <math.h>
#include <string.h>

#include "net/params/params.h"

/* Rows that go through all layers together: few enough for the first caches. */
enum { EMBEDDING_BLOCK = 48 };

#define DGNN_REAL_BITS 32
#include "net/parts/embedding_body.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/parts/embedding_body.h"
