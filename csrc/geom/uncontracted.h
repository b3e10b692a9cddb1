/* Include it first in a file whose results must have the same bits however it is compiled: a * b + c is rounded
 * twice there, never fused. (gcc does so with -std=c11 by itself; a build with gnu11 or other flags must not differ.) */
#ifndef DGNN_GEOM_UNCONTRACTED_H
#define DGNN_GEOM_UNCONTRACTED_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#endif
