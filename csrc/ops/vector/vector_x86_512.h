/* As ops/vector/vector_plain.h, with AVX-512. */

INLINE real V(sum)(V(vec) x)
{
#if DGNN_REAL_BITS == 32
    return _mm512_reduce_add_ps((__m512)x);
#else
    return _mm512_reduce_add_pd((__m512d)x);
#endif
}

/* Four at once take fewer shuffles than one after another, and wait for one another less. */
INLINE void V(sum_four)(const V(vec) * x, real *out)
{
#if DGNN_REAL_BITS == 32
    __m512 a = (__m512)x[0], b = (__m512)x[1], c = (__m512)x[2], d = (__m512)x[3];
    __m512 first = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 second = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 all =
        _mm512_add_ps(_mm512_shuffle_ps(first, second, 0x44), _mm512_shuffle_ps(first, second, 0xee));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#else
    __m512d a = (__m512d)x[0], b = (__m512d)x[1], c = (__m512d)x[2], d = (__m512d)x[3];
    __m512d first = _mm512_add_pd(_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
    __m512d second = _mm512_add_pd(_mm512_unpacklo_pd(c, d), _mm512_unpackhi_pd(c, d));
    __m256d ab = _mm256_add_pd(_mm512_castpd512_pd256(first), _mm512_extractf64x4_pd(first, 1));
    __m256d cd = _mm256_add_pd(_mm512_castpd512_pd256(second), _mm512_extractf64x4_pd(second, 1));
    _mm256_storeu_pd(
        out, _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20), _mm256_permute2f128_pd(ab, cd, 0x31)));
#endif
}

/* Only the side that overflows: vscalef takes care of the other. */
INLINE V(vec) V(bound)(V(vec) x, real limit)
{
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm512_max_ps((__m512)x, _mm512_set1_ps(-limit));
#else
    return (V(vec))_mm512_max_pd((__m512d)x, _mm512_set1_pd(-limit));
#endif
}

INLINE V(vec) V(scale)(V(vec) p, V(vec) t, V(vec) n)
{
    (void)t;
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return (V(vec))_mm512_scalef_pd((__m512d)p, (__m512d)n);
#endif
}

INLINE V(vec) V(fused)(V(vec) a, V(vec) b, V(vec) c)
{
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
    return (V(vec))_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#endif
}

INLINE V(vec) V(larger)(V(vec) a, V(vec) b)
{
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm512_max_ps((__m512)a, (__m512)b);
#else
    return (V(vec))_mm512_max_pd((__m512d)a, (__m512d)b);
#endif
}

INLINE int V(any_reaches)(V(vec) x, V(vec) limit)
{
#if DGNN_REAL_BITS == 32
    return _mm512_cmp_ps_mask((__m512)x, (__m512)limit, _CMP_GE_OQ) != 0;
#else
    return _mm512_cmp_pd_mask((__m512d)x, (__m512d)limit, _CMP_GE_OQ) != 0;
#endif
}

/* 2^(j / 16), by the last four bits j of a lane. */
INLINE V(vec) V(power)(V(vec) t)
{
    static const real powers[16] __attribute__((aligned(64))) = {
        (real)0x1.0000000000000p+0, (real)0x1.0b5586cf9890fp+0, (real)0x1.172b83c7d517bp+0,
        (real)0x1.2387a6e756238p+0, (real)0x1.306fe0a31b715p+0, (real)0x1.3dea64c123422p+0,
        (real)0x1.4bfdad5362a27p+0, (real)0x1.5ab07dd485429p+0, (real)0x1.6a09e667f3bcdp+0,
        (real)0x1.7a11473eb0187p+0, (real)0x1.8ace5422aa0dbp+0, (real)0x1.9c49182a3f090p+0,
        (real)0x1.ae89f995ad3adp+0, (real)0x1.c199bdd85529cp+0, (real)0x1.d5818dcfba487p+0,
        (real)0x1.ea4afa2a490dap+0};
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm512_permutexvar_ps((__m512i)t, _mm512_load_ps(powers));
#else
    return (V(vec))_mm512_permutex2var_pd(_mm512_load_pd(powers), (__m512i)t, _mm512_load_pd(powers + 8));
#endif
}
