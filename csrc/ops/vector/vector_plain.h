/* What an instruction set may do better, in plain C. */

/* The sum of all lanes, in a fixed order. */
INLINE real V(sum)(V(vec) x)
{
    real total = 0;
    for (int64_t i = 0; i < LANES; i++) {
        total += x[i];
    }
    return total;
}

/* out[k]: the sum of all lanes of x[k]. */
INLINE void V(sum_four)(const V(vec) * x, real *out)
{
    for (int k = 0; k < 4; k++) {
        out[k] = V(sum)(x[k]);
    }
}

/* x within [-limit, limit], for an argument of the exponential. */
INLINE V(vec) V(bound)(V(vec) x, real limit)
{
    x = V(choose)(x > limit, V(splat)(limit), x);
    return V(choose)(x < -limit, V(splat)(-limit), x);
}

/* p 2^n, where the last bits of t = n + 1.5 2^(digits) are n's. */
INLINE V(vec) V(scale)(V(vec) p, V(vec) t, V(vec) n)
{
    (void)n;
    return (V(vec))((V(ivec))p + ((V(ivec))t << (DGNN_REAL_BITS == 32 ? 23 : 52)));
}

/* a b + c; one rounding where VECTOR_FUSED says so, whatever the compiler's optimisation. */
INLINE V(vec) V(fused)(V(vec) a, V(vec) b, V(vec) c)
{
    return a * b + c;
}

/* In each lane the larger one; b where a is no number. */
INLINE V(vec) V(larger)(V(vec) a, V(vec) b)
{
    return V(choose)(a > b, a, b);
}

/* Is any lane of x at least that of limit? */
INLINE int V(any_reaches)(V(vec) x, V(vec) limit)
{
    V(ivec) reaches = x >= limit;
    int any = 0;
    for (int64_t i = 0; i < LANES; i++) {
        any |= (int)reaches[i];
    }
    return any;
}
