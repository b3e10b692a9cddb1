/* Include it first in a file whose results must have the same bits however it is compiled: a * b + c is
 * rounded twice there, never fused. The build says -ffp-contract=off too, since clang heeds no pragma under
 * -ffp-contract=fast; tests/c/test_nlist.c finds a build that fuses. */
#ifndef DGNN_GEOM_UNCONTRACTED_H
#define DGNN_GEOM_UNCONTRACTED_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#endif
