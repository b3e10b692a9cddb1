/* Three-body sums of one centre (se_e3, se_e3_tebd), over pairs (a, b) of its rows in two sections:
 *
 *     out += scale w_a w_b x G(x),  x = u_a . u_b
 *
 * u is the vector part of an environment's row, and w its weight, since one row stands for all equal empty
 * slots. G is an embedding network; with strip it is multiplied by 1 + F s_a s_b. For a section with itself
 * the sum is over all ordered pairs, of which half are computed. Backward computes the embeddings again,
 * because there are too many pairs to keep them. */
#ifndef DGNN_NET_TRIPLES_H
#define DGNN_NET_TRIPLES_H

#include "base/arena.h"
#include "net/parts/backend.h"
#include "net/parts/embedding.h"

/* The most pairs in one product. */
enum { DGNN_TRIPLES_BLOCK = 256 };

#define DGNN_REAL_BITS 32
#include "net/local/triples_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/triples_types.h"
#undef DGNN_REAL_BITS

#endif
