/* Numbers that a seed decides, the same on every machine. */
#ifndef DGNN_TESTS_RANDOM_H
#define DGNN_TESTS_RANDOM_H

#include <stdint.h>

/* splitmix64 */
static inline uint64_t random_hash(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t random_next(uint64_t *state)
{
    *state += 1;
    return random_hash(*state);
}

/* [0, n) */
static inline int64_t random_below(uint64_t *state, int64_t n)
{
    return (int64_t)(random_next(state) % (uint64_t)n);
}

/* [0, 1) */
static inline double random_uniform(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

#endif
