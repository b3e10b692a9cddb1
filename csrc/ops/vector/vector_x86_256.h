/* As ops/vector/vector_plain.h, with AVX2. */

INLINE real V(sum)(V(vec) x)
{
#if DGNN_REAL_BITS == 32
    __m128 half = _mm_add_ps(_mm256_castps256_ps128((__m256)x), _mm256_extractf128_ps((__m256)x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
#else
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128((__m256d)x), _mm256_extractf128_pd((__m256d)x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
#endif
}

/* Four at once take fewer shuffles than one after another, and wait for one another less. */
INLINE void V(sum_four)(const V(vec) * x, real *out)
{
#if DGNN_REAL_BITS == 32
    __m256 first = _mm256_hadd_ps((__m256)x[0], (__m256)x[1]),
           second = _mm256_hadd_ps((__m256)x[2], (__m256)x[3]);
    __m256 all = _mm256_hadd_ps(first, second);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
#else
    __m256d first = _mm256_hadd_pd((__m256d)x[0], (__m256d)x[1]),
            second = _mm256_hadd_pd((__m256d)x[2], (__m256d)x[3]);
    _mm256_storeu_pd(out, _mm256_add_pd(_mm256_permute2f128_pd(first, second, 0x20),
                                        _mm256_permute2f128_pd(first, second, 0x31)));
#endif
}

INLINE V(vec) V(bound)(V(vec) x, real limit)
{
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm256_max_ps(_mm256_min_ps((__m256)x, _mm256_set1_ps(limit)), _mm256_set1_ps(-limit));
#else
    return (V(vec))_mm256_max_pd(_mm256_min_pd((__m256d)x, _mm256_set1_pd(limit)), _mm256_set1_pd(-limit));
#endif
}

INLINE V(vec) V(scale)(V(vec) p, V(vec) t, V(vec) n)
{
    (void)n;
    return (V(vec))((V(ivec))p + ((V(ivec))t << (DGNN_REAL_BITS == 32 ? 23 : 52)));
}

INLINE V(vec) V(fused)(V(vec) a, V(vec) b, V(vec) c)
{
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (V(vec))_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
}

INLINE V(vec) V(larger)(V(vec) a, V(vec) b)
{
#if DGNN_REAL_BITS == 32
    return (V(vec))_mm256_max_ps((__m256)a, (__m256)b);
#else
    return (V(vec))_mm256_max_pd((__m256d)a, (__m256d)b);
#endif
}

INLINE int V(any_reaches)(V(vec) x, V(vec) limit)
{
#if DGNN_REAL_BITS == 32
    return _mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)limit, _CMP_GE_OQ)) != 0;
#else
    return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)x, (__m256d)limit, _CMP_GE_OQ)) != 0;
#endif
}
