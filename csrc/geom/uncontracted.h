/* Include this header first in a file whose results must have the same bits however it is compiled. Then a *
 * b + c is rounded twice and never fused. The build also says -ffp-contract=off, since clang ignores the
 * pragma under -ffp-contract=fast. tests/c/test_nlist.c finds a build that fuses. */
#ifndef DGNN_GEOM_UNCONTRACTED_H
#define DGNN_GEOM_UNCONTRACTED_H

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#endif
