/* Three-body sums of one centre (se_e3, se_e3_tebd): over pairs of its rows (a, b) of two sections
 *
 *     out += scale w_a w_b x G(x),  x = u_a . u_b
 *
 * where u is the vector part of the environment's row, w its weight (an empty slot stands for all that are
 * alike), and G an embedding network, with strip times 1 + F s_a s_b. A section with itself is a sum over all
 * ordered pairs, of which half are computed. Backward computes the embeddings again: pairs are too many to be
 * kept. */
#ifndef DGNN_NET_TRIPLES_H
#define DGNN_NET_TRIPLES_H

#include "base/arena.h"
#include "net/parts/backend.h"
#include "net/parts/embedding.h"

/* Pairs that one product takes. */
enum { DGNN_TRIPLES_BLOCK = 256 };

#define DGNN_REAL_BITS 32
#include "net/local/triples_types.h"
#undef DGNN_REAL_BITS
#define DGNN_REAL_BITS 64
#include "net/local/triples_types.h"
#undef DGNN_REAL_BITS

#endif
